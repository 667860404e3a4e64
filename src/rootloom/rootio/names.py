"""How files spell the names of branches, and how friend trees call theirs."""

from __future__ import annotations

import re
from collections.abc import Iterable


def resolve(branches: Iterable[str], name: str) -> str | None:
    """How the file spells branch `name`, or None.

    A jagged record is `cons_px` in a TTree and `cons.px` in an RNTuple: either spelling finds both.
    """
    known = branches if isinstance(branches, dict | set | frozenset) else set(branches)
    if name in known:
        return name
    candidates = [name.replace(".", "_")]
    candidates += [f"{name[:i]}.{name[i + 1 :]}" for i, c in enumerate(name) if c == "_"]
    return next((c for c in candidates if c in known), None)


def identifier(name: str) -> str:
    """`name` as a C++ identifier: each run of other characters becomes one '_'.

    There are never two '_' in a row or one at an end, so that '__' parts names that are joined.
    Names that differ in such characters only become one.
    """
    words = _words(name)
    return words if words[:1].isalpha() else f"n{words}"


def friend_tree(tree: str, experiment: str) -> str:
    """Name of the friend tree of `tree`, whose folders and cycle no tree's own name holds."""
    own = tree.partition(";")[0].rpartition("/")[2]
    return f"{identifier(own)}_{identifier(experiment)}_scores"


def friend_branch(experiment: str, *parts: str) -> str:
    """Name of a branch of an experiment's method, and of what the other parts say of it."""
    return "__".join([identifier(experiment), *map(_words, parts)])


def _words(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")
