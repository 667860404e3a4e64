"""One class against the rest: everything an evaluation says about one score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rootloom.evaluation.bootstrap import poisson_bootstrap
from rootloom.evaluation.classification_results import Curve, Discrimination, WorkingPoint
from rootloom.evaluation.distributions import calibrate, histogram, is_probability, profile
from rootloom.evaluation.members import summarise
from rootloom.evaluation.metrics import Roc, roc, significance_improvement
from rootloom.evaluation.options import ClassificationOptions
from rootloom.evaluation.significance import Sampled, measure
from rootloom.evaluation.uncertainties import (
    BackgroundAt,
    auc_error,
    background_at,
    rejection_limit,
)


@dataclass(frozen=True)
class Sample:
    """score, weight: (R,) float64; signal: (R,) bool; aux: name → (R,).

    id: (R,) uint64, of the rows' events. names: (signal, rest).
    """

    score: np.ndarray
    signal: np.ndarray
    weight: np.ndarray
    id: np.ndarray
    aux: Mapping[str, np.ndarray]
    names: tuple[str, str]


@dataclass(frozen=True)
class _Member:
    curve: Roc
    auc_error: float
    at: BackgroundAt


def discriminate(
    positive: str, samples: Sequence[Sample], options: ClassificationOptions
) -> Discrimination:
    """Figures of class `positive` against all others, from one sample a member."""
    members = [_measure(sample, options) for sample in samples]
    probability = all(is_probability(sample.score) for sample in samples)
    return Discrimination(
        positive=positive,
        auc=summarise([m.curve.auc for m in members], [m.auc_error for m in members]),
        working_points=tuple(
            _working_point(index, target, members)
            for index, target in enumerate(options.working_points)
        ),
        curve=_decimate([m.curve for m in members], options.curve_points),
        scores=histogram(samples, options.histogram_bins),
        calibration=calibrate(samples, options.calibration_bins) if probability else None,
        profiles=tuple(
            profile(samples[0], members[0].curve, name, options.profile_bins, options.profile_at)
            for name in options.profiles
        ),
        significances=tuple(
            measure(
                name,
                [Sampled(s.score, s.signal, s.weight, s.id) for s in samples],
                [m.curve for m in members],
                counts,
                options.curve_points,
            )
            for name, counts in options.significances.items()
        ),
    )


def _measure(sample: Sample, options: ClassificationOptions) -> _Member:
    curve = roc(sample.score, sample.signal, sample.weight)
    targets = np.asarray(options.working_points, dtype=np.float64)
    at, error = background_at(curve, targets), auc_error(curve)
    if options.bootstrap > 0:
        error, background_error = poisson_bootstrap(
            sample.score,
            sample.signal,
            sample.weight,
            targets,
            replicas=options.bootstrap,
            seed=options.seed,
        )
        at = BackgroundAt(at.efficiency, background_error, at.threshold, at.count, at.effective)
    return _Member(curve, error, at)


def _working_point(index: int, target: float, members: Sequence[_Member]) -> WorkingPoint:
    efficiency = [float(m.at.efficiency[index]) for m in members]
    error = [float(m.at.error[index]) for m in members]
    relative = [s / e if e > 0 else None for e, s in zip(efficiency, error, strict=True)]
    rejection = [1 / e if e > 0 else None for e in efficiency]
    sic = significance_improvement(target, np.array(efficiency))
    improvement = [float(value) if np.isfinite(value) else None for value in sic]
    background = members[0].curve.background
    return WorkingPoint(
        signal_efficiency=target,
        background_efficiency=summarise(efficiency, error),
        rejection=summarise(rejection, _product(rejection, relative, 1.0)),
        at_least=None if all(rejection) else rejection_limit(members[0].curve),
        significance_improvement=summarise(improvement, _product(improvement, relative, 0.5)),
        background_count=float(np.mean([m.at.count[index] for m in members])),
        background_effective=float(np.mean([m.at.effective[index] for m in members])),
        background_total=int(background.count[-1]),
        threshold=tuple(float(m.at.threshold[index]) for m in members),
    )


def _product(
    values: Sequence[float | None], relative: Sequence[float | None], power: float
) -> list[float | None]:
    return [
        None if v is None or r is None else power * v * r
        for v, r in zip(values, relative, strict=True)
    ]


def _decimate(curves: Sequence[Roc], points: int) -> Curve:
    targets = np.arange(1, points + 1) / points
    at = [background_at(curve, targets) for curve in curves]
    return Curve(
        signal_efficiency=tuple(targets.tolist()),
        background_efficiency=tuple(np.median([a.efficiency for a in at], axis=0).tolist()),
        error=tuple(np.mean([a.error for a in at], axis=0).tolist()),
    )
