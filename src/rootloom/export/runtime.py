"""An ONNX model in onnxruntime, on one thread."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx


class Session:
    """A model to be applied; one intra-operation thread, as in CMSSW and Athena."""

    def __init__(self, model: onnx.ModelProto) -> None:
        import onnxruntime  # starts a thread, which a process that forks must not have

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._inputs = [one.name for one in self._session.get_inputs()]
        self._outputs = [one.name for one in self._session.get_outputs()]

    def __call__(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name; arrays of other names are not used."""
        given = {name: np.ascontiguousarray(arrays[name]) for name in self._inputs}
        return dict(zip(self._outputs, self._session.run(None, given), strict=True))
