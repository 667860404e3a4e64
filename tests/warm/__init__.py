"""A Python that has imported what the tests' projects need, and that can be asked many times.

Most processes that tests start, heads of the workflow and scripts of its jobs, import far longer
than they compute. `server.py` imports once; `client.py` is called like `python` and has the server
fork a process with its arguments, folder, environment and streams. What a test starts to kill,
trace, measure or hand to a batch system is started as users start it, with `sys.executable`.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

FOLDER = "ROOTLOOM_WARM"  # environment variable: where the server of this test run lies
_HERE = Path(__file__).parent


def python(environment: dict[str, str]) -> str:
    """The program to call instead of `sys.executable`, whose first call starts the server.

    environment: of the processes to come. What JAX reads of it when it is imported is that of the
    first call. Outside a test run there is none.
    """
    if FOLDER not in os.environ:
        return sys.executable
    folder = Path(os.environ[FOLDER])
    program = folder / "python"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # lanes are processes of their own
        if not program.exists():
            _start(folder, program, environment)
    return str(program)


def _start(folder: Path, program: Path, environment: dict[str, str]) -> None:
    """Start the server, wait until it has imported, and write the program that asks it.

    The server ends with the test run, not with the lane that happens to need it first.
    """
    session = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, str(_HERE / "server.py"), str(folder / "socket"), str(session)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
    assert server.stdout is not None
    ready = server.stdout.readline()
    assert ready == b"ready\n", (folder / "server.log").read_text()
    lines = (_HERE / "client.py").read_text()
    program.write_text(f"#!{sys.executable} -SEs\n{lines}")
    program.chmod(0o755)
