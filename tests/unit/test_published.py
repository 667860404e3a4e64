"""Networks at stored parameters of the originals, against what those made of the same inputs."""

from __future__ import annotations

import pickle
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from rootloom.errors import InputError
from rootloom.models.deep_sets import DeepSets
from rootloom.models.deepcsv import DeepCSV
from rootloom.models.deepjet import DeepJet
from rootloom.models.gn2 import GN2, TrackHeads
from rootloom.models.lorentz_net import LorentzNet
from rootloom.models.normalisation import learnt
from rootloom.models.particle_net import ParticleNet
from rootloom.models.particle_transformer import ParticleTransformer
from rootloom.models.published import parameters, state_dict, track_heads
from rootloom.tasks.supervised import Network
from rootloom.tasks.tracks import origin_loss, vertex_loss
from rootloom.types import Features, Objects, ParticleSets

ORACLES = Path(__file__).parents[1] / "data" / "oracles"
SMALL_PART: dict[str, Any] = {
    "embedding": (32, 64, 32),
    "pairs": (16, 16),
    "heads": 4,
    "blocks": 2,
    "class_blocks": 2,
}
SMALL_GN2: dict[str, Any] = {
    "width": 32,
    "layers": 2,
    "heads": 4,
    "out": 16,
    "dense": (24, 16),
}
JETS = 12  # of 100: some with few particles and the one with most


@cache
def oracle(name: str) -> dict[str, np.ndarray]:
    with np.load(ORACLES / f"{name}.npz", allow_pickle=False) as file:
        return dict(file)


def weights(name: str, dtype: type = np.float64) -> dict[str, np.ndarray]:
    prefix = "weight/"
    return {
        key.removeprefix(prefix): array.astype(dtype)
        for key, array in oracle(name).items()
        if key.startswith(prefix)
    }


@cache
def chosen() -> np.ndarray:
    counts = oracle("jetclass2_inputs")["mask"].sum(axis=1)
    return np.argsort(counts)[np.linspace(0, 99, JETS).astype(int)]


def jets(dtype: type = np.float64) -> ParticleSets:
    """Genuine JetClass-II jets, with no more slots than the longest has particles."""
    stored = oracle("jetclass2_inputs")
    mask = stored["mask"][chosen()]
    slots = mask.sum(axis=1).max()

    def of(name: str) -> np.ndarray:
        return np.moveaxis(stored[name][chosen()], 1, 2)[:, :slots].astype(dtype)

    objects = Objects(of("features"), mask[:, :slots], of("points"), of("momenta"))
    return ParticleSets({"particles": objects}, np.zeros((JETS, 0), dtype), np.ones(JETS, bool))


def logits(model: Any, name: str, inputs: ParticleSets, dtype: type = np.float64) -> np.ndarray:
    """Ten logits with the stored parameters."""
    params = parameters(model, weights(name, dtype), 10)
    apply = jax.jit(lambda p, x: model.apply({"params": p}, x, train=False))
    embedding = np.asarray(apply(params["backbone"], inputs), np.float64)
    return embedding @ params["head"]["kernel"] + params["head"]["bias"]


def test_particle_net_with_the_weights_of_its_authors() -> None:
    expected = oracle("particlenet_jetclass")["logits"][chosen()]
    with jax.enable_x64(True):
        found = logits(ParticleNet(dtype="float64"), "particlenet_jetclass", jets())
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    found = logits(ParticleNet(), "particlenet_jetclass", jets(np.float32), np.float32)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_particle_transformer_is_that_of_weaver() -> None:
    with jax.enable_x64(True):
        model = ParticleTransformer(dtype="float64", **SMALL_PART)
        found = logits(model, "part_small", jets())
    expected = oracle("part_small")["logits"][chosen()]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_gn2_is_that_of_salt_with_its_losses() -> None:
    stored = oracle("gn2_small")
    mask, dtype = ~stored["padded"], "float64"
    tracks = Objects(stored["tracks"] * mask[..., None], mask)
    inputs = ParticleSets({"tracks": tracks}, stored["jets"], np.ones(len(mask), bool))
    model = GN2(dtype=dtype, **SMALL_GN2)
    params = parameters(model, weights("gn2_small"), 4)
    heads = track_heads(weights("gn2_small"))
    of = TrackHeads(dense=SMALL_GN2["dense"], dtype=dtype)

    @jax.jit
    def found(inputs: ParticleSets) -> Any:
        encoded = model.apply({"params": params["backbone"]}, inputs, train=False, method="encode")
        embedding = model.apply({"params": params["backbone"]}, encoded, method="of_jet")
        origin, vertex = of.apply({"params": heads}, encoded)
        truth, shared, there = map(jnp.asarray, (stored["origin"], stored["vertex"], mask))
        losses = origin_loss(origin, truth, there), vertex_loss(vertex, shared, truth, there)
        return embedding, origin, vertex, [loss.sum() for loss in losses]

    with jax.enable_x64(True):
        embedding, origin, vertex, (of_tracks, of_pairs) = found(inputs)
    jet = np.asarray(embedding) @ params["head"]["kernel"] + params["head"]["bias"]
    np.testing.assert_allclose(jet, stored["logits_jet"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(
        np.asarray(origin)[mask], stored["logits_origin"][mask], rtol=0, atol=1e-9
    )
    pairs = mask[:, :, None] & mask[:, None] & ~np.eye(mask.shape[1], dtype=bool)[None]
    np.testing.assert_allclose(
        np.asarray(vertex)[pairs], stored["logits_vertex"][:, 0], rtol=0, atol=1e-9
    )
    known = (mask & (stored["origin"] >= 0)).sum()
    expected = float(stored["loss_track_origin"])
    assert 0.5 * float(of_tracks) / known == pytest.approx(expected, rel=1e-9)
    same = stored["vertex"][:, :, None] == stored["vertex"][:, None]
    shared = (pairs & same & (stored["vertex"] >= 0)[:, :, None]).sum()
    # salt divides by a number in float32.
    expected = float(stored["loss_track_vertexing"])
    assert 1.5 * float(of_pairs) / shared == pytest.approx(expected, rel=1e-7)


def test_head_scaling_of_weaver_until_0_4_is_undone() -> None:
    arrays, heads = weights("part_small"), 4
    old = {name.replace("in_proj.", "in_proj_"): array for name, array in arrays.items()}
    model = ParticleTransformer(**SMALL_PART)
    for version, given in ((None, old), ("0.4", arrays)):
        block = parameters(model, given, 10, version)["backbone"]["class_block_1"]  # type: ignore[arg-type]
        x = np.random.default_rng(3).normal(size=(7, 32))
        out = x @ arrays["cls_blocks.1.attn.out_proj.weight"].T
        out = (out + arrays["cls_blocks.1.attn.out_proj.bias"]).reshape(7, heads, -1)
        # What 0.4 does: scaled, and then features before heads.
        expected = np.einsum("bhd,h->bdh", out, arrays["cls_blocks.1.c_attn"]).reshape(7, -1)
        layer = block["attention"]["out"]
        np.testing.assert_allclose(x @ layer["kernel"] + layer["bias"], expected, atol=1e-12)
        assert (block["head_scale"] == 1).all()
    kept = parameters(model, arrays, 10)["backbone"]["class_block_1"]
    np.testing.assert_array_equal(kept["head_scale"], arrays["cls_blocks.1.c_attn"])


def test_a_state_dict_of_another_network_is_refused_by_name() -> None:
    arrays = weights("particlenet_jetclass")
    with pytest.raises(InputError, match=r"edge_convs\.2"):
        parameters(ParticleNet(blocks=((64, 64, 64), (128, 128, 128))), arrays, 10)
    short = {name: array for name, array in arrays.items() if name != "bn_fts.running_var"}
    with pytest.raises(InputError, match=r"bn_fts\.running_var"):
        parameters(ParticleNet(), short, 10)
    with pytest.raises(InputError, match="ParticleNet"):
        parameters(DeepCSV(), arrays, 10)


def test_two_logits_become_the_one_of_a_binary_head() -> None:
    arrays = weights("particlenet_jetclass")
    two = {k: v[:2] if k.startswith("fc.1.") else v for k, v in arrays.items()}
    head = parameters(ParticleNet(), two, 1)["head"]
    whole = parameters(ParticleNet(), two, 2)["head"]
    x = np.random.default_rng(1).normal(size=(5, 256))
    logits = x @ whole["kernel"] + whole["bias"]
    one = (x @ head["kernel"] + head["bias"])[:, 0]
    softmax = np.exp(logits[:, 1]) / np.exp(logits).sum(axis=1)
    np.testing.assert_allclose(1 / (1 + np.exp(-one)), softmax, rtol=1e-9)


def test_arrays_are_read_from_safetensors_and_a_pickle_is_not_opened(tmp_path: Path) -> None:
    arrays = weights("particlenet_jetclass", np.float32)
    save_file(arrays, tmp_path / "net.safetensors")
    found = state_dict(tmp_path / "net.safetensors")
    jax.tree.map(np.testing.assert_array_equal, found, arrays)

    class Alarm:
        def __reduce__(self) -> Any:
            return (tmp_path / "opened").touch, ()

    (tmp_path / "net.ckpt").write_bytes(pickle.dumps(Alarm()))
    with zipfile.ZipFile(tmp_path / "net.pt", "w") as archive:  # as torch.save writes it
        archive.writestr("net/data.pkl", pickle.dumps(Alarm()))
    for name in ("net.ckpt", "net.pt"):
        with pytest.raises(InputError, match=r"weights_only=True"):
            state_dict(tmp_path / name)
    assert not (tmp_path / "opened").exists()


def sets(features: int, scalars: int = 0, names: tuple[str, ...] = ("one",)) -> ParticleSets:
    objects = Objects(
        np.zeros((1, 30, features), np.float32),
        np.ones((1, 30), bool),
        np.zeros((1, 30, 2), np.float32),
        np.zeros((1, 30, 4), np.float32),
    )
    widths = dict(zip(names, (16, 6, 12), strict=False)) if len(names) > 1 else {}
    collections = {
        name: objects._replace(x=np.zeros((1, 30, widths.get(name, features)), np.float32))
        for name in names
    }
    return ParticleSets(collections, np.zeros((1, scalars), np.float32), np.ones(1, bool))


LITE = ParticleNet(neighbours=7, blocks=((32,) * 3, (64,) * 3), dense=128)
DEEPJET = ("charged", "neutral", "vertices")


@pytest.mark.parametrize(
    ("model", "inputs", "classes", "expected"),
    [
        # H. Qu et al., arXiv:2202.03772, table 1: 370 k, and the released files.
        (ParticleNet(), sets(17), 10, 370_156),
        (ParticleNet(), sets(13), 10, 369_380),
        (ParticleNet(), sets(7), 2, 366_160),
        (LITE, sets(7), 2, 26_416),
        (LITE.clone(fusion=True), sets(7), 2, 47_152),
        # The same: 2.14 M.
        (ParticleTransformer(), sets(17), 10, 2_143_486),
        (ParticleTransformer(), sets(7), 2, 2_141_134),
        # The same: 86.1 k.
        (DeepSets(objects=(128,) * 3, row=(128,) * 3), sets(17), 10, 86_154),
        # S. Gong et al., arXiv:2201.08187, table 2: 224 k.
        (LorentzNet(), sets(2), 2, 224_072),
        # arXiv:1712.07158 and arXiv:2008.10519, from files of the trained networks. The second has
        # 268,278 numbers: 20 are of a regression of pT (a normalisation, and two outputs of seven
        # inputs), others the running statistics of 4 inputs and 21 layers.
        (DeepCSV(), Features(*np.zeros((2, 1, 66), np.float32)), 4, 47_504),
        (DeepJet(), sets(0, 15, DEEPJET), 6, 268_278 - 20 - 2 * (49 + 128 + 48 + 128 + 250 + 900)),
    ],
    ids=lambda value: getattr(type(value), "__name__", "") if hasattr(value, "consumes") else "",
)  # fmt: skip
def test_parameters_are_as_many_as_published(
    model: Any, inputs: Any, classes: int, expected: int
) -> None:
    network = Network(model, classes)
    shapes = jax.eval_shape(
        lambda key, x: network.init(key, x, train=False), jax.random.key(0), inputs
    )
    assert sum(leaf.size for leaf in learnt(shapes["params"])) == expected


def test_gn2_has_as_many_parameters_as_salts() -> None:
    inputs, model = sets(19, 2), GN2()

    def init(key: jax.Array) -> Any:
        jet = Network(model, 4).init(key, inputs, train=False)
        encoded = model.apply(
            {"params": jet["params"]["backbone"]}, inputs, train=False, method="encode"
        )
        return jet, TrackHeads().init(key, encoded)

    shapes = jax.eval_shape(init, jax.random.key(0))
    assert sum(leaf.size for leaf in learnt(shapes)) == 2_339_150
