"""What HTCondor carries to a job's node and back, where no file system is shared.

A job's sandbox is a folder on the submitting machine:

    in/job.json    the order: command, folder, times of files (see `node.Carried`)
    in/node.py     what runs there
    in/tree/       the files that the job reads, as links, each where it lies below /
    in/state.tar   what an earlier start of the job had made when it was told to stop
    out/           what the job left, once HTCondor has brought it back

The code travels beside it, as one archive that all jobs of a head share. `landing` does the rest.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from rootloom.errors import ConfigError
from snakemake_executor_plugin_rootloom_htcondor import node
from snakemake_executor_plugin_rootloom_htcondor.landing import IN, land, read_json

CODE = ("Snakefile", "config", "envs", "rules", "scripts", "src", "workflow")
MEGABYTE = 10**6


@dataclass(frozen=True)
class Common:
    """What all jobs of a head have in common.

    root: the checkout whose code they run. read: further files that their plans read.
    """

    root: Path
    read: Sequence[str] = ()


@dataclass(frozen=True)
class Cargo:
    """What one job takes along.

    reads: files that it reads. made: files that are made for it alone, with their content. outputs:
    what its rule declares. every: seconds between two looks at what is worth sending home.
    """

    command: Sequence[str]
    reads: Sequence[str]
    outputs: Sequence[str]
    every: float | None = None
    made: Mapping[str, bytes] = field(default_factory=dict)


class Sandboxes:
    """The sandboxes of the working directory `home`, by the tokens of the submissions.

    common: called when there is something to send.
    """

    def __init__(self, folder: Path, home: Path, common: Callable[[], Common]) -> None:
        self._folder, self._home, self._common = folder, home, common

    def prepare(self, token: str, cargo: Cargo) -> tuple[dict[str, object], int]:
        """Make a sandbox; submit commands, and the bytes that travel to the node.

        Raises ConfigError for an output that has no place on another machine.
        """
        for path in cargo.outputs:
            if os.path.isabs(path) or os.path.relpath(path, self._home).startswith(".."):
                raise _misplaced(path)
        place = self._place(token)
        shutil.rmtree(place, ignore_errors=True)
        inside = place / IN
        (inside / node.TREE).mkdir(parents=True)
        carried = {name: Path(name).stat() for name in cargo.reads if not os.path.isabs(name)}
        for name in carried:
            link = inside / node.TREE / self._inside(name)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(self._home / name)
        for name, content in cargo.made.items():
            file = inside / node.TREE / self._inside(name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        (inside / "node.py").symlink_to(Path(node.__file__).resolve())
        # It must be there whatever happens to the job: HTCondor holds one whose output is missing.
        (inside / node.OUT).mkdir()
        (inside / node.OUT / ".here").touch()
        command = _at_home(cargo.command)
        order = {
            "command": command,
            "folder": self._inside("."),
            "archive": self.archive.name,
            "files": {self._inside(name): s.st_mtime_ns for name, s in carried.items()},
            "state": str(inside.absolute() / node.STATE),
            "every": cargo.every,
            "outputs": list(cargo.outputs),
        }
        (inside / node.ORDER).write_text(json.dumps(order))
        sizes = [s.st_size for s in carried.values()] + [len(made) for made in cargo.made.values()]
        size = self.archive.stat().st_size + sum(sizes)
        return self._commands(place, command[0]), size

    def land(self, token: str) -> None:
        """Give what a job left its final names; see `landing`."""
        land(self._place(token), self._home)

    def sweep(self, tokens: Iterable[str]) -> None:
        """Remove the sandboxes of other submissions than these, and the code that none needs."""
        wanted, needed = set(tokens), {self.archive.name}
        for place in self._folder.glob("??/*"):
            if place.name not in wanted:
                shutil.rmtree(place, ignore_errors=True)
            elif order := read_json(place / IN / node.ORDER):
                needed.add(order["archive"])
        for old in self._folder.glob("code-*.tar.gz"):
            if old.name not in needed:
                old.unlink(missing_ok=True)

    @cached_property
    def archive(self) -> Path:
        """The code that jobs run, as it is now, and the configuration."""
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as archive:
            for name, data in self._contents():
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
        data = gzip.compress(content.getvalue(), mtime=0)
        path = self._folder / f"code-{hashlib.sha256(data).hexdigest()[:16]}.tar.gz"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_suffix(node.UNFINISHED)
            draft.write_bytes(data)
            draft.replace(path)
        return path

    def _contents(self) -> Iterator[tuple[str, bytes]]:
        common = self._common()
        for path in sorted({*_code(common.root), *(self._home / name for name in common.read)}):
            yield self._inside(path), path.read_bytes()

    def _inside(self, path: str | Path) -> str:
        """Where a path of this machine lies in the tree."""
        return os.path.abspath(self._home / path).lstrip("/")

    def _place(self, token: str) -> Path:
        return self._folder / token[2:4] / token

    def _commands(self, place: Path, python: str) -> dict[str, object]:
        here = os.path.relpath(place, self._home)
        archive = os.path.relpath(self.archive, self._home)
        # A program without a folder is the node's own: of a container image, for example.
        own = not os.path.isabs(python)
        return {
            "executable": "/usr/bin/env" if own else python,
            "transfer_executable": False,
            "arguments": [*([python] if own else []), "node.py", "--carried"],
            "should_transfer_files": "YES",
            "when_to_transfer_output": "ON_EXIT",
            "preserve_relative_paths": False,
            "transfer_input_files": f"{here}/{IN}/, {archive}",
            "transfer_output_files": node.OUT,
            "transfer_output_remaps": f'"{node.OUT} = {here}/{node.OUT}"',
            "want_io_proxy": True,
        }


def checkout_of(snakefile: Path) -> Path:
    """The folder whose library a Snakefile runs: its own, or one above it."""
    above = snakefile.absolute().parents
    return next((folder for folder in above if (folder / "src/rootloom").is_dir()), above[0])


def _code(root: Path) -> Iterator[Path]:
    for part in CODE:
        if (root / part).is_file():
            yield root / part
        for folder, folders, names in os.walk(root / part, followlinks=True):
            folders[:] = [name for name in folders if name != "__pycache__"]
            yield from (Path(folder, name) for name in names)


def _at_home(command: Sequence[str]) -> list[str]:
    """The command without the folder that the engine is to change to: it starts there."""
    words = list(command)
    if "--directory" in words:
        words[words.index("--directory") + 1] = "."
    return words


def _misplaced(path: str) -> ConfigError:
    return ConfigError(
        "config.yaml: results",
        expected="a folder below the one in which snakemake is started: nodes share no other",
        found=path,
        fix="name it by a relative path, or leave shared-fs-usage in the profile as it is",
    )
