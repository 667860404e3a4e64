"""Classes told apart: figures from the scores of a method's members."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from rootloom.errors import DataError, nearest
from rootloom.evaluation.classification_results import ClassificationResult, Discrimination
from rootloom.evaluation.discriminate import Sample, discriminate
from rootloom.evaluation.measurement import Measurement
from rootloom.evaluation.members import summarise
from rootloom.evaluation.metrics import accuracy, effective_rows, require_class
from rootloom.evaluation.options import ClassificationOptions
from rootloom.evaluation.predictions import Predictions
from rootloom.shards.ids import event_of, fold_of


@dataclass(frozen=True)
class Classification(ClassificationOptions):
    """Rejection, AUC and significance of scores; see `ClassificationOptions`."""

    shown: ClassVar[tuple[str, ...]] = ("roc.png",)

    def result(
        self, members: Sequence[Predictions], held_out: Sequence[Predictions]
    ) -> ClassificationResult:
        """See `Evaluator`. Raises DataError for a class without rows and an unknown profile."""
        header, rows = members[0].header, members[0].rows
        for index, name in enumerate(header.classes):
            of_class = rows.weight[rows.truth == index]
            require_class(f"class '{name}'", int((of_class != 0).sum()), float(of_class.sum()))
        for member in members:
            self._require_profiles(member)
        return ClassificationResult(
            signal=header.signal,
            accuracy=_accuracy(members),
            discriminations=self._discriminate(members),
            ensemble=self._discriminate([_mean(members)]) if len(members) > 1 else (),
            cross_validation=self._discriminate([_unseen(held_out)]) if held_out else (),
        )

    def _discriminate(self, members: Sequence[Predictions]) -> tuple[Discrimination, ...]:
        header = members[0].header
        positives = (header.signal,) if len(header.classes) == 2 else header.classes
        return tuple(
            discriminate(positive, [_sample(m, positive) for m in members], self)
            for positive in positives
        )

    def _require_profiles(self, member: Predictions) -> None:
        for variable in self.profiles:
            if variable not in member.rows.aux:
                raise DataError(
                    f"predictions of {member.header.method}: aux/{variable}",
                    expected="an auxiliary column to profile",
                    found="no such column",
                    fix=nearest(variable, member.rows.aux),
                )


def _mean(members: Sequence[Predictions]) -> Predictions:
    """The members' mean scores, row by row; they may list their rows in different orders."""
    first = members[0]
    place = np.argsort(np.argsort(first.rows.id, kind="stable"), kind="stable")
    scores = [m.rows.scores[np.argsort(m.rows.id, kind="stable")][place] for m in members]
    mean = np.stack(scores).mean(axis=0, dtype=np.float64)
    return replace(first, rows=replace(first.rows, scores=mean))


def _unseen(members: Sequence[Predictions]) -> Predictions:
    """Each row's score by the one member that did not train on it."""
    orders = [np.argsort(m.rows.id, kind="stable") for m in members]
    place = np.argsort(orders[0], kind="stable")
    fold = fold_of(event_of(members[0].rows.id, members[0].rows.object), len(members))
    scores = np.stack([m.rows.scores[o][place] for m, o in zip(members, orders, strict=True)])
    rows = replace(members[0].rows, scores=scores[fold, np.arange(len(fold))])
    return replace(members[0], rows=rows)


def _sample(member: Predictions, positive: str) -> Sample:
    header, rows = member.header, member.rows
    return Sample(
        score=rows.scores[:, _column(header.columns, positive, member)].astype(np.float64),
        signal=rows.truth == header.classes.index(positive),
        weight=rows.weight.astype(np.float64),
        id=event_of(rows.id, rows.object),
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
    rows = effective_rows(members[0].rows.weight.astype(np.float64))
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
