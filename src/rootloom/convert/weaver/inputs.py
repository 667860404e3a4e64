"""The groups of `inputs` as collections of objects and quantities of the row."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from rootloom.convert.weaver.document import Document, Place, is_number
from rootloom.convert.weaver.terms import PRODUCT, SUM, Term, Unsupported, binary, call
from rootloom.convert.weaver.translation import Translator
from rootloom.errors import ConfigError
from rootloom.system.paths import check_name

Role = Literal["points", "features", "vectors", "mask", "row"]
AUTO = "auto"
MOMENTUM = ("px", "py", "pz", "e")
_ROLES: tuple[Role, ...] = ("points", "features", "vectors", "mask")
_KEYS = ("length", "pad_mode", "vars")
_FIELDS = ("centre", "scale", "min", "max", "pad_value")
# What weaver-core takes for numbers that are left out.
_DEFAULTS: tuple[float, ...] = (1, -5, 5, 0)


@dataclass(frozen=True)
class Scaling:
    """How weaver-core scales a variable: clip((x - centre) · scale, low, high); None: not at all.

    centre: "auto" for what is found in the files.
    """

    centre: float | Literal["auto"] | None
    scale: float = 1.0
    low: float = -5.0
    high: float = 5.0
    pad: float = 0.0

    @property
    def is_auto(self) -> bool:
        """Whether its numbers are those of the files."""
        return self.centre == AUTO

    def applied(self, term: Term) -> Term:
        """An expression of the scaled variable."""
        if self.centre is None or isinstance(self.centre, str):
            return term
        scaled = term
        if self.centre:
            scaled = binary("-", SUM, scaled, Term(number(self.centre)))
        if self.scale != 1:
            scaled = binary("*", PRODUCT, scaled, Term(number(self.scale)))
        return call("clip", scaled, number(self.low), number(self.high))


@dataclass(frozen=True)
class Variable:
    """A variable of a group. place: where the file names it."""

    name: str
    scaling: Scaling
    place: Place


@dataclass(frozen=True)
class Group:
    """A group of `inputs`: what weaver-core passes to the network as one tensor."""

    name: str
    collection: str
    role: Role
    length: int | None
    wrap: bool
    variables: tuple[Variable, ...]

    @property
    def place(self) -> Place:
        """Where the file describes it."""
        return ("inputs", self.name)


@dataclass
class Inputs:
    """Groups by their role. The masks are left out: every collection has its own."""

    groups: list[Group] = field(default_factory=list)

    def of(self, role: Role) -> list[Group]:
        """The groups of a role."""
        return [group for group in self.groups if group.role == role]

    def variables(self) -> Iterator[Variable]:
        """The variables of all groups, in their order."""
        for group in self.groups:
            yield from group.variables

    def with_numbers(self, found: Mapping[str, tuple[float, float]]) -> Inputs:
        """A copy in which "auto" is the centre and the scale of variables by name."""
        return Inputs([_with_numbers(group, found) for group in self.groups])


def _with_numbers(group: Group, found: Mapping[str, tuple[float, float]]) -> Group:
    def one(variable: Variable) -> Variable:
        if not variable.scaling.is_auto:
            return variable
        centre, scale = found[variable.name]
        return replace(variable, scaling=replace(variable.scaling, centre=centre, scale=scale))

    return replace(group, variables=tuple(map(one, group.variables)))


def number(value: float) -> str:
    """A number as expressions write it."""
    return f"{value:g}" if float(f"{value:g}") == value else repr(float(value))


def read_inputs(document: Document, translator: Translator) -> Inputs:
    """The groups of a file. Problems are noted in the document."""
    auto, given = read_method(document)
    found = [
        group
        for name in document.section("inputs")
        if (group := _group(document, name, auto, given)) is not None
    ]
    for group in found:
        if group.role == "mask":
            _check_mask(document, group, translator)
    kept = [group for group in found if group.role != "mask"]
    if not kept:
        document.refuse(("inputs",), "at least one group with variables")
    _check_together(document, found)
    _check_rows(document, Inputs(kept).of("row"))
    return Inputs(kept)


def read_method(document: Document) -> tuple[bool, Mapping[str, Any]]:
    """Whether variables are standardised automatically, and numbers that are known of them."""
    section = document.section("preprocess", keys=("method", "data_fraction", "params"))
    method = str(section.get("method", "manual")).lower()
    if method != "manual" and not method.startswith(AUTO):
        document.expect(("preprocess", "method"), "manual or auto", method)
    share = section.get("data_fraction", 1)
    if not is_number(share) or not 0 < share <= 1:
        document.expect(("preprocess", "data_fraction"), "a number above 0, at most 1", share)
    return method.startswith(AUTO), document.section("preprocess", "params")


def _group(document: Document, name: str, auto: bool, given: Mapping[str, Any]) -> Group | None:
    section = document.section("inputs", name, keys=_KEYS)
    length, mode = section.get("length"), str(section.get("pad_mode", "constant")).lower()
    if length is not None and (type(length) is not int or length < 1):
        expected = "a whole number above 0, or null"
        document.expect(("inputs", name, "length"), expected, length)
        return None
    if mode not in ("constant", "wrap"):
        document.expect(("inputs", name, "pad_mode"), "constant or wrap", mode)
    rows = document.listed("inputs", name, "vars")
    found = [_variable(document, name, n, row, auto, given) for n, row in enumerate(rows)]
    variables = tuple(one for one in found if one is not None)
    if not rows:
        document.refuse(("inputs", name, "vars"), "a list of variables")
    collection, role = _role_of(name, length)
    try:
        check_name(collection, "")
    except ConfigError as refusal:
        document.refuse(("inputs", name), f"{refusal.expected}, as the name of a collection")
    return Group(name, collection, role, length, mode == "wrap", variables) if variables else None


def _role_of(name: str, length: int | None) -> tuple[str, Role]:
    """The collection of a group and what it is, by its name as in weaver-core's networks."""
    if length is None:
        return name, "row"
    collection, _, end = name.rpartition("_")
    known = [role for role in _ROLES if end == role and collection]
    return (collection, known[0]) if known else (name, "features")


def _variable(
    document: Document, group: str, position: int, row: Any, auto: bool, given: Mapping[str, Any]
) -> Variable | None:
    place = ("inputs", group, "vars", position)
    name, *numbers = row if isinstance(row, list) and row else [row]
    good = isinstance(name, str) and name.isidentifier() and len(numbers) <= len(_FIELDS)
    if not good or not all(is_number(one) or n == 0 for n, one in enumerate(numbers)):
        document.expect(place, "[name, centre, scale, min, max, pad value]", row)
        return None
    centre = numbers[0] if numbers else (AUTO if auto else None)
    if centre is not None and centre != AUTO and not is_number(centre):
        document.expect(place, "a number, null or auto as the centre", centre)
        return None
    if name in given:
        return _known(document, name, place)
    rest = [*numbers[1:], *_DEFAULTS[len(numbers[1:]) :]]
    return Variable(name, _scaling(document, name, place, centre, rest), place)


def _known(document: Document, name: str, place: Place) -> Variable:
    """A variable whose numbers weaver-core has written to `params`."""
    keys = ("length", "pad_mode", "center", "scale", "min", "max", "pad_value")
    given = document.section("preprocess", "params", name, keys=keys)
    rest = [given.get(key, default) for key, default in zip(keys[3:], _DEFAULTS, strict=True)]
    wrong = [one for one in (given.get("center") or 0, *rest) if not is_number(one)]
    if wrong:
        document.expect(("preprocess", "params", name), "numbers", wrong[0])
        return Variable(name, Scaling(None), place)
    return Variable(name, _scaling(document, name, place, given.get("center"), rest), place)


def _scaling(
    document: Document, name: str, place: Place, centre: Any, rest: list[float]
) -> Scaling:
    scale, low, high, pad = (float(one) for one in rest)
    if centre == AUTO and name.endswith("_mask"):
        centre = None  # as in weaver-core, whatever the name of the group
    if centre is not None and not low < high:
        document.expect(place, "min below max", [low, high])
    return Scaling(centre, scale, low, high, pad)


def _check_mask(document: Document, group: Group, translator: Translator) -> None:
    """A mask must be 1 for every object: only empty slots are masked here."""
    name = group.variables[0].name
    text = translator.variables.get(name, name)
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        ones = isinstance(tree, ast.Call) and ast.unparse(tree.func).endswith("ones_like")
    except SyntaxError:
        ones = False
    if len(group.variables) > 1 or not ones or group.variables[0].scaling.centre is not None:
        expected = "a mask of all objects, such as ak.ones_like(part_energy)"
        document.expect(group.variables[0].place, expected, text)
    if group.wrap:
        document.expect((*group.place, "pad_mode"), "constant, for a mask", "wrap")


def _check_together(document: Document, groups: list[Group]) -> None:
    """Groups of one collection have one number of slots, one way of filling them, and features."""
    for name in dict.fromkeys(group.collection for group in groups if group.role != "row"):
        of = [group for group in groups if group.collection == name and group.role != "row"]
        features = next((group for group in of if group.role == "features"), None)
        if features is None:
            document.refuse(of[0].place, f"needs a group '{name}_features', which networks see")
            continue
        for group in of:
            if group.role == "features" and group is not features:
                what = f"one group with the features of '{name}', here '{features.name}'"
                document.expect(group.place, what, group.name)
            if group.length != features.length:
                what = f"{features.length}, as of '{features.name}'"
                document.expect((*group.place, "length"), what, group.length)
            if group.role != "mask" and group.wrap != features.wrap:
                what = f"{_mode(features)}, as of '{features.name}'"
                document.expect((*group.place, "pad_mode"), what, _mode(group))
            _check_role(document, group)


def _check_role(document: Document, group: Group) -> None:
    padded = [one for one in group.variables if one.scaling.pad and group.role != "features"]
    for one in padded if not group.wrap else ():
        document.expect(one.place, f"a pad value of 0 in '{group.name}'", one.scaling.pad)
    if group.role == "vectors" and len(group.variables) != len(MOMENTUM):
        expected = "four variables px, py, pz and energy"
        document.expect((*group.place, "vars"), expected, len(group.variables))


def _check_rows(document: Document, groups: list[Group]) -> None:
    """A variable of several groups is scaled in one way, as weaver-core also wants it."""
    first: dict[str, Variable] = {}
    for variable in (one for group in groups for one in group.variables):
        known = first.setdefault(variable.name, variable)
        if known.scaling != variable.scaling:
            what = f"numbers of '{variable.name}' as in inputs.{known.place[1]}"
            document.refuse(variable.place, f"expected {what}, found others")


def _mode(group: Group) -> str:
    return "wrap" if group.wrap else "constant"


def translated(document: Document, translator: Translator, variable: Variable) -> Term:
    """The expression of a variable; problems are noted."""
    try:
        return translator.translated(variable.name)
    except Unsupported as problem:
        document.refuse(variable.place, str(problem))
        return Term("0")
