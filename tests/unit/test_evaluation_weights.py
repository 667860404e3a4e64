"""Backgrounds of unequal cross section: figures by event weights, against formulas of Gaussians."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from rootloom.errors import ConfigError, DataError
from rootloom.evaluation.classification.evaluator import Classification
from rootloom.evaluation.classification.significance import Counts
from rootloom.evaluation.evaluate import evaluate
from rootloom.evaluation.predictions import Header, Predictions, Rows, write_predictions
from rootloom.evaluation.results import Evaluation

ROWS = 60_000  # of each process
SHARES, MEANS, SIGNAL = np.array([0.95, 0.05]), np.array([-2.5, 1.0]), 1.5
HEADER = Header("dnn", ("background", "signal"), "signal", ("score",), probability=True)
COUNTS = Counts(signal=100, background=10_000)


def write(path: Path, *, training: bool = True) -> Path:
    """tt̄ (common, easy), W (rare, hard) and signal, as many simulated rows of each."""
    rng = np.random.default_rng(2)
    process = np.repeat([0, 1, 2], ROWS)
    logit = rng.normal(np.array([*MEANS, SIGNAL])[process], 1.0)
    weight = np.array([*SHARES * 40, 0.01])[process]
    rows = Rows(
        id=rng.integers(1, 1 << 60, 3 * ROWS).astype(np.uint64),
        weight=weight.astype(np.float32),
        truth=(process == 2).astype(np.int32),
        scores=(1 / (1 + np.exp(-logit)))[:, None].astype(np.float32),
        file=np.zeros(3 * ROWS, np.int32),
        entry=np.arange(3 * ROWS),
        object=np.zeros(3 * ROWS, np.int32),
        training_weight=np.array([0.5, 0.5, 1.0])[process] if training else None,
    )
    write_predictions(path, Predictions(HEADER, rows))
    return path


def background(threshold: float, shares: np.ndarray) -> float:
    """Share of the background above a threshold on the logit."""
    return float(shares @ norm.sf(threshold - MEANS))


def area(shares: np.ndarray) -> float:
    return float(shares @ norm.cdf((SIGNAL - MEANS) / np.sqrt(2)))


def significance(threshold: float) -> float:
    s = COUNTS.signal * norm.sf(threshold - SIGNAL)
    b = COUNTS.background * background(threshold, SHARES)
    return float(np.sqrt(2 * ((s + b) * np.log1p(s / b) - s)))


def test_figures_are_those_of_the_physical_mixture(tmp_path: Path) -> None:
    found = evaluate([write(tmp_path / "p.h5")], Classification(significances={"z": COUNTS}))
    result = found.result.discriminations[0]
    assert found.result.weights == "event"
    assert result.auc.value == pytest.approx(area(SHARES), abs=4 * result.auc.statistical)
    (half,) = [p for p in result.working_points if p.signal_efficiency == 0.5]
    wanted = 1 / background(SIGNAL, SHARES)
    assert half.rejection.value == pytest.approx(wanted, abs=4 * half.rejection.statistical)
    best = minimize_scalar(lambda t: -significance(t), bounds=(0, 4), method="bounded")
    z = result.significances[0].value
    assert z.value == pytest.approx(-best.fun, abs=4 * z.statistical)
    assert found.effective["background"] == pytest.approx(ROWS / (SHARES**2).sum(), rel=1e-5)
    assert found.training_effective["background"] == pytest.approx(2 * ROWS, rel=1e-5)
    assert Evaluation.from_json(found.to_json()) == found


def test_figures_by_training_weights_are_asked_for_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "p.h5")
    found = evaluate([path], Classification(weights="training"))
    auc = found.result.discriminations[0].auc
    assert found.result.weights == "training"
    assert auc.value == pytest.approx(area(np.array([0.5, 0.5])), abs=4 * auc.statistical)
    # The sums of weights stay those of events.
    assert found.weights["background"] == pytest.approx(40 * ROWS, rel=1e-5)
    with pytest.raises(DataError, match="training_weight"):
        evaluate([write(tmp_path / "q.h5", training=False)], Classification(weights="training"))
    with pytest.raises(ConfigError, match="numbers of events"):
        Classification(weights="training", significances={"z": COUNTS})


def test_probabilities_are_judged_in_the_mixture_of_the_training(tmp_path: Path) -> None:
    found = evaluate([write(tmp_path / "p.h5")]).result.discriminations[0].calibration
    # Signal and background count alike in training: above ½ it must not look like 0.01 %.
    assert found.observed[-1] > 0.5
    assert sum(found.share) == pytest.approx(1.0)
