"""Generated showers as ROOT files: from a trained generator and energies to a tree."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rootloom.batches.loader import Loader
from rootloom.config import registry
from rootloom.errors import ConfigError, DataError, InputError, require
from rootloom.representations.calorimeter import CalorimeterCells
from rootloom.rootio.cells import TREE
from rootloom.rootio.dataset import ClassRule, RowReader
from rootloom.rootio.header import inspect, trees
from rootloom.rootio.writing import Rows, write_tree
from rootloom.stages.networks import PREDICT_ROWS, moments_of, task_in
from rootloom.system import provenance
from rootloom.system.hashing import of_value
from rootloom.training import bundle
from rootloom.training.generate import BATCH, Sampler, regrouped
from rootloom.types import Shower

# What the tasks yield that this is for.
EXAMPLES = "examples"
# Showers in a basket of the file, whatever the size of the batches.
_BLOCK = 1_000
# Share of the training's range that energies may lie outside of it without a word: the ends of a
# range are not among its sample.
_SLACK = 0.01


class Generator(NamedTuple):
    """A trained task that makes examples. trained: lowest and highest energy it has seen, GeV."""

    task: Any
    params: Any
    trained: tuple[float, float]
    bundle: bundle.Bundle


class Energies(NamedTuple):
    """Of the particles whose showers are wanted: how many, and blocks of them, (n,) GeV.

    origin: where they are from, for the provenance.
    """

    rows: int
    blocks: Iterable[np.ndarray]
    origin: Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """What to make. seed: 0 … 2³² - 1. threshold: GeV; cells at or below it are not written.

    tree: its name. batch: showers a device makes at a time. Raises ConfigError.
    """

    energies: Energies
    seed: int
    threshold: float = 0.0
    tree: str = TREE
    batch: int = BATCH

    def __post_init__(self) -> None:
        for field, holds, expected, value in (
            ("rows", self.energies.rows > 0, "1 or more", self.energies.rows),
            ("seed", 0 <= self.seed < 1 << 32, "0 … 2³² - 1", self.seed),
            ("threshold", 0 <= self.threshold < np.inf, "0 GeV or more", self.threshold),
            ("batch", self.batch > 0, "1 or more", self.batch),
        ):
            require(f"generate: {field}", holds, expected, value)


def load_generator(path: str | Path) -> Generator:
    """The generator in a model bundle. Raises ConfigError for a model that makes no examples."""
    found = bundle.load(path)
    kind: Any = registry.resolve("tasks", found.task.get("kind", ""))
    if kind.yields != EXAMPLES:
        raise ConfigError(
            f"model {path}",
            expected="one whose task makes examples",
            found=f"task '{found.task['kind']}', which yields {kind.yields}",
            fix="name a model.safetensors of an experiment with a generating task",
        )
    task = task_in(found, str(path))
    energy = moments_of(found)["energy"]
    return Generator(task, found.params, (float(energy.low[0]), float(energy.high[0])), found)


def even_energies(low: float, high: float, rows: int | None, seed: int) -> Energies:
    """Evenly distributed ones. Raises ConfigError unless 0 < low ≤ high, and without `rows`."""
    if rows is None:
        raise ConfigError("generate: rows", expected="how many showers to make", found="nothing")
    if not 0 < low <= high < np.inf:
        raise ConfigError(
            "generate: energy", expected="0 < LOW ≤ HIGH, in GeV", found=f"{low:g} {high:g}"
        )

    def drawn() -> Iterator[np.ndarray]:
        rng = np.random.Generator(np.random.PCG64(seed))
        for done in range(0, rows, _BLOCK):
            yield rng.uniform(low, high, min(_BLOCK, rows - done))

    return Energies(rows, drawn(), {"low": low, "high": high})


def place_of(text: str) -> tuple[str, str]:
    """File and expression of "FILE.root:EXPRESSION"; without the latter, "energy"."""
    file, found, expression = text.partition(".root:")
    return (f"{file}.root", expression) if found else (text, "energy")


def energies_of_file(url: str, expression: str, rows: int | None = None) -> Energies:
    """An expression of branches of the only tree in a ROOT file, in the order of its entries.

    rows: of the first entries; None: of all. Raises InputError for a file with another number of
    trees, fewer entries, or without the branch.
    """
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
    reader = RowReader(found[0], {"energy": expression}, classes=(ClassRule("all"),))
    read = (np.asarray(block.columns["energy"]) for block in reader.read(url, 0, wanted))
    return Energies(wanted, read, {"file": Path(url).name, "expression": expression})


def energies_of_split(
    shards: Sequence[str], representation: CalorimeterCells, split: str
) -> Energies:
    """Those of the particles in a split's rows, in the order of the shards."""
    loader = Loader(shards, representation, split, PREDICT_ROWS, shuffle=False, cache_bytes=0)

    def blocks() -> Iterator[np.ndarray]:
        left = loader.rows
        for batch in loader.epoch(0):
            energy = batch.inputs.energy.reshape(-1)[:left]
            left -= len(energy)
            yield energy

    return Energies(loader.rows, blocks(), {"split": split})


def notes_of(model: str | Path, generator: Generator, request: Request) -> dict[str, str]:
    """The provenance of showers that no workflow asked for."""
    section = {
        "classes": generator.bundle.classes,
        "energies": request.energies.origin,
        "rows": request.energies.rows,
        "seed": request.seed,
        "threshold": request.threshold,
        "batch": request.batch,
    }
    digest = hashlib.sha256(Path(model).read_bytes()).hexdigest()
    job = {"section": section, "fingerprint": of_value([section, digest])}
    record = provenance.record("generate", job, inputs={"model": digest}, seed=request.seed)
    return {"provenance": json.dumps(record)}


def write_showers(
    output: str | Path,
    generator: Generator,
    request: Request,
    notes: Mapping[str, str] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write one shower for each energy, in order, to a TTree of a ROOT file, atomically.

    The tree has the branches of the representation's `rows`. In memory there are a batch a device
    and a basket, whatever the number of showers. progress: called with (showers so far, all).
    notes: texts stored beside the tree. Says once when energies lie outside those of the training.
    Raises DataError for energies that no particle has, TrainingError for showers that are not
    finite.
    """
    sampler = Sampler(generator.task, generator.params, seed=request.seed, batch=request.batch)
    energies = _watched(request.energies.blocks, generator.trained)

    representation = generator.task.representation

    def counted() -> Iterator[Rows]:
        done = 0
        for rows in entries(sampler.showers(energies), representation, request.threshold):
            yield rows
            done += rows.size
            progress(done, request.energies.rows)

    write_tree(output, request.tree, counted(), notes)


def entries(
    showers: Iterable[Shower], representation: CalorimeterCells, threshold: float = 0.0
) -> Iterator[Rows]:
    """Showers in batches of any size as entries of a tree, a basket at a time."""
    for block in regrouped(showers, _BLOCK):
        yield representation.rows(Shower(*block), threshold)


def _watched(blocks: Iterable[np.ndarray], trained: tuple[float, float]) -> Iterator[np.ndarray]:
    """The same energies, checked."""
    low, high = trained
    slack, row, told = _SLACK * (high - low), 0, False
    for block in blocks:
        bad = np.flatnonzero(~((block > 0) & (block < np.inf)))
        if len(bad):
            raise DataError(
                f"energy of shower {row + bad[0]}",
                expected="a number above 0, in GeV",
                found=f"{block[bad[0]]:g}",
            )
        if not told and (block.min() < low - slack or block.max() > high + slack):
            told = True
            print(
                f"note: energies from {block.min():g} to {block.max():g} GeV are asked for; the "
                f"model has learnt from {low:g} to {high:g} GeV",
                flush=True,
            )
        row += len(block)
        yield block
