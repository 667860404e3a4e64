"""Dense layers on quantities that are invariant under boosts along the beam: masses of sets."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import ClassVar, NamedTuple, TypeAlias

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float32

from rootloom.errors import require, require_known
from rootloom.models.base import Backbone
from rootloom.models.dnn import DNN
from rootloom.models.layers import Activation
from rootloom.types import Features, Named, NamedFeatures, Positive, Rate, Size

Objects: TypeAlias = tuple[tuple[str, ...], ...]

_WHERE = "model 'lorentz', objects"
# Added to squares over `scale`² to keep logarithms finite: 1 GeV² for a scale of 100 GeV.
_MIN_SQUARE = 1e-4
# Ten objects have 1,013 sets of two or more.
_MAX_OBJECTS = 10


class Lorentz(Backbone):
    """Dense layers on transverse momenta and invariant masses of objects, from their columns.

    objects: the columns of each massless object: pT, η, φ, and a tag if it has one; GeV and rad.
    A missing momentum, whose η is unknown, has only pT and φ; it gets the η of the first object
    without a tag, or of the first object, so that their mass is the transverse mass. Objects with a
    tag are of the same kind; those with a tag above 0 come first, otherwise the order is kept.
    scale: typical momentum or mass, GeV. hidden, activation, dropout: as in `DNN`.

    A first layer without parameters computes log pT², tags, and log m² of every set of two or more
    objects: the Minkowski norm of the Lorentz layer of Butter, Kasieczka, Plehn, Russell,
    arXiv:1707.08966, with all sums in place of learnt ones. It is invariant under rotations about
    the beam, reflections, and boosts along the beam. Columns of no object are added unchanged.
    Raises ConfigError for columns that the representation does not have.
    """

    consumes: ClassVar[tuple[str, ...]] = ("features",)
    reads: ClassVar[str | None] = "objects"

    objects: Objects
    scale: Positive = 100.0
    hidden: tuple[Size, ...] = (300, 300, 300, 300, 300)
    activation: Activation = "relu"
    dropout: Rate = 0.0

    @nn.compact
    def __call__(
        self, inputs: NamedFeatures, *, train: bool
    ) -> Float32[Array, "{len(inputs.x)} D"]:
        """(B, F) → (B, hidden[-1])."""
        objects, columns = read_objects(self.objects), inputs.columns
        named = [name for names in self.objects for name in names]
        require_known(named, columns, _WHERE, "columns that the representation names")
        seen = invariants(tagged_first(momenta_of(objects, columns)), self.scale)
        # Sorted by name, the only order of a mapping that JAX keeps.
        others = [columns[name].x[:, None] for name in sorted(set(columns) - set(named))]
        x = jnp.concatenate([seen, *others], axis=1)
        dense = DNN(self.hidden, self.activation, self.dropout, dtype=self.dtype)
        return dense(Features(x, jnp.ones_like(x)), train=train)


class Object(NamedTuple):
    """Names of an object's columns; without η it is a transverse momentum."""

    pt: str
    eta: str | None
    phi: str
    tag: str | None = None


class Momenta(NamedTuple):
    """Massless objects. pt, eta, phi: (B, N) in GeV and rad; tag: (B, T), of the last T objects."""

    pt: Array
    eta: Array
    phi: Array
    tag: Array


def read_objects(columns: Objects) -> list[Object]:
    """The columns of each object, objects with a tag last; raises ConfigError."""
    require(_WHERE, 2 <= len(columns) <= _MAX_OBJECTS, f"2 to {_MAX_OBJECTS} of them", len(columns))
    lengths = [len(names) for names in columns]
    require(
        _WHERE, set(lengths) <= {2, 3, 4}, "of each pT, φ or pT, η, φ or pT, η, φ, tag", columns
    )
    require(_WHERE, max(lengths) > 2, "η of one of them", columns)
    found = [Object(n[0], None, n[1]) if len(n) == 2 else Object(*n) for n in columns]
    return sorted(found, key=lambda one: one.tag is not None)


def momenta_of(objects: list[Object], columns: Mapping[str, Named]) -> Momenta:
    """The objects from their columns.

    An object without momentum, which is absent, is put at η = φ = 0, because its stored direction
    may not be valid.
    """
    first = next(one.eta for one in objects if one.eta is not None)
    names = zip(*((one.pt, one.eta or first, one.phi) for one in objects), strict=True)
    pt, eta, phi = (jnp.stack([columns[name].value for name in of], axis=1) for of in names)
    tags = [columns[one.tag].value for one in objects if one.tag is not None]
    tag = jnp.stack(tags, axis=1) if tags else pt[:, :0]
    there = pt > 0
    pt, eta, phi = (jnp.where(there, a, jnp.zeros_like(a)) for a in (pt, eta, phi))
    return Momenta(pt, eta, phi, tag)


def tagged_first(momenta: Momenta) -> Momenta:
    """Objects with a tag above 0 before others of their kind, otherwise in the order given."""
    plain = momenta.pt.shape[1] - momenta.tag.shape[1]
    order = jnp.argsort(momenta.tag <= 0, axis=1, stable=True)

    def ordered(values: Array, first: int) -> Array:
        moved = jnp.take_along_axis(values[:, first:], order, axis=1)
        return jnp.concatenate([values[:, :first], moved], axis=1)

    pt, eta, phi = (ordered(values, plain) for values in momenta[:3])
    return Momenta(pt, eta, phi, ordered(momenta.tag, 0))


def invariants(
    momenta: Momenta, scale: float
) -> Float32[Array, "{len(momenta.pt)} {2**momenta.pt.shape[1]-1+momenta.tag.shape[1]}"]:
    """log pT² (N), tags (T) and log m² of all sets (2^N − N − 1), small sets first.

    Squares are divided by `scale`²; those of masses, which are sums over pairs, also by the number
    of pairs in the set, so that all are near 1.
    """
    count = momenta.pt.shape[1]
    mean = mass_squares(momenta) / pairs_of_sets(count).sum(axis=1)[None]
    squares = jnp.concatenate([momenta.pt**2, mean], axis=1) / scale**2
    logs = jnp.log(squares + _MIN_SQUARE)
    return jnp.concatenate([logs[:, :count], momenta.tag, logs[:, count:]], axis=1)


def mass_squares(
    momenta: Momenta,
) -> Float32[Array, "{len(momenta.pt)} {2**momenta.pt.shape[1]-momenta.pt.shape[1]-1}"]:
    """m² in GeV² of all 2^N − N − 1 sets of two or more objects, ordered as `combinations`.

    Massless objects: the sum over pairs of 2 pTi pTj (cosh Δη − cos Δφ) (Particle Data Group,
    Kinematics, section 49.5), in a form that does not cancel for neighbours.
    """
    i, j = np.triu_indices(momenta.pt.shape[1], 1)
    deta, dphi = (a[:, i] - a[:, j] for a in (momenta.eta, momenta.phi))
    apart = jnp.sinh(0.5 * deta) ** 2 + jnp.sin(0.5 * dphi) ** 2
    pairs = 4.0 * momenta.pt[:, i] * momenta.pt[:, j] * apart
    # On a GPU, a lower precision would round both factors to ten bits.
    return jnp.matmul(pairs, pairs_of_sets(momenta.pt.shape[1]).T, precision="highest")


def pairs_of_sets(count: int) -> np.ndarray:
    """1 where both objects of a pair are in a set, (2^N − N − 1, N (N − 1) / 2) float32."""
    sets = [s for size in range(2, count + 1) for s in combinations(range(count), size)]
    inside = np.array([[k in s for k in range(count)] for s in sets])
    i, j = np.triu_indices(count, 1)
    return (inside[:, i] & inside[:, j]).astype(np.float32)
