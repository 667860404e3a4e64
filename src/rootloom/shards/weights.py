"""The two weights of a row.

The *event weight* is physics: the dataset's `weight`, signed, times the normalisation of the row's
sample. Evaluation and reports use it, except calibrations, which use the training weight. The
*training weight* is a choice: by default |event weight| × class balance × kinematic reweighting.
Both follow from a row's columns and from sums over all rows. The mean of the absolute training
weight over the training split is 1, so that a step need only count rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from rootloom.errors import ConfigError, DataError, nearest
from rootloom.shards.layout import AUXILIARY, SAMPLE, TRAINING_WEIGHT
from rootloom.shards.reweight import Reweight
from rootloom.shards.sums import UNBINNED, SampleSums, code_of
from rootloom.types import Column, dense

if TYPE_CHECKING:
    from rootloom.shards.statistics import Statistics


@dataclass(frozen=True)
class Normalisation:
    """The normalisation of a sample to its expected number of events.

    expected: cross section times luminosity. sum_of_weights: of all its events before any
    selection; None: computed from the files.
    """

    expected: float
    sum_of_weights: float | None = None

    def scale(self, sample: str, counted: float) -> float:
        """Factor on the event weights. Raises DataError for a sum that is not positive."""
        total = counted if self.sum_of_weights is None else self.sum_of_weights
        if not (np.isfinite(total) and total > 0):
            raise DataError(
                f"sample '{sample}': sum of weights before the selection",
                expected="a positive number, to divide the cross section by",
                found="none: the weight is not one finite number an event"
                if np.isnan(total)
                else f"{total:g}",
                fix="check the sample's `weight`, or give `sum_of_weights`: a number, or the "
                "tree and branch that hold it",
            )
        return self.expected / total


def _normalisations(section: Mapping[str, Any]) -> dict[str, Normalisation]:
    return {name: Normalisation(**fields) for name, fields in section["samples"].items()}


@dataclass(frozen=True)
class Weighting:
    """The settings of a dataset's weights.

    balance: every class gets the same sum of training weights, or sums in the proportions given by
    class, 0 for classes that are not named. negative: "absolute" trains on |w|,
    "keep" on w. own: shards hold the dataset's `training_weight`. samples: normalisations by name;
    the event weights of other samples are not scaled.
    """

    balance: bool | Mapping[str, float] = True
    reweight: Reweight | None = None
    negative: Literal["absolute", "keep"] = "absolute"
    own: bool = False
    samples: Mapping[str, Normalisation] = field(default_factory=dict)

    @classmethod
    def of(cls, section: Mapping[str, Any]) -> Self:
        """From the same fields as JSON data."""
        reweight = section["reweight"]
        return cls(
            balance=section["balance"],
            reweight=Reweight(**reweight) if reweight else None,
            negative=section["negative"],
            own=section["own"],
            samples=_normalisations(section),
        )

    @classmethod
    def of_events(cls, section: Mapping[str, Any]) -> Self:
        """The settings that event weights need: only `samples`."""
        return cls(samples=_normalisations(section))

    def scales(self, samples: Mapping[str, SampleSums]) -> dict[str, float]:
        """Factor on the event weights of each sample."""
        return {
            # A sample whose files are all empty has no weights to scale.
            name: self.samples[name].scale(name, sums.sum_of_weights)
            if name in self.samples and sums.entries
            else 1.0
            for name, sums in samples.items()
        }

    def events(self, samples: Mapping[str, SampleSums]) -> EventWeights:
        """The event weights of rows of shards; samples: sums over all rows, by name."""
        return EventWeights(self.scales(samples) if self.samples else {})


@dataclass(frozen=True)
class EventWeights:
    """Event weights of rows. scales: by sample; empty if no sample is normalised."""

    scales: Mapping[str, float] = field(default_factory=dict)

    @property
    def reads(self) -> tuple[str, ...]:
        """The shard columns that they are made of."""
        return ("weight", SAMPLE) if self.scales else ("weight",)

    def of(self, columns: Mapping[str, Column]) -> np.ndarray:
        """Event weights (R,) float32 of rows with these columns (R,)."""
        weight = np.asarray(dense(columns, "weight"), np.float32)
        if not self.scales:
            return weight
        codes, values = self._codes
        sample = dense(columns, SAMPLE)
        at = np.minimum(np.searchsorted(codes, sample), len(codes) - 1)
        if not np.array_equal(codes[at], sample):
            raise DataError(
                "samples of the rows",
                expected=f"those of the statistics: {', '.join(self.scales)}",
                found="rows of another sample",
                fix="delete shards made with another configuration",
            )
        return (weight * values[at]).astype(np.float32)

    @cached_property
    def _codes(self) -> tuple[np.ndarray, np.ndarray]:
        """Codes of the samples, ascending, and their scales."""
        pairs = sorted((code_of(name), scale) for name, scale in self.scales.items())
        return np.array([c for c, _ in pairs], np.uint32), np.array([s for _, s in pairs])


@dataclass(frozen=True)
class Capped:
    """A class for which the cap limits the reweighting.

    bins: number of limited bins. undone: the share of its training weight that would have to change
    bins to reach the target, ½ Σ |density − target|.
    """

    label: str
    bins: int
    undone: float


@dataclass(frozen=True)
class WeightTable:
    """Training weights of rows from their columns, and the event weights they come from.

    factors: (K, bins), on the absolute or signed base weight. capped: classes that do not reach
    the target of the reweighting. effective: (K,), (Σt)²/Σt² of training weights t of "train".
    """

    factors: np.ndarray
    weighting: Weighting = Weighting()
    events: EventWeights = EventWeights()
    capped: tuple[Capped, ...] = ()
    effective: tuple[float, ...] = ()

    @property
    def variables(self) -> tuple[str, ...]:
        """The auxiliary columns that the reweighting reads, if any."""
        return self.weighting.reweight.variables if self.weighting.reweight else ()

    @property
    def reads(self) -> tuple[str, ...]:
        """The shard columns that weights are made of."""
        own = [TRAINING_WEIGHT] if self.weighting.own else []
        auxiliary = [AUXILIARY + name for name in self.variables]
        return ("label", *self.events.reads, *own, *auxiliary)

    def shortfalls(self) -> list[str]:
        """One sentence for each class that does not reach the target because of the cap."""
        reweight = self.weighting.reweight
        if reweight is None:
            return []
        return [
            f"{one.label}: {one.bins} of {reweight.inside} bins of {' × '.join(self.variables)} "
            f"hold too few rows for the {_limit(reweight)}; {one.undone:.1%} of the class's "
            "training weight would have to change bins to reach the target"
            for one in self.capped
        ]

    def training(
        self, columns: Mapping[str, Column], events: np.ndarray | None = None
    ) -> np.ndarray:
        """Training weights (R,) float32 of rows with these columns (R,).

        events: their event weights, where these are known.
        """
        if self.weighting.own:
            base = dense(columns, TRAINING_WEIGHT)
        else:
            base = self.events.of(columns) if events is None else events
        if self.weighting.negative == "absolute":
            base = np.abs(base)
        values = [dense(columns, AUXILIARY + name) for name in self.variables]
        factor = self.factor(dense(columns, "label"), *values)
        found: np.ndarray = (base * factor).astype(np.float32)
        return found

    def factor(self, label: np.ndarray, *values: np.ndarray) -> np.ndarray:
        """Balance times reweighting (R,) float32, of labels (R,) and variables (R,)."""
        reweight = self.weighting.reweight
        if reweight is None:
            return self.factors[label, 0].astype(np.float32)
        return self.factors[label, reweight.bin_of(*values)].astype(np.float32)

    @classmethod
    def from_statistics(
        cls, statistics: Statistics, *, dataset: str, weighting: Weighting = Weighting()
    ) -> WeightTable:
        """The table for a dataset's training split.

        Within a class a bin's factor is target density / class density, at most `cap`, or the limit
        of `threshold`. A bin without training weight gets this limit if the target has weight there
        and 0 otherwise; a bin with a negative sum of weights gets 0, and so do values that are left
        out. Then each class is scaled to its own sum of weights or, with `balance`, to that of the
        others or its proportion; finally all are scaled so that the mean of the absolute training
        weight is 1.
        Raises DataError if nothing is selected, if fewer than two classes (or the only one)
        have weight, if `balance` gives all of these 0, or if the statistics lack the histogram;
        ConfigError if the target is not a class.
        """
        reweight, scales = weighting.reweight, weighting.scales(statistics.samples)
        signed, absolute, squares = _base_sums(statistics, dataset, weighting, scales)
        sums = absolute if weighting.negative == "absolute" else signed
        totals = sums.sum(axis=1)
        _check_classes(statistics, dataset, totals)
        populated = totals > 0
        factors, target = np.zeros_like(sums), _target(statistics, sums, reweight)
        factors[populated] = _ratios(sums[populated], target, reweight)
        after = (factors * sums).sum(axis=1)
        _check_overlap(statistics, reweight, populated & ~(after > 0))
        wanted = _wanted(statistics.classes, totals, weighting.balance, dataset)
        factors[populated] *= (wanted[populated] / after[populated])[:, None]
        factors *= statistics.rows[0].sum() / (factors * absolute).sum()
        capped = _capped(statistics.classes, sums, factors, target, reweight)
        together, alone = (factors * sums).sum(axis=1), (factors**2 * squares).sum(axis=1)
        effective = np.divide(together**2, alone, out=np.zeros_like(alone), where=alone > 0)
        return cls(
            factors,
            weighting,
            weighting.events(statistics.samples),
            capped,
            tuple(effective.tolist()),
        )


def _limit(reweight: Reweight) -> str:
    if reweight.threshold is None:
        return f"cap of {reweight.cap:g}"
    return f"threshold of {reweight.threshold:g} %"


def _wanted(
    classes: Sequence[str],
    totals: np.ndarray,
    balance: bool | Mapping[str, float],
    dataset: str,
) -> np.ndarray:
    """Sums of training weights that the classes shall have, (K,), before all are scaled."""
    if not isinstance(balance, Mapping):
        return np.full(len(totals), totals[totals > 0].mean()) if balance else totals
    shares = np.array([balance.get(name, 0.0) for name in classes])
    if not (shares * (totals > 0)).sum() > 0:
        weights = (f"{name}: {w:g}" for name, w in zip(classes, totals, strict=True))
        raise DataError(
            f"dataset '{dataset}': balance",
            expected="a positive number for a class with a positive sum of weights",
            found=f"{dict(balance)}, and sums of weights {', '.join(weights)}",
            fix="give one of these classes a positive number",
        )
    return shares


def _base_sums(
    statistics: Statistics, dataset: str, weighting: Weighting, scales: Mapping[str, float]
) -> np.ndarray:
    """Sums (3, K, bins) of b, |b| and b² over the training split, of all samples together.

    b: the base of the training weight, before balance and reweighting. Raises DataError when there
    are no rows, or no sums in the bins of the reweighting.
    """
    if statistics.rows[0].sum() == 0:
        raise DataError(
            f"dataset '{dataset}', split 'train'",
            expected="selected rows to train on",
            found="none",
            fix="loosen the selection, add files, or give 'train' a larger share of the splits",
        )
    key = weighting.reweight.key if weighting.reweight else UNBINNED
    found = None
    for name, sums in sorted(statistics.samples.items()):
        if not sums.rows[0].sum():
            continue
        if key not in sums.training:
            raise DataError(
                f"dataset '{dataset}': statistics",
                expected=f"a histogram {key}",
                found=f"{len(sums.training)} others",
                fix=nearest(key, sums.training),
            )
        scale = 1.0 if weighting.own else scales[name]
        scaled = sums.training[key] * np.array([scale, abs(scale), scale**2])[:, None, None]
        found = scaled if found is None else found + scaled
    assert found is not None
    return found


def _check_classes(statistics: Statistics, dataset: str, totals: np.ndarray) -> None:
    # A dataset of one class trains on it alone; of several classes, two must have weight.
    least = min(2, len(totals))
    if (totals > 0).sum() < least:
        counts = zip(statistics.classes, statistics.rows[0], totals, strict=True)
        raise DataError(
            f"dataset '{dataset}', split 'train'",
            expected=f"at least {('one class', 'two classes')[least - 1]} "
            "with a positive sum of weights",
            found="; ".join(f"{name}: {rows} rows, weight {w:g}" for name, rows, w in counts),
            fix="check the label expressions, the selection and the weights",
        )


def _target(statistics: Statistics, sums: np.ndarray, reweight: Reweight | None) -> np.ndarray:
    """Target density over bins, (bins,), of all classes."""
    inside = np.arange(sums.shape[1]) < (reweight.inside if reweight else 1)
    if reweight is None or reweight.target == "flat":
        return inside / inside.sum()
    if reweight.target not in statistics.classes:
        raise ConfigError(
            reweight.where,
            expected="target 'flat' or the name of a class",
            found=f"'{reweight.target}'",
            fix=nearest(reweight.target, [*statistics.classes, "flat"]),
        )
    reference = np.maximum(sums[statistics.classes.index(reweight.target)], 0.0) * inside
    if reference.sum() == 0:
        raise DataError(
            reweight.where,
            expected=f"training rows of the target class '{reweight.target}'",
            found="none",
        )
    return reference / reference.sum()


def _ratios(sums: np.ndarray, target: np.ndarray, reweight: Reweight | None) -> np.ndarray:
    """Target density over each class's density, (K, bins), capped."""
    if reweight is None:
        return np.ones_like(sums)
    found, inside = np.zeros_like(sums), slice(reweight.inside)
    for factors, own in zip(found[:, inside], sums[:, inside], strict=True):
        if own.sum() > 0:  # else a class whose rows are all left out, which is refused
            ratio, limit = _ratio(own, target[inside], reweight)
            factors[:] = np.minimum(ratio, limit)
    return found


def _ratio(own: np.ndarray, target: np.ndarray, reweight: Reweight) -> tuple[np.ndarray, float]:
    """Target density over that of one class, (inside,), and its limit, which empty bins have."""
    density = np.maximum(own, 0.0) / own.sum()
    ratio = np.divide(target, density, out=np.zeros_like(density), where=density > 0)
    limit = reweight.limit(density, ratio)
    return np.where((target > 0) & (own == 0), limit, ratio), limit


def _check_overlap(statistics: Statistics, reweight: Reweight | None, without: np.ndarray) -> None:
    if reweight is not None and without.any():
        names = [name for name, bad in zip(statistics.classes, without, strict=True) if bad]
        raise DataError(
            reweight.where,
            expected=f"classes that share bins with the target '{reweight.target}'",
            found=f"no common bin for {', '.join(names)}",
            fix="widen the bins or choose the target 'flat'",
        )


def _capped(
    classes: tuple[str, ...],
    sums: np.ndarray,
    factors: np.ndarray,
    target: np.ndarray,
    reweight: Reweight | None,
) -> tuple[Capped, ...]:
    """Classes with bins whose ratio to the target exceeds the cap or the limit of the threshold."""
    found: list[Capped] = []
    for name, own, factor in zip(classes, sums, factors, strict=True):
        if reweight is None or not own[: reweight.inside].sum() > 0:
            continue
        own, wanted = own[: reweight.inside], target[: reweight.inside]
        _, limit = _ratio(own, wanted, reweight)
        # No factor can fill an empty bin: it counts as limited.
        bins = int((wanted * own.sum() > limit * np.maximum(own, 0.0)).sum())
        after = np.maximum(own * factor[: reweight.inside], 0.0)
        if bins and after.sum() > 0:
            undone = 0.5 * float(np.abs(after / after.sum() - wanted).sum())
            found.append(Capped(name, bins, undone))
    return tuple(found)
