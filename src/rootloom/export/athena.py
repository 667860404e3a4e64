"""For Athena's FlavorTagInference: a jet at a time, without an axis of rows.

Inputs are `jet_features` (1, F) and, of each collection, such as `track_features` (N, F), with N
from 0 on. Outputs have no axis: `MODEL_pCLASS`, or one for each track, int8. The metadata
`gnn_config` names the quantities; offset 0 and scale 1, because the graph scales them itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
import onnx
from jax import Array

from rootloom.export.conventions import (
    chosen,
    columns_of,
    of_group,
    predictions_of,
    require_sets,
    side_by_side,
    values_of,
)
from rootloom.export.network import function_of
from rootloom.export.onnx.model import Function, Tensor, given_size, to_onnx
from rootloom.export.options import Athena
from rootloom.export.runtime import Session
from rootloom.export.signature import Signature
from rootloom.tasks.base import PREDICTIONS, Params, Predictor, Served
from rootloom.tasks.tracks import TRACK_ORIGIN, TRACK_PAIRS

_JET = "jet_features"


def model_of(
    task: Predictor,
    params: Params,
    signature: Signature,
    options: Athena,
) -> onnx.ModelProto:
    """The network for Athena. Raises ConfigError for inputs that Athena does not know."""
    require_sets(signature, "athena")
    rows = of_group(signature, "")
    inputs = [Tensor(_JET, (1, len(rows)))] if rows else []
    for group in signature.groups:
        axes = (_axis(group), len(of_group(signature, group)))
        inputs.append(Tensor(options.feature(group), axes))
    return to_onnx(
        _function(task.cast("float32"), signature, options),
        params,
        inputs,
        _outputs(task, options),
        least=signature.open_sizes(),
        opset=options.opset,
        notes={"gnn_config": json.dumps(config_of(task, signature, options))},
    )


def called(
    session: Session, task: Predictor, signature: Signature, options: Athena
) -> Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]:
    """The network for Athena as a function of arrays that the signature names, row by row."""
    names = [one.name for one in _outputs(task, options)][: len(columns_of(task))]

    def function(served: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        rows = len(next(iter(served.values())))
        found = [session(_given(signature, options, served, row)) for row in range(rows)]
        values = np.array([[one[name] for name in names] for one in found])
        return {PREDICTIONS: predictions_of(task, values)}

    return function


def _given(
    signature: Signature, options: Athena, served: Mapping[str, np.ndarray], row: int
) -> dict[str, np.ndarray]:
    """Inputs of one jet: quantities of the row, and of its objects alone."""
    own = {name: array[row : row + 1] for name, array in served.items()}
    found = {_JET: side_by_side(signature, "", own)} if of_group(signature, "") else {}
    for group in signature.groups:
        (mask,) = (own[one.name] for one in signature.of_group(group) if one.role == "mask")
        objects = side_by_side(signature, group, own)[0]
        found[options.feature(group)] = objects[mask[0] > 0]
    return found


def config_of(task: Predictor, signature: Signature, options: Athena) -> dict[str, object]:
    """What `gnn_config` holds."""

    def variables(group: str) -> list[dict[str, object]]:
        names = [options.variable(one) for one in of_group(signature, group)]
        return [{"name": name, "offset": 0.0, "scale": 1.0} for name in names]

    return {
        "onnx_model_version": "v1",
        "model_name": options.model,
        "inputs": [{"name": "jet_var", "variables": variables("")}],
        "input_sequences": [
            {"name": options.sequence(group), "variables": variables(group)}
            for group in signature.groups
        ],
        "output_names": [one.name for one in _outputs(task, options)],
    }


def _axis(group: str) -> str:
    return f"n_{group}"


def _outputs(task: Predictor, options: Athena) -> list[Tensor]:
    before = "p" if task.probability else ""
    found = [Tensor(f"{options.model}_{before}{name}", ()) for name in columns_of(task)]
    for one in task.outputs_served():
        if one.name in _OF_TRACKS:
            found.append(Tensor(f"{options.model}_{_OF_TRACKS[one.name]}", _of(one), "int8"))
    return found


def _of(one: Served) -> tuple[int | str, ...]:
    """The axis of tracks alone."""
    return one.axes[1:2]


_OF_TRACKS = {TRACK_ORIGIN: "TrackOrigin", TRACK_PAIRS: "VertexIndex"}


def _function(task: Predictor, signature: Signature, options: Athena) -> Function:
    inner = function_of(task, scaled=signature.scaled)

    def function(params: Params, given: Mapping[str, Array]) -> dict[str, Array]:
        served: dict[str, Array] = {}
        for one in signature.inputs:
            x = given[options.feature(one.group) if one.group else _JET]
            if one.role == "mask":
                there = given[given_size(_axis(one.group))] if one.group else jnp.ones_like(x[0])
                served[one.name] = there[None]
                continue
            names = [quantity.name for quantity in of_group(signature, one.group)]
            x = chosen(x, names, [quantity.name for quantity in one.quantities])
            served[one.name] = x[None] if one.group else x
        found = inner(params, served)
        values = values_of(task, found[PREDICTIONS])[0]
        names = [one.name for one in _outputs(task, options)]
        outputs = {name: values[k] for k, name in enumerate(names[: values.shape[0]])}
        if TRACK_ORIGIN in found:
            origin = jnp.argmax(found[TRACK_ORIGIN][0], axis=-1)
            vertex = vertices(found[TRACK_PAIRS][0] > 0.5, _most_tracks(signature, task))
            outputs |= dict(zip(names[-2:], (origin.astype("int8"), vertex), strict=True))
        return outputs

    return function


def _most_tracks(signature: Signature, task: Predictor) -> int:
    (axis,) = {one.axes[1] for one in task.outputs_served() if one.name == TRACK_ORIGIN}
    return max(signature.most(group) for group in signature.groups if _axis(group) == axis)


def vertices(shared: Array, most: int) -> Array:
    """The number of each track's vertex (N,), int8, in the order of their first tracks.

    shared: (N, N), which pairs have one vertex, a track with itself included. Tracks that are
    joined by others have one as well. most: the largest N.
    """
    joined = shared.astype("float32")
    for _ in range(max(1, (most - 1).bit_length())):  # paths of 1, 2, 4, … pairs
        joined = (joined @ joined > 0).astype("float32")
    first = jnp.argmax(joined, axis=1)  # the first track of a track's vertex
    number = jnp.arange(joined.shape[0], dtype="int32")
    opens = first == number
    before = jnp.where((number[None] <= first[:, None]) & opens[None], 1, 0).sum(axis=1)
    return jax.lax.convert_element_type(before - 1, jnp.int8)
