"""Settings that must be made before JAX starts: cores, virtual devices, deterministic kernels."""

from __future__ import annotations

import os
import sys

from rootloom.errors import ConfigError

DETERMINISTIC = "--xla_gpu_deterministic_ops=true"
VIRTUAL = "--xla_force_host_platform_device_count="


def configure(cpus: int, virtual_devices: int | None = None) -> None:
    """Set the environment that decides the last bits of a training.

    cpus: cores that JAX may use; their number changes the order of sums, so it is given explicitly.
    virtual_devices: number of virtual CPU devices, for tests. Raises ConfigError if JAX is
    already imported with other settings.
    """
    for name, value in _settings(cpus, virtual_devices).items():
        found = os.environ.get(name)
        if found != value and "jax" in sys.modules:
            raise ConfigError(
                name,
                expected=f"{value!r} before JAX is imported",
                found=repr(found),
                fix="call rootloom.training.devices.configure first, or in a fresh process",
            )
        os.environ[name] = value


def _settings(cpus: int, virtual_devices: int | None) -> dict[str, str]:
    flags = os.environ.get("XLA_FLAGS", "").split()
    if DETERMINISTIC not in flags:
        flags.append(DETERMINISTIC)
    if virtual_devices is not None:
        flags = [flag for flag in flags if not flag.startswith(VIRTUAL)]
        flags.append(f"{VIRTUAL}{virtual_devices}")
    return {"PJRT_NPROC": str(cpus), "XLA_FLAGS": " ".join(flags)}
