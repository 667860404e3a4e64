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

AXIS = "devices"
T = TypeVar("T")  # a tree of arrays
# Seconds without a sign of life after which a process counts as dead. A broken connection is
# noticed at once; this is for machines that fall silent, and outlasts one suspended for a while.
_HEARTBEAT = 300
# Seconds to wait for the others when a process ends; all of them end together.
_FAREWELL = 30
# Seconds in which all processes must have started; a busy file system makes some late.
_ARRIVAL = 900


@dataclass(frozen=True)
class Member:
    """A process among `count` that train together.

    coordinator: host and port where process 0 can be reached. gpus: numbers of the GPUs it takes
    of a machine that it shares with other members; None takes all.
    """

    coordinator: str
    count: int
    number: int
    gpus: tuple[int, ...] | None = None


def join(member: Member) -> None:
    """Make this process one of several; before any device is used."""
    # Its own handler of SIGTERM would take the signal from the training loop.
    jax.config.update("jax_enable_preemption_service", False)
    jax.distributed.initialize(
        member.coordinator,
        member.count,
        member.number,
        local_device_ids=member.gpus,
        # Found by itself, SLURM's is one GPU a process instead of all of the machine's.
        cluster_detection_method="deactivate",
        heartbeat_timeout_seconds=_HEARTBEAT,
        shutdown_timeout_seconds=_FAREWELL,
    )


def require(gpus: int) -> None:
    """Say which devices this process sees; raises ResourceError when they are not `gpus` GPUs.

    gpus: 0 takes what is there, as long as all processes have equally many.
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
            fix="ask for a machine that has them, look at CUDA_VISIBLE_DEVICES and at whether JAX "
            "is installed for GPUs, or change gpus_per_node",
        )
    if jax.device_count() != len(devices) * jax.process_count():
        raise ResourceError(
            who,
            expected=f"as many devices as the others: {jax.device_count()} in all",
            found=found,
            fix="set the experiment's gpus_per_node",
        )


def connect() -> None:
    """Wait for the other processes, and open the connections that sums over all devices use.

    On CPUs a connection waits half a minute for its other end, too short for processes that load
    and compile side by side on a busy machine; only the barrier, which has no public name, waits
    longer.
    """
    if alone():
        return
    client = distributed.global_state.client
    assert client is not None
    client.wait_at_barrier("rootloom connect", 1000 * _ARRIVAL)
    meet()
    jax.block_until_ready(on_every_device(total)(np.zeros(device_count(), np.float32)))


def device_count() -> int:
    """Devices of this process: the leading axis of its batches."""
    return jax.local_device_count()


def all_devices() -> int:
    """Devices of all processes."""
    return jax.device_count()


def share() -> tuple[int, int]:
    """The number of this process, and how many there are."""
    return jax.process_index(), jax.process_count()


def is_lead() -> bool:
    """Whether this process writes files and speaks."""
    return jax.process_index() == 0


def on_every_device(function: Callable[..., T], donate: tuple[int, ...] = ()) -> Callable[..., T]:
    """`function` compiled to run on each device with its slice of every argument's first axis.

    Inside, `total` sums over all devices of all processes. donate: arguments whose memory is
    given up.
    """
    return jax.pmap(function, axis_name=AXIS, donate_argnums=donate)


def total(tree: T) -> T:
    """Sum over all devices; inside a function given to `on_every_device`."""
    return jax.lax.psum(tree, AXIS)


def replicate(tree: T, devices: int) -> T:
    """Host arrays as one copy a device, with a leading axis (devices,)."""
    return spread(jax.tree.map(lambda x: np.broadcast_to(x, (devices, *np.shape(x))), tree))


def spread(tree: T) -> T:
    """Host arrays with a leading axis (devices,), each slice on its device."""
    return _spread()(tree)


@cache
def _spread() -> Callable[[T], T]:
    # The axis's name is part of a placement: under another one the first step compiles twice.
    # Kept, as every new function would be compiled anew.
    return on_every_device(lambda tree: tree)


def on_cpu() -> bool:
    """Whether this process's devices are cores of a CPU, which share its memory."""
    return bool(jax.local_devices()[0].platform == "cpu")


def first(tree: T) -> T:
    """Host arrays of the first device's copy; waits for the computation to end."""

    def read(leaf: jax.Array) -> np.ndarray:
        # A shard's data, and not leaf[0]: indexing would gather from all devices.
        return np.array(leaf.addressable_shards[0].data).reshape(leaf.shape[1:])

    return jax.tree.map(read, tree)


def alone() -> bool:
    """Whether this is the only process."""
    return jax.process_count() == 1


def gather(values: ArrayLike) -> np.ndarray:
    """The values of all processes, (processes, …); each must call this at the same point.

    Numbers travel as 32 bits.
    """
    return np.asarray(multihost_utils.process_allgather(np.asarray(values))).reshape(
        jax.process_count(), *np.shape(values)
    )


def meet() -> None:
    """Wait until every process is here."""
    if not alone():
        gather(np.int32(0))
