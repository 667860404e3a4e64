"""Showers as rows of a tree: columns of the particle, and lists of calorimeter cells."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rootloom.physics.calorimeter.detector import Segmentation
from rootloom.rootio.writing import Rows
from rootloom.types import Ragged

TREE = "showers"


def cell_rows(
    columns: Mapping[str, np.ndarray], cells: np.ndarray, segmentation: Segmentation
) -> Rows:
    """Rows of a tree from the energies of all cells (N, cells), GeV, with lists of non-empty cells.

    Branches: those of `columns`, (N,) each; ncell; and for each cell cell_id, cell_layer, cell_x
    and cell_y in mm, cell_energy in GeV.
    """
    event, number = np.nonzero(cells)
    x, y = segmentation.centres
    lists = {
        "id": number.astype(np.int32),
        "layer": segmentation.layer[number],
        "x": x[number],
        "y": y[number],
        "energy": cells[event, number].astype(np.float32),
    }
    offsets = np.concatenate([[0], np.cumsum(np.bincount(event, minlength=len(cells)))])
    return Rows(columns, {"cell": {name: Ragged(v, offsets) for name, v in lists.items()}})
