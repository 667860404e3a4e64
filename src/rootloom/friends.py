"""The scores of single input files, gathered from the prediction files of all methods."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rootloom.errors import DataError
from rootloom.evaluation.predictions import Predictions, read_predictions

Piece = tuple[np.ndarray, np.ndarray]


class Scores:
    """The predictions for some input files, in memory: 4 bytes a score, 24 a row and method.

    keys: of the input files.
    """

    def __init__(self, predictions: Sequence[str | Path], keys: Sequence[str]) -> None:
        self._files = [read_predictions(path, keys) for path in predictions]
        self._members: dict[str, int] = {}
        self._read: dict[str, set[str]] = {}
        for found in self._files:
            method, member = found.header.method, found.header.member
            self._members[method] = max(self._members.get(method, 0), member)
            self._read.setdefault(method, set()).update(found.header.files)

    def of(self, key: str) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """entry (R,), object (R,) and branches name → (R,) of the rows of the input file `key`.

        A branch is METHOD for one member and METHOD_MEMBER for several, with the class behind it
        when there are more than two, or a regression's target. Rows are sorted by entry and object.
        A method for whose representation the file was set aside gives NaN.
        Raises DataError when methods scored different rows.
        """
        pieces: dict[str, list[Piece]] = {}
        unread: dict[str, None] = {}
        for found in self._files:
            rows = _rows_of(found, key)
            place = np.stack([found.rows.entry[rows], found.rows.object[rows]], axis=1)
            name = self._branch(found)
            for number, column in enumerate(found.header.columns):
                behind = column.removeprefix("score_")
                branch = name if column == "score" else f"{name}_{behind}"
                if key not in self._read[found.header.method]:
                    unread[branch] = None
                    continue
                pieces.setdefault(branch, []).append((place, found.rows.scores[rows, number]))
        entry, objects, branches = _aligned(pieces, key)
        nothing = np.full(len(entry), np.nan, np.float32)
        return entry, objects, {**branches, **dict.fromkeys(unread, nothing)}

    def _branch(self, found: Predictions) -> str:
        name = found.header.method.replace("-", "_").replace(".", "_")
        several = self._members[found.header.method] > 0
        return f"{name}_{found.header.member}" if several else name


def _rows_of(found: Predictions, key: str) -> np.ndarray:
    if key not in found.header.files:
        return np.empty(0, np.int64)
    return np.flatnonzero(found.rows.file == found.header.files.index(key))


def _aligned(
    pieces: dict[str, list[Piece]], key: str
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    places = np.empty((0, 2), np.int64)
    branches: dict[str, np.ndarray] = {}
    for name, parts in pieces.items():
        place = np.concatenate([p for p, _ in parts])
        scores = np.concatenate([s for _, s in parts])
        order = np.lexsort((place[:, 1], place[:, 0]))
        if branches and not np.array_equal(places, place[order]):
            raise DataError(
                f"friend tree of '{key}'",
                expected="the same rows scored by every method",
                found=f"{len(place)} rows of '{name}' against {len(places)}",
                fix="predictions of different runs are mixed: run predict again",
            )
        places = place[order]
        branches[name] = scores[order]
    return places[:, 0], places[:, 1], branches
