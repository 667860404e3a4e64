"""Ordinary differential equations in steps of one size, as generators solve them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
from jax import Array

Velocity: TypeAlias = Callable[[Array, Array], Array]
Solver: TypeAlias = Literal["euler", "midpoint", "heun", "rk4"]

# Butcher's tableaux of explicit methods: rows of the matrix below its diagonal, and the weights.
# Hairer, Nørsett, Wanner, Solving Ordinary Differential Equations I, section II.1.
_TABLEAUX: dict[str, tuple[tuple[tuple[float, ...], ...], tuple[float, ...]]] = {
    "euler": ((), (1.0,)),
    "midpoint": (((0.5,),), (0.0, 1.0)),
    "heun": (((1.0,),), (0.5, 0.5)),
    "rk4": (((0.5,), (0.0, 0.5), (0.0, 0.0, 1.0)), (1 / 6, 1 / 3, 1 / 3, 1 / 6)),
}


def integrate(velocity: Velocity, start: Array, steps: int, solver: Solver) -> Array:
    """x(1) of dx/dt = velocity(x, t) with x(0) = `start`, (B, D), by `steps` equal steps.

    velocity: of x (B, D) at the time t (), (B, D). One `lax.scan`, so that the steps are compiled
    once.
    """
    matrix, weights = _TABLEAUX[solver]
    step = 1.0 / steps

    def advance(x: Array, number: Array) -> tuple[Array, None]:
        time = number * step
        slopes = [velocity(x, time)]
        for row in matrix:
            between = x + step * _weighted(row, slopes)
            slopes.append(velocity(between, time + sum(row) * step))
        return x + step * _weighted(weights, slopes), None

    found, _ = jax.lax.scan(advance, start, jnp.arange(steps, dtype=start.dtype))
    return found


def _weighted(weights: tuple[float, ...], slopes: list[Array]) -> Array:
    terms = [weight * slope for weight, slope in zip(weights, slopes, strict=True) if weight]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
