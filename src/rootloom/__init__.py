"""rootloom turns ROOT files into trained deep-learning models."""

from pathlib import Path as _Path

from rootloom.system.kernels import keep_apart as _keep_apart

__version__ = "0.1.0"

_keep_apart(_Path(__file__).parent)
