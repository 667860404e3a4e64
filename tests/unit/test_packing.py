"""Packs: sizes, nesting, bounded folders; sums that do not depend on them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootloom.config.sections import Rates, parse, read_yaml
from rootloom.errors import DataError
from rootloom.planning import rates
from rootloom.shards.manifest import Entry, Manifest
from rootloom.shards.moments import Moments
from rootloom.shards.statistics import Statistics, merge_by_position
from rootloom.system.packing import (
    FOLDER_ENTRIES,
    MAX_PACKS,
    folder,
    label,
    number_of,
    packs_for,
    position,
)

ROOT = Path(__file__).resolve().parents[2]
KEYS = [f"file-{n:06d}" for n in range(100_000)]


@pytest.mark.parametrize(
    ("seconds", "packs"), [(0, 1), (120, 1), (121, 2), (480, 4), (481, 8), (1e12, MAX_PACKS)]
)
def test_a_pack_takes_at_most_the_target_on_average(seconds: float, packs: int) -> None:
    assert packs_for(seconds, 120) == packs


def test_rates_add_up() -> None:
    found = Rates(
        seconds_per_file=1, seconds_per_megabyte=2, simulated_row_bytes=1, remote_megabytes=1
    )
    assert found.seconds(3e6) == 7


def test_packs_are_of_similar_size() -> None:
    counts = Counter(number_of(key, 64) for key in KEYS)
    expected = len(KEYS) / 64
    chi2 = sum((counts[k] - expected) ** 2 / expected for k in range(64))
    assert chi2 < 103.4  # 99.9 % of a χ² with 63 degrees of freedom


@given(st.text(min_size=1), st.integers(0, 11))
def test_twice_as_many_packs_split_each_in_two(key: str, power: int) -> None:
    packs = 1 << power
    assert number_of(key, 2 * packs) // 2 == number_of(key, packs)


def test_no_folder_holds_more_than_a_thousand_entries() -> None:
    for packs in (1, 512, 1024, MAX_PACKS):
        paths = [label(number, packs) for number in range(packs)]
        assert len(set(paths)) == packs
        assert max(Counter(p.rpartition("/")[0] for p in paths).values()) <= FOLDER_ENTRIES
    # A million files: what 100,000 fill, ten times over, with room for fluctuations.
    folders = Counter(folder(key) for key in KEYS)
    assert 10 * len(KEYS) / len(folders) * 1.5 < FOLDER_ENTRIES
    assert len({name.partition("/")[0] for name in folders}) <= 256
    assert max(Counter(name.partition("/")[0] for name in folders).values()) <= FOLDER_ENTRIES


def of_file(key: str) -> Statistics:
    random = np.random.default_rng(position(key))
    values = random.lognormal(sigma=3, size=(50, 2)).astype(np.float64)
    empty = Statistics.empty(("a", "b"))
    return Statistics(empty.classes, {}, {"x": Moments.of(values)})


@pytest.mark.parametrize("packs", [1, 2, 8, 64])
def test_sums_have_the_same_bits_however_the_files_are_packed(packs: int) -> None:
    files = [(position(key), of_file(key)) for key in KEYS[:200]]
    whole = merge_by_position(files)
    grouped: dict[int, list[tuple[int, Statistics]]] = {}
    for key, part in zip(KEYS[:200], files, strict=True):
        grouped.setdefault(number_of(key, packs), []).append(part)
    # In any order, each pack at the position of any of its files.
    merged = [(parts[-1][0], merge_by_position(parts[::-1])) for parts in grouped.values()]
    assert merge_by_position(merged[::-1]).to_json() == whole.to_json()


def test_the_order_of_sums_would_show() -> None:
    files = [of_file(key) for key in KEYS[:200]]
    in_order = files[0]
    for part in files[1:]:
        in_order = in_order.merge(part)
    whole = merge_by_position([(position(key), of_file(key)) for key in KEYS[:200]])
    assert in_order.to_json() != whole.to_json()
    np.testing.assert_allclose(in_order.moments["x"].mean, whole.moments["x"].mean, rtol=1e-12)


def test_rates_are_fitted_to_what_ran(tmp_path: Path) -> None:
    shipped = tmp_path / "rates.yaml"
    shipped.write_text((ROOT / "config" / "rates.yaml").read_text())
    known = parse(Rates, read_yaml(shipped), "rates.yaml")
    with pytest.raises(DataError, match="run snakemake first"):
        rates.measure(tmp_path, known)
    for name, fixed, slope in (("slow", 0.5, 0.2), ("fast", 0.1, 0.01)):
        files = {
            f"f{n}": Entry(f"f{n}.root", 10**6 * n, (), (), fixed + slope * n) for n in range(1, 9)
        }
        files["bad"] = Entry("bad.root", 10**9, (), (), 0.0, "truncated")
        Manifest(files).write(tmp_path / f"datasets/d/{name}/packs/0-of-1.json", {})
    found = rates.measure(tmp_path, known)
    assert (found.seconds_per_file, found.seconds_per_megabyte) == (0.5, 0.2)
    rates.write(shipped, found)
    assert parse(Rates, read_yaml(shipped), "rates.yaml") == found
    assert "# of ROOT, by the slowest representation" in shipped.read_text()
