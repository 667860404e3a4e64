"""PMT images against where the PMTs are."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from rootloom.errors import ConfigError, DataError
from rootloom.physics.pmts import latitude_rings
from rootloom.representations.sphere import PmtSphere
from rootloom.types import Ragged

RINGS, EQUATOR = 11, 23
WHERE = latitude_rings(RINGS, EQUATOR)
PMTS = len(WHERE.ring)
SMALL = {"rings": RINGS, "equator": EQUATOR}


def columns(pmt: list[list[int]], charge: list[list[float]], time: list[list[float]]) -> dict:
    offsets = np.cumsum([0, *map(len, pmt)])

    def flat(rows: list, dtype: type) -> Ragged:
        return Ragged(np.concatenate([np.asarray(row, dtype) for row in rows]), offsets)

    return {
        "hits.pmt": flat(pmt, np.int32),
        "hits.charge": flat(charge, np.float32),
        "hits.time": flat(time, np.float32),
    }


def everywhere(values: np.ndarray) -> dict:
    """One event in which each PMT's time is its entry of `values` (P,)."""
    return columns([list(range(PMTS))], [[1.0] * PMTS], [values.tolist()])


def image(representation: PmtSphere, found: dict) -> np.ndarray:
    encoded = representation.encode(found)
    rows = np.arange(len(encoded["sphere.pmt"]))
    return representation.collate(encoded, rows, len(rows)).x


def test_a_cut_sphere_shows_each_pmt_once_in_its_ring() -> None:
    x = image(PmtSphere(**SMALL), everywhere(np.arange(1.0, PMTS + 1)))[0]
    assert x.shape == (RINGS, EQUATOR, 2)
    np.testing.assert_allclose(x[..., 0][x[..., 0] > 0], np.log(2.0), rtol=1e-6)
    for ring in range(RINGS):
        shown = x[ring, :, 1][x[ring, :, 0] > 0]
        np.testing.assert_array_equal(shown, 1 + np.flatnonzero(WHERE.ring == ring))
        filled = np.flatnonzero(x[ring, :, 0])
        assert np.all(np.diff(filled) == 1)  # a run without gaps, in the row's middle
        assert abs(filled[0] - (EQUATOR - 1 - filled[-1])) <= 1
    assert not x[x[..., 0] == 0].any()


def test_columns_of_a_stretched_sphere_are_longitudes() -> None:
    longitude = np.arctan2(WHERE.direction[:, 1], WHERE.direction[:, 0])
    x = image(PmtSphere(**SMALL, unrolled="stretched"), everywhere(10 + longitude))[0]
    column = 2 * np.pi * np.arange(EQUATOR) / EQUATOR
    for ring in range(RINGS):
        shown = x[ring, :, 1] - 10
        spacing = 2 * np.pi / np.sum(WHERE.ring == ring)
        apart = np.abs(np.angle(np.exp(1j * (shown - column))))
        assert np.all(apart <= 0.5 * spacing + 0.01)  # 0.01: of the bits stored
    assert np.all(x[..., 0] > 0)


def test_what_is_wrapped_is_the_other_side() -> None:
    found = everywhere(np.arange(1.0, PMTS + 1))
    plain = image(PmtSphere(**SMALL, unrolled="stretched"), found)[0]
    wrapped = image(PmtSphere(**SMALL, unrolled="stretched", wrap=5), found)[0]
    np.testing.assert_array_equal(wrapped[:, 5:-5], plain)
    np.testing.assert_array_equal(wrapped[:, :5], plain[:, -5:])
    np.testing.assert_array_equal(wrapped[:, -5:], plain[:, :5])


def test_hits_of_one_pmt_and_late_ones() -> None:
    found = columns([[7, 3, 7], [], [3]], [[2.0, 1.0, 4.0], [], [1.0]], [[5, 9, -4], [], [900]])
    x = image(PmtSphere(**SMALL), found)
    charges = np.sort(x[0, ..., 0][x[0, ..., 0] > 0])
    np.testing.assert_allclose(charges, np.log([2.0, 7.0]), rtol=1e-6)
    assert sorted(x[0, ..., 1][x[0, ..., 0] > 0].tolist()) == [-4.0, 9.0]
    assert not x[1].any()
    assert x[2].max() == 300.0


def test_rows_are_drawn_in_the_order_asked_for_and_padded_with_nothing() -> None:
    representation = PmtSphere(**SMALL)
    encoded = representation.encode(columns([[1], [2]], [[1.0], [3.0]], [[1.0], [2.0]]))
    x = representation.collate(encoded, np.array([1, 0]), 3).x
    assert x[0].max() == 2.0
    assert x[1].max() == 1.0
    assert not x[2].any()


def test_normalised_hits_have_mean_0_and_deviation_1() -> None:
    rng = np.random.default_rng(1)
    rows = [rng.choice(PMTS, 60, replace=False).tolist() for _ in range(30)]
    charge = [rng.exponential(50, 60).tolist() for _ in rows]
    time = [rng.normal(80, 20, 60).tolist() for _ in rows]
    representation = PmtSphere(**SMALL)
    encoded = representation.encode(columns(rows, charge, time))
    hits = representation.sample(encoded)["x"]
    assert hits.shape == (1800, 2)
    statistics = {"x": SimpleNamespace(mean=hits.mean(axis=0), std=hits.std(axis=0))}
    drawn = representation.collate(encoded, np.arange(30), 32)
    x = representation.normalise(drawn, statistics).x
    shown = x[drawn.x[..., 0] > 0]
    np.testing.assert_allclose(shown.mean(axis=0), 0.0, atol=1e-5)
    np.testing.assert_allclose(shown.std(axis=0), 1.0, rtol=1e-5)
    assert not x[drawn.x[..., 0] == 0].any()
    assert x.dtype == np.float32


def test_stored_hits_do_not_depend_on_the_image() -> None:
    found = everywhere(np.linspace(-50, 250, PMTS))
    one = PmtSphere(**SMALL).encode(found)
    other = PmtSphere(**SMALL, unrolled="stretched", wrap=3, latest=10.0).encode(found)
    for name in one:
        np.testing.assert_array_equal(one[name].values, other[name].values)
    assert one["sphere.pmt"].values.dtype == np.uint16
    np.testing.assert_allclose(one["sphere.time"].values, found["hits.time"].values, rtol=3e-4)


@pytest.mark.parametrize(
    ("pmt", "charge", "words"),
    [([PMTS], [1.0], "a PMT"), ([-1], [1.0], "a PMT"), ([0], [-1.0], "a charge")],
)
def test_impossible_hits_are_refused(pmt: list, charge: list, words: str) -> None:
    with pytest.raises(DataError, match=f"row 1(.|\n)*{words}"):
        PmtSphere(**SMALL).encode(columns([[], pmt], [[], charge], [[], [1.0]]))


def test_wrong_fields_and_datasets_are_refused() -> None:
    for fields in (
        {"wrap": 3},
        {"unrolled": "stretched", "wrap": 24},
        {"rings": 0},
        {"latest": 0.0},
    ):
        with pytest.raises(ConfigError, match="pmt_sphere"):
            PmtSphere(**{**SMALL, **fields})
    with pytest.raises(ConfigError, match=r"hits\.time"):
        PmtSphere().needs((), {"hits": ("pmt", "charge")})
    assert len(PmtSphere().needs((), {"hits": ("pmt", "charge", "time")})) == 3
