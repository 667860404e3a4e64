"""Opening a local or remote ROOT file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rootloom.errors import InputError
from rootloom.rootio.transport.remote import (
    COPIES,
    HTTP,
    SCHEMES,
    XROOTD,
    address,
    limit_patience,
    scheme,
    timeout,
)
from rootloom.rootio.transport.source import is_remote
from rootloom.system.faults import require_no_pipe

if TYPE_CHECKING:
    import uproot


def open_root(url: str) -> uproot.ReadOnlyDirectory:
    """uproot's directory of a file, with nothing cached between reads.

    Raises InputError for a local file that is empty, truncated or not a ROOT file, otherwise
    uproot's errors.
    """
    import uproot

    path = COPIES.get(address(url), address(url))
    options: dict[str, object] = {}
    if scheme(path) in HTTP:
        from rootloom.rootio.transport.web import WebSource

        options = {"handler": WebSource}
    elif scheme(path) in XROOTD:
        # Not through fsspec, which keeps the handle of a lost connection and cannot read again.
        limit_patience()
        options = {"handler": uproot.source.xrootd.XRootDSource, "timeout": timeout()}
    elif not is_remote(path) and os.path.isfile(path):
        _check_size(path)
    elif scheme(path) not in ("", "file"):
        raise InputError(
            address(url),
            expected=f"a path, or a URL of {', '.join((*HTTP, *XROOTD, *SCHEMES))}",
            found=f"'{scheme(path)}'",
            fix="copy the file to where one of these reaches it",
        )
    else:
        require_no_pipe(path)
    return uproot.open({path: None}, object_cache=None, array_cache=None, **options)


def _check_size(path: str) -> None:
    """Check the file's size with its first bytes (TFile: fVersion, fBEGIN, fEND, big-endian)."""
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
    # The version is signed; one that is negative says nothing of the size of numbers.
    wide = int.from_bytes(head[4:8], "big", signed=True) >= 1_000_000
    end = int.from_bytes(head[12:20] if wide else head[12:16], "big")
    if size < max(end, 20):
        raise InputError(
            path,
            expected=f"{end} bytes, as its header says",
            found=f"{size} bytes: the file is truncated",
            fix="copy it again from its origin",
        )
