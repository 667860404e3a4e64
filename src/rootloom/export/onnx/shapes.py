"""Primitives that move values or change shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rootloom.export.onnx.equation import (
    Equation,
    Lowering,
    block,
    cast,
    counted,
    cut,
    expanded,
    filled,
    joined,
    reshaped,
    transposed,
)
from rootloom.export.onnx.graph import Size


def _reshape(at: Equation, x: str) -> str:
    if at.primitive == "reshape":
        at.require(at.params["dimensions"] is None, "no order of axes", at.params["dimensions"])
    return reshaped(at.graph, x, at.output.shape)


def _broadcast(at: Equation, x: str) -> str:
    """Axes of x at `broadcast_dimensions` of the output, all others repeated."""
    places, sizes = at.params["broadcast_dimensions"], at.output.shape
    between: list[Size] = [1] * len(sizes)
    for place, size in zip(places, at.inputs[0].shape, strict=True):
        between[place] = size
    if list(places) != list(range(len(sizes))):
        x = reshaped(at.graph, x, between)
    return x if tuple(between) == tuple(sizes) else expanded(at.graph, x, sizes)


def _transpose(at: Equation, x: str) -> str:
    return transposed(at.graph, x, at.params["permutation"])


def _concatenate(at: Equation, *parts: str) -> str:
    return joined(at.graph, parts, at.params["dimension"])


def _stack(at: Equation, *parts: str) -> str:
    axis, sizes = at.params["axis"], list(at.inputs[0].shape)
    one = [*sizes[:axis], 1, *sizes[axis:]]
    return joined(at.graph, [reshaped(at.graph, part, one) for part in parts], axis)


def _unstack(at: Equation, x: str) -> list[str]:
    axis = at.params["axis"]
    return [
        reshaped(at.graph, cut(at.graph, x, [axis], [k], [k + 1]), output.shape)
        for k, output in enumerate(at.outputs)
    ]


def _tile(at: Equation, x: str) -> str:
    return at.op("Tile", x, at.graph.shape(at.params["reps"]))


def _slice(at: Equation, x: str) -> str:
    starts, ends = at.params["start_indices"], at.params["limit_indices"]
    steps = at.params["strides"] or [1] * len(starts)
    sizes = at.inputs[0].shape
    axes = [
        k
        for k, size in enumerate(sizes)
        if not (_is(starts[k], 0) and _is(ends[k], size) and steps[k] == 1)
    ]
    if not axes:
        return x
    return cut(
        at.graph,
        x,
        axes,
        [starts[k] for k in axes],
        [ends[k] for k in axes],
        None if all(steps[k] == 1 for k in axes) else [steps[k] for k in axes],
    )


def _split(at: Equation, x: str) -> list[str]:
    axis, found, first = at.params["axis"], [], 0
    for size in at.params["sizes"]:
        found.append(cut(at.graph, x, [axis], [first], [first + size]))
        first = first + size
    return found


def _reverse(at: Equation, x: str) -> str:
    axes = list(at.params["dimensions"])
    first = at.graph.integers([-1] * len(axes))
    last = at.graph.integers([np.iinfo(np.int64).min] * len(axes))
    return at.op("Slice", x, first, last, at.graph.integers(axes), first)


def _pad(at: Equation, x: str, value: str) -> str:
    """Copies of a value before and after; negative numbers of them cut values off."""
    sizes: list[Size] = list(at.inputs[0].shape)
    for axis, (low, high, between) in enumerate(at.params["padding_config"]):
        at.require(_is(between, 0), "nothing between elements", between)
        if isinstance(low, int) and isinstance(high, int) and min(low, high) < 0:
            start, end = max(0, -low), _plus(sizes[axis], min(0, high))
            x = cut(at.graph, x, [axis], [start], [end])
            low, high = max(0, low), max(0, high)
        parts = [_block(at, value, sizes, axis, low), x, _block(at, value, sizes, axis, high)]
        x = joined(at.graph, [part for part in parts if part], axis)
        sizes[axis] = at.output.shape[axis]
    return x


def _block(at: Equation, value: str, sizes: Sequence[Size], axis: int, size: Size) -> str:
    """Copies of a value, as many along the axis as `size`; "" of none."""
    if _is(size, 0):
        return ""
    return expanded(at.graph, value, [*sizes[:axis], size, *sizes[axis + 1 :]])


def _iota(at: Equation) -> str:
    axis, sizes = at.params["dimension"], at.output.shape
    numbers = cast(at.graph, counted(at.graph, sizes[axis]), at.output.dtype)
    if len(sizes) == 1:
        return numbers
    between = [size if k == axis else 1 for k, size in enumerate(sizes)]
    return expanded(at.graph, reshaped(at.graph, numbers, between), sizes)


def _empty(at: Equation) -> str:
    return filled(at.graph, at.output.shape, at.output.dtype)


def _dynamic_slice(at: Equation, x: str, *starts: str) -> str:
    """A block whose place is computed, moved inside where it would reach out."""
    sizes, whole = at.params["slice_sizes"], at.inputs[0].shape
    for axis, start in enumerate(starts):
        if not _is(sizes[axis], whole[axis]):
            start = reshaped(at.graph, start, [1])
            x = block(at.graph, x, axis, start, sizes[axis], whole[axis])
    return x


def _size(at: Equation) -> str:
    """A size as a number."""
    return cast(at.graph, reshaped(at.graph, at.graph.size(at.params["dim"]), []), at.output.dtype)


def _is(size: Size, other: Size) -> bool:
    """Whether two sizes are the same for all values of their symbols, by their text."""
    return str(size) == str(other)


def _plus(size: Size, number: int) -> Size:
    return size + number  # type: ignore[operator]


TABLE: Mapping[str, Lowering] = {
    "broadcast_in_dim": _broadcast,
    "concatenate": _concatenate,
    "dim_as_value": _size,
    "dynamic_slice": _dynamic_slice,
    "empty": _empty,
    "expand_dims": _reshape,
    "iota": _iota,
    "pad": _pad,
    "reshape": _reshape,
    "rev": _reverse,
    "slice": _slice,
    "split": _split,
    "squeeze": _reshape,
    "stack": _stack,
    "tile": _tile,
    "transpose": _transpose,
    "unstack": _unstack,
}
