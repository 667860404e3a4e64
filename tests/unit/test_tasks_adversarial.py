"""Adversarial training: gradients, devices, groups; the networks against loops and definitions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from tests.generators import (
    CELLS,
    KEY,
    SIZE,
    batch,
    full_and_partial,
    joint_and_separate,
    local,
)
from tests.learnable import LAYERS, Memory, PlainImage, showers

from rootloom.batches.assemble import id_words
from rootloom.errors import ConfigError
from rootloom.models.cnn import CNN
from rootloom.models.generators.calogan import CaloGAN, similarity
from rootloom.models.generators.calorimeter import (
    LocallyConnected,
    join,
    local_product,
    resample,
    split,
)
from rootloom.models.layers import example_normal, example_seeds
from rootloom.physics.histograms import separation_power
from rootloom.representations.calorimeter import CalorimeterCells
from rootloom.tasks.adversarial import Adversarial
from rootloom.tasks.classification import Classification
from rootloom.training.loop import fit
from rootloom.training.options import EarlyStopping, TrainingOptions
from rootloom.training.state import initial_params
from rootloom.types import Shower

pytestmark = pytest.mark.usefixtures("strict")


def model(**fields: Any) -> CaloGAN:
    small = {"latent": 6, "depth": 3, "kernels": 3, "dimensions": 2, "group": 4}
    return CaloGAN(**{"layers": LAYERS, **small, **fields})


def task(**fields: Any) -> Adversarial:
    return Adversarial(model(**fields), CELLS, {}, ("eplus",))


@pytest.fixture(scope="module")
def params() -> Any:
    with jax.numpy_dtype_promotion("strict"):
        return initial_params(task(), batch(np.arange(SIZE)), seed=3)


def test_the_joint_gradient_is_both_gradients(params: Any) -> None:
    """Each network's own loss, written out here with the other one held fixed."""
    ours, data = task(), local(np.arange(SIZE))
    inputs, present = data.inputs, jnp.ones(SIZE)

    def logit(p: Any, cells: Any) -> Any:
        shower = Shower(cells, inputs.energy)
        seen = ours.model.see(shower, inputs.energy[:, None], ours.scale)
        return ours.model.apply({"params": p}, seen, present, method=CaloGAN.discriminate)[:, 0]

    def made(p: Any) -> Any:
        z = example_normal(example_seeds(KEY, data.id), 0x5EED, (6,))
        given = z, inputs.energy[:, None], ours.scale
        return ours.model.apply({"params": p}, *given, method=CaloGAN.generate).cells

    def of_discriminator(own: Any) -> Any:
        p = {**params, "discriminator": own}
        real, fake = logit(p, inputs.cells), logit(p, made(params))
        return (jax.nn.softplus(-real) + jax.nn.softplus(fake)).mean()

    def of_generator(own: Any) -> Any:
        cells = made({**params, "generator": own})
        off = jnp.abs(cells.sum(axis=1) - inputs.energy)
        return (jax.nn.softplus(-logit(params, cells)) + 0.05 * off).mean()

    losses = {"discriminator": of_discriminator, "generator": of_generator}
    for path, one, two in joint_and_separate(ours, params, data, losses):
        largest = np.abs(two).max()
        assert largest > 0, path
        # Compiled as three programs, which round differently.
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-5 * largest, err_msg=str(path))


def test_neither_loss_reaches_the_other_network(params: Any) -> None:
    """To the last bit: in one program, with a factor on each network's loss."""
    ours, data = task(), local(np.arange(SIZE))

    def weighted(p: Any, factors: Any) -> Any:
        _, metrics = ours.loss(p, data, KEY, train=True)
        return (factors[0] * metrics["discriminator"] + factors[1] * metrics["generator"]).mean()

    gradient = jax.jit(jax.grad(weighted))
    both, only_d, only_g = (
        gradient(params, jnp.asarray(factors)) for factors in ((1.0, 1.0), (1.0, 0.0), (0.0, 1.0))
    )
    separate = {"discriminator": only_d["discriminator"], "generator": only_g["generator"]}
    jax.tree.map(np.testing.assert_array_equal, both, separate)
    for crossed in (only_d["generator"], only_g["discriminator"]):
        assert not any(np.any(leaf) for leaf in jax.tree.leaves(crossed))


def test_eight_devices_make_the_update_of_one(params: Any) -> None:
    # In the second batch the third device has half a group, the others after it none.
    one, eight = (full_and_partial(task(), params, devices) for devices in (1, 8))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=2e-6), one, eight)
    for network in ("generator", "discriminator"):
        moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), params[network], one[network])
        assert max(jax.tree.leaves(moved)) > 1e-4


def test_padding_changes_no_loss_but_company_does(params: Any) -> None:
    loss = jax.jit(lambda p, b: task().loss(p, b, KEY, train=False)[0])
    full, padded = loss(params, local(np.arange(SIZE))), loss(params, local(np.arange(8)))
    np.testing.assert_allclose(full[:8], padded[:8], rtol=1e-5)
    # Of three, the third of a group of four is compared with two others only.
    fewer = loss(params, local(np.arange(3)))
    assert np.isfinite(fewer).all()
    assert np.abs(fewer[:3] - full[:3]).max() > 1e-4


def test_similarity_by_loops() -> None:
    rng = np.random.default_rng(1)
    points, present = rng.normal(size=(8, 3, 2)).astype(np.float32), np.ones(8, np.float32)
    present[6:] = 0
    found = similarity(jnp.asarray(points), jnp.asarray(present), 4)
    for i in range(8):
        others = [j for j in range(4 * (i // 4), 4 * (i // 4) + 4) if j != i and present[j]]
        near = [np.exp(-np.abs(points[i] - points[j]).sum(axis=1)) for j in others]
        np.testing.assert_allclose(found[i], np.mean(near, axis=0), rtol=1e-5)


def test_groups_that_a_device_cannot_hold_are_refused() -> None:
    with pytest.raises(ConfigError, match="multiple of devices"):
        initial_params(task(group=5), batch(np.arange(SIZE)), seed=1)


@pytest.mark.parametrize("strides", [(1, 1), (1, 2), (2, 2)])
def test_locally_connected_by_loops(strides: tuple[int, int]) -> None:
    layer = LocallyConnected(3, (2, 3), strides)
    x = np.random.default_rng(2).normal(size=(2, 5, 7, 2)).astype(np.float32)
    params = layer.init(KEY, jnp.asarray(x))["params"]
    params["bias"] = params["bias"] + 0.5
    found = layer.apply({"params": params}, jnp.asarray(x))
    high, wide = (5 - 2) // strides[0] + 1, (7 - 3) // strides[1] + 1
    assert found.shape == (2, high, wide, 3)
    for i in range(high):
        for j in range(wide):
            top, left = i * strides[0], j * strides[1]
            patch = x[:, top : top + 2, left : left + 3].reshape(2, -1)
            expected = patch @ np.asarray(params["kernel"][i, j]) + 0.5
            np.testing.assert_allclose(found[:, i, j], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("size", "strides", "shape"),
    [((2, 3), (1, 1), (5, 7)), ((3, 3), (1, 2), (5, 8)), ((2, 2), (3, 2), (8, 7))],
)
def test_local_products_have_the_derivatives_of_their_definition(
    size: Any, strides: Any, shape: Any
) -> None:
    """Of the first and, as penalties on derivatives need it, of the second order."""
    rng = np.random.default_rng(3)
    (kh, kw), (down, right) = size, strides
    high, wide = (shape[0] - kh) // down + 1, (shape[1] - kw) // right + 1
    x = jnp.asarray(rng.normal(size=(2, *shape, 3)), jnp.float32)
    filters = jnp.asarray(rng.normal(size=(high, wide, kh * kw * 3, 2)), jnp.float32)

    def defined(x: Any, filters: Any, size: Any, strides: Any) -> Any:
        rows = [
            [
                x[:, i * down : i * down + kh, j * right : j * right + kw].reshape(2, -1)
                @ filters[i, j]
                for j in range(wide)
            ]
            for i in range(high)
        ]
        return jnp.stack([jnp.stack(row, axis=1) for row in rows], axis=1)

    def first(product: Any) -> Any:
        def value(x: Any, filters: Any) -> Any:
            return jnp.sin(product(x, filters, size, strides)).sum()

        return jax.grad(value, argnums=(0, 1))

    def second(product: Any) -> Any:
        def steep(x: Any, filters: Any) -> Any:
            return (first(product)(x, filters)[0] ** 2).sum()

        return jax.grad(steep, argnums=(0, 1))

    for order in (first, second):
        found, expected = (jax.jit(order(f))(x, filters) for f in (local_product, defined))
        for one, two in zip(found, expected, strict=True):
            assert np.abs(two).max() > 0.1
            np.testing.assert_allclose(one, two, rtol=0, atol=2e-5 * np.abs(two).max())


def test_layers_split_join_and_resample() -> None:
    cells = jnp.asarray(np.random.default_rng(3).normal(size=(2, 32)).astype(np.float32))
    images = split(cells, LAYERS)
    assert [image.shape[1:] for image in images] == list(LAYERS)
    np.testing.assert_array_equal(join(images), cells)
    # By areas: 8 → 4 averages two cells, 2 → 4 repeats each.
    image = np.asarray(images[0])
    expected = np.repeat(image.reshape(2, 2, 4, 2).mean(axis=3), 2, axis=1)
    np.testing.assert_allclose(resample(images[0], (4, 4)), expected, rtol=1e-6)


def test_latent_numbers_are_normal_and_belong_to_the_example() -> None:
    seeds = jnp.arange(4000, dtype=jnp.uint32) * jnp.uint32(2654435761)
    numbers = np.asarray(example_normal(seeds, 1, (5,)))
    assert stats.kstest(numbers.ravel(), "norm").pvalue > 1e-3
    assert np.abs(np.corrcoef(numbers.T) - np.eye(5)).max() < 4 / np.sqrt(4000)
    np.testing.assert_array_equal(numbers[7:9], example_normal(seeds[7:9], 1, (5,)))


def test_a_generated_shower_follows_its_energy_and_its_id(params: Any) -> None:
    ours = task()
    energy = jnp.linspace(5, 50, SIZE)
    identity = jnp.asarray(id_words(np.arange(SIZE, dtype=np.uint64) << np.uint64(30)))
    generate = jax.jit(lambda p, e, k, i: ours.generate(p, e[:, None], k, i).cells)
    whole = generate(params, energy, KEY, identity)
    assert whole.shape == (SIZE, 32)
    assert len(np.unique(whole, axis=0)) == SIZE
    # Any part, in another order, by itself.
    some = np.array([9, 2, 30])
    few = generate(params, energy[some], KEY, identity[some])
    np.testing.assert_allclose(few, whole[some], rtol=1e-5, atol=1e-6)
    other = generate(params, energy, jax.random.key(5), identity)
    assert np.abs(other - whole).max() > 1e-3


def test_separation_power_of_normal_distributions() -> None:
    edges = np.linspace(-8, 8, 2001)
    first, second = (np.diff(stats.norm.cdf(edges, loc=m)) for m in (0.0, 1.0))
    # ½ ∫ (f - g)² / (f + g), by its definition on a fine grid of densities.
    x = np.linspace(-8, 8, 100_001)
    f, g = stats.norm.pdf(x), stats.norm.pdf(x, loc=1.0)
    expected = 0.5 * np.trapezoid((f - g) ** 2 / (f + g), x)
    assert separation_power(first, 7 * second) == pytest.approx(expected, rel=1e-4)
    assert separation_power(first, first) == 0
    assert separation_power(np.array([1.0, 0]), np.array([0, 1.0])) == 1


def test_a_training_has_two_rates_and_brings_the_showers_closer(tmp_path: Path) -> None:
    options = TrainingOptions(
        batch_size=SIZE, epochs=12, learning_rate=2e-3, beta1=0.5, tensorboard=False,
        group_rates={"discriminator": 0.25},
        early_stopping=EarlyStopping(patience=None, monitor="separation"),
    )  # fmt: skip
    ours = task(depth=6, latent=12)
    training = Memory(showers(640, seed=1), ours.representation, SIZE)
    validation = Memory(showers(160, seed=2), ours.representation, SIZE, shuffle=False)
    result = fit(ours, training, validation, options, tmp_path, fingerprint="run", progress=False)
    first, best = result.history[0], result.history[result.best_epoch]
    assert best["separation"] < 0.6 * first["separation"]
    assert best["energy_off"] < first["energy_off"]
    made = ours.generate(result.params, jnp.full((SIZE, 1), 30.0), KEY, local(np.arange(SIZE)).id)
    assert isinstance(made, Shower)
    assert (made.energy == 30).all()
    assert (made.cells >= 0).all()


def test_what_does_not_fit_is_refused() -> None:
    cells = CalorimeterCells(layers=LAYERS)
    with pytest.raises(ConfigError, match="one class"):
        Adversarial(model(), cells, {}, ("eplus", "gamma"))
    with pytest.raises(ConfigError, match="those of the representation"):
        Adversarial(model(layers=((2, 8),)), cells, {}, ("eplus",))
    with pytest.raises(ConfigError, match="role gan"):
        Adversarial(CNN(), PlainImage(), {}, ("eplus",))
    with pytest.raises(ConfigError, match="role embedding"):
        Classification(model(), cells, {}, ("a", "b"))
