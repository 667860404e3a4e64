"""Layer energies as ratios: by hand, there and back, in NumPy and JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import logit

from rootloom.physics.calorimeter.ratios import (
    cell_ratios,
    cells_of_ratios,
    energy_ratios,
    layers_of_ratios,
)


def showers() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    energy = rng.uniform(1, 100, 200)
    layers = energy[:, None] * rng.dirichlet([2.0, 8.0, 0.3], 200) * rng.uniform(0.2, 1.3, (200, 1))
    return layers, energy


def test_ratios_by_their_definition() -> None:
    layers, energy = showers()
    found = energy_ratios(layers, energy)
    share = [layers[:, i] / layers[:, i:].sum(axis=1) for i in range(2)]
    seen = np.log(layers.sum(axis=1) / energy)
    clear = layers[:, 2] > 1e-5 * energy
    expected = np.stack([seen, *map(logit, share)], axis=1)
    np.testing.assert_allclose(found[clear], expected[clear], rtol=1e-9, atol=1e-12)


def test_there_and_back_whatever_is_empty() -> None:
    layers, energy = showers()
    layers[:5, 2], layers[5:10, 0], layers[10:15, :2] = 0, 0, 0
    found = energy_ratios(layers, energy)
    assert np.isfinite(found).all()
    back = layers_of_ratios(found, energy)
    np.testing.assert_allclose(back, layers, atol=3e-6 * energy.max())
    np.testing.assert_allclose(back.sum(axis=1), layers.sum(axis=1), rtol=1e-12)
    # A shower without any energy, and padding without a particle.
    assert np.isfinite(energy_ratios(np.zeros((2, 3)), np.array([3.0, 0.0]))).all()


def test_cells_as_shares_of_their_layer() -> None:
    layers, _ = showers()
    cells = layers[:, [0, 1]] * np.array([1e-7, 0.3])
    found = cell_ratios(cells, layers[:, :2], 1e-3)
    assert (found < 0).all()
    np.testing.assert_allclose(cells_of_ratios(found, layers[:, :2], 1e-3), cells, atol=1e-12)
    # Of a bright cell the logarithm of its share, of an empty one that of the threshold's.
    bright = layers[:, 1] > 10
    np.testing.assert_allclose(found[bright, 1], np.log(0.3), atol=3e-4)
    empty = cell_ratios(np.zeros_like(cells), layers[:, :2], 1e-3)
    np.testing.assert_allclose(empty, np.log(1e-3 / (layers[:, :2] + 1e-3)), rtol=1e-9)


def test_any_numbers_are_energies_in_jax_too() -> None:
    ratios = np.random.default_rng(6).normal(0, 6, (50, 4)).astype(np.float32)
    energy = np.full(50, 20, np.float32)
    with jax.numpy_dtype_promotion("strict"):
        found = jax.jit(layers_of_ratios)(jnp.asarray(ratios), jnp.asarray(energy))
        back = jax.jit(energy_ratios)(found, jnp.asarray(energy))
    assert (np.asarray(found) >= 0).all()
    np.testing.assert_allclose(found, layers_of_ratios(ratios, energy), rtol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), energy * np.exp(ratios[:, 0]), rtol=1e-5)
    inside = np.abs(ratios).max(axis=1) < 4
    np.testing.assert_allclose(back[inside], ratios[inside], rtol=1e-3, atol=1e-4)
