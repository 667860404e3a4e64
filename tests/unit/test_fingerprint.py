"""Fingerprints: formatting and comments do not count, everything else does."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from rootloom.planning import fingerprint
from rootloom.system.hashing import of_value


def described(source: str) -> str:
    words: list[str] = []
    fingerprint._describe(ast.parse(source), words, set())
    return " ".join(words)


@pytest.mark.parametrize(
    "same",
    [
        "def f(x):\n    return x + 1",
        "# a remark\ndef f(x):\n\n    return (x +\n        1)  # why",
        'def f(x):\n    """What it does."""\n    return x + 1',
    ],
)
def test_what_readers_see_does_not_count(same: str) -> None:
    assert described(same) == described("def f(x):\n    return x + 1\n")


@pytest.mark.parametrize(
    "other",
    [
        "def f(x):\n    return x + 2",
        "def g(x):\n    return x + 1",
        "def f(x):\n    return x + 1.0",
        'def f(x):\n    return "doc"\n    return x + 1',
    ],
)
def test_what_runs_counts(other: str) -> None:
    assert described(other) != described("def f(x):\n    return x + 1\n")


def test_stages_cover_the_rooms_they_run() -> None:
    modules = fingerprint.definitions(
        "rootloom.stages.preprocess:run", "rootloom.representations.image:JetImage"
    )
    assert {"rootloom.representations.pixels", "rootloom.physics.jets.clustering"} <= set(modules)
    assert "rootloom.shards.writer" in modules
    assert not any("tree" in name or "training" in name for name in modules)


def test_definitions_are_those_of_the_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    target = "rootloom.stages.preprocess:run"
    before = fingerprint.definitions(target)
    assert {"ShardWriter", "imports"} <= set(before["rootloom.shards.writer"])
    assert set(before[target]) >= {"run", "Section"}
    assert "run_shard" not in before[target]  # another function of its module
    changed = tmp_path / "writer.py"
    source = fingerprint._source("rootloom.shards.writer").read_text()
    changed.write_text(source.replace("class Growing:", "class Growing:\n    more = 1\n"))
    real = fingerprint._source
    monkeypatch.setattr(
        fingerprint, "_source", lambda m: changed if m == "rootloom.shards.writer" else real(m)
    )
    after = fingerprint.definitions(target)
    differ = {(m, n) for m in after for n in after[m] if after[m][n] != before[m].get(n)}
    assert differ == {("rootloom.shards.writer", "Growing")}


def test_neutral_modules_are_left_out() -> None:
    assert not set(fingerprint.definitions("rootloom.stages.train:run")) & fingerprint.NEUTRAL


def test_an_unknown_function_is_an_error() -> None:
    with pytest.raises(AttributeError, match="no such function"):
        fingerprint.of_code("rootloom.stages.train:nothing")


def test_values_do_not_depend_on_the_order_of_keys() -> None:
    assert of_value({"a": 1, "b": [2]}) == of_value({"b": [2], "a": 1})
    assert of_value({"a": 1}) != of_value({"a": 2})
