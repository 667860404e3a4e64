"""The files of the calorimeter source."""

from __future__ import annotations

from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from rootloom.errors import ConfigError
from rootloom.rootio.dataset import ClassRule, RowReader
from rootloom.simulate.calo import Calo

SHOWERS = 1_200  # more than a block


def generate(path: Path, process: str, seed: int = 1, rows: int = SHOWERS, **fields) -> ak.Array:
    Calo(**fields).generate(process, rows, seed, path)
    with uproot.open(path) as file:
        return file["showers"].arrays()


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ak.Array]:
    folder = tmp_path_factory.mktemp("calo")
    return {name: generate(folder / f"{name}.root", name) for name in Calo.processes}


def test_energy_is_conserved_in_the_file(samples: dict[str, ak.Array]) -> None:
    for name, showers in samples.items():
        assert len(showers) == SHOWERS
        seen = ak.to_numpy(ak.sum(showers.cell_energy, axis=1)).astype(np.float64)
        rest = ak.to_numpy(showers.leaked) + ak.to_numpy(showers.invisible)
        np.testing.assert_allclose(seen + rest, showers.energy, rtol=1e-5)
        assert ak.all(showers.cell_energy > 0)
        assert (ak.max(showers.invisible) > 0) == (name == "piplus")


def test_energies_are_even(samples: dict[str, ak.Array]) -> None:
    for showers in samples.values():
        energy = ak.to_numpy(showers.energy)
        assert 1 <= energy.min() < 3
        assert 98 < energy.max() <= 100
        # Mean and deviation of an even distribution over 99 GeV.
        assert energy.mean() == pytest.approx(50.5, abs=4 * 99 / np.sqrt(12 * SHOWERS))


def test_cells_lie_where_their_number_says(samples: dict[str, ak.Array]) -> None:
    for showers in samples.values():
        number, layer, x, y = (
            ak.to_numpy(ak.flatten(showers[f"cell_{name}"])) for name in ("id", "layer", "x", "y")
        )
        np.testing.assert_array_equal(layer, np.searchsorted([288, 432, 504], number, "right"))
        local, bins = number - np.array([0, 288, 432])[layer], np.array([96, 12, 6])[layer]
        width = 480 / np.array([[3, 12, 12], [96, 12, 6]])[:, layer]
        np.testing.assert_allclose(x, -240 + width[0] * (local // bins + 0.5), rtol=1e-6)
        np.testing.assert_allclose(y, -240 + width[1] * (local % bins + 0.5), rtol=1e-6)
        assert ak.all(showers.cell_id[:, 1:] > showers.cell_id[:, :-1])


def test_a_seed_decides_the_content(tmp_path: Path) -> None:
    first, again, other = (
        generate(tmp_path / f"{name}.root", "piplus", seed, 50)
        for name, seed in (("first", 7), ("again", 7), ("other", 8))
    )
    for name in first.fields:
        a, b = (ak.to_numpy(ak.flatten(x[name], axis=None)) for x in (first, again))
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first.energy, other.energy)


def test_entry_points_move_the_showers(tmp_path: Path) -> None:
    showers = generate(tmp_path / "eplus.root", "eplus", rows=300, spread=100.0)
    assert np.ptp(ak.to_numpy(showers.x)) > 150
    total = ak.sum(showers.cell_energy, axis=1)
    mean = ak.sum(showers.cell_energy * showers.cell_x, axis=1) / total
    # To half a cell of 40 mm: layer 0 is 160 mm wide, but has little energy.
    assert np.std(ak.to_numpy(mean - showers.x)) < 20


def test_only_gaps_give_fewer_cells_the_energy(tmp_path: Path) -> None:
    showers = generate(tmp_path / "gap.root", "eplus", rows=500, readout="gap")
    seen = ak.to_numpy(ak.sum(showers.cell_energy, axis=1)).astype(np.float64)
    deposited = ak.to_numpy(showers.energy - showers.leaked)
    pull = (seen - deposited) / (0.1 * np.sqrt(deposited))
    assert abs(pull.mean()) < 4 / np.sqrt(500)
    assert pull.std() == pytest.approx(1.0, rel=4 / np.sqrt(1000))


def test_nothing_is_left_when_it_fails(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Calo().generate("eplus", 20, 1, tmp_path / "eplus.root", stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"energy_min": 0.0}, "energy_min"),
        ({"depths": (90.0, 80.0, 480.0)}, "depths"),
        ({"depths": (90.0, 480.0)}, "depths"),
        ({"readout": "lead"}, "readout"),
        ({"gap": 0.0}, "gap"),
        ({"spread": 300.0}, "spread"),
        ({"layers": ((3, 96), (0, 12), (12, 6))}, "layers"),
    ],
)
def test_what_no_calorimeter_is_gets_refused(fields: dict, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        Calo(**fields)


def test_unknown_process_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="piplus"):
        Calo().generate("piminus", 5, 1, tmp_path / "x.root")
    assert list(tmp_path.iterdir()) == []


def test_files_of_calogan_itself_need_other_expressions_only(
    tmp_path: Path, samples: dict[str, ak.Array]
) -> None:
    """Its Geant4 program writes two lists in MeV, led by the particle's energy and by -1."""
    ours = samples["gamma"][:40]
    energies = [[e, *(1000 * c)] for e, c in zip(ours.energy, ours.cell_energy, strict=True)]
    numbers = [[-1, *cells] for cells in ours.cell_id]
    with uproot.recreate(tmp_path / "geant4.root") as file:
        tree = {"EnergyVector": ak.Array(energies), "PositionVector": ak.Array(numbers)}
        file.mktree("cell_tree", dict.fromkeys(tree, "var * float64")).extend(
            {k: ak.values_astype(v, "float64") for k, v in tree.items()}
        )
    reader = RowReader(
        tree="cell_tree",
        variables={
            "energy": "first(EnergyVector)",
            "layer0": "sum(where(PositionVector[:, 1:] < 288, EnergyVector[:, 1:], 0.0)) / 1000",
        },
        objects={"cells": {"id": "PositionVector[:, 1:]", "energy": "EnergyVector[:, 1:] / 1000"}},
        classes=(ClassRule("gamma", where="first(EnergyVector) > 0"),),
    )
    (block,) = reader.read(str(tmp_path / "geant4.root"), 0, 40)
    np.testing.assert_allclose(block.columns["energy"], ours.energy)
    np.testing.assert_array_equal(block.columns["cells.id"].values, ak.flatten(ours.cell_id))
    np.testing.assert_allclose(
        block.columns["cells.energy"].values, ak.flatten(ours.cell_energy), rtol=1e-6
    )
    layer0 = ak.sum(ours.cell_energy[ours.cell_layer == 0], axis=1)
    np.testing.assert_allclose(block.columns["layer0"], layer0, rtol=1e-5)
