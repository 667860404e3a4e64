"""Arrays of mostly zeros as lists of a tree: what is not 0, and where it is."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rootloom.rootio.writing import Rows
from rootloom.types import Ragged, offsets_of


def occupied_rows(
    columns: Mapping[str, np.ndarray],
    values: np.ndarray,
    places: Mapping[str, np.ndarray],
    *,
    collection: str,
    quantity: str,
) -> Rows:
    """Rows of a tree from values (N, C) of all places, with lists of the values that are not 0.

    columns: further branches, (N,) each. places: properties of each of the C places, (C,) each.
    Branches of the collection: id, the number of the place; those of `places`; `quantity`, float32.
    """
    row, number = np.nonzero(values)
    lists = {
        "id": number.astype(np.int32),
        **{name: known[number] for name, known in places.items()},
        quantity: values[row, number].astype(np.float32),
    }
    offsets = offsets_of(np.bincount(row, minlength=len(values)))
    return Rows(columns, {collection: {name: Ragged(v, offsets) for name, v in lists.items()}})
