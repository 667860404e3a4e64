"""GANs in relative energies: scales there and back, both networks' losses, devices, a training."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.generators import (
    CELLS,
    KEY,
    SIZE,
    batch,
    full_and_partial,
    joint_and_separate,
    local,
    moments,
)
from tests.learnable import LAYERS, Memory, showers

from rootloom.batches.assemble import id_words
from rootloom.errors import ConfigError
from rootloom.models.generators.calorimeter import shape, shapes
from rootloom.models.generators.shower_gan import Seen, ShowerGAN
from rootloom.models.generators.shower_metrics import separation, shape_metrics
from rootloom.models.generators.shower_scale import ShowerScale
from rootloom.models.layers import example_seeds
from rootloom.tasks.adversarial import Adversarial, slope
from rootloom.training.loop import fit
from rootloom.training.options import EarlyStopping, Schedule, TrainingOptions
from rootloom.training.state import initial_params
from rootloom.types import Shower

SETTLED = {"energy_weight": 0.0, "relativistic": True, "penalty": 1.0, "penalise": "both"}
pytestmark = pytest.mark.usefixtures("strict")


def task(statistics: Any = None, **fields: Any) -> Adversarial:
    if statistics is None:
        statistics = moments(showers(200, seed=9))
    small = ShowerGAN(
        layers=LAYERS, latent=4, width=16, blocks=1, channels=3, hidden=6, judges=(24, 12),
        kernels=3, dimensions=2, group=4,
    )  # fmt: skip
    return Adversarial(small, CELLS, statistics, ("eplus",), **{**SETTLED, **fields})


@pytest.fixture(scope="module")
def params() -> Any:
    with jax.numpy_dtype_promotion("strict"):
        return initial_params(task(), batch(np.arange(SIZE)), seed=3)


def layers_of(cells: np.ndarray) -> np.ndarray:
    return np.stack([cells[:, :16].sum(axis=1), cells[:, 16:].sum(axis=1)], axis=1)


def test_cells_and_layers_come_back_from_their_scale() -> None:
    scale, inputs = task().scale, local(np.arange(SIZE)).inputs
    layers = jnp.asarray(layers_of(np.asarray(inputs.cells)))
    shares = scale.shares(inputs.cells, layers)
    np.testing.assert_allclose(scale.cells(shares, layers), inputs.cells, rtol=2e-5, atol=1e-6)
    ratios = scale.ratios(layers, inputs.energy)
    np.testing.assert_allclose(scale.energies(ratios, inputs.energy), layers, rtol=2e-5)
    # Standardised by the moments of the same showers.
    ours = ShowerScale(LAYERS, CELLS.threshold, moments(showers(40)))
    some = local(np.arange(SIZE)).inputs.cells
    every = ours.shares(some, jnp.asarray(layers_of(np.asarray(some))))
    assert np.abs(np.asarray(every)[:, 2:7].mean()) < 0.3
    assert np.asarray(every)[:, 2:7].std() == pytest.approx(1, abs=0.2)


def test_no_cell_is_left_below_the_threshold() -> None:
    """Not even those that only the scaling to the layer's energy brings there."""
    scale = ShowerScale(LAYERS, 0.05, task().statistics)
    rng = np.random.default_rng(5)
    shares = jnp.asarray(rng.normal(0, 2, (200, 32)).astype(np.float32))
    layers = jnp.asarray(rng.uniform(0.01, 1, (200, 2)).astype(np.float32))
    cells = np.asarray(scale.cells(shares, layers))
    assert (cells[cells > 0] >= 0.05 * (1 - 1e-5)).all()
    expected = np.where(np.asarray(layers) >= 0.05, np.asarray(layers), 0)
    np.testing.assert_allclose(layers_of(cells), expected, rtol=1e-5)


def test_a_network_can_learn_to_fill_an_empty_cell() -> None:
    scale = ShowerScale(LAYERS, 0.05, task().statistics)
    shares = jnp.zeros((1, 32)).at[0, 3].set(-19.0)
    layers = jnp.full((1, 2), 10.0)
    assert scale.cells(shares, layers)[0, 3] == 0

    def derivative(*, through: bool) -> Any:
        def cell(x: Any) -> Any:
            return scale.cells(x, layers, through=through)[0, 3]

        return jax.grad(cell)(shares)[0, 3]

    assert derivative(through=False) == 0
    assert derivative(through=True) > 0


def test_pushing_all_cells_of_a_layer_moves_none() -> None:
    """Empty or not: else cells below the threshold would grow together for ever."""
    scale = ShowerScale(LAYERS, 0.05, task().statistics)
    image = jnp.asarray(np.random.default_rng(9).exponential(0.1, (3, 2, 8)).astype(np.float32))
    fill = partial(scale._filled, energy=jnp.asarray([0.2, 0.5, 2.0]))
    (held, scaled), (of_held, of_scaled) = jax.jvp(fill, (image,), (image,))
    assert (np.asarray(held) == 0).any()
    assert (np.asarray(scaled) > 0).all()
    for slopes in (of_held, of_scaled):
        np.testing.assert_allclose(slopes, np.zeros((3, 2, 8)), atol=1e-6)


def test_shapes_are_weighted_moments() -> None:
    rng = np.random.default_rng(6)
    image = np.where(rng.random((5, 3, 8)) < 0.5, rng.exponential(1, (5, 3, 8)), 0)
    image = image.astype(np.float32)
    found = np.asarray(shape(jnp.asarray(image)))
    x, y = np.meshgrid(np.linspace(-1 / 3, 1 / 3, 3), np.linspace(-7, 7, 8) / 16, indexing="ij")
    for one, values in zip(image, found, strict=True):
        weights = one.ravel()
        assert values[0] == pytest.approx(np.log(weights.max() / weights.sum() + 1e-3), rel=1e-4)
        for place, at in ((1, x), (3, y)):
            centre = np.average(at.ravel(), weights=weights)
            width = np.cov(at.ravel(), aweights=weights, ddof=0)
            assert values[place] == pytest.approx(20 * centre, abs=1e-4)
            assert values[place + 1] == pytest.approx(np.log(width + 1e-4) + 5, abs=1e-4)
        assert values[5] == pytest.approx(5 * (weights / (weights + 1e-3)).mean(), rel=1e-4)


def test_shapes_are_compared_by_their_histograms() -> None:
    """The figure that a training is judged by, from NumPy's histograms of the same showers."""
    first, second = (showers(300, seed=n) for n in (3, 4))
    cells = [CELLS.collate(c, np.arange(300), 300).cells for c in (first, second)]
    cells[1][:, 2:4] *= 0.3
    metrics = shape_metrics(*(jnp.asarray(c) for c in cells), LAYERS)
    found = separation({name: np.asarray(v).mean(axis=0) for name, v in metrics.items()})
    expected = []
    for one, two in zip(
        *(np.asarray(shapes(jnp.asarray(c), LAYERS)).T for c in cells), strict=True
    ):
        h, g = (np.histogram(x, 250, (-7, 6))[0] / 300 for x in (one, two))
        expected.append(0.5 * ((h - g)[h + g > 0] ** 2 / (h + g)[h + g > 0]).sum())
    assert found == {"shapes": pytest.approx(np.mean(expected), abs=2e-3)}
    assert found["shapes"] > 0.1


def test_cells_are_imitated_at_the_energies_of_real_layers(params: Any) -> None:
    ours, inputs = task(), local(np.arange(SIZE)).inputs
    z = jnp.asarray(np.random.default_rng(7).normal(size=(SIZE, ours.model.numbers)), jnp.float32)
    apply = partial(ours.model.apply, {"params": params})
    condition = inputs.energy[:, None]
    real = ours.model.see(inputs, condition, ours.scale)
    made, missed = apply(z, inputs, condition, ours.scale, method=ShowerGAN.imitate)
    known = real.energies.shape[1]
    np.testing.assert_allclose(made.cells[:, :known], real.cells[:, :known], atol=2e-3)
    assert np.abs(made.cells[:, known:] - real.cells[:, known:]).max() > 0.1
    # The other discriminator is shown the energies that a generated shower has.
    shower = apply(z, condition, ours.scale, method=ShowerGAN.generate).cells
    off = np.abs(shower.sum(axis=1) - inputs.energy)
    np.testing.assert_allclose(missed["energy_off"], off, rtol=1e-4, atol=1e-3)
    layers = jnp.asarray(layers_of(np.asarray(shower)))
    shown = ours.scale.known(inputs.energy, layers)
    np.testing.assert_allclose(made.energies, shown, atol=2e-3)


def test_cells_below_the_threshold_are_not_seen() -> None:
    """No generated shower has them: each would give a real one away."""
    ours, inputs = task(), local(np.arange(SIZE)).inputs
    empty = inputs.cells.at[:, 16:].set(0.0)
    weak = empty.at[:, 20].set(0.9 * CELLS.threshold)

    def seen(cells: Any) -> Any:
        shower, condition = Shower(cells, inputs.energy), inputs.energy[:, None]
        return ours.model.see(shower, condition, ours.scale).cells

    with_weak, without = seen(weak), seen(empty)
    np.testing.assert_array_equal(with_weak[:, -12:], without[:, -12:])
    strong = empty.at[:, 20].set(1.1 * CELLS.threshold)
    assert np.abs(seen(strong)[:, -12:] - without[:, -12:]).max() > 1


def test_the_slope_of_linear_logits() -> None:
    rng = np.random.default_rng(8)
    first, second = (rng.normal(size=(n, 2)).astype(np.float32) for n in (3, 5))
    seen = Seen(*(jnp.asarray(rng.normal(size=(4, n)), jnp.float32) for n in (3, 5)))
    found, steep = slope(lambda s: s.energies @ first + s.cells @ second, seen)
    assert found.shape == (4, 2)
    expected = (first.sum(axis=1) ** 2).sum() + (second.sum(axis=1) ** 2).sum()
    np.testing.assert_allclose(steep, np.full(4, expected), rtol=1e-5)


@pytest.mark.parametrize(
    "fields",
    [
        SETTLED,
        {**SETTLED, "penalise": "real"},
        {**SETTLED, "relativistic": False, "penalty": 0.0},
    ],
)
def test_the_joint_gradient_is_both_gradients(params: Any, fields: Any) -> None:
    """Each network's own loss, written out here with the other one held fixed."""
    ours, data = task(**fields), local(np.arange(SIZE))
    inputs, present = data.inputs, jnp.ones(SIZE)
    apply = partial(ours.model.apply, method=ShowerGAN.discriminate)
    softplus, gamma = jax.nn.softplus, fields["penalty"]
    condition = inputs.energy[:, None]
    real = ours.model.see(inputs, condition, ours.scale)

    def made(p: Any) -> Any:
        z = ours._latent(example_seeds(KEY, data.id))
        given = z, inputs, condition, ours.scale
        return ours.model.apply({"params": p}, *given, method=ShowerGAN.imitate)[0]

    def norm(p: Any, seen: Any) -> Any:
        gradient = jax.grad(lambda s: apply({"params": p}, s, present).sum())(seen)
        return sum((leaf**2).sum() for leaf in gradient) / SIZE

    def of_discriminator(own: Any) -> Any:
        p, fake = {**params, "discriminator": own}, made(params)
        one, two = (apply({"params": p}, s, present) for s in (real, fake))
        loss = softplus(two - one) if fields["relativistic"] else softplus(-one) + softplus(two)
        held = norm(p, real) + (norm(p, fake) if fields["penalise"] == "both" else 0.0)
        return loss.sum(axis=1).mean() + gamma / 2 * held

    def of_generator(own: Any) -> Any:
        fake = made({**params, "generator": own})
        one, two = (apply({"params": params}, s, present) for s in (real, fake))
        difference = one - two if fields["relativistic"] else -two
        return softplus(difference).sum(axis=1).mean()

    losses = {"discriminator": of_discriminator, "generator": of_generator}
    for path, one, two in joint_and_separate(ours, params, data, losses):
        largest = np.abs(two).max()
        # A shift of the logits changes no relativistic loss.
        assert largest > 0 or (fields["relativistic"] and two.shape == (1,)), path
        np.testing.assert_allclose(one, two, rtol=0, atol=2e-5 * max(largest, 1e-3), err_msg=path)


def test_eight_devices_make_the_update_of_one(params: Any) -> None:
    # In the second batch the third device has half a group, the others after it none.
    one, eight = (full_and_partial(task(), params, devices) for devices in (1, 8))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=5e-6), one, eight)
    for network in ("generator", "discriminator"):
        moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), params[network], one[network])
        assert max(jax.tree.leaves(moved)) > 1e-4


def test_a_training_brings_the_showers_closer(tmp_path: Path) -> None:
    training, held_out = showers(1280, seed=1), showers(320, seed=2)
    ours = task(moments(training))
    options = TrainingOptions(
        batch_size=SIZE, epochs=15, learning_rate=3e-3, beta1=0.0, beta2=0.99, average=0.99,
        tensorboard=False, schedule=Schedule("cosine"),
        early_stopping=EarlyStopping(patience=None, monitor="separation"),
    )  # fmt: skip
    result = fit(
        ours,
        Memory(training, CELLS, SIZE),
        Memory(held_out, CELLS, SIZE, shuffle=False),
        options,
        tmp_path,
        fingerprint="run",
        progress=False,
    )
    best = result.history[result.best_epoch]
    assert best["separation"] < 0.1
    assert result.history[-1]["accuracy"] < 0.75
    # What the cells were made of: the first layer's energies lie evenly in its cells 2 … 6.
    energy = jnp.asarray(np.full(SIZE, 30, np.float32))
    identity = jnp.asarray(id_words(np.arange(SIZE, dtype=np.uint64)))
    cells = np.asarray(ours.generate(result.params, energy[:, None], KEY, identity).cells)
    assert cells[:, 2:7].sum() > 0.9 * cells[:, :16].sum()
    assert cells[:, :16].sum() / cells.sum() == pytest.approx(0.25, abs=0.05)


def test_what_is_out_of_range_is_refused() -> None:
    for fields, name in (
        ({"penalty": -1.0}, "penalty"),
        ({"energy_weight": -1.0}, "energy_weight"),
    ):
        with pytest.raises(ConfigError, match=f"task: {name}"):
            task(**fields)
