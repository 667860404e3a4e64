"""Opening ROOT files, and trying again where a network lies between."""

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

# How other spellings of the protocols are known to the libraries.
SCHEMES = {"davs": "https", "dav": "http", "xroot": "root", "xroots": "roots"}
HTTP, XROOTD = ("http", "https"), ("root", "roots")

# Copies on scratch that are read in place of the files they were made of; kept by `staging`.
COPIES: dict[str, str] = {}


class TransferError(UnsteadyError):
    """A refusal that another attempt may lift: what came over the network was not what was sent."""


class WholeFilesOnlyError(InputError):
    """A server that cannot send a part of a file: it has to be copied before it can be read."""

    fault = "machine"


class HopelessError(OSError):
    """A failure that no other attempt can lift. fix: what to do about it."""

    def __init__(self, text: str, fix: str) -> None:
        super().__init__(text)
        self.fix = fix


def setting(name: str, default: float) -> float:
    """A positive number out of the environment: patience belongs to a site, not to a dataset.

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

    attempts ≥ 1; wait: s, doubled after every failure, up to a minute and by up to a quarter more,
    so that a thousand jobs do not come back to a server in the same instant.
    """

    attempts: int = field(default_factory=lambda: max(1, int(setting("ROOTLOOM_ATTEMPTS", 4))))
    wait: float = field(default_factory=lambda: setting("ROOTLOOM_WAIT", 1.0))

    def run(self, url: str, action: Callable[[], T]) -> T:
        """The result of `action`; what another attempt may lift is tried again for a URL.

        Raises what `unreadable` says of the last failure.
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
    """What to do about a failure that no other attempt can lift; None for any other failure."""
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
    """Kind and text of an error, or what a refusal found, on one line."""
    if isinstance(error, RootloomError):
        return error.found
    # uproot's advice on how to spell a path follows after an empty line.
    text = " ".join(str(error).partition("\n\n")[0].split())[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def unreadable(url: str, error: Exception, attempts: int = 1) -> RootloomError:
    """The refusal for a file that cannot be opened or read, by who is at fault.

    The file (InputError): it is not there, damaged, or on a block that cannot be read; or its
    server, which can be reached, does not deliver it (UnsteadyError). The machine (ResourceError):
    a server or file system that does not answer at all, memory, open files. The account
    (StorageError): the right to read it, or credentials. Of the last two no file is set aside.
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
    """The refusal for what says nothing of the file itself; None for what does."""
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
    """Whether a folder is not there, or as empty as the place of a file system not mounted."""
    try:
        return not os.listdir(folder or ".")
    except OSError:
        return True


def address(url: str) -> str:
    """What a server is asked for: no expected checksums, and the protocol's usual name."""
    url, _ = checksums.split(url)
    scheme, separator, rest = url.partition("://")
    return f"{SCHEMES.get(scheme.lower(), scheme.lower())}://{rest}" if separator else url


def scheme(url: str) -> str:
    """The protocol of a URL, by its usual name; empty for a path."""
    found, separator, _ = address(url).partition("://")
    return found if separator else ""


def limit_patience() -> None:
    """Before XRootD's library is first used: `Retry` decides how long a server is waited for."""
    limits = {
        "XRD_CONNECTIONRETRY": "1",
        "XRD_CONNECTIONWINDOW": "30",
        # After a lost connection the library refuses the server at once, by default for 30 minutes.
        "XRD_STREAMERRORWINDOW": "0",
        "XRD_REQUESTTIMEOUT": str(int(max(1, timeout()))),
        "XRD_TIMEOUTRESOLUTION": "1",
    }
    for name, value in limits.items():
        os.environ.setdefault(name, value)
