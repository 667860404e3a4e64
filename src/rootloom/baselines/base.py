"""What a baseline is, and the samples it is fitted to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from rootloom.errors import DataError, require_known


@dataclass(frozen=True)
class Sample:
    """R rows in memory. x: (R, F) float, NaN where absent; names: of the F columns.

    target: (R,), 1 for signal and 0 for background; weight: (R,).
    """

    x: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.target)

    def take(self, rows: np.ndarray) -> Sample:
        """The rows of an index or mask."""
        return Sample(self.x[rows], self.target[rows], self.weight[rows], self.names)

    def columns(self, wanted: Sequence[str]) -> Sample:
        """The columns named, in that order; raises ConfigError for one that is not there."""
        index = [self.names.index(name) for name in select(wanted, self.names)]
        return Sample(self.x[:, index], self.target, self.weight, tuple(wanted))


class FittedBaseline(Protocol):
    """A baseline after its fit; lives in the process that fitted it and is never stored."""

    @property
    def parameters(self) -> int:
        """How many numbers the fit chose."""

    def score(self, columns: np.ndarray) -> np.ndarray:
        """(R, F), ordered as the training sample's names → (R,) finite, signal-like is high."""


class Baseline(Protocol):
    """A classifier that is not a network; its fields are its configuration."""

    def needs(self, names: Sequence[str]) -> tuple[str, ...]:
        """Which of the available variables it reads; raises ConfigError for one not there."""

    def fit(self, train: Sample, validation: Sample) -> FittedBaseline:
        """Fit to `train`; raises DataError when a class has no rows or no weight."""


def select(wanted: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """`wanted` again, when all of it is among `names`."""
    expected = "a variable of the representation baselines read"
    require_known(wanted, names, "variables of a baseline", expected)
    return tuple(wanted)


def collect(blocks: Iterable[Sample], max_rows: int, seed: int = 1) -> Sample:
    """At most `max_rows` rows out of any number, in memory for at most twice as many and a block.

    Every row draws a random priority and the smallest priorities stay: a uniform sample without
    replacement, in the order of arrival. Rows of weight 0 are left out. Which rows stay depends on
    the seed and on the order of the rows, not on how they are cut into blocks.
    """
    random = np.random.Generator(np.random.Philox(key=[seed, 0]))
    kept: list[tuple[np.ndarray, Sample]] = []
    for block in blocks:
        priority = random.random(len(block))
        exists = block.weight != 0
        kept.append((priority[exists], block.take(exists)))
        if sum(len(p) for p, _ in kept) > 2 * max_rows:
            kept = [_keep(kept, max_rows)]
    if not kept:
        raise DataError("a baseline's sample", expected="rows to fit to", found="none at all")
    return _keep(kept, max_rows)[1]


def _keep(parts: list[tuple[np.ndarray, Sample]], rows: int) -> tuple[np.ndarray, Sample]:
    priority = np.concatenate([p for p, _ in parts])
    samples = [s for _, s in parts]
    whole = Sample(
        np.concatenate([s.x for s in samples]),
        np.concatenate([s.target for s in samples]),
        np.concatenate([s.weight for s in samples]),
        samples[0].names,
    )
    if len(priority) <= rows:
        return priority, whole
    chosen = np.sort(np.argpartition(priority, rows)[:rows])
    return priority[chosen], whole.take(chosen)


def require_both_classes(sample: Sample, what: str) -> None:
    """Refuse a sample in which a class has no rows or no positive sum of weights."""
    for value, name in ((1, "signal"), (0, "background")):
        of_class = sample.weight[sample.target == value]
        if len(of_class) == 0 or not of_class.sum() > 0:
            raise DataError(
                f"{what}: {name}",
                expected="rows with a positive sum of weights",
                found=f"{len(of_class)} rows with weights summing to {of_class.sum():g}",
                fix="check the labels, the selection and the splits of the dataset",
            )
