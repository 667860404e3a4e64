"""The state of a training that a step changes."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from rootloom.tasks.base import Params, Task
from rootloom.types import Batch


class TrainState(NamedTuple):
    """Parameters, optimiser state, steps done () int32, and the key data (2,) uint32 of the run."""

    params: Params
    opt_state: optax.OptState
    step: Array
    key: Array


def initial_params(task: Task, batch: Batch, seed: int) -> Params:
    """Parameters on the host, a function of the seed. batch: as a loader yields it."""
    local = jax.tree.map(lambda x: x[0], batch)
    # With Threefry, unrolled for every array, the compilation would take five times as long.
    key = jax.random.key(seed, impl="rbg")
    return jax.device_get(jax.jit(task.init)(key, local))


def initial_state(params: Params, optimizer: optax.GradientTransformation, seed: int) -> TrainState:
    """The state before the first step, on the host."""
    key = jax.random.key_data(jax.random.fold_in(jax.random.key(seed), 1))
    opt_state = jax.jit(optimizer.init)(params)
    return jax.device_get(TrainState(params, opt_state, jnp.int32(0), key))
