"""One head at a time: the lease of the process that plans and submits the jobs of a directory.

Snakemake's own lock stays after a head was killed and has to be removed by hand. A lease says who
holds it, so that the next head can see that the holder is gone and take over.

A lease is a file with a record. Only the process that holds the claim on the present record may
replace it. The claim is a file named after the record, which only one process can create (by a hard
link, which is atomic on NFS too). So if several heads find a lease free, only one gets it.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import platform
import secrets
import signal
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from rootloom.errors import RootloomError
from rootloom.system.atomic import write_text
from rootloom.system.processes import Identity, identify, place

BEAT_SECONDS = 20.0  # between two updates of the lease
LEASE_SECONDS = 300.0  # without an update, a head on another machine counts as gone
TAKE_WAIT_SECONDS = 5.0  # longest wait for another process that is just taking the lease
SUBMITTED = "ROOTLOOM_BATCH_JOB"  # "SLURM 12", for a head that `rootloom submit` has queued
STOP_COMMANDS = {"SLURM": "scancel", "HTCondor": "condor_rm"}


class HeadError(RootloomError):
    """Another head runs, or has just run, in this directory."""


@dataclass(frozen=True)
class Record:
    """The holder of a lease; `released` is set if there is none.

    place: see `rootloom.system.processes.place`. since: seconds since 1970. batch: the batch job
    that the head is, for example "SLURM job 12".
    """

    token: str
    host: str = "an unknown machine (the record is damaged)"
    place: str = ""
    pid: int = 0
    started: float = 0.0
    since: float = 0.0
    batch: str = ""
    released: bool = False

    def holder(self) -> str:
        """The holder in words."""
        batch = f"{self.batch}, " if self.batch else ""
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"{batch}process {self.pid} on {self.host}, since {since}"

    def stop_command(self) -> str:
        """The command that ends the holder."""
        system, _, number = self.batch.partition(" job ")
        if system in STOP_COMMANDS:
            return f"{STOP_COMMANDS[system]} {number}"
        return f"kill {self.pid} on {self.host}"


def _own_record(released: bool = False) -> Record:
    me = identify(os.getpid())
    return Record(
        token=secrets.token_hex(8),
        host=platform.node(),
        place=place(),
        pid=os.getpid(),
        started=me.started if me else 0.0,
        since=time.time(),
        batch=_own_batch_job(),
        released=released,
    )


def _own_batch_job() -> str:
    system, _, number = os.environ.get(SUBMITTED, "").partition(" ")
    return f"{system} job {number}" if system else ""


@dataclass(frozen=True)
class Found:
    """The present record, the chain of claims that leads to it, and the time of its last update.

    record: None if nobody ever held the lease. seen: seconds since 1970, by the file system.
    """

    record: Record | None = None
    chain: tuple[str, ...] = ()
    seen: float = 0.0


class Lease:
    """The lease of one directory.

    A plan made while another head runs is out of date when that one ends: make a Lease before
    planning, and `take` it afterwards.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.file = self.directory / "head.json"
        self._record: Record | None = None
        self._over = threading.Event()
        self._before = self.look()
        self._was_live = self.is_live(self._before)

    def look(self) -> Found:
        """The present record."""
        limit = time.monotonic() + TAKE_WAIT_SECONDS
        while True:
            found = self._follow()
            # Without hard links a record can be seen half written: wait for its writer.
            if found.record is None or found.record.pid or time.monotonic() > limit:
                return found
            time.sleep(0.1)

    def is_live(self, found: Found) -> bool:
        """Whether the holder still runs, as far as can be seen from here."""
        record = found.record
        if record is None or record.released:
            return False
        if record.place == place():
            return Identity(record.pid, record.started).is_alive()
        if record.batch and record.batch == _own_batch_job():
            return False  # the batch system has ended that head and started it again, as this one
        return self._now() - found.seen < LEASE_SECONDS

    def _follow(self) -> Found:
        path, found = self.file, Found()
        while True:
            try:
                content, seen = path.read_text(), path.stat().st_mtime_ns
            except FileNotFoundError:
                return found
            record = _parsed(content) or Record(f"damaged-{seen}")
            found = Found(record, (*found.chain, record.token), seen / 1e9)
            path = self._claim(record)

    def _claim(self, record: Record) -> Path:
        return self.directory / f"head.{record.token}.next"

    def _now(self) -> float:
        """The clock of the file system, which also sets the times that are compared with it."""
        probe = self.directory / f".clock.{secrets.token_hex(8)}"
        probe.touch()
        try:
            return probe.stat().st_mtime
        finally:
            probe.unlink()

    def take(self) -> str:
        """Take the lease; return a line about the head it was taken over from, or "".

        Raises HeadError when another head holds it or has held it since this object was made.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        found, mine = self.look(), _own_record()
        stale = self._was_live or found.chain[-1:] != self._before.chain[-1:]
        if self.is_live(found) or stale or not self._replace(found, mine):
            raise self._refusal(self.look())
        self._record = mine
        atexit.register(self.release)
        threading.Thread(target=self._beat, name="head lease", daemon=True).start()
        if found.record is None or found.record.released:
            return ""
        holder = found.record.holder()
        return f"Taking over: the last run here ({holder}) ended without releasing its lease."

    def release(self) -> None:
        """Give the lease back, if this process holds it."""
        mine, self._record = self._record, None
        self._over.set()
        if mine is not None and mine.pid == os.getpid():  # not in a fork of the holder
            with contextlib.suppress(
                OSError, RootloomError
            ):  # without disk space the end of the process shows it
                found = self.look()
                if found.chain[-1:] == (mine.token,):
                    self._replace(found, _own_record(released=True))

    def _replace(self, found: Found, record: Record) -> bool:
        """Make `record` follow what was found; False when another process was first."""
        draft = self.directory / f".head.{record.token}"
        write_text(draft, json.dumps(asdict(record), indent=1))
        try:
            if found.record is None:
                return _link(draft, self.file)
            claim = self._claim(found.record)
            if not _link(draft, claim):
                return False
            if self._follow().chain[-1:] != (record.token,):
                claim.unlink()  # out of date: another process has replaced this record since
                return False
            os.replace(draft, self.file)
            for token in found.chain:
                (self.directory / f"head.{token}.next").unlink(missing_ok=True)
            return True
        finally:
            draft.unlink(missing_ok=True)

    def _beat(self) -> None:
        """Update the lease regularly; end the process at once when another head has taken over."""
        while not self._over.wait(BEAT_SECONDS):
            mine = self._record
            if mine is None:
                return
            with contextlib.suppress(OSError):  # a file system that is away for a while
                chain = self.look().chain
                if chain[-1:] == (mine.token,):
                    os.utime(self.file)
                elif chain and self._record is mine:
                    print("error: another head has taken over this directory; stopping", flush=True)
                    # At once: a normal exit would cancel the jobs that now belong to the other
                    # head.
                    os.kill(os.getpid(), signal.SIGKILL)

    def _refusal(self, found: Found) -> HeadError:
        record = found.record
        where = str(self.directory.parent.parent)
        if record is None or not self.is_live(found):
            return HeadError(
                where,
                expected="that nothing else runs here between planning and starting",
                found="another run that ended after this one was planned",
                fix="run the same command again: it makes a new plan",
            )
        wait = "run again" if record.place == place() else f"wait {LEASE_SECONDS / 60:.0f} minutes"
        return HeadError(
            where,
            expected="one run at a time in a directory",
            found=f"{record.holder()}; last update {self._now() - found.seen:.0f} s ago",
            fix=f"let it finish, or end it ({record.stop_command()}); "
            f"if it is gone already, {wait}: nothing needs to be unlocked",
        )


def _parsed(content: str) -> Record | None:
    try:
        return Record(**json.loads(content))
    except (ValueError, TypeError):
        return None


def _link(draft: Path, name: Path) -> bool:
    """Create a hard link `name` to the draft; False if the name exists."""
    try:
        os.link(draft, name)
    except FileExistsError:
        # An NFS server may have made the link and lost the answer: the link count shows it
        # (open(2)).
        return draft.stat().st_nlink == 2
    except OSError:
        return _create(draft, name)
    return True


def _create(draft: Path, name: Path) -> bool:
    """The same on file systems without hard links: readers wait until the content is complete."""
    try:
        with name.open("x") as file:
            file.write(draft.read_text())
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        return False
    return True
