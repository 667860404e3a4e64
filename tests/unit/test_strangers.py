"""Files and servers of strangers: refused by name, never believed, never a traceback."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import h5py
import numpy as np
import pytest
from tests.contents import content_digest

from rootloom.errors import (
    DataError,
    InputError,
    ResourceError,
    RootloomError,
    StorageError,
    TrainingError,
)
from rootloom.evaluation.evaluate import evaluate
from rootloom.rootio.header import inspect
from rootloom.rootio.transport.remote import Retry
from rootloom.rootio.transport.staging import staged
from rootloom.shards.reader import Shard
from rootloom.shards.writer import ShardWriter
from rootloom.system import provenance, scratch
from rootloom.training import tensors, trained
from rootloom.training.lock import PROCESSES, alone_in
from rootloom.types import Ragged, RowBlock

ROWS = 60
Change = Callable[[h5py.File, str, Path], None]


def predictions(path: Path) -> Path:
    """A tagger's scores, written as the documentation says."""
    rng = np.random.default_rng(2)
    with h5py.File(path, "w") as file:
        file.attrs.update(method="theirs", classes='["a", "b"]', signal="b")
        file["id"] = np.arange(ROWS, dtype="u8")
        file["weight"] = np.ones(ROWS, "f4")
        file["truth"] = (np.arange(ROWS) % 2).astype("i4")
        file["scores"] = rng.random((ROWS, 1))
        file["scores"].attrs["columns"] = '["score"]'
        file["aux/pt"] = rng.random(ROWS)
    return path


def shard(path: Path) -> Path:
    offsets = np.arange(ROWS + 1) * 2
    block = RowBlock(
        np.arange(ROWS),
        np.zeros(ROWS, np.int32),
        (np.arange(ROWS) % 2).astype(np.int32),
        np.ones(ROWS, np.float32),
        {},
    )
    columns = {
        "x.pt": np.arange(ROWS, dtype=np.float32),
        "hits": Ragged(np.arange(2 * ROWS, dtype=np.float32), offsets),
    }
    with ShardWriter(path, file_key="f", splits={"train": 1.0}) as writer:
        writer.append(block, columns)
    return path


def replaced(make: Callable[[h5py.File, str, np.ndarray, Path], object]) -> Change:
    """A data set in the place of another, with its attributes."""

    def change(file: h5py.File, name: str, folder: Path) -> None:
        values, attributes = file[name][...], dict(file[name].attrs)
        del file[name]
        make(file, name, values, folder)
        if not isinstance(file.get(name, getlink=True), h5py.SoftLink | h5py.ExternalLink):
            file[name].attrs.update(attributes)

    return change


def elsewhere(folder: Path) -> str:
    path = folder / "secret.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.ones((ROWS, 1))
    return str(path)


def _virtual(file: h5py.File, name: str, values: np.ndarray, folder: Path) -> None:
    layout = h5py.VirtualLayout(values.shape, values.dtype)
    layout[...] = h5py.VirtualSource(elsewhere(folder), "x", values.shape)
    file.create_virtual_dataset(name, layout)


def _external(file: h5py.File, name: str, values: np.ndarray, folder: Path) -> None:
    (folder / "raw").write_bytes(values.tobytes())
    storage = [(str(folder / "raw"), 0, h5py.h5f.UNLIMITED)]
    file.create_dataset(name, shape=values.shape, dtype=values.dtype, external=storage)


def _soft(file: h5py.File, name: str, values: np.ndarray, folder: Path) -> None:
    file["kept"] = values
    file[name] = h5py.SoftLink("/kept")


STRANGE: dict[str, tuple[Change, str]] = {
    "external link": (
        replaced(lambda f, n, v, p: f.__setitem__(n, h5py.ExternalLink(elsewhere(p), "/x"))),
        "external link to .*not followed",
    ),
    "soft link": (replaced(_soft), "soft link to '/kept'"),
    "virtual": (replaced(_virtual), "virtual data set"),
    "external storage": (replaced(_external), "external storage"),
    "huge": (
        replaced(
            lambda f, n, v, p: f.create_dataset(
                n, (10**13, *v.shape[1:]), v.dtype, chunks=(1024, *v.shape[1:])
            )
        ),
        "declares shape",
    ),
    "unwritten": (
        replaced(lambda f, n, v, p: f.create_dataset(n, v.shape, v.dtype)),
        "declares shape",
    ),
    "lists": (
        replaced(lambda f, n, v, p: f.create_dataset(n, v.shape, h5py.vlen_dtype(np.float32))),
        "found",
    ),
    "references": (
        replaced(lambda f, n, v, p: f.create_dataset(n, v.shape, h5py.ref_dtype)),
        "found",
    ),
    "compound": (
        replaced(lambda f, n, v, p: f.create_dataset(n, v.shape, [("a", "f4"), ("b", "i4")])),
        "found",
    ),
    "wide": (replaced(lambda f, n, v, p: f.create_dataset(n, data=v.astype("f16"))), "found"),
    "no values": (replaced(lambda f, n, v, p: f.create_dataset(n, data=h5py.Empty("f4"))), "found"),
    "group": (replaced(lambda f, n, v, p: f.create_group(n)), "group|found"),
    "fewer rows": (replaced(lambda f, n, v, p: f.create_dataset(n, data=v[:-1])), "found"),
}  # fmt: skip


@pytest.mark.parametrize("kind", STRANGE)
@pytest.mark.parametrize("name", ["weight", "scores", "aux/pt"])
def test_predictions_of_strangers(tmp_path: Path, kind: str, name: str) -> None:
    path, (change, words) = predictions(tmp_path / "p.h5"), STRANGE[kind]
    evaluate([path])
    with h5py.File(path, "a") as file:
        change(file, name, tmp_path)
    with pytest.raises(InputError, match=rf"p\.h5(.|\n)*({words})(.|\n)*fix"):
        evaluate([path])


@pytest.mark.parametrize("kind", STRANGE)
@pytest.mark.parametrize("name", ["weight", "x.pt", "hits/values", "hits/offsets"])
def test_shards_of_strangers(tmp_path: Path, kind: str, name: str) -> None:
    path, (change, words) = shard(tmp_path / "s.h5"), STRANGE[kind]
    content_digest(path)
    with h5py.File(path, "a") as file:
        change(file, f"train/{name}", tmp_path)
    with pytest.raises(InputError, match=rf"s\.h5(.|\n)*({words})(.|\n)*fix"):
        content_digest(path)


@pytest.mark.parametrize("offsets", [
    [0, -2], [0, 10**12], [4, 2], [-1, 0],
])  # fmt: skip
def test_offsets_that_leave_their_values(tmp_path: Path, offsets: list[int]) -> None:
    path = shard(tmp_path / "s.h5")
    with h5py.File(path, "a") as file:
        file["train/hits/offsets"][:2] = offsets
    with Shard(path) as found, pytest.raises(InputError, match="offsets that leave"):
        found.read("train", ["hits"])


@pytest.mark.parametrize(("name", "value"), [
    ("naming", "{}"), ("naming", "["), ("naming", "[" * 50_000), ("splits", '{"x": 1}'),
    ("splits", "[1]"), ("entries", -1), ("entries", "all"), ("file_key", 7),
    ("sample", np.arange(3)), ("sum_of_weights", "much"), ("schema_version", "3"),
])  # fmt: skip
def test_attributes_of_a_shard(tmp_path: Path, name: str, value: object) -> None:
    path = shard(tmp_path / "s.h5")
    with h5py.File(path, "a") as file:
        file.attrs[name] = value
    with pytest.raises(InputError, match=r"delete this file"):
        Shard(path)


@pytest.mark.parametrize(("name", "value", "words"), [
    ("classes", '["b", "b"]', "no two alike(.|\n)*'b' twice"),
    ("classes", "[]", "no name"),
    ("files", '["x", "x"]', "'x' twice"),
    ("provenance", "[1]", "provenance"),
    ("provenance", "[" * 50_000, "found"),
    ("member", float("inf"), "found"),
    ("parameters", float("nan"), "found"),
    ("training_seconds", float("nan"), "training_seconds"),
    ("classes", np.arange(3), "JSON list"),
])  # fmt: skip
def test_attributes_of_predictions(tmp_path: Path, name: str, value: object, words: str) -> None:
    path = predictions(tmp_path / "p.h5")
    with h5py.File(path, "a") as file:
        file.attrs[name] = value
    with pytest.raises(InputError, match=words):
        evaluate([path])


@pytest.mark.parametrize("name", ["weight", "scores", "aux/pt"])
@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_numbers_that_are_none(tmp_path: Path, name: str, value: float) -> None:
    path = predictions(tmp_path / "p.h5")
    with h5py.File(path, "a") as file:
        file[name][7] = value
    with pytest.raises(DataError, match=rf"{name.rstrip('s')}(.|\n)*finite(.|\n)*id 7 "):
        evaluate([path])


def test_a_column_named_twice(tmp_path: Path) -> None:
    path = predictions(tmp_path / "p.h5")
    with h5py.File(path, "a") as file:
        del file["scores"]
        file["scores"] = np.zeros((ROWS, 2))
        file["scores"].attrs["columns"] = '["score", "score"]'
    with pytest.raises(InputError, match="'score' twice"):
        evaluate([path])


@pytest.mark.parametrize("make", [predictions, shard])
def test_a_heap_that_leads_nowhere_ends_in_a_refusal(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    path = make(tmp_path / "x.h5")
    data = bytearray(path.read_bytes())
    heap = data.index(b"GCOL")
    at = heap + 16
    while data[at] or data[at + 1]:
        at += 16 + -(-int.from_bytes(data[at + 8 : at + 16], "little") // 8) * 8
    data[at + 8 : at + 16] = bytes(8)  # the library would never come back
    path.write_bytes(data)
    with pytest.raises(InputError, match=f"global heap at byte {heap}"):
        evaluate([path]) if make is predictions else Shard(path)
    assert provenance.read(path) is None


# -- models -----------------------------------------------------------------------------------

RECORD = {
    "schema": trained.SCHEMA, "model": {"kind": "dnn"}, "representation": {}, "task": {},
    "statistics": {}, "classes": ["a", "b"], "metrics": {}, "provenance": {},
}  # fmt: skip
ARRAYS = {"params/d/kernel": np.ones((2, 3), np.float32), "params/d/bias": np.ones(3, np.float32)}


@pytest.mark.parametrize(("arrays", "record", "words"), [
    ({"params/../x": np.ones(1, np.float32)}, {}, r"params/\.\./x"),
    ({"/etc/x": np.ones(1, np.float32)}, {}, "/etc/x"),
    ({"params//x": np.ones(1, np.float32)}, {}, "params//x"),
    ({"params/d/kernel/x": np.ones(1, np.float32)}, {}, "below another"),
    ({"other/x": np.ones(1, np.float32)}, {}, "other/x"),
    ({"params/d/bias": np.ones(3)}, {}, "float64"),
    ({"params/d/bias": np.ones(3, np.int32)}, {}, "int32"),
    ({"params/d/bias": np.array([1, np.nan, 1], np.float32)}, {}, "finite numbers(.|\n)*1 that"),
    ({}, {"classes": ["a", "a"]}, "no two alike"),
    ({}, {"classes": [1, 2]}, "names"),
    ({}, {"classes": "ab"}, "classes(.|\n)*list(.|\n)*str"),
    ({}, {"model": None}, "model"),
    ({}, {"more": 1}, "more(.|\n)*no such field"),
    ({}, {"schema": 99}, "schema 99"),
])  # fmt: skip
def test_models_of_strangers(tmp_path: Path, arrays: dict, record: dict, words: str) -> None:
    path = tmp_path / "model.safetensors"
    tensors.write(path, ARRAYS, RECORD)
    assert trained.load(path).classes == ["a", "b"]
    tensors.write(path, {**ARRAYS, **arrays}, {**RECORD, **record})
    with pytest.raises(TrainingError, match=words):
        trained.load(path)
    for lost in ("task", "classes"):
        tensors.write(path, ARRAYS, {k: v for k, v in RECORD.items() if k != lost})
        with pytest.raises(TrainingError, match=f"{lost}(.|\n)*nothing"):
            trained.load(path)


def test_sections_that_describe_no_network(tmp_path: Path) -> None:
    from rootloom.stages.networks import task_in

    path = tmp_path / "model.safetensors"
    for section in (
        {"kind": "classification"},
        {"kind": "classification", "more": [1]},
        {"kind": 3},
    ):
        tensors.write(path, ARRAYS, {**RECORD, "task": section})
        with pytest.raises(RootloomError, match="found"):
            task_in(trained.load(path), str(path))


# -- leftovers ---------------------------------------------------------------------------------


def test_what_a_killed_training_left_is_removed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import os; print(os.getpid())"]
    gone = subprocess.run(command, capture_output=True, text=True, check=True)
    host = os.uname().nodename
    dead = tmp_path / f".step-000000000010.safetensors.{host}-{gone.stdout.strip()}.partial"
    dead.write_bytes(b"half")
    other = tmp_path / ".log.jsonl.another-node-77.partial"
    other.write_bytes(b"half")
    (tmp_path / PROCESSES).mkdir()
    (tmp_path / PROCESSES / "said-0.json").write_text("{}")
    kept = tmp_path / "step-000000000009.safetensors"
    kept.write_bytes(b"whole")
    with alone_in(tmp_path):
        assert {p.name for p in tmp_path.iterdir()} == {kept.name, "lock"}


# -- servers -----------------------------------------------------------------------------------

SIZE = 4096
HUGE = 64 << 20


class Liar(BaseHTTPRequestHandler):
    """What it answers is said by the first part of the path. sent: the most bytes in an answer."""

    sent = 0

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _head(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.send_header("Connection", "close")
        self.end_headers()

    def _endless(self) -> None:
        block = bytes(1 << 16)
        with suppress(OSError):
            for number in range(HUGE // len(block)):
                self.wfile.write(block)
                Liar.sent = max(Liar.sent, (number + 1) * len(block))

    def do_HEAD(self) -> None:
        if self.path.startswith("/circle"):
            self._head(302, Location="/circle/again", Content_Length=0)
        else:
            self._head(200, Content_Length=SIZE)

    def do_GET(self) -> None:
        kind = self.path.split("/")[1]
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "bytes=0-"))
        assert asked
        first, last = int(asked[1]), min(int(asked[2] or SIZE), SIZE - 1)
        whole = {"Content_Range": f"bytes {first}-{last}/{SIZE}"}
        if kind == "circle":
            self._head(302, Location="/circle/again")
            self._endless()
        elif kind == "more":
            self._head(206, **whole)
            self._endless()
        elif kind == "shifted":
            self._head(206, Content_Range=f"bytes 7-{SIZE + 6}/{SIZE * 9}")
            self._endless()
        elif kind == "wider":
            self._head(206, Content_Range=f"bytes 0-{HUGE - 1}/{HUGE}")
            self._endless()
        elif kind == "less":
            self._head(206, Content_Length=last + 1 - first, **whole)
            self.wfile.write(bytes(100))
        elif kind == "packed":
            self._head(206, Content_Encoding="gzip", **whole)
            self._endless()
        elif kind == "whole":
            self._head(200)
            self._endless()


@pytest.fixture(scope="module")
def liar() -> Iterator[str]:
    pytest.importorskip("requests")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def bounded() -> Iterator[None]:
    """No answer is taken whole: a server can send what fits between the two, and no more."""
    Liar.sent = 0
    yield
    assert Liar.sent < HUGE // 4


QUICK = Retry(attempts=2, wait=0.001)


@pytest.mark.parametrize(("kind", "words"), [
    ("circle", "redirections(.|\n)*redirects in a circle"),
    ("more", "more than the .* bytes came"),
    ("shifted", "were asked for"),
    ("wider", "were asked for"),
    ("less", "found"),
    ("packed", "gzip"),
    ("whole", "the whole file"),
])  # fmt: skip
@pytest.mark.usefixtures("bounded")
def test_servers_that_send_something_else(liar: str, kind: str, words: str) -> None:
    # A redirection in a circle says nothing of the file: it is not set aside.
    refusal = StorageError if kind == "circle" else InputError
    with pytest.raises(refusal, match=words):
        inspect(f"{liar}/{kind}/a.root", "events", retry=QUICK)


@pytest.mark.parametrize("kind", ["whole", "more"])
@pytest.mark.usefixtures("bounded")
def test_a_copy_is_never_larger_than_announced(
    liar: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(scratch.VARIABLE, str(tmp_path))
    with (
        pytest.raises(InputError, match=r"4096 bytes, as the server says(.|\n)*more"),
        staged(f"{liar}/{kind}/a.root", retry=QUICK),
    ):
        raise AssertionError("there is no copy")


@pytest.mark.parametrize(("url", "lacking"), [
    ("https://far/a.root", "rootloom.rootio.transport.web"), ("root://far//a.root", "XRootD"),
])  # fmt: skip
@pytest.mark.parametrize("verified", [False, True])
@pytest.mark.parametrize("staging", [False, True])
def test_urls_without_the_extra(
    url: str,
    lacking: str,
    verified: bool,
    staging: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, lacking, None)
    if staging:
        monkeypatch.setenv(scratch.VARIABLE, str(tmp_path))
    with pytest.raises(ResourceError, match=r"pip install 'rootloom\[remote\]'"):
        inspect(f"{url}#size=5" if verified else url, "events", retry=QUICK)


def test_other_protocols_are_named() -> None:
    with pytest.raises(InputError, match=r"https(.|\n)*'s3'"):
        inspect("s3://bucket/a.root", "events", retry=QUICK)


def test_json_is_never_code(tmp_path: Path) -> None:
    # A record that asks for another module is only a word that the registry does not know.
    path = tmp_path / "model.safetensors"
    tensors.write(path, ARRAYS, {**RECORD, "task": {"kind": "os:system"}})
    from rootloom.stages.networks import task_in

    with pytest.raises(RootloomError, match="os:system"):
        task_in(trained.load(path), json.dumps("x"))


def test_a_model_of_other_shapes_scores_nothing(tmp_path: Path) -> None:
    import jax

    from rootloom.batches.loader import Loader
    from rootloom.representations.features import FeatureVector
    from rootloom.shards.statistics import shard_statistics
    from rootloom.stages.networks import NetworkOutputs, task_in

    path = tmp_path / "s.h5"
    block = RowBlock(
        np.arange(ROWS),
        np.zeros(ROWS, np.int32),
        (np.arange(ROWS) % 3 - 1).astype(np.int32),
        np.ones(ROWS, np.float32),
        {},
    )
    with ShardWriter(path, file_key="f", splits={"train": 1.0}) as writer:
        writer.append(block, {"x.pt": np.arange(ROWS, dtype=np.float32)})
    features = FeatureVector(variables=("pt",))
    found = shard_statistics(path, features, classes=("a", "b"))
    record = {
        **RECORD,
        "model": {"kind": "dnn", "hidden": [4]},
        "representation": {"name": "features", "kind": "features", "variables": ["pt"]},
        "task": {"kind": "classification"},
        "statistics": json.loads(found.to_json()),
    }
    file = tmp_path / "model.safetensors"
    tensors.write(file, ARRAYS, record)
    other = trained.load(file)
    task = task_in(other, str(file))
    with pytest.raises(TrainingError, match="model: params/"):
        list(NetworkOutputs(task).of(other.params, [path], "train"))
    loader = Loader([path], features, "none", ROWS, shuffle=False, cache_bytes=0)
    example = jax.tree.map(lambda leaf: leaf[0], next(loader.epoch(0)))
    params = task.init(jax.random.key(0), example)
    networks = NetworkOutputs(task)
    scores = {
        s: np.concatenate([o.scores for o in networks.of(params, [path], s)])
        for s in ("train", "none")
    }
    assert {s: len(v) for s, v in scores.items()} == {"train": 40, "none": 20}
    assert np.isfinite(scores["none"]).all()
