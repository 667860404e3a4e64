"""Layers against their definitions: torch-free oracles from lax, NumPy and the papers."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from rootloom.errors import ConfigError
from rootloom.models import convolution
from rootloom.models.cnn import CNN
from rootloom.models.layers import (
    EXAMPLE,
    Dropout,
    MaxOutDense,
    example_seeds,
    local_response_normalisation,
    max_pool,
    random_bits,
)
from rootloom.models.maxout import MaxOut
from rootloom.types import Image

pytestmark = pytest.mark.usefixtures("strict")

SHAPES = [  # pixels, channels, filters, kernel, pool, images
    (25, 1, 5, 11, 2, 6),
    (12, 4, 3, 3, 3, 4),
    (8, 3, 4, 3, 3, 4),  # two rows are dropped: more than the padding adds
    (10, 2, 4, 4, 2, 6),  # an even kernel
    (40, 1, 3, 11, 2, 2),
]


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def reference(x: jax.Array, kernel: jax.Array, pool: int) -> jax.Array:
    dimensions = ("NHWC", "HWIO", "NHWC")
    y = lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=dimensions)
    size = (1, pool, pool, 1)
    return lax.reduce_window(y, -jnp.inf, lax.max, size, size, "VALID")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("patch_bytes", [10_000, convolution.PATCH_BYTES])
def test_stage_has_the_value_and_gradients_of_lax(
    shape: tuple[int, ...], patch_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels, channels, filters, size, pool, images = shape
    monkeypatch.setattr(convolution, "PATCH_BYTES", patch_bytes)
    x, kernel = random(images, pixels, pixels, channels), random(size, size, channels, filters)
    upstream = random(images, pixels // pool, pixels // pool, filters, seed=1)

    def value_and_pull(function: Any) -> Any:
        value, pull = jax.vjp(lambda *a: function(*a, pool), x, kernel)
        return value, *pull(upstream)

    expected = jax.jit(partial(value_and_pull, reference))()
    for function in (convolution._patched, convolution.convolve_and_pool):
        found = jax.jit(partial(value_and_pull, function))()
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-3)


def test_max_pool_drops_the_rest() -> None:
    x = random(2, 7, 5, 3)
    expected = x[:, :6, :4].reshape(2, 3, 2, 2, 2, 3).max(axis=(2, 4))
    np.testing.assert_array_equal(max_pool(jnp.asarray(x), 2), expected)


def test_response_normalisation_is_the_papers_sum() -> None:
    x = random(2, 3, 3, 9)
    expected = np.empty_like(x)
    for i in range(9):  # Krizhevsky et al., section 3.3
        near = x[..., max(0, i - 2) : min(8, i + 2) + 1]
        expected[..., i] = x[..., i] / (2 + 1e-4 * (near**2).sum(-1)) ** 0.75
    np.testing.assert_allclose(local_response_normalisation(jnp.asarray(x)), expected, rtol=1e-5)


def test_maxout_takes_the_largest_piece() -> None:
    x, layer = random(5, 7), MaxOutDense(features=4, pieces=3)
    variables = layer.init(jax.random.key(0), jnp.asarray(x))
    dense = variables["params"]["Dense_0"]
    linear = x @ np.asarray(dense["kernel"]) + np.asarray(dense["bias"])
    expected = np.maximum.reduce([linear[:, 4 * piece : 4 * piece + 4] for piece in range(3)])
    np.testing.assert_allclose(layer.apply(variables, jnp.asarray(x)), expected, rtol=1e-5)


def test_parameter_counts_are_the_papers() -> None:
    image = Image(np.zeros((1, 25, 25, 1), np.float32))

    def count(model: Any) -> int:
        shapes = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), image)
        return sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))

    assert count(MaxOut()) + 2 * (25 + 1) == 975_693  # the published count has two output units
    layers = (11 * 11 + 1) * 64 + (9 * 64 + 1) * 32 + (9 * 32 + 1) * 32 + (32 + 1) * 64
    assert count(CNN()) == layers


@pytest.mark.parametrize(("pixels", "channels"), [(25, 1), (33, 3), (128, 1)])
def test_cnn_takes_images_of_any_size(pixels: int, channels: int) -> None:
    image = Image(random(2, pixels, pixels, channels))
    apply = partial(CNN().init_with_output, train=False)
    embedding, _ = jax.eval_shape(apply, jax.random.key(0), image)
    assert embedding.shape == (2, 64)


def test_images_too_small_to_pool_and_wrong_lengths_are_refused() -> None:
    with pytest.raises(ConfigError, match="pixels left to pool"):
        CNN().init(jax.random.key(0), Image(random(1, 12, 12, 1)), train=False)
    with pytest.raises(ConfigError, match="as many kernels"):
        CNN(filters=(8,))
    with pytest.raises(ConfigError, match="4 rates"):
        MaxOut(dropout=(0.1,))


def dropped(rate: float, rows: int, units: int, key: int = 0) -> np.ndarray:
    ids = np.random.default_rng(1).integers(0, 2**32, (rows, 2), dtype=np.uint32)
    seeds = example_seeds(jax.random.key(key), jnp.asarray(ids))
    x = jnp.ones((rows, units))
    return np.asarray(Dropout(rate).apply({EXAMPLE: {"seed": seeds}}, x, train=True))


def test_dropout_has_its_rate_and_keeps_the_mean() -> None:
    values = dropped(0.3, 1000, 320)
    share, error = (values == 0).mean(), (0.3 * 0.7 / values.size) ** 0.5
    assert abs(share - 0.3) < 5 * error
    np.testing.assert_allclose(values[values > 0], 1 / 0.7, rtol=1e-6)


def test_dropout_masks_are_uncorrelated() -> None:
    mask = (dropped(0.5, 512, 256) > 0).astype(float) - 0.5
    for matrix in (mask, mask.T):  # between units, between examples
        correlation = matrix.T @ matrix / len(matrix) / 0.25
        off = correlation[~np.eye(len(correlation), dtype=bool)]
        assert off.std() == pytest.approx(len(matrix) ** -0.5, rel=0.05)
        assert abs(off).max() < 7 / len(matrix) ** 0.5
    other = (dropped(0.5, 512, 256, key=1) > 0).astype(float) - 0.5
    assert abs((mask * other).mean() / 0.25) < 5 / mask.size**0.5


def test_random_bits_are_uniform_in_every_byte() -> None:
    from scipy.stats import chisquare

    seeds = jnp.arange(300, dtype=jnp.uint32)  # the worst case: neighbouring seeds
    bits = np.asarray(random_bits(seeds, 12345, (1000,)))
    for shift in (0, 8, 16, 24):
        counts = np.bincount(((bits >> shift) & 255).ravel(), minlength=256)
        assert chisquare(counts).pvalue > 1e-4


def test_dropout_refuses_to_draw_without_seeds() -> None:
    with pytest.raises(ConfigError, match="seeds"):
        Dropout(0.5).apply({}, jnp.ones((2, 3)), train=True)
    with pytest.raises(ConfigError, match="rate"):
        Dropout(1.5).apply({}, jnp.ones((2, 3)), train=True)
