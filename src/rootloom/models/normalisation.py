"""Batch normalisation over what is there: objects, not empty slots; rows, not padding.

The running mean and variance are parameters, but no loss decides them. In training their gradient
is by definition (running − batch) · momentum, so that whatever sums gradients over devices and
hands them to the optimiser moves them, too; `training.optimizer` subtracts it. Flax does the same
for the scales of 8-bit numbers (its collection OVERWRITE_WITH_GRADIENT).
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple, TypeAlias, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float

from rootloom.models.layers import Precision, along_last, single_or_double
from rootloom.types import DEVICES

RUNNING = ("running_mean", "running_variance")
T = TypeVar("T")  # a tree of arrays
_Path: TypeAlias = tuple[object, ...]


def is_running(path: _Path) -> bool:
    """Whether this path of a tree of parameters leads to a running mean or variance."""
    return jax.tree_util.keystr(path[-1:], simple=True) in RUNNING


def learnt(params: object) -> list[Array]:
    """The arrays of a tree of parameters that a loss decides."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(params)
    return [leaf for path, leaf in leaves if not is_running(path)]


class _Moments(NamedTuple):
    mean: Array
    variance: Array


class BatchNorm(nn.Module):
    """(x − mean) / √(variance + epsilon) · scale + bias of each of the C features.

    While training, mean and variance are those of the batch over all devices (S. Ioffe, C. Szegedy,
    arXiv:1502.03167), otherwise running ones. momentum: weight of a batch in these, as in PyTorch;
    their variance is unbiased.
    """

    epsilon: float = 1e-5
    momentum: float = 0.1
    dtype: Precision = "float32"

    @nn.compact
    def __call__(
        self, x: Float[Array, "*S C"], there: Bool[Array, "*T"], *, train: bool
    ) -> Float[Array, "*S C"]:
        """Normalised x; what is not `there`, which broadcasts to (…), does not count in a mean."""
        features = (x.shape[-1],)
        scale = self.param("scale", nn.initializers.ones, features)
        bias = self.param("bias", nn.initializers.zeros, features)
        running = _Moments(
            self.param(RUNNING[0], nn.initializers.zeros, features),
            self.param(RUNNING[1], nn.initializers.ones, features),
        )
        if train:
            batch, unbiased = self._moments(x, there, running)
            x = _following(self.momentum, x, running, unbiased)
        else:
            batch = running
        factor = scale * jax.lax.rsqrt(batch.variance + self.epsilon)
        shift = bias - batch.mean * factor
        return x * along_last(factor, x) + along_last(shift, x)

    def _moments(self, x: Array, there: Array, running: _Moments) -> tuple[_Moments, _Moments]:
        """Of the batch, and the same with an unbiased variance; the running ones of nothing."""
        wide = x.astype(single_or_double(self.dtype))
        there = jnp.broadcast_to(there, x.shape[:-1])[..., None]
        axes = tuple(range(x.ndim - 1))

        def total(values: Array) -> Array:
            return jnp.sum(jnp.where(there, values, 0), axis=axes)

        count, of_all = everywhere((jnp.sum(there.astype(wide.dtype)), total(wide)))
        mean = of_all / jnp.maximum(count, 1)
        # Not the mean square less the squared mean, which cancels.
        square = everywhere(total((wide - along_last(mean, wide)) ** 2))
        batch = _Moments(mean, square / jnp.maximum(count, 1))
        unbiased = _Moments(mean, square / jnp.maximum(count - 1, 1))
        kept = (jnp.where(count > 0, new, old) for new, old in zip(unbiased, running, strict=True))
        return batch, _Moments(*kept)


def everywhere(values: T) -> T:
    """Sums over the devices of a training; the values themselves outside of one."""
    try:
        summed: T = jax.lax.psum(values, DEVICES)
        return summed
    except NameError:  # JAX's for an axis that nothing maps over
        return values


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _following(momentum: float, x: Array, running: _Moments, batch: _Moments) -> Array:
    """x, with the gradient of `running` that the module describes."""
    return x


def _forward(
    momentum: float, x: Array, running: _Moments, batch: _Moments
) -> tuple[Array, tuple[_Moments, _Moments]]:
    return x, (running, batch)


def _backward(
    momentum: float, saved: tuple[_Moments, _Moments], gradient: Array
) -> tuple[Array, _Moments, _Moments]:
    running, batch = saved
    # Gradients of all devices are added up: each contributes its share.
    share = momentum / everywhere(jnp.ones((), batch.mean.dtype))
    towards = _Moments(
        *(
            (old - new.astype(old.dtype)) * share.astype(old.dtype)
            for old, new in zip(running, batch, strict=True)
        )
    )
    return gradient, towards, jax.tree.map(jnp.zeros_like, batch)


_following.defvjp(_forward, _backward)
