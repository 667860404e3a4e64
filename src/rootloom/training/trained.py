"""What a training writes: parameters, and what describes their network, in one file.

The members of a method together, with all that is needed to score new files, are a bundle
(`rootloom.export.bundle`), which is made from such files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from rootloom.errors import TrainingError
from rootloom.system.atomic import REMAKE
from rootloom.tasks.base import Params, Task
from rootloom.training import tensors
from rootloom.types import Batch

SCHEMA = 2
# Fields of the record, in addition to its schema.
_FIELDS = {
    "model": dict,
    "representation": dict,
    "task": dict,
    "statistics": dict,
    "classes": list,
    "metrics": dict,
    "provenance": dict,
}


@dataclass(frozen=True)
class Trained:
    """params: nested mappings of float32 arrays. The others are JSON data.

    model, representation, task: their configuration sections. statistics: what normalises the
    inputs. classes: in the order of the targets. metrics: of the validation split.
    provenance: how it was made.
    """

    params: Params
    model: dict[str, Any]
    representation: dict[str, Any]
    task: dict[str, Any]
    statistics: dict[str, Any]
    classes: list[str]
    metrics: Mapping[str, Any]
    provenance: Mapping[str, Any]


def save(path: str | Path, model: Trained) -> None:
    """Write atomically."""
    record = {name: value for name, value in vars(model).items() if name != "params"}
    arrays = tensors.flatten(model.params, "params")
    tensors.write(Path(path), arrays, {"schema": SCHEMA, **record})


def check(task: Task, params: Params, batch: Batch) -> None:
    """Refuse parameters that do not fit `task` on inputs like those of `batch` (B, …).

    Raises TrainingError naming the first that is missing, unknown, or of another shape.
    """
    template = jax.eval_shape(task.init, jax.random.key(0), batch)
    tensors.restore(template, tensors.flatten(params, "params"), "params", "model")


def load(path: str | Path) -> Trained:
    """Read the model of a training.

    Raises TrainingError if it is damaged, of another version or not written by this program:
    other fields or types of fields, classes that are not distinct names, parameters that are not
    finite float32 numbers.
    """
    arrays, record = tensors.read(Path(path))
    found = record.pop("schema", None)
    if found != SCHEMA:
        raise TrainingError(
            str(path),
            expected=f"a model of schema {SCHEMA}",
            found=f"schema {found}",
            fix=REMAKE,
        )
    _check(str(path), arrays, record)
    return Trained(params=tensors.unflatten(arrays, "params"), **record)


def _check(path: str, arrays: Mapping[str, np.ndarray], record: Mapping[str, object]) -> None:
    kinds = {name: type(value) for name, value in record.items()}
    if kinds != _FIELDS:
        odd = min(kinds.items() ^ _FIELDS.items(), key=lambda item: item[0])[0]
        wanted = _FIELDS[odd].__name__ if odd in _FIELDS else "no such field"
        came = kinds[odd].__name__ if odd in kinds else "nothing"
        raise _foreign(f"{path}: {odd}", wanted, came)
    classes = record["classes"]
    assert isinstance(classes, list)  # by _FIELDS
    if not all(isinstance(name, str) for name in classes) or len(set(classes)) != len(classes):
        raise _foreign(f"{path}: classes", "names, no two alike", repr(classes)[:200])
    for name, array in arrays.items():
        if not name.startswith("params/") or array.dtype != np.float32:
            raise _foreign(f"{path}: {name}", "float32 parameters alone", array.dtype.name)
        if not np.isfinite(array).all():
            bad = int((~np.isfinite(array)).sum())
            raise _foreign(f"{path}: {name}", "finite numbers", f"{bad} that are not")


def _foreign(where: str, expected: str, found: str) -> TrainingError:
    fix = "use an unchanged model.safetensors that a training wrote"
    return TrainingError(where, expected=expected, found=found, fix=fix)
