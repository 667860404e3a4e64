"""Intermediate quantities of a dataset, written out in its expressions before any job sees them.

A job's fingerprint then holds what its own expressions need and nothing else.
"""

from __future__ import annotations

import keyword
from collections.abc import Mapping
from typing import Any

from rootloom.errors import ConfigError
from rootloom.rootio.syntax import Signature, Syntax, inlined

Reader = Mapping[str, Any]


def written_out(reader: Reader, definitions: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a RowReader without any of the names in `definitions`."""

    def one(text: str | None) -> str | None:
        return inlined(text, definitions) if text else text

    def each(texts: Mapping[str, str]) -> dict[str, str | None]:
        return {name: one(text) for name, text in texts.items()}

    return {
        **reader,
        **{key: one(reader[key]) for key in ("select", "weight", "training_weight")},
        **{key: each(reader[key]) for key in ("variables", "targets", "splits")},
        "objects": {name: each(members) for name, members in reader["objects"].items()},
        "identity": [one(text) for text in reader["identity"]],
        "classes": [{**rule, "where": one(rule["where"])} for rule in reader["classes"]],
    }


def check_definitions(
    definitions: Mapping[str, str], functions: Mapping[str, Signature], where: str
) -> None:
    """Refuse names that no expression can name, expressions outside the language, and circles."""
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
    """Refuse an expression outside the language, as it is written and once written out.

    functions: those that it may call.
    """
    Syntax(text, functions, f"{where}: '{text}'")
    if (whole := inlined(text, definitions)) != text:
        Syntax(whole, functions, f"{where}: '{text}', written out")
