"""What `import rootloom` offers a notebook: `load` a trained method, and the `results` of a run.

    tagger = rootloom.load("results/w-tagging/bundles/recnn-kt.safetensors")
    scores = tagger(uproot.open("jets.root")["jets"].arrays())

    run = rootloom.results("results/w-tagging")
    run.metrics("recnn-kt")["auc"]

Nothing heavy is imported before it is used. See docs/apply.md.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from rootloom.errors import ConfigError, require_known
from rootloom.system.paths import Paths

if TYPE_CHECKING:
    import awkward as ak
    import numpy as np
    from matplotlib.figure import Figure

    from rootloom.evaluation.measurement import Measurement
    from rootloom.evaluation.results import Evaluation
    from rootloom.evaluation.roc import Roc
    from rootloom.export.bundle import Metric, WorkingPoint
    from rootloom.report.plots import Line
    from rootloom.stages.readings import Reading
    from rootloom.stages.scorers import Scorer

    Events: TypeAlias = "ak.Array | Mapping[str, ak.Array | np.ndarray | Sequence[Any]]"


def load(bundle: str | Path, *, threads: int = 1) -> Method:
    """A trained method out of a bundle, ready to score events in memory.

    threads: CPU cores, if this process has not used JAX yet; they change the last bits of scores.
    Raises TrainingError for a bundle that is damaged or of another version, or that says something
    else of its check sample than when it was made.
    """
    if "jax" not in sys.modules:
        from rootloom.training.devices import configure

        configure(cpus=threads)
    from rootloom.stages.scorers import Scorer

    return Method(Scorer.load(bundle))


def results(folder: str | Path) -> Results:
    """The results of an experiment: `results/EXPERIMENT` of a run.

    Raises ConfigError for a folder that is none.
    """
    return Results(folder)


class Method:
    """A trained method with all its members."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer

    def __repr__(self) -> str:
        of = f"{self.name} of {self._scorer.bundle.experiment}"
        return f"<{of}: {', '.join(self.columns)} of {len(self.members)} member(s)>"

    @property
    def name(self) -> str:
        """Its name in the experiment."""
        return self._scorer.bundle.method

    @property
    def members(self) -> list[int]:
        """Numbers of its members."""
        return list(self._scorer.members)

    @property
    def classes(self) -> list[str]:
        """Names of the classes."""
        return list(self._scorer.bundle.classes)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the prediction columns."""
        return tuple(self._scorer.bundle.columns)

    @property
    def working_points(self) -> list[WorkingPoint]:
        """Cuts on scores, from the validation split."""
        return list(self._scorer.bundle.working_points)

    @property
    def metrics(self) -> dict[str, Metric]:
        """Metrics of the mean of the members, from the validation split."""
        return dict(self._scorer.bundle.metrics)

    def inputs(self, sample: str | None = None) -> dict[str, str]:
        """Expressions of the quantities that it reads, by their names; see `__call__`."""
        reading = self._scorer.reading(sample)
        return reading.reader.expressions(reading.columns)

    def branches(self, sample: str | None = None) -> tuple[str, ...]:
        """Branches that these expressions and the selection need."""
        reading = self._scorer.reading(sample)
        return reading.reader.branches(reading.columns)

    def __call__(
        self, events: Events, *, sample: str | None = None
    ) -> dict[str, np.ndarray | ak.Array]:
        """Scores of events, by their branches as files have them.

        events: a record array, or arrays by name, with one element an event; names of branches as
        in files (`branches`), "friend/branch" for those of a friend tree. sample: read events as
        those of this sample of the training; None: where all are read alike.

        Returns arrays by column, float32, with one element an event; where rows are objects, a list
        for each event, as long as that of the objects. NaN stands for what the selection drops and
        for inputs that are not finite. Of several members there are `COLUMN__mean`, `__spread`,
        `__0`, … and, of a cross-validation on events with an `identity`, `__left_out`: the score of
        the member that did not train on the event.

        Raises InputError for a branch that is missing, ConfigError for expressions whose shape does
        not fit.
        """
        reading, arrays = self._scorer.reading(sample), _arrays(events)
        counts = None
        if reading.reader.rows != "event":
            counts = reading.reader.counts_of(arrays)
        return self._scores(reading, arrays, counts)

    def of_quantities(self, rows: Events) -> dict[str, np.ndarray]:
        """Scores of rows, by quantities that were computed elsewhere.

        rows: arrays by the names of `inputs`, with one element a row; quantities of objects, such
        as "constituents.px", are lists. Nothing is selected. Otherwise as `__call__`.
        """
        from rootloom.stages.readings import of_quantities

        found = self._scores(of_quantities(self._scorer.reading()), _arrays(rows), None)
        return dict(found)

    def threshold(self, by: str, target: float, column: str | None = None) -> float:
        """The threshold of a working point that the bundle lists.

        by: "signal_efficiency", "background_rejection" or "rate". column: of a score; None: the
        first. Rows with scores at or above it pass. Raises ConfigError for one that is not listed.
        """
        column = column or self.columns[0]
        known = {p.target: p for p in self.working_points if (p.by, p.column) == (by, column)}
        if target not in known:
            raise ConfigError(
                f"{self._scorer.where}: working point",
                expected=f"a {by} of '{column}' that it lists: {', '.join(map(str, known)) or '-'}",
                found=str(target),
                fix="name it under `working_points` of the experiment and run snakemake",
            )
        return known[target].threshold

    def _scores(
        self, reading: Reading, arrays: Mapping[str, ak.Array], counts: np.ndarray | None
    ) -> dict[str, np.ndarray | ak.Array]:
        import awkward as ak
        import numpy as np

        from rootloom.types import offsets_of

        entries = len(next(iter(arrays.values())))
        rows, columns = self._scorer.score(reading, arrays)
        sizes = np.ones(entries, np.int64) if counts is None else counts
        slots = offsets_of(sizes)[rows.entry] + rows.object
        found: dict[str, np.ndarray | ak.Array] = {}
        for name, values in columns.items():
            full = np.full(int(sizes.sum()), np.nan, np.float32)
            full[slots] = values
            found[name] = full if counts is None else ak.unflatten(full, counts)
        return found


def _arrays(events: Events) -> dict[str, ak.Array]:
    """Arrays by name; raises ConfigError for what has no names."""
    import awkward as ak

    names: list[str] = list(events) if isinstance(events, Mapping) else ak.fields(events)
    if not names:
        raise ConfigError(
            "events",
            expected="a record array or a dictionary, with an array for each branch",
            found=str(getattr(events, "type", type(events).__name__)),
            fix='{"pt": pt, "eta": eta}',
        )
    return {name: ak.Array(events[name]) for name in names}


class Results:
    """What a run has written for one experiment.

    folder: `results/EXPERIMENT`. The dataset is the one that trained where none is named.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.experiment = self.folder.resolve().name
        self._paths = Paths(str(self.folder.resolve().parent))
        if not self._found("evaluation"):
            raise ConfigError(
                str(folder),
                expected="the results of an experiment, with evaluations",
                found="no folder" if not self.folder.is_dir() else "no evaluation in it",
                fix="results/EXPERIMENT of a finished run",
            )

    def __repr__(self) -> str:
        return f"<results of {self.experiment}: {', '.join(self.methods)}>"

    @property
    def datasets(self) -> list[str]:
        """Datasets that were evaluated."""
        return [path.name for path in self._found("evaluation")]

    @property
    def methods(self) -> list[str]:
        """Networks and baselines."""
        return sorted(path.stem for path in (self._found("evaluation")[0]).glob("*.json"))

    def evaluation(self, method: str, dataset: str | None = None) -> Evaluation:
        """All metrics and curves of a method on the test split."""
        from rootloom.evaluation.results import read_evaluation

        of = self._dataset(dataset)
        self._require_method(method)
        return read_evaluation(Path(self._paths.evaluation(self.experiment, of, method)))

    def metrics(self, method: str, dataset: str | None = None) -> dict[str, Measurement]:
        """Metrics with errors by name: "auc", "r50", …."""
        return self.evaluation(method, dataset).result.metrics()

    def predictions(
        self, method: str, dataset: str | None = None, *, split: str = "test", member: int = 0
    ) -> dict[str, np.ndarray]:
        """Columns (R,) of the rows of a split: scores, id, entry, object, weights and truth.

        truth: the number of the class. weight: the event weight. `pandas.DataFrame` takes them as
        they are.
        """
        from rootloom.evaluation.predictions import read_predictions

        self._require_method(method)
        named = self.experiment, self._dataset(dataset, "predictions"), method, member, split
        found = read_predictions(self._paths.predictions(*named))
        rows = found.rows
        scores = {name: rows.scores[:, k] for k, name in enumerate(found.header.columns)}
        base = {name: getattr(rows, name) for name in ("id", "entry", "object", "weight", "truth")}
        if rows.training_weight is not None:
            base["training_weight"] = rows.training_weight
        return {**base, **scores, **rows.aux}

    def roc(
        self,
        method: str,
        dataset: str | None = None,
        *,
        signal: str | None = None,
        member: int = 0,
    ) -> Roc:
        """The weighted ROC curve of a class against all others, all points of the test split.

        signal: the class; None: that of the experiment. Weights are those of its evaluation.
        """
        from rootloom.evaluation.classification.result import ClassificationResult
        from rootloom.evaluation.roc import roc

        evaluation = self.evaluation(method, dataset)
        classes, main = evaluation.classes, evaluation.of(ClassificationResult).signal
        named = signal or main
        expected = f"one of the classes: {', '.join(classes)}"
        require_known([named], classes, f"{self.folder}: signal", expected)
        rows = self.predictions(method, dataset, member=member)
        score = rows[f"score_{named}"] if len(classes) > 2 else rows["score"]
        if len(classes) == 2 and named != main:
            score = -score
        trained = evaluation.result.weights == "training"
        weight = rows["training_weight" if trained else "weight"]
        return roc(score, rows["truth"] == classes.index(named), weight)

    def history(self, method: str, member: int = 0) -> dict[str, np.ndarray]:
        """Loss and metrics of each epoch (E,) of a training, by name."""
        import numpy as np

        from rootloom.report.inputs import read_history

        self._require_method(method)
        path = self._paths.history(self.experiment, method, member)
        found = read_history(path, method, member)
        names = dict.fromkeys(name for epoch in found.figures for name in epoch)
        figures = {n: np.array([epoch.get(n, np.nan) for epoch in found.figures]) for n in names}
        losses = {"training_loss": found.train_loss, "loss": found.validation_loss}
        return {**{n: np.asarray(v, np.float64) for n, v in losses.items()}, **figures}

    def plot(self, dataset: str | None = None) -> Figure:
        """Background rejection against signal efficiency, of all methods, as in the report."""
        from rootloom.report.classification.chapter import Classification

        found = [self.evaluation(method, dataset) for method in self.methods]
        return Classification(found, self._lines()).figure()

    def plot_history(self, method: str) -> Figure:
        """Loss of training and validation by epoch, of all members, as in the report."""
        from rootloom.report.inputs import read_history
        from rootloom.report.losses import loss_curves

        evaluation = self.evaluation(method)
        histories = [
            read_history(self._paths.history(self.experiment, method, m), method, m)
            for m in evaluation.members
        ]
        return loss_curves(self._lines()[method], histories)

    def load(self, method: str) -> Method:
        """The bundle of a method."""
        return load(self._paths.bundle(self.experiment, method))

    def _lines(self) -> dict[str, Line]:
        from rootloom.report.plots import lines_of

        return lines_of(self.methods, {path.name for path in self._found("models")})

    def _found(self, kind: str) -> list[Path]:
        """Folders of datasets; the one that trained comes first."""
        below = self.folder / kind
        found = sorted(path for path in below.iterdir() if path.is_dir()) if below.is_dir() else []
        return sorted(found, key=lambda path: path.name != self._nominal())

    def _nominal(self) -> str | None:
        """The dataset that trained, as the models say."""
        from rootloom.system import provenance

        for path in sorted(self.folder.glob("models/*/*/model.safetensors")):
            record = provenance.read(path)
            if record is not None:
                return str(record["section"]["dataset"])
        return None

    def _dataset(self, name: str | None, kind: str = "evaluation") -> str:
        known = [path.name for path in self._found(kind)]
        if name is None:
            return known[0]
        require_known([name], known, f"{self.folder}: dataset", f"one of {', '.join(known)}")
        return name

    def _require_method(self, name: str) -> None:
        known = self.methods
        require_known([name], known, f"{self.folder}: method", f"one of {', '.join(known)}")
