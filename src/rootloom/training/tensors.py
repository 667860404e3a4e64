"""Named arrays and a JSON record in one safetensors file, checksummed and written atomically."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from rootloom.errors import FAULTS, TrainingError, reason
from rootloom.system import faults
from rootloom.system.atomic import REMAKE, write_bytes
from rootloom.tasks.base import Params

_HEADER = "rootloom"

T = TypeVar("T")  # a tree of arrays


def write(path: Path, arrays: Mapping[str, np.ndarray], record: Mapping[str, object]) -> None:
    """One file with the arrays and, in its header, the record and a checksum of both."""
    # The format stores bytes in memory order: arrays must be C-contiguous.
    whole = {
        name: np.ascontiguousarray(array).reshape(array.shape) for name, array in arrays.items()
    }
    text = json.dumps(record, sort_keys=True)
    # One entry, because the order of several is not fixed and equal runs must write equal files.
    header = json.dumps({"record": text, "sha256": _checksum(whole, text)})
    write_bytes(path, save(whole, metadata={_HEADER: header}))


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the record. Raises TrainingError when the file is damaged."""
    try:
        faults.require_no_pipe(path)
        with safe_open(path, framework="np") as file:
            header = json.loads((file.metadata() or {})[_HEADER])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        text = header["record"]
        if header["sha256"] != _checksum(arrays, text):
            raise ValueError("a checksum that does not match the content")
        _check_names(arrays)
        record = json.loads(text)
        if not isinstance(record, dict):
            raise ValueError("a record that is no JSON object")
        return arrays, record
    except (SafetensorError, *FAULTS) as error:
        faults.pass_on(error, str(path))
        raise TrainingError(
            str(path),
            expected="a whole safetensors file of this program",
            found=reason(error),
            fix=REMAKE,
        ) from error


def _check_names(arrays: Mapping[str, np.ndarray]) -> None:
    """Raise ValueError for a name that is not a path, or lies below another array."""
    for name in arrays:
        parts = name.split("/")
        if any(part in ("", ".", "..") or not part.isprintable() for part in parts):
            raise ValueError(f"an array named {name!r}")
        for depth in range(1, len(parts)):
            if "/".join(parts[:depth]) in arrays:
                raise ValueError(f"an array {name!r} below another array")


def flatten(tree: object, prefix: str) -> dict[str, np.ndarray]:
    """Leaves by their path, "prefix/layer/kernel"."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {_name(prefix, path): np.asarray(leaf) for path, leaf in leaves}


def restore(template: T, arrays: Mapping[str, np.ndarray], prefix: str, where: str) -> T:
    """The tree of `template` with leaves from `arrays`.

    Raises TrainingError naming the first leaf that is missing, unknown, or of another shape.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(template)
    names = [_name(prefix, path) for path, _ in leaves]
    left = {name for name in arrays if name.startswith(f"{prefix}/")} - set(names)
    for name, (_, leaf) in zip(names, leaves, strict=True):
        expected = f"{np.dtype(leaf.dtype).name} {tuple(leaf.shape)}"
        found = "nothing"
        if name in arrays:
            found = f"{arrays[name].dtype.name} {arrays[name].shape}"
        if found != expected:
            raise TrainingError(f"{where}: {name}", expected=expected, found=found)
    if left:
        name = min(left)
        raise TrainingError(
            f"{where}: {name}", expected="no such array", found=str(arrays[name].shape)
        )
    return jax.tree.unflatten(structure, [arrays[name] for name in names])


def unflatten(arrays: Mapping[str, np.ndarray], prefix: str) -> Params:
    """Nested mappings from leaves by path."""
    tree: dict[str, Any] = {}
    for name, array in arrays.items():
        head, *parents, leaf = name.split("/")
        if head != prefix:
            continue
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = array
    return tree


def _name(prefix: str, path: tuple[object, ...]) -> str:
    return f"{prefix}/{jax.tree_util.keystr(path, simple=True, separator='/')}"


def _checksum(arrays: Mapping[str, np.ndarray], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
