"""Shapes in annotations, checked where these modules are called: `conftest.py` asks for it.

Processes that tests start check nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from beartype import beartype

MODULES = (
    "rootloom.models",
    "rootloom.physics.jets.kinematics",
    "rootloom.tasks",
    "rootloom.training.step",
)
# How an annotation begins that has a shape: Float32[Array, "B F"].
_SHAPE = re.compile(r"\b(Bool|Float|Float32|Int32|Integer|Shaped|UInt32)\[")
F = TypeVar("F", bound=Callable)


def checked(function: F) -> F:
    """`function`, which refuses arrays of other shapes or types than its annotations say.

    mypy has checked what annotations have no shape.
    """
    given = function.__annotations__
    shapes = {name: hint for name, hint in given.items() if _SHAPE.search(str(hint))}
    if not shapes:
        return function
    function.__annotations__ = shapes
    try:
        return beartype(function)
    finally:
        function.__annotations__ = given
