"""Every model of the registry: shapes, gradients, padding, devices, precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.small_models import SMALL, backbones

from rootloom.config import registry
from rootloom.errors import ConfigError
from rootloom.testing import MODEL_CHECKS, Case, Stored, case_of
from rootloom.testing.samples import made

pytestmark = pytest.mark.usefixtures("strict")


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
