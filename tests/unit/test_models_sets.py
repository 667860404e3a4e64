"""What models of particle sets promise beyond the table of models, and their parts."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tests.small_models import SMALL

from rootloom.config import registry
from rootloom.errors import ConfigError
from rootloom.models.energy_flow import EnergyFlow
from rootloom.models.lorentz_net import LorentzNet
from rootloom.models.normalisation import BatchNorm
from rootloom.models.particle_net import ParticleNet, taken
from rootloom.models.recurrence import Recurrence
from rootloom.testing import case_of
from rootloom.testing.samples import made
from rootloom.training.optimizer import build
from rootloom.training.options import TrainingOptions
from rootloom.types import Objects, ParticleSets

pytestmark = pytest.mark.usefixtures("strict")
ORDERED = ("deepjet", "recurrent")
MODELS = [
    name
    for name in registry.names("models")
    if "particle_set" in registry.resolve("models", name).consumes
]


def inputs_of(rows: int, slots: int, seed: int | None) -> ParticleSets:
    """The sample's rows, of which the first has no object and the second one, in more slots.

    seed: shuffles the objects of each row, and the slots they are in; None: as they are.
    """
    sample = made(["particle_set"])
    raw = sample.representation.collate(sample.columns, np.arange(rows), rows)
    inputs = sample.representation.normalise(raw, sample.moments)
    rng = np.random.default_rng(seed)
    order = np.broadcast_to(np.arange(slots), (rows, slots))
    order = order if seed is None else rng.permuted(order, axis=1)

    def moved(values: np.ndarray) -> np.ndarray:
        wide = np.zeros((rows, slots, *values.shape[2:]), values.dtype)
        wide[:, : values.shape[1]] = values
        return np.take_along_axis(wide, order.reshape(rows, slots, *(1,) * (wide.ndim - 2)), axis=1)

    objects = jax.tree.map(moved, jax.device_get(inputs.collections["parts"]))
    return ParticleSets({"parts": objects}, np.asarray(inputs.scalars), raw.present)


def filled(inputs: ParticleSets) -> ParticleSets:
    """The same with numbers in the empty slots, as other representations leave them there."""
    objects = inputs.collections["parts"]
    empty = ~objects.mask[..., None]
    fields = {"x": 3.0, "points": 0.2, "momenta": 9.0}
    there = {
        name: np.where(empty, value, getattr(objects, name)).astype(np.float32)
        for name, value in fields.items()
    }
    return inputs._replace(collections={"parts": objects._replace(**there)})


@pytest.mark.parametrize("name", MODELS)
def test_scores_depend_neither_on_slots_nor_on_order_and_are_defined_for_few(name: str) -> None:
    case = case_of(registry.resolve("models", name)(**SMALL[name]))
    apply = jax.jit(lambda p, x: case.task.model.apply({"params": p}, x, train=False))
    few = inputs_of(16, 12, None)
    assert few.collections["parts"].mask[:2].sum(axis=1).tolist() == [0, 1]
    seed = None if name in ORDERED else 8
    found, other = (apply(case.params["backbone"], x) for x in (few, inputs_of(16, 17, seed)))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(other, found, rtol=2e-5, atol=2e-5)
    if name != "deepjet":  # whose empty slots are input
        masked = apply(case.params["backbone"], filled(few))
        np.testing.assert_allclose(masked, found, rtol=2e-5, atol=2e-5)
    assert np.abs(found - found[:1]).max() > 1e-3, "the same for all"


def test_running_statistics_follow_the_objects_and_no_optimiser_else() -> None:
    layer = BatchNorm(momentum=0.25)
    rng = np.random.default_rng(2)
    x = jnp.asarray(rng.normal(3, 2, (6, 5, 2)), jnp.float32)
    there = jnp.asarray(rng.random((6, 5)) < 0.6)
    params = layer.init(jax.random.key(0), x, there, train=False)["params"]
    options = TrainingOptions(
        optimizer="adamw", learning_rate=0.1, weight_decay=0.1, clip_norm=1e-3
    )
    rule = build(options, 10, jax.tree.map(lambda _: "default", params))

    @jax.jit
    def step(params: Any, state: Any, x: jax.Array) -> Any:
        def loss(p: Any) -> jax.Array:
            y = layer.apply({"params": p}, x, there, train=True)
            return 1e3 * jnp.sum(jnp.where(there[..., None], y**3, 0))

        updates, state = rule.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    state, mean, variance = rule.init(params), np.zeros(2), np.ones(2)
    for shift in (0.0, 1.5):
        params, state = step(params, state, x + shift)
        objects = np.asarray(x, np.float64)[np.asarray(there)] + shift
        mean = 0.75 * mean + 0.25 * objects.mean(axis=0)
        variance = 0.75 * variance + 0.25 * objects.var(axis=0, ddof=1)
    np.testing.assert_allclose(params["running_mean"], mean, rtol=1e-5)
    np.testing.assert_allclose(params["running_variance"], variance, rtol=1e-5)
    learned = layer.apply({"params": params}, x, there, train=False)
    expected = (np.asarray(x) - mean) / np.sqrt(variance + 1e-5)
    expected = expected * np.asarray(params["scale"]) + np.asarray(params["bias"])
    np.testing.assert_allclose(learned, expected, rtol=1e-4, atol=1e-4)
    # Nothing there leaves them as they are.
    empty = jnp.zeros_like(there)
    gradient = jax.grad(
        lambda p: layer.apply({"params": p}, x, empty, train=True).sum().astype(jnp.float32)
    )(params)
    assert not np.any(gradient["running_mean"])


def test_lorentz_net_is_invariant_under_boosts_and_rotations() -> None:
    model = LorentzNet(hidden=8, blocks=3, shift=0.1, dtype="float64")
    sets = inputs_of(16, 12, None)
    parts = sets.collections["parts"]
    scalars = parts.x[..., 1:2].astype(np.float64)  # masses
    momenta = parts.momenta.astype(np.float64)
    boost, turn = np.eye(4), np.eye(4)
    rapidity, angle = 0.8, 1.1
    boost[np.ix_([0, 3], [0, 3])] = [
        [np.cosh(rapidity), np.sinh(rapidity)],
        [np.sinh(rapidity), np.cosh(rapidity)],
    ]
    turn[np.ix_([1, 2], [1, 2])] = [
        [np.cos(angle), -np.sin(angle)],
        [np.sin(angle), np.cos(angle)],
    ]
    with jax.enable_x64(True):
        found = []
        for p in (momenta, momenta @ (boost @ turn).T):
            objects = Objects(scalars, parts.mask, None, p)
            inputs = ParticleSets({"parts": objects}, sets.scalars, sets.present)
            if not found:
                params = jax.jit(partial(model.init, train=False))(jax.random.key(0), inputs)
            found.append(np.asarray(jax.jit(partial(model.apply, train=False))(params, inputs)))
    np.testing.assert_allclose(found[1], found[0], rtol=0, atol=1e-9)


def test_an_energy_flow_does_not_see_collinear_and_soft_particles() -> None:
    model = EnergyFlow(objects=(8, 6), row=(7,), dtype="float64")
    px, points = (
        np.array([[40.0, 30.0, 5.0, 0.0]]),
        np.array([[[0.1, 0], [-0.2, 0.1], [0.3, -0.3]]]),
    )
    points = np.concatenate([points, np.full((1, 1, 2), 0.4)], axis=1)

    def jet(px: np.ndarray, points: np.ndarray, there: list[bool]) -> ParticleSets:
        momenta = np.stack([0.6 * px, 0.8 * px, 0 * px, px], axis=-1)
        objects = Objects(0 * points, np.array([there]), points, momenta)
        return ParticleSets({"parts": objects}, np.zeros((1, 0)), np.ones(1, bool))

    three = [True] * 3 + [False]
    split, where = px.copy(), points.copy()
    split[0, 0], split[0, 3], where[0, 3] = 10, 30, where[0, 0]
    with jax.enable_x64(True):
        params = model.init(jax.random.key(0), jet(px, points, three), train=False)
        whole, collinear, soft, other = (
            np.asarray(model.apply(params, inputs, train=False))
            for inputs in (
                jet(px, points, three),
                jet(split, where, [True] * 4),
                jet(px, points, [True] * 4),
                jet(split, points, [True] * 4),
            )
        )
    np.testing.assert_allclose(collinear, whole, rtol=0, atol=1e-12)
    np.testing.assert_allclose(soft, whole, rtol=0, atol=1e-12)
    assert np.abs(other - whole).max() > 1e-3


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_cells_have_their_formulas_and_skip_what_is_absent(cell: Any) -> None:
    layer = Recurrence(3, cell)
    rng = np.random.default_rng(4)
    x, there = rng.normal(size=(4, 6, 2)).astype(np.float32), rng.random((4, 6)) < 0.6
    there[0] = False
    params = layer.init(jax.random.key(1), jnp.asarray(x), jnp.asarray(there))["params"]
    params = jax.tree.map(lambda p: rng.normal(size=p.shape).astype(np.float32), params)
    found = layer.apply({"params": params}, jnp.asarray(x), jnp.asarray(there))
    for row in range(4):
        h, c = np.zeros(3), np.zeros(3)
        for step in np.flatnonzero(there[row]):
            driven = x[row, step] @ params["kernel"] + params["bias"]
            state = h @ params["state_kernel"]
            if cell == "lstm":
                i, f, g, o = np.split(driven + state, 4)
                c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
                h = sigmoid(o) * np.tanh(c)
            else:
                (a, b, new), (d, e, old) = np.split(driven, 3), np.split(state, 3)
                z = sigmoid(b + e)
                h = (1 - z) * np.tanh(new + sigmoid(a + d) * (old + params["state_bias"])) + z * h
        np.testing.assert_allclose(found[row], h, rtol=1e-4, atol=1e-5)


def test_gradient_of_neighbours_is_that_of_reading_them() -> None:
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, 5, 3)), jnp.float32)
    number = jnp.asarray(rng.integers(0, 5, (2, 5, 4)), jnp.int32)
    factor = jnp.asarray(rng.normal(size=(2, 5, 4, 3)), jnp.float32)
    found = jax.grad(lambda x: jnp.sum(taken(x, number) * factor))(x)
    expected = np.zeros((2, 5, 3))
    for b in range(2):
        np.add.at(expected[b], np.asarray(number)[b], np.asarray(factor)[b])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_what_a_representation_does_not_give_is_refused_with_the_way_out() -> None:
    sets = inputs_of(2, 12, None)
    parts = sets.collections["parts"]
    key = jax.random.key(0)
    bare = sets._replace(collections={"parts": parts._replace(points=None, momenta=None)})
    for name, message in (("particle_net", "points"), ("lorentz_net", "momenta")):
        with pytest.raises(ConfigError, match=f"name them in `{message}`"):
            registry.resolve("models", name)().init(key, bare, train=False)
    several = sets._replace(collections={"parts": parts, "tracks": parts})
    with pytest.raises(ConfigError, match="several to choose"):
        ParticleNet().init(key, several, train=False)
    with pytest.raises(ConfigError, match="did you mean 'tracks'"):
        ParticleNet(collection="track").init(key, several, train=False)
