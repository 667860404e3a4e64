"""Imports what the workflow and its jobs import, and forks a process for each that asks.

    python server.py SOCKET PID

It says "ready" when it has imported, and ends with the process PID. It has one thread, as what is
forked from several is undefined: of libraries that start some when imported, none are imported.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import multiprocessing.spawn  # noqa: F401 (it keeps the real interpreter's path)
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import sys
import threading
import warnings
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

SOURCE = Path(__file__).resolve().parents[2] / "src"
PACKAGE = "rootloom"
# What stages and scripts import only where they need it.
LATER = (
    "awkward", "docutils.core", "flax.linen", "h5py", "jax.experimental",
    "matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg", "matplotlib.figure",
    "nbformat", "numba", "optax", "pydantic.dataclasses", "scipy.optimize", "scipy.special",
    "sklearn.ensemble", "snakemake.api", "snakemake.benchmark", "snakemake.cli", "snakemake.dag",
    "snakemake.executors.local", "snakemake.profiles", "snakemake.report.html_reporter",
    "snakemake.scheduling", "snakemake.script", "snakemake.storage", "snakemake.workflow", "uproot",
)  # fmt: skip


class NotYet:
    """Finder and loader of a module that is loaded, in a process that must not know it yet.

    What has to be set before JAX is imported is refused later, though it is read with the first
    question for devices, which no process has asked here.
    """

    def __init__(self, name: str) -> None:
        self.name, self.module = name, sys.modules.pop(name)

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name == self.name else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        """It has run."""


class Forked(Exception):  # noqa: N818 (an event, not an error)
    """This is the new process; it holds what was asked for."""


def main(address: str, parent: int) -> None:
    """Import, then serve until `parent` ends. Raises Forked in each process that was asked for."""
    before = dict(os.environ)
    prepare()
    own = {key: value for key, value in os.environ.items() if key not in before}
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen(64)
    print("ready", flush=True)
    serve(listening, os.pidfd_open(parent), own)


def prepare() -> None:
    """Import all that may be needed, and read the library's code for fingerprints.

    What is not installed is left out.
    """
    warnings.filterwarnings("ignore", message="os.fork")
    # Otherwise linear algebra and pyarrow, which awkward imports, start threads when imported.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    os.environ["JE_ARROW_MALLOC_CONF"] = "background_thread:false"
    sys.path.insert(0, str(SOURCE))
    package = importlib.import_module(PACKAGE)
    ours = [one.name for one in pkgutil.walk_packages(package.__path__, f"{PACKAGE}.")]
    for name in (*LATER, *ours):
        try:
            importlib.import_module(name)
        except ImportError as error:
            print(f"{name}: {error}", file=sys.stderr)
    importlib.import_module("numba").njit(lambda: 0)()  # the first call loads all that it knows
    fingerprint = importlib.import_module(f"{PACKAGE}.planning.fingerprint")
    for name in ours:
        fingerprint.of_code(name)
    threads = len(os.listdir("/proc/self/task"))
    if threads > 1:
        raise RuntimeError(f"{threads} threads run after the imports: no process can be forked")
    gc.freeze()


def serve(listening: socket.socket, parent: int, own: dict[str, str]) -> None:
    """Answer those that ask. Raises Forked in a new process."""
    waiting = selectors.DefaultSelector()
    waiting.register(listening, selectors.EVENT_READ, None)
    waiting.register(parent, selectors.EVENT_READ, None)
    ended: dict[int, tuple[int, socket.socket]] = {}  # descriptor of a process: it, who asked
    asking: dict[socket.socket, int] = {}  # who asked: the process
    while True:
        for key, _ in waiting.select():
            if key.fileobj is listening:
                client, _ = listening.accept()
                pid = start(client, own)
                ended[descriptor := os.pidfd_open(pid)] = pid, client
                asking[client] = pid
                waiting.register(descriptor, selectors.EVENT_READ, None)
                waiting.register(client, selectors.EVENT_READ, None)
            elif key.fd == parent:
                for pid in asking.values():
                    os.kill(pid, signal.SIGKILL)
                return
            elif key.fd in ended:
                pid, client = ended.pop(key.fd)
                waiting.unregister(key.fd)
                os.close(key.fd)
                tell(client, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                if asking.pop(client, None) is not None:
                    waiting.unregister(client)
                client.close()
            elif isinstance(key.fileobj, socket.socket) and key.fileobj in asking:
                number = key.fileobj.recv(1)
                os.kill(asking[key.fileobj], number[0] if number else signal.SIGKILL)
                if not number:  # whoever asked is gone
                    waiting.unregister(key.fileobj)
                    del asking[key.fileobj]


def tell(client: socket.socket, status: int) -> None:
    with contextlib.suppress(OSError):  # whoever asked may be gone
        client.sendall(status.to_bytes(4, "big", signed=True))


def start(client: socket.socket, own: dict[str, str]) -> int:
    """Fork a process for a client; its number. Raises Forked in it."""
    size, streams, _, _ = socket.recv_fds(client, 8, 3)
    length, parts = int.from_bytes(size, "big"), bytearray()
    while len(parts) < length:
        parts += client.recv(length - len(parts))
    asked = json.loads(parts)
    pid = os.fork()
    if not pid:
        os.setpgid(0, 0)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        asked["environment"] = own | asked["environment"]
        raise Forked(asked)
    for stream in streams:
        os.close(stream)
    return pid


def run(asked: dict[str, Any]) -> None:
    """Do in a new process what `python ARGUMENTS` does."""
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.executable = asked["program"]
    sys.meta_path.insert(0, NotYet("jax"))  # type: ignore[arg-type]
    first, *others = asked["arguments"]
    sys.path[:] = [one for one in sys.path if one != str(SOURCE)]
    places = [one for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one]
    if places and str(SOURCE) not in places:
        for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
            del sys.modules[name]  # another copy of the library is to be imported
    sys.path[:0] = places or [str(SOURCE)]
    if first == "-m":
        sys.argv = others
        sys.path.insert(0, os.getcwd())
        runpy.run_module(others[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = [first, *others]
        sys.path.insert(0, str(Path(first).resolve().parent))
        script = ModuleType("__main__")
        script.__file__ = first
        sys.modules["__main__"] = script  # it stays until the end, as that of `python SCRIPT` does
        exec(compile(Path(first).read_bytes(), first, "exec"), script.__dict__)


def leave(code: object) -> NoReturn:
    """End a process as Python does, but do not clear its memory.

    That is the server's until it is written to, and clearing writes to all of it: half a second of
    every process. code: of SystemExit.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    if isinstance(code, str):
        print(code, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    try:
        main(sys.argv[1], int(sys.argv[2]))
    except Forked as forked:
        wanted = forked.args[0]
    else:
        os._exit(0)
    try:
        run(wanted)
    except SystemExit as left:
        leave(left.code)
    leave(None)
