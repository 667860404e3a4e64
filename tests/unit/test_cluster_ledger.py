"""The journal of submissions, and what is kept of how jobs ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from rootloom.cluster import outcomes
from rootloom.cluster.ledger import Ledger, Place, key_of, run_name
from rootloom.system.atomic import write_json
from rootloom.system.provenance import is_current


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "ledger.jsonl"


def test_an_intent_survives_the_process(journal: Path) -> None:
    token = Ledger(journal).intend(["a", "b"])
    again = Ledger(journal)
    assert again.places("b") == [Place(token, 2)]
    assert again.intent(token).keys == ("a", "b")


def test_a_settled_job_is_forgotten_and_its_neighbour_is_not(journal: Path) -> None:
    first = Ledger(journal)
    token = first.intend(["a", "b"])
    first.forget("a")
    for ledger in (first, Ledger(journal), Ledger(journal)):
        assert ledger.places("a") == []
        assert ledger.places("b") == [Place(token, 2)]


def test_a_job_submitted_again_after_it_was_settled_is_open_only_there(journal: Path) -> None:
    first = Ledger(journal)
    first.intend(["a", "b"])
    first.forget("a")
    second = first.intend(["a"])
    for ledger in (Ledger(journal), Ledger(journal)):
        assert ledger.places("a") == [Place(second, 1)]


def test_settled_intents_leave_the_journal(journal: Path) -> None:
    ledger = Ledger(journal)
    for number in range(50):
        ledger.intend([str(number)])
        ledger.forget(str(number))
    Ledger(journal)
    assert journal.read_text() == ""


def test_a_line_cut_off_by_a_kill_is_dropped(journal: Path) -> None:
    token = Ledger(journal).intend(["a"])
    whole = journal.read_text()
    journal.write_text(whole + whole[: len(whole) // 2])
    again = Ledger(journal)
    assert again.places("a") == [Place(token, 1)]
    other = again.intend(["b"])
    assert Ledger(journal).places("b") == [Place(other, 1)]


def test_the_key_of_a_job_depends_on_what_it_makes_and_from_what() -> None:
    key = key_of("train", ["x", "y"], "f")
    assert key == key_of("train", ["y", "x"], "f")
    others = [("predict", ["x", "y"], "f"), ("train", ["x"], "f"), ("train", ["x", "y"], "g")]
    assert len({key, *(key_of(*other) for other in others)}) == 4


def test_rivals_are_open_jobs_of_earlier_heads_for_the_same_outputs(journal: Path) -> None:
    old, new = key_of("train", ["x"], "f"), key_of("train", ["x"], "g")
    first = Ledger(journal)
    first.intend([old, key_of("train", ["y"], "f"), key_of("predict", ["x"], "f")])
    assert first.rivals(new) == []  # its own
    second = Ledger(journal)
    assert second.rivals(new) == [old]
    assert second.rivals(old) == []
    second.forget(old)
    assert second.rivals(new) == []


def test_the_name_of_a_run_is_that_of_its_folder_and_user(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert run_name(tmp_path / "a", "me") == run_name(tmp_path / "link", "me")
    assert run_name(tmp_path / "a", "me") != run_name(tmp_path / "a", "you")
    assert run_name(tmp_path / "a", "me") != run_name(tmp_path, "me")


def test_outputs_are_current_only_when_whole_and_of_this_fingerprint(tmp_path: Path) -> None:
    made, plain = tmp_path / "made.json", tmp_path / "plain.txt"
    outputs = [str(made), str(plain)]
    write_json(made, {"provenance": {"fingerprint": "f"}})
    assert not is_current(outputs, "f")  # one is missing
    plain.write_text("")
    assert is_current(outputs, "f")
    assert not is_current(outputs, "g")
    assert not is_current(outputs, "")
    assert not is_current([str(plain)], "f")  # nothing says who made it


def test_memory_and_time_are_doubled_apart_and_up_to_a_limit(tmp_path: Path) -> None:
    wildcards = {"method": "cnn", "member": "0"}
    assert outcomes.factor("memory", "train", wildcards, folder=tmp_path) == 1
    seen = []
    for cause in ("memory", "lost", "failed", "memory", "time"):
        outcomes.record(cause, "train", wildcards, folder=tmp_path)
        seen.append(
            [
                outcomes.factor("memory", "train", wildcards, folder=tmp_path),
                outcomes.factor("time", "train", wildcards, folder=tmp_path),
            ]
        )
    assert seen == [[2, 1], [2, 1], [2, 1], [4, 1], [4, 2]]
    other = {**wildcards, "member": "1"}
    assert outcomes.factor("memory", "train", other, folder=tmp_path) == 1
    for _ in range(5):
        outcomes.record("memory", "train", wildcards, folder=tmp_path)
    assert outcomes.factor("memory", "train", wildcards, folder=tmp_path) == 16


def test_damaged_notes_do_not_end_the_head(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "outcomes.json").write_text("{}")
    outcomes.record("memory", "train", {"method": "cnn"}, folder=tmp_path)
    assert "outcomes.json" in capsys.readouterr().out


def test_a_stop_is_noted_by_the_job_and_read_by_the_head(tmp_path: Path) -> None:
    outcomes.note(outcomes.STOPPED, "results/logs/train/a.log", folder=tmp_path)
    assert outcomes.noted(outcomes.STOPPED, "results/logs/train/a.log", folder=tmp_path)
    assert not outcomes.noted(outcomes.STOPPED, "results/logs/train/b.log", folder=tmp_path)
    outcomes.clear("results/logs/train/a.log", folder=tmp_path)
    assert not outcomes.noted(outcomes.STOPPED, "results/logs/train/a.log", folder=tmp_path)
