"""Matrix products and convolutions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rootloom.export.onnx.equation import Equation, Lowering, cast, product, reshaped, transposed
from rootloom.export.onnx.graph import Size


def _dot(at: Equation, x: str, y: str) -> str:
    """Sums over the contracted axes; axes of the output: batch, free of x, free of y."""
    (contract_x, contract_y), (batch_x, batch_y) = at.params["dimension_numbers"]
    shape_x, shape_y = (list(given.shape) for given in at.inputs)
    free_x = _others(shape_x, contract_x, batch_x)
    free_y = _others(shape_y, contract_y, batch_y)
    if at.inputs[0].dtype != at.output.dtype:
        x, y = (cast(at.graph, part, at.output.dtype) for part in (x, y))
    x = transposed(at.graph, x, [*batch_x, *free_x, *contract_x])
    y = transposed(at.graph, y, [*batch_y, *contract_y, *free_y])
    batch = [shape_x[k] for k in batch_x]
    inner = [shape_x[k] for k in contract_x]
    rows, columns = [shape_x[k] for k in free_x], [shape_y[k] for k in free_y]
    # A matrix of weights is multiplied from the right as it is, whatever stands before.
    flat = len(batch) == 0 and len(inner) == 1 and len(columns) == 1
    if not flat:
        x = _as_matrices(at, x, batch, rows, inner)
    if not (flat or (len(inner) == 1 and len(columns) == 1)):
        y = _as_matrices(at, y, batch, inner, columns)
    found = at.op("MatMul", x, y)
    whole = len(rows) == 1 and len(columns) == 1
    return found if flat or whole else reshaped(at.graph, found, at.output.shape)


def _others(shape: Sequence[Size], *taken: Sequence[int]) -> list[int]:
    return [k for k in range(len(shape)) if not any(k in axes for axes in taken)]


def _as_matrices(
    at: Equation, x: str, batch: list[Size], rows: list[Size], columns: list[Size]
) -> str:
    """(*batch, *rows, *columns) with one axis of rows and one of columns."""
    if len(rows) == 1 and len(columns) == 1:
        return x
    return reshaped(at.graph, x, [*batch, product(rows), product(columns)])


def _convolve(at: Equation, x: str, kernel: str) -> str:
    """Images in the order of axes that the primitive's parameters say."""
    params, numbers = at.params, at.params["dimension_numbers"]
    at.require(set(params["lhs_dilation"]) <= {1}, "images as they are", params["lhs_dilation"])
    at.require(params["batch_group_count"] == 1, "no groups of rows", params["batch_group_count"])
    low, high = zip(*params["padding"], strict=True)
    found = at.op(
        "Conv",
        transposed(at.graph, x, numbers.lhs_spec),
        transposed(at.graph, kernel, numbers.rhs_spec),
        pads=[*low, *high],
        strides=list(params["window_strides"]),
        dilations=list(params["rhs_dilation"]),
        group=int(params["feature_group_count"]),
        kernel_shape=[at.inputs[1].shape[k] for k in numbers.rhs_spec[2:]],
    )
    return transposed(at.graph, found, [int(k) for k in np.argsort(numbers.out_spec)])


TABLE: Mapping[str, Lowering] = {"conv_general_dilated": _convolve, "dot_general": _dot}
