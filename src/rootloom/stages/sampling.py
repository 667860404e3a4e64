"""Generated examples as ROOT files: from a trained generator and conditions to a tree."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rootloom.batches.loader import Loader
from rootloom.config import registry
from rootloom.errors import ConfigError, DataError, InputError, nearest, require, require_known
from rootloom.representations.base import Condition, GenerationOptions, Representation
from rootloom.rootio.dataset import ClassRule, RowReader
from rootloom.rootio.header import inspect, trees
from rootloom.rootio.names import identifier
from rootloom.rootio.writing import Rows, write_tree
from rootloom.shards.moments import Moments
from rootloom.stages.networks import PREDICT_ROWS, moments_of, task_in
from rootloom.system import provenance
from rootloom.system.hashing import of_value
from rootloom.tasks.base import Generator as GeneratorTask
from rootloom.training import bundle
from rootloom.training.generate import BATCH, Sampler, regrouped

# Examples in a basket of the file, whatever the size of the batches.
_BLOCK = 1_000
# Share of the training's range that a condition may lie outside of it without a word: the ends of a
# range are not among its sample.
_SLACK = 0.01


class Generator(NamedTuple):
    """A trained task that makes examples.

    trained: lowest and highest value that it has seen of each condition, (K, 2).
    """

    task: GeneratorTask
    params: Any
    trained: np.ndarray
    bundle: bundle.Bundle

    @property
    def representation(self) -> Representation:
        """What it makes inputs of."""
        return self.task.representation

    @property
    def noun(self) -> str:
        """What one example is called."""
        return self.representation.noun


class Conditions(NamedTuple):
    """Of the examples that are wanted: how many, and blocks of their conditions, (n, K).

    origin: where they are from, for the provenance.
    """

    rows: int
    blocks: Iterable[np.ndarray]
    origin: Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """What to make. options: of `decode`, with the seed, 0 … 2³² - 1.

    tree: its name; None: the plural of what is made. batch: examples a device makes at a time.
    Raises ConfigError.
    """

    conditions: Conditions
    options: GenerationOptions = field(default_factory=GenerationOptions)
    tree: str | None = None
    batch: int = BATCH

    def __post_init__(self) -> None:
        for name, holds, expected, value in (
            ("rows", self.conditions.rows > 0, "1 or more", self.conditions.rows),
            ("seed", 0 <= self.options.seed < 1 << 32, "0 … 2³² - 1", self.options.seed),
            ("batch", self.batch > 0, "1 or more", self.batch),
        ):
            require(f"generate: {name}", holds, expected, value)


def load_generator(path: str | Path) -> Generator:
    """The generator in a model bundle. Raises ConfigError for a model that makes no examples."""
    found = bundle.load(path)
    kind: Any = registry.resolve("tasks", found.task.get("kind", ""))
    if not issubclass(kind, GeneratorTask):
        raise ConfigError(
            f"model {path}",
            expected="one whose task makes examples",
            found=f"task '{found.task['kind']}', which yields {kind.yields}",
            fix="name a model.safetensors of an experiment with a generating task",
        )
    task: Any = task_in(found, str(path))
    moments = moments_of(found)
    ends = [_range(one, moments) for one in task.representation.conditions()]
    return Generator(task, found.params, np.array(ends, np.float64).reshape(-1, 2), found)


def _range(condition: Condition, moments: Mapping[str, Moments]) -> tuple[float, float]:
    """What of a condition a model has learnt from; all numbers where nothing tells."""
    if not condition.sample:
        return -np.inf, np.inf
    require_known([condition.sample], moments, f"condition '{condition.name}'", "a sample")
    of = moments[condition.sample]
    return float(of.low[condition.column]), float(of.high[condition.column])


def options_of(representation: Representation, given: Mapping[str, Any]) -> GenerationOptions:
    """Options of making examples of a representation. Raises ConfigError for what it has not."""
    known = [one.name for one in fields(representation.generation)]
    for name in given:
        if name not in known:
            raise ConfigError(
                f"generation: {name}",
                expected=f"an option of {representation.noun}s: {', '.join(known)}",
                found=f"'{name}'",
                fix=nearest(name, known),
            )
    return representation.generation(**given)


def even_conditions(
    generator: Generator,
    ranges: Mapping[str, tuple[float, float]],
    rows: int | None,
    seed: int,
) -> Conditions:
    """Evenly distributed ones in these ranges, by name, or by default in those of the training.

    Raises ConfigError without `rows`, and for a range that is none.
    """
    noun, known = generator.noun, generator.representation.conditions()
    if rows is None:
        raise ConfigError("generate: rows", expected=f"how many {noun}s to make", found="nothing")
    _require_known(ranges, known, noun)
    trained = {one.name: tuple(ends) for one, ends in zip(known, generator.trained, strict=True)}
    chosen = [_checked(one, *ranges.get(one.name, trained[one.name])) for one in known]
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
                expected=f"what this model makes {noun}s to: {', '.join(names) or 'nothing'}",
                found=f"'{name}'",
                fix=nearest(name, names) if names else f"leave out --{name}: {noun}s follow chance",
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
    """File and expressions, if there are any, of "FILE.root:EXPRESSION"."""
    file, found, expression = text.partition(".root:")
    return (f"{file}.root", expression) if found else (text, None)


def conditions_of_file(
    representation: Representation, place: str, rows: int | None = None
) -> Conditions:
    """Those of the entries of the only tree in a ROOT file, in their order.

    place: "FILE.root:EXPRESSION", of branches; of several conditions one each, with a ";" between
    them; without it, they have their own names. rows: of the first entries; None: of all.
    Raises InputError for a file with another number of trees, fewer entries, or without a branch,
    ConfigError for another number of expressions.
    """
    url, text = place_of(place)
    known = [one.name for one in representation.conditions()]
    expressions = known if text is None else text.split(";")
    if len(expressions) != len(known):
        raise ConfigError(
            f"generate: {place}",
            expected=f"{len(known)} expressions, of {', '.join(known) or 'nothing'}",
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
    """Those of a split's rows, in the order of the shards."""
    loader = Loader(shards, representation, split, PREDICT_ROWS, shuffle=False, cache_bytes=0)

    def blocks() -> Iterator[np.ndarray]:
        left = loader.rows
        for batch in loader.epoch(0):
            # Of one device, whose axis leads.
            inputs = _first_device(batch.inputs)
            condition = np.asarray(representation.condition(inputs))[:left]
            left -= len(condition)
            yield condition

    return Conditions(loader.rows, blocks(), {"split": split})


def _first_device(inputs: Any) -> Any:
    import jax

    return jax.tree.map(lambda leaf: leaf[0], inputs)


def notes_of(model: str | Path, generator: Generator, request: Request) -> dict[str, str]:
    """The provenance of examples that no workflow asked for."""
    section = {
        "classes": generator.bundle.classes,
        "condition": request.conditions.origin,
        "rows": request.conditions.rows,
        "batch": request.batch,
        **asdict(request.options),
    }
    digest = hashlib.sha256(Path(model).read_bytes()).hexdigest()
    job = {"section": section, "fingerprint": of_value([section, digest])}
    seed = request.options.seed
    record = provenance.record("generate", job, inputs={"model": digest}, seed=seed)
    return {"provenance": json.dumps(record)}


def write_examples(
    output: str | Path,
    generator: Generator,
    request: Request,
    notes: Mapping[str, str] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write one example for each condition, in order, to a TTree of a ROOT file, atomically.

    The tree has the branches of the representation's `decode`. In memory there are a batch a device
    and a basket, whatever the number of examples. progress: called with (examples so far, all).
    notes: texts stored beside the tree. Says once when conditions lie outside those of the
    training. Raises DataError for conditions that make no sense, TrainingError for examples that
    are not finite.
    """
    seed, representation = request.options.seed, generator.representation
    sampler = Sampler(generator.task, generator.params, seed=seed, batch=request.batch)
    conditions = _watched(request.conditions.blocks, generator)

    def counted() -> Iterator[Rows]:
        done = 0
        for rows in entries(sampler.examples(conditions), representation, request.options):
            yield rows
            done += rows.size
            progress(done, request.conditions.rows)

    write_tree(output, request.tree or identifier(f"{generator.noun}s"), counted(), notes)


def entries(
    examples: Iterable[Any], representation: Representation, options: GenerationOptions
) -> Iterator[Rows]:
    """Examples in batches of any size as entries of a tree, a basket at a time."""
    for block in regrouped(examples, _BLOCK):
        yield representation.decode(block, options)


def _watched(blocks: Iterable[np.ndarray], generator: Generator) -> Iterator[np.ndarray]:
    """The same conditions. Raises DataError for one that makes no sense, notes unusual ones."""
    known, row = generator.representation.conditions(), 0
    told: set[str] = set()
    for block in blocks:
        for number, one in enumerate(known):
            values, trained = block[:, number], generator.trained[number]
            _require_sense(one, values, row, generator.noun)
            if one.name not in told and _is_outside(values, *trained):
                told.add(one.name)
                _note(one, values, *trained)
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
        f"note: {condition.name} from {values.min():g} to {values.max():g}{unit} is asked for; the "
        f"model has learnt from {low:g} to {high:g}{unit}",
        flush=True,
    )
