"""Masses of leptons, neutrinos and jets against vector (scikit-hep)."""

from __future__ import annotations

import numpy as np
import pytest
import vector

from rootloom.physics.jets.masses import invariant_mass, nearest_pair, neutrino

W = 80.4


def random_momenta(rows: int, seed: int, mass: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    p3 = rng.normal(scale=60.0, size=(rows, 3))
    return np.concatenate([p3, np.sqrt((p3**2).sum(axis=1, keepdims=True) + mass**2)], axis=1)


def as_vector(p4: np.ndarray) -> vector.MomentumNumpy4D:
    return vector.array(dict(zip(("px", "py", "pz", "E"), np.moveaxis(p4, -1, 0), strict=True)))


@pytest.fixture
def lepton() -> np.ndarray:
    return random_momenta(2000, 1)


@pytest.fixture
def missing() -> np.ndarray:
    return np.random.default_rng(2).normal(scale=40.0, size=(2000, 2))


def test_invariant_mass(lepton: np.ndarray) -> None:
    others = [random_momenta(2000, seed, mass=5.0) for seed in (3, 4)]
    expected = (as_vector(lepton) + as_vector(others[0]) + as_vector(others[1])).mass
    np.testing.assert_allclose(invariant_mass(lepton, *others), expected, rtol=1e-9)


def transverse_mass(lepton: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """The mass without the longitudinal parts."""
    flat = [
        vector.array({"px": p[:, 0], "py": p[:, 1], "pz": np.zeros(2000), "m": np.zeros(2000)})
        for p in (lepton, missing)
    ]
    return np.asarray((flat[0] + flat[1]).mass)


def test_a_neutrino_gives_the_w_its_mass(lepton: np.ndarray, missing: np.ndarray) -> None:
    found = neutrino(lepton, missing, W)
    np.testing.assert_array_equal(found[:, :2], missing)
    np.testing.assert_allclose(as_vector(found).mass, 0.0, atol=1e-3)
    mass = (as_vector(lepton) + as_vector(found)).mass
    mt = transverse_mass(lepton, missing)
    below = mt < W
    assert 0.1 < below.mean() < 0.9
    np.testing.assert_allclose(mass[below], W, rtol=1e-6)
    np.testing.assert_allclose(mass[~below], mt[~below], rtol=1e-6)


def test_no_other_longitudinal_momentum_does_better(
    lepton: np.ndarray, missing: np.ndarray
) -> None:
    """A scan of pz, which knows no formula."""
    found = neutrino(lepton, missing, W)
    scan = np.linspace(-1500, 1500, 6001)
    for row in range(200):
        px, py = missing[row]
        trial = vector.array({"px": px + 0 * scan, "py": py + 0 * scan, "pz": scan, "m": 0 * scan})
        distance = np.abs((as_vector(lepton[row : row + 1]) + trial).mass - W)
        ours = (as_vector(lepton[row : row + 1]) + as_vector(found[row : row + 1])).mass[0]
        assert abs(ours - W) <= distance.min() + 1e-6


def test_of_two_solutions_the_smaller(lepton: np.ndarray, missing: np.ndarray) -> None:
    found = neutrino(lepton, missing, W)
    below = np.flatnonzero(transverse_mass(lepton, missing) < W)[:300]
    energy, pz = np.linalg.norm(lepton[:, :3], axis=1), lepton[:, 2]
    for row in below:
        # (E² − pz²) x² − 2 a pz x + E² met² − a² = 0, solved by NumPy's companion matrix
        met2 = (missing[row] ** 2).sum()
        a = W**2 / 2 + lepton[row, :2] @ missing[row]
        quadratic = [
            energy[row] ** 2 - pz[row] ** 2,
            -2 * a * pz[row],
            energy[row] ** 2 * met2 - a**2,
        ]
        roots = np.roots(quadratic)
        assert np.isreal(roots).all()
        np.testing.assert_allclose(found[row, 2], min(roots.real, key=abs), rtol=1e-5, atol=1e-5)


def test_the_pair_nearest_a_mass() -> None:
    momenta = np.stack([random_momenta(300, seed) for seed in range(5)], axis=1)
    usable = np.random.default_rng(9).random((300, 5)) < 0.6
    total, there = nearest_pair(momenta, usable, W)
    for row in range(300):
        jets = [as_vector(momenta[row, k : k + 1]) for k in np.flatnonzero(usable[row])]
        pairs = [a + b for i, a in enumerate(jets) for b in jets[:i]]
        assert there[row] == bool(pairs)
        if pairs:
            best = min(pairs, key=lambda pair: abs(pair.mass[0] - W))
            expected = [best.px[0], best.py[0], best.pz[0], best.E[0]]
            np.testing.assert_allclose(total[row], expected, rtol=1e-9, atol=1e-9)
