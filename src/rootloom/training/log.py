"""The record of a run: lines of JSON, and event files for TensorBoard."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

import numpy as np
from tensorboardX import SummaryWriter

from rootloom.system.atomic import write_text

DECIDES_NO_VALUE = "tests/unit/test_training_fit.py::test_what_is_logged_and_printed_changes_no_bit"

_LOG = "log.jsonl"


class RunLog:
    """Appends to `log.jsonl` and to TensorBoard event files in a directory.

    step: where the run continues; later entries of an interrupted run are dropped. lead: only the
    lead process of a run on several hosts writes.
    """

    def __init__(self, directory: Path, step: int, *, tensorboard: bool, lead: bool = True) -> None:
        path = directory / _LOG if lead else Path(os.devnull)
        if lead:
            write_text(path, "".join(_lines_until(path, step)))
        self._file = path.open("a", encoding="utf-8", buffering=1)
        events = str(directory / "tensorboard")
        self._writer = (
            SummaryWriter(events, purge_step=step or None) if tensorboard and lead else None
        )

    def scalars(self, split: str, step: int, values: Mapping[str, float]) -> None:
        """One line of numbers."""
        self._file.write(json.dumps({"split": split, "step": step, **values}) + "\n")
        if self._writer:
            for name, value in values.items():
                self._writer.add_scalar(f"{split}/{name}", value, step)

    def matrix(self, split: str, step: int, name: str, values: np.ndarray) -> None:
        """A matrix as a grey image, its largest entry white."""
        if self._writer:
            image = np.kron(values / max(values.max(), 1e-12), np.ones((32, 32)))
            self._writer.add_image(f"{split}/{name}", image, step, dataformats="HW")

    def histograms(self, step: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Distributions of the entries of each array."""
        if self._writer:
            for name, array in arrays.items():
                self._writer.add_histogram(name, array, step)

    def close(self) -> None:
        """Write what is buffered."""
        self._file.close()
        if self._writer:
            self._writer.close()


def _lines_until(path: Path, step: int) -> list[str]:
    if not path.exists():
        return []
    kept: list[str] = []
    for line in path.read_text().splitlines(keepends=True):
        entry = _parse(line)
        if entry is not None and entry["step"] <= step:
            kept.append(line)
    return kept


class _Entry(TypedDict):
    split: str
    step: int


def _parse(line: str) -> _Entry | None:
    try:
        entry: _Entry = json.loads(line)
    except json.JSONDecodeError:
        return None  # an incomplete line of a killed run
    return entry
