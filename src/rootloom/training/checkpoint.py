"""Checkpoints: everything a restart needs to continue bit for bit."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rootloom.errors import TrainingError
from rootloom.tasks.base import Params
from rootloom.training import tensors
from rootloom.training.state import TrainState

_PATTERN = "step-*.safetensors"
# Network file systems may show a directory as it was a minute before.
_DISK_SECONDS = 90.0
_logger = logging.getLogger(__name__)


@dataclass
class Position:
    """Where a run is; with the state, all that a restart needs. Kept as JSON.

    batch: of the epoch, the next one. stale: epochs since the best one. seconds, waited: of all
    sessions. sums: of the epoch's batches so far. history: metrics of every epoch.
    """

    epoch: int = 0
    batch: int = 0
    best_epoch: int = -1
    best_value: float = math.inf
    stale: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    sums: dict[str, ArrayLike] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Checkpoint:
    """state: on the host. best: parameters of the best epoch, or None before the first one."""

    state: TrainState
    best: Params | None
    position: Position


class Checkpoints:
    """The checkpoints of one run in a directory, newest `keep` of them."""

    def __init__(self, directory: Path, fingerprint: str, keep: int = 2) -> None:
        self.directory, self.fingerprint, self.keep = directory, fingerprint, keep

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write atomically, then drop what is older than the newest `keep`."""
        arrays = tensors.flatten(checkpoint.state._asdict(), "state")
        if checkpoint.best is not None:
            arrays |= tensors.flatten(checkpoint.best, "best")
        path = self._path(int(checkpoint.state.step))
        record = {"fingerprint": self.fingerprint, **asdict(checkpoint.position)}
        tensors.write(path, arrays, record)
        for old in self.paths()[self.keep :]:
            old.unlink()
        return path

    def paths(self) -> list[Path]:
        """Files, newest first."""
        return sorted(self.directory.glob(_PATTERN), reverse=True)

    def load(self, template: TrainState) -> Checkpoint | None:
        """The newest intact checkpoint, or None; warns about each damaged one that it skips.

        template: a state of the shapes to expect. Raises TrainingError when a checkpoint belongs
        to another run or another network.
        """
        for path in self.paths():
            try:
                arrays, record = tensors.read(path)
            except TrainingError as error:
                _logger.warning("damaged checkpoint passed over: %s", error)
                continue
            return self._build(path, template, arrays, record)
        return None

    def load_step(self, template: TrainState, step: int) -> Checkpoint:
        """The checkpoint that the lead process found; waits until a shared disk shows it.

        Raises TrainingError when it does not come or is damaged.
        """
        path = self._path(step)
        late = time.monotonic() + _DISK_SECONDS
        while not path.exists() and time.monotonic() < late:
            time.sleep(0.2)
        return self._build(path, template, *tensors.read(path))

    def _path(self, step: int) -> Path:
        return self.directory / f"step-{step:012d}.safetensors"

    def _build(
        self,
        path: Path,
        template: TrainState,
        arrays: dict[str, np.ndarray],
        record: dict[str, Any],
    ) -> Checkpoint:
        found = record.pop("fingerprint", None)
        if found != self.fingerprint:
            raise TrainingError(
                str(path),
                expected=f"a checkpoint of run {self.fingerprint}",
                found=f"one of run {found}",
                fix="give every run its own directory, or remove this one",
            )
        state = TrainState(**tensors.restore(template._asdict(), arrays, "state", str(path)))
        has_best = any(name.startswith("best/") for name in arrays)
        best = tensors.restore(template.params, arrays, "best", str(path)) if has_best else None
        return Checkpoint(state, best, Position(**record))
