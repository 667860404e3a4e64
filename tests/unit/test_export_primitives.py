"""Primitives in ONNX against JAX's own evaluation, in each version of the operators."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array, lax

from rootloom.errors import ConfigError
from rootloom.export.onnx.model import Tensor, to_onnx
from rootloom.export.options import NEWEST, OLDEST
from rootloom.export.runtime import Session

RNG = np.random.default_rng(3)
X = RNG.normal(size=(5, 4, 3)).astype(np.float32)
# Numbers at which formulas cancel, overflow or have a step.
EDGES = np.array([0.0, -0.0, 1e-20, -1e-7, 3e-5, 0.5, -0.5, 1.5, 2.5, -2.5, 20, -30, 1e10], "f4")
ROUNDING_SINCE, CUMSUM_SINCE = 11, 11


def elementwise() -> dict[str, Callable[[Array], Array]]:
    return {
        "log1p": lambda x: jnp.log1p(jnp.abs(x)),
        "expm1": lambda x: jnp.expm1(jnp.clip(x, -40, 40)),
        "arctan2": lambda x: jnp.arctan2(*(jnp.where(v == 0, 0, v) for v in (x[:, None], x[None]))),
        "sinh": lambda x: jnp.sinh(jnp.clip(x, -10, 10)),
        "floor_divide": lambda x: jnp.clip(x, -99, 99) // 0.75,
        "remainder": lambda x: jnp.remainder(jnp.clip(x, -99, 99), 2.0),
        "whole": lambda x: (jnp.clip(x, -99, 99).astype(jnp.int32) // 3).astype(jnp.float32),
        "compared": lambda x: jnp.where((x <= 0.5) ^ (x >= -0.5) | (x == 1.5) & (x != 2.5), x, 1),
        "nan": lambda x: jnp.where(jnp.isnan(jnp.where(x < 0, jnp.nan, x)), 7.0, x),
        "finite": lambda x: jnp.isfinite(1.0 / x).astype(jnp.float32),
        "sign": jnp.sign,
        "erf": lax.erf,
        "softplus": jax.nn.softplus,
        "power": lambda x: jnp.abs(x) ** 0.3 + x**-3 + jnp.clip(x, -9, 9) ** 5,
        "hypot": lambda x: jnp.hypot(x, 3.0),
        "truths": lambda x: jnp.where(x > 0, x < 1, x < -1).astype(jnp.float32),
        "integers": lambda x: jnp.maximum(jnp.sign(x).astype(jnp.int32), 0).astype(jnp.float32),
    }


def shaped() -> dict[str, Callable[[Array], Array]]:
    """Of (B, N, 3), both first axes open."""
    return {
        "reverse": lambda x: x[:, ::-1],
        "channels": lambda x: x[..., ::2] + x[..., 1:2],
        "pad": lambda x: jnp.pad(x, [(0, 0), (1, 2), (0, 1)], constant_values=2.0),
        "crop": lambda x: lax.pad(x, 0.0, [(0, 0, 0), (0, 0, 0), (-1, 1, 0)]),
        "pairs": lambda x: (x[:, :, None] - x[:, None]).sum(axis=(2, 3)),
        "flat": lambda x: x.reshape(x.shape[0], -1).sum(axis=1),
        "one row": lambda x: x.reshape(-1, 3).max(axis=0),
        "identity": lambda x: jnp.eye(x.shape[1]) @ x,
        "contract two": lambda x: jnp.einsum("bnc,bnd->cd", x, x),
        "batched": lambda x: jnp.einsum("bnc,bmc->bnm", x, x),
        "outer": lambda x: jnp.einsum("bnc,dk->bncdk", x, jnp.arange(6.0).reshape(2, 3)),
        "vector": lambda x: jnp.einsum("bnc,c->bn", x, jnp.arange(3.0)),
        "largest": lambda x: jnp.argmax(x, axis=2).astype(jnp.float32),
        "all": lambda x: jnp.all(x > -1, axis=1).astype(jnp.float32),
        "any": lambda x: jnp.any(x > 1, axis=(1, 2)).astype(jnp.float32),
        "product": lambda x: jnp.prod(x, axis=2),
        "least": lambda x: x.min(axis=1),
        "order": lambda x: jnp.take_along_axis(x, jnp.argsort(x > 0, axis=2, stable=True), axis=2),
        "sorted": lambda x: jnp.sort(x, axis=2),
        "top": lambda x: lax.top_k(x, 2)[0] + lax.top_k(x, 2)[1],
        "along": lambda x: jnp.take_along_axis(x, jnp.argmax(x, axis=1)[:, None], axis=1),
        "chosen": lambda x: x[:, jnp.arange(x.shape[1]) // 2],
        "places": lambda x: x[jnp.arange(x.shape[0]), 0, jnp.argmin(x[:, 0], axis=1)],
        "stacked": lambda x: jnp.stack(jnp.split(x, 3, axis=2), axis=1),
        "moved": lambda x: lax.dynamic_slice_in_dim(x, jnp.argmax(x[0, 0]), 2, axis=2),
        "repeated": lambda x: jnp.tile(x, (1, 2, 1)),
        "softmax": lambda x: jax.nn.softmax(x, axis=1),
        "norm": lambda x: jax.nn.standardize(x),
        "loop": lambda x: lax.scan(
            lambda s, y: (jnp.tanh(s + y), s * y), x[:, 0], x.swapaxes(0, 1)
        )[1],
        "back": lambda x: lax.scan(
            lambda s, y: (jnp.tanh(s - y), s * y), x[:, 0], x.swapaxes(0, 1), reverse=True
        )[0],
        "remat": lambda x: jax.checkpoint(jnp.sin)(x),
    }


def written(function: Callable[[Array], Array], axes: tuple[int | str, ...], opset: int) -> Session:
    rank = len(jax.eval_shape(function, jax.ShapeDtypeStruct((5, 4, 3)[: len(axes)], "f4")).shape)
    model = to_onnx(
        lambda params, given: {"y": function(given["x"])},
        {},
        [Tensor("x", axes)],
        [Tensor("y", tuple(f"y{k}" for k in range(rank)))],
        opset=opset,
    )
    return Session(model)


@pytest.mark.parametrize("opset", [OLDEST, 12, NEWEST])
def test_elementwise(opset: int) -> None:
    for name, function in elementwise().items():
        found = written(function, ("n",), opset)({"x": EDGES})["y"]
        wanted = np.asarray(function(jnp.asarray(EDGES)))
        np.testing.assert_allclose(found, wanted, rtol=3e-6, atol=1e-30, err_msg=name)


@pytest.fixture(scope="module")
def of_shapes() -> list[tuple[str, np.ndarray, np.ndarray]]:
    """What JAX says, by name, of arrays of several sizes."""
    arrays = [X[:b, :n] for b, n in ((1, 1), (5, 3))]
    return [(name, x, jax.jit(f)(x)) for name, f in shaped().items() for x in arrays]


@pytest.mark.parametrize("opset", [OLDEST, 13, NEWEST])
def test_shapes_reductions_and_loops_of_any_size(
    opset: int, of_shapes: list[tuple[str, np.ndarray, np.ndarray]]
) -> None:
    runs = {name: written(function, ("b", "n", 3), opset) for name, function in shaped().items()}
    for name, x, wanted in of_shapes:
        found = runs[name]({"x": x})["y"]
        np.testing.assert_allclose(found, wanted, rtol=2e-6, atol=1e-6, err_msg=f"{name} {x.shape}")


@pytest.mark.parametrize("opset", [OLDEST, 11, NEWEST])
def test_rounding_is_to_even(opset: int) -> None:
    if opset < ROUNDING_SINCE:
        with pytest.raises(ConfigError, match="opset 11"):
            written(jnp.round, ("n",), opset)
        return
    np.testing.assert_array_equal(
        written(jnp.round, ("n",), opset)({"x": EDGES})["y"], EDGES.round()
    )


@pytest.mark.parametrize("opset", [OLDEST, NEWEST])
def test_images(opset: int) -> None:
    image = RNG.normal(size=(3, 8, 7, 2)).astype(np.float32)
    kernel = jnp.asarray(RNG.normal(size=(3, 4, 2, 5)).astype(np.float32))

    def function(x: Array) -> Array:
        y = lax.conv_general_dilated(
            x, kernel, (1, 2), ((1, 0), (2, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return lax.reduce_window(y, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 1, 1), "SAME")

    model = to_onnx(
        lambda params, given: {"y": function(given["x"])},
        {},
        [Tensor("x", ("b", 8, 7, 2))],
        [Tensor("y", ("b", "h", "w", 5))],
        opset=opset,
    )
    np.testing.assert_allclose(Session(model)({"x": image})["y"], function(image), atol=1e-5)


def test_a_version_that_nobody_writes_is_refused() -> None:
    with pytest.raises(ConfigError, match="a version from 10 to 20"):
        written(jnp.sin, ("n",), 9)
