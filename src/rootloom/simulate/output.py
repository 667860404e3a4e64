"""Simulated events as a ROOT file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from rootloom.fileio import atomic_path
from rootloom.types import Ragged

TREE = "jets"

# Jets a basket: smaller ones read at half the speed.
_BASKET = 5_000

Columns = Mapping[str, np.ndarray]
# Collection → quantity → its values of all rows.
Lists = Mapping[str, Mapping[str, Ragged]]


@contextmanager
def event_file(
    path: str | Path, tree: str, notes: Mapping[str, str] | None = None, *, level: int = 5
) -> Iterator[Callable[[Columns, Lists], None]]:
    """A function that appends rows, a basket a call, to the TTree `tree` of a new ROOT file.

    It takes columns, name → (R,), and collections, written as `collection_quantity`; types are
    those of the first call. notes: name → text, stored beside the tree as TObjString. level: of
    zstd. The file takes its name when all is written; nothing is left when it fails.
    """
    import uproot

    with (
        atomic_path(path) as temporary,
        uproot.recreate(temporary, compression=uproot.ZSTD(level)) as file,
    ):
        for name, text in (notes or {}).items():
            file[name] = text
        into: Any = None

        def append(columns: Columns, lists: Lists) -> None:
            nonlocal into
            records = {name: _records(members) for name, members in lists.items()}
            if into is None:
                types = {name: values.dtype for name, values in columns.items()}
                into = file.mktree(tree, types | {k: r.type.content for k, r in records.items()})
            into.extend({**columns, **records})

        yield append


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
    offsets = constituents["offsets"]
    lists = {name: values for name, values in constituents.items() if name != "offsets"}
    with event_file(path, TREE, notes) as append:
        for first in range(0, len(offsets) - 1, _BASKET):
            edges = offsets[first : first + _BASKET + 1]
            inside, counted = slice(edges[0], edges[-1]), edges - edges[0]
            jets = {name: values[first : first + _BASKET] for name, values in columns.items()}
            append(jets, {"cons": {k: Ragged(v[inside], counted) for k, v in lists.items()}})


def _records(members: Mapping[str, Ragged]) -> Any:
    counts = next(iter(members.values())).counts()
    return ak.unflatten(ak.zip({name: m.values for name, m in members.items()}), counts)
