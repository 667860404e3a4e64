"""Provenance: found again in every format that the stages write."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from rootloom.rootio.friends import write_friend
from rootloom.system import provenance
from rootloom.training import trained

RECORD = provenance.record("train", {"section": {"a": 1}, "fingerprint": "f"}, seed=3)


def test_a_record_says_what_made_an_output() -> None:
    assert RECORD["section"] == {"a": 1}
    assert RECORD["fingerprint"] == "f"
    assert RECORD["seed"] == 3
    assert RECORD["packages"]["numpy"] == np.__version__
    assert set(RECORD["host"]) == {"system", "machine", "cores"}
    assert json.loads(json.dumps(RECORD)) == RECORD


def test_json(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"provenance": RECORD}))
    assert provenance.read(tmp_path / "a.json") == RECORD


def test_hdf5(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["provenance"] = json.dumps(RECORD)
    assert provenance.read(tmp_path / "a.h5") == RECORD


@pytest.mark.parametrize("name", ["fingerprint", "inputs"])
def test_a_record_with_a_flipped_bit_in_a_name_is_none(tmp_path: Path, name: str) -> None:
    text = json.dumps(RECORD).replace(f'"{name}"', f'"{chr(ord(name[0]) ^ 1)}{name[1:]}"')
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["provenance"] = text
    assert provenance.read(tmp_path / "a.h5") is None
    assert provenance.fingerprint(tmp_path / "a.h5") is None


def test_trained_model(tmp_path: Path) -> None:
    params = {"dense": {"kernel": np.ones((2, 3), np.float32)}}
    trained.save(
        tmp_path / "a.safetensors",
        trained.Trained(params, {}, {}, {}, {}, ["a", "b"], {}, RECORD),
    )
    assert provenance.read(tmp_path / "a.safetensors") == RECORD


def test_root(tmp_path: Path) -> None:
    one = np.zeros(1, np.int64)
    notes = {"provenance": json.dumps(RECORD)}
    write_friend(tmp_path / "a.root", 1, one, one, {"score": np.ones(1)}, notes=notes)
    assert provenance.read(tmp_path / "a.root") == RECORD


def test_without_a_record(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    (tmp_path / "a.html").write_text("")
    assert provenance.read(tmp_path / "a.json") is None
    assert provenance.read(tmp_path / "a.html") is None
    assert provenance.read(tmp_path / "missing.h5") is None
