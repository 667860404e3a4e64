"""Parses plain data to sections, with error messages for wrong keys and values.

A message names the path of the key, what was expected in the words of the section's fields, and
the nearest fix, whichever library found the error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, get_args, get_origin

import jsonschema
from pydantic import BaseModel, ValidationError

from rootloom.config.documents import WORDS, shown
from rootloom.errors import ConfigError, nearest

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

# The path of a value: names of keys and numbers of list entries.
Keys: TypeAlias = "list[str | int]"

# A number followed by a unit.
WITH_UNIT = re.compile(r"\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*([A-Za-zµ⁻¹^0-9/-]+)\s*")


def kinds_in(annotation: object) -> set[object]:
    """The plain types that an annotation is made of."""
    arguments = get_args(annotation)
    return set().union(*map(kinds_in, arguments)) if arguments else {annotation}


S = TypeVar("S", bound=BaseModel)


def parse(cls: type[S], data: object, where: str) -> S:
    """A section from plain data; raises ConfigError naming `where`, the key and the nearest fix."""
    if not isinstance(data, dict):
        raise ConfigError(where, expected="a mapping of keys", found=repr(data))
    for path, key, known in _unknown_keys(cls, data):
        raise ConfigError(
            f"{where}: {'.'.join([*path, key])}",
            expected=f"a known key{' of ' + '.'.join(path) if path else ''}",
            found=f"'{key}'",
            fix=nearest(key, known),
        )
    try:
        return cls.model_validate(data)
    except ValidationError as error:
        raise _refusal(error.errors()[0], data, where, cls) from None


def _refusal(error: ErrorDetails, data: object, where: str, cls: type[BaseModel]) -> ConfigError:
    """The first error of pydantic, in terms of the file."""
    keys, value = _place(data, error["loc"])
    place = ".".join(map(str, keys))
    missing = error["type"] == "missing"
    if missing:
        place = ".".join(map(str, error["loc"]))
    description, section = _described(cls, keys)
    return ConfigError(
        f"{where}: {place}" if place else where,
        expected=_sentence(error, description),
        found=_found(value, place, missing),
        fix=_nearest_value(error, keys[-1] if keys else "", value, description)
        or _inside_section(section, keys, value),
    )


def _inside_section(section: type[BaseModel], keys: Keys, value: object) -> str:
    """The fix for a text in place of a section: write it as the value of the section's key."""
    alone = getattr(section, "alone", "")
    if not (alone and isinstance(value, str)):
        return ""
    quote = ("'" if '"' in value else '"') if re.search(r"[][{},:#]", value) else ""
    return f"{keys[-1]}: {{{alone}: {quote}{value}{quote}}}"


def _found(value: object, place: str, missing: bool) -> str:
    if missing:
        return "no such key"
    return shown(value) if place else "this section as a whole"


def _place(data: object, loc: tuple[str | int, ...]) -> tuple[Keys, object]:
    """The keys of a refused value, without pydantic's names of alternatives, and the value."""
    keys: Keys = []
    for part in loc:
        if isinstance(data, dict) and part in data:
            data = data[part]
        elif isinstance(data, list) and part in range(len(data)):
            data = data[int(part)]
        else:
            break
        keys.append(part)
    return keys, data


def _described(cls: type[BaseModel], keys: Keys) -> tuple[str, type[BaseModel]]:
    """Description of the key with this path, and its innermost section."""
    described, below = "", cls
    for key in keys:
        fields = {field.alias or name: field for name, field in below.model_fields.items()}
        if key in fields:
            described = fields[key].description or ""
            below = _section_in(fields[key].annotation)[0] or below
    return described, below


_BOUNDS = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "of at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "of at most"),
}
_TYPES = {
    "float": "a number",
    "int": "a whole number",
    "bool": "true or false",
    "string": "a text",
    "list": "a list",
    "dict": "a mapping of keys",
    "model": "a mapping of keys",
    "finite": "a finite number",
}


def _sentence(error: ErrorDetails, description: str) -> str:
    kind = str(error["type"])
    if kind == "missing":
        return "this key, which has no default"
    if kind in _BOUNDS:
        limit, words = _BOUNDS[kind]
        said = f"a number {words} {error['ctx'][limit]:g}"
    else:
        said = _TYPES.get(kind.partition("_")[0], "")
    if not said:
        return str(error["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    return f"{said} ({description})" if description else said


def _nearest_value(error: ErrorDetails, key: str | int, value: object, description: str) -> str:
    """The nearest valid value, if there is one."""
    kind = str(error["type"])
    if kind == "literal_error":
        return nearest(str(value), re.findall(r"'([^']*)'", error["ctx"]["expected"]))
    if kind.startswith("list") and isinstance(value, str):
        return f"{key}: [{value}]"
    if kind.startswith(("float", "int")) and isinstance(value, str):
        return _without_unit(str(key), value, description)
    return ""


def _without_unit(key: str, value: str, description: str) -> str:
    with suppress(ValueError):
        return f"{key}: {float(value):g}, without quotes"
    written = WITH_UNIT.fullmatch(value)
    if written is None:
        return ""
    number, unit = written.groups()
    wanted = re.split(r"[;,:]", description)[0].strip()
    if not wanted or " " in wanted:
        return f"{key}: {number}"
    if wanted == unit or (wanted, unit) in {("fb⁻¹", "fb-1"), ("fb⁻¹", "/fb"), ("fb⁻¹", "fb^-1")}:
        return f"{key}: {number}, as the unit is {wanted}"
    return f"a number in {wanted}, without the unit"


def _unknown_keys(
    cls: type[BaseModel], data: object, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], str, list[str]]]:
    if not isinstance(data, dict):
        return
    fields = {field.alias or name: field for name, field in cls.model_fields.items()}
    for key, value in data.items():
        if key not in fields:
            yield path, str(key), list(fields)
            continue
        below, many = _section_in(fields[key].annotation)
        if below is None:
            continue
        if many == "dict" and isinstance(value, dict):
            for name, item in value.items():
                yield from _unknown_keys(below, item, (*path, key, str(name)))
        elif many == "list" and isinstance(value, list):
            for number, item in enumerate(value):
                yield from _unknown_keys(below, item, (*path, key, str(number)))
        else:
            yield from _unknown_keys(below, value, (*path, key))


def _section_in(annotation: object) -> tuple[type[BaseModel] | None, str]:
    """The section class inside an annotation, and whether it comes in a dict or a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, ""
    origins: dict[object, str] = {dict: "dict", list: "list"}
    many = origins.get(get_origin(annotation), "")
    for argument in get_args(annotation):
        below, deeper = _section_in(argument)
        if below is not None:
            return below, many or deeper
    return None, ""


def schema_refusal(error: jsonschema.ValidationError, where: str) -> ConfigError:
    """The first error of a section against its schema, in terms of the file."""
    place = ".".join(str(part) for part in error.absolute_path)
    schema = _schema_of(error)
    given = error.instance if isinstance(error.instance, dict) else {}
    if error.validator == "additionalProperties":
        known = schema.get("properties", {})
        unknown = next(key for key in given if key not in known)
        return ConfigError(
            _inside(where, ".".join(filter(None, [place, unknown]))),
            expected="a known field",
            found=f"'{unknown}'",
            fix=nearest(unknown, known),
        )
    if error.validator == "required":
        lacking = next(key for key in schema["required"] if key not in given)
        return ConfigError(
            _inside(where, ".".join(filter(None, [place, lacking]))),
            expected="this key, which has no default",
            found="no such key",
        )
    return ConfigError(
        _inside(where, place) if place else where,
        expected=_schema_sentence(schema) or str(error.message)[:WORDS],
        found=shown(error.instance),
        fix=_schema_fix(error, place.rpartition(".")[2]),
    )


def _schema_of(error: jsonschema.ValidationError) -> Mapping[str, Any]:
    """The part of the schema that is violated."""
    return error.schema if isinstance(error.schema, Mapping) else {}


def _inside(where: str, key: str) -> str:
    """The path of a key in a file, or in a section that `where` names after a colon."""
    return f"{where}{'.' if ': ' in where else ': '}{key}"


_SCHEMA_TYPES = {
    "number": "a number",
    "integer": "a whole number",
    "string": "a text",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping of keys",
    "null": "null",
}
_SCHEMA_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}


def _schema_sentence(schema: Mapping[str, Any]) -> str:
    """The values that a schema allows, in words; "" if not known."""
    if "enum" in schema:
        return "one of: " + ", ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " or ".join(filter(None, map(_schema_sentence, schema["anyOf"])))
    said = _SCHEMA_TYPES.get(schema.get("type", ""), "")
    bounds = [f"{word} {schema[key]:g}" for key, word in _SCHEMA_BOUNDS.items() if key in schema]
    items = schema.get("items")
    if isinstance(items, dict) and (one := _schema_sentence(items)):
        said += f", each {one}"
    if "minItems" in schema and schema["minItems"] == schema.get("maxItems"):
        said += f" of {schema['minItems']}"
    elif "minItems" in schema:
        said += f" of at least {schema['minItems']}"
    return " ".join(filter(None, [said, " and ".join(bounds)]))


def _schema_fix(error: jsonschema.ValidationError, key: str) -> str:
    found, schema = error.instance, _schema_of(error)
    if isinstance(found, str) and "enum" in schema:
        return nearest(found, map(str, schema["enum"]))
    if isinstance(found, float) and found.is_integer() and schema.get("type") == "integer":
        return f"{key}: {int(found)}"
    if isinstance(found, str | int) and schema.get("type") == "array":
        return f"{key}: [{found}]"
    if isinstance(found, str) and schema.get("type") in ("number", "integer"):
        return _without_unit(key, found, "")
    return ""


def _is_whole(checker: jsonschema.TypeChecker, value: object) -> bool:
    """Refuse 15.0 as a whole number, which JSON schemas allow but the classes do not."""
    return isinstance(value, int) and not isinstance(value, bool)


Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_whole),
)
