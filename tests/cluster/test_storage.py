"""Remote files through real servers: whole runs, lost connections, wrong content, scratch."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 (shards are compressed)
import numpy as np
import pytest
import uproot
import yaml

from rootloom.errors import (
    InputError,
    ResourceError,
    RootloomError,
    StorageError,
    UnsteadyError,
)
from rootloom.rootio.dataset import ClassRule, RowReader
from rootloom.rootio.header import inspect, trees
from rootloom.rootio.transport import remote, staging
from rootloom.shards.statistics import Statistics
from rootloom.system import scratch
from rootloom.system.atomic import new_hdf5
from tests.cluster.daemons import Unavailable, skip_or_fail
from tests.cluster.servers import Web, XRootD, adler32, make_certificate, relay, web, xrootd
from tests.toy import write_jets
from tests.workflow.project import ROOT, Project, make_project

HZZ = ROOT / "tests" / "data" / "uproot-HZZ-lzma.root"
ENTRIES = 2421
CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_DIR", "X509_CERT_DIR")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return make_certificate(tmp_path_factory.mktemp("tls"))
    except Unavailable as reason:
        skip_or_fail(f"HTTPS: {reason}")
        raise


@pytest.fixture(scope="module")
def one_xrootd() -> Iterator[XRootD]:
    try:
        with xrootd() as server:
            yield server
    except (Unavailable, TimeoutError) as reason:
        skip_or_fail(f"XRootD: {reason}")


@pytest.fixture
def https(tmp_path: Path, certificate: Path) -> Iterator[Web]:
    with web(tmp_path / "served", certificate) as server:
        yield server


@pytest.fixture(autouse=True)
def site(monkeypatch: pytest.MonkeyPatch, certificate: Path) -> None:
    """A site's environment: it knows the server's certificate, and has little patience."""
    for name in (*CA_VARIABLES, "BEARER_TOKEN", "BEARER_TOKEN_FILE", "X509_USER_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in (scratch.VARIABLE, staging.VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("ROOTLOOM_WAIT", "0.05")
    monkeypatch.setenv("ROOTLOOM_TIMEOUT", "3")


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Scratch, with no reserve."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setenv(scratch.VARIABLE, str(folder))
    monkeypatch.setattr(scratch, "RESERVE", 0)
    return folder


def left_on(folder: Path) -> list[Path]:
    """What lies on scratch beside locks."""
    return [p for p in folder.rglob("*") if p.is_file() and p.name != ".lock"]


def reader(**options: object) -> RowReader:
    return RowReader(
        tree="events",
        variables={"px": "Muon_Px", "met": "MET_px"},
        rows="Muon",
        classes=(ClassRule("all"),),
        **options,  # type: ignore[arg-type]
    )


def values(url: str) -> np.ndarray:
    blocks = list(reader().read(url, 0, ENTRIES, step=500))
    return np.concatenate([np.stack([b.columns["px"], b.columns["met"]]) for b in blocks], axis=1)


@pytest.fixture(scope="module")
def local() -> np.ndarray:
    return values(str(HZZ))


# -- reading ------------------------------------------------------------------------------------
def test_a_remote_file_reads_like_a_local_one(
    one_xrootd: XRootD, https: Web, tmp_path: Path, local: np.ndarray
) -> None:
    with web(tmp_path / "plain") as http:
        urls = [one_xrootd.add(HZZ), https.add(HZZ), http.add(HZZ)]
        urls.append(f"http://127.0.0.1:{one_xrootd.http_port}/{HZZ.name}")
        urls.append(https.url(HZZ.name).replace("https:", "davs:"))
        here = inspect(str(HZZ), "events")
        for url in urls:
            there = inspect(url, "events")
            assert (there.checksum, there.size) == (here.checksum, here.size)
            assert trees(url) == ["events"]
            np.testing.assert_array_equal(values(url), local)
        assert reader().object_counts(urls[0], 0, ENTRIES).sum() == local.shape[1]


def test_lost_connections_change_nothing(one_xrootd: XRootD, https: Web, local: np.ndarray) -> None:
    url = https.add(HZZ)
    https.faults.drops, https.faults.drop_after = 3, 500
    np.testing.assert_array_equal(values(url), local)
    assert https.faults.drops == 0
    one_xrootd.add(HZZ)
    with relay(one_xrootd.port) as line:
        line.cuts, line.cut_after = 3, 20_000
        np.testing.assert_array_equal(values(one_xrootd.url(HZZ.name, line.port)), local)
        assert line.cuts == 0
        assert line.connections > 3


def test_a_server_that_comes_back_is_read_on(
    https: Web, local: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = https.add(HZZ)
    https.faults.unavailable = 3
    np.testing.assert_array_equal(values(url), local)
    monkeypatch.setenv("ROOTLOOM_WAIT", "1")
    with xrootd() as mortal:
        url = mortal.add(HZZ)
        blocks = reader().read(url, 0, ENTRIES, step=100)
        found = [next(blocks)]
        mortal.kill()
        later = threading.Timer(2, mortal.start)
        later.start()
        found += blocks
        later.join()
    px = np.concatenate([block.columns["px"] for block in found])
    np.testing.assert_array_equal(px, local[0])


def hang(https: Web) -> None:
    https.faults.delay = 30.0


def lie_about_size(https: Web) -> None:
    https.faults.drops, https.faults.drop_after = -1, 10


def be_unavailable(https: Web) -> None:
    https.faults.unavailable = -1


@pytest.mark.parametrize(
    ("fault", "found", "kind"),
    [
        (hang, "timed out", ResourceError),
        (lie_about_size, "bytes", UnsteadyError),
        (be_unavailable, "503", ResourceError),
    ],
)
def test_patience_ends_with_the_address(
    https: Web,
    fault: Callable[[Web], None],
    found: str,
    kind: type[RootloomError],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ROOTLOOM_ATTEMPTS", "2")
    monkeypatch.setenv("ROOTLOOM_TIMEOUT", "1")
    url = https.add(HZZ)
    fault(https)
    with pytest.raises(kind, match=found) as refusal:
        inspect(url, "events")
    assert url in str(refusal.value)
    assert "2 attempts" in str(refusal.value)


def test_a_server_that_hangs_ends_an_xrootd_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOTLOOM_ATTEMPTS", "1")
    monkeypatch.setenv("ROOTLOOM_TIMEOUT", "2")
    with xrootd() as server:
        url = server.add(HZZ)
        blocks = reader().read(url, 0, ENTRIES, step=100)
        next(blocks)
        server.signal(signal.SIGSTOP)
        with pytest.raises(ResourceError, match="expired") as refusal:
            list(blocks)
        assert url in str(refusal.value)
        server.signal(signal.SIGCONT)


def test_hopeless_cases_are_not_tried_again(
    one_xrootd: XRootD, https: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_xrootd.add(HZZ, "secret.root")
    (one_xrootd.files / "secret.root").chmod(0)
    for url in (one_xrootd.url("none.root"), https.url("none.root")):
        with pytest.raises(InputError, match=r"none\.root[\s\S]*check the path") as refusal:
            inspect(url, "events")
        assert "attempts" not in str(refusal.value)
    assert https.faults.requests == 1
    if os.getuid() == 0:  # only root's server gives up a right that it had
        with pytest.raises(StorageError, match="credentials"):
            inspect(one_xrootd.url("secret.root"), "events")
    https.faults.token = "abc"
    with pytest.raises(StorageError, match="credentials"):
        inspect(https.add(HZZ), "events")
    monkeypatch.delenv("SSL_CERT_FILE")
    before = https.faults.requests
    with pytest.raises(StorageError, match="SSL_CERT_FILE"):
        inspect(https.add(HZZ), "events")
    assert https.faults.requests == before


def test_a_token_goes_to_its_server_only(
    https: Web, tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEARER_TOKEN", "abc")
    https.faults.token = "abc"
    assert inspect(https.add(HZZ), "events").entries == ENTRIES
    with web(tmp_path / "pool", certificate) as pool, web(tmp_path / "plain") as plain:
        pool.add(HZZ), plain.add(HZZ)
        # A door that sends its clients to a pool, as dCache does.
        https.faults.redirect = pool.url("")[:-1].replace("localhost", "127.0.0.1")
        assert inspect(https.url(HZZ.name), "events").entries == ENTRIES
        inspect(plain.url(HZZ.name), "events")
        assert set(pool.faults.seen) == set(plain.faults.seen) == {""}


def test_certificates_of_both_sides(
    tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with web(tmp_path / "grid", certificate, clients=certificate) as grid:
        url = grid.add(HZZ)
        for name in ("CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
            with monkeypatch.context() as user:
                user.setenv(name, str(certificate))
                user.setenv("X509_USER_PROXY", str(certificate))
                assert inspect(url, "events").entries == ENTRIES
                user.delenv("X509_USER_PROXY")
                with pytest.raises(RootloomError, match=r"uproot-HZZ-lzma\.root"):
                    inspect(url, "events")


def test_a_truncated_remote_file_is_refused(one_xrootd: XRootD, https: Web) -> None:
    https.add(HZZ)
    https.faults.short = 5000
    short = one_xrootd.files / "short.root"
    short.write_bytes(HZZ.read_bytes()[:-5000])
    for url in (https.url(HZZ.name), one_xrootd.url("short.root")):
        with pytest.raises(InputError, match=r"\.root"):
            inspect(url, "events")


# -- checksums ----------------------------------------------------------------------------------
def swapped(source: Path, target: Path) -> Path:
    """The same size, and one byte in the middle that differs."""
    content = bytearray(source.read_bytes())
    content[len(content) // 2] ^= 1
    target.write_bytes(content)
    return target


def test_right_checksums_pass_and_wrong_ones_are_named(
    one_xrootd: XRootD, https: Web, tmp_path: Path
) -> None:
    good, bad = adler32(HZZ), adler32(swapped(HZZ, tmp_path / "bad.root"))
    size = HZZ.stat().st_size
    for server in (one_xrootd, https):
        url = server.add(HZZ)
        assert inspect(f"{url}#adler32={good}&size={size}", "events").entries == ENTRIES
        damaged = server.add(tmp_path / "bad.root")
        with pytest.raises(InputError, match=f"adler32 {good}[\\s\\S]*adler32 {bad}") as refusal:
            inspect(f"{damaged}#adler32={good}", "events")
        assert refusal.value.where == damaged
        with pytest.raises(InputError, match=f"{size + 1} bytes[\\s\\S]*{size} bytes"):
            inspect(f"{url}#size={size + 1}", "events")


def test_a_kind_of_checksum_that_a_server_has_not(one_xrootd: XRootD, node: Path) -> None:
    url, right = one_xrootd.add(HZZ), hashlib.sha256(HZZ.read_bytes()).hexdigest()
    assert inspect(f"{url}#sha256={right}", "events").entries == ENTRIES
    with pytest.raises(InputError, match=f"sha256 {'0' * 64}[\\s\\S]*sha256 {right}.*in the copy"):
        inspect(f"{url}#sha256={'0' * 64}", "events")
    assert left_on(node) == []


def test_a_lost_checksum_query_is_asked_again(one_xrootd: XRootD) -> None:
    url, good = one_xrootd.add(HZZ), adler32(HZZ)
    with relay(one_xrootd.port) as line:
        line.cuts, line.cut_after = 3, 40  # before a query can be answered
        far = url.replace(str(one_xrootd.port), str(line.port))
        with pytest.raises(InputError, match=f"adler32 00000001[\\s\\S]*adler32 {good}"):
            inspect(f"{far}#adler32=00000001", "events")
        assert line.cuts == 0


def test_without_a_servers_checksum_a_copy_is_verified(
    https: Web,
    tmp_path: Path,
    node: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    https.faults.digests = False
    good = adler32(HZZ)
    assert inspect(f"{https.add(HZZ)}#adler32={good}", "events").entries == ENTRIES
    damaged = f"{https.add(swapped(HZZ, tmp_path / 'bad.root'))}#adler32={good}"
    with pytest.raises(InputError, match=f"adler32 {good}[\\s\\S]*in the copy"):
        inspect(damaged, "events")
    assert left_on(node) == []
    monkeypatch.delenv(scratch.VARIABLE)
    capsys.readouterr()
    inspect(damaged, "events")
    assert "only the size was compared" in capsys.readouterr().out


def remote_project(path: Path, urls: dict[str, list[str]], **dataset: object) -> Project:
    """The toy project with its classes in lists of URLs."""
    project = make_project(path, files=0)
    file = project.path / "config" / "datasets" / "toy.yaml"
    toy = yaml.safe_load(file.read_text())
    for label, lines in urls.items():
        (project.path / f"{label}.txt").write_text("# files of a class\n" + "\n".join(lines))
        toy["classes"][label] = {"files": [f"{label}.txt"]}
    file.write_text(yaml.safe_dump({**toy, **dataset}))
    return project


STATISTICS = "results/datasets/toy/features/statistics.json"


def counts(project: Project) -> np.ndarray:
    return Statistics.from_json((project.path / STATISTICS).read_text()).rows


def test_a_project_on_remote_files_with_faults(
    one_xrootd: XRootD, https: Web, tmp_path: Path, node: Path
) -> None:
    sums = {}
    for label in ("qcd", "w"):
        file = tmp_path / f"{label}.root"
        write_jets(file, label == "w", 150, seed=len(label))
        sums[label] = f"adler32:{adler32(file)} size:{file.stat().st_size}"
    one_xrootd.add(tmp_path / "qcd.root")
    https.add(tmp_path / "w.root")
    with relay(one_xrootd.port) as line:
        line.cuts, line.cut_after = 2, 5000
        https.faults.unavailable, https.faults.drops, https.faults.drop_after = 1, 2, 2000
        urls = {"qcd": one_xrootd.url("qcd.root", line.port), "w": https.url("w.root")}
        lines = {label: [f"{url} {sums[label]}"] for label, url in urls.items()}
        project = remote_project(tmp_path / "project", lines)
        project.snakemake(STATISTICS)
        assert (line.cuts, https.faults.drops, https.faults.unavailable) == (0, 0, 0)
    assert left_on(node) == []
    for label in ("qcd", "w"):
        with uproot.open(tmp_path / f"{label}.root") as file:
            expected = file["jets"]["trimmed_mass"].array(library="np")
        found = shard_column(project.path, label, "x.trimmed_mass")
        np.testing.assert_array_equal(found, expected)


def shard_column(path: Path, stem: str, name: str) -> np.ndarray:
    """A variable of a file's rows, in the order of its entries."""
    (shard,) = (path / "results" / "datasets" / "toy" / "features").rglob(f"{stem}-*.h5")
    with h5py.File(shard) as file:
        entry, column = (
            np.concatenate([split[key][:] for split in file.values()]) for key in ("entry", name)
        )
    return column[np.argsort(entry)]


def test_wrong_content_is_set_aside_where_asked_for(
    one_xrootd: XRootD, https: Web, tmp_path: Path
) -> None:
    urls: dict[str, list[str]] = {"qcd": [], "w": []}
    wrong = []
    for n, (label, server) in enumerate([("qcd", one_xrootd), ("w", https)] * 2):
        file = tmp_path / f"{label}-{n}.root"
        write_jets(file, label == "w", 150, seed=n)
        good = adler32(file)
        if n < 2:
            wrong += [good, adler32(swapped(file, file))]
        urls[label].append(f"{server.add(file)} adler32:{good}")
    project = remote_project(tmp_path / "project", urls, on_bad_file="quarantine")
    project.snakemake(STATISTICS)
    assert counts(project).sum() == 2 * 150
    indices = (project.path / "results" / "datasets" / "toy").rglob("*.json")
    text = "\n".join(path.read_text() for path in indices)
    assert all(digest in text for digest in wrong)


# -- scratch ------------------------------------------------------------------------------------
def test_a_copy_is_read_and_removed(
    one_xrootd: XRootD, https: Web, node: Path, local: np.ndarray
) -> None:
    one_xrootd.add(HZZ)
    https.add(HZZ)
    https.faults.drops, https.faults.drop_after = 3, 1000
    with relay(one_xrootd.port) as line:
        line.cuts, line.cut_after = 2, 30_000
        for url in (one_xrootd.url(HZZ.name, line.port), https.url(HZZ.name)):
            with staging.held(url):
                np.testing.assert_array_equal(values(url), local)
                (copy,) = left_on(node)
                assert copy.read_bytes() == HZZ.read_bytes()
                before = https.faults.requests
                np.testing.assert_array_equal(values(url), local)
                assert https.faults.requests == before
            assert left_on(node) == []
        assert line.cuts == 0
    assert remote.COPIES == {}


def test_damage_on_the_way_is_made_good(https: Web, node: Path, local: np.ndarray) -> None:
    url = https.add(HZZ)
    for name in (url, f"{url}#adler32={adler32(HZZ)}"):  # the server's own checksum, or a given one
        https.faults.corrupt = 2
        np.testing.assert_array_equal(values(name), local)
        assert https.faults.corrupt == 0
    https.faults.corrupt = -1
    with pytest.raises(InputError, match="in the copy"):
        values(url)
    assert left_on(node) == []


def test_a_server_of_whole_files_needs_scratch(
    https: Web, node: Path, local: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    https.faults.ranges = False
    url = https.add(HZZ)
    assert inspect(url, "events").entries == ENTRIES
    assert reader().object_counts(url, 0, ENTRIES).sum() == local.shape[1]
    np.testing.assert_array_equal(values(url), local)
    monkeypatch.delenv(scratch.VARIABLE)
    with pytest.raises(InputError, match=f"{scratch.VARIABLE}"):
        inspect(url, "events")


STAGING_JOB = """
import sys, time
from rootloom.rootio.transport.staging import staged
with staged(sys.argv[1]) as there:
    print("staged" if there else "direct", flush=True)
    sys.stdin.readline()
"""


def staging_job(url: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", STAGING_JOB, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )


def test_jobs_of_a_node_do_not_collide_and_clean_up_after_the_killed(
    https: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = tmp_path / "node"
    node.mkdir()
    monkeypatch.setenv(scratch.VARIABLE, "$NODE_FOLDER")
    monkeypatch.setenv("NODE_FOLDER", str(node))
    url = https.add(HZZ)
    jobs = [staging_job(url) for _ in range(3)]
    assert [job.stdout.readline() for job in jobs if job.stdout] == ["staged\n"] * 3
    assert len(left_on(node)) == 3
    jobs[0].kill()
    jobs[0].wait()
    jobs[1].communicate("done\n")
    assert len(left_on(node)) == 2  # one belongs to the job that was killed
    last = staging_job(url)
    assert last.stdout is not None
    assert last.stdout.readline() == "staged\n"
    assert len(left_on(node)) == 2  # of the two jobs that run
    for job in (jobs[2], last):
        job.communicate("done\n")
    assert left_on(node) == []


@pytest.fixture
def small_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file system of 1 MiB as scratch."""
    folder = Path(tempfile.mkdtemp(prefix="rootloom-disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        if os.getuid() or subprocess.run(mount, capture_output=True).returncode:
            skip_or_fail("a small file system: it cannot be mounted here")
        stack.callback(subprocess.run, ["umount", "-l", str(folder)])
        monkeypatch.setenv(scratch.VARIABLE, str(folder))
        monkeypatch.setattr(scratch, "RESERVE", 0)
        yield folder


def test_a_full_scratch_is_done_without(
    https: Web,
    small_disk: Path,
    tmp_path: Path,
    local: np.ndarray,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = https.add(HZZ)
    np.testing.assert_array_equal(values(url), local)  # room for it
    assert "note" not in capsys.readouterr().out
    (small_disk / "other").write_bytes(bytes(900_000))
    np.testing.assert_array_equal(values(url), local)  # none, as seen before
    assert "are needed" in capsys.readouterr().out
    # None, as found out while copying: somebody else was faster.
    plenty = shutil.disk_usage("/")
    with monkeypatch.context() as patch:
        patch.setattr("rootloom.system.scratch.shutil.disk_usage", lambda path: plenty)
        np.testing.assert_array_equal(values(url), local)
    assert "full" in capsys.readouterr().out
    (small_disk / "other").unlink()
    # An output that outgrows scratch goes on in place.
    content = np.random.default_rng(0).random(400_000)
    with new_hdf5(tmp_path / "out.h5") as (file, sink):
        data = file.create_dataset("x", (0,), maxshape=(None,), dtype="f8", chunks=(1000,))
        for start in range(0, len(content), 1000):
            data.resize((start + 1000,))
            data[start : start + 1000] = content[start : start + 1000]
            sink.check()
    assert "written in place" in capsys.readouterr().out
    with h5py.File(tmp_path / "out.h5") as file:
        np.testing.assert_array_equal(file["x"][:], content)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.h5", "served"]
    assert left_on(small_disk) == []


WRITING_JOB = """
import sys, time
from rootloom.system.atomic import new_hdf5
with new_hdf5(sys.argv[1]) as (file, sink):
    file["x"] = list(range(1000))
    file.flush()
    print("half", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("on_scratch", [True, False])
def test_a_killed_writer_leaves_nothing_that_the_next_does_not_clear(
    tmp_path: Path, on_scratch: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, results = tmp_path / "node", tmp_path / "results"
    node.mkdir()
    if on_scratch:
        monkeypatch.setenv(scratch.VARIABLE, str(node))
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", WRITING_JOB, str(results / "a.h5")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as job:
        assert job.stdout is not None
        assert job.stdout.readline() == "half\n"
        assert len(left_on(node if on_scratch else results)) == 1
        assert not left_on(results if on_scratch else node)
        job.kill()
    with new_hdf5(results / "a.h5") as (file, _):
        file["x"] = 1
    assert left_on(results) == [results / "a.h5"]
    assert left_on(node) == []


def test_results_are_seen_whole_or_not_at_all(tmp_path: Path, node: Path) -> None:
    path, seen, done = tmp_path / "results" / "a.h5", set(), threading.Event()

    def look() -> None:
        while not done.is_set():
            if path.exists():
                seen.add(path.stat().st_size)
            time.sleep(0.001)

    watcher = threading.Thread(target=look)
    watcher.start()
    sizes = set()
    for n in (1, 2):
        with new_hdf5(path) as (file, _):
            file["x"] = np.full(n * 100_000, n)
            file.flush()
            assert left_on(node)
            assert n > 1 or not path.exists()
        sizes.add(path.stat().st_size)
        time.sleep(0.2)
    done.set()
    watcher.join()
    assert seen == sizes
