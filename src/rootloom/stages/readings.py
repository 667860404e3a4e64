"""How new rows are read by a bundle: as those of its training, but for their truth."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rootloom.config.sections import Fields
from rootloom.errors import (
    FAULTS,
    ConfigError,
    RootloomError,
    TrainingError,
    reason,
    require_known,
)
from rootloom.export.bundle import Bundle
from rootloom.planning.data import mentions
from rootloom.representations.base import Representation
from rootloom.representations.section import representation_of
from rootloom.rootio.dataset import RowReader
from rootloom.rootio.section import reader_of
from rootloom.shards.held import Held
from rootloom.shards.ids import Naming
from rootloom.system import faults
from rootloom.types import UNLABELLED, Column, RowBlock

# Rows of no class are in no split, whatever the shares are.
NO_SPLITS = {"train": 1.0}
# What nobody knows of new data, and what scores do not depend on.
_TRUTH: Fields = {
    "classes": [],
    "weight": None,
    "training_weight": None,
    "sum_of_weights": None,
    "targets": {},
    "splits": {},
}


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
