"""Classification against scikit-learn."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss, roc_auc_score
from tests.learnable import Memory, PlainFeatures, points

from rootloom.errors import ConfigError
from rootloom.models.dnn import DNN
from rootloom.tasks.classification import Classification
from rootloom.training.state import initial_params
from rootloom.training.step import weighted_sums

pytestmark = pytest.mark.usefixtures("strict")

NAMES = ("a", "b", "c")
KEY = jax.random.key(0)


def setting(classes: int, **fields: Any) -> tuple[Classification, Any, Any]:
    task = Classification(DNN(hidden=(8,)), PlainFeatures(), {}, NAMES[:classes], **fields)
    batch = Memory(points(200, classes=classes), PlainFeatures(), 200).batch(np.arange(200))
    params = initial_params(task, batch, seed=1)
    return task, params, jax.tree.map(lambda x: x[0], batch)


def probabilities(task: Classification, params: Any, batch: Any) -> np.ndarray:
    columns = jax.jit(task.predict)(params, batch, KEY)
    scores = np.stack([columns[name] for name in task.columns()], axis=1).astype(np.float64)
    if len(task.classes) == 2:
        scores = np.concatenate([1 - scores, scores], axis=1)
    return scores / scores.sum(axis=1, keepdims=True)  # to double precision


def evaluated(task: Classification, params: Any, batch: Any) -> Any:
    return jax.jit(partial(task.loss, train=False))(params, batch, KEY)


@pytest.mark.parametrize("classes", [2, 3])
def test_loss_and_metrics_are_scikit_learns(classes: int) -> None:
    task, params, batch = setting(classes)
    p, truth, weight = probabilities(task, params, batch), batch.target, batch.weight
    loss, metrics = evaluated(task, params, batch)
    for row in range(5):  # for each example, not only on average
        expected = log_loss(truth[row : row + 1], p[row : row + 1], labels=range(classes))
        assert loss[row] == pytest.approx(expected, rel=1e-4)
    sums = weighted_sums(weight, {"loss": loss, **metrics})
    means = {name: np.asarray(value) / weight.sum() for name, value in sums.items()}
    assert means["loss"] == pytest.approx(log_loss(truth, p, sample_weight=weight), rel=1e-5)
    figures, choice = task.summary(means), p.argmax(axis=1)
    expected = accuracy_score(truth, choice, sample_weight=weight)
    assert figures["accuracy"] == pytest.approx(expected, rel=1e-5)
    matrix = confusion_matrix(truth, choice, sample_weight=weight, normalize="true")
    np.testing.assert_allclose(figures["confusion"], matrix, rtol=1e-4)
    if classes == 2:
        expected = roc_auc_score(truth, p[:, 1], sample_weight=weight)
        assert figures["auc"] == pytest.approx(expected, abs=2e-3)  # binned scores


def test_columns_name_the_predictions() -> None:
    for classes in (2, 3):
        task, params, batch = setting(classes)
        assert set(jax.eval_shape(task.predict, params, batch, KEY)) == set(task.columns())
    assert task.columns() == ("score_a", "score_b", "score_c")


def test_the_score_is_the_signals_whichever_class_that_is() -> None:
    last, params, batch = setting(2)
    first, *_ = setting(2, signal="a")
    scores = [jax.jit(task.predict)(params, batch, KEY)["score"] for task in (last, first)]
    np.testing.assert_array_equal(*scores)
    # The same logit now speaks for the other class: losses are those of swapped targets.
    swapped = batch._replace(target=1 - batch.target)
    loss = evaluated(first, params, batch)[0]
    np.testing.assert_array_equal(loss, evaluated(last, params, swapped)[0])


def test_a_class_without_weight_has_no_area_and_no_crash() -> None:
    task, params, batch = setting(2)
    one = batch._replace(target=np.zeros_like(batch.target))
    sums = weighted_sums(one.weight, evaluated(task, params, one)[1])
    figures = task.summary({name: np.asarray(value) for name, value in sums.items()})
    assert np.isnan(figures["auc"])
    assert np.isfinite(figures["confusion"]).all()


def test_refusals_name_what_does_not_fit() -> None:
    model, representation = DNN(hidden=()), PlainFeatures()
    with pytest.raises(ConfigError, match="at least two"):
        Classification(model, representation, {}, ("only",))
    with pytest.raises(ConfigError, match="one of"):
        Classification(model, representation, {}, ("a", "b"), signal="c")
