"""Shards: what is written is read back; damage, foreign versions and full disks are refused."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 (registers the filters for plain h5py)
import numpy as np
import pytest
from tests.contents import content_digest

from rootloom.errors import ConfigError, DataError, InputError, ResultError
from rootloom.shards.add import add_columns
from rootloom.shards.ids import event_ids, event_split, row_ids
from rootloom.shards.reader import Shard
from rootloom.shards.writer import ShardWriter
from rootloom.types import SPLITS, Column, Ragged, RowBlock

FRACTIONS = {"train": 0.6, "validation": 0.2, "test": 0.2}


def table(rows: int, seed: int = 1) -> tuple[RowBlock, dict[str, Column]]:
    """A block of jets, two an event, and what a representation might make of it."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 7, rows)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    total = int(offsets[-1])
    pt = rng.exponential(100, rows).astype(np.float32)
    block = RowBlock(
        entry=np.arange(rows) // 2,
        object=(np.arange(rows) % 2).astype(np.int32),
        label=rng.integers(0, 3, rows).astype(np.int32),
        weight=rng.exponential(1, rows).astype(np.float32),
        columns={"pt": pt, "constituents.px": Ragged(np.zeros(total), offsets)},
    )
    columns: dict[str, Column] = {
        "x": rng.normal(size=(rows, 5)).astype(np.float32),
        "flag": rng.integers(0, 2, rows).astype(np.uint8),
        "objects": Ragged(rng.normal(size=(total, 3)).astype(np.float32), offsets),
        "pixels": Ragged(rng.integers(0, 625, total).astype(np.uint16), offsets),
    }
    return block, columns


def cut(block: RowBlock, columns: dict[str, Column], start: int, stop: int):
    def part(column: Column) -> Column:
        if isinstance(column, Ragged):
            first, last = column.offsets[start], column.offsets[stop]
            return Ragged(column.values[first:last], column.offsets[start : stop + 1] - first)
        return column[start:stop]

    return (
        RowBlock(
            block.entry[start:stop],
            block.object[start:stop],
            block.label[start:stop],
            block.weight[start:stop],
            {name: part(c) for name, c in block.columns.items()},
        ),
        {name: part(c) for name, c in columns.items()},
    )


def write(path: Path, rows: int = 1000, step: int = 300, seed: int = 1, **attributes) -> Path:
    block, columns = table(rows, seed)
    with ShardWriter(
        path,
        file_key="f.root",
        splits=FRACTIONS,
        auxiliary=("pt",),
        attributes={"dataset": "jets", "number": 3, "luminosity": 1.5, **attributes},
    ) as writer:
        for start in range(0, rows, step):
            writer.append(*cut(block, columns, start, min(start + step, rows)))
    return path


def test_a_declared_split_holds_when_columns_are_added_too(tmp_path: Path) -> None:
    block, columns = table(1000)
    declared = np.where(block.entry % 5 == 0, 2, -1).astype(np.int8)
    block = replace(block, split=declared)
    path = tmp_path / "s.h5"
    with ShardWriter(path, file_key="f.root", splits={"train": 0.5, "validation": 0.5}) as writer:
        writer.append(block, {"x": columns["x"]})
    with add_columns(path) as adder:
        adder.append(block, {"flag": columns["flag"]})
    with Shard(path) as shard:
        found = {split: shard.read(split) for split in SPLITS}
    np.testing.assert_array_equal(found["test"]["flag"], columns["flag"][declared == 2])
    others = np.concatenate([found["train"]["entry"], found["validation"]["entry"]])
    assert sorted(others) == sorted(block.entry[declared < 0])
    assert abs(len(found["train"]["x"]) - 400) < 5 * np.sqrt(2 * 400 * 0.5)


def expected(rows: int, split: str) -> dict[str, list]:
    """The rows of a split, one Python list a row, from the table itself."""
    block, columns = table(rows)
    events = event_ids("f.root", block.entry)
    chosen = np.flatnonzero(event_split(events, FRACTIONS) == SPLITS.index(split))
    everything = {
        "entry": block.entry,
        "object": block.object,
        "label": block.label,
        "weight": block.weight,
        "id": row_ids(events, block.object),
        "aux.pt": block.columns["pt"],
        **columns,
    }
    return {name: [row(column, i) for i in chosen] for name, column in everything.items()}


def row(column: Column, i: int):
    if isinstance(column, Ragged):
        return column.values[column.offsets[i] : column.offsets[i + 1]].tolist()
    return column[i].tolist()


def test_the_page_says_how_to_read_a_shard_by_hand(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "inputs.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    folder = tmp_path / "results/datasets/nano-btag/nano-jets/shards/19/d"
    folder.mkdir(parents=True)
    block, _ = table(1000)
    pt = block.columns["pt"]
    with ShardWriter(folder / "nano.0.h5", file_key="f.root", splits=FRACTIONS) as writer:
        writer.append(block, {"x.pt": pt})
    # A process of its own: here the filter has been registered already.
    code += "import json; print(json.dumps([pt.tolist(), label.tolist(), weight.tolist()]))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True)
    chosen = event_split(event_ids("f.root", block.entry), FRACTIONS) == SPLITS.index("train")
    wanted = [column[chosen].tolist() for column in (pt, block.label, block.weight)]
    assert json.loads(done.stdout) == wanted, done.stderr


@pytest.mark.parametrize("step", [7, 300, 1000])
def test_every_row_comes_back_in_its_split_in_file_order(tmp_path: Path, step: int) -> None:
    with Shard(write(tmp_path / "s.h5", step=step)) as shard:
        assert sum(shard.rows(split) for split in SPLITS) == 1000
        for split in SPLITS:
            wanted = expected(1000, split)
            got = shard.read(split)
            assert set(got) == set(wanted) == set(shard.columns)
            for name, rows in wanted.items():
                assert [row(got[name], i) for i in range(shard.rows(split))] == rows
        assert got["objects"].values.dtype == np.float32
        assert got["pixels"].values.dtype == np.uint16
        assert got["flag"].dtype == np.uint8


def test_a_range_of_rows_is_that_part_of_the_whole(tmp_path: Path) -> None:
    with Shard(write(tmp_path / "s.h5")) as shard:
        whole = shard.read("train", ["objects", "x"])
        part = shard.read("train", ["objects", "x"], 100, 177)
        assert len(part["x"]) == 77
        assert part["objects"].offsets[0] == 0
        for i in range(77):
            assert row(part["objects"], i) == row(whole["objects"], 100 + i)
            assert row(part["x"], i) == row(whole["x"], 100 + i)
        beyond = shard.read("train", ["x"], shard.rows("train") - 3, 10**9)["x"]
        assert len(beyond) == 3


def test_plain_h5py_reads_a_shard(tmp_path: Path) -> None:
    wanted = expected(1000, "test")
    with h5py.File(write(tmp_path / "s.h5")) as file:
        assert file["test/x"][:].tolist() == wanted["x"]
        offsets, values = file["test/objects/offsets"][:], file["test/objects/values"][:]
        assert [v.tolist() for v in np.split(values, offsets[1:-1])] == wanted["objects"]
        assert file.attrs["dataset"] == "jets"


def test_attributes_come_back_as_plain_values(tmp_path: Path) -> None:
    with Shard(write(tmp_path / "s.h5")) as shard:
        assert shard.attributes["dataset"] == "jets"
        assert shard.attributes["number"] == 3
        assert type(shard.attributes["luminosity"]) is float
        assert shard.attributes["file_key"] == "f.root"


def test_two_runs_give_identical_bytes(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a.h5"), write(tmp_path / "b.h5", step=77)
    assert first.read_bytes() == second.read_bytes()


def test_the_digest_follows_content_only(tmp_path: Path) -> None:
    digest = content_digest(write(tmp_path / "a.h5", rows=5000))
    assert digest == content_digest(write(tmp_path / "b.h5", rows=5000, step=41, other="x"))
    changed = write(tmp_path / "c.h5", rows=5000)
    with h5py.File(changed, "a") as file:
        file["test/x"][3, 2] += 1e-6
    assert digest != content_digest(changed)
    assert digest != content_digest(write(tmp_path / "d.h5", rows=4999))


def test_a_shard_without_rows_is_whole(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "never.h5", file_key="f", splits=FRACTIONS):
        pass
    with Shard(tmp_path / "never.h5") as shard:
        assert shard.columns == ()
        assert [shard.rows(split) for split in SPLITS] == [0, 0, 0]
        assert shard.read("train") == {}
    with Shard(write(tmp_path / "empty.h5", rows=0, step=1)) as shard:
        assert shard.rows("train") == 0
    content_digest(tmp_path / "never.h5")


def test_a_split_without_rows_reads_as_empty_columns(tmp_path: Path) -> None:
    block, columns = table(50)
    with ShardWriter(tmp_path / "s.h5", file_key="f", splits={"train": 1.0}) as writer:
        writer.append(block, columns)
    with Shard(tmp_path / "s.h5") as shard:
        assert shard.rows("test") == 0
        got = shard.read("test")
        assert got["x"].shape == (0, 5)
        assert got["objects"].values.shape == (0, 3)
        assert got["objects"].offsets.tolist() == [0]


def test_an_error_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    before = write(tmp_path / "s.h5").read_bytes()
    block, columns = table(10)

    def interrupted() -> None:
        with ShardWriter(tmp_path / "s.h5", file_key="f", splits=FRACTIONS) as writer:
            writer.append(block, columns)
            raise KeyError("stop")

    with pytest.raises(KeyError, match="stop"):
        interrupted()
    assert (tmp_path / "s.h5").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["s.h5"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.pop("x"), "the columns"),
        (lambda c: c.update(x=c["x"][:-1]), "rows"),
        (lambda c: c.update(x=c["x"].astype(np.int32)), "float32 rows"),
        (lambda c: c.update(x=c["x"][:, :2]), "shape"),
        (lambda c: c.update(flag=c["objects"]), "as before"),
    ],
)
def test_blocks_that_do_not_fit_are_refused(tmp_path: Path, change, words: str) -> None:
    block, columns = table(40)
    other = dict(columns)
    change(other)

    def append_both() -> None:
        with ShardWriter(tmp_path / "s.h5", file_key="f", splits=FRACTIONS) as writer:
            writer.append(block, columns)
            writer.append(block, other)

    with pytest.raises(DataError, match=words):
        append_both()
    assert list(tmp_path.iterdir()) == []


def test_text_columns_are_refused(tmp_path: Path) -> None:
    block, _ = table(4)
    with (
        pytest.raises(DataError, match="number type"),
        ShardWriter(tmp_path / "s.h5", file_key="f", splits=FRACTIONS) as writer,
    ):
        writer.append(block, {"name": np.array(["a"] * 4)})


def test_a_missing_column_is_named_with_the_nearest(tmp_path: Path) -> None:
    with Shard(write(tmp_path / "s.h5")) as shard, pytest.raises(InputError, match="'objects'"):
        shard.read("train", ["object s"])


def test_other_files_and_versions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        Shard(tmp_path / "absent.h5")
    (tmp_path / "text.h5").write_text("not HDF5")
    with pytest.raises(InputError, match=r"text\.h5[\s\S]*delete this file"):
        Shard(tmp_path / "text.h5")
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(InputError, match="not a shard"):
        Shard(tmp_path / "foreign.h5")
    for version in (1, 2, 99):
        other = write(tmp_path / f"{version}.h5")
        with h5py.File(other, "a") as file:
            file.attrs["schema_version"] = version
        with pytest.raises(InputError, match=rf"schema version 3(.|\n)*schema version {version}"):
            Shard(other)


def test_a_truncated_shard_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    whole = write(tmp_path / "s.h5").read_bytes()
    for length in np.linspace(0, len(whole) - 1, 60).astype(int):
        (tmp_path / "t.h5").write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"t\.h5"):
            content_digest(tmp_path / "t.h5")


def test_a_flipped_byte_is_found_or_harmless(tmp_path: Path) -> None:
    """Anywhere in the file: reading refuses, or what is read is what was written."""
    path = write(tmp_path / "s.h5", rows=3000)
    whole, digest = path.read_bytes(), content_digest(path)
    refused = 0
    for position in np.random.default_rng(0).integers(0, len(whole), 150):
        damaged = bytearray(whole)
        damaged[position] ^= 0x10
        path.write_bytes(damaged)
        try:
            assert content_digest(path) == digest, position
        except InputError:
            refused += 1
    assert refused > 75  # the rest fell on unused space between HDF5's structures


def test_new_columns_leave_the_others_as_they_lie_on_disk(tmp_path: Path) -> None:
    path = write(tmp_path / "s.h5", rows=20_000)
    block, columns = table(20_000)
    before = chunks(path)
    digest = content_digest(path)
    with add_columns(path, attributes={"fingerprint": "new"}) as adder:
        for start in range(0, 20_000, 7000):
            part, old = cut(block, columns, start, min(start + 7000, 20_000))
            new = {"x": old["x"] * 2, "late": old["objects"]}
            adder.append(part, new)
    after = chunks(path)
    kept = {name for name in before if name.split("/")[1] != "x"}
    assert len(kept) >= 27
    assert all(after[name] == before[name] for name in kept)
    assert content_digest(path) != digest
    with Shard(path) as shard:
        assert shard.attributes["fingerprint"] == "new"
        assert shard.attributes["dataset"] == "jets"
        for split in SPLITS:
            wanted, got = expected(20_000, split), shard.read(split, ["x", "late"])
            assert np.array_equal(got["x"], 2 * np.float32(wanted["x"]))
            rows = range(shard.rows(split))
            assert [row(got["late"], i) for i in rows] == wanted["objects"]


def test_attributes_alone_can_change(tmp_path: Path) -> None:
    path = write(tmp_path / "s.h5")
    digest = content_digest(path)
    with add_columns(path, attributes={"dataset": "renamed"}):
        pass
    assert content_digest(path) == digest
    with Shard(path) as shard:
        assert shard.attributes["dataset"] == "renamed"
        assert shard.attributes["luminosity"] == 1.5


@pytest.mark.parametrize("error", [TypeError, ValueError, AttributeError, RuntimeError])
def test_a_column_that_cannot_be_copied_is_a_damaged_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    path = write(tmp_path / "s.h5")
    before, (block, columns) = path.read_bytes(), table(1000)

    def broken(*_: object) -> None:
        raise error("no such thing")

    monkeypatch.setattr(h5py.Group, "copy", broken)
    with pytest.raises(ResultError, match="delete this file"), add_columns(path) as adder:
        adder.append(block, {"y": columns["x"]})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["s.h5"]


def chunks(path: Path) -> dict[str, list[bytes]]:
    """The stored bytes of every chunk of every dataset."""
    found: dict[str, list[bytes]] = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            ids = (item.id.get_chunk_info(i) for i in range(item.id.get_num_chunks()))
            found[name] = [item.id.read_direct_chunk(i.chunk_offset)[1] for i in ids]

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


def test_new_columns_of_other_rows_are_refused_and_change_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "s.h5")
    before = path.read_bytes()
    block, columns = table(1000)
    shifted = RowBlock(block.entry + 1, block.object, block.label, block.weight, {})
    with pytest.raises(InputError, match="differ"), add_columns(path) as adder:
        adder.append(shifted, {"y": columns["x"]})
    part, some = cut(block, columns, 0, 500)
    with pytest.raises(InputError, match="were not given"), add_columns(path) as adder:
        adder.append(part, {"y": some["x"]})
    with pytest.raises(ConfigError, match="label"), add_columns(path) as adder:
        adder.append(block, {"label": block.label})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["s.h5"]


FULL = """
import resource, sys
from pathlib import Path
from rootloom import errors
sys.path.insert(0, {tests!r})
import test_shards_format as t
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    t.write(Path({path!r}), rows=50_000, step=10_000)
except errors.StorageError as error:
    print(error)
"""


def test_a_full_disk_is_said_plainly_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    script = FULL.format(tests=str(Path(__file__).parent), path=str(path))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert str(path) in done.stdout
    assert "bytes free" in done.stdout
    assert list(tmp_path.iterdir()) == []
