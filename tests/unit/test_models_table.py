"""Every model of the registry: shapes, gradients, padding, devices, precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from rootloom.config import registry
from rootloom.errors import ConfigError
from rootloom.testing import MODEL_CHECKS, Case, Stored, case_of
from rootloom.testing.samples import made

SMALL: dict[str, dict[str, Any]] = {
    "dnn": {"hidden": (16, 8), "dropout": 0.2},
    "cnn": {"filters": (6, 5), "kernels": (5, 3), "pools": (2, 3), "hidden": 7},
    "maxout": {"maxout": (8, 6), "pieces": 3, "hidden": (7, 5)},
    "recnn": {"hidden": 6, "head": (5,)},
    "deep_sets": {"objects": (6, 8), "row": (7,), "dropout": 0.2},
    "energy_flow": {"objects": (6, 8), "row": (7,), "dropout": 0.2},
    "deepcsv": {"hidden": (8, 6)},
    "deepjet": {
        "charged": "parts",
        "neutral": "parts",
        "vertices": "parts",
        "slots": (5, 4, 3),
        "charged_layers": (4,),
        "neutral_layers": (4,),
        "vertices_layers": (3,),
        "units": (5, 4, 3),
        "dense": (6,),
    },
    "gn2": {"width": 8, "layers": 1, "heads": 2, "out": 6, "register_scale": 0.5, "dense": (5,)},
    "lorentz_net": {"hidden": 6, "blocks": 2},
    "particle_net": {"neighbours": 3, "blocks": ((6,), (6,)), "dense": 6, "fusion": True},
    "particle_transformer": {
        "embedding": (8,),
        "pairs": (),
        "heads": 2,
        "blocks": 1,
        "class_blocks": 1,
    },
    "recurrent": {"units": 6, "dense": (5,), "dropout": 0.2},
    "table_resnet": {"width": 8, "blocks": 2, "frequencies": 3, "embedding": 2},
}
SMALL["lorentz"] = {
    "objects": (("x0", "x1", "x2"), ("x3", "x1"), ("x2", "x0", "x1", "x3")),
    "scale": 1.0,
    "hidden": (8,),
    "dropout": 0.2,
}
pytestmark = pytest.mark.usefixtures("strict")


def backbones() -> list[str]:
    """Models that classify; generators have tests of their own."""
    every = {name: registry.resolve("models", name) for name in registry.names("models")}
    return [name for name, model in every.items() if model.role == "embedding"]


@pytest.fixture(scope="module", params=backbones())
def case(request: pytest.FixtureRequest) -> Case:
    return case_of(registry.resolve("models", request.param)(**SMALL.get(request.param, {})))


@pytest.mark.parametrize("check", MODEL_CHECKS, ids=lambda check: check.__name__)
def test_a_model(case: Case, check: Callable[[Case], None]) -> None:
    check(case)


def test_a_model_refuses_what_it_does_not_consume(case: Case) -> None:
    class Other(Stored):
        kind = "sound"

        def collate(self, columns: Any, rows: Any, size: int) -> Any:
            return ()

    with pytest.raises(ConfigError, match="of kind sound"):
        replace(case.task, representation=Other())


def test_inputs_that_nobody_has_a_sample_of_are_refused_with_the_way_out() -> None:
    with pytest.raises(ConfigError, match=r'of kind sound(.|\n)*sample_of\("sound"\)'):
        made(["sound"])
