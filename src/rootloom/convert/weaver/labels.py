"""`labels` as classes, or as targets of a regression."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import reduce

from rootloom.convert.weaver.document import Document, Place
from rootloom.convert.weaver.terms import Term, Unsupported, both, compared, either
from rootloom.convert.weaver.translation import Translator
from rootloom.errors import ConfigError
from rootloom.system.paths import check_name

_MOST = 64  # values of an expression that are counted as classes
_WRAPPERS = ("ak.to_numpy", "awkward.to_numpy", "np.asarray", "np.array")
_ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}
_BITS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.BitAnd: lambda left, right: float(int(left) & int(right)),
    ast.BitOr: lambda left, right: float(int(left) | int(right)),
    ast.BitXor: lambda left, right: float(int(left) ^ int(right)),
}
_CHECK = "_labelcheck_"  # of weaver-core's own simple labels


@dataclass
class Labels:
    """What is learnt. classes: conditions, targets: expressions, both by name; notes: for users."""

    classes: dict[str, Term] = field(default_factory=dict)
    targets: dict[str, Term] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_labels(
    document: Document, translator: Translator, names: Sequence[str] = (), numbers: bool = False
) -> Labels:
    """The labels of a file. Problems are noted in the document.

    names: of the classes with the values 0, 1, … of a label. numbers: whether labels are numbers to
    be predicted, as with weaver-core's option --regression-mode.
    """
    section = document.section("labels", keys=("type", "value"))
    if section.get("type") == "simple":
        if names or numbers:
            document.refuse(("labels", "type"), "custom, for --classes and --regression-mode")
        return _simple(document, translator)
    values = document.section("labels", "value")
    if not values:
        document.refuse(("labels", "value"), "a list of labels, or expressions by name")
    texts = {n: document.expression("labels", "value", n) for n in values if n != _CHECK}
    found = Labels()
    for name, text in texts.items():
        place: Place = ("labels", "value", name)
        with_classes = {} if numbers else _classes(document, translator, place, text, names)
        if with_classes and len(texts) > 1:
            others = ", ".join(other for other in texts if other != name)
            document.refuse(place, f"classes alone or numbers alone: {others} beside a class")
        found.classes |= with_classes
        if not with_classes:
            term = _translated(document, translator, place, text)
            _add(document, place, found.targets, _plain(name), term)
            found.notes.append(
                f"labels.value.{name} is learnt as a number (regression); --classes NAME NAME … "
                "makes its values 0, 1, … classes"
            )
    return found


def _simple(document: Document, translator: Translator) -> Labels:
    found = Labels()
    values = document.listed("labels", "value")
    for number, name in enumerate(values):
        place: Place = ("labels", "value", number)
        if not isinstance(name, str):
            document.expect(place, "the name of a label", name)
            continue
        term = _translated(document, translator, place, name)
        plain = _checked(document, place, name if _is_name(name) else _plain(name))
        condition = term if term.kind == "truth" else compared("==", term, Term("1"))
        _add(document, place, found.classes, plain, condition)
    if len(found.classes) < 2:
        document.refuse(("labels", "value"), "two or more different labels")
    return found


def _classes(
    document: Document, translator: Translator, place: Place, text: str, names: Sequence[str]
) -> dict[str, Term]:
    """Conditions of the classes of a label by name; none for what is a number."""
    tree = _parsed(translator.variables.get(text.strip(), text))
    if tree is None:
        return {}
    if (stack := _stacked(tree)) is not None:
        terms = [_translated(document, translator, place, ast.unparse(one)) for one in stack]
        given = names or [_plain(ast.unparse(one)) for one in stack]
        if len(given) != len(terms):
            document.refuse(place, f"expected {len(terms)} names of classes, found {len(given)}")
        conditions = [_is_largest(terms, number) for number in range(len(terms))]
        return _by_name(document, place, given, conditions)
    values = [float(number) for number in range(len(names))]
    if not names:
        values = sorted(_values(tree, translator) or ())
        if len(values) < 2 or values != list(range(len(values))):
            return {}
    term = _translated(document, translator, place, text)
    given = names or [f"{_plain(str(place[-1]))}-{value:g}" for value in values]
    conditions = [compared("==", term, Term(f"{value:g}")) for value in values]
    return _by_name(document, place, given, conditions)


def _by_name(
    document: Document, place: Place, names: Sequence[str], terms: Sequence[Term]
) -> dict[str, Term]:
    found: dict[str, Term] = {}
    for name, term in zip(names, terms, strict=False):
        _add(document, place, found, _checked(document, place, name), term)
    return found


def _add(document: Document, place: Place, into: dict[str, Term], name: str, term: Term) -> None:
    if name in into:
        document.refuse(place, f"expected another name for each label, found '{name}' twice")
    into[name] = term


def _parsed(text: str) -> ast.expr | None:
    try:
        return ast.parse(" ".join(text.split()), mode="eval").body
    except (SyntaxError, ValueError, RecursionError):
        return None


def _stacked(tree: ast.expr) -> list[ast.expr] | None:
    """The parts of np.argmax(np.stack([…], axis=1), axis=1), without conversions to NumPy."""
    if not (isinstance(tree, ast.Call) and ast.unparse(tree.func).endswith("argmax")):
        return None
    stack = tree.func.value if isinstance(tree.func, ast.Attribute) else None
    for candidate in (*tree.args[:1], stack):
        named = isinstance(candidate, ast.Call) and ast.unparse(candidate.func)
        if named in ("np.stack", "numpy.stack", "np.column_stack") and candidate.args:  # type: ignore[union-attr]
            parts = candidate.args[0]  # type: ignore[union-attr]
            if isinstance(parts, ast.List | ast.Tuple):
                return [_without_conversion(part) for part in parts.elts]
    return None


def _without_conversion(part: ast.expr) -> ast.expr:
    if isinstance(part, ast.Call) and ast.unparse(part.func) in _WRAPPERS and part.args:
        return part.args[0]
    return part


def _is_largest(terms: Sequence[Term], number: int) -> Term:
    """Whether one of several is the first that is largest, as argmax says."""
    own, before, after = terms[number], terms[:number], terms[number + 1 :]
    if all(term.kind == "truth" for term in terms):
        others = [Term(f"~{reduce(either, before).at(10)}", 10, "truth")] if before else []
        if not number:  # also where none is true
            none = reduce(either, after)
            return either(own, Term(f"~{none.at(10)}", 10, "truth"))
        return reduce(both, [own, *others])
    parts = [compared(">", own, other) for other in before]
    return reduce(both, [*parts, *(compared(">=", own, other) for other in after)])


def _values(node: ast.expr, translator: Translator) -> set[float] | None:
    """The values that an expression can have, if they are few and no branch decides them."""
    if _is_truth(node, translator):
        return {0.0, 1.0}
    if isinstance(node, ast.Name) and node.id in translator.variables:
        text = translator.variables[node.id]
        own = None if text == node.id else _parsed(text)
        return None if own is None else _values(own, translator)
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return {float(node.value)}
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".where"):
        return _together(node.args[1:], translator)
    if isinstance(node, ast.BinOp):
        return _combined(node, translator)
    return None


def _together(nodes: Sequence[ast.expr], translator: Translator) -> set[float] | None:
    found = [_values(node, translator) for node in nodes]
    return None if None in found else set[float]().union(*filter(None, found))


def _combined(node: ast.BinOp, translator: Translator) -> set[float] | None:
    left, right = _values(node.left, translator), _values(node.right, translator)
    if left is None or right is None or len(left) * len(right) > _MOST:
        return None
    of = _ARITHMETIC.get(type(node.op))
    if type(node.op) in _BITS and all(one.is_integer() for one in left | right):
        of = _BITS[type(node.op)]
    return None if of is None else {of(one, other) for one in left for other in right}


def _is_truth(node: ast.expr, translator: Translator) -> bool:
    """Whether an expression is true or false, as + and * of two such are."""
    try:
        return translator.translated(ast.unparse(node)).kind == "truth"
    except Unsupported:
        return False


def _translated(document: Document, translator: Translator, place: Place, text: str) -> Term:
    try:
        return translator.translated(text)
    except Unsupported as problem:
        document.refuse(place, str(problem))
        return Term("0")


def _checked(document: Document, place: Place, name: str) -> str:
    try:
        check_name(name, "")
    except ConfigError as refusal:
        document.refuse(place, f"a name of {refusal.expected} for the class '{name}'")
    return name


def _is_name(name: str) -> bool:
    return name.replace("_", "a").isalnum()


def _plain(name: str) -> str:
    """A name without what class names and columns must not have."""
    kept = "".join(c if c.isalnum() or c == "_" else "-" for c in name)
    return kept.strip("-_") or "label"
