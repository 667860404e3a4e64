"""The one training loop: it knows neither the model nor the task."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypeVar

import jax
import numpy as np

from rootloom.errors import ConfigError, nearest
from rootloom.models.normalisation import learnt
from rootloom.tasks.base import Params, Task
from rootloom.training import optimizer as optimizers
from rootloom.training import parallel, resident, signals, tensors, trained
from rootloom.training.checkpoint import Checkpoints
from rootloom.training.feed import Batches, Chunk, Feed, Resident, Streamed
from rootloom.training.meter import Meter
from rootloom.training.options import TrainingOptions
from rootloom.training.run import Run, Setup, begin, first_batch
from rootloom.training.state import TrainState
from rootloom.training.step import Step

T = TypeVar("T")  # a state that steps change, or parameters that they evaluate


def fit(
    task: Task,
    training: Batches,
    validation: Batches,
    options: TrainingOptions,
    directory: str | Path,
    *,
    fingerprint: str,
    progress: bool = True,
) -> Result:
    """Train until the last epoch or early stopping, from the newest checkpoint if there is one.

    directory: keeps checkpoints and logs of the run that `fingerprint` names. Raises Preempted
    after SIGTERM or SIGUSR1, once a checkpoint is written; TrainingError when the loss is not
    finite or a checkpoint is another run's; ConfigError for an unknown monitored metric.
    """
    with _running(task, training, validation, options, directory, fingerprint, progress) as run:
        feeds = None if run.over else _feeds(run)
        while feeds and not run.over:
            _train_epoch(run, feeds.training)
            metrics = _validate(run, feeds.validation)
            _log_validation(run, metrics)
            _keep_best(run, metrics)
            _end_epoch(run, metrics)
            if not run.over:
                run.save_or_leave()
        run.save()
        return _result(run)


def keep(
    task: Task,
    training: Batches,
    validation: Batches,
    options: TrainingOptions,
    params: Params,
    directory: str | Path,
    *,
    fingerprint: str,
    progress: bool = True,
) -> Result:
    """Validate given parameters and train nothing: the result of no step.

    params: on the host. Others as of `fit`. Raises TrainingError for parameters that do not fit the
    task, Preempted after SIGTERM or SIGUSR1.
    """
    options = replace(options, epochs=1)
    with _running(
        task, training, validation, options, directory, fingerprint, progress, params
    ) as run:
        metrics = _validate(run, Streamed(validation, run.steps.evaluate, updates=False))
        _keep_best(run, metrics)
        _end_epoch(run, metrics)
        return _result(run)


@contextmanager
def _running(
    task: Task,
    training: Batches,
    validation: Batches,
    options: TrainingOptions,
    directory: str | Path,
    fingerprint: str,
    progress: bool,
    params: Params | None = None,
) -> Iterator[Run]:
    """A run at its newest checkpoint, or before its first step, for as long as it goes on.

    params: to begin with; None: as the task initialises them. Others as of `fit`.
    """
    with signals.watch() as interrupt:
        task = task.cast(options.precision)
        setup = Setup(task, training, validation, options, first_batch(validation))
        _check_monitor(setup)
        if params is not None:
            trained.check(task, params, jax.tree.map(lambda x: x[0], setup.example))
        checkpoints = Checkpoints(Path(directory), fingerprint, options.keep_checkpoints)
        run = begin(setup, checkpoints, interrupt, progress=progress, params=params)
        with closing(run.session.log):
            yield run


@dataclass(frozen=True)
class Result:
    """params: of the best epoch, on the host. history: metrics of every epoch.

    epochs: how many there were, of `planned`.
    seconds: wall clock over all sessions; waiting: share of it spent waiting for input.
    """

    params: Params
    history: list[dict[str, float]]
    best_epoch: int
    epochs: int
    steps: int
    parameters: int
    seconds: float
    waiting: float
    stopped: str
    planned: int

    def summary(self) -> dict[str, float | str]:
        """How the training went, and the best epoch's metrics, as JSON data."""
        names = (
            "parameters", "seconds", "waiting",
            "best_epoch", "epochs", "planned", "steps", "stopped",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names} | self.history[self.best_epoch]

    def history_lines(self) -> str:
        """One JSON object an epoch, in their order, and a last one for the whole training."""
        lines = [{"epoch": epoch, **metrics} for epoch, metrics in enumerate(self.history)]
        return "".join(f"{json.dumps(line)}\n" for line in [*lines, self.summary()])


# A metric of a split: a number, or a matrix that is shown as an image.
_Metrics: TypeAlias = Mapping[str, float | np.ndarray]


def _check_monitor(setup: Setup) -> None:
    """Refuse an unknown metric before the first epoch is spent on it."""
    task, monitor = setup.task, setup.options.early_stopping.monitor
    local = jax.tree.map(lambda x: x[0], setup.example)

    def of_examples(key: jax.Array) -> dict[str, jax.Array]:
        return task.loss(task.init(key, local), local, key, train=False)[1]

    shapes = jax.eval_shape(of_examples, jax.random.key(0))
    metrics = task.summary({name: np.zeros(value.shape[1:]) for name, value in shapes.items()})
    known = ["loss", *_numbers(metrics)]
    if monitor not in known:
        raise ConfigError(
            "training.early_stopping.monitor",
            expected="loss, or a metric of the task",
            found=f"'{monitor}'",
            fix=nearest(monitor, known),
        )


class _Feeds(NamedTuple):
    training: Feed[TrainState]
    validation: Feed[Params]


def _feeds(run: Run) -> _Feeds:
    """How batches come: rows stay on the devices where they fit and that is of use."""
    setup, room = run.setup, run.setup.options.resident_bytes
    why = resident.reason_to_stream(setup.task, setup.example) if room else "resident_bytes is 0"
    training, taken = _feed(run, setup.training, run.steps.update, room, why, updates=True)
    validation, _ = _feed(
        run, setup.validation, run.steps.evaluate, room - taken, why, updates=False
    )
    return _Feeds(training, validation)


def _feed(
    run: Run, batches: Batches, step: Step[T], room: int, why: str, *, updates: bool
) -> tuple[Feed[T], int]:
    """A split's feed, and what it takes of `room`, in bytes. why: its batches must be sent."""
    devices, progress = len(run.setup.example.weight), run.session.progress
    held = why or resident.place_on_devices(batches, devices, room, run.leave_if_agreed)
    rows = f"{batches.rows:,} {'training' if updates else 'validation'} rows"
    if isinstance(held, str):
        progress.note(f"{rows} are sent batch by batch: {held}")
        return Streamed(batches, step, updates=updates), 0
    placed, taken = held
    progress.note(f"{rows} stay on the device: {taken / 1e6:.1f} MB")
    return Resident(batches, placed, step, updates=updates), taken


def _train_epoch(run: Run, feed: Feed[TrainState]) -> None:
    """What is left of the epoch's steps."""
    place, every, logged = run.position, run.setup.options.log_every, run.step
    with closing(feed.epoch(place.epoch, place.batch, partial(_steps_in_a_row, run))) as chunks:
        for chunk in chunks:
            _log_histograms(run, chunk)
            run.state, sums = chunk.run(run.state)
            run.meter.add(run.step + 1, chunk.steps, chunk.rows, sums)
            run.step += chunk.steps
            place.batch += chunk.steps
            for step in range(logged // every * every + every, run.step + 1, every):
                _log_training(run, step, step - logged)
                logged = step
            if place.batch < run.setup.steps_per_epoch:
                run.save_or_leave()
    run.collect()
    run.session.progress.advance(run.step - logged, f"epoch {place.epoch + 1}")


def _steps_in_a_row(run: Run) -> int:
    """Steps until one at which there is more to do than to note its sums."""
    options = run.setup.options
    every = (options.checkpoint_every_steps, options.histograms_every)
    return min((n - run.step % n for n in every if n), default=sys.maxsize)


def _log_histograms(run: Run, chunk: Chunk[TrainState]) -> None:
    every = run.setup.options.histograms_every
    if not every or run.step % every:
        return
    gradients, _ = run.steps.gradient(run.state, chunk.first())
    for group, tree in (("gradients", gradients), ("weights", run.state.params)):
        arrays = tensors.flatten(parallel.first(tree), group)
        run.session.log.histograms(run.step, arrays)


def _log_training(run: Run, step: int, since: int) -> None:
    """Means of the epoch up to `step`, the last of `since` new ones."""
    run.collect(step)
    means, place = _numbers(run.meter.means()), run.position
    run.tick()
    extra = {
        "learning_rate": float(run.steps.learning_rate(step)),
        "waiting": place.waited / max(place.seconds, 1e-9),
    }
    run.session.log.scalars("training", step, {**means, **extra})
    run.session.progress.advance(
        since,
        f"epoch {place.epoch + 1}/{run.setup.options.epochs} "
        f"batch {place.batch}/{run.setup.steps_per_epoch} loss {means['loss']:.4f}",
    )


def _validate(run: Run, feed: Feed[Params]) -> _Metrics:
    """The validation split's loss and the task's metrics."""
    meter, number = Meter("validation batch"), 0
    with closing(feed.epoch(0, 0, lambda: sys.maxsize)) as chunks:
        for chunk in chunks:
            _, sums = chunk.run(optimizers.kept(run.state))
            meter.add(number, chunk.steps, chunk.rows, sums)
            number += chunk.steps
            run.leave_if_agreed()  # the epoch's validation begins anew
    meter.collect()
    means = meter.means()
    return {"loss": means["loss"], **run.setup.task.summary(means)}


def _log_validation(run: Run, metrics: _Metrics) -> None:
    log = run.session.log
    log.scalars("validation", run.step, {"epoch": run.position.epoch, **_numbers(metrics)})
    for name, value in metrics.items():
        if np.ndim(value) == 2:
            log.matrix("validation", run.step, name, np.asarray(value))


def _keep_best(run: Run, metrics: _Metrics) -> None:
    """Keep the parameters if the monitored metric is the best one so far."""
    place, rule = run.position, run.setup.options.early_stopping
    value = float(metrics[rule.monitor])
    cost = value if rule.goal == "lowest" else -value
    cost = math.inf if math.isnan(cost) else cost
    if place.best_epoch < 0 or cost < place.best_value - rule.minimum_gain:
        run.best = parallel.first(optimizers.kept(run.state))
        place.best_epoch, place.best_value, place.stale = place.epoch, cost, 0
    else:
        place.stale += 1


def _end_epoch(run: Run, metrics: _Metrics) -> None:
    """Note the epoch's metrics and stand before the next one."""
    place, numbers, training = run.position, _numbers(metrics), _numbers(run.meter.means())
    place.history.append({f"training_{n}": v for n, v in training.items()} | numbers)
    place.epoch, place.batch, place.sums = place.epoch + 1, 0, {}
    run.meter.reset()
    shown = ", ".join(f"{name} {value:.4f}" for name, value in numbers.items())
    taught = f"training loss {training['loss']:.4f}, " if training else ""  # none of given weights
    run.session.progress.note(
        f"epoch {place.epoch}/{run.setup.options.epochs}  {taught}validation {shown}"
    )
    run.tick()


def _result(run: Run) -> Result:
    place, options = run.position, run.setup.options
    early = place.epoch < options.epochs
    if early:
        run.session.progress.note(
            f"stopped early after epoch {place.epoch} of {options.epochs}: best epoch "
            f"{place.best_epoch + 1}, patience {options.early_stopping.patience}",
            last=True,
        )
    assert run.best is not None  # the first epoch is the best one so far
    return Result(
        params=run.best,
        history=place.history,
        best_epoch=place.best_epoch,
        epochs=place.epoch,
        steps=run.step,
        parameters=sum(leaf.size for leaf in learnt(run.best)),
        seconds=place.seconds,
        waiting=place.waited / max(place.seconds, 1e-9),
        stopped="no more gain" if early else "last epoch",
        planned=options.epochs,
    )


def _numbers(metrics: _Metrics) -> dict[str, float]:
    """The metrics that are numbers, without matrices."""
    return {name: float(value) for name, value in metrics.items() if np.ndim(value) == 0}
