"""Every model of the registry: shapes, gradients, padding, devices, precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.learnable import PlainFeatures, PlainImage, images, points, trees

from rootloom.config import registry
from rootloom.representations.base import Representation
from rootloom.tasks.classification import Classification
from rootloom.testing import MODEL_CHECKS, Case, Stored

SMALL: dict[str, dict[str, Any]] = {
    "dnn": {"hidden": (16, 8), "dropout": 0.2},
    "cnn": {"filters": (6, 5), "kernels": (5, 3), "pools": (2, 3), "hidden": 7},
    "maxout": {"maxout": (8, 6), "pieces": 3, "hidden": (7, 5)},
    "recnn": {"hidden": 6, "head": (5,)},
    "table_resnet": {"width": 8, "blocks": 2, "frequencies": 3, "embedding": 2},
}
SMALL["lorentz"] = {
    "objects": (("x0", "x1", "x2"), ("x3", "x1"), ("x2", "x0", "x1", "x3")),
    "scale": 1.0,
    "hidden": (8,),
    "dropout": 0.2,
}
CLASSES = ("background", "signal")
pytestmark = pytest.mark.usefixtures("strict")

# Columns and their representation, by the kind of inputs it makes.
SAMPLES: dict[str, Callable[[], tuple[Any, Representation]]] = {
    "features": lambda: (points(40), PlainFeatures()),
    "image": lambda: (images(40, pixels=13), PlainImage()),
    "tree": lambda: trees(40),
}


def backbones() -> list[str]:
    """Models that classify; generators have tests of their own."""
    every = {name: registry.resolve("models", name) for name in registry.names("models")}
    return [name for name, model in every.items() if model.role == "embedding"]


@pytest.fixture(scope="module", params=backbones())
def case(request: pytest.FixtureRequest) -> Case:
    model = registry.resolve("models", request.param)(**SMALL.get(request.param, {}))
    columns, representation = SAMPLES[model.consumes[0]]()
    return Case(Classification(model, representation, {}, CLASSES), columns)


@pytest.mark.parametrize("check", MODEL_CHECKS, ids=lambda check: check.__name__)
def test_a_model(case: Case, check: Callable[[Case], None]) -> None:
    check(case)


def test_a_model_refuses_what_it_does_not_consume(case: Case) -> None:
    from rootloom.errors import ConfigError

    class Other(Stored):
        kind = "sound"

        def collate(self, columns: Any, rows: Any, size: int) -> Any:
            return ()

    with pytest.raises(ConfigError, match="of kind sound"):
        replace(case.task, representation=Other())
