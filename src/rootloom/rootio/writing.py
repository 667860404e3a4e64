"""Flat TTrees, written block by block: one number a branch and entry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from rootloom.fileio import atomic_path


def write_tree(
    path: str | Path,
    tree: str,
    types: Mapping[str, np.dtype],
    blocks: Iterable[Mapping[str, np.ndarray]],
    notes: Mapping[str, str] | None = None,
) -> int:
    """Write one TTree, atomically; returns its entries.

    types: of the branches, by name; blocks: name → (n,), any number of entries at a time, each of
    which becomes a basket a branch. notes: name → text, stored beside the tree as TObjString.
    Raises InputError when the disk is full.
    """
    import uproot

    entries = 0
    with (
        atomic_path(path) as temporary,
        uproot.recreate(temporary, compression=uproot.ZSTD(5)) as file,
    ):
        for name, text in (notes or {}).items():
            file[name] = text
        writer = file.mktree(tree, dict(types))
        for block in blocks:
            writer.extend(dict(block))
            entries += len(next(iter(block.values())))
    return entries
