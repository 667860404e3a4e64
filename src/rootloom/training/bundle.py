"""A trained network in one file: parameters, and all that is needed to use them, as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from rootloom.errors import TrainingError
from rootloom.fileio import REMAKE
from rootloom.tasks.base import Task
from rootloom.training import tensors
from rootloom.types import Batch

SCHEMA = 2


@dataclass(frozen=True)
class Bundle:
    """params: nested mappings of float32 arrays. The others are JSON data.

    model, representation, task: their configuration sections. statistics: what normalises the
    inputs. classes: in the order of the targets. metrics: figures of the validation split.
    provenance: where it came from.
    """

    params: Any
    model: dict[str, Any]
    representation: dict[str, Any]
    task: dict[str, Any]
    statistics: dict[str, Any]
    classes: list[str]
    metrics: dict[str, Any]
    provenance: dict[str, Any]

    def check(self, task: Task, batch: Batch) -> None:
        """Refuse parameters that are not those of `task` on inputs like those of `batch` (B, …)."""
        template = jax.eval_shape(task.init, jax.random.key(0), batch)
        arrays = tensors.flatten(self.params, "params")
        tensors.restore(template, arrays, "params", "bundle")


def save(path: str | Path, bundle: Bundle) -> None:
    """Write atomically."""
    record = {name: value for name, value in vars(bundle).items() if name != "params"}
    arrays = tensors.flatten(bundle.params, "params")
    tensors.write(Path(path), arrays, {"schema": SCHEMA, **record})


def load(path: str | Path) -> Bundle:
    """Read a bundle. Raises TrainingError when it is damaged or of another version."""
    arrays, record = tensors.read(Path(path))
    found = record.pop("schema", None)
    if found != SCHEMA:
        raise TrainingError(
            str(path),
            expected=f"a model bundle of schema {SCHEMA}",
            found=f"schema {found}",
            fix=REMAKE,
        )
    return Bundle(params=tensors.unflatten(arrays, "params"), **record)
