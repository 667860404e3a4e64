"""Optimisers and schedules from the training section."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import optax

from rootloom.errors import ConfigError, nearest
from rootloom.models.normalisation import is_running
from rootloom.tasks.base import Params
from rootloom.training import ranger
from rootloom.training.options import TrainingOptions
from rootloom.training.state import TrainState

T = TypeVar("T")  # a tree of arrays
_FOLLOWING = "running statistics"  # no name of a task's group


def schedule(options: TrainingOptions, steps_per_epoch: int) -> optax.Schedule:
    """Learning rate as a function of the step."""
    rate, plan = options.learning_rate, options.schedule
    steps = max(1, options.epochs * steps_per_epoch)
    if plan.kind == "cosine":
        return optax.cosine_decay_schedule(rate, steps, alpha=plan.final)
    if plan.kind == "exponential":
        return optax.exponential_decay(rate, steps_per_epoch, plan.decay, staircase=True)
    if plan.kind == "warmup_cosine":
        warmup = min(steps - 1, round(plan.warmup_epochs * steps_per_epoch))
        return optax.warmup_cosine_decay_schedule(0.0, rate, warmup, steps, rate * plan.final)
    if plan.kind == "flat_decay":
        return _flat_decay(rate, steps, plan.parts or options.epochs)
    return optax.constant_schedule(rate)


def _flat_decay(rate: float, steps: int, parts: int) -> optax.Schedule:
    """See `Schedule`; weaver-core/train.py, --lr-scheduler flat+decay, whose epochs are `parts`."""
    falling = max(1, int(0.3 * parts))
    factors: dict[int, float] = {}
    for part in range(parts - falling, parts):
        first = -(-part * steps // parts)  # several parts begin at one step if there are more parts
        factors[first] = factors.get(first, 1.0) * 0.01 ** (1.0 / falling)
    return optax.piecewise_constant_schedule(rate, factors)


def build(
    options: TrainingOptions, steps_per_epoch: int, groups: Mapping[str, object]
) -> optax.GradientTransformation:
    """The update rule; each parameter group of the task has its own state.

    groups: the task's tree of group names. Running statistics of batch normalisation are a group of
    their own: their gradient is the step, see `models.normalisation`. Raises ConfigError for a rate
    of an unknown group.
    """
    groups = jax.tree_util.tree_map_with_path(
        lambda path, name: _FOLLOWING if is_running(path) else name, groups
    )
    names, factors = sorted(set(jax.tree.leaves(groups)) - {_FOLLOWING}), options.group_rates
    for name in factors:
        if name not in names:
            raise ConfigError(
                "training.group_rates",
                expected="parameter groups of the task: " + ", ".join(names),
                found=f"'{name}'",
                fix=nearest(name, names),
            )
    rules = {
        name: _rule(
            replace(options, learning_rate=factors.get(name, 1.0) * options.learning_rate),
            steps_per_epoch,
        )
        for name in names
    }
    if _FOLLOWING in jax.tree.leaves(groups):
        rules[_FOLLOWING] = optax.sgd(1.0)
    rule = rules[names[0]] if len(rules) == 1 else optax.multi_transform(rules, groups)
    return optax.chain(rule, _averaging(options.average)) if options.average else rule


class Average(NamedTuple):
    """Moving average of the parameters, and the number of updates in it."""

    params: Params
    count: jax.Array  # type: ignore[assignment]  # a tuple's method; checkpoints know the name


def kept(state: TrainState) -> Params:
    """The parameters of a state to validate and keep: their average, if there is one."""
    last = state.opt_state[-1]
    return last.params if isinstance(last, Average) else state.params


def _averaging(decay: float) -> optax.GradientTransformation:
    """A transformation that averages the parameters after each update, without changing updates.

    The decay after n updates is min(decay, (1 + n) / (10 + n)), as in
    TensorFlow's ExponentialMovingAverage, so that the initial values are soon forgotten.
    """

    def init(params: Params) -> Average:
        return Average(jax.tree.map(jnp.array, params), jnp.zeros((), jnp.int32))

    def update(
        updates: Params, state: Average, params: Params | None = None
    ) -> tuple[Params, Average]:
        count = state.count.astype(jnp.float32)
        keep = jnp.minimum(decay, (1.0 + count) / (10.0 + count))
        following = optax.apply_updates(params, updates)
        average = optax.incremental_update(following, state.params, 1.0 - keep)
        return updates, Average(average, state.count + 1)

    return optax.GradientTransformation(init, update)


def _rule(options: TrainingOptions, steps_per_epoch: int) -> optax.GradientTransformation:
    rate, decay = schedule(options, steps_per_epoch), options.weight_decay
    betas = _beta1(options), options.beta2
    parts = []
    if decay and options.optimizer not in ("adamw", "ranger"):
        # The gradient of decay · w², added before the clipping and the moments.
        parts.append(optax.add_decayed_weights(2.0 * decay, mask=_weights))
    if options.clip_norm is not None:
        parts.append(optax.clip_by_global_norm(options.clip_norm))
    if options.optimizer == "adamw":
        parts.append(optax.adamw(rate, *betas, weight_decay=decay, mask=_weights))
    elif options.optimizer == "sgd":
        parts.append(optax.sgd(rate, momentum=options.momentum or None))
    elif options.optimizer == "ranger":
        parts.append(ranger.rectified_adam(*betas))
        parts.append(optax.add_decayed_weights(decay, mask=_weights))
        parts += [optax.scale_by_learning_rate(rate), ranger.look_ahead()]
    else:
        parts.append({"adam": optax.adam, "nadam": optax.nadam}[options.optimizer](rate, *betas))
    return optax.chain(*parts)


def _beta1(options: TrainingOptions) -> float:
    """Decay rate of the first moment: as given, or the usual one of the optimiser."""
    if options.beta1 is not None:
        return options.beta1
    return ranger.BETA1 if options.optimizer == "ranger" else 0.9


def _weights(params: T) -> T:
    """True for matrices and kernels, False for biases and other vectors."""
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)
