"""Parquet, HDF5 and .npz tables into ROOT files, against what other readers find in them."""

from __future__ import annotations

import pickle
import sys
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import awkward as ak
import h5py
import hdf5plugin  # noqa: F401  # Blosc, for the oracle
import numpy as np
import pytest
import uproot

from rootloom.cli import main
from rootloom.config.sections import Library, Table, parse
from rootloom.errors import ConfigError, RootloomError
from rootloom.rootio import array_file
from rootloom.rootio.hdf5_file import texts_of_pickle
from rootloom.rootio.tables import content_checksum, import_table, read_table

DATA = Path(__file__).parents[1] / "data"
LIBRARY = Library(Path(__file__).parents[2] / "config")
FOUR = {
    "columns": {"label": "int32"},
    "objects": {"parts": {"columns": {"pt": "X[0]", "kind": "X[1]"}, "types": {"kind": "int32"},
                          "present": "pt"}},
}  # fmt: skip


def recipe(**fields: Any) -> Table:
    return parse(Table, fields, "recipe.yaml")


def rows_of(paths: list[Path]) -> ak.Array:
    return ak.concatenate([uproot.open(path)["events"].arrays() for path in paths])


def quarks(rows: int = 25, slots: int = 6, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """X (rows, slots, 4) as EnergyFlow stores jets, padded with zeros, and y; one jet is empty."""
    rng = np.random.default_rng(seed)
    X = np.stack([
        rng.exponential(20, (rows, slots)),
        rng.normal(0, 1, (rows, slots)),
        rng.uniform(0, 2 * np.pi, (rows, slots)),
        rng.choice([22, 211, -211, 130, -2112, 11], (rows, slots)),
    ], axis=2)  # fmt: skip
    counts = rng.integers(1, slots + 1, rows)
    counts[4] = 0
    X[np.arange(slots)[None] >= counts[:, None]] = 0
    return X, rng.integers(0, 2, rows).astype(np.float64)


def test_the_layout_of_the_top_tagging_set_as_pandas_writes_it(tmp_path: Path) -> None:
    source = DATA / "top_tagging_layout.h5"
    found = rows_of(import_table(source, LIBRARY.table("top-tagging"), tmp_path / "out"))
    with h5py.File(source) as file:  # columns are E_0, PX_0, PY_0, PZ_0, E_1, …
        table = file["table/table"][:]
    momenta = table["values_block_0"][:, :800].reshape(-1, 200, 4)
    expected = ak.Array(momenta)[ak.from_regular(momenta[:, :, 0] > 0)]
    for place, name in enumerate(("e", "px", "py", "pz")):
        assert ak.all(found[f"particles_{name}"] == expected[:, :, place], axis=None)
        assert found[f"particles_{name}"].type.content.content.primitive == "float32"
    np.testing.assert_array_equal(found.nparticles, (momenta[:, :, 0] > 0).sum(axis=1))
    np.testing.assert_array_equal(found.is_signal_new, table["values_block_1"][:, 1])
    assert set(found.is_signal_new) == {0, 1}  # the column before it is constant
    np.testing.assert_array_equal(found.row, np.arange(12))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_the_layout_of_energyflow(tmp_path: Path, save: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(array_file, "BLOCK_ROWS", 7)  # divides neither the files nor the table
    X, y = quarks()
    save(tmp_path / "QG_jets.npz", X=X, y=y)
    shipped = LIBRARY.table("quark-gluon")
    paths = import_table(tmp_path / "QG_jets.npz", shipped, tmp_path / "out", rows_per_file=10)
    assert [path.name for path in paths] == [f"QG_jets-0000{n}.root" for n in range(3)]
    found = rows_of(paths)
    for place, name in enumerate(("pt", "rapidity", "phi", "pdgid")):
        kind = np.int32 if name == "pdgid" else np.float32
        lists = [jet[jet[:, 0] > 0][:, place].astype(kind).tolist() for jet in X]
        assert found[f"particles_{name}"].to_list() == lists
    np.testing.assert_array_equal(found.y, y)
    assert found.y.type.content.primitive == "int32"
    assert found.nparticles[4] == 0


def test_parquet_with_the_lists_of_genuine_jets(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    names = ["part_px", "part_energy", "part_charge"]
    with uproot.open(DATA / "jetclass2_100.root") as file:
        jets = file["tree"].arrays([*names, "jet_pt", "jet_label"])
    columns = {name: ak.to_arrow(jets[name], extensionarray=False) for name in jets.fields}
    columns["origin"] = arrow.array(["qcd" if n > 160 else "res" for n in jets.jet_label])
    columns["tau"] = arrow.array([None if n % 5 == 0 else n / 7 for n in range(100)])
    source = tmp_path / "jets.parquet"
    parquet.write_table(arrow.table(columns), source, row_group_size=17)
    found = rows_of(import_table(source, recipe(
        columns={"jet_pt": "float32", "jet_label": "int32", "origin": {"res": 0, "qcd": 1},
                 "tau": "float64"},
        objects={"part": {"columns": {n.removeprefix("part_"): n for n in names},
                          "types": {"charge": "int32"}}},
    ), tmp_path / "out", rows_per_file=30))  # fmt: skip
    for name in (*names, "jet_pt", "jet_label"):
        assert ak.all(found[name] == jets[name], axis=None)
    np.testing.assert_array_equal(found.origin, jets.jet_label > 160)
    tau = np.array([np.nan if n % 5 == 0 else n / 7 for n in range(100)])
    np.testing.assert_array_equal(found.tau, tau)


def test_hdf5_groups_and_tables_of_records(tmp_path: Path) -> None:
    X, y = quarks()
    kinds = [("label", "i8"), ("eta", "f4"), ("text", h5py.string_dtype())]
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["all/X"], file["all/label"] = X[:, :, [0, 3]], y
        jets = file.create_dataset("jets", len(y), kinds)
        jets["label"], jets["eta"] = y, X[:, 0, 1]
    found = rows_of(import_table(tmp_path / "t.h5", recipe(path="all", **FOUR), tmp_path / "out"))
    assert found.parts_kind.to_list() == [jet[jet[:, 0] > 0][:, 3].tolist() for jet in X]
    of_records = recipe(path="jets", columns={"eta": "float32", "label": "int64"})
    found = rows_of(import_table(tmp_path / "t.h5", of_records, tmp_path / "records"))
    np.testing.assert_array_equal(found.eta, X[:, 0, 1].astype(np.float32))
    np.testing.assert_array_equal(found.label, y)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"X": None}, r"a column 'X'(.|\n)*label, Z"),
        ({"label": np.arange(24)}, r"'X'(.|\n)*24 rows, as 'label'(.|\n)*25"),
        ({"label": np.full(25, 0.5)}, r"row 0, column 'label'(.|\n)*whole number(.|\n)*0\.5"),
        ({"label": np.full(25, 2**40)}, r"row 0, column 'label'(.|\n)*2147483647"),
        ({"label": np.array(["a"] * 25)}, r"'label'(.|\n)*numbers, as the recipe says"),
        ({"label": np.array([None] * 25)}, r"'label'(.|\n)*Python objects, which are pickled"),
        ({"label": np.zeros((25, 2))}, r"'label'(.|\n)*one value a row(.|\n)*objects"),
        ({"X": np.zeros((25, 6))}, r"'X'(.|\n)*\(rows, slots, quantities\)(.|\n)*\(rows, 6\)"),
        ({"X": np.zeros((25, 6, 1))}, r"'parts\.kind'(.|\n)*at least 2 places(.|\n)*6, 1"),
        ({"X": "infinite"}, r"row 9, object 2, 'parts\.pt'(.|\n)*finite(.|\n)*inf"),
        ({"X": "hidden"}, r"row 9, slot 5, 'parts\.kind'(.|\n)*'parts\.pt' is 0(.|\n)*7"),
        ({"X": np.asfortranarray(np.ones((25, 6, 2)))}, "Fortran"),
        ({"X": np.zeros((0, 6, 2)), "label": np.zeros(0)}, "expected: rows"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_left(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    X, y = quarks()
    X = np.ascontiguousarray(X[:, :, [0, 3]])
    X[9] = [[3, 1], [2, 1], [1, 1], [0, 0], [0, 0], [0, 0]]
    if change.get("X") is not None and isinstance(change["X"], str):
        X[9, *((2, 0) if change["X"] == "infinite" else (5, 1))] = (
            np.inf if change["X"] == "infinite" else 7
        )
        change = {}
    arrays = {"label": y, "Z": y, "X": X} | change
    np.savez(tmp_path / "t.npz", **{n: a for n, a in arrays.items() if a is not None})
    with pytest.raises(RootloomError, match=words):
        import_table(tmp_path / "t.npz", recipe(**FOUR), tmp_path / "out", rows_per_file=4)
    assert [path.name for path in tmp_path.iterdir()] == ["t.npz"]


def test_lists_of_different_lengths_and_types_of_parquet(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    two = recipe(columns={"n": "int32"}, objects={"a": {"columns": {"x": "x", "y": "y"}}})
    good = {"n": [1, 2], "x": [[1.0], [2.0, 3.0]], "y": [[1.0], [2.0, 3.0]]}
    for change, words in (
        ({"y": [[1.0], [2.0]]}, r"row 1, 'a\.y'(.|\n)*2 objects, as 'a\.x'(.|\n)*1"),
        ({"y": [[1.0], None]}, r"'y'(.|\n)*a list in every row(.|\n)*null"),
        ({"y": [1.0, 2.0]}, r"'y'(.|\n)*a list or an array(.|\n)*\(rows\)"),
        ({"n": [[1], [2]]}, r"'n'(.|\n)*one value a row(.|\n)*lists"),
        ({"n": [1, None]}, r"row 1, column 'n'(.|\n)*whole number(.|\n)*nan"),
        ({"y": [[[1.0]], [[2.0], [3.0]]]}, r"'y'(.|\n)*lists of numbers(.|\n)*list<"),
    ):
        parquet.write_table(arrow.table(good | change), tmp_path / "t.parquet")
        with pytest.raises(RootloomError, match=words):
            import_table(tmp_path / "t.parquet", two, tmp_path / "out")


def test_damaged_files_and_other_formats_are_refused(tmp_path: Path) -> None:
    X, y = quarks(2000)
    np.savez(tmp_path / "whole.npz", X=X[:, :, [0, 3]], label=y)
    whole = (tmp_path / "whole.npz").read_bytes()
    cut = tmp_path / "cut.npz"
    cut.write_bytes(whole[:-100])
    flipped = tmp_path / "flipped.npz"
    flipped.write_bytes(whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:])
    for file, change in (("short.npz", lambda x: x[:-100]), ("long.npz", lambda x: x + b"more")):
        with zipfile.ZipFile(tmp_path / "whole.npz") as old:
            members = {name: old.read(name) for name in old.namelist()}
        with zipfile.ZipFile(tmp_path / file, "w") as new:
            for name, content in members.items():
                new.writestr(name, change(content) if name == "X.npy" else content)
    layout = (DATA / "top_tagging_layout.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(layout[: len(layout) // 2])
    (tmp_path / "other.h5").write_bytes(whole)
    tops, four = LIBRARY.table("top-tagging"), recipe(**FOUR)
    for name, of, words in (
        ("cut.npz", four, "a complete npz file"),
        ("flipped.npz", four, "a complete npz file(.|\n)*CRC"),
        ("short.npz", four, "as many values as its shape says"),
        ("long.npz", four, "as many values as its shape says"),
        ("cut.h5", tops, "a complete h5 file(.|\n)*truncated"),
        ("other.h5", tops, "a complete h5 file"),
        ("none.npz", four, "No such file"),
        ("whole.npz", tops, "an HDF5 file, as the recipe has a `path`"),
    ):
        with pytest.raises(RootloomError, match=words):
            import_table(tmp_path / name, of, tmp_path / "out")
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("shape", "content", "words"),
    [
        ((3, -2), b"0" * 80, r"'label'(.|\n)*as its shape says(.|\n)*\(3, -2\)"),
        ((-1,), b"", r"'label'(.|\n)*as its shape says"),
        ((10**12, 3), b"0" * 80, r"'label'(.|\n)*as its shape says"),
        ((1, 2 << 20), bytes(16 << 20), "rows of at most 1 MiB(.|\n)*16 MiB"),
    ],
)
def test_shapes_that_cannot_be_are_refused_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple, content: bytes, words: str
) -> None:
    monkeypatch.setattr(array_file, "_ROW_BYTES", 1 << 20)
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    with zipfile.ZipFile(tmp_path / "t.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        start = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
        archive.writestr("label.npy", start + header + content)
    with pytest.raises(RootloomError, match=words):
        import_table(tmp_path / "t.npz", recipe(columns={"label": "float64"}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_missing_values_are_those_of_the_column_s_type(tmp_path: Path) -> None:
    """-999.9 as float32 is not -999.9 as float64."""
    for kind in (np.float32, np.float64):
        x = np.array([1.5, -999.9, 2.5], kind)
        np.savez(tmp_path / "t.npz", x=x, X=np.stack([x, x], axis=1))
        wanted = recipe(
            columns={"x": "float32"}, objects={"a": {"columns": {"x": "X"}}}, missing=[-999.9]
        )
        found = rows_of(import_table(tmp_path / "t.npz", wanted, tmp_path / kind.__name__))
        np.testing.assert_array_equal(found.x, [1.5, np.nan, 2.5])
        np.testing.assert_array_equal(ak.to_numpy(found.a_x)[1], [np.nan, np.nan])


def test_a_float32_that_is_too_large_for_an_integer_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", n=np.array([1, 2**31], np.float32))
    with pytest.raises(RootloomError, match=r"row 1, column 'n'(.|\n)*whole number"):
        import_table(tmp_path / "t.npz", recipe(columns={"n": "int32"}), tmp_path / "out")


def test_parquet_needs_its_package_and_a_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1" + bytes(100))
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(RootloomError, match=r"pip install 'rootloom\[parquet\]'"):
            import_table(tmp_path / "t.parquet", recipe(**FOUR), tmp_path / "out")
    pytest.importorskip("pyarrow")
    with pytest.raises(RootloomError, match="a complete parquet file"):
        import_table(tmp_path / "t.parquet", recipe(**FOUR), tmp_path / "out")


def test_names_of_pandas_are_read_without_unpickling(tmp_path: Path) -> None:
    names = ["E_0", "µ", "a b"]
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert texts_of_pickle(pickle.dumps(names, protocol)) == names

    class Alarm:
        def __reduce__(self) -> Any:
            return (tmp_path / "opened").touch, ()

    for other in ([Alarm()], ["a", 1], {"a": "b"}, [["a"], Alarm()]):
        with pytest.raises(ValueError, match="a pickle with"):
            texts_of_pickle(pickle.dumps(other))
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["table"] = np.zeros(3, [("block", "f4", (3,)), ("label", "i4")])
        for content in (pickle.dumps([Alarm()]), pickle.dumps(names[:2])):
            file["table"].attrs["block_kind"] = np.bytes_(content)
            file.flush()
            with pytest.raises(RootloomError, match=r"a pickle with|2 columns, as are named"):
                next(
                    read_table(tmp_path / "t.h5", recipe(path="table", columns={"E_0": "float32"}))
                )
    assert not (tmp_path / "opened").exists()


def test_a_wrong_path_in_hdf5_says_what_is_there(tmp_path: Path) -> None:
    source = DATA / "top_tagging_layout.h5"
    for path, words in (
        ("tabel/table", r"no 'tabel' in '/', which has: table(.|\n)*did you mean 'table'"),
        ("table", r"a pandas data frame(.|\n)*path: table/table"),
        ("", r"a column 'is_signal_new'(.|\n)*table"),
    ):
        with pytest.raises(RootloomError, match=words):
            next(read_table(source, recipe(path=path, columns={"is_signal_new": "int32"})))
    with h5py.File(tmp_path / "fixed.h5", "w") as file:
        file.create_group("frame").attrs["pandas_type"] = np.bytes_(b"frame")
        file["real"] = np.zeros(3)
        file["linked"] = h5py.SoftLink("/real")
    for path, name, words in (
        ("frame", "x", "format 'fixed'(.|\n)*format='table'"),
        ("", "linked", "soft link"),
    ):
        with pytest.raises(RootloomError, match=words):
            next(read_table(tmp_path / "fixed.h5", recipe(path=path, columns={name: "float32"})))


def test_recipes_are_checked() -> None:
    for fields, words in (
        ({}, "columns or objects are needed"),
        ({"objects": {"a": {"columns": {"x": "E_{slot}"}}}}, "slots is the number"),
        ({"objects": {"a": {"columns": {"x": "E"}, "slots": 3}}}, "slots is the number"),
        ({"objects": {"a": {"columns": {"x": "E[-1]"}}}}, r"NAME\[k\]"),
        ({"objects": {"a": {"columns": {"x": "E"}, "present": "y"}}}, "'y' is not one"),
        ({"objects": {"a": {"columns": {"x": "E"}}}, "columns": {"na": "int32"}}, "called 'na'"),
        ({"objects": {"a": {"columns": {"x": "E"}}}, "columns": {"a_x": "int32"}}, "called 'a_x'"),
    ):
        with pytest.raises(ConfigError, match=words):
            recipe(**fields)


def test_text_has_no_objects_and_checksums_are_of_bytes(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("1\n")
    with pytest.raises(ConfigError, match=r"\.parquet, \.h5, \.hdf5 or \.npz"):
        import_table(tmp_path / "t.csv", recipe(**FOUR), tmp_path / "out")
    assert len(content_checksum(DATA / "top_tagging_layout.h5")) == 64


def test_memory_holds_one_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_file, "BLOCK_BYTES", 1 << 20)
    X, y = np.tile([1.5, 22.0], (5000, 250, 1)), np.zeros(5000)  # 20 MB
    np.savez_compressed(tmp_path / "t.npz", X=X, label=y)
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["label"] = y
        file.create_dataset("X", data=X, chunks=(100, 250, 2), compression="gzip")
    for name in ("t.npz", "t.h5"):
        tracemalloc.start()
        try:
            sizes = [rows.size for rows in read_table(tmp_path / name, recipe(**FOUR))]
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert sum(sizes) == 5000
        assert max(sizes) == 2**20 // 4008
        assert peak < 10e6  # a block and its copies by type


def test_memory_holds_pages_of_a_large_row_group(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    x = np.random.default_rng(0).random(3_000_000)  # 24 MB, which do not shrink
    lists = arrow.ListArray.from_arrays(np.arange(0, len(x) + 1, 30, dtype=np.int32), x)
    parquet.write_table(arrow.table({"x": lists}), tmp_path / "t.parquet", row_group_size=10**6)
    of = recipe(objects={"a": {"columns": {"x": "x"}, "type": "float64"}})
    before, rows, held = arrow.total_allocated_bytes(), 0, []
    for block in read_table(tmp_path / "t.parquet", of):
        rows += block.size
        held.append(arrow.total_allocated_bytes() - before)
    assert rows == 100_000
    assert max(held) < 12e6


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = str(DATA / "top_tagging_layout.h5")
    assert main(["import", "top-tagging", source, str(tmp_path / "out")]) == 0
    assert "12 rows" in capsys.readouterr().out
    assert main(["import", "quark-gluon", source, str(tmp_path / "other")]) == 1
    assert "a column 'y'" in capsys.readouterr().err
