"""Comparison of generated and real examples, after CaloChallenge (arXiv:2410.21611)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import numpy as np
from pydantic import Field

from rootloom.errors import DataError
from rootloom.evaluation.generation.marginals import Marginals, compare_marginals
from rootloom.evaluation.generation.physics_distance import (
    frechet_physics_distance,
    kernel_physics_distance,
)
from rootloom.evaluation.generation.relations import (
    Correlations,
    Response,
    compare_correlations,
    compare_responses,
    condition_edges,
    response_in_bins,
)
from rootloom.evaluation.generation.samples import Samples, mean_of
from rootloom.evaluation.generation.two_sample import classifier_auc
from rootloom.evaluation.measurement import Estimate
from rootloom.evaluation.roc import require_class

# With fewer examples, halves, batches and bins have too few.
LEAST = 50


@dataclass(frozen=True)
class FidelityOptions:
    """Options of the comparison.

    bins: of each feature's histogram; response_bins: of the condition that the response answers to;
    bootstrap: replicas behind the errors; seed: of them, of batches and of the classifiers;
    trainings: of each classifier, whose spread is part of its AUC's error.
    """

    bins: Annotated[int, Field(gt=1)] = 50
    response_bins: Annotated[int, Field(gt=0)] = 8
    bootstrap: Annotated[int, Field(gt=1)] = 100
    trainings: Annotated[int, Field(gt=1)] = 3
    seed: int = 1


@dataclass(frozen=True)
class Comparison:
    """The comparison of a sample with the real one.

    metrics: by name, see `compare`; marginals: by feature; response: None where the samples have
    none; average: means of the flat inputs, (C,).
    """

    metrics: Mapping[str, Estimate]
    marginals: Mapping[str, Marginals]
    correlations: Correlations
    response: tuple[Response, Response] | None
    average: tuple[np.ndarray, np.ndarray]


def compare(real: Samples, other: Samples, options: FidelityOptions) -> Comparison:
    """All metrics of a sample: the smaller the better; an AUC of 0.5 is ideal.

    separation, wasserstein: means over the features, also one by one ("separation.depth");
    auc_high, auc_low: of classifiers that see the features or the inputs, and the condition;
    fpd, kpd: distances of the features; correlation: the largest difference of two coefficients;
    response, resolution: mean differences of mean and width of response over condition, if there is
    a response. Rows count by their event weights; classifiers learn from the absolute ones.
    Raises DataError for too few rows, no positive sum of weights, and for features that are not
    finite.
    """
    for name, sample in (("real", real), ("generated", other)):
        _check(name, sample)
    seed, bootstrap, weights = options.seed, options.bootstrap, (real.weight, other.weight)
    features = real.features, other.features
    marginals = {
        name: compare_marginals(
            features[0][:, k], features[1][:, k], options.bins, bootstrap, seed, weights
        )
        for k, name in enumerate(real.names)
    }
    correlations = compare_correlations(*features, bootstrap, seed, weights)
    judge = partial(
        classifier_auc,
        condition=(real.condition, other.condition),
        seed=seed,
        trainings=options.trainings,
        weights=weights,
    )
    responses = _responses(real, other, options)
    metrics = {
        "auc_high": judge(*features),
        "auc_low": judge(real.inputs, other.inputs),
        "fpd": frechet_physics_distance(*features, bootstrap, seed, weights),
        "kpd": kernel_physics_distance(*features, seed, weights),
        "correlation": correlations.difference,
        **_of_responses(responses),
        **_of_marginals(marginals),
    }
    averages = (mean_of(real.inputs, real.weight), mean_of(other.inputs, other.weight))
    return Comparison(metrics, marginals, correlations, responses, averages)


def _responses(
    real: Samples, other: Samples, options: FidelityOptions
) -> tuple[Response, Response] | None:
    if real.response is None or other.response is None:
        return None
    edges = condition_edges(real.condition[:, 0], options.response_bins)
    return (
        response_in_bins(real.condition[:, 0], real.response, edges, real.weight),
        response_in_bins(other.condition[:, 0], other.response, edges, other.weight),
    )


def _of_responses(responses: tuple[Response, Response] | None) -> dict[str, Estimate]:
    if responses is None:
        return {}
    return dict(zip(("response", "resolution"), compare_responses(*responses), strict=True))


def _of_marginals(marginals: Mapping[str, Marginals]) -> dict[str, Estimate]:
    metrics: dict[str, Estimate] = {}
    for metric in ("separation", "wasserstein"):
        single = {f"{metric}.{name}": getattr(m, metric) for name, m in marginals.items()}
        values, errors = np.array(list(single.values())).T
        # The features are of the same examples, so their errors do not average out.
        metrics |= {metric: Estimate(float(values.mean()), float(errors.mean())), **single}
    return metrics


def _check(name: str, sample: Samples) -> None:
    what = f"{name} {sample.noun}s"
    if len(sample) < LEAST:
        raise DataError(
            what,
            expected=f"at least {LEAST} to compare",
            found=str(len(sample)),
            fix="more files, or a larger share for this split",
        )
    require_class(what, int((sample.weight != 0).sum()), float(sample.weight.sum()))
    quantities = dict(zip(sample.names, sample.features.T, strict=True))
    for quantity, values in {**quantities, "the inputs": sample.inputs}.items():
        if not np.isfinite(values).all():
            raise DataError(
                f"{what}: {quantity}",
                expected="finite numbers",
                found=f"{int((~np.isfinite(values)).sum())} that are not",
                fix=f"check its expression for empty {sample.noun}s",
            )
