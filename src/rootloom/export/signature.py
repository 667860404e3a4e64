"""The inputs and outputs of an exported network: the one description that all formats render."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rootloom.errors import ConfigError, require
from rootloom.representations.inputs import Input
from rootloom.tasks.base import Predictor, Served


@dataclass(frozen=True)
class Signature:
    """What a network takes and what it says.

    inputs: arrays, with rows along their first axis. least: slots that the network is given at
    least, by collection. outputs: arrays likewise. scaled: whether inputs are scaled already as
    their quantities say; otherwise the network takes them as they are in the dataset.
    """

    inputs: tuple[Input, ...]
    least: Mapping[str, int]
    outputs: tuple[Served, ...]
    scaled: bool = False

    def __post_init__(self) -> None:
        names = [one.name for one in self.inputs] + [one.name for one in self.outputs]
        twice = sorted({name for name in names if names.count(name) > 1})
        require("export", not twice, "inputs and outputs of different names", ", ".join(twice))
        for name in names:
            fits = name.isidentifier() and name.isascii()
            require(f"export, '{name}'", fits, "a name of letters, digits and _", name)

    @property
    def groups(self) -> tuple[str, ...]:
        """The collections, in the order of the inputs."""
        return tuple(dict.fromkeys(one.group for one in self.inputs if one.group))

    def of_group(self, name: str) -> Iterator[Input]:
        """The inputs of a collection; "" for those of the row."""
        return (one for one in self.inputs if one.group == name)

    def most(self, group: str) -> int:
        """Objects that a row of a collection may have."""
        return max(one.most or 0 for one in self.of_group(group))

    def slots(self, group: str) -> tuple[int, int]:
        """The smallest and the largest number of slots of a collection."""
        least = self.least.get(group, 1)
        return least, max(least, self.most(group))

    def open_sizes(self) -> dict[str, int]:
        """The smallest size for which the network is defined, by the name of an axis of objects."""
        return {str(one.axes[1]): self.least.get(one.group, 1) for one in self.inputs if one.group}

    def content(self) -> dict[str, object]:
        """All of it as JSON data, where what is not bounded is null."""
        return _finite(asdict(self))

    def check(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Refuse arrays of other names, types or shapes; raises ConfigError naming the first."""
        for one in self.inputs:
            where = f"input '{one.name}'"
            if one.name not in arrays:
                raise ConfigError(where, expected="an array", found="none")
            array = arrays[one.name]
            fits = array.dtype == one.dtype and len(array.shape) == len(one.axes)
            fits = fits and all(
                isinstance(axis, str) or axis == size
                for axis, size in zip(one.axes, array.shape, strict=True)
            )
            wanted = f"{one.dtype} ({', '.join(map(str, one.axes))})"
            require(where, fits, wanted, f"{array.dtype} {array.shape}")


def _finite(content: Any) -> Any:
    """JSON data without infinities."""
    if isinstance(content, dict):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    if isinstance(content, float | np.floating):
        return float(content) if np.isfinite(content) else None
    return content


def signature_of(
    task: Predictor, served: Mapping[str, np.ndarray], *, scaled: bool = False
) -> Signature:
    """The signature of a task's network.

    served: any rows, as `Representation.served` makes them. scaled: of the network without
    preprocessing.
    """
    inputs = task.representation.inputs(served, task.statistics)
    groups = dict.fromkeys(one.group for one in inputs if one.group)
    least = {name: task.model.least_slots(name) for name in groups}
    return Signature(inputs, least, task.outputs_served(), scaled)
