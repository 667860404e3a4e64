"""All devices of all processes as one: the only file that names `pmap`."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import jax
import numpy as np
from jax._src import distributed
from jax.experimental import multihost_utils
from numpy.typing import ArrayLike

from rootloom.errors import ResourceError
from rootloom.types import DEVICES, Tensor

T = TypeVar("T")  # a tree of arrays
CPU = "cpu"  # a platform
# Time without a heartbeat after which a process counts as dead. A broken connection is noticed at
# once; this is for machines that stop answering, and longer than a short suspension.
_HEARTBEAT_SECONDS = 300
# Time to wait for the other processes at the end; all end together.
_SHUTDOWN_SECONDS = 30
# Time in which all processes must have started; a busy file system delays some.
_START_SECONDS = 900


@dataclass(frozen=True)
class Process:
    """A process among `count` that train together.

    coordinator: host and port of the process of rank 0. gpus: numbers of the GPUs it uses on a
    machine that it shares with others; None: all.
    """

    coordinator: str
    count: int
    rank: int
    gpus: tuple[int, ...] | None = None


def join(process: Process) -> None:
    """Make this process one of several; before any device is used."""
    # JAX's own handler of SIGTERM would take the signal from the training loop.
    jax.config.update("jax_enable_preemption_service", False)
    jax.distributed.initialize(
        process.coordinator,
        process.count,
        process.rank,
        local_device_ids=process.gpus,
        # JAX's automatic choice under SLURM is one GPU per process instead of all of the machine.
        cluster_detection_method="deactivate",
        heartbeat_timeout_seconds=_HEARTBEAT_SECONDS,
        shutdown_timeout_seconds=_SHUTDOWN_SECONDS,
    )


def require(gpus: int) -> None:
    """Print the devices of this process; raises ResourceError if they are not `gpus` GPUs.

    gpus: 0 accepts any devices, if all processes have equally many.
    """
    devices, host = jax.local_devices(), socket.gethostname()
    kinds = Counter(f"{device.platform} ({device.device_kind})" for device in devices)
    found = ", ".join(f"{count} × {kind}" for kind, count in kinds.items())
    who = f"process {jax.process_index() + 1} of {jax.process_count()} on {host}"
    print(f"{who} sees {found}", flush=True)
    if gpus and (len(devices) != gpus or any(d.platform != "gpu" for d in devices)):
        raise ResourceError(
            who,
            expected=f"{gpus} × gpu, the experiment's gpus_per_node",
            found=found,
            fix="request a machine that has them, check CUDA_VISIBLE_DEVICES and whether JAX is "
            "installed for GPUs, or change gpus_per_node",
        )
    if jax.device_count() != len(devices) * jax.process_count():
        raise ResourceError(
            who,
            expected=f"as many devices as the others: {jax.device_count()} in all",
            found=found,
            fix="set the experiment's gpus_per_node",
        )


def connect() -> None:
    """Wait for the other processes, and open the connections for sums over all devices.

    On CPUs a connection waits half a minute for its other end, which is too short if many processes
    start on a busy machine; only the barrier of JAX's client, which has no public name, waits
    longer.
    """
    if is_single_process():
        return
    client = distributed.global_state.client
    assert client is not None
    client.wait_at_barrier("rootloom connect", 1000 * _START_SECONDS)
    barrier()
    jax.block_until_ready(on_every_device(total)(np.zeros(device_count(), np.float32)))


def device_count() -> int:
    """Devices of this process: the leading axis of its batches."""
    return jax.local_device_count()


def all_devices() -> int:
    """Devices of all processes."""
    return jax.device_count()


def share() -> tuple[int, int]:
    """The number of this process, and the number of processes."""
    return jax.process_index(), jax.process_count()


def is_lead() -> bool:
    """Whether this process writes files and prints messages."""
    return jax.process_index() == 0


def on_every_device(function: Callable[..., T], donate: tuple[int, ...] = ()) -> Callable[..., T]:
    """`function` compiled to run on each device with its slice of every argument's first axis.

    Inside, `total` sums over all devices of all processes. donate: arguments whose memory may be
    reused.
    """
    return jax.pmap(function, axis_name=DEVICES, donate_argnums=donate)


def updating(function: Callable[..., T]) -> Callable[..., T]:
    """`on_every_device` for a function from a state, its first argument, to the next one."""
    # On a GPU the next state takes the memory of the last one. On a CPU the compiler would copy
    # what it overwrites, and a step of a network with many parameters take a quarter longer.
    return on_every_device(function, donate=() if on_cpu() else (0,))


def total(tree: T) -> T:
    """Sum over all devices; inside a function given to `on_every_device`."""
    if jax.lax.psum(1, DEVICES) == 1:  # known while tracing; a sum of one device would be a copy
        return tree
    summed: T = jax.lax.psum(tree, DEVICES)
    return summed


def replicate(tree: T, devices: int) -> T:
    """Host arrays as one copy per device, with a leading axis (devices,)."""
    return spread(jax.tree.map(lambda x: np.broadcast_to(x, (devices, *np.shape(x))), tree))


def spread(tree: T) -> T:
    """Host arrays with a leading axis (devices,), each slice on its device."""
    return _spread()(tree)


@cache
def _spread() -> Callable[[T], T]:
    # The axis's name is part of a placement: with another one the first step compiles twice.
    # Cached, because every new function would be compiled again.
    return on_every_device(lambda tree: tree)


def platform() -> str:
    """The kind of this process's devices: "cpu", "gpu", …."""
    return str(jax.local_devices()[0].platform)


def on_cpu() -> bool:
    """Whether this process's devices are CPU cores, which share memory."""
    return platform() == CPU


def first(tree: T) -> T:
    """Host arrays of the first device's copy; waits for the computation."""

    def read(leaf: jax.Array) -> np.ndarray:
        # A shard's data, and not leaf[0]: indexing would gather from all devices.
        return np.array(leaf.addressable_shards[0].data).reshape(leaf.shape[1:])

    return jax.tree.map(read, tree)


def rows(number: int, leaf: Tensor) -> np.ndarray:
    """The first `number` rows of an array (devices, B, …), on the host."""
    values = np.asarray(leaf)
    return values.reshape(-1, *values.shape[2:])[:number]


def is_single_process() -> bool:
    """Whether this is the only process."""
    return jax.process_count() == 1


def gather(values: ArrayLike) -> np.ndarray:
    """The values of all processes, (processes, …); each must call this at the same point.

    Numbers are sent as 32 bits.
    """
    return np.asarray(multihost_utils.process_allgather(np.asarray(values))).reshape(
        jax.process_count(), *np.shape(values)
    )


def barrier() -> None:
    """Wait until all processes have called this."""
    if not is_single_process():
        gather(np.int32(0))
