"""Showers against closed forms: the Γ-function, the radial profile's integral, PDG's constants."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from rootloom.physics.calorimeter.detector import LEAD, LIQUID_ARGON, Detector, Segmentation, Stack
from rootloom.physics.calorimeter.hadrons import add_hadronic, add_pions, bock_profile
from rootloom.physics.calorimeter.showers import (
    add_electrons,
    add_photons,
    longitudinal,
    radial,
    shares,
)

STACK = Stack.of(LEAD, LIQUID_ARGON, 2.0, 4.0)
CALOGAN = Segmentation()
DETECTOR = Detector(STACK, CALOGAN)
# Slices of a radiation length, whole or in 5 mm wide strips; next to nothing is lost beside them.
DEPTHS = tuple((np.arange(1, 31) * STACK.radiation_length).tolist())
SLICES = Detector(STACK, Segmentation(((1, 1),) * 30, DEPTHS, 1e5))
STRIPS = Detector(STACK, Segmentation(((960, 1),) * 30, DEPTHS, 2400.0))


def shoot(detector, add, energy, rng):
    """Showers from the middle of the front face: cells (N, cells), energy that leaves (N,)."""
    count = len(energy)
    cells = np.zeros((count, detector.segmentation.cells))
    start = np.zeros(count)
    leaked = add(rng, detector, energy, start, np.arange(count), np.zeros((count, 2)), cells)
    return cells, leaked


def by_layer(detector, cells):
    return np.add.reduceat(cells, detector.segmentation.first[:-1], axis=1)


def test_effective_material_by_hand():
    # PDG: X0 of lead 5.612 mm; of argon at 1.390 g/cm³ 19.55 / 1.39 cm = 140.6 mm.
    x0 = 6 / (2 / 5.612 + 4 / 140.6)
    assert pytest.approx(x0, rel=1e-3) == STACK.radiation_length
    assert pytest.approx(x0 / 6, rel=1e-3) == STACK.sampling_frequency
    assert pytest.approx(1 / 1.448, rel=1e-9) == STACK.e_over_mip
    # PDG: pions interact after 19.93 cm of lead, 107.2 cm of argon at 1.390 g/cm³.
    assert pytest.approx(6 / (2 / 199.3 + 4 / 1072), rel=1e-3) == STACK.pion_interaction_length
    # E_c between that of lead, 7.4 MeV, and of argon, 32 MeV, each by its share of radiation.
    assert 0.0074 < STACK.critical_energy < 0.0100
    ratio = 0.0212 * STACK.radiation_length / STACK.critical_energy
    assert pytest.approx(ratio, rel=1e-6) == STACK.moliere_radius


def test_cells_are_numbered_as_calogan_numbers_them():
    assert CALOGAN.cells == 504
    assert CALOGAN.first.tolist() == [0, 288, 432, 504]
    x, y = CALOGAN.centres
    # CaloGAN's 160 × 5, 40 × 40 and 40 × 80 mm cells; number = x bin × bins in y + y bin.
    assert (x[0], y[0], y[1] - y[0], x[96] - x[0]) == (-160.0, -237.5, 5.0, 160.0)
    assert (x[288], y[288], y[289] - y[288], x[300] - x[288]) == (-220.0, -220.0, 40.0, 40.0)
    assert (x[432], y[432], y[433] - y[432], x[438] - x[432]) == (-220.0, -200.0, 80.0, 40.0)
    every = CALOGAN.locate(CALOGAN.layer, np.stack([x, y], axis=-1))
    np.testing.assert_array_equal(every, np.arange(504))
    outside = np.array([[-240.1, 0], [0, 240.1], [0, 0]])
    np.testing.assert_array_equal(CALOGAN.locate(np.array([0, 1, 3]), outside), [-1, -1, -1])


def test_steps_lie_in_layers():
    assert set(CALOGAN.depths) <= set(DETECTOR.edges.tolist())
    assert np.diff(DETECTOR.edges).max() <= STACK.radiation_length
    depth = (DETECTOR.edges[1:] + DETECTOR.edges[:-1]) / 2
    np.testing.assert_array_equal(DETECTOR.step_layer, 0 + (depth > 90) + (depth > 437))


@pytest.mark.parametrize("gap_only", [False, True])
def test_longitudinal_parameters_against_the_paper(gap_only):
    # hep-ex/0001020 A.1.2 and A.2.2 at 10 GeV, written out.
    detector = Detector(STACK, CALOGAN, gap_only=gap_only)
    ln_y, z = np.log(10 / STACK.critical_energy), STACK.z
    t, alpha = ln_y - 0.812, 0.81 + (0.458 + 2.26 / z) * ln_y
    widths = 1 / (1.26 * ln_y - 1.4), 1 / (0.86 * ln_y - 0.58)
    rho = 0.705 - 0.023 * ln_y
    if gap_only:
        sampled, excess = 1 / STACK.sampling_frequency, 1 - STACK.e_over_mip
        t, alpha = t - 0.55 * sampled - 0.69 * excess, alpha - 0.476 * sampled
        widths = 1 / (1.25 * ln_y - 2.5), 1 / (0.79 * ln_y - 0.82)
        rho = 0.784 - 0.023 * ln_y
    one = longitudinal(detector, np.array([10.0]), np.zeros((1, 2)))
    assert one.alpha[0] == pytest.approx(alpha)
    assert (one.alpha[0] - 1) / one.beta[0] == pytest.approx(t)
    rng = np.random.default_rng(1)
    many = longitudinal(detector, np.full(40_000, 10.0), rng.standard_normal((40_000, 2)))
    logs = np.log([(many.alpha - 1) / many.beta, many.alpha])
    # Errors of a mean, a width and a correlation of n values: σ/√n, σ/√2n, (1 - ρ²)/√n; 4 of them.
    four = 4 / np.sqrt(40_000)
    np.testing.assert_allclose(logs.mean(axis=1), np.log([t, alpha]), atol=four * max(widths))
    np.testing.assert_allclose(logs.std(axis=1), widths, rtol=four)
    assert np.corrcoef(logs)[0, 1] == pytest.approx(rho, abs=four)


def test_shares_are_the_gamma_distribution():
    alpha, beta = np.array([2.0, 4.5]), np.array([0.4, 0.55])
    depth = np.array([[-1.0, 0.0, 3.0, 8.0], [0.0, 1.0, 2.0, 30.0]])
    expected = [
        np.diff(stats.gamma.cdf(d, a, scale=1 / b))
        for d, a, b in zip(depth, alpha, beta, strict=True)
    ]
    np.testing.assert_allclose(shares(alpha, beta, depth), expected, rtol=1e-12)


def test_mean_longitudinal_profile_of_electrons():
    energy, count = 20.0, 3000
    rng = np.random.default_rng(2)
    cells, _ = shoot(SLICES, add_electrons, np.full(count, energy), rng)
    found = by_layer(SLICES, cells) / energy
    # The mean over the fluctuating Γ-profiles, integrated by Gauss-Hermite: nothing is drawn.
    nodes, weights = np.polynomial.hermite_e.hermegauss(24)
    normal = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2)
    weight = np.outer(weights, weights).ravel() / weights.sum() ** 2
    shape = longitudinal(SLICES, np.full(len(normal), energy), normal)
    depth = np.arange(31)[:, None]
    expected = np.diff(stats.gamma.cdf(depth, shape.alpha, scale=1 / shape.beta), axis=0) @ weight
    error = found.std(axis=0) / np.sqrt(count)
    assert np.all(np.abs(found.mean(axis=0) - expected) < 4.5 * error + 1e-6)
    # And it is far from the profile of half the energy: the test can fail.
    other = longitudinal(SLICES, np.array([energy / 2]), np.zeros((1, 2)))
    wrong = np.diff(stats.gamma.cdf(np.arange(31), other.alpha, scale=1 / other.beta))
    assert np.max(np.abs(found.mean(axis=0) - wrong) / error) > 20


def test_radial_profile_against_its_integral():
    energy, count, slices = 50.0, 400, [2, 7, 12]
    rng = np.random.default_rng(3)
    cells, _ = shoot(STRIPS, add_electrons, np.full(count, energy), rng)
    strips = cells.sum(axis=0).reshape(30, 960)
    mean = longitudinal(
        STRIPS, np.full(count, energy), np.random.default_rng(4).normal(size=(count, 2))
    )
    edges = np.linspace(-2400, 2400, 961)
    for k in slices:
        profile = radial(STRIPS, np.full(count, energy), (k + 0.5) * mean.tau[:, None])
        # Energy weights showers in a slice by their share of it.
        weight = shares(mean.alpha, mean.beta, np.full((count, 2), [k, k + 1]))[:, 0]
        core, tail = (
            np.average(
                _below(edges[:, None], r[:, 0] * STACK.moliere_radius), axis=1, weights=weight * p
            )
            for r, p in (
                (profile.core, profile.weight[:, 0]),
                (profile.tail, 1 - profile.weight[:, 0]),
            )
        )
        p = np.average(profile.weight[:, 0], weights=weight)
        expected = np.diff(p * core + (1 - p) * tail)
        found = strips[k] / strips[k].sum()
        near = slice(480 - 40, 480 + 40)
        np.testing.assert_allclose(found[near], expected[near], atol=0.02 * expected.max())


def _below(x, radius):
    """Share of 2rR²/(r²+R²)² at abscissae below x, by integrating over the other coordinate."""
    return (1 + x / np.hypot(x, radius)) / 2


def test_the_share_below_an_abscissa_by_quadrature():
    def slab(x, radius):
        density = lambda y: radius**2 / (np.pi * (x * x + y * y + radius**2) ** 2)  # noqa: E731
        return quad(density, -np.inf, np.inf)[0]

    assert quad(slab, -50, 7, args=(3.0,))[0] == pytest.approx(
        _below(7.0, 3.0) - _below(-50.0, 3.0), rel=1e-6
    )


@pytest.mark.parametrize("add", [add_electrons, add_photons])
def test_electromagnetic_energy_is_conserved(add):
    rng = np.random.default_rng(5)
    energy = rng.uniform(1, 100, 500)
    cells, leaked = shoot(DETECTOR, add, energy, rng)
    np.testing.assert_allclose(cells.sum(axis=1) + leaked, energy, rtol=1e-9)
    assert np.all(leaked >= 0)
    assert np.mean(leaked / energy) < 0.02


# At 1 GeV and below the mean electromagnetic share is none at all.
@pytest.mark.parametrize("most", [1.2, 100.0])
def test_pion_energy_is_conserved(most):
    rng = np.random.default_rng(6)
    energy = rng.uniform(0.5, most, 2000)
    cells = np.zeros((2000, 504))
    leaked, invisible = add_pions(rng, DETECTOR, energy, np.zeros((2000, 2)), cells)
    np.testing.assert_allclose(cells.sum(axis=1) + leaked + invisible, energy, rtol=1e-9)
    assert min(leaked.min(), invisible.min(), cells.min()) >= 0


def test_sampling_fluctuations_have_their_variance():
    count, energy = 4000, 25.0
    detector = Detector(STACK, CALOGAN, sampling=0.12, gap_only=True)
    cells, leaked = shoot(detector, add_electrons, np.full(count, energy), np.random.default_rng(7))
    # What leaks varies by itself: compare with what is deposited.
    off = cells.sum(axis=1) - (energy - leaked)
    width = 0.12 * np.sqrt(np.mean(energy - leaked))
    assert abs(off.mean()) < 4 * width / np.sqrt(count)
    assert off.std() == pytest.approx(width, rel=4 / np.sqrt(2 * count))


def test_positrons_share_their_energy_among_layers_as_in_geant4():
    rng = np.random.default_rng(8)
    cells, _ = shoot(DETECTOR, add_electrons, rng.uniform(1, 100, 4000), rng)
    layers = by_layer(DETECTOR, cells).sum(axis=0)
    # Geant4: about 0.16, 0.84 and next to nothing behind; the parametrisation may be 0.03 off.
    np.testing.assert_allclose(layers / layers.sum(), [0.16, 0.84, 0.0], atol=0.03)


def test_photons_reach_deeper_than_electrons():
    energy, rng = np.full(4000, 50.0), np.random.default_rng(9)
    depth = np.arange(30) + 0.5
    mean = {}
    for add in (add_electrons, add_photons):
        layers = by_layer(SLICES, shoot(SLICES, add, energy, rng)[0])
        mean[add] = (layers @ depth / layers.sum(axis=1)).mean()
    # A photon converts after 9/7 X0, and its halves make showers that are shorter by <-ln u> = 1
    # of T per unit of ln y, weighted with energy: 1/2; the centre of gravity follows within 0.2.
    assert mean[add_photons] - mean[add_electrons] == pytest.approx(9 / 7 - 0.5, abs=0.25)


def test_pions_that_do_not_interact_leave_what_a_fast_particle_ionises():
    count, energy = 4000, 50.0
    cells = np.zeros((count, 504))
    rng = np.random.default_rng(10)
    add_pions(rng, DETECTOR, np.full(count, energy), np.zeros((count, 2)), cells)
    total = cells.sum(axis=1)
    # On the axis, where cells meet, in each layer; an interaction reaches others.
    through = (cells > 0).sum(axis=1) == 3
    # PDG: exp(-L/λ_π) of them; 1.122 and 1.508 MeV cm²/g in 16 cm of lead and 32 cm of argon.
    expected = np.exp(-480 / (6 / (2 / 199.3 + 4 / 1072)))
    spread = np.sqrt(expected * (1 - expected) / count)
    assert through.mean() == pytest.approx(expected, abs=4 * spread + 0.01)
    ionised = 1e-3 * (1.122 * 11.35 * 16 + 1.508 * 1.39 * 32)
    assert total[through].mean() == pytest.approx(ionised, rel=0.03)


def test_the_hadronic_profile_is_that_of_bock():
    shape, rate = bock_profile(np.array([50.0]))
    assert shape[0] == pytest.approx(0.6165 + 0.3183 * np.log(50))
    assert rate[0] == pytest.approx(0.9099 - 0.0237 * np.log(50))
    # A deep calorimeter of interaction lengths: the spots' depths have that Γ-distribution.
    length = STACK.interaction_length
    deep = Detector(STACK, Segmentation(((1, 1),) * 12, tuple(length * np.arange(1, 13)), 1e5))
    count = 200
    cells, zero = np.zeros((count, 12)), np.zeros(count)
    leaked = add_hadronic(
        np.random.default_rng(11), deep, np.full(count, 50.0), np.full(count, 20.0), zero,
        np.arange(count), np.zeros((count, 2)), cells,
    )  # fmt: skip
    expected = np.diff(stats.gamma.cdf(np.arange(13), shape, scale=1 / rate))
    # About 400 spots a shower.
    error = np.sqrt(expected / (count * 400))
    assert np.all(np.abs(cells.mean(axis=0) / 20 - expected) < 5 * error + 1e-4)
    np.testing.assert_allclose(cells.sum(axis=1) + leaked, 20.0, rtol=1e-9)
