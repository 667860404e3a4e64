"""What the tests of tasks that make showers share: small showers, batches, updates, gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rootloom.representations.calorimeter import CalorimeterCells
from rootloom.training import parallel
from rootloom.training.state import initial_state
from rootloom.training.step import train_step
from rootloom.types import Batch
from tests.learnable import LAYERS, Memory, showers

SIZE = 32
KEY = jax.random.key(4)
RULE = optax.sgd(0.02)
CELLS = CalorimeterCells(layers=LAYERS, keep_bits=23)


def moments(columns: Any) -> dict[str, Any]:
    """Of the samples of such showers."""
    return {
        name: SimpleNamespace(mean=values.mean(axis=0), std=values.std(axis=0))
        for name, values in CELLS.sample(columns).items()
    }


def batch(rows: np.ndarray, devices: int = 1) -> Batch:
    """Rows as a loader yields them, leading axes (devices, SIZE / devices)."""
    return Memory(showers(40), CELLS, SIZE, devices=devices).batch(rows)


def local(rows: np.ndarray) -> Batch:
    """Rows as one device sees them."""
    return jax.tree.map(lambda x: jnp.asarray(x[0]), batch(rows))


def full_and_partial(task: Any, params: Any, devices: int) -> Any:
    """The parameters after a step on a full batch and one on ten rows, on so many devices."""
    step = parallel.on_every_device(partial(train_step, task, RULE, SIZE))
    state = parallel.replicate(initial_state(params, RULE, seed=0), devices)
    for rows in (SIZE, 10):
        state, _ = step(state, batch(np.arange(rows), devices))
    return parallel.first(state.params)


def joint_and_separate(
    task: Any, params: Any, data: Batch, losses: dict[str, Callable[[Any], Any]]
) -> Iterator[tuple[Any, Any, Any]]:
    """Each parameter's path, gradient of the task's loss, and that of its own network's loss.

    losses: by network, of its parameters.
    """
    joint = jax.jit(jax.grad(lambda p: task.loss(p, data, KEY, train=True)[0].mean()))(params)
    separate = {name: jax.jit(jax.grad(loss))(params[name]) for name, loss in losses.items()}
    assert jax.tree.structure(joint) == jax.tree.structure(separate)
    leaves = jax.tree_util.tree_leaves_with_path(joint), jax.tree.leaves(separate)
    for (path, one), two in zip(*leaves, strict=True):
        yield path, one, two
