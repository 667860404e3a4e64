"""Regression against SciPy's von Mises-Fisher density and scikit-learn's errors."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import optax
import pytest
from scipy.spatial.transform import Rotation
from scipy.stats import vonmises_fisher
from sklearn.metrics import mean_squared_error
from tests.learnable import Memory, PlainFeatures, points

from rootloom.errors import ConfigError
from rootloom.models.dnn import DNN
from rootloom.tasks.regression import Regression, label
from rootloom.training import parallel
from rootloom.training.state import initial_params, initial_state
from rootloom.training.step import train_step, weighted_sums
from rootloom.types import Batch

pytestmark = pytest.mark.usefixtures("strict")

ENTRY, WAY = ("entry_x", "entry_y", "entry_z"), ("way_x", "way_y", "way_z")
# Not in the order of the directions: the batch's order is that of the dataset.
TARGETS = ("energy", *WAY, "charge", *ENTRY)
ROWS, RADIUS = 64, 17.7
KEY = jax.random.key(0)


def truth(rows: int = ROWS) -> np.ndarray:
    """(R, 8): two directions that follow the features, one of length 17.7, and two numbers."""
    x = points(rows)["x"].astype(np.float64)
    way = x[:, :3] / np.linalg.norm(x[:, :3], axis=1, keepdims=True)
    entry = RADIUS * x[:, 1:] / np.linalg.norm(x[:, 1:], axis=1, keepdims=True)
    energy, charge = 200 + 50 * x[:, 0], x[:, 1] * 1e-3
    return np.column_stack([energy, way, charge, entry]).astype(np.float32)


def moments() -> dict[str, Any]:
    values = truth().astype(np.float64)
    return {
        f"target.{name}": SimpleNamespace(mean=values[:, [k]].mean(0), std=values[:, [k]].std(0))
        for k, name in enumerate(TARGETS)
    }


def task(**fields: Any) -> Regression:
    fields = {"targets": TARGETS, "directions": (ENTRY, WAY), **fields}
    return Regression(DNN(hidden=(16,)), PlainFeatures(), moments(), **fields)


def batch_of(rows: np.ndarray, size: int = ROWS, devices: int = 1) -> Batch:
    batch = Memory(points(ROWS), PlainFeatures(), size, devices=devices).batch(rows)
    target = np.zeros((size, len(TARGETS)), np.float32)
    target[: len(rows)] = truth()[rows]
    return batch._replace(target=target.reshape(devices, size // devices, -1))


def setting(**fields: Any) -> tuple[Regression, Any, Batch, np.ndarray]:
    """Task, parameters, a batch and the head's numbers for it."""
    one, whole = task(**fields), batch_of(np.arange(ROWS))
    params = initial_params(one, whole, seed=1)
    local = jax.tree.map(lambda x: x[0], whole)
    found = jax.jit(partial(one.apply, train=False))(params, local, KEY)
    return one, params, local, np.asarray(found, np.float64)


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector, axis=1, keepdims=True)


def test_the_loss_is_the_density_of_von_mises_and_fisher_and_squared_errors() -> None:
    one, params, batch, found = setting()
    assert found.shape == (ROWS, 2 * 4 + 2)
    loss, _ = jax.jit(partial(one.loss, train=False))(params, batch, KEY)
    expected = np.zeros(ROWS)
    for place, columns in enumerate((slice(5, 8), slice(1, 4))):
        part = found[:, 4 * place : 4 * place + 4]
        true = unit(truth()[:, columns].astype(np.float64))
        for row in range(ROWS):
            density = vonmises_fisher(unit(part[[row], :3])[0], np.exp(part[row, 3]))
            expected[row] -= density.logpdf(true[row])
    for place, column in ((8, 0), (9, 4)):
        values = truth()[:, column].astype(np.float64)
        expected += 0.5 * (found[:, place] - (values - values.mean()) / values.std()) ** 2
    np.testing.assert_allclose(loss, expected, rtol=1e-4, atol=1e-5)


def test_the_chord_loss_is_one_minus_the_cosine() -> None:
    one, params, batch, found = setting(sphere="chord", targets=WAY, directions=(WAY,))
    batch = batch._replace(target=batch.target[:, 1:4])
    loss, _ = jax.jit(partial(one.loss, train=False))(params, batch, KEY)
    cosine = np.sum(unit(found) * unit(truth()[:, 1:4].astype(np.float64)), axis=1)
    np.testing.assert_allclose(loss, 1 - cosine, atol=1e-6)


def test_predictions_are_in_the_targets_units() -> None:
    one, params, batch, found = setting()
    columns = jax.jit(one.predict)(params, batch, KEY)
    assert one.columns() == TARGETS
    assert set(columns) == set(TARGETS)
    entry = np.stack([columns[name] for name in ENTRY], axis=1)
    np.testing.assert_allclose(entry, RADIUS * unit(found[:, :3]), rtol=1e-4, atol=1e-4)
    way = np.stack([columns[name] for name in WAY], axis=1)
    np.testing.assert_allclose(np.linalg.norm(way, axis=1), 1.0, rtol=1e-5)
    energy = truth()[:, 0].astype(np.float64)
    expected = energy.mean() + energy.std() * found[:, 8]
    np.testing.assert_allclose(columns["energy"], expected, rtol=1e-5)


def test_figures_are_mean_angles_and_root_mean_squares() -> None:
    one, params, batch, found = setting()
    columns = jax.jit(one.predict)(params, batch, KEY)
    loss, metrics = jax.jit(partial(one.loss, train=False))(params, batch, KEY)
    sums = weighted_sums(batch.weight, {"loss": loss, **metrics})
    figures = one.summary({k: np.asarray(v) / batch.weight.sum() for k, v in sums.items()})
    assert set(figures) == {"angle_entry", "angle_way", "rms_energy", "rms_charge"}
    for name, place in (("energy", 0), ("charge", 4)):
        square = mean_squared_error(truth()[:, place], columns[name], sample_weight=batch.weight)
        assert figures[f"rms_{name}"] == pytest.approx(np.sqrt(square), rel=1e-4)
    turn = [
        Rotation.align_vectors(t[None], p[None])[0].magnitude()
        for t, p in zip(truth()[:, 1:4].astype(np.float64), unit(found[:, 4:7]), strict=True)
    ]
    mean = np.average(np.degrees(turn), weights=batch.weight)
    assert figures["angle_way"] == pytest.approx(mean, rel=1e-4)


def test_a_sharp_concentration_keeps_its_digits() -> None:
    """κ of a million and a milliradian: cosines would be 1 in single precision."""
    one, params, batch, _ = setting(targets=WAY, directions=(WAY,))
    angle, kappa = 1e-3, 1e6
    head = jax.tree.map(np.zeros_like, dict(params["head"]))
    head["bias"] = np.array([np.cos(angle), np.sin(angle), 0, np.log(kappa)], np.float32)
    target = np.tile(np.float32([1, 0, 0]), (ROWS, 1))
    sharp = batch._replace(target=target)
    loss, metrics = one.loss({**params, "head": head}, sharp, KEY, train=False)
    expected = np.log(2 * np.pi / kappa) + kappa * (1 - np.cos(angle))
    np.testing.assert_allclose(loss, expected, rtol=1e-4)
    np.testing.assert_allclose(metrics["angle_way"], np.degrees(angle), rtol=1e-3)


def test_padding_has_a_finite_loss_and_gradient() -> None:
    one, params, _, _ = setting()
    padded = jax.tree.map(lambda x: x[0], batch_of(np.arange(10)))

    def objective(p: Any) -> Any:
        loss, _ = one.loss(p, padded, KEY, train=True)
        return (loss * padded.weight).sum()

    gradient = jax.jit(jax.grad(objective))(params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    assert np.isfinite(one.loss(params, padded, KEY, train=False)[0]).all()


def trained(devices: int, steps: int) -> tuple[Any, list[float]]:
    """Parameters and losses of plain descent on the whole sample."""
    one, rule = task(), optax.sgd(0.05)
    params = initial_params(one, batch_of(np.arange(ROWS)), seed=1)
    step = parallel.on_every_device(partial(train_step, one, rule, ROWS))
    state, losses = parallel.replicate(initial_state(params, rule, seed=0), devices), []
    for _ in range(steps):
        state, sums = step(state, batch_of(np.arange(ROWS), devices=devices))
        losses.append(float(parallel.first(sums)["loss"]))
    return parallel.first(state.params), losses


def test_it_learns() -> None:
    _, losses = trained(1, 60)
    assert losses[-1] < 0.7 * losses[0]


def test_eight_devices_learn_as_one() -> None:
    ends = [jax.tree.leaves(trained(devices, 2)[0]) for devices in (1, 8)]
    for a, b in zip(*ends, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_names_of_directions() -> None:
    assert label(ENTRY) == "entry"
    assert label(("x", "y", "z")) == "x"


def test_refusals_name_what_does_not_fit() -> None:
    with pytest.raises(ConfigError, match="at least one"):
        task(targets=(), directions=())
    with pytest.raises(ConfigError, match=r"(?s)'wai_x'.*'way_x'"):
        task(directions=(("wai_x", "way_y", "way_z"),))
    with pytest.raises(ConfigError, match="each target once"):
        task(directions=(WAY, WAY))
