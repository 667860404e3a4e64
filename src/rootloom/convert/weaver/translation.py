"""Expressions of weaver-core, which are Python, as expressions of rootloom."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field

from rootloom.convert.weaver.functions import (
    CONSTANTS,
    FUNCTIONS,
    METHODS,
    OF_TWO,
    PROPERTIES,
    Arguments,
)
from rootloom.convert.weaver.terms import (
    AND,
    BIT_AND,
    BIT_OR,
    BIT_XOR,
    NOT,
    OR,
    POWER,
    PRODUCT,
    SHIFT,
    SIGN,
    SUM,
    Kind,
    Term,
    Unsupported,
    arithmetic,
    binary,
    both,
    call,
    compared,
)
from rootloom.errors import ConfigError, nearest
from rootloom.rootio.functions.registry import signatures
from rootloom.rootio.syntax import Syntax, dotted

_MODULES = {"numpy": "np", "awkward": "ak"}
_BINARY: dict[type[ast.operator], tuple[str, int]] = {
    ast.Add: ("+", SUM),
    ast.Sub: ("-", SUM),
    ast.Mult: ("*", PRODUCT),
    ast.Div: ("/", PRODUCT),
    ast.FloorDiv: ("//", PRODUCT),
    ast.Mod: ("%", PRODUCT),
    ast.LShift: ("<<", SHIFT),
    ast.RShift: (">>", SHIFT),
    ast.BitAnd: ("&", BIT_AND),
    ast.BitXor: ("^", BIT_XOR),
    ast.BitOr: ("|", BIT_OR),
}
_COMPARE: dict[type[ast.cmpop], str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}
_UNARY: dict[type[ast.unaryop], str] = {ast.USub: "-", ast.UAdd: "+", ast.Invert: "~"}
_OF_BITS = (ast.BitAnd, ast.BitOr, ast.BitXor)


@dataclass
class Translator:
    """Translates expressions in which the names in `variables` are expressions themselves.

    failed: why variables that were asked for have no counterpart.
    """

    variables: Mapping[str, str]
    failed: dict[str, str] = field(default_factory=dict)
    _known: dict[str, Term] = field(default_factory=dict)
    _open: list[str] = field(default_factory=list)

    def translated(self, text: str) -> Term:
        """An expression. Raises Unsupported for what has no counterpart."""
        try:
            tree = ast.parse(" ".join(text.split()), mode="eval")
        except (SyntaxError, ValueError, RecursionError) as error:
            reason = getattr(error, "msg", None) or type(error).__name__
            raise Unsupported(f"'{text}' is no expression ({reason})") from None
        try:
            term = self._term(tree.body)
        except Unsupported as problem:
            raise Unsupported(f"'{text}': {problem}") from None
        try:
            Syntax(term.text, signatures())
        except ConfigError as refusal:
            found = f"expected {refusal.expected}, found {refusal.found}"
            raise Unsupported(f"'{text}', as '{term.text}': {found}") from None
        return term

    def variable(self, name: str) -> Term:
        """The expression of one of the variables; its name if it has `failed`."""
        if name not in self._known:
            self._open.append(name)
            try:
                self._known[name] = self.translated(self.variables[name])
            except Unsupported as problem:
                self.failed[name] = str(problem)
                self._known[name] = Term(name, kind="unknown")
            finally:
                self._open.pop()
        return self._known[name]

    def _term(self, node: ast.expr) -> Term:
        if isinstance(node, ast.Constant):
            return _constant(node)
        if isinstance(node, ast.Name):
            return self._name(node.id)
        if isinstance(node, ast.Attribute):
            return self._attribute(node)
        if isinstance(node, ast.Call):
            return self._call(node)
        if isinstance(node, ast.Subscript):
            return self._chosen(node)
        if isinstance(node, ast.Compare):
            return self._compared(node)
        if isinstance(node, ast.BinOp):
            return self._combined(node)
        if isinstance(node, ast.UnaryOp):
            return self._turned(node)
        if isinstance(node, ast.BoolOp):
            word, level = ("and", AND) if isinstance(node.op, ast.And) else ("or", OR)
            parts = [self._term(value).at(level + 1) for value in node.values]
            return Term(f" {word} ".join(parts), level, "truth")
        raise Unsupported(f"no counterpart of '{ast.unparse(node)}'")

    def _name(self, name: str) -> Term:
        if name.startswith("_") or name in ("np", "ak", "math", *_MODULES):
            raise Unsupported(f"no counterpart of '{name}'")
        if name not in self.variables or self.variables[name] == name:
            return Term(name, kind="unknown")
        if name in self._open:
            raise Unsupported(f"'{name}' needs itself")
        return Term(name, kind=self.variable(name).kind)

    def _attribute(self, node: ast.Attribute) -> Term:
        name = _function_name(node)
        if name in CONSTANTS:
            return Term(repr(CONSTANTS[name]))
        if name is not None and name.partition(".")[0] in ("np", "ak", "math"):
            raise Unsupported(f"no counterpart of '{name}'")
        whole = dotted(node)
        if whole is not None and whole.partition(".")[0] not in self.variables:
            return Term(whole, kind="unknown")  # a branch of a record, or of a friend tree
        return self._property(self._term(node.value), node.attr)

    def _property(self, of: Term, name: str) -> Term:
        if of.kind != "vector":
            raise Unsupported(f"'.{name}' of what is no four-vector")
        if name not in PROPERTIES:
            raise Unsupported(f"no counterpart of '.{name}' ({nearest(name, PROPERTIES)})")
        return call(PROPERTIES[name], of)

    def _call(self, node: ast.Call) -> Term:
        if any(isinstance(one, ast.Starred) for one in node.args):
            raise Unsupported(f"no counterpart of '*' in '{ast.unparse(node)}'")
        options = {str(one.arg): ast.unparse(one.value) for one in node.keywords}
        name = _function_name(node.func)
        if name in FUNCTIONS:
            return self._applied(name, FUNCTIONS[name], node, options)
        module = (name or "").partition(".")[0]
        if isinstance(node.func, ast.Attribute) and module not in ("np", "ak", "math"):
            return self._method(node.func, node, options)
        known = [one for one in FUNCTIONS if one.partition(".")[0] == module]
        near = nearest(name or "", known or FUNCTIONS)
        raise Unsupported(f"no counterpart of the function '{ast.unparse(node.func)}' ({near})")

    def _applied(
        self, name: str, function: object, node: ast.Call, options: dict[str, str], *first: Term
    ) -> Term:
        of_type = name in ("ak.values_astype", "astype")
        given = [
            Term(ast.unparse(one)) if of_type and place == len(node.args) - 1 else self._term(one)
            for place, one in enumerate(node.args)
        ]
        assert callable(function)
        try:
            found = function(Arguments((*first, *given), options, self.translated))
        except Unsupported as problem:
            raise Unsupported(f"{name}: {problem}") from None
        assert isinstance(found, Term)
        return found

    def _method(self, of: ast.Attribute, node: ast.Call, options: dict[str, str]) -> Term:
        """A method of an array or of a four-vector, whose function has it as the first argument."""
        array, name = self._term(of.value), of.attr
        table = OF_TWO if array.kind == "vector" else METHODS
        if name not in table:
            raise Unsupported(f"no counterpart of the method '.{name}' ({nearest(name, table)})")
        return self._applied(name, table[name], node, options, array)

    def _chosen(self, node: ast.Subscript) -> Term:
        array, index = self._term(node.value), node.slice
        if isinstance(index, ast.Constant) and isinstance(index.value, str):
            return self._property(array, index.value)
        if isinstance(index, ast.Constant | ast.Slice | ast.Tuple | ast.UnaryOp):
            if array.kind == "single" and ast.unparse(index) in ("(:, 0)", ":, 0"):
                return array.of("number")
            text = ast.unparse(index).strip("()")
            return Term(f"{array.at(POWER + 1)}[{text}]", kind=array.kind)
        chosen = self._term(index)
        if chosen.kind in ("index", "single"):
            kind: Kind = "single" if chosen.kind == "single" else array.kind
            return call("take", array, chosen, kind=kind)
        return Term(f"{array.at(POWER + 1)}[{chosen.text}]", kind=array.kind)

    def _compared(self, node: ast.Compare) -> Term:
        sides = [self._term(one) for one in (node.left, *node.comparators)]
        symbols = [_COMPARE.get(type(op)) for op in node.ops]
        if None in symbols:
            raise Unsupported(f"no counterpart of '{ast.unparse(node)}'")
        found = None
        for symbol, left, right in zip(symbols, sides, sides[1:], strict=False):
            one = compared(str(symbol), left, right)
            found = one if found is None else both(found, one)
        assert found is not None
        return found

    def _combined(self, node: ast.BinOp) -> Term:
        left, right = self._term(node.left), self._term(node.right)
        if isinstance(node.op, ast.Pow):
            return Term(f"{left.at(POWER + 1)}**{right.at(SIGN)}", POWER)
        if type(node.op) not in _BINARY:
            raise Unsupported(f"no counterpart of '{ast.unparse(node)}'")
        symbol, level = _BINARY[type(node.op)]
        if not isinstance(node.op, _OF_BITS):
            return arithmetic(symbol, level, left, right)
        return binary(symbol, level, left, right, _kind_of_bits({left.kind, right.kind}))

    def _turned(self, node: ast.UnaryOp) -> Term:
        operand = self._term(node.operand)
        if isinstance(node.op, ast.Not):
            return Term(f"not {operand.at(NOT)}", NOT, "truth")
        inverted = isinstance(node.op, ast.Invert)
        if inverted and operand.kind not in ("truth", "unknown"):
            raise Unsupported(
                f"'{ast.unparse(node)}': ~ of numbers turns their bits; x == 0 is there"
            )
        kind = operand.kind if inverted else "number"
        return Term(f"{_UNARY[type(node.op)]}{operand.at(SIGN)}", SIGN, kind)


def _kind_of_bits(kinds: set[Kind]) -> Kind:
    """The kind of what & | ^ give, by the kinds of the operands."""
    if "vector" in kinds:
        raise Unsupported("four-vectors have only + and -, not & | ^")
    if len(kinds) == 1:
        return next(iter(kinds))
    return "unknown" if kinds == {"truth", "unknown"} else "number"


def _constant(node: ast.Constant) -> Term:
    if isinstance(node.value, bool) or not isinstance(node.value, int | float | str):
        raise Unsupported(f"no counterpart of '{ast.unparse(node)}'")
    return Term(ast.unparse(node))


def _function_name(node: ast.expr) -> str | None:
    """The name of a function with that of its module: `np.hypot` of `numpy.hypot`."""
    name = dotted(node)
    if name is None:
        return None
    module, dot, rest = name.partition(".")
    return f"{_MODULES.get(module, module)}{dot}{rest}"
