"""What tasks that map an example to its truth share: a model, a linear head, one group."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float32

from rootloom.models.base import Model
from rootloom.models.layers import EXAMPLE, example_seeds, random_bits
from rootloom.representations.base import MomentsLike, Representation
from rootloom.representations.turning import Turn
from rootloom.tasks.base import Params, Predictor, require_role
from rootloom.types import Batch

_TURN = 0x7475726E  # tells the bits of a turn from those of other draws


class Network(nn.Module):
    """A backbone and the linear map from its embedding to (B, outputs) float32."""

    backbone: nn.Module
    outputs: int

    @nn.compact
    def __call__(self, inputs: Any, *, train: bool) -> Array:
        """(B, outputs) of a batch's inputs."""
        embedding = self.backbone(inputs, train=train)
        return nn.Dense(self.outputs, name="head")(embedding.astype(jnp.float32))


@dataclass(frozen=True)
class Supervised(Predictor):
    """A model with a linear head; a task adds `outputs`, its loss and its columns.

    model: a backbone of `rootloom.models`. representation: normalises inputs with `statistics`,
    the moments by sample name. Raises ConfigError when the model does not consume what the
    representation yields.
    """

    model: Model
    representation: Representation
    statistics: Mapping[str, MomentsLike]

    def __post_init__(self) -> None:
        require_role(self)

    @property
    @abstractmethod
    def outputs(self) -> int:
        """How many numbers the head makes of an example."""

    def init(self, key: Array, batch: Batch) -> Params:
        """Parameters for inputs of this shape."""
        inputs = self.representation.normalise(batch.inputs, self.statistics)
        params: Params = self._network.init(key, inputs, train=False)["params"]
        return params

    def apply(
        self, params: Params, batch: Batch, key: Array, *, train: bool
    ) -> Float32[Array, "{len(batch.weight)} {self.outputs}"]:
        """The head's numbers of inputs as the representation turns them."""
        return self.applied(params, batch, key, train=train)[0]

    def applied(
        self, params: Params, batch: Batch, key: Array, *, train: bool
    ) -> tuple[Array, Turn | None]:
        """What `apply` says, and how the inputs are turned, if they are."""
        return self.found(params, batch, key, train=train)

    def found(
        self, params: Params, batch: Batch, key: Array, *, train: bool
    ) -> tuple[Any, Turn | None]:
        """All that the network says of a batch, and how the inputs are turned, if they are."""
        variables: dict[str, Any] = {"params": params}
        if train:
            variables[EXAMPLE] = {"seed": example_seeds(key, batch.id)}
        inputs, turn = self.turned(batch, key, train=train)
        if train:
            inputs = self.representation.counting(inputs, batch.weight != 0)
        scaled = self.representation.normalise(inputs, self.statistics)
        return self._network.apply(variables, scaled, train=train), turn

    def turned(self, batch: Batch, key: Array, *, train: bool) -> tuple[Any, Turn | None]:
        """Inputs as the representation turns them, and how, if it does; see its `turned`.

        Its draws are of an example's id and the step's key.
        """
        if not self.representation.turns:
            return batch.inputs, None
        draws = random_bits(example_seeds(key, batch.id), _TURN, ()) if train else None
        # Inputs may be the host's where only the key is traced, and NumPy takes no traced index.
        return self.representation.turned(jax.tree.map(jnp.asarray, batch.inputs), draws)

    def groups(self, params: Params) -> Any:
        """All parameters in one group, "default"."""
        return jax.tree.map(lambda _: "default", params)

    def cast(self, precision: str) -> Self:
        """The same task with a model that computes in this precision."""
        return replace(self, model=self.model.clone(dtype=precision))

    @property
    def _network(self) -> nn.Module:
        return Network(self.model, self.outputs)
