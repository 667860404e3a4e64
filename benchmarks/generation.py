"""Generated showers a second beside the simulation that they learn from, on one core.

    taskset -c 0 python benchmarks/generation.py calogan

Processor seconds, one thread; with --device gpu seconds of the wall clock, the networks on a GPU,
the simulation on its core. Simulation and networks make showers of the same particle at the
same energies. "batch" is what a network makes at a time; "file" writes the showers to a ROOT file
as well; "file alone" writes the simulation's. The networks are not trained: their speed does not
depend on it, but that of a file does on how many cells hold energy.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from common import clock, clocked, compare
from rootloom.training.devices import configure

# Showers made in a round, by batch.
BATCHES = {"cpu": {1: 32, 64: 256, 1024: 1024}, "gpu": {1: 128, 64: 4096, 1024: 16384}}
REPRESENTATION = "calorimeter-cells"

Columns = Mapping[str, Any]


def simulated(process: str, rows: int) -> Columns:
    """Showers of the source as the dataset `calo` names their columns."""
    from rootloom.simulate.calo import Calo

    (block,) = Calo().blocks(process, rows, 1)
    cells = block.lists["cell"]
    return {"energy": block.columns["energy"], **{f"cells.{n}": cells[n] for n in ("id", "energy")}}


def network(name: str, process: str, columns: Columns) -> tuple[Any, Any]:
    """Task and initial parameters of a model of config/models that makes such showers."""
    import jax

    from rootloom.config.sections import Library
    from rootloom.representations.section import representation_of
    from rootloom.shards.moments import Moments
    from rootloom.stages.networks import task_of
    from rootloom.types import Batch

    library = Library(Path(__file__).parents[1] / "config")
    model, known = library.model(name), library.schema["$defs"]
    role = known["models"][model["kind"]]["x-role"]
    section = SimpleNamespace(
        model=model,
        representation=library.representation(REPRESENTATION),
        task={"kind": next(k for k, t in known["tasks"].items() if t["x-role"] == role)},
        classes=[process],
    )
    representation = representation_of(section.representation)
    stored = representation.encode(columns)
    moments = {name: Moments.of(x) for name, x in representation.sample(stored).items()}
    task, rows = task_of(section, section, moments), 16
    inputs = representation.collate(stored, np.arange(rows), rows)
    ones = np.ones(rows, np.float32)
    batch = Batch(inputs, np.zeros(rows, np.int32), ones, np.zeros((rows, 2), np.uint32))
    params = task.init(jax.random.key(1), jax.tree.map(jax.numpy.asarray, batch))
    # So small that no untrained path from noise to showers leaves the range of float32.
    return task, jax.tree.map(lambda leaf: 0.1 * leaf, params)


class Round:
    """The candidates, and how many showers each makes."""

    def __init__(self, columns: Columns, path: Path, device: str) -> None:
        self.columns, self.path = columns, path
        self.batches, self._now = BATCHES[device], clock(device)
        # As many times as it takes: the same energies for all.
        self.energy = np.resize(columns["energy"], (max(self.batches.values()), 1))
        self.calls: dict[str, Callable[[], object]] = {}
        self.items: dict[str, int] = {}

    def add(self, label: str, rows: int, call: Callable[[], object]) -> None:
        self.calls[label], self.items[label] = clocked(call, self._now), rows

    def add_simulation(self, process: str, rows: int) -> None:
        from rootloom.simulate.calo import Calo

        self.add("simulation", rows, lambda: list(Calo().blocks(process, rows, 1)))
        self.add("simulation, file", rows, lambda: Calo().generate(process, rows, 1, self.path))
        print(f"simulation: {self.columns['cells.id'].counts().mean():.0f} cells a shower")

    def add_network(self, name: str, process: str) -> None:
        from rootloom.training.generate import Sampler

        task, params = network(name, process, self.columns)
        for batch, rows in self.batches.items():
            sampler = Sampler(task, params, seed=1, batch=batch, devices=1)
            asked = [self.energy[:rows]]
            self.add(f"{name}, batch {batch}", rows, lambda s=sampler, e=asked: list(s.examples(e)))
        self.add(
            f"{name}, batch {batch}, file",
            rows,
            lambda: self.write(sampler.examples(asked), task.representation),
        )
        cells = np.concatenate([shower.cells for shower in sampler.examples(asked)])
        print(f"{name}: {(cells > 0).sum(axis=1).mean():.0f} cells a shower")

    def add_file(self) -> None:
        from rootloom.representations.calorimeter import CalorimeterCells

        representation, rows = CalorimeterCells(), len(self.columns["energy"])
        stored = representation.encode(self.columns)
        showers = representation.collate(stored, np.arange(rows), rows)
        self.add("file alone", rows, lambda: self.write([showers], representation))

    def write(self, showers: Any, representation: Any) -> None:
        from rootloom.rootio.writing import write_tree
        from rootloom.stages.sampling import entries, options_of

        options = options_of(representation, {})
        write_tree(self.path, "showers", entries(showers, representation, options))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", help="files of config/models")
    parser.add_argument("--process", default="eplus")
    parser.add_argument("--simulated", type=int, default=256, help="showers a round")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    options = parser.parse_args()
    configure(cpus=1)
    with tempfile.TemporaryDirectory() as folder:
        one = Round(simulated(options.process, 1000), Path(folder) / "showers.root", options.device)
        one.add_simulation(options.process, options.simulated)
        for name in options.models:
            one.add_network(name, options.process)
        one.add_file()
        compare("generation", one.calls, options.repeats, items=one.items, unit="showers")


if __name__ == "__main__":
    main()
