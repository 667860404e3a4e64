"""A function of named arrays as an ONNX model, with the sizes of some axes left open."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import jax
import numpy as np
import onnx
from jax import Array
from jax.export import SymbolicScope, symbolic_shape
from jax.extend.core import ClosedJaxpr
from onnx import NodeProto, helper

from rootloom import __version__
from rootloom.errors import require
from rootloom.export.onnx.equation import cut, filled, joined
from rootloom.export.onnx.graph import Axis, Graph, Size
from rootloom.export.onnx.writing import write
from rootloom.export.options import NEWEST, OLDEST
from rootloom.tasks.base import Params

# A function that is written: parameters and arrays by name → arrays by name.
Function = Callable[[Params, Mapping[str, Array]], Mapping[str, Array]]


@dataclass(frozen=True)
class Tensor:
    """An input or output of a model. axes: a number of elements, or the name of an open size."""

    name: str
    axes: tuple[int | str, ...]
    dtype: str = "float32"

    def __post_init__(self) -> None:
        named = [axis for axis in self.axes if isinstance(axis, str)]
        fits = all(axis.isidentifier() and axis.isascii() for axis in named)
        require(f"ONNX export, '{self.name}'", fits, "axes named by letters, digits and _", named)


def to_onnx(
    function: Function,
    params: Params,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    *,
    least: Mapping[str, int] | None = None,
    opset: int = NEWEST,
    notes: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """The model, checked; standard operators alone.

    outputs: those of the function that the model has, in order. least: smallest size for which the
    function is defined, by the name of an open size; inputs with less are filled up with zeros, and
    outputs cut again; the function is also given an array (N,) of each, by `given_size`, that is 1
    where there was an element and 0 of those added. Open sizes that are not named are 1 or more.
    opset: version of the operators. notes: metadata. Raises ConfigError for a primitive that cannot
    be written.
    """
    fits = OLDEST <= opset <= NEWEST
    require("ONNX export, opset", fits, f"a version from {OLDEST} to {NEWEST}", opset)
    opened = {axis for one in inputs for axis in one.axes}
    needed = {axis: size for axis, size in (least or {}).items() if axis in opened}
    graph = Graph(opset)
    given = [_given(graph, one, needed) for one in inputs]
    present = [Tensor(given_size(axis), (axis,)) for axis in needed]
    given += [_present(graph, axis, least) for axis, least in needed.items()]
    jaxpr, known = _traced(function, params, [*inputs, *present], needed)
    named = [*(graph.constant(values, name) for name, values in known), *given]
    results = dict(zip(jaxpr.names, write(jaxpr.closed, named, graph), strict=True))
    for one in outputs:
        _emit(graph, one, results[one.name], needed)
    return _assembled(graph, inputs, outputs, notes or {})


@dataclass(frozen=True)
class _Traced:
    """A function of flat values; names of its outputs in order."""

    closed: ClosedJaxpr
    names: list[str]


def _traced(
    function: Function, params: Params, inputs: Sequence[Tensor], needed: Mapping[str, int]
) -> tuple[_Traced, list[tuple[str, np.ndarray]]]:
    """The function with open sizes, and its parameters by name, which come first."""
    bounds = [f"{name} >= {size}" for name, size in needed.items() if size > 1]
    scope = SymbolicScope(bounds)
    abstract = {
        one.name: jax.ShapeDtypeStruct(
            symbolic_shape(f"({''.join(f'{axis},' for axis in one.axes)})", scope=scope), one.dtype
        )
        for one in inputs
    }
    names = [one.name for one in inputs]

    def flat(params: Params, *arrays: Array) -> Mapping[str, Array]:
        return function(params, dict(zip(names, arrays, strict=True)))

    traced = jax.jit(flat, keep_unused=True).trace(params, *(abstract[name] for name in names))
    known = [
        (jax.tree_util.keystr(path, simple=True, separator="/"), np.asarray(leaf))
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    ]
    return _Traced(traced.jaxpr, sorted(traced.out_info)), known


def _given(graph: Graph, one: Tensor, needed: Mapping[str, int]) -> str:
    """An input with at least as many elements along its open axes as are needed."""
    graph.new_name(one.name)
    x, opened = one.name, [k for k, name in enumerate(one.axes) if isinstance(name, str)]
    for axis in opened:
        graph.symbols.setdefault(given_size(str(one.axes[axis])), Axis(x, axis))
    for axis in opened:
        x = _filled(graph, x, one, axis, needed) if one.axes[axis] in needed else x
    for axis in opened:
        graph.symbols.setdefault(str(one.axes[axis]), Axis(x, axis))
    return x


def _filled(graph: Graph, x: str, one: Tensor, axis: int, needed: Mapping[str, int]) -> str:
    """x with zeros after it along an axis, up to `least`."""
    sizes: list[Size] = list(one.axes)
    for k, name in enumerate(one.axes):
        if isinstance(name, str):  # axes before this one are filled up already
            given = given_size(name)
            sizes[k] = f"max({given}, {needed.get(name, 0)})" if k < axis else given
    sizes[axis] = f"max(0, {needed[str(one.axes[axis])]} - {sizes[axis]})"
    return joined(graph, [x, filled(graph, sizes, np.dtype(one.dtype))], axis)


def _present(graph: Graph, axis: str, least: int) -> str:
    """1 for each element of an open size that the caller gives, 0 for those added."""
    given, dtype = given_size(axis), np.dtype(np.float32)
    added = filled(graph, [f"max(0, {least} - {given})"], dtype)
    return joined(graph, [filled(graph, [given], dtype, 1), added], 0)


def given_size(name: str) -> str:
    """The symbol of an open size as the caller gives it, before inputs are filled up."""
    return f"given_{name}"


def _emit(graph: Graph, one: Tensor, x: str, needed: Mapping[str, int]) -> None:
    """Name an output, with as many elements along open axes as the input has."""
    opened = [k for k, name in enumerate(one.axes) if name in needed]
    sizes: list[Size] = [given_size(str(one.axes[k])) for k in opened]
    x = cut(graph, x, opened, [0] * len(opened), sizes) if opened else x
    graph.new_name(one.name)
    graph.nodes.append(helper.make_node("Identity", [x], [one.name], name=one.name))


def _assembled(
    graph: Graph, inputs: Sequence[Tensor], outputs: Sequence[Tensor], notes: Mapping[str, str]
) -> onnx.ModelProto:
    """The model without what no output needs."""
    nodes = _alive(graph.nodes, [one.name for one in outputs])
    used = _read(nodes)
    body = helper.make_graph(
        nodes,
        "rootloom",
        [graph.info(one.name, np.dtype(one.dtype), one.axes) for one in inputs],
        [graph.info(one.name, np.dtype(one.dtype), one.axes) for one in outputs],
        [constant for constant in graph.constants() if constant.name in used],
    )
    versions = [helper.make_opsetid("", graph.opset)]
    model = helper.make_model(
        body,
        opset_imports=versions,
        ir_version=helper.find_min_ir_version_for(versions),
        producer_name="rootloom",
        producer_version=__version__,
    )
    helper.set_model_props(model, dict(notes))
    onnx.checker.check_model(model, full_check=True)
    return model


def _alive(nodes: Sequence[NodeProto], wanted: Sequence[str]) -> list[NodeProto]:
    """The nodes on which these tensors depend."""
    needed, kept = set(wanted), []
    for node in reversed(nodes):
        if needed & set(node.output):
            kept.append(node)
            needed |= _read([node])
    return kept[::-1]


def _read(nodes: Sequence[NodeProto]) -> set[str]:
    """All tensors that nodes read, those in their graphs included."""
    found: set[str] = set()
    for node in nodes:
        found |= set(node.input)
        for attribute in node.attribute:
            found |= _read(attribute.g.node)
    return found
