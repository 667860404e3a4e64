"""Models whose rows lie in groups of like length do what they do with all rows padded alike."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from tests.unit.test_models_table import SMALL

from rootloom.batches.assemble import assemble
from rootloom.batches.strata import of_ordered, stairs
from rootloom.config import registry
from rootloom.models.sets import objects_of
from rootloom.testing import Case, case_of
from rootloom.types import Batch, Objects

pytestmark = pytest.mark.usefixtures("strict")
SIZE = 16
IN_GROUPS = (
    "deep_sets", "energy_flow", "gn2", "lorentz_net", "particle_net", "particle_transformer",
)  # fmt: skip


def batch_of(case: Case, groups: int, devices: int) -> Batch:
    representation, rows = case.task.representation, np.arange(SIZE - 1)
    highest = of_ordered([representation.row_lengths(case.columns, rows)], SIZE)
    made = stairs(highest, devices, groups) if groups > 1 else None
    return assemble(
        case.columns,
        rows,
        representation=representation,
        weights=None,
        devices=devices,
        size=SIZE // devices,
        stairs=made,
    )


def in_order(batch: Batch, values: Any) -> np.ndarray:
    values = np.asarray(values).reshape(SIZE, -1)
    return values if batch.place is None else values[np.argsort(batch.place, axis=None)[1:]]


@pytest.mark.parametrize("name", IN_GROUPS)
def test_groups_change_neither_scores_nor_losses_nor_gradients(name: str) -> None:
    """Dropout included: the bits of an object are its own. Half of the slots are saved."""
    options = SMALL[name] | ({"dropout": 0.3} if name == "particle_transformer" else {})
    case = case_of(registry.resolve("models", name)(**options))
    whole, grouped = (jax.tree.map(lambda x: x[0], batch_of(case, n, 1)) for n in (1, 4))
    parts = grouped.inputs.collections["parts"]
    assert sum(part.mask.size for part in parts) < 0.8 * whole.inputs.collections["parts"].mask.size
    key, column = jax.random.key(4), case.task.columns()[0]
    predict = jax.jit(case.task.predict)
    scores = [in_order(b, predict(case.params, b, key)[column]) for b in (whole, grouped)]
    np.testing.assert_allclose(scores[1], scores[0][: SIZE - 1], rtol=0, atol=1e-6)
    found = [case.losses_and_gradient(case.params, batch) for batch in (whole, grouped)]
    losses = [in_order(b, of[0]) for b, of in zip((whole, grouped), found, strict=True)]
    np.testing.assert_allclose(losses[1], losses[0][: SIZE - 1], rtol=2e-5, atol=2e-6)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-5), found[1][1], found[0][1]
    )


def test_groups_on_eight_devices_make_the_update_of_one_without() -> None:
    """Batch normalisation is over the objects of all groups on all devices."""
    case = case_of(registry.resolve("models", "particle_net")(**SMALL["particle_net"]))
    one, eight = (case.stepped(batch_of(case, *of)) for of in ((1, 1), (2, 8)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-6), eight, one)


@pytest.mark.parametrize(
    ("name", "groups"), [("particle_net", 1), ("particle_net", 4), ("deepjet", 1)]
)
def test_rows_without_weight_reach_no_parameter(name: str, groups: int) -> None:
    """The fold that a member leaves out, say: neither the loss nor batch normalisation sees it."""
    case = case_of(registry.resolve("models", name)(**SMALL[name]))
    batch = batch_of(case, groups, 1)
    left = np.arange(SIZE) % 3 == 1
    weight = np.where(left, 0, batch.weight).astype(np.float32)

    def stepped(factor: float) -> Any:
        collections = {}
        for key, found in batch.inputs.collections.items():
            parts = (found,) if isinstance(found, Objects) else found
            stops = np.cumsum([part.mask.shape[1] for part in parts])
            factors = np.split(np.where(left, factor, 1), stops[:-1])
            scaled = tuple(
                part._replace(x=(part.x * by[None, :, None, None]).astype(np.float32))
                for part, by in zip(parts, factors, strict=True)
            )
            collections[key] = scaled[0] if isinstance(found, Objects) else scaled
        inputs = batch.inputs._replace(collections=collections)
        return case.stepped(batch._replace(inputs=inputs, weight=weight))

    jax.tree.map(np.testing.assert_array_equal, stepped(1), stepped(3))


def test_a_model_that_knows_no_groups_reads_all_rows_alike() -> None:
    case = case_of(registry.resolve("models", "deep_sets")(**SMALL["deep_sets"]))
    whole, grouped = (jax.tree.map(lambda x: x[0], batch_of(case, n, 1)) for n in (1, 4))
    parts, expected = (objects_of(case.task.model, of.inputs, "") for of in (grouped, whole))
    order = grouped.place[:-1]
    jax.tree.map(
        lambda a, b: np.testing.assert_array_equal(a[:-1], b[order]),
        parts,
        expected,
    )
