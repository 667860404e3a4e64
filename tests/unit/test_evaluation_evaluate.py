"""Prediction files and whole evaluations: round trips, refusals, agreement with scikit-learn."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy import stats
from sklearn import calibration, metrics

from rootloom.errors import DataError, InputError
from rootloom.evaluation.classification.evaluator import Classification
from rootloom.evaluation.classification.significance import Counts
from rootloom.evaluation.evaluate import evaluate
from rootloom.evaluation.predictions import (
    Header,
    Predictions,
    Rows,
    prediction_writer,
    read_predictions,
    write_predictions,
)
from rootloom.evaluation.results import Evaluation, read_evaluation, write_result
from rootloom.shards.ids import event_ids, fold_of, row_ids
from rootloom.system.atomic import sealed

HEADER = Header(
    method="cnn",
    classes=("qcd", "w"),
    signal="w",
    columns=("score",),
    files=("qcd_0", "w_0"),
    experiment="demo",
    parameters=1234,
    training_seconds=12.5,
    provenance={"versions": {"jax": "0.10.2"}},
    probability=True,
)


def rows(number=2000, seed=0, classes=2, separation=1.5):
    random = np.random.default_rng(seed)
    truth = np.arange(number) % classes
    logits = random.normal(size=(number, classes)) + separation * np.eye(classes)[truth]
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Rows(
        id=np.arange(number, dtype=np.uint64) + 2**63,
        weight=np.random.default_rng(77).lognormal(0, 0.5, number),
        truth=truth,
        scores=scores[:, 1:] if classes == 2 else scores,
        file=truth,
        entry=np.arange(number),
        object=np.zeros(number),
        aux={"pt": np.linspace(250, 300, number)},
    )


@pytest.fixture
def written(tmp_path):
    def write(name="p.h5", header=HEADER, **values):
        content = rows(**values)
        write_predictions(tmp_path / name, Predictions(header, content))
        return tmp_path / name

    return write


def test_round_trip(written):
    path = written()
    found, expected = read_predictions(path), rows()
    assert found.header == HEADER
    for name in ("id", "truth", "file", "entry", "object"):
        np.testing.assert_array_equal(getattr(found.rows, name), getattr(expected, name))
    np.testing.assert_array_equal(found.rows.scores, expected.scores.astype(np.float32))
    np.testing.assert_array_equal(found.rows.aux["pt"], expected.aux["pt"].astype(np.float32))
    assert found.rows.id.dtype == np.uint64


def test_blocks_and_an_empty_split(tmp_path):
    whole = rows(1000)
    with prediction_writer(tmp_path / "blocks.h5", HEADER) as writer:
        for part in (slice(0, 300), slice(300, 1000)):
            fields = {
                f.name: getattr(whole, f.name)[part]
                for f in dataclasses.fields(Rows)
                if f.name not in ("aux", "objects", "training_weight")
            }
            writer.append(Rows(aux={"pt": whole.aux["pt"][part]}, **fields))
    found = read_predictions(tmp_path / "blocks.h5").rows
    np.testing.assert_array_equal(found.id, whole.id)
    np.testing.assert_array_equal(found.scores, whole.scores.astype(np.float32))
    with prediction_writer(tmp_path / "empty.h5", HEADER):
        pass
    assert len(read_predictions(tmp_path / "empty.h5").rows) == 0
    with pytest.raises(DataError, match="class 'qcd'"):
        evaluate([tmp_path / "empty.h5"])


def test_an_interrupted_write_leaves_nothing(tmp_path):
    def interrupted():
        with prediction_writer(tmp_path / "p.h5", HEADER):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


FULL = """
import resource, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_evaluation_evaluate as t
from rootloom.errors import StorageError
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    with t.prediction_writer(Path({path!r}), t.HEADER) as writer:
        for block in range(100):
            print(block)
            writer.append(t.rows(10_000, seed=block))
except StorageError as error:
    print(error)
"""


def test_a_full_disk_stops_at_once_is_said_plainly_and_leaves_nothing(tmp_path):
    path = tmp_path / "p.h5"
    script = FULL.format(tests=str(Path(__file__).parent), path=str(path))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"{path}\n" in done.stdout
    assert "bytes free" in done.stdout
    assert "\n3\n" not in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_minimal_external_file_is_enough(tmp_path):
    path = tmp_path / "theirs.h5"
    ours = rows()
    with h5py.File(path, "w") as file:
        file.attrs.update(method="theirs", classes='["qcd", "w"]', signal="w")
        file["id"], file["weight"], file["truth"] = ours.id, ours.weight, ours.truth
        file["scores"] = ours.scores
        file["scores"].attrs["columns"] = '["score"]'
    found = evaluate([path])
    expected = metrics.roc_auc_score(ours.truth, ours.scores[:, 0], sample_weight=ours.weight)
    assert found.result.discriminations[0].auc.value == pytest.approx(expected, abs=1e-6)
    assert found.parameters is None
    assert found.training_seconds is None


@pytest.mark.parametrize("lost", ["id", "weight", "truth", "scores"])
def test_a_foreign_file_learns_what_it_must_hold(written, lost):
    path = written()
    with h5py.File(path, "a") as file:
        del file[lost]
    with pytest.raises(InputError, match=f"(?s)p.h5.*data set '{lost}'.*scores \\(R, C\\)"):
        read_predictions(path)


@pytest.mark.parametrize("lost", ["method", "classes", "signal"])
def test_a_missing_attribute_is_named(written, lost):
    path = written()
    with h5py.File(path, "a") as file:
        del file.attrs[lost]
    with pytest.raises(InputError, match=f"root attribute '{lost}'"):
        read_predictions(path)


def test_files_that_contradict_themselves(written):
    path = written()
    with h5py.File(path, "a") as file:
        file["truth"][5] = 7
    with pytest.raises(InputError, match=r"7 at id 9223372036854775813 \(w_0, entry 5, object 0\)"):
        read_predictions(path)
    with h5py.File(path, "a") as file:
        file["weight"].resize(10, axis=0)
    with pytest.raises(InputError, match="2000 rows in 'weight'"):
        read_predictions(path)
    with pytest.raises(InputError, match="did you mean 'w'"):
        read_predictions(written(header=dataclasses.replace(HEADER, signal="ww")))
    with h5py.File(path, "a") as file:
        file.attrs["classes"] = "qcd, w"
    with pytest.raises(InputError, match="JSON list of names"):
        read_predictions(path)


@pytest.mark.parametrize("damage", ["truncated", "text", "absent", "zeroed"])
def test_damaged_files_are_named(written, damage):
    path = written()
    content = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "text":
        path.write_text("not HDF5")
    elif damage == "zeroed":
        half = len(content) // 2
        path.write_bytes(content[:200] + bytes(half) + content[200 + half :])
    else:
        path.unlink()
    with pytest.raises(InputError, match=r"p\.h5"):
        read_predictions(path)


def test_evaluation_agrees_with_scikit_learn(written):
    found = evaluate([written()], Classification(profiles=("pt",)))
    ours = rows()
    score = ours.scores[:, 0].astype(np.float32)
    weight = ours.weight.astype(np.float32)
    result = found.result.discriminations[0]
    expected = metrics.roc_auc_score(ours.truth, score, sample_weight=weight)
    assert result.auc.value == pytest.approx(expected, abs=1e-9)
    assert found.result.accuracy.value == pytest.approx(
        metrics.accuracy_score(ours.truth, score >= 0.5, sample_weight=weight)
    )
    fpr, tpr, _ = metrics.roc_curve(ours.truth, score, sample_weight=weight)
    for point in result.working_points:
        first = np.searchsorted(tpr, point.signal_efficiency)
        assert fpr[first - 1] <= point.background_efficiency.value <= fpr[first]
        assert point.rejection.value == pytest.approx(1 / point.background_efficiency.value)
        relative = point.background_efficiency.statistical / point.background_efficiency.value
        assert point.rejection.statistical == pytest.approx(relative * point.rejection.value)
        assert point.background_total == 1000
        above = (ours.truth == 0) & (score >= point.threshold[0])
        assert point.background_count == pytest.approx(above.sum(), abs=1)
        effective = weight[above].sum() ** 2 / (weight[above] ** 2).sum()
        assert point.background_effective == pytest.approx(effective, rel=0.02)
        sic = point.significance_improvement  # ε_S / √ε_B
        share = point.background_efficiency.value
        assert sic.value == pytest.approx(point.signal_efficiency / np.sqrt(share))
        assert sic.statistical == pytest.approx(relative / 2 * sic.value)
    assert [point.signal_efficiency for point in result.working_points] == [0.3, 0.5, 0.8]
    assert found.rows == {"qcd": 1000, "w": 1000}
    assert found.parameters == 1234
    assert len(result.curve.error) == 200
    targets = np.arange(1, 201) / 200
    np.testing.assert_allclose(result.curve.signal_efficiency, targets)
    assert result.curve.background_efficiency[-1] == fpr[np.searchsorted(tpr, 1 - 1e-12)]
    profile = result.profiles[0]
    assert len(profile.edges) == 9
    place = np.digitize(ours.aux["pt"], np.array(profile.edges)[1:-1])
    for shares, member, expected in (
        (profile.signal, ours.truth == 1, 0.5),
        (profile.background, ours.truth == 0, np.interp(0.5, tpr, fpr)),
    ):
        inside = np.bincount(place[member], weight[member], 8) / weight[member].sum()
        assert np.dot(inside, [share for share, _, _ in shares]) == pytest.approx(
            expected, abs=5e-3
        )


@pytest.mark.parametrize("classes", [2, 3])
def test_the_error_of_the_accuracy_is_binomial(tmp_path, classes):
    ours = dataclasses.replace(rows(3000, classes=classes), weight=np.ones(3000))
    names = ("qcd", "w", "z")[:classes]
    columns = ("score",) if classes == 2 else tuple(f"score_{name}" for name in names)
    header = dataclasses.replace(HEADER, classes=names, columns=columns)
    write_predictions(tmp_path / "p.h5", Predictions(header, ours))
    found = evaluate([tmp_path / "p.h5"]).result.accuracy
    chosen = ours.scores[:, 0] >= 0.5 if classes == 2 else ours.scores.argmax(axis=1)
    right = chosen == ours.truth
    assert found.value == pytest.approx(right.mean())
    expected = stats.binom(3000, right.mean()).std() / 3000
    assert found.statistical == pytest.approx(expected, rel=1e-3)


def test_score_histogram_and_calibration(written):
    ours, result = rows(), evaluate([written()]).result.discriminations[0]
    edges = np.array(result.scores.edges)
    np.testing.assert_allclose(edges, np.arange(51) / 50)
    for name, index in (("qcd", 0), ("w", 1)):
        member = ours.truth == index
        expected, _ = np.histogram(
            ours.scores[member, 0], edges, weights=ours.weight[member], density=True
        )
        np.testing.assert_allclose(result.scores.density[name], expected, rtol=1e-4, atol=1e-6)
    unit = dataclasses.replace(ours, weight=np.ones(len(ours)))
    path = written()
    write_predictions(path, Predictions(HEADER, unit))
    found = evaluate([path]).result.discriminations[0].calibration
    observed, predicted = calibration.calibration_curve(ours.truth, ours.scores[:, 0], n_bins=15)
    np.testing.assert_allclose(found.observed, observed, atol=1e-9)
    np.testing.assert_allclose(found.predicted, predicted, atol=1e-6)
    share = np.array(found.share)
    assert found.expected_error == pytest.approx(np.sum(share * np.abs(observed - predicted)))


@pytest.mark.parametrize("members", [1, 3])
def test_calibration_errors_are_binomial_at_the_rows_of_one_member(tmp_path, members):
    """Members that score the same rows know the share of signal no better than one of them.

    Nor do rows know it better that all weigh three.
    """
    ours = dataclasses.replace(rows(), weight=np.full(2000, 3.0))
    paths = [tmp_path / f"{m}.h5" for m in range(members)]
    for m, path in enumerate(paths):
        write_predictions(path, Predictions(dataclasses.replace(HEADER, member=m), ours))
    found = evaluate(paths).result.discriminations[0].calibration
    place = np.digitize(ours.scores[:, 0], np.linspace(0, 1, 16)[1:-1])
    count = np.bincount(place)
    share = np.bincount(place, ours.truth) / count
    np.testing.assert_allclose(found.share, count / 2000, rtol=1e-6)
    np.testing.assert_allclose(found.error, stats.binom(count, share).std() / count, rtol=1e-6)


def test_a_calibration_is_weighted_and_has_no_error_of_one_row(tmp_path):
    """Three members of the same four rows: pooled, they are no more rows."""
    score, truth = np.array([0.2, 0.2, 0.8, 0.8]), np.array([0, 1, 0, 1])
    weight = np.array([3.0, 1.0, 1.0, 1.0])
    ours = rows(4)
    ours = dataclasses.replace(ours, truth=truth, scores=score[:, None], weight=weight)
    paths = [tmp_path / f"{m}.h5" for m in range(3)]
    for path in paths:
        write_predictions(path, Predictions(HEADER, ours))
    # In bins of one row of either class in each member, and of two rows.
    apart = evaluate(paths, Classification(calibration_bins=2)).result.discriminations[0]
    found = apart.calibration
    np.testing.assert_allclose(found.share, [4 / 6, 2 / 6])
    np.testing.assert_allclose(found.observed, [1 / 4, 1 / 2])
    assert found.expected_error == pytest.approx(4 / 6 * 0.05 + 2 / 6 * 0.3)
    assert None not in found.error
    # Nearly all of a bin's weight is one row's: the other does not make it known.
    heavy = dataclasses.replace(ours, weight=np.array([1e6, 1e-6, 1.0, 1.0]))
    for path in paths:
        write_predictions(path, Predictions(HEADER, heavy))
    found = (
        evaluate(paths, Classification(calibration_bins=2)).result.discriminations[0].calibration
    )
    assert found.error[0] is None
    assert found.error[1] is not None


def test_a_calibration_is_of_the_mixture_of_the_training_alone(tmp_path):
    """Rows of another dataset have another mixture; all other figures are the same."""
    found = []
    for trained_on in (True, False):
        path = tmp_path / f"{trained_on}.h5"
        header = dataclasses.replace(HEADER, trained_on=trained_on)
        write_predictions(path, Predictions(header, rows()))
        found.append(evaluate([path]).result.discriminations[0])
    assert found[0].calibration is not None
    assert found[1] == dataclasses.replace(found[0], calibration=None)


@pytest.mark.parametrize(("factor", "lowest"), [(80, -3), (80, 0), (0.5, 0.2)])
def test_scores_that_are_not_declared_probabilities_are_none(written, factor, lowest):
    """Also where their values happen to lie in [0, 1]."""
    path = written()
    ours = rows()
    content = dataclasses.replace(ours, scores=factor * ours.scores + lowest)
    write_predictions(path, Predictions(dataclasses.replace(HEADER, probability=False), content))
    found = evaluate([path])
    assert found.result.accuracy is None
    assert found.result.discriminations[0].calibration is None
    (edges,) = (one.scores.edges for one in found.result.discriminations)
    assert edges[0] == pytest.approx(content.scores.min())


def test_declared_probabilities_outside_their_range_are_refused(written):
    path, ours = written(), rows()
    ours.scores[3] = 1.5
    write_predictions(path, Predictions(HEADER, ours))
    with pytest.raises(InputError, match=r"(?s)scores\n.*\[0, 1\].*\[1\.5\] at id .*attribute out"):
        evaluate([path])


@pytest.mark.parametrize("value", ["yes", 2, [True, False]])
def test_a_declaration_that_is_none_is_refused(written, value):
    path = written()
    with h5py.File(path, "a") as file:
        file["scores"].attrs["probability"] = value
    with pytest.raises(InputError, match=r"attribute 'probability' of 'scores'\n.*true or false"):
        evaluate([path])


def test_members_give_a_spread(written):
    paths = [
        written(f"{m}.h5", header=dataclasses.replace(HEADER, member=m), seed=m) for m in range(3)
    ]
    found = evaluate(paths)
    single = [evaluate([path]).result.discriminations[0].auc.value for path in paths]
    auc = found.result.discriminations[0].auc
    assert found.members == (0, 1, 2)
    assert auc.members == tuple(single)
    assert auc.value == pytest.approx(np.mean(single))
    assert auc.spread == pytest.approx(np.std(single, ddof=1))
    assert auc.median == np.median(single)


def shuffle(path):
    """Write the rows of a file in another order."""
    stored = read_predictions(path)
    order = np.random.default_rng(5).permutation(len(stored.rows))
    write_predictions(path, dataclasses.replace(stored, rows=stored.rows.take(order)))


def test_an_ensemble_is_judged_by_its_mean_score(written):
    members = [rows(seed=m) for m in range(3)]
    paths = [
        written(f"{m}.h5", header=dataclasses.replace(HEADER, member=m), seed=m) for m in range(3)
    ]
    shuffle(paths[2])
    found = evaluate(paths)
    score = np.mean([m.scores[:, 0].astype(np.float32) for m in members], axis=0, dtype=float)
    expected = metrics.roc_auc_score(members[0].truth, score, sample_weight=members[0].weight)
    assert found.result.ensemble[0].auc.value == pytest.approx(expected, abs=1e-6)
    assert evaluate(paths[::-1]).result.ensemble[0].auc.value == pytest.approx(expected, abs=1e-6)
    assert found.result.ensemble[0].auc.value > max(found.result.discriminations[0].auc.members)
    assert Evaluation.from_json(found.to_json()) == found
    assert evaluate(paths[:1]).result.ensemble == ()


def test_cross_validation_takes_each_row_from_the_member_that_left_it_out(written):
    paths = [
        written(f"{m}.h5", header=dataclasses.replace(HEADER, member=m), seed=m) for m in range(3)
    ]
    members = [read_predictions(path).rows for path in paths]
    fold = fold_of(members[0].id, 3)
    score = np.array([members[f].scores[row, 0] for row, f in enumerate(fold)])
    expected = metrics.roc_auc_score(members[0].truth, score, sample_weight=members[0].weight)
    found = evaluate(paths, held_out=paths)
    assert found.result.cross_validation[0].auc.value == pytest.approx(expected, abs=1e-6)
    assert Evaluation.from_json(found.to_json()) == found
    assert evaluate(paths).result.cross_validation == ()
    shuffle(paths[0])
    found = evaluate(paths, held_out=paths)
    assert found.result.cross_validation[0].auc.value == pytest.approx(expected, abs=1e-6)


def of_objects(content, event, number):
    """The same rows as objects of events."""
    return dataclasses.replace(content, id=row_ids(event, number), object=number)


def test_objects_of_one_event_were_all_unseen_by_the_same_member(tmp_path):
    event, number = np.repeat(event_ids("f", np.arange(500)), 4), np.tile(np.arange(4), 500)
    paths, members = [], [of_objects(rows(seed=m), event, number) for m in range(2)]
    for m, content in enumerate(members):
        paths.append(tmp_path / f"{m}.h5")
        header = dataclasses.replace(HEADER, member=m)
        write_predictions(paths[m], Predictions(header, content))
    fold = fold_of(event, 2)
    score = np.array([members[f].scores[row, 0] for row, f in enumerate(fold)], np.float32)
    weight = members[0].weight.astype(np.float32)
    expected = metrics.roc_auc_score(members[0].truth, score, sample_weight=weight)
    found = evaluate(paths, held_out=paths).result.cross_validation[0]
    assert found.auc.value == pytest.approx(expected, abs=1e-7)


def test_objects_of_one_event_choose_the_same_threshold(tmp_path):
    event = np.repeat(event_ids("f", np.arange(500)), 4)
    counts = Counts(signal=50, background=500)
    found = []
    for number in (np.tile(np.arange(4), 500), np.tile(np.arange(4, 8), 500)):
        content = of_objects(rows(separation=0.5), event, number)
        path = tmp_path / "p.h5"
        write_predictions(path, Predictions(HEADER, content))
        result = evaluate([path], Classification(significances={"z": counts})).result
        found.append(result.discriminations[0].significances[0].value)
    assert found[0] == found[1]


def test_predictions_of_an_earlier_version_do_not_mix(tmp_path):
    new = of_objects(rows(), event_ids("0f/Events", np.arange(2000)), np.zeros(2000, np.int64))
    old = dataclasses.replace(rows(), id=event_ids("nano-0123abcd", np.arange(2000)))
    for member, content in enumerate((new, old)):
        header = dataclasses.replace(HEADER, member=member)
        write_predictions(tmp_path / f"{member}.h5", Predictions(header, content))
    with pytest.raises(DataError, match=r"1\.h5(.|\n)*with the same version of rootloom"):
        evaluate([tmp_path / "0.h5", tmp_path / "1.h5"])


def test_bootstrap_errors_are_near_the_formulas(written):
    path = written()
    formula = evaluate([path]).result.discriminations[0]
    resampled = evaluate([path], Classification(bootstrap=200)).result.discriminations[0]
    assert resampled.auc.value == formula.auc.value
    assert resampled.auc.statistical != formula.auc.statistical
    assert resampled.auc.statistical == pytest.approx(formula.auc.statistical, rel=0.2)


def test_three_classes_are_each_against_the_rest(tmp_path):
    names = ("qcd", "top", "w")
    header = dataclasses.replace(HEADER, classes=names, columns=tuple(f"score_{n}" for n in names))
    ours = rows(classes=3)
    write_predictions(tmp_path / "p.h5", Predictions(header, ours))
    found = evaluate([tmp_path / "p.h5"])
    assert [d.positive for d in found.result.discriminations] == list(names)
    for index, result in enumerate(found.result.discriminations):
        expected = metrics.roc_auc_score(
            ours.truth == index, ours.scores[:, index], sample_weight=ours.weight
        )
        assert result.auc.value == pytest.approx(expected, abs=1e-6)
        assert set(result.scores.density) == {names[index], "rest"}
    expected = metrics.accuracy_score(
        ours.truth, ours.scores.argmax(axis=1), sample_weight=ours.weight
    )
    assert found.result.accuracy.value == pytest.approx(expected, abs=1e-6)


def test_json_round_trip(written, tmp_path):
    found = evaluate([written()], Classification(profiles=("pt",)))
    assert Evaluation.from_json(found.to_json()) == found
    write_result(tmp_path / "e.json", found)
    assert read_evaluation(tmp_path / "e.json") == found
    json.loads(found.to_json(), parse_constant=lambda name: pytest.fail(name))
    broken = {**json.loads(found.to_json()), "method": None}
    (tmp_path / "e.json").write_text(sealed(json.dumps(broken)))
    with pytest.raises(InputError, match=r"(?s)e\.json.*method"):
        read_evaluation(tmp_path / "e.json")
    with pytest.raises(InputError, match="No such file"):
        read_evaluation(tmp_path / "no.json")


def test_no_surviving_background_is_a_limit(tmp_path):
    ours = rows(400)
    perfect = dataclasses.replace(ours, scores=ours.truth[:, None].astype(float))
    write_predictions(tmp_path / "p.h5", Predictions(HEADER, perfect))
    found = evaluate([tmp_path / "p.h5"])
    point = found.result.discriminations[0].working_points[0]
    assert point.rejection.value is None
    weight = ours.weight[ours.truth == 0]
    # 1.1479 of the heaviest rows could have been missed.
    assert point.at_least == pytest.approx(weight.sum() / (1.1479 * weight.max()), rel=1e-6)
    assert Evaluation.from_json(found.to_json()) == found


@pytest.mark.parametrize(
    ("name", "fix"),
    [("scores", "inputs of that row"), ("weight", "the weights"), ("aux/pt", "leave out the rows")],
)
def test_non_finite_values_name_the_first_row(written, name, fix):
    path = written()
    with h5py.File(path, "a") as file:
        file[name][17] = np.nan
        file[name][30] = np.inf
    with pytest.raises(
        DataError,
        match=rf"(?s)2 rows.*id 9223372036854775825 \(w_0, entry 17, object 0\).*{fix}",
    ):
        evaluate([path])


@pytest.mark.parametrize("weight", [1e308, 1e154, 5e-324])
def test_weights_whose_squares_no_number_holds_are_refused(written, weight):
    path = written()
    with h5py.File(path, "r+") as file:
        rows = len(file["weight"])
        del file["weight"]
        file["weight"] = np.full(rows, weight)
    with pytest.raises(DataError, match=r"weight\n.*absolute value from 1e-100 to 1e\+100"):
        evaluate([path])


@pytest.mark.parametrize("name", ["scores", "aux/pt"])
def test_values_whose_differences_no_number_holds_are_refused(written, name):
    path = written(header=dataclasses.replace(HEADER, probability=False))
    with h5py.File(path, "r+") as file:
        values, kept = file[name][:].astype(np.float64), dict(file[name].attrs)
        values[0], values[1] = 1e308, -1e308
        del file[name]
        file[name] = values
        file[name].attrs.update(kept)
    with pytest.raises(DataError, match=r"(score|pt)\n.*absolute values below 1e\+150"):
        evaluate([path])


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("method", np.array([b"a", b"b"])),
        ("method", h5py.Empty("S1")),
        ("classes", '[null, "w"]'),
        ("classes", '[["qcd"], "w"]'),
    ],
)
def test_attributes_that_are_no_names_are_refused(written, attribute, value):
    path = written()
    with h5py.File(path, "r+") as file:
        file.attrs[attribute] = value
    with pytest.raises(InputError, match=r"method|classes"):
        evaluate([path])


def test_one_class_is_named(written):
    path = written()
    with h5py.File(path, "a") as file:
        file["truth"][:] = 0
    with pytest.raises(DataError, match=r"(?s)class 'w'.*0 rows"):
        evaluate([path])


def test_a_single_class_is_nothing_to_tell_apart(tmp_path):
    header = dataclasses.replace(HEADER, classes=("muon",), signal="muon", columns=("energy",))
    ours = dataclasses.replace(rows(40), truth=np.zeros(40))
    write_predictions(tmp_path / "p.h5", Predictions(header, ours))
    with pytest.raises(DataError, match=r"(?s)two or more.*muon.*task is regression"):
        evaluate([tmp_path / "p.h5"])


@pytest.mark.parametrize("classes", [2, 3])
def test_rows_of_weight_zero_change_no_figure(tmp_path, classes):
    names = ("qcd", "w", "top")[:classes]
    columns = ("score",) if classes == 2 else tuple(f"score_{name}" for name in names)
    header = dataclasses.replace(HEADER, classes=names, columns=columns)
    ours, extra = rows(600, classes=classes), rows(90, seed=5, classes=classes)
    ours = dataclasses.replace(ours, weight=np.where(ours.id % 7 == 0, -1.0, ours.weight))
    # Scores that are no probabilities, and a variable far outside.
    nothing = dataclasses.replace(
        extra,
        id=extra.id + 1000,
        weight=np.zeros(90),
        scores=50 * extra.scores - 20,
        aux={"pt": np.full(90, 1e6)},
    )
    both = Rows(
        **{
            field.name: np.concatenate([getattr(ours, field.name), getattr(nothing, field.name)])
            for field in dataclasses.fields(Rows)
            if field.name not in ("aux", "objects", "training_weight")
        },
        aux={"pt": np.concatenate([ours.aux["pt"], nothing.aux["pt"]])},
    )
    found = []
    for number, content in enumerate((ours, both)):
        write_predictions(tmp_path / f"{number}.h5", Predictions(header, content))
        found.append(evaluate([tmp_path / f"{number}.h5"], Classification(profiles=("pt",))))
    assert found[0].result.accuracy is not None
    assert found[0] == found[1]


def test_other_columns_beside_the_probabilities_change_no_figure(tmp_path):
    ours = rows(400)
    logit = np.log(ours.scores / (1 - ours.scores))
    beside = dataclasses.replace(ours, scores=np.column_stack([ours.scores, logit]))
    header = dataclasses.replace(HEADER, columns=("score", "logit"))
    write_predictions(tmp_path / "a.h5", Predictions(HEADER, ours))
    write_predictions(tmp_path / "b.h5", Predictions(header, beside))
    one, other = (evaluate([tmp_path / name]).result for name in ("a.h5", "b.h5"))
    assert one.accuracy is not None
    assert one == other


def test_a_variable_of_one_value_is_one_bin(tmp_path):
    ours = dataclasses.replace(rows(400), aux={"pt": np.full(400, 3.0)})
    write_predictions(tmp_path / "p.h5", Predictions(HEADER, ours))
    (found,) = evaluate(
        [tmp_path / "p.h5"], Classification(profiles=("pt",))
    ).result.discriminations
    (profile,) = found.profiles
    assert profile.edges == (3.0, 6.0)
    assert profile.signal[0][0] == pytest.approx(0.5)


def test_without_training_weights_probabilities_are_not_judged(tmp_path):
    ours = dataclasses.replace(rows(100), training_weight=np.zeros(100))
    write_predictions(tmp_path / "p.h5", Predictions(HEADER, ours))
    (found,) = evaluate([tmp_path / "p.h5"]).result.discriminations
    assert found.calibration is None


@pytest.mark.parametrize("name", ["truth", "weight"])
def test_an_id_names_the_same_row_in_all_files(written, name):
    """Rows that are numbered after they were shuffled are not those of the other file."""
    paths = written("a.h5"), written("b.h5", seed=1)
    with h5py.File(paths[1], "a") as file:
        file[name][:] = file[name][:][::-1]
    with pytest.raises(DataError, match=rf"(?s)b\.h5: {name}.*in the row of id.*a\.h5"):
        evaluate(paths)


def test_members_must_belong_together(written):
    first = written("a.h5")
    with pytest.raises(DataError, match="method 'cnn'"):
        evaluate([first, written("b.h5", header=dataclasses.replace(HEADER, method="dnn"))])
    with pytest.raises(DataError, match="not the same ones"):
        evaluate([first, written("c.h5", number=1500)])


def test_an_unknown_profile_is_refused(written):
    with pytest.raises(DataError, match="did you mean 'pt'"):
        evaluate([written()], Classification(profiles=("ptt",)))
