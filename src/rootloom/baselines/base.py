"""The base classes of baselines, and the samples to which they are fitted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from rootloom.errors import DataError, require_known
from rootloom.types import GROUPS, SPLITS, Column, dense, score_columns


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
        """The named columns, in that order; raises ConfigError for a missing one."""
        index = [self.names.index(name) for name in select(wanted, self.names)]
        return Sample(self.x[:, index], self.target, self.weight, tuple(wanted))


class FittedBaseline(Protocol):
    """A fitted baseline; it is used in the process that fitted it and never stored.

    probability: whether its score is the probability of signal in the mixture of the fit.
    """

    probability: ClassVar[bool]

    @property
    def parameters(self) -> int:
        """Number of fitted parameters."""

    @property
    def turned(self) -> str:
        """How the score was made from a variable; see `Predictor`."""

    def score(self, columns: np.ndarray) -> np.ndarray:
        """(R, F), ordered as the training sample's names → (R,) finite, signal-like is high."""


class Data(Protocol):
    """The data for a baseline: the shards of a dataset, and what is to be predicted.

    classes: of the dataset. signal: of two classes the one with high scores. targets: names.
    """

    classes: tuple[str, ...]
    signal: str
    targets: tuple[str, ...]

    def variables(self) -> tuple[str, ...]:
        """Names of the per-row variables that the shards hold."""

    def samples(self, split: str, variables: Sequence[str], positive: int) -> Iterable[Sample]:
        """The rows of a split, shard by shard; class number `positive` is the signal."""

    def rows(
        self, split: str, reads: Sequence[str]
    ) -> Iterable[tuple[Mapping[str, Column], np.ndarray]]:
        """Shard columns and targets (R, T) of a split, shard by shard.

        Among the columns is "weight", here the training weight.
        """


class Predictor(Protocol):
    """A baseline after learning."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its C predictions."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The shard columns that predictions need."""

    @property
    def parameters(self) -> int:
        """Number of learned parameters."""

    @property
    def rows(self) -> int:
        """Number of rows in the fit."""

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits (or "none") whose rows it predicts; rows of others get NaN."""

    @property
    def probability(self) -> bool:
        """Whether its predictions are probabilities of the classes."""

    @property
    def turned(self) -> tuple[str, ...]:
        """For each column, how the score was made from a variable, as suffix of a branch's name.

        "" if the score is that of a model, or the variable itself; () if all are "".
        """

    def predict(self, columns: Mapping[str, Column], rows: int) -> np.ndarray:
        """(R, C) finite predictions for R rows of shard columns."""


class Baseline(ABC):
    """A method that is not a network; a frozen dataclass whose fields are its configuration.

    learns: "classes" or "targets": what it predicts, as for a task.
    requires: required values of fields of the representation, such as "kind".
    signed: whether it accepts training weights of both signs.
    reads: the field that names variables of that representation, which the plan checks.
    """

    learns: ClassVar[str]
    requires: ClassVar[Mapping[str, object]] = {}
    signed: ClassVar[bool] = True
    reads: ClassVar[str | None] = None

    @abstractmethod
    def learn(self, data: Data) -> Predictor:
        """Learn from the data; raises ConfigError for targets that it cannot predict."""


class Classifier(Baseline):
    """Base of baselines that separate one class from the rest by per-row variables.

    With more than two classes there is one fit for each. max_rows: largest number of rows of a
    sample; of more, so many are drawn at random. seed: of the draw of `max_rows`.
    """

    learns: ClassVar[str] = "classes"
    max_rows: int
    seed: int

    @abstractmethod
    def needs(self, names: Sequence[str]) -> tuple[str, ...]:
        """The variables that it reads; raises ConfigError for one that is not available."""

    @abstractmethod
    def fit(self, train: Sample, validation: Sample) -> FittedBaseline:
        """Fit to `train`; raises DataError if a class has no rows or no weight."""

    def learn(self, data: Data) -> ClassScores:
        """See `Baseline`."""
        variables, columns = self.needs(data.variables()), score_columns(data.classes)
        fits, rows = [], 0
        for positive in [data.signal] if len(columns) == 1 else data.classes:
            number = data.classes.index(positive)
            train, validation = (
                collect(data.samples(split, variables, number), self.max_rows, self.seed)
                for split in SPLITS[:2]
            )
            fits.append(self.fit(train, validation))
            rows = len(train)
        return ClassScores(columns, variables, tuple(fits), rows)


@dataclass(frozen=True)
class ClassScores:
    """A `Predictor` of scores, from the fits of one class or of all."""

    columns: tuple[str, ...]
    variables: tuple[str, ...]
    fits: tuple[FittedBaseline, ...]
    rows: int
    splits: ClassVar[tuple[str, ...]] = GROUPS

    @property
    def probability(self) -> bool:
        """See `Predictor`."""
        return all(fit.probability for fit in self.fits)

    @property
    def turned(self) -> tuple[str, ...]:
        """See `Predictor`."""
        words = tuple(fit.turned for fit in self.fits)
        return words if any(words) else ()

    @property
    def reads(self) -> tuple[str, ...]:
        """See `Predictor`."""
        return tuple(f"x.{name}" for name in self.variables)

    @property
    def parameters(self) -> int:
        """See `Predictor`."""
        return sum(fit.parameters for fit in self.fits)

    def predict(self, columns: Mapping[str, Column], rows: int) -> np.ndarray:
        """See `Predictor`."""
        x = matrix(columns, self.variables)
        return np.stack([fit.score(x) for fit in self.fits], axis=1)


def matrix(columns: Mapping[str, Column], variables: Sequence[str]) -> np.ndarray:
    """Stored variables as (R, F) float32."""
    return np.stack([dense(columns, f"x.{name}") for name in variables], axis=1)


def select(wanted: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """Return `wanted` if all of it is in `names`; raises ConfigError."""
    expected = "a variable of the representation baselines read"
    require_known(wanted, names, "variables of a baseline", expected)
    return tuple(wanted)


def collect(blocks: Iterable[Sample], max_rows: int, seed: int = 1) -> Sample:
    """Draw at most `max_rows` rows, with memory for twice as many and a block.

    Every row gets a random priority, and the rows with the smallest ones are kept: a uniform sample
    without replacement, in the original order. Rows of weight 0 are left out. The result depends on
    the seed and on the order of the rows, not on their division into blocks.
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
