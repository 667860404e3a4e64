"""The content of a dataset's file as text: selection, classes, splits, expressions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rootloom.report.inputs import Definition
from rootloom.report.rounding import percent

Words = Mapping[str, Any]


def facts(words: Words) -> list[tuple[str, str]]:
    """Lines on rows, selection, classes and splits.

    words: "tree", "rows", "select", "identity", "splits" and "classes" of the dataset's file.
    """
    rows = "an event" if words["rows"] == "event" else f"an object of {words['rows']}"
    found = [
        ("Rows", f"{rows}, of tree {words['tree']}"),
        ("Selection", words["select"] or "none"),
    ]
    found += [(f"Class {name}", _class(rule)) for name, rule in words["classes"].items()]
    splits = words["splits"] if words["classes"] else {}  # rows of no class are in none
    drawn_from = "events"
    if any(isinstance(of, str) for of in splits.values()):
        drawn_from = "events that no expression puts into a split"
    found += [(f"Split {name}", _split(of, drawn_from)) for name, of in splits.items()]
    if words["identity"]:
        found.append(("Identity of an event", ", ".join(words["identity"])))
    return found


def definitions(words: Words) -> list[Definition]:
    """All names and their expressions, then the expressions of single samples.

    words: "define", "variables", "objects", "gather", "targets", "own" by sample, and "read", the
    variables and collections by representation.
    """
    variables = words["variables"].items()
    found = [Definition("definition", name, text) for name, text in words["define"].items()]
    found += [Definition("variable", name, text, _readers(words, name)) for name, text in variables]
    found += [Definition("target", name, text) for name, text in words["targets"].items()]
    found += [
        Definition("object", f"{group}.{name}", text, _readers(words, group))
        for group, quantities in words["objects"].items()
        for name, text in quantities.items()
    ]
    found += [Definition("gathered", name, _rule(of)) for name, of in words["gather"].items()]
    return [*found, *(one for sample, own in words["own"].items() for one in _own(sample, own))]


def _rule(of: Words) -> str:
    """How a collection is gathered: "of PFCands, within 0.4"."""
    parts = []
    for key, value in of.items():
        inside = value.values() if isinstance(value, dict) else value
        several = isinstance(value, dict | list | tuple)
        parts.append(f"{key} {', '.join(map(str, inside)) if several else value}")
    return "; ".join(parts)


def _readers(words: Words, name: str) -> str:
    return ", ".join(of for of, names in words["read"].items() if name in names)


def _own(sample: str, own: Words) -> Iterator[Definition]:
    of = f"in sample {sample}"
    if "select" in own:
        yield Definition(of, "selection", own["select"] or "none")
    for key in ("define", "variables", "targets"):
        for name, text in own.get(key, {}).items():
            yield Definition(of, name, text)
    for group, quantities in own.get("objects", {}).items():
        for name, text in quantities.items():
            yield Definition(of, f"{group}.{name}", text)


def _class(rule: Words) -> str:
    parts = []
    if rule.get("process"):
        parts.append(f"process {rule['process']}")
    if rule.get("files"):
        parts.append(", ".join(rule["files"]))
    if rule.get("where"):
        parts.append(f"where {rule['where']}")
    return "; ".join(parts) or "rows of its samples"


def _split(of: float | str, drawn_from: str) -> str:
    if isinstance(of, str):
        return f"where {of}"
    return f"{percent(of)} of the {drawn_from}, by the hash of their identity"
