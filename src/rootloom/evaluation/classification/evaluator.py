"""Evaluation of classifiers: metrics from the scores of a method's members."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from rootloom.errors import DataError, nearest
from rootloom.evaluation.base import Evaluator
from rootloom.evaluation.classification.confusion import confusion
from rootloom.evaluation.classification.discriminants import check_discriminants
from rootloom.evaluation.classification.discriminate import discriminate
from rootloom.evaluation.classification.options import ClassificationOptions
from rootloom.evaluation.classification.pairs import Scores, discriminant_results, pair_rejections
from rootloom.evaluation.classification.result import (
    ClassificationResult,
    Discrimination,
    ManyClasses,
)
from rootloom.evaluation.classification.sample import Sample
from rootloom.evaluation.measurement import Estimate, Measurement
from rootloom.evaluation.members import known, summarise
from rootloom.evaluation.predictions import Predictions
from rootloom.evaluation.roc import effective_rows, heaviest_rows, require_class
from rootloom.evaluation.uncertainties import (
    all_passed_limit,
    no_limit,
    too_few,
    weighted_share,
)
from rootloom.shards.ids import event_of, fold_of

ALL_RIGHT = "all rows are in their most probable class"
NONE_RIGHT = "no row is in its most probable class"


@dataclass(frozen=True)
class Classification(ClassificationOptions, Evaluator):
    """Rejection, AUC and significance of scores; see `ClassificationOptions`."""

    shown: ClassVar[tuple[str, ...]] = ("roc.png",)
    reads: ClassVar[str | None] = "profiles"

    def result(
        self, members: Sequence[Predictions], held_out: Sequence[Predictions]
    ) -> ClassificationResult:
        """See `Evaluator`. Raises DataError for a class without rows and an unknown profile.

        Also for a single class, and for `weights: training` if a file has no training weights.
        Raises ConfigError for an invalid discriminant.
        """
        members = [self._weighted(member).that_count() for member in members]
        held_out = [self._weighted(member).that_count() for member in held_out]
        header, rows = members[0].header, members[0].rows
        if len(header.classes) < 2:
            raise DataError(
                f"predictions of {header.method}: classes",
                expected="two or more",
                found=", ".join(header.classes),
                fix="predicted numbers are evaluated by a workflow whose task is regression",
            )
        where = f"evaluation of '{header.method}': discriminants"
        check_discriminants(self.discriminants, header.classes, where)
        for index, name in enumerate(header.classes):
            of_class = rows.weight[rows.truth == index]
            require_class(f"class '{name}'", len(of_class), float(of_class.sum(dtype=np.float64)))
        for member in members:
            self._require_profiles(member)
        return ClassificationResult(
            signal=header.signal,
            weights=self.weights,
            accuracy=_accuracy(members),
            discriminations=self._discriminate(members),
            ensemble=self._discriminate([_mean(members)]) if len(members) > 1 else (),
            cross_validation=self._discriminate([_unseen(held_out)]) if held_out else (),
            many=self._many_classes(members) if len(header.classes) > 2 else None,
        )

    def _many_classes(self, members: Sequence[Predictions]) -> ManyClasses:
        classes, scores = members[0].header.classes, [_scores(member) for member in members]
        probable = all(member.header.probability for member in members)
        return ManyClasses(
            pairs=pair_rejections(scores, classes, self) if probable else (),
            discriminants=discriminant_results(scores, classes, self) if probable else (),
            confusion=confusion(scores, classes),
        )

    def _discriminate(self, members: Sequence[Predictions]) -> tuple[Discrimination, ...]:
        header = members[0].header
        positives = (header.signal,) if len(header.classes) == 2 else header.classes
        return tuple(
            discriminate(positive, [_sample(m, positive) for m in members], self)
            for positive in positives
        )

    def _weighted(self, member: Predictions) -> Predictions:
        """The member's rows with the weight that `weights` names."""
        if self.weights == "event":
            return member
        found = member.rows.training_weight
        if found is None:
            raise DataError(
                f"predictions of {member.header.method}: training_weight",
                expected="a data set of training weights, for `weights: training`",
                found="none",
                fix="write it, or evaluate by event weights",
            )
        return replace(member, rows=replace(member.rows, weight=found))

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
    """Each row's score from the only member that did not train on it."""
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
        training=_training(member),
        probability=header.probability,
    )


def _scores(member: Predictions) -> Scores:
    header, rows = member.header, member.rows
    order = [_column(header.columns, name, member) for name in header.classes]
    return Scores(
        probability=rows.scores[:, order].astype(np.float64),
        truth=rows.truth,
        weight=rows.weight.astype(np.float64),
        id=rows.id,
        aux=rows.aux,
    )


def _training(member: Predictions) -> np.ndarray | None:
    """Training weights (R,) float64, or event weights if the file has no others.

    None for a dataset on which the method was not trained.
    """
    if not member.header.trained_on:
        return None
    rows = member.rows
    found = rows.weight if rows.training_weight is None else rows.training_weight
    return found.astype(np.float64)


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
    right = [_is_right(member) for member in members]
    found = [
        _share_of(r, member.rows.weight.astype(np.float64))
        for r, member in zip(right, members, strict=True)
        if r is not None
    ]
    if len(found) < len(members):
        return None
    shares, limits, why = zip(*found, strict=True)
    errors = [known(share.error) for share in shares]
    return summarise([share.value for share in shares], errors, limits=limits, why=why)


def _share_of(right: np.ndarray, weight: np.ndarray) -> tuple[Estimate, float | None, str | None]:
    """Share of correct rows (R,), its lower limit if all are, and the reason for no error."""
    share, rows = weighted_share(right, weight), effective_rows(weight)
    if reason := too_few("test", rows):
        return share, None, reason
    if right.all():
        if (weight < 0).any():
            return share, None, no_limit(ALL_RIGHT)
        return share, all_passed_limit(heaviest_rows(weight)), ALL_RIGHT
    return share, None, None if right.any() else NONE_RIGHT


def _is_right(member: Predictions) -> np.ndarray | None:
    """Which rows (R,) are in their most probable class; None if scores are no probabilities."""
    header, two = member.header, len(member.header.classes) == 2
    asked = (header.signal,) if two else header.classes
    scores = member.rows.scores[:, [_column(header.columns, name, member) for name in asked]]
    if not header.probability:
        return None
    if two:
        signal = header.classes.index(header.signal)
        predicted = np.where(scores[:, 0] >= 0.5, signal, 1 - signal)
    else:
        predicted = np.argmax(scores, axis=1)
    right: np.ndarray = predicted == member.rows.truth
    return right
