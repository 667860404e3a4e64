"""What a pack's jobs write: the catalogue of headers and the manifest of shards."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest

from rootloom.errors import InputError, ResultError
from rootloom.rootio.catalogue import Catalogue, quarantine
from rootloom.rootio.header import Header
from rootloom.shards.manifest import Entry, Manifest, all_shards, relative
from rootloom.shards.statistics import Statistics
from rootloom.stages.shared import sums_of_pack


def header(url: str, *branches: str) -> Header:
    types = dict.fromkeys(branches, "float")
    return Header(url, "t", "ttree", 10, 1000, (0, 10), types, "c0ffee", f"{url}/t")


def test_a_catalogue_comes_back_and_stores_branches_once(tmp_path: Path) -> None:
    written = Catalogue()
    for number in range(20):
        written.add(f"f{number}", "same", header(f"f{number}.root", *(f"b{k}" for k in range(50))))
    written.set_aside("bad", "same", "truncated")
    written.write(tmp_path / "index.json", {"stage": "index"})
    assert (tmp_path / "index.json").read_text().count('"b49"') == 1
    found = Catalogue.read(tmp_path / "index.json")
    assert found.header("f3") == written.header("f3") == header(
        "f3.root", *(f"b{k}" for k in range(50))
    )  # fmt: skip
    assert (found.header("bad"), found.reason("bad"), found.reason("f3")) == (
        None, "truncated", None,
    )  # fmt: skip
    assert found.has("f3", "same")
    assert found.has("bad", "same")
    assert not found.has("f3", "other")
    assert not found.has("new", "same")


def test_a_catalogue_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    assert not Catalogue.read(tmp_path / "nothing.json").has("f", "i")
    with pytest.raises(InputError, match="entry in its pack's index"):
        Catalogue().header("f")
    (tmp_path / "half.json").write_text('{"files": {')
    with pytest.raises(InputError, match=r"half\.json(.|\n)*delete it"):
        Catalogue.read(tmp_path / "half.json")


def refusal(name: str) -> InputError:
    return InputError(name, expected="a whole file", found="half of one")


def test_bad_files_are_refused_together_or_set_aside(capsys: pytest.CaptureFixture[str]) -> None:
    quarantine({}, 5, "fail")
    with pytest.raises(InputError, match=r"^a\.root\n"):
        quarantine({"a": refusal("a.root")}, 5, "fail")
    both = {"a": refusal("a.root"), "b": refusal("b.root")}
    with pytest.raises(InputError, match=r"2 of 5 files\n(.|\n)*a\.root(.|\n)*b\.root"):
        quarantine(both, 5, "fail")
    quarantine(both, 5, "quarantine")
    assert capsys.readouterr().out.count("set aside") == 2


def test_shards_come_in_the_order_of_the_files_whatever_the_packs(tmp_path: Path) -> None:
    results = tmp_path / "results"
    for key in "abc":
        for part, job in enumerate("xy"):
            _shard_made_by(results / "shards" / f"{key}.{part}.h5", job)
    for pack, keys in (("packs/0-of-2.json", "ca"), ("packs/1-of-2.json", "b")):
        manifest = results / pack
        entries = {
            key: Entry(
                f"{key}.root",
                10,
                relative(
                    [str(results / "shards" / f"{key}.{part}.h5") for part in (0, 1)], manifest
                ),
                ("x", "y"),
                0.1,
            )
            for key in keys
        }
        Manifest(entries).write(manifest, {})
    first = results / "packs" / "0-of-2.json"
    assert Manifest.read(first).files["a"].fingerprints == ("x", "y")
    moved = tmp_path / "elsewhere"
    results.rename(moved)
    manifests = sorted((moved / "packs").glob("*.json"))
    expected = [str(moved / "shards" / f"{key}.{part}.h5") for key in "abc" for part in (0, 1)]
    assert all_shards([*manifests, moved / "lost.h5"], 3) == expected
    with pytest.raises(InputError, match=r"expected: 4 files\n.*3"):
        all_shards(manifests, 4)
    (moved / "packs" / "0-of-2.json").write_text("[]")
    with pytest.raises(InputError, match="the manifest of a pack"):
        all_shards(manifests, 3)


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda shard: _shard_made_by(shard, "earlier"), "a shard of job earlier"),
        (lambda shard: shard.write_bytes(b"cut"), "one that does not say what made it"),
        (Path.unlink, "no such file"),
    ],
)
def test_a_shard_that_the_manifest_does_not_tell_of_is_refused(
    tmp_path: Path, damage: Callable[[Path], None], found: str
) -> None:
    shards = [tmp_path / f"a.{part}.h5" for part in (0, 1)]
    for shard in shards:
        _shard_made_by(shard, "x")
    manifest = tmp_path / "0-of-1.json"
    entry = Entry("a.root", 10, relative(map(str, shards), manifest), ("x", "x"), 0.1)
    Manifest({"a": entry}).write(manifest, {})
    assert all_shards([manifest], 1) == list(map(str, shards))
    damage(shards[1])
    refused = rf"a\.1\.h5\n.*job x made.*\n.*{found}"
    with pytest.raises(ResultError, match=refused):
        all_shards([manifest], 1)
    with pytest.raises(ResultError, match=refused):  # nor does it count in the sums of its pack
        sums_of_pack(str(manifest), Statistics.read, Statistics.empty(("w",)))


def _shard_made_by(path: Path, job: str) -> None:
    path.parent.mkdir(exist_ok=True, parents=True)
    with h5py.File(path, "w") as file:
        file.attrs["provenance"] = json.dumps({"fingerprint": job, "inputs": {}})
