"""The functions that expressions may call, over NumPy and Awkward arrays of entries.

A file of this folder registers its own with `registry.function`; those listed here are known.
"""

from rootloom.rootio.functions import elementwise, four_vectors, objects, ordering, reductions
from rootloom.rootio.functions.registry import FUNCTIONS, Function, function, signatures

__all__ = [
    "FUNCTIONS",
    "Function",
    "elementwise",
    "four_vectors",
    "function",
    "objects",
    "ordering",
    "reductions",
    "signatures",
]
