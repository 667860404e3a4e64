"""Every path pattern of the workflow, in one place.

Called with names, a method gives a path; called with "{wildcards}", the pattern a rule declares.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from rootloom.packing import folder

WILDCARDS = (
    "dataset", "representation", "file", "folder", "block", "part", "pack", "experiment", "method",
    "member",
)  # fmt: skip


@dataclass(frozen=True)
class Paths:
    """Paths below one results directory.

    What depends on the data alone lives under `datasets/` and is shared by all experiments; what
    depends on an experiment lives under its name.
    """

    results: str = "results"

    def _at(self, *parts: object) -> str:
        return str(PurePosixPath(self.results, *(str(part) for part in parts)))

    # -- data -----------------------------------------------------------------------------------
    def simulated(self, dataset: str, file: str) -> str:
        """A simulated ROOT file, in a folder a thousand."""
        return self._at("datasets", dataset, "root", _block(file), f"{file}.root")

    def index(self, dataset: str, pack: str) -> str:
        """What the headers of a pack's ROOT files say."""
        return self._at("datasets", dataset, "index", f"{pack}.json")

    def retries(self, dataset: str) -> str:
        """How often files that were set aside have been given another chance."""
        return self._at("datasets", dataset, "retries.json")

    def manifest(self, dataset: str, representation: str, pack: str) -> str:
        """The shards of a pack's files: what was written, and what was set aside."""
        return self._at("datasets", dataset, representation, "packs", f"{pack}.json")

    def shard(self, dataset: str, representation: str, file: str, part: str | int) -> str:
        """Part of one file in one representation."""
        below = (_folder(file), f"{file}.{part}.h5")
        return self._at("datasets", dataset, representation, "shards", *below)

    def moments(self, dataset: str, representation: str, pack: str) -> str:
        """Partial statistics of a pack's files."""
        return self._at("datasets", dataset, representation, "moments", f"{pack}.json")

    def statistics(self, dataset: str, representation: str) -> str:
        """Merged statistics over the training split."""
        return self._at("datasets", dataset, representation, "statistics.json")

    def survey(self, dataset: str, representation: str) -> str:
        """What rows look like: distributions of inputs, mean images, examples."""
        return self._at("datasets", dataset, representation, "survey.json")

    # -- experiments ----------------------------------------------------------------------------
    def model(self, experiment: str, method: str, member: str | int) -> str:
        """The trained model's bundle (safetensors)."""
        return self._at(experiment, "models", method, member, "model.safetensors")

    def history(self, experiment: str, method: str, member: str | int) -> str:
        """The training log, one JSON object a line."""
        return self._at(experiment, "models", method, member, "history.jsonl")

    def training(self, experiment: str, method: str, member: str | int, fingerprint: str) -> str:
        """Checkpoints and TensorBoard logs of one training, keyed by all that determines it.

        Not an output: the engine deletes the outputs of a failed job.
        """
        return self._at(experiment, "training", method, member, fingerprint)

    def predictions(self, experiment: str, method: str, member: str | int, split: str) -> str:
        """Scores of every row of a split, with truth and weight."""
        return self._at(experiment, "predictions", method, member, f"{split}.h5")

    def generated(self, experiment: str, method: str, member: str | int) -> str:
        """A generated shower for every row of the test split."""
        return self._at(experiment, "generated", method, f"{member}.root")

    def friend(self, experiment: str, file: str, *, many: bool = False) -> str:
        """Friend tree of one input file: a branch a method, in the input's entry order.

        All in one folder, where users look for them, unless there are too `many`.
        """
        return self._at(experiment, "friends", *([_folder(file)] if many else []), f"{file}.root")

    def friends(self, experiment: str, pack: str) -> str:
        """The friend trees of a pack's files: what was written."""
        return self._at(experiment, "friends", "packs", f"{pack}.json")

    def evaluation(self, experiment: str, method: str) -> str:
        """Metrics of one method over its members."""
        return self._at(experiment, "evaluation", f"{method}.json")

    def floor(self, experiment: str, representation: str) -> str:
        """How real showers compare with real ones."""
        return self._at(experiment, "floor", f"{representation}.json")

    def report(self, experiment: str, name: str = "report.html") -> str:
        """The report page, or a figure saved beside it."""
        return self._at(experiment, name)

    # -- beside the outputs ---------------------------------------------------------------------
    def log(self, rule: str, *wildcards: str) -> str:
        """Log file of a rule's job."""
        return self._at("logs", rule, *wildcards[:-1], f"{wildcards[-1]}.log")

    def benchmark(self, rule: str, *wildcards: str) -> str:
        """Snakemake's time and memory record of a rule's job."""
        return self._at("benchmarks", rule, *wildcards[:-1], f"{wildcards[-1]}.tsv")


def of_file(pattern: str, file: str, part: int = 0) -> str:
    """The path of a file in a pattern with {folder}, {file} and {part}."""
    return pattern.format(folder=folder(file), file=file, part=part)


def _folder(file: str) -> str:
    return "{folder}" if file == "{file}" else folder(file)


def _block(file: str) -> str:
    """Files `qcd-00000` to `qcd-00999` share the folder `qcd-00`."""
    return "{block}" if file == "{file}" else file[:-3]
