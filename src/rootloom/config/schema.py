"""The JSON schema of the configuration, generated from the classes that own it.

`config/schema.json` serves editors and the workflow, which checks sections against it without
importing the heavy packages behind the classes. A test compares it with what is generated here.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import ConfigDict, create_model

from rootloom.config import registry
from rootloom.config.sections import Dataset, Experiment, Rates, Settings, Table

# Fields that Flax adds to every module; the compute type, which training's `precision` decides; and
# what a task is given by its method and dataset.
NOT_CONFIGURATION = frozenset(
    {
        "parent",
        "name",
        "dtype",
        "model",
        "representation",
        "statistics",
        "classes",
        "targets",
        "reference",
    }
)
# What a class declares to those that check and plan without importing it.
DECLARED = (
    "consumes",
    "reads",
    "kind",
    "processes",
    "learns",
    "least",
    "most",
    "requires",
    "signed",
    "yields",
    "role",
    "evaluation",
    "shown",
    "drawn",
)
# Classes that are configured but not chosen by a kind.
SINGLE = {
    "training": "rootloom.training.options:TrainingOptions",
    "reweight": "rootloom.shards.reweight:Reweight",
}

SIGNATURES = "rootloom.rootio.functions:signatures"  # how functions of expressions are called


# What a docstring says of its class behind its fields.
_REFUSALS = re.compile(r"\s*\bRaises \w+Error\b")


def generate() -> dict[str, Any]:
    """The schema as plain data."""
    definitions: dict[str, Any] = {}
    for group, entries in registry.REGISTRY.items():
        definitions[group] = {n: of_class(registry.resolve(group, n)) for n in sorted(entries)}
    for name, target in SINGLE.items():
        definitions[name] = {name: of_class(registry.load(target))}
    for section in (Settings, Rates, Dataset, Experiment, Table):
        definitions[section.__name__.lower()] = section.model_json_schema()
    signatures: Any = registry.load(SIGNATURES)
    definitions["functions"] = {name: s._asdict() for name, s in signatures().items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "rootloom configuration (generated: rootloom schema)",
        "$defs": definitions,
    }


def of_class(cls: type) -> dict[str, Any]:
    """Schema of a dataclass's fields; what it consumes or produces travels as `x-` keys."""
    hints = get_type_hints(cls, include_extras=True)
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        if not field.init or field.name in NOT_CONFIGURATION:
            continue
        fields[field.name] = (hints[field.name], _default(field))
    model = create_model(cls.__name__, __config__=ConfigDict(extra="forbid"), **fields)
    schema = model.model_json_schema()
    for described in cls.__mro__[:-1]:  # a base says what its own fields are
        _describe(schema, described.__doc__ or "")
    for nested in schema.get("$defs", {}).values():
        if nested.get("type") == "object":
            nested["additionalProperties"] = False
            _describe(nested, nested.get("description", ""))
    schema["description"] = (cls.__doc__ or "").strip().splitlines()[0]
    for attribute in DECLARED:
        if hasattr(cls, attribute):
            schema[f"x-{attribute}"] = getattr(cls, attribute)
    return schema


def _describe(schema: dict[str, Any], docstring: str) -> None:
    """Give the fields what the docstring says of them: `name: words`, `one, another: words`."""
    fields = schema.get("properties", {})
    one = "|".join(sorted(map(re.escape, fields), key=len, reverse=True))
    if not fields:
        return
    entry = re.compile(rf"(?:^|(?<=[.;)]\s)|(?<=\n))((?:{one})(?:,\s(?:{one}))*):\s")
    for paragraph in inspect.cleandoc(docstring).split("\n\n"):
        found = list(entry.finditer(paragraph))
        ends = [*(match.start() for match in found[1:]), len(paragraph)]
        for match, end in zip(found, ends, strict=False):
            words = " ".join(paragraph[match.end() : end].split())
            words = _REFUSALS.split(words)[0].rstrip(".;")
            for name in re.split(r",\s", match[1]):
                fields[name].setdefault("description", words)


def write(path: Path) -> None:
    """Write the schema where the workflow reads it."""
    path.write_text(text())


def text() -> str:
    """The schema as it is stored."""
    return json.dumps(generate(), indent=1, sort_keys=True, default=list) + "\n"


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return ...
