"""Reading at computed places: every gather as one along a flattened axis.

GatherElements came with version 11 and GatherND with batches with 12; Gather along one axis is as
old as ONNX. An index beyond the axis, which JAX would answer with NaN, is refused by the runtime,
or moved to the nearest where the primitive says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rootloom.export.onnx.equation import (
    Equation,
    Lowering,
    block,
    cast,
    counted,
    cut,
    product,
    reshaped,
    transposed,
)
from rootloom.export.onnx.graph import Size

_INT64 = np.dtype(np.int64)


class _Axes(NamedTuple):
    """Of the operand: axes in step with the indices, axes that are indexed, and whole ones."""

    together: list[int]
    indexed: list[int]
    whole: list[int]


def _gather(at: Equation, x: str, indices: str) -> str:
    """Elements, or slices with all of some axes, at indices (…, K) of K axes."""
    numbers, sizes = at.params["dimension_numbers"], list(at.inputs[0].shape)
    if len(at.inputs[1].shape) == 1:
        return _one(at, x, indices)
    axes = _axes(at, sizes)
    order = [*axes.together, *axes.indexed, *axes.whole]
    rest = [sizes[k] for k in axes.whole]
    flat = reshaped(
        at.graph,
        transposed(at.graph, x, order),
        [product([sizes[k] for k in (*axes.together, *axes.indexed)]), *rest],
    )
    found = at.op("Gather", flat, _places(at, indices, sizes, axes), axis=0)
    # Now (axes of the indices, whole axes); the output has the latter at `offset_dims`.
    offsets = list(numbers.offset_dims)
    outer = [k for k in range(len(at.output.shape)) if k not in offsets]
    return transposed(at.graph, found, [int(k) for k in np.argsort([*outer, *offsets])])


def _one(at: Equation, x: str, index: str) -> str:
    """The one block at an index (K,)."""
    slices, whole = at.params["slice_sizes"], at.inputs[0].shape
    for k, axis in enumerate(at.params["dimension_numbers"].start_index_map):
        start = cut(at.graph, index, [0], [k], [k + 1])
        x = block(at.graph, x, axis, start, slices[axis], whole[axis])
    return reshaped(at.graph, x, at.output.shape)


def _axes(at: Equation, sizes: Sequence[Size]) -> _Axes:
    """Refuses slices that are neither one element nor all of an axis."""
    numbers, slices = at.params["dimension_numbers"], at.params["slice_sizes"]
    together = list(numbers.operand_batching_dims)
    indexed = list(numbers.start_index_map)
    whole = [k for k in range(len(sizes)) if k not in together and k not in indexed]
    ones = all(slices[k] == 1 for k in (*together, *indexed))
    gone = {*numbers.collapsed_slice_dims, *together} == {*together, *indexed}
    full = all(str(slices[k]) == str(sizes[k]) for k in whole)
    at.require(ones and gone and full, "single elements or whole axes", slices)
    return _Axes(together, indexed, whole)


def _places(at: Equation, indices: str, sizes: Sequence[Size], axes: _Axes) -> str:
    """Numbers along the flattened axis."""
    shape = list(at.inputs[1].shape)
    outer, last = shape[:-1], len(shape) - 1
    indices = cast(at.graph, indices, _INT64)
    parts = []
    for along, axis in zip(
        at.params["dimension_numbers"].start_indices_batching_dims, axes.together, strict=True
    ):
        between = [size if k == along else 1 for k, size in enumerate(outer)]
        parts.append((reshaped(at.graph, counted(at.graph, sizes[axis]), between), axis))
    for k, axis in enumerate(axes.indexed):
        one = indices if shape[-1] == 1 else cut(at.graph, indices, [last], [k], [k + 1])
        parts.append((_inside(at, reshaped(at.graph, one, outer), sizes[axis]), axis))
    return _numbered(at, parts, sizes)


def _inside(at: Equation, index: str, size: Size) -> str:
    """An index that is moved to the nearest place on the axis, where the primitive asks for it."""
    if "CLIP" not in str(at.params["mode"]):
        return index
    first = at.graph.integers([0])
    last = at.op("Sub", at.graph.size(size), at.graph.integers([1]))
    index = at.op("Where", at.op("Less", index, first), first, index)
    return at.op("Where", at.op("Less", last, index), last, index)


def _numbered(at: Equation, parts: list[tuple[str, int]], sizes: Sequence[Size]) -> str:
    """One number of several indices, the last of which counts most quickly."""
    found = ""
    for index, axis in parts:
        if found:
            found = at.op("Mul", found, at.graph.size(sizes[axis]))
        found = at.op("Add", found, index) if found else index
    return found


TABLE: Mapping[str, Lowering] = {"gather": _gather}
