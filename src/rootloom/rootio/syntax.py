"""The grammar of expressions, checked without any array or heavy package.

The plan checks every expression of a dataset with it; `rootloom.rootio.expressions` evaluates them.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, cached_property
from typing import NamedTuple

from rootloom.errors import ConfigError, nearest

MAX_LENGTH = 10_000
MAX_DEPTH = 100

BINARY = (
    ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow,
    ast.BitAnd, ast.BitOr, ast.BitXor, ast.LShift, ast.RShift,
)  # fmt: skip
UNARY = (ast.USub, ast.UAdd, ast.Invert, ast.Not)
COMPARISONS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq, ast.In, ast.NotIn)
# Comparisons for strings, and those that take a list of values.
OF_WORDS = (ast.Eq, ast.NotEq, ast.In, ast.NotIn)
MEMBERSHIP = (ast.In, ast.NotIn)
_BITS = (ast.BitAnd, ast.BitOr, ast.BitXor)
_LANGUAGE = "arithmetic, comparisons, & | ~, numbers, branches and functions"


class Signature(NamedTuple):
    """The signature of a function.

    arguments: their names in order. counts: how many of them may be given. options: kind of those
    given by name only, "whole number", "number" or "True or False". place: where it is defined,
    "module:name".
    """

    arguments: tuple[str, ...]
    counts: tuple[int, ...]
    options: Mapping[str, str] = {}
    place: str = ""


class Syntax:
    """A parsed expression. Raises ConfigError for anything outside the language.

    text: the expression as written; functions: those that it may call, by name; where: what to call
    it in messages.
    """

    def __init__(self, text: str, functions: Mapping[str, Signature], where: str = "") -> None:
        self.text = text
        self.where = where or f"expression '{text}'"
        self._signatures = functions
        self._tree = self._parse()
        try:
            self._check(self._tree)
        except RecursionError:
            raise self.refuse(f"at most {MAX_DEPTH} nested operations", "more") from None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Branches the expression reads, in order of appearance."""
        return tuple(dict.fromkeys(_names(self._tree)))

    @property
    def bare(self) -> str | None:
        """The branch, if the expression is only its name; else None."""
        return branch_of(self._tree)

    def refuse(self, expected: str, found: str, fix: str = "") -> ConfigError:
        """The error for this expression, to be raised."""
        return ConfigError(self.where, expected=expected, found=found, fix=fix)

    def _parse(self) -> ast.expr:
        if not self.text.strip() or len(self.text) > MAX_LENGTH:
            found = f"{len(self.text)} characters"
            raise self.refuse(f"an expression of 1 to {MAX_LENGTH} characters", found)
        try:
            return ast.parse(_stripped(self.text), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            reason = getattr(error, "msg", None) or str(error) or type(error).__name__
            found = f"'{self.text[:80]}' ({reason})"
            raise self.refuse("an expression", found, _spelling(self.text)) from error

    def _check(self, node: ast.expr, depth: int = 0) -> None:
        if depth > MAX_DEPTH:
            raise self.refuse(f"at most {MAX_DEPTH} nested operations", "more")
        if isinstance(node, ast.Constant):
            self._check_constant(node)
        elif isinstance(node, ast.Call):
            self._check_call(node)
        elif isinstance(node, ast.Subscript):
            self._check_subscript(node)
        elif isinstance(node, ast.Compare):
            self._check_compare(node)
        elif not (_allowed(node) or dotted(node)):
            fix = "where(condition, yes, no)" if isinstance(node, ast.IfExp) else ""
            found = f"'{ast.unparse(node)}' ({type(node).__name__})"
            raise self.refuse(_LANGUAGE, found, fix)
        for child in operands(node):
            self._check(child, depth + 1)

    def _check_constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            raise self.refuse(
                "numbers, branches, and words only where they are compared",
                f"{node.value!r}",
                f'a branch of words == "{node.value}", or branch("{node.value}") for the branch',
            )
        if not isinstance(node.value, bool | int | float):
            raise self.refuse("numbers and branches", f"{node.value!r}")

    def _check_call(self, node: ast.Call) -> None:
        name = dotted(node.func) or ast.unparse(node.func)
        if name == "branch":
            if not alternatives(node):
                raise self.refuse(
                    'branch("name"), or branch("name", "another") for the first that is there',
                    f"'{ast.unparse(node)}'",
                )
            return
        if name not in self._signatures:
            raise self.refuse("a known function", f"'{name}'", nearest(name, self._signatures))
        signature = self._signatures[name]
        if len(node.args) not in signature.counts or any(
            isinstance(argument, ast.Starred) for argument in node.args
        ):
            counts = " or ".join(map(str, signature.counts))
            raise self.refuse(
                f"{counts} argument(s) for '{name}': {', '.join(signature.arguments)}",
                f"'{ast.unparse(node)}'",
            )
        for keyword in node.keywords:
            self._check_option(name, signature, keyword)

    def _check_option(self, name: str, signature: Signature, keyword: ast.keyword) -> None:
        given = str(keyword.arg)
        if given not in signature.options:
            fix = nearest(given, signature.options) if signature.options else "there are none"
            raise self.refuse(f"an option of '{name}'", f"'{ast.unparse(keyword)}'", fix)
        kind, value = signature.options[given], constant(keyword.value)
        kinds: dict[str, tuple[type, ...]] = {
            "True or False": (bool,), "whole number": (int,), "number": (int, float),
        }  # fmt: skip
        if type(value) not in kinds[kind]:
            raise self.refuse(f"{given}: a {kind}", f"'{ast.unparse(keyword.value)}'")

    def _check_subscript(self, node: ast.Subscript) -> None:
        if len(indices(node)) == 1 and not isinstance(indices(node)[0], ast.Slice):
            if constant(node.slice) is not None:
                raise self.refuse(
                    "the objects of every entry, x[:, 0], or a mask, x[x > 20]",
                    f"'{ast.unparse(node)}', which would be one entry of the file",
                    f"{ast.unparse(node.value)}[:, {ast.unparse(node.slice)}]",
                )
            return
        first, *others = indices(node) or [node.slice]
        good = ast.unparse(first) == ":" and 0 < len(others) < 8
        if not good or any(position(index) is None for index in others):
            raise self.refuse(
                "x[mask], x[:, i], x[:, a:b] or x[:, :, i] with whole numbers",
                f"'{ast.unparse(node)}'",
            )
        for index in others:
            if isinstance(index, ast.Slice) and index.step and constant(index.step) == 0:
                raise self.refuse("a step other than 0", f"'{ast.unparse(node)}'")

    def _check_compare(self, node: ast.Compare) -> None:
        sides = [node.left, *node.comparators]
        if not all(isinstance(op, COMPARISONS) for op in node.ops):
            raise self.refuse(_LANGUAGE, f"'{ast.unparse(node)}'")
        for side in sides:
            if isinstance(side, ast.BinOp) and isinstance(side.op, _BITS):
                self._require_parentheses(node, side)
        for op, left, right in zip(node.ops, sides, sides[1:], strict=False):
            is_list = isinstance(right, ast.Tuple | ast.List)
            if is_list != isinstance(op, MEMBERSHIP) or isinstance(left, ast.Tuple | ast.List):
                raise self.refuse(
                    'one value on each side, or x in (1, 2), x in ("a", "b")',
                    f"'{ast.unparse(node)}'",
                )
            self._check_values(node, op, left, right)

    def _check_values(
        self, node: ast.Compare, op: ast.cmpop, left: ast.expr, right: ast.expr
    ) -> None:
        """Strings are compared only with a branch, by == and !=; lists have strings or numbers."""
        values = right.elts if isinstance(right, ast.Tuple | ast.List) else [right]
        words = [is_word(value) for value in (left, *values)]
        if isinstance(op, MEMBERSHIP):
            plain = all(is_word(v) or type(constant(v)) in (int, float) for v in values)
            fits = values and plain and len(set(words[1:])) == 1 and not words[0]
        else:
            fits = not any(words) or (isinstance(op, OF_WORDS) and not all(words))
        if not fits:
            raise self.refuse(
                'a branch of words == "word", != "word", or in ("one", "another")',
                f"'{ast.unparse(node)}'",
            )

    def _require_parentheses(self, node: ast.Compare, side: ast.BinOp) -> None:
        """Require parentheses: & and | bind tighter than comparisons in Python, weaker in C++."""
        text = _stripped(self.text).encode()
        first, last = _span(text, side)
        if text[:first].rstrip().endswith(b"(") and text[last:].lstrip().startswith(b")"):
            return
        first, last = _span(text, node)
        whole = " ".join(text[first:last].decode().split())
        raise self.refuse(
            "parentheses around the operands of & and |",
            f"'{whole}', which reads as '{_as_read(node)}'",
            _parenthesised(whole, side),
        )


def inlined(text: str, definitions: Mapping[str, str], inside: tuple[str, ...] = ()) -> str:
    """An expression with the quantities in `definitions` substituted, in parentheses.

    Text outside the language is left to `Syntax`. inside: names of those being substituted.
    Raises ConfigError for circular definitions, naming the circle, and for one that is
    outside the language.
    """
    tree = parsed(text) if definitions else None
    if tree is None:
        return text
    changes = []
    for node in _walk(tree.body):
        name = dotted(node)
        if name is None or name not in definitions:
            continue
        if name in inside:
            circle = " → ".join([*inside[inside.index(name) :], name])
            raise ConfigError(
                f"define.{name}",
                expected="definitions that do not need themselves",
                found=circle,
                fix=f'another name for it, or branch("{name}") for a branch of that name',
            )
        found = inlined(definitions[name], definitions, (*inside, name))
        changes.append((node, found if found.isidentifier() else f"({found.strip()})"))
    return replaced(text, changes) if changes else text


def replaced(text: str, changes: Iterable[tuple[ast.expr, str]]) -> str:
    """A text with some nodes of its tree, none inside another, replaced by other text.

    Raises ConfigError if it gets too long.
    """
    found = _stripped(text).encode()
    spans = [(*_span(found, node), new.encode()) for node, new in changes]
    for first, last, new in sorted(spans, reverse=True):
        found = found[:first] + new + found[last:]
    if len(found) > MAX_LENGTH:
        raise ConfigError(
            f"expression '{text[:80]}'",
            expected=f"at most {MAX_LENGTH} characters once its definitions are written out",
            found=f"{len(found)}",
            fix="use fewer definitions of definitions",
        )
    return found.decode()


def calls_of_branch(text: str) -> list[ast.Call]:
    """The calls `branch("a", "b", …)` in a text with more than one name."""
    tree = parsed(text)
    try:
        nodes = [] if tree is None else list(_walk(tree.body))
    except RecursionError:
        return []  # `Syntax` refuses it
    return [n for n in nodes if isinstance(n, ast.Call) and len(alternatives(n)) > 1]


@cache
def functions_named(text: str) -> frozenset[str]:
    """Names of the functions that an expression calls, `branch` among them.

    Text outside the language is left to `Syntax`.
    """
    tree = parsed(text)
    calls = [] if tree is None else [n for n in ast.walk(tree) if isinstance(n, ast.Call)]
    return frozenset(filter(None, (dotted(call.func) for call in calls)))


def _walk(node: ast.expr) -> Iterator[ast.expr]:
    """All expressions below a node, without names of functions and parts of dotted names."""
    yield node
    for child in operands(node):
        yield from _walk(child)


def parsed(text: str) -> ast.Expression | None:
    """The syntax tree of an expression; None if it does not parse."""
    try:
        return ast.parse(_stripped(text), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def operands(node: ast.expr) -> list[ast.expr]:
    """The expressions that a node combines, without strings and lists of strings."""
    if isinstance(node, ast.BinOp):
        return [node.left, node.right]
    if isinstance(node, ast.UnaryOp):
        return [node.operand]
    if isinstance(node, ast.BoolOp):
        return node.values
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        return [s for s in sides if not (is_word(s) or isinstance(s, ast.Tuple | ast.List))]
    if isinstance(node, ast.Call):
        return [] if branch_of(node) is not None else node.args
    if isinstance(node, ast.Subscript):
        return [node.value, *([] if (mask := mask_of(node)) is None else [mask])]
    return []


def inside_out(node: ast.expr) -> Iterator[ast.expr]:
    """A node and all its operands, innermost first."""
    for operand in operands(node):
        yield from inside_out(operand)
    yield node


def branch_of(node: ast.expr) -> str | None:
    """The branch a node names: `x`, `x.y` or `branch("x")`."""
    if isinstance(node, ast.Call):
        return next(iter(alternatives(node)), None)
    return dotted(node)


def alternatives(node: ast.Call) -> list[str]:
    """The names in `branch("a", "b", …)`; none for any other call."""
    if not (isinstance(node.func, ast.Name) and node.func.id == "branch") or node.keywords:
        return []
    names = [a.value for a in node.args if isinstance(a, ast.Constant)]
    if len(names) != len(node.args) or not all(isinstance(name, str) for name in names):
        return []
    return [str(name) for name in names]


def dotted(node: ast.expr) -> str | None:
    """A name with its dots."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (base := dotted(node.value)) is not None:
        return f"{base}.{node.attr}"
    return None


def constant(node: ast.expr | None) -> int | float | bool | None:
    """The literal number of a node, with its sign."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = constant(node.operand)
        return None if value is None or isinstance(value, bool) else -value
    numeric = isinstance(node, ast.Constant) and isinstance(node.value, int | float)
    return node.value if numeric else None  # type: ignore[union-attr]


def word_of(node: ast.expr) -> str | None:
    """The quoted string of a node."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return None


def is_word(node: ast.expr) -> bool:
    """Whether a node is a quoted string."""
    return word_of(node) is not None


def indices(node: ast.Subscript) -> list[ast.expr]:
    """The indices in the brackets, axis by axis."""
    return list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]


def mask_of(node: ast.Subscript) -> ast.expr | None:
    """The mask of `x[mask]`."""
    index = indices(node)
    alone = len(index) == 1 and not isinstance(index[0], ast.Slice)
    return index[0] if alone else None


def position(node: ast.expr) -> int | slice | None:
    """The number or the range of an index; None for anything else."""
    if not isinstance(node, ast.Slice):
        value = constant(node)
        return value if type(value) is int else None
    bounds = [node.lower, node.upper, node.step]
    values = [constant(bound) for bound in bounds]
    if any(type(v) is not int for v, b in zip(values, bounds, strict=True) if b is not None):
        return None
    return slice(*values)


def _allowed(node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, BINARY)
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, UNARY)
    return isinstance(node, ast.BoolOp)


def _names(node: ast.expr) -> Iterator[str]:
    if (name := branch_of(node)) is not None:
        yield name
    for child in operands(node):
        yield from _names(child)


def _stripped(text: str) -> str:
    return text.strip()


def _span(text: bytes, node: ast.expr) -> tuple[int, int]:
    """Start and end of a node in a text; Python counts the bytes of a line."""
    starts = [0]
    for line in text.split(b"\n"):
        starts.append(starts[-1] + len(line) + 1)
    end_line, end = node.end_lineno or node.lineno, node.end_col_offset or node.col_offset
    return starts[node.lineno - 1] + node.col_offset, starts[end_line - 1] + end


def _spelling(text: str) -> str:
    """The fix for an operator of another language."""
    without_words = re.sub(r"\"[^\"]*\"|'[^']*'", "", text)
    for found, ours in (("&&", "and"), ("||", "or"), ("?", "where(condition, yes, no)")):
        if found in without_words:
            return f"write {ours} in place of {found}"
    if re.search(r"!(?!=)", without_words):
        return "write not in place of !"
    return ""


def _as_read(node: ast.Compare) -> str:
    """A comparison with parentheses around every operand, as Python binds them."""

    def closed(side: ast.expr) -> str:
        text = ast.unparse(side)
        return f"({text})" if isinstance(side, ast.BinOp) else text

    copy = ast.parse(ast.unparse(node), mode="eval").body
    assert isinstance(copy, ast.Compare)
    sides = [copy.left, *copy.comparators]
    names = [ast.Name(closed(side)) for side in sides]
    return ast.unparse(ast.Compare(names[0], node.ops, list(names[1:])))


def _parenthesised(text: str, side: ast.BinOp) -> str:
    """The probable meaning: parentheses around each comparison, or around the bit operation."""
    parts = _split_at_bits(text)
    comparison = re.compile(r"[<>=!]=?|\b(not\s+)?in\b")
    if all(comparison.search(part) for part in parts[::2]):
        return " ".join(p if k % 2 else _enclosed(p.strip()) for k, p in enumerate(parts))
    bits = ast.unparse(side)
    return f"({bits}) in parentheses, or parentheses around each comparison"


def _enclosed(text: str) -> str:
    """A text in parentheses, once."""
    tree = parsed(text)
    alone = tree is not None and text.startswith("(") and _span(text.encode(), tree.body)[0] > 0
    return text if alone else f"({text})"


def _split_at_bits(text: str) -> list[str]:
    """Text cut at & | ^ outside all brackets: part, operator, part, …"""
    parts, depth, last = [], 0, 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.OP:
            continue
        depth += (token.string in "([{") - (token.string in ")]}")
        if depth == 0 and token.string in "&|^":
            parts += [text[last : token.start[1]], token.string]
            last = token.end[1]
    return [*parts, text[last:]]
