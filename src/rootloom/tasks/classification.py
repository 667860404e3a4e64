"""Classification: one logit for two classes, one a class for more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jaxtyping import Float32

from rootloom.errors import ConfigError
from rootloom.tasks.base import Params
from rootloom.tasks.supervised import Supervised
from rootloom.types import Batch, score_columns

# Bins of the score in which the area under the ROC curve is followed during training.
SCORE_BINS = 512


@dataclass(frozen=True)
class Classification(Supervised):
    """Cross entropy on a model's embedding.

    classes: in the order of the targets. signal: the class whose probability the score of a
    two-class task is; the last one when not given.
    """

    learns: ClassVar[str] = "classes"
    least: ClassVar[int] = 2
    evaluation: ClassVar[str] = "classification"
    probability: ClassVar[bool] = True

    classes: Sequence[str] = ()
    signal: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.classes) < 2:
            raise ConfigError("classes", expected="at least two", found=str(list(self.classes)))
        if self.signal is not None and self.signal not in self.classes:
            raise ConfigError("signal", expected=f"one of {list(self.classes)}", found=self.signal)

    @property
    def outputs(self) -> int:
        """One logit for two classes, else one a class."""
        return 1 if len(self.classes) == 2 else len(self.classes)

    def loss(
        self, params: Params, batch: Batch, key: Array, *, train: bool
    ) -> tuple[Float32[Array, " B"], dict[str, Float32[Array, "B ..."]]]:
        """Cross entropy in nats, (B,); its metrics are what `summary` reads."""
        return self.of_logits(self.apply(params, batch, key, train=train), batch, train=train)

    def of_logits(
        self, logits: Float32[Array, "B K"], batch: Batch, *, train: bool
    ) -> tuple[Float32[Array, " B"], dict[str, Float32[Array, "B ..."]]]:
        """What `loss` makes of the logits of classes (B,)."""
        if len(self.classes) == 2:
            logit, signal = logits[:, 0], batch.target == self._signal
            loss = optax.sigmoid_binary_cross_entropy(logit, signal.astype(jnp.float32))
            choice = jnp.where(logit > 0, self._signal, 1 - self._signal)
        else:
            loss = optax.softmax_cross_entropy_with_integer_labels(logits, batch.target)
            choice = jnp.argmax(logits, axis=1)
        metrics = {"accuracy": (choice == batch.target).astype(jnp.float32)}
        if not train:
            truth = jax.nn.one_hot(batch.target, len(self.classes), dtype=jnp.float32)
            metrics["confusion"] = _outer(truth, len(self.classes), choice)
            if len(self.classes) == 2:
                bins = (jax.nn.sigmoid(logits[:, 0]) * SCORE_BINS).astype(jnp.int32)
                metrics["scores"] = _outer(truth, SCORE_BINS, jnp.minimum(bins, SCORE_BINS - 1))
        return loss, metrics

    def columns(self) -> tuple[str, ...]:
        """See `score_columns`."""
        return score_columns(self.classes)

    def predict(self, params: Params, batch: Batch, key: Array) -> dict[str, Array]:
        """The probabilities that `columns` names."""
        return self.scores(self.apply(params, batch, key, train=False))

    def scores(self, logits: Float32[Array, "B K"]) -> dict[str, Array]:
        """Probabilities (B,), by the names of `columns`."""
        if len(self.classes) == 2:
            return {"score": jax.nn.sigmoid(logits[:, 0])}
        scores = jax.nn.softmax(logits, axis=1)
        return {name: scores[:, i] for i, name in enumerate(self.columns())}

    def summary(self, means: Mapping[str, np.ndarray]) -> dict[str, float | np.ndarray]:
        """accuracy; confusion (truth, choice), rows shares of a class; auc of two classes."""
        figures: dict[str, float | np.ndarray] = {"accuracy": float(means["accuracy"])}
        if "confusion" in means:
            confusion = np.asarray(means["confusion"], np.float64)
            total = confusion.sum(axis=1, keepdims=True)
            figures["confusion"] = confusion / np.where(total != 0, total, 1.0)
        if "scores" in means:
            scores = np.asarray(means["scores"], np.float64)
            figures["auc"] = area_under_curve(scores[1 - self._signal], scores[self._signal])
        return figures

    @property
    def _signal(self) -> int:
        return list(self.classes).index(self.signal or self.classes[-1])


def _outer(truth: Array, size: int, choice: Array) -> Array:
    """One-hot truth (B, K) ⊗ one-hot choice: (B, K, size)."""
    return truth[:, :, None] * jax.nn.one_hot(choice, size, dtype=jnp.float32)[:, None, :]


def area_under_curve(background: np.ndarray, signal: np.ndarray) -> float:
    """P(signal scores above background) from histograms of the score; ties count half."""
    below = np.cumsum(background) - background
    pairs = background.sum() * signal.sum()
    return float((signal * (below + background / 2)).sum() / pairs) if pairs else float("nan")
