"""Opening of ROOT files, with repeated attempts for remote ones."""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from rootloom.errors import (
    ConfigError,
    InputError,
    ResourceError,
    RootloomError,
    StorageError,
    UnsteadyError,
)
from rootloom.rootio.transport import checksums
from rootloom.rootio.transport.source import is_remote
from rootloom.system import faults

T = TypeVar("T")
_LONGEST_WAIT = 60.0
_DENIED = re.compile(r"\[3010\]|Auth failed")

# Other spellings of the protocols → the names that the libraries use.
SCHEMES = {"davs": "https", "dav": "http", "xroot": "root", "xroots": "roots"}
HTTP, XROOTD = ("http", "https"), ("root", "roots")

# Copies on scratch that are read in place of the original files; managed by `staging`.
COPIES: dict[str, str] = {}


class TransferError(UnsteadyError):
    """An error that another attempt may remove: data changed on the network."""


class WholeFilesOnlyError(InputError):
    """A server cannot send a part of a file: the file has to be copied before it can be read."""

    fault = "machine"


class HopelessError(OSError):
    """A failure that another attempt cannot remove. fix: what to do about it."""

    def __init__(self, text: str, fix: str) -> None:
        super().__init__(text)
        self.fix = fix


def setting(name: str, default: float) -> float:
    """A positive number from the environment, because time limits belong to a site.

    Raises ConfigError for anything else.
    """
    text = os.environ.get(name, "")
    try:
        value = float(text or default)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise ConfigError(
            f"environment variable {name}",
            expected="a positive number",
            found=f"'{text}'",
            fix=f"unset it: the default is {default:g}",
        )
    return value


def timeout() -> float:
    """Seconds without a byte after which a server counts as dead: `ROOTLOOM_TIMEOUT`, or 60."""
    return setting("ROOTLOOM_TIMEOUT", 60)


@dataclass(frozen=True)
class Retry:
    """How often a remote read is attempted: `ROOTLOOM_ATTEMPTS` and `ROOTLOOM_WAIT`, or 4 and 1.

    attempts ≥ 1; wait: s, doubled after every failure, up to a minute, plus up to a quarter at
    random, so that a thousand jobs do not return to a server at the same time.
    """

    attempts: int = field(default_factory=lambda: max(1, int(setting("ROOTLOOM_ATTEMPTS", 4))))
    wait: float = field(default_factory=lambda: setting("ROOTLOOM_WAIT", 1.0))

    def run(self, url: str, action: Callable[[], T]) -> T:
        """The result of `action`; for a URL, temporary failures are tried again.

        Raises the error of `unreadable` for the last failure.
        """
        attempts = self.attempts if is_remote(url) else 1
        for attempt in range(1, attempts + 1):
            try:
                return action()
            except Exception as error:  # every layer below has its own kinds
                refused = isinstance(error, RootloomError)
                if refused and not isinstance(error, TransferError):
                    raise
                short = isinstance(error, MemoryError)
                if attempt == attempts or short or hopeless(error) is not None:
                    if refused:
                        raise
                    raise unreadable(url, error, attempt) from error
                reason = brief(error)
            wait = min(self.wait * 2 ** (attempt - 1), _LONGEST_WAIT)
            print(f"{address(url)}: {reason}; attempt {attempt + 1} in {wait:.3g} s", flush=True)
            time.sleep(wait * random.uniform(1, 1.25))
        raise AssertionError("attempts ≥ 1")


_DAMAGED = "copy the file again from its origin, or leave it out of the dataset"
_LOCAL: dict[type, str] = {
    FileNotFoundError: "check the path, or leave the file out of the dataset",
    IsADirectoryError: "name the files in it: FOLDER/*.root",
}


def hopeless(error: Exception) -> str | None:
    """The fix for a failure that another attempt cannot remove; None for any other failure."""
    if isinstance(error, HopelessError):
        return error.fix
    text = str(error)
    if isinstance(error, ImportError):
        return "install what remote files need: pip install 'rootloom[remote]'"
    if _DENIED.search(text) or isinstance(error, PermissionError):
        return "renew your credentials (a proxy in X509_USER_PROXY, a token in BEARER_TOKEN)"
    # XRootD's "[FATAL] Invalid address" comes as a missing file, but name servers recover.
    if "[3011]" in text or (isinstance(error, FileNotFoundError) and "[FATAL]" not in text):
        return "check the path, or leave the file out of the dataset"
    return None


def brief(error: Exception) -> str:
    """Type and text of an exception, or what a RootloomError found, on one line."""
    if isinstance(error, RootloomError):
        return error.found
    # uproot's advice on how to spell a path follows after an empty line.
    text = " ".join(str(error).partition("\n\n")[0].split())[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def unreadable(url: str, error: Exception, attempts: int = 1) -> RootloomError:
    """The RootloomError for a file that cannot be opened or read, by what is at fault.

    The file (InputError): it is missing, damaged, or on a block that cannot be read; or its
    server can be reached but does not deliver it (UnsteadyError). The machine (ResourceError):
    a server or file system that does not answer at all, memory, open files. The account
    (StorageError): the permission to read it, or credentials. The last two set no file aside.
    """
    tries = f", {attempts} attempts" if attempts > 1 else ""
    if (at_fault := _of_surroundings(url, error, f"{brief(error)}{tries}")) is not None:
        return at_fault
    kind = InputError
    if is_remote(url):
        lasting = hopeless(error)
        kind = InputError if lasting else UnsteadyError
        fix = lasting or "check the address and the server, or copy the file"
    else:
        fix = _LOCAL.get(type(error)) or _DAMAGED
    return kind(
        address(url), expected="a readable ROOT file", found=f"{brief(error)}{tries}", fix=fix
    )


def _of_surroundings(url: str, error: Exception, found: str) -> RootloomError | None:
    """The RootloomError if the file itself is not at fault; else None."""
    where, fix = address(url), hopeless(error) or "check the network and the server"
    wanted = "a server that answers"
    if where in COPIES and isinstance(error, OSError):
        fix = "leave ROOTLOOM_SCRATCH unset, or start again"
        return ResourceError(where, expected="its copy on scratch", found=found, fix=fix)
    if is_remote(url):
        if isinstance(error, PermissionError | HopelessError) or _DENIED.search(str(error)):
            wanted = "the right to read this file, from a server that can be trusted"
            return StorageError(where, expected=wanted, found=found, fix=fix)
        if faults.is_unreached(error):
            fix = f"{fix}; then start again: nothing is set aside (leave the file out if the "
            fix += "server answers for others)"
            return ResourceError(where, expected=wanted, found=found, fix=fix)
    elif isinstance(error, FileNotFoundError) and _is_away(os.path.dirname(where)):
        return ResourceError(
            where,
            expected="the folder of this file, with the files in it",
            found=found,
            fix="mount its file system on this machine; then start again",
        )
    return faults.of_system(error, where)


def _is_away(folder: str) -> bool:
    """Whether a folder is missing, or empty like the mount point of an unmounted file system."""
    try:
        return not os.listdir(folder or ".")
    except OSError:
        return True


def address(url: str) -> str:
    """The URL as sent to a server: no expected checksums, and the protocol's usual name."""
    url, _ = checksums.split(url)
    scheme, separator, rest = url.partition("://")
    return f"{SCHEMES.get(scheme.lower(), scheme.lower())}://{rest}" if separator else url


def scheme(url: str) -> str:
    """The protocol of a URL, by its usual name; empty for a path."""
    found, separator, _ = address(url).partition("://")
    return found if separator else ""


def limit_patience() -> None:
    """Limit the time-outs of XRootD's library before its first use; `Retry` does the waiting."""
    limits = {
        "XRD_CONNECTIONRETRY": "1",
        "XRD_CONNECTIONWINDOW": "30",
        # By default the library refuses a server for 30 minutes after a lost connection.
        "XRD_STREAMERRORWINDOW": "0",
        "XRD_REQUESTTIMEOUT": str(int(max(1, timeout()))),
        "XRD_TIMEOUTRESOLUTION": "1",
    }
    for name, value in limits.items():
        os.environ.setdefault(name, value)
