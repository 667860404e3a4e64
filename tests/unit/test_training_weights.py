"""Networks learn the loss of the whole split, whatever the batch: against SciPy's optimum."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from tests.learnable import Memory, PlainFeatures, point_task

from rootloom.shards.reweight import Reweight
from rootloom.shards.statistics import Statistics
from rootloom.shards.sums import UNBINNED, SampleSums, training_sums
from rootloom.shards.weights import Weighting, WeightTable
from rootloom.training import parallel
from rootloom.training.loop import fit
from rootloom.training.options import EarlyStopping, Schedule, TrainingOptions
from rootloom.training.state import initial_params, initial_state
from rootloom.training.step import train_step, weighted_sums

CLASSES = ("background", "signal")
PT = Reweight("pt", 10, 0.0, 5.0, target="signal", cap=100.0)


def rows(
    count: int, rare: float, *, signed: bool = False, peaked: bool = False
) -> dict[str, np.ndarray]:
    """x ~ N(0, 1)⁴, the first shifted by one where the (rare) label is 1."""
    rng = np.random.default_rng(3)
    label = (np.arange(count) % round(1 / rare) == 0).astype(np.int32)
    x = rng.normal(size=(count, 4)).astype(np.float32)
    x[:, 0] += label
    weight = rng.exponential(1.0, count).astype(np.float32) if peaked else np.ones(count, "f4")
    if signed:
        weight *= rng.choice([1, -1], count, p=[0.9, 0.1]).astype("f4")
    pt = rng.exponential(np.where(label, 2.0, 0.5)) if peaked else np.ones(count)
    ids = np.arange(1, count + 1).astype(np.uint64)
    return {"x": x, "label": label, "weight": weight, "id": ids, "aux.pt": pt.astype("f4")}


def table(columns: dict[str, np.ndarray], weighting: Weighting) -> WeightTable:
    """Of training rows with these columns."""
    label, weight = columns["label"], columns["weight"].astype(np.float64)
    training = {UNBINNED: training_sums(weight, label, 2, 1)}
    if weighting.reweight is not None:
        cells = weighting.reweight.cell_of(columns["aux.pt"], label)
        training[weighting.reweight.key] = training_sums(weight, cells, 2, 10)
    counted = SampleSums.of_rows(CLASSES, "train", label, weight)
    sums = SampleSums(
        0, 0.0, counted.rows, counted.negative, counted.weight, counted.square, training
    )
    return WeightTable.from_statistics(
        Statistics(CLASSES, {"": sums}), dataset="toy", weighting=weighting
    )


def trained(
    folder: Path, columns: dict[str, np.ndarray], weights: WeightTable, batch: int, epochs: int
) -> np.ndarray:
    """Slopes (4,) and the intercept of a logistic model."""
    options = TrainingOptions(
        batch_size=batch,
        epochs=epochs,
        learning_rate=0.02 if batch < len(columns["id"]) else 0.2,
        schedule=Schedule("cosine"),
        early_stopping=EarlyStopping(patience=None),
        tensorboard=False,
    )
    made = [
        Memory(columns, PlainFeatures(), size, weights=weights, shuffle=size == batch)
        for size in (batch, 4096)
    ]
    task = point_task(hidden=())
    result = fit(task, *made, options, folder, fingerprint="run", progress=False)
    head = result.params["head"]
    return np.concatenate([np.ravel(head["kernel"]), np.ravel(head["bias"])]).astype(np.float64)


def loss(parameters: np.ndarray, columns: dict[str, np.ndarray], weight: np.ndarray) -> float:
    """Σ w·loss / Σ|w| of the logistic model, in float64."""
    logit = columns["x"].astype(np.float64) @ parameters[:4] + parameters[4]
    each = np.logaddexp(0.0, np.where(columns["label"] == 1, -logit, logit))
    return float(np.sum(weight * each) / np.abs(weight).sum())


def optimum(columns: dict[str, np.ndarray], weight: np.ndarray) -> np.ndarray:
    found = minimize(loss, np.zeros(5), args=(columns, weight), method="BFGS", tol=1e-9)
    if (weight > 0).all():  # scikit-learn takes no others
        model = LogisticRegression(C=np.inf, tol=1e-9, max_iter=1000)
        model.fit(columns["x"], columns["label"], sample_weight=weight)
        assert np.allclose([*model.coef_[0], model.intercept_[0]], found.x, atol=2e-3)
    return np.asarray(found.x)


CASES = {
    "1%": ({"rare": 0.01}, Weighting(), 0.12),
    "0.1%": ({"rare": 0.001}, Weighting(), 0.4),
    "peaks": ({"rare": 0.1, "peaked": True}, Weighting(reweight=PT), 0.15),
    "signed": ({"rare": 0.01, "signed": True}, Weighting(), 0.12),
    "signs kept": ({"rare": 0.1, "signed": True}, Weighting(negative="keep"), 0.12),
}
ROWS, FULL = 9_990, 10_000  # the last batch is a partial one, the full one not quite full
RUNS = [
    ("1%", 32), ("1%", 128), ("1%", FULL), ("0.1%", 128), ("0.1%", FULL), ("peaks", 128),
    ("signed", 128), ("signs kept", 128),
]  # fmt: skip


@pytest.mark.parametrize(("case", "batch"), RUNS)
def test_training_finds_the_optimum_of_the_whole_split(
    case: str, batch: int, tmp_path: Path
) -> None:
    made, weighting, near = CASES[case]
    columns: Any = rows(ROWS, **made)
    weights = table(columns, weighting)
    weight = weights.training(columns).astype(np.float64)
    if weighting.negative == "absolute":
        assert np.isclose(weight[columns["label"] == 1].sum(), weight.sum() / 2, rtol=1e-4)
    best = optimum(columns, weight)
    found = trained(tmp_path, columns, weights, batch, 12 if batch < FULL else 100)
    assert np.abs(found - best).max() < near, (found, best)
    assert loss(found, columns, weight) < loss(best, columns, weight) + near**2 / 4


@pytest.mark.parametrize("devices", [1, 8])
@pytest.mark.parametrize("case", ["1%", "signs kept"])
def test_the_steps_of_an_epoch_add_up_to_the_gradient_of_the_split(case: str, devices: int) -> None:
    made, weighting, _ = CASES[case]
    columns: Any = rows(300, **{**made, "rare": 0.1})  # ten batches of 32, the last of 12 rows
    weights = table(columns, weighting)
    loader = Memory(columns, PlainFeatures(), 32, devices=devices, weights=weights, shuffle=False)
    task, rule = point_task(hidden=()), optax.sgd(1.0)
    params = initial_params(task, next(loader.epoch(0)), seed=1)
    step = parallel.on_every_device(partial(train_step, task, rule, loader.scale))
    total = np.zeros(5)
    for batch in loader.epoch(0):
        state = parallel.replicate(initial_state(params, rule, seed=0), devices)
        moved = parallel.first(step(state, batch)[0].params)["head"]
        total += [*np.ravel(moved["kernel"] - params["head"]["kernel"]), *moved["bias"]]
    # By hand: the descent on Σ w·loss over 32 rows of mean |w| = 1.
    weight = weights.training(columns).astype(np.float64)
    kernel = np.ravel(params["head"]["kernel"]).astype(np.float64)
    probability = 1 / (1 + np.exp(-(columns["x"] @ kernel)))
    slope = weight * (probability - columns["label"]) / 32
    wanted = -np.concatenate([slope @ columns["x"], [slope.sum()]])
    np.testing.assert_allclose(total, wanted, rtol=1e-4, atol=1e-5)
    assert np.isclose(np.abs(weight).mean(), 1.0, rtol=1e-6)


def test_means_are_divided_by_absolute_weights() -> None:
    sums = weighted_sums(jnp.array([1.0, -1.0, 2.0]), {"loss": jnp.array([1.0, 2.0, 3.0])})
    assert float(sums["weight"]) == 4.0
    assert float(sums["loss"]) == 5.0


def test_a_split_smaller_than_a_batch_is_one_full_batch() -> None:
    assert Memory(rows(100, 0.1), PlainFeatures(), 128).scale == 100
