from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from hypothesis import given
from hypothesis import strategies as st

from rootloom.errors import InputError
from rootloom.rootio.arrays import cut
from rootloom.rootio.header import Header, entry_range, inspect, require, resolve, trees

DATA = Path(__file__).parents[1] / "data"


@pytest.mark.parametrize(
    ("file", "tree", "container", "entries", "branch", "kind"),
    [
        ("nano_tt_v12.root", "Events", "ttree", 200, "Jet_pt", "float[]"),
        ("nano_dy.root", "Events", "ttree", 40, "genWeight", "float"),
        ("nano_dy_rntuple.root", "Events", "rntuple", 40, "genWeight", "float"),
        ("nano_dy_empty.root", "Events", "ttree", 0, "Jet_pt", "float[]"),
        ("uproot-HZZ-lzma.root", "events", "ttree", 2421, "Muon_Px", "float[]"),
    ],
)
def test_genuine_files(
    file: str, tree: str, container: str, entries: int, branch: str, kind: str
) -> None:
    header = inspect(str(DATA / file), tree)
    assert (header.container, header.entries) == (container, entries)
    assert header.branches[branch] == kind
    assert header.size == (DATA / file).stat().st_size
    assert header.clusters[0] == 0
    assert header.clusters[-1] == entries
    assert list(header.clusters) == sorted(set(header.clusters))
    assert Header.from_dict(json.loads(json.dumps(header.to_dict()))) == header


def test_clusters_are_common_basket_boundaries(tmp_path: Path) -> None:
    path = tmp_path / "x.root"
    with uproot.recreate(path) as file:
        tree = file.mktree("t", {"a": "f4", "b": "var * float32"})
        for n in (5, 7, 3):
            tree.extend({"a": np.zeros(n, "f4"), "b": ak.Array([[1.0]] * n)})
        ntuple = file.mkrntuple("n", {"a": np.zeros(5, "f4")})
        ntuple.extend({"a": np.zeros(4, "f4")})
    assert inspect(str(path), "t").clusters == (0, 5, 12, 15)
    assert inspect(str(path), "n").clusters == (0, 5, 9)
    assert trees(str(path)) == ["t", "n"]


def test_the_checksum_follows_the_content(tmp_path: Path) -> None:
    found = set()
    for value in (1.0, 2.0):
        path = tmp_path / "x.root"
        with uproot.recreate(path) as file:
            file.mktree("t", {"a": "f4"}).extend({"a": np.full(10, value, "f4")})
        first = inspect(str(path), "t").checksum
        assert first == inspect(str(path), "t").checksum
        found.add(first)
    copy = tmp_path / "copy.root"
    copy.write_bytes(path.read_bytes())
    assert inspect(str(copy), "t").checksum == first
    assert len(found) == 2


def test_a_missing_tree_names_the_nearest() -> None:
    with pytest.raises(InputError, match="'Events'"):
        inspect(str(DATA / "nano_dy.root"), "Event")
    with pytest.raises(InputError, match="no tree"):
        inspect(str(DATA / "bad_delphes.root"), "Delphes")


@pytest.mark.parametrize("size", [0, 10, 50, 300, 300_000])
def test_truncated_files(tmp_path: Path, size: int) -> None:
    path = tmp_path / "cut.root"
    path.write_bytes((DATA / "nano_dy.root").read_bytes()[:size])
    with pytest.raises(InputError, match="empty" if size == 0 else "truncated"):
        inspect(str(path), "Events")


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.root"
    path.write_text("not a ROOT file at all" * 10)
    with pytest.raises(InputError, match="starts with"):
        inspect(str(path), "Events")
    with pytest.raises(InputError, match=r"none\.root"):
        inspect(str(tmp_path / "none.root"), "Events")


def test_damaged_bytes_are_refused(tmp_path: Path) -> None:
    data = bytearray((DATA / "uproot-HZZ-lzma.root").read_bytes())
    # The directory of keys lies at the end: fill it with noise of the right length.
    data[-4000:] = np.random.default_rng(0).bytes(4000)
    path = tmp_path / "noise.root"
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match=r"noise\.root"):
        inspect(str(path), "events")


def test_missing_branches_are_named() -> None:
    header = inspect(str(DATA / "missing_luminosityBlock.root"), "Events")
    require(header, ["run", "event"])
    with pytest.raises(InputError, match="'luminosityBlock'"):
        require(header, ["run", "luminosityBlock"])


@pytest.mark.parametrize(
    ("known", "name", "found"),
    [
        ({"cons_px"}, "cons.px", "cons_px"),
        ({"cons.px"}, "cons_px", "cons.px"),
        ({"a_b.c"}, "a_b_c", "a_b.c"),
        ({"cons_px", "cons.px"}, "cons_px", "cons_px"),
        ({"cons_py"}, "cons_px", None),
    ],
)
def test_both_spellings(known: set[str], name: str, found: str | None) -> None:
    assert resolve(known, name) == found


_OFFSETS = st.lists(st.integers(1, 500), max_size=30).map(
    lambda sizes: tuple(int(i) for i in np.concatenate([[0], np.cumsum(sizes)]))
)


@given(_OFFSETS, st.integers(1, 40))
def test_shards_are_disjoint_and_complete(clusters: tuple[int, ...], n: int) -> None:
    header = Header("x", "t", "ttree", clusters[-1], 1, clusters, {}, "", "x/t")
    ranges = [entry_range(header, k, n) for k in range(n)]
    assert ranges[0][0] == 0
    assert ranges[-1][1] == clusters[-1]
    assert all(a[1] == b[0] for a, b in pairwise(ranges))
    assert all(start <= stop and {start, stop} <= set(clusters) for start, stop in ranges)


@given(
    _OFFSETS,
    st.integers(1, 600),
    st.integers(1, 900),
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_steps_cover_the_range_within_bounds(
    clusters: tuple[int, ...], step: int, most: int, share: tuple[float, float]
) -> None:
    start, stop = sorted(int(s * clusters[-1]) for s in share)
    ranges = cut(clusters, start, stop, step, most)
    covered = [i for a, b in ranges for i in range(a, b)]
    assert covered == list(range(start, stop))
    assert all(b - a <= max(step, most) for a, b in ranges)
