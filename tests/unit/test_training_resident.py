"""Rows that stay on the devices: the batches, bits, refusals and restarts of those that do not."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Generator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import jax
import numpy as np
import pytest
from tests.learnable import Memory, PlainFeatures, PlainImage, images, point_task, points

from rootloom.cluster.running import Preempted
from rootloom.errors import TrainingError
from rootloom.models.cnn import CNN
from rootloom.models.dnn import DNN
from rootloom.models.generators.calogan import CaloGAN
from rootloom.representations.calorimeter import CalorimeterCells
from rootloom.shards.layout import AUXILIARY
from rootloom.tasks.adversarial import Adversarial
from rootloom.tasks.classification import Classification
from rootloom.tasks.regression import Regression
from rootloom.testing.memory import BLOCK
from rootloom.training import feed, parallel, resident
from rootloom.training.feed import Batches, Resident
from rootloom.training.loop import Result, fit
from rootloom.training.options import TrainingOptions
from rootloom.training.step import pick
from rootloom.types import TARGET, Batch, Ragged

pytestmark = pytest.mark.usefixtures("strict")

OPTIONS = TrainingOptions(
    batch_size=32, epochs=3, learning_rate=5e-3, log_every=4, tensorboard=False
)
TARGETS = ("a", "b")
ROWS = 300  # ten batches, the last one partial


@dataclass(frozen=True)
class Points(PlainFeatures):
    same_shape: ClassVar[bool] = True


def loader(rows: int = ROWS, devices: int = 1, **options: Any) -> Memory:
    return Memory(points(rows), Points(), 32, devices=devices, **options)


def train(
    directory: Path,
    options: TrainingOptions = OPTIONS,
    *,
    training: Batches | None = None,
    devices: int = 1,
    **model: Any,
) -> Result:
    """Fit a network with dropout to points."""
    validation = Memory(points(100, seed=9), Points(), 64, devices=devices, shuffle=False)
    task = point_task(**{"hidden": (16,), "dropout": 0.1, **model})
    training = training or loader(devices=devices)
    return fit(task, training, validation, options, directory, fingerprint="run", progress=False)


def same(a: Any, b: Any) -> bool:
    return all(jax.tree.leaves(jax.tree.map(lambda x, y: bool((x == y).all()), a, b)))


def close(a: Result, b: Result) -> None:
    """The same to rounding: XLA may add up in another order inside a loop."""
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), a.params, b.params)
    for one, other in zip(a.history, b.history, strict=True):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-6)


def log(directory: Path) -> list[dict[str, Any]]:
    """Lines of the log, without the shares of time that were waited."""
    lines = (directory / "log.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "waiting"} for line in lines]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return train(tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Steps of every call on resident rows."""
    made: list[int] = []

    def noted(self: Resident, order: Any, first: int, count: int, state: Any) -> Any:
        made.append(count)
        return run(self, order, first, count, state)

    run = Resident._run
    monkeypatch.setattr(Resident, "_run", noted)
    return made


def settled(batches: Batches, devices: int = 1, most: int = 1 << 30) -> Batch:
    found = resident.place_on_devices(batches, devices, most, lambda: None)
    assert not isinstance(found, str), found
    return found[0]


@pytest.mark.parametrize("devices", [1, 8])
@pytest.mark.parametrize("rows", [1, BLOCK, ROWS])
def test_the_batches_are_those_that_would_be_sent(rows: int, devices: int) -> None:
    batches = loader(rows, devices, seed=4)
    placed = settled(batches, devices)
    way = Resident(batches, placed, lambda state, batch: (state, {}), updates=True)
    chosen, order = parallel.on_every_device(pick), way._order(2)
    for number, batch in enumerate(batches.epoch(2)):
        found = chosen(placed, order, np.full(devices, number, np.int32))
        for mine, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(batch), strict=True):
            assert mine.dtype == theirs.dtype
            np.testing.assert_array_equal(np.asarray(mine), theirs)


def test_what_all_rows_have_in_common_is_kept_once() -> None:
    columns = points(ROWS)
    columns["weight"] = np.ones(ROWS, np.float32)
    batches = Memory(columns, Points(), 32)
    kept = {leaf.shape[1] for leaf in (settled(batches).inputs.mask, settled(batches).weight)}
    assert kept == {1}
    columns["weight"][ROWS - 1] = 2.0  # seen in the last block only
    late = settled(batches)
    assert late.inputs.mask.shape == (1, 1, 4)
    np.testing.assert_array_equal(np.asarray(late.weight)[0, :ROWS], columns["weight"])
    columns["x"][:, 1] = 0.0
    columns["x"] = columns["x"][:, 1:2].copy()
    columns["x"][7] = -0.0
    signs = np.asarray(settled(batches).inputs.x)[0, :ROWS, 0]
    assert np.flatnonzero(np.signbit(signs)).tolist() == [7]


def test_rows_that_need_more_than_the_room_are_sent(tmp_path: Path, calls: list[int]) -> None:
    blocks = -(-ROWS // BLOCK)
    need = blocks * BLOCK * 4 * (4 + 1 + 1 + 2)  # x, target, weight, identity; no mask
    for devices in (1, 8):  # eight on one CPU share its memory
        batches = loader(devices=devices)
        why = resident.place_on_devices(batches, devices, devices * need - 1, lambda: None)
        assert isinstance(why, str)
        assert "resident_bytes" in why
        found = resident.place_on_devices(batches, devices, devices * need, lambda: None)
        assert not isinstance(found, str), found
        assert found[1] == devices * need
    small = train(tmp_path / "small", replace(OPTIONS, resident_bytes=need - 1))
    assert sum(calls) == 3 * 2  # the validation's alone
    calls.clear()
    large = train(tmp_path / "large", replace(OPTIONS, resident_bytes=need))
    assert sum(calls) == 3 * 10
    close(small, large)


def test_inputs_of_other_shapes_and_convolutions_on_a_cpu_are_sent(
    tmp_path: Path, calls: list[int]
) -> None:
    ragged = Memory(points(ROWS), PlainFeatures(), 32)
    assert resident.place_on_devices(ragged, 1, 1 << 30, lambda: None) == "their shapes differ"
    example = Memory(images(8, 12), PlainImage(), 8).batch(np.arange(8))
    cnn = Classification(CNN(filters=(4,), kernels=(3,), pools=(2,)), PlainImage(), {}, ("b", "s"))
    assert resident.reason_to_stream(cnn, example)
    assert not resident.reason_to_stream(point_task(hidden=(4,)), loader().batch(np.arange(8)))


def showers(rows: int, seed: int) -> tuple[dict[str, Any], CalorimeterCells]:
    rng = np.random.default_rng(seed)
    cells = CalorimeterCells(layers=((4, 4),), keep_bits=23)
    counts = rng.integers(1, 9, rows)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    number = np.concatenate([np.sort(rng.choice(16, n, replace=False)) for n in counts])
    deposit = rng.exponential(2.0, offsets[-1]).astype(np.float32)
    columns = cells.encode(
        {
            "cells.id": Ragged(number, offsets),
            "cells.energy": Ragged(deposit, offsets),
            "energy": np.add.reduceat(deposit, offsets[:-1]).astype(np.float32),
        }
    )
    common = points(rows, seed)
    del common["x"]
    return {**common, **columns, "label": np.zeros(rows, np.int32)}, cells


@dataclass(frozen=True)
class Case:
    task: Any
    training: Memory
    validation: Memory


class Targets(Memory):
    targets = ("a", "b")


def case(kind: str, devices: int) -> Case:
    """Each task on rows of one shape; the last batch of an epoch is partial."""
    if kind == "adversarial":
        cells = showers(8, 0)[1]
        small = {"latent": 4, "depth": 2, "kernels": 2, "dimensions": 1, "group": 2}
        task: Any = Adversarial(CaloGAN(layers=cells.layers, **small), cells, {}, ("eplus",))
        return Case(task, *pair(lambda rows, seed: showers(rows, seed)[0], cells, devices))
    if kind == "regression":
        unit = SimpleNamespace(mean=np.zeros(1), std=np.ones(1))
        moments = {f"{TARGET}{name}": unit for name in TARGETS}
        task = Regression(DNN(hidden=(8,)), Points(), moments, TARGETS)
        return Case(task, *pair(with_targets, Points(), devices, targets=TARGETS))
    task = point_task(hidden=(16,), dropout=0.1)
    return Case(task, *pair(points, Points(), devices))


def pair(columns: Any, representation: Any, devices: int, **options: Any) -> list[Memory]:
    given = {"devices": devices, "seed": 3, **options}
    return [
        Memory(columns(ROWS, 0), representation, 32, **given),
        Memory(columns(100, 9), representation, 32, shuffle=False, **given),
    ]


def with_targets(rows: int, seed: int) -> dict[str, Any]:
    columns = points(rows, seed)
    x = columns["x"]
    values = (x[:, 0] * x[:, 1], x[:, 2] ** 2)
    names = (AUXILIARY + TARGET + name for name in TARGETS)
    return {**columns, **dict(zip(names, values, strict=True))}


@pytest.mark.parametrize("devices", [1, 8])
@pytest.mark.parametrize("kind", ["classification", "regression", "adversarial"])
def test_resident_rows_train_as_sent_ones_do(
    tmp_path: Path, calls: list[int], kind: str, devices: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resident, "_convolves", lambda task, example: False)
    options = replace(OPTIONS, optimizer="sgd", epochs=2, weight_decay=1e-3, clip_norm=1.0)
    if kind == "adversarial":  # two networks that chase each other amplify rounding
        options = replace(options, learning_rate=1e-4, epochs=1)
    results = []
    for name, given in (("sent", replace(options, resident_bytes=0)), ("kept", options)):
        one = case(kind, devices)
        calls.clear()
        results.append(
            fit(
                one.task,
                one.training,
                one.validation,
                given,
                tmp_path / name,
                fingerprint="",
                progress=False,
            )
        )
    assert sum(calls) == options.epochs * (10 + 4)
    close(*results)
    for mine, theirs in zip(log(tmp_path / "sent"), log(tmp_path / "kept"), strict=True):
        assert mine.pop("split") == theirs.pop("split")
        assert mine == pytest.approx(theirs, rel=1e-4, abs=1e-6)


def test_the_bits_do_not_depend_on_where_calls_end(
    tmp_path: Path, undisturbed: Result, calls: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for seconds, longest in ((0.0, 1), (1e3, 10)):
        calls.clear()
        monkeypatch.setattr(feed, "_CALL_SECONDS", seconds)
        result = train(tmp_path / str(longest))
        assert max(calls) == longest
        assert same(result.params, undisturbed.params)
        assert result.history == undisturbed.history
    often = replace(OPTIONS, checkpoint_every_steps=7, keep_checkpoints=9)
    calls.clear()
    result = train(tmp_path / "often", often)
    assert same(result.params, undisturbed.params)
    steps = [int(path.stem.partition("-")[2]) for path in (tmp_path / "often").glob("step-*")]
    assert sorted(steps) == [7, 14, 21, 28, 30]


def test_a_signal_within_an_epoch_saves_and_leaves_and_the_rest_is_the_same(
    tmp_path: Path, undisturbed: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def interrupted(self: Resident, order: Any, first: int, count: int, state: Any) -> Any:
        seen.append(first)
        if len(seen) == 9:
            os.kill(os.getpid(), signal.SIGTERM)
        return run(self, order, first, count, state)

    run = Resident._run
    monkeypatch.setattr(feed, "_CALL_SECONDS", 0.0)
    monkeypatch.setattr(Resident, "_run", interrupted)
    with pytest.raises(Preempted, match="SIGTERM at step 9"):
        train(tmp_path)
    monkeypatch.undo()
    result = train(tmp_path)
    assert same(result.params, undisturbed.params)
    assert result.history == undisturbed.history
    steps = [line["step"] for line in log(tmp_path) if line["split"] == "training"]
    assert steps == list(range(4, 31, 4))


def test_killed_between_checkpoints_it_ends_with_the_same_bits(
    tmp_path: Path, undisturbed: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(self: Resident, order: Any, first: int, count: int, state: Any) -> Any:
        if int(np.asarray(state.step)[0] if hasattr(state, "step") else 0) >= 16:
            raise InterruptedError
        return run(self, order, first, count, state)

    run = Resident._run
    monkeypatch.setattr(Resident, "_run", killed)
    often = replace(OPTIONS, checkpoint_every_steps=3)
    with pytest.raises(InterruptedError):
        train(tmp_path, often)
    monkeypatch.undo()
    result = train(tmp_path, often)
    assert same(result.params, undisturbed.params)
    assert result.history == undisturbed.history


def test_a_signal_while_rows_are_placed_is_heard(tmp_path: Path, undisturbed: Result) -> None:
    class Interrupting(Memory):
        read = 0

        def _blocks(self) -> Generator[Batch]:
            for block in super()._blocks():
                self.read += 1
                if self.read == 3:
                    os.kill(os.getpid(), signal.SIGTERM)
                yield block

    training = Interrupting(points(ROWS), Points(), 32)
    with pytest.raises(Preempted, match="SIGTERM at step 0"):
        train(tmp_path, training=training)
    assert training.read == 3
    assert same(train(tmp_path).params, undisturbed.params)


def test_a_loss_that_is_not_finite_names_step_and_rows(tmp_path: Path) -> None:
    batches = loader()
    batches.columns["x"][123, 2] = np.nan
    order = batches.order(0)
    step = int(np.flatnonzero(order == 123)[0]) // 32 + 1
    assert step > 1
    found = {}
    for name, room in (("sent", 0), ("kept", 1 << 30)):
        options = replace(
            OPTIONS, log_every=1000, checkpoint_every_steps=step - 1, resident_bytes=room
        )
        with pytest.raises(TrainingError) as error:
            train(tmp_path / name, options, training=batches)
        found[name] = str(error.value).replace(str(tmp_path / name), "")
    shown = [f"{i:016x}" for i in batches.columns["id"][order[(step - 1) * 32 : step * 32]]]
    assert found["kept"].startswith(f"training step {step}\n")
    assert shown[0] in found["kept"]
    assert f"({len(shown)} rows)" in found["kept"]
    assert f"step-{step - 1:012d}.safetensors" in found["kept"]
    assert found["kept"] == found["sent"]


def test_histograms_are_of_the_steps_they_name(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = []
    for room in (0, 1 << 30):
        options = replace(
            OPTIONS, epochs=2, tensorboard=True, histograms_every=6, resident_bytes=room
        )
        train(tmp_path / str(room), options)
        events = accumulator.EventAccumulator(
            str(tmp_path / str(room) / "tensorboard"), {"histograms": 0}
        )
        events.Reload()
        series = events.Histograms("gradients/backbone/Dense_0/kernel")
        found.append([(event.step, event.histogram_value.sum) for event in series])
    assert [step for step, _ in found[0]] == [0, 6, 12, 18]
    assert dict(found[1]) == pytest.approx(dict(found[0]), rel=1e-4, abs=1e-5)
