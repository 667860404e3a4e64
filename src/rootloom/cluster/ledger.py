"""The ledger of submitted jobs: written before a submission, read after a restart.

A head process can die at any moment. Before each submission it writes an intent to disk: a token
that is part of the submission, and the keys of its jobs. The next head can then look for the token
in the batch system instead of submitting twice.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rootloom.system import atomic

FOLDER = Path(".snakemake", "rootloom")


@dataclass(frozen=True)
class Place:
    """One job of one submission: the token and the position in it, from 1 on."""

    token: str
    index: int


@dataclass(frozen=True)
class Intent:
    """A submission that may have happened. `time`: seconds since the epoch."""

    token: str
    keys: tuple[str, ...]
    time: float


class Ledger:
    """The intents whose jobs have no result yet; one writer at a time, threads allowed.

    A journal of lines. An intent is synced to disk before `intend` returns. The entry that a job is
    done need not be: such a job is recognised by its outputs. Opening a ledger removes the jobs
    that are done, and a last line that was cut off.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._intents: dict[str, Intent] = {}
        self._open: dict[str, list[Place]] = {}
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                self._replay(line)
        atomic.write_text(path, "".join(f"{line}\n" for line in self._compact()))
        self._earlier: dict[str, list[str]] = {}
        for key in self._open:
            self._earlier.setdefault(_outputs_of(key), []).append(key)

    def intend(self, keys: Sequence[str]) -> str:
        """Record that these jobs are about to be submitted together; return their new token."""
        intent = Intent(f"rl{uuid.uuid4().hex[:18]}", tuple(keys), time.time())
        with self._lock:
            self._add(intent)
            self._append(_line(intent), sync=True)
        return intent.token

    def forget(self, key: str) -> None:
        """Remove all submissions of a job whose result is recorded elsewhere."""
        with self._lock:
            if self._open.pop(key, None):
                self._append(json.dumps({"settled": key}), sync=False)

    def places(self, key: str) -> list[Place]:
        """The places where a job without a result was submitted, oldest first."""
        return list(self._open.get(key, ()))

    def waiting(self) -> list[Place]:
        """All places whose job has no result yet."""
        return [place for places in list(self._open.values()) for place in places]

    def rivals(self, key: str) -> list[str]:
        """Open jobs of earlier heads with the same outputs as this one but other inputs."""
        others = self._earlier.get(_outputs_of(key), ())
        return [other for other in others if other != key and other in self._open]

    def intent(self, token: str) -> Intent:
        """The submission with that token. Raises KeyError if this ledger does not have it."""
        return self._intents[token]

    def _add(self, intent: Intent) -> None:
        self._intents[intent.token] = intent
        for index, key in enumerate(intent.keys, start=1):
            if not key:
                continue  # removed before the journal was last compacted
            self._open.setdefault(key, []).append(Place(intent.token, index))

    def _replay(self, line: str) -> None:
        try:
            entry = json.loads(line)
        except ValueError:
            return  # cut off by a kill: an intent is submitted only once its line is whole
        if "settled" in entry:
            self._open.pop(entry["settled"], None)
        else:
            self._add(Intent(entry["token"], tuple(entry["keys"]), entry["time"]))

    def _compact(self) -> Iterator[str]:
        """Lines of the intents with an open job, without the keys of jobs that are done."""
        held = {place for places in self._open.values() for place in places}
        for token, intent in list(self._intents.items()):
            places = [Place(token, index) for index in range(1, len(intent.keys) + 1)]
            keys = [k if p in held else "" for p, k in zip(places, intent.keys, strict=True)]
            self._intents[token] = replace(intent, keys=tuple(keys))
            if any(keys):
                yield _line(self._intents[token])
            else:
                del self._intents[token]

    def _append(self, line: str, *, sync: bool) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
            file.flush()
            if sync:
                os.fsync(file.fileno())


def _line(intent: Intent) -> str:
    return json.dumps({"token": intent.token, "keys": intent.keys, "time": intent.time})


def key_of(rule: str, outputs: Sequence[str], fingerprint: str = "") -> str:
    """What identifies a job across heads: its rule, its outputs and its fingerprint."""
    made = hashlib.sha256("\0".join(sorted(outputs)).encode()).hexdigest()
    made_from = hashlib.sha256(fingerprint.encode()).hexdigest()
    return f"{rule}-{made[:16]}-{made_from[:16]}"


def _outputs_of(key: str) -> str:
    """The part of a key with rule and outputs, without the fingerprint."""
    return key.rpartition("-")[0]


def run_name(folder: Path, user: str) -> str:
    """The name in the queue of every job of a working directory, the same for all heads."""
    digest = hashlib.sha256(f"{folder.resolve()}\0{user}".encode()).hexdigest()
    return f"rootloom-{digest[:12]}"
