"""Flow matching: against Gaussian paths in closed form; devices, ids, energies; a training."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate as scipy_integrate
from scipy import stats
from tests.generators import CELLS, KEY, SIZE, batch, full_and_partial, moments
from tests.learnable import LAYERS, Memory, PlainImage, showers

from rootloom.batches.assemble import id_words
from rootloom.errors import ConfigError
from rootloom.models.cnn import CNN
from rootloom.models.generators.ode import integrate
from rootloom.models.generators.shower_flow import ShowerFlow
from rootloom.physics.calorimeter.ratios import cell_ratios, energy_ratios
from rootloom.tasks.flow_matching import FlowMatching, path_loss
from rootloom.training import parallel
from rootloom.training.loop import fit
from rootloom.training.options import EarlyStopping, Schedule, TrainingOptions
from rootloom.training.state import initial_params
from rootloom.types import Batch, Shower

# The Gaussian that the paths of the closed forms lead to.
MEAN, STD, SIGMA = 1.5, 0.4, 0.1
pytestmark = pytest.mark.usefixtures("strict")


def task(statistics: Any = None, **fields: Any) -> FlowMatching:
    if statistics is None:
        statistics = moments(showers(200, seed=9))
    small = ShowerFlow(layers=LAYERS, width=16, blocks=1, channels=3, hidden=6)
    return FlowMatching(small, CELLS, statistics, ("eplus",), **{"steps": 4, **fields})


@pytest.fixture(scope="module")
def params() -> Any:
    with jax.numpy_dtype_promotion("strict"):
        return initial_params(task(), batch(np.arange(SIZE)), seed=3)


def slope(t: Any) -> Any:
    """Cov(x₁ - k x₀, x_t) / Var(x_t) for x_t = (1 - k t) x₀ + t x₁, with x₁ ~ N(MEAN, STD²)."""
    keep = 1.0 - SIGMA
    left = 1.0 - keep * t
    return (t * STD**2 - keep * left) / (t**2 * STD**2 + left**2)


def optimal(x: jax.Array, t: jax.Array) -> jax.Array:
    """The velocity given x_t in closed form, for a time () or (B,)."""
    time = jnp.reshape(t, (-1, 1))
    return MEAN + slope(time) * (x - time * MEAN)


def test_the_loss_of_the_best_field_of_gaussians_is_the_variance_that_is_left() -> None:
    rng = np.random.default_rng(2)
    rows = 200_000
    time, noise = rng.random(rows), rng.normal(size=(rows, 1))
    data = MEAN + STD * rng.normal(size=(rows, 1))
    given = (jnp.asarray(x, jnp.float32) for x in (data, noise, time))
    losses = np.asarray(path_loss(optimal, *given, SIGMA), np.float64)
    keep = 1.0 - SIGMA

    def left(t: float) -> float:
        cov = t * STD**2 - keep * (1 - keep * t)
        return STD**2 + keep**2 - cov * slope(t)

    expected, _ = scipy_integrate.quad(left, 0, 1)
    error = losses.std() / np.sqrt(rows)
    assert losses.mean() == pytest.approx(expected, abs=4 * error)
    # Any other field does worse: by the mean square of the difference.
    given = (jnp.asarray(x, jnp.float32) for x in (data, noise, time))
    worse = path_loss(lambda x, t: optimal(x, t) + 0.3, *given, SIGMA)
    assert np.asarray(worse, np.float64).mean() == pytest.approx(expected + 0.09, abs=5 * error)


def test_the_best_field_carries_noise_to_the_data() -> None:
    noise = np.random.default_rng(3).normal(size=(4000, 1)).astype(np.float32)
    found = np.asarray(integrate(optimal, jnp.asarray(noise), 200, "rk4"))
    # What is left of the noise adds to the data's width; a linear field keeps the order.
    end = stats.norm(MEAN, np.hypot(STD, SIGMA))
    np.testing.assert_allclose(found, end.ppf(stats.norm.cdf(noise)), atol=2e-3)


class Recorder(ShowerFlow):
    """A model that only notes what it is asked, and answers with zeros."""

    asked: ClassVar[dict[str, tuple[Any, Any]]] = {}

    def apply(self, variables: Any, field: str, x: Any, t: Any, given: Any, method: str) -> Any:
        self.asked[field] = x, t
        return jnp.zeros_like(x)


def test_times_and_the_noise_of_both_paths_are_independent() -> None:
    rows, model = 4000, Recorder(layers=LAYERS)
    # Every cell and every layer as in the mean, so that a path is its noise alone.
    cells = np.full((rows, 32), 0.5, np.float32)
    energy = cells.sum(axis=1)
    layers = np.stack([cells[:, :16].sum(axis=1), cells[:, 16:].sum(axis=1)], axis=1)
    means = {
        "ratios": energy_ratios(layers, energy)[0],
        "shares": cell_ratios(cells, np.repeat(layers, 16, axis=1), CELLS.threshold)[0],
    }
    statistics = {n: SimpleNamespace(mean=m, std=np.ones_like(m)) for n, m in means.items()}
    identity = jnp.asarray(id_words(np.arange(rows, dtype=np.uint64)))
    data = Batch(Shower(jnp.asarray(cells), jnp.asarray(energy)), None, jnp.ones(rows), identity)
    FlowMatching(model, CELLS, statistics, ("eplus",), sigma=0.0).loss({}, data, KEY, train=True)
    drawn = []
    for x, t in model.asked.values():
        drawn += [np.asarray(t)[:, None], np.asarray(x) / (1 - np.asarray(t)[:, None])]
    every = np.concatenate(drawn, axis=1)  # (rows, 1 + 2 + 1 + 32)
    assert every.shape == (rows, 36)
    assert np.abs(np.corrcoef(every.T) - np.eye(36)).max() < 5.5 / np.sqrt(rows)
    for place in (0, 3):
        assert stats.kstest(every[:, place], "uniform").pvalue > 1e-3
    for place in (1, 2, 4, 35):
        assert stats.kstest(every[:, place], "norm").pvalue > 1e-3


def test_eight_devices_make_the_update_of_one(params: Any) -> None:
    # Of the second batch the last devices see padding only.
    one, eight = (full_and_partial(task(), params, devices) for devices in (1, 8))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=2e-6), one, eight)
    for network in ("energies", "cells"):
        moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), params[network], one[network])
        assert min(jax.tree.leaves(moved)) > 0


def test_a_generated_shower_follows_its_energy_and_its_id(params: Any) -> None:
    ours, energy = task(), jnp.linspace(5, 50, SIZE)
    identity = jnp.asarray(id_words(np.arange(SIZE, dtype=np.uint64) << np.uint64(30)))

    def cells(params: Any, energy: Any, key: Any, identity: Any) -> Any:
        return ours.generate(params, energy[:, None], key, identity).cells

    generate = jax.jit(cells)
    whole = np.asarray(generate(params, energy, KEY, identity))
    assert whole.shape == (SIZE, 32)
    assert len(np.unique(whole, axis=0)) == SIZE
    some = np.array([9, 2, 30])
    few = generate(params, energy[some], KEY, identity[some])
    np.testing.assert_allclose(few, whole[some], rtol=2e-4, atol=1e-5)
    other = generate(params, energy, jax.random.key(5), identity)
    assert np.abs(other - whole).max() > 1e-3
    devices = parallel.on_every_device(partial(cells, key=KEY))
    split = [np.asarray(x).reshape(8, SIZE // 8, *x.shape[1:]) for x in (energy, identity)]
    spread = devices(parallel.replicate(params, 8), split[0], identity=split[1])
    np.testing.assert_allclose(np.asarray(spread).reshape(SIZE, 32), whole, rtol=2e-4, atol=1e-5)


def test_energies_are_positive_and_cells_below_the_threshold_empty(params: Any) -> None:
    ours = replace(task(), representation=replace(CELLS, threshold=0.05))
    energy = jnp.asarray(np.r_[1e-3, 1e4, np.linspace(0.1, 200, SIZE - 2)].astype(np.float32))
    identity = jnp.asarray(id_words(np.arange(SIZE, dtype=np.uint64)))
    cells = np.asarray(jax.jit(ours.generate)(params, energy[:, None], KEY, identity).cells)
    assert np.isfinite(cells).all()
    assert (cells >= 0).all()
    assert (cells == 0).any()
    sums = [cells[:, :16].sum(axis=1), cells[:, 16:].sum(axis=1)]
    # Layers of less than the threshold have no cell, the others at least one.
    for place, total in zip((slice(16), slice(16, None)), sums, strict=True):
        assert ((cells[:, place] > 0).any(axis=1) == (total >= 0.05 * (1 - 1e-5))).all()


def test_a_training_brings_the_showers_closer(tmp_path: Path) -> None:
    training, held_out = showers(1280, seed=1), showers(320, seed=2)
    ours = task(moments(training), steps=8)
    options = TrainingOptions(
        batch_size=SIZE, epochs=10, learning_rate=1e-2, tensorboard=False,
        schedule=Schedule("cosine"), clip_norm=1.0,
        early_stopping=EarlyStopping(patience=None, monitor="separation"),
    )  # fmt: skip
    result = fit(
        ours,
        Memory(training, CELLS, SIZE),
        Memory(held_out, CELLS, SIZE, shuffle=False),
        options,
        tmp_path,
        fingerprint="run",
        progress=False,
    )
    first, last = result.history[0], result.history[-1]
    assert last["cells"] < 0.8 * first["cells"]
    assert last["energies"] < first["energies"]
    assert result.history[result.best_epoch]["separation"] < 0.1
    # What the cells were made of: the first layer's energies lie in its cells 2 … 6.
    energy = jnp.asarray(np.full(SIZE, 30, np.float32))
    identity = jnp.asarray(id_words(np.arange(SIZE, dtype=np.uint64)))
    cells = np.asarray(ours.generate(result.params, energy[:, None], KEY, identity).cells)
    assert cells[:, 2:7].sum() > 0.9 * cells[:, :16].sum()
    assert cells[:, :16].sum() / cells.sum() == pytest.approx(0.25, abs=0.05)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="role velocity"):
        FlowMatching(CNN(), PlainImage(), {}, ("eplus",))
    for fields, name in (({"steps": 0}, "steps"), ({"sigma": 1.0}, "sigma")):
        with pytest.raises(ConfigError, match=f"task: {name}"):
            task(**fields)
