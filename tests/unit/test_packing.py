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
from rootloom.shards.merging import merge_by_position
from rootloom.shards.moments import Moments
from rootloom.shards.statistics import Statistics
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
    keys = sorted(KEYS[:200], key=position)
    files = [(position(key), of_file(key)) for key in keys]
    whole = merge_by_position(files)
    assert whole.to_json() == halved(files).to_json()
    grouped: dict[int, list[tuple[int, Statistics]]] = {}
    for key, part in zip(keys, files, strict=True):
        grouped.setdefault(number_of(key, packs), []).append(part)
    # Each pack at the position of any of its files.
    merged = [(parts[-1][0], merge_by_position(parts)) for parts in grouped.values()]
    assert merge_by_position(merged).to_json() == whole.to_json()
    with pytest.raises(ValueError, match="after"):
        merge_by_position(files[::-1])


def halved(parts: list[tuple[int, Statistics]], bit: int = 63) -> Statistics:
    """All parts at once: those with a bit of the position set are added to those without."""
    if len(parts) == 1:
        return parts[0][1]
    low = [part for part in parts if not part[0] >> bit & 1]
    high = [part for part in parts if part[0] >> bit & 1]
    sums = [halved(half, bit - 1) for half in (low, high) if half]
    return sums[0] if len(sums) == 1 else sums[0].merge(sums[1])


def test_few_sums_wait_to_be_merged() -> None:
    alive = [0, 0]  # now, and at most

    class Sum:
        def __init__(self) -> None:
            alive[0] += 1
            alive[1] = max(alive)

        def merge(self, other: Sum) -> Sum:
            alive[0] -= 2
            return Sum()

    merge_by_position((at, Sum()) for at in sorted(map(position, KEYS[:2000])))
    assert alive[0] == 1
    assert alive[1] < 30


def test_the_order_of_sums_would_show() -> None:
    files = [of_file(key) for key in KEYS[:200]]
    in_order = files[0]
    for part in files[1:]:
        in_order = in_order.merge(part)
    whole = merge_by_position(sorted(zip(map(position, KEYS[:200]), files, strict=True)))
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
