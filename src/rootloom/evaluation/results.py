"""Results of evaluations: typed records that can be written to JSON and read back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from rootloom.errors import DataError, ResultError
from rootloom.evaluation.classification.result import ClassificationResult
from rootloom.evaluation.generation.result import Floor, GenerationResult
from rootloom.evaluation.measurement import Measurement
from rootloom.evaluation.regression.result import RegressionResult
from rootloom.system.atomic import REMAKE, intact, sealed, unsealed, write_text

SCHEMA = 3

# Results of each kind of evaluation, distinguished by their `kind`.
Result = ClassificationResult | RegressionResult | GenerationResult
Record = TypeVar("Record", "Evaluation", Floor)
V = TypeVar("V")
R = TypeVar("R", ClassificationResult, RegressionResult, GenerationResult)


@dataclass(frozen=True)
class Evaluation:
    """The evaluation of one method on one split.

    rows, weights: by class, numbers of rows without those of weight 0, and sums of event weights.
    effective: (Σw)²/Σw² of event weights, training_effective: of training weights, by class.
    negative: share of the rows with a negative event weight, by class. parameters,
    training_seconds: None if the file does not have them; the mean over members. result: of this
    kind of evaluation.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    experiment: str
    method: str
    split: str
    classes: tuple[str, ...]
    members: tuple[int, ...]
    parameters: int | None
    training_seconds: float | None
    rows: dict[str, int]
    weights: dict[str, float]
    result: Result
    effective: dict[str, float] = field(default_factory=dict)
    training_effective: dict[str, float] = field(default_factory=dict)
    negative: dict[str, float] = field(default_factory=dict)
    provenance: dict[str, object] = field(default_factory=dict)
    schema: int = SCHEMA

    def of(self, kind: type[R]) -> R:
        """The result, if it is of this kind; raises DataError for another one."""
        if not isinstance(self.result, kind):
            raise DataError(
                f"evaluation of '{self.method}'",
                expected=f"a {kind.__name__}",
                found=type(self.result).__name__,
            )
        return self.result

    def figure(self, name: str) -> Measurement | None:
        """A metric by its name, in upper or lower case; None if it was not evaluated."""
        return _by_name(name, self.result.figures())

    def unit(self, name: str) -> str:
        """The unit of a metric; "" if it has none."""
        known = self.result.units() if isinstance(self.result, RegressionResult) else {}
        return _by_name(name, known) or ""

    def statistics_lines(self) -> Iterator[str]:
        """Lines with the number and effective number of rows of each class."""
        for name, rows in self.rows.items():
            negative = self.negative.get(name, 0.0)
            signs = f", {negative:.1%} of negative weight" if negative else ""
            yield f"{name}: {rows:,} rows, {self.effective.get(name, 0.0):,.0f} effective{signs}"

    def to_json(self) -> str:
        """Indented JSON; floats keep all their digits."""
        return to_json(self)

    @staticmethod
    def from_json(text: str | bytes, where: str = "evaluation") -> Evaluation:
        """The inverse of `to_json`; raises ResultError for anything else, naming `where`."""
        found = _from_json(Evaluation, text, where)
        if found.schema != SCHEMA:
            raise ResultError(
                where,
                expected=f"schema {SCHEMA}",
                found=f"schema {found.schema}",
                fix=REMAKE,
            )
        return found


def _by_name(name: str, known: Mapping[str, V]) -> V | None:
    """The value of a name, else of the same name in upper or lower case."""
    lower = {key.lower(): found for key, found in known.items()}
    return known.get(name, lower.get(name.lower()))


def read_evaluation(path: Path) -> Evaluation:
    """The evaluation in a JSON file; raises ResultError naming the file."""
    return Evaluation.from_json(_text(path, "an evaluation"), where=str(path))


def read_floor(path: Path) -> Floor:
    """The comparison of real showers in a JSON file; raises ResultError naming the file."""
    return _from_json(Floor, _text(path, "a comparison of real showers"), where=str(path))


def to_json(record: Evaluation | Floor) -> str:
    """Indented JSON; floats keep all their digits."""
    return _adapter(type(record)).dump_json(record, indent=1).decode()


def _from_json(kind: type[Record], text: str | bytes, where: str) -> Record:
    try:
        found: Record = _adapter(kind).validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        raise ResultError(
            where,
            expected=f"{_CALLED[kind]} written by rootloom",
            found=f"{'.'.join(map(str, first['loc'])) or 'text'}: {first['msg']}",
            fix=REMAKE,
        ) from None
    return found


def write_result(path: str | Path, record: Evaluation | Floor) -> None:
    """Write an evaluation or a comparison of real showers, with its digest."""
    write_text(path, sealed(to_json(record), str(record.provenance.get("fingerprint", ""))))


def _text(path: Path, called: str) -> str:
    with intact(path, f"{called} written by rootloom", fix=REMAKE):
        return unsealed(path)


_adapter: Callable[[type], TypeAdapter[Any]] = cache(TypeAdapter)
_CALLED: dict[type, str] = {Evaluation: "an evaluation", Floor: "a comparison of real showers"}
