"""Every network of the registry in ONNX, against JAX, for any number of rows and objects."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import jax
import numpy as np
import onnx
import pytest
from tests.small_models import SMALL, backbones

from rootloom.config import registry
from rootloom.errors import ConfigError, TrainingError
from rootloom.export.gate import (
    TOLERANCE,
    Difference,
    Exact,
    Verdict,
    gate,
    require_equal,
)
from rootloom.export.network import network
from rootloom.export.runtime import Session
from rootloom.export.signature import Signature, signature_of
from rootloom.tasks.base import Params
from rootloom.testing import Case, case_of
from rootloom.testing.samples import PlainFeatures

pytestmark = pytest.mark.usefixtures("open_sizes")
# Versions of the operators, one a network: CMSSW reads 10 to 14, Athena's files have 20.
OPSETS = (10, 11, 12, 13, 14, 17, 18, 20)
# Other forms of the networks, each with its own equations.
MORE: dict[str, tuple[str, dict[str, Any]]] = {
    "gru": ("recurrent", {"units": 6, "cell": "gru", "dense": (5,)}),
    "simple recnn": ("recnn", {"hidden": 6, "head": (5,), "gated": False}),
    "gelu": ("dnn", {"hidden": (8,), "activation": "gelu"}),
    "particle_transformer with pairs": (
        "particle_transformer",
        SMALL["particle_transformer"] | {"pairs": (4,)},
    ),
}
EVERY = {name: (name, SMALL.get(name, {})) for name in backbones()} | MORE


def case_named(name: str) -> Case:
    kind, fields = EVERY[name]
    return case_of(registry.resolve("models", kind)(**fields))


def shaken(params: Params) -> Params:
    """Parameters none of which is 0 or 1, so that every one matters."""
    rng = np.random.default_rng(5)
    return jax.tree.map(
        lambda x: np.asarray(x) + 0.1 * np.abs(rng.normal(size=x.shape)).astype(np.float32), params
    )


def exported(case: Case, opset: int) -> tuple[Signature, onnx.ModelProto, dict[str, np.ndarray]]:
    served = case.task.representation.served(case.columns, np.arange(24))
    signature = signature_of(case.task, served)
    return signature, network(case.task, shaken(case.params), signature, opset=opset), served


@pytest.mark.parametrize("name", EVERY)
def test_a_network_says_in_onnxruntime_what_it_says_in_jax(name: str) -> None:
    case, opset = case_named(name), OPSETS[sorted(EVERY).index(name) % len(OPSETS)]
    signature, model, served = exported(case, opset)
    verdict = gate(case.task, shaken(case.params), signature, Session(model), served)
    assert verdict.median <= 3e-7
    # E − |p| of light particles cancels: JAX in float32 is no nearer to float64.
    assert verdict.largest.size <= TOLERANCE or name.startswith("particle_transformer")
    assert model.opset_import[0].version == opset
    assert {node.domain for node in model.graph.node} == {""}, "an operator that is no standard"


@pytest.mark.parametrize("name", ["dnn", "particle_net"])
def test_a_model_tells_nothing_but_its_function(name: str) -> None:
    _, model, _ = exported(case_named(name), 20)
    text = str(model)
    assert model.producer_name == "rootloom"
    assert "/work" not in text
    assert ".py" not in text
    assert "rootloom/src" not in text


def test_scores_are_those_of_predict() -> None:
    case = case_named("deep_sets")
    _, model, served = exported(case, 14)
    rows = np.arange(16)
    wanted = case.task.predict(shaken(case.params), case.local(rows), jax.random.key(0))["score"]
    found = Session(model)({name: array[:16] for name, array in served.items()})["predictions"]
    np.testing.assert_allclose(found[:, 0], wanted, rtol=0, atol=1e-6)


def test_a_wrong_network_does_not_pass() -> None:
    case = case_named("dnn")
    signature, model, served = exported(case, 20)
    other = jax.tree.map(lambda x: x + np.float32(1e-3), shaken(case.params))
    with pytest.raises(TrainingError, match=r"output 'predictions', row \d+"):
        gate(case.task, other, signature, Session(model), served)


def test_scaled_inputs_need_no_preprocessing() -> None:
    case = case_named("recurrent")
    representation, task = case.task.representation, case.task
    served = representation.served(case.columns, np.arange(8))
    signature = signature_of(task, served, scaled=True)
    model = network(task, shaken(case.params), signature, opset=11)
    by_hand = dict(served)
    for one in signature.inputs:
        if one.role == "features":
            by_hand[one.name] = scaled(one.quantities, served[one.name])
            if one.group:
                by_hand[one.name] *= served[f"{one.group}_mask"][..., None]
    whole = network(task, shaken(case.params), signature_of(task, served), opset=11)
    np.testing.assert_allclose(
        Session(model)(by_hand)["predictions"], Session(whole)(served)["predictions"], atol=1e-6
    )


def scaled(quantities: Any, x: np.ndarray) -> np.ndarray:
    """What the fields of a quantity say, by hand."""
    found = []
    for k, one in enumerate(quantities):
        value = x[..., k].astype(np.float64)
        for transform in one.transforms:
            value = {"log": lambda v: np.sign(v) * np.log(1 + abs(v)), "tanh": np.tanh}[transform](
                value
            )
        found.append(np.clip((value - one.centre) * one.scale, one.low, one.high))
    return np.stack(found, axis=-1).astype(np.float32)


def test_what_cannot_be_written_is_named_with_its_place() -> None:
    case = case_named("dnn")
    signature, _, _ = exported(case, 20)
    odd = dataclasses.replace(case.task, representation=Rooted())
    with pytest.raises(
        ConfigError, match=r"primitive 'cbrt'(.|\n)*expected: one of the primitives"
    ):
        network(odd, shaken(case.params), signature)


class Rooted(PlainFeatures):
    def normalise(self, inputs: Any, statistics: Any) -> Any:
        return super().normalise(inputs._replace(x=jax.numpy.cbrt(inputs.x)), statistics)


def test_what_is_not_a_number_does_not_pass() -> None:
    case = case_named("dnn")
    signature, model, served = exported(case, 20)
    session = Session(model)

    def broken(rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        found = session(rows)
        wrong = np.where(len(found["predictions"]) == 3, np.nan, found["predictions"])
        return {"predictions": wrong.astype(np.float32)}

    with pytest.raises(TrainingError, match="in a batch of 3"):
        gate(case.task, shaken(case.params), signature, broken, served)


@pytest.mark.parametrize(
    ("largest", "median", "exact", "passes"),
    [
        (1e-6, 1e-7, None, True),
        (1e-3, 1e-7, (1e-3, 2e-3), True),
        (1e-3, 1e-7, (1e-4, 1e-3), False),  # JAX in float32 is much nearer to float64
        (1e-3, 1e-4, (1e-3, 2e-3), False),  # most rows differ
        (np.inf, 1e-7, (1e-3, np.inf), False),
    ],
)
def test_rounding_is_what_float64_says(
    largest: float, median: float, exact: tuple[float, float] | None, passes: bool
) -> None:
    to_exact = exact and Exact(exact[0], Difference(exact[1]))
    verdict = Verdict(10, Difference(largest), median, to_exact)
    with nullcontext() if passes else pytest.raises(TrainingError):
        require_equal(verdict)
