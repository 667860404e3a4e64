"""Text tables into ROOT files: every number arrives, and every bad line is named."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import uproot

from rootloom.cli import main
from rootloom.config.sections import Library, Table, parse
from rootloom.errors import RootloomError
from rootloom.rootio import tables, text_table
from rootloom.rootio.tables import import_table

ROOT = Path(__file__).resolve().parents[2]
GENUINE = ROOT / "tests" / "data" / "higgs-7000.tsv"
LIBRARY = Library(ROOT / "config")
SMALL = parse(
    Table,
    {
        "header": True,
        "missing": [-999.0],
        "columns": {
            "event": "int64",
            "mass": "float32",
            "weight": "float64",
            "label": {"b": 0, "s": 1},
        },
    },
    "small.yaml",
)
LINES = [
    "event,mass,weight,label",
    "100000,125.5,0.25,s",
    "100001,-999.0,1e-3,b",
]


def arrays(paths: list[Path]) -> dict[str, np.ndarray]:
    parts = [uproot.open(path)["events"].arrays(library="np") for path in paths]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def write(path: Path, lines: list[str]) -> Path:
    text = "\n".join(lines) + "\n"
    opened: Callable[..., object] = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt") as file:  # type: ignore[attr-defined]
        file.write(text)
    return path


@pytest.mark.parametrize("name", LIBRARY.names("tables"))
def test_shipped_recipes_are_valid(name: str) -> None:
    table = LIBRARY.table(name)
    assert table.description
    assert table.objects or len(table.columns) >= 29


def test_genuine_rows_arrive_in_files_of_bounded_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        text_table, "_BLOCK_LINES", 1000
    )  # neither divides the files nor the table evenly
    recipe = LIBRARY.table("uci-higgs")
    written = import_table(GENUINE, recipe, tmp_path / "out", rows_per_file=2300)
    assert [uproot.open(path)["events"].num_entries for path in written] == [2300, 2300, 2300, 100]
    found = arrays(written)
    expected = np.genfromtxt(GENUINE, delimiter="\t")
    for number, name in enumerate(recipe.columns):
        np.testing.assert_array_equal(found[name], expected[:, number].astype(found[name].dtype))
    np.testing.assert_array_equal(found["row"], np.arange(7000))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_words_missing_values_and_exact_types(tmp_path: Path, suffix: str) -> None:
    table = write(tmp_path / f"t{suffix}", LINES)
    found = arrays(import_table(table, SMALL, tmp_path / "out"))
    np.testing.assert_array_equal(found["event"], [100000, 100001])
    np.testing.assert_array_equal(found["mass"], np.array([125.5, np.nan], np.float32))
    np.testing.assert_array_equal(found["weight"], [0.25, 1e-3])
    np.testing.assert_array_equal(found["label"], [1, 0])
    assert found["mass"].dtype == np.float32
    assert found["weight"].dtype == np.float64


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1,2.0,3.0", r"line 4(.|\n)*4 columns(.|\n)*found: +3"),
        ("1,2.0,3.0,s,5", r"line 4(.|\n)*4 columns(.|\n)*found: +5"),
        ("", r"line 4(.|\n)*an empty line"),
        ("1,two,3.0,s", r"line 4, column 'mass'(.|\n)*a number(.|\n)*'two'"),
        ("1,,3.0,s", r"line 4, column 'mass'"),
        ("1,nan,3.0,s", r"line 4, column 'mass'(.|\n)*finite"),
        ("1,1e39,3.0,s", r"line 4, column 'mass'(.|\n)*finite number \(float32\)"),
        ("1.5,2.0,3.0,s", r"line 4, column 'event'(.|\n)*whole"),
        ("-999.5,2.0,3.0,s", r"line 4, column 'event'(.|\n)*whole"),
        # 2^53 + 1 is no float64: a number that would arrive as another one is refused.
        ("9007199254740993,2.0,3.0,s", r"line 4, column 'event'(.|\n)*whole"),
        ("1,2.0,3.0,s quark", r"line 4, column 'label'(.|\n)*one of: b, s"),
        (f"1,2.0,3.0,s{' ' * 20}quark", r"line 4, column 'label'(.|\n)*one of: b, s"),
        ("1,2.0,3.0,sig", r"line 4, column 'label'(.|\n)*one of: b, s(.|\n)*'si"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_left(tmp_path: Path, line: str, words: str) -> None:
    table = write(tmp_path / "t.csv", [*LINES, line, LINES[1]])
    with pytest.raises(RootloomError, match=words):
        import_table(table, SMALL, tmp_path / "out", rows_per_file=1)
    assert list(tmp_path.iterdir()) == [table]


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("event,mass,wieght,label", r"line 1, column 3(.|\n)*'weight'(.|\n)*'wieght'"),
        ("event,mass,weight", r"line 1, column 4(.|\n)*'label'(.|\n)*nothing"),
        ("event,mass,weight,label,set", r"first unknown one is 'set'"),
    ],
)
def test_a_header_must_be_the_recipes(tmp_path: Path, header: str, words: str) -> None:
    table = write(tmp_path / "t.csv", [header, *LINES[1:]])
    with pytest.raises(RootloomError, match=words):
        import_table(table, SMALL, tmp_path / "out")


def test_a_truncated_archive_is_refused(tmp_path: Path) -> None:
    whole = write(tmp_path / "t.csv.gz", [LINES[0], *(LINES[1] for _ in range(50_000))])
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(whole.read_bytes()[:-20])
    with pytest.raises(RootloomError, match=r"complete text table, gzipped(.|\n)*after line"):
        import_table(cut, SMALL, tmp_path / "out", rows_per_file=10_000)
    assert not (tmp_path / "out").exists()
    cut.write_bytes(b"event,mass,weight,label\n")
    with pytest.raises(RootloomError, match="gzipped"):
        import_table(cut, SMALL, tmp_path / "out")


def test_rows_come_before_the_end_of_the_table_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_table, "_BLOCK_LINES", 10)
    table = write(tmp_path / "t.csv", [LINES[0], *(LINES[1] for _ in range(25)), "x"])
    blocks = tables.read_table(table, SMALL)
    assert [len(next(blocks).columns["row"]) for _ in range(2)] == [10, 10]
    with pytest.raises(RootloomError, match="line 27"):
        next(blocks)


@pytest.mark.parametrize(
    ("name", "words"),
    [("none.csv", "No such file"), ("t.txt", "ends in .csv or"), ("empty.csv", "expected: rows")],
)
def test_what_is_no_table_is_refused(tmp_path: Path, name: str, words: str) -> None:
    write(tmp_path / "t.txt", LINES)
    write(tmp_path / "empty.csv", LINES[:1])
    with pytest.raises(RootloomError, match=words):
        import_table(tmp_path / name, SMALL, tmp_path / "out")


def test_what_is_there_already_stays(tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", LINES)
    (tmp_path / "out").mkdir()
    import_table(table, SMALL, tmp_path / "out")
    with pytest.raises(RootloomError, match="a new or empty folder"):
        import_table(table, SMALL, tmp_path / "out")
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out"
    assert main(["import", "uci-higgs", str(GENUINE), str(output), "--rows-per-file", "4000"]) == 0
    text = capsys.readouterr().out
    assert "7000 rows" in text
    assert "higgs-7000-00001.root" in text
    assert main(["import", "uci-hggs", str(GENUINE), str(tmp_path / "other")]) == 1
    assert "did you mean 'uci-higgs'" in capsys.readouterr().err
    assert main(["import", "higgs-ml", str(GENUINE), str(tmp_path / "other")]) == 1
    assert "line 1" in capsys.readouterr().err
