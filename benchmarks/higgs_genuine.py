"""Does the `higgs` source stand for UCI HIGGS? Trained on it, tested on genuine rows.

    snakemake --config experiment=higgs
    python benchmarks/higgs_genuine.py results/datasets/higgs/root
    python benchmarks/higgs_genuine.py results/datasets/higgs/root --networks deep resnet

UCI divides every feature by a constant; the constants are found again by matching means, common to
both classes. Boosted trees and networks of the shipped experiment, trained by the library on
simulated events, are then tested on the 7,000 genuine rows of tests/data, beside the same methods
trained on as many genuine rows (five-fold cross-validation). All are tested on the same rows: the
error of a difference leaves out what two methods have in common.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from higgs_rows import NAMES, distances, genuine, matched, simulated
from rootloom.baselines.base import Sample
from rootloom.baselines.boosted_trees import BoostedTrees
from rootloom.config.sections import Library
from rootloom.evaluation.uncertainties import paired_areas
from rootloom.simulate.higgs_features import HIGH_LEVEL, LOW_LEVEL

CONFIG = Path(__file__).resolve().parents[1] / "config"
SETS = {"low": LOW_LEVEL, "high": HIGH_LEVEL, "all": NAMES}
FOLDS = 5
CLASSES = ["ttbar", "higgs"]

Method = Callable[[Sample, Sample], np.ndarray]


def trees(train: Sample, test: Sample) -> np.ndarray:
    """Trees fitted to nine tenths of `train`, stopped on the rest."""
    held = np.arange(len(train)) % 10 == 0
    fitted = BoostedTrees().fit(train.take(~held), train.take(held))
    return fitted.score(test.x)


@dataclass(frozen=True)
class Network:
    """A method of the experiment `higgs`, trained as the workflow trains it.

    It learns from nine tenths of the rows; its epoch is chosen on the rest. members: networks
    whose mean score is taken.
    """

    method: str
    members: int

    def __call__(self, train: Sample, test: Sample) -> np.ndarray:
        """Scores of the test rows."""
        return np.mean([self._member(train, test, k) for k in range(self.members)], axis=0)

    def _member(self, train: Sample, test: Sample, member: int) -> np.ndarray:
        from rootloom.representations.section import representation_of
        from rootloom.shards.statistics import shard_statistics
        from rootloom.shards.weights import WeightTable
        from rootloom.stages.networks import NetworkOutputs, loaders_of, options_of, task_of
        from rootloom.training.loop import fit

        section = self._section()
        representation = representation_of(section.representation)
        with tempfile.TemporaryDirectory() as folder:
            shards = [Path(folder) / "train.h5", Path(folder) / "test.h5"]
            held = np.arange(len(train)) % 10 == 0
            write_shard(shards[0], representation, train, held.astype(np.int8))
            write_shard(shards[1], representation, test, np.full(len(test), 2, np.int8))
            found = shard_statistics(shards[0], representation, classes=CLASSES)
            weights = WeightTable.from_statistics(found, dataset="higgs")
            task = task_of(section, section, found.moments)
            options = options_of(section.training, member)
            batches = loaders_of([str(shards[0])], weights, options, task, member)
            result = fit(task, *batches, options, folder, fingerprint="", progress=False)
            found = NetworkOutputs(task).of(result.params, [str(shards[1])], "test")
            scores = [one.scores for one in found]
        return np.concatenate(scores)[:, 0].astype(np.float64)

    def _section(self) -> SimpleNamespace:
        library = Library(CONFIG)
        experiment = library.experiment("higgs")
        method = experiment.methods[self.method]
        return SimpleNamespace(
            model=library.model(method.model),
            representation=library.representation(method.representation),
            task=experiment.task,
            classes=CLASSES,
            training={**experiment.training, **method.training, "tensorboard": False},
        )


def write_shard(path: Path, representation: Any, rows: Sample, split: np.ndarray) -> None:
    """Rows as the workflow's preprocessing writes them. split: (R,) int8, index into SPLITS."""
    from rootloom.shards.writer import ShardWriter
    from rootloom.types import RowBlock

    columns = {name: rows.x[:, k] for k, name in enumerate(rows.names)}
    block = RowBlock(
        entry=np.arange(len(rows)),
        object=np.zeros(len(rows), np.int32),
        label=rows.target.astype(np.int32),
        weight=rows.weight.astype(np.float32),
        columns=columns,
        split=split,
    )
    with ShardWriter(path, file_key=path.stem, splits={}) as writer:
        writer.append(block, representation.encode(columns))


def trained(method: Method, ours: Sample, theirs: Sample) -> dict[str, np.ndarray]:
    """Scores of the genuine rows, by what the method was trained on."""
    fold = np.arange(len(theirs)) % FOLDS
    alike = len(theirs) * (FOLDS - 1) // FOLDS  # as many as a fold is trained on
    crossed = np.empty(len(theirs))
    for k in range(FOLDS):
        crossed[fold == k] = method(theirs.take(fold != k), theirs.take(fold == k))
    return {
        f"{alike} genuine": crossed,
        f"{alike} simulated": method(ours.take(slice(alike)), theirs),
        f"{len(ours)} simulated": method(ours, theirs),
    }


def report(scores: dict[str, np.ndarray], test: Sample) -> None:
    """Print each AUC, and its difference from the first one on the same rows."""
    areas, covariance = paired_areas(np.stack(list(scores.values())), test.target == 1, test.weight)
    error = np.sqrt(np.diag(covariance))
    apart = np.sqrt(np.maximum(error**2 + error[0] ** 2 - 2 * covariance[0], 0))
    for k, label in enumerate(scores):
        line = f"  {label:36} AUC {areas[k]:.4f} ± {error[k]:.4f}"
        print(line + (f"   {areas[k] - areas[0]:+.4f} ± {apart[k]:.4f}" if k else ""), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="simulated ROOT files")
    parser.add_argument(
        "--networks", nargs="*", default=[], help="deep, resnet: see the experiment"
    )
    parser.add_argument("--members", type=int, default=1, help="networks whose mean score is taken")
    parser.add_argument("--sets", nargs="*", default=list(SETS), choices=list(SETS))
    parser.add_argument("--scores", type=Path, help="keep all scores here, as JSON")
    options = parser.parse_args()
    if options.networks:
        from rootloom.training.devices import configure

        configure(cpus=1)
    theirs = genuine()
    ours = matched(simulated(options.folder), theirs)
    distances(ours, theirs)
    order = np.random.Generator(np.random.Philox(key=[1, 1])).permutation(len(ours))
    ours = ours.take(order)
    kept: dict[str, list[float]] = {}
    for label in options.sets:
        own, other = ours.columns(SETS[label]), theirs.columns(SETS[label])
        methods: dict[str, Method] = {"trees": trees}
        methods |= {n: Network(f"{n}-{label}", options.members) for n in options.networks}
        for name, method in methods.items():
            print(f"{name}, {label} features, tested on {len(other)} genuine rows; trained on")
            scores = trained(method, own, other)
            report(scores, other)
            if method is trees:
                rest = own.take(slice(len(other), None))
                report({"simulated, on simulated": trees(own.take(slice(len(other))), rest)}, rest)
            kept |= {f"{name}-{label}, {on}": s.tolist() for on, s in scores.items()}
    sizes = list(dict.fromkeys(key.partition(", ")[2] for key in kept))
    for size in sizes:
        print(f"trained on {size}; differences from the first:")
        report({k: np.array(s) for k, s in kept.items() if k.endswith(f", {size}")}, theirs)
    if options.scores:
        options.scores.write_text(json.dumps(kept))


if __name__ == "__main__":
    main()
