"""One step of training and one of validation, as they run on a device."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, TypeVar

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jaxtyping import Float

from rootloom.models.normalisation import learnt
from rootloom.tasks.base import Params, Task
from rootloom.training.parallel import total
from rootloom.training.state import TrainState
from rootloom.types import Batch

# Sums over a batch on all devices: "weight" is Σ|w|, the others are Σw·value.
Sums: TypeAlias = dict[str, Array]
T = TypeVar("T")  # a state that steps change, or parameters that they evaluate
# What a batch makes of a state, or of parameters that stay as they are, and the batch's sums.
Step: TypeAlias = Callable[[T, Batch], tuple[T, Sums]]


def train_step(
    task: Task,
    optimizer: optax.GradientTransformation,
    scale: float,
    state: TrainState,
    batch: Batch,
) -> tuple[TrainState, Sums]:
    """One update by the gradient of Σw·loss / `scale` over the batch of all devices.

    scale: N·⟨|w|⟩, the rows of a full batch times the mean |weight| of the training split. It is a
    constant of the training, so that the steps of an epoch add up to the gradient of the mean loss
    of the split. The sum of weights of the batch must not be used instead: a rare row with a large
    weight would then count less in its batch, and another loss would be minimised.
    """
    gradients, sums = gradient(task, scale, state, batch)
    updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    sums["gradient_norm"] = optax.tree.norm(learnt(gradients)) * sums["weight"]
    return TrainState(params, opt_state, state.step + 1, state.key), sums


def gradient(task: Task, scale: float, state: TrainState, batch: Batch) -> tuple[Params, Sums]:
    """Gradient of Σw·loss / `scale`, and the batch's sums."""
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)

    def objective(params: Params) -> tuple[Array, Sums]:
        loss, metrics = task.loss(params, batch, key, train=True)  # (B,) each
        sums = weighted_sums(batch.weight, {"loss": loss, **metrics})
        return sums["loss"] / scale, sums

    gradients, sums = jax.grad(objective, has_aux=True)(state.params)
    return total((gradients, sums))


def evaluate_step(task: Task, params: Params, batch: Batch) -> tuple[Params, Sums]:
    """The unchanged parameters, and the batch's sums."""
    loss, metrics = task.loss(params, batch, jax.random.key(0), train=False)
    return params, total(weighted_sums(batch.weight, {"loss": loss, **metrics}))


def single(step: Step[T], state: T, batch: Batch) -> tuple[T, Sums]:
    """One step, its sums with a leading axis (1,)."""
    state, sums = step(state, batch)
    return state, jax.tree.map(lambda value: value[None], sums)


def series(
    step: Step[T], most: int, state: T, rows: Batch, order: Array, first: Array, count: Array
) -> tuple[T, Sums]:
    """`count` steps over batches `first`, `first` + 1, …; sums lead with (most,), zero past them.

    rows, order: see `pick`. The number of steps is not part of the compiled program, so the bits of
    a training do not depend on how its steps are divided into calls.
    """

    def body(done: Array, held: tuple[T, Sums]) -> tuple[T, Sums]:
        state, sums = held
        state, found = step(state, pick(rows, order, first + done))
        return state, jax.tree.map(lambda all_, one: all_.at[done].set(one), sums, found)

    found = jax.eval_shape(lambda: step(state, pick(rows, order, first))[1])
    sums = jax.tree.map(lambda one: jnp.zeros((most, *one.shape), one.dtype), found)
    return jax.lax.fori_loop(0, count, body, (state, sums))


def pick(rows: Batch, order: Array, number: Array) -> Batch:
    """Batch `number` of an epoch.

    rows: leaves (R, …), or (1, …) if equal in all rows. order: (batches, B) int32,
    row numbers; R or above is padding, all zero.
    """
    chosen = order[number]
    count = max(len(leaf) for leaf in jax.tree.leaves(rows))

    def taken(leaf: Array) -> Array:
        own = chosen if len(leaf) == count else (chosen >= count).astype(jnp.int32)
        return jnp.take(leaf, own, axis=0, mode="fill", fill_value=0)

    picked: Batch = jax.tree.map(taken, rows)
    return picked


def weighted_sums(weight: Array, values: dict[str, Float[Array, "{len(weight)} ..."]]) -> Sums:
    """Σ|w| and Σw·value over the first axis; values of rows with weight 0 are ignored.

    Signed weights may cancel, so a mean is divided by Σ|w|, as in the objective.
    """
    sums = {"weight": jnp.sum(jnp.abs(weight))}
    for name, value in values.items():
        column = weight.reshape(-1, *(1,) * (value.ndim - 1))
        sums[name] = jnp.sum(jnp.where(column != 0, column * value, 0.0), axis=0)
    return sums
