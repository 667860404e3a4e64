"""Classification: one logit for two classes, one a class for more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from rootloom.errors import ConfigError
from rootloom.models.layers import EXAMPLE, example_seeds
from rootloom.tasks.base import Params, require_role
from rootloom.types import Batch

# Bins of the score in which the area under the ROC curve is followed during training.
SCORE_BINS = 512


class _Network(nn.Module):
    """A backbone and the linear map from its embedding to the logits, (B, outputs) float32."""

    backbone: nn.Module
    outputs: int

    @nn.compact
    def __call__(self, inputs: Any, *, train: bool) -> Array:
        embedding = self.backbone(inputs, train=train)
        return nn.Dense(self.outputs, name="head")(embedding.astype(jnp.float32))


@dataclass(frozen=True)
class Classification:
    """Cross entropy on a model's embedding.

    model: a backbone of `rootloom.models`. representation: normalises inputs with `statistics`,
    the moments by sample name. classes: in the order of the targets. signal: the class whose
    probability the score of a two-class task is; the last one when not given.
    Raises ConfigError when the model does not consume what the representation yields.
    """

    role: ClassVar[str] = "embedding"

    model: Any
    representation: Any
    statistics: Mapping[str, Any]
    classes: Sequence[str]
    signal: str | None = None

    def __post_init__(self) -> None:
        require_role(self)
        if len(self.classes) < 2:
            raise ConfigError("classes", expected="at least two", found=str(list(self.classes)))
        if self.signal is not None and self.signal not in self.classes:
            raise ConfigError("signal", expected=f"one of {list(self.classes)}", found=self.signal)

    def init(self, key: Array, batch: Batch) -> Params:
        """Parameters for inputs of this shape."""
        inputs = self._normalise(batch)
        params: Params = self._network.init(key, inputs, train=False)["params"]
        return params

    def loss(
        self, params: Params, batch: Batch, key: Array, *, train: bool
    ) -> tuple[Array, dict[str, Array]]:
        """Cross entropy in nats, (B,); its metrics are what `summary` reads."""
        logits = self._logits(params, batch, key, train=train)
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
        """The signal's "score" for two classes, else "score_<class>" of each."""
        if len(self.classes) == 2:
            return ("score",)
        return tuple(f"score_{name}" for name in self.classes)

    def predict(self, params: Params, batch: Batch, key: Array) -> dict[str, Array]:
        """The probabilities that `columns` names."""
        logits = self._logits(params, batch, key, train=False)
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

    def groups(self, params: Params) -> Any:
        """All parameters in one group, "default"."""
        return jax.tree.map(lambda _: "default", params)

    def cast(self, precision: str) -> Classification:
        """The same task with a model that computes in this precision."""
        return replace(self, model=self.model.clone(dtype=precision))

    @property
    def _signal(self) -> int:
        return list(self.classes).index(self.signal or self.classes[-1])

    @property
    def _network(self) -> _Network:
        return _Network(self.model, 1 if len(self.classes) == 2 else len(self.classes))

    def _normalise(self, batch: Batch) -> Any:
        return self.representation.normalise(batch.inputs, self.statistics)

    def _logits(self, params: Params, batch: Batch, key: Array, *, train: bool) -> Array:
        variables: dict[str, Any] = {"params": params}
        if train:
            variables[EXAMPLE] = {"seed": example_seeds(key, batch.id)}
        logits: Array = self._network.apply(variables, self._normalise(batch), train=train)
        return logits


def _outer(truth: Array, size: int, choice: Array) -> Array:
    """One-hot truth (B, K) ⊗ one-hot choice: (B, K, size)."""
    return truth[:, :, None] * jax.nn.one_hot(choice, size, dtype=jnp.float32)[:, None, :]


def area_under_curve(background: np.ndarray, signal: np.ndarray) -> float:
    """P(signal scores above background) from histograms of the score; ties count half."""
    below = np.cumsum(background) - background
    pairs = background.sum() * signal.sum()
    return float((signal * (below + background / 2)).sum() / pairs) if pairs else float("nan")
