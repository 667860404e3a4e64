"""Checks for tests of any model.

They need eight devices: `XLA_FLAGS=--xla_force_host_platform_device_count=8` makes virtual ones on
a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rootloom.models.base import Model
from rootloom.representations.particle_set import ParticleSet
from rootloom.tasks.base import Params
from rootloom.tasks.classification import Classification
from rootloom.tasks.supervised import Supervised
from rootloom.testing.memory import Memory
from rootloom.testing.samples import made
from rootloom.training import parallel
from rootloom.training.state import TrainState, initial_params, initial_state
from rootloom.training.step import Step, train_step
from rootloom.types import Batch, Column, Objects, ParticleSets

# The same size in most checks, and functions compiled once per model, to save compilations.
SIZE, PARTLY = 16, 10
_RULE = optax.sgd(0.1)  # Adam's first step amplifies the rounding of gradients near zero


@dataclass
class Case:
    """A task on a small network, shard columns of some rows, and compiled functions for them."""

    task: Supervised
    columns: Mapping[str, Column]

    @cached_property
    def params(self) -> Params:
        """The initial parameters."""
        return initial_params(self.task, self.batch(np.arange(SIZE)), seed=3)

    @cached_property
    def losses_and_gradient(self) -> Callable[[Params, Batch], tuple[jax.Array, Params]]:
        """For parameters and a batch: losses (B,) in training, and the gradient of their mean."""

        def of(params: Params, batch: Batch) -> tuple[jax.Array, Params]:
            def objective(p: Params) -> tuple[jax.Array, jax.Array]:
                loss, _ = self.task.loss(p, batch, _key(), train=True)
                return loss.mean(), loss

            gradient, losses = jax.grad(objective, has_aux=True)(params)
            return losses, gradient

        return jax.jit(of)

    @cached_property
    def _step(self) -> Step[TrainState]:
        return parallel.on_every_device(partial(train_step, self.task, _RULE, SIZE))

    def batch(self, rows: np.ndarray, size: int = SIZE, devices: int = 1) -> Batch:
        """A batch of rows as from a loader, leading axes (devices, size / devices)."""
        return Memory(self.columns, self.task.representation, size, devices=devices).batch(rows)

    def local(self, rows: np.ndarray) -> Batch:
        """A batch of one device, without the device axis."""
        found: Batch = jax.tree.map(lambda x: x[0], self.batch(rows))
        return found

    def stepped(self, *batches: Batch) -> Params:
        """Parameters after a step of plain SGD on each batch."""
        devices = len(batches[0].weight)
        state = parallel.replicate(initial_state(self.params, _RULE, seed=0), devices)
        for batch in batches:
            state, sums = self._step(state, batch)
            weight, expected = parallel.first(sums)["weight"], np.sum(batch.weight)
            np.testing.assert_allclose(weight, expected, rtol=1e-6)
        return parallel.first(state.params)


def case_of(model: Model) -> Case:
    """Two classes told apart by `model`, on a sample of inputs that it consumes.

    Raises ConfigError where no sample of them is known, see `samples.sample_of`.
    """
    sample = made(model.consumes)
    task = Classification(model, sample.representation, sample.moments, ("background", "signal"))
    return Case(task, sample.columns)


def embedding_is_a_float32_vector_a_row(case: Case) -> None:
    """The embedding is float32 for every precision of the arithmetic."""
    batch = case.local(np.arange(SIZE))
    inputs = case.task.representation.normalise(batch.inputs, case.task.statistics)
    for dtype in ("float32", "bfloat16"):
        model = case.task.model.clone(dtype=dtype)
        apply = partial(model.apply, train=False)
        embedding = jax.eval_shape(apply, {"params": case.params["backbone"]}, inputs)
        assert embedding.ndim == 2, embedding.shape
        assert embedding.shape[0] == SIZE, embedding.shape
        assert embedding.dtype == np.float32, embedding.dtype


def gradients_are_finite_and_reach_every_parameter_array(case: Case) -> None:
    """Every parameter has a finite gradient that is not zero; types are not promoted silently."""
    with jax.numpy_dtype_promotion("strict"):
        _, gradient = case.losses_and_gradient(case.params, case.local(np.arange(SIZE)))
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert np.isfinite(leaf).all(), path
        assert np.abs(leaf).max() > 0, path


def dropout_follows_the_id_and_not_the_place(case: Case) -> None:
    """A dropout mask depends neither on the number of devices nor on the rest of the batch."""
    rows = np.arange(SIZE)
    with jax.numpy_dtype_promotion("strict"):
        forward, _ = case.losses_and_gradient(case.params, case.local(rows))
        backward, _ = case.losses_and_gradient(case.params, case.local(rows[::-1]))
    np.testing.assert_allclose(forward, backward[::-1], rtol=2e-5, atol=1e-6)


def padding_and_company_change_no_output_and_bfloat16_little(case: Case) -> None:
    """Scores of rows do not depend on padding or other rows of the batch."""
    full, partly = case.local(np.arange(SIZE)), case.local(np.arange(PARTLY))
    column, scores = case.task.columns()[0], []
    for precision, tolerance in (("float32", 1e-6), ("bfloat16", 1e-2)):
        predict = jax.jit(case.task.cast(precision).predict)
        score, padded = (predict(case.params, batch, _key())[column] for batch in (full, partly))
        np.testing.assert_allclose(padded[:PARTLY], score[:PARTLY], rtol=0, atol=tolerance)
        assert np.isfinite(padded).all(), "padding"
        scores.append(score)
    assert np.abs(scores[1] - scores[0]).max() > 0, "the model computes in float32 always"
    np.testing.assert_allclose(scores[0], scores[1], rtol=0, atol=0.05)


def empty_slots_change_no_embedding(case: Case) -> None:
    """Nothing of what stands in empty slots of objects is seen; else `reads_padding` says so."""
    model, representation = case.task.model, case.task.representation
    if model.reads_padding or not isinstance(representation, ParticleSet):
        return
    inputs = representation.normalise(case.local(np.arange(SIZE)).inputs, case.task.statistics)

    def filled(value: float) -> ParticleSets:
        collections: dict[str, Objects] = {}
        for name, objects in inputs.collections.items():
            assert isinstance(objects, Objects)  # as `collate` makes them, in one group
            x = jnp.where(objects.mask[..., None], objects.x, value)
            collections[name] = objects._replace(x=x)
        return inputs._replace(collections=collections)

    apply = jax.jit(partial(model.apply, train=False))
    found = [apply({"params": case.params["backbone"]}, filled(value)) for value in (0.0, 3.0)]
    np.testing.assert_allclose(found[1], found[0], rtol=0, atol=1e-6)


def a_padded_batch_moves_parameters_as_its_rows_do(case: Case) -> None:
    """Padding has weight 0 and does not change a mean over the batch."""
    rows = np.arange(PARTLY)
    _require_close(*(case.stepped(case.batch(rows, size)) for size in (PARTLY, SIZE)))


def eight_devices_make_the_update_of_one(case: Case) -> None:
    """Devices divide a batch; the last ones may have only padding."""
    one, eight = (
        case.stepped(*(case.batch(np.arange(rows), devices=devices) for rows in (SIZE, PARTLY + 1)))
        for devices in (1, 8)
    )
    _require_close(one, eight)
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), case.params, one)
    assert max(jax.tree.leaves(moved)) > 1e-3, "two steps that move nothing"


MODEL_CHECKS: tuple[Callable[[Case], None], ...] = (
    embedding_is_a_float32_vector_a_row,
    gradients_are_finite_and_reach_every_parameter_array,
    dropout_follows_the_id_and_not_the_place,
    padding_and_company_change_no_output_and_bfloat16_little,
    empty_slots_change_no_embedding,
    a_padded_batch_moves_parameters_as_its_rows_do,
    eight_devices_make_the_update_of_one,
)


def _key() -> jax.Array:
    return jax.random.key(4)


def _require_close(a: Params, b: Params) -> None:
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=1e-6), a, b)
