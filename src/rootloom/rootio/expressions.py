"""Expressions over branches: a small language read with `ast` and never given to `eval`.

Arithmetic, comparisons, `& | ~`, `and or not`, numbers, branch names (dots allowed, as RNTuple
writes them), `branch("any name")`, `branch("a", "b")` for the first that a file has, `x[:, 0]`,
`x[:, :3]`, and the functions of `FUNCTIONS`.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cached_property, reduce
from typing import Any

import numpy as np

from rootloom.errors import ConfigError, InputError, nearest
from rootloom.rootio.functions import ARGUMENTS, FUNCTIONS, element
from rootloom.rootio.names import resolve

_MAX_LENGTH = 10_000
_MAX_DEPTH = 100

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: np.logical_not,
    ast.Not: np.logical_not,
}


class Expression:
    """A parsed expression. Raises ConfigError for anything outside the language.

    text: the expression as written; where: what to call it in messages.
    """

    def __init__(self, text: str, where: str = "") -> None:
        self.text = text
        self.where = where or f"expression '{text}'"
        self._tree = self._parse()
        self._check(self._tree)

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Branches the expression reads, in order of appearance."""
        return tuple(dict.fromkeys(_names(self._tree)))

    def evaluate(self, arrays: Mapping[str, Any]) -> Any:
        """The value over `arrays` (branch name → NumPy or Awkward array of E entries).

        Returns an array of E entries, jagged where its operands are, or a plain number when no
        branch is named. Raises ConfigError for an unknown name or operands that do not fit.
        """
        try:
            with np.errstate(all="ignore"):
                return self._value(self._tree, arrays)
        except ConfigError:
            raise
        except Exception as error:  # Awkward raises many kinds for shapes that do not fit
            raise self._refuse(
                "operands that fit together", str(error).strip().partition("\n")[0]
            ) from error

    def _refuse(self, expected: str, found: str, fix: str = "") -> ConfigError:
        return ConfigError(self.where, expected=expected, found=found, fix=fix)

    def _parse(self) -> ast.expr:
        if not self.text.strip() or len(self.text) > _MAX_LENGTH:
            raise self._refuse("an expression", f"{len(self.text)} characters")
        try:
            return ast.parse(self.text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            reason = getattr(error, "msg", None) or str(error) or type(error).__name__
            raise self._refuse("an expression", f"'{self.text[:80]}' ({reason})") from error

    def _check(self, node: ast.expr, depth: int = 0) -> None:
        if depth > _MAX_DEPTH:
            raise self._refuse(f"at most {_MAX_DEPTH} nested operations", "more")
        if isinstance(node, ast.Constant):
            if not isinstance(node.value, bool | int | float):
                raise self._refuse("numbers and branches", f"{node.value!r}")
        elif isinstance(node, ast.Call):
            self._check_call(node)
        elif isinstance(node, ast.Subscript):
            self._subscript(node)
        elif not (_allowed(node) or _dotted(node)):
            raise self._refuse(
                "arithmetic, comparisons, & | ~, numbers, branches and functions",
                f"'{ast.unparse(node)}' ({type(node).__name__})",
            )
        for child in _operands(node):
            self._check(child, depth + 1)

    def _check_call(self, node: ast.Call) -> None:
        name = _dotted(node.func) or ast.unparse(node.func)
        if name == "branch":
            if not _alternatives(node):
                raise self._refuse(
                    'branch("name"), or branch("name", "another") for the first that is there',
                    f"'{ast.unparse(node)}'",
                )
            return
        if name not in FUNCTIONS:
            raise self._refuse("a known function", f"'{name}'", nearest(name, FUNCTIONS))
        if node.keywords or len(node.args) != ARGUMENTS[name]:
            raise self._refuse(
                f"{ARGUMENTS[name]} argument(s) for '{name}'", f"'{ast.unparse(node)}'"
            )

    def _subscript(self, node: ast.Subscript) -> tuple[int, int] | tuple[None, slice]:
        """(position, 1) for `[:, i]`, (None, slice) for `[:, a:b]`."""
        index = node.slice
        if (
            isinstance(index, ast.Tuple)
            and len(index.elts) == 2
            and ast.unparse(index.elts[0]) == ":"
        ):
            second = index.elts[1]
            if (position := _integer(second)) is not None:
                return position, 1
            if isinstance(second, ast.Slice):
                bounds = [_integer(b) for b in (second.lower, second.upper, second.step)]
                return None, slice(*bounds)
        raise self._refuse("x[:, i] or x[:, a:b] with numbers", f"'{ast.unparse(node)}'")

    def _value(self, node: ast.expr, arrays: Mapping[str, Any]) -> Any:
        if isinstance(node, ast.Constant):
            return node.value
        if (name := _name(node)) is not None:
            return self._branch(name, arrays)
        if isinstance(node, ast.Call):
            values = [self._value(argument, arrays) for argument in node.args]
            return FUNCTIONS[_dotted(node.func) or ""](*values)
        if isinstance(node, ast.Subscript):
            position, part = self._subscript(node)
            value = self._value(node.value, arrays)
            return value[:, part] if position is None else element(value, position)
        return self._operation(node, arrays)

    def _operation(self, node: ast.expr, arrays: Mapping[str, Any]) -> Any:
        values = [self._value(operand, arrays) for operand in _operands(node)]
        if isinstance(node, ast.BinOp):
            if isinstance(node.op, ast.Pow):
                # Python integers grow without limit: 9**9**9 would never end.
                values = [float(v) if isinstance(v, int) else v for v in values]
            return _BINARY[type(node.op)](*values)
        if isinstance(node, ast.UnaryOp):
            return _UNARY[type(node.op)](values[0])
        if isinstance(node, ast.BoolOp):
            return reduce(np.logical_and if isinstance(node.op, ast.And) else np.logical_or, values)
        assert isinstance(node, ast.Compare)
        pairs = zip(node.ops, values, values[1:], strict=False)
        return reduce(np.logical_and, [_COMPARE[type(op)](a, b) for op, a, b in pairs])

    def _branch(self, name: str, arrays: Mapping[str, Any]) -> Any:
        if name not in arrays:
            raise self._refuse("a known branch", f"'{name}'", nearest(name, arrays))
        return arrays[name]


def choose(text: str, branches: Collection[str], where: str) -> str:
    """An expression in which `branch("a", "b")` names the first of them that a file has.

    Raises InputError where it has none; whatever is not in the language is left to `Expression`.
    """
    if "branch" not in text:
        return text
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return text
    return ast.unparse(_Choice(branches, where).visit(tree))


class _Choice(ast.NodeTransformer):
    """Cuts alternatives down to the one that is there."""

    def __init__(self, branches: Collection[str], where: str) -> None:
        self._branches, self._where = branches, where

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """`branch("a", "b")` → `branch("a")`."""
        self.generic_visit(node)
        names = _alternatives(node)
        if len(names) < 2:
            return node
        there = [name for name in names if resolve(self._branches, name) is not None]
        if not there:
            raise InputError(
                f"'{self._where}': {ast.unparse(node)}",
                expected="one of these branches in the file",
                found=f"{len(self._branches)} branches without any of them",
                fix=nearest(names[0], self._branches),
            )
        return ast.Call(node.func, [ast.Constant(there[0])], [])


def _alternatives(node: ast.Call) -> list[str]:
    """The names in `branch("a", "b", …)`; none for any other call."""
    if not (isinstance(node.func, ast.Name) and node.func.id == "branch") or node.keywords:
        return []
    names = [a.value for a in node.args if isinstance(a, ast.Constant)]
    if len(names) != len(node.args) or not all(isinstance(name, str) for name in names):
        return []
    return [str(name) for name in names]


def _allowed(node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp):
        return type(node.op) in _BINARY
    if isinstance(node, ast.UnaryOp):
        return type(node.op) in _UNARY
    if isinstance(node, ast.Compare):
        return all(type(op) in _COMPARE for op in node.ops)
    return isinstance(node, ast.BoolOp)


def _operands(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp):
        return [node.left, node.right]
    if isinstance(node, ast.UnaryOp):
        return [node.operand]
    if isinstance(node, ast.BoolOp):
        return node.values
    if isinstance(node, ast.Compare):
        return [node.left, *node.comparators]
    if isinstance(node, ast.Call):
        return [] if _name(node) is not None else node.args
    return [node.value] if isinstance(node, ast.Subscript) else []


def _names(node: ast.expr) -> Iterator[str]:
    if (name := _name(node)) is not None:
        yield name
    for child in _operands(node):
        yield from _names(child)


def _name(node: ast.expr) -> str | None:
    """The branch a node names: `x`, `x.y` or `branch("x")`."""
    if isinstance(node, ast.Call):
        return next(iter(_alternatives(node)), None)
    return _dotted(node)


def _dotted(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (base := _dotted(node.value)) is not None:
        return f"{base}.{node.attr}"
    return None


def _integer(node: ast.expr | None) -> int | None:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _integer(node.operand)
        return None if value is None else -value
    plain = isinstance(node, ast.Constant) and type(node.value) is int
    return node.value if plain else None  # type: ignore[union-attr]
