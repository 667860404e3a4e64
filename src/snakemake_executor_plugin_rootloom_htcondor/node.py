#!/usr/bin/env python3
"""Runs a job on its node: in its folder, with what it is told reaching everything it started.

HTCondor tells only the first process of a job to stop. A job that was told so, or whose folder is
not there, ends with a code of its own (75, EX_TEMPFAIL): it is to be run again. Standard library
only, because it runs before any environment is there, and in one file, because it may have to be
brought along.

Without a shared file system (`--carried`) the job's folder is made out of what HTCondor carried
here; see `sandbox`, which also says what becomes of what is left for it in `out`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

LOST = 75
ORDER, STATE, TREE, OUT = "job.json", "state.tar", "tree", "out"
ENGINE = ".snakemake"
OURS = f"{ENGINE}/rootloom"  # what jobs leave there is for the head
UNFINISHED = ".partial"
LINE = 5120  # bytes of a request to HTCondor's file proxy
GRACE = 20.0  # seconds for that proxy to answer

Stamp = tuple[int, int, int]  # bytes, time in ns, inode: none changes behind the back of the others


def main(folder: str, *command: str) -> int:
    """Run a command in a folder; its exit code, 128 + n where it ended by signal n."""
    if folder == "--carried":
        return Carried(Path.cwd()).run()
    return run(folder, command)[0]


def run(
    folder: str | Path,
    command: Sequence[str],
    variables: Mapping[str, str] | None = None,
    *,
    every: float | None = None,
    look: Callable[[], None] = lambda: None,
) -> tuple[int, bool]:
    """Run a command in a folder; its exit code as `main` says, and whether it was told to stop.

    look: called every so many seconds while it runs.
    """
    told: list[int] = []
    try:
        os.chdir(folder)
    except OSError as error:
        print(f"error: {folder} is not on this node: {error}", file=sys.stderr)
        return LOST, False
    process = subprocess.Popen(command, start_new_session=True, env=variables)

    def hand_on(number: int, frame: object) -> None:
        told.append(number)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)

    signal.signal(signal.SIGTERM, hand_on)
    while True:
        try:
            status = process.wait(every)
            break
        except subprocess.TimeoutExpired:
            look()
    if told:
        return LOST, True
    return status if status >= 0 else 128 - status, False


class Carried:
    """A job in a folder that HTCondor's file transfer has filled, and what it leaves there.

    Every file lies below `tree` where it lies below / at home, so that relative paths stay as they
    are.
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._order: dict[str, Any] = json.loads((scratch / ORDER).read_text())
        self._tree = scratch / TREE
        self._folder = self._tree / self._order["folder"]
        self._sent: dict[str, Stamp] = {}

    def run(self) -> int:
        """Run the job and leave in `out` what it changed; its exit code."""
        self.unpack()
        code, told = run(
            self._folder, self._order["command"], self._variables(),
            every=self._order["every"], look=self.send_state,
        )  # fmt: skip
        if told:
            self.send_state()
        self.pack()
        return code

    def unpack(self) -> None:
        """Make the tree what it is at home, then add what an earlier start of the job left."""
        with tarfile.open(self._scratch / self._order["archive"]) as archive:
            archive.extractall(self._tree, filter="data")
        now = time.time_ns()
        for name, moment in self._order["files"].items():
            # Of a home whose clock is ahead the engine here would say that inputs are younger.
            os.utime(self._tree / name, ns=(now, min(moment, now)))
        (self._folder / OURS).mkdir(parents=True, exist_ok=True)
        self._before = self._stamps()
        if (self._scratch / STATE).exists():
            with tarfile.open(self._scratch / STATE) as state:
                state.extractall(self._folder, filter="data")
            self._sent = self.changed()

    def changed(self) -> dict[str, Stamp]:
        """What is new or different since the start, by its path in the job's folder."""
        now = self._stamps()
        return {name: stamp for name, stamp in now.items() if self._before.get(name) != stamp}

    def send_state(self) -> None:
        """Send home what the job has made so far, where its next start will find it."""
        changed = self.changed()
        if changed == self._sent:
            return
        draft, home = self._scratch / f"{STATE}{UNFINISHED}", self._order["state"]
        try:
            with tarfile.open(draft, "w") as state:
                for name in changed:
                    if (self._folder / name).exists():
                        state.add(self._folder / name, name)
            with Proxy() as proxy:
                proxy.put(draft, f"{home}{UNFINISHED}")
                proxy.rename(f"{home}{UNFINISHED}", home)
            self._sent = changed
        except (OSError, ValueError) as error:
            print(f"note: what was done so far could not be sent home: {error}", file=sys.stderr)
        finally:
            draft.unlink(missing_ok=True)

    def pack(self) -> None:
        """Move what changed to where HTCondor fetches it; say what that is, and what is gone."""
        out, now, changed = self._scratch / OUT, self._stamps(), self.changed()
        for name in changed:
            target = out / TREE / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (self._folder / name).rename(target)
        out.mkdir(exist_ok=True)
        said = {
            "files": {name: size for name, (size, _, _) in changed.items()},
            "gone": [name for name in self._before if name not in now],
        }
        (out / ORDER).write_text(json.dumps(said))

    def _stamps(self) -> dict[str, Stamp]:
        return {
            str(path.relative_to(self._folder)): (s.st_size, s.st_mtime_ns, s.st_ino)
            for path, s in _files(self._folder)
        }

    def _variables(self) -> dict[str, str]:
        """The environment; with a home to write to, which the user may not have here."""
        own = dict(os.environ)
        if not os.access(own.get("HOME", ""), os.W_OK):
            own["HOME"] = str(self._scratch)
        return own


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Finished files below a job's folder, without those of the engine."""
    for place, folders, names in os.walk(folder):
        below = Path(place).relative_to(folder)
        if str(below) == ENGINE:
            folders[:] = [name for name in folders if f"{ENGINE}/{name}" == OURS]
            names = []
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            path = Path(place, name)
            if not name.endswith(UNFINISHED) and path.is_file():
                yield path, path.stat()


class Proxy:
    """HTCondor's file proxy ("Chirp"), by which a running job reaches the submitting machine.

    Raises OSError where the pool has none or a request fails.
    """

    def __enter__(self) -> Proxy:
        config = os.environ.get("_CONDOR_CHIRP_CONFIG", ".chirp.config")
        host, port, cookie = Path(config).read_text().split()
        self._socket = socket.create_connection((host, int(port)), GRACE)
        self._stream = self._socket.makefile("rb")
        self._ask("cookie", cookie)
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.close()
        self._socket.close()

    def put(self, path: Path, target: str) -> None:
        """Copy a file to the submitting machine."""
        size = path.stat().st_size
        self._ask("putfile", target, str(0o644), str(size))
        with path.open("rb") as file:
            self._socket.settimeout(None)  # the rest waits for the slower of two disks
            self._socket.sendfile(file)
        if self._answer() != size:
            raise OSError(f"{target}: not all of {size} bytes arrived")

    def rename(self, path: str, target: str) -> None:
        """Rename a file on the submitting machine."""
        self._ask("rename", path, target)

    def _ask(self, *words: str) -> None:
        line = " ".join(_escaped(word) for word in words).encode()
        if len(line) >= LINE:
            raise OSError(f"{words[0]}: the path is too long")
        self._socket.sendall(line + b"\n")
        self._answer()

    def _answer(self) -> int:
        text = self._stream.readline(LINE).decode().strip()
        if not text.lstrip("-").isdigit() or int(text) < 0:
            raise OSError(f"HTCondor's file proxy answers {text or 'nothing'}")
        return int(text)


def _escaped(word: str) -> str:
    return "".join(f"\\{c}" if c in "\\ \n\t\r" else c for c in word)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
