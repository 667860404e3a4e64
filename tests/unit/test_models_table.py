"""Every model of the registry: shapes, gradients, padding, devices, precision."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import numpy as np
import optax
import pytest
from tests.learnable import Memory, PlainFeatures, PlainImage, Stored, images, points, trees

from rootloom.config import registry
from rootloom.tasks.classification import Classification
from rootloom.training import parallel
from rootloom.training.state import initial_params, initial_state
from rootloom.training.step import train_step

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
KEY = jax.random.key(4)
pytestmark = pytest.mark.usefixtures("strict")


# One size wherever a test allows and functions compiled once a model: compiling takes the time.
SIZE = 16
RULE = optax.sgd(0.1)


@dataclass
class Case:
    """A task on a small network, its data, its compiled functions and its initial parameters."""

    task: Classification
    columns: Any

    def __post_init__(self) -> None:
        self.step = parallel.on_every_device(partial(train_step, self.task, RULE, SIZE))
        self.params = initial_params(self.task, self.batch(np.arange(SIZE)), seed=3)

        @jax.jit
        def losses_and_gradient(params: Any, batch: Any) -> Any:
            def objective(p: Any) -> Any:
                loss, _ = self.task.loss(p, batch, KEY, train=True)
                return loss.mean(), loss

            gradient, losses = jax.grad(objective, has_aux=True)(params)
            return losses, gradient

        self.losses_and_gradient = losses_and_gradient

    def batch(self, rows: np.ndarray, size: int = SIZE, devices: int = 1) -> Any:
        """Rows as a loader yields them, leading axes (devices, size / devices)."""
        loader = Memory(self.columns, self.task.representation, size, devices=devices)
        return loader.batch(rows)

    def local(self, rows: np.ndarray) -> Any:
        """A batch of one device, without the device axis."""
        return jax.tree.map(lambda x: x[0], self.batch(rows))

    def stepped(self, *batches: Any) -> Any:
        """Parameters after a step of plain SGD on each batch."""
        devices = len(batches[0].weight)
        state = parallel.replicate(initial_state(self.params, RULE, seed=0), devices)
        for batch in batches:
            state, sums = self.step(state, batch)
            weight, expected = parallel.first(sums)["weight"], np.sum(batch.weight)
            assert weight == pytest.approx(expected, rel=1e-6)
        return parallel.first(state.params)


def backbones() -> list[str]:
    """Models that classify; generators have tests of their own."""
    every = {name: registry.resolve("models", name) for name in registry.names("models")}
    return [name for name, model in every.items() if model.role == "embedding"]


@pytest.fixture(scope="module", params=backbones())
def case(request: pytest.FixtureRequest) -> Case:
    name = request.param
    model = registry.resolve("models", name)(**SMALL.get(name, {}))
    if "features" in model.consumes:
        return Case(Classification(model, PlainFeatures(), {}, CLASSES), points(40))
    if "image" in model.consumes:
        return Case(Classification(model, PlainImage(), {}, CLASSES), images(40, pixels=13))
    columns, representation = trees(40)
    return Case(Classification(model, representation, {}, CLASSES), columns)


def test_embedding_is_a_float32_vector_a_row(case: Case) -> None:
    inputs = case.task.representation.normalise(case.local(np.arange(SIZE)).inputs, {})
    for dtype in ("float32", "bfloat16"):
        model = case.task.model.clone(dtype=dtype)
        apply = partial(model.apply, {"params": case.params["backbone"]}, train=False)
        embedding = jax.eval_shape(apply, inputs)
        assert embedding.ndim == 2
        assert embedding.shape[0] == SIZE
        assert embedding.dtype == np.float32


def test_gradients_are_finite_and_reach_every_parameter_array(case: Case) -> None:
    with jax.numpy_dtype_promotion("strict"):
        _, gradient = case.losses_and_gradient(case.params, case.local(np.arange(SIZE)))
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert np.isfinite(leaf).all(), path
        assert np.abs(leaf).max() > 0, path


def test_dropout_follows_the_id_and_not_the_place(case: Case) -> None:
    rows = np.arange(SIZE)
    with jax.numpy_dtype_promotion("strict"):
        forward, _ = case.losses_and_gradient(case.params, case.local(rows))
        backward, _ = case.losses_and_gradient(case.params, case.local(rows[::-1]))
    np.testing.assert_allclose(forward, backward[::-1], rtol=2e-5, atol=1e-6)


def test_padding_and_company_change_no_output_and_bfloat16_little(case: Case) -> None:
    full, partly = case.local(np.arange(SIZE)), case.local(np.arange(10))
    scores = []
    for precision, tolerance in (("float32", 1e-6), ("bfloat16", 1e-2)):
        predict = jax.jit(case.task.cast(precision).predict)
        score, padded = (predict(case.params, batch, KEY)["score"] for batch in (full, partly))
        np.testing.assert_allclose(padded[:10], score[:10], rtol=0, atol=tolerance)
        assert np.isfinite(padded).all()
        scores.append(score)
    assert np.abs(scores[1] - scores[0]).max() > 0
    np.testing.assert_allclose(*scores, rtol=0, atol=0.05)


def test_a_padded_batch_moves_parameters_as_its_rows_do(case: Case) -> None:
    rows = np.arange(10)
    exact, padded = (case.stepped(case.batch(rows, size)) for size in (10, SIZE))
    assert_close(exact, padded)


def test_eight_devices_make_the_update_of_one(case: Case) -> None:
    one, eight = (
        # The last devices of the second batch see padding only.
        case.stepped(*(case.batch(np.arange(rows), devices=devices) for rows in (SIZE, 11)))
        for devices in (1, 8)
    )
    assert_close(one, eight)
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), case.params, one)
    assert max(jax.tree.leaves(moved)) > 1e-3


def test_a_model_refuses_what_it_does_not_consume(case: Case) -> None:
    from rootloom.errors import ConfigError

    class Other(Stored):
        kind = "sound"

        def collate(self, columns: Any, rows: Any, size: int) -> Any:
            return ()

    with pytest.raises(ConfigError, match="of kind sound"):
        replace(case.task, representation=Other())


def assert_close(a: Any, b: Any) -> None:
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=1e-6), a, b)
