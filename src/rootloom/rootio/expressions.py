"""Expressions over branches: a small language read with `ast` and never given to `eval`.

Arithmetic, comparisons, `& | ~ ^ << >>`, `and or not`, numbers, branch names (dots allowed, as
RNTuple writes them), `branch("any name")`, `branch("a", "b")` for the first that a file has,
`x[:, 0]`, `x[:, :3]`, `x[:, :, 0]`, `x[mask]`, words compared with branches of words, and the
functions of `rootloom.rootio.functions`. docs/expressions.md has all of it.

Integers never overflow, and nothing is rounded to fewer than 53 bits.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cached_property, reduce
from itertools import pairwise
from typing import TypeAlias

import awkward as ak
import numpy as np

from rootloom.errors import ConfigError, DataError, LackError
from rootloom.rootio import syntax
from rootloom.rootio.functions import FUNCTIONS
from rootloom.rootio.functions.registry import signatures
from rootloom.rootio.functions.values import (
    Value,
    as_type,
    depth,
    differing,
    element,
    is_vector,
    is_words,
    primitive,
    real,
    refuse,
    truth,
    whole_or_real,
)
from rootloom.rootio.names import nearest_branch, resolve
from rootloom.rootio.syntax import Syntax

_Pair: TypeAlias = Callable[[Value, Value], Value]
_COMPARE: dict[type[ast.cmpop], _Pair] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_BITS: dict[type[ast.operator], _Pair] = {
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
}
_ARITHMETIC: dict[type[ast.operator], _Pair] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_LARGEST = 2.0**63
# Functions whose first two arguments belong to one collection and the others to another.
OF_TWO_COLLECTIONS = ("nearest", "nearest_delta_r")


class Arrays(Mapping[str, Value]):
    """Branches over a range of entries, and intermediate values of expressions.

    Whole numbers are widened to int64 and others to float64 when an expression first calculates
    with them. Values with one number per entry are kept, so that what several expressions share is
    calculated once. start: number of the first entry in its file, for messages.
    """

    def __init__(self, raw: Mapping[str, Value], start: int = 0) -> None:
        self._raw, self.start = raw, start
        self._wide: dict[str, Value] = {}
        self.known: dict[str, Value] = {}

    def __getitem__(self, name: str) -> Value:
        return self._raw[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._raw)

    def __len__(self) -> int:
        return len(self._raw)

    def wide(self, name: str) -> Value:
        """A branch in the type in which expressions calculate."""
        if name not in self._wide:
            self._wide[name] = widened(self._raw[name])
        return self._wide[name]


def widened(value: Value) -> Value:
    """A branch in int64 or float64; booleans, strings and records do not change.

    Unsigned 64-bit numbers keep their type if one of them is beyond int64. Axes of fixed
    length become lists, so that a value per entry is combined with them entry by entry.
    """
    if np.ndim(value) > 1 if isinstance(value, np.ndarray) else depth(value) > 1:
        value = ak.from_regular(ak.Array(value), axis=None)
    dtype = primitive(value)
    if dtype is None or dtype.kind == "b":
        return value
    if dtype.kind == "f":
        return as_type(value, np.float64)
    if dtype == np.uint64 and _bound(value) >= _LARGEST:
        return value
    return as_type(value, np.int64) if dtype.kind in "iu" else value


class Expression(Syntax):
    """A parsed expression. Raises ConfigError for anything outside the language.

    text: the expression as written; where: what to call it in messages.
    """

    def __init__(self, text: str, where: str = "") -> None:
        super().__init__(text, signatures(), where)

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def evaluate(self, arrays: Mapping[str, Value]) -> Value:
        """The value over `arrays` (branch name → NumPy or Awkward array of E entries).

        Returns an array of E entries, jagged if its operands are, or a plain number if no
        branch is named; a branch alone keeps its type, anything else is bool, int64 or
        float64. Raises ConfigError for an unknown name or operands that do not fit, DataError for
        collections that have different numbers of objects in an entry.
        """
        if self.bare is not None:
            return self._of(arrays, self.bare)
        if not isinstance(arrays, Arrays):
            arrays = Arrays(arrays)
        try:
            with np.errstate(all="ignore"):
                return self._value(self._tree, arrays)
        except ConfigError as error:
            if error.where == self.where:
                raise
            found = f"{error.found}, in {error.where}"
            raise self.refuse(error.expected, found, error.fix) from error
        except Exception as error:  # Awkward raises many kinds of errors for shapes that do not fit
            if (refusal := self._of_lengths(arrays)) is not None:
                raise refusal from error
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise self.refuse(
                "operands that fit together", lines[0] if lines else type(error).__name__
            ) from error

    def _of_lengths(self, arrays: Arrays) -> DataError | None:
        """Find the collections with different numbers of objects where a calculation fails."""
        for node in syntax.inside_out(self._tree):
            try:
                self._value(node, arrays)
            except Exception:
                return self._unlike(node, arrays)
        return None

    def _unlike(self, node: ast.expr, arrays: Arrays) -> DataError | None:
        name = syntax.dotted(node.func) if isinstance(node, ast.Call) else None
        sides = syntax.operands(node)
        # These functions take two collections, which may differ in length.
        groups = [sides[:2], sides[2:]] if name in OF_TWO_COLLECTIONS else [sides]
        for group in groups:
            lists = [(side, v) for side in group if depth(v := self._value(side, arrays)) > 1]
            for (one, ours), (other, theirs) in pairwise(lists):
                if (found := differing(ours, theirs)) is not None:
                    entry, *numbers = found
                    texts = [ast.unparse(side) for side in (one, other)]
                    return DataError(
                        f"{self.where}: entry {arrays.start + entry}",
                        expected=f"as many objects in '{texts[0]}' as in '{texts[1]}'",
                        found=f"{numbers[0]} and {numbers[1]}",
                        fix=_of_other_collection(node, name),
                    )
        return None

    @cached_property
    def _keys(self) -> dict[int, str]:
        """The text of each call, by node."""
        calls = (node for node in ast.walk(self._tree) if isinstance(node, ast.Call))
        return {id(node): ast.unparse(node) for node in calls}

    def _value(self, node: ast.expr, arrays: Arrays) -> Value:
        if isinstance(node, ast.Constant):
            return _number(node.value)
        if (name := syntax.branch_of(node)) is not None:
            self._of(arrays, name)
            return arrays.wide(name)
        if isinstance(node, ast.Call):
            return self._call(node, arrays)
        if isinstance(node, ast.Subscript):
            return self._chosen(node, arrays)
        if isinstance(node, ast.Compare):
            return self._compared(node, arrays)
        values = [self._value(operand, arrays) for operand in syntax.operands(node)]
        if isinstance(node, ast.BinOp):
            return _combined(node.op, *values)
        if isinstance(node, ast.UnaryOp):
            return _turned(node.op, values[0])
        assert isinstance(node, ast.BoolOp)
        of = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
        return reduce(of, [truth(value) for value in values])

    def _call(self, node: ast.Call, arrays: Arrays) -> Value:
        key = self._keys[id(node)]
        if key in arrays.known:
            return arrays.known[key]
        values = [self._value(argument, arrays) for argument in node.args]
        options = {str(k.arg): syntax.constant(k.value) for k in node.keywords}
        found = FUNCTIONS[syntax.dotted(node.func) or ""].call(*values, **options)
        if not is_vector(found) and depth(found) == 1:
            arrays.known[key] = found
        return found

    def _chosen(self, node: ast.Subscript, arrays: Arrays) -> Value:
        """`x[mask]`, or `x[:, i, a:b]`, last axis first, so that the others keep their index."""
        value = self._value(node.value, arrays)
        if (mask := syntax.mask_of(node)) is not None:
            return _masked(value, self._value(mask, arrays))
        chosen = [syntax.position(index) for index in syntax.indices(node)]
        for axis in range(len(chosen) - 1, 0, -1):
            part = chosen[axis]
            if isinstance(part, int):
                value = element(value, part, axis)
            elif part != slice(None):
                if depth(value) <= axis:
                    raise refuse(ast.unparse(node), f"at least {axis + 1} axes", value)
                branch: ak.Array = value
                value = branch[(*(slice(None),) * axis, part)]
        return value

    def _compared(self, node: ast.Compare, arrays: Arrays) -> Value:
        sides = [node.left, *node.comparators]
        found = []
        for op, left, right in zip(node.ops, sides, sides[1:], strict=False):
            if isinstance(op, syntax.MEMBERSHIP):
                assert isinstance(right, ast.Tuple | ast.List)
                is_one = [self._pair(ast.Eq(), left, one, arrays) for one in right.elts]
                inside = reduce(np.logical_or, is_one)
                found.append(inside if isinstance(op, ast.In) else np.logical_not(inside))
            else:
                found.append(self._pair(op, left, right, arrays))
        return reduce(np.logical_and, found)

    def _pair(self, op: ast.cmpop, left: ast.expr, right: ast.expr, arrays: Arrays) -> Value:
        words = [word for s in (left, right) if (word := syntax.word_of(s)) is not None]
        values = [self._value(s, arrays) for s in (left, right) if not syntax.is_word(s)]
        if words:
            if not is_words(values[0]):
                raise refuse(f"== '{words[0]}'", "a branch of words", values[0])
            return _of_words(values[0], op, words[0])
        if all(is_words(value) for value in values) and isinstance(op, syntax.OF_WORDS):
            return _COMPARE[type(op)](*values)
        one, other = (whole_or_real(value) for value in values)
        return _COMPARE[type(op)](_beside(one, other), _beside(other, one))

    def _of(self, arrays: Mapping[str, Value], name: str) -> Value:
        if name not in arrays:
            raise self.refuse("a known branch", f"'{name}'", nearest_branch(name, arrays))
        return arrays[name]


def _of_other_collection(node: ast.expr, name: str | None) -> str:
    """The fix for a calculation between two collections."""
    if name == "delta_r":
        near = ast.unparse(node).replace("delta_r", "nearest_delta_r", 1)
        return f"{near} is the ΔR of each object of the first to the closest of the second"
    if isinstance(node, ast.Subscript):
        return "a mask of the same collection, or take(x, place)"
    return (
        "take(x, nearest(eta, phi, other_eta, other_phi)) gives each object the x of the closest "
        "of the other collection; x[:, 0], max_by(x, by) and sum(x) are one value an entry"
    )


def _number(value: Value) -> Value:
    """A literal number; beyond int64 as an unsigned or a floating-point number."""
    if type(value) is not int or -(2**63) <= value < 2**63:
        return value
    return np.uint64(value) if 0 < value < 2**64 else float(value)


def _beside(value: Value, other: Value) -> Value:
    """A whole number for a comparison; infinite if it is out of range for the other operand."""
    dtype = primitive(other)
    if not isinstance(value, int | np.uint64) or dtype is None or dtype.kind not in "iu":
        return value
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    return value if low <= value <= high else math.copysign(math.inf, value)


def _combined(op: ast.operator, a: Value, b: Value) -> Value:
    """Combine two operands, in float64 where integers would overflow or divide by 0."""
    if is_vector(a) or is_vector(b):
        if isinstance(op, ast.Add | ast.Sub) and is_vector(a) and is_vector(b):
            return _ARITHMETIC[type(op)](a, b)
        raise refuse("arithmetic", "v + w and v - w of four-vectors", a if is_vector(a) else b)
    if isinstance(op, ast.LShift | ast.RShift):
        return _shifted(op, a, b)
    if type(op) in _BITS:
        return _BITS[type(op)](*_bits(a, b))
    a, b = whole_or_real(a), whole_or_real(b)
    exact = _exact(op, a, b)
    if not exact and isinstance(op, ast.Add | ast.Sub | ast.Mult):
        return _guarded(_ARITHMETIC[type(op)], a, b)
    if isinstance(op, ast.Pow | ast.Div) or not exact:
        # Plain numbers stay Python's, which refuse overflow and division by 0.
        a, b = (float(v) if isinstance(v, int) else real(v) for v in (a, b))
    return _ARITHMETIC[type(op)](a, b)


def _exact(op: ast.operator, a: Value, b: Value) -> bool:
    """Whether an operation on whole numbers has a whole result inside int64."""
    kinds = [primitive(value) for value in (a, b)]
    if any(kind is None or kind.kind not in "iu" for kind in kinds):
        return True  # floating-point numbers cannot overflow here
    if isinstance(op, ast.FloorDiv | ast.Mod):
        # Division by an array is always in float64: the type must not depend on whether it has
        # zeros.
        unsigned = kinds[0] == np.uint64 and _bound(a) >= _LARGEST
        return isinstance(b, int) and b != 0 and not (unsigned and b < 0)
    one, other = _bound(a), _bound(b)
    return (one * other if isinstance(op, ast.Mult) else one + other) < _LARGEST


def _guarded(of: _Pair, a: Value, b: Value) -> Value:
    """Whole numbers in float64: exact where the result is inside int64, rounded beyond it."""
    near = of(real(a), real(b))
    # Integer arithmetic is exact modulo 2^64, signed or unsigned.
    exact = of(_modulo(a), _modulo(b))
    inside = np.absolute(near) < _LARGEST / 2
    if not isinstance(near, ak.Array):
        return np.where(inside, as_type(exact, np.float64), near)
    return ak.where(inside, as_type(exact, np.float64), near)


def _modulo(value: Value) -> Value:
    """Whole numbers modulo 2^64, in int64."""
    if isinstance(value, int):
        return np.int64((value + 2**63) % 2**64 - 2**63)
    return as_type(value, np.int64)


def _turned(op: ast.unaryop, value: Value) -> Value:
    if isinstance(op, ast.Invert | ast.Not):
        return np.logical_not(truth(value))
    value = whole_or_real(value)
    if isinstance(op, ast.UAdd):
        return value
    kind = primitive(value)
    if kind is not None and kind.kind == "f":
        return -value  # 0 - x gives no negative zero, which would make 1 / x -inf
    return _combined(ast.Sub(), 0, value)


def _bits(a: Value, b: Value) -> tuple[Value, Value]:
    """Operands of & | ^: both booleans, or both whole numbers of one type."""
    kinds = [primitive(value) for value in (a, b)]
    for value, kind in zip((a, b), kinds, strict=True):
        if kind is None or kind.kind not in "biu":
            fix = "compare them first: (x > 0) & (y > 0)"
            raise refuse("& | ^", "truths or whole numbers", value, fix)
    if all(kind == np.bool_ for kind in kinds):
        return a, b
    wide = np.uint64 if max(_bound(a), _bound(b)) >= _LARGEST else np.int64
    return as_type(a, wide), as_type(b, wide)


def _shifted(op: ast.operator, a: Value, b: Value) -> Value:
    """a · 2^b, or its whole part for `>>`; of whole numbers."""
    for value in (a, b):
        kind = primitive(value)
        if kind is None or kind.kind not in "biu":
            raise refuse("<< and >>", "whole numbers", value)
    a, b = whole_or_real(a), as_type(b, np.int64)
    if bool(ak.any(b < 0, axis=None) if depth(b) else b < 0):
        raise refuse("<< and >>", "by 0 bits or more", b)
    if isinstance(op, ast.RShift):
        # A shift by 64 bits or more leaves the sign; the machine's result would be undefined.
        return operator.rshift(a, as_type(np.minimum(b, 63), primitive(a) or np.int64))
    if _bound(a) * 2.0 ** _bound(b) < _LARGEST:
        return operator.lshift(as_type(a, np.int64), b)
    return real(a) * np.power(2.0, real(b))


def _masked(value: Value, mask: Value) -> ak.Array:
    """The objects for which a mask is true; all entries are kept."""
    if primitive(mask) != np.bool_:
        fix = "compare it: x[flag != 0]; take(x, place) takes objects by their place"
        raise refuse("x[mask]", "a truth of every object", mask, fix)
    if not 2 <= depth(mask) <= depth(value):
        fix = "`select` leaves out entries; where(condition, x, 0) keeps them"
        raise refuse("x[mask]", "a truth of every object", mask, fix)
    for axis in range(1, depth(mask)):
        # Awkward would take a mask of another length as indices.
        if axis == 1 and differing(value, mask) is not None:
            raise ValueError("as many truths as objects in every entry")
        if not ak.all(ak.num(value, axis=axis) == ak.num(mask, axis=axis), axis=None):
            fix = "a mask of the same collection, or take(x, place)"
            raise refuse("x[mask]", "as many truths as objects in every entry", mask, fix)
    lists: ak.Array = value
    return lists[mask]


def _of_words(value: Value, op: ast.cmpop, word: str) -> Value:
    same = (value == word) if isinstance(value, np.ndarray) else ak.Array(value) == word
    return np.logical_not(same) if isinstance(op, ast.NotEq) else same


def _bound(value: Value) -> float:
    """The largest absolute value; 0 of none."""
    if isinstance(value, bool | int | float):
        return abs(float(value))
    flat = ak.to_numpy(ak.ravel(value)) if isinstance(value, ak.Array) else np.ravel(value)
    flat = np.ma.compressed(flat) if isinstance(flat, np.ma.MaskedArray) else flat
    return max(abs(float(flat.max())), abs(float(flat.min()))) if len(flat) else 0.0


def choose(text: str, branches: Collection[str], where: str) -> str:
    """The expression with `branch("a", "b")` replaced by the first of them that a file has.

    Raises InputError if it has none; other errors in the text are left to `Expression`.
    """
    if "branch" not in text:
        return text
    changes = []
    for call in syntax.calls_of_branch(text):
        names = syntax.alternatives(call)
        there = [name for name in names if resolve(branches, name) is not None]
        if not there:
            raise LackError(
                f"'{where}': {ast.unparse(call)}",
                expected="one of these branches in the file",
                found=f"{len(branches)} branches without any of them",
                fix=nearest_branch(names[0], branches),
                names=(ast.unparse(call),),
            )
        changes.append((call, f"branch({ast.unparse(ast.Constant(there[0]))})"))
    return syntax.replaced(text, changes) if changes else text
