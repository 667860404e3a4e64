"""From prediction files to figures with errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from rootloom.errors import DataError, nearest
from rootloom.evaluation.discriminate import Sample, discriminate
from rootloom.evaluation.members import summarise
from rootloom.evaluation.metrics import accuracy, require_class
from rootloom.evaluation.predictions import Predictions, read_predictions
from rootloom.evaluation.results import Evaluation, Measurement
from rootloom.evaluation.significance import Counts
from rootloom.shards.ids import fold_of


@dataclass(frozen=True)
class EvaluationOptions:
    """How scores become figures.

    working_points: signal efficiencies in (0, 1] at which the rejection is quoted.
    bootstrap: replicas of a Poisson bootstrap for the quoted errors; 0 takes the formulas.
    significances: expected numbers of events by name, see `significance`.
    profiles: auxiliary columns in whose bins efficiencies are shown at `profile_at`.
    """

    working_points: tuple[float, ...] = (0.3, 0.5, 0.8)
    bootstrap: int = 0
    seed: int = 1
    curve_points: int = 200
    histogram_bins: int = 50
    calibration_bins: int = 15
    profiles: tuple[str, ...] = ()
    profile_bins: int = 8
    profile_at: float = 0.5
    significances: Mapping[str, Counts] = field(default_factory=dict)


def evaluate(
    prediction_paths: Sequence[str | Path],
    options: EvaluationOptions | None = None,
    held_out: Sequence[str | Path] = (),
) -> Evaluation:
    """Figures of one method from the prediction files of its members.

    held_out: predictions of the same members for rows of which member m left out fold m.

    Raises InputError for a file that cannot be used, DataError when the members do not belong
    together, a class has no rows, or a score or weight is not finite (naming the first row).
    """
    options = options or EvaluationOptions()
    members = [_read(path, options) for path in prediction_paths]
    _require_alike(prediction_paths, members)
    header, rows = members[0].header, members[0].rows
    for index, name in enumerate(header.classes):
        of_class = rows.weight[rows.truth == index]
        require_class(f"class '{name}'", int((of_class != 0).sum()), float(of_class.sum()))
    binary = len(header.classes) == 2
    positives = (header.signal,) if binary else header.classes
    seconds = [m.header.training_seconds for m in members]
    known = [s for s in seconds if s is not None]
    return Evaluation(
        experiment=header.experiment,
        method=header.method,
        split=header.split,
        classes=header.classes,
        signal=header.signal,
        members=tuple(m.header.member for m in members),
        parameters=header.parameters,
        training_seconds=float(np.mean(known)) if known else None,
        rows={n: int((rows.truth == i).sum()) for i, n in enumerate(header.classes)},
        weights={
            n: float(rows.weight[rows.truth == i].sum(dtype=np.float64))
            for i, n in enumerate(header.classes)
        },
        accuracy=_accuracy(members),
        discriminations=tuple(
            discriminate(positive, [_sample(m, positive) for m in members], options)
            for positive in positives
        ),
        ensemble=tuple(
            discriminate(positive, [_sample(_mean(members), positive)], options)
            for positive in positives
            if len(members) > 1
        ),
        cross_validation=tuple(
            discriminate(positive, [_sample(_unseen(held_out, options), positive)], options)
            for positive in positives
            if held_out
        ),
        provenance=dict(header.provenance),
    )


def _read(path: str | Path, options: EvaluationOptions) -> Predictions:
    found = read_predictions(path)
    rows, header = found.rows, found.header
    for name, values in (("score", rows.scores), ("weight", rows.weight)):
        finite = np.isfinite(values)
        finite = finite.all(axis=1) if finite.ndim == 2 else finite
        if not finite.all():
            row = int(np.argmin(finite))
            raise DataError(
                f"{path}: {name}",
                expected="finite numbers",
                found=f"{int((~finite).sum())} rows without; the first is "
                f"{rows.describe(row, header.files)}",
                fix="look at the inputs of that row" if name == "score" else "check the weights",
            )
    for variable in options.profiles:
        if variable not in rows.aux:
            raise DataError(
                f"{path}: aux/{variable}",
                expected="an auxiliary column to profile",
                found="no such column",
                fix=nearest(variable, rows.aux),
            )
    return found


def _require_alike(paths: Sequence[str | Path], members: Sequence[Predictions]) -> None:
    first = members[0]
    identity = np.sort(first.rows.id)
    for path, other in zip(paths[1:], members[1:], strict=True):
        for name in ("method", "classes", "signal", "split", "columns"):
            ours, theirs = getattr(first.header, name), getattr(other.header, name)
            if ours != theirs:
                raise DataError(
                    str(path),
                    expected=f"{name} {ours!r}, as in {paths[0]}",
                    found=repr(theirs),
                    fix="evaluate members of one method together, others apart",
                )
        if not np.array_equal(identity, np.sort(other.rows.id)):
            raise DataError(
                str(path),
                expected=f"the {len(first.rows)} rows of {paths[0]}",
                found=f"{len(other.rows)} rows that are not the same ones",
                fix="predict all members on the same split of the same data",
            )


def _mean(members: Sequence[Predictions]) -> Predictions:
    """The members' mean scores, row by row; they may list their rows in different orders."""
    first = members[0]
    place = np.argsort(np.argsort(first.rows.id, kind="stable"), kind="stable")
    scores = [m.rows.scores[np.argsort(m.rows.id, kind="stable")][place] for m in members]
    mean = np.stack(scores).mean(axis=0, dtype=np.float64)
    return replace(first, rows=replace(first.rows, scores=mean))


def _unseen(paths: Sequence[str | Path], options: EvaluationOptions) -> Predictions:
    """Each row's score by the one member that did not train on it."""
    members = [_read(path, options) for path in paths]
    _require_alike(paths, members)
    orders = [np.argsort(m.rows.id, kind="stable") for m in members]
    place = np.argsort(orders[0], kind="stable")
    fold = fold_of(members[0].rows.id, len(members))
    scores = np.stack([m.rows.scores[o][place] for m, o in zip(members, orders, strict=True)])
    rows = replace(members[0].rows, scores=scores[fold, np.arange(len(fold))])
    return replace(members[0], rows=rows)


def _sample(member: Predictions, positive: str) -> Sample:
    header, rows = member.header, member.rows
    return Sample(
        score=rows.scores[:, _column(header.columns, positive, member)].astype(np.float64),
        signal=rows.truth == header.classes.index(positive),
        weight=rows.weight.astype(np.float64),
        id=rows.id,
        aux=rows.aux,
        names=(positive, _rest(header.classes, positive)),
    )


def _rest(classes: Sequence[str], positive: str) -> str:
    others = [name for name in classes if name != positive]
    return others[0] if len(others) == 1 else "rest"


def _column(columns: Sequence[str], positive: str, member: Predictions) -> int:
    if len(member.header.classes) == 2 and "score" in columns:
        return list(columns).index("score")
    wanted = f"score_{positive}"
    if wanted not in columns:
        raise DataError(
            f"scores of '{member.header.method}'",
            expected=f"a column '{wanted}'",
            found=f"columns {list(columns)}",
            fix=nearest(wanted, columns),
        )
    return list(columns).index(wanted)


def _accuracy(members: Sequence[Predictions]) -> Measurement | None:
    values = [_member_accuracy(m) for m in members]
    if any(v is None for v in values):
        return None
    # The binomial error of a weighted share, at the effective number of rows.
    weight = members[0].rows.weight.astype(np.float64)
    rows = weight.sum() ** 2 / (weight**2).sum()
    return summarise(values, [float(np.sqrt(v * (1 - v) / rows)) for v in values if v is not None])


def _member_accuracy(member: Predictions) -> float | None:
    """Share of rows in their most probable class; None when scores are not probabilities."""
    header, rows = member.header, member.rows
    if rows.scores.min() < 0 or rows.scores.max() > 1:
        return None
    if len(header.classes) == 2:
        signal = header.classes.index(header.signal)
        score = rows.scores[:, _column(header.columns, header.signal, member)]
        predicted = np.where(score >= 0.5, signal, 1 - signal)
    else:
        order = [_column(header.columns, name, member) for name in header.classes]
        predicted = np.argmax(rows.scores[:, order], axis=1)
    return accuracy(predicted, rows.truth, rows.weight)
