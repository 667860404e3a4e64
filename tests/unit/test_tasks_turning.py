"""A regression on events that the representation turns about the polar axis."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import optax
import pytest
from scipy.spatial.transform import Rotation
from tests.learnable import labelled

from rootloom.batches.assemble import assemble
from rootloom.models.cnn import CNN
from rootloom.physics.scintillator.pmts import latitude_rings
from rootloom.representations.sphere import PmtSphere
from rootloom.tasks.regression import Regression
from rootloom.training import parallel
from rootloom.training.state import initial_params, initial_state
from rootloom.training.step import train_step
from rootloom.types import Batch, Ragged

pytestmark = pytest.mark.usefixtures("strict")

# Rings of 8, 16 and 8 PMTs: a quarter turn maps PMTs on PMTs and pixels on pixels.
RINGS, EQUATOR, ROWS = 3, 16, 32
WHERE = latitude_rings(RINGS, EQUATOR)
PLACE = ("place_x", "place_y", "place_z")
TARGETS = (*PLACE, "size")
KEY = jax.random.key(3)


# How events are turned, and whether they are mirrored as well.
MIRRORED = "heading, mirrored"


def lights(turn: float = 0.0, side: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Points inside the unit sphere, (R, 3) each: y times `side`, then turned about z by radians.

    The earliest light comes from the first, most of it from the second.
    """
    first = np.random.default_rng(4).uniform(-0.6, 0.6, (ROWS, 3))
    both = first, first[:, [1, 0, 2]]
    about = Rotation.from_euler("z", turn)
    one, other = (about.apply(place * [1.0, side, 1.0]) for place in both)
    return one, other


def sources(turn: float = 0.0, side: float = 1.0) -> np.ndarray:
    """Where the earliest light comes from, what is to be learned; see `lights`."""
    return lights(turn, side)[0]


def representation(turn: str) -> PmtSphere:
    return PmtSphere(
        rings=RINGS,
        equator=EQUATOR,
        unrolled="stretched",
        turn=turn.partition(",")[0],
        mirror=turn == MIRRORED,
        wrap=2,
        latest=1e3,
    )


def columns(turn: float = 0.0, side: float = 1.0) -> dict[str, Any]:
    """Events whose first hits are the later, and charges the smaller, the farther from a light."""
    place, other = lights(turn, side)
    late, far = (
        np.linalg.norm(WHERE.direction[None] - light[:, None], axis=2) for light in (place, other)
    )
    pmts = np.tile(np.arange(len(WHERE.ring)), ROWS)
    offsets = np.arange(ROWS + 1) * len(WHERE.ring)
    hits = {
        "hits.pmt": Ragged(pmts, offsets),
        "hits.charge": Ragged((1 / far).ravel().astype(np.float32), offsets),
        "hits.time": Ragged(30 * late.ravel().astype(np.float32), offsets),
    }
    found = labelled(representation("none").encode(hits), np.zeros(ROWS), seed=0)
    values = {name: place[:, k] for k, name in enumerate(PLACE)}
    values["size"] = np.linalg.norm(place, axis=1)
    return {**found, **{f"aux.target.{name}": values[name] for name in TARGETS}}


def batch_of(turn: str, by: float = 0.0, devices: int = 1, side: float = 1.0) -> Batch:
    return assemble(
        columns(by, side),
        np.arange(ROWS),
        representation=representation(turn),
        weights=None,
        targets=TARGETS,
        devices=devices,
        size=ROWS // devices,
    )


def task(turn: str) -> Regression:
    place = sources()
    moments = {f"target.{n}": (place[:, k].mean(), place[:, k].std()) for k, n in enumerate(PLACE)}
    moments["target.size"] = (0.6, 0.2)
    statistics = {
        name: SimpleNamespace(mean=np.float32([mean]), std=np.float32([std]))
        for name, (mean, std) in moments.items()
    }
    statistics["x"] = SimpleNamespace(mean=np.float32([0.7, 30]), std=np.float32([0.1, 10]))
    model = CNN((4,), (3,), (2,), (8,), (0.0, 0.0), normalise_response=False)
    return Regression(model, representation(turn), statistics, TARGETS, directions=(PLACE,))


def local(batch: Batch) -> Batch:
    return jax.tree.map(lambda leaf: leaf[0], batch)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_events_turned_by_columns_have_predictions_turned_by_them(quarters: int) -> None:
    one, angle = task("heading"), quarters * np.pi / 2
    params = initial_params(one, batch_of("heading"), seed=1)
    before, after = (
        jax.jit(one.predict)(params, local(batch_of("heading", by)), KEY) for by in (0.0, angle)
    )
    first, second = (np.stack([f[name] for name in PLACE], axis=1) for f in (before, after))
    expected = Rotation.from_euler("z", angle).apply(first)
    np.testing.assert_allclose(second, expected, atol=1e-3)
    np.testing.assert_allclose(after["size"], before["size"], atol=1e-3)
    assert np.abs(second - first).max() > 0.1


def test_mirror_images_have_mirrored_predictions() -> None:
    one = task(MIRRORED)
    params = initial_params(one, batch_of(MIRRORED), seed=1)
    before, after = (
        jax.jit(one.predict)(params, local(batch_of(MIRRORED, 1.5 * np.pi, side=side)), KEY)
        for side in (1.0, -1.0)
    )
    first, second = (np.stack([f[name] for name in PLACE], axis=1) for f in (before, after))
    # Turned by 270 degrees after the mirror: what was mirrored in y then is in x.
    np.testing.assert_allclose(second, first * [-1, 1, 1], atol=1e-3)
    np.testing.assert_allclose(after["size"], before["size"], atol=1e-3)
    _, turn = one.turned(local(batch_of(MIRRORED)), KEY, train=False)
    assert 0.2 < np.mean(turn.mirrored) < 0.8


def test_without_a_turn_predictions_are_not_turned() -> None:
    params = initial_params(task("none"), batch_of("none"), seed=1)
    turned, plain = (
        jax.jit(task(turn).predict)(params, local(batch_of(turn)), KEY)
        for turn in ("random", "none")
    )
    for name in TARGETS:
        np.testing.assert_array_equal(turned[name], plain[name])


def test_truth_turns_with_the_image() -> None:
    """A training on turned events has the loss of the events that were turned beforehand."""
    one, batch = task("random"), local(batch_of("random"))
    params = initial_params(one, batch_of("random"), seed=1)
    loss, metrics = jax.jit(partial(one.loss, train=True))(params, batch, KEY)
    inputs, turn = jax.jit(partial(one.turned, train=True))(batch, KEY)
    angle = turn.angle
    assert len(np.unique(np.round(angle, 4))) > EQUATOR / 2
    turned = np.concatenate([
        Rotation.from_euler("z", a).apply(place[None, :3])
        for a, place in zip(np.asarray(angle, float), np.asarray(batch.target, float), strict=True)
    ])  # fmt: skip
    target = np.column_stack([turned, batch.target[:, 3]]).astype(np.float32)
    beforehand = batch._replace(inputs=jax.tree.map(np.asarray, inputs), target=target)
    expected, same = task("none").loss(params, beforehand, KEY, train=True)
    np.testing.assert_allclose(loss, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(metrics["angle_place"], same["angle_place"], rtol=1e-3)
    # Another step turns otherwise.
    other = jax.jit(partial(one.turned, train=True))(batch, jax.random.key(4))[1].angle
    assert np.mean(np.asarray(other) != np.asarray(angle)) > 0.5


def test_turns_do_not_depend_on_the_devices() -> None:
    ends = []
    for devices in (1, 8):
        one, rule = task("random"), optax.sgd(0.05)
        params = initial_params(one, batch_of("random"), seed=1)
        step = parallel.on_every_device(partial(train_step, one, rule, ROWS))
        state = parallel.replicate(initial_state(params, rule, seed=0), devices)
        for _ in range(2):
            state, _ = step(state, batch_of("random", devices=devices))
        ends.append(jax.tree.leaves(parallel.first(state.params)))
    for a, b in zip(*ends, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("turn", ["none", "random", "heading", MIRRORED])
def test_events_on_the_host_are_turned_by_a_traced_key(turn: str) -> None:
    one, batch = task(turn), local(batch_of(turn))
    params = initial_params(one, batch_of(turn), seed=1)
    assert isinstance(batch.inputs.x, np.ndarray)
    traced = jax.jit(lambda key: one.loss(params, batch, key, train=True)[0])(KEY)
    whole, _ = jax.jit(partial(one.loss, train=True))(params, batch, KEY)
    np.testing.assert_allclose(traced, whole, rtol=1e-5)
