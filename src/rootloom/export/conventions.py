"""What the formats of experiments share: names, classes, and quantities side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array

from rootloom.errors import ConfigError
from rootloom.export.signature import Signature
from rootloom.representations.inputs import InputQuantity
from rootloom.tasks.base import Predictor
from rootloom.tasks.classification import Classification


def columns_of(task: Predictor) -> tuple[str, ...]:
    """What a network says of a row, in order: its classes, or its targets."""
    return tuple(task.classes) if isinstance(task, Classification) else task.columns()


def values_of(task: Predictor, predictions: Array) -> Array:
    """(B, K) of `columns_of`: of two classes both probabilities, where a score is that of one."""
    if not isinstance(task, Classification) or len(task.classes) != 2:
        return predictions
    signal = list(task.classes).index(task.signal or task.classes[-1])
    pair = [1.0 - predictions, predictions]
    return jnp.concatenate(pair if signal else pair[::-1], axis=1)


def require_sets(signature: Signature, convention: str) -> None:
    """Refuse inputs that are no quantities of rows or objects; raises ConfigError."""
    for one in signature.inputs:
        if one.role == "values" or (one.role != "mask" and not one.quantities):
            raise ConfigError(
                f"export for {convention}, input '{one.name}'",
                expected="quantities of rows or of objects, by name",
                found="numbers without names, such as an image or a tree",
                fix="export it as `onnx` or for `triton`",
            )


def of_group(signature: Signature, group: str) -> list[InputQuantity]:
    """All quantities of a collection, or of the row for "", each name once."""
    found: dict[str, InputQuantity] = {}
    for one in signature.of_group(group):
        for quantity in one.quantities:
            found.setdefault(quantity.name, quantity)
    return list(found.values())


def side_by_side(signature: Signature, group: str, served: Mapping[str, np.ndarray]) -> np.ndarray:
    """All quantities of `of_group` along the last axis, from arrays that the signature names."""
    found: dict[str, np.ndarray] = {}
    for one in signature.of_group(group):
        for k, quantity in enumerate(one.quantities):
            found.setdefault(quantity.name, served[one.name][..., k])
    return np.stack(list(found.values()), axis=-1)


def predictions_of(task: Predictor, values: np.ndarray) -> np.ndarray:
    """The inverse of `values_of`."""
    if not isinstance(task, Classification) or len(task.classes) != 2:
        return values
    signal = list(task.classes).index(task.signal or task.classes[-1])
    return values[:, signal : signal + 1]


def chosen(x: Array, names: Sequence[str], wanted: Sequence[str]) -> Array:
    """Some of the quantities along the last axis, by name."""
    places = [list(names).index(name) for name in wanted]
    if places == list(range(len(names))):
        return x
    return jnp.stack([x[..., k] for k in places], axis=-1)
