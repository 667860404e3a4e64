"""Every class against every other one, and discriminants of one class against each other class.

Rejections, errors and counts are those of two classes (`discriminate`), on the rows of a pair:
- for a class i against a class j, the score is their likelihood ratio, in the order of
  p_i/(p_i + p_j): CMS's CvsL, arXiv:2111.03027;
- a discriminant is one score for all classes, log(p_i / Σ f_j p_j): ATLAS's D_b,
  arXiv:2211.16345. It is evaluated against each other class, including those with fraction 0.
Ratios only require scores that are proportional to probabilities.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rootloom.evaluation.bins import even_edges
from rootloom.evaluation.classification.discriminants import Discriminant
from rootloom.evaluation.classification.discriminate import rejections
from rootloom.evaluation.classification.distributions import efficiency_in_bins
from rootloom.evaluation.classification.options import ClassificationOptions
from rootloom.evaluation.classification.result import (
    ClassProfile,
    DiscriminantResult,
    PairRejection,
)
from rootloom.evaluation.classification.sample import Sample
from rootloom.evaluation.roc import passing, roc

# The logarithm of a ratio with a zero in numerator or denominator: beyond all finite logarithms,
# since that of the smallest float64 is −744.
MAX_LOG_RATIO = 1000.0


@dataclass(frozen=True)
class Scores:
    """One member. probability: (R, C) float64; truth, weight, id: (R,); aux: name → (R,)."""

    probability: np.ndarray
    truth: np.ndarray
    weight: np.ndarray
    id: np.ndarray
    aux: Mapping[str, np.ndarray]


def log_ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """log(above/below) of probabilities (R,) float64, always finite; equal ratios stay equal.

    x/0 gives `MAX_LOG_RATIO`, 0/x gives −`MAX_LOG_RATIO`, and 0/0 gives 0. Nothing is added to
    numerator or denominator, so rows with a zero are beyond all others and tied with each other.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = np.log(above / below)  # one division, so that equal ratios stay equal
    return np.clip(np.where(np.isnan(ratio), 0.0, ratio), -MAX_LOG_RATIO, MAX_LOG_RATIO)


def mixture(probability: np.ndarray, fractions: Sequence[float]) -> np.ndarray:
    """Σ f_j p_j (R,) of probability (R, C) and fractions (C,), 0 for the signal.

    Class by class, because a matrix product may round equal rows differently.
    """
    total = np.zeros(len(probability))
    for number, fraction in enumerate(fractions):
        total += fraction * probability[:, number]
    return total


def pair_rejections(
    members: Sequence[Scores], classes: Sequence[str], options: ClassificationOptions
) -> tuple[PairRejection, ...]:
    """Rejection of each class at fixed efficiencies of each other, by their likelihood ratio."""
    found = []
    for signal, background in _pairs(len(classes)):
        scores = [
            log_ratio(m.probability[:, signal], m.probability[:, background]) for m in members
        ]
        samples = _samples(members, scores, signal, background, classes)
        points, _ = rejections(samples, options)
        found.append(PairRejection(classes[signal], classes[background], points))
    return tuple(found)


def discriminant_results(
    members: Sequence[Scores], classes: Sequence[str], options: ClassificationOptions
) -> tuple[DiscriminantResult, ...]:
    """Results of the configured discriminants, whose names were checked."""
    return tuple(
        _discriminant(name, one, members, classes, options)
        for name, one in options.discriminants.items()
    )


def _discriminant(
    name: str,
    discriminant: Discriminant,
    members: Sequence[Scores],
    classes: Sequence[str],
    options: ClassificationOptions,
) -> DiscriminantResult:
    signal = classes.index(discriminant.signal)
    fractions = [float(discriminant.fractions.get(one, 0.0)) for one in classes]
    scores = [
        log_ratio(m.probability[:, signal], mixture(m.probability, fractions)) for m in members
    ]
    against = []
    for background in (number for number in range(len(classes)) if number != signal):
        samples = _samples(members, scores, signal, background, classes)
        points, curve = rejections(samples, options)
        against.append(PairRejection(classes[signal], classes[background], points, curve))
    return DiscriminantResult(
        name=name,
        signal=discriminant.signal,
        fractions={n: f for n, f in zip(classes, fractions, strict=True) if f > 0},
        against=tuple(against),
        profiles=tuple(
            _profile(members[0], scores[0], signal, classes, variable, options)
            for variable in options.profiles
        ),
    )


def _pairs(number: int) -> Iterator[tuple[int, int]]:
    """(signal, background), all ordered pairs of different classes."""
    return ((i, j) for i in range(number) for j in range(number) if i != j)


def _samples(
    members: Sequence[Scores],
    scores: Sequence[np.ndarray],
    signal: int,
    background: int,
    classes: Sequence[str],
) -> list[Sample]:
    """The rows of two classes, with these scores (R,), one array per member."""
    found = []
    for member, score in zip(members, scores, strict=True):
        rows = (member.truth == signal) | (member.truth == background)
        names = (classes[signal], classes[background])
        is_signal, weight = member.truth[rows] == signal, member.weight[rows]
        # Training weights are only for calibrations, which pairs do not have.
        sample = Sample(score[rows], is_signal, weight, member.id[rows], {}, names, training=weight)
        found.append(sample)
    return found


def _profile(
    member: Scores,
    score: np.ndarray,
    signal: int,
    classes: Sequence[str],
    variable: str,
    options: ClassificationOptions,
) -> ClassProfile:
    """Efficiencies of all classes above one threshold, in bins with equal numbers of rows.

    For the first member; rows whose variable is not finite are left out of the bins, and rows tied
    at the threshold pass in part.
    """
    curve = roc(score, member.truth == signal, member.weight)
    passed = passing(score, curve, options.profile_at)
    values = member.aux[variable].astype(np.float64)
    edges = even_edges(values, options.profile_bins)
    efficiency = {}
    for number, name in enumerate(classes):
        rows = member.truth == number
        bins = efficiency_in_bins(values[rows], passed[rows], member.weight[rows], edges)
        efficiency[name] = bins
    return ClassProfile(variable, options.profile_at, tuple(edges.tolist()), efficiency)
