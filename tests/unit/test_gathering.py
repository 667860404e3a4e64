"""Objects gathered to rows, against loops over the same genuine files."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from rootloom.config import registry
from rootloom.config.documents import parse_yaml
from rootloom.config.sections import Dataset, Gather
from rootloom.errors import ConfigError, DataError
from rootloom.representations.particle_set import ParticleSet
from rootloom.rootio.dataset import ClassRule, RowReader
from rootloom.rootio.expressions import Arrays
from rootloom.rootio.gathering import GatherRule, gather
from rootloom.stages.sharding import _made_from
from rootloom.types import Ragged

DATA = Path(__file__).parents[1] / "data"
PFNANO = [DATA / "pfnano_rntuple.root", DATA / "pfnano.root"]


def reader(tree: str, rows: str, objects: Any, gather: dict[str, Any], **more: Any) -> RowReader:
    """As a dataset's sections describe it."""
    rules = {
        name: GatherRule(**Gather.model_validate(of).rule(rows)) for name, of in gather.items()
    }
    variables = {"entry_of_row": more.pop("number", "0")}
    return RowReader(tree, variables, objects, rows, rules, classes=(ClassRule("all"),), **more)


def lists(of: RowReader, path: Path, entries: int) -> dict[str, list[list[float]]]:
    """Values of each row's objects by column, from ranges of four entries."""
    found: dict[str, list[list[float]]] = {}
    for block in of.read(str(path), 0, entries, step=4):
        for name, column in block.columns.items():
            if isinstance(column, Ragged):
                rows = np.split(column.values, column.offsets[1:-1])
                found.setdefault(name, []).extend(row.tolist() for row in rows)
    return found


def arrays(path: Path, tree: str, *names: str) -> dict[str, list[Any]]:
    with uproot.open(path) as file:
        return {name: file[tree][name].array(library="ak").to_list() for name in names}


def require_equal(found: list[list[float]], expected: list[list[float]]) -> None:
    assert [len(row) for row in found] == [len(row) for row in expected]
    np.testing.assert_allclose(
        np.concatenate(found), np.concatenate(expected), rtol=1e-6, atol=1e-7
    )


@pytest.mark.parametrize("path", PFNANO, ids=["rntuple", "ttree"])
def test_candidates_and_vertices_of_jets_by_index(path: Path) -> None:
    of = reader(
        "Events",
        "Jet",
        {
            "candidates": {
                "pt": "PFCands_pt",
                "deta": "(PFCands_eta - Jet_eta) * where(Jet_eta > 0, 1, -1)",
                "sip": "JetPFCands_btagSip3dVal",
                "jet_pt": "Jet_pt",
                "share": "PFCands_pt / sum(PFCands_pt)",
                "met": "PFCands_pt / MET_pt",
            },
            "leading": {"pt": "PFCands_pt", "charge": "PFCands_charge"},
            "vertices": {"mass": "SV_mass", "pt": "JetSVs_pt"},
            "links": {"pt": "JetSVs_pt"},
        },
        {
            "candidates": {
                "of": "PFCands",
                "index": {"row": "JetPFCands_jetIdx", "object": "JetPFCands_pFCandsIdx"},
            },
            "leading": {
                "of": "PFCands",
                "index": {"row": "JetPFCands_jetIdx", "object": "JetPFCands_pFCandsIdx"},
                "select": "(PFCands_charge != 0) & (PFCands_pt > 0.01 * Jet_pt)",
                "sort": "PFCands_pt",
                "most": 5,
            },
            "vertices": {
                "of": "SV",
                "index": {"row": "JetSVs_jetIdx", "object": "JetSVs_sVIdx"},
            },
            "links": {"of": "JetSVs", "index": {"row": "JetSVs_jetIdx"}},
        },
        select="Jet_pt > 30",
    )
    found = lists(of, path, 10)
    raw = arrays(
        path, "Events", "Jet_pt", "Jet_eta", "PFCands_pt", "PFCands_eta", "PFCands_charge",
        "JetPFCands_jetIdx", "JetPFCands_pFCandsIdx", "JetPFCands_btagSip3dVal", "MET_pt",
        "SV_mass", "JetSVs_jetIdx", "JetSVs_sVIdx", "JetSVs_pt",
    )  # fmt: skip
    expected: dict[str, list[list[float]]] = {name: [] for name in found}
    for event in range(10):
        one = {name: values[event] for name, values in raw.items()}
        for jet, (jet_pt, jet_eta) in enumerate(zip(one["Jet_pt"], one["Jet_eta"], strict=True)):
            if jet_pt <= 30:
                continue
            links = [k for k, row in enumerate(one["JetPFCands_jetIdx"]) if row == jet]
            places = [one["JetPFCands_pFCandsIdx"][k] for k in links]
            pt = [one["PFCands_pt"][i] for i in places]
            sign = 1 if jet_eta > 0 else -1
            expected["candidates.pt"].append(pt)
            expected["candidates.deta"].append(
                [sign * (one["PFCands_eta"][i] - jet_eta) for i in places]
            )
            expected["candidates.sip"].append([one["JetPFCands_btagSip3dVal"][k] for k in links])
            expected["candidates.jet_pt"].append([jet_pt] * len(pt))
            expected["candidates.share"].append([x / sum(pt) for x in pt])
            expected["candidates.met"].append([x / one["MET_pt"] for x in pt])
            chosen = [
                i for i in places
                if one["PFCands_charge"][i] != 0 and one["PFCands_pt"][i] > 0.01 * jet_pt
            ]  # fmt: skip
            chosen = sorted(chosen, key=lambda i: -one["PFCands_pt"][i])[:5]
            expected["leading.pt"].append([one["PFCands_pt"][i] for i in chosen])
            expected["leading.charge"].append([one["PFCands_charge"][i] for i in chosen])
            links = [k for k, row in enumerate(one["JetSVs_jetIdx"]) if row == jet]
            expected["links.pt"].append([one["JetSVs_pt"][k] for k in links])
            links = [k for k in links if one["JetSVs_sVIdx"][k] >= 0]
            places = [one["JetSVs_sVIdx"][k] for k in links]
            expected["vertices.mass"].append([one["SV_mass"][i] for i in places])
            expected["vertices.pt"].append([one["JetSVs_pt"][k] for k in links])
    assert expected["links.pt"] != expected["vertices.pt"], "all vertices are in the table"
    assert sum(map(len, expected["vertices.mass"])) > 3
    assert max(map(len, expected["leading.pt"])) == 5
    for name, rows in expected.items():
        require_equal(found[name], rows)


@pytest.mark.parametrize("path", PFNANO[:1])
@pytest.mark.parametrize("shared", [True, False])
def test_objects_near_a_row_are_all_or_those_of_which_it_is_the_nearest(
    path: Path, shared: bool
) -> None:
    gather = {
        "near": {"of": "PFCands", "within": 0.8, "shared": shared, "select": "PFCands_pt > 1"}
    }
    of = reader("Events", "Jet", {"near": {"pt": "PFCands_pt", "phi": "PFCands_phi"}}, gather)
    found = lists(of, path, 10)
    names = [f"{c}_{n}" for c in ("Jet", "PFCands") for n in ("pt", "eta", "phi")]
    raw = arrays(path, "Events", *names)
    expected: list[list[float]] = []
    for event in range(10):
        jets, cands = (
            np.array([raw[f"{c}_{n}"][event] for n in ("pt", "eta", "phi")])
            for c in ("Jet", "PFCands")
        )
        dphi = np.angle(np.exp(1j * (jets[2][:, None] - cands[2][None])))
        distance = np.hypot(jets[1][:, None] - cands[1][None], dphi)
        near = distance < 0.8
        if not shared:
            near &= np.arange(len(jets[0]))[:, None] == distance.argmin(axis=0)[None]
        near &= cands[0] > 1
        expected += [cands[0][row].tolist() for row in near]
    require_equal(found["near.pt"], expected)
    assert len(found["near.pt"]) == len(found["near.phi"])


def test_tracks_of_electrons_and_jets_by_element_links() -> None:
    path, tree = DATA / "PHYSLITE_example.root", "CollectionTree"
    for rows, link, of, cut in (
        ("AnalysisElectronsAuxDyn", "trackParticleLinks", "GSFTrackParticlesAuxDyn", ""),
        ("AnalysisJetsAuxDyn", "GhostTrack", "InDetTrackParticlesAuxDyn", "z0"),
    ):
        objects = {"tracks": {"phi": f"{of}.phi", "relative": f"abs({of}.qOverP) * {rows}.pt"}}
        rule: dict[str, Any] = {"of": of, "links": f"{rows}.{link}"}
        if cut:
            rule["select"] = f"abs({of}.z0) < 50"
        names = [f"{of}.{n}" for n in ("phi", "qOverP", "z0")]
        raw = arrays(path, tree, *names, f"{rows}.pt", f"{rows}.{link}")
        phis, relative = [], []
        for event in range(100):
            phi, q, z0 = (raw[name][event] for name in names)
            for links, pt in zip(
                raw[f"{rows}.{link}"][event], raw[f"{rows}.pt"][event], strict=True
            ):
                places = [one["m_persIndex"] for one in links if one["m_persKey"] != 0]
                places = [i for i in places if not cut or abs(z0[i]) < 50]
                phis.append([phi[i] for i in places])
                relative.append([abs(q[i]) * pt for i in places])
        assert sum(map(len, phis)) > 100
        found = lists(reader(tree, rows, objects, {"tracks": rule}), path, 100)
        require_equal(found["tracks.phi"], phis)
        require_equal(found["tracks.relative"], relative)


def test_constituents_of_jets_by_references() -> None:
    path = DATA / "delphes_example.root"
    of = "ParticleFlowCandidate"
    objects = {"constituents": {"pt": f"{of}.PT", "deta": f"{of}.Eta - JetPUPPI.Eta"}}
    rule = {"of": of, "references": "JetPUPPI.Constituents"}
    found = lists(reader("Delphes", "JetPUPPI", objects, {"constituents": rule}), path, 10)
    names = (f"{of}/{of}.fUniqueID", f"{of}/{of}.PT", f"{of}/{of}.Eta", "JetPUPPI/JetPUPPI.Eta")
    with uproot.open(path) as file:
        raw = [file["Delphes"][name].array().to_list() for name in names]
        refs = file["Delphes"]["JetPUPPI/JetPUPPI.Constituents"].array().refs.to_list()
    pts, detas = [], []
    for event in range(10):
        ids, pt, eta, jets = (values[event] for values in raw)
        place = {number: i for i, number in enumerate(ids)}
        for jet, wanted in enumerate(refs[event]):
            places = [place[number] for number in wanted if number in place]
            pts.append([pt[i] for i in places])
            detas.append([eta[i] - jets[jet] for i in places])
    assert sum(map(len, pts)) > 100
    require_equal(found["constituents.pt"], pts)
    require_equal(found["constituents.deta"], detas)


def test_references_to_other_collections_and_of_other_entries_do_not_count() -> None:
    """Numbers begin anew in each entry; their upper byte is that of the process."""
    high = 1 << 24
    branches = {
        "Jet.Constituents": ak.Array(
            [[{"refs": [9, 3 + high]}, {"refs": [8]}], [], [{"refs": [3, 5, 12]}]]
        ),
        "Tower.fUniqueID": ak.Array([[3, 9], [8], [12 + high, 5]]),
        "Tower.ET": ak.Array([[1.0, 2.0], [3.0], [4.0, 5.0]]),
        "Jet.PT": ak.Array([[10.0, 20.0], [], [30.0]]),
    }
    rule = GatherRule("Tower", references="Jet.Constituents")
    seen = gather(rule, "towers", Arrays(branches), np.array([2, 0, 1]), "Jet")
    assert seen["Tower.ET"].to_list() == [[[2.0, 1.0], []], [], [[5.0, 4.0]]]
    assert seen["Jet.PT"].to_list() == [[[10.0, 10.0], []], [], [[30.0, 30.0]]]
    nothing = Arrays({**branches, "Tower.fUniqueID": ak.Array([[3], [3], [3]])[:, :0]})
    nowhere = gather(rule, "towers", nothing, np.array([2, 0, 1]), "Jet")
    assert nowhere["Jet.PT"].to_list() == [[[], []], [], [[]]]


def test_links_to_two_containers_are_refused() -> None:
    links = ak.Array([[[{"m_persKey": key, "m_persIndex": 0} for key in (5, 0, 6)]]])
    rule = GatherRule("Track", links="Jet.links")
    with pytest.raises(DataError, match=r"keys 5, 6"):
        gather(rule, "tracks", Arrays({"Jet.links": links}), np.array([1]), "Jet")
    numbers = Arrays({"Jet.links": ak.Array([[[0]]])})
    with pytest.raises(ConfigError, match="ElementLinks"):
        gather(rule, "tracks", numbers, np.array([1]), "Jet")


def test_rows_of_events_have_all_their_objects() -> None:
    """A file with a jet an entry gathers nothing."""
    path = DATA / "jetclass2_100.root"
    of = RowReader(
        "tree",
        {"pt": "jet_pt"},
        {"particles": {"pt": "hypot(part_px, part_py)", "share": "part_energy / sum(part_energy)"}},
        classes=(ClassRule("all"),),
    )
    found = lists(of, path, 100)
    raw = arrays(path, "tree", "part_px", "part_py", "part_energy")
    require_equal(
        found["particles.pt"],
        [np.hypot(x, y).tolist() for x, y in zip(raw["part_px"], raw["part_py"], strict=True)],
    )
    require_equal(
        found["particles.share"],
        [(np.array(e) / np.sum(e)).tolist() for e in raw["part_energy"]],
    )


@pytest.fixture(scope="module")
def linked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("linked") / "file.root"
    content = {
        "Jet": ak.zip({"pt": ak.Array([[50.0, 40.0], [], [30.0]])}),
        "Muon": ak.zip(
            {
                "pt": ak.Array([[5.0, 4.0, 3.0], [2.0], [9.0]]),
                "jetIdx": ak.Array([[1, -1, 1], [-1], [0]]),
                "far": ak.Array([[0, 0, 2], [0], [0]]),
            }
        ),
    }
    with uproot.recreate(path) as file:
        file.mktree("Events", {name: ak.type(values).content for name, values in content.items()})
        file["Events"].extend(content)
    return path


def of_muons(index: Any, **rule: Any) -> RowReader:
    given = {"muons": {"of": "Muon", "index": index, **rule}}
    return reader("Events", "Jet", {"muons": {"pt": "Muon_pt", "share": "Muon_pt / Jet_pt"}}, given)


def test_objects_may_know_their_row_themselves(linked: Path) -> None:
    found = lists(of_muons({"row": "Muon_jetIdx"}), linked, 3)
    assert found["muons.pt"] == [[], [5.0, 3.0], [9.0]]
    assert found["muons.share"] == [[], [5.0 / 40, 3.0 / 40], [9.0 / 30]]
    found = lists(of_muons({"row": "Muon_jetIdx"}, sort="-Muon_pt", most=1), linked, 3)
    assert found["muons.pt"] == [[], [3.0], [9.0]]


def test_an_index_that_leads_nowhere_is_refused_with_its_entry(linked: Path) -> None:
    with pytest.raises(DataError, match=r"row': entry 0(.|\n)*below 2(.|\n)*2"):
        lists(of_muons({"row": "Muon_far"}), linked, 3)
    with pytest.raises(DataError, match=r"'Muon_pt': entry 2(.|\n)*below 1"):
        lists(of_muons({"row": "Muon_jetIdx", "object": "Muon_jetIdx + 1"}), linked, 3)
    with pytest.raises(ConfigError, match=r"gather\.muons\.select"):
        lists(of_muons({"row": "Muon_jetIdx"}, select="count(Muon_pt) > 0"), linked, 3)


def test_the_page_shows_a_dataset_and_a_representation_that_are_valid() -> None:
    page = (DATA.parents[1] / "docs" / "particles.md").read_text()
    dataset, inputs, *_ = (
        parse_yaml(block.encode(), "page") for block in re.findall(r"```yaml\n(.*?)```", page, re.S)
    )
    shown = Dataset.model_validate(dataset)
    columns = {name: tuple(of) for name, of in shown.objects.items()}
    built: ParticleSet = registry.build("representations", inputs)
    assert len(built.needs(tuple(shown.variables), columns)) == 5
    rules = {name: of.rule(shown.rows) for name, of in shown.gather.items()}
    gathered = {name: GatherRule(**rule) for name, rule in rules.items()}
    of = RowReader("Events", {}, shown.objects, shown.rows, gathered, shown.select)
    found = lists(replace(of, classes=(ClassRule("all"),)), DATA / "pfnano_rntuple.root", 10)
    assert sum(map(len, found["candidates.deta"])) > 100


def test_a_rule_decides_the_columns_of_its_collection_alone() -> None:
    job: Any = {"parts": defaultdict(lambda: "code")}

    def made(**rule: Any) -> dict[str, Any]:
        of = of_muons({"row": "Muon_jetIdx"}, **rule)
        return _made_from(job, of, ("muons.pt", "entry_of_row"))

    one, other = made(), made(select="sqrt(Muon_pt) > 2")
    assert one["entry_of_row"] == other["entry_of_row"]
    assert one["muons.pt"] != other["muons.pt"]
    assert [place for place in other["muons.pt"][1] if place.endswith(":sqrt")]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"of": "Muon"}, "exactly one of"),
        ({"of": "Muon", "within": 0.4, "links": "Jet_muons"}, "exactly one of"),
        ({"of": "Muon", "links": "Jet_muons", "shared": False}, "belongs to `within`"),
        ({"of": "Jet", "within": 0.4}, "other than that of the rows"),
    ],
)
def test_rules_that_say_too_little_or_too_much_are_refused(rule: Any, message: str) -> None:
    given = {"files": ["a.root"], "rows": "Jet", "objects": {"muons": {"pt": "Muon_pt"}}}
    with pytest.raises(ValueError, match=message):
        Dataset.model_validate({**given, "gather": {"muons": rule}})
    near = {"of": "Muon", "within": 0.4}
    with pytest.raises(ValueError, match="did you mean 'muons'"):
        Dataset.model_validate({**given, "gather": {"muon": near}})
    with pytest.raises(ValueError, match="not events"):
        Dataset.model_validate({**given, "rows": "event", "gather": {"muons": near}})
