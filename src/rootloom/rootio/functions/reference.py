"""Generated documentation: the functions of expressions, and every key of the configuration.

`rootloom schema` writes the pages together with the schema; a test compares them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from rootloom.config.classes import Schema
from rootloom.rootio.functions.registry import EXAMPLE, FUNCTIONS, Given

# What stands below is written by `expressions_page`.
MARK = "<!-- generated below: rootloom schema -->"
# The language by examples over the same entries: expression, value, what it is.
LANGUAGE: tuple[tuple[str, Given, str], ...] = (
    ("MET_pt + 2 * run", [42.0, 27.0, 64.0], "`+ - * / // % **`"),
    ("run / 2", [0.5, 0.5, 1.0], "no integer division"),
    ("(MET_pt > 30) & (run == 1)", [True, False, False], "`& \\| ~`, with parentheses"),
    ("MET_pt > 30 and not run == 1", [False, False, True], "`and or not`, without"),
    ("30 < MET_pt <= 40", [True, False, False], "chains"),
    ("((run << 2) & 4) > 0", [True, True, False], "bits: `<< >> & \\| ^`"),
    ('sample == "wjets"', [True, False, True], "words: `== !=`"),
    ('sample in ("ttbar", "zjets")', [False, True, False], "one of several: `in`, `not in`"),
    ("Jet_pt * 2", [[160.0, 100.0, 60.0], [], [200.0]], "for all objects"),
    (
        "Jet_pt / MET_pt",
        [[2.0, 1.25, 0.75], [], [1.6667]],
        "each object with the value of its entry",
    ),
    ("Jet_pt[Jet_pt > 40]", [[80.0, 50.0], [], [100.0]], "objects for which a mask is true"),
    ("Jet_pt[:, :2]", [[80.0, 50.0], [], [100.0]], "the leading ones"),
    ("Jet_pt[:, 0]", [80.0, float("nan"), 100.0], "one of them; NaN if there is none"),
    ("Jet_pt[:, -1]", [30.0, float("nan"), 100.0], "the last"),
    ("Jet_hits[:, :, 0]", [[1.0, float("nan"), 3.0], [], [4.0]], "of lists in lists"),
    ("sum(Jet_hits)", [[3, 0, 3], [], [15]], "over the innermost axis by default"),
    (
        "sum(Jet_hits, axis=1)",
        [[4, 2], [], [4, 5, 6]],
        "the first values of all jets, the second …",
    ),
    ("sum(sum(Jet_hits))", [6, 0, 15], "all of them"),
    ('branch("MET_pt")', [40.0, 25.0, 60.0], "a branch of any name"),
    ('branch("MET_et", "MET_pt")', [40.0, 25.0, 60.0], "the first that the file has"),
)
_KINDS = {
    "datasets": "dataset",
    "experiments": "experiment",
    "tables": "table",
    "rates.yaml": "rates",
    "config.yaml": "settings",
}
_SINGLE = {
    "training": "`training:` of an experiment or a method",
    "reweight": "`reweight:` of a dataset",
}
_GROUPS = {
    "representations": "files of `config/representations`",
    "models": "files of `config/models`",
    "tasks": "`task:` of an experiment or a method",
    "evaluations": "`evaluation:` of an experiment; the task names the kind",
    "baselines": "`baselines:` of an experiment, by name",
    "simulations": "`simulate.source:` of a dataset",
}


def expressions_page(page: str) -> str:
    """docs/expressions.md, with the part below MARK generated from the registry of functions."""
    head = page.partition(MARK)[0]
    return "".join(f"{line}\n" for line in [head + MARK, "", *_functions()])


def _functions() -> Iterator[str]:
    yield "## Entries of the examples"
    yield ""
    yield "| branch | entry 0 | entry 1 | entry 2 |"
    yield "|---|---|---|---|"
    for name, values in EXAMPLE.items():
        yield f"| `{name}` | {' | '.join(_shown(value) for value in values)} |"
    yield ""
    yield "## The language"
    yield ""
    yield "| expression | value | |"
    yield "|---|---|---|"
    for text, gives, words in LANGUAGE:
        yield f"| `{text.replace('|', chr(92) + '|')}` | {_shown(gives)} | {words} |"
    known = sorted(FUNCTIONS.values(), key=lambda f: f.group)
    for group, functions in groupby(known, key=lambda f: f.group):
        yield ""
        yield f"## {group}"
        yield ""
        yield "| function | | example | value |"
        yield "|---|---|---|---|"
        for one in functions:
            yield f"| `{one.usage}` | {one.doc} | `{one.example}` | {_shown(one.gives)} |"


def configuration_page(schema: Schema) -> str:
    """docs/configuration.md, from the schema."""
    definitions = schema["$defs"]
    lines = [
        "# Configuration",
        "",
        "Every key with its type and default, generated from the classes that read it by",
        "`rootloom schema`; **bold** keys have no default. A file with an unknown key is refused,",
        "with the nearest known one. `kind:` chooses a class, one of those below or, as",
        "`package.module:Class`, of a package of your own; its fields follow. Numbers may be",
        "written 1e-3. The language of expressions: [expressions](expressions.md).",
    ]
    for place, name in _KINDS.items():
        where = f"config/{place}" + ("" if "." in place else "/NAME.yaml")
        lines += ["", f"## {name.capitalize()}: `{where}`", *_class(definitions[name], 3)]
    for name, where in _SINGLE.items():
        lines += ["", f"## {name.capitalize()}: {where}", *_class(definitions[name][name], 3)]
    for group, where in _GROUPS.items():
        lines += ["", f"## {group.capitalize()}: {where}"]
        for kind, fields in definitions[group].items():
            lines += ["", f"### `kind: {kind}`", *_class(fields, 4)]
    return "\n".join(lines) + "\n"


def _class(schema: Schema, level: int) -> list[str]:
    """Description of a class, its keys, and the classes inside them."""
    lines = ["", _first_paragraph(schema.get("description", ""))]
    properties = schema.get("properties", {})
    if properties:
        lines += ["", "| key | type | default | |", "|---|---|---|---|"]
    required = schema.get("required", ())
    for name, field in properties.items():
        key = f"**`{name}`**" if name in required else f"`{name}`"
        default = "" if name in required else f"`{json.dumps(_default(field), ensure_ascii=False)}`"
        words = " ".join(field.get("description", "").split()).replace("|", "\\|")
        lines.append(f"| {key} | {_type(field)} | {default} | {words} |")
    for name, inner in schema.get("$defs", {}).items():
        lines += ["", f"{'#' * level} {name}", *_class(inner, level + 1)]
    return lines


def _default(field: Schema) -> object:
    """A default value; `{}` for a section, whose defaults are in its own table."""
    default = field.get("default")
    return {} if isinstance(default, dict) and "$ref" in field else default


def _type(field: Schema) -> str:
    """The type of a key in words."""
    if "$ref" in field:
        return f"*{field['$ref'].rpartition('/')[2]}*"
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    if options := field.get("anyOf") or field.get("oneOf"):
        return " or ".join(dict.fromkeys(map(_type, options)))
    kind = field.get("type")
    if kind == "array":
        parts = field.get("prefixItems")
        inside = ", ".join(map(_type, parts)) if parts else _type(field.get("items", {}))
        return f"list of {inside}"
    if kind == "object":
        inner = field.get("additionalProperties")
        return f"mapping to {_type(inner)}" if isinstance(inner, dict) and inner else "mapping"
    words = {
        "string": "text",
        "integer": "whole number",
        "number": "number",
        "boolean": "true or false",
    }
    return words.get(str(kind), "null" if kind == "null" else "anything") + _range(field)


def _range(field: Schema) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {field[key]:g}" for key, sign in signs.items() if key in field]
    return f" {', '.join(bounds)}" if bounds else ""


def _first_paragraph(text: str) -> str:
    return " ".join(text.strip().partition("\n\n")[0].split())


def _shown(value: float | str | Given) -> str:
    """A value of the examples as text."""
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_shown, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else f"{value:g}" if value == value else "NaN"


def pages(root: Path, schema: Schema) -> dict[Path, str]:
    """The pages as they are stored, by path."""
    expressions = root / "docs" / "expressions.md"
    head = expressions.read_text() if expressions.exists() else ""
    return {
        expressions: expressions_page(head),
        root / "docs" / "configuration.md": configuration_page(schema),
    }
