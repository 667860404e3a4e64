"""Ranger: rectified Adam whose parameters are drawn back to slow ones, as in weaver-core.

optax's parts differ: its rectified Adam corrects the bias of the second moment before the constant
is added to its root, which with weaver-core's constant is another step for the first hundreds.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from rootloom.tasks.base import Params

BETA1 = 0.95  # weaver-core's default; beta2 is 0.999
_EPSILON = 1e-5
_PULL, _PERIOD = 0.5, 6  # of the slow parameters
# Length of the moving average of squares above which their variance is taken to be finite.
_LEAST = 5.0


class RectifiedAdam(NamedTuple):
    """Number of steps, and moving averages of gradients and of their squares."""

    count: Array  # type: ignore[assignment]  # a tuple's method
    mean: Params
    square: Params


def rectified_adam(beta1: float, beta2: float) -> optax.GradientTransformation:
    """Steps of L. Liu et al., arXiv:1908.03265, algorithm 2, for a learning rate of −1.

    While the variance of the squares is not finite, they are momentum, not divided by anything.
    """
    longest = 2.0 / (1.0 - beta2) - 1.0
    most = (longest - 4.0) * (longest - 2.0) / longest

    def init(params: Params) -> RectifiedAdam:
        zeros = jax.tree.map(jnp.zeros_like, params)
        return RectifiedAdam(jnp.zeros((), jnp.int32), zeros, zeros)

    def update(
        gradients: Params, state: RectifiedAdam, params: Params | None = None
    ) -> tuple[Params, RectifiedAdam]:
        count = state.count + 1
        mean = optax.tree.update_moment(gradients, state.mean, beta1, 1)
        square = optax.tree.update_moment(gradients, state.square, beta2, 2)
        steps = count.astype(jnp.float32)
        length = _length(beta2, steps)
        finite = length >= _LEAST
        rest = -jnp.expm1(steps * math.log(beta2))  # 1 − beta2^steps
        variance = (length - 4.0) * (length - 2.0) / length / most
        unbias = 1.0 / (1.0 - beta1**steps)
        rectified = unbias * jnp.sqrt(jnp.where(finite, rest * variance, 1.0))

        def step(m: Array, v: Array) -> Array:
            return jnp.where(finite, rectified * m / (jnp.sqrt(v) + _EPSILON), unbias * m)

        return jax.tree.map(step, mean, square), RectifiedAdam(count, mean, square)

    return optax.GradientTransformation(init, update)


def _length(beta2: float, steps: Array) -> Array:
    """Length of the moving average of squares: 2 / (1 − β) − 1 − 2 t βᵗ / (1 − βᵗ).

    These terms cancel in float32. With a = −ln β they are coth(a/2) − 2/a + 2/a · (1 − g(a t)),
    where g(x) = x / (eˣ − 1) = 1 − x/2 + x²/12 − x⁴/720 + x⁶/30240 − ….
    """
    a = -math.log(beta2)
    x = a * steps
    near = x / 2.0 - x**2 / 12.0 + x**4 / 720.0 - x**6 / 30240.0
    missing = jnp.where(x < 0.5, near, 1.0 - x / jnp.expm1(x))
    return 1.0 / math.tanh(a / 2.0) - 2.0 / a + 2.0 / a * missing


class Slow(NamedTuple):
    """Number of steps, and the slow parameters."""

    count: Array  # type: ignore[assignment]  # a tuple's method
    params: Params


def look_ahead() -> optax.GradientTransformation:
    """Every sixth step moves slow parameters half the way to the others, which then start there.

    M. Zhang et al., arXiv:1907.08610. It comes last in a chain, since it needs whole updates.
    """

    def init(params: Params) -> Slow:
        return Slow(jnp.zeros((), jnp.int32), jax.tree.map(jnp.array, params))

    def update(updates: Params, state: Slow, params: Params | None = None) -> tuple[Params, Slow]:
        count = state.count + 1
        due = count % _PERIOD == 0
        fast = optax.apply_updates(params, updates)
        pulled = optax.incremental_update(fast, state.params, _PULL)
        slow = jax.tree.map(lambda new, old: jnp.where(due, new, old), pulled, state.params)
        back = jax.tree.map(
            lambda new, old, update: jnp.where(due, new - old, update), pulled, params, updates
        )
        return back, Slow(count, slow)

    return optax.GradientTransformation(init, update)
