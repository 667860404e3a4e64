"""A traced function, equation by equation, into a graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var

from rootloom.export.onnx import arithmetic, control, gathering, products, reductions, shapes
from rootloom.export.onnx.equation import Aval, Equation, Lowering
from rootloom.export.onnx.graph import Graph

TABLE: Mapping[str, Lowering] = {
    **arithmetic.TABLE,
    **control.TABLE,
    **gathering.TABLE,
    **products.TABLE,
    **reductions.TABLE,
    **shapes.TABLE,
}


def write(function: Jaxpr | ClosedJaxpr, inputs: Sequence[str], graph: Graph) -> list[str]:
    """Add the equations of a function of these tensors; its outputs.

    Raises ConfigError for a primitive that cannot be written.
    """
    jaxpr = function.jaxpr if isinstance(function, ClosedJaxpr) else function
    values = dict(zip(jaxpr.invars, inputs, strict=True))
    if isinstance(function, ClosedJaxpr):
        values |= _constants(function, graph)

    def value(of: Var | Literal) -> str:
        if isinstance(of, Literal):
            return graph.constant(np.asarray(of.val, _aval(of).dtype))
        return values[of]

    for equation in jaxpr.eqns:
        with _placed(graph, str(equation.source_info.name_stack)):
            found = _written(equation, [value(of) for of in equation.invars], graph)
        values |= zip(equation.outvars, found, strict=True)
    return [value(of) for of in jaxpr.outvars]


def _constants(function: ClosedJaxpr, graph: Graph) -> dict[Var, str]:
    """Arrays that the function knows. Keys of random numbers are none: networks that predict use
    none, and what did would be refused by its primitive.
    """
    pairs = zip(function.jaxpr.constvars, function.consts, strict=True)
    arrays = {of: value for of, value in pairs if isinstance(_aval(of).dtype, np.dtype)}
    return {of: graph.constant(np.asarray(value)) for of, value in arrays.items()}


@contextmanager
def _placed(graph: Graph, place: str) -> Iterator[None]:
    """Add a part of the network to the place of nodes."""
    before = graph.place
    graph.place = "/".join(part for part in (before, place) if part)
    try:
        yield
    finally:
        graph.place = before


def _written(equation: JaxprEqn, inputs: list[str], graph: Graph) -> Sequence[str]:
    name = equation.primitive.name
    at = Equation(
        graph,
        name,
        equation.params,
        [_aval(of) for of in equation.invars],
        [_aval(of) for of in equation.outvars],
        write,
    )
    if name not in TABLE:
        known = ", ".join(sorted(TABLE))
        raise at.refuse(f"one of the primitives that can be written: {known}", name)
    found = TABLE[name](at, *inputs)
    return [found] if isinstance(found, str) else list(found)


def _aval(of: Var | Literal) -> Aval:
    """Type and shape of a value; of the functions that are written, all are arrays."""
    found: Any = of.aval
    aval: Aval = found
    return aval
