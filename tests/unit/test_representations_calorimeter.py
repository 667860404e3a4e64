"""Cells of a calorimeter against loops over them, and against NumPy's own repeat-free sums."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from rootloom.errors import ConfigError, DataError
from rootloom.representations.calorimeter import CalorimeterCells, CalorimeterImage
from rootloom.types import Ragged

CELLS = 504
VARIABLES, OBJECTS = ["energy"], {"cells": ["id", "energy"]}


def showers(rows: int = 20, seed: int = 0) -> dict:
    """Rows of 0 to 30 cells in any order, some twice, some of no cell."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 30, rows)
    counts[3] = 0
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return {
        "cells.id": Ragged(rng.integers(-1, CELLS + 3, offsets[-1]).astype(np.int32), offsets),
        "cells.energy": Ragged(rng.exponential(1.0, offsets[-1]).astype(np.float32), offsets),
        "energy": rng.uniform(1, 100, rows).astype(np.float32),
    }


def by_hand(columns: dict) -> np.ndarray:
    """(R, 504): every deposit added to its cell."""
    number, value = columns["cells.id"], columns["cells.energy"]
    cells = np.zeros((len(number), CELLS))
    for row in range(len(number)):
        for k in range(number.offsets[row], number.offsets[row + 1]):
            if 0 <= number.values[k] < CELLS:
                cells[row, number.values[k]] += value.values[k]
    return cells


def test_cells_are_the_sums_of_their_deposits() -> None:
    columns, representation = showers(), CalorimeterCells(keep_bits=23)
    assert representation.needs(VARIABLES, OBJECTS) == ("cells.id", "cells.energy", "energy")
    shard = representation.encode(columns)
    assert shard["shower.cell"].values.dtype == np.uint16
    rows = np.array([4, 0, 19, 3])
    inputs = representation.collate(shard, rows, 6)
    np.testing.assert_allclose(inputs.cells[:4], by_hand(columns)[rows], rtol=1e-6)
    np.testing.assert_array_equal(inputs.energy[:4], columns["energy"][rows])
    assert not inputs.cells[3:].any()
    assert not inputs.energy[4:].any()
    sample = representation.sample(shard)
    np.testing.assert_allclose(sample["x"], by_hand(columns), rtol=1e-6)
    assert sample["energy"].shape == (20, 1)


def test_only_cells_with_energy_are_stored_and_rounded_as_promised() -> None:
    columns = showers()
    shard = CalorimeterCells().encode(columns)
    expected = by_hand(columns)
    np.testing.assert_array_equal(shard["shower.value"].counts(), (expected > 0).sum(axis=1))
    for row in range(20):
        part = slice(*shard["shower.cell"].offsets[row : row + 2])
        assert np.all(np.diff(shard["shower.cell"].values[part].astype(int)) > 0)
    np.testing.assert_allclose(shard["shower.value"].values, expected[expected > 0], rtol=1.3e-4)


@pytest.mark.parametrize("scale", ["none", "log"])
def test_an_image_shows_each_cell_where_it_lies(scale: str) -> None:
    columns = showers()
    representation = CalorimeterImage(scale=scale, keep_bits=23)
    shard = representation.encode(columns)
    x = representation.collate(shard, np.arange(20), 20).x
    assert x.shape == (20, 12, 96, 3)
    cells = by_hand(columns)
    for channel, (first, nx, ny) in enumerate([(0, 3, 96), (288, 12, 12), (432, 12, 6)]):
        for i in range(nx):
            for j in range(ny):
                high, wide = 12 // nx, 96 // ny
                pixels = x[:, i * high : (i + 1) * high, j * wide : (j + 1) * wide, channel]
                energy = cells[:, first + i * ny + j]
                expected = np.log1p(1e3 * energy) if scale == "log" else energy / (high * wide)
                np.testing.assert_allclose(
                    pixels, np.broadcast_to(expected[:, None, None], pixels.shape), rtol=2e-6
                )


def test_images_keep_energy_and_are_scaled_by_channel() -> None:
    columns, representation = showers(200), CalorimeterImage(scale="channel")
    shard = representation.encode(columns)
    x = representation.collate(shard, np.arange(200), 200)
    edges = [0, 288, 432, CELLS]
    for channel in range(3):
        energy = by_hand(columns)[:, edges[channel] : edges[channel + 1]].sum(axis=1)
        np.testing.assert_allclose(x.x[..., channel].sum(axis=(1, 2)), energy, rtol=2e-4)
    sample = representation.sample(shard)["x"]
    moments = {"x": SimpleNamespace(mean=sample.mean(axis=0), std=sample.std(axis=0))}
    scaled = representation.normalise(x, moments).x
    spread = scaled.astype(np.float64).std(axis=(0, 1, 2))
    np.testing.assert_allclose(spread, 1.0, rtol=1e-5)
    assert np.all((scaled == 0) == (x.x == 0))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="id"):
        CalorimeterCells().needs(VARIABLES, {"cells": ["number", "energy"]})
    with pytest.raises(ConfigError, match="'energy'"):
        CalorimeterCells().needs(["pt"], OBJECTS)
    with pytest.raises(ConfigError, match="layers"):
        CalorimeterCells(layers=((3, 0),))
    with pytest.raises(ConfigError, match="variables"):
        CalorimeterCells(variables=("energy", "eta"))
    with pytest.raises(ConfigError, match="log"):
        CalorimeterImage(scale="lod")  # type: ignore[arg-type]
    columns = showers()
    columns["cells.energy"].values[7] = np.nan
    with pytest.raises(DataError, match=r"cells\.energy"):
        CalorimeterCells().encode(columns)
