"""One step of training and one of evaluation, as they run on a device."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from rootloom.tasks.base import Task
from rootloom.training.parallel import total
from rootloom.training.state import TrainState
from rootloom.types import Batch

# Sums over a batch, of all devices together: "weight" Σw, the others Σw·value.
Sums = dict[str, Array]


def train_step(
    task: Task, optimizer: optax.GradientTransformation, state: TrainState, batch: Batch
) -> tuple[TrainState, Sums]:
    """One update by the gradient of the weighted mean loss over the batch of all devices.

    The mean divides by the global Σ|w|: for weights of one sign it is the weighted mean, and a
    batch of signed generator weights that nearly cancel can neither blow up nor flip the step.
    """
    gradients, sums = gradient(task, state, batch)
    updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    sums["gradient_norm"] = optax.tree.norm(gradients) * sums["weight"]
    return TrainState(params, opt_state, state.step + 1, state.key), sums


def gradient(task: Task, state: TrainState, batch: Batch) -> tuple[Any, Sums]:
    """Gradient of the weighted mean loss, and the batch's sums."""
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
    scale = total(jnp.sum(jnp.abs(batch.weight)))
    scale = jnp.where(scale > 0, scale, 1.0)

    def objective(params: Any) -> tuple[Array, Sums]:
        loss, metrics = task.loss(params, batch, key, train=True)  # (B,) each
        sums = weighted_sums(batch.weight, {"loss": loss, **metrics})
        return sums["loss"] / scale, sums

    gradients, sums = jax.grad(objective, has_aux=True)(state.params)
    return total((gradients, sums))


def evaluate_step(task: Task, params: Any, batch: Batch) -> Sums:
    """The batch's sums without an update."""
    loss, metrics = task.loss(params, batch, jax.random.key(0), train=False)
    return total(weighted_sums(batch.weight, {"loss": loss, **metrics}))


def weighted_sums(weight: Array, values: dict[str, Array]) -> Sums:
    """Σw and Σw·value over the first axis; rows of weight 0 never count, whatever their value."""
    sums = {"weight": jnp.sum(weight)}
    for name, value in values.items():
        column = weight.reshape(-1, *(1,) * (value.ndim - 1))
        sums[name] = jnp.sum(jnp.where(column != 0, column * value, 0.0), axis=0)
    return sums
