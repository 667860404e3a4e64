"""The training section of a configuration. Importable without JAX: the workflow checks it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from rootloom.errors import ConfigError
from rootloom.types import Size


@dataclass(frozen=True)
class Schedule:
    """How the learning rate changes over the steps of a training.

    kind: constant; cosine, to `final` times the rate; exponential, times `decay` after every epoch;
    warmup_cosine, linear from zero over `warmup_epochs`, then cosine; flat_decay, weaver-core's:
    constant, then in the last 30 % of the epochs times the same factor before each, to 1 % in the
    last. final: last learning rate of a cosine, as a fraction of the first. decay: factor of
    `exponential` after every epoch. warmup_epochs: length of the linear rise. parts: of equal
    length, into which flat_decay cuts the training instead of into epochs; weaver-core's epochs,
    of so many jets (`--samples-per-epoch`), are such.
    """

    kind: Literal["constant", "cosine", "exponential", "flat_decay", "warmup_cosine"] = "constant"
    decay: float = 0.9
    final: float = 0.0
    warmup_epochs: float = 1.0
    parts: Size | None = None


@dataclass(frozen=True)
class EarlyStopping:
    """Stop after `patience` epochs in which the `monitor` of the validation split has not improved.

    monitor: "loss" or a metric of the task, such as "auc". goal: whether the lowest or the highest
    value is best. minimum_gain: smallest change that counts as an improvement.
    patience: epochs without improvement; None never stops, but the best epoch's parameters are
    still kept.
    """

    patience: int | None = 10
    monitor: str = "loss"
    goal: Literal["lowest", "highest"] = "lowest"
    minimum_gain: float = 0.0


@dataclass(frozen=True)
class TrainingOptions:
    """How a network is trained.

    batch_size: examples per step over all devices. epochs: number of passes over the training
    split. optimizer: update rule; ranger is weaver-core's: rectified Adam that looks ahead.
    learning_rate: initial or largest. schedule: of the learning
    rate. early_stopping: when to stop before the last epoch. momentum: of
    sgd. weight_decay: decoupled for adamw and ranger, an L2 penalty
    weight_decay · w² for the others; biases are exempt. clip_norm: largest norm of the gradient.
    seed: of the initial parameters, the order of the rows and all random numbers; the
    number of a member is added to it. precision: of the network's arithmetic; parameters are
    float32.
    bagging: train each member on its own rows drawn with replacement.
    folds: cross-validation: each member leaves out one of so many folds of the
    training split; 0: no cross-validation.
    beta1, beta2: decay rates of the moments of Adam, AdamW, NAdam and Ranger; beta1 is 0.9 by
    default, of Ranger 0.95. average: decay per step of a
    moving average of the parameters, which is validated and kept; 0, the default, uses the last
    parameters.
    group_rates: factors on the learning rate of the task's parameter
    groups, by name; clip_norm applies to each group separately.
    log_every: steps between lines of the log; 0: never. histograms_every: steps between
    histograms of weights and gradients; 0: never. checkpoint_every_steps: steps between
    checkpoints, in addition to `checkpoint_every_minutes`; 0: none.
    checkpoint_every_minutes: time between checkpoints. keep_checkpoints: number of newest
    checkpoints to keep. tensorboard: write event files for TensorBoard.
    resident_bytes: rows that fit into so many bytes of a device's memory stay there, and many steps
    run in one call; 0, and rows that do not fit, send every batch.
    """

    batch_size: int = 128
    epochs: int = 20
    optimizer: Literal["adam", "adamw", "nadam", "ranger", "sgd"] = "adam"
    learning_rate: float = 1e-3
    momentum: float = 0.0
    beta1: float | None = None
    beta2: float = 0.999
    average: float = 0.0
    group_rates: dict[str, float] = field(default_factory=dict)
    schedule: Schedule = field(default_factory=Schedule)
    weight_decay: float = 0.0
    clip_norm: float | None = None
    early_stopping: EarlyStopping = field(default_factory=EarlyStopping)
    precision: Literal["float32", "bfloat16"] = "float32"
    seed: int = 0
    log_every: int = 50
    histograms_every: int = 0
    checkpoint_every_steps: int = 0
    checkpoint_every_minutes: float = 10.0
    keep_checkpoints: int = 2
    tensorboard: bool = True
    bagging: bool = False
    folds: int = 0
    resident_bytes: int = 2 << 30

    def __post_init__(self) -> None:
        if self.folds == 1 or self.folds < 0 or (self.folds and self.bagging):
            raise ConfigError(
                "training.folds",
                expected="0, or two or more and no bagging",
                found=f"{self.folds}, bagging {self.bagging}",
            )
        positive = ("batch_size", "epochs", "learning_rate", "log_every", "keep_checkpoints")
        _refuse(self, positive, "above zero", lambda value: value > 0)
        counts = ("weight_decay", "momentum", "seed", "histograms_every", "checkpoint_every_steps")
        _refuse(self, (*counts, "resident_bytes"), "zero or more", lambda value: value >= 0)
        rates = ("beta2", "average") if self.beta1 is None else ("beta1", "beta2", "average")
        _refuse(self, rates, "in [0, 1)", lambda value: 0 <= value < 1)
        for name, factor in self.group_rates.items():
            if not factor > 0:
                raise ConfigError(
                    f"training.group_rates.{name}", expected="above zero", found=str(factor)
                )
        if self.momentum and self.optimizer != "sgd":
            raise ConfigError(
                "training.momentum",
                expected=f"0 with optimizer '{self.optimizer}', which takes none",
                found=f"{self.momentum:g}",
                fix="set beta1, which has this role for the others, or use sgd",
            )
        if self.clip_norm is not None:
            _refuse(self, ("clip_norm",), "above zero, or null", lambda value: value > 0)


def _refuse(
    options: TrainingOptions, names: tuple[str, ...], expected: str, holds: Callable[[float], bool]
) -> None:
    for name in names:
        value = getattr(options, name)
        if not holds(value):
            raise ConfigError(f"training.{name}", expected=expected, found=str(value))
