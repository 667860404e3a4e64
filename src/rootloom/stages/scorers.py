"""Bundles at work: what all members say of new rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import awkward as ak
import numpy as np

from rootloom.errors import TrainingError
from rootloom.evaluation.members import by_member
from rootloom.evaluation.predictions import Outputs
from rootloom.export import bundle
from rootloom.export.bundle import Bundle
from rootloom.shards.held import Held, Place
from rootloom.shards.ids import Naming, event_of, fold_of
from rootloom.stages.networks import NetworkOutputs, predictor_in
from rootloom.stages.readings import Reading, Readings
from rootloom.tasks.base import Predictor
from rootloom.training import parallel
from rootloom.training.parallel import CPU
from rootloom.types import UNLABELLED, RowBlock, dense

# By how much scores may differ from those of the check sample, as a share of the largest of their
# column: between CPUs, and where an accelerator computed one of both, on some of which factors of
# float32 products are rounded to ten bits.
TOLERANCE, TOLERANCE_OF_DEVICES = 1e-4, 5e-3


class Scorer:
    """The networks of a bundle, which have said of the check sample what they said before.

    where: the file. Raises TrainingError if they say something else or do not fit, ConfigError for
    a task that scores no rows.
    """

    def __init__(self, found: Bundle, where: str) -> None:
        self.bundle, self.where = found, where
        self.task: Predictor = predictor_in(found, where, found)
        self._outputs, self._readings = NetworkOutputs(self.task), Readings(found, where)
        if self.task.columns() != tuple(found.columns):
            raise self._other(f"columns {found.columns}", f"{list(self.task.columns())}")
        self._check()

    @classmethod
    def load(cls, path: str | Path) -> Scorer:
        """The scorer of a bundle; raises TrainingError for one that cannot be used."""
        return cls(bundle.load(path), str(path))

    @property
    def members(self) -> list[int]:
        """Numbers of the members."""
        return self.bundle.members

    def of(self, member: int, places: Sequence[Place]) -> Iterator[Outputs]:
        """What a member says of rows of no class, in the order of the places."""
        params = self.bundle.params[self.members.index(member)]
        return self._outputs.of(params, places, UNLABELLED)

    def score(
        self, reading: Reading, branches: Mapping[str, ak.Array]
    ) -> tuple[RowBlock, dict[str, np.ndarray]]:
        """Rows of events in memory, and columns (R,) of what all members say of them.

        branches: see `RowReader.rows_of`; columns: see `evaluation.members.by_member`.
        """
        block = reading.reader.rows_of(branches, columns=reading.columns)
        held = reading.held(block, Naming("events", "events", sample=reading.sample))
        empty = np.empty((0, len(self.bundle.columns)), np.float32)
        scores = {}
        for member in self.members:
            said = self.of(member, [held]) if len(block) else ()
            scores[member] = np.concatenate([empty, *(one.scores for one in said)])
        fold = None
        if reading.reader.identity:  # else nobody knows which events these are
            fold = self.folds(dense(held.read(UNLABELLED, ["id"]), "id"), block.object)
        return block, by_member(self.bundle.columns, scores, fold)

    def folds(self, ids: np.ndarray, object: np.ndarray) -> np.ndarray | None:
        """The fold of rows with these identities and object numbers (R,); None: no folds.

        Member m has not trained on events of fold m.
        """
        folds = self.bundle.partition.folds
        return fold_of(event_of(ids, object), folds) if folds else None

    def _check(self) -> None:
        sample = self.bundle.check
        rows = len(sample.columns["id"])
        base = {"label": np.zeros(rows, np.int32), "weight": np.ones(rows, np.float32)}
        held = Held({**base, **sample.columns}, UNLABELLED, self.where)
        of_cpus = self.bundle.device == CPU == parallel.platform()
        tolerance = TOLERANCE if of_cpus else TOLERANCE_OF_DEVICES
        for number, member in enumerate(self.members):
            found = np.concatenate([said.scores for said in self.of(member, [held])])
            expected = sample.scores[number]
            allowed = tolerance * np.abs(expected).max(axis=0)
            differ = ~(np.abs(found - expected) <= allowed)
            if differ.any():
                row, column = (int(one) for one in np.argwhere(differ)[0])
                name = self.bundle.columns[column]
                raise self._other(
                    f"'{name}' of row {row} of the check sample to be {expected[row, column]:.6g} "
                    f"by member {member}, within {allowed[column]:.1g}",
                    f"{found[row, column]:.6g}; {int(differ.any(axis=1).sum())} of {rows} rows "
                    "differ",
                )

    def _other(self, expected: str, found: str) -> TrainingError:
        made_by = self.bundle.provenance.get("version", "unknown")
        return TrainingError(
            self.where,
            expected=expected,
            found=found,
            fix=f"the bundle is damaged, or this is another version than its own ({made_by}): make "
            "it again, or use that version",
        )

    def reading(self, sample: str | None = None) -> Reading:
        """How new rows are read; see `Readings.of`."""
        return self._readings.of(sample)
