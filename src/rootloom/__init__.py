"""rootloom turns ROOT files into trained deep-learning models."""

from importlib import import_module as _import_module
from pathlib import Path as _Path
from typing import TYPE_CHECKING as _TYPE_CHECKING

from rootloom.system.kernels import keep_apart as _keep_apart

if _TYPE_CHECKING:
    from collections.abc import Callable

__version__ = "0.1.0"
# Loaded when they are first used: every job imports this module.
_OF_API = ("load", "results")

_keep_apart(_Path(__file__).parent)


def __getattr__(name: str) -> "Callable":
    if name in _OF_API:
        # By name, as no room below it may import it, not even through this module.
        return getattr(_import_module("rootloom.api"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
