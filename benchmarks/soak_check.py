"""Whether two runs ended with the same bits, leaving aside when and where they took place."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from rootloom.training import tensors, trained

PATTERNS = (
    "datasets/**/*.json", "datasets/**/*.h5", "*/models/**/*.safetensors",
    "*/predictions/**/*.h5", "*/evaluation/*/*.json",
)  # fmt: skip
_TIMES = ("provenance", "seconds", "waiting", "digest")  # keys that are, or end with, these words


def digests(results: Path) -> dict[str, str]:
    """A hash of the content of every result file, by its path below `results`."""
    paths = {path for pattern in PATTERNS for path in results.glob(pattern)}
    return {str(path.relative_to(results)): _digest(path) for path in sorted(paths)}


def _digest(path: Path) -> str:
    if path.suffix == ".h5":
        return _hdf5_digest(path)
    if path.suffix == ".json":
        return _hash(json.dumps(_timeless(json.loads(path.read_text())), sort_keys=True).encode())
    arrays = tensors.flatten(trained.load(path).params, "params")
    return _hash(b"".join(k.encode() + np.asarray(v).tobytes() for k, v in sorted(arrays.items())))


def _hdf5_digest(path: Path) -> str:
    """Of every array; attributes hold the provenance."""
    import h5py
    import hdf5plugin  # noqa: F401 (the filters that shards are compressed with)

    found: dict[str, str] = {}

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            values = np.asarray(item[()])
            text = values.tolist() if values.dtype == object else values.tobytes()
            found[name] = f"{item.dtype} {item.shape} {text!r}"

    with h5py.File(path, "r") as file:
        file.visititems(note)
    return _hash(repr(sorted(found.items())).encode())


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _timeless(v) for k, v in value.items() if not k.endswith(_TIMES)}
    return [_timeless(v) for v in value] if isinstance(value, list) else value


def _hash(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=12).hexdigest()
