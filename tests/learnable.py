"""Datasets a network can learn in seconds; more of them are in `rootloom.testing.samples`."""

from __future__ import annotations

from typing import Any

import numpy as np

from rootloom.models.dnn import DNN
from rootloom.representations.calorimeter import CalorimeterCells
from rootloom.tasks.classification import Classification
from rootloom.testing import Memory as Memory
from rootloom.testing import Stored as Stored
from rootloom.testing import labelled
from rootloom.testing.samples import PlainFeatures as PlainFeatures
from rootloom.testing.samples import PlainImage as PlainImage
from rootloom.testing.samples import images as images
from rootloom.testing.samples import points as points
from rootloom.types import Column, Ragged

# Cells along x and y of the two layers of `showers`.
LAYERS = ((2, 8), (4, 4))


def showers(rows: int, seed: int = 0) -> dict[str, Column]:
    """Energy in the first two layers, with a share that fluctuates, in cells around a middle."""
    rng = np.random.default_rng(seed)
    energy = rng.uniform(5, 50, rows)
    share = rng.beta(8, 24, rows)
    cells = np.zeros((rows, 32))
    cells[:, 2:7] = (energy * share / 5)[:, None] * rng.uniform(0.5, 1.5, (rows, 5))
    cells[:, 20:26] = (energy * (1 - share) / 6)[:, None] * rng.uniform(0.5, 1.5, (rows, 6))
    event, number = np.nonzero(cells)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(event, minlength=rows))])
    columns = CalorimeterCells(layers=LAYERS, keep_bits=23).encode(
        {
            "cells.id": Ragged(number, offsets),
            "cells.energy": Ragged(cells[event, number].astype(np.float32), offsets),
            "energy": energy.astype(np.float32),
        }
    )
    return labelled(columns, np.zeros(rows), seed)


def point_task(**fields: Any) -> Classification:
    return Classification(DNN(**fields), PlainFeatures(), {}, ("background", "signal"))
