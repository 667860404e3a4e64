"""Generated examples as ROOT files, from a trained generator and conditions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rootloom.config import registry
from rootloom.errors import ConfigError, require, require_known
from rootloom.representations.base import Condition, GenerationOptions, Representation
from rootloom.rootio.names import identifier
from rootloom.rootio.writing import Rows, write_tree
from rootloom.shards.moments import Moments
from rootloom.stages.conditions import Conditions, watched
from rootloom.stages.networks import moments_of, task_in
from rootloom.system import provenance
from rootloom.system.hashing import of_value
from rootloom.tasks.base import Generator as GeneratorTask
from rootloom.training.generate import BATCH, Sampler, regrouped
from rootloom.training.trained import Trained, load

# Number of examples in a basket of the file, whatever the size of the batches.
_BLOCK = 1_000


class Generator(NamedTuple):
    """A trained task that generates examples.

    trained: lowest and highest value of each condition in the training, (K, 2).
    """

    task: GeneratorTask
    params: Any
    trained: np.ndarray
    model: Trained

    @property
    def representation(self) -> Representation:
        """The representation of its examples."""
        return self.task.representation

    @property
    def noun(self) -> str:
        """Word for one example."""
        return self.representation.noun


@dataclass(frozen=True)
class Request:
    """What to generate. options: of `decode`, with the seed, 0 … 2³² - 1.

    tree: its name; None: the plural of `noun`. batch: examples per device at a time.
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
    """The generator in the model of a training. Raises ConfigError for a model of another task."""
    found = load(path)
    kind: Any = registry.resolve("tasks", found.task.get("kind", ""))
    if not issubclass(kind, GeneratorTask):
        raise ConfigError(
            f"model {path}",
            expected="one whose task generates examples",
            found=f"task '{found.task['kind']}', which yields {kind.yields}",
            fix="name a model.safetensors of an experiment with a generating task",
        )
    task: Any = task_in(found, str(path))
    moments = moments_of(found)
    ends = [_range(one, moments) for one in task.representation.conditions()]
    return Generator(task, found.params, np.array(ends, np.float64).reshape(-1, 2), found)


def _range(condition: Condition, moments: Mapping[str, Moments]) -> tuple[float, float]:
    """Range of a condition in the training; (-inf, inf) if it is unknown."""
    if not condition.sample:
        return -np.inf, np.inf
    require_known([condition.sample], moments, f"condition '{condition.name}'", "a sample")
    of = moments[condition.sample]
    return float(of.low[condition.column]), float(of.high[condition.column])


def options_of(representation: Representation, given: Mapping[str, Any]) -> GenerationOptions:
    """Options for generating a representation. Raises ConfigError for unknown ones."""
    known = [one.name for one in fields(representation.generation)]
    for name in given:
        expected = f"an option of {representation.noun}s: {', '.join(known)}"
        require_known([name], known, f"generation: {name}", expected)
    return representation.generation(**given)


def notes_of(model: str | Path, generator: Generator, request: Request) -> dict[str, str]:
    """The provenance of examples that are generated outside a workflow."""
    section = {
        "classes": generator.model.classes,
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

    The tree has the branches of the representation's `decode`. Memory holds a batch per device
    and a basket, whatever the number of examples. progress: called with (examples so far, all).
    notes: texts stored beside the tree. Prints a note once if conditions are outside the range of
    the training. Raises DataError for invalid conditions, TrainingError for examples that are not
    finite.
    """
    seed, representation = request.options.seed, generator.representation
    sampler = Sampler(generator.task, generator.params, seed=seed, batch=request.batch)
    conditions = watched(request.conditions.blocks, representation, generator.trained)

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
    """Regroup examples in batches of any size as entries of a tree, a basket at a time."""
    for block in regrouped(examples, _BLOCK):
        yield representation.decode(block, options)
