"""Conditions of generated examples: uniform, from a file, or from the rows of a split."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from rootloom.batches.loader import Loader
from rootloom.errors import ConfigError, DataError, InputError, nearest
from rootloom.representations.base import Condition, Representation
from rootloom.rootio.dataset import ClassRule, RowReader
from rootloom.rootio.header import inspect, trees
from rootloom.stages.networks import PREDICT_ROWS

# Number of conditions drawn at a time.
_BLOCK = 1_000
# Conditions outside the training's range by less than this share of it give no note, because a
# sample does not reach the ends of its range.
_SLACK = 0.01


class Conditions(NamedTuple):
    """Number of examples to generate, and blocks of their conditions, (n, K).

    origin: where the conditions are from, for the provenance.
    """

    rows: int
    blocks: Iterable[np.ndarray]
    origin: Mapping[str, Any]


def even_conditions(
    representation: Representation,
    trained: np.ndarray,
    ranges: Mapping[str, tuple[float, float]],
    rows: int | None,
    seed: int,
) -> Conditions:
    """Uniform conditions in `ranges`, by name; default: in those of the training.

    trained: (K, 2), ranges of the training. Raises ConfigError without `rows` and for an invalid
    range.
    """
    noun, known = representation.noun, representation.conditions()
    if rows is None:
        raise ConfigError("generate: rows", expected=f"the number of {noun}s", found="nothing")
    _require_known(ranges, known, noun)
    learnt = zip(known, trained, strict=True)
    chosen = [_checked(one, *ranges.get(one.name, tuple(ends))) for one, ends in learnt]
    low, high = np.array(chosen, np.float64).reshape(-1, 2).T

    def drawn() -> Iterator[np.ndarray]:
        rng = np.random.Generator(np.random.PCG64(seed))
        for done in range(0, rows, _BLOCK):
            yield rng.uniform(low, high, (min(_BLOCK, rows - done), len(known)))

    ends = zip(known, chosen, strict=True)
    return Conditions(rows, drawn(), {one.name: {"low": a, "high": b} for one, (a, b) in ends})


def _require_known(named: Iterable[str], known: Sequence[Condition], noun: str) -> None:
    names = [one.name for one in known]
    for name in named:
        if name not in names:
            raise ConfigError(
                f"generate: {name}",
                expected=f"a condition of the model's {noun}s: {', '.join(names) or 'it has none'}",
                found=f"'{name}'",
                fix=nearest(name, names) if names else "generate without ranges of conditions",
            )


def _checked(condition: Condition, low: float, high: float) -> tuple[float, float]:
    least = 0 if condition.positive else -np.inf
    above = "0 < " if condition.positive else ""
    if not least < low <= high < np.inf:
        raise ConfigError(
            f"generate: {condition.name}",
            expected=f"{above}LOW ≤ HIGH{f', in {condition.unit}' if condition.unit else ''}",
            found=f"{low:g} {high:g}",
        )
    return low, high


def place_of(text: str) -> tuple[str, str | None]:
    """Split "FILE.root:EXPRESSION" into file and expressions (None if not given)."""
    file, found, expression = text.partition(".root:")
    return (f"{file}.root", expression) if found else (text, None)


def conditions_of_file(
    representation: Representation, place: str, rows: int | None = None
) -> Conditions:
    """Conditions of the entries of the only tree in a ROOT file, in their order.

    place: "FILE.root:EXPRESSION", an expression of branches, or one for each condition with ";"
    between them; default: the names of the conditions. rows: of the first entries; None: of all.
    Raises InputError for a file with another number of trees, fewer entries, or without a branch,
    ConfigError for another number of expressions.
    """
    url, text = place_of(place)
    known = [one.name for one in representation.conditions()]
    expressions = known if text is None else text.split(";")
    if len(expressions) != len(known):
        raise ConfigError(
            f"generate: {place}",
            expected=f"{len(known)} expressions, for {', '.join(known) or 'no condition'}",
            found=str(len(expressions)),
        )
    found = trees(url)
    if len(found) != 1:
        raise InputError(url, expected="one tree", found=", ".join(found) or "none")
    entries = inspect(url, found[0]).entries
    wanted = entries if rows is None else rows
    if wanted > entries:
        raise InputError(
            f"{url}: tree '{found[0]}'",
            expected=f"at least the {wanted} entries that were asked for",
            found=f"{entries} entries",
        )
    variables = dict(zip(known, expressions, strict=True))
    reader = RowReader(found[0], variables, classes=(ClassRule("all"),))

    def read() -> Iterator[np.ndarray]:
        for block in reader.read(url, 0, wanted):
            columns = [np.asarray(block.columns[name]) for name in known]
            yield np.stack(columns, axis=1) if columns else np.empty((len(block), 0))

    return Conditions(wanted, read(), {"file": Path(url).name, "expressions": variables})


def conditions_of_split(
    shards: Sequence[str], representation: Representation, split: str
) -> Conditions:
    """Conditions of a split's rows, in the order of the shards."""
    loader = Loader(shards, representation, split, PREDICT_ROWS, shuffle=False, cache_bytes=0)

    def blocks() -> Iterator[np.ndarray]:
        left = loader.rows
        for batch in loader.epoch(0):
            # The leading axis is that of one device.
            inputs = _first_device(batch.inputs)
            condition = np.asarray(representation.condition(inputs))[:left]
            left -= len(condition)
            yield condition

    return Conditions(loader.rows, blocks(), {"split": split})


def _first_device(inputs: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf[0], inputs)


def watched(
    blocks: Iterable[np.ndarray], representation: Representation, trained: np.ndarray
) -> Iterator[np.ndarray]:
    """Yield `blocks`; raise DataError for an invalid condition, print a note on unusual ones.

    trained: lowest and highest value of each condition in the training, (K, 2).
    """
    known, row = representation.conditions(), 0
    told: set[str] = set()
    for block in blocks:
        for number, one in enumerate(known):
            values, ends = block[:, number], trained[number]
            _require_sense(one, values, row, representation.noun)
            if one.name not in told and _is_outside(values, *ends):
                told.add(one.name)
                _note(one, values, *ends)
        row += len(block)
        yield block


def _require_sense(condition: Condition, values: np.ndarray, row: int, noun: str) -> None:
    sensible = np.isfinite(values) & ((values > 0) | (not condition.positive))
    if not sensible.all():
        first = int(np.argmin(sensible))
        above = " above 0" if condition.positive else ""
        raise DataError(
            f"{condition.name} of {noun} {row + first}",
            expected=f"a number{above}{f', in {condition.unit}' if condition.unit else ''}",
            found=f"{values[first]:g}",
        )


def _is_outside(values: np.ndarray, low: float, high: float) -> bool:
    slack = _SLACK * (high - low)
    return bool(values.min() < low - slack or values.max() > high + slack)


def _note(condition: Condition, values: np.ndarray, low: float, high: float) -> None:
    unit = f" {condition.unit}" if condition.unit else ""
    print(
        f"note: requested {condition.name} from {values.min():g} to {values.max():g}{unit}; "
        f"the model has learnt from {low:g} to {high:g}{unit}",
        flush=True,
    )
