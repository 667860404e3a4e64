"""Random faults over repeated small runs: is anything lost, and is anything done twice?

    python -m benchmarks.soak --faults 100 --seed 1            on this machine
    python -m benchmarks.soak --faults 100 --seed 1 --slurm    through a SLURM of two nodes

A round makes a fresh project, and starts its run again and again, whatever has struck it, until it
says that all is done. Then every result must have the bits of an undisturbed run, and no job that
had finished may have been started again. Exit code 1 when that does not hold.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parent))

from tests.cluster.slurm import Slurm, slurm
from tests.workflow import project as toy

import soak_check
import soak_faults
from soak_faults import Fault, Undo
from soak_run import Attempt, Ledger, Site, surroundings

EXPERIMENT = {
    "dataset": "toy",
    "task": {"kind": "classification", "signal": "w"},
    "training": {
        "batch_size": 16, "epochs": 12, "checkpoint_every_steps": 3, "tensorboard": False,
        "early_stopping": {"patience": None},
    },
    "methods": {"dense": {"model": "tiny-dnn", "representation": "features"}},
    "baselines": {"mass": {"kind": "cut", "variable": "trimmed_mass"}},
}  # fmt: skip
# The report and the friend trees take longest of all and add no figure of their own.
TARGETS = ("results/toy/evaluation/toy/dense.json", "results/toy/evaluation/toy/mass.json")
DISK = "256m"
PACE = 6.0  # at most, so that a loaded machine does not make faults rare
STALL = 300.0  # seconds without a word after a fault: the head is taken for hung, and killed
MOST_ATTEMPTS = 200


@dataclass
class Outcome:
    """What a soak did and found. problems: each breaks a promise."""

    seed: int
    site: str
    faults: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    rounds: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)


class Soak:
    """Rounds of one seed on one site, below `folder`."""

    def __init__(
        self, folder: Path, site: Site, seed: int, faults: Mapping[str, Fault], jets: int = 60
    ) -> None:
        self.folder, self.site, self.faults, self.jets = folder, site, dict(faults), jets
        self.random, self.turn = Random(seed), sorted(faults)
        self.outcome = Outcome(seed, site.name)
        self.pace, self.most, self.end = 0.0, 0, 0.0
        self.reference: dict[str, str] = {}

    def prepare(self) -> None:
        """The undisturbed run, on this machine: its results, and how fast jobs come and go.

        One that lies in the folder from an earlier soak of the same code is taken as it is.
        """
        kept = self.folder / "reference.json"
        if kept.exists():
            self.pace, self.reference = json.loads(kept.read_text())
            return
        project = self._make(self.folder / "reference")
        started = time.monotonic()
        ledger = Ledger(project)
        attempt = Attempt(local_site(self.folder), project, ledger)
        attempt.head.wait()
        attempt.close()
        if attempt.head.returncode:
            raise RuntimeError("the undisturbed run failed:\n" + "\n".join(attempt.lines))
        self.pace = (time.monotonic() - started) / len(ledger.finished)
        self.reference = soak_check.digests(project / "results")
        kept.write_text(json.dumps([self.pace, self.reference]))
        print(f"undisturbed: {len(ledger.finished)} jobs, one every {self.pace:.1f} s", flush=True)

    def run(self, faults: int, minutes: float) -> Outcome:
        """Rounds until so many faults have struck, or the time is up."""
        started = time.monotonic()
        self.most, self.end = faults, started + 60 * minutes
        while self._strikes():
            self._round()
        self.outcome.seconds = time.monotonic() - started
        return self.outcome

    def _strikes(self) -> bool:
        """Whether there are to be more faults; without them, the last round comes to its end."""
        struck = sum(self.outcome.faults.values())
        return struck < self.most and time.monotonic() < self.end

    def _round(self) -> None:
        self.outcome.rounds += 1
        name = f"round {self.outcome.rounds}"
        path = self.folder / f"round-{self.outcome.rounds}"
        with _own_disk(path):
            project = self._make(path)
            ledger = Ledger(project)
            done = any(self._attempt(project, ledger) for _ in range(MOST_ATTEMPTS))
            found = soak_check.digests(project / "results") if done else {}
            problems = [] if done else [f"not done after {MOST_ATTEMPTS} attempts"]
            problems += [f"differs: {k}" for k in sorted(_differences(found, self.reference))]
            problems += [f"again: {line}" for line in ledger.again()]
            if self.site.cluster is not None:
                self.site.cluster.clear()
            if problems:
                shutil.copytree(project, self.folder / f"kept-{path.name}", symlinks=True)
        struck = sum(self.outcome.faults.values())
        print(
            f"{name}: {struck} faults so far; {problems or 'same bits, nothing twice'}", flush=True
        )
        self.outcome.problems += [f"{name}: {problem}" for problem in problems]

    def _attempt(self, project: Path, ledger: Ledger) -> bool:
        """Start the run once, strike it now and then; whether it ended well."""
        self.outcome.attempts += 1
        if self.site.cluster is not None:
            ledger.note_whole(self.folder / "reference")
        attempt = Attempt(self.site, project, ledger)
        undo: list[Undo] = []
        struck: list[str] = []
        try:
            while not attempt.wait(self._delay(attempt)):
                if self._strikes():
                    self._strike(attempt, project, undo, struck)
                else:  # a head may wait for what is away, such as the controller, as long as it is
                    _undo(undo)
                if time.monotonic() - attempt.changed > STALL:
                    break
            if attempt.runs:
                self.outcome.faults["(hung head killed)"] += 1
                struck.append("hung")
                attempt.kill_head()
        finally:
            _undo(undo)
            if attempt.runs:  # only when the soak itself is stopped
                attempt.kill_head()
        attempt.close()
        (project / "attempts.txt").open("a").write(
            "\n".join([f"=== {struck} -> {attempt.head.returncode}", *attempt.lines, ""])
        )
        if attempt.head.returncode and not struck:
            self.outcome.problems.append(
                "failed without a fault: " + "\n".join(attempt.lines[-30:])
            )
        return attempt.head.returncode == 0

    def _delay(self, attempt: Attempt) -> float:
        """Seconds to the next fault: a few jobs' time; now and then before the plan is made."""
        while not attempt.has_planned and self.random.random() > 0.02:
            if attempt.wait(0.25):
                return 0.0
        return self.random.uniform(0, 2 * min(self.pace, PACE))

    def _strike(self, attempt: Attempt, project: Path, undo: list[Undo], struck: list[str]) -> None:
        while undo:  # what has lasted from the last fault on
            undo.pop()()
        # Every kind in turn, in an order that changes: what cannot happen now comes later.
        for kind in self.random.sample(self.turn, len(self.turn)):
            happened = self.faults[kind](attempt, project, self.random)
            if happened is not None:
                self.turn.remove(kind)
                break
        self.turn = self.turn if happened and self.turn else sorted(self.faults)
        if happened is None:
            return
        words, back = happened
        self.outcome.faults[words] += 1
        struck.append(words)
        if back is not None:
            undo.append(back)

    def _make(self, path: Path) -> Path:
        """A project nothing has run in. All have the same input files, to the bit and the date."""
        template = self.folder / "template"
        if not template.exists():
            toy.make_project(template, jets=self.jets, files=1, experiment=EXPERIMENT)
        shutil.copytree(template, path, symlinks=True, dirs_exist_ok=True)
        return path


def _undo(faults: list[Undo]) -> None:
    """End the faults that last, the latest first."""
    while faults:
        faults.pop()()


def _differences(found: Mapping[str, str], expected: Mapping[str, str]) -> set[str]:
    return {k for k in {*found, *expected} if found.get(k) != expected.get(k)} if found else set()


@contextlib.contextmanager
def _own_disk(path: Path) -> Iterator[None]:
    """A small file system of its own for one project, where this user may mount one."""
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(path)]
    mounted = subprocess.run(command, capture_output=True).returncode == 0
    try:
        yield
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(path)], check=True)
        shutil.rmtree(path, ignore_errors=True)


def local_site(folder: Path) -> Site:
    """This machine, two jobs at a time."""
    return Site("local", ("--cores", "2", *TARGETS), surroundings(folder / "compiled"))


def slurm_site(folder: Path, cluster: Slurm) -> Site:
    """A SLURM on this machine, asked more often than a site would like."""
    quick = {
        "rootloom-slurm-init-seconds-before-status-checks": 1,
        "seconds-between-status-checks": 2,
        "latency-wait": 10,
    }
    arguments = [word for name, value in quick.items() for word in (f"--{name}", str(value))]
    variables = surroundings(folder / "compiled")
    variables["SLURM_CONF"] = cluster.environment["SLURM_CONF"]
    return Site(
        "slurm", ("--profile", "profiles/slurm", *arguments, "--", *TARGETS), variables, cluster
    )


def main() -> int:
    """Run a soak and print what it found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--slurm", action="store_true", help="through a SLURM started here")
    parser.add_argument("--minutes", type=float, default=180, help="no more faults after these")
    parser.add_argument("--folder", type=Path, help="keep everything here")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="soak-"))
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        site, faults = local_site(folder), soak_faults.ANYWHERE
        if options.slurm:
            site = slurm_site(folder, stack.enter_context(slurm(nodes=2)))
            faults = faults | soak_faults.ON_SLURM
        soak = Soak(folder, site, options.seed, faults)
        soak.prepare()
        outcome = soak.run(options.faults, options.minutes)
    print(json.dumps(outcome.__dict__, indent=1))
    if not outcome.problems and options.folder is None:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if outcome.problems else 0


if __name__ == "__main__":
    sys.exit(main())
