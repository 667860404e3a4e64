"""Daemons of the tests: installing what they need, waiting for them, doing without them."""

from __future__ import annotations

import fcntl
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class Unavailable(Exception):  # noqa: N818 (a reason to skip, not an error)
    """A daemon cannot run on this machine, and why."""


def install(*packages: str) -> None:
    """Install Debian packages. Raises Unavailable when that is not possible here."""
    if os.getuid() != 0:
        raise Unavailable(f"{', '.join(packages)}: not installed, and not root")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
    with _one_at_a_time():
        for step in (["apt-get", "update", "-q"], command):
            try:
                done = subprocess.run(step, env=environment, capture_output=True, text=True)
            except FileNotFoundError as error:
                raise Unavailable(f"{', '.join(packages)}: no apt-get here") from error
    if done.returncode:
        raise Unavailable(f"{' '.join(command)}: {done.stderr.strip()[-500:]}")


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Lanes of tests install one after the other: the package manager refuses a second one."""
    with (Path(tempfile.gettempdir()) / "rootloom-tests-install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def wait_until(true: Callable[[], bool], seconds: float, why: Callable[[], str] = str) -> None:
    """Wait for a condition. Raises TimeoutError with `why()` when it does not come true."""
    limit = time.monotonic() + seconds
    while not true():
        if time.monotonic() > limit:
            raise TimeoutError(f"not within {seconds} s: {why()}")
        time.sleep(0.1)


def skip_or_fail(reason: str) -> None:
    """Skip a test whose daemon cannot run; on the CI machine that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
