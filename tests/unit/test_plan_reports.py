"""What a report shows is decided in the plan: its figures, its title, which images it has."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from rootloom.errors import ConfigError
from rootloom.planning.plan import Plan
from rootloom.stages import make_plan

ROOT = Path(__file__).resolve().parents[2]


def planned(root: Path, experiment: str, **changes: Any) -> Plan:
    """The plan of a shipped experiment, or of the default one on a dataset, with these keys."""
    shutil.copytree(ROOT / "config", root / "config")
    (root / "tests").symlink_to(ROOT / "tests")
    file = root / "config/experiments" / f"{experiment}.yaml"
    if changes:
        section = yaml.safe_load(file.read_text())
        file.write_text(yaml.safe_dump({**section, **changes}, sort_keys=False))
    return make_plan({"experiment": experiment}, root)


@pytest.mark.parametrize(
    "images",
    [
        {"before": "calorimeter-image"},
        ["calorimeter-cells", "calorimeter-image"],
        {"before": "calorimeter-cells", "after": "calorimeter-image"},
    ],
)
def test_whatever_can_be_drawn_has_average_images(tmp_path: Path, images: Any) -> None:
    plan = planned(tmp_path, "calo-identification", images=images)
    assert "images.png" in plan.request.plots()
    shown = set(plan.request.experiment.pictured().values())
    assert shown == set(images.values() if isinstance(images, dict) else images)
    assert shown <= set(plan.request.representations)


@pytest.mark.parametrize("name", ["shower-shapes", "tree-kt"])
def test_images_of_what_cannot_be_drawn_are_refused_naming_what_can(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(ConfigError) as refusal:
        planned(tmp_path, "calo-identification", images={"after": name})
    text = str(refusal.value)
    assert f"'{name}'" in text
    # Those of other datasets are no help.
    assert text.endswith("one of: calorimeter-cells, calorimeter-image")


def test_the_default_experiment_has_the_title_of_the_dataset(tmp_path: Path) -> None:
    section = planned(tmp_path, "hzz").job("report")["section"]
    assert section["title"] == "hzz"
    assert "dense network" in section["description"]


def test_the_report_is_told_every_expression(tmp_path: Path) -> None:
    plan = planned(tmp_path, "nano-btag")
    words = plan.job("report")["section"]["definitions"]
    assert words["variables"] == plan.data("nano-btag").dataset.variables
    assert words["define"] == plan.data("nano-btag").dataset.define
    assert words["select"] == plan.data("nano-btag").dataset.select
    assert set(words["classes"]) == set(plan.data("nano-btag").dataset.classes)
    assert set(words["read"]) == set(plan.request.representations)
