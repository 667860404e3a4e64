"""All devices of all processes as one: the only file that names `pmap`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

AXIS = "devices"


def device_count() -> int:
    """Devices of this process: the leading axis of its batches."""
    return jax.local_device_count()


def is_lead() -> bool:
    """Whether this process writes files and speaks."""
    return jax.process_index() == 0


def on_every_device(function: Callable[..., Any], donate: tuple[int, ...] = ()) -> Callable:
    """`function` compiled to run on each device with its slice of every argument's first axis.

    Inside, `total` sums over all devices of all processes. donate: arguments whose memory is
    given up.
    """
    return jax.pmap(function, axis_name=AXIS, donate_argnums=donate)


def total(tree: Any) -> Any:
    """Sum over all devices; inside a function given to `on_every_device`."""
    return jax.lax.psum(tree, AXIS)


def replicate(tree: Any, devices: int) -> Any:
    """Host arrays as one copy a device, with a leading axis (devices,)."""
    stacked = jax.tree.map(lambda x: np.broadcast_to(x, (devices, *np.shape(x))), tree)
    # The axis's name is part of a placement: under another one the first step compiles twice.
    return jax.pmap(lambda x: x, axis_name=AXIS)(stacked)


def first(tree: Any) -> Any:
    """Host arrays of the first device's copy; waits for the computation to end."""

    def read(leaf: jax.Array) -> np.ndarray:
        # A shard's data, and not leaf[0]: indexing would gather from all devices.
        return np.array(leaf.addressable_shards[0].data).reshape(leaf.shape[1:])

    return jax.tree.map(read, tree)


def alone() -> bool:
    """Whether this is the only process."""
    return jax.process_count() == 1


def any_process(flag: bool) -> bool:
    """Whether the flag is set in any process; every process must call this at the same point."""
    if alone():
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.asarray(flag))))
