"""From prediction files to figures with errors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np

from rootloom.errors import DataError
from rootloom.evaluation.classification import Classification
from rootloom.evaluation.predictions import Predictions, read_predictions
from rootloom.evaluation.results import Evaluation, Result


class Evaluator(Protocol):
    """What evaluations of one kind make of predictions; its fields are the `evaluation` section.

    shown: figures that the report leaves beside its page. A task names the kind of its own.
    """

    shown: ClassVar[tuple[str, ...]]

    def result(self, members: Sequence[Predictions], held_out: Sequence[Predictions]) -> Result:
        """Figures of a method from predictions of its members, which are of the same rows.

        held_out: predictions of the same members for rows of which member m left out fold m.
        """


def evaluate(
    prediction_paths: Sequence[str | Path],
    evaluator: Evaluator | None = None,
    held_out: Sequence[str | Path] = (),
) -> Evaluation:
    """Figures of one method from the prediction files of its members; by default of classes.

    Raises InputError for a file that cannot be used, DataError when the members do not belong
    together, or a score or weight is not finite (naming the first row), and what `evaluator` does.
    """
    members = _members(prediction_paths)
    header, rows = members[0].header, members[0].rows
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
        rows={n: int((rows.truth == i).sum()) for i, n in enumerate(header.classes)},
        weights={
            n: float(rows.weight[rows.truth == i].sum(dtype=np.float64))
            for i, n in enumerate(header.classes)
        },
        result=(evaluator or Classification()).result(members, _members(held_out)),
        provenance=dict(header.provenance),
    )


def _members(paths: Sequence[str | Path]) -> list[Predictions]:
    members = [_read(path) for path in paths]
    _require_alike(paths, members)
    return members


def _read(path: str | Path) -> Predictions:
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
    return found


def _require_alike(paths: Sequence[str | Path], members: Sequence[Predictions]) -> None:
    if not members:
        return
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
                fix="predict all members on the same split of the same data, with one rootloom: "
                "identities are not those of earlier versions",
            )
