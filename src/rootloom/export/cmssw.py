"""For CMSSW's producers of particle networks: `preprocess.json` beside the graph.

Inputs are groups of quantities (B, quantities, objects), of which the JSON file says how they are
scaled, how many objects there are, and what stands in empty slots.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf

import numpy as np
import onnx
from jax import Array

from rootloom.errors import require
from rootloom.export.conventions import columns_of, predictions_of, require_sets, values_of
from rootloom.export.network import function_of
from rootloom.export.onnx.model import Function, Tensor, to_onnx
from rootloom.export.options import Cmssw
from rootloom.export.runtime import Session
from rootloom.export.signature import Signature
from rootloom.representations.inputs import BATCH, Input, InputQuantity
from rootloom.tasks.base import PREDICTIONS, Params, Predictor

_NO_BOUND = 1e32  # beyond it CMSSW takes a number for infinite


def model_of(
    task: Predictor, params: Params, signature: Signature, options: Cmssw
) -> onnx.ModelProto:
    """The network for CMSSW. Raises ConfigError for inputs that its producers do not know."""
    require_sets(signature, "cmssw")
    columns = columns_of(task)
    return to_onnx(
        _function(task.cast("float32"), signature),
        params,
        [Tensor(one.name, _axes(signature, one)) for one in signature.inputs],
        [Tensor(_output(task), (BATCH, len(columns)))],
        least=signature.open_sizes(),
        opset=options.opset,
    )


def called(
    session: Session, task: Predictor, signature: Signature
) -> Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]:
    """The network for CMSSW as a function of arrays that the signature names."""

    def function(served: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        given = {one.name: _given(signature, one, served[one.name]) for one in signature.inputs}
        return {PREDICTIONS: predictions_of(task, session(given)[_output(task)])}

    return function


def _given(signature: Signature, one: Input, x: np.ndarray) -> np.ndarray:
    """(B, quantities, objects), as long as the producer would make it."""
    if not one.group:
        return x[:, :, None]
    x = x[:, None] if one.role == "mask" else x.swapaxes(1, 2)
    missing = max(0, signature.slots(one.group)[0] - x.shape[2])
    return np.pad(x, [(0, 0), (0, 0), (0, missing)])


def preprocess_of(task: Predictor, signature: Signature, options: Cmssw) -> dict[str, object]:
    """What preprocess.json holds.

    Of a network that takes scaled inputs, how they are scaled; else nothing is left to do. Raises
    ConfigError for scaled inputs with a logarithm, which the file has no word for.
    """
    require_sets(signature, "cmssw")
    groups = {one.name: _group(signature, one, options) for one in signature.inputs}
    return {"input_names": list(groups), "output_names": [_output(task)], **groups}


def _group(signature: Signature, one: Input, options: Cmssw) -> dict[str, object]:
    quantities = one.quantities or (InputQuantity(one.name),)
    names = [options.variable(quantity) for quantity in quantities]
    least, most = signature.slots(one.group) if one.group else (1, 1)
    lengths = {"var_length": most} if least == most else {"min_length": least, "max_length": most}
    infos = [_info(quantity, scaled=signature.scaled) for quantity in quantities]
    return {"var_names": names, **lengths, "var_infos": dict(zip(names, infos, strict=True))}


def _info(quantity: InputQuantity, *, scaled: bool) -> dict[str, float]:
    """How CMSSW makes an input of a number: (x − median) · norm_factor, within bounds."""
    if not scaled:
        quantity = InputQuantity(quantity.name)
    where = f"export for cmssw, quantity '{quantity.name}'"
    transforms = " and ".join(quantity.transforms)
    require(where, not transforms, "no transform, or `preprocessing: graph`", transforms)
    low, high = (_finite(edge) for edge in (quantity.low, quantity.high))
    require(
        where,
        low <= quantity.empty <= high,
        "a value of empty slots within its bounds",
        quantity.empty,
    )
    return {
        "median": float(quantity.centre),
        "norm_factor": float(quantity.scale),
        "replace_inf_value": 0.0,
        "lower_bound": low,
        "upper_bound": high,
        "pad": float(quantity.empty),
    }


def _finite(edge: float) -> float:
    return float(edge) if abs(edge) < inf else _NO_BOUND * (1 if edge > 0 else -1)


def _output(task: Predictor) -> str:
    return "softmax" if task.probability else "output"


def _axes(signature: Signature, one: Input) -> tuple[int | str, ...]:
    """(B, quantities, objects), with a fixed number of these where the network has one."""
    count = len(one.quantities) or 1
    if not one.group:
        return (BATCH, one.axes[1] if one.role == "mask" else count, 1)
    least, most = signature.slots(one.group)
    return (BATCH, count, most if least == most else one.axes[1])


def _function(task: Predictor, signature: Signature) -> Function:
    inner = function_of(task, scaled=signature.scaled)

    def function(params: Params, given: Mapping[str, Array]) -> dict[str, Array]:
        served = {one.name: _as_served(one, given[one.name]) for one in signature.inputs}
        return {_output(task): values_of(task, inner(params, served)[PREDICTIONS])}

    return function


def _as_served(one: Input, x: Array) -> Array:
    """(B, quantities, objects) as the network takes it."""
    if not one.group:
        return x[:, :, 0]
    return x[:, 0] if one.role == "mask" else x.swapaxes(1, 2)
