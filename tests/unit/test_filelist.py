"""The list of a dataset's files: packs, digests, what a job reads of it, and damage."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from rootloom.errors import InputError
from rootloom.system import packing
from rootloom.system.filelist import File, FileList, files_of_job
from rootloom.system.packing import MAX_PACKS, label, number_of

SECONDS = 3.0


def files(count: int, first: int = 0) -> Iterator[tuple[File, float]]:
    for number in range(first, first + count):
        yield File(f"f-{number}", f"data/{number} ü.root", None, f"{number}-1"), SECONDS


def listed(count: int, packs: int, first: int = 0) -> FileList:
    return FileList.of(files(count, first), SECONDS * count / packs, "asked")


def test_every_file_is_in_the_pack_of_its_hash() -> None:
    found = listed(1000, 8)
    expected: dict[str, dict[str, File]] = {}
    for file, _ in files(1000):
        expected.setdefault(label(number_of(file.key, 8), 8), {})[file.key] = file
    assert (found.files, found.packs) == (1000, 8)
    assert {pack: found.of_pack(pack) for pack in found.parts} == expected
    assert found.seconds == SECONDS * max(map(len, expected.values()))
    assert found.of_pack("9-of-8") == {}


def test_one_more_file_changes_one_pack() -> None:
    before, after = (FileList.of(files(n), 375 * SECONDS, "asked") for n in (1000, 1001))
    assert before.packs == after.packs == 4
    changed = [p for p in after.parts if after.parts[p].digest != before.parts[p].digest]
    assert changed == [label(number_of("f-1000", 4), 4)]
    assert before.digest != after.digest


@pytest.mark.parametrize("packs", [1, 2, 64, MAX_PACKS])
def test_the_digest_of_all_does_not_depend_on_packs_or_order(packs: int) -> None:
    backwards = reversed(list(files(500)))
    found = FileList.of(backwards, SECONDS * 500 / packs, "asked")
    assert found.packs == packs
    assert found.digest == listed(500, 1).digest


def test_the_order_of_files_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """It decides the last bits of sums over files; no fingerprint has the code that defines it."""
    before = listed(50, 1)
    monkeypatch.setattr(packing, "position", lambda key: len(key) << 60 | int(key[2:]))
    after = listed(50, 1)
    assert list(after.of_pack("0-of-1")) != list(before.of_pack("0-of-1"))
    assert after.digest != before.digest


@pytest.mark.parametrize("field", ["url", "label", "state", "sample"])
def test_all_that_is_known_of_a_file_counts(field: str) -> None:
    ((file, seconds),) = files(1)
    other = file._replace(**{field: "other"})
    first, second = (FileList.of([(f, seconds)], 1.0, "asked") for f in (file, other))
    assert first.digest != second.digest


def test_a_job_reads_what_the_head_wrote(tmp_path: Path) -> None:
    path = tmp_path / "below" / "toy.list"
    made = listed(300, 4)
    made.write(path)
    read = FileList.read(path)
    for name in ("question", "files", "packs", "seconds", "digest", "parts"):
        assert getattr(read, name) == getattr(made, name)
    for pack, part in made.parts.items():
        assert read.of_pack(pack) == files_of_job(path, part.digest) == made.of_pack(pack)
    written = path.stat()
    listed(300, 4).write(path)
    assert path.stat() == written  # the same again is not written again
    listed(301, 4).write(path)
    assert FileList.read(path).files == 301


def test_a_job_of_an_earlier_plan_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "toy.list"
    digest = listed(10, 1).parts["0-of-1"].digest
    listed(11, 1).write(path)
    with pytest.raises(InputError, match=r"changed since this job was planned\n.*run snakemake"):
        files_of_job(path, digest)


@pytest.mark.parametrize("damage", ["gone", "cut", "flipped", "header", "count", "other"])
def test_a_damaged_list_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "toy.list"
    made = listed(50, 1)
    made.write(path)
    content = bytearray(path.read_bytes())
    match damage:
        case "gone":
            path.unlink()
        case "cut":
            path.write_bytes(content[:-10])
        case "flipped":
            content[-40] ^= 1
            path.write_bytes(content)
        case "header":
            path.write_bytes(content[:20])
        case "count":
            path.write_bytes(content.replace(b'"files": 50', b'"files": 51'))
        case "other":
            path.write_text("[1, 2]\n")
    with pytest.raises(InputError, match=r"toy\.list\n(.|\n)*delete it and run snakemake again"):
        files_of_job(path, made.parts["0-of-1"].digest)
    if damage != "flipped":  # the head sees what is not whole, and a job the rest
        made.write(path)
        assert files_of_job(path, made.parts["0-of-1"].digest)


def test_a_job_needs_memory_for_its_own_pack_only(tmp_path: Path) -> None:
    path = tmp_path / "toy.list"
    listed(50_000, 512).write(path)
    assert path.stat().st_size > 3e6
    digest = FileList.read(path).parts["3-of-512"].digest
    tracemalloc.start()
    found = files_of_job(path, digest)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 50 < len(found) < 200
    assert peak < 1e6
