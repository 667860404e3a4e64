"""How files spell the names of branches."""

from __future__ import annotations

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
