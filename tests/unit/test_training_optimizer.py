"""Schedules and update rules against their formulas."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rootloom.errors import ConfigError
from rootloom.training.optimizer import build, kept, schedule
from rootloom.training.options import Schedule, TrainingOptions
from rootloom.training.state import TrainState

ORACLES = Path(__file__).parents[1] / "data" / "oracles"
pytestmark = pytest.mark.usefixtures("strict")


def rates(plan: Schedule, steps: list[int]) -> list[float]:
    options = TrainingOptions(learning_rate=0.1, epochs=10, schedule=plan)
    return [float(schedule(options, steps_per_epoch=20)(step)) for step in steps]


def test_schedules_have_their_values() -> None:
    assert rates(Schedule(), [0, 199]) == pytest.approx([0.1, 0.1])
    halfway = 0.1 * (0.2 + 0.8 * 0.5 * (1 + math.cos(math.pi * 0.5)))
    found = rates(Schedule("cosine", final=0.2), [0, 100, 200])
    assert found == pytest.approx([0.1, halfway, 0.02])
    found = rates(Schedule("exponential", decay=0.5), [0, 19, 20, 45])
    assert found == pytest.approx([0.1, 0.1, 0.05, 0.025])
    found = rates(Schedule("warmup_cosine", warmup_epochs=2), [0, 20, 40, 120, 200])
    assert found == pytest.approx([0, 0.05, 0.1, 0.05, 0], abs=1e-8)
    # The last three of ten epochs, each times the cube root of 0.01.
    found = rates(Schedule("flat_decay"), [0, 139, 140, 160, 199])
    assert found == pytest.approx([0.1, 0.1, 0.1 * 0.01 ** (1 / 3), 0.1 * 0.01 ** (2 / 3), 1e-3])


@pytest.mark.parametrize(("epochs", "each", "parts"), [(5, 37, 50), (2, 500, 20), (1, 9, 50)])
def test_the_flat_rate_decays_in_parts_of_the_training_as_in_epochs_of_weaver_core(
    epochs: int, each: int, parts: int
) -> None:
    """weaver-core 0.5.3, train.py: MultiStepLR, which multiplies at each milestone."""
    decaying = max(1, int(parts * 0.3))
    milestones = list(range(parts - decaying, parts))
    total = epochs * each
    options = TrainingOptions(
        learning_rate=0.1, epochs=epochs, schedule=Schedule("flat_decay", parts=parts)
    )
    found = schedule(options, each)(jnp.arange(total))
    passed = [sum(m <= step * parts // total for m in milestones) for step in range(total)]
    expected = 0.1 * (0.01 ** (1.0 / decaying)) ** np.array(passed)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_each_group_has_its_rate() -> None:
    options = TrainingOptions(optimizer="sgd", learning_rate=0.1, group_rates={"slow": 0.25})
    params = {"a": jnp.ones(2), "b": jnp.ones(3)}
    rule = build(options, 10, {"a": "fast", "b": "slow"})
    updates, _ = rule.update(params, rule.init(params), params)
    np.testing.assert_allclose(updates["a"], -0.1, rtol=1e-6)
    np.testing.assert_allclose(updates["b"], -0.025, rtol=1e-6)
    with pytest.raises(ConfigError, match="slow"):
        build(options, 10, {"a": "fast", "b": "sloow"})
    with pytest.raises(ConfigError, match=r"group_rates\.slow"):
        TrainingOptions(group_rates={"slow": 0.0})
    with pytest.raises(ConfigError, match="beta1"):
        TrainingOptions(beta1=1.0)
    with pytest.raises(ConfigError, match=r"(?s)momentum.*optimizer 'adam'"):
        TrainingOptions(momentum=0.9)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_beta1_is_the_memory_of_the_gradient(name: Any) -> None:
    options = TrainingOptions(optimizer=name, learning_rate=0.1, beta1=0.5)
    rule = build(options, 10, {"w": "default"})
    params = {"w": jnp.zeros(1)}
    state = rule.init(params)
    _, state = rule.update({"w": jnp.ones(1)}, state, params)
    updates, _ = rule.update({"w": -jnp.ones(1)}, state, params)
    # Kingma, Ba 1412.6980: m = 0.5 · 0.5 - 0.5 = -0.25 over 1 - 0.5² gives -1/3; v gives 1.
    np.testing.assert_allclose(updates["w"], 0.1 / 3, rtol=1e-4)


@pytest.mark.parametrize("name", ["adam", "adamw", "nadam", "sgd"])
def test_every_optimiser_goes_down_a_bowl(name: Any) -> None:
    rule = build(TrainingOptions(optimizer=name, learning_rate=0.1), 10, {"w": "default"})
    params = {"w": jnp.array([[1.0, -2.0]])}
    state = rule.init(params)
    for _ in range(100):
        updates, state = rule.update(params, state, params)  # the gradient of w²/2
        params = optax.apply_updates(params, updates)
    assert float(jnp.abs(params["w"]).max()) < 0.1


def test_ranger_is_weavers() -> None:
    """Against 60 steps of weaver-core 0.5.3, in which gradients are between 1e-6 and 1."""
    with np.load(ORACLES / "ranger.npz", allow_pickle=False) as stored:
        start, gradients, expected = (stored[name] for name in ("p0", "G", "out"))
    rule = build(TrainingOptions(optimizer="ranger", learning_rate=0.01), 10, {"w": "default"})

    def step(held: Any, gradient: jax.Array) -> Any:
        params, state = held
        updates, state = rule.update({"w": gradient}, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), params["w"]

    params = {"w": jnp.asarray(start, jnp.float32)}
    _, found = jax.lax.scan(step, (params, rule.init(params)), jnp.asarray(gradients, jnp.float32))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_weight_decay_of_ranger_is_not_divided_by_the_root_of_the_squares() -> None:
    options = TrainingOptions(optimizer="ranger", learning_rate=0.1, weight_decay=0.01)
    params = {"kernel": jnp.array([[3.0]]), "bias": jnp.array([3.0])}
    rule = build(options, 1, jax.tree.map(lambda _: "default", params))
    zero = jax.tree.map(jnp.zeros_like, params)
    updates, _ = rule.update(zero, rule.init(params), params)
    assert updates["kernel"][0, 0] == pytest.approx(-0.1 * 0.01 * 3.0)
    assert updates["bias"][0] == 0


def test_weight_decay_is_the_gradient_of_the_penalty_and_spares_biases() -> None:
    options = TrainingOptions(optimizer="sgd", learning_rate=0.1, weight_decay=0.01)
    params = {"kernel": jnp.array([[3.0]]), "bias": jnp.array([3.0])}
    rule = build(options, 1, jax.tree.map(lambda _: "default", params))
    zero = jax.tree.map(jnp.zeros_like, params)
    updates, _ = rule.update(zero, rule.init(params), params)
    penalty = jax.grad(lambda w: 0.01 * w**2)(3.0)
    assert updates["kernel"][0, 0] == pytest.approx(-0.1 * penalty)
    assert updates["bias"][0] == 0


def test_clipping_bounds_the_gradient() -> None:
    options = TrainingOptions(optimizer="sgd", learning_rate=1.0, clip_norm=2.0)
    params = {"w": jnp.zeros((1, 2))}
    rule = build(options, 1, {"w": "default"})
    updates, _ = rule.update({"w": jnp.array([[30.0, 40.0]])}, rule.init(params), params)
    np.testing.assert_allclose(updates["w"], [[-1.2, -1.6]], rtol=1e-6)


def test_groups_keep_separate_states() -> None:
    options = TrainingOptions(optimizer="sgd", learning_rate=1.0, clip_norm=1.0)
    params = {"a": jnp.zeros((1, 1)), "b": jnp.zeros((1, 1))}
    rule = build(options, 1, {"a": "first", "b": "second"})
    gradients = {"a": jnp.array([[5.0]]), "b": jnp.array([[0.5]])}
    updates, _ = rule.update(gradients, rule.init(params), params)
    # Clipped together, b would have been scaled down by a.
    assert (float(updates["a"][0, 0]), float(updates["b"][0, 0])) == pytest.approx((-1.0, -0.5))


@pytest.mark.parametrize(
    "field", [{"batch_size": 0}, {"learning_rate": -1.0}, {"clip_norm": 0.0}, {"log_every": 0}]
)
def test_impossible_options_are_refused_by_name(field: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"training.{next(iter(field))}"):
        TrainingOptions(**field)


def test_options_import_without_jax() -> None:
    code = "import sys, rootloom.training.options; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_devices_are_configured_before_jax_or_refused() -> None:
    code = (
        "import os\n"
        "os.environ.pop('XLA_FLAGS', None)\n"
        "from rootloom.training.devices import configure\n"
        "configure(cpus=1, virtual_devices=3)\n"
        "import jax\n"
        "assert jax.local_device_count() == 3\n"
        "assert '--xla_gpu_deterministic_ops=true' in os.environ['XLA_FLAGS']\n"
        "configure(cpus=1)\n"
        "configure(cpus=1, virtual_devices=3)\n"
        "from rootloom.errors import ConfigError\n"
        "try:\n"
        "    configure(cpus=2)\n"
        "except ConfigError as error:\n"
        "    assert 'PJRT_NPROC' in str(error)\n"
        "else:\n"
        "    raise SystemExit('not refused')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_beta2_is_the_memory_of_the_square() -> None:
    rule = build(TrainingOptions(learning_rate=0.1, beta1=0.0, beta2=0.75), 10, {"w": "default"})
    params = {"w": jnp.zeros(1)}
    state = rule.init(params)
    for gradient in (1.0, 3.0):
        updates, state = rule.update({"w": jnp.full(1, gradient)}, state, params)
    # v = (0.25 · 0.75 · 1 + 0.25 · 9) / (1 - 0.75²)
    expected = -0.1 * 3.0 / math.sqrt((0.1875 + 2.25) / (1 - 0.5625))
    np.testing.assert_allclose(updates["w"], expected, rtol=1e-5)


def test_the_average_forgets_at_its_rate_and_changes_no_update() -> None:
    params = {"w": jnp.zeros(1)}
    groups = {"w": "default"}
    plain = build(TrainingOptions(optimizer="sgd", learning_rate=1.0), 10, groups)
    rule = build(TrainingOptions(optimizer="sgd", learning_rate=1.0, average=0.5), 10, groups)
    state, expected = TrainState(params, rule.init(params), 0, None), 0.0
    for number in range(12):
        updates, opt_state = rule.update({"w": -jnp.ones(1)}, state.opt_state, state.params)
        alone, _ = plain.update({"w": -jnp.ones(1)}, plain.init(params), state.params)
        np.testing.assert_array_equal(updates["w"], alone["w"])
        state = TrainState(optax.apply_updates(state.params, updates), opt_state, number, None)
        keep = min(0.5, (1 + number) / (10 + number))
        expected = keep * expected + (1 - keep) * (number + 1)
        np.testing.assert_allclose(kept(state)["w"], expected, rtol=1e-5)
    assert state.params["w"] == 12
    # Without one, the parameters themselves.
    state = TrainState(params, plain.init(params), 0, None)
    assert kept(state) is params
    with pytest.raises(ConfigError, match="average"):
        TrainingOptions(average=1.0)
