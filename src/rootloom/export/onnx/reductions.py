"""Primitives that take several values together: sums, maxima, orders, windows of an image."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rootloom.export.onnx.equation import (
    Equation,
    Lowering,
    cast,
    counted,
    product,
    reduced,
    reshaped,
    transposed,
)


def _reduce(kind: str) -> Lowering:
    return lambda at, x: reduced(at.graph, kind, x, at.params["axes"])


def _any(at: Equation, x: str) -> str:
    return _of_truths(at, x, "ReduceMax")


def _all(at: Equation, x: str) -> str:
    return _of_truths(at, x, "ReduceMin")


def _of_truths(at: Equation, x: str, kind: str) -> str:
    at.require(at.inputs[0].dtype == np.bool_, "truths", at.inputs[0].dtype)
    numbers = reduced(at.graph, kind, cast(at.graph, x, np.dtype(np.float32)), at.params["axes"])
    return cast(at.graph, numbers, np.dtype(bool))


def _arg(kind: str) -> Lowering:
    """The first place of the largest or smallest value along an axis."""

    def lowering(at: Equation, x: str) -> str:
        (axis,) = at.params["axes"]
        return cast(at.graph, at.op(kind, x, axis=axis, keepdims=0), at.output.dtype)

    return lowering


def _cumulative_sum(at: Equation, x: str) -> str:
    at.require(at.graph.opset >= 11, "opset 11 or later", at.graph.opset)
    axis = at.graph.constant(np.asarray(at.params["axis"], np.int64))
    return at.op("CumSum", x, axis, reverse=int(at.params["reverse"]))


def _top(at: Equation, x: str) -> list[str]:
    """The largest k along the last axis, of equal ones that with the lower index first."""
    last = len(at.inputs[0].shape) - 1
    at.require(at.params.get("axis", last) in (-1, last), "the last axis", at.params.get("axis"))
    number = at.graph.size(at.params["k"])
    values, places = at.graph.ops("TopK", [x, number], 2, axis=-1)
    return [values, cast(at.graph, places, at.outputs[1].dtype)]


def _sort(at: Equation, *operands: str) -> list[str]:
    """Ascending by the first operand, equal ones in their order; others are moved along.

    By TopK of the negative: its version 10 knows no other direction, and of equal values it takes
    that with the lower index first.
    """
    axis = at.params["dimension"]
    last = len(at.inputs[0].shape) - 1
    at.require(at.params["num_keys"] == 1, "one key", at.params["num_keys"])
    at.require(axis == last, "the last axis", axis)
    key = operands[0]
    if not np.issubdtype(at.inputs[0].dtype, np.floating):
        key = cast(at.graph, key, np.dtype(np.float32))
    size = at.graph.size(at.inputs[0].shape[axis])
    _, order = at.graph.ops("TopK", [at.op("Neg", key), size], 2, axis=axis)
    return [_moved(at, operand, order) for operand in operands]


def _moved(at: Equation, x: str, order: str) -> str:
    """x in another order along its last axis; version 10 has no GatherElements."""
    graph, sizes = at.graph, list(at.inputs[0].shape)
    rows = product(sizes[:-1])
    first = at.op("Mul", counted(graph, rows), graph.size(sizes[-1]))
    places = at.op("Add", order, reshaped(graph, first, [*sizes[:-1], 1]))
    return at.op("Gather", reshaped(graph, x, [product(sizes)]), places)


def _window(at: Equation, x: str) -> str:
    """The largest value in windows of an image, NHWC for example."""
    sizes, steps = at.params["window_dimensions"], at.params["window_strides"]
    padding = at.params["padding"]
    for field in ("base_dilation", "window_dilation"):
        at.require(set(at.params[field]) <= {1}, f"no {field}", at.params[field])
    alone = [
        k
        for k, size in enumerate(sizes)
        if size == 1 and steps[k] == 1 and tuple(padding[k]) == (0, 0)
    ]
    at.require(len(alone) >= 2, "windows that leave two axes alone", sizes)
    order = [*alone[:2], *(k for k in range(len(sizes)) if k not in alone[:2])]
    windows = order[2:]
    pooled = at.op(
        "MaxPool",
        transposed(at.graph, x, order),
        kernel_shape=[sizes[k] for k in windows],
        strides=[steps[k] for k in windows],
        pads=[padding[k][0] for k in windows] + [padding[k][1] for k in windows],
    )
    return transposed(at.graph, pooled, list(np.argsort(order)))


TABLE: Mapping[str, Lowering] = {
    "argmax": _arg("ArgMax"),
    "argmin": _arg("ArgMin"),
    "cumsum": _cumulative_sum,
    "reduce_and": _all,
    "reduce_max": _reduce("ReduceMax"),
    "reduce_min": _reduce("ReduceMin"),
    "reduce_or": _any,
    "reduce_prod": _reduce("ReduceProd"),
    "reduce_sum": _reduce("ReduceSum"),
    "reduce_window_max": _window,
    "sort": _sort,
    "top_k": _top,
}
