"""For an NVIDIA Triton server: a folder of a model repository, as CMS ships them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import onnx

from rootloom.export.options import Triton
from rootloom.export.signature import Signature
from rootloom.tasks.base import Served


def files_of(model: onnx.ModelProto, signature: Signature, options: Triton) -> dict[str, bytes]:
    """The files of a model by path, in the folder that the server expects for its name."""
    data, folder = model.SerializeToString(), options.model
    found = {
        f"{folder}/config.pbtxt": config_of(signature, options, data).encode(),
        f"{folder}/1/model.onnx": data,
    }
    for one in signature.outputs:
        if name := _file_of_labels(one, options):
            found[f"{folder}/{name}"] = "".join(f"{column}\n" for column in one.columns).encode()
    return found


def config_of(signature: Signature, options: Triton, data: bytes) -> str:
    """What config.pbtxt holds; data: the bytes of the model, whose checksum the server verifies."""
    inputs = [_tensor(one.name, one.dtype, one.axes[1:]) for one in signature.inputs]
    outputs = [
        _tensor(one.name, one.dtype, one.axes[1:], _file_of_labels(one, options))
        for one in signature.outputs
    ]
    preferred = ", ".join(map(str, options.preferred))
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return f"""name: "{options.model}"
platform: "onnxruntime_onnx"
max_batch_size: {options.batch}
input [
{_listed(inputs)}
]
output [
{_listed(outputs)}
]
dynamic_batching {{ preferred_batch_size: [ {preferred} ] }}
model_repository_agents {{
  agents [
    {{
      name: "checksum"
      parameters {{ key: "MD5:1/model.onnx" value: "{digest}" }}
    }}
  ]
}}
"""


def _file_of_labels(one: Served, options: Triton) -> str:
    """The file with the names of an output's columns; "" if they have none."""
    return f"{options.model}_{one.name}_labels.txt" if one.columns else ""


def _tensor(name: str, dtype: str, axes: Sequence[int | str], labels: str = "") -> str:
    """An input or output; the axis of rows is not among its dims, an open size is −1."""
    kind = {"f": "FP", "i": "INT"}[np.dtype(dtype).kind] + str(8 * np.dtype(dtype).itemsize)
    dims = ", ".join(str(axis) if isinstance(axis, int) else "-1" for axis in axes)
    more = f' label_filename: "{labels}"' if labels else ""
    return f'  {{ name: "{name}" data_type: TYPE_{kind} dims: [ {dims} ]{more} }}'


def _listed(tensors: Sequence[str]) -> str:
    return ",\n".join(tensors)
