"""A data configuration of weaver-core with its line numbers, and what of it cannot be converted."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from rootloom.config.documents import lines_of, read_yaml, shown
from rootloom.errors import ConfigError, nearest

Place: TypeAlias = tuple[str | int, ...]


def is_number(value: object) -> bool:
    """Whether a value is a number, and not true or false."""
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True)
class Document:
    """The content of a file. lines: numbers from 1, by the keys that lead to a value.

    Problems are collected, so that all of them are shown at once.
    """

    name: str
    content: Mapping[str, Any]
    lines: Mapping[Place, int]
    _problems: dict[tuple[int, str], str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Document:
        """Read a file. Raises ConfigError for what is not YAML with keys."""
        return cls(str(path), read_yaml(path), lines_of(path))

    def refuse(self, place: Place, problem: str) -> None:
        """Note what is wrong with the value at a place."""
        known = next(place[:n] for n in range(len(place), -1, -1) if place[:n] in self.lines)
        key = ".".join(map(str, place))
        self._problems.setdefault((self.lines[known], key), f"{key}: {problem}")

    def expect(self, place: Place, expected: str, found: object) -> None:
        """Note that something else was expected at a place."""
        self.refuse(place, f"expected {expected}, found {shown(found)}")

    def require_none(self) -> None:
        """Raise ConfigError with all problems that were noted, in the order of the lines."""
        if self._problems:
            listed = sorted(self._problems.items())
            raise ConfigError(
                self.name,
                expected="keys and functions of weaver-core that docs/weaver.md lists",
                found="\n            ".join(f"line {line}: {text}" for (line, _), text in listed),
            )

    def section(self, *place: str, keys: Collection[str] | None = None) -> dict[str, Any]:
        """A mapping, empty if it is not there; keys: those that can be converted."""
        found = self._at(*place)
        if not isinstance(found, dict):
            self.expect(place, "a mapping of keys", found)
            return {}
        for key in found if keys is not None else ():
            if key not in (keys or ()):
                known = nearest(key, keys or ())
                self.refuse((*place, key), f"has no counterpart; known here: {known}")
        return found

    def listed(self, *place: str) -> list[Any]:
        """A list, empty if it is not there."""
        found = self._at(*place) or []
        if not isinstance(found, list):
            self.expect(place, "a list", found)
            return []
        return found

    def text(self, *place: str) -> str | None:
        """An expression; None if it is not there."""
        found = self._at(*place)
        if isinstance(found, str):
            return found.strip() or None
        if found == {}:
            return None
        if not is_number(found):
            self.expect(place, "an expression", found)
            return None
        return repr(found)

    def expression(self, *place: str) -> str:
        """An expression that must be there."""
        text = self.text(*place)
        if text is None:
            self.refuse(place, "expected an expression, found nothing")
        return text or "0"

    def _at(self, *place: str) -> Any:
        found: Any = self.content
        for key in place:
            found = found.get(key) if isinstance(found, dict) else None
        return {} if found is None else found
