"""Evaluation of predicted numbers, directions, points and tracks: residuals and profiles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, ClassVar, TypeVar

import numpy as np
from pydantic import Field

from rootloom.errors import ConfigError, DataError, nearest, require_known
from rootloom.evaluation.base import Evaluator
from rootloom.evaluation.bins import even_edges, in_bins
from rootloom.evaluation.measurement import Estimate, Measurement
from rootloom.evaluation.members import known, over_members
from rootloom.evaluation.predictions import Predictions
from rootloom.evaluation.regression import resolution
from rootloom.evaluation.regression.result import (
    NumberError,
    NumberProfile,
    RegressionResult,
    Residuals,
    Resolution,
    ResolutionProfile,
    Spread,
)
from rootloom.evaluation.roc import effective_rows
from rootloom.types import TARGET

Triple = tuple[str, str, str]
Number = Annotated[int, Field(gt=0)]
Metric = Callable[[np.ndarray, np.ndarray], Estimate]  # of values and weights (R,)
P = TypeVar("P", ResolutionProfile, NumberProfile)
# Histograms begin at this quantile, and at most this factor below the largest value.
_LOWEST, _DECADES = 0.002, 1e-5
# Share of the rows left out of histograms of residuals on either side, which would hide the rest.
_TAIL_SHARE = 0.005
# More plain numbers are not shown against each other: the number of plots is their square.
_MAX_MUTUAL_PROFILES = 4
FEW_AROUND = "too few different values around the figure"


@dataclass(frozen=True)
class Track:
    """A line. point: targets that are x, y, z of a point on it. direction: of its direction."""

    point: Triple
    direction: Triple


@dataclass(frozen=True)
class Regression(Evaluator):
    """Evaluation of predicted targets.

    directions: targets that are x, y, z of a vector, by name; evaluated by the opening angle to the
    truth, degrees. points: targets that are x, y, z of a point, by name; evaluated by the distance
    to the truth. tracks: lines by name; evaluated by the distance between the points of the true
    and the predicted line that are nearest to the origin, and by the difference of the two lines'
    distances to the origin. All other targets are plain numbers, with bias, root mean square and
    resolution of predicted minus true.
    profiles: true variables against which resolutions are shown: "zenith_NAME" of a direction (0
    comes from +z) and "meridian_NAME" of a point (its longitude's distance to 0), degrees;
    "impact_NAME" of a track, its distance to the origin; or a target. Plain numbers are also shown
    against their own true value and, up to four of them, against each other's. profile_bins: number
    of bins, with equal numbers of rows.
    unit: of points, of tracks' distances and of plain numbers, for all of them or by name:
    {entry: m, energy: GeV}.
    histogram_bins: logarithmic bins, from the lowest 0.2 % of the rows to the highest.
    """

    shown: ClassVar[tuple[str, ...]] = ("resolution.png",)
    names_targets: ClassVar[tuple[str, ...]] = ("directions", "points", "tracks")

    directions: Mapping[str, Triple] = field(default_factory=dict)
    points: Mapping[str, Triple] = field(default_factory=dict)
    tracks: Mapping[str, Track] = field(default_factory=dict)
    profiles: tuple[str, ...] = ()
    unit: str | Mapping[str, str] = ""
    profile_bins: Number = 8
    histogram_bins: Number = 40

    def result(
        self, members: Sequence[Predictions], held_out: Sequence[Predictions]
    ) -> RegressionResult:
        """See `Evaluator`. Raises DataError for a target that is not predicted, or has no rows."""
        samples = [_Sample(member) for member in members]
        total = float(samples[0].weight.sum())
        if not total > 0:
            raise DataError(
                f"predictions of '{members[0].header.method}'",
                expected="at least one row and a positive sum of weights",
                found=f"{len(samples[0].weight)} rows with weights summing to {total:g}",
                fix="check the selection and the weights of this split",
            )
        axes = {name: self._axis(name, samples[0]) for name in self.profiles}
        errors = [self._errors(sample) for sample in samples]
        weights = [sample.weight for sample in samples]
        return RegressionResult(
            resolutions=tuple(
                self._resolution(name, [e[name] for e in errors], weights, axes)
                for name in errors[0]
            ),
            numbers=self._all_numbers(samples, axes),
        )

    def _errors(self, sample: _Sample) -> dict[str, np.ndarray]:
        """Angles and distances (R,) by the names of their metrics."""
        found: dict[str, np.ndarray] = {}
        for name, triple in self.directions.items():
            found[f"angle_{name}"] = resolution.opening_angle(*sample.pair(triple))
        for name, triple in self.points.items():
            found[f"distance_{name}"] = resolution.distance(*sample.pair(triple))
        for name, track in self.tracks.items():
            point, direction = sample.pair(track.point), sample.pair(track.direction)
            ours, true = (
                resolution.nearest_point(*line) for line in zip(point, direction, strict=True)
            )
            found[f"distance_{name}"] = resolution.distance(ours, true)
            radii = np.linalg.norm(ours, axis=1), np.linalg.norm(true, axis=1)
            found[f"impact_{name}"] = np.abs(radii[0] - radii[1])
        return found

    def check_targets(self, targets: Sequence[str], where: str) -> None:
        """Refuse a unit for an unknown name or for an angle; see `EvaluationKind`."""
        known = [*self.points, *self.tracks, *self._numbers(targets)]
        if not isinstance(self.unit, str):
            what = "a point, a track, or a target that is part of neither nor of a direction"
            require_known(self.unit, known, f"{where}.unit", what)
        elif self.unit and not known:
            raise ConfigError(
                f"{where}.unit",
                expected="none, where all targets are of directions: angles are in degrees",
                found=f"'{self.unit}'",
                fix="leave it out",
            )

    def _numbers(self, targets: Sequence[str]) -> list[str]:
        """Targets that are not part of a direction, point or track."""
        tracks = [t for track in self.tracks.values() for t in (track.point, track.direction)]
        parts = [*self.directions.values(), *self.points.values(), *tracks]
        inside = {name for triple in parts for name in triple}
        return [name for name in targets if name not in inside]

    def _axis(self, name: str, sample: _Sample) -> np.ndarray:
        """The variable of a profile, from true values, (R,)."""
        kind, _, of = name.partition("_")
        if kind == "zenith" and of in self.directions:
            return resolution.zenith(sample.true(self.directions[of]))
        if kind == "meridian" and of in self.points:
            return resolution.from_meridian(sample.true(self.points[of]))
        if kind == "impact" and of in self.tracks:
            track = self.tracks[of]
            return resolution.impact(sample.true(track.point), sample.true(track.direction))
        if name in sample.columns:
            return sample.truth_of(name)
        raise ConfigError(
            "evaluation: profiles",
            expected="zenith_DIRECTION, meridian_POINT, impact_TRACK or a target",
            found=f"'{name}'",
            fix=nearest(name, [*self._axes(), *sample.columns]),
        )

    def _unit_of_axis(self, axis: str) -> str:
        if axis not in self._axes():
            return self._unit_of_target(axis)
        kind, _, of = axis.partition("_")
        return self._unit_of(of) if kind == "impact" else "°"

    def _unit_of_target(self, target: str) -> str:
        """The unit of the point or track of which it is a component; "" for directions."""
        ways = [*self.directions.values(), *(track.direction for track in self.tracks.values())]
        if any(target in way for way in ways):
            return ""
        places = {**self.points, **{name: track.point for name, track in self.tracks.items()}}
        return self._unit_of(next((n for n, place in places.items() if target in place), target))

    def _unit_of(self, name: str) -> str:
        """The unit of a point, of a track's distances or of a plain number."""
        return self.unit if isinstance(self.unit, str) else self.unit.get(name, "")

    def _axes(self) -> list[str]:
        parts = (("zenith", self.directions), ("meridian", self.points), ("impact", self.tracks))
        return [f"{kind}_{name}" for kind, named in parts for name in named]

    def _resolution(
        self,
        name: str,
        errors: Sequence[np.ndarray],
        weights: Sequence[np.ndarray],
        axes: Mapping[str, np.ndarray],
    ) -> Resolution:
        pairs = list(zip(errors, weights, strict=True))
        kind, _, of = name.partition("_")
        contained = partial(resolution.quantile, share=resolution.CENTRAL_SHARE)
        return Resolution(
            name=name,
            unit="°" if kind == "angle" else self._unit_of(of),
            mean=_measured(resolution.mean, pairs),
            median=_measured(partial(resolution.quantile, share=0.5), pairs),
            contained=_measured(contained, pairs),
            spread=_spread(np.concatenate(errors), np.concatenate(weights), self.histogram_bins),
            profiles=self._profiles(
                ResolutionProfile, axes, pairs[0], mean=resolution.mean, contained=contained
            ),
        )

    def _profiles(
        self,
        kind: Callable[..., P],
        axes: Mapping[str, np.ndarray],
        sample: tuple[np.ndarray, np.ndarray],
        **metrics: Metric,
    ) -> tuple[P, ...]:
        """Metrics of values and weights (R,) of a member in bins of each axis (R,)."""
        return tuple(
            kind(variable=axis, unit=self._unit_of_axis(axis), **self._binned(of, sample, metrics))
            for axis, of in axes.items()
        )

    def _binned(
        self,
        axis: np.ndarray,
        sample: tuple[np.ndarray, np.ndarray],
        metrics: Mapping[str, Metric],
    ) -> dict[str, tuple]:
        edges = even_edges(axis, self.profile_bins)
        place = in_bins(axis, edges)
        parts = [tuple(x[place == k] for x in sample) for k in range(len(edges) - 1)]
        found = {name: tuple(_plain(of(*part)) for part in parts) for name, of in metrics.items()}
        return {"edges": tuple(edges.tolist()), **found}

    def _all_numbers(
        self, samples: Sequence[_Sample], axes: Mapping[str, np.ndarray]
    ) -> tuple[NumberError, ...]:
        """Results of all plain numbers; axes: variables of profiles in addition to true values."""
        names = self._numbers(samples[0].columns)
        others = names if len(names) <= _MAX_MUTUAL_PROFILES else []
        found = []
        for name in names:
            order = dict.fromkeys((name, *others, *axes))
            truths = {n: axes[n] if n in axes else samples[0].truth_of(n) for n in order}
            found.append(self._number(name, samples, truths))
        return tuple(found)

    def _number(
        self, name: str, samples: Sequence[_Sample], axes: Mapping[str, np.ndarray]
    ) -> NumberError:
        found = [(s.predicted_of(name) - s.truth_of(name), s.weight) for s in samples]
        values, weights = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return NumberError(
            name=name,
            unit=self._unit_of(name),
            bias=_measured(resolution.mean, found),
            rms=_measured(resolution.root_mean_square, found),
            resolution=_measured(resolution.central_width, found),
            residuals=_residuals(values, weights, self.histogram_bins),
            profiles=self._profiles(
                NumberProfile,
                axes,
                found[0],
                bias=resolution.mean,
                resolution=resolution.central_width,
            ),
        )


class _Sample:
    """A member's rows without those of weight 0, in order of ids, equal for all members."""

    def __init__(self, member: Predictions) -> None:
        rows = member.that_count().rows
        order = np.argsort(rows.id, kind="stable")
        self.columns = member.header.columns
        self.weight = rows.weight[order].astype(np.float64)
        self._scores = rows.scores[order]
        self._aux = rows.aux
        self._order, self._method = order, member.header.method

    def predicted_of(self, name: str) -> np.ndarray:
        """(R,) float64."""
        self._require(name, self.columns, "a predicted column")
        return self._scores[:, list(self.columns).index(name)].astype(np.float64)

    def truth_of(self, name: str) -> np.ndarray:
        """(R,) float64."""
        known = [key.removeprefix(TARGET) for key in self._aux if key.startswith(TARGET)]
        self._require(name, known, "a true value, aux/target.NAME,")
        return self._aux[TARGET + name][self._order].astype(np.float64)

    def true(self, triple: Triple) -> np.ndarray:
        """(R, 3)."""
        return np.stack([self.truth_of(name) for name in triple], axis=1)

    def pair(self, triple: Triple) -> tuple[np.ndarray, np.ndarray]:
        """Predicted and true vectors, (R, 3) each."""
        return np.stack([self.predicted_of(name) for name in triple], axis=1), self.true(triple)

    def _require(self, name: str, known: Sequence[str], what: str) -> None:
        if name not in known:
            raise DataError(
                f"predictions of '{self._method}'",
                expected=f"{what} for '{name}'",
                found=f"only {list(known)}",
                fix=nearest(name, known),
            )


def _measured(
    metric: Metric,
    samples: Sequence[tuple[np.ndarray, np.ndarray]],
) -> Measurement:
    """A metric of values and weights (R,), one pair per member, and why it has no error."""
    found = [metric(*sample) for sample in samples]
    why = [
        None if np.isfinite(one.error) else resolution.no_error(*sample) or FEW_AROUND
        for one, sample in zip(found, samples, strict=True)
    ]
    return over_members(found, why)


def _spread(values: np.ndarray, weight: np.ndarray, bins: int) -> Spread:
    """Density of rows in logarithmic bins, because methods differ by factors."""
    top = float(values.max()) or 1.0
    low = resolution.quantile(values, weight, _LOWEST).value
    edges = np.geomspace(np.clip(low, _DECADES * top, 0.5 * top), top, bins + 1)
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges, weights=weight)
    share = counts / weight.sum() / np.log(edges[1] / edges[0])
    return Spread(tuple(edges.tolist()), tuple(share.tolist()))


def _residuals(values: np.ndarray, weight: np.ndarray, bins: int) -> Residuals:
    """Density of rows in bins of equal width, without far rows; fewer bins for few rows."""
    low, high = (
        resolution.quantile(values, weight, q).value for q in (_TAIL_SHARE, 1 - _TAIL_SHARE)
    )
    low, high = low - 0.02 * (high - low), high + 0.02 * (high - low)
    if not low < high:  # all values are equal: one bin as wide as the value, around it
        low, high = low - (0.5 * abs(low) or 0.5), low + (0.5 * abs(low) or 0.5)
    few = int(np.ceil(2 * np.sqrt(effective_rows(weight))))
    edges = np.linspace(low, high, min(bins, max(few, 5)) + 1)
    counts, _ = np.histogram(values, edges, weights=weight)
    share = counts / weight.sum()
    return Residuals(
        edges=tuple(edges.tolist()),
        density=tuple((share / np.diff(edges)).tolist()),
        beyond=float(1.0 - share.sum()),
    )


def _plain(found: Estimate) -> tuple[float | None, float | None]:
    return known(found.value), known(found.error)
