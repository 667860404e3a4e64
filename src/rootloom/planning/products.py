"""Outputs of trained networks, by what their task `yields`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rootloom.system.paths import Paths
from rootloom.types import GROUPS, SPLITS


@dataclass(frozen=True)
class Product:
    """The output of one member of a method for a dataset.

    rule: the rule that applies networks. parts: those for which it writes a file each. evaluated:
    the part that is evaluated. of_rows: whether it has values for every row, which are then written
    to friend trees and compared with those of baselines and other datasets. path: from experiment,
    dataset, method, member and part.
    """

    rule: str
    parts: tuple[str, ...]
    evaluated: str
    of_rows: bool
    path: Callable[[Paths, str, str, str, int, str], str]


def _examples(
    paths: Paths, experiment: str, dataset: str, method: str, member: int, part: str
) -> str:
    return paths.generated(experiment, dataset, method, member)


PRODUCTS = {
    "predictions": Product("predict", GROUPS, SPLITS[-1], True, Paths.predictions),
    "examples": Product("generate", SPLITS[-1:], SPLITS[-1], False, _examples),
}
