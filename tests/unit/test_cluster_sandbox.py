"""What travels with a job and comes back, without HTCondor: its part is played by copies."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rootloom.errors import ConfigError, InputError
from rootloom.shards.manifest import Entry, Manifest
from rootloom.system.atomic import Draft
from rootloom.system.filelist import File, FileList
from rootloom.system.packing import label, number_of
from snakemake_executor_plugin_rootloom_htcondor.reads import excerpts_for, read_by
from snakemake_executor_plugin_rootloom_htcondor.sandbox import (
    Cargo,
    Common,
    Sandboxes,
    checkout_of,
)

TOKEN = "rl0123456789abcdef01"
LONG_AGO = 1_600_000_000_123_456_789  # ns: no floating-point number holds it
STARTS = ".snakemake/rootloom/starts.log"

# Reads by relative paths what it was sent, and leaves something of every kind.
PROGRAM = """
import os, pathlib, sys
assert pathlib.Path("src/rootloom/a.py").read_text() == "code"
assert pathlib.Path("data/in.txt").read_text() == "in"
assert os.stat("data/in.txt").st_mtime_ns == 1_600_000_000_123_456_789
assert pathlib.Path(".snakemake/rootloom/files/toy.list").read_text() == "made for it"
assert not os.path.exists("data/big.root")
pathlib.Path("results/new").mkdir(parents=True)
pathlib.Path("results/new/out.h5").write_text("out")
pathlib.Path("results/new/.out.h5.node-7.partial").write_text("half")
pathlib.Path("results/kept.txt").write_text("changed")
os.unlink("results/old.txt")
pathlib.Path(".snakemake/log").mkdir()
pathlib.Path(".snakemake/log/engine").write_text("of the node's engine")
open(".snakemake/rootloom/starts.log", "a").write("this start\\n")
print("ready", flush=True)
if sys.argv[1:]:
    import signal, time
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
    time.sleep(60)
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with code, an input, and results of an earlier run."""
    home = tmp_path / "home"
    files = {
        "Snakefile": "", "src/rootloom/a.py": "code", "data/in.txt": "in", "data/big.root": "",
        "results/kept.txt": "kept", "results/same.txt": "same", "results/old.txt": "old",
        STARTS: "an earlier start\n",
    }  # fmt: skip
    for name, text in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
        os.utime(home / name, ns=(LONG_AGO, LONG_AGO))
    monkeypatch.chdir(home)
    return home


def sandboxes(home: Path) -> Sandboxes:
    return Sandboxes(home / ".snakemake/sandboxes", home, lambda: Common(home))


def cargo(*arguments: str, outputs: tuple[str, ...] = ("results/new/out.h5",)) -> Cargo:
    reads = ["data/in.txt", "results/kept.txt", "results/same.txt", "results/old.txt"]
    made = {".snakemake/rootloom/files/toy.list": b"made for it"}
    return Cargo([sys.executable, "-c", PROGRAM, *arguments], reads, outputs, made=made)


def carried(home: Path, boxes: Sandboxes, scratch: Path) -> Path:
    """What HTCondor does before a job starts; the sandbox at home."""
    place = home / ".snakemake/sandboxes" / TOKEN[2:4] / TOKEN
    shutil.copytree(place / "in", scratch, copy_function=shutil.copyfile)
    shutil.copyfile(boxes.archive, scratch / boxes.archive.name)
    return place


def start(scratch: Path, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "node.py", "--carried"], cwd=scratch, text=True,
        stdout=subprocess.PIPE, env={**os.environ, **variables},
    )  # fmt: skip


def ran(home: Path, boxes: Sandboxes, scratch: Path) -> Path:
    """A job that has ended, and whose output HTCondor has brought back."""
    boxes.prepare(TOKEN, cargo())
    place = carried(home, boxes, scratch)
    with start(scratch) as process:
        assert process.wait(60) == 0
    shutil.copytree(scratch / "out", place / "out")
    return place


def test_what_a_job_changed_comes_home_and_nothing_else(home: Path, tmp_path: Path) -> None:
    boxes = sandboxes(home)
    place = ran(home, boxes, tmp_path / "scratch")
    assert not (home / "results/new/out.h5").exists()
    boxes.land(TOKEN)
    boxes.land(TOKEN)  # there is nothing any more
    texts = {p.name: p.read_text() for p in (home / "results").rglob("*") if p.is_file()}
    assert texts == {"out.h5": "out", "kept.txt": "changed", "same.txt": "same"}
    assert (home / "results/same.txt").stat().st_mtime_ns == LONG_AGO
    assert (home / STARTS).read_text() == "an earlier start\nthis start\n"
    assert not (home / ".snakemake/log").exists()
    assert not place.exists()


def test_a_part_of_what_came_back_is_not_the_whole(home: Path, tmp_path: Path) -> None:
    boxes = sandboxes(home)
    place = ran(home, boxes, tmp_path / "scratch")
    (place / "out/tree/results/new/out.h5").write_text("ou")
    boxes.land(TOKEN)
    assert not (home / "results/new/out.h5").exists()
    assert (home / "results/kept.txt").read_text() == "kept"
    assert (home / "results/old.txt").exists()


def test_landing_goes_on_where_it_was_killed(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes = sandboxes(home)
    ran(home, boxes, tmp_path / "scratch")
    publish = Draft.publish

    def killed(draft: Draft) -> None:
        if draft.final.name == "out.h5":
            raise KeyboardInterrupt
        publish(draft)

    monkeypatch.setattr(Draft, "publish", killed)
    with pytest.raises(KeyboardInterrupt):
        boxes.land(TOKEN)
    monkeypatch.setattr(Draft, "publish", publish)
    # The declared output is the last one.
    assert (home / "results/kept.txt").read_text() == "changed"
    assert not (home / "results/new/out.h5").exists()
    boxes.land(TOKEN)
    assert (home / "results/new/out.h5").read_text() == "out"
    assert not (home / "results/old.txt").exists()


def test_half_a_sandbox_is_no_earlier_state(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes = sandboxes(home)
    place = ran(home, boxes, tmp_path / "scratch")
    (place / "in/state.tar").write_text("what would be landed again")
    monkeypatch.setattr(shutil, "rmtree", lambda path, **words: (path / "landing.json").unlink())
    boxes.land(TOKEN)
    monkeypatch.undo()
    boxes.land(TOKEN)
    assert (home / "results/new/out.h5").read_text() == "out"
    boxes.sweep([TOKEN])
    assert list((home / ".snakemake/sandboxes").glob("??/*")) == []


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Path]:
    """A file proxy that knows `cookie`, `putfile` and `rename`, as HTCondor's does; its config."""
    server = socket.create_server(("127.0.0.1", 0))
    config = tmp_path / "chirp.config"
    config.write_text(f"127.0.0.1 {server.getsockname()[1]} secret")

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection, connection.makefile("rwb", buffering=0) as stream:
                for line in stream:
                    _answer(stream, line.decode().split())

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield config
    server.close()


def _answer(stream: Any, words: list[str]) -> None:
    if words[0] == "putfile":
        stream.write(b"0\n")
        data = b""
        while len(data) < int(words[3]):
            data += stream.read(int(words[3]) - len(data))
        Path(words[1]).write_bytes(data)
        stream.write(f"{len(data)}\n".encode())
    elif words[0] == "rename":
        Path(words[1]).rename(words[2])
        stream.write(b"0\n")
    else:
        stream.write(b"0\n" if words == ["cookie", "secret"] else b"-1\n")


def test_a_job_that_is_told_to_stop_sends_home_what_it_has(
    home: Path, tmp_path: Path, proxy: Path
) -> None:
    boxes = sandboxes(home)
    boxes.prepare(TOKEN, cargo("waits"))
    place = carried(home, boxes, tmp_path / "scratch")
    with start(tmp_path / "scratch", _CONDOR_CHIRP_CONFIG=str(proxy)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 75
    # Its next start finds it,
    again = tmp_path / "again"
    carried(home, boxes, again)
    (again / "job.json").write_text(
        (again / "job.json").read_text().replace(json.dumps(PROGRAM), json.dumps("print('ready')"))
    )
    with start(again) as process:
        assert process.wait(60) == 0
    assert (again / "out/tree/results/new/out.h5").read_text() == "out"
    # and so does the head, should there be no next start.
    boxes.land(TOKEN)
    assert (home / "results/new/out.h5").read_text() == "out"
    assert (home / "results/kept.txt").read_text() == "changed"
    assert not place.exists()


def test_a_node_without_a_proxy_says_so_and_ends(home: Path, tmp_path: Path) -> None:
    boxes = sandboxes(home)
    boxes.prepare(TOKEN, cargo("waits"))
    scratch = tmp_path / "scratch"
    carried(home, boxes, scratch)
    with start(scratch, _CONDOR_CHIRP_CONFIG=str(tmp_path / "none")) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 75
    assert (scratch / "out/tree/results/new/out.h5").exists()


@pytest.mark.parametrize("output", ["/elsewhere/out.h5", "../out.h5"])
def test_results_elsewhere_are_refused(home: Path, output: str) -> None:
    with pytest.raises(ConfigError, match="below the one in which snakemake is started"):
        sandboxes(home).prepare(TOKEN, cargo(outputs=(output,)))


def test_only_the_sandboxes_of_open_submissions_stay(home: Path) -> None:
    boxes = sandboxes(home)
    boxes.prepare(TOKEN, cargo())
    boxes.prepare(TOKEN.replace("ef", "00"), cargo())
    folder = home / ".snakemake/sandboxes"
    (home / "src/rootloom/a.py").write_text("newer code")
    newer = sandboxes(home)
    newer.sweep([TOKEN])
    assert [place.name for place in folder.glob("??/*")] == [TOKEN]
    # A job of the earlier head may not have started yet.
    assert {p.name for p in folder.glob("code-*")} == {boxes.archive.name, newer.archive.name}
    newer.sweep([])
    assert [p.name for p in folder.glob("code-*")] == [newer.archive.name]


def test_the_checkout_is_where_the_library_is(home: Path) -> None:
    assert checkout_of(home / "Snakefile") == checkout_of(home / "workflow/canary.smk") == home
    assert checkout_of(home.parent / "other/Snakefile") == home.parent / "other"


# -- what a job reads ---------------------------------------------------------------------------


class Names(list[str]):
    """Files of a rule, of which some have a name."""

    def __init__(self, names: list[str], **named: list[str]) -> None:
        super().__init__([*names, *(path for paths in named.values() for path in paths)])
        self.get = named.get


def job(names: Names, output: str = "results/out.json", **params: object) -> Any:
    return SimpleNamespace(
        is_group=lambda: False,
        input=names,
        output=Names([output]),
        params=params,
        wildcards_dict={"dataset": "toy"},
    )


@pytest.fixture
def shards(home: Path) -> list[str]:
    """Two shards and the manifest that names them, first."""
    names = ["results/shards/a.0.h5", "results/shards/b.0.h5"]
    for name in names:
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    relative = [(f"../{name.removeprefix('results/')}",) for name in names]
    entries = {
        key: Entry(f"data/{key}.root", 1, below, ("f",), 1.0)
        for key, below in zip("ab", relative, strict=True)
    }
    Path("results/packs").mkdir()
    Manifest(entries).write("results/packs/0-of-1.json", {})
    return ["results/packs/0-of-1.json", *names]


def test_a_job_on_rows_reads_the_shards_of_its_manifests(shards: list[str]) -> None:
    manifest = Names(["results/same.txt"], manifests=shards[:1])
    rows = {"section": {"representation": {"name": "features"}}}
    assert read_by(job(manifest, job=rows), {}) == sorted([*shards, "results/same.txt"])
    made = {"section": {"options": {"seed": 1}}}
    assert set(shards) < set(read_by(job(manifest, job=made, files=2), {}))
    page = {"section": {"representations": ["features"], "readers": {"": EVENTS}}}
    assert read_by(job(manifest, job=page), {}) == [shards[0], "results/same.txt"]


EVENTS: dict[str, Any] = {"variables": {}, "objects": {}, "rows": "event"}
FILES = [
    File("a", "data/in.txt", None, "2"),
    File("c", "data/gone.root", None, "3"),
    File("far", "root://host//far.root", None, "far"),
]


@pytest.fixture
def listing() -> FileList:
    """Two packs, of which one is the job's: it holds all files of `FILES`."""
    others = (File(f"other-{n}", f"data/{n}.root", None, str(n)) for n in range(100))
    mine = {label(number_of(file.key, 2), 2) for file in FILES}
    assert mine == {"0-of-2"}
    return FileList.of(((file, 1.0) for file in (*FILES, *others)), 52.0, "asked")


def test_a_job_that_makes_shards_reads_root_files_and_shards_that_are_there(
    shards: list[str], listing: FileList
) -> None:
    pattern, lists = "results/shards/{file}.{part}.h5", {"toy": (Path("toy.list"), listing)}
    digest = listing.parts["0-of-2"].digest
    reader = {**EVENTS, "variables": {"pt": "pt"}}
    section: dict[str, Any] = {"files": digest, "readers": {"": reader}, "parts": 1}
    expected = ["data/in.txt", shards[1]]
    asked = job(Names([]), job={"section": section}, shards=pattern)
    assert read_by(asked, lists) == expected
    one = {"file": FILES[0]._asdict(), "readers": {"": reader}, "part": 0}
    assert read_by(job(Names([]), job={"section": one}), lists) == ["data/in.txt"]
    beside = {**one, "file": FILES[0]._replace(friends={"tagger": shards[0]})._asdict()}
    found = read_by(job(Names([]), job={"section": beside}), lists)
    assert found == sorted(["data/in.txt", shards[0]])
    # Friend trees of events need the number of entries alone, those of objects their counts.
    section["readers"] = {"": EVENTS}
    assert read_by(job(Names([]), job={"section": section}), lists) == []
    section["readers"] = {"": {**EVENTS, "rows": "Jet"}}
    assert read_by(job(Names([]), job={"section": section}), lists) == ["data/in.txt"]


@pytest.mark.parametrize("section", ["pack", "file", "none"])
def test_a_job_is_given_the_files_of_its_own_pack(
    listing: FileList, tmp_path: Path, section: str
) -> None:
    digest = listing.parts["0-of-2"].digest
    given = {"pack": {"files": digest}, "file": {"file": FILES[0]._asdict()}, "none": {}}
    path = tmp_path / "toy.list"
    other = FileList.of([(FILES[0], 1.0)], 52.0, "asked")
    lists = {"toy": (path, listing), "other": (tmp_path / "other.list", other)}
    given_to = excerpts_for(job(Names([]), job={"section": given[section]}), lists)
    for name, content in given_to.items():
        Path(name).write_bytes(content)
    found = FileList.read(path)
    with pytest.raises(InputError):  # of the other dataset no file travels, and how many there are
        FileList.read(tmp_path / "other.list").of_pack("0-of-1")
    assert (found.files, found.digest, found.packs) == (listing.files, listing.digest, 2)
    assert {pack: part.digest for pack, part in found.parts.items()} == {
        pack: part.digest for pack, part in listing.parts.items()
    }
    if section != "none":
        assert found.of_pack("0-of-2") == listing.of_pack("0-of-2")
    with pytest.raises(InputError):
        found.of_pack("1-of-2")
    assert path.stat().st_size < (len(listing.body) if section != "none" else 1000)


def test_a_job_reads_its_checkpoints_its_old_output_and_why_it_ended(home: Path) -> None:
    Path("results/training/0").mkdir(parents=True)
    for name in ("results/training/0/step-1", ".snakemake/rootloom/outcomes.json"):
        Path(name).touch()
    found = read_by(job(Names([]), output="results/kept.txt", directory="results/training"), {})
    assert found == [
        ".snakemake/rootloom/outcomes.json", "results/kept.txt", "results/training/0/step-1",
    ]  # fmt: skip
