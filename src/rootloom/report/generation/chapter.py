"""The chapter on methods that generate examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np

from rootloom.errors import DataError
from rootloom.evaluation.generation.result import GenerationResult
from rootloom.evaluation.measurement import Measurement
from rootloom.evaluation.results import Evaluation
from rootloom.report.generation import figures as figures
from rootloom.report.images import class_images, image_pictures
from rootloom.report.inputs import ClassImages
from rootloom.report.pictures import Picture, picture
from rootloom.report.plots import Line
from rootloom.report.rounding import THIN, duration
from rootloom.report.tables import parameters_of, reasons, with_errors
from rootloom.report.theme import as_png

# Metrics of the tables, in groups: heading, then metric, its heading and what it is multiplied by.
Groups = tuple[tuple[str, tuple[tuple[str, str, float], ...]], ...]
MAIN: Groups = (
    ("Classifier's AUC", (("auc_high", "features", 1.0), ("auc_low", "inputs", 1.0))),
    (f"Physics distance{THIN}×{THIN}10³", (("fpd", "Fréchet", 1e3), ("kpd", "kernel", 1e3))),
)
FURTHER: Groups = (
    ("Features", (("separation", "separation power", 1.0), ("correlation", "correlation", 1.0))),
    (f"Response, off by{THIN}%", (("response", "mean", 100.0), ("resolution", "width", 100.0))),
)


@dataclass(frozen=True)
class Row:
    """A method, or the floor without a line, in a table."""

    line: Line | None
    label: str
    values: tuple[str, ...]
    parameters: str = "–"
    time: str = "–"


@dataclass(frozen=True)
class Generation:
    """Distances, histograms, mean images, response and correlations; see `Chapter`.

    Images and the response are shown if the representation has them.
    """

    template: ClassVar[str] = "generation/chapter.html.j2"

    evaluations: Sequence[Evaluation]
    lines: Mapping[str, Line]

    def __post_init__(self) -> None:
        first = self.evaluations[0]
        for other in self.evaluations[1:]:
            ours, theirs = (e.of(GenerationResult) for e in (first, other))
            if ours.floor != theirs.floor:
                raise DataError(
                    f"evaluation of '{other.method}'",
                    expected=f"the real {ours.noun}s and options of '{first.method}'",
                    found="others: the comparison of real examples with real ones differs",
                    fix="evaluate all methods of a report on the same rows with the same options",
                )

    def beside(self) -> dict[str, bytes]:
        """Mean images, real and generated; all features if examples have no images."""
        if self._means:
            return {"generated.png": as_png(class_images(self._means, titled=True))}
        return {"generated.png": as_png(figures.features(self._results))}

    @property
    def noun(self) -> str:
        """Word for one example."""
        return self._results[0][1].noun

    @property
    def floor_label(self) -> str:
        """Label of the row of real examples."""
        return f"real {self.noun}s"

    @property
    def condition(self) -> str:
        """The conditions of examples in words; "" if there are none."""
        return " and ".join(one.name for one in self._results[0][1].conditions)

    @property
    def main_metrics(self) -> list[tuple[str, str]]:
        """The metrics of the first table."""
        return [(name, f"{group}: {title}") for group, of in MAIN for name, title, _ in of]

    @property
    def best(self) -> Evaluation:
        """The method whose features a classifier finds hardest to tell from real ones."""
        return self._ranked[0]

    def quoted(self, evaluation: Evaluation, name: str) -> str:
        """A metric with its errors."""
        return with_errors(evaluation.of(GenerationResult).values[name])

    @cached_property
    def tables(self) -> list[tuple[Groups, list[Row]]]:
        """Headings and rows: methods, the best first, then the floor."""
        found = []
        for groups in (MAIN, self._further):
            wanted = [(name, factor) for _, group in groups for name, _, factor in group]
            found.append((groups, self._table(wanted)))
        return found

    @property
    def feature_rows(self) -> list[Row]:
        """The table of separation powers, a column a feature."""
        return self._table([(f"separation.{name}", 1.0) for name in self.names])

    @property
    def legend(self) -> list[Line]:
        """Legend: real examples, then the methods."""
        return [figures.REAL_LINE, *(line for line, _ in self._results)]

    @property
    def names(self) -> list[str]:
        """Names of the features."""
        return [found.name for found in self._results[0][1].features]

    @property
    def compared(self) -> tuple[int, int]:
        """Numbers of real examples that are compared, and of those of the floor."""
        return self._results[0][1].floor.compared

    @property
    def reasons(self) -> list[str]:
        """Why metrics of the tables have no error, by method."""
        tables = (MAIN, self._further)
        shown = [name for groups in tables for _, group in groups for name, _, _ in group]
        of = [(line.label, result.values) for line, result in self._results]
        return reasons(
            (f"{label} {name}", values[name])
            for label, values in [*of, (self.floor_label, self._results[0][1].floor.values)]
            for name in shown
        )

    @cached_property
    def averages(self) -> list[Picture]:
        """Plots of mean images, one for each panel; none if examples have no images."""
        return image_pictures(self._means, "g-average", f"Mean {self.noun}")

    @cached_property
    def _means(self) -> list[ClassImages]:
        """Real and generated mean images of each panel."""
        found = []
        for number, first in enumerate(self._results[0][1].images):
            sides = {figures.REAL: first.real}
            sides |= {line.label: r.images[number].generated for line, r in self._results}
            panel = replace(first.panel, quantity=f"mean {first.panel.quantity}")
            drawn = {label: np.array(image) for label, image in sides.items()}
            found.append(ClassImages(panel.title or f"{self.noun}s", panel, drawn))
        return found

    @cached_property
    def histograms(self) -> list[Picture]:
        """One a feature."""
        return [
            picture(
                figures.feature(self._results, number),
                f"g-feature-{number}",
                f"Density of {name} in {self.floor_label} and in those of {self._of}",
            )
            for number, name in enumerate(self.names)
        ]

    @cached_property
    def responses(self) -> list[Picture]:
        """Plots of mean and width of the response; none if there is no response."""
        curve = self._results[0][1].response
        if curve is None:
            return []
        return [
            picture(
                figures.response(self._results, field),
                f"g-response-{field}",
                f"{field} of seen over requested {curve.condition.name} of {self.floor_label} and "
                f"those of {self._of}",
            )
            for field in ("mean", "width")
        ]

    @cached_property
    def correlations(self) -> Picture:
        """Correlations of the features."""
        return picture(
            figures.correlations(self._results),
            "g-correlations",
            f"Rank correlations of features: {self.floor_label}, and differences of {self._of}",
            f"Spearman's rank correlations of the {self.floor_label}, and what generated ones "
            "differ by.",
        )

    def _table(self, wanted: Sequence[tuple[str, float]]) -> list[Row]:
        rows = []
        for evaluation in self._ranked:
            line, values = self.lines[evaluation.method], evaluation.of(GenerationResult)
            rows.append(
                Row(
                    line,
                    line.label,
                    _cells(values.values, wanted),
                    parameters_of(evaluation),
                    duration(evaluation.training_seconds),
                )
            )
        floor = _cells(self._results[0][1].floor.values, wanted)
        return [*rows, Row(None, self.floor_label, floor)]

    @property
    def _further(self) -> Groups:
        """Groups of the second table, without metrics that these examples do not have."""
        return FURTHER if self._results[0][1].response else FURTHER[:1]

    @property
    def _ranked(self) -> list[Evaluation]:
        return sorted(
            self.evaluations,
            key=lambda e: e.of(GenerationResult).values["auc_high"].value or 1.0,
        )

    @cached_property
    def _results(self) -> list[tuple[Line, GenerationResult]]:
        return [(self.lines[e.method], e.of(GenerationResult)) for e in self._ranked]

    @property
    def _of(self) -> str:
        return ", ".join(line.label for line, _ in self._results)


def _cells(
    values: Mapping[str, Measurement], wanted: Sequence[tuple[str, float]]
) -> tuple[str, ...]:
    return tuple(with_errors(_scaled(values[name], factor)) for name, factor in wanted)


def _scaled(found: Measurement, factor: float) -> Measurement:
    value, statistical, spread, median, at_least = (
        None if v is None else factor * v
        for v in (found.value, found.statistical, found.spread, found.median, found.at_least)
    )
    return Measurement(value, statistical, spread, median, found.members, at_least, found.why)
