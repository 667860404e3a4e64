"""What training writes: whole, checked, and refused when it belongs to something else."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from tests.learnable import Memory, PlainFeatures, point_task, points

from rootloom.errors import TrainingError
from rootloom.training import tensors, trained
from rootloom.training.log import RunLog
from rootloom.training.predict import predict
from rootloom.training.state import initial_params

pytestmark = pytest.mark.usefixtures("strict")

ARRAYS = {
    "a/fortran": np.asfortranarray(np.arange(6.0, dtype=np.float32).reshape(2, 3)),
    "a/strided": np.arange(10, dtype=np.int32)[::2],
    "a/scalar": np.array(7, np.uint32),
    "b/empty": np.zeros((0, 3), np.float64),
}


def test_arrays_and_record_come_back_as_they_were(tmp_path: Path) -> None:
    path, record = tmp_path / "file", {"epoch": 3, "value": 0.1 + 0.2, "worst": float("inf")}
    tensors.write(path, ARRAYS, record)
    arrays, found = tensors.read(path)
    assert found == record
    assert set(arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("damage", ["truncated", "flipped", "header", "empty", "foreign"])
def test_damage_is_noticed(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "file"
    tensors.write(path, ARRAYS, {"epoch": 3})
    data = bytearray(path.read_bytes())
    if damage == "truncated":
        del data[-4:]
    elif damage == "flipped":
        data[-1] ^= 1
    elif damage == "header":
        data[data.index(b"epoch") + 9] ^= 1
    else:
        data = bytearray(b"" if damage == "empty" else b"x" * 1000)
    path.write_bytes(data)
    with pytest.raises(TrainingError, match=str(path)):
        tensors.read(path)


def test_restore_names_what_does_not_fit() -> None:
    template = {"layer": {"kernel": np.zeros((2, 3), np.float32)}}
    arrays = tensors.flatten(template, "params")
    assert list(arrays) == ["params/layer/kernel"]
    assert tensors.unflatten(arrays, "params").keys() == {"layer"}
    other = {"params/layer/kernel": np.zeros((3, 2), np.float32)}
    with pytest.raises(TrainingError, match=r"layer/kernel\n.*\(2, 3\)\n.*\(3, 2\)"):
        tensors.restore(template, other, "params", "here")
    with pytest.raises(TrainingError, match="nothing"):
        tensors.restore(template, {}, "params", "here")
    with pytest.raises(TrainingError, match="no such array"):
        tensors.restore(template, {**arrays, "params/more": np.zeros(1)}, "params", "here")


def test_model_round_trip_and_refusals(tmp_path: Path) -> None:
    task = point_task(hidden=(5,))
    batch = Memory(points(8), PlainFeatures(), 8).batch(np.arange(8))
    local = jax.tree.map(lambda x: x[0], batch)
    params = initial_params(task, batch, seed=0)
    sections = {
        "model": {"kind": "dnn", "hidden": [5]},
        "representation": {"kind": "features"},
        "task": {"kind": "classification"},
        "statistics": {"x": [0.1, 1e-300]},
        "classes": ["background", "signal"],
        "metrics": {"parameters": 31, "auc": float("nan")},
        "provenance": {"code": "1"},
    }
    path = tmp_path / "model.safetensors"
    trained.save(path, trained.Trained(params=params, **sections))
    found = trained.load(path)
    jax.tree.map(np.testing.assert_array_equal, found.params, params)
    assert found.statistics == sections["statistics"]
    trained.check(task, found.params, local)
    with pytest.raises(TrainingError, match=r"backbone/Dense_0/bias\n.*\(7,\)\n.*\(5,\)"):
        trained.check(point_task(hidden=(7,)), found.params, local)
    tensors.write(path, {}, {"schema": 99})
    with pytest.raises(TrainingError, match="schema 99"):
        trained.load(path)


@pytest.mark.parametrize("devices", [1, 8])
def test_predictions_are_every_row_in_order(devices: int) -> None:
    task, columns = point_task(hidden=(5,)), points(75)
    columns["weight"][[3, 74]] = 0  # a row without weight is a row, not padding
    loader = Memory(columns, PlainFeatures(), 16, devices=devices, shuffle=False)
    params = initial_params(task, loader.batch(np.arange(16)), seed=0)
    found = list(predict(task, params, loader))
    scores = np.concatenate([scores["score"] for scores, _ in found])
    words = np.concatenate([rows.id for _, rows in found]).astype(np.uint64)
    np.testing.assert_array_equal(words[:, 0] << np.uint64(32) | words[:, 1], columns["id"])
    layers = params["backbone"]["Dense_0"], params["head"]
    hidden = np.maximum(columns["x"] @ layers[0]["kernel"] + layers[0]["bias"], 0)
    logits = hidden @ layers[1]["kernel"] + layers[1]["bias"]
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-logits[:, 0])), rtol=1e-5)


def test_log_forgets_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    log = RunLog(tmp_path, 0, tensorboard=False)
    for step in (10, 20, 30):
        log.scalars("training", step, {"loss": 1 / step})
    log.close()
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"split": "train')  # a line that a killed run left
    log = RunLog(tmp_path, 20, tensorboard=False)
    log.scalars("training", 30, {"loss": 0.5})
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(line["step"], line["loss"]) for line in lines] == [(10, 0.1), (20, 0.05), (30, 0.5)]
