"""Node-local scratch: a folder for each use, removed after it, or by the next use after a kill.

`ROOTLOOM_SCRATCH` names a folder on the node; variables in it are expanded on the node, so that
`$TMPDIR` or `$SLURM_TMPDIR` work. Scratch saves time and decides no result: if it is missing or
full, the caller continues without it, with a message.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "ROOTLOOM_SCRATCH"
RESERVE = 256 * 1024**2  # bytes left free for other users of the node
_LOCK = ".lock"


def location() -> Path | None:
    """The scratch folder named by the environment; None if scratch is not used."""
    named = os.environ.get(VARIABLE, "").strip()
    return Path(os.path.expanduser(os.path.expandvars(named))) if named else None


@contextmanager
def folder(needed: int | None = None) -> Iterator[Path | None]:
    """An empty folder on scratch for this use only, removed when the block ends.

    needed: bytes that will be written, if known. None if scratch is not used or cannot be used;
    a message says why it cannot.
    """
    root = location()
    claimed = _claim(root, needed or 0) if root else None
    if claimed is None:
        yield None
        return
    path, lock = claimed
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def note(reason: str, root: Path) -> None:
    """Print that scratch is not used this time."""
    print(f"note: {VARIABLE}={root}: {reason}; continuing without it", flush=True)


def _claim(root: Path, needed: int) -> tuple[Path, int] | None:
    """A locked folder and its lock; None, after a message, if that is impossible."""
    try:
        base = _base(root)
        with _locked(base / _LOCK):
            _sweep(base)
            free = shutil.disk_usage(base).free
            if free < needed + RESERVE:
                need = f"{needed} bytes and {RESERVE} in reserve"
                raise OSError(f"{need} are needed, {free} are free")
            path = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=base))
            return path, _lock(path / _LOCK, wait=False)
    except OSError as error:
        note(str(error), root)
        return None


def _base(root: Path) -> Path:
    """The user's folder below `root`. Raises OSError where there can be none."""
    if not root.is_absolute() or not root.is_dir():
        raise NotADirectoryError("no such folder on this node")
    base = root / f"rootloom-{os.getuid()}"
    base.mkdir(mode=0o700, exist_ok=True)
    # In a folder shared by all, such as /tmp, another user may have made it first.
    if base.is_symlink() or base.stat().st_uid != os.getuid():
        raise PermissionError(f"{base} belongs to another user")
    return base


def _sweep(base: Path) -> None:
    """Remove the folders of ended processes, whose locks the system has released."""
    for path in base.iterdir():
        if not path.is_dir():
            continue
        try:
            lock = _lock(path / _LOCK, wait=False)
        except BlockingIOError:
            continue
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = _lock(path, wait=True)
    try:
        yield
    finally:
        os.close(lock)


def _lock(path: Path, *, wait: bool) -> int:
    """An open file with an exclusive lock. Raises BlockingIOError when another holds it."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(lock)
        raise
    return lock
