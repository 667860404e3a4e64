"""Every model of the registry: shapes, gradients, padding, devices, precision."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
import pytest
from tests.learnable import Memory, PlainFeatures, PlainImage, images, points, trees

from rootloom import registry
from rootloom.tasks.classification import Classification
from rootloom.training import parallel
from rootloom.training.state import initial_params, initial_state
from rootloom.training.step import gradient, train_step

SMALL: dict[str, dict[str, Any]] = {
    "dnn": {"hidden": (16, 8), "dropout": 0.2},
    "cnn": {"filters": (6, 5), "kernels": (5, 3), "pools": (2, 3), "hidden": 7},
    "maxout": {"maxout": (8, 6), "pieces": 3, "hidden": (7, 5)},
    "recnn": {"hidden": 6, "head": (5,)},
}
CLASSES = ("background", "signal")
KEY = jax.random.key(4)
pytestmark = pytest.mark.usefixtures("strict")


class Case(NamedTuple):
    """A task on a small network, and a loader of its data on so many devices."""

    task: Classification
    columns: Any

    def loader(self, batch_size: int, devices: int = 1) -> Memory:
        return Memory(self.columns, self.task.representation, batch_size, devices=devices)

    def local(self, rows: np.ndarray, size: int) -> Any:
        """A batch of one device, without the device axis."""
        return jax.tree.map(lambda x: x[0], self.loader(size).batch(rows))


@pytest.fixture(scope="module", params=registry.names("models"))
def case(request: pytest.FixtureRequest) -> Case:
    name = request.param
    model = registry.resolve("models", name)(**SMALL.get(name, {}))
    if "features" in model.consumes:
        return Case(Classification(model, PlainFeatures(), {}, CLASSES), points(40))
    if "image" in model.consumes:
        return Case(Classification(model, PlainImage(), {}, CLASSES), images(40, pixels=13))
    columns, representation = trees(40)
    return Case(Classification(model, representation, {}, CLASSES), columns)


@pytest.fixture(scope="module")
def params(case: Case) -> Any:
    return initial_params(case.task, case.loader(8).batch(np.arange(8)), seed=3)


def test_embedding_is_a_float32_vector_a_row(case: Case, params: Any) -> None:
    batch = case.local(np.arange(8), 8)
    inputs = case.task.representation.normalise(batch.inputs, case.task.statistics)
    for dtype in ("float32", "bfloat16"):
        model = case.task.model.clone(dtype=dtype)
        apply = partial(model.apply, {"params": params["backbone"]}, train=False)
        embedding = jax.eval_shape(apply, inputs)
        assert embedding.ndim == 2
        assert embedding.shape[0] == 8
        assert embedding.dtype == np.float32


def test_gradients_are_finite_and_reach_every_parameter_array(case: Case, params: Any) -> None:
    batch = case.local(np.arange(40), 40)

    @jax.jit
    def grads(p: Any) -> Any:
        return jax.grad(lambda p: case.task.loss(p, batch, KEY, train=True)[0].mean())(p)

    with jax.numpy_dtype_promotion("strict"):
        found = grads(params)
    for path, leaf in jax.tree_util.tree_leaves_with_path(found):
        assert np.isfinite(leaf).all(), path
        assert np.abs(leaf).max() > 0, path


def test_padding_changes_no_output_and_bfloat16_little(case: Case, params: Any) -> None:
    rows = np.arange(10)
    exact, wide = case.local(rows, 10), case.local(rows, 16)
    for precision, tolerance in (("float32", 1e-6), ("bfloat16", 1e-2)):
        predict = jax.jit(case.task.cast(precision).predict)
        score, padded = predict(params, exact, KEY)["score"], predict(params, wide, KEY)["score"]
        np.testing.assert_allclose(padded[:10], score, rtol=0, atol=tolerance)
        assert np.isfinite(padded).all()
        if precision == "float32":
            reference = score
    assert np.abs(score - reference).max() > 0
    np.testing.assert_allclose(score, reference, rtol=0, atol=0.05)


def test_a_padded_batch_has_the_gradient_of_its_rows(case: Case, params: Any) -> None:
    run = parallel.on_every_device(partial(gradient, case.task))
    state = parallel.replicate(initial_state(params, optax.sgd(0.1), seed=0), 1)
    exact, wide = (
        parallel.first(run(state, case.loader(size).batch(np.arange(10)))) for size in (10, 16)
    )
    assert_close(exact[0], wide[0])
    assert wide[1]["weight"] == pytest.approx(case.columns["weight"][:10].sum())
    assert wide[1]["loss"] == pytest.approx(exact[1]["loss"], rel=1e-5)


def test_eight_devices_make_the_update_of_one(case: Case, params: Any) -> None:
    rule = optax.sgd(0.1)
    step = parallel.on_every_device(partial(train_step, case.task, rule))
    after = []
    for devices in (1, 8):
        state = parallel.replicate(initial_state(params, rule, seed=0), devices)
        for rows in (32, 27):  # the last devices of a partial batch see padding only
            state, sums = step(state, case.loader(32, devices).batch(np.arange(rows)))
        after.append(parallel.first(state.params))
        assert np.isfinite(parallel.first(sums)["loss"])
    assert_close(*after)
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), params, after[0])
    assert max(jax.tree.leaves(moved)) > 1e-3


def test_dropout_follows_the_id_and_not_the_place(case: Case, params: Any) -> None:
    rows, loss = np.arange(12), jax.jit(partial(case.task.loss, train=True))
    forward = loss(params, case.local(rows, 12), KEY)[0]
    backward = loss(params, case.local(rows[::-1], 12), KEY)[0]
    np.testing.assert_allclose(forward, backward[::-1], rtol=2e-5, atol=1e-6)


def test_a_model_refuses_what_it_does_not_consume(case: Case) -> None:
    from rootloom.errors import ConfigError

    class Other:
        kind = "sound"

    with pytest.raises(ConfigError, match="of kind sound"):
        replace(case.task, representation=Other())


def assert_close(a: Any, b: Any) -> None:
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=1e-6), a, b)
