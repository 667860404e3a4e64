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
PROCESSES = "processes"  # where several processes of one training find their order and leave word


@contextmanager
def alone_in(directory: Path) -> Iterator[int]:
    """Hold the directory's lock, waiting for another process that does.

    What a killed training was just writing there is removed, as are the orders of its processes.
    Yields the descriptor that holds it: a child that inherits it keeps the lock as well. The
    system lets go of it when the last of them ends, however it ends.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / NAME).open("a") as file:
        alone = True
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another process trains in {directory}: waiting for it to end", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
            print("it has ended: going on with what it left", flush=True)
        except OSError as error:
            # Some network file systems have no locks; a scheduler starts a job once all the same.
            alone = False
            print(f"{directory} cannot be locked ({error.strerror}); going on without", flush=True)
        sweep(directory, alone=alone)
        if alone:
            shutil.rmtree(directory / PROCESSES, ignore_errors=True)
        yield file.fileno()
