"""What cannot be read is set aside, once and visibly; what cannot be written sets nothing aside."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot
from tests.stages import ROOT, Run, rows_of

from rootloom.errors import (
    ChangedError,
    ConfigError,
    DataError,
    InputError,
    ResourceError,
    RootloomError,
    StorageError,
    UnsteadyError,
    from_dict,
    naming,
    to_dict,
)
from rootloom.evaluation.predictions import Header, Predictions, write_predictions
from rootloom.evaluation.predictions import Rows as PredictedRows
from rootloom.rootio import arrays
from rootloom.rootio.catalogue import Catalogue, quarantine
from rootloom.rootio.dataset import ClassRule, RowReader
from rootloom.rootio.header import inspect
from rootloom.rootio.joining import Checksums
from rootloom.rootio.transport.source import expand
from rootloom.rootio.writing import Rows, write_tree
from rootloom.shards.manifest import Entry, Manifest, Mark, mark_beside
from rootloom.stages import branches, preprocess, sharding
from rootloom.stages.friend_trees import Scores
from rootloom.system import atomic, faults, provenance

ROWS = 60
DATASET: dict[str, Any] = {
    "tree": "events",
    "files": ["data/*.root"],
    "classes": {"a": {"where": "y == 0"}, "b": {"where": "y == 1"}},
    "variables": {"x": "x", "z": "z"},
    "splits": {"train": 0.6, "validation": 0.2, "test": 0.2},
    "on_bad_file": "quarantine",
}


def write(path: Path, seed: int, rows: int = ROWS) -> None:
    """Uncompressed, so that files of equally many rows are of one size; baskets of ten rows."""
    rng = np.random.default_rng(seed)
    columns = {
        "x": rng.normal(size=rows),
        "z": rng.normal(size=rows),
        "y": rng.integers(0, 2, rows),
    }
    path.parent.mkdir(exist_ok=True)
    with uproot.recreate(path, compression=None) as file:
        tree = file.mktree("events", {name: values.dtype for name, values in columns.items()})
        for first in range(0, rows, 10):
            tree.extend({name: values[first : first + 10] for name, values in columns.items()})


def garble(path: Path, basket: int = -1) -> bytes:
    """Spoil a basket of `z`, leaving headers, size and time as they are; what was there before."""
    before, status = path.read_bytes(), path.stat()
    with uproot.open(path) as file:
        seek = int(file["events/z"].member("fBasketSeek")[: file["events/z"].num_baskets][basket])
    path.write_bytes(before[:seek] + b"\xff" * 60 + before[seek + 60 :])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    return before


def put_back(path: Path, content: bytes) -> None:
    """Other content under the same name, size and time."""
    status = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three good files."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate("abc"):
        write(tmp_path / f"data/{name}.root", number)
    return tmp_path


def run(here: Path, **changes: Any) -> Run:
    return Run(here, {**DATASET, **changes})


def entries(at: Run) -> dict[str, Entry]:
    """What the only manifest says, by the name of the file."""
    (pack,) = at.plan.files("mine").packs
    found = Manifest.read(at.preprocess(pack)).files
    return {Path(entry.url).stem: entry for entry in found.values()}


def counts(at: Run) -> dict[str, int]:
    (pack,) = at.plan.files("mine").packs
    below = Path(at.plan.paths.manifest("mine", "features", pack)).parent
    return {
        name: sum(len(rows_of(below / shard)) for shard in entry.shards)
        for name, entry in entries(at).items()
    }


def left(here: Path, pattern: str) -> list[str]:
    return sorted(path.name.partition("-")[0] for path in here.glob(f"results/**/{pattern}"))


# -- set aside ------------------------------------------------------------------------------------
def test_a_file_that_was_set_aside_has_a_mark_and_no_shard(here: Path) -> None:
    garble(here / "data/b.root")
    found = entries(run(here))
    assert (found["b"].shards, found["b"].events) == ((), None)
    assert "b.root" in (found["b"].quarantined or "")
    assert left(here, "*.h5") == ["a", "c"]
    assert left(here, "*.aside.json") == ["b"]
    assert counts(run(here)) == {"a": ROWS, "b": 0, "c": ROWS}
    total = json.loads(Path(run(here).statistics()).read_text())
    assert total["samples"][""]["entries"] == 2 * ROWS
    assert run(here).plan.lost("mine").shards == {"features": []}


def test_an_empty_file_is_an_ordinary_one(here: Path) -> None:
    write(here / "data/b.root", 1, rows=0)
    found = entries(run(here))
    assert found["b"].quarantined is None
    assert left(here, "*.h5") == ["a", "b", "c"]
    assert left(here, "*.aside.json") == []
    assert counts(run(here)) == {"a": ROWS, "b": 0, "c": ROWS}


@pytest.mark.parametrize("deleted", ["packs/*.json", "index/*.json", "shards/**/*.h5", "*"])
def test_it_stays_aside_whatever_is_deleted_until_it_is_retried(here: Path, deleted: str) -> None:
    """What follows was made without it, even if it can be read again meanwhile."""
    good = garble(here / "data/b.root")
    first = entries(run(here))["b"]
    for path in here.glob(f"results/datasets/mine/**/{deleted}"):
        if path.is_file() and not path.name.endswith(".aside.json"):
            path.unlink()
    put_back(here / "data/b.root", good)
    again = entries(run(here))["b"]
    assert (again.quarantined, again.fingerprints) == (first.quarantined, first.fingerprints)
    for path in here.glob("results/datasets/mine/features/packs/*.json"):
        path.unlink()
    before = run(here).plan.job("statistics", dataset="mine", representation="features")
    assert len(run(here).plan.files("mine").retry()) == 1
    later = run(here)
    assert later.plan.job("statistics", dataset="mine", representation="features") != before
    assert counts(later) == dict.fromkeys("abc", ROWS)
    assert left(here, "*.aside.json") == []


def test_all_that_is_deleted_is_read_again(here: Path) -> None:
    garble(here / "data/b.root")
    entries(run(here))
    shutil.rmtree(here / "results")
    assert entries(run(here))["b"].quarantined


def test_no_part_of_a_bad_file_counts(here: Path) -> None:
    """Its first half could be read; it had been whole before."""
    assert len(entries(run(here, shards_per_file=2))["b"].shards) == 2
    garble(here / "data/b.root")
    os.utime(here / "data/b.root")
    found = counts(run(here, shards_per_file=2))
    assert found == {"a": ROWS, "b": 0, "c": ROWS}
    assert left(here, "*.h5") == ["a", "a", "c", "c"]


@pytest.mark.parametrize("minutes", [2, 1e-9])
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"variables": {"x": "x", "z": "zz"}}, "zz, in none of the 3 files"),
        ({"variables": {"x": "x", "z": 'branch("zz", "zy")'}}, "zz"),
        ({"tree": "event"}, "tree event, in none(.|\n)*did you mean 'events'"),
    ],
)
def test_what_no_file_has_sets_none_aside(
    here: Path, wrong: dict[str, Any], words: str, minutes: float
) -> None:
    (here / "data/bad.root").write_text("a page that says the file is not here")
    at = Run(here, {**DATASET, **wrong}, minutes)
    with pytest.raises(ConfigError, match=words):
        asked(at)
    assert left(here, "*.aside.json") == []
    corrected = Run(here, DATASET, minutes)
    asked(corrected)
    found = [
        Path(entry.url).stem
        for pack in corrected.plan.files("mine").packs
        for entry in Manifest.read(corrected.preprocess(pack)).files.values()
        if entry.quarantined
    ]
    assert found == ["bad"]


def test_a_missing_branch_is_named_with_the_keys_that_ask_for_it(here: Path) -> None:
    wrong = {"variables": {"x": "x", "z": "2 * zz"}, "select": "zz > 0"}
    with pytest.raises(InputError, match=r"branches 'zz', of variables\.z, select") as found:
        entries(run(here, on_bad_file="fail", **wrong))
    assert "correct 'zz' in the dataset file" in found.value.fix
    (here / "data/bad.root").write_text("a page that says the file is not here")
    with pytest.raises(InputError) as some:
        entries(run(here, on_bad_file="fail", **wrong))
    assert "repair or remove" in some.value.fix


def test_what_some_files_lack_sets_these_aside(here: Path) -> None:
    with uproot.recreate(here / "data/b.root") as file:
        tree = file.mktree("events", {"x": "f8", "y": "i8"})
        tree.extend({"x": np.ones(9), "y": np.ones(9, np.int64)})
    at = Run(here, DATASET, minutes=1e-9)
    assert len(at.plan.files("mine").packs) > 1
    asked(at)
    assert (
        run(here).plan.asked_first("mine")
        != run(here, on_bad_file="fail").plan.asked_first("mine")
        == []
    )
    assert [name for name, entry in entries(run(here)).items() if entry.quarantined] == ["b"]
    assert "'z'" in str(entries(run(here))["b"].quarantined)


def asked(at: Run) -> None:
    (output,) = at.plan.asked_first("mine")
    indexes = [at.index(pack) for pack in at.plan.files("mine").packs]
    branches.run(at.plan.job("branches", dataset="mine"), indexes=indexes, output=output)


def test_another_look_is_asked_for_pack_by_pack(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "ab":
        garble(here / f"data/{name}.root")
    entries(run(here))
    for path in here.glob("results/**/packs/*.json"):
        path.unlink()
    files, asked = run(here).plan.files("mine"), []
    of_pack = files.of_pack
    monkeypatch.setattr(files, "of_pack", lambda pack: asked.append(pack) or of_pack(pack))
    assert len(files.retry()) == 2
    assert len(asked) == 1


def test_nothing_but_bad_files(here: Path) -> None:
    for name in "abc":
        (here / f"data/{name}.root").write_text("a page that says the file is not here")
    with pytest.raises(DataError, match="none in any file, 3 of 3 files were set aside"):
        run(here).statistics()


def test_a_pack_of_bad_files_among_good_ones(here: Path) -> None:
    """Sums do not depend on it: to the bit they are those of the good files alone."""
    for name in "ab":
        garble(here / f"data/{name}.root")
    bad = Run(here, DATASET, minutes=1e-9)
    assert len(bad.plan.files("mine").packs) > 1
    packed = json.loads(Path(bad.statistics()).read_text())
    alone = json.loads(Path(run(here, files=["data/c.root"]).statistics()).read_text())
    for one in (packed, alone):
        del one["provenance"], one["digest"]
    assert packed == alone


def test_what_is_shown_of_rows_has_the_same_bits_however_files_are_packed(here: Path) -> None:
    for number in range(4, 9):
        write(here / f"data/{number}.root", number)
    garble(here / "data/b.root")
    found = []
    for minutes in (2, 1e-9):
        at = Run(here, {**DATASET, "weight": "abs(x) + 0.1"}, minutes)
        found.append((len(at.plan.files("mine").packs), json.loads(Path(at.survey()).read_text())))
    (one, together), (several, packed) = found
    assert one == 1 < several
    assert together["provenance"]["fingerprint"] == packed["provenance"]["fingerprint"]
    for content in (together, packed):
        del content["provenance"], content["digest"]
    assert together == packed
    assert set(together["spectra"]) == {"x", "z"}


def test_where_nothing_may_be_set_aside_what_was_is_refused(here: Path) -> None:
    garble(here / "data/b.root")
    (here / "data/c.root").write_text("not here")
    entries(run(here))
    for file in ("b", "c"):
        kept = here / f"data/{file}.root"
        hidden = kept.rename(here / "hidden")
        with pytest.raises(InputError, match=r"set aside by an earlier run[\s\S]*rootloom retry"):
            entries(run(here, on_bad_file="fail"))
        hidden.rename(kept)


def test_a_lost_shard_of_a_file_that_went_bad_is_refused(here: Path) -> None:
    """What follows was made with it."""
    at = run(here)
    entries(at)
    (lost,) = here.glob("results/**/b-*.h5")
    lost.unlink()
    garble(here / "data/b.root")
    key = lost.name.partition(".")[0]
    assert run(here).plan.lost("mine").shards["features"] == [str(lost.relative_to(here))]
    with pytest.raises(InputError, match=r"b\.root"):
        preprocess.run_shard(
            at.plan.job("shard", dataset="mine", representation="features", file=key, part="0"),
            index=at.plan.paths.index("mine", at.plan.files("mine").packs[0]),
            changed=at.plan.paths.changed("mine", "{file}"),
            output=str(lost),
        )
    assert not lost.exists()


KILLS = '''
import os, signal, sys
from pathlib import Path
from tests.unit.test_failures import DATASET, entries, run

here, missed = Path.cwd(), []
real = {name: getattr(os, name) for name in ("replace", "unlink")}

def dying(moment):
    """Die as soon as the n-th file has got its name, or lost it."""
    calls = 0
    def patched(name):
        def call(*arguments, **options):
            nonlocal calls
            calls += 1
            mine = calls
            try:
                return real[name](*arguments, **options)
            finally:
                if mine == moment:
                    os.kill(os.getpid(), signal.SIGKILL)
        return call
    for name in real:
        setattr(os, name, patched(name))

two, done, moment = {"files": ["data/[ab].root"]}, False, 0
while not done:
    moment += 1
    os.system("rm -rf results .snakemake")
    child = os.fork()
    if not child:
        dying(moment)
        entries(run(here, **two))
        os._exit(0)
    done = os.waitpid(child, 0)[1] == 0
    found = entries(run(here, **two))
    if not found["b"].quarantined or found["b"].shards or found["a"].quarantined:
        missed.append(moment)
    if [p.name[0] for p in here.glob("results/**/*.h5")] != ["a"]:
        missed.append(moment)
print(moment, missed)
'''


def test_a_kill_at_any_moment_hides_no_bad_file(here: Path) -> None:
    garble(here / "data/b.root")
    done = subprocess.run(
        [sys.executable, "-c", KILLS],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])},
    )
    assert done.returncode == 0, done.stderr
    moments, _, missed = done.stdout.splitlines()[-1].partition(" ")
    assert (int(moments) > 6, missed) == (True, "[]")


# -- the machine is at fault ----------------------------------------------------------------------
POINTS: dict[str, tuple[Any, str]] = {
    "rename": (atomic.os, "replace"),
    "sync": (atomic, "_sync"),
    "folder": (Path, "mkdir"),
    "open": (atomic.Sink, "_use"),
}


class Failing:
    """Raises at the n-th call."""

    def __init__(self, real: Callable[..., Any], moment: int, code: int) -> None:
        self.real, self.left, self.code = real, moment, code

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.left -= 1
        if self.left == 0:
            raise OSError(self.code, os.strerror(self.code))
        return self.real(*arguments, **options)

    def __get__(self, instance: Any, owner: type) -> Callable[..., Any]:
        return lambda *arguments, **options: self(instance, *arguments, **options)


def refusal_of(action: Callable[[], object]) -> RootloomError | None:
    try:
        action()
    except RootloomError as refusal:
        return refusal
    return None


@pytest.mark.parametrize("code", [errno.EDQUOT, errno.EROFS, errno.EIO])
def test_a_disk_that_fails_at_any_moment_sets_nothing_aside(
    here: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    failures = 0
    for at in POINTS:
        for moment in (1, 3):
            shutil.rmtree(here / "results", ignore_errors=True)
            made = run(here)
            with monkeypatch.context() as patched:
                target, name = POINTS[at]
                failing = Failing(getattr(target, name), moment, code)
                patched.setattr(target, name, failing)
                refusal = refusal_of(lambda made=made: entries(made))  # type: ignore[misc]
            if failing.left <= 0:
                assert isinstance(refusal, ResourceError)
                assert "results" in refusal.where
                failures += 1
            assert left(here, "*.aside.json") == []
            assert left(here, ".*.partial") == []
            assert {e.quarantined for e in entries(run(here)).values()} == {None}
    assert failures >= 7


def test_a_write_that_fails_inside_a_shard(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HDF5 writes through `Sink`, which keeps the error for later."""

    class Full:
        def __init__(self, raw: Any) -> None:
            self._raw = raw

        def write(self, data: Any) -> int:
            if self._raw.tell() > 4000:
                raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
            return int(self._raw.write(data))

        def __getattr__(self, name: str) -> Any:
            return getattr(self._raw, name)

    use = atomic.Sink._use
    with monkeypatch.context() as patched:
        patched.setattr(atomic.Sink, "_use", lambda sink, raw: use(sink, Full(raw)))  # type: ignore[arg-type]
        with pytest.raises(StorageError, match="bytes free"):
            entries(run(here))
    assert left(here, "*.aside.json") == left(here, "*.h5") == left(here, ".*.partial") == []
    assert counts(run(here)) == dict.fromkeys("abc", ROWS)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 120 kB of its own."""
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    mount = ["mount", "-t", "tmpfs", "-o", "size=120k", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs the rights of root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("on_bad_file", ["quarantine", "fail"])
def test_a_full_disk_stops_the_run_which_goes_on_when_there_is_room(
    here: Path, small_disk: Path, on_bad_file: str
) -> None:
    (here / "results").symlink_to(small_disk)
    garble(here / "data/b.root")
    filling = small_disk / "somebody else's"
    filling.write_bytes(b"x" * 90_000)
    with pytest.raises(StorageError, match=r"expected: room[\s\S]*bytes free on the file system"):
        entries(run(here, on_bad_file=on_bad_file))
    assert left(here, "*.partial") == []
    kept = left(small_disk, "*.h5")
    filling.unlink()
    if on_bad_file == "fail":
        with pytest.raises(InputError, match=r"b\.root"):
            entries(run(here, on_bad_file="fail"))
        return
    found = entries(run(here))
    assert {name for name, entry in found.items() if entry.quarantined} == {"b"}
    assert set(kept) <= {"a", "c"}
    assert counts(run(here)) == {"a": ROWS, "b": 0, "c": ROWS}


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EACCES, "Permission denied"),
        OSError(errno.EMFILE, "Too many open files"),
        OSError(errno.ESTALE, "Stale file handle"),
        OSError(errno.ETIMEDOUT, "Connection timed out"),
        OSError(errno.ENOTCONN, "Transport endpoint is not connected"),
        MemoryError("array of 3 GB"),
        RuntimeError("can't start new thread"),
        ModuleNotFoundError("No module named 'lz4'"),
    ],
)
@pytest.mark.parametrize("stage", ["index", "preprocess"])
def test_an_input_that_the_machine_cannot_read_is_not_set_aside(
    here: Path, monkeypatch: pytest.MonkeyPatch, stage: str, error: Exception
) -> None:
    refused_by(here, monkeypatch, stage, error, ResourceError)
    assert left(here, "*.aside.json") == []
    assert counts(run(here)) == dict.fromkeys("abc", ROWS)


@pytest.mark.parametrize("stage", ["index", "preprocess"])
def test_an_input_on_a_bad_block_is_set_aside(
    here: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    refused_by(here, monkeypatch, stage, OSError(errno.EIO, "Input/output error"), None)
    assert counts(run(here)) == {"a": ROWS, "b": 0, "c": ROWS}


def refused_by(
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    error: Exception,
    kind: type[RootloomError] | None,
) -> None:
    """Run with `b.root` failing to open at a stage; the refusal is of this kind, None: none."""
    module = "header" if stage == "index" else "arrays"
    name = f"rootloom.rootio.{module}.open_root"
    real = arrays.open_root

    def opened(url: str) -> Any:
        if url.endswith("b.root"):
            raise error
        return real(url)

    with monkeypatch.context() as patched:
        patched.setattr(name, opened)
        if kind is None:
            entries(run(here))
            return
        with pytest.raises(kind) as refusal:
            entries(run(here))
    assert refusal.value.fault == "machine"
    assert "b.root" in str(refusal.value)


def test_a_damaged_shard_is_written_anew_and_blames_no_input(here: Path) -> None:
    entries(run(here, variables={"x": "x"}))
    (shard,) = here.glob("results/**/b-*.h5")
    content = bytearray(shard.read_bytes())
    content[-3000:-200] = bytes(2800)
    shard.write_bytes(content)
    found = entries(run(here))
    assert {e.quarantined for e in found.values()} == {None}
    assert counts(run(here)) == dict.fromkeys("abc", ROWS)


# -- a file's identity ----------------------------------------------------------------------------
def replaced(path: Path, *, alike: bool) -> None:
    """Other events under the same name; of the same size and time if they are to look alike."""
    status = path.stat()
    write(path, seed=77, rows=ROWS if alike else ROWS + 10)
    if alike:
        assert path.stat().st_size == status.st_size
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("on_bad_file", ["quarantine", "fail"])
def test_a_file_replaced_after_it_was_indexed_is_indexed_again(
    here: Path, monkeypatch: pytest.MonkeyPatch, alike: bool, on_bad_file: str
) -> None:
    at = run(here, on_bad_file=on_bad_file)
    (pack,) = at.plan.files("mine").packs
    index = at.index(pack)
    replaced(here / "data/b.root", alike=alike)
    with monkeypatch.context() as patched:
        patched.setattr(at, "index", lambda pack: index)
        with pytest.raises(ChangedError, match=r"b\.root(.|\n)*indexed(.|\n)*start again"):
            at.preprocess(pack)
    assert left(here, "*.aside.json") == []
    assert left(here, "*.h5") == ["a", "c"]
    before = at.plan.job("statistics", dataset="mine", representation="features")["fingerprint"]
    again = run(here, on_bad_file=on_bad_file)
    assert (
        again.plan.job("statistics", dataset="mine", representation="features")["fingerprint"]
        != before
    )
    assert counts(again) == {"a": ROWS, "b": ROWS if alike else ROWS + 10, "c": ROWS}
    assert run(here).plan.files("mine").listing.digest == again.plan.files("mine").listing.digest


def test_a_file_replaced_long_after_is_noticed_when_it_is_read_again(here: Path) -> None:
    """A further variable opens files whose shards are there."""
    some = {"variables": {"x": "x"}}
    first = {name: e.fingerprints for name, e in entries(run(here, **some)).items()}
    replaced(here / "data/b.root", alike=True)
    assert {name: e.fingerprints for name, e in entries(run(here, **some)).items()} == first
    with pytest.raises(ChangedError):
        entries(run(here))
    assert counts(run(here)) == dict.fromkeys("abc", ROWS)
    (shard,) = here.glob("results/**/b-*.h5")
    made_by = provenance.read(shard)
    assert made_by is not None
    assert list(made_by["inputs"].values()) == [inspect("data/b.root", "events").checksum]


def test_a_file_written_over_while_it_is_read(here: Path) -> None:
    """Its first chunk is of the old file."""
    url = str(here / "data/a.root")
    reader = RowReader("events", {"x": "x"}, classes=(ClassRule("a", "y >= 0"),))
    header = inspect(url, "events")
    read = reader.read(url, 0, ROWS, step=10, checksums=Checksums(header.checksum))
    next(read)
    replaced(Path(url), alike=True)
    with pytest.raises(ChangedError):
        list(read)


def test_what_looks_like_damage_may_be_another_file(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = str(here / "data/a.root")
    header = inspect(url, "events")
    real = arrays.TreeFile.read

    def read(self: arrays.TreeFile, names: list[str], start: int, stop: int) -> Any:
        replaced(Path(url), alike=True)
        monkeypatch.setattr(arrays.TreeFile, "read", real)
        raise ValueError("half a basket")

    monkeypatch.setattr(arrays.TreeFile, "read", read)
    reader = RowReader("events", {"x": "x"})
    with pytest.raises(ChangedError):
        list(reader.read(url, 0, ROWS, checksums=Checksums(header.checksum)))


def test_the_objects_of_a_friend_tree_are_counted_in_the_indexed_file(tmp_path: Path) -> None:
    shutil.copyfile(ROOT / "tests/data/nano_tt_v12.root", tmp_path / "n.root")
    url, reader = str(tmp_path / "n.root"), RowReader("Events", {"pt": "Jet_pt"}, rows="Jet")
    header = inspect(url, "Events")
    counts = reader.object_counts(url, 0, header.entries, checksums=Checksums(header.checksum))
    assert len(counts) == header.entries
    shutil.copyfile(ROOT / "tests/data/nano_dy.root", tmp_path / "n.root")
    with pytest.raises(ChangedError):
        reader.object_counts(url, 0, header.entries, checksums=Checksums(header.checksum))


def test_a_simulated_file_is_known_by_its_recipe(tmp_path: Path) -> None:
    """Made again it has other bytes, and the same events."""

    def simulate(recipe: str) -> None:
        block = Rows({"x": np.arange(5.0)})
        record = {"fingerprint": recipe, "inputs": {}}
        write_tree(path, "t", [block], {"provenance": json.dumps(record)})

    path = tmp_path / "s.root"
    simulate("recipe")
    header = inspect(str(path), "t")
    assert sharding.checksums_wanted(header, "recipe").own is None
    assert sharding.checksums_wanted(header, "another").own == header.checksum
    assert sharding.checksums_wanted(header, None).own == header.checksum
    write_tree(path, "t", [Rows({"x": np.arange(5.0)})])
    assert sharding.checksums_wanted(header, "recipe").own == header.checksum


# -- the plan -------------------------------------------------------------------------------------
@pytest.mark.parametrize("pattern", ["data/*.root", "d*/a.root", "**/*.root"])
@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_a_file_or_folder_that_cannot_be_looked_at_drops_out_of_no_data_set(
    here: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, code: int
) -> None:
    """A glob passes by what it cannot list; fewer files would be another result."""
    assert expand(pattern, here)
    for name, broken in (("scandir", str(here / "data")), ("stat", str(here / "data/a.root"))):
        real = getattr(os, name)

        def failing(path: Any = ".", *rest: Any, at: Any = (real, broken), **more: Any) -> Any:
            if not isinstance(path, int) and os.path.abspath(path) == at[1]:
                raise OSError(code, os.strerror(code), str(path))
            return at[0](path, *rest, **more)

        with monkeypatch.context() as patched:
            patched.setattr(os, name, failing)
            with pytest.raises(ResourceError, match="data"):
                expand(pattern, here)


def test_a_link_to_nothing_is_refused(here: Path) -> None:
    (here / "data/z.root").symlink_to("/eos/not/mounted.root")
    with pytest.raises(InputError, match=r"z\.root(.|\n)*/eos/not/mounted\.root"):
        expand("data/*.root", here)


def test_a_file_that_one_representation_could_not_read_has_no_score_of_it(tmp_path: Path) -> None:
    """Methods on others have scored it."""
    for method, files in (("image", ("a", "b")), ("dense", ("b",))):
        header = Header(method, ("x", "y"), "y", ("score",), files)
        n = 2 * len(files)
        file = np.repeat(np.arange(len(files)), 2)
        entry, ones = np.tile([0, 1], len(files)), np.ones(n)
        rows = PredictedRows(
            np.arange(n), ones, np.zeros(n), np.arange(n)[:, None] / 8, file, entry, 0 * entry
        )
        write_predictions(tmp_path / f"{method}.h5", Predictions(header, rows))
    both = [tmp_path / "image.h5", tmp_path / "dense.h5"]
    for predictions in (both, both[::-1]):
        scores = Scores(predictions, ["a", "b"], "mine", {})
        found = scores.of("a")
        assert found.entry.tolist() == [0, 1]
        assert found.branches["mine__image"].tolist() == [0, 0.125]
        assert np.isnan(found.branches["mine__dense"]).all()
        assert scores.of("b").branches["mine__dense"].tolist() == [0, 0.125]
        assert scores.of("c").entry.tolist() == []


def test_a_value_that_cannot_be_stored_names_the_file(here: Path) -> None:
    at = Run(here, {**DATASET, "variables": {"x": "x * 1e300"}})
    with pytest.raises(DataError, match=r"^data/\S+\.root: column 'x', row 0 of the block\n"):
        at.preprocess("0-of-1")


# -- how refusals travel --------------------------------------------------------------------------
@pytest.mark.parametrize("kind", [InputError, StorageError, UnsteadyError, ChangedError])
def test_a_refusal_reaches_another_process_as_it_is(kind: type[RootloomError]) -> None:
    refusal = kind("here", expected="a", found="b", fix="c")
    again = from_dict(json.loads(json.dumps(to_dict(refusal))))
    assert (type(again), str(again)) == (kind, str(refusal))
    stranger = from_dict({**to_dict(refusal), "kind": "nearest"})
    assert stranger.where == "here"
    refusal.add_note("seen on the way")
    assert str(copy(refusal)) == str(refusal)


def test_a_refusal_names_a_place_once_and_keeps_what_it_knows() -> None:
    changed = ChangedError("tree 't'", expected="a", found="b", checksum="c")
    for _ in range(2):
        with (
            pytest.raises(ChangedError, match=r"^a\.root: tree 't'\n") as refused,
            naming("a.root"),
        ):
            raise changed
        changed = copy(refused.value)
        assert changed.checksum == "c"


def test_several_refusals_may_pass_if_one_of_them_may() -> None:
    lasting = InputError("a", expected="x", found="y")
    passing = UnsteadyError("b", expected="x", found="y")
    for refusals, passes in (
        ({"a": lasting, "c": lasting}, False),
        ({"a": lasting, "b": passing}, True),
    ):
        with pytest.raises(InputError) as refusal:
            quarantine(refusals, 3, "fail")
        assert refusal.value.passes == passes


def test_errors_that_are_nobody_s_fault_keep_their_traceback() -> None:
    for error in (KeyError("x"), ValueError("y"), FileNotFoundError(errno.ENOENT, "z")):
        assert faults.of_system(error, "a job") is None


def test_a_result_that_the_machine_cannot_read_is_not_called_damaged(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """'Delete it' would be the wrong advice."""
    at = run(here)
    entries(at)

    def failing(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(Path, "read_bytes", failing)
    index = at.plan.paths.index("mine", at.plan.files("mine").packs[0])
    for read in (Catalogue.read, Manifest.read):
        with pytest.raises(ResourceError, match="Stale file handle") as refusal:
            read(index)
        assert "delete" not in str(refusal.value)
    mark = mark_beside(here / "x.0.h5")
    mark.touch()
    with pytest.raises(ResourceError):
        Mark.read(mark)
