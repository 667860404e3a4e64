"""The section on three classes or more, in addition to one against the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rootloom.errors import DataError
from rootloom.evaluation.classification.result import (
    ClassificationResult,
    ClassProfile,
    Confusion,
    DiscriminantResult,
    ManyClasses,
    PairRejection,
    WorkingPoint,
)
from rootloom.evaluation.measurement import Measurement
from rootloom.evaluation.results import Evaluation
from rootloom.evaluation.uncertainties import rows_behind_rejection
from rootloom.report.classification import figures
from rootloom.report.classification.figures import Line, Traced
from rootloom.report.classification.rows import rejection_cells
from rootloom.report.distributions import class_lines
from rootloom.report.pictures import Picture, picture
from rootloom.report.rounding import fixed, grouped, measurement, percent
from rootloom.report.tables import Cell

# Share of colour in a cell with all rows of a class, on which text is still readable.
FULL_SHADE = 55


@dataclass(frozen=True)
class Shaded:
    """A cell of a heat map. shade: of colour, in per cent."""

    cell: Cell
    shade: int


@dataclass(frozen=True)
class Matrix:
    """A table of classes by classes. rows: (name, one cell a column; None on the diagonal)."""

    heading: str
    rows: Sequence[tuple[str, Sequence[Cell | None]]]


@dataclass(frozen=True)
class OfMethod:
    """A method's pairs, one matrix a working point, and its confusion matrix.

    totals: rows of each class before any cut.
    """

    line: Line
    pairs: Sequence[Matrix]
    totals: Mapping[str, str]
    confusion: Sequence[tuple[str, Sequence[Shaded]]]


@dataclass(frozen=True)
class DiscriminantSection:
    """A discriminant. rows: by rejected class, the rejection of each method."""

    name: str
    formula: str
    signal: str
    curves: Sequence[Picture]
    rows: Sequence[tuple[str, Sequence[tuple[Line, tuple[Cell, ...]]]]]
    profiles: Sequence[Picture]


@dataclass(frozen=True)
class ManyClassesSection:
    """Pairs, discriminants and confusion of all methods. without: those of no probabilities."""

    classes: Sequence[str]
    points: Sequence[str]
    discriminants: Sequence[DiscriminantSection]
    methods: Sequence[OfMethod]
    without: Sequence[str]

    @property
    def legend(self) -> list[Line]:
        """The classes, as all figures of the section draw them."""
        return list(_class_lines(self.classes).values())

    @property
    def paired(self) -> list[OfMethod]:
        """Methods whose scores are probabilities."""
        return [method for method in self.methods if method.pairs]


def many_of(evaluation: Evaluation) -> ManyClasses | None:
    """A method's results for three classes or more; None for two classes."""
    return evaluation.of(ClassificationResult).many


def require_alike(evaluations: Sequence[Evaluation]) -> None:
    """Raise DataError if methods were evaluated with different discriminants."""
    found = {e.method: many_of(e) for e in evaluations}
    formulas = {
        method: [f"{one.name} = {one.formula}" for one in many.discriminants]
        for method, many in found.items()
        if many and many.pairs
    }
    first = next(iter(formulas), "")
    for method, theirs in formulas.items():
        if theirs != formulas[first]:
            raise DataError(
                f"evaluation of '{method}'",
                expected=f"as for '{first}': {', '.join(formulas[first]) or 'no discriminants'}",
                found=", ".join(theirs) or "no discriminants",
                fix="evaluate all methods of a report with the same options",
            )


def many_classes(
    evaluations: Sequence[Evaluation], lines: Mapping[str, Line], points: Sequence[str]
) -> ManyClassesSection | None:
    """The section on three classes or more; None for two. points: headings of working points."""
    methods = [(lines[e.method], many) for e in evaluations if (many := many_of(e))]
    if not methods:
        return None
    classes = evaluations[0].classes
    members = {e.method: len(e.members) for e in evaluations}
    probable = [(line, many) for line, many in methods if many.pairs]
    numbers = range(len(probable[0][1].discriminants)) if probable else ()
    return ManyClassesSection(
        classes=classes,
        points=points,
        discriminants=[
            _discriminant([(line, m.discriminants[n]) for line, m in probable], n, classes, members)
            for n in numbers
        ],
        methods=[
            OfMethod(
                line,
                _matrices(many.pairs, classes, points),
                _totals(many.pairs),
                _heat(many.confusion),
            )
            for line, many in methods
        ],
        without=[line.label for line, many in methods if not many.pairs],
    )


def _discriminant(
    results: Sequence[tuple[Line, DiscriminantResult]],
    number: int,
    classes: Sequence[str],
    members: Mapping[str, int],
) -> DiscriminantSection:
    """members: how many each method has."""
    first = results[0][1]
    return DiscriminantSection(
        name=first.name,
        formula=first.formula,
        signal=first.signal,
        curves=[
            _curves(line, result, f"d{number}-{place}", classes)
            for place, (line, result) in enumerate(results)
        ],
        rows=[
            (
                pair.background,
                [
                    (line, rejection_cells(r.against[row].working_points, members[line.label]))
                    for line, r in results
                ],
            )
            for row, pair in enumerate(first.against)
        ],
        profiles=[
            _profile(line, result, profile, f"d{number}-{place}-profile-{variable}", classes)
            for variable in range(len(first.profiles))
            for place, (line, result) in enumerate(results)
            for profile in (result.profiles[variable],)
        ],
    )


def _class_lines(classes: Sequence[str]) -> dict[str, Line]:
    """How classes are drawn, by name."""
    return {line.label: line for line in class_lines(classes)}


def _curves(line: Line, result: DiscriminantResult, key: str, classes: Sequence[str]) -> Picture:
    of_class = _class_lines(classes)
    drawn = [(of_class[p.background], Traced.of(p)) for p in result.against if p.curve]
    return picture(
        figures.class_rejection_curves(line.label, result.signal, drawn),
        f"{key}-rejection",
        f"Rejection of {', '.join(p.background for p in result.against)} against {result.signal} "
        f"efficiency by {result.name} of {line.label}",
        f"{line.label}: rejection of each other class at each {result.signal} efficiency.",
    )


def _profile(
    line: Line,
    result: DiscriminantResult,
    profile: ClassProfile,
    key: str,
    classes: Sequence[str],
) -> Picture:
    of_class = _class_lines(classes)
    bins = [(of_class[name], bins) for name, bins in profile.efficiency.items()]
    return picture(
        figures.class_efficiencies(profile.variable, profile.edges, bins),
        key,
        f"Efficiency of each class against {profile.variable} by {result.name} of {line.label}",
        f"{line.label}: efficiencies in bins of {profile.variable}, at a {result.signal} "
        f"efficiency of {percent(profile.signal_efficiency)} overall.",
    )


def _matrices(
    pairs: Sequence[PairRejection], classes: Sequence[str], points: Sequence[str]
) -> list[Matrix]:
    """One a working point; none without pairs."""
    cells = {(pair.signal, pair.background): _narrow(pair) for pair in pairs}
    if not cells:
        return []
    return [
        Matrix(
            heading,
            [
                (one, [cells[one, other][n] if one != other else None for other in classes])
                for one in classes
            ],
        )
        for n, heading in enumerate(points)
    ]


def _totals(pairs: Sequence[PairRejection]) -> dict[str, str]:
    return {
        pair.background: grouped(at.background_total)
        for pair in pairs
        for at in pair.working_points[:1]
    }


def _narrow(pair: PairRejection) -> list[Cell]:
    """Cells without the rows before the cut, which are in the heading of their column."""
    named = zip(rejection_cells(pair.working_points), pair.working_points, strict=True)
    return [replace(cell, detail=_left(at)) for cell, at in named]


def _left(at: WorkingPoint) -> str:
    left = f"{grouped(at.background_count)} left"
    if at.at_least is None:
        return left
    return f"{left} of {grouped(rows_behind_rejection(at.at_least))} of the largest weight"


def _heat(confusion: Confusion) -> list[tuple[str, list[Shaded]]]:
    return [
        (name, [_share(share, count) for share, count in zip(shares, counts, strict=True)])
        for name, shares, counts in zip(
            confusion.classes, confusion.shares, confusion.counts, strict=True
        )
    ]


def _share(share: Measurement, count: float) -> Shaded:
    value = share.value or 0.0
    errors = (None if e is None else 100 * e for e in (share.statistical, share.spread))
    known = share.statistical is not None
    text = measurement(100 * value, *errors) if known else fixed(100 * value, 1)
    # Negative weights can leave [0, 1]; a colour cannot.
    shade = round(FULL_SHADE * min(max(value, 0.0), 1.0))
    return Shaded(Cell(text, grouped(count)), shade)
