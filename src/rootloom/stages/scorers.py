"""Bundles at work: how new rows are read, and what all members say of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import awkward as ak
import numpy as np

from rootloom.config.sections import Fields
from rootloom.errors import (
    FAULTS,
    ConfigError,
    RootloomError,
    TrainingError,
    reason,
    require_known,
)
from rootloom.evaluation.members import by_member
from rootloom.evaluation.predictions import Outputs
from rootloom.export import bundle
from rootloom.export.bundle import Bundle
from rootloom.planning.data import mentions
from rootloom.representations.base import Representation
from rootloom.representations.section import representation_of
from rootloom.rootio.dataset import RowReader
from rootloom.rootio.section import reader_of
from rootloom.shards.held import Held, Place
from rootloom.shards.ids import Naming, event_of, fold_of
from rootloom.stages.networks import NetworkOutputs, predictor_in
from rootloom.system import faults
from rootloom.tasks.base import Predictor
from rootloom.training import parallel
from rootloom.training.parallel import CPU
from rootloom.types import UNLABELLED, Column, RowBlock, dense

# What nobody knows of new data, and what scores do not depend on.
_TRUTH: Fields = {
    "classes": [],
    "weight": None,
    "training_weight": None,
    "sum_of_weights": None,
    "targets": {},
    "splits": {},
}
# By how much scores may differ from those of the check sample, as a share of the largest of their
# column: between CPUs, and where an accelerator computed one of both, on some of which factors of
# float32 products are rounded to ten bits.
TOLERANCE, TOLERANCE_OF_DEVICES = 1e-4, 5e-3


@dataclass(frozen=True)
class Reading:
    """How new rows are read. sample: in which numbers name events, "" of no one.

    friends: where the files of friend trees are, see `export.bundle.Source`. columns: what is read
    of each row, by name.
    """

    sample: str
    reader: RowReader
    friends: dict[str, str | None]
    representation: Representation
    columns: tuple[str, ...]

    def encoded(self, block: RowBlock) -> dict[str, Column]:
        """Rows as shards store them, without base columns."""
        return self.representation.encode({name: block.columns[name] for name in self.columns})

    def held(self, block: RowBlock, naming: Naming) -> Held:
        """Rows in memory, to be scored."""
        ids, _ = naming.rows(block, NO_SPLITS)
        base = {"id": ids, "label": block.label, "weight": block.weight}
        return Held({**base, **self.encoded(block)}, UNLABELLED, naming.key)


# Rows of no class are in no split, whatever the shares are.
NO_SPLITS = {"train": 1.0}


class Readings:
    """How rows are read of which nobody knows the truth, by the samples of a bundle."""

    def __init__(self, found: Bundle, where: str) -> None:
        self._bundle, self._where = found, where
        with _refusing(where):
            self._sources = {
                name: dataclasses.replace(source, reader=_without_truth(source.reader))
                for name, source in found.sources.items()
            }

    def of(self, sample: str | None = None) -> Reading:
        """As rows of a sample of the training, but for their truth.

        sample: None: any, if all are read alike. Raises ConfigError for an unknown one, and for
        None where samples differ in what is read of them or in how events are named; TrainingError
        for a bundle that does not say how rows are read.
        """
        names = list(self._sources)
        read_as = self._only_sample() if sample is None else sample
        expected = f"a sample of dataset '{self._bundle.dataset}': {', '.join(names)}"
        require_known([read_as], names, f"{self._where}: sample", expected)
        # One of several that are read alike is not the sample of the events.
        named = read_as if sample is not None or len(names) == 1 else ""
        source = self._sources[read_as]
        with _refusing(self._where):
            reader = reader_of(source.reader)
            representation = representation_of(self._bundle.representation)
            objects = {name: tuple(columns) for name, columns in reader.objects.items()}
            columns = representation.needs(tuple(reader.variables), objects)
            reader.branches(columns)  # refuses expressions outside the language
        return Reading(named, reader, dict(source.friends), representation, columns)

    def _only_sample(self) -> str:
        """The first sample; raises ConfigError where it matters which one it is."""
        names = list(self._sources)
        first = self._sources[names[0]]
        named = bool(self._bundle.partition.folds) and bool(first.reader["identity"])
        if len(names) > 1 and (named or any(one != first for one in self._sources.values())):
            why = "whose numbers name events" if named else "which are read in different ways"
            raise ConfigError(
                f"{self._where}: sample",
                expected=f"one of {', '.join(names)}, {why}",
                found="none",
                fix=f"--sample {names[0]}, or sample='{names[0]}' in Python",
            )
        return names[0]


@contextmanager
def _refusing(where: str) -> Iterator[None]:
    """Raise TrainingError for sections in the block that describe nothing of this version."""
    try:
        yield
    except RootloomError:
        raise
    except FAULTS as error:
        faults.pass_on(error, where)
        raise TrainingError(
            where,
            expected="sections that describe how rows are read",
            found=f"{type(error).__name__}: {reason(error)}",
            fix="take the file that a run wrote, unchanged",
        ) from error


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


def of_quantities(reading: Reading) -> Reading:
    """The same for rows whose quantities are given by name, each a row of its own."""
    reader = reading.reader

    def named(prefix: str, names: Iterable[str]) -> dict[str, str]:
        return {name: f'branch("{prefix}{name}")' for name in names}

    plain = RowReader(
        tree=reader.tree,
        variables=named("", reader.variables),
        objects={name: named(f"{name}.", of) for name, of in reader.objects.items()},
    )
    return dataclasses.replace(reading, reader=plain)


def _without_truth(reader: Fields) -> Fields:
    """A reader for rows of which nobody knows the class or weight."""
    part = {**reader, **_TRUTH}
    return {**part, "mentions": mentions(reader, part)}
