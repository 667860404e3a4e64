"""Metrics with errors from prediction files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from rootloom.errors import DataError
from rootloom.evaluation.base import Evaluator
from rootloom.evaluation.classification.evaluator import Classification
from rootloom.evaluation.predictions import Predictions, read_predictions
from rootloom.evaluation.results import Evaluation
from rootloom.evaluation.roc import effective_rows
from rootloom.types import UNLABELLED

# Only other taggers' files have float64; rootloom's have float32, which is always below.
MAX_WEIGHT = 1e100
MAX_VALUE = 1e150  # of scores and of what rows carry beside them

N = TypeVar("N", int, float)


def evaluate(
    prediction_paths: Sequence[str | Path],
    evaluator: Evaluator | None = None,
    held_out: Sequence[str | Path] = (),
) -> Evaluation:
    """Metrics of one method from the prediction files of its members; by default of classes.

    Raises InputError for a file that cannot be used, DataError if the members do not belong
    together, or if a score or weight is not finite (naming the first row), and the errors of
    `evaluator`.
    """
    members = _members(prediction_paths)
    header, rows = members[0].header, members[0].rows
    counted = members[0].that_count().rows
    seconds = [m.header.training_seconds for m in members]
    known = [s for s in seconds if s is not None]
    return Evaluation(
        experiment=header.experiment,
        method=header.method,
        split=header.split,
        classes=header.classes,
        members=tuple(m.header.member for m in members),
        parameters=header.parameters,
        training_seconds=float(np.mean(known)) if known else None,
        rows=_by_class(header.classes, counted.truth, counted.weight, len, int),
        weights=_by_class(header.classes, counted.truth, counted.weight, np.sum, float),
        effective=_by_class(header.classes, counted.truth, counted.weight, effective_rows, float),
        training_effective={}
        if rows.training_weight is None
        else _by_class(header.classes, rows.truth, rows.training_weight, effective_rows, float),
        negative=_by_class(header.classes, counted.truth, counted.weight < 0, _share, float),
        result=(evaluator or Classification()).result(members, _members(held_out)),
        provenance=dict(header.provenance),
    )


def _by_class(
    classes: Sequence[str],
    truth: np.ndarray,
    values: np.ndarray,
    reduce: Callable[[np.ndarray], float],
    kind: Callable[[float], N],
) -> dict[str, N]:
    """A number for each class, from the values (R,) of its rows."""
    values = values.astype(np.float64)
    return {name: kind(reduce(values[truth == i])) for i, name in enumerate(classes)}


def _share(flags: np.ndarray) -> float:
    return float(flags.mean()) if len(flags) else 0.0


def _members(paths: Sequence[str | Path]) -> list[Predictions]:
    members = [_read(path) for path in paths]
    _require_alike(paths, members)
    return members


def _read(path: str | Path) -> Predictions:
    found = read_predictions(path)
    rows, header = found.rows, found.header
    if header.split == UNLABELLED:
        raise DataError(
            str(path),
            expected="rows whose class is known",
            found="predictions for the rows of no class",
            fix="evaluate those of a split, such as test.h5",
        )
    weights = {"weight": rows.weight, "training_weight": rows.training_weight}
    checked = {n: (w, "check the weights") for n, w in weights.items() if w is not None}
    checked["score"] = rows.scores, "look at the inputs of that row"
    for name, values in rows.aux.items():
        checked[f"aux/{name}"] = values, "leave out the rows in which it is unknown"
    for name, (values, fix) in checked.items():
        finite = np.isfinite(values)
        finite = finite.all(axis=1) if finite.ndim == 2 else finite
        if not finite.all():
            row = int(np.argmin(finite))
            raise DataError(
                f"{path}: {name}",
                expected="finite numbers",
                found=f"{int((~finite).sum())} rows without; the first is "
                f"{rows.describe(row, header.files)}",
                fix=fix,
            )
        if name not in weights:
            _require_in_range(f"{path}: {name}", values)
    for name in weights:
        _require_measurable(f"{path}: {name}", weights[name])
    _require_distinct(path, found)
    return found


def _require_measurable(where: str, weights: np.ndarray | None) -> None:
    """Refuse weights (R,) whose sum of squares, needed for errors, is out of range of float64."""
    most = 0.0 if weights is None else float(np.max(np.abs(weights), initial=0.0))
    if most and not 1 / MAX_WEIGHT < most < MAX_WEIGHT:
        raise DataError(
            where,
            expected=f"the largest absolute value from {1 / MAX_WEIGHT:g} to {MAX_WEIGHT:g}",
            found=f"{most:g}",
            fix="multiply all weights by one number: efficiencies and errors do not change",
        )


def _require_in_range(where: str, values: np.ndarray) -> None:
    """Refuse values (R, …) whose differences or squares float64 may not hold."""
    most = float(np.max(np.abs(values), initial=0.0))
    if most >= MAX_VALUE:
        raise DataError(
            where,
            expected=f"absolute values below {MAX_VALUE:g}",
            found=f"{most:g}",
            fix="divide all of them by one number: the order of rows stays",
        )


def _require_distinct(path: str | Path, found: Predictions) -> None:
    """Refuse an id that occurs twice, because members are matched by it."""
    order = np.argsort(found.rows.id, kind="stable")
    again = np.flatnonzero(np.diff(found.rows.id[order]) == 0)
    if len(again):
        first, second = (order[again[0] + k] for k in (0, 1))
        raise DataError(
            f"{path}: id",
            expected="a number of its own for every row",
            found=f"{len(again)} rows with that of another; the first two are rows {first} and "
            f"{second}, {found.rows.describe(int(first), found.header.files)}",
            fix="number the rows, for example numpy.arange(R, dtype='uint64')",
        )


def _require_alike(paths: Sequence[str | Path], members: Sequence[Predictions]) -> None:
    if not members:
        return
    first = members[0]
    order = np.argsort(first.rows.id, kind="stable")
    for path, other in zip(paths[1:], members[1:], strict=True):
        for name in ("method", "classes", "signal", "split", "columns", "probability"):
            ours, theirs = getattr(first.header, name), getattr(other.header, name)
            if ours != theirs:
                raise DataError(
                    str(path),
                    expected=f"{name} {ours!r}, as in {paths[0]}",
                    found=repr(theirs),
                    fix="evaluate only members of one method together",
                )
        place = np.argsort(other.rows.id, kind="stable")
        if not np.array_equal(first.rows.id[order], other.rows.id[place]):
            raise DataError(
                str(path),
                expected=f"the {len(first.rows)} rows of {paths[0]}",
                found=f"{len(other.rows)} rows that are not the same ones",
                fix="predict all members on the same split of the same data, with the same "
                "version of rootloom",
            )
        for name in ("truth", "weight"):
            ours, theirs = getattr(first.rows, name)[order], getattr(other.rows, name)[place]
            differ = ~np.isclose(ours, theirs, rtol=1e-6, atol=0.0)  # float32 beside float64
            if differ.any():
                row = int(np.argmax(differ))
                raise DataError(
                    f"{path}: {name}",
                    expected=f"{ours[row]} in the row of id {first.rows.id[order][row]}, as in "
                    f"{paths[0]}",
                    found=f"{theirs[row]}; {int(differ.sum())} of {len(differ)} rows differ",
                    fix="an id must mean the same row in all files: number the rows before "
                    "changing their order",
                )
