"""Opening ROOT files, and trying again where a network lies between."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from rootloom.errors import InputError, RootloomError
from rootloom.rootio.source import is_remote

T = TypeVar("T")


@dataclass(frozen=True)
class Retry:
    """How often a remote read is attempted. attempts ≥ 1; wait: s, doubled after every failure."""

    attempts: int = 4
    wait: float = 1.0

    def run(self, url: str, action: Callable[[], T]) -> T:
        """The result of `action`; any other failure than a refusal is tried again for a URL.

        Raises InputError naming `url` and the last failure.
        """
        attempts = self.attempts if is_remote(url) else 1
        for attempt in range(attempts):
            try:
                return action()
            except (RootloomError, MemoryError):
                raise
            except Exception as error:  # every layer below has its own kinds
                last = error
                if isinstance(error, FileNotFoundError):
                    attempts = attempt + 1
                    break
            if attempt + 1 < attempts:
                time.sleep(self.wait * 2**attempt)
        raise unreadable(url, last, attempts) from last


def unreadable(url: str, error: Exception, attempts: int = 1) -> InputError:
    """The refusal for a file that cannot be opened or read."""
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    tries = f", {attempts} attempts" if attempts > 1 else ""
    if is_remote(url):
        fix = "check the address, the server and your credentials, or copy the file"
    else:
        fix = "copy the file again from its origin, or leave it out of the dataset"
    return InputError(
        url,
        expected="a readable ROOT file",
        found=f"{type(error).__name__}: {reason}{tries}",
        fix=fix,
    )


def open_root(url: str) -> Any:
    """uproot's directory of a file, with nothing cached between reads.

    Raises InputError for a local file that is empty, truncated or no ROOT file, else what uproot
    raises.
    """
    import uproot

    # XRootD's own patience is minutes per attempt; `Retry` decides here.
    for name, value in {"XRD_CONNECTIONRETRY": "1", "XRD_CONNECTIONWINDOW": "30"}.items():
        os.environ.setdefault(name, value)
    if not is_remote(url) and os.path.isfile(url):
        _check_size(url)
    return uproot.open(url, object_cache=None, array_cache=None)


def _check_size(path: str) -> None:
    """The file's first bytes tell where it ends (TFile: fVersion, fBEGIN, fEND, big-endian)."""
    with open(path, "rb") as file:
        head = file.read(20)
    size = os.path.getsize(path)
    if size == 0:
        raise InputError(path, expected="a ROOT file", found="an empty file", fix="copy it again")
    if head[:4] != b"root":
        raise InputError(
            path,
            expected="a ROOT file, which starts with 'root'",
            found=f"a file that starts with {head[:4]!r}",
            fix="leave it out of the dataset",
        )
    wide = int.from_bytes(head[4:8], "big") >= 1_000_000
    end = int.from_bytes(head[12:20] if wide else head[12:16], "big")
    if size < max(end, 20):
        raise InputError(
            path,
            expected=f"{end} bytes, as its header says",
            found=f"{size} bytes: the file is truncated",
            fix="copy it again from its origin",
        )
