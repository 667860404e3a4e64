"""One class against the rest: all metrics of one score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rootloom.evaluation.classification.bootstrap import poisson_bootstrap
from rootloom.evaluation.classification.distributions import calibrate, histogram, profile
from rootloom.evaluation.classification.options import ClassificationOptions
from rootloom.evaluation.classification.result import Curve, Discrimination, WorkingPoint
from rootloom.evaluation.classification.sample import Sample
from rootloom.evaluation.classification.significance import Sampled, measure
from rootloom.evaluation.members import known, summarise
from rootloom.evaluation.roc import Roc, roc, significance_improvement
from rootloom.evaluation.uncertainties import (
    CANCELS,
    NONE_LEFT,
    BackgroundAt,
    auc_error,
    auc_limit,
    background_at,
    no_auc_error,
    no_background_error,
    rejection_limit,
)


@dataclass(frozen=True)
class _Member:
    """Metrics of one member. auc_error: NaN if there is none."""

    curve: Roc
    auc_error: float
    at: BackgroundAt


def discriminate(
    positive: str, samples: Sequence[Sample], options: ClassificationOptions
) -> Discrimination:
    """Metrics of class `positive` against all others, from one sample per member."""
    members = [_measure(sample, options) for sample in samples]
    probability = all(sample.probability for sample in samples)
    return Discrimination(
        positive=positive,
        auc=summarise(
            [m.curve.auc for m in members],
            [known(m.auc_error) for m in members],
            limits=[auc_limit(m.curve) for m in members],
            why=[no_auc_error(m.curve) for m in members],
        ),
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
        at = replace(at, error=background_error)
        # All replicas of separated classes are separated: their spread of zero is no error.
        error = error if no_auc_error(curve) is None else np.nan
    return _Member(curve, error, at)


def _working_point(index: int, target: float, members: Sequence[_Member]) -> WorkingPoint:
    why = [no_background_error(m.curve, m.at, index) for m in members]
    limits = [
        rejection_limit(m.curve) if reason == NONE_LEFT else None
        for m, reason in zip(members, why, strict=True)
    ]
    efficiency = [float(m.at.efficiency[index]) for m in members]
    positive = [
        None if reason in (NONE_LEFT, CANCELS) else e
        for e, reason in zip(efficiency, why, strict=True)
    ]
    error = [
        None if reason else float(m.at.error[index]) for m, reason in zip(members, why, strict=True)
    ]
    relative = [
        None if e is None or s is None else s / e for e, s in zip(positive, error, strict=True)
    ]
    rejection = [None if e is None else 1 / e for e in positive]
    improvement = [
        None if e is None else float(significance_improvement(target, np.array(e)))
        for e in positive
    ]
    background = members[0].curve.background
    return WorkingPoint(
        signal_efficiency=target,
        background_efficiency=summarise(efficiency, error, why=why),
        rejection=summarise(
            rejection,
            _product(rejection, relative, 1.0),
            limits=limits,
            why=[
                f"{NONE_LEFT}; too few for a limit" if reason == NONE_LEFT and not limit else reason
                for limit, reason in zip(limits, why, strict=True)
            ],
        ),
        significance_improvement=summarise(
            improvement, _product(improvement, relative, 0.5), why=why
        ),
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


def rejections(
    samples: Sequence[Sample], options: ClassificationOptions
) -> tuple[tuple[WorkingPoint, ...], Curve]:
    """Rejections of one class at the working points, and the ROC curve; one sample per member."""
    members = [_measure(sample, options) for sample in samples]
    points = (_working_point(n, at, members) for n, at in enumerate(options.working_points))
    return tuple(points), _decimate([m.curve for m in members], options.curve_points)
