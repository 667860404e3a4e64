"""Intermediate quantities of a dataset are substituted in its expressions before any job starts.

The fingerprint of a job then contains only what its own expressions need.
"""

from __future__ import annotations

import keyword
from collections.abc import Callable, Mapping
from typing import Any

from rootloom.errors import ConfigError
from rootloom.rootio.syntax import Signature, Syntax, inlined

Reader = Mapping[str, Any]
# Fields of a rule that gathers (`rootio.gathering`) that are expressions.
_GATHERING = ("row", "object", "links", "references", "lists", "select", "sort")


def written_out(reader: Reader, definitions: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a RowReader with all names in `definitions` substituted."""
    return _rewritten(reader, lambda _, text: inlined(text, definitions))


def expressions(reader: Reader) -> list[tuple[str, str]]:
    """All expressions of a reader, each with its key, such as "variables.pt"."""
    found: list[tuple[str, str]] = []

    def note(place: str, text: str) -> str:
        found.append((place, text))
        return text

    _rewritten(reader, note)
    return found


def _rewritten(reader: Reader, one: Callable[[str, str], str]) -> dict[str, Any]:
    """The fields of a RowReader with `one(place, text)` in place of each of its expressions.

    In this order, expressions that name the row collection decide which branch counts rows.
    """

    def at(place: str, text: str | None) -> str | None:
        return one(place, text) if text else text

    def each(place: str, texts: Mapping[str, str]) -> dict[str, str | None]:
        return {name: at(f"{place}.{name}", text) for name, text in texts.items()}

    return {
        **reader,
        **{key: each(key, reader[key]) for key in ("variables", "targets")},
        "objects": {name: each(f"objects.{name}", of) for name, of in reader["objects"].items()},
        "gather": {
            name: gather_rewritten(rule, _inside(f"gather.{name}", one))
            for name, rule in reader["gather"].items()
        },
        **{key: at(key, reader[key]) for key in ("select", "weight", "training_weight")},
        "classes": [
            {**rule, "where": at(f"classes.{rule['name']}.where", rule["where"])}
            for rule in reader["classes"]
        ],
        "splits": each("splits", reader["splits"]),
        "identity": [at(f"identity.{n}", text) for n, text in enumerate(reader["identity"])],
    }


def _inside(place: str, one: Callable[[str, str], str]) -> Callable[[str, str], str]:
    """`one` for keys inside of a place."""
    return lambda key, text: one(f"{place}.{key}", text)


def gather_rewritten(rule: Reader, one: Callable[[str, str], str]) -> dict[str, Any]:
    """The fields of a rule that gathers with `one(key, text)` in place of each expression."""
    return {**rule, **{key: one(key, rule[key]) for key in _GATHERING if rule[key]}}


def check_definitions(
    definitions: Mapping[str, str], functions: Mapping[str, Signature], where: str
) -> None:
    """Refuse invalid names, expressions outside the language, and circular definitions."""
    for name, text in definitions.items():
        if not name.isidentifier() or keyword.iskeyword(name):
            raise ConfigError(
                f"{where}: define.{name}",
                expected="letters, digits and _, beginning with a letter",
                found=f"'{name}'",
                fix=f"a name such as '{''.join(c if c.isalnum() else '_' for c in name)}_'",
            )
        check(text, definitions, functions, f"{where}: define.{name}")
        inlined(name, definitions)


def check(
    text: str, definitions: Mapping[str, str], functions: Mapping[str, Signature], where: str
) -> None:
    """Refuse an expression outside the language, before and after substitution.

    functions: those that it may call.
    """
    Syntax(text, functions, f"{where}: '{text}'")
    if (whole := inlined(text, definitions)) != text:
        Syntax(whole, functions, f"{where}: '{text}', written out")
