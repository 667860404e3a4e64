"""Simulated muons against the flux they are drawn from, and their hits against geometry."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from scipy.stats import kstest, lomax

from rootloom.errors import ConfigError
from rootloom.simulate.muon_tracks import Losses, deposits, draw_tracks, pieces
from rootloom.simulate.muons import Muons

MUONS = 24
# Fewer PMTs as large as these together: fewer draws, the same light.
SMALL = Muons(rings=30, equator=60, pmt_radius=0.254 * (235 / 60), trigger=10)


def generate(path: Path, source: Muons = SMALL, seed: int = 42, muons: int = MUONS) -> ak.Array:
    source.generate("muon", muons, seed, path)
    with uproot.open(path) as file:
        return file["events"].arrays()


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> ak.Array:
    return generate(tmp_path_factory.mktemp("muons") / "muons.root")


def vectors(events: ak.Array, name: str) -> np.ndarray:
    return np.stack([ak.to_numpy(events[f"{name}_{k}"]) for k in "xyz"], axis=1)


def test_tracks_follow_the_flux() -> None:
    tracks = draw_tracks(20_000, 17.7, 207.0, np.random.default_rng(1))
    np.testing.assert_allclose(np.linalg.norm(tracks.entry, axis=1), 17.7)
    np.testing.assert_allclose(np.linalg.norm(tracks.direction, axis=1), 1.0)
    exit_ = tracks.entry + tracks.length()[:, None] * tracks.direction
    np.testing.assert_allclose(np.linalg.norm(exit_, axis=1), 17.7)
    # dN/dcosθ ∝ cos²θ, the same disc from everywhere, any azimuth.
    assert kstest(-tracks.direction[:, 2], lambda c: c**3).pvalue > 1e-3
    assert kstest((tracks.impact() / 17.7) ** 2, "uniform").pvalue > 1e-3
    azimuth = np.arctan2(tracks.direction[:, 1], tracks.direction[:, 0])
    assert kstest(azimuth / (2 * np.pi) + 0.5, "uniform").pvalue > 1e-3
    around = np.arctan2(tracks.entry[:, 1], tracks.entry[:, 0])
    assert kstest(around / (2 * np.pi) + 0.5, "uniform").pvalue > 1e-3
    # Chords of a sphere under a parallel beam are 4/3 of its radius on average.
    error = tracks.length().std() / np.sqrt(20_000)
    assert tracks.length().mean() == pytest.approx(4 / 3 * 17.7, abs=4 * error)
    assert kstest(tracks.energy, lomax(2.7, scale=1.7 * 207.0).cdf).pvalue > 1e-3


@pytest.mark.parametrize("impact", [0.0, 10.0, 17.6])
def test_pieces_are_short_where_pmts_are_near(impact: float) -> None:
    length = 2 * np.sqrt(17.7**2 - impact**2)
    edges = pieces(impact, length, (0.3, 0.3, 1.0))
    assert (edges[0], edges[-1]) == (pytest.approx(0.0, abs=1e-9), pytest.approx(length))
    steps = np.diff(edges)
    assert np.all(steps > 0)
    assert steps.max() < 1.01
    assert steps[0] == pytest.approx(0.32, abs=0.04)
    assert steps.min() == pytest.approx(steps[0])
    np.testing.assert_allclose(steps, steps[::-1], rtol=1e-6)


def test_energy_loss_has_its_mean_and_never_exceeds_the_muon() -> None:
    rng, losses = np.random.default_rng(2), Losses(0.86, 2.3, 1e-6, 1e-6)
    edges = np.linspace(0.0, 20.0, 41)
    energy, grams = 200.0, 0.86 * 2000.0
    quiet = Losses(0.86, 2.3, 1e-6, 0.0)
    lost = np.array([deposits(edges, energy, quiet, rng).sum() for _ in range(2000)])
    mean = (2.3 + 1e-6 * 200e3) * grams
    assert lost.mean() == pytest.approx(mean, abs=4 * lost.std() / np.sqrt(2000))
    # A tail of large losses, none far below the mean.
    assert np.median(lost) < lost.mean()
    assert lost.min() > 0.9 * mean
    showers = np.array([deposits(edges, energy, losses, rng).sum() for _ in range(20_000)])
    # ∫ v k/v dv over v from 0.001 to 1, a muon's energy at most.
    extra = 1e-6 * (1 - 1e-3) * 200e3 * grams
    assert (showers.mean() - mean) == pytest.approx(extra, abs=4 * showers.std() / np.sqrt(20_000))
    assert showers.max() <= 200e3 * (1 + 1e-12)
    slow = deposits(edges, 0.1, losses, rng)
    assert slow.sum() == pytest.approx(100.0)


def test_truth_is_consistent(events: ak.Array) -> None:
    assert len(events) == MUONS
    entry, direction = vectors(events, "entry"), vectors(events, "direction")
    np.testing.assert_allclose(np.linalg.norm(entry, axis=1), 17.7, rtol=1e-5)
    assert np.all(direction[:, 2] < 0)
    impact = np.linalg.norm(np.cross(entry, direction), axis=1)
    np.testing.assert_allclose(impact, events.impact, atol=1e-4)
    length = 2 * np.sqrt(17.7**2 - impact**2)
    np.testing.assert_allclose(length, events.length, rtol=1e-3)


def test_charge_is_the_energy_times_the_light_yield(events: ak.Array) -> None:
    per_mev = ak.sum(events.hit_charge, axis=1) / (1000 * events.energy_loss)
    # 10,000 photons a MeV, of which 0.27 are detected on three quarters of the sphere: between
    # 0.40 (direct light from the centre) and 0.80 (all that is not absorbed) of 2,000.
    assert np.all((per_mev > 800) & (per_mev < 1650))


def test_the_earliest_and_brightest_pmts_lie_at_the_track(events: ak.Array) -> None:
    where = SMALL.layout.direction
    entry, direction = vectors(events, "entry") / 17.7, vectors(events, "direction")
    for number, event in enumerate(events):
        if event.length < 10.0:
            continue
        exit_ = entry[number] + direction[number] * event.length / 17.7
        hits = where[ak.to_numpy(event.hit_pmt)]
        first = hits[np.argsort(ak.to_numpy(event.hit_time))[:8]].mean(axis=0)
        assert first @ entry[number] > np.linalg.norm(first) * np.cos(np.radians(12))
        bright = hits[np.argmax(event.hit_charge)]
        assert max(bright @ entry[number], bright @ exit_) > np.cos(np.radians(12))


def test_time_zero_is_the_trigger(events: ak.Array) -> None:
    for event in events:
        assert np.sum(ak.to_numpy(event.hit_time) <= 0.0) == SMALL.trigger
        # The first hit cannot come before light from the entry: 1.8 m of water, but for jitter.
        first = event.trigger_time + ak.min(event.hit_time)
        assert 8.0 - 6 * SMALL.transit_time_spread < first < 8.0


def test_a_seed_decides_the_content(tmp_path: Path) -> None:
    first, again, other = (
        generate(tmp_path / f"{name}.root", seed=seed, muons=3)
        for name, seed in (("first", 7), ("again", 7), ("other", 8))
    )
    for name in first.fields:
        a, b = (ak.to_numpy(ak.flatten(x[name], axis=None)) for x in (first, again))
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first.entry_x, other.entry_x)


def test_dead_and_shaded_pmts(tmp_path: Path, events: ak.Array) -> None:
    source = replace(SMALL, dead=0.1, shading=1.0)
    pmts = len(source.layout.ring)
    dead = np.flatnonzero(source.acceptance == 0.0)
    assert 0.1 * pmts < len(dead) <= 0.1 * pmts + 590
    found = generate(tmp_path / "dead.root", source, muons=4)
    hit = np.unique(ak.to_numpy(ak.flatten(found.hit_pmt)))
    assert not np.any(np.isin(dead, hit))
    assert len(hit) == pmts - len(dead)
    half = replace(Muons(), shading=0.5).acceptance
    assert np.sum(half < half.max()) == 590
    assert half.min() == pytest.approx(0.5 * half.max())


def test_it_needs_no_gpl_package(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['pythia8mc'] = sys.modules['fastjet'] = None\n"
        "from rootloom.simulate.muons import Muons\n"
        f"Muons(rings=10, equator=20).generate('muon', 2, 1, {str(tmp_path / 'm.root')!r})"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (tmp_path / "m.root").exists()


@pytest.mark.parametrize(
    "fields",
    [{"radius": 20.0}, {"dead": 1.0}, {"shading": 2.0}, {"equator": 1000}, {"decay_times": (1.0,)}],
)
def test_a_detector_that_cannot_be_is_refused(fields: dict) -> None:
    with pytest.raises(ConfigError, match="muons"):
        Muons(**fields)


def test_unknown_process_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="muon"):
        SMALL.generate("moun", 5, 1, tmp_path / "m.root")
    assert list(tmp_path.iterdir()) == []
