"""The members that a class of a group must have, from the base class of the group.

Only the base class declares members, with their defaults and descriptions: a
method without a default is abstract, an attribute without one is annotated and has no value.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterable
from typing import TypeVar

F = TypeVar("F", bound=Callable)
_FLAG = "__asked_if__"

# The end of the descriptions of fields in a docstring.
_REFUSALS = re.compile(r"\s*\bRaises \w+Error\b")


def asked_if(flag: str) -> Callable[[F], F]:
    """Mark a method that must be defined if a class sets this attribute, such as `drawn`."""

    def marked(method: F) -> F:
        setattr(method, _FLAG, flag)
        return method

    return marked


def lacking(cls: type, base: type) -> dict[str, str]:
    """Members that a class derived from `base` must have but lacks, with their descriptions."""
    kinds = [kind for kind in cls.__mro__ if issubclass(kind, base)]
    attributes = [name for kind in kinds for name in inspect.get_annotations(kind)]
    docstrings = "\n\n".join(inspect.cleandoc(kind.__doc__ or "") for kind in kinds)
    said = entries(attributes, docstrings)
    found = {n: said.get(n, "see its base class") for n in attributes if not _has(cls, n)}
    for name in (name for kind in kinds for name in vars(kind)):
        method = inspect.getattr_static(cls, name)
        flag = vars(method).get(_FLAG) if inspect.isfunction(method) else None
        if getattr(method, "__isabstractmethod__", False):
            found[name] = _first_line(method)
        elif flag is not None and getattr(cls, flag) != getattr(base, flag):
            found[name] = f"{_first_line(method)} (the class says `{flag}`)"
    return found


def entries(names: Iterable[str], docstring: str) -> dict[str, str]:
    """Descriptions of these names in a docstring: `name: words`, `one, another: words`."""
    one = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
    said: dict[str, str] = {}
    if not one:
        return said
    entry = re.compile(rf"(?:^|(?<=[.;)]\s)|(?<=\n))((?:{one})(?:,\s(?:{one}))*):\s")
    for paragraph in inspect.cleandoc(docstring).split("\n\n"):
        found = list(entry.finditer(paragraph))
        ends = [*(match.start() for match in found[1:]), len(paragraph)]
        for match, end in zip(found, ends, strict=False):
            words = " ".join(paragraph[match.end() : end].split())
            words = _REFUSALS.split(words)[0].rstrip(".;")
            for name in re.split(r",\s", match[1]):
                said.setdefault(name, words)
    return said


def _has(cls: type, name: str) -> bool:
    """Whether a class has an attribute, or its instances do as a field without a default."""
    fields = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
    return hasattr(cls, name) or name in {field.name for field in fields}


def _first_line(method: object) -> str:
    return (inspect.getdoc(method) or "").partition("\n")[0]
