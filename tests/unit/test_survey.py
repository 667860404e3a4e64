"""The survey of a dataset against NumPy on all rows at once, and the axes of images."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rootloom.config import registry
from rootloom.physics.scintillator.pmts import latitude_rings
from rootloom.representations.calorimeter import CalorimeterCells
from rootloom.representations.features import FeatureVector
from rootloom.shards import survey as module
from rootloom.shards.ids import event_ids, event_split
from rootloom.shards.merging import merge_all
from rootloom.shards.survey import BINS, Spectrum, Survey, axes_of, axis, of_shard
from rootloom.shards.writer import ShardWriter
from rootloom.types import Ragged, RowBlock

CLASSES = ("qcd", "w", "top")
SPLITS = {"train": 0.5, "validation": 0.2, "test": 0.3}
FEATURES = FeatureVector(objects=("jets.pt",), max_objects=3)
CELLS = CalorimeterCells(layers=((2, 3), (1, 2)))
SIZES = (900, 1, 0, 400)


def block(number: int) -> RowBlock:
    """Rows with weights of both signs; nobody is in class "top"."""
    rows, rng = SIZES[number], np.random.default_rng(number)
    counts = rng.integers(0, 6, rows)
    jets = Ragged(rng.exponential(50, counts.sum()) + 1, np.concatenate([[0], counts.cumsum()]))
    cells = Ragged(rng.integers(0, 8, counts.sum()).astype(np.int32), jets.offsets)
    columns = {
        "mass": rng.normal(80, 10, rows),
        "number": rng.poisson(4, rows).astype(np.float64),
        "jets.pt": jets,
        "cells.id": cells,
        "cells.energy": Ragged(rng.exponential(1, counts.sum()), jets.offsets),
        "energy": rng.exponential(20, rows),
        "target.x": rng.normal(0, 1, rows),
    }
    label = rng.integers(0, 2, rows).astype(np.int32)
    weight = np.where(rng.random(rows) < 0.1, -1, 1) * rng.exponential(1, rows)
    weight = weight.astype(np.float32)
    return RowBlock(np.arange(rows), np.zeros(rows, np.int32), label, weight, columns)


def write(folder: Path, number: int, representation: Any) -> Path:
    rows, path = block(number), folder / f"{number}.h5"
    needed = {"features": ("mass", "number", "jets.pt"), "calorimeter": None}
    names = needed[representation.kind] or ("cells.id", "cells.energy", "energy")
    encoded = representation.encode({name: rows.columns[name] for name in names})
    with ShardWriter(
        path, file_key=str(number), splits=SPLITS, auxiliary=("target.x",),
        sample="ab"[number % 2],
    ) as writer:  # fmt: skip
        writer.append(rows, encoded)
    return path


def of_split(number: int, split: int) -> np.ndarray:
    return event_split(event_ids(str(number), block(number).entry), SPLITS) == split


def survey(paths: list[Path], representation: Any, classes: tuple[str, ...]) -> Survey:
    axes = axes_of(paths, representation)
    return merge_all(of_shard(path, representation, classes, axes) for path in paths)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("features")
    return [write(folder, number, FEATURES) for number in range(4)]


@pytest.fixture(scope="module")
def found(paths: list[Path]) -> Survey:
    return survey(paths, FEATURES, CLASSES)


@pytest.mark.parametrize("name", ["mass", "number", "jets.pt", "target x"])
def test_distributions_are_those_of_all_rows(found: Survey, name: str) -> None:
    scales = {"a": 2.0, "b": 0.5}
    one = found.spectra[name]
    edges = np.concatenate([[-np.inf], one.edges[1:-1], [np.inf]])
    expected = np.zeros((2, 2, 3, len(edges) - 1))
    for number in range(4):
        rows = block(number)
        column = rows.columns[name.replace("target ", "target.")]
        for place, split in enumerate((0, 2)):
            for k in range(3):
                keep = of_split(number, split) & (rows.label == k)
                weight = rows.weight.astype(np.float64) * scales["ab"[number % 2]]
                values = column
                if isinstance(column, Ragged):
                    # The leading three of each row are stored.
                    position = np.arange(len(column.values))
                    position -= np.repeat(column.offsets[:-1], column.counts())
                    row = np.repeat(np.arange(len(rows)), column.counts())
                    chosen = (position < 3) & keep[row]
                    values, weight = column.values[chosen], weight[row[chosen]]
                else:
                    values, weight = column[keep], weight[keep]
                values = values.astype(np.float32).astype(np.float64)
                for power in (1, 2):
                    histogram, _ = np.histogram(values, edges, weights=weight**power)
                    expected[power - 1, place, k] += histogram
    np.testing.assert_allclose(one.scaled(scales), expected, rtol=1e-9, atol=1e-9)
    assert not expected[0, :, 2].any()


def test_parts_merge_in_any_order_and_survive_json(paths: list[Path], found: Survey) -> None:
    again = Survey.of_content(json.loads(json.dumps(found.content(), allow_nan=False)))
    assert again.content() == found.content()
    turned = survey(paths[::-1], FEATURES, CLASSES)
    scales = {"a": 1.0, "b": 1.0}
    for name, one in found.spectra.items():
        np.testing.assert_allclose(turned.spectra[name].scaled(scales), one.scaled(scales))
    twice = reduce(Survey.merge, [found, again])
    np.testing.assert_allclose(
        twice.spectra["mass"].scaled(scales), 2 * found.spectra["mass"].scaled(scales)
    )


def test_axes_are_decided_by_a_bounded_number_of_shards(
    paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []

    class Counting(module.Shard):
        def __init__(self, path: Path) -> None:
            opened.append(path)
            super().__init__(path)

    monkeypatch.setattr(module, "Shard", Counting)
    whole = axes_of(paths, FEATURES)
    assert set(opened) == set(paths)
    monkeypatch.setattr(module, "_LOOKED_AT", module._LEAST)
    opened.clear()
    few = axes_of(paths, FEATURES)
    assert 0 < len(opened) < len(paths)
    assert few.keys() == whole.keys()
    assert [list(e) for e in axes_of(paths[::-1], FEATURES).values()] == [
        list(e) for e in few.values()
    ]


def test_an_edge_belongs_to_the_bin_above_it() -> None:
    edges, values = np.arange(4.0), np.array([-1.0, 0.0, 1.0, 1.5, 2.0, 3.0, 9.0, np.nan])
    empty = Spectrum(edges, {"": np.zeros((2, 2, 1, 3))})
    found = empty.filled("", 1, values, np.zeros(8, int), np.full(8, 2.0)).sums[""]
    # Beyond the axis counts in the outer bins, and what is unknown nowhere.
    expected, _ = np.histogram(np.clip(values[:-1], 0, 3), edges)
    np.testing.assert_array_equal(found[:, 1, 0], [2.0 * expected, 4.0 * expected])
    assert not found[:, 0].any()


def test_axes_fit_their_values() -> None:
    rng = np.random.default_rng(1)
    whole = axis(np.array([3.0, 4.0, 7.0]))
    np.testing.assert_array_equal(whole, [2.5, 3.5, 4.5, 5.5, 6.5, 7.5])
    steep = axis(rng.lognormal(3, 2, 10_000))
    np.testing.assert_allclose(np.diff(np.log(steep)), np.log(steep[-1] / steep[0]) / BINS)
    flat = axis(np.concatenate([rng.normal(0, 1, 10_000), [1e6, -1e6, np.nan, np.inf]]))
    np.testing.assert_allclose(np.diff(flat), flat[1] - flat[0])
    assert -4 < flat[0] < flat[-1] < 4
    for values in ([], [0.25] * 9, [np.nan], [-1e-3]):
        edges = axis(np.array(values))
        assert len(edges) > 1
        assert (np.diff(edges) > 0).all()


def test_means_and_examples_are_those_of_the_training_rows(tmp_path: Path) -> None:
    paths = [write(tmp_path, number, CELLS) for number in range(4)]
    found = survey(paths, CELLS, CLASSES)
    total, weights, scales = np.zeros((2, 8)), np.zeros(2), {"a": 1.0, "b": 3.0}
    drawn: list[dict[int, np.ndarray]] = [{}, {}]  # by class: pixels that are not empty, by id
    for number in range(4):
        rows, keep = block(number), of_split(number, 0)
        shard = CELLS.encode({k: rows.columns[k] for k in ("cells.id", "cells.energy", "energy")})
        images = CELLS.draw(shard, np.arange(len(rows)))
        pixels = np.concatenate(
            [image.reshape(len(rows), math.prod(image.shape[1:])) for image in images], axis=1
        )
        for k in range(2):
            chosen = keep & (rows.label == k)
            weight = scales["ab"[number % 2]] * rows.weight[chosen].astype(np.float64)
            total[k] += weight @ pixels[chosen].astype(np.float64)
            weights[k] += weight.sum()
            identity = event_ids(str(number), rows.entry)
            drawn[k] |= {int(identity[row]): pixels[row] for row in np.flatnonzero(chosen)
                         if pixels[row].any()}  # fmt: skip
    mean = found.mean(scales)
    np.testing.assert_allclose(mean[:2], total / weights[:, None], rtol=1e-6)
    assert not mean[2].any()
    assert list(found.examples) == ["qcd", "w"]
    for one, of_class in zip(found.examples.values(), drawn, strict=True):
        assert one.id == min(of_class)
        np.testing.assert_array_equal(one.pixels, of_class[one.id])
    turned = survey(paths[::-1], CELLS, CLASSES).examples
    assert {name: one.id for name, one in turned.items()} == {
        name: one.id for name, one in found.examples.items()
    }


def brightest(panel: Any, image: np.ndarray) -> tuple[float, float]:
    """The middle of the brightest pixel in the units of the axes."""
    assert image.shape == panel.shape
    row, column = np.unravel_index(np.argmax(image), image.shape)
    left, right, bottom, top = panel.extent
    return (
        left + (right - left) * (column + 0.5) / image.shape[1],
        bottom + (top - bottom) * (row + 0.5) / image.shape[0],
    )


def columns_of_cell(number: int) -> Mapping[str, Any]:
    offsets = np.array([0, 1])
    return {
        "cells.id": Ragged(np.array([number], np.int32), offsets),
        "cells.energy": Ragged(np.array([2.0]), offsets),
        "energy": np.array([5.0]),
    }


@pytest.mark.parametrize("kind", ["calorimeter", "calorimeter_image"])
def test_a_cell_is_drawn_where_it_is(kind: str) -> None:
    """Layer 1 has 4 by 2 cells of 25 by 50 mm, numbered along x, then y, after the 2 of layer 0."""
    one = registry.build(
        "representations", {"kind": kind, "layers": [[2, 1], [4, 2]], "half_width": 50.0}
    )
    shard = one.encode(columns_of_cell(2 + 3 * 2 + 0))  # the last in x, the first in y
    panels, images = one.panels(), one.draw(shard, np.array([0]))
    assert [panel.title for panel in panels] == ["layer 0", "layer 1"]
    assert (panels[1].x_label, panels[1].y_label) == ("x / mm", "y / mm")
    assert not images[0].any()
    assert brightest(panels[1], images[1][0]) == pytest.approx((37.5, -25.0))


def test_a_constituent_is_drawn_where_it_is() -> None:
    one = registry.build(
        "representations",
        {"kind": "jet_image", "select": None, "centre": "none", "rotate": False, "flip": False,
         "pixels": 20, "half_width": 1.0},
    )  # fmt: skip
    pt, y, phi = 10.0, 0.55, -0.25
    momentum = (
        pt * math.cos(phi),
        pt * math.sin(phi),
        pt * math.sinh(y),
        pt * math.cosh(y),
    )
    offsets = np.array([0, 1])
    named = zip(("px", "py", "pz", "e"), momentum, strict=True)
    shard = one.encode({f"constituents.{n}": Ragged(np.array([v]), offsets) for n, v in named})
    (panel,), (image,) = one.panels(), one.draw(shard, np.array([0]))
    assert (panel.x_label, panel.y_label) == ("rapidity y", "azimuth φ")
    assert brightest(panel, image[0]) == pytest.approx((y, phi), abs=0.051)


@pytest.mark.parametrize(
    "fields",
    [
        {"unrolled": "stretched"},
        {"unrolled": "stretched", "pool": [2, 4]},
        {"unrolled": "cut"},
        {"unrolled": "cut", "columns": 40, "pool": [2, 2]},
    ],
)
def test_a_hit_is_drawn_in_its_ring_and_at_its_longitude(fields: dict[str, Any]) -> None:
    one = registry.build(
        "representations", {"kind": "pmt_sphere", "rings": 16, "equator": 32, **fields}
    )
    ring = latitude_rings(16, 32).ring
    number = int(np.flatnonzero(ring == 7)[np.sum(ring == 7) // 4])  # a quarter around
    offsets = np.array([0, 1])
    hits = {"pmt": np.array([number]), "charge": np.array([5.0]), "time": np.array([20.0])}
    shard = one.encode({f"hits.{name}": Ragged(values, offsets) for name, values in hits.items()})
    panels, images = one.panels(), one.draw(shard, np.array([0]))
    assert [panel.title for panel in panels] == ["charge", "time"]
    for panel, image in zip(panels, images, strict=True):
        x, y = brightest(panel, image[0])
        assert abs(y - 7.5) <= one.pool[0] / 2
        if fields["unrolled"] == "stretched":
            assert panel.x_label == "longitude / °"
            assert x == pytest.approx(90, abs=360 / panel.shape[1])
    quantities = one.quantities(shard)
    assert all(len(column) == 1 for column in quantities.values())
