"""Every result says so when a bit of it has changed, and is refused by its name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from tests.contents import content_digest

from rootloom.config.sections import Rates
from rootloom.errors import InputError, ResultError, TrainingError
from rootloom.evaluation.evaluate import evaluate
from rootloom.evaluation.generation.result import Floor
from rootloom.evaluation.predictions import (
    Header,
    Predictions,
    Rows,
    read_predictions,
    write_predictions,
)
from rootloom.evaluation.results import read_evaluation, read_floor, write_result
from rootloom.planning.rates import measure
from rootloom.planning.stage import Job
from rootloom.report.inputs import read_history
from rootloom.rootio.catalogue import Catalogue
from rootloom.shards.manifest import Entry, Manifest, shards_by_file
from rootloom.shards.moments import Moments
from rootloom.shards.reader import Shard
from rootloom.shards.statistics import Statistics
from rootloom.shards.writer import ShardWriter
from rootloom.stages.evaluate import Paths, run
from rootloom.stages.friends import Branches, scores_of
from rootloom.stages.statistics import read_moments
from rootloom.system import atomic, provenance
from rootloom.training import trained
from rootloom.types import Ragged, RowBlock

RATES = Rates(
    seconds_per_file=1.0, seconds_per_megabyte=1.0, simulated_row_bytes=1.0, remote_megabytes=1.0
)
RECORD = {"stage": "some", "fingerprint": "0123456789abcdef", "section": {"a": [1.5, None]}}
SEAL = 110  # bytes at the end of a result that are looked at one by one


def statistics() -> Statistics:
    sums = Moments.of(np.arange(6.0).reshape(3, 2) / 7)
    return replace(Statistics.empty(("qcd", "w")), moments={"x": sums})


def predictions(path: Path) -> None:
    numbers = np.arange(40)
    rows = Rows(
        id=numbers.astype(np.uint64),
        weight=np.ones(40),
        truth=numbers % 2,
        scores=(numbers[:, None] * 7 % 40) / 40.0,
        file=np.zeros(40),
        entry=numbers,
        object=np.zeros(40),
    )
    header = Header("m", ("qcd", "w"), "w", ("score",), files=("f",), provenance=RECORD)
    write_predictions(path, Predictions(header, rows))


def evaluation(path: Path) -> None:
    predictions(path.with_name("p.h5"))
    found = evaluate([path.with_name("p.h5")])
    write_result(path, replace(found, provenance=RECORD))


def moments(path: Path) -> None:
    more = {"position": "5", "events": [None], "provenance": RECORD}
    atomic.write_json(path, {**statistics().content(), **more}, indent=None)


def manifest(path: Path) -> None:
    made = Entry("a.root", 10, ("../a.h5",), ("x",), 0.25)
    Manifest({"a": made, "b": replace(made, quarantined="cut")}).write(path, RECORD)


def catalogue(path: Path) -> None:
    found = Catalogue()
    found.set_aside("a", "identity", "cut")
    found.write(path, RECORD)


def floor(path: Path) -> None:
    write_result(path, Floor({}, (3, 4), provenance=RECORD))


def history(path: Path) -> None:
    lines = [{"epoch": 0, "training_loss": 0.5, "loss": 0.25}, {"seconds": 4.0}]
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    path.write_text(atomic.sealed(text, RECORD["fingerprint"], lines=True))


KINDS: dict[str, tuple[Callable[[Path], None], Callable[[Path], Any]]] = {
    "index": (catalogue, Catalogue.read),
    "manifest": (manifest, lambda path: shards_by_file([path])),
    "moments": (moments, lambda path: read_moments(str(path))),
    "statistics": (moments, Statistics.read),
    "evaluation": (evaluation, read_evaluation),
    "floor": (floor, read_floor),
    "history.jsonl": (history, lambda path: read_history(path, "m", 0)),
}


@pytest.fixture(params=KINDS)
def result(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Callable[[Path], Any]]:
    write, read = KINDS[request.param]
    path = tmp_path / (request.param if "." in request.param else f"{request.param}.json")
    write(path)
    return path, read


Result = tuple[Path, Callable[[Path], Any]]


def places(whole: bytes) -> list[int]:
    end = max(0, len(whole) - SEAL)
    return [*range(0, end, 1 + end // 100), *range(end, len(whole))]


def refused(path: Path, read: Callable[[Path], Any], content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(InputError) as refusal:
        read(path)
    assert refusal.value.where == str(path)
    assert "delete it and run snakemake again" in refusal.value.fix
    return refusal.value.found


def test_a_flipped_bit_of_any_byte_is_refused(result: Result) -> None:
    path, read = result
    read(path)
    whole = path.read_bytes()
    for place in places(whole):
        content = bytearray(whole)
        content[place] ^= 1 << place % 8
        refused(path, read, bytes(content))


def test_a_digit_for_another_is_refused_as_changed(result: Result) -> None:
    path, read = result
    whole = path.read_bytes()
    place = next(n for n in range(len(whole)) if whole[n : n + 1].isdigit())
    other = bytes([whole[place] ^ 1])
    found = refused(path, read, whole[:place] + other + whole[place + 1 :])
    assert "has changed on the disk" in found


def test_a_cut_file_is_refused_wherever_it_was_cut(result: Result) -> None:
    path, read = result
    whole = path.read_bytes()
    for length in places(whole):
        refused(path, read, whole[:length])
    refused(path, read, whole + b"\n")


@pytest.mark.parametrize(
    "content",
    [b"[1, 2]", b"{}", b"null", b'"text"', b"\xff\xfe", b"\x00" * 300, b"[" * 100_000, b"NaN"],
)
def test_other_content_is_refused_with_and_without_a_digest(result: Result, content: bytes) -> None:
    path, read = result
    refused(path, read, content)
    if path.suffix == ".json":  # a log may well have no lines
        refused(path, read, atomic.sealed(content.decode(errors="replace")).encode())


def test_a_result_of_an_earlier_version_is_refused(result: Result) -> None:
    path, read = result
    content = json.loads(path.read_text().splitlines()[0] if path.suffix == ".jsonl" else "{}")
    found = refused(path, read, json.dumps({**content, "provenance": RECORD}).encode())
    assert "made by an earlier version" in found


def test_values_of_other_types_are_refused(tmp_path: Path) -> None:
    content = {**statistics().content(), "provenance": RECORD}
    path = tmp_path / "s.json"
    for key in statistics().content():
        for value in (None, 3, "text", [[1]], {"x": 1}):
            atomic.write_json(path, {**content, key: value})
            if key != "classes" or value is None or value == 3:
                refused(path, Statistics.read, path.read_bytes())


def test_a_plan_finds_the_fingerprint_at_the_end(result: Result) -> None:
    path, _ = result
    assert provenance.fingerprint(path) == RECORD["fingerprint"]
    path.write_bytes(path.read_bytes()[:-1])
    assert provenance.fingerprint(path) is None
    assert not provenance.is_current([str(path)], RECORD["fingerprint"])


def test_a_fingerprint_of_any_result_is_found_or_is_none(tmp_path: Path) -> None:
    for suffix in (".json", ".jsonl", ".h5", ".safetensors", ".root"):
        for content in (b"", b"[1, 2]", b"\xff" * 100, b"{}" + b" " * 300, b'{"provenance": 3}'):
            path = tmp_path / f"a{suffix}"
            path.write_bytes(content)
            assert provenance.fingerprint(path) is None
            assert provenance.read(path) is None


def test_rates_refuse_a_damaged_manifest(tmp_path: Path) -> None:
    path = tmp_path / "datasets" / "d" / "r" / "packs" / "0-of-1.json"
    manifest(path)
    whole = path.read_bytes()
    refused(path, lambda _: measure(tmp_path, RATES), whole.replace(b"0.25", b"0.26"))


def shard(path: Path) -> None:
    rows = 30
    block = RowBlock(
        entry=np.arange(rows),
        object=np.zeros(rows, np.int32),
        label=np.arange(rows) % 2,
        weight=np.ones(rows),
        columns={},
        entries=rows,
        sum_of_weights=float(rows),
    )
    values = np.arange(60, dtype=np.float32)
    ragged = Ragged(values, np.arange(0, 61, 2))
    splits = {"train": 0.6, "validation": 0.2, "test": 0.2}
    notes = {"provenance": json.dumps(RECORD)}
    with ShardWriter(path, file_key="f", splits=splits, attributes=notes) as writer:
        writer.append(block, {"x.pt": values[:rows], "cells": ragged})


def all_of_shard(path: Path) -> object:
    with Shard(path) as found:
        return dict(found.attributes), content_digest(path)


def all_of_predictions(path: Path) -> object:
    found = read_predictions(path)
    return found.header, {name: np.asarray(v).tolist() for name, v in vars(found.rows).items()}


@pytest.mark.parametrize(
    ("write", "read"), [(shard, all_of_shard), (predictions, all_of_predictions)]
)
def test_a_flipped_bit_of_hdf5_is_refused_or_means_nothing(
    tmp_path: Path, write: Callable[[Path], None], read: Callable[[Path], object]
) -> None:
    path = tmp_path / "a.h5"
    write(path)
    whole, expected = path.read_bytes(), read(path)
    texts = [whole.index(text) for text in (b'"section"', b"fingerprint", b"0123456789abcdef")]
    refusals = 0
    for place in (*range(3, len(whole), len(whole) // 100), *texts):
        content = bytearray(whole)
        content[place] ^= 1 << place % 8
        path.write_bytes(content)
        try:
            found = read(path)
        except InputError as refusal:
            refusals += str(path) in str(refusal)
        else:
            assert found == expected
            assert place not in texts
    assert refusals > len(texts)


def test_attributes_have_a_digest_that_covers_those_of_data_sets(tmp_path: Path) -> None:
    path = tmp_path / "p.h5"
    predictions(path)
    with h5py.File(path, "r+") as file:
        file["scores"].attrs["columns"] = '["scare"]'
    with pytest.raises(InputError, match=r"(?s)p\.h5.*attributes.*delete it and run snakemake"):
        read_predictions(path)
    with h5py.File(path, "r+") as file:
        del file.attrs["digest"]  # as another program writes it
    assert read_predictions(path).header.columns == ("scare",)


def test_a_shard_needs_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    shard(path)
    for change in ("naming", "digest"):
        shard(path)
        with h5py.File(path, "r+") as file:
            file.attrs[change] = file.attrs[change][:-1] + "?"
        with pytest.raises(InputError, match=r"(?s)s\.h5.*attributes.*delete this file"):
            Shard(path)


def test_damaged_predictions_are_no_bad_input(tmp_path: Path) -> None:
    """They are the run's own: nothing is to be set aside, or asked of whoever wrote the inputs."""
    path = tmp_path / "p.h5"
    predictions(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = b""
    path.write_bytes(content)
    section = {
        "evaluation": {"kind": "classification"}, "dataset": "d", "method": "m", "examples": None,
        "evaluate": "rootloom.stages.evaluating:evaluate_predictions",
    }  # fmt: skip
    paths: Any = dict.fromkeys(Paths.__annotations__, ())
    job: Job = {"section": section, "code": "", "upstream": "", "fingerprint": ""}
    branches = Branches(experiment="e", folds={}, readers={}, simulated=False)
    with pytest.raises(InputError) as given:
        read_predictions(path)
    assert given.value.fault == "input"
    for action in (
        lambda: run(job, **{**paths, "results": [str(path)]}),
        lambda: scores_of(branches, [str(path)], ["f"]),
    ):
        with pytest.raises(ResultError, match=r"(?s)p\.h5.*delete it and run snakemake again"):
            action()


def test_a_damaged_model_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    params = {"dense": {"kernel": np.ones((2, 3), np.float32)}}
    trained.save(path, trained.Trained(params, {}, {}, {}, {}, ["a"], {}, RECORD))
    whole = path.read_bytes()
    for place in range(0, len(whole), 23):
        content = bytearray(whole)
        content[place] ^= 1 << place % 8
        path.write_bytes(content)
        with pytest.raises(TrainingError, match=r"(?s)m\.safetensors.*delete it and run snakemake"):
            trained.load(path)


def test_files_from_the_future_are_dated_back_and_no_others(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for path, moment in ((old, 1000.0), (new, 4e9)):
        path.touch()
        atomic.os.utime(path, (moment, moment))
    now = 2e9
    atomic.date_back([old, new, tmp_path / "gone"], now)
    assert old.stat().st_mtime == 1000.0
    assert new.stat().st_mtime < now
