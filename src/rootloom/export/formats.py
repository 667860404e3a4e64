"""The formats by name: how the files of a network are made."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from rootloom.export import athena, cmssw, triton
from rootloom.export.network import network
from rootloom.export.options import Athena, Cmssw, Onnx, Triton
from rootloom.export.runtime import Session
from rootloom.export.signature import Signature
from rootloom.tasks.base import Params, Predictor


@dataclass(frozen=True)
class Made:
    """files: by path, to be written together. exported: the network in them, see `gate`."""

    files: dict[str, bytes]
    exported: Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]


# From a network with its signature and options to what is made of it.
Make: TypeAlias = "Callable[[Predictor, Params, Signature, Any], Made]"


def _onnx(task: Predictor, params: Params, signature: Signature, options: Onnx) -> Made:
    model = network(task, params, signature, opset=options.opset)
    described = json.dumps(signature.content(), indent=1, allow_nan=False)
    files = {"model.onnx": model.SerializeToString(), "signature.json": described.encode()}
    return Made(files, Session(model))


def _cmssw(task: Predictor, params: Params, signature: Signature, options: Cmssw) -> Made:
    preprocess = cmssw.preprocess_of(task, signature, options)
    model = cmssw.model_of(task, params, signature, options)
    files = {
        "model.onnx": model.SerializeToString(),
        "preprocess.json": json.dumps(preprocess, indent=1, allow_nan=False).encode(),
    }
    return Made(files, cmssw.called(Session(model), task, signature))


def _athena(task: Predictor, params: Params, signature: Signature, options: Athena) -> Made:
    model = athena.model_of(task, params, signature, options)
    files = {f"{options.model}.onnx": model.SerializeToString()}
    return Made(files, athena.called(Session(model), task, signature, options))


def _triton(task: Predictor, params: Params, signature: Signature, options: Triton) -> Made:
    model = network(task, params, signature, opset=options.opset)
    return Made(triton.files_of(model, signature, options), Session(model))


FORMATS: Mapping[str, Make] = {
    "onnx": _onnx,
    "cmssw": _cmssw,
    "athena": _athena,
    "triton": _triton,
}
