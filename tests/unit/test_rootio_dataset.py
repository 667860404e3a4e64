from __future__ import annotations

from functools import cache
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from rootloom.errors import ConfigError, DataError, InputError
from rootloom.rootio.dataset import ClassRule, RowReader
from rootloom.rootio.header import inspect
from rootloom.types import Ragged, RowBlock

DATA = Path(__file__).parents[1] / "data"
NANO = str(DATA / "nano_tt_v12.root")
ALL = (ClassRule("all"),)


def joined(blocks: list[RowBlock]) -> dict[str, np.ndarray]:
    found = {
        name: np.concatenate([getattr(block, name) for block in blocks])
        for name in ("entry", "object", "label", "weight")
    }
    for name, column in blocks[0].columns.items():
        parts = [block.columns[name] for block in blocks]
        if isinstance(column, Ragged):
            found[name] = np.concatenate([part.values for part in parts])
            found[f"{name}:counts"] = np.concatenate([part.counts() for part in parts])
        else:
            found[name] = np.concatenate(parts)
    return found


BRANCHES = ["genWeight", "PuppiMET_pt", "MET_pt"]
COLLECTIONS = {"Jet": ["pt", "eta", "hadronFlavour"], "Muon": ["pt"]}


@cache
def everything() -> dict[str, ak.Array]:
    names = [f"{c}_{n}" for c, members in COLLECTIONS.items() for n in members]
    with uproot.open(NANO) as file:
        return file["Events"].arrays([*BRANCHES, *names, "nJet", "nMuon"], how=dict)


def nano(*names: str) -> dict[str, ak.Array]:
    return {name: everything()[name] for name in names}


@pytest.fixture(scope="module")
def skim(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A few branches of the same file: opening all 654 takes most of a test's time."""
    raw = everything()
    content = {name: raw[name] for name in BRANCHES}
    for collection, names in COLLECTIONS.items():
        content[collection] = ak.zip({name: raw[f"{collection}_{name}"] for name in names})
    path = tmp_path_factory.mktemp("nano") / "skim.root"
    with uproot.recreate(path) as file:
        types = {name: ak.type(values).content for name, values in content.items()}
        file.mktree("Events", types).extend(content)
    return str(path)


def test_events() -> None:
    reader = RowReader(
        tree="Events",
        variables={"met": "PuppiMET_pt", "jets": "count(Jet_pt)", "lead": "Jet_pt[:, 0]"},
        objects={"jet": {"pt": "Jet_pt", "cosh": "cosh(Jet_eta)"}},
        select="(PuppiMET_pt > 20) & (nJet > 2)",
        classes=(ClassRule("few", "nJet < 7"), ClassRule("many", "nJet >= 7")),
        weight="genWeight",
        targets={"met": "2 * PuppiMET_pt"},
    )
    found = joined(list(reader.read(NANO, 0, 200)))
    raw = nano("PuppiMET_pt", "nJet", "Jet_pt", "Jet_eta", "genWeight")
    kept = np.asarray((raw["PuppiMET_pt"] > 20) & (raw["nJet"] > 2))
    assert 0 < kept.sum() < 200
    np.testing.assert_array_equal(found["entry"], np.flatnonzero(kept))
    np.testing.assert_array_equal(found["object"], 0)
    np.testing.assert_array_equal(found["label"], np.asarray(raw["nJet"] >= 7)[kept])
    np.testing.assert_array_equal(found["met"], raw["PuppiMET_pt"][kept])
    np.testing.assert_array_equal(found["target.met"], 2 * raw["PuppiMET_pt"][kept])
    np.testing.assert_array_equal(found["jets"], raw["nJet"][kept])
    np.testing.assert_array_equal(found["lead"], raw["Jet_pt"][kept][:, 0])
    np.testing.assert_array_equal(found["jet.pt"], ak.flatten(raw["Jet_pt"][kept]))
    np.testing.assert_array_equal(found["jet.pt:counts"], raw["nJet"][kept])
    eta = ak.to_numpy(ak.flatten(raw["Jet_eta"][kept])).astype(np.float64)
    np.testing.assert_allclose(found["jet.cosh"], np.cosh(eta), rtol=1e-15)
    np.testing.assert_array_equal(found["weight"], np.asarray(raw["genWeight"][kept], np.float32))


JETS = RowReader(
    tree="Events",
    variables={"pt": "Jet_pt", "met": "PuppiMET_pt", "share": "Jet_pt / sum(Jet_pt)"},
    rows="Jet",
    select="(Jet_pt > 30) & (abs(Jet_eta) < 2.5) & (nJet < 12)",
    classes=(ClassRule("b", "Jet_hadronFlavour == 5"), ClassRule("c", "Jet_hadronFlavour == 4")),
)


def test_objects_as_rows(skim: str) -> None:
    found = joined(list(JETS.read(skim, 0, 200)))
    raw = nano("Jet_pt", "Jet_eta", "nJet", "PuppiMET_pt", "Jet_hadronFlavour")
    expected = []
    for event in range(200):
        pts = raw["Jet_pt"][event].to_numpy()
        for jet, pt in enumerate(pts):
            flavour = int(raw["Jet_hadronFlavour"][event][jet])
            inside = pt > 30 and abs(raw["Jet_eta"][event][jet]) < 2.5 and raw["nJet"][event] < 12
            if inside and flavour in (4, 5):
                met = float(raw["PuppiMET_pt"][event])
                expected.append((event, jet, 5 - flavour, pt, met, pt / pts.sum()))
    columns = ("entry", "object", "label", "pt", "met", "share")
    for name, values in zip(columns, zip(*expected, strict=True), strict=True):
        np.testing.assert_allclose(found[name], values, rtol=1e-6)


def test_ranges_and_steps_change_nothing(monkeypatch: pytest.MonkeyPatch, skim: str) -> None:
    whole = joined(list(JETS.read(skim, 0, 200)))
    # A cluster is read whole unless it is very large: make it so.
    monkeypatch.setattr("rootloom.rootio.arrays.MAX_STEP", 13)
    parts = [b for r in ((0, 77), (77, 150), (150, 200)) for b in JETS.read(skim, *r, step=13)]
    assert len(parts) > 10
    for name, values in joined(parts).items():
        np.testing.assert_array_equal(values, whole[name])


def test_ttree_and_rntuple_give_the_same_rows() -> None:
    reader = RowReader(
        tree="Events",
        variables={"pt": "Jet_pt", "met": "MET_pt"},
        rows="Jet",
        classes=ALL,
        weight="genWeight",
    )
    tree, ntuple = (
        joined(list(reader.read(str(DATA / f), 0, 40)))
        for f in ("nano_dy.root", "nano_dy_rntuple.root")
    )
    assert len(tree["pt"]) > 100
    for name, values in tree.items():
        np.testing.assert_array_equal(values, ntuple[name])
        assert values.dtype == ntuple[name].dtype


@pytest.mark.parametrize("container", ["ttree", "rntuple"])
@pytest.mark.parametrize("name", ["cons.px", "cons_px"])
def test_nested_records_under_either_name(tmp_path: Path, container: str, name: str) -> None:
    cons = ak.zip({"px": ak.Array([[1.0, 2.0], [], [3.0]]), "id": ak.Array([[1, 2], [], [3]])})
    path = str(tmp_path / "x.root")
    with uproot.recreate(path) as file:
        make = file.mktree if container == "ttree" else file.mkrntuple
        make("t", {"cons": cons.type.content}).extend({"cons": cons})
    reader = RowReader(tree="t", variables={}, objects={"c": {"px": name}}, classes=ALL)
    (block,) = reader.read(path, 0, 3)
    column = block.columns["c.px"]
    assert isinstance(column, Ragged)
    np.testing.assert_array_equal(column.values, [1, 2, 3])
    np.testing.assert_array_equal(column.offsets, [0, 2, 2, 3])


def test_only_needed_branches() -> None:
    reader = RowReader(
        tree="Events",
        variables={"a": "MET_pt", "b": "MET_phi + x.y"},
        objects={"j": {"pt": "Jet_pt", "eta": "Jet_eta"}},
        select="run > 0",
        classes=(ClassRule("c", "n > 0"),),
        weight="w",
    )
    assert set(reader.branches()) == {
        "MET_pt", "MET_phi", "x.y", "Jet_pt", "Jet_eta", "run", "n", "w",
    }  # fmt: skip
    assert set(reader.branches(["a", "j.eta"])) == {"MET_pt", "Jet_eta", "run", "n", "w"}
    assert reader.expressions(["j.eta"]) == {"j.eta": "Jet_eta"}
    with pytest.raises(ConfigError, match=r"j\.eta"):
        reader.branches(["j.etta"])


def test_restricted_columns_keep_the_rows(skim: str) -> None:
    whole, part = (joined(list(JETS.read(skim, 0, 200, columns=c))) for c in (None, ["met"]))
    assert "pt" not in part
    for name, values in part.items():
        np.testing.assert_array_equal(values, whole[name])


def test_an_empty_file_gives_one_empty_block() -> None:
    reader = RowReader(
        tree="Events",
        variables={"met": "MET_pt"},
        objects={"j": {"pt": "Jet_pt"}},
        classes=ALL,
    )
    (block,) = reader.read(str(DATA / "nano_dy_empty.root"), 0, 0)
    assert len(block) == 0
    assert block.columns["met"].dtype == np.float32
    assert len(block.columns["j.pt"]) == 0


def test_nothing_selected_gives_one_empty_block(skim: str) -> None:
    reader = RowReader(tree="Events", variables={"m": "MET_pt"}, select="MET_pt < 0", classes=ALL)
    blocks = list(reader.read(skim, 0, 200, step=50))
    assert [len(block) for block in blocks] == [0]


def test_classes_by_file(skim: str) -> None:
    classes = (ClassRule("s", by_file=True), ClassRule("b", "nJet > 5", by_file=True))
    reader = RowReader(tree="Events", variables={"n": "nJet"}, classes=classes)
    signal = joined(list(reader.read(skim, 0, 200, file_class="s")))
    background = joined(list(reader.read(skim, 0, 200, file_class="b")))
    assert len(signal["label"]) == 200
    assert set(signal["label"]) == {0}
    assert set(background["label"]) == {1}
    assert background["n"].min() > 5


def test_object_counts(skim: str) -> None:
    np.testing.assert_array_equal(JETS.object_counts(skim, 10, 60), nano("nJet")["nJet"][10:60])


def test_two_classes_are_refused(skim: str) -> None:
    classes = (ClassRule("a", "nJet > 2"), ClassRule("b", "nJet > 4"))
    reader = RowReader(tree="Events", variables={"n": "nJet"}, classes=classes)
    with pytest.raises(DataError, match="'a' and 'b'"):
        list(reader.read(skim, 0, 200))


@pytest.mark.parametrize(
    ("fields", "column"),
    [
        ({"variables": {"bad": "log(nJet - nJet)"}}, "bad"),
        ({"variables": {"ok": "nJet"}, "weight": "sqrt(-1 - nJet)"}, "weight"),
        ({"variables": {}, "objects": {"j": {"bad": "1 / (Jet_pt - Jet_pt)"}}}, r"j\.bad"),
        ({"variables": {"bad": "max(Jet_pt[:, 50:])"}}, "bad"),
    ],
)
def test_non_finite_values_are_refused(fields: dict, column: str, skim: str) -> None:
    with pytest.raises(DataError, match=rf"entry \d+.*'{column}'"):
        list(RowReader(tree="Events", classes=ALL, **fields).read(skim, 0, 200))


def test_large_finite_values_are_accepted(tmp_path: Path) -> None:
    # Their sum overflows, they do not.
    path = str(tmp_path / "x.root")
    with uproot.recreate(path) as file:
        file.mktree("t", {"a": "f4"}).extend({"a": np.full(10, 3e38, "f4")})
    (block,) = RowReader(tree="t", variables={"a": "a"}, classes=ALL).read(path, 0, 10)
    assert len(block) == 10


def test_undefined_values_outside_the_selection_do_no_harm(skim: str) -> None:
    reader = RowReader(
        tree="Events", variables={"x": "Muon_pt[:, 0]"}, select="nMuon > 0", classes=ALL
    )
    found = joined(list(reader.read(skim, 0, 200)))
    raw = nano("Muon_pt")["Muon_pt"]
    np.testing.assert_array_equal(found["x"], raw[ak.num(raw) > 0][:, 0])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"variables": {"x": "Jet_pt"}}, "one value a row"),
        ({"variables": {}, "objects": {"j": {"x": "nJet"}}}, "list of values"),
        ({"variables": {"x": "nJet"}, "rows": "Jet"}, "Jet_"),
    ],
)
def test_shapes_that_do_not_fit(fields: dict, message: str, skim: str) -> None:
    with pytest.raises(ConfigError, match=message):
        list(RowReader(tree="Events", classes=ALL, **fields).read(skim, 0, 200))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Muon_pt", r"'Muon_pt': entry 0\n.*each of the 10 objects that are rows\n.*found: +2"),
        ("Muon_pt - Jet_pt", r"entry 0\n.*as many objects in 'Muon_pt' as in 'Jet_pt'\n.*2 and 10"),
    ],
)
def test_another_collection_than_that_of_the_rows(text: str, message: str, skim: str) -> None:
    reader = RowReader("Events", {"x": "Jet_pt", "y": text}, rows="Jet", classes=ALL)
    with pytest.raises(DataError, match=message):
        list(reader.read(skim, 0, 200))


def test_collections_of_unequal_lengths(skim: str) -> None:
    objects = {"mixed": {"jet": "Jet_pt", "muon": "Muon_pt"}}
    with pytest.raises(DataError, match="mixed"):
        list(
            RowReader(tree="Events", variables={}, objects=objects, classes=ALL).read(skim, 0, 200)
        )


def test_missing_branch_and_outdated_range(skim: str) -> None:
    with pytest.raises(InputError, match="'Jet_pt'"):
        list(RowReader(tree="Events", variables={"x": "Jet_ptt"}, classes=ALL).read(skim, 0, 200))
    with pytest.raises(InputError, match="200 entries"):
        list(JETS.read(skim, 0, 300))


def test_a_record_damaged_inside_is_refused(tmp_path: Path) -> None:
    source = DATA / "uproot-HZZ-lzma.root"
    with uproot.open(source) as file:
        branch = file["events"]["Jet_Px"]
        place = branch.member("fBasketSeek")[0]
    data = bytearray(source.read_bytes())
    data[place + 80 : place + 400] = bytes(320)
    path = tmp_path / "bad.root"
    path.write_bytes(bytes(data))
    reader = RowReader(tree="events", variables={"x": "sum(Jet_Px)"}, classes=ALL)
    assert inspect(str(path), "events").entries == 2421
    with pytest.raises(InputError, match=r"bad\.root"):
        list(reader.read(str(path), 0, 2421))


def test_splits_by_expression_and_the_rest_by_hash(skim: str) -> None:
    def read(**splits: str) -> list[RowBlock]:
        reader = RowReader(
            "Events", {"pt": "Jet_pt"}, rows="Jet", select="Jet_pt > 30", classes=ALL, splits=splits
        )
        return list(reader.read(skim, 0, 200, step=70))

    met = ak.to_numpy(everything()["MET_pt"])
    blocks = read(test="MET_pt > 100", validation="(MET_pt <= 100) & (MET_pt > 80)")
    for block in blocks:
        expected = np.where(met > 100, 2, np.where(met > 80, 1, -1))[block.entry]
        np.testing.assert_array_equal(block.split, expected)
    assert {-1, 1, 2} == set(np.concatenate([block.split for block in blocks]).tolist())
    assert all(block.split is None for block in read())
    with pytest.raises(DataError, match=r"one split a row(.|\n)*'validation' and 'test'"):
        read(test="MET_pt > 100", validation="MET_pt > 80")
    # A jet cannot choose: its event would be seen both in training and in the test.
    with pytest.raises(ConfigError, match="one value a row"):
        read(test="Jet_pt > 100")
    reader = RowReader("Events", {}, classes=ALL, splits={"test": "MET_pt > 100"})
    assert reader.branches() == ("MET_pt",)
