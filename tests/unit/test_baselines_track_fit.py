"""The track fit as a baseline: what it predicts, in which order, and what it refuses."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from tests.workflow.project import ROOT

from rootloom.baselines.track_fit import TrackFit
from rootloom.errors import ConfigError, DataError
from rootloom.selection import Selection
from rootloom.types import Ragged

DETECTOR = TrackFit(rings=30, equator=60)
TARGETS = tuple(f"{name}_{k}" for name in ("direction", "entry") for k in "xyz")


@dataclass(frozen=True)
class Truth:
    """What a fit asks of the data it learns from."""

    targets: tuple[str, ...] = TARGETS
    classes: tuple[str, ...] = ("muon",)
    signal: str = "muon"


def hits(*events: tuple[np.ndarray, np.ndarray]) -> dict[str, Ragged]:
    """Shard columns of events that have hits at these PMTs and times."""
    offsets = np.cumsum([0, *(len(pmt) for pmt, _ in events)])
    pmt, time = (np.concatenate(parts) for parts in zip(*events, strict=True))
    charge = np.full(len(pmt), 100.0, np.float32)
    columns = {"pmt": pmt.astype(np.uint16), "charge": charge, "time": time.astype(np.float32)}
    return {f"sphere.{name}": Ragged(values, offsets) for name, values in columns.items()}


@pytest.fixture(scope="module")
def learned():
    return DETECTOR.learn(Truth())


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
    config = tmp_path / "config"
    for part in ("schema.json", "datasets", "representations"):
        (config / part).parent.mkdir(exist_ok=True)
        (config / part).symlink_to(ROOT / "config" / part)
    (config / "experiments").mkdir()
    section = {
        **experiment,
        "baselines": {"other": baseline},
        "baseline_representation": "features",
    }
    (config / "experiments/mine.yaml").write_text(yaml.safe_dump(section))
    with pytest.raises(ConfigError) as refusal:
        Selection({"experiment": "mine"}, Path(tmp_path))
    assert "baselines.other" in str(refusal.value)
    assert re.search(match, " ".join(str(refusal.value).split()))
