"""Fixed steps against SciPy's adaptive solver, and the order of each method."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from rootloom.models.generators.ode import Solver, integrate

START = np.array([[1.0, -0.5], [0.2, 1.5], [-1.0, 0.3]])


def field(x: jax.Array, t: jax.Array) -> jax.Array:
    """A pendulum whose support shakes: neither linear nor autonomous."""
    angle, speed = x[:, 0], x[:, 1]
    return jnp.stack([speed, -jnp.sin(angle) * (4.0 + 2.0 * jnp.cos(5.0 * t))], axis=1)


def exact() -> np.ndarray:
    def slope(t: float, x: np.ndarray) -> np.ndarray:
        return np.array([x[1], -np.sin(x[0]) * (4 + 2 * np.cos(5 * t))])

    ends = [solve_ivp(slope, (0, 1), x, method="DOP853", rtol=1e-12, atol=1e-13) for x in START]
    return np.stack([end.y[:, -1] for end in ends])


@pytest.mark.parametrize(
    ("solver", "order"), [("euler", 1), ("midpoint", 2), ("heun", 2), ("rk4", 4)]
)
def test_the_error_falls_with_the_order_of_the_method(solver: Solver, order: int) -> None:
    with jax.enable_x64(True):
        start = jnp.asarray(START)
        errors = [
            np.abs(np.asarray(integrate(field, start, steps, solver)) - exact()).max()
            for steps in (40, 80)
        ]
    assert errors[1] < 0.2 ** min(order, 2)
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.2)


def test_single_precision_and_one_step() -> None:
    start = jnp.asarray(START, jnp.float32)
    with jax.numpy_dtype_promotion("strict"):
        found = integrate(field, start, 64, "rk4")
        one = integrate(field, start, 1, "euler")
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, exact(), atol=2e-5)
    np.testing.assert_allclose(one, start + field(start, jnp.float32(0.0)), rtol=1e-6)
