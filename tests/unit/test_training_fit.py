"""The loop: it learns, repeats itself to the bit, survives being killed, and stops when it must."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from tests.learnable import Memory, PlainFeatures, point_task, points

from rootloom.cluster.running import Preempted
from rootloom.errors import ConfigError, TrainingError
from rootloom.training import signals
from rootloom.training.loop import Result, fit
from rootloom.training.options import EarlyStopping, Schedule, TrainingOptions
from rootloom.training.progress import Progress
from rootloom.types import Batch

pytestmark = pytest.mark.usefixtures("strict")

OPTIONS = TrainingOptions(
    batch_size=32, epochs=3, learning_rate=5e-3, log_every=4, tensorboard=False
)


class Hooked(Memory):
    """Calls `hook(epoch, batch)` before it yields each batch."""

    hook: Callable[[int, int], None]

    def epoch(self, epoch: int, start_batch: int = 0) -> Generator[Batch]:
        for number, batch in enumerate(super().epoch(epoch, start_batch), start_batch):
            self.hook(epoch, number)
            yield batch


def train(
    directory: Path,
    options: TrainingOptions = OPTIONS,
    *,
    rows: int = 300,
    hook: Callable[[int, int], None] = lambda epoch, batch: None,
    fingerprint: str = "run",
    columns: dict[str, Any] | None = None,
    progress: bool = False,
    **model: Any,
) -> Result:
    """Fit a network with dropout to points; the last batch of an epoch is a partial one."""
    columns = points(rows) if columns is None else columns
    training = Hooked(columns, PlainFeatures(), options.batch_size)
    training.hook = hook
    validation = Memory(points(100, seed=9), PlainFeatures(), 64, shuffle=False)
    task = point_task(**{"hidden": (16,), "dropout": 0.1, **model})
    return fit(
        task, training, validation, options, directory, fingerprint=fingerprint, progress=progress
    )


def same(a: Any, b: Any) -> bool:
    return all(jax.tree.leaves(jax.tree.map(lambda x, y: bool((x == y).all()), a, b)))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return train(tmp_path_factory.mktemp("undisturbed"))


def test_a_network_learns(tmp_path: Path) -> None:
    result = train(tmp_path, replace(OPTIONS, epochs=10), rows=1000)
    assert result.history[-1]["auc"] > 0.9
    assert result.history[-1]["loss"] < result.history[0]["loss"] < 1
    assert result.epochs == 10
    assert result.steps == 10 * 32
    assert result.parameters == 4 * 16 + 16 + 16 + 1
    assert result.stopped == "last epoch"
    summary = json.loads(json.dumps(result.summary()))
    assert summary["auc"] == result.history[result.best_epoch]["auc"]
    assert len(result.history_lines().splitlines()) == 11


def test_without_hidden_layers_it_is_logistic_regression(tmp_path: Path) -> None:
    columns = points(400)
    options = TrainingOptions(
        batch_size=400,
        epochs=300,
        learning_rate=0.1,
        schedule=Schedule("cosine"),
        early_stopping=EarlyStopping(patience=None),
        checkpoint_every_minutes=60,
        tensorboard=False,
    )
    validation = Memory(columns, PlainFeatures(), 400, shuffle=False)
    task = point_task(hidden=())
    result = fit(task, validation, validation, options, tmp_path, fingerprint="", progress=False)
    oracle = LogisticRegression(C=np.inf, tol=1e-8)
    oracle.fit(columns["x"], columns["label"], sample_weight=columns["weight"])
    head = result.params["head"]
    np.testing.assert_allclose(head["kernel"][:, 0], oracle.coef_[0], atol=2e-3)
    np.testing.assert_allclose(head["bias"], oracle.intercept_, atol=2e-3)


def test_two_runs_are_identical_and_seeds_differ(tmp_path: Path, undisturbed: Result) -> None:
    assert same(train(tmp_path / "again").params, undisturbed.params)
    other = train(tmp_path / "other", replace(OPTIONS, seed=1))
    assert not same(other.params, undisturbed.params)


def test_what_is_logged_and_printed_changes_no_bit(
    tmp_path: Path, undisturbed: Result, capsys: pytest.CaptureFixture[str]
) -> None:
    options = replace(OPTIONS, tensorboard=True, log_every=1, histograms_every=2)
    assert same(train(tmp_path, options, progress=True).params, undisturbed.params)
    assert "epoch" in capsys.readouterr().err


def test_an_average_is_validated_and_kept_and_changes_no_step(
    tmp_path: Path, undisturbed: Result
) -> None:
    averaged = train(tmp_path, replace(OPTIONS, average=0.9))
    for one, two in zip(undisturbed.history, averaged.history, strict=True):
        assert one["training_loss"] == two["training_loss"]
        assert one["loss"] != two["loss"]
    assert not same(undisturbed.params, averaged.params)

    # Interrupted, it goes on with the average that it had.
    def interrupt(epoch: int, batch: int) -> None:
        if (epoch, batch) == (1, 3):
            os.kill(os.getpid(), signal.SIGTERM)

    options = replace(OPTIONS, average=0.9)
    with pytest.raises(Preempted):
        train(tmp_path / "again", options, hook=interrupt)
    assert same(train(tmp_path / "again", options).params, averaged.params)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_saves_and_leaves_and_the_rest_is_the_same(
    tmp_path: Path, undisturbed: Result, number: signal.Signals
) -> None:
    def interrupt(epoch: int, batch: int) -> None:
        if (epoch, batch) == (1, 3):
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    with pytest.raises(Preempted, match=f"{number.name} at step 14"):
        train(tmp_path, hook=interrupt)
    assert signal.getsignal(number) == before
    seen: list[tuple[int, int]] = []
    result = train(tmp_path, hook=lambda *place: seen.append(place))
    assert seen[0] == (1, 4)
    assert same(result.params, undisturbed.params)
    assert result.history == undisturbed.history
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in log if line["split"] == "training"]
    assert steps == list(range(4, 31, 4))


def test_a_signal_during_validation_does_not_wait_for_its_end(
    tmp_path: Path, undisturbed: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def epoch(self: Memory, epoch: int, start_batch: int = 0) -> Generator[Batch]:
        for number, batch in enumerate(whole(self, epoch, start_batch)):
            if self.rows == 100:
                seen.append(number)
            if seen == [0, 0, 1, 0]:  # an example for the shapes, the first epoch's, the second's
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch

    whole = Memory.epoch
    monkeypatch.setattr(Memory, "epoch", epoch)
    with pytest.raises(Preempted, match="SIGTERM at step 20"):
        train(tmp_path)
    assert seen == [0, 0, 1, 0]
    monkeypatch.undo()
    result = train(tmp_path)
    assert same(result.params, undisturbed.params)
    assert result.history == undisturbed.history


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_outside_the_loop_ends_at_once(number: signal.Signals) -> None:
    def signalled() -> None:
        with signals.leave_at_once():
            os.kill(os.getpid(), number)
            time.sleep(60)
            raise AssertionError

    before = signal.getsignal(number)
    with pytest.raises(Preempted, match=number.name):
        signalled()
    assert signal.getsignal(number) == before


def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    tmp_path: Path, undisturbed: Result, caplog: pytest.LogCaptureFixture
) -> None:
    def stop(epoch: int, batch: int) -> None:
        if (epoch, batch) == (1, 5):
            raise InterruptedError

    often = replace(OPTIONS, checkpoint_every_steps=5)
    with pytest.raises(InterruptedError):
        train(tmp_path, often, hook=stop)
    files = sorted(tmp_path.glob("step-*"))
    assert [file.name for file in files] == [
        "step-000000000010.safetensors",
        "step-000000000015.safetensors",
    ]
    files[1].write_bytes(files[1].read_bytes()[:-1])
    result = train(tmp_path, often)
    assert same(result.params, undisturbed.params)
    assert result.history == undisturbed.history
    assert "damaged checkpoint" in caplog.text
    assert files[1].name in caplog.text


def test_checkpoints_of_other_runs_are_refused(tmp_path: Path) -> None:
    train(tmp_path)
    with pytest.raises(TrainingError, match="one of run run"):
        train(tmp_path, fingerprint="another")
    with pytest.raises(TrainingError, match="Dense_0"):
        train(tmp_path, hidden=(17,))


def test_a_finished_run_returns_without_training(tmp_path: Path, undisturbed: Result) -> None:
    train(tmp_path)

    def never(epoch: int, batch: int) -> None:
        raise AssertionError

    result = train(tmp_path, hook=never)
    assert same(result.params, undisturbed.params)
    assert result.history == undisturbed.history


CHILD = """
import sys, time
from pathlib import Path
import numpy as np
from tests.unit.test_training_fit import OPTIONS, train
from rootloom.training import tensors
from dataclasses import replace
directory, pause = Path(sys.argv[1]), float(sys.argv[2])
options = replace(OPTIONS, checkpoint_every_steps=3)
result = train(directory, options, hook=lambda epoch, batch: time.sleep(pause))
tensors.write(directory / "result", tensors.flatten(result.params, "params"), {})
"""


def test_killed_at_any_moment_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    def start(directory: Path, pause: float) -> subprocess.Popen[bytes]:
        root = Path(__file__).parents[2]
        path = os.pathsep.join([str(root), str(root / "src")])
        environment = {**os.environ, "PYTHONPATH": path}
        command = [sys.executable, "-c", CHILD, str(directory), str(pause)]
        return subprocess.Popen(command, env=environment)

    killed, whole = tmp_path / "killed", tmp_path / "whole"
    other = start(whole, 0.0)
    child = start(killed, 0.1)
    deadline = time.monotonic() + 120
    while not list(killed.glob("step-*12.safetensors")):  # in the second epoch
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    assert not (killed / "result").exists()
    assert start(killed, 0.0).wait() == 0
    assert other.wait() == 0
    assert (killed / "result").read_bytes() == (whole / "result").read_bytes()


def test_a_loss_that_is_not_finite_stops_and_says_where(tmp_path: Path) -> None:
    columns = points(300)
    columns["x"][123, 2] = np.nan
    options = replace(OPTIONS, checkpoint_every_steps=1, epochs=1)
    order = np.random.Generator(np.random.Philox(key=[0, 0])).permutation(300)
    step = int(np.flatnonzero(order == 123)[0]) // 32 + 1
    options = replace(options, log_every=1000, checkpoint_every_steps=step - 1)
    with pytest.raises(TrainingError) as error:
        train(tmp_path, options, columns=columns)
    message = str(error.value)
    assert message.startswith(f"training step {step}\n")
    shown = [f"{i:016x}" for i in columns["id"][order[(step - 1) * 32 : step * 32]]]
    assert shown[0] in message
    assert f"({len(shown)} rows)" in message
    assert f"step-{step - 1:012d}.safetensors" in message
    assert [path.name for path in tmp_path.glob("step-*")] == [f"step-{step - 1:012d}.safetensors"]


def test_it_stops_early_and_returns_the_best_parameters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    monkeypatch.setattr(Progress, "note", lambda self, text, **_: notes.append(text))
    columns = points(60)
    columns["label"] = np.random.default_rng(0).permutation(columns["label"])
    options = replace(
        OPTIONS, epochs=50, learning_rate=0.03, early_stopping=EarlyStopping(patience=3)
    )
    result = train(tmp_path, options, columns=columns, hidden=(64,), dropout=0.0)
    losses = [figures["loss"] for figures in result.history]
    assert (result.stopped, result.planned) == ("no more gain", 50)
    assert result.best_epoch == int(np.argmin(losses)) == len(losses) - 4
    ended, best = len(losses), len(losses) - 3
    assert notes[-1] == f"stopped early after epoch {ended} of 50: best epoch {best}, patience 3"
    validation = Memory(points(100, seed=9), PlainFeatures(), 100).batch(np.arange(100))
    local = jax.tree.map(lambda x: x[0], validation)
    task = point_task(hidden=(64,))
    loss, _ = task.loss(result.params, local, jax.random.key(0), train=False)
    mean = np.average(loss, weights=local.weight)
    assert mean == pytest.approx(min(losses), rel=1e-5)


def test_a_gain_below_the_smallest_one_is_none(tmp_path: Path, undisturbed: Result) -> None:
    """Two small gains are one large one: each epoch is compared with the best one kept."""
    first, second, third = (figures["loss"] for figures in undisturbed.history)
    both, larger = first - third, max(first - second, second - third)
    assert both > 1.1 * larger > 0
    for gain, best in ((1.05 * larger, 2), (1.05 * both, 0)):
        rule = EarlyStopping(patience=None, minimum_gain=gain)
        found = train(tmp_path / str(best), replace(OPTIONS, early_stopping=rule))
        assert found.history == undisturbed.history
        assert found.best_epoch == best
        assert same(found.params, undisturbed.params) == (best == 2)
    rule = EarlyStopping(patience=1, minimum_gain=1.05 * larger)
    stopped = train(tmp_path / "stopped", replace(OPTIONS, early_stopping=rule))
    assert stopped.epochs == 2
    assert stopped.stopped == "no more gain"


def test_a_figure_that_grows_can_be_monitored_and_an_unknown_one_is_refused(
    tmp_path: Path,
) -> None:
    rule = EarlyStopping(patience=None, monitor="auc", goal="highest")
    result = train(tmp_path / "auc", replace(OPTIONS, early_stopping=rule))
    areas = [figures["auc"] for figures in result.history]
    assert result.best_epoch == int(np.argmax(areas))

    def never(epoch: int, batch: int) -> None:
        raise AssertionError

    rule = EarlyStopping(monitor="aucc")
    with pytest.raises(ConfigError, match="did you mean 'auc'"):
        train(tmp_path / "b", replace(OPTIONS, early_stopping=rule), hook=never)


def test_bfloat16_trains_to_float32_parameters(tmp_path: Path, undisturbed: Result) -> None:
    result = train(tmp_path, replace(OPTIONS, precision="bfloat16"))
    assert {leaf.dtype for leaf in jax.tree.leaves(result.params)} == {np.dtype(np.float32)}
    assert not same(result.params, undisturbed.params)
    assert result.history[-1]["loss"] == pytest.approx(undisturbed.history[-1]["loss"], abs=0.05)


def test_weights_that_cancel_neither_stop_nor_flip_a_step(tmp_path: Path) -> None:
    columns = points(300)
    columns["weight"] = np.where(np.arange(300) % 3 == 0, -0.5, 1.0).astype(np.float32)
    result = train(tmp_path, replace(OPTIONS, epochs=10), columns=columns)
    assert result.history[-1]["auc"] > 0.8


def test_tensorboard_holds_curves_histograms_and_the_confusion_matrix(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    train(tmp_path, replace(OPTIONS, epochs=1, tensorboard=True, histograms_every=5))
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    tags = events.Reload().Tags()
    assert {"training/loss", "validation/auc", "training/learning_rate"} <= set(tags["scalars"])
    assert "validation/confusion" in tags["images"]
    kernel = "backbone/Dense_0/kernel"
    assert {f"weights/{kernel}", f"gradients/{kernel}"} <= set(tags["histograms"])
