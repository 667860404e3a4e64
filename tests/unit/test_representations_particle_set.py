"""Particle sets: layout, transformations and refusals, against formulas written out here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rootloom.errors import ConfigError, DataError
from rootloom.representations.base import of_devices
from rootloom.representations.particle_set import ParticleSet
from rootloom.shards.moments import Moments
from rootloom.types import Ragged

WHOLE = ParticleSet(
    objects=("parts.pt", "parts.deta", "parts.d0", "vertices.mass"),
    variables=("pt", "mass"),
    points=("parts.deta", "parts.dphi"),
    momenta=("parts",),
    max_objects=3,
    lengths=(("vertices", 2),),
    log=("parts.pt", "mass"),
    tanh=("parts.d0",),
    scaling=(("parts.deta", 0.1, 5.0), ("parts.d0", 0.0, 1.0)),
    bounds=(("parts.d0", -0.5, 0.25),),
    clip=1.5,
)


def columns(rows: int = 30, seed: int = 5) -> dict[str, np.ndarray | Ragged]:
    rng = np.random.default_rng(seed)
    found: dict[str, np.ndarray | Ragged] = {
        "pt": rng.exponential(50.0, rows),
        "mass": rng.normal(size=rows),
    }
    for collection, names in (
        ("parts", ("pt", "deta", "dphi", "d0", "px", "py", "pz", "e")),
        ("vertices", ("mass",)),
    ):
        offsets = np.concatenate([[0], np.cumsum(rng.integers(0, 6, rows))])
        for name in names:
            found[f"{collection}.{name}"] = Ragged(rng.normal(size=offsets[-1]), offsets)
    return found


def moments_of(shard: dict[str, Any]) -> dict[str, Moments]:
    return {name: Moments.of(values) for name, values in WHOLE.sample(shard).items()}


def leading(table: dict[str, Any], name: str, row: int, most: int) -> np.ndarray:
    column = table[name]
    return column.values[column.offsets[row] : column.offsets[row + 1]][:most]


def test_slots_hold_the_leading_objects_of_their_rows() -> None:
    table = columns()
    shard = WHOLE.encode(table)
    assert set(shard) == {f"set.{n}" if "." in n else f"row.{n}" for n in table}
    rows = np.array([4, 7, 0])
    grouped = {  # as a loader joins columns
        group: Ragged(np.stack([shard[m].values for m in of], axis=1), shard[of[0]].offsets)
        for group, of in WHOLE.together(tuple(shard)).items()
    }
    single = WHOLE.collate(shard, rows, 5)
    inputs = WHOLE.collate({**shard, **grouped}, rows, 5)
    jax.tree.map(np.testing.assert_array_equal, single, inputs)
    parts, vertices = inputs.collections["parts"], inputs.collections["vertices"]
    assert (parts.x.shape, parts.points.shape, parts.momenta.shape) == (
        (5, 3, 3),
        (5, 3, 2),
        (5, 3, 4),
    )
    assert vertices.x.shape == (5, 2, 1)
    assert vertices.points is None
    assert vertices.momenta is None
    groups = {
        "x": ("pt", "deta", "d0"),
        "points": ("deta", "dphi"),
        "momenta": ("px", "py", "pz", "e"),
    }
    for i, row in enumerate(rows):
        for field, names in groups.items():
            for k, name in enumerate(names):
                expected = leading(table, f"parts.{name}", row, 3)
                slots = getattr(parts, field)[i, :, k]
                np.testing.assert_allclose(slots[: len(expected)], expected, rtol=1e-6)
                assert not slots[len(expected) :].any()
                assert parts.mask[i].tolist() == [True] * len(expected) + [False] * (
                    3 - len(expected)
                )
    np.testing.assert_allclose(inputs.scalars[:3, 0], table["pt"][rows], rtol=1e-6)
    assert inputs.present.tolist() == [True] * 3 + [False] * 2
    assert not any(leaf[3:].any() for leaf in jax.tree.leaves(inputs))


@pytest.mark.usefixtures("strict")
def test_quantities_are_transformed_scaled_and_bounded_and_nothing_else() -> None:
    table = columns()
    shard = WHOLE.encode(table)
    raw = WHOLE.collate(shard, np.arange(30), 32)
    scale = jax.jit(lambda inputs: WHOLE.normalise(inputs, moments_of(shard)))
    found = scale(jax.tree.map(jnp.asarray, raw))

    def logarithm(x: np.ndarray) -> np.ndarray:
        return np.sign(x) * np.log1p(np.abs(x))

    parts, mask = found.collections["parts"], raw.collections["parts"].mask
    pt, deta, d0 = np.moveaxis(raw.collections["parts"].x.astype(np.float64), -1, 0)
    kept = logarithm(pt[mask])  # the mean is that of the objects in the slots
    expected = np.stack(
        [
            np.clip((logarithm(pt) - kept.mean()) / kept.std(), -1.5, 1.5),
            np.clip((deta - 0.1) * 5, -1.5, 1.5),
            np.clip(np.tanh(d0), -0.5, 0.25),
        ],
        axis=-1,
    )
    np.testing.assert_allclose(parts.x, np.where(mask[..., None], expected, 0), atol=1e-5)
    assert np.abs(parts.x).max() == pytest.approx(1.5)
    masses = logarithm(np.asarray(table["mass"]))
    of_rows = np.clip((masses - masses.mean()) / masses.std(), -1.5, 1.5)
    np.testing.assert_allclose(found.scalars[:30, 1], of_rows, atol=1e-5)
    assert not found.scalars[30:].any()
    for field in ("points", "momenta", "mask"):
        np.testing.assert_array_equal(
            getattr(parts, field), getattr(raw.collections["parts"], field)
        )


def test_devices_are_stacked_and_cut_like_any_inputs() -> None:
    shard = WHOLE.encode(columns())
    parts = [WHOLE.collate(shard, np.arange(2 * d, 2 * d + 2), 2) for d in range(3)]
    whole = WHOLE.merge(parts)
    assert whole.collections["parts"].momenta.shape == (3, 2, 3, 4)
    assert whole.collections["vertices"].momenta is None
    cut = of_devices(whole, range(1, 3))
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[0], b), cut, parts[1])


def test_a_column_that_is_added_is_encoded_as_by_the_whole() -> None:
    shard = WHOLE.encode(columns())
    for names in (("parts.d0", "vertices.mass", "pt"), ("mass",)):
        added = WHOLE.only(names).encode(columns())
        assert len(added) == len(names)
        jax.tree.map(np.testing.assert_array_equal, *(
            {n: _numbers(of[n]) for n in added} for of in (added, shard)
        ))  # fmt: skip


def _numbers(column: np.ndarray | Ragged) -> list[np.ndarray]:
    return [column.values, column.offsets] if isinstance(column, Ragged) else [column]


def test_needs_and_refusals() -> None:
    of = SimpleNamespace(rows=["pt", "mass"], parts=["pt", "deta", "dphi", "d0", "px", "py", "pz"])
    declared = {"parts": [*of.parts, "e"], "vertices": ["mass"]}
    assert len(WHOLE.needs(of.rows, declared)) == 4 + 1 + 4 + 2  # deta is a quantity and a point
    with pytest.raises(ConfigError, match=r"parts\.e'"):
        WHOLE.needs(of.rows, {**declared, "parts": of.parts})
    with pytest.raises(ConfigError, match="at least one name"):
        ParticleSet().needs(of.rows, declared)
    for fields, message in (
        ({"objects": ("pt",)}, r"object\.column"),
        ({"objects": ("a.x", "a.x")}, "each name once"),
        ({"objects": ("a.x",), "momenta": ("b",)}, "collections that `objects` names: a"),
        ({"objects": ("a.x",), "log": ("a.y",)}, "log"),
        ({"objects": ("a.x",), "log": ("a.x",), "tanh": ("a.x",)}, "one of the two"),
        ({"objects": ("a.x",), "bounds": (("a.x", 2.0, 1.0),)}, "smaller number first"),
        ({"objects": ("a.x",), "lengths": (("a", 0),)}, "positive"),
    ):
        with pytest.raises(ConfigError, match=message):
            ParticleSet(**fields)  # type: ignore[arg-type]
    bad = columns()
    bad["parts.d0"].values[7] = np.inf  # type: ignore[union-attr]
    with pytest.raises(DataError, match=r"parts\.d0"):
        WHOLE.encode(bad)


def test_empty_slots_hold_the_objects_again_or_a_value() -> None:
    table = columns()
    given = {"objects": ("parts.pt", "parts.deta"), "points": ("parts.dphi",)}
    scaling = (("parts.pt", 0.0, 2.0), ("parts.deta", 0.0, 1.0))
    again = ParticleSet(**given, scaling=scaling, max_objects=7, wrap=("parts",))
    value = ParticleSet(**given, scaling=scaling, max_objects=7, empty=(("parts.deta", -3.0),))
    for one in (again, value):
        shard = one.encode(table)
        raw = one.collate(shard, np.arange(30), 32)
        moments = {name: Moments.of(x) for name, x in one.sample(shard).items()}
        found = one.normalise(raw, moments).collections["parts"]
        assert not np.any(found.x[30:])
        for row in range(30):
            pt, deta, dphi = (leading(table, f"parts.{n}", row, 7) for n in ("pt", "deta", "dphi"))
            expected = np.stack([2 * pt, deta], axis=1)
            assert found.mask[row].sum() == len(pt)
            if one is again:
                expected = np.resize(expected, (7, 2)) if len(pt) else np.zeros((7, 2))
                points = np.resize(dphi, 7) if len(pt) else np.zeros(7)
            else:
                expected = np.vstack([expected, np.tile([0.0, -3.0], (7 - len(pt), 1))])
                points = np.concatenate([dphi, np.zeros(7 - len(pt))])
            np.testing.assert_allclose(found.x[row], expected, rtol=1e-6)
            np.testing.assert_allclose(found.points[row, :, 0], points, rtol=1e-6)
    with pytest.raises(ConfigError, match="empty"):
        ParticleSet(**given, wrap=("parts",), empty=(("parts.pt", 1.0),))
    with pytest.raises(ConfigError, match="wrap"):
        ParticleSet(**given, wrap=("vertices",))
