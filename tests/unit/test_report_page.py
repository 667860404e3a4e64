"""The report page, made from synthetic evaluations."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rootloom.errors import DataError, InputError
from rootloom.evaluation.classification.evaluator import Classification
from rootloom.evaluation.classification.significance import Counts
from rootloom.evaluation.evaluate import evaluate
from rootloom.evaluation.predictions import Header, Predictions, Rows, write_predictions
from rootloom.report import theme
from rootloom.report.definitions import definitions, facts
from rootloom.report.gather import _files_in
from rootloom.report.images import class_images
from rootloom.report.inputs import (
    ClassImages,
    DatasetSummary,
    Distribution,
    Expected,
    History,
    OtherDataset,
    ReportInputs,
    read_history,
)
from rootloom.report.page import method_lines, write_report
from rootloom.report.rounding import measurement
from rootloom.report.tables import expected_rows, with_errors
from rootloom.report.theme import as_svg
from rootloom.report.weights import ClassRow, SampleRow, WeightsSummary
from rootloom.representations.base import Panel
from rootloom.shards.manifest import Entry, Manifest
from rootloom.system.atomic import sealed

# name: (separation, members, parameters, seconds)
METHODS = {
    "cnn": (1.40, 1, 69_921, 412.0),
    "recnn-gated": (1.75, 3, 48_761, 1630.0),
    "dnn": (1.30, 1, 10_401, 31.0),
    "mass-tau21": (0.95, 1, 1089, 0.4),
    "boosted-trees": (1.2, 1, 5330, 2.1),
}
NASTY = "<script>alert(1)</script>"
WEIGHTS = WeightsSummary(
    event="weight, times cross section × 20 fb⁻¹ / Σw before the selection, by sample",
    training="|event weight| × balance of the classes",
    classes=(ClassRow("train", "qcd", "7,012", "8414.4", "6,950", "12.5 %", "6,800"),),
    samples=(
        SampleRow("dijets", "qcd", "genWeight", "20,000", "1e+06", "831.8 pb", "16.6", "7,012"),
    ),
    capped=("qcd: 3 of 50 bins of pt hold too few rows for the cap of 10",),
)
TRAINED = ("cnn", "recnn-gated", "dnn")


def predictions(method, member, rows, classes):
    separation, _, parameters, seconds = METHODS[method]
    common = np.random.default_rng(7)
    own = np.random.default_rng([list(METHODS).index(method), member])
    truth = np.arange(rows) % len(classes)
    logits = common.normal(size=(rows, len(classes))) + own.normal(0, 0.4, (rows, len(classes)))
    logits += separation * np.eye(len(classes))[truth]
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    binary = len(classes) == 2
    return Predictions(
        Header(
            method=method,
            classes=classes,
            signal=classes[-1],
            columns=("score",) if binary else tuple(f"score_{c}" for c in classes),
            experiment="w-tagging",
            member=member,
            parameters=parameters,
            training_seconds=seconds,
            provenance={"fingerprint": "3f2a", "packages": {"jax": "0.10.2", "numpy": "2.4.6"}},
            probability=True,
        ),
        Rows(
            id=np.arange(rows, dtype=np.uint64),
            weight=common.lognormal(0, 0.3, rows),
            truth=truth,
            scores=scores[:, 1:] if binary else scores,
            file=np.zeros(rows),
            entry=np.arange(rows),
            object=np.zeros(rows),
            aux={"pt": 250 + 50 * common.random(rows)},
        ),
    )


def evaluations(
    folder, rows=6000, classes=("qcd", "w"), methods=tuple(METHODS), profiles=(), options=None
):
    found = []
    for method in methods:
        paths = []
        for member in range(METHODS[method][1]):
            paths.append(folder / f"{method}-{member}.h5")
            write_predictions(paths[-1], predictions(method, member, rows, classes))
        found.append(evaluate(paths, options or Classification(profiles=profiles)))
    return found


def blob(x, y, width, size=25):
    grid = np.linspace(-1.25, 1.25, size)
    return np.exp(-((grid[None] - x) ** 2 + (grid[:, None] - y) ** 2) / (2 * width**2))


def images():
    centred = {"qcd": blob(0, 0, 0.18), "w": blob(0, 0, 0.3)}
    subjets = {
        "qcd": blob(0, 0, 0.1) + 0.05 * blob(0, -0.4, 0.3),
        "w": blob(0, 0, 0.1) + 0.4 * blob(0, -0.65, 0.14),
    }
    panel = Panel((25, 25), (-1.25, 1.25, -1.25, 1.25), "Δy", "Δφ", "mean pT share")
    return [
        ClassImages("before preprocessing", panel, centred),
        ClassImages("after preprocessing", panel, subjets),
    ]


def histories():
    random = np.random.default_rng(3)
    return [
        History(
            method=method,
            member=member,
            train_loss=list(0.25 + 0.4 * np.exp(-np.arange(20) / 4)),
            validation_loss=list(
                0.28 + 0.35 * np.exp(-np.arange(20) / 4) + random.normal(0, 0.004, 20)
            ),
            figures=[{"auc": 0.5 + epoch / 50, "origin_accuracy": 0.25} for epoch in range(20)],
            seconds=METHODS[method][3],
            wait_share=0.004 * (member + 1),
        )
        for method in TRAINED
        for member in range(METHODS[method][1])
    ]  # fmt: skip


def inputs(folder, **changes):
    content = {
        "title": "W jets against QCD jets",
        "description": "Jet images and clustering trees against substructure variables, on "
        "simulated boosted W and QCD jets with 250 < pT < 300 GeV.",
        "evaluations": evaluations(folder, profiles=("pt",)),
        "dataset": DatasetSummary(
            name="w-jets (demo)",
            description="Leading anti-kT R = 1.0 jets at 13 TeV, Pythia 8.",
            rows={s: {"qcd": n, "w": n} for s, n in (("train", 7012), ("test", 1985))},
            weights=WEIGHTS,
            files=8,
            unclassified=1234,
            quarantined={"qcd_7.root": "bad <magic>: expected 'root'"},
            quarantined_share=0.125,
            quarantined_bytes=0.25,
        ),
        "images": images(),
        "histories": histories(),
        "expected": [
            Expected("recnn-gated", "AUC", 0.9195, "Louppe et al., arXiv:1702.00748", 0.0009),
            Expected("recnn-gated", "R50", 74.3, "Louppe et al., arXiv:1702.00748", 2.4),
            Expected("maxout", "AUC", 0.8418, "Louppe et al., arXiv:1702.00748"),
        ],
        "provenance": {"Report": {"fingerprint": "9c1e", "host": {"cores": 2}}},
    }
    return ReportInputs(**{**content, **changes})


class Page(HTMLParser):
    """Collects tags, text and ids; fails on tags that do not match."""

    VOID = frozenset(("meta", "link", "br", "img", "path", "use", "line"))

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.text = [], [], [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.text += data


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    content = inputs(folder)
    paths = write_report(folder / "out" / "report.html", content)
    return content, paths, paths[0].read_text()


def test_files_are_written(written):
    _, paths, _ = written
    assert [p.name for p in paths] == ["report.html", "roc.png", "images.png"]
    for path in paths[1:]:
        with Image.open(path) as image:
            assert image.width > 800
            assert len(image.convert("RGB").getcolors(1 << 24)) > 50
            assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


def test_a_page_in_another_style_says_the_same(written, tmp_path, monkeypatch):
    """All numbers and words outside the figures, whose axes may have other ticks."""
    content, paths, page = written
    sizes = {"font.size": 14, "legend.fontsize": 12, "svg.fonttype": "none"}
    monkeypatch.setattr(theme, "_RC", sizes)  # and nothing else
    monkeypatch.setattr(theme, "SERIES", theme.SERIES[::-1])
    monkeypatch.setattr(theme, "_OF_METHODS", theme._OF_METHODS[::-1])
    for name, (light, dark) in theme.COLOURS.items():
        monkeypatch.setitem(theme.COLOURS, name, (light, dark[::-1]))
    again = write_report(tmp_path / "report.html", content)
    assert [path.name for path in again] == [path.name for path in paths]
    other = again[0].read_text()
    assert other != page
    assert without_figures(other).text == without_figures(page).text
    assert "0.9" in without_figures(page).text


def without_figures(page):
    return Page(re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL))


def test_page_is_well_formed_and_needs_nothing_else(written):
    page = Page(written[2])
    assert len(page.ids) == len(set(page.ids))
    assert not {"script", "iframe", "object", "embed"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        for name in ("href", "src", "xlink:href"):
            value = attributes.get(name) or "#"
            assert value.startswith(("#", "data:")), value
            if value.startswith("#") and value != "#":
                assert value[1:] in page.ids, value
    for target in re.findall(r"url\(([^)]*)\)", written[2]):
        assert target[1:] in page.ids
    assert "@import" not in written[2]


def test_figures_have_alternative_texts_and_both_schemes(written):
    page = Page(written[2])
    figures = [a for tag, a in page.tags if tag == "svg" and a.get("class") != "swatch"]
    assert len(figures) >= 14
    assert all(a["role"] == "img" and len(a["aria-label"]) > 20 for a in figures)
    assert "prefers-color-scheme" in written[2]
    svg = re.findall(r"<svg.*?</svg>", written[2], flags=re.DOTALL)
    for figure in svg:
        ElementTree.fromstring(figure.replace("xlink:", ""))
        # White ticks on images are the only colour that does not follow the scheme.
        assert set(re.findall(r"#[0-9a-f]{6}\b", figure)) <= {"#ffffff"}


def test_the_table_is_sorted_by_auc_and_says_what_survived(written):
    content, _, text = written
    table = text[text.index('<table class="results">') :]
    table = table[: table.index("</table>")]
    shown = re.findall(r'<th scope="row">.*?</svg>\s*([\w-]+)</th>', table, flags=re.DOTALL)
    auc = {e.method: e.result.discriminations[0].auc.value for e in content.evaluations}
    assert shown == sorted(auc, key=lambda m: -auc[m])
    best = next(e for e in content.evaluations if e.method == shown[0])
    assert best.method == "recnn-gated"
    point = best.result.discriminations[0].working_points[1]
    assert f"{round(point.background_count)} of 3\u2009000 left" in table
    assert "48\u2009761" in table
    assert "27\u2009min 10\u2009s" in table
    assert table.count("±") >= 5 * 4 + 4


def test_members_published_figures_and_losses_are_there(written):
    assert "mean score" in written[2]
    text = Page(written[2]).text
    for phrase in (
        "3 members", "median", "Louppe et al., arXiv:1702.00748", "0.9195\u2009±\u20090.0009",
        "0.8418", "origin accuracy 0.250", "Waiting for input", "0.40\u2009%", "qcd_7.root",
            "1\u2009234 more selected rows belong to no class",
            "1 of 8 files (12.5\u2009%), with 25.0\u2009% of the bytes",
        "bad <magic>: expected 'root'", '"fingerprint": "9c1e"', "7\u2009012",
    ):  # fmt: skip
        assert phrase in text, phrase
    # Nothing of ours passes or fails against a published figure.
    assert not re.search(r"\b(pass|fail)(ed|es)?\b", text, flags=re.IGNORECASE)


def test_a_bare_report_is_escaped_and_the_same_bytes_twice(tmp_path, written):
    few = [dataclasses.replace(written[0].evaluations[2], method=NASTY)]
    content = ReportInputs(title=NASTY, description=NASTY, evaluations=few)
    one, two = (write_report(tmp_path / run / "r.html", content) for run in ("one", "two"))
    assert [p.name for p in one] == ["r.html", "roc.png"]
    for first, second in zip(one, two, strict=True):
        assert first.read_bytes() == second.read_bytes(), first.name
    page = Page(one[0].read_text())
    assert "script" not in {tag for tag, _ in page.tags}
    text = page.text
    for heading in ("Average images", "Training", "Dataset", "published"):
        assert f"\n{heading}\n" not in text


def test_images_are_the_same_bytes_in_two_runs(written):
    one, two = (as_svg(class_images(written[0].images[:1]), "i", "images") for _ in range(2))
    assert one == two


def test_three_classes(tmp_path):
    found = evaluations(tmp_path, 1500, ("qcd", "top", "w"), ("dnn",))
    write_report(tmp_path / "r.html", ReportInputs(title="three", evaluations=found))
    text = Page((tmp_path / "r.html").read_text()).text
    for name in ("qcd", "top", "w"):
        assert f"{name} against all other classes" in text
    assert "highest AUC for w:" in text


def test_expected_significances(tmp_path):
    counts = {"discovery": Counts(100.0, 1000.0, uncertainty=0.05), "ams": Counts(100.0, 1000.0)}
    options = Classification(significances=counts)
    found = evaluations(tmp_path, methods=("cnn", "dnn"), options=options)
    published = Expected(method="cnn", metric="discovery", value=5.0, source="somewhere")
    content = ReportInputs(title="t", evaluations=found, expected=[published])
    text = write_report(tmp_path / "report.html", content)[0].read_text()
    page = Page(text)
    assert "Expected significance" in page.text
    assert "in standard deviations" in page.text.lower()
    for evaluation in found:
        for one in evaluation.result.discriminations[0].significances:
            assert (
                measurement(one.value.value, one.value.statistical, one.value.spread) in page.text
            )
    for line in ("cnn", "dnn"):
        assert page.text.count(line) >= 2
    assert {"discovery", "ams"} <= set(re.findall(r"\w+", page.text))


def test_headings_have_all_digits_of_the_working_points(tmp_path):
    options = Classification(working_points=(0.005, 0.775, 0.995))
    found = evaluations(tmp_path, methods=("cnn",), rows=400, options=options)
    text = write_report(tmp_path / "report.html", ReportInputs("W", found))[0].read_text("utf-8")
    for point in ("0.5", "77.5", "99.5"):
        assert f"{point}\u2009%" in text
    entry = Expected("cnn", "r99.5", 1.0, "a paper")
    (row,) = expected_rows([entry], found)
    assert row.metric == "rejection at 99.5\u2009%"


def test_nothing_survives(tmp_path):
    found = evaluations(tmp_path, 600, methods=("cnn",))
    perfect = predictions("cnn", 0, 600, ("qcd", "w"))
    rows = dataclasses.replace(perfect.rows, scores=perfect.rows.truth[:, None].astype(float))
    write_predictions(tmp_path / "p.h5", Predictions(perfect.header, rows))
    found = [evaluate([tmp_path / "p.h5"])]
    write_report(tmp_path / "r.html", ReportInputs(title="perfect", evaluations=found))
    text = Page((tmp_path / "r.html").read_text()).text
    heaviest = re.search(r"0 of 300( \((\d+)\))? left", text)
    assert heaviest
    assert heaviest[2] != "300"
    assert "the number of rows from which the lower limit follows" in text
    assert re.search(r">\u2009\d+", text)


def test_baselines_are_dashed(written):
    lines = method_lines(written[0])
    assert [name for name, line in lines.items() if line.dashed] == ["mass-tau21", "boosted-trees"]
    assert len({line.colour for line in lines.values()}) == len(lines)


def test_refusals(tmp_path, written):
    first, second = written[0].evaluations[:2]
    with pytest.raises(DataError, match="an evaluation or more"):
        write_report(tmp_path / "r.html", ReportInputs(title="none", evaluations=[]))
    other = dataclasses.replace(second, split="validation")
    with pytest.raises(DataError, match=r"(?s)'recnn-gated'.*split 'test'"):
        write_report(tmp_path / "r.html", ReportInputs(title="x", evaluations=[first, other]))
    panel = Panel((4, 4), (0, 1, 0, 1), "x", "y", "z")
    bad = ClassImages("Before", panel, {"w": np.full((4, 4), np.nan)})
    with pytest.raises(DataError, match="'Before' of class 'w'"):
        write_report(tmp_path / "r.html", ReportInputs("x", [first], images=[bad]))
    assert list(tmp_path.iterdir()) == []


def test_history_is_read(tmp_path):
    records = [
        {"epoch": 0, "training_loss": 0.7, "loss": 0.6, "auc": 0.8},
        {"epoch": 1, "training_loss": 0.5, "loss": None},
        {"seconds": 4.0, "waiting": 0.15, "stopped": "all epochs done"},
    ]
    path = tmp_path / "history.jsonl"
    lines = [f"{json.dumps(record)}\n" for record in records]
    path.write_text(sealed("".join(lines), lines=True))
    found = read_history(path, "cnn", 2)
    assert found.train_loss == [0.7, 0.5]
    assert found.validation_loss[0] == 0.6
    assert np.isnan(found.validation_loss[1])
    assert found.figures == [{"auc": 0.8}, {}]
    assert found.seconds == 4.0
    assert found.wait_share == 0.15
    path.write_text(sealed(lines[0] + "{half\n", lines=True))
    with pytest.raises(InputError, match=r"history\.jsonl"):
        read_history(path, "cnn", 2)
    with pytest.raises(InputError, match=r"no\.jsonl"):
        read_history(tmp_path / "no.jsonl", "cnn", 2)


def test_report_loads_no_model_and_no_jax():
    code = (
        "import sys, rootloom.report.page; "
        "print([m for m in ('jax', 'flax', 'uproot', 'numba', 'sklearn', 'pandas') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_legend_lies_in_a_figure(written):
    """Matplotlib names the group of a legend so; each section has one of its own instead."""
    assert "legend_1" not in written[2]
    page = Page(written[2])
    legends = [a for tag, a in page.tags if tag == "ul" and a.get("class") == "legend"]
    assert len(legends) == 2  # performance and scores


def test_the_chapter_on_the_data_set(tmp_path):
    rng = np.random.default_rng(1)
    sums = np.abs(rng.normal(5, 1, (2, 2, 2, 10)))
    sums[:, :, 1] = 0  # a class without rows, and one whose weights cancel, have no shares
    words = {
        "tree": "Events", "rows": "Jet", "select": "Jet_pt > 20", "identity": ["run", "event"],
        "splits": {"train": "run < 5", "validation": 0.25, "test": 0.75},
        "classes": {"qcd": {"files": ["a.root"]}, "w": {"where": "flavour < 4"}},
        "define": {"jet": "four_vector(Jet_pt, Jet_eta, Jet_phi, Jet_mass)"},
        "variables": {"pt": "Jet_pt", "mass": "mass(jet)"}, "targets": {"e": "Gen_e"},
        "objects": {"parts": {"px": "Part_px"}}, "read": {"features": ["pt"], "image": ["parts"]},
        "gather": {"parts": {"of": "Part", "index": {"row": "Link_jet"}, "direction": ["a", "b"]}},
        "own": {"data": {"select": None, "variables": {"pt": "Jet_pt * 1.01"}}},
    }  # fmt: skip
    dataset = DatasetSummary(
        name="mine",
        rows={"train": {"qcd": 5, "w": 0}},
        files=1,
        facts=facts(words),
        definitions=definitions(words),
        distributions={"features": [
            Distribution("pt", np.linspace(0, 10, 11), sums),
            Distribution("mass", np.geomspace(1, 1e3, 11), sums),
        ]},
        examples=[dataclasses.replace(images()[0], title="image")],
    )  # fmt: skip
    found = evaluations(tmp_path, 400, methods=("dnn",))
    write_report(tmp_path / "r.html", ReportInputs(title="t", evaluations=found, dataset=dataset))
    page = Page((tmp_path / "r.html").read_text())
    text = re.sub(r"[ \n]+", " ", page.text)
    for phrase in (
        "an object of Jet, of tree Events", "Jet_pt > 20", "where flavour < 4", "where run < 5",
        "25.0\u2009% of the events that no expression puts into a split, by the hash",
        "run, event", "parts.pxobjectPart_pximage",
        "partsgatheredof Part; index Link_jet; direction a, b–",
        "jetdefinitionfour_vector(Jet_pt, Jet_eta, Jet_phi, Jet_mass)–",
        "ptvariableJet_ptfeatures", "massvariablemass(jet)–", "etargetGen_e–",
        "ptin sample dataJet_pt * 1.01", "selectionin sample datanone",
    ):  # fmt: skip
        assert phrase in text, phrase
    shares = facts({**words, "splits": {"train": 0.8, "test": 0.2}})
    assert ("Split train", "80.0\u2009% of the events, by the hash of their identity") in shares
    shown = [a["aria-label"] for tag, a in page.tags if tag == "svg" and "aria-label" in a]
    assert sum("training and in the test split" in label for label in shown) == 2
    assert sum("An example row of each class" in label for label in shown) == 1


def test_other_datasets_have_chapters_and_a_table_with_the_nominal_one(tmp_path: Path) -> None:
    """One is simulated, and says so behind its name; of the scored one a file was set aside."""
    found = evaluations(tmp_path / "a", 400, methods=("dnn",))
    others = evaluations(tmp_path / "b", 300, methods=("dnn",))
    one = DatasetSummary("other (size demo)", {"test": {"qcd": 9, "w": 8}}, files=2)
    scored = DatasetSummary(
        "run", {"test": {}}, files=3, unclassified=77, quarantined={"bad.root": "no <tree>"}
    )
    beside = [
        OtherDataset("other", one, others, "f/other"),
        OtherDataset("run", scored, (), "f/run"),
    ]
    content = ReportInputs("t", found, dataset=replace(one, name="mine"), others=beside)
    paths = write_report(tmp_path / "r.html", content)
    made = [str(path.relative_to(tmp_path)) for path in paths]
    assert made == ["r.html", "roc.png", "figures/other/roc.png"]
    text = paths[0].read_text()
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    assert {"on-other", "dataset-other", "dataset-run"} <= set(page.ids)
    assert "on-run" not in page.ids
    for target in re.findall(r"url\(([^)]*)\)", text):
        assert target[1:] in page.ids
    table = text.partition('id="side-by-side"')[2].partition("</table>")[0]
    assert ">mine<" in table
    assert ">other (size demo)<" in table
    for one_of in (found[0], others[0]):
        assert f">{with_errors(one_of.metric('auc'))}<" in table
    words = re.sub(r"[ \n]+", " ", page.text)
    assert "1 of 3 files of dataset run could not be used" in words
    assert "77 selected rows without a class" in words
    assert "friend trees in f/run" in words
    assert content.quarantined() == {"bad.root": "no <tree>"}


def test_files_are_counted_by_what_is_read_of_them(tmp_path: Path) -> None:
    """Two trees of one file are two samples; representations share their files."""
    good = Entry("data/a.root", 30, ("a.h5",), ("x",), 1.0)
    bad = replace(good, shards=(), quarantined="a tree that is damaged")
    other = replace(good, url="data/b.root", bytes=40)
    paths = [str(tmp_path / f"{name}.json") for name in ("images", "trees")]
    Manifest({"a-1": good, "a-2": bad, "b": other}).write(paths[0], {})
    Manifest({"a-1": good, "a-2": replace(good, bytes=0), "b": other}).write(paths[1], {})
    assert _files_in(paths) == {
        "files": 3,
        "quarantined": {"data/a.root (a-2)": "a tree that is damaged"},
        "quarantined_share": pytest.approx(1 / 3),
        "quarantined_bytes": 0.3,
    }
