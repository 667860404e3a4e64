"""An event is the same wherever its file lies and whatever it is called; twice it is refused."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot
from tests.contents import content_digest
from tests.stages import ROOT, Run, rows_of

from rootloom.config.sections import Library, Table, parse
from rootloom.errors import ConfigError, DataError, InputError
from rootloom.rootio.dataset import ClassRule, RowReader
from rootloom.rootio.functions import FUNCTIONS
from rootloom.rootio.header import Header, inspect
from rootloom.rootio.origin import Events, require_distinct
from rootloom.rootio.tables import import_table
from rootloom.rootio.writing import Rows as Entries
from rootloom.rootio.writing import write_tree
from rootloom.shards.events import require_one_entry_an_event
from rootloom.shards.ids import event_of, fold_of, named_event_ids
from rootloom.shards.manifest import Manifest
from rootloom.system.hashing import of_value

NANO = ROOT / "tests" / "data" / "nano_tt_v12.root"
JETS: dict[str, Any] = {
    "tree": "Events",
    "rows": "Jet",
    "select": "Jet_pt > 20",
    "classes": {
        "light": {"where": "Jet_hadronFlavour == 0"}, "b": {"where": "Jet_hadronFlavour == 5"},
    },
    "variables": {"pt": "Jet_pt", "eta": "Jet_eta"},
    "splits": {"train": 0.6, "validation": 0.2, "test": 0.2},
}  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to start in, with a copy of genuine jets."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    shutil.copyfile(NANO, tmp_path / "data/nano.root")
    return tmp_path


def test_a_file_that_moves_keeps_its_rows(here: Path) -> None:
    (here / "eos").mkdir()
    shutil.copyfile(NANO, here / "eos" / "renamed.root")
    (here / "link.root").symlink_to(here / "data/nano.root")
    spellings = (
        "data/nano.root", "./data/../data/nano.root", str(here / "data/nano.root"),
        "eos/renamed.root", "link.root",
    )  # fmt: skip
    found = [Run(here, {**JETS, "files": [name]}).rows() for name in spellings]
    assert len(found[0]) > 900
    assert all(other == found[0] for other in found[1:])


def test_names_of_jobs_are_in_no_number(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planning gives a job its section, which counts by value, paths, and hashes as its name."""
    dataset = {**JETS, "files": [str(here / "data/nano.root")]}
    shards, sums, names = [], [], []
    for folder, code in (("one", "1"), ("two", "2")):
        (here / folder).mkdir()
        monkeypatch.chdir(here / folder)
        at = Run(here / folder, dataset)
        monkeypatch.setattr(at.plan.jobs, "code", lambda *_, code=code: code)
        content = json.loads(Path(at.statistics()).read_text())
        names.append(content.pop("provenance")["fingerprint"])
        sums.append({**content, "digest": None})
        shards.append({f.name: content_digest(f) for f in Path("results").rglob("*.h5")})
    assert names[0] != names[1]
    assert len(shards[0]) == 1
    assert shards[0] == shards[1]
    assert sums[0] == sums[1]


def test_an_edit_of_a_function_reads_again_what_calls_it(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where it decides which rows there are, and no column calls it."""
    called = {
        "select": "abs(Jet_eta) < 2",
        "variables": {"pt": "sqrt(Jet_pt)", "eta": "Jet_eta"},
        "weight": "maximum(genWeight, 1)",
        "classes": {
            **JETS["classes"],
            "light": {"where": "sign(Jet_hadronFlavour) == 0"},
        },
        "identity": ["run", "round(luminosityBlock)", "event"],
    }
    dataset = {**JETS, **called, "files": ["data/nano.root"]}
    edited: set[str] = set()
    read = {}
    for name in ("", "log", "abs", "sqrt", "maximum", "sign", "round"):
        at = Run(here, dataset)
        edited.update([FUNCTIONS[name].signature.place] if name else [])
        monkeypatch.setattr(at.plan.jobs, "code", lambda *of: of_value(sorted(edited & {*of})))
        capsys.readouterr()
        at.rows()
        read[name] = "2 columns read" in capsys.readouterr().out
    assert read == {name: name != "log" for name in read}


def test_jets_of_one_event_share_split_and_fold(here: Path) -> None:
    found = Run(here, {**JETS, "files": ["data/nano.root"], "shards_per_file": 2}).rows()
    (entry, obj), (ids, split) = (np.array(list(x)).T for x in (found, found.values()))
    assert len(np.unique(ids)) == len(ids)
    fold = fold_of(event_of(np.array([i for i, _ in found.values()], np.uint64), obj), 4)
    for column in (split, fold):
        by_event = {(int(e), int(c)) for e, c in zip(entry, column, strict=True)}
        assert len(by_event) == len(np.unique(entry)) < len(entry) / 2
        assert len(np.unique(column)) > 2


def test_columns_that_are_added_find_the_same_rows(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = Run(here, {**JETS, "files": ["data/nano.root"]}).rows()
    assert "2 columns read" in capsys.readouterr().out
    # Also with a function that nothing called before.
    wider = {**JETS["variables"], "mass": "abs(Jet_mass)"}
    assert Run(here, {**JETS, "files": ["data/nano.root"], "variables": wider}).rows() == first
    assert "1 columns read" in capsys.readouterr().out


@pytest.mark.parametrize(
    "second",
    ["{here}/data/nano.root", "link.root", "hard.root", "linked/nano.root"],
)
def test_a_file_listed_twice_is_refused_in_the_plan(here: Path, second: str) -> None:
    (here / "link.root").symlink_to("data/nano.root")
    os.link(here / "data/nano.root", here / "hard.root")
    (here / "linked").symlink_to("data")
    twice = {**JETS, "files": ["data/nano.root", second.format(here=here)]}
    entries = r"under two names, listed by '\S*nano\.root' and by '\S+\.root'\n"
    with pytest.raises(ConfigError, match=rf"nano\.root and (.|\n)*{entries}"):
        Run(here, twice)
    by_class = {"b": {"files": twice["files"][:1]}, "light": {"files": twice["files"][1:]}}
    entries = r"listed by 'data/nano\.root' of class 'b' and by '\S+' of class 'light'\n"
    with pytest.raises(ConfigError, match=rf"{entries}.*leave one of them out"):
        Run(here, {**JETS, "classes": by_class})


def test_a_file_of_two_samples_names_both_and_their_patterns(here: Path) -> None:
    samples = {"tt": {"files": ["data/*.root"], "class": "b"},
               "dy": {"files": ["data/nano.root"], "class": "light"}}  # fmt: skip
    dataset = {**JETS, "samples": samples, "classes": {"b": {}, "light": {}}}
    listed = r"'data/nano\.root' of sample 'dy' and by 'data/\*\.root' of sample 'tt'\n"
    with pytest.raises(ConfigError, match=rf"file data/nano\.root\n(.|\n)*listed by {listed}"):
        Run(here, {key: value for key, value in dataset.items() if key != "files"})


@pytest.mark.parametrize("second", ["./data/nano.root", "data/../data/nano.root", "data/*.root"])
def test_a_file_named_by_two_entries_is_refused_in_the_plan(here: Path, second: str) -> None:
    with pytest.raises((ConfigError, InputError), match="leave one of them out"):
        Run(here, {**JETS, "files": ["data/nano.root", second]})


@pytest.mark.parametrize(
    "second", ["root://h//x.root", "root://h//x.root#adler32=00000001", "root://h//x.root#size=9"]
)
def test_a_url_in_two_classes_is_refused_in_the_plan(here: Path, second: str) -> None:
    classes = {"b": {"files": ["root://h//x.root"]}, "light": {"files": [second]}}
    with pytest.raises(ConfigError, match=r"root://h//x\.root"):
        Run(here, {**JETS, "classes": classes})


def test_a_copy_is_refused_where_both_are_indexed(here: Path) -> None:
    shutil.copyfile(NANO, here / "data/copy.root")
    run = Run(here, {**JETS, "files": ["data/*.root"], "on_bad_file": "quarantine"})
    with pytest.raises(ConfigError, match=r"data/copy\.root and data/nano\.root(.|\n)*1825cd4a"):
        run.index(run.plan.files("mine").packs[0])


def test_a_copy_in_another_pack_is_refused_before_any_training(here: Path) -> None:
    shutil.copyfile(NANO, here / "data/copy.root")
    run = Run(here, {**JETS, "files": ["data/*.root"]}, minutes=1e-4)
    assert len(run.plan.files("mine").packs) == 2
    with pytest.raises(ConfigError, match=r"data/copy\.root and data/nano\.root"):
        run.statistics()
    (here / "data/copy.root").unlink()
    assert Path(Run(here, {**JETS, "files": ["data/*.root"]}).statistics()).exists()


def test_two_trees_of_one_file_hold_different_events(tmp_path: Path) -> None:
    path = tmp_path / "two.root"
    with uproot.recreate(path) as file:
        for name in ("a", "deep/a"):
            file.mktree(name, {"x": "f4"})
            file[name].extend({"x": np.zeros(3, "f4")})
    headers = [inspect(str(path), name) for name in ("a", "deep/a", "a;1")]
    assert headers[0].origin == headers[2].origin != headers[1].origin
    require_distinct(Events(h.origin, 0, h.entries, h.url) for h in headers[:2])


def test_files_without_a_uuid_are_told_apart_by_their_content(tmp_path: Path) -> None:
    headers = []
    for name, rows in (("a", 5), ("b", 6), ("c", 5)):
        path = tmp_path / f"{name}.root"
        if name == "c":
            shutil.copyfile(tmp_path / "a.root", path)
        else:
            with uproot.recreate(path, uuid_function=lambda: uuid.UUID(int=0)) as file:
                file.mktree("t", {"x": "f4"}).extend({"x": np.zeros(rows, "f4")})
        headers.append(inspect(str(path), "t"))
    assert headers[0].origin == headers[2].origin != headers[1].origin


def events(origin: str, first: int, entries: int, url: str) -> Events:
    return Events(origin, first, entries, url)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([events("a", 0, 5, "x"), events("b", 0, 5, "y")], None),
        ([events("table t", 0, 5, "x"), events("table t", 5, 5, "y")], None),
        ([events("table t", 0, 6, "x"), events("table t", 5, 5, "y")], "files x and y(.|\n)*row 5"),
        ([events("table t", 5, 1, "z"), events("table t", 0, 9, "x")], "files x and z(.|\n)*row 5"),
        ([events("a", 0, 0, "x"), events("a", 0, 0, "y")], "files x and y(.|\n)*identity a"),
    ],
)
def test_files_with_common_entries_are_refused(files: list[Events], words: str | None) -> None:
    if words is None:
        require_distinct(files)
        return
    with pytest.raises(ConfigError, match=words):
        require_distinct(files)


# -- events with names --------------------------------------------------------------------------
NAMES = ["run", "luminosityBlock", "event"]


def rewritten(source: Path, target: Path, order: Callable[[int], np.ndarray]) -> None:
    """Some entries of the genuine jets in another order in a new file, as a skim leaves them."""
    wanted = [*NAMES, "Jet_pt", "Jet_eta", "Jet_hadronFlavour"]
    with uproot.open(source) as file:
        arrays = file["Events"].arrays(wanted, library="ak")
    arrays = arrays[order(len(arrays))]
    with uproot.recreate(target) as file:
        file["Events"] = {name: arrays[name] for name in wanted}


def test_events_with_names_are_recognised_in_a_skim(here: Path) -> None:
    rewritten(NANO, here / "skim.root", lambda n: np.arange(n)[::-2])
    named = {**JETS, "identity": NAMES}
    whole = Run(here, {**named, "files": ["data/nano.root"]}).rows()
    skim = Run(here, {**named, "files": ["skim.root"]}).rows()
    assert 0.3 < len(skim) / len(whole) < 0.7
    assert set(skim.values()) < set(whole.values())
    with uproot.open(NANO) as file:
        numbers = np.stack([file["Events"][n].array(library="np") for n in NAMES], axis=1)
    expected = named_event_ids("", numbers.astype(np.int64))
    (entry, obj), ids = np.array(list(whole)).T, [i for i, _ in whole.values()]
    np.testing.assert_array_equal(event_of(np.array(ids, np.uint64), obj), expected[entry])


def test_numbers_repeat_across_simulations(here: Path) -> None:
    rewritten(NANO, here / "other.root", np.arange)
    classes = {"b": {"files": ["data/nano.root"]}, "light": {"files": ["other.root"]}}
    run = Run(here, {**JETS, "classes": classes, "identity": NAMES})
    run.statistics()
    shards = sorted((here / "results").rglob("*.h5"))
    one, other = ({i for i, _ in rows_of(path).values()} for path in shards)
    assert len(one) == len(other) > 0
    assert not one & other


def test_two_entries_with_one_name_are_refused(here: Path) -> None:
    rewritten(NANO, here / "twice.root", lambda n: np.append(np.arange(9), 4))
    run = Run(here, {**JETS, "files": ["twice.root"], "identity": NAMES, "shards_per_file": 2})
    for _ in range(2):  # the shards are there by then
        with pytest.raises(DataError, match=r"twice\.root: entries 4 and 9"):
            run.preprocess(run.plan.files("mine").packs[0])
    run = Run(here, {**JETS, "files": ["data/nano.root"], "identity": ["run"]})
    with pytest.raises(DataError, match="leave `identity` out"):
        run.preprocess(run.plan.files("mine").packs[0])


def test_shards_without_rows_name_no_event_twice(here: Path) -> None:
    run = Run(
        here, {**JETS, "files": ["data/nano.root"], "identity": NAMES, "select": "Jet_pt < 0"}
    )
    run.preprocess(run.plan.files("mine").packs[0])
    require_one_entry_an_event([str(p) for p in (here / "results").rglob("*.h5")], "x")


def test_a_missing_name_is_refused_at_the_index(here: Path) -> None:
    names = ["run", "luminosityBlok", "event"]
    run = Run(here, {**JETS, "files": ["data/nano.root"], "identity": names})
    with pytest.raises(InputError, match="did you mean 'luminosityBlock'"):
        run.index(run.plan.files("mine").packs[0])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.array([1.0, 2.5]), r"entry 1(.|\n)*whole number(.|\n)*2\.5"),
        (np.array([2.0**53, 1.0]), r"entry 0(.|\n)*exact"),
        (np.array([np.nan, 1.0]), "entry 0"),
        (np.array([3.0, 4.0], np.float32), None),
        (np.array([2.0**24, 4.0], np.float32), "float32"),
        (np.array([(1 << 64) - 1, 4], np.uint64), None),
        (np.array([-1, 4], np.int32), None),
    ],
)
def test_names_are_whole_numbers(tmp_path: Path, values: np.ndarray, words: str | None) -> None:
    path = tmp_path / "x.root"
    write_tree(path, "t", [Entries({"n": values, "x": np.zeros(2, np.float32)})])
    reader = RowReader("t", {"x": "x"}, classes=(ClassRule("all"),), identity=("n",))
    if words is not None:
        with pytest.raises(DataError, match=words):
            list(reader.read(str(path), 0, 2))
        return
    (block,) = reader.read(str(path), 0, 2)
    np.testing.assert_array_equal(block.event, values.astype(np.int64)[:, None])


def test_simulated_events_need_no_names(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    file = tmp_path / "config/datasets/w-jets.yaml"
    file.write_text(f"{file.read_text()}\nidentity: [event]\n")
    with pytest.raises(ConfigError, match="simulated ones"):
        Library(tmp_path / "config").dataset("w-jets")


# -- tables -------------------------------------------------------------------------------------
SMALL = parse(Table, {"header": True, "columns": {"x": "float32", "y": "int32"}}, "small.yaml")
ROWS: dict[str, Any] = {
    "tree": "events",
    "classes": {"a": {"where": "y == 0"}, "b": {"where": "y == 1"}},
    "variables": {"x": "x", "row": "row"},
}


def table(path: Path, rows: int = 25, end: str = "\n") -> Path:
    lines = ["x,y", *(f"{row / 4},{row % 2}" for row in range(rows))]
    path.write_bytes("".join(f"{line}{end}" for line in lines).encode())
    return path


def identities_of_rows(here: Path, folder: str) -> dict[int, tuple[int, int]]:
    """Row of the table → (id, split)."""
    run, found = Run(here, {**ROWS, "files": [f"{folder}/*.root"]}), {}
    for pack in run.plan.files("mine").packs:
        manifest = Path(run.preprocess(pack))
        for entry in Manifest.read(manifest).files.values():
            with uproot.open(here / entry.url) as file:
                row = file["events"]["row"].array(library="np")
            rows = rows_of(manifest.parent / entry.shards[0])
            found |= {int(row[e]): value for (e, _), value in rows.items()}
    return found


def test_a_table_imported_again_has_the_same_rows(here: Path) -> None:
    import gzip

    source = table(here / "t.csv")
    (here / "again.csv.gz").write_bytes(gzip.compress(source.read_bytes()))
    import_table(source, SMALL, here / "one", rows_per_file=25)
    import_table(here / "again.csv.gz", SMALL, here / "many", rows_per_file=7)
    one, many = identities_of_rows(here, "one"), identities_of_rows(here, "many")
    assert sorted(one) == list(range(25))
    assert one == many
    import_table(table(here / "t.csv", end="\r\n"), SMALL, here / "other")
    assert not set(identities_of_rows(here, "other").values()) & set(one.values())


def test_a_table_imported_twice_is_refused(here: Path) -> None:
    import_table(table(here / "t.csv"), SMALL, here / "one", rows_per_file=25)
    import_table(here / "t.csv", SMALL, here / "many", rows_per_file=10)
    run = Run(here, {**ROWS, "files": ["one/*.root", "many/t-00001.root"]})
    with pytest.raises(ConfigError, match=r"(.|\n)*the same rows of one table, from row 10"):
        run.index(run.plan.files("mine").packs[0])


def note_of(path: Path, note: str, rows: int = 3, tree: str = "t") -> Header:
    with uproot.recreate(path) as file:
        file["rootloom_table"] = note
        file.mktree("t", {"x": "f4"}).extend({"x": np.zeros(rows, "f4")})
    return inspect(str(path), "t")


def test_a_note_counts_for_the_tree_that_it_is_about(tmp_path: Path) -> None:
    note = '{{"sha256": "ab", "tree": "{}", "first_row": 7, "most_rows": 3}}'
    right = note_of(tmp_path / "a.root", note.format("t"))
    assert (right.origin, right.first_entry) == ("table ab", 7)
    # Of another tree, or of a file that others were merged into.
    for header in (
        note_of(tmp_path / "b.root", note.format("u")),
        note_of(tmp_path / "c.root", note.format("t"), rows=4),
    ):
        assert header.origin.endswith("/t")
        assert header.first_entry == 0
    with pytest.raises(InputError, match=r"rootloom_table(.|\n)*import the table again"):
        note_of(tmp_path / "d.root", "{")
