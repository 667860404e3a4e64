"""Shapes that annotations promise are checked while the tests run."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import TypeCheckError

from rootloom.models.layers import MaxOutDense, random_bits
from rootloom.physics.jets import kinematics
from rootloom.training.step import weighted_sums


def test_other_shapes_than_those_promised_are_refused() -> None:
    with pytest.raises(TypeCheckError):
        weighted_sums(jnp.ones(4), {"loss": jnp.ones((1, 4))})  # it would be summed all the same
    with pytest.raises(TypeCheckError):
        kinematics.pt(np.ones((5, 3)))  # momenta without energies
    with pytest.raises(TypeCheckError):
        random_bits(jnp.ones(3), 0, ())  # seeds that are no whole numbers
    with pytest.raises(TypeCheckError):
        MaxOutDense(2, 3).init(jax.random.key(0), jnp.ones((4, 5, 1)))
