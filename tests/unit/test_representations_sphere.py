"""PMT images against where the PMTs are."""

from __future__ import annotations

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from rootloom.errors import ConfigError, DataError
from rootloom.physics.scintillator.pmts import latitude_rings
from rootloom.representations.sphere import PmtSphere
from rootloom.representations.turning import (
    Turn,
    to_the_middle,
    turned_back,
    turned_by,
    turned_vectors,
)
from rootloom.types import Image, Ragged

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
    rows = np.arange(len(next(iter(encoded.values()))))
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


UNSCALED = {"x": SimpleNamespace(mean=np.zeros(2), std=np.ones(2))}


def test_what_is_wrapped_is_the_other_side() -> None:
    found = everywhere(np.arange(1.0, PMTS + 1))
    one = PmtSphere(**SMALL, unrolled="stretched", wrap=5)
    plain = image(one, found)
    np.testing.assert_array_equal(plain, image(PmtSphere(**SMALL, unrolled="stretched"), found))
    plain, wrapped = plain[0], one.normalise(Image(plain), UNSCALED).x[0]
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


def test_pooled_pixels_are_the_mean_of_those_that_were_hit() -> None:
    rng = np.random.default_rng(2)
    lit = np.sort(rng.choice(PMTS, PMTS // 2, replace=False))
    charge, time = rng.exponential(30, (2, len(lit)))
    found = columns([lit.tolist(), []], [charge.tolist(), []], [time.tolist(), []])
    for unrolled in ("cut", "stretched"):
        fields = {**SMALL, "unrolled": unrolled, "columns": 24}
        whole = image(PmtSphere(**fields), found)
        pooled = image(PmtSphere(**fields, pool=(2, 5)), found)
        assert pooled.shape == (2, RINGS // 2, 24 // 5, 2)
        for row, column in np.ndindex(pooled.shape[1:3]):
            block = whole[0, 2 * row : 2 * row + 2, 5 * column : 5 * column + 5].reshape(-1, 2)
            block = block[block[:, 0] > 0]
            expected = block.mean(axis=0) if len(block) else np.zeros(2)
            np.testing.assert_allclose(pooled[0, row, column], expected, rtol=3e-4)
        assert not pooled[1].any()


def test_statistics_of_pooled_images_are_those_of_lit_pixels() -> None:
    one = PmtSphere(**SMALL, pool=(2, 5))
    encoded = one.encode(columns([[7, 90], [3]], [[3.0, 1.0], [1.0]], [[5, 9], [-4]]))
    x = one.collate(encoded, np.arange(2), 2).x
    np.testing.assert_array_equal(one.sample(encoded)["x"], x[x[..., 0] > 0])


def spacing_of_rings() -> np.ndarray:
    """How far neighbours are apart, on the unit sphere.

    Two images are each up to half of it off, and distances change less than the arc.
    """
    latitude = (np.arange(RINGS) + 0.5) * np.pi / RINGS - 0.5 * np.pi
    return np.cos(latitude) * 2 * np.pi / np.bincount(WHERE.ring)


def test_an_image_turned_is_that_of_the_event_turned() -> None:
    """Light at one place, turned about the axis by whole columns: within a ring's own distance."""
    one = PmtSphere(**SMALL, unrolled="stretched", columns=24, pool=(1, 2), latest=1e3)
    for steps in (1, 5, -3):
        angle = 2 * np.pi * steps / 12
        source = np.array([0.6, -0.3, 0.5])
        turned = Rotation.from_euler("z", angle).apply(source)
        # Times grow with the distance to the source: no two longitudes are the same.
        before, after = (
            image(one, everywhere(50 * np.linalg.norm(WHERE.direction - place, axis=1)))
            for place in (source, turned)
        )
        moved, found = turned_by(before, np.array([steps]))
        assert found.angle == pytest.approx(angle)
        bound = 50 * spacing_of_rings()
        assert np.all(np.abs(moved - after)[0, ..., 1].max(axis=1) <= bound + 0.1)
        # Turned the other way, it is not.
        wrong, _ = turned_by(before, np.array([-steps]))
        assert np.any(np.abs(wrong - after)[0, ..., 1].max(axis=1) > 2 * bound)


def test_the_heading_is_where_light_is_earliest() -> None:
    one = PmtSphere(**SMALL, unrolled="stretched", latest=1e3)
    longitude = np.radians([0.0, 77.0, 171.0, -140.0])
    sources = np.stack([np.cos(longitude), np.sin(longitude), 0.4 + 0 * longitude], axis=1)
    x = np.concatenate(
        [image(one, everywhere(1 + 80 * np.linalg.norm(WHERE.direction - s, axis=1)))
         for s in sources]
    )  # fmt: skip
    steps = to_the_middle(x)
    np.testing.assert_array_equal(steps, to_the_middle(jnp.asarray(x)))
    angle = turned_by(x, steps)[1].angle
    middle = 2 * np.pi * (EQUATOR // 2) / EQUATOR
    off = np.angle(np.exp(1j * (longitude + angle - middle)))
    assert np.all(np.abs(off) < 1.5 * 2 * np.pi / EQUATOR)
    # Without light there is no heading, and nothing to turn.
    nothing, _ = turned_by(0 * x, to_the_middle(0 * x))
    assert not nothing.any()


@pytest.mark.parametrize(("columns", "pool"), [(24, 1), (24, 2), (27, 1), (27, 3)])
def test_an_image_mirrored_is_that_of_the_event_mirrored(columns: int, pool: int) -> None:
    """The middle column stays, for even and odd numbers of them, and for pooled ones."""
    one = PmtSphere(**SMALL, unrolled="stretched", columns=columns, pool=(1, pool), latest=1e3)
    source = np.array([0.6, -0.3, 0.5])

    def seen(place: np.ndarray) -> np.ndarray:
        return image(one, everywhere(50 * np.linalg.norm(WHERE.direction - place, axis=1)))

    centre = 0.5 * (1 - 1 / pool)
    moved, turn = turned_by(seen(source), np.array([4]), np.array([True]), centre)
    after = seen(turned_vectors(source[None], turn)[0])
    bound = 50 * spacing_of_rings()
    assert np.all(np.abs(moved - after)[0, ..., 1].max(axis=1) <= bound + 0.1)
    # Turned as far without a mirror, it is not.
    plain = turn._replace(mirrored=np.array([False]))
    wrong = seen(turned_vectors(source[None], plain)[0])
    assert np.any(np.abs(moved - wrong)[0, ..., 1].max(axis=1) > 2 * bound)
    middle = columns // pool // 2
    upright, _ = turned_by(seen(source), np.array([4]))
    np.testing.assert_array_equal(moved[:, :, middle], upright[:, :, middle])


def test_vectors_turn_as_rotations_and_mirrors_do_and_back() -> None:
    rng = np.random.default_rng(2)
    vectors, angle = rng.normal(size=(50, 3)), rng.uniform(-7, 7, 50)
    turn = Turn(angle, rng.random(50) < 0.5)
    flipped = np.where(turn.mirrored[:, None], vectors * [1, -1, 1], vectors)
    expected = Rotation.from_euler("z", angle[:, None]).apply(flipped)
    found = turned_vectors(vectors, turn)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(turned_back(found, turn), vectors, atol=1e-12)


def test_only_a_training_turns_at_random() -> None:
    one = PmtSphere(**SMALL, unrolled="stretched", turn="random")
    x = np.repeat(image(one, everywhere(np.arange(1.0, PMTS + 1))), 3, axis=0)
    draws = np.array([0, 5, EQUATOR + 5], np.uint32)
    turned, turn = one.turned(Image(x), draws)
    np.testing.assert_array_equal(turned.x[1], np.roll(x[1], 5, axis=1))
    np.testing.assert_array_equal(turned.x[0], x[0])
    np.testing.assert_allclose(turn.angle, 2 * np.pi * np.array([0, 5, 5]) / EQUATOR)
    assert not turn.mirrored.any()
    same, turn = one.turned(Image(x), None)
    np.testing.assert_array_equal(same.x, x)
    assert turn is None


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
        {"columns": EQUATOR - 1},
        {"turn": "random"},
        {"turn": "heading"},
        {"unrolled": "stretched", "mirror": True},
        {"unrolled": "stretched", "turn": "random", "mirror": True},
        {"pool": (RINGS + 1, 1)},
        {"unrolled": "stretched", "columns": 24, "pool": (1, 4), "wrap": 7},
        {"latest": 0.0},
    ):
        with pytest.raises(ConfigError, match="pmt_sphere"):
            PmtSphere(**{**SMALL, **fields})
    with pytest.raises(ConfigError, match=r"hits\.time"):
        PmtSphere().needs((), {"hits": ("pmt", "charge")})
    assert len(PmtSphere().needs((), {"hits": ("pmt", "charge", "time")})) == 3
