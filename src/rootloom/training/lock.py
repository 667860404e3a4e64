"""One training at a time in a directory."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rootloom.system.atomic import sweep

DECIDES_NO_VALUE = (
    "tests/unit/test_training_processes.py::test_the_same_training_twice_at_once_is_done_once"
)

NAME = "lock"
PROCESSES = "processes"  # arguments and errors of the processes of one training


@contextmanager
def alone_in(directory: Path) -> Iterator[int]:
    """Hold the directory's lock, after waiting for another process that holds it.

    Removes incomplete files of a killed training, and the arguments of its processes.
    Yields the descriptor of the lock: a child that inherits it holds the lock as well. The
    system releases it when the last of them has ended.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / NAME).open("a") as file:
        alone = True
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another process trains in {directory}: waiting for it to end", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
            print("it has ended: continuing from its checkpoint", flush=True)
        except OSError as error:
            # Some network file systems have no locks; but a scheduler starts a job only once.
            alone = False
            print(
                f"{directory} cannot be locked ({error.strerror}); continuing without", flush=True
            )
        sweep(directory, alone=alone)
        if alone:
            shutil.rmtree(directory / PROCESSES, ignore_errors=True)
        yield file.fileno()
