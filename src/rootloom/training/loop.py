"""The one training loop: it knows neither the model nor the task."""

from __future__ import annotations

import json
import math
import sys
import time
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import jax
import numpy as np

from rootloom.cluster.running import Preempted
from rootloom.errors import ConfigError, TrainingError, nearest
from rootloom.tasks.base import Task
from rootloom.training import optimizer as optimizers
from rootloom.training import parallel, resident, signals, tensors
from rootloom.training.checkpoint import Checkpoint, Checkpoints
from rootloom.training.feed import Batches, Chunk, Feed, Resident, Streamed
from rootloom.training.leaving import Leaving
from rootloom.training.log import RunLog
from rootloom.training.meter import Meter
from rootloom.training.options import TrainingOptions
from rootloom.training.progress import Progress
from rootloom.training.state import TrainState, initial_params, initial_state
from rootloom.training.step import Step, evaluate_step, gradient, train_step
from rootloom.types import Batch


@dataclass(frozen=True)
class Result:
    """params: of the best epoch, on the host. history: figures of every epoch.

    epochs: how many there were, of `planned`.
    seconds: wall clock over all sessions; waiting: share of it spent waiting for input.
    """

    params: Any
    history: list[dict[str, float]]
    best_epoch: int
    epochs: int
    steps: int
    parameters: int
    seconds: float
    waiting: float
    stopped: str
    planned: int

    def summary(self) -> dict[str, Any]:
        """How the training went, and the best epoch's figures, as JSON data."""
        names = (
            "parameters", "seconds", "waiting",
            "best_epoch", "epochs", "planned", "steps", "stopped",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names} | self.history[self.best_epoch]

    def history_lines(self) -> str:
        """One JSON object an epoch, in their order, and a last one for the whole training."""
        lines = [{"epoch": epoch, **figures} for epoch, figures in enumerate(self.history)]
        return "".join(f"{json.dumps(line)}\n" for line in [*lines, self.summary()])


@dataclass
class _Position:
    """Where a run is; with the state, all that a restart needs. Kept in checkpoints as JSON."""

    epoch: int = 0
    batch: int = 0
    best_epoch: int = -1
    best_value: float = math.inf
    stale: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    sums: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)


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
    finite or a checkpoint is another run's; ConfigError for an unknown monitored figure.
    """
    task = task.cast(options.precision)
    with signals.watch() as interrupt:
        run = _Run(task, training, validation, options, Path(directory), fingerprint, progress)
        run.leaving = Leaving(interrupt)
        try:
            return run.finish()
        finally:
            run.log.close()


class _Run:
    """The state of a training between its methods."""

    leaving: Leaving

    def __init__(
        self,
        task: Task,
        training: Batches,
        validation: Batches,
        options: TrainingOptions,
        directory: Path,
        fingerprint: str,
        progress: bool,
    ) -> None:
        self.task, self.training, self.validation = task, training, validation
        self.options = options
        directory.mkdir(parents=True, exist_ok=True)
        self.checkpoints = Checkpoints(directory, fingerprint, options.keep_checkpoints)
        self.steps_per_epoch = training.batches_per_epoch
        with closing(validation.epoch(0)) as batches:
            self.example = next(batches)
        _check_monitor(task, self.example, options)
        state, self.best, self.position = self._start(self.example)
        self.step = int(state.step)
        self.state = parallel.replicate(state, len(self.example.weight))
        self.meter = Meter("training step", self.position.sums)
        lead = parallel.is_lead()
        self.log = RunLog(directory, self.step, tensorboard=options.tensorboard, lead=lead)
        left = options.epochs * self.steps_per_epoch - self.step
        rows_per_batch = training.rows / max(1, self.steps_per_epoch)
        self.progress = Progress(left, rows_per_batch, enabled=progress and lead)
        self._clock, self._waited = time.monotonic(), training.waited_seconds
        self._saved = time.monotonic()

    def _start(self, example: Batch) -> tuple[TrainState, Any, _Position]:
        params = initial_params(self.task, example, self.options.seed)
        groups = self.task.groups(params)
        rule = optimizers.build(self.options, self.steps_per_epoch, groups)
        self._step: Step = partial(train_step, self.task, rule, self.training.scale)
        self._gradient = parallel.on_every_device(partial(gradient, self.task, self.training.scale))
        self._rate = optimizers.schedule(self.options, self.steps_per_epoch)
        state = initial_state(params, rule, self.options.seed)
        found = self._newest(state)
        if found is None:
            return state, None, _Position()
        return found.state, found.best, _Position(**found.record)

    def _newest(self, state: TrainState) -> Checkpoint | None:
        """The checkpoint to go on from: the lead's choice, as others may see the disk later."""
        if parallel.alone():
            return self.checkpoints.load(state)
        found = self.checkpoints.load(state) if parallel.is_lead() else None
        step = int(parallel.gather(-1 if found is None else int(found.state.step))[0])
        if parallel.is_lead() or step < 0:
            return found
        return self.checkpoints.load_step(state, step)

    def finish(self) -> Result:
        """Epochs until the end; the result holds the best one's parameters."""
        if not self._ended():
            self._settle()
        while not self._ended():
            self._train_epoch()
            self._end_epoch()
            if not self._ended():
                self._pause()
        self._save()
        place, best = self.position, self.best
        early = place.epoch < self.options.epochs
        if early:
            self.progress.note(
                f"stopped early after epoch {place.epoch} of {self.options.epochs}: best epoch "
                f"{place.best_epoch + 1}, patience {self.options.early_stopping.patience}",
                last=True,
            )
        return Result(
            params=best,
            history=place.history,
            best_epoch=place.best_epoch,
            epochs=place.epoch,
            steps=self.step,
            parameters=sum(leaf.size for leaf in jax.tree.leaves(best)),
            seconds=place.seconds,
            waiting=place.waited / max(place.seconds, 1e-9),
            stopped="no more gain" if early else "last epoch",
            planned=self.options.epochs,
        )

    def _ended(self) -> bool:
        patience = self.options.early_stopping.patience
        stopped = patience is not None and self.position.stale >= patience
        return stopped or self.position.epoch >= self.options.epochs

    def _settle(self) -> None:
        """Keep the rows on the devices where they fit and that is of use."""
        room = self.options.resident_bytes
        why = resident.hindrance(self.task, self.example) if room else "resident_bytes is 0"
        evaluate = partial(evaluate_step, self.task)
        self._trainer, room = self._feed(self.training, self._step, room, why, updates=True)
        self._evaluator, _ = self._feed(self.validation, evaluate, room, why, updates=False)

    def _feed(
        self, batches: Batches, step: Step, room: int, why: str, *, updates: bool
    ) -> tuple[Feed, int]:
        """How the batches come, and what is left of the room, in bytes. why: they must be sent."""
        devices = len(self.example.weight)
        found = why or resident.settle(batches, devices, room, self._leave_if_agreed)
        rows = f"{batches.rows:,} {'training' if updates else 'validation'} rows"
        if isinstance(found, str):
            self.progress.note(f"{rows} are sent batch by batch: {found}")
            return Streamed(batches, step, updates=updates), room
        held, taken = found
        self.progress.note(f"{rows} stay on the device: {taken / 1e6:.1f} MB")
        return Resident(batches, held, step, updates=updates), room - taken

    def _train_epoch(self) -> None:
        place, every = self.position, self.options.log_every
        self._logged = self.step
        with closing(self._trainer.epoch(place.epoch, place.batch, self._room)) as chunks:
            for chunk in chunks:
                self._histograms(chunk)
                self.state, sums = chunk.run(self.state)
                self.meter.add(self.step + 1, chunk.steps, chunk.rows, sums)
                self.step += chunk.steps
                place.batch += chunk.steps
                for step in range(self._logged // every * every + every, self.step + 1, every):
                    self._log_steps(step)
                if place.batch < self.steps_per_epoch:
                    self._pause()
        self._collect()
        self.progress.advance(self.step - self._logged, f"epoch {place.epoch + 1}")

    def _room(self) -> int:
        """Steps until one at which there is more to do than to note its sums."""
        every = (self.options.checkpoint_every_steps, self.options.histograms_every)
        return min((n - self.step % n for n in every if n), default=sys.maxsize)

    def _log_steps(self, step: int) -> None:
        self._collect(step)
        means = {n: float(v) for n, v in self.meter.means().items() if v.ndim == 0}
        self._tick()
        extra = {
            "learning_rate": float(self._rate(step)),
            "waiting": self.position.waited / max(self.position.seconds, 1e-9),
        }
        self.log.scalars("training", step, {**means, **extra})
        self.progress.advance(
            step - self._logged,
            f"epoch {self.position.epoch + 1}/{self.options.epochs} "
            f"batch {self.position.batch}/{self.steps_per_epoch} loss {means['loss']:.4f}",
        )
        self._logged = step

    def _histograms(self, chunk: Chunk) -> None:
        every = self.options.histograms_every
        if not every or self.step % every:
            return
        gradients, _ = self._gradient(self.state, chunk.first())
        for group, tree in (("gradients", gradients), ("weights", self.state.params)):
            arrays = tensors.flatten(parallel.first(tree), group)
            self.log.histograms(self.step, arrays)

    def _end_epoch(self) -> None:
        place = self.position
        meter, number = Meter("validation batch"), 0
        with closing(self._evaluator.epoch(0, 0, lambda: sys.maxsize)) as chunks:
            for chunk in chunks:
                meter.add(
                    number, chunk.steps, chunk.rows, chunk.run(optimizers.kept(self.state))[1]
                )
                number += chunk.steps
                self._leave_if_agreed()  # the epoch's validation begins anew
        meter.collect()
        means = meter.means()
        figures = {"loss": means["loss"], **self.task.summary(means)}
        numbers = {n: float(v) for n, v in figures.items() if np.ndim(v) == 0}
        train_means = {n: float(v) for n, v in self.meter.means().items() if v.ndim == 0}
        self.log.scalars("validation", self.step, {"epoch": place.epoch, **numbers})
        for name, value in figures.items():
            if np.ndim(value) == 2:
                self.log.matrix("validation", self.step, name, np.asarray(value))
        place.history.append({f"training_{n}": v for n, v in train_means.items()} | numbers)
        self._judge(numbers[self.options.early_stopping.monitor])
        place.epoch, place.batch, place.sums = place.epoch + 1, 0, {}
        self.meter.reset()
        shown = ", ".join(f"{name} {value:.4f}" for name, value in numbers.items())
        self.progress.note(
            f"epoch {place.epoch}/{self.options.epochs}  "
            f"training loss {train_means['loss']:.4f}, validation {shown}"
        )
        self._tick()

    def _judge(self, value: float) -> None:
        """Keep the parameters if the monitored figure is the best one so far."""
        place, rule = self.position, self.options.early_stopping
        cost = value if rule.goal == "lowest" else -value
        cost = math.inf if math.isnan(cost) else cost
        if place.best_epoch < 0 or cost < place.best_value - rule.minimum_gain:
            self.best = parallel.first(optimizers.kept(self.state))
            place.best_epoch, place.best_value, place.stale = place.epoch, cost, 0
        else:
            place.stale += 1

    def _collect(self, last: int | None = None) -> None:
        try:
            self.meter.collect(last)
        except TrainingError as error:
            paths = self.checkpoints.paths()
            good = str(paths[0]) if paths else "none was written"
            raise TrainingError(
                error.where,
                expected=error.expected,
                found=error.found,
                fix=f"{error.fix}; last good checkpoint: {good}",
            ) from None
        self.position.sums = {n: np.asarray(v).tolist() for n, v in self.meter.sums.items()}

    def _pause(self) -> None:
        """Between two steps: leave when asked to, and save when it is time."""
        self._leave_if_agreed()
        every = self.options.checkpoint_every_steps
        minutes = (time.monotonic() - self._saved) / 60
        if (every and self.step % every == 0) or minutes > self.options.checkpoint_every_minutes:
            self._save()

    def _leave_if_agreed(self) -> None:
        if self.leaving.agreed():
            self._leave()

    def _leave(self) -> NoReturn:
        self._save()
        parallel.meet()  # the first to end would take the others with it, the lead still writing
        raise Preempted(f"{self.leaving.why()} at step {self.step}; the checkpoint is written")

    def _save(self) -> None:
        self._collect()
        self._tick()
        if parallel.is_lead():
            state = parallel.first(self.state)
            self.checkpoints.save(Checkpoint(state, self.best, asdict(self.position)))
        self._saved = time.monotonic()

    def _tick(self) -> None:
        """Move the clocks of this session into the run's."""
        now, waited = time.monotonic(), self.training.waited_seconds
        self.position.seconds += now - self._clock
        self.position.waited += waited - self._waited
        self._clock, self._waited = now, waited


def _check_monitor(task: Task, example: Batch, options: TrainingOptions) -> None:
    """Refuse an unknown figure before the first epoch is spent on it."""
    local = jax.tree.map(lambda x: x[0], example)

    def metrics(key: jax.Array) -> dict[str, jax.Array]:
        return task.loss(task.init(key, local), local, key, train=False)[1]

    shapes = jax.eval_shape(metrics, jax.random.key(0))
    figures = task.summary({name: np.zeros(value.shape[1:]) for name, value in shapes.items()})
    known = ["loss", *(name for name, value in figures.items() if np.ndim(value) == 0)]
    if options.early_stopping.monitor not in known:
        raise ConfigError(
            "training.early_stopping.monitor",
            expected="a figure of the task",
            found=f"'{options.early_stopping.monitor}'",
            fix=nearest(options.early_stopping.monitor, known),
        )
