"""An ONNX graph under construction: nodes, constants and sizes, each of them once."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from rootloom.export.options import NEWEST

# A number of elements along an axis: an int, or an expression of symbols of `jax.export`, whose
# text is Python with ^ for powers.
Size: TypeAlias = object
# Of a node's attributes.
Attribute: TypeAlias = "int | float | str | Sequence[int] | TensorProto"


@dataclass(frozen=True)
class Axis:
    """Where a symbol's value is found: the size of this axis of this tensor."""

    tensor: str
    axis: int


class _Shared:
    """What a graph has in common with the graphs in its nodes."""

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self.constants: dict[tuple[object, ...], TensorProto] = {}
        self.taken: set[str] = set()

    def new_name(self, wanted: str) -> str:
        """`wanted`, with a number where it is taken."""
        name, number = wanted, 1
        while name in self.taken:
            name, number = f"{wanted}_{number}", number + 1
        self.taken.add(name)
        return name


class Graph:
    """Nodes in the order of computation; tensors are strings, their names.

    place: of the nodes that are added, in words of the network. symbols: where sizes are found.
    outer: the graph that has this one in a node, whose tensors it may read.
    """

    def __init__(self, opset: int = NEWEST, outer: Graph | None = None) -> None:
        self._shared: _Shared = outer._shared if outer else _Shared(opset)
        self._outer = outer
        self.opset = self._shared.opset
        self.place: str = outer.place if outer else ""
        self.symbols: dict[str, Axis] = outer.symbols if outer else {}
        self.nodes: list[NodeProto] = []
        self._made: dict[tuple[object, ...], list[str]] = {}

    def new_name(self, wanted: str) -> str:
        """A name that no other tensor has."""
        return self._shared.new_name(wanted)

    def op(self, kind: str, *inputs: str, **attributes: Attribute) -> str:
        """The output of a node; an equal one that is there already is used again."""
        return self.ops(kind, inputs, 1, **attributes)[0]

    def ops(
        self, kind: str, inputs: Sequence[str], outputs: int, **attributes: Attribute
    ) -> list[str]:
        """All outputs of a node."""
        key = (kind, *inputs, outputs, repr(sorted(attributes.items())))
        found = self._known(key)
        if found is None:
            found = [self.new_name(kind.lower()) for _ in range(outputs)]
            name = "/".join(part for part in (self.place, found[0]) if part)
            self.nodes.append(helper.make_node(kind, inputs, found, name=name, **attributes))
            self._made[key] = found
        return found

    def _known(self, key: tuple[object, ...]) -> list[str] | None:
        """The outputs of an equal node, here or outside."""
        if key in self._made:
            return self._made[key]
        return self._outer._known(key) if self._outer else None

    def constant(self, values: np.ndarray, name: str = "constant") -> str:
        """A tensor of these values. name: for one that is new."""
        values = np.ascontiguousarray(values).reshape(np.shape(values))
        digest = hashlib.sha256(values.tobytes()).digest()
        key = (values.dtype.str, values.shape, digest)
        known = self._shared.constants
        if key not in known:
            known[key] = numpy_helper.from_array(values, self.new_name(name))
        return str(known[key].name)

    def constants(self) -> list[TensorProto]:
        """All of them."""
        return list(self._shared.constants.values())

    def scalar(self, value: float, dtype: np.dtype) -> str:
        """A constant without axes."""
        return self.constant(np.asarray(value, dtype))

    def integers(self, values: Sequence[int]) -> str:
        """A constant int64 vector, as operators take axes and shapes."""
        return self.constant(np.asarray(values, np.int64))

    def size(self, size: Size) -> str:
        """An int64 vector with this size alone."""
        if isinstance(size, int):
            return self.integers([size])
        tree = ast.parse(str(size).replace("^", "**").strip(), mode="eval")
        return self._value(tree.body)

    def shape(self, sizes: Sequence[Size]) -> str:
        """An int64 vector of these sizes."""
        fixed = [size for size in sizes if isinstance(size, int)]
        if len(fixed) == len(sizes):
            return self.integers(fixed)
        parts = [self.size(size) for size in sizes]
        return parts[0] if len(parts) == 1 else self.op("Concat", *parts, axis=0)

    def _value(self, tree: ast.expr) -> str:
        """An expression of sizes as an int64 vector of one element."""
        match tree:
            case ast.Constant(value=int() as number):
                return self.integers([number])
            case ast.Name(id=name):
                at = self.symbols[name]
                return self.op("Gather", self.op("Shape", at.tensor), self.integers([at.axis]))
            case ast.UnaryOp(op=ast.USub(), operand=of):
                return self.op("Neg", self._value(of))
            case ast.BinOp(left=left, op=ast.Pow(), right=ast.Constant(value=int() as power)):
                product = factor = self._value(left)
                for _ in range(power - 1):
                    product = self.op("Mul", product, factor)
                return product
            case ast.BinOp(left=left, op=sign, right=right):
                return self.op(_SIGNS[type(sign)], self._value(left), self._value(right))
            case ast.Call(func=ast.Name(id=name), args=[first, second]):
                return _FUNCTIONS[name](self, self._value(first), self._value(second))
        raise ValueError(f"a size {ast.unparse(tree)}")

    def info(self, name: str, dtype: np.dtype, sizes: Sequence[Size]) -> ValueInfoProto:
        """Type and shape of a tensor; an expression of sizes is a size without a name."""
        shape = [size if isinstance(size, int) else _symbol(size) for size in sizes]
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return helper.make_tensor_value_info(name, kind, shape)


def _symbol(size: Size) -> str | None:
    """The name of a symbol; None of an expression."""
    return str(size) if str(size).isidentifier() else None


def _floor_division(graph: Graph, a: str, b: str) -> str:
    return graph.op("Div", graph.op("Sub", a, graph.op("Mod", a, b)), b)


def _larger(graph: Graph, a: str, b: str) -> str:
    return graph.op("Where", graph.op("Less", a, b), b, a)  # Max has no integers below version 12


def _smaller(graph: Graph, a: str, b: str) -> str:
    return graph.op("Where", graph.op("Less", a, b), a, b)


_SIGNS: Mapping[type[ast.operator], str] = {ast.Add: "Add", ast.Sub: "Sub", ast.Mult: "Mul"}
_FUNCTIONS: Mapping[str, Callable[[Graph, str, str], str]] = {
    "floordiv": _floor_division,
    "mod": lambda graph, a, b: graph.op("Mod", a, b),  # of the divisor's sign, as Python's
    "max": _larger,
    "min": _smaller,
}
