"""A trained network as a function of named arrays, and as an ONNX model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import onnx
from jax import Array

from rootloom.export.onnx.model import Function, Tensor, to_onnx
from rootloom.export.options import NEWEST
from rootloom.export.signature import Signature
from rootloom.representations.base import Representation
from rootloom.tasks.base import Params, Predictor
from rootloom.types import Batch


def function_of(task: Predictor, *, scaled: bool = False) -> Function:
    """From parameters and the arrays that a signature names to its outputs, by name.

    scaled: whether the arrays are scaled already.
    """
    if scaled:
        of: Any = task  # a dataclass, like every task
        task = dataclasses.replace(of, representation=unscaling(task.representation))
    key = jax.random.key(0)  # of tasks that sample; always the same

    def function(params: Params, served: Mapping[str, Array]) -> Mapping[str, Array]:
        inputs = task.representation.taken(served)
        rows = next(iter(served.values())).shape[0]
        # Targets, weights and identities decide nothing that is predicted.
        weight, identity = jnp.ones(rows, jnp.float32), jnp.zeros((rows, 2), jnp.uint32)
        batch = Batch(inputs, jnp.zeros(rows, jnp.int32), weight, identity)
        return task.serve(params, batch, key)

    return function


def unscaling(representation: Representation) -> Representation:
    """The same representation, which leaves inputs as they are."""
    kind: Any = type(representation)  # a dataclass, like every representation

    def unchanged(self: Representation, inputs: object, statistics: object) -> object:
        return inputs

    fields = {one.name: getattr(representation, one.name) for one in dataclasses.fields(kind)}
    plain = type(f"Plain{kind.__name__}", (kind,), {"normalise": unchanged})
    made: Representation = plain(**fields | ({"log": ()} if "log" in fields else {}))
    return made


def network(
    task: Predictor,
    params: Params,
    signature: Signature,
    *,
    opset: int = NEWEST,
) -> onnx.ModelProto:
    """The network as the signature describes it, in float32 and for any number of rows.

    Raises ConfigError for a network that cannot be written.
    """
    task = task.cast("float32")
    return to_onnx(
        function_of(task, scaled=signature.scaled),
        params,
        [Tensor(one.name, one.axes, one.dtype) for one in signature.inputs],
        [Tensor(one.name, one.axes, one.dtype) for one in signature.outputs],
        least=signature.open_sizes(),
        opset=opset,
    )
