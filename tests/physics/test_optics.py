"""Light in two spheres against Snell's and Fresnel's laws, Fermat's principle and photon counts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize

from rootloom.physics.scintillator.optics import (
    LIGHT,
    LightTable,
    Optics,
    deposit,
    direct_rays,
    direct_table,
    refracted,
    solid_angles,
    straight_time,
    transmittance,
)
from rootloom.physics.scintillator.photons import late_light, trace

OPTICS = Optics()
N1, N2 = OPTICS.inner_index, OPTICS.water_index
CLEAR = OPTICS._replace(absorption=1e12, scattering=1e12, water_attenuation=1e12)


def test_snell() -> None:
    angle = np.radians([0.0, 10.0, 30.0, 60.0])
    found = np.arcsin(refracted(np.sin(angle), N1, N2))
    np.testing.assert_allclose(N1 * np.sin(angle), N2 * np.sin(found), rtol=1e-12)
    # The critical angle of 1.49 to 1.33.
    assert np.degrees(np.arcsin(1.33 / 1.49)) == pytest.approx(63.2, abs=0.05)
    assert refracted(np.sin(np.radians(63.1)), N1, N2) < 1 < refracted(np.sin(1.11), N1, N2)


def test_fresnel_in_closed_form() -> None:
    assert transmittance(0.0, N1, N2) == pytest.approx(4 * N1 * N2 / (N1 + N2) ** 2, rel=1e-12)
    # At Brewster's angle nothing of the parallel polarisation is reflected, and
    # ((n1² − n2²) / (n1² + n2²))² of the other one.
    brewster = np.sin(np.arctan(N2 / N1))
    lost = 0.5 * ((N1**2 - N2**2) / (N1**2 + N2**2)) ** 2
    assert transmittance(brewster, N1, N2) == pytest.approx(1 - lost, rel=1e-12)
    sine = np.linspace(0.0, 0.99 * N2 / N1, 50)
    back = transmittance(refracted(sine, N1, N2), N2, N1)
    np.testing.assert_allclose(transmittance(sine, N1, N2), back, rtol=1e-9)
    assert np.all(transmittance(np.array([0.9, 0.99, 1.0]), N1, N2) == 0.0)
    # s and p amplitudes in their sine and tangent forms, which share no term with ours.
    one, two = np.arcsin(0.6), np.arcsin(refracted(0.6, N1, N2))
    rs = (np.sin(one - two) / np.sin(one + two)) ** 2
    rp = (np.tan(one - two) / np.tan(one + two)) ** 2
    assert transmittance(0.6, N1, N2) == pytest.approx(1 - 0.5 * (rs + rp), rel=1e-12)


def test_from_the_centre_light_is_isotropic_and_exactly_on_time() -> None:
    table = direct_table(OPTICS, np.array([0.0]))[0]
    inside, outside = 17.7, 19.5 - 17.7
    share = 4 * N1 * N2 / (N1 + N2) ** 2
    share *= np.exp(-inside * (1 / 68.8 + 1 / 28.2) - outside / 60.0)
    np.testing.assert_allclose(table[:, 0], share / (4 * np.pi), rtol=2e-3)
    exact = (1.49 * inside + 1.33 * outside) / LIGHT
    np.testing.assert_allclose(table[:, 1], exact, rtol=1e-12)


@pytest.mark.parametrize("radius", [3.0, 10.0, 15.0, 17.0])
def test_rays_take_the_time_that_fermat_allows(radius: float) -> None:
    """The path through any point of the surface takes longest or shortest through the ray's own."""
    emission = np.radians([5.0, 25.0, 50.0, 150.0, 175.0])
    rays = direct_rays(radius, emission, OPTICS)
    for angle, time, share in zip(*rays, strict=True):
        if share == 0.0:
            continue

        def duration(crossing: np.ndarray, angle: float = angle) -> float:
            point = 17.7 * np.array([np.sin(crossing[0]), np.cos(crossing[0])])
            end = 19.5 * np.array([np.sin(angle), np.cos(angle)])
            inside = np.linalg.norm(point - np.array([0.0, radius]))
            return (1.49 * inside + 1.33 * np.linalg.norm(end - point)) / LIGHT

        found = minimize(duration, [angle], method="Nelder-Mead", options={"xatol": 1e-10})
        assert found.fun == pytest.approx(time, rel=1e-7)


@pytest.mark.parametrize(
    ("radius", "published", "tolerance"),
    # Ray-traced tables and optical photons of Geant4 in the same geometry: 0.458 and 0.459 at
    # 10 m; 0.359 and 0.362 at 17 m.
    [(10.0, 0.4585, 0.0015), (17.0, 0.3605, 0.0025)],
)
def test_direct_light_fractions(radius: float, published: float, tolerance: float) -> None:
    table = direct_table(OPTICS, np.array([radius]))[0]
    share = (table[:, 0] * solid_angles(len(table))).sum()
    assert share == pytest.approx(published, abs=tolerance)

    def sent(cosine: float) -> float:
        return 0.5 * float(direct_rays(radius, np.arccos(np.array(cosine)), OPTICS).share)

    exact = quad(sent, -1.0, 1.0, limit=500, epsabs=1e-5)[0]
    assert share == pytest.approx(exact, abs=1e-4)
    photons = 200_000
    late, delays = np.zeros(17), np.zeros(512)
    rng = np.random.default_rng(5)
    direct = late_light(radius, tuple(OPTICS), photons, rng, table[:, 1], late, delays) / photons
    # Weighted photons vary less than counted ones: 4 binomial standard deviations.
    assert direct == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / photons))


def test_no_photon_is_lost_or_made() -> None:
    """Scattering alone brings every photon out in the end."""
    optics = CLEAR._replace(scattering=20.0)
    photons, times = 20_000, np.zeros(2)
    for radius in (0.0, 12.0, 17.5):
        late, delays = np.zeros(17), np.zeros(512)
        rng = np.random.default_rng(2)
        direct = late_light(radius, tuple(optics), photons, rng, times, late, delays)
        assert direct + late.sum() == pytest.approx(photons, rel=1e-6)
        assert delays.sum() == pytest.approx(late.sum(), rel=1e-9)


def test_without_a_surface_light_goes_straight() -> None:
    """Equal indices: inverse squares, and the straight line's time."""
    optics = CLEAR._replace(water_index=1.49)
    radius, nodes = 12.0, 257
    table = direct_table(optics, np.array([radius]), nodes)[0]
    half_sine = np.linspace(0.0, 1.0, nodes)
    cosine = 1 - 2 * half_sine**2
    distance = np.sqrt(radius**2 + 19.5**2 - 2 * radius * 19.5 * cosine)
    facing = (19.5 - radius * cosine) / distance
    exact = 19.5**2 * facing / (4 * np.pi * distance**2)
    np.testing.assert_allclose(table[2:-2, 0], exact[2:-2], rtol=5e-3)
    np.testing.assert_allclose(table[1:-1, 1], 1.49 * distance[1:-1] / LIGHT, rtol=1e-3)
    np.testing.assert_allclose(straight_time(radius, half_sine, optics), 1.49 * distance / LIGHT)


def test_deposits_keep_their_sum_and_solid_angles_fill_the_sphere() -> None:
    rng = np.random.default_rng(1)
    place, weight = rng.random(1000), rng.random(1000)
    assert deposit(place, weight, 33).sum() == pytest.approx(weight.sum())
    assert deposit(np.array([0.0, 0.5, 1.0]), np.ones(3), 3).tolist() == [1.0, 1.0, 1.0]
    assert solid_angles(257).sum() == pytest.approx(4 * np.pi)


def test_tables_between_their_radii() -> None:
    table = LightTable(np.array([0.0, 1.0, 3.0]), np.arange(3.0, dtype=np.float32)[:, None, None])
    np.testing.assert_allclose(table.at(np.array([0.0, 0.5, 2.0, 3.0]))[:, 0, 0], [0, 0.5, 1.5, 2])


def test_the_same_seed_traces_the_same_light() -> None:
    first, again, other = (trace(OPTICS, 50, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.table.values, again.table.values)
    assert not np.array_equal(first.table.values, other.table.values)
    assert first.delays.sum() == pytest.approx(1.0)
