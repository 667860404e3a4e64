"""Simulated jets as a ROOT file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import awkward as ak
import numpy as np

from rootloom.fileio import atomic_path

TREE = "jets"

# Jets a basket: smaller ones read at half the speed.
_BASKET = 5_000


def write_jets(
    path: str | Path,
    columns: Mapping[str, np.ndarray],
    constituents: Mapping[str, np.ndarray],
    notes: Mapping[str, str] | None = None,
) -> None:
    """Write the TTree "jets", one entry a jet; nothing is left when it fails.

    columns: name → (J,); constituents: "offsets" (J + 1,) and name → (V,), written as `cons_name`.
    notes: name → text, stored beside the tree as TObjString.
    """
    import uproot

    offsets = constituents["offsets"]
    lists = {name: values for name, values in constituents.items() if name != "offsets"}
    types = {name: values.dtype for name, values in columns.items()}
    record = ak.zip(lists)
    jagged = ak.unflatten(record, np.diff(offsets))
    with (
        atomic_path(path) as temporary,
        uproot.recreate(temporary, compression=uproot.ZSTD(5)) as file,
    ):
        for name, text in (notes or {}).items():
            file[name] = text
        tree = file.mktree(TREE, {**types, "cons": jagged.type.content})
        for first in range(0, len(offsets) - 1, _BASKET):
            rows = slice(first, first + _BASKET)
            tree.extend({**{k: v[rows] for k, v in columns.items()}, "cons": jagged[rows]})
