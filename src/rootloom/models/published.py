"""Parameters of the originals, by the names of their PyTorch state dicts, as those of our models.

weaver-core 0.4 and 0.5 (ParticleNet, Particle Transformer) and salt 0.13 (GN2). The networks must
have the same sizes; `training.trained.check` refuses others by name. Arrays come from a safetensors
file, which holds nothing else: PyTorch's own files are pickles, which can run any program.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from rootloom.errors import FAULTS, InputError, nearest, reason
from rootloom.models.base import Model
from rootloom.models.gn2 import GN2
from rootloom.models.particle_net import ParticleNet
from rootloom.models.particle_transformer import ParticleTransformer
from rootloom.system import faults

Arrays: TypeAlias = dict[str, Any]  # nested, of parameters
Weaver: TypeAlias = Literal["0.4", "0.5"]
# Counters and constants of PyTorch's modules.
_IGNORED = ("num_batches_tracked", "register_mask")


def state_dict(path: str | Path, sha256: str | None = None) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file, by name.

    sha256: of the content that is expected; None: any. Raises InputError for another content,
    another format or damage, ResourceError where the machine is at fault.
    """
    try:
        faults.require_no_pipe(Path(path))
        content = Path(path).read_bytes()
        _require_content(path, content, sha256)
        return load(content)
    except (SafetensorError, *FAULTS) as error:
        faults.pass_on(error, str(path))
        raise InputError(
            str(path),
            expected="a state dict as a whole safetensors file; a .pt or .ckpt file is a pickle, "
            "which is never opened",
            found=reason(error),
            fix="where PyTorch is: safetensors.torch.save_file({name: x.contiguous() for name, x "
            'in torch.load("old.pt", weights_only=True).items()}, "new.safetensors")',
        ) from error


def _require_content(path: str | Path, content: bytes, sha256: str | None) -> None:
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256:
        raise InputError(
            str(path),
            expected=f"the file that the run was planned with, sha256 {sha256}",
            found=f"another one, sha256 {found}",
            fix="run again: the plan then takes the file as it is",
        )


class State:
    """A state dict of which every array is to be used once. prefix: of the names, if they have it.

    Raises InputError for arrays that are missing.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], prefix: str) -> None:
        self._left = {
            name.removeprefix(prefix): array
            for name, array in arrays.items()
            if not name.endswith(_IGNORED)
        }

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def take(self, name: str) -> np.ndarray:
        """The array of this name, which is then used."""
        if name not in self._left:
            raise InputError(
                "state dict",
                expected=f"an array '{name}'",
                found=f"{len(self._left)} others",
                fix=nearest(name, self._left) or "is it a network of this kind and size?",
            )
        return self._left.pop(name)

    def require_used(self) -> None:
        """Refuse arrays for which the model has no place."""
        if self._left:
            raise InputError(
                "state dict",
                expected="parameters of this network alone",
                found=f"'{min(self._left)}' and {len(self._left) - 1} others, which it lacks",
                fix="is it a network of this size?",
            )

    def dense(self, name: str) -> Arrays:
        """A linear map, or a convolution of width 1; PyTorch's have (outputs, inputs)."""
        weight = self.take(f"{name}.weight")
        found = {"kernel": np.ascontiguousarray(weight.reshape(weight.shape[:2]).T)}
        return found | ({"bias": self.take(f"{name}.bias")} if f"{name}.bias" in self else {})

    def layer_norm(self, name: str) -> Arrays:
        """A layer normalisation."""
        return {"scale": self.take(f"{name}.weight"), "bias": self.take(f"{name}.bias")}

    def batch_norm(self, name: str) -> Arrays:
        """A batch normalisation."""
        return {
            **self.layer_norm(name),
            "running_mean": self.take(f"{name}.running_mean"),
            "running_variance": self.take(f"{name}.running_var"),
        }


def parameters(
    model: Model, arrays: Mapping[str, np.ndarray], outputs: int, version: Weaver | None = None
) -> Arrays:
    """Parameters of `model` and a linear head with so many outputs, from a state dict.

    version: of weaver-core, which matters to Particle Transformers; None: told by the names, since
    0.4 calls the maps into an attention `in_proj_weight`. One output of a state dict with two is
    the second less the first, whose logistic function is the second's probability. Raises
    InputError for arrays that are missing, or that the model has no place for.
    """
    for kind, convert in _CONVERTERS.items():
        if isinstance(model, kind):
            return convert(model, arrays, outputs, version)
    raise InputError(
        f"model {type(model).__name__}",
        expected="one of " + ", ".join(kind.__name__ for kind in _CONVERTERS),
        found="one whose published parameters are not known",
    )


def _particle_net(
    model: ParticleNet, arrays: Mapping[str, np.ndarray], outputs: int, version: Weaver | None
) -> Arrays:
    state = State(arrays, "mod.")
    backbone: Arrays = {"input": state.batch_norm("bn_fts"), "dense": state.dense("fc.0.0")}
    for block, widths in enumerate(model.blocks):
        backbone[f"block_{block}"] = _edge_conv(state, f"edge_convs.{block}", len(widths))
    if model.fusion:
        backbone["fusion"] = state.dense("fusion_block.0")
        backbone["fusion_norm"] = state.batch_norm("fusion_block.1")
    return _finished(state, backbone, "fc.1", outputs)


def _edge_conv(state: State, name: str, layers: int) -> Arrays:
    found: Arrays = {f"norm_{i}": state.batch_norm(f"{name}.bns.{i}") for i in range(layers)}
    found |= {f"layer_{i}": state.dense(f"{name}.convs.{i}") for i in range(layers)}
    found["layer_0"] = found["layer_0"]["kernel"]
    if f"{name}.sc.weight" in state:
        found["shortcut"] = state.dense(f"{name}.sc")
        found["shortcut_norm"] = state.batch_norm(f"{name}.sc_bn")
    return found


def _particle_transformer(
    model: ParticleTransformer,
    arrays: Mapping[str, np.ndarray],
    outputs: int,
    version: Weaver | None,
) -> Arrays:
    state = State(arrays, "mod.")
    old = "blocks.0.attn.in_proj_weight" in state if version is None else version == "0.4"
    backbone: Arrays = {
        "token": state.take("cls_token").reshape(-1),
        "norm": state.layer_norm("norm"),
        "embedding": _object_embedding(state, len(model.embedding)),
        "pairs": _pair_embedding(state, len(model.pairs) + 1),
    }
    for ours, theirs, count in (
        ("block", "blocks", model.blocks),
        ("class_block", "cls_blocks", model.class_blocks),
    ):
        for i in range(count):
            block = _block(state, f"{theirs}.{i}")
            backbone[f"{ours}_{i}"] = _without_permutation(block, model.heads) if old else block
    return _finished(state, backbone, "fc.0", outputs)


def _object_embedding(state: State, layers: int) -> Arrays:
    found: Arrays = {"input": state.batch_norm("embed.input_bn")}
    for i in range(layers):
        found[f"norm_{i}"] = state.layer_norm(f"embed.embed.{3 * i}")
        found[f"layer_{i}"] = state.dense(f"embed.embed.{3 * i + 1}")
    return found


def _pair_embedding(state: State, layers: int) -> Arrays:
    found: Arrays = {"input": state.batch_norm("pair_embed.embed.0")}
    for i in range(layers):
        found[f"layer_{i}"] = state.dense(f"pair_embed.embed.{3 * i + 1}")
        found[f"norm_{i}"] = state.batch_norm(f"pair_embed.embed.{3 * i + 2}")
    return found


def _block(state: State, name: str) -> Arrays:
    return {
        "before_attention": state.layer_norm(f"{name}.pre_attn_norm"),
        "attention": _attention(state, f"{name}.attn"),
        "head_scale": state.take(f"{name}.c_attn"),
        "after_attention": state.layer_norm(f"{name}.post_attn_norm"),
        "before_dense": state.layer_norm(f"{name}.pre_fc_norm"),
        "dense_0": state.dense(f"{name}.fc1"),
        "after_dense": state.layer_norm(f"{name}.post_fc_norm"),
        "dense_1": state.dense(f"{name}.fc2"),
        "residual_scale": state.take(f"{name}.w_resid"),
    }


def _attention(state: State, name: str) -> Arrays:
    """Maps of PyTorch's module (in_proj_weight) or of one with a linear map (in_proj.weight)."""
    mark = "_" if f"{name}.in_proj_weight" in state else "."
    return {
        "in_kernel": np.ascontiguousarray(state.take(f"{name}.in_proj{mark}weight").T),
        "in_bias": state.take(f"{name}.in_proj{mark}bias"),
        "out": state.dense(f"{name}.out_proj"),
    }


def _without_permutation(block: Arrays, heads: int) -> Arrays:
    """A block of weaver-core 0.4 as one of 0.5.

    Until 0.4 the scaling of heads also transposed (head, feature of the head). The scaled and
    permuted map out of the attention does the same without either.
    """
    out, width = block["attention"]["out"], len(block["attention"]["out"]["bias"])
    scale = np.repeat(block["head_scale"], width // heads)
    order = np.arange(width).reshape(heads, -1).T.reshape(-1)
    moved = {
        "kernel": np.ascontiguousarray((out["kernel"] * scale[None])[:, order]),
        "bias": (out["bias"] * scale)[order],
    }
    return {
        **block,
        "attention": {**block["attention"], "out": moved},
        "head_scale": np.ones_like(block["head_scale"]),
    }


def _gn2(
    model: GN2, arrays: Mapping[str, np.ndarray], outputs: int, version: Weaver | None
) -> Arrays:
    """The jet's part alone: see `track_heads` for the rest."""
    kept = {
        n: a for n, a in arrays.items() if ".net.net." not in n or "tasks.0" in n or "init" in n
    }
    state = State(kept, "model.")
    backbone: Arrays = {
        "initial": _layers(state, "init_nets.0.net.net", 2),
        "register": state.take("encoder.registers"),
        "project": state.dense("encoder.out_proj"),
        "gate": state.dense("pool_net.gate_nn"),
        "head": _layers(state, "tasks.0.net.net", len(model.dense)),
    }
    for i in range(model.layers):
        name = f"encoder.layers.{i}"
        inside = {f"layer_{k}": f"{name}.dense.fn.{v}_proj" for k, v in enumerate(("in", "out"))}
        backbone[f"encoder_{i}"] = {
            "attention": _attention(state, f"{name}.attn.fn"),
            "dense": {ours: state.dense(theirs) for ours, theirs in inside.items()},
        }
    return _finished(state, backbone, f"tasks.0.net.net.{2 * len(model.dense)}", outputs)


def track_heads(arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Parameters of `models.gn2.TrackHeads`: salt's tasks of tracks and of pairs of them."""
    state = State(arrays, "model.")
    number = sum(f"tasks.1.net.net.{2 * i}.weight" in state for i in range(32))
    first = state.dense("tasks.2.net.net.0")
    rest = {f"layer_{i - 1}": state.dense(f"tasks.2.net.net.{2 * i}") for i in range(1, number)}
    return {
        "origin": _layers(state, "tasks.1.net.net", number),
        "vertex": {**first, "rest": rest},
    }


def _layers(state: State, name: str, number: int) -> Arrays:
    """Dense layers with an activation after each."""
    return {f"layer_{i}": state.dense(f"{name}.{2 * i}") for i in range(number)}


def _finished(state: State, backbone: Arrays, head: str, outputs: int) -> Arrays:
    last = state.dense(head)
    state.require_used()
    if outputs == 1 and last["kernel"].shape[1] == 2:
        last = {name: values[..., 1:] - values[..., :1] for name, values in last.items()}
    return {"backbone": backbone, "head": last}


_CONVERTERS: dict[type[Model], Callable[..., Arrays]] = {
    ParticleNet: _particle_net,
    ParticleTransformer: _particle_transformer,
    GN2: _gn2,
}
