"""What trained networks are applied for, by what their task `yields`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rootloom.system.paths import Paths
from rootloom.types import GROUPS, SPLITS


@dataclass(frozen=True)
class Product:
    """What applying one member of a method to a dataset leaves behind.

    rule: that applies networks. parts: its files are of. judged: the one that is evaluated.
    of_rows: whether it says something of every row, which goes back to ROOT as friend trees and
    may stand beside that of baselines and of other datasets. path: of experiment, dataset, method,
    member and part.
    """

    rule: str
    parts: tuple[str, ...]
    judged: str
    of_rows: bool
    path: Callable[[Paths, str, str, str, int, str], str]


def _predictions(
    paths: Paths, experiment: str, dataset: str, method: str, member: int, part: str
) -> str:
    return paths.predictions(experiment, dataset, method, member, part)


def _examples(
    paths: Paths, experiment: str, dataset: str, method: str, member: int, part: str
) -> str:
    return paths.generated(experiment, dataset, method, member)


PRODUCTS = {
    "predictions": Product("predict", GROUPS, SPLITS[-1], True, _predictions),
    "examples": Product("generate", SPLITS[-1:], SPLITS[-1], False, _examples),
}
