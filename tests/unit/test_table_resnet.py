"""The embedding of numbers against the formula of arXiv:2203.05556, written with NumPy."""

from __future__ import annotations

import jax
import numpy as np

from rootloom.models.table_resnet import PeriodicEmbedding, TableResNet
from rootloom.types import Features


def test_the_embedding_of_numbers() -> None:
    x = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
    layer = PeriodicEmbedding(frequencies=4, width=2, sigma=0.5)
    params = layer.init(jax.random.key(0), jax.numpy.asarray(x))["params"]
    found = layer.apply({"params": params}, jax.numpy.asarray(x))
    assert found.shape == (5, 3, 2)
    frequency, kernel, bias = (np.asarray(params[n]) for n in ("frequency", "kernel", "bias"))
    assert np.std(frequency) < 2
    for row in range(5):
        for k in range(3):
            phase = 2 * np.pi * frequency[k] * x[row, k]
            waves = np.concatenate([np.sin(phase), np.cos(phase)])
            expected = np.maximum(waves @ kernel[k] + bias[k], 0)
            np.testing.assert_allclose(found[row, k], expected, atol=1e-5)


def test_without_frequencies_it_sees_plain_numbers() -> None:
    x = np.zeros((2, 3), np.float32)
    inputs = Features(x, np.ones_like(x))
    model = TableResNet(width=4, blocks=1, frequencies=0)
    params = model.init(jax.random.key(0), inputs, train=False)["params"]
    assert "PeriodicEmbedding_0" not in params
    assert params["Dense_0"]["kernel"].shape == (3, 4)
