"""The state of a training in progress: how it starts or resumes, is saved and is left."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import NoReturn

import numpy as np
import optax

from rootloom.cluster.running import Preempted
from rootloom.errors import TrainingError
from rootloom.tasks.base import Params, Task
from rootloom.training import optimizer as optimizers
from rootloom.training import parallel
from rootloom.training.checkpoint import Checkpoint, Checkpoints, Position
from rootloom.training.feed import Batches
from rootloom.training.leaving import Leaving
from rootloom.training.log import RunLog
from rootloom.training.meter import Meter
from rootloom.training.options import TrainingOptions
from rootloom.training.progress import Progress
from rootloom.training.signals import Interrupt
from rootloom.training.state import TrainState, initial_params, initial_state
from rootloom.training.step import Step, Sums, evaluate_step, gradient, train_step
from rootloom.types import Batch


@dataclass(frozen=True)
class Setup:
    """What a training is given. example: a batch as a loader yields it."""

    task: Task
    training: Batches
    validation: Batches
    options: TrainingOptions
    example: Batch

    @property
    def steps_per_epoch(self) -> int:
        """Batches of the training split."""
        return self.training.batches_per_epoch


@dataclass(frozen=True)
class Steps:
    """What the devices compute, and the learning rate as a function of the step.

    gradient: of the state and a batch on every device, and the batch's sums.
    """

    update: Step[TrainState]
    evaluate: Step[Params]
    gradient: Callable[[TrainState, Batch], tuple[Params, Sums]]
    learning_rate: optax.Schedule


@dataclass
class Session:
    """What this process needs to speak, to save and to leave; decides no value.

    clock, waited: monotonic time, and seconds that the loader had waited, up to which
    `Position.seconds` and `Position.waited` count. saved: monotonic time of the last checkpoint.
    """

    checkpoints: Checkpoints
    log: RunLog
    progress: Progress
    leaving: Leaving
    clock: float
    waited: float
    saved: float


@dataclass
class Run:
    """A training under way.

    state: on the devices, with a leading axis (devices,). step: how many are done, as in `state`.
    best: parameters of the best epoch, on the host; None before the first one ended.
    meter: sums of the epoch's steps.
    """

    setup: Setup
    steps: Steps
    session: Session
    state: TrainState
    step: int
    best: Params | None
    position: Position
    meter: Meter

    @property
    def over(self) -> bool:
        """Whether no epoch is left, or the last ones brought no gain."""
        patience = self.setup.options.early_stopping.patience
        stopped = patience is not None and self.position.stale >= patience
        return stopped or self.position.epoch >= self.setup.options.epochs

    def save_or_leave(self) -> None:
        """Between two steps: leave when asked to, and save when it is time."""
        self.leave_if_agreed()
        options = self.setup.options
        every = options.checkpoint_every_steps
        minutes = (time.monotonic() - self.session.saved) / 60
        if (every and self.step % every == 0) or minutes > options.checkpoint_every_minutes:
            self.save()

    def leave_if_agreed(self) -> None:
        """Save and raise Preempted if any process was asked to leave; all call this together."""
        if self.session.leaving.agreed():
            self._leave()

    def _leave(self) -> NoReturn:
        self.save()
        parallel.barrier()  # the first to end would take the others with it, the lead still writing
        raise Preempted(
            f"{self.session.leaving.why()} at step {self.step}; the checkpoint is written"
        )

    def save(self) -> None:
        """Write a checkpoint of the run as it stands."""
        self.collect()
        self.tick()
        if parallel.is_lead():
            state = parallel.first(self.state)
            self.session.checkpoints.save(Checkpoint(state, self.best, self.position))
        self.session.saved = time.monotonic()

    def collect(self, last: int | None = None) -> None:
        """Wait for the steps that run, up to number `last` if one is given, and add up their sums.

        Raises TrainingError at a loss that is not finite.
        """
        try:
            self.meter.collect(last)
        except TrainingError as error:
            paths = self.session.checkpoints.paths()
            good = str(paths[0]) if paths else "none was written"
            raise TrainingError(
                error.where,
                expected=error.expected,
                found=error.found,
                fix=f"{error.fix}; last good checkpoint: {good}",
            ) from None
        self.position.sums = {n: np.asarray(v).tolist() for n, v in self.meter.sums.items()}

    def tick(self) -> None:
        """Add this session's time since the last call to the run's."""
        now, waited = time.monotonic(), self.setup.training.waited_seconds
        self.position.seconds += now - self.session.clock
        self.position.waited += waited - self.session.waited
        self.session.clock, self.session.waited = now, waited


def first_batch(batches: Batches) -> Batch:
    """A batch to take shapes from."""
    with closing(batches.epoch(0)) as found:
        return next(found)


def begin(
    setup: Setup,
    checkpoints: Checkpoints,
    interrupt: Interrupt,
    *,
    progress: bool,
    params: Params | None = None,
) -> Run:
    """A run at its newest checkpoint, or before its first step if there is none.

    progress: whether the lead process prints how far the run is. params: to begin with; None: as
    the task initialises them.
    """
    checkpoints.directory.mkdir(parents=True, exist_ok=True)
    task, options = setup.task, setup.options
    if params is None:
        params = initial_params(task, setup.example, options.seed)
    rule = optimizers.build(options, setup.steps_per_epoch, task.groups(params))
    fresh = initial_state(params, rule, options.seed)
    found = _newest(checkpoints, fresh) or Checkpoint(fresh, None, Position())
    step, position = int(found.state.step), found.position
    return Run(
        setup=setup,
        steps=_steps(setup, rule),
        state=parallel.replicate(found.state, len(setup.example.weight)),
        step=step,
        best=found.best,
        position=position,
        meter=Meter("training step", position.sums),
        session=_session(setup, checkpoints, interrupt, step, progress=progress),
    )


def _steps(setup: Setup, rule: optax.GradientTransformation) -> Steps:
    task, scale = setup.task, setup.training.scale
    return Steps(
        update=partial(train_step, task, rule, scale),
        evaluate=partial(evaluate_step, task),
        gradient=parallel.on_every_device(partial(gradient, task, scale)),
        learning_rate=optimizers.schedule(setup.options, setup.steps_per_epoch),
    )


def _session(
    setup: Setup, checkpoints: Checkpoints, interrupt: Interrupt, step: int, *, progress: bool
) -> Session:
    tensorboard, lead = setup.options.tensorboard, parallel.is_lead()
    rows_per_batch = setup.training.rows / max(1, setup.steps_per_epoch)
    left = setup.options.epochs * setup.steps_per_epoch - step
    return Session(
        checkpoints=checkpoints,
        log=RunLog(checkpoints.directory, step, tensorboard=tensorboard, lead=lead),
        progress=Progress(left, rows_per_batch, enabled=progress and lead),
        leaving=Leaving(interrupt),
        clock=time.monotonic(),
        waited=setup.training.waited_seconds,
        saved=time.monotonic(),
    )


def _newest(checkpoints: Checkpoints, fresh: TrainState) -> Checkpoint | None:
    """The checkpoint to go on from: the lead's choice, as others may see the disk later."""
    if parallel.is_single_process():
        return checkpoints.load(fresh)
    found = checkpoints.load(fresh) if parallel.is_lead() else None
    step = int(parallel.gather(-1 if found is None else int(found.state.step))[0])
    if parallel.is_lead() or step < 0:
        return found
    return checkpoints.load_step(fresh, step)
