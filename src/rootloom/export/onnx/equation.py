"""An equation of a traced function while it is written, and operators whose form has changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import mul
from typing import Any, Protocol, TypeAlias

import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr
from onnx import TensorProto, helper

from rootloom.errors import ConfigError
from rootloom.export.onnx.graph import Graph, Size


class Aval(Protocol):
    """Type and shape of a value of a traced function."""

    @property
    def dtype(self) -> np.dtype: ...  # noqa: D102
    @property
    def shape(self) -> tuple[Size, ...]: ...  # noqa: D102


# Writes all equations of a part of a function into a graph, whose inputs have these values.
Write: TypeAlias = "Callable[[Jaxpr | ClosedJaxpr, Sequence[str], Graph], list[str]]"


@dataclass(frozen=True)
class Equation:
    """primitive: its name. params: of JAX. inputs, outputs: their types and shapes.

    write: writes a function that the parameters hold.
    """

    graph: Graph
    primitive: str
    params: Mapping[str, Any]
    inputs: Sequence[Aval]
    outputs: Sequence[Aval]
    write: Write

    @property
    def output(self) -> Aval:
        """The first one."""
        return self.outputs[0]

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """See `Graph.op`."""
        return self.graph.op(kind, *inputs, **attributes)

    def scalar(self, value: float) -> str:
        """A constant in the type of the output."""
        return self.graph.scalar(value, self.output.dtype)

    def refuse(self, expected: str, found: object) -> ConfigError:
        """An error about this equation."""
        place = self.graph.place or "the function"
        return ConfigError(
            f"ONNX export, {place}, primitive '{self.primitive}'",
            expected=expected,
            found=str(found),
        )

    def require(self, holds: bool, expected: str, found: object) -> None:
        """Refuse what cannot be written; raises ConfigError."""
        if not holds:
            raise self.refuse(expected, found)


# How one primitive is written: the equation and the names of its inputs → those of its outputs.
Lowering: TypeAlias = "Callable[..., str | Sequence[str]]"


def product(sizes: Sequence[Size]) -> Size:
    """Of sizes, which may be symbols."""
    return reduce(mul, sizes, 1)


def cast(graph: Graph, x: str, dtype: np.dtype) -> str:
    """x in another type."""
    return graph.op("Cast", x, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def reshaped(graph: Graph, x: str, sizes: Sequence[Size]) -> str:
    """x with these sizes."""
    fixed = [size for size in sizes if isinstance(size, int)]
    # One size may follow from the others; a 0 would be read as "as before".
    if len(fixed) == len(sizes) - 1 and 0 not in fixed:
        return graph.op(
            "Reshape", x, graph.integers([s if isinstance(s, int) else -1 for s in sizes])
        )
    return graph.op("Reshape", x, graph.shape(sizes))


def transposed(graph: Graph, x: str, order: Sequence[int]) -> str:
    """x with its axes in this order."""
    if list(order) == list(range(len(order))):
        return x
    return graph.op("Transpose", x, perm=list(order))


def filled(graph: Graph, sizes: Sequence[Size], dtype: np.dtype, number: int = 0) -> str:
    """Copies of a number, of these sizes."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    value = helper.make_tensor("value", kind, [1], [number])
    assert isinstance(value, TensorProto)
    return graph.op("ConstantOfShape", graph.shape(sizes), value=value)


def expanded(graph: Graph, x: str, sizes: Sequence[Size]) -> str:
    """x, whose axes of size 1 are repeated."""
    return graph.op("Expand", x, graph.shape(sizes))


def joined(graph: Graph, parts: Sequence[str], axis: int) -> str:
    """Tensors one after the other along an axis."""
    return parts[0] if len(parts) == 1 else graph.op("Concat", *parts, axis=axis)


def cut(
    graph: Graph,
    x: str,
    axes: Sequence[int],
    starts: Sequence[Size],
    ends: Sequence[Size],
    steps: Sequence[int] | None = None,
) -> str:
    """x from `starts` to before `ends` along some of its axes."""
    inputs = [graph.shape(starts), graph.shape(ends), graph.integers(axes)]
    return graph.op("Slice", x, *inputs, *([graph.integers(steps)] if steps else []))


def block(graph: Graph, x: str, axis: int, start: str, size: Size, whole: Size) -> str:
    """`size` elements along an axis from a computed place (1,) on, moved inside of `whole`."""
    start, length = cast(graph, start, np.dtype(np.int64)), graph.size(size)
    nothing, last = graph.integers([0]), graph.op("Sub", graph.size(whole), length)
    start = graph.op("Where", graph.op("Less", last, start), last, start)
    start = graph.op("Where", graph.op("Less", start, nothing), nothing, start)
    return graph.op("Slice", x, start, graph.op("Add", start, length), graph.integers([axis]))


def reduced(graph: Graph, kind: str, x: str, axes: Sequence[int]) -> str:
    """ReduceSum, ReduceMax and the like over some axes, which vanish."""
    if not axes:
        return x
    by_input = graph.opset >= (13 if kind == "ReduceSum" else 18)
    if by_input:
        return graph.op(kind, x, graph.integers(axes), keepdims=0)
    return graph.op(kind, x, axes=list(axes), keepdims=0)


def counted(graph: Graph, size: Size) -> str:
    """0, 1, … to before `size`, int64."""
    if isinstance(size, int):
        return graph.integers(range(size))
    number = graph.size(size)
    if graph.opset >= 11:
        nothing, one = (graph.constant(np.asarray(k, np.int64)) for k in (0, 1))
        return graph.op("Range", nothing, reshaped(graph, number, []), one)
    value = helper.make_tensor("value", TensorProto.INT64, [1], [1])
    return reshaped(
        graph, graph.op("NonZero", graph.op("ConstantOfShape", number, value=value)), [-1]
    )
