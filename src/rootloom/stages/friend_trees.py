"""The scores of single input files, gathered from the prediction files of all methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rootloom.errors import DataError
from rootloom.evaluation.members import by_member
from rootloom.evaluation.predictions import Header, Outputs, Predictions, read_predictions
from rootloom.rootio.names import friend_branch, identifier
from rootloom.shards.ids import event_of, fold_of
from rootloom.types import GROUPS, Ragged, score_columns

NOT_SCORED = -1
SPLIT_LEGEND = (
    ", ".join(f"{number} {name}" for number, name in enumerate(GROUPS))
    + f" (kept by `select`, of no class: in no split); {NOT_SCORED} dropped by `select`, not scored"
)


@dataclass(frozen=True)
class FriendRows:
    """The scored rows of one input file, sorted by entry and object.

    entry, object: (R,); branches: name → (R,), float32 of scores and int32 of splits and folds.
    objects: collection → quantity → a list for each row.
    """

    entry: np.ndarray
    object: np.ndarray
    branches: dict[str, np.ndarray]
    objects: dict[str, dict[str, Ragged]]


class Scores:
    """The predictions for some input files, in memory: 4 bytes a score, 33 a row and method.

    keys: of the input files. experiment: begins the name of every branch. folds: of the methods
    that are cross-validated, by name.
    """

    def __init__(
        self,
        predictions: Sequence[str | Path],
        keys: Sequence[str],
        experiment: str,
        folds: Mapping[str, int],
    ) -> None:
        self._experiment, self._folds = experiment, folds
        self._split = f"{identifier(experiment)}_split"
        # By method and member: a file of each split, and one of the rows of no class.
        self._files: dict[str, dict[int, list[_Scored]]] = {}
        for path in predictions:
            found = _Scored(read_predictions(path, keys, objects=True))
            members = self._files.setdefault(found.header.method, {})
            members.setdefault(found.header.member, []).append(found)

    def of(self, key: str) -> FriendRows:
        """The rows of the input file `key`; `legend` says what the branches are.

        Raises DataError when methods scored different rows, or put them into different splits.
        """
        places, ids = None, np.empty(0, np.uint64)
        scored: dict[str, dict[int, Outputs]] = {}
        for method, members in self._read(key).items():
            for member, files in members.items():
                found, ids, said = _rows_of(files, key)
                scored.setdefault(method, {})[member] = said
                if places is not None and not np.array_equal(places, found):
                    raise _other_rows(key, f"{method} {member}", len(found), len(places))
                places = found
        if places is None:
            places = np.empty((0, 3), np.int64)
        branches = {self._split: places[:, 2].astype(np.int32)}
        objects: dict[str, dict[str, Ragged]] = {}
        for method, members in self._files.items():
            header, folds = self._header(method), self._folds.get(method, 0)
            fold = fold_of(event_of(ids, places[:, 1]), folds) if folds else None
            of_members = scored.get(method) or dict.fromkeys(members, _nothing(header, len(places)))
            names = [self._branch(header, number) for number in range(len(header.columns))]
            scores = {member: said.scores for member, said in of_members.items()}
            branches |= by_member(names, scores, fold)
            if fold is not None:
                name = friend_branch(self._experiment, header.method, "fold")
                branches[name] = fold.astype(np.int32)
            objects |= self._of_objects(header, of_members, fold)
        return FriendRows(places[:, 0], places[:, 1], branches, objects)

    def _of_objects(
        self, header: Header, said: Mapping[int, Outputs], fold: np.ndarray | None
    ) -> dict[str, dict[str, Ragged]]:
        """What a method says of the objects of rows, by collection and quantity."""
        found: dict[str, dict[str, Ragged]] = {}
        for name in header.objects:
            collection, quantity = name.split(".", 1)
            lists = {member: of.objects[name] for member, of in said.items()}
            first = next(iter(lists.values()))
            values = {member: one.values[:, None] for member, one in lists.items()}
            of_objects = None if fold is None else np.repeat(fold, first.counts())
            of_name = by_member([quantity], values, of_objects)
            branch = friend_branch(self._experiment, header.method, collection)
            found.setdefault(branch, {}).update(
                {quantity: Ragged(column, first.offsets) for quantity, column in of_name.items()}
            )
        return found

    def _read(self, key: str) -> dict[str, dict[int, list[_Scored]]]:
        """Files of the methods that have read an input file, rows or none.

        For the representation of another it was set aside.
        """
        return {
            method: members
            for method, members in self._files.items()
            if any(key in one.numbers for files in members.values() for one in files)
        }

    def legend(self) -> dict[str, str]:
        """What each branch holds, by name."""
        found = {self._split: f"split: {SPLIT_LEGEND}"}
        for method, members in self._files.items():
            header, folds = self._header(method), self._folds.get(method, 0)
            for number in range(len(header.columns)):
                name = self._branch(header, number)
                what = f"{method}: {_meaning(header, number)}"
                if len(members) == 1:
                    found[name] = what
                    continue
                found |= {f"{name}__{m}": f"{what}, of member {m}" for m in members}
                found[f"{name}__mean"] = f"{what}, mean of {len(members)} members"
                found[f"{name}__spread"] = f"{what}, standard deviation over the members"
                if folds:
                    found[f"{name}__left_out"] = f"{what}, of the member that left the fold out"
            for name in header.objects:
                collection, quantity = name.split(".", 1)
                branch = friend_branch(self._experiment, method, collection)
                found[f"{branch}_{quantity}"] = (
                    f"{method}: '{quantity}' of each object of '{collection}' that it reads; of "
                    f"several members with their numbers, their mean and spread"
                )
            if folds:
                name = friend_branch(self._experiment, method, "fold")
                found[name] = f"{method}: fold of the event, 0 to {folds - 1}; {NOT_SCORED} none"
        return found

    def _header(self, method: str) -> Header:
        return next(iter(self._files[method].values()))[0].header

    def _branch(self, header: Header, number: int) -> str:
        """The branch of a column, but for the member."""
        column, parts = header.columns[number], [header.method]
        if header.columns == score_columns(header.classes):
            column = column.removeprefix("score").removeprefix("_")
        if column:
            parts.append(column)
        if number < len(header.turned) and header.turned[number]:
            parts.append(header.turned[number])
        return friend_branch(self._experiment, *parts)


class _Scored:
    """A prediction file, with the places of each input file's rows.

    numbers: of input files that it read, by key.
    """

    def __init__(self, found: Predictions) -> None:
        self.header, self.rows = found.header, found.rows
        self.numbers = {key: number for number, key in enumerate(found.header.files)}
        order = np.argsort(found.rows.file, kind="stable")
        numbers, starts = np.unique(found.rows.file[order], return_index=True)
        self._places = dict(zip(numbers.tolist(), np.split(order, starts[1:]), strict=False))

    def places(self, key: str) -> np.ndarray:
        """Places of an input file's rows, ascending; none where it was not read."""
        nowhere = np.empty(0, np.int64)
        return self._places.get(self.numbers[key], nowhere) if key in self.numbers else nowhere


def _nothing(header: Header, rows: int) -> Outputs:
    """Of rows that a method has not read."""
    none = Ragged(np.empty(0, np.float32), np.zeros(rows + 1, np.int64))
    scores = np.full((rows, len(header.columns)), np.nan, np.float32)
    return Outputs(scores, dict.fromkeys(header.objects, none))


def _meaning(header: Header, number: int) -> str:
    column = header.columns[number]
    if header.columns != score_columns(header.classes):
        return f"predicted '{column}'"
    name = header.signal if column == "score" else column.removeprefix("score_")
    turned = header.turned[number] if number < len(header.turned) else ""
    how = f" (the variable, {turned.replace('_', ' ')})" if turned else ""
    return f"score, high for '{name}'{how}"


def _rows_of(files: Sequence[_Scored], key: str) -> tuple[np.ndarray, np.ndarray, Outputs]:
    """Entry, object and split (R, 3), id (R,) and what is said of the rows of an input file."""
    places, ids, said = [], [], []
    for found in files:
        rows = found.places(key)
        split = np.full(len(rows), GROUPS.index(found.header.split))
        places.append(np.stack([found.rows.entry[rows], found.rows.object[rows], split], axis=1))
        ids.append(found.rows.id[rows])
        whole = Outputs(found.rows.scores.astype(np.float32, copy=False), found.rows.objects)
        said.append(whole.take(rows))
    place = np.concatenate(places)
    order = np.lexsort((place[:, 1], place[:, 0]))
    return place[order], np.concatenate(ids)[order], Outputs.together(said).take(order)


def _other_rows(key: str, name: str, rows: int, wanted: int) -> DataError:
    return DataError(
        f"friend tree of '{key}'",
        expected="the same rows in the same splits, scored by every method",
        found=f"{rows} rows of '{name}' against {wanted}",
        fix="predictions of different runs are mixed: run predict again",
    )
