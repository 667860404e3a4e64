"""What trees and branches may be called, and which of them a name means."""

from __future__ import annotations

import importlib
import re
import shutil
import struct
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from rootloom.errors import ConfigError, DataError, InputError
from rootloom.rootio.dataset import ClassRule, RowReader
from rootloom.rootio.header import inspect, require, survey, trees
from rootloom.rootio.names import nearest_branch, plain, resolve, split_cycle

DATA = Path(__file__).parents[1] / "data"
ALL = (ClassRule("all"),)
LEAVES = str(DATA / "leaf_lists.root")
UNREADABLE = str(DATA / "unreadable_branch.root")


def column(path: str, tree: str, expression: str) -> np.ndarray:
    header = inspect(path, tree)
    reader = RowReader(tree, {"x": expression}, classes=ALL).fitted(header.branches)
    require(header, reader.branches())
    blocks = reader.read(path, 0, header.entries)
    return np.concatenate([np.asarray(block.columns["x"]) for block in blocks])


SPLIT = {
    "run",
    "muon",
    "muon/muon.pt",
    "muon/id",
    "jet/id",
    "jet/p4/fX",
    "cons_px",
    "f/a",
    "f/b.c",
    "Jet/Jet.Tau[5]",
}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("run", "run"),
        ("muon.pt", "muon/muon.pt"),
        ("muon/id", "muon/id"),
        ("muon.id", "muon/id"),
        ("fX", "jet/p4/fX"),
        ("p4.fX", "jet/p4/fX"),
        ("jet.p4.fX", "jet/p4/fX"),
        ("jet.fX", "jet/p4/fX"),
        ("cons.px", "cons_px"),
        ("f.b.c", "f/b.c"),
        ("f.b_c", "f/b.c"),
        ("a", "f/a"),
        ("Jet.Tau", "Jet/Jet.Tau[5]"),
        ("Jet_Tau", "Jet/Jet.Tau[5]"),
        ("Jet.Tau[5]", "Jet/Jet.Tau[5]"),
        ("Jet.Ta", None),
        ("X", None),
        ("uon.pt", None),
    ],
)
def test_the_branch_a_name_means(name: str, found: str | None) -> None:
    assert resolve(SPLIT, name) == found


def test_a_name_that_means_several_is_refused_with_their_full_paths() -> None:
    with pytest.raises(InputError, match=r"'id'(.|\n)*'jet/id', 'muon/id'(.|\n)*full path"):
        resolve(SPLIT, "id")


def test_short_names_of_split_branches_in_a_genuine_file(tmp_path: Path) -> None:
    # The same short name in two branches: uproot alone would take the first.
    path = tmp_path / "x.root"
    with uproot.recreate(path) as file:
        types = {"a": "var * float32", "b": "var * float32"}
        file.mktree("t", types).extend({"a": ak.Array([[1.0], [2.0]]), "b": ak.Array([[3.0], []])})
    assert list(inspect(str(path), "t").branches) == ["na", "a", "nb", "b"]


@pytest.mark.parametrize(
    ("expression", "branch", "leaf"),
    [
        ("reco.x", "reco", "x"),
        ("true.z", "true", "z"),
        ("reco.n + 0 * reco.y", "reco", "n"),
        ("single", "single", None),
        ("single.value", "single", None),
    ],
)
def test_leaves_of_leaf_lists_have_names(expression: str, branch: str, leaf: str | None) -> None:
    with uproot.open(LEAVES) as file:
        found = file["Events"][branch].array(library="np")
    expected = found if leaf is None else found[leaf]
    np.testing.assert_array_equal(column(LEAVES, "Events", expression), expected)


def test_types_of_leaves() -> None:
    branches = inspect(LEAVES, "Events").branches
    assert [branches[f"reco.{leaf}"] for leaf in "xyzn"] == ["float", "float", "float", "int32_t"]
    assert branches["reco"].startswith("struct")
    with pytest.raises(InputError, match=r"'reco\.w'(.|\n)*the closest are 'reco\."):
        require(inspect(LEAVES, "Events"), ["reco.w"])


def test_a_branch_that_cannot_be_read_refuses_only_who_asks_for_it() -> None:
    header = inspect(UNREADABLE, "Events")
    assert header.entries == 600
    require(header, ["dbl", "half", "fixed", "n"])
    with uproot.open(UNREADABLE) as file:
        expected = file["Events"]["half"].array(library="np")
    np.testing.assert_allclose(column(UNREADABLE, "Events", "half"), expected)
    found = column(UNREADABLE, "Events", "fixed[:, 2]")
    np.testing.assert_array_equal(found, np.arange(600) + 0.5)
    with pytest.raises(InputError, match=r"branch 'jet'(.|\n)*a branch that uproot can read"):
        require(header, ["n", "jet"])


def test_a_record_damaged_in_one_branch_names_it(tmp_path: Path) -> None:
    source = DATA / "uproot-HZZ-lzma.root"
    with uproot.open(source) as file:
        place = file["events"]["Jet_Px"].member("fBasketSeek")[0]
    data = bytearray(source.read_bytes())
    data[place + 80 : place + 400] = bytes(320)
    path = tmp_path / "bad.root"
    path.write_bytes(bytes(data))
    reader = RowReader("events", {"x": "sum(Jet_Px)", "y": "sum(Jet_Py)"}, classes=ALL)
    with pytest.raises(InputError, match=r"bad\.root: tree 'events': branch 'Jet_Px'"):
        list(reader.read(str(path), 0, 2421))


def autosaved(path: Path) -> str:
    with uproot.recreate(path) as file:
        for rows in (100, 300):
            file.mktree("Events", {"x": "f4"}).extend({"x": np.arange(rows, dtype="f4")})
    return str(path)


def test_cycles(tmp_path: Path) -> None:
    path = autosaved(tmp_path / "x.root")
    assert [inspect(path, name).entries for name in ("Events", "Events;1", "Events;2")] == [
        300, 100, 300,
    ]  # fmt: skip
    assert len(column(path, "Events;1", "x")) == 100
    # Autosaves are the same events: their identities agree.
    assert len({inspect(path, name).origin for name in ("Events", "Events;1")}) == 1
    assert inspect(path, "Events;1").checksum != inspect(path, "Events;2").checksum
    with pytest.raises(InputError, match=r"cycle(.|\n)*cycles 1, 2(.|\n)*tree: Events is the lat"):
        inspect(path, "Events;9")
    with pytest.raises(InputError, match=r"of that name(.|\n)*did you mean 'Events'"):
        inspect(path, "Event;1")
    assert plain("Events;1") == plain("Events") == "Events"
    assert split_cycle("a;b") == ("a;b", None)
    (tree,) = survey(path)
    assert (tree.name, tree.cycles, tree.entries) == ("Events", (1, 2), 300)


NAMES = ["two words", "a.b", "in/a/folder", "a;b", "a:b", "ünï", "br{ace}s", "x-y+z"]


def test_trees_and_branches_of_any_name(tmp_path: Path) -> None:
    path = str(tmp_path / "x.root")
    with uproot.recreate(path) as file:
        for number, name in enumerate(NAMES):
            values = np.full(3, number, "f4")
            file.mktree(name, {"x": "f4", "a b": "f4"}).extend({"x": values, "a b": values})
    assert trees(path) == NAMES
    for number, name in enumerate(NAMES):
        header = inspect(path, name)
        assert (header.entries, header.tree) == (3, name)
        np.testing.assert_array_equal(column(path, name, 'branch("a b")'), number)
    with pytest.raises(InputError, match="did you mean 'in/a/folder'"):
        inspect(path, "folder")


@pytest.mark.parametrize("name", ["a+b", "a-b", "sin(x)", "x/y", "a[0]", "1st", "a*x", "where"])
def test_a_branch_whose_name_reads_like_a_formula_is_no_formula(tmp_path: Path, name: str) -> None:
    path = str(tmp_path / "x.root")
    with uproot.recreate(path) as file:
        columns = {n: np.full(4, k, "f4") for k, n in enumerate(("x", "y", "a", "b", name))}
        file.mktree("t", dict.fromkeys(columns, "f4")).extend(columns)
    np.testing.assert_array_equal(column(path, "t", f'branch("{name}")'), 4)


KINDS = str(DATA / "kinds_of_trees.root")


def test_only_folders_that_lead_to_a_tree_are_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "in.root")
    with uproot.recreate(path) as file:
        for folder in ("plots/cut_1", "plots/cut_2", "nominal/jets", "nominal"):
            file.mktree(f"{folder}/Events", {"x": np.float64}).extend({"x": np.arange(3.0)})
    opened: list[str] = []
    get = uproot.reading.ReadOnlyKey.get
    monkeypatch.setattr(
        uproot.reading.ReadOnlyKey, "get", lambda key: (opened.append(key.fName), get(key))[1]
    )
    assert inspect(path, "nominal/jets/Events;1").entries == 3
    assert set(opened) == {"nominal", "jets", "Events"}
    assert column(path, "/nominal/Events", "x").tolist() == [0, 1, 2]
    with pytest.raises(InputError, match=r"plots/cut_1/Events(.|\n)*did you mean"):
        inspect(path, "nominal/jet/Events")


def test_kinds_of_trees_that_root_writes() -> None:
    found = {tree.name: tree for tree in survey(KINDS)}
    entries = {name: tree.entries for name, tree in found.items() if not tree.problem}
    assert entries == {
        "nobranch": 0, "ntuple": 1, "ntupled": 1, "d/e/deep": 1, "odd/name;2 x": 1, "objs": 3,
    }  # fmt: skip
    assert "TChain" in found["chain"].problem
    with pytest.raises(InputError, match=r"a TChain(.|\n)*list those files"):
        inspect(KINDS, "chain")
    empty = inspect(KINDS, "nobranch")
    assert (empty.branches, empty.clusters) == ({}, (0,))
    with pytest.raises(InputError, match="0 branches without them"):
        require(empty, ["x"])
    np.testing.assert_array_equal(column(KINDS, "ntuple", "a + b + c"), [6])
    np.testing.assert_array_equal(column(KINDS, "d/e/deep", "run"), [1])
    np.testing.assert_array_equal(column(KINDS, "odd/name;2 x", "run"), [1])


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("sum(v)", [3, 3, 3]),
        ("sum(m.second)", [0, 0, 0]),
        ("dup", [1, 1, 1]),
        ("late", r"branch 'late'(.|\n)*3 entries from 0 on(.|\n)*1"),
        ("m", r"branch 'm'(.|\n)*a group of 2 branches"),
        ("h", r"branch 'h'"),
    ],
)
def test_branches_of_all_kinds_beside_each_other(expression: str, expected: list | str) -> None:
    if isinstance(expected, str):
        with pytest.raises(InputError, match=expected):
            column(KINDS, "objs", expression)
        return
    np.testing.assert_array_equal(column(KINDS, "objs", expression), expected)


def test_trees_without_entries(tmp_path: Path) -> None:
    path = str(tmp_path / "x.root")
    with uproot.recreate(path) as file:
        file.mktree("empty", {"x": "f4"})
        file.mkrntuple("nothing", {"x": np.zeros(0, "f4")})
    assert [(one.name, one.entries) for one in survey(path)] == [
        ("empty", 0), ("nothing", 0),
    ]  # fmt: skip
    assert inspect(path, "empty").clusters == (0,)
    assert len(column(path, "empty", "x")) == 0


@pytest.mark.parametrize("name", ["Electron_deltaEtaSC", "_collection1.Electron_deltaEtaSC"])
def test_a_collection_of_a_genuine_rntuple_by_either_name(name: str) -> None:
    tree, ntuple = (str(DATA / name) for name in ("nano_dy.root", "nano_dy_rntuple.root"))
    one = column(tree, "Events", "sum(Electron_deltaEtaSC)")
    np.testing.assert_array_equal(column(ntuple, "Events", f"sum({name})"), one)


def test_collections_of_an_rntuple_behind_hidden_names(tmp_path: Path) -> None:
    path = str(tmp_path / "x.root")
    jets = ak.Array([[{"Jet_pt": 1.0, "Jet_eta": 0.5}, {"Jet_pt": 2.0, "Jet_eta": 0.1}], []])
    muons = ak.Array([[{"Muon_pt": 7.0, "same": 1.0}], [{"Muon_pt": 8.0, "same": 2.0}]])
    content = {"_collection0": jets, "_collection1": muons, "same": np.array([5.0, 6.0])}
    with uproot.recreate(path) as file:
        file.mkrntuple("t", {k: ak.type(ak.Array(v)).content for k, v in content.items()}).extend(
            content
        )
    branches = inspect(path, "t").branches
    assert {"Jet_pt", "Jet_eta", "Muon_pt", "same", "_collection1.same"} <= set(branches)
    assert (branches["Jet_pt"], branches["same"]) == ("double[]", "double")
    reader = RowReader("t", {"pt": "Jet_pt", "m": "sum(Muon_pt)"}, rows="Jet", classes=ALL)
    (block,) = reader.fitted(branches).read(path, 0, 2)
    np.testing.assert_array_equal(block.columns["pt"], [1, 2])
    np.testing.assert_array_equal(block.columns["m"], [7, 7])
    np.testing.assert_array_equal(column(path, "t", "same + sum(_collection1.same)"), [6, 8])


def patched(path: Path, source: Path, version: int) -> str:
    """A copy of a file with another version in its header (bytes 4 to 8, signed, big-endian)."""
    shutil.copyfile(source, path)
    with path.open("r+b") as file:
        file.seek(4)
        file.write(struct.pack(">i", version))
    return str(path)


@pytest.mark.parametrize("version", [-62206, -1, -(2**31), 62206, 0])
def test_a_version_of_any_sign_is_no_truncation(tmp_path: Path, version: int) -> None:
    path = patched(tmp_path / "x.root", DATA / "nano_dy.root", version)
    assert inspect(path, "Events").entries == 40
    cut = tmp_path / "cut.root"
    cut.write_bytes(Path(path).read_bytes()[:300_000])
    with pytest.raises(InputError, match=r"expected: \d{6} bytes"):
        inspect(str(cut), "Events")


def test_compression_flags_are_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("uproot.models.TBranch")

    class AsTheFile:
        """Packs a branch's header with ROOT's −1: the file says how it is compressed."""

        def __init__(self, real: struct.Struct) -> None:
            self.real, self.size = real, real.size

        def pack(self, compress: int, *rest: object) -> bytes:
            return self.real.pack(-1, *rest)

    path, x = str(tmp_path / "x.root"), np.random.default_rng(1).normal(size=500).astype("f4")
    with uproot.recreate(path) as file:
        monkeypatch.setattr(module, "_tbranch13_format1", AsTheFile(module._tbranch13_format1))
        file.mktree("Events", {"x": "f4"}).extend({"x": x})
        monkeypatch.undo()
    with uproot.open(path) as file:
        assert file["Events"]["x"].member("fCompress") == -1
    np.testing.assert_array_equal(column(path, "Events", "x"), x)


JAGGED = {"Jet_n": "int32", "Jet_cov": "3 * float32", "Jet_pt": "var * float32", "met": "float32"}


@pytest.fixture(scope="module")
def jets(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A number, a fixed array and a list whose names begin alike, in that order."""
    path = tmp_path_factory.mktemp("jets") / "x.root"
    with uproot.recreate(path) as file:
        file.mktree("t", {k: v if "*" in v else np.dtype(v) for k, v in JAGGED.items()}).extend(
            {
                "Jet_n": np.array([2, 0, 1], "i4"),
                "Jet_cov": np.arange(9, dtype="f4").reshape(3, 3),
                "Jet_pt": ak.Array(np.array([[10, 20], [], [30]], dtype=object).tolist()),
                "met": np.array([1, 2, 3], "f4"),
            }
        )
    return str(path)


@pytest.mark.parametrize("fitted", [True, False])
def test_rows_are_counted_by_the_first_jagged_branch(jets: str, fitted: bool) -> None:
    reader = RowReader(
        "t", {"n": "Jet_n", "c": "Jet_cov[:, 0]", "pt": "Jet_pt"}, rows="Jet", classes=ALL
    )
    if fitted:
        reader = reader.fitted(inspect(jets, "t").branches)
        assert reader.counter == "Jet_pt"
        assert reader.branches(["n"]) == ("Jet_n", "Jet_pt")
    (block,) = reader.read(jets, 0, 3)
    np.testing.assert_array_equal(block.columns["pt"], [10, 20, 30])
    np.testing.assert_array_equal(block.columns["n"], [2, 2, 1])
    np.testing.assert_array_equal(reader.object_counts(jets, 0, 3), [2, 0, 1])


@pytest.mark.parametrize(
    "fields",
    [
        {"variables": {"met": "met"}, "mentions": ("Jet_pt",)},
        {"variables": {"met": "met"}, "select": "Jet_n > 0"},
        {"variables": {"met": "met"}},
    ],
)
def test_rows_are_counted_whatever_a_representation_reads(jets: str, fields: dict) -> None:
    reader = RowReader("t", rows="Jet", classes=ALL, **fields).fitted(inspect(jets, "t").branches)
    (block,) = reader.read(jets, 0, 3)
    np.testing.assert_array_equal(block.columns["met"], [1, 1, 3])


def test_a_collection_that_is_not_there_names_the_nearest(jets: str) -> None:
    branches = inspect(jets, "t").branches
    for variables in ({"met": "met"}, {"pt": "Jet_pt"}):
        with pytest.raises(ConfigError, match=r"rows: Jets(.|\n)*did you mean 'Jet'\?"):
            RowReader("t", variables, rows="Jets", classes=ALL).fitted(branches)
    with pytest.raises(ConfigError, match=r"rows: Jets(.|\n)*did you mean 'Jet'\?"):
        RowReader("t", {"pt": "Jet_pt"}, rows="Jets", classes=ALL).branches()


@pytest.fixture(scope="module")
def flags(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Entries 1 and 3 are of two classes and splits and have no name; `good` leaves them out."""
    path = tmp_path_factory.mktemp("flags") / "x.root"
    columns = {
        "good": np.array([1, 0, 1, 0], "i4"),
        "a": np.array([1, 1, 0, 1], "i4"),
        "b": np.array([0, 1, 1, 1], "i4"),
        "event": np.array([7, np.nan, 8, 0.5], "f8"),
        "Jet_pt": ak.Array([[1.0, 2.0], [3.0], [], [4.0]]),
    }
    with uproot.recreate(path) as file:
        types = {k: getattr(v, "dtype", "var * float64") for k, v in columns.items()}
        file.mktree("t", types).extend(columns)
    return str(path)


CLASSES = (ClassRule("a", "a == 1"), ClassRule("b", "b == 1"))
SPLIT_RULES = {"train": "a == 1", "test": "b == 1"}


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"classes": CLASSES}, "one class a row"),
        ({"classes": ALL, "splits": SPLIT_RULES}, "one split a row"),
        ({"classes": ALL, "identity": ("event",)}, "a whole number"),
    ],
)
@pytest.mark.parametrize("rows", ["event", "Jet"])
def test_only_selected_rows_are_judged(flags: str, fields: dict, what: str, rows: str) -> None:
    variables = {"x": "a" if rows == "event" else "Jet_pt"}
    asked = RowReader("t", variables, rows=rows, select="good == 1", **fields)
    (block,) = asked.read(flags, 0, 4)
    np.testing.assert_array_equal(block.entry, [0, 2] if rows == "event" else [0, 0])
    if block.split is not None:
        np.testing.assert_array_equal(block.split, [0, 2] if rows == "event" else [0, 0])
    if block.event is not None:
        np.testing.assert_array_equal(block.event[:, 0], [7, 8] if rows == "event" else [7, 7])
    with pytest.raises(DataError, match=what):
        list(RowReader("t", variables, rows=rows, **fields).read(flags, 0, 4))


PHYSLITE = (
    "xTrigDecisionAux.", "AnalysisElectronsAuxDyn.pt", "AnalysisJetsAuxDyn.eta",
    "AnalysisJetsAuxDyn.pt", "AnalysisMuonsAuxDyn.pt", "TauTracksAuxDyn.pt",
    "TruthJetsAux./TruthJetsAux.pt", "BTagging_AntiKt4Aux.DL1d", *(f"A{n}.b" for n in range(50)),
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("jets.pt", r"did you mean 'TruthJetsAux.pt' or 'AnalysisJetsAuxDyn.pt' or .*5 branches"),
        ("pt", r"did you mean '\w+\.pt' or '\w+\.pt' or '\w+\.pt'\? 5 branches end in 'pt'"),
        ("Jet_eta", r"did you mean 'AnalysisJetsAuxDyn.eta'\?$"),
        ("btag", r"did you mean 'BTagging_AntiKt4Aux.DL1d'\?$"),
        ("AnalysisMuonsAuxDyn.ptt", r"did you mean 'AnalysisMuonsAuxDyn.pt' or"),
        ("qqq", r"no name is similar, the closest are .*rootloom inspect FILE"),
    ],
)  # fmt: skip
def test_the_nearest_branches_are_named_not_the_first_of_the_alphabet(
    name: str, message: str
) -> None:
    assert re.search(message, nearest_branch(name, PHYSLITE)), nearest_branch(name, PHYSLITE)


def test_another_quantity_of_a_collection_is_not_what_is_meant() -> None:
    assert "did you mean" not in nearest_branch("Jet_qgl", ["Jet_pt", "Jet_eta", "nJet"])
    assert "did you mean 'Jet_pt'?" in nearest_branch("Jet_ptt", ["Jet_pt", "Jet_eta", "nJet"])
