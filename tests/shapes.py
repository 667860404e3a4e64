"""Shapes in annotations, checked where these modules are called: `conftest.py` asks for it.

Processes that tests start check nothing, and where a network is exported nothing is checked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
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
_OPEN: ContextVar[bool] = ContextVar("open sizes", default=False)


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
        strict = beartype(function)
    finally:
        function.__annotations__ = given

    @wraps(function)
    def of_known_sizes(*args: object, **kwargs: object) -> object:
        return (function if _OPEN.get() else strict)(*args, **kwargs)

    return of_known_sizes


@contextmanager
def open_sizes() -> Iterator[None]:
    """Check nothing: sizes are symbols, which jaxtyping does not know."""
    token = _OPEN.set(True)
    try:
        yield
    finally:
        _OPEN.reset(token)
