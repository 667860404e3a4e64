"""The schema of a configured class: its fields, and what it declares to the plan.

For classes of the library it is generated once, for the user's own classes when they are named.
"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeAlias, get_type_hints

from pydantic import ConfigDict, create_model
from pydantic.errors import PydanticUserError

from rootloom.config import registry
from rootloom.config.members import entries
from rootloom.errors import ConfigError, naming, reason

# A JSON schema, as pydantic makes it.
Schema: TypeAlias = dict[str, Any]
# Fields that are not configuration: those that Flax adds to every module, the compute type, which
# training's `precision` decides, and what a task gets from its method and dataset.
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
# Declarations of a class that checks and the plan use without importing it.
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
    "generated",
    "expressed",
    "evaluates",
    "reference",
    "names_targets",
    "models",
    "labels",
)


def of_own(group: str, kind: str, where: str) -> Schema:
    """Schema of a class of the user's own, "package.module:Class".

    where: the key that names it. Raises ConfigError as `registry.resolve` does, and for fields
    whose types no YAML file can give.
    """
    with naming(where):
        cls = registry.resolve(group, kind)
    try:
        return of_class(cls)
    except (NameError, TypeError, PydanticUserError) as error:
        raise ConfigError(
            where,
            expected=f"fields of '{kind}' of types that a YAML file can give",
            found=f"{type(error).__name__}: {reason(error)}",
            fix="annotate them with int, float, str, bool, tuple[…], Literal[…] or another "
            "dataclass, imported where the module runs; what is no field is a ClassVar",
        ) from error


def of_class(cls: type) -> Schema:
    """Schema of a dataclass's fields; what it consumes or produces is in `x-` keys."""
    hints = get_type_hints(cls, include_extras=True)
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        if not field.init or field.name in NOT_CONFIGURATION:
            continue
        fields[field.name] = (hints[field.name], _default(field))
    model = create_model(cls.__name__, __config__=ConfigDict(extra="forbid"), **fields)
    schema = model.model_json_schema()
    for described in cls.__mro__[:-1]:  # a base class describes its own fields
        _describe(schema, described.__doc__ or "")
    for nested in schema.get("$defs", {}).values():
        if nested.get("type") == "object":
            nested["additionalProperties"] = False
            _describe(nested, nested.get("description", ""))
    schema["description"] = (cls.__doc__ or "").strip().partition("\n")[0]
    for attribute in DECLARED:
        if hasattr(cls, attribute):
            schema[f"x-{attribute}"] = getattr(cls, attribute)
    if getattr(cls, "generated", False):
        schema["x-generation"] = of_class(cls.generation)  # type: ignore[attr-defined]
    return schema


def _describe(schema: Schema, docstring: str) -> None:
    """Add descriptions from the docstring to the fields."""
    fields = schema.get("properties", {})
    for name, words in entries(fields, docstring).items():
        fields[name].setdefault("description", words)


def _default(field: dataclasses.Field[object]) -> object:
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return ...
