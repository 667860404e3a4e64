"""What leaves a run: its bundles, by the command and in Python, its results, and their pages."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import uproot
from sklearn.metrics import roc_auc_score

import rootloom
from rootloom.errors import ConfigError
from tests.bundles import TREE
from tests.workflow.project import ROOT, Project, environment

HEAVY = ("awkward", "h5py", "jax", "matplotlib", "numba", "scipy", "sklearn", "snakemake", "uproot")
PAGE = (ROOT / "docs/apply.md").read_text()
# Names of the pages, and of the toy.
NAMES = {"w-tagging": "toy", "cnn": "image"}


@pytest.fixture(scope="module")
def left(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the results of a run, its files, and nothing of the workflow."""
    folder = tmp_path_factory.mktemp("left")
    shutil.copytree(finished.path / "results/toy", folder / "results/toy")
    shutil.copytree(finished.path / "data", folder / "data")
    shutil.copy(folder / "data/w-0.root", folder / "new.root")
    return folder


@pytest.fixture
def here(left: Path) -> Iterator[Path]:
    with contextlib.chdir(left):
        yield left


def named_as_here(text: str) -> str:
    for name, ours in NAMES.items():
        text = text.replace(name, ours)
    return text


def test_the_command_scores_the_files_of_a_run_as_the_run_did(here: Path) -> None:
    """The page's command. Batches are others than those of three splits, which costs last bits."""
    (command,) = re.findall(r"```sh\n(rootloom apply .*)\n```", PAGE)
    words = named_as_here(command).replace("'", "").split()[1:]
    words[1] = "results/toy/bundles/dense.safetensors"
    run = [sys.executable, "-m", "rootloom.cli", *words]
    made = environment() | {"PYTHONPATH": str(ROOT / "src")}
    said = subprocess.run(run, capture_output=True, text=True, env=made, check=True, cwd=here)
    assert "data/w-1.root: 150 rows of 150 entries" in said.stdout
    friends = sorted(Path("scores").glob("*.root"))
    assert len(friends) == 4
    for path in friends:
        (theirs,) = Path("results/toy/friends/toy").glob(path.name)
        with uproot.open(path) as file, uproot.open(theirs) as other:
            found, run_said = (f[TREE].arrays(library="np") for f in (file, other))
        dense = {n for n in run_said if "__dense" in n}
        assert dense == {n for n in found if n != "toy_split"}
        for name in dense:
            np.testing.assert_allclose(found[name], run_said[name], rtol=0, atol=1e-6)
        left_out = run_said["toy__dense__left_out"]
        assert (np.abs(left_out - run_said["toy__dense__0"]) > 1e-6).any()


def programs(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page, re.DOTALL)


def test_the_programs_of_the_page_run(here: Path) -> None:
    found: dict[str, Any] = {}
    for program in map(named_as_here, programs(PAGE)):
        with contextlib.redirect_stdout(io.StringIO()):
            exec(program, found)
    assert len(found["scores"]) == 150
    assert Path("rejection.png").stat().st_size > 1000
    assert found["auc"].value == pytest.approx(found["curve"].auc, abs=1e-6)
    assert 0 < found["tight"].mean() < 1


def test_the_cells_of_the_notebook_run(here: Path) -> None:
    cells = json.loads((ROOT / "docs/notebook.ipynb").read_text())["cells"]
    found: dict[str, Any] = {}
    said = io.StringIO()
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            with contextlib.redirect_stdout(said):
                exec(named_as_here("".join(cell["source"])), found)
    assert "of 150 events pass" in said.getvalue()


def test_results_are_what_the_files_hold(here: Path) -> None:
    run = rootloom.results("results/toy")
    assert run.methods == ["dense", "image", "mass", "tree", "trees"]
    assert run.datasets == ["toy"]
    with h5py.File("results/toy/predictions/toy/dense/1/test.h5") as file:
        stored = {name: file[name][...] for name in ("truth", "weight", "scores", "id")}
    rows = run.predictions("dense", member=1)
    np.testing.assert_array_equal(rows["score"], stored["scores"][:, 0])
    np.testing.assert_array_equal(rows["id"], stored["id"])
    expected = roc_auc_score(stored["truth"], stored["scores"], sample_weight=stored["weight"])
    assert run.roc("dense", member=1).auc == pytest.approx(expected, abs=1e-6)
    other = run.roc("dense", member=1, signal="qcd").auc  # its own curve, of the reversed score
    assert other == pytest.approx(expected, abs=1e-6)
    lines = Path("results/toy/models/dense/1/history.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines[:2]]
    np.testing.assert_array_equal(run.history("dense", 1)["loss"], losses)
    assert run.metrics("mass")["auc"].value == run.evaluation("mass").metric("auc").value
    labels = [text.get_text() for text in run.plot().legends[0].get_texts()]
    assert set(run.methods) < set(labels)
    assert len(run.plot_history("dense").axes[0].lines) == 2 * 2  # of each member


def test_what_a_run_has_not_is_refused_by_name(here: Path) -> None:
    run = rootloom.results("results/toy")
    with pytest.raises(ConfigError, match=r"method(.|\n)*'imag'(.|\n)*'image'"):
        run.metrics("imag")
    with pytest.raises(ConfigError, match=r"dataset(.|\n)*'tyo'(.|\n)*'toy'"):
        run.metrics("image", "tyo")
    with pytest.raises(ConfigError, match=r"signal(.|\n)*qcd, w"):
        run.roc("image", signal="z")
    for folder in ("results", "results/no"):
        with pytest.raises(ConfigError, match="results of an experiment"):
            rootloom.results(folder)
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        rootloom.lod  # noqa: B018


def test_importing_it_loads_nothing_heavy() -> None:
    told = f"import sys, rootloom; print(*sorted({set(HEAVY)!r} & set(sys.modules)))"
    asked = [sys.executable, "-c", told]
    made = environment() | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(asked, capture_output=True, text=True, check=True, env=made)
    assert done.stdout.split() == []
