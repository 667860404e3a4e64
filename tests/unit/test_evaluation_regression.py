"""The evaluation of a regression, from prediction files whose errors are known."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.special
import scipy.stats
from scipy.spatial.transform import Rotation

from rootloom.config import registry
from rootloom.errors import ConfigError, DataError
from rootloom.evaluation.evaluate import evaluate
from rootloom.evaluation.predictions import Header, Predictions, Rows, write_predictions
from rootloom.evaluation.regression.result import RegressionResult
from rootloom.evaluation.results import Evaluation
from rootloom.report.inputs import DatasetSummary, Expected, OtherDataset, ReportInputs
from rootloom.report.page import write_report
from rootloom.report.tables import with_errors

ENTRY, WAY = ("entry_x", "entry_y", "entry_z"), ("way_x", "way_y", "way_z")
COLUMNS = (*ENTRY, *WAY, "energy")
RADIUS, ROWS = 17.7, 3000
SECTION = {
    "kind": "regression",
    "unit": "m",
    "directions": {"way": list(WAY)},
    "points": {"entry": list(ENTRY)},
    "tracks": {"track": {"point": list(ENTRY), "direction": list(WAY)}},
    "profiles": ["zenith_way", "impact_track", "meridian_entry", "energy"],
    "profile_bins": 4,
}


def lines(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Points on a sphere and unit vectors that lead into it."""
    point = rng.normal(size=(ROWS, 3))
    point *= RADIUS / np.linalg.norm(point, axis=1, keepdims=True)
    way = -point / RADIUS + 0.8 * rng.normal(size=(ROWS, 3))
    return point, way / np.linalg.norm(way, axis=1, keepdims=True)


def truth(seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.column_stack([*lines(rng), rng.exponential(200.0, ROWS)])


def member(
    path: Path,
    predicted: np.ndarray,
    *,
    number: int = 0,
    shuffle: bool = False,
    method: str = "net",
) -> Path:
    true = truth()
    order = np.random.default_rng(number).permutation(ROWS) if shuffle else np.arange(ROWS)
    rows = Rows(
        id=np.arange(ROWS, dtype=np.uint64)[order],
        weight=np.ones(ROWS),
        truth=np.zeros(ROWS, np.int32),
        scores=predicted[order],
        file=np.zeros(ROWS),
        entry=np.arange(ROWS)[order],
        object=np.zeros(ROWS),
        aux={f"target.{name}": true[order, k] for k, name in enumerate(COLUMNS)},
    )
    header = Header(method, ("muon",), "muon", COLUMNS, member=number)
    write_predictions(path, Predictions(header, rows))
    return path


def figures(paths: list[Path], **fields: object) -> RegressionResult:
    found = evaluate(paths, registry.parse("evaluations", {**SECTION, **fields}))
    again = Evaluation.from_json(found.to_json())
    assert again == found
    assert isinstance(found.result, RegressionResult)
    return found.result


def turned(degrees: float) -> np.ndarray:
    """The truth with every direction off by an angle, about axes across it; entries as they are."""
    found = truth()
    way = found[:, 3:6]
    axis = np.cross(way, [0.3, -0.5, 0.8])
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    found[:, 3:6] = Rotation.from_rotvec(np.radians(degrees) * axis).apply(way)
    return found


def test_a_known_turn_gives_its_angle_everywhere(tmp_path: Path) -> None:
    found = figures([member(tmp_path / "a.h5", turned(0.5))])
    named = found.metrics()
    for name in ("mean", "median", "68"):
        assert named[f"angle_way_{name}"].value == pytest.approx(0.5, rel=1e-3)
        assert named[f"distance_entry_{name}"].value == pytest.approx(0.0, abs=1e-5)
    (angle,) = (one for one in found.resolutions if one.name == "angle_way")
    assert angle.unit == "°"
    assert [profile.variable for profile in angle.profiles] == SECTION["profiles"]
    for profile in angle.profiles:
        assert [value for value, _ in profile.mean] == pytest.approx([0.5] * 4, rel=1e-3)
    assert named["bias_energy"].value == 0.0
    assert named["rms_energy"].value == 0.0


def test_histograms_hold_all_rows(tmp_path: Path) -> None:
    noise = np.random.default_rng(6).normal(size=(ROWS, 3))
    found = truth()
    found[:, :3] += noise
    result = figures([member(tmp_path / "a.h5", found)])
    (one,) = (one for one in result.resolutions if one.name == "distance_entry")
    edges, density = np.array(one.spread.edges), np.array(one.spread.density)
    share = density * np.log(edges[1:] / edges[:-1])
    assert share.sum() == pytest.approx(1.0)
    lowest = np.quantile(np.linalg.norm(noise, axis=1), 0.002)
    assert edges[0] == pytest.approx(lowest, rel=0.05)
    # The chi distribution of three normal numbers.
    expected = np.diff(scipy.stats.chi(3).cdf(edges))
    np.testing.assert_allclose(share[1:-1], expected[1:-1], atol=5 * np.sqrt(0.1 / ROWS))


def test_tracks_are_apart_by_what_their_nearest_points_are(tmp_path: Path) -> None:
    """A line moved by 0.2 m across itself and across its arm: the arm grows to √(arm² + 0.04)."""
    moved = truth()
    point, way = moved[:, :3], moved[:, 3:6]
    across = np.cross(point, way)
    arm = np.linalg.norm(across, axis=1)
    moved[:, :3] += 0.2 * across / arm[:, None]
    named = figures([member(tmp_path / "a.h5", moved)]).metrics()
    assert named["distance_track_mean"].value == pytest.approx(0.2, rel=1e-3)
    assert named["distance_entry_mean"].value == pytest.approx(0.2, rel=1e-3)
    longer = np.hypot(arm, 0.2) - arm
    assert named["impact_track_mean"].value == pytest.approx(longer.mean(), rel=1e-2)


def test_impacts_differ_without_a_sign(tmp_path: Path) -> None:
    """Every other line comes 0.2 m nearer to the centre: half the distances are too small."""
    moved = truth()
    # |p × d|, and d × (p × d), the way from the line's nearest point away from the centre.
    across = np.cross(moved[:, :3], moved[:, 3:6])
    arm = np.linalg.norm(across, axis=1)
    outward = np.cross(moved[:, 3:6], across) / arm[:, None]
    step = np.where(np.arange(ROWS) % 2 == 0, 0.2, -0.2)
    moved[:, :3] += step[:, None] * outward
    named = figures([member(tmp_path / "a.h5", moved)]).metrics()
    expected = np.abs(np.abs(arm + step) - arm)
    assert named["impact_track_mean"].value == pytest.approx(expected.mean(), rel=1e-3)
    assert named["impact_track_68"].value == pytest.approx(0.2, rel=1e-3)


def test_the_contained_share_is_that_of_one_standard_deviation(tmp_path: Path) -> None:
    noise = np.random.default_rng(6).normal(size=(ROWS, 3))
    found = truth()
    found[:, :3] += noise
    result = figures([member(tmp_path / "a.h5", found)])
    far, share = np.linalg.norm(noise, axis=1), scipy.special.erf(1 / np.sqrt(2))
    contained = result.metrics()["distance_entry_68"].value
    assert contained == pytest.approx(np.quantile(far, share), rel=1e-3)
    (one,) = (one for one in result.resolutions if one.name == "distance_entry")
    (energy,) = (profile for profile in one.profiles if profile.variable == "energy")
    place = np.digitize(truth()[:, 6], np.array(energy.edges)[1:-1])
    in_bins = [np.quantile(far[place == k], share) for k in range(4)]
    np.testing.assert_allclose([value for value, _ in energy.contained], in_bins, rtol=5e-3)


def test_plain_numbers_have_a_bias_and_a_root_mean_square(tmp_path: Path) -> None:
    noise = np.random.default_rng(5).normal(3.0, 10.0, ROWS)
    found = truth()
    found[:, 6] += noise
    named = figures([member(tmp_path / "a.h5", found)]).metrics()
    assert named["bias_energy"].value == pytest.approx(noise.mean(), rel=1e-3)
    assert named["bias_energy"].statistical == pytest.approx(10 / np.sqrt(ROWS), rel=0.05)
    assert named["rms_energy"].value == pytest.approx(np.sqrt(np.mean(noise**2)), rel=1e-3)


def test_members_may_list_their_rows_in_any_order(tmp_path: Path) -> None:
    paths = [
        member(tmp_path / f"{k}.h5", turned(angle), number=k, shuffle=k > 0)
        for k, angle in enumerate((0.4, 0.6))
    ]
    named = figures(paths).metrics()
    angle = named["angle_way_mean"]
    assert angle.members == pytest.approx((0.4, 0.6), rel=1e-3)
    assert angle.spread == pytest.approx(np.std([0.4, 0.6], ddof=1), rel=1e-2)


def test_profiles_are_of_the_truth(tmp_path: Path) -> None:
    """Only events near the cut are wrong: the first bin of the meridian's distance shows them."""
    found, true = turned(5.0), truth()
    far = np.abs(np.degrees(np.arctan2(true[:, 1], true[:, 0]))) > 45
    found[far] = true[far]
    result = figures([member(tmp_path / "a.h5", found)])
    (angle,) = (one for one in result.resolutions if one.name == "angle_way")
    by_name = {profile.variable: profile for profile in angle.profiles}
    seam = [value for value, _ in by_name["meridian_entry"].mean]
    assert seam[0] == pytest.approx(5.0, rel=1e-3)
    assert seam[2:] == pytest.approx([0.0, 0.0], abs=1e-4)


def test_what_was_not_predicted_is_refused(tmp_path: Path) -> None:
    path = member(tmp_path / "a.h5", truth())
    with pytest.raises(DataError, match="way_q"):
        figures([path], directions={"way": ["way_x", "way_y", "way_q"]}, profiles=[], tracks={})
    with pytest.raises(ConfigError, match="zenith_way"):
        figures([path], profiles=["zenith_wy"])


def test_the_page_shows_methods_by_their_resolution(tmp_path: Path) -> None:
    found = []
    for name, angle in (("coarse", 2.0), ("fine", 0.5)):
        path = member(tmp_path / f"{name}.h5", turned(angle), method=name)
        found.append(evaluate([path], registry.parse("evaluations", SECTION)))
    expected = [Expected("fine", "angle_way_mean", 0.6, "a paper", None)]
    page, *beside = write_report(
        tmp_path / "report.html", ReportInputs("Muons", found, expected=expected)
    )
    text = page.read_text("utf-8")
    assert [path.name for path in beside] == ["resolution.png"]
    assert re.search(r"<strong>fine</strong> has the smallest mean angle to the true way", text)
    # One density and four profiles of each of four resolutions; residuals, bias and resolution of
    # the energy in as many bins.
    assert len(re.findall(r"<figure", text)) == 4 * 5 + 1 + 4 * 2
    rows = re.findall(
        r'<th scope="row">.*?</svg>\s*(\w+)</th><td class="number">([^<]*)', text, re.S
    )
    assert [name for name, _ in rows[:2]] == ["fine", "coarse"]
    assert float(rows[0][1].split("\u2009")[0]) == pytest.approx(0.5, rel=1e-2)
    assert "a paper" in text
    other = OtherDataset("aged", DatasetSummary("aged", {"test": {"muon": 1}}, files=1), found)
    page, *beside = write_report(
        tmp_path / "report.html", ReportInputs("Muons", found, others=[other])
    )
    assert [path.name for path in beside] == ["resolution.png"] * 2
    assert beside[1].parent.name == "aged"
    table = page.read_text("utf-8").partition('id="side-by-side"')[2].partition("</table>")[0]
    for one in found:  # each figure of both datasets, in a row a method
        for figure in one.result.metrics().values():
            assert table.count(f">{with_errors(figure)}<") >= 2


def test_methods_that_were_evaluated_otherwise_do_not_share_a_page(tmp_path: Path) -> None:
    path = member(tmp_path / "a.h5", turned(1.0))
    one = evaluate([path], registry.parse("evaluations", SECTION))
    other = evaluate([path], registry.parse("evaluations", {**SECTION, "profiles": []}))
    with pytest.raises(DataError, match="same options"):
        write_report(tmp_path / "report.html", ReportInputs("Muons", [one, other]))


def scalar_member(
    path: Path, columns: tuple[str, ...], predicted: np.ndarray, true: np.ndarray,
    weight: np.ndarray, method: str = "net", number: int = 0,
) -> Path:  # fmt: skip
    """Predictions of plain numbers (R, T)."""
    rows = np.arange(len(true))
    content = Rows(
        id=rows.astype(np.uint64),
        weight=weight,
        truth=np.zeros(len(true), np.int32),
        scores=predicted,
        file=np.zeros(len(true)),
        entry=rows,
        object=np.zeros(len(true)),
        aux={f"target.{name}": true[:, k] for k, name in enumerate(columns)},
    )
    header = Header(method, ("jet",), "jet", columns, member=number)
    write_predictions(path, Predictions(header, content))
    return path


def scalars(rows: int, targets: int, seed: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True and predicted numbers (R, T) with a bias of 1 and a resolution of 2, and weights."""
    rng = np.random.default_rng(seed)
    true = rng.uniform(20, 100, (rows, targets))
    return true, true + rng.normal(1.0, 2.0, (rows, targets)), rng.exponential(1.0, rows)


def test_scalars_have_residuals_bias_and_resolution_by_event_weights(tmp_path: Path) -> None:
    true, predicted, weight = scalars(4000, 2)
    residual = predicted[:, 0] - true[:, 0]
    # Half of the weight is on rows that are three times as far off.
    far = np.arange(4000) % 2 == 0
    predicted[far, 0] = true[far, 0] + 3 * residual[far]
    path = scalar_member(tmp_path / "a.h5", ("mass", "pt"), predicted, true, weight)
    result = evaluate([path], registry.parse("evaluations", {"kind": "regression"})).result
    assert isinstance(result, RegressionResult)
    mass, pt = result.numbers
    off = (predicted[:, 0] - true[:, 0]).astype(np.float64)
    stored = np.asarray(weight, np.float32).astype(np.float64)
    assert mass.bias.value == pytest.approx(np.average(off, weights=stored), rel=1e-4)
    ends = scipy.stats.mstats.mquantiles(np.repeat(off, np.round(20 * stored).astype(int)),
                                         [0.15865, 0.84135])  # fmt: skip
    assert mass.resolution.value == pytest.approx(0.5 * np.diff(ends)[0], rel=0.02)
    assert pt.resolution.value == pytest.approx(2.0, abs=4 * pt.resolution.statistical)
    histogram, edges = np.histogram(off, mass.residuals.edges, weights=stored)
    np.testing.assert_allclose(
        np.array(mass.residuals.density) * np.diff(edges), histogram / stored.sum(), atol=1e-5
    )
    assert sum(histogram) / stored.sum() == pytest.approx(1 - mass.residuals.beyond)
    # Against its own truth, then against the other's.
    assert [one.variable for one in mass.profiles] == ["mass", "pt"]
    assert [one.variable for one in pt.profiles] == ["pt", "mass"]
    for one in pt.profiles:
        for value, error in one.resolution:
            assert value == pytest.approx(2.0, abs=5 * error)
        for value, error in one.bias:
            assert value == pytest.approx(1.0, abs=5 * error)


def test_many_scalars_are_shown_against_their_own_truth(tmp_path: Path) -> None:
    true, predicted, weight = scalars(200, 6)
    names = tuple(f"n{k}" for k in range(6))
    path = scalar_member(tmp_path / "a.h5", names, predicted, true, weight)
    result = evaluate([path], registry.parse("evaluations", {"kind": "regression"})).result
    assert [[p.variable for p in one.profiles] for one in result.numbers] == [[n] for n in names]


@pytest.mark.parametrize("names", [("energy",), ("way_x", "way_y", "way_z")])
@pytest.mark.parametrize("rows", [3, 500])
def test_a_regression_of_plain_numbers_ends_with_its_figure(
    tmp_path: Path, names: tuple[str, ...], rows: int
) -> None:
    """Also a direction given as three numbers, and so few rows that nothing has an error."""
    found = []
    for method, factor in (("coarse", 3.0), ("fine", 1.0)):
        true, predicted, weight = scalars(rows, len(names))
        predicted = true + factor * (predicted - true)
        path = tmp_path / f"{method}.h5"
        scalar_member(path, names, predicted, true, weight, method)
        found.append(evaluate([path], registry.parse("evaluations", {"kind": "regression"})))
    page, *beside = write_report(tmp_path / "report.html", ReportInputs("Jets", found))
    assert (
        tuple(path.name for path in beside) == registry.resolve("evaluations", "regression").shown
    )
    text = page.read_text("utf-8")
    assert f"<strong>fine</strong> has the smallest RMS of {names[0]}" in text
    assert len(re.findall(r"<figure", text)) == len(names) * (1 + 2 * len(names))
    assert "legend_1" not in text


@pytest.mark.parametrize("unit", ["GeV", {"energy": "GeV"}])
def test_a_unit_of_plain_numbers_is_shown_everywhere(tmp_path: Path, unit: Any) -> None:
    section = {"kind": "regression", "unit": unit}
    true, predicted, weight = scalars(500, 1)
    path = scalar_member(tmp_path / "a.h5", ("energy",), predicted, true, weight)
    found = evaluate([path], registry.parse("evaluations", section))
    assert isinstance(found.result, RegressionResult)
    (energy,) = found.result.numbers
    assert [energy.unit, *(profile.unit for profile in energy.profiles)] == ["GeV", "GeV"]
    assert all(" / GeV: " in line for line in found.result.lines())
    expected = [Expected("net", "RMS_energy", 2.0, "a paper", None)]
    inputs = ReportInputs("Jets", [found], expected=expected)
    text = write_report(tmp_path / "report.html", inputs)[0].read_text("utf-8")
    assert re.search(r"smallest RMS of energy: <strong[^>]*>[^<]*\u2009GeV<", text)
    assert "energy, GeV</th>" in text
    assert "RMS_energy, GeV" in text
    for axis in ("energy: predicted − true / GeV", "per GeV", "bias of energy / GeV"):
        assert axis in text, axis


def test_units_go_by_what_a_target_is_part_of() -> None:
    units = {"entry": "m", "track": "mm", "energy": "GeV"}
    found = registry.parse("evaluations", {**SECTION, "unit": units})
    axes = ("impact_track", "meridian_entry", "entry_x", "way_x", "energy")
    assert [found._unit_of_axis(axis) for axis in axes] == ["mm", "°", "m", "", "GeV"]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"unit": {"enrgy": "GeV"}}, r"unit\n.*a point, a track, or a target.*\n.*\n.*'energy'"),
        ({"unit": {"way": "m"}}, r"unit\n(.|\n)*'way'"),
        ({"unit": "m", "points": {}, "tracks": {}}, r"unit\n.*none, where(.|\n)*leave it out"),
    ],
)
def test_a_unit_of_what_has_none_is_refused(section: dict[str, Any], message: str) -> None:
    evaluator = registry.parse("evaluations", {**SECTION, "profiles": [], **section})
    targets = list(COLUMNS) if section["unit"] != "m" else list(WAY)
    with pytest.raises(ConfigError, match=message):
        evaluator.check_targets(targets, "evaluation")


def test_equal_predictions_have_a_page(tmp_path: Path) -> None:
    true = np.full((40, 1), 5.0)
    path = scalar_member(tmp_path / "a.h5", ("e",), true.copy(), true, np.ones(40))
    found = evaluate([path], registry.parse("evaluations", {"kind": "regression"}))
    assert found.result.numbers[0].resolution.value == 0.0
    assert found.result.numbers[0].resolution.statistical is None
    assert write_report(tmp_path / "report.html", ReportInputs("Jets", [found]))


def test_histograms_of_distances_are_weighted(tmp_path: Path) -> None:
    names = ("x", "y", "z")
    true = np.zeros((400, 3))
    predicted = np.where(np.arange(400) < 200, 1.0, 10.0)[:, None] * np.array([[0.6, 0.8, 0.0]])
    weight = np.where(np.arange(400) < 200, 3.0, 1.0)
    path = scalar_member(tmp_path / "a.h5", names, predicted, true, weight)
    options = registry.parse("evaluations", {"kind": "regression", "points": {"p": list(names)}})
    (one,) = evaluate([path], options).result.resolutions
    edges, density = np.array(one.spread.edges), np.array(one.spread.density)
    share = density * np.log(edges[1:] / edges[:-1])
    assert share[edges[1:] < 5].sum() == pytest.approx(0.75)


def test_rows_of_weight_zero_change_no_figure(tmp_path: Path) -> None:
    names = ("way_x", "way_y", "way_z", "energy")
    true, predicted, weight = scalars(300, 4)
    weight[200:] = 0.0
    predicted[200:] += 1e4
    true[200:] -= 1e3
    options = registry.parse(
        "evaluations", {"kind": "regression", "directions": {"way": list(names[:3])}}
    )
    found = []
    for number, kept in enumerate((slice(None), slice(200))):
        path = tmp_path / f"{number}.h5"
        scalar_member(path, names, predicted[kept], true[kept], weight[kept])
        found.append(evaluate([path], options).result)
    assert found[0] == found[1]


@pytest.mark.parametrize("weight", [0.0, -1.0])
def test_a_sum_of_weights_that_is_not_positive_is_refused(tmp_path: Path, weight: float) -> None:
    true = np.full((40, 1), 5.0)
    path = scalar_member(tmp_path / "a.h5", ("e",), true.copy(), true, np.full(40, weight))
    rows = 40 if weight else 0
    with pytest.raises(DataError, match=f"{rows} rows with weights summing to {40 * weight:g}"):
        evaluate([path], registry.parse("evaluations", {"kind": "regression"}))
