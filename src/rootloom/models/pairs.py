"""Quantities of pairs of objects, from their four-momenta: each unordered pair once.

Pairs (i, j) with i ≥ j lie one after the other, (B, M) with M = N (N + 1) / 2, an object's pair
with itself included: half the work of a square of pairs.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float

from rootloom.types import Tensor

# Number of slots: an int, or a symbol of `jax.export` where a network is exported.
Slots: TypeAlias = Any
# Least value of a logarithm's argument, and of E − pz, as in weaver-core.
_EPSILON, _TINY = 1e-8, 1e-20
# A momentum for empty slots, at which all derivatives are finite.
_NOTHING = (1.0, 0.0, 0.0, 1.0)


def pairs(slots: Slots) -> tuple[Tensor, Tensor]:
    """Numbers i ≥ j of the objects of each pair, (M,) int32 each."""
    if isinstance(slots, int):
        return _pairs(slots)
    pair = jnp.arange(slots * (slots + 1) // 2, dtype=jnp.int32)
    # 8 pair + 1 is (2 i + 1)² at j = 0, and the root of a square is exact: i up to 2,000 is.
    i = (0.5 * (jnp.sqrt(8.0 * pair.astype(jnp.float32) + 1.0) - 1.0)).astype(jnp.int32)
    return i, pair - i * (i + 1) // 2


@lru_cache(maxsize=32)
def _pairs(slots: int) -> tuple[np.ndarray, np.ndarray]:
    i, j = np.tril_indices(slots)
    return i.astype(np.int32), j.astype(np.int32)


def _places(slots: Slots) -> Tensor:
    """The pair of objects i and j, in either order, (N · N,) int32."""
    if isinstance(slots, int):
        return _places_of(slots)
    number = jnp.arange(slots, dtype=jnp.int32)
    i = jnp.maximum(number[:, None], number[None])
    return (i * (i + 1) // 2 + jnp.minimum(number[:, None], number[None])).reshape(-1)


@lru_cache(maxsize=32)
def _places_of(slots: int) -> np.ndarray:
    i, j = _pairs(slots)
    places = np.empty((slots, slots), np.int32)
    places[i, j] = places[j, i] = np.arange(len(i))
    return places.reshape(-1)


def both(mask: Bool[Array, "B N"]) -> Bool[Array, "B M"]:
    """Whether both slots of a pair hold objects."""
    i, j = pairs(mask.shape[1])
    return mask[:, i] & mask[:, j]


def interactions(momenta: Float[Array, "B N 4"], mask: Bool[Array, "B N"]) -> Float[Array, "B M 4"]:
    """ln kT, ln z, ln Δ, ln m² of each pair (H. Qu, C. Li, S. Qian, arXiv:2202.03772, eqs. 3-6).

    momenta: px, py, pz, E in GeV. Δ² = Δy² + Δφ², kT = min(pT) Δ, z = min(pT) / (pT_i + pT_j).
    Arguments of logarithms are at least 1e-8, which is Δ of an object and itself.
    """
    nothing = jnp.asarray(_NOTHING, momenta.dtype)
    a, b = _coordinates(jnp.where(mask[..., None], momenta, nothing[None, None]))
    dy, dphi = a.rapidity - b.rapidity, a.phi - b.phi
    dphi = (dphi + jnp.pi) % (2 * jnp.pi) - jnp.pi
    square = dy**2 + dphi**2
    apart = square > 0  # the derivative of √0 is infinite
    delta = jnp.where(apart, jnp.sqrt(jnp.where(apart, square, 1)), 0)
    least = jnp.minimum(a.pt, b.pt)
    share = least / jnp.maximum(a.pt + b.pt, _EPSILON)
    found = jnp.stack([least * delta, share, delta, _mass_square(a, b, dy, dphi)], axis=-1)
    return jnp.log(jnp.maximum(found, _EPSILON))


class _Coordinates(NamedTuple):
    """Of objects: pT, √(E² − pz²) and m² in GeV, rapidity and φ."""

    pt: Array
    transverse_mass: Array
    square: Array
    rapidity: Array
    phi: Array


def _coordinates(p: Array) -> tuple[_Coordinates, _Coordinates]:
    """Of the first and of the second object of each pair, (B, M) each."""
    px, py, pz, energy = (p[..., k] for k in range(4))
    pt = jnp.sqrt(px**2 + py**2)
    momentum = jnp.sqrt(pt**2 + pz**2)
    forward, backward = (jnp.maximum(e, _TINY) for e in (energy - pz, energy + pz))
    of_objects = _Coordinates(
        pt,
        jnp.sqrt(forward) * jnp.sqrt(backward),
        (energy - momentum) * (energy + momentum),
        0.5 * (jnp.log(backward) - jnp.log(forward)),
        jnp.arctan2(py, px),
    )
    i, j = pairs(p.shape[1])
    first: _Coordinates = jax.tree.map(lambda values: values[:, i], of_objects)
    second: _Coordinates = jax.tree.map(lambda values: values[:, j], of_objects)
    return first, second


def _mass_square(a: _Coordinates, b: _Coordinates, dy: Array, dphi: Array) -> Array:
    """m² of pairs as a sum of terms that do not cancel, where (E + E)² − (p + p)² does.

    E E − pz pz is mT mT cosh Δy, and pT · pT is pT pT cos Δφ.
    """
    masses, momenta = a.transverse_mass * b.transverse_mass, a.pt * b.pt
    unlike = a.square * b.pt**2 + b.square * a.pt**2 + a.square * b.square
    product = (
        2 * masses * jnp.sinh(0.5 * dy) ** 2
        + 2 * momenta * jnp.sin(0.5 * dphi) ** 2
        + unlike / (masses + momenta)
    )
    return a.square + b.square + 2 * product


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def square(x: Float[Array, "B M C"], slots: Slots) -> Float[Array, "B C N N"]:
    """Of pairs, each twice: x of objects i and j at [i, j] and at [j, i].

    The gradient adds both up by reading instead of by writing, which is faster on a CPU.
    """
    moved = x.swapaxes(1, 2)
    return moved[:, :, _places(slots)].reshape(*moved.shape[:2], slots, slots)


def _square_forward(x: Array, slots: Slots) -> tuple[Array, None]:
    return square(x, slots), None


def _square_backward(slots: Slots, saved: None, gradient: Array) -> tuple[Array]:
    i, j = pairs(slots)
    flat = gradient.reshape(*gradient.shape[:2], slots * slots)
    once = flat[:, :, i * slots + j]
    twice = once + flat[:, :, j * slots + i]
    return (jnp.where((i == j)[None, None], once, twice).swapaxes(1, 2),)


square.defvjp(_square_forward, _square_backward)
