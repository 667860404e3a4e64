"""A Python that has imported what the tests' projects need, and that can be asked many times.

Most processes that tests start, heads of the workflow and scripts of its jobs, import far longer
than they compute. `server.py` imports once; `client.py` is called like `python` and has the server
fork a process with its arguments, folder, environment and streams. Jobs that a test
ends, and what it measures, are started as users start them, with `sys.executable`.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

FOLDER = "ROOTLOOM_WARM"  # environment variable: where the server of this test run lies
_HERE = Path(__file__).parent


def python(environment: dict[str, str], name: str = "plain") -> str:
    """The program to call instead of `sys.executable`, whose first call starts the server.

    environment: of the processes to come. What is read of it by what is imported, JAX for one, is
    that of the first call with a name. Outside a test run there is none.
    """
    if FOLDER not in os.environ:
        return sys.executable
    folder = Path(os.environ[FOLDER]) / name
    folder.mkdir(exist_ok=True)
    # It ends with the test run, not with the lane that happens to need it first.
    session = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # lanes are processes of their own
        return python_of(folder, environment, session)


def python_of(
    folder: Path, environment: Mapping[str, str], session: int, entering: Sequence[str] = ()
) -> str:
    """The program that asks the server in a folder; started, until it has imported, if need be.

    entering: a command that runs another one where the processes are to run. session: number of a
    process, as it is known there, with which the server ends.
    """
    program = folder / "python"
    if not program.exists():
        server = [sys.executable, str(_HERE / "server.py"), str(folder / "socket"), str(session)]
        _start([*entering, *server], environment, folder / "server.log")
        program.write_text(f"#!{sys.executable} -SEs\n{(_HERE / 'client.py').read_text()}")
        program.chmod(0o755)
    return str(program)


def _start(command: Sequence[str], environment: Mapping[str, str], file: Path) -> None:
    with file.open("wb") as log:
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
    assert server.stdout is not None
    ready = server.stdout.readline()
    assert ready == b"ready\n", file.read_text()
