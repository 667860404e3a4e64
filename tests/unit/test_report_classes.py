"""What a page shows of three classes or more: discriminants, pairs, confusion."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from tests.unit.test_report_page import Page, evaluations, predictions

from rootloom.errors import DataError
from rootloom.evaluation.classification.discriminants import Discriminant
from rootloom.evaluation.classification.evaluator import Classification
from rootloom.evaluation.evaluate import evaluate
from rootloom.evaluation.predictions import write_predictions
from rootloom.report.inputs import Expected, ReportInputs
from rootloom.report.page import write_report
from rootloom.report.rounding import grouped, measurement
from rootloom.report.tables import with_errors

CLASSES = ("light", "c", "b")
D_B = Discriminant("b", {"c": 0.018, "light": 0.982})
OPTIONS = Classification(discriminants={"D_b": D_B}, profiles=("pt",))


def tables(text):
    """Tables of the page's section on classes: rows of cells, the first of them headings."""
    section = re.search(r'<section id="classes">.*?</section>', text, flags=re.DOTALL)[0]
    found = []
    for table in re.findall(r"<table.*?</table>", section, flags=re.DOTALL):
        rows = re.findall(r"<tr>.*?</tr>", table, flags=re.DOTALL)
        cells = [re.findall(r"<t[hd].*?</t[hd]>", row, flags=re.DOTALL) for row in rows]
        found.append([[re.sub(r"<[^>]*>", "|", c).strip("|\n ") for c in row] for row in cells])
    return found


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classes")
    found = evaluations(folder, 3000, CLASSES, ("cnn", "recnn-gated"), options=OPTIONS)
    expected = [
        Expected("cnn", "D_b.light.r50", 41.0, "a paper", 2.0),
        Expected("cnn", "b/c.r30", 9.0, "a paper"),
        Expected("cnn", "confusion.b.c", 0.5, "a paper"),
    ]
    content = ReportInputs(title="three", evaluations=found, expected=expected)
    paths = write_report(folder / "report.html", content)
    return found, paths, paths[0].read_text()


def rejection(point):
    return with_errors(point.rejection)


def test_no_file_is_added_and_the_page_is_sound(written):
    _, paths, text = written
    assert [path.name for path in paths] == ["report.html", "roc.png"]
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    assert 'href="#classes"' in text
    for phrase in (
        "p(row) / (p(row) + p(column))",
        "c against all other classes",
        "by the same threshold",
    ):
        assert phrase in page.text, phrase


def test_a_discriminant_shows_each_class_that_it_rejects(written):
    found, _, text = written
    assert "D_b = log( p(b) / (0.982 p(light) + 0.018 p(c)) )" in text
    table = next(t for t in tables(text) if t[0][0] == "Rejected")
    assert [row[0] for row in (table[2], table[4])] == ["light", "c"]
    for place, number in ((2, 0), (4, 1)):
        for method, evaluation in enumerate(found):
            points = evaluation.result.many.discriminants[0].against[number].working_points
            for cell, point in zip(table[place + method][-3:], points, strict=True):
                assert cell.startswith(rejection(point))
                left = f"{grouped(point.background_count)} of {grouped(point.background_total)}"
                assert f"{left} left" in cell
    for method in ("cnn", "recnn-gated"):
        assert re.search(rf'aria-label="Rejection of light, c .* D_b of {method}"', text)
        assert re.search(rf'aria-label="Efficiency of each class .*pt by D_b of {method}"', text)


def test_a_matrix_of_pairs_has_the_signal_in_rows(written):
    found, _, text = written
    matrices = [t for t in tables(text) if t[0][0].startswith("at ")]
    assert len(matrices) == 2 * 3
    for number, matrix in enumerate(matrices):
        method, point = divmod(number, 3)
        many = found[method].result.many
        assert matrix[1] == [f"{name}|of 1\u2009000" for name in CLASSES]
        for row, signal in enumerate(CLASSES):
            name, *cells = matrix[2 + row]
            assert name == signal
            for background, cell in zip(CLASSES, cells, strict=True):
                if background == signal:
                    assert cell == "–"
                    continue
                (one,) = (p for p in many.pairs if (p.signal, p.background) == (signal, background))
                at = one.working_points[point]
                assert cell == f"{rejection(at)}|{grouped(at.background_count)} left"


def test_the_confusion_matrix_has_the_true_class_in_rows(written):
    found, _, text = written
    matrices = [t for t in tables(text) if "true class" in t[0][0]]
    for matrix, evaluation in zip(matrices, found, strict=True):
        confusion = evaluation.result.many.confusion
        for name, row, shares, counts in zip(
            CLASSES, matrix[2:], confusion.shares, confusion.counts, strict=True
        ):
            assert row[0] == name
            for cell, share, count in zip(row[1:], shares, counts, strict=True):
                errors = [100 * e for e in (share.statistical, share.spread) if e is not None]
                value = measurement(100 * share.value, *errors)
                assert cell == f"{value}|{grouped(count)}"
    shades = [int(s) for s in re.findall(r"var\(--s1\) (-?\d+)%", text)]
    assert len(shades) == 2 * 9
    assert min(shades) >= 0
    assert max(shades) <= 55


def test_expected_figures_are_named_in_words(written):
    found, _, text = written
    page = Page(text).text
    for label in (
        "rejection of light by D_b at 50\u2009%",
        "rejection of c for b at 30\u2009%",
        "share of b called c",
    ):
        assert label in page
    figures = found[0].result.many
    assert rejection(figures.discriminants[0].against[0].working_points[1]) in page


def test_ten_classes_and_nothing_left_and_signed_weights(tmp_path):
    names = tuple(f"k{number}" for number in range(10))
    content = predictions("cnn", 0, 600, names)
    rows = content.rows
    scores = np.eye(10)[rows.truth]
    weight = np.where(np.arange(600) % 7 == 0, -1.0, 1.0)
    scores[0] = np.eye(10)[3]  # a row of weight −1 of k0 is called k3
    scores[4] = scores[24] = np.eye(10)[5]  # two of weight 1 of k4 are called k5
    rows = dataclasses.replace(rows, scores=scores, weight=weight)
    write_predictions(tmp_path / "p.h5", dataclasses.replace(content, rows=rows))
    fractions = dict.fromkeys(names[1:], 1 / 9)
    options = Classification(discriminants={"D": Discriminant("k0", fractions)})
    found = [evaluate([tmp_path / "p.h5"], options)]
    text = write_report(tmp_path / "r.html", ReportInputs("ten", found))[0].read_text()
    matrix = next(t for t in tables(text) if "true class" in t[0][0])
    assert len(matrix) == 12
    assert matrix[2][1].startswith("102.")
    assert matrix[2][4].startswith("\u22122.")
    assert matrix[3][2] == "100.0|60"  # no error where all rows are in a cell
    pairs = next(t for t in tables(text) if t[0][0].startswith("at "))
    assert pairs[3][3].startswith("&gt;") or pairs[3][3].startswith(">")
    shades = [int(s) for s in re.findall(r"var\(--s1\) (-?\d+)%", text)]
    assert (min(shades), max(shades)) == (0, 55)


def test_scores_that_are_no_probabilities_are_named(tmp_path):
    content = predictions("cnn", 0, 300, CLASSES)
    other = predictions("dnn", 0, 300, CLASSES)
    header = dataclasses.replace(other.header, probability=False)
    write_predictions(tmp_path / "a.h5", content)
    write_predictions(tmp_path / "b.h5", dataclasses.replace(other, header=header))
    found = [evaluate([tmp_path / f"{name}.h5"], OPTIONS) for name in ("a", "b")]
    text = write_report(tmp_path / "r.html", ReportInputs("some", found))[0].read_text()
    page = " ".join(Page(text).text.split())
    assert "neither discriminants nor likelihood ratios: dnn." in page
    assert len([t for t in tables(text) if "true class" in t[0][0]]) == 2


def test_two_classes_have_no_such_section(tmp_path):
    found = evaluations(tmp_path, 600, methods=("cnn",))
    text = write_report(tmp_path / "r.html", ReportInputs("two", found))[0].read_text()
    assert "#classes" not in text
    assert "Confusion" not in text


def test_methods_with_other_discriminants_are_refused_before_anything_is_written(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (one,) = evaluations(folder, 300, CLASSES, ("cnn",), options=OPTIONS)
    thirds = Classification(
        discriminants={"D_b": Discriminant("b", {"c": 0.5, "light": 0.5})}, profiles=("pt",)
    )
    (two,) = evaluations(folder, 300, CLASSES, ("dnn",), options=thirds)
    with pytest.raises(DataError, match=r"(?s)'dnn'.*as for 'cnn': D_b = .*0.018"):
        write_report(tmp_path / "r.html", ReportInputs("x", [one, two]))
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
