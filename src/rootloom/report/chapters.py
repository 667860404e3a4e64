"""The chapters of a page, one for each kind of evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Protocol

from rootloom.errors import DataError
from rootloom.evaluation.results import Evaluation
from rootloom.report.classification.chapter import Classification
from rootloom.report.generation.chapter import Generation
from rootloom.report.plots import Line
from rootloom.report.regression.chapter import Regression


class Chapter(Protocol):
    """The part of a page with the methods' results.

    template: defines the macros `headline` (a sentence), `results` (the table of the summary),
    `note` (below it), `links` and `body` (sections), each of which takes the chapter.
    """

    template: ClassVar[str]

    @property
    def main_metrics(self) -> Sequence[tuple[str, str]]:
        """Metrics that datasets are compared by, each with its heading."""

    def beside(self) -> dict[str, bytes]:
        """Plots to be saved beside the page, as PNG: those that `shown` of the evaluator names."""


CHAPTERS: dict[str, Callable[[Sequence[Evaluation], Mapping[str, Line]], Chapter]] = {
    "classification": Classification,
    "generation": Generation,
    "regression": Regression,
}


def chapter_of(evaluations: Sequence[Evaluation], lines: Mapping[str, Line]) -> Chapter:
    """The chapter for these evaluations; raises an error if they do not belong together."""
    if not evaluations:
        raise DataError("report", expected="an evaluation or more", found="none")
    first = evaluations[0]
    for other in evaluations[1:]:
        ours = (first.result.kind, first.classes, first.split)
        theirs = (other.result.kind, other.classes, other.split)
        for name, mine, its in zip(("kind", "classes", "split"), ours, theirs, strict=True):
            if mine != its:
                raise DataError(
                    f"evaluation of '{other.method}'",
                    expected=f"{name} {mine!r}, as for '{first.method}'",
                    found=repr(its),
                    fix="evaluate all methods of a report on the same split of the same data",
                )
    return CHAPTERS[first.result.kind](evaluations, lines)
