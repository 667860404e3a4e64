"""Generated examples: what stands in the file, read by uproot, is what was asked for and made."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import awkward as ak
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import uproot

from rootloom.cli import main
from rootloom.errors import ConfigError, DataError, InputError, TrainingError
from rootloom.representations.calorimeter import CalorimeterCells, ShowerOptions
from rootloom.representations.image import JetImage
from rootloom.rootio.writing import Rows, write_tree
from rootloom.shards.moments import Moments
from rootloom.shards.statistics import Statistics
from rootloom.simulate.calo import Calo
from rootloom.stages import sampling
from rootloom.stages.conditions import Conditions, conditions_of_file, even_conditions
from rootloom.stages.sampling import Request, write_examples
from rootloom.training import trained
from rootloom.training.generate import Sampler, regrouped
from rootloom.types import Shower

LAYERS, HALF = ((2, 8), (4, 4)), 30.0
CELLS = 32
CELLS_OF = CalorimeterCells(layers=LAYERS)
ROWS, SEED = 1_100, 5  # more than a basket
BRANCHES = {
    "energy",
    "x",
    "y",
    "ncell",
    *(f"cell_{n}" for n in ("id", "layer", "x", "y", "energy")),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with the parameters that a training begins with; energies were 5 to 50 GeV."""
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    moments = {
        "x": Moments.of(np.ones((2, CELLS))), "energy": Moments.of(np.array([[5.0], [50.0]])),
    }  # fmt: skip
    statistics = Statistics(("eplus",), moments=moments)
    found = trained.Trained(
        params={},
        model={
            "kind": "calogan", "layers": LAYERS, "latent": 6, "depth": 3, "kernels": 3,
            "dimensions": 2, "group": 4,
        },
        representation={"kind": "calorimeter", "layers": LAYERS, "half_width": HALF},
        task={"kind": "adversarial"},
        statistics=json.loads(statistics.to_json()),
        classes=["eplus"],
        metrics={},
        provenance={},
    )  # fmt: skip
    trained.save(path, found)
    task = sampling.load_generator(path).task
    z, ones = jnp.zeros((4, 6)), jnp.ones(4)
    real = Shower(jnp.ones((4, CELLS)), ones)
    params = task.model.init(jax.random.key(1), z, real, ones[:, None], ones, task.scale)["params"]
    trained.save(path, replace(found, params=params))
    return path


@pytest.fixture(scope="module")
def generator(model: Path) -> sampling.Generator:
    return sampling.load_generator(model)


def write(
    path: Path, generator: sampling.Generator, rows: int = ROWS, batch: int = 256, **fields: Any
) -> ak.Array:
    options = ShowerOptions(**{"seed": SEED, **fields})
    energies = even_conditions(
        generator.representation, generator.trained, {"energy": (5.0, 50.0)}, rows, options.seed
    )
    write_examples(path, generator, Request(energies, options, batch=batch))
    return read(path)


def read(path: Path) -> ak.Array:
    with uproot.open(path) as file:
        return file["showers"].arrays()


def dense(showers: ak.Array) -> np.ndarray:
    """(R, cells) from the lists."""
    cells = np.zeros((len(showers), CELLS))
    row = np.repeat(np.arange(len(showers)), ak.to_numpy(showers.ncell))
    cells[row, ak.to_numpy(ak.flatten(showers.cell_id))] = ak.to_numpy(
        ak.flatten(showers.cell_energy)
    )
    return cells


def same(first: ak.Array, second: ak.Array) -> bool:
    """To the last bit, in all branches."""
    assert set(first.fields) == set(second.fields)
    flat = ((ak.to_numpy(ak.flatten(x[n], axis=None)) for x in (first, second)) for n in BRANCHES)
    return all(np.array_equal(a, b) for a, b in flat)


def made_at_once(generator: sampling.Generator, energy: np.ndarray, seed: int) -> np.ndarray:
    """All cells in one call of the task's own function, each shower by the number of its row."""
    words = np.stack([np.zeros(len(energy)), np.arange(len(energy))], axis=1).astype(np.uint32)
    run = jax.jit(generator.task.generate)
    condition = jnp.asarray(energy)[:, None]
    return np.asarray(run(generator.params, condition, jax.random.key(seed), words).cells)


def test_the_file_holds_the_models_showers_at_the_energies_asked_for(
    generator: sampling.Generator, tmp_path: Path
) -> None:
    showers = write(tmp_path / "made.root", generator)
    assert len(showers) == ROWS
    # Drawn here at once, there in blocks.
    drawn = np.random.Generator(np.random.PCG64(SEED)).uniform(5, 50, ROWS).astype(np.float32)
    np.testing.assert_array_equal(showers.energy, drawn)
    cells = made_at_once(generator, drawn, SEED)
    np.testing.assert_allclose(dense(showers), cells, rtol=2e-5, atol=1e-6)
    assert cells.sum(axis=1).std() > 0.01
    sums = ak.to_numpy(ak.sum(showers.cell_energy, axis=1))
    np.testing.assert_allclose(sums, cells.sum(axis=1), rtol=2e-5)
    assert ak.all(showers.cell_energy > 0)
    assert not ak.any(showers.x)
    assert not ak.any(showers.y)


def test_branches_are_those_of_the_source(generator: sampling.Generator, tmp_path: Path) -> None:
    write(tmp_path / "made.root", generator, rows=10)
    Calo().generate("eplus", 10, 1, tmp_path / "source.root")
    with (
        uproot.open(tmp_path / "made.root") as made,
        uproot.open(tmp_path / "source.root") as source,
    ):
        types = made["showers"].typenames()
        assert set(types) == BRANCHES
        truth = source["showers"].typenames()
        assert types == {name: kind for name, kind in truth.items() if name in types}
        assert set(truth) - set(types) == {"leaked", "invisible"}


def test_cells_lie_where_the_representation_says(
    generator: sampling.Generator, tmp_path: Path
) -> None:
    showers = write(tmp_path / "made.root", generator)
    number, layer, x, y = (
        ak.to_numpy(ak.flatten(showers[f"cell_{name}"])) for name in ("id", "layer", "x", "y")
    )
    np.testing.assert_array_equal(layer, number >= 16)
    along_x, along_y = np.array([2, 4])[layer], np.array([8, 4])[layer]
    local = number - 16 * layer
    np.testing.assert_allclose(x, HALF * (2 * (local // along_y + 0.5) / along_x - 1), rtol=1e-6)
    np.testing.assert_allclose(y, HALF * (2 * (local % along_y + 0.5) / along_y - 1), rtol=1e-6)


def test_a_seed_decides_the_content(generator: sampling.Generator, tmp_path: Path) -> None:
    first, again = (write(tmp_path / f"{n}.root", generator, rows=60) for n in ("first", "again"))
    assert same(first, again)
    other = write(tmp_path / "other.root", generator, rows=60, seed=6)
    assert np.abs(dense(first) - dense(other)).max() > 1e-3
    # Fewer of the same seed are the first of them.
    few = write(tmp_path / "few.root", generator, rows=11)
    np.testing.assert_allclose(dense(few), dense(first)[:11], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("batch", [1, 7, 200])
def test_the_batch_changes_rounding_alone(
    generator: sampling.Generator, tmp_path: Path, batch: int
) -> None:
    usual, other = (
        write(tmp_path / f"{n}.root", generator, rows=90, batch=n) for n in (256, batch)
    )
    np.testing.assert_array_equal(usual.energy, other.energy)
    # A cell is what several layers of float32 sums leave of each other, of the order of 1 GeV.
    np.testing.assert_allclose(dense(usual), dense(other), rtol=1e-5, atol=5e-6)


def test_eight_devices_make_the_bits_of_one(generator: sampling.Generator) -> None:
    energies = [np.linspace(5, 50, 301)[:, None]]
    one, eight = (
        Sampler(generator.task, generator.params, seed=3, batch=32, devices=devices)
        for devices in (1, 8)
    )
    assert jax.local_device_count() == 8
    cells = [np.concatenate([s.cells for s in which.examples(energies)]) for which in (one, eight)]
    assert cells[0].shape == (301, CELLS)
    np.testing.assert_array_equal(*cells)


def test_cells_at_the_threshold_are_left_out(generator: sampling.Generator, tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.root", generator, rows=50)
    limit = float(np.median(ak.to_numpy(ak.flatten(whole.cell_energy))))
    cut = write(tmp_path / "cut.root", generator, rows=50, threshold=limit)
    expected = dense(whole)
    expected[expected <= limit] = 0
    np.testing.assert_array_equal(dense(cut), expected)
    assert 0 < len(ak.flatten(cut.cell_energy)) < len(ak.flatten(whole.cell_energy))


def test_showers_stream(generator: sampling.Generator, tmp_path: Path) -> None:
    """However many are asked for, little more is made than has been written."""
    rows, block, ahead = 6_000, 500, []
    taken = itertools.count()

    def energies() -> Iterator[np.ndarray]:
        for _ in range(rows // block):
            next(taken)
            yield np.full((block, 1), 20.0)

    def progress(done: int, total: int) -> None:
        assert total == rows
        ahead.append(int(repr(taken)[6:-1]) * block - done)

    request = Request(Conditions(rows, energies(), {}), batch=32, options=ShowerOptions())
    write_examples(tmp_path / "made.root", generator, request, progress=progress)
    assert len(ahead) == 6
    assert max(ahead) <= 2_000
    with uproot.open(tmp_path / "made.root") as file:
        assert file["showers"].num_entries == rows
        assert file["showers"]["energy"].num_baskets == 6


def test_blocks_are_regrouped_in_order() -> None:
    blocks = [(np.arange(n) + 100 * n, np.full((n, 2), n)) for n in (3, 0, 1, 9, 4)]
    parts = list(regrouped(iter(blocks), 4))
    assert [len(first) for first, _ in parts] == [4, 4, 4, 4, 1]
    for k in range(2):
        whole = np.concatenate([part[k] for part in parts])
        np.testing.assert_array_equal(whole, np.concatenate([block[k] for block in blocks]))
    assert list(regrouped([], 4)) == []


# -- the command ------------------------------------------------------------------------------


@pytest.fixture
def _settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """JAX runs already, with the devices of the tests."""
    monkeypatch.setattr("rootloom.training.devices.configure", lambda cpus: None)


def command(model: Path, output: Path, *options: str) -> int:
    return main(["generate", str(model), "--output", str(output), *options])


@pytest.mark.usefixtures("_settled")
def test_the_command_writes_a_file_with_its_provenance(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "made.root"
    assert command(model, output, "--rows", "30", "--seed", "9", "--energy", "10", "20") == 0
    text = capsys.readouterr().out
    assert "30/30 showers" in text
    assert "note:" not in text
    showers = read(output)
    assert len(showers) == 30
    assert ak.all((showers.energy >= 10) & (showers.energy <= 20))
    with uproot.open(output) as file:
        record = json.loads(str(file["provenance"]))
    assert record["stage"] == "generate"
    assert record["seed"] == 9
    assert record["section"]["condition"] == {"energy": {"low": 10, "high": 20}}
    assert str(tmp_path) not in json.dumps(record)


@pytest.mark.usefixtures("_settled")
def test_without_energies_it_takes_the_trainings(model: Path, tmp_path: Path) -> None:
    assert command(model, tmp_path / "made.root", "--rows", "400") == 0
    energy = read(tmp_path / "made.root").energy
    assert 5 <= ak.min(energy) < 6.5
    assert 48.5 < ak.max(energy) <= 50


@pytest.mark.usefixtures("_settled")
def test_energies_of_a_file_in_its_order(model: Path, tmp_path: Path) -> None:
    asked = np.random.default_rng(1).uniform(6, 40, 70).astype(np.float32)
    write_tree(tmp_path / "asked.root", "particles", [Rows({"e": asked})])
    assert command(model, tmp_path / "all.root", "--energies", f"{tmp_path}/asked.root:e") == 0
    np.testing.assert_array_equal(read(tmp_path / "all.root").energy, asked)
    half = (f"{tmp_path}/asked.root:e / 2", "--rows", "7")
    assert command(model, tmp_path / "some.root", "--energies", *half) == 0
    np.testing.assert_array_equal(read(tmp_path / "some.root").energy, asked[:7] / 2)
    # Its own output can be asked for again.
    assert command(model, tmp_path / "again.root", "--energies", str(tmp_path / "all.root")) == 0
    assert same(read(tmp_path / "again.root"), read(tmp_path / "all.root"))


@pytest.mark.usefixtures("_settled")
def test_energies_far_from_the_trainings_are_pointed_out(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(model, tmp_path / "made.root", "--rows", "9", "--energy", "40", "90") == 0
    assert "energy from 4" in (said := capsys.readouterr().out)
    assert "has learnt from 5 to 50 GeV" in said


@pytest.mark.usefixtures("_settled")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--rows", "0"], "rows"),
        ([], "the number of showers"),
        (["--rows", "5", "--energy", "20", "10"], "LOW ≤ HIGH"),
        (["--rows", "5", "--energy", "0", "10"], "0 < LOW"),
        (["--rows", "5", "--energy", "1", "inf"], "LOW ≤ HIGH"),
        (["--rows", "5", "--seed", "-1"], "seed"),
        (["--rows", "5", "--batch", "0"], "batch"),
        (["--rows", "5", "--threshold", "nan"], "threshold"),
        (["--rows", "5", "--condition", "mass", "1", "2"], "model's showers: energy"),
        (["--rows", "5", "--energy", "1", "much"], "a number"),
        (["--energies", "nowhere.root"], "nowhere.root"),
    ],
)
def test_what_cannot_be_made_is_refused(
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    expected: str,
) -> None:
    assert command(model, tmp_path / "made.root", *options) == 1
    assert expected in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_files_that_do_not_say_the_energies_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "asked.root"
    with uproot.recreate(path) as file:
        file["a"] = {"energy": np.ones(3, np.float32)}
        file["b"] = {"energy": np.ones(3, np.float32)}
    with pytest.raises(InputError, match="one tree"):
        conditions_of_file(CELLS_OF, f"{path}:energy")
    write_tree(path, "a", [Rows({"energy": np.array([1, -2, 3], np.float32)})])
    with pytest.raises(InputError, match="at least the 4 entries"):
        conditions_of_file(CELLS_OF, str(path), 4)
    with pytest.raises(InputError, match="did you mean 'energy'"):
        list(conditions_of_file(CELLS_OF, f"{path}:energi").blocks)
    with pytest.raises(ConfigError, match="1 expressions, for energy"):
        conditions_of_file(CELLS_OF, f"{path}:energy;energy")


def test_what_follows_chance_alone_is_asked_for_by_number() -> None:
    image, nothing = JetImage(), np.empty((0, 2))
    found = even_conditions(image, nothing, {}, 1_500, 1)
    assert [block.shape for block in found.blocks] == [(1_000, 0), (500, 0)]
    with pytest.raises(ConfigError, match="model's jet images: it has none"):
        even_conditions(image, nothing, {"energy": (1.0, 2.0)}, 5, 1)
    with pytest.raises(ConfigError, match=r"jet images: seed, threshold(.|\n)*mean 'threshold'"):
        sampling.options_of(image, {"treshold": 0.1})


def test_a_refusal_leaves_no_file(generator: sampling.Generator, tmp_path: Path) -> None:
    energies = Conditions(3, [np.array([[6.0], [7.0]]), np.array([[-2.0]])], {})
    with pytest.raises(DataError, match="energy of shower 2"):
        write_examples(tmp_path / "made.root", generator, Request(energies, ShowerOptions()))
    broken = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), generator.params)
    request = Request(Conditions(2, [np.array([[6.0], [7.0]])], {}), ShowerOptions())
    with pytest.raises(TrainingError, match=r"2 of 2 showers(.|\n)*at energy 6 GeV"):
        write_examples(tmp_path / "made.root", generator._replace(params=broken), request)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("_settled")
def test_other_models_and_outputs_that_exist_are_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.safetensors"
    trained.save(other, replace(trained.load(model), task={"kind": "classification"}))
    with pytest.raises(ConfigError, match="which yields predictions"):
        sampling.load_generator(other)
    assert command(other, tmp_path / "made.root", "--rows", "5") == 1
    assert "task 'classification'" in capsys.readouterr().err
    (tmp_path / "made.root").write_text("mine")
    assert command(model, tmp_path / "made.root", "--rows", "5") == 1
    assert "choose another name" in capsys.readouterr().err
    assert (tmp_path / "made.root").read_text() == "mine"


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
from rootloom.cli import main
sys.exit(main(["generate", *sys.argv[1:]]))
"""


def test_a_full_disk_leaves_no_file(model: Path, tmp_path: Path) -> None:
    output = tmp_path / "made.root"
    options = [str(model), "--rows", "5000", "--output", str(output)]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "room for more than" in done.stderr
    assert not list(tmp_path.iterdir())
