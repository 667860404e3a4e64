"""Track fits as baselines: what they predict, in which order, and what they refuse."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from tests.workflow.project import ROOT

from rootloom.baselines.fastest_light import FastestLight
from rootloom.baselines.track_fit import TrackFit
from rootloom.errors import ConfigError, DataError
from rootloom.stages import make_plan
from rootloom.types import Ragged

DETECTOR = TrackFit(rings=30, equator=60)
STRAIGHT = FastestLight(rings=30, equator=60, max_rows=0)
DOWN = np.array([0.0, 0.0, 17.7]), np.array([0.0, 0.0, -17.7])
TARGETS = tuple(f"{name}_{k}" for name in ("direction", "entry") for k in "xyz")


@dataclass(frozen=True)
class Truth:
    """What a fit asks of the data it learns from."""

    targets: tuple[str, ...] = TARGETS
    classes: tuple[str, ...] = ("muon",)
    signal: str = "muon"
    shards: tuple[tuple[dict[str, Ragged | np.ndarray], np.ndarray], ...] = ()

    def rows(self, split, reads):
        assert split == "train"
        assert set(reads) == {"sphere.pmt", "sphere.charge", "sphere.time"}
        yield from self.shards


def hits(*events: tuple[np.ndarray, np.ndarray]) -> dict[str, Ragged]:
    """Shard columns of events that have hits at these PMTs and times."""
    offsets = np.cumsum([0, *(len(pmt) for pmt, _ in events)])
    pmt, time = (np.concatenate(parts) for parts in zip(*events, strict=True))
    charge = np.full(len(pmt), 100.0, np.float32)
    columns = {"pmt": pmt.astype(np.uint16), "charge": charge, "time": time.astype(np.float32)}
    return {f"sphere.{name}": Ragged(values, offsets) for name, values in columns.items()}


@pytest.fixture(
    scope="module", params=[DETECTOR, replace(DETECTOR, likelihood=False), STRAIGHT],
    ids=["likelihood", "times", "fastest"],
)  # fmt: skip
def learned(request):
    return request.param.learn(Truth())


def test_columns_are_the_targets_in_their_order(learned):
    assert learned.columns == TARGETS
    pmts = np.arange(len(learned.pmts))
    # From pole to pole at the speed of light, light that goes sideways behind it.
    along, aside = 19.5 * learned.pmts[:, 2], 19.5 * np.hypot(*learned.pmts[:, :2].T)
    up, down = ((sign * along + 1.1 * aside) / 0.3 for sign in (1, -1))
    found = learned.predict(hits((pmts, up), (pmts[:0], up[:0]), (pmts, down)), 3)
    assert found.shape == (3, 6)
    np.testing.assert_allclose(np.linalg.norm(found[:, :3], axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found[:, 3:], axis=1), 17.7, rtol=1e-5)
    assert found[0, 5] < -17 < 17 < found[2, 5]
    assert found[0, 2] > 0.99 > -0.99 > found[2, 2]


def test_hits_of_another_detector_are_refused(learned):
    with pytest.raises(DataError, match=f"PMTs 0 … {len(learned.pmts) - 1}"):
        learned.predict(hits((np.array([3, len(learned.pmts)]), np.zeros(2))), 1)


@pytest.mark.parametrize(("fields", "match"), [
    ({"radius": 20.0}, "pmt_sphere"), ({"rings": 0}, "rings"), ({"decay_times": (1.0,)}, "share"),
    ({"transit_time_spread": 0.0}, "transit_time_spread"),
])  # fmt: skip
def test_a_detector_that_cannot_be_is_refused(fields, match):
    with pytest.raises(ConfigError, match=match):
        replace(DETECTOR, **fields)


@pytest.mark.parametrize(("fields", "match"), [
    ({"radius": 20.0}, "pmt_sphere"), ({"rings": 0}, "rings"), ({"index": 1.0}, "above 1"),
    ({"max_rows": -1}, "max_rows"),
])  # fmt: skip
def test_straight_light_that_cannot_be_is_refused(fields, match):
    with pytest.raises(ConfigError, match=match):
        replace(STRAIGHT, **fields)


def training(pmts, time_model, late):
    """A shard of muons from pole to pole whose dim hits are `late` (R,) ns; and their targets."""
    charge = np.where(np.arange(len(pmts)) % 2, 100.0, 3.0)
    time, _, _ = time_model(pmts, charge, *DOWN)
    columns = hits(*((np.arange(len(pmts)), time + np.where(charge < 10, ns, 0.0)) for ns in late))
    offsets = columns["sphere.charge"].offsets
    columns["sphere.charge"] = Ragged(np.tile(charge, len(late)), offsets)
    return columns, np.tile([0.0, 0.0, -1.0, *DOWN[0]], (len(late), 1))


def test_first_hits_are_corrected_by_at_most_so_many_muons_of_the_training_split():
    """Hits are 8 ns late in muons of no weight and in those that are too many, and 4 in others."""
    bare = STRAIGHT.learn(Truth())
    time_model = bare.fit.args[0]
    columns, truth = training(bare.pmts, time_model, np.tile([8.0, 4.0], 10))
    more, _ = training(bare.pmts, time_model, np.full(20, 8.0))
    columns["weight"], more["weight"] = np.tile([0.0, 1.0], 10), np.ones(20)
    data = Truth(shards=((columns, truth), (more, truth)))
    found = replace(STRAIGHT, max_rows=10).learn(data)
    assert found.rows == 10
    assert found.parameters > 0
    late = [
        found.fit.args[0](bare.pmts, np.full(len(bare.pmts), charge), *DOWN)[0]
        - time_model(bare.pmts, np.full(len(bare.pmts), charge), *DOWN)[0]
        for charge in (3.0, 100.0)
    ]
    assert np.median(late[0] - late[1]) == pytest.approx(4.0, abs=0.1)
    assert STRAIGHT.learn(data).rows == 0


@pytest.mark.parametrize("targets", [TARGETS[:5], (*TARGETS, "energy"), ("energy",)])
def test_other_targets_are_refused(targets):
    with pytest.raises(ConfigError, match="entry, direction"):
        DETECTOR.learn(Truth(targets))


@pytest.mark.parametrize(("experiment", "baseline", "match"), [
    ({"dataset": "muons", "task": {"kind": "regression"}}, {"kind": "boosted_trees"},
     "learns targets.*which learns classes.*track_fit"),
    ({"dataset": "w-jets"}, {"kind": "track_fit"}, "learns classes.*which learns targets.*cut"),
])  # fmt: skip
def test_a_baseline_that_learns_something_else_is_refused(tmp_path, experiment, baseline, match):
    refused(tmp_path, experiment, baseline, "features", "baselines.other", match)


@pytest.mark.parametrize("kind", ["track_fit", "fastest_light"])
@pytest.mark.parametrize(("representation", "match"), [
    ("pmt-map", r"kind: pmt_sphere, pool: \[1, 1\].*other.*pool: \[6, 8\].*pmt-image"),
    ("features", "kind: pmt_sphere.*kind: features.*pmt-image, pmt-image-seamless"),
])  # fmt: skip
def test_a_representation_without_hits_is_refused(tmp_path, kind, representation, match):
    experiment = {"dataset": "muons", "task": {"kind": "regression"}}
    where = "baseline_representation"
    refused(tmp_path, experiment, {"kind": kind}, representation, where, match)


def refused(tmp_path, experiment, baseline, representation, where, match):
    config = tmp_path / "config"
    for part in ("schema.json", "datasets", "representations"):
        (config / part).parent.mkdir(exist_ok=True)
        (config / part).symlink_to(ROOT / "config" / part)
    (config / "experiments").mkdir()
    section = {
        **experiment,
        "baselines": {"other": baseline},
        "baseline_representation": representation,
    }
    (config / "experiments/mine.yaml").write_text(yaml.safe_dump(section))
    with pytest.raises(ConfigError) as refusal:
        make_plan({"experiment": "mine"}, Path(tmp_path))
    assert where in str(refusal.value)
    assert re.search(match, " ".join(str(refusal.value).split()))
