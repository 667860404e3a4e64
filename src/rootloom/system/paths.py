"""Every path pattern of the workflow, in one place.

Called with names, a method gives a path; called with "{wildcards}", the pattern a rule declares.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from rootloom.errors import ConfigError
from rootloom.system.faults import obstacle
from rootloom.system.packing import folder

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
NAME_LENGTH = 100  # a file's name may have 255 bytes, and names are put together
MAX_NAME_BYTES = 255  # of file systems
# What the engine, a shell or a file system reads otherwise than as a part of a path.
SPECIAL = re.compile(r"[\x00-\x1f\x7f{}$`*?\[\]\\|;&<>'\"!#]")
# Folders that results hold beside those named by experiments, and datasets beside those named by
# representations.
TAKEN_BY_EXPERIMENTS = ("datasets", "logs", "benchmarks")
TAKEN_BY_DATASETS = ("root", "index")


def check_name(name: object, where: str, taken: tuple[str, ...] = ()) -> None:
    """Refuse names that cannot be part of a path or a branch, or that are `taken`."""
    if not (isinstance(name, str) and NAME.fullmatch(name) and len(name) <= NAME_LENGTH):
        text = str(name)[:NAME_LENGTH]
        near = re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-._")
        raise ConfigError(
            f"{where}: {text}",
            expected="letters, digits, '_', '-' and '.', beginning with a letter or digit, "
            f"at most {NAME_LENGTH} of them",
            found=repr(text) if len(str(name)) <= NAME_LENGTH else f"{len(str(name))} characters",
            fix=f"for example {near}" if near else "",
        )
    if name in taken:
        raise ConfigError(
            f"{where}: {name}",
            expected=f"another name than {', '.join(taken)}, which are folders of the results",
            found=f"'{name}'",
            fix=f"for example {name}-1",
        )


def check_results(results: str, where: str) -> None:
    """Refuse a directory of results that is none, or that the engine or a shell reads otherwise."""
    words = "a directory: parts joined by '/', absolute or below the place where snakemake starts"
    if "://" in results:
        raise ConfigError(
            where,
            expected=words,
            found=f"the URL '{results}'",
            fix="a directory of a shared disk; remote storage is the engine's: "
            "--default-storage-provider",
        )
    if ".." in results.split("/"):
        fix = "write it as an absolute path, or choose a directory below"
        raise ConfigError(where, expected=f"{words}, without '..'", found=f"'{results}'", fix=fix)
    if any(len(os.fsencode(part)) > MAX_NAME_BYTES for part in results.split("/")):
        raise ConfigError(
            where,
            expected=f"{words}, each name in it of at most {MAX_NAME_BYTES} bytes",
            found=f"'{results}'",
            fix="choose shorter names",
        )
    wrong = SPECIAL.search(results)
    if wrong or not results.strip() or results != results.strip() or results[0] in "~-":
        mark = repr(wrong[0]) if wrong else repr(results[:1])
        raise ConfigError(
            where,
            expected=words,
            found=f"'{results}', with {mark}" if results.strip() else "nothing",
            fix="write the path in full" if results[:1] in ("~", "$") else "for example results",
        )


def require_folder(path: str, where: str) -> None:
    """Refuse a directory that cannot be made because something else is there, or above it."""
    if there := obstacle(path):
        raise ConfigError(
            where,
            expected=f"a directory, or that '{path}' can be made one",
            found=f"{'a link to nothing' if there.is_symlink() else 'a file'}: {there}",
            fix="name another directory, or move that out of the way",
        )


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

    def branches(self, dataset: str) -> str:
        """That every branch which is asked for is in some file."""
        return self._at("datasets", dataset, "branches.json")

    def apart(self, experiment: str, dataset: str) -> str:
        """That no event which trains is in another split of a dataset beside the nominal one."""
        return self._at(experiment, "apart", f"{dataset}.json")

    def retries(self, dataset: str) -> str:
        """How often files that were set aside have been given another chance."""
        return self._at("datasets", dataset, "retries.json")

    def changed(self, dataset: str, file: str) -> str:
        """That a file is not the one that was indexed, though its size and time may be the same."""
        return self._at("datasets", dataset, "changed", f"{file}.json")

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

    def axes(self, dataset: str, representation: str) -> str:
        """Axes of the distributions of inputs."""
        return self._at("datasets", dataset, representation, "axes.json")

    def spectra(self, dataset: str, representation: str, pack: str) -> str:
        """What rows of a pack's files look like."""
        return self._at("datasets", dataset, representation, "spectra", f"{pack}.json")

    def survey(self, dataset: str, representation: str) -> str:
        """What rows look like: distributions of inputs, mean images, examples."""
        return self._at("datasets", dataset, representation, "survey.json")

    # -- experiments ----------------------------------------------------------------------------
    def model(self, experiment: str, method: str, member: str | int) -> str:
        """What a training of a member wrote (safetensors)."""
        return self._at(experiment, "models", method, member, "model.safetensors")

    def bundle(self, experiment: str, method: str) -> str:
        """A method with all its members, to be used elsewhere (safetensors)."""
        return self._at(experiment, "bundles", f"{method}.safetensors")

    def history(self, experiment: str, method: str, member: str | int) -> str:
        """The training log, one JSON object a line."""
        return self._at(experiment, "models", method, member, "history.jsonl")

    def training(self, experiment: str, method: str, member: str | int, fingerprint: str) -> str:
        """Checkpoints and TensorBoard logs of one training, keyed by all that determines it.

        Not an output: the engine deletes the outputs of a failed job.
        """
        return self._at(experiment, "training", method, member, fingerprint)

    def exported(self, experiment: str, method: str, member: str | int) -> str:
        """What was exported of a member, and how it compares."""
        return self._at(experiment, "exported", method, f"{member}.json")

    def formats(self, experiment: str, method: str, member: str | int) -> str:
        """Folder of the files of all formats of a member, a folder each."""
        return self._at(experiment, "exported", method, member)

    def predictions(
        self, experiment: str, dataset: str, method: str, member: str | int, split: str
    ) -> str:
        """Scores of every row of a split of a dataset, with truth where known and weight."""
        return self._at(experiment, "predictions", dataset, method, member, f"{split}.h5")

    def generated(self, experiment: str, dataset: str, method: str, member: str | int) -> str:
        """A generated example for every row of the test split of a dataset."""
        return self._at(experiment, "generated", dataset, method, f"{member}.root")

    def friend(self, experiment: str, dataset: str, file: str, *, many: bool = False) -> str:
        """Friend tree of one input file: a branch a method, in the input's entry order.

        All of a dataset in one folder, where users look for them, unless there are too `many`.
        """
        below = [_folder(file)] if many else []
        return self._at(experiment, "friends", dataset, *below, f"{file}.root")

    def friends(self, experiment: str, dataset: str, pack: str) -> str:
        """The friend trees of a pack's files: what was written."""
        return self._at(experiment, "friends", dataset, "packs", f"{pack}.json")

    def evaluation(self, experiment: str, dataset: str, method: str) -> str:
        """Metrics of one method on one dataset over its members."""
        return self._at(experiment, "evaluation", dataset, f"{method}.json")

    def floor(self, experiment: str, dataset: str, representation: str) -> str:
        """How real rows of a dataset compare with other real ones."""
        return self._at(experiment, "floor", dataset, f"{representation}.json")

    def report(self, experiment: str, name: str = "report.html") -> str:
        """The report page, or a plot saved beside it."""
        return self._at(experiment, name)

    # -- beside the outputs ---------------------------------------------------------------------
    def code(self, digest: str) -> str:
        """The definitions behind a hash of code that outputs carry."""
        return self._at("code", f"{digest}.json")

    def log(self, rule: str, *wildcards: str) -> str:
        """Log file of a rule's job."""
        return self._at("logs", rule, *wildcards[:-1], f"{wildcards[-1]}.log")

    def benchmark(self, rule: str, *wildcards: str) -> str:
        """Snakemake's time and memory record of a rule's job."""
        return self._at("benchmarks", rule, *wildcards[:-1], f"{wildcards[-1]}.tsv")


def plot_on(dataset: str, name: str) -> str:
    """A plot of another dataset than the nominal one, from the page."""
    return f"figures/{dataset}/{name}"


def of_file(pattern: str, file: str, part: int = 0) -> str:
    """The path of a file in a pattern with {folder}, {file} and {part}."""
    return pattern.format(folder=folder(file), file=file, part=part)


def _folder(file: str) -> str:
    return "{folder}" if file == "{file}" else folder(file)


def _block(file: str) -> str:
    """Files `qcd-00000` to `qcd-00999` share the folder `qcd-00`."""
    return "{block}" if file == "{file}" else file[:-3]
