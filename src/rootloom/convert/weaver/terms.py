"""Parts of translated expressions: their text, how tightly it binds, and what it is of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# truth: true or false; index: numbers of objects, as argsort gives; single: a list of one object;
# unknown: a branch, whose type only files tell.
Kind = Literal["number", "truth", "vector", "index", "single", "unknown"]
OR, AND, NOT, COMPARE, BIT_OR, BIT_XOR, BIT_AND, SHIFT, SUM, PRODUCT, SIGN, POWER, ATOM = range(13)


class Unsupported(Exception):  # noqa: N818 (becomes a line of a ConfigError)
    """What an expression has no counterpart for."""


@dataclass(frozen=True)
class Term:
    """A part of an expression. level: how tightly its outermost operator binds."""

    text: str
    level: int = ATOM
    kind: Kind = "number"

    def at(self, level: int) -> str:
        """The text, in parentheses if it binds less tightly than `level`."""
        return self.text if self.level >= level else f"({self.text})"

    def of(self, kind: Kind) -> Term:
        """The same text as another kind."""
        return Term(self.text, self.level, kind)


def call(name: str, *arguments: Term | str, kind: Kind = "number") -> Term:
    """A call of a function."""
    texts = (one if isinstance(one, str) else one.text for one in arguments)
    return Term(f"{name}({', '.join(texts)})", kind=kind)


def binary(operator: str, level: int, left: Term, right: Term, kind: Kind = "number") -> Term:
    """Two operands and an operator between them, which binds from the left."""
    return Term(f"{left.at(level)} {operator} {right.at(level + 1)}", level, kind)


def arithmetic(operator: str, level: int, left: Term, right: Term) -> Term:
    """+, -, * and the like. Raises Unsupported for four-vectors with what they cannot have."""
    kinds = {left.kind, right.kind}
    if "vector" in kinds and (kinds != {"vector"} or operator not in ("+", "-")):
        raise Unsupported("four-vectors have only + and -")
    if kinds == {"truth"} and operator in ("+", "*"):
        # The sum of two Booleans is a Boolean for NumPy, and their number here.
        return either(left, right) if operator == "+" else both(left, right)
    return binary(operator, level, left, right, "vector" if "vector" in kinds else "number")


def compared(operator: str, left: Term, right: Term) -> Term:
    """A comparison; expressions of rootloom want parentheses around bit operations in it."""
    return Term(f"{left.at(SHIFT)} {operator} {right.at(SHIFT)}", COMPARE, "truth")


def both(left: Term, right: Term) -> Term:
    """Whether two are true."""
    return binary("&", BIT_AND, left, right, "truth")


def either(left: Term, right: Term) -> Term:
    """Whether one of two is true."""
    return binary("|", BIT_OR, left, right, "truth")


def is_true(term: Term) -> Term:
    """A condition: numbers are true if they are not 0."""
    return term if term.kind == "truth" else compared("!=", term, Term("0"))
