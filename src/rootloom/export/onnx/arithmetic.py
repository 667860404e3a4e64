"""Elementwise primitives."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from rootloom.export.onnx.equation import Equation, Lowering, cast


def _plain(kind: str) -> Lowering:
    """The operator of that name, with the same inputs."""
    return lambda at, *inputs: at.op(kind, *inputs)


def _same(at: Equation, x: str) -> str:
    """What changes nothing where no gradient is asked for."""
    return x


def _is_bool(at: Equation) -> bool:
    return bool(at.inputs[-1].dtype == np.bool_)


def _is_float(at: Equation) -> bool:
    return np.issubdtype(at.inputs[-1].dtype, np.floating)


def _remainder(at: Equation, x: str, y: str) -> str:
    """Of the sign of x."""
    return at.op("Mod", x, y, fmod=1)


def _maximum(at: Equation, x: str, y: str) -> str:
    if _is_bool(at):
        return at.op("Or", x, y)
    if _is_float(at) or at.graph.opset >= 12:
        return at.op("Max", x, y)
    return at.op("Where", at.op("Less", x, y), y, x)


def _minimum(at: Equation, x: str, y: str) -> str:
    if _is_bool(at):
        return at.op("And", x, y)
    if _is_float(at) or at.graph.opset >= 12:
        return at.op("Min", x, y)
    return at.op("Where", at.op("Less", x, y), x, y)


def _clamp(at: Equation, low: str, x: str, high: str) -> str:
    return _minimum(at, _maximum(at, x, low), high)


def _logical(kind: str) -> Lowering:
    """An operator on truths; those of bits are refused."""

    def lowering(at: Equation, *inputs: str) -> str:
        at.require(_is_bool(at), "truths", at.inputs[-1].dtype)
        return at.op(kind, *inputs)

    return lowering


def _equal(at: Equation, x: str, y: str) -> str:
    if at.graph.opset >= 11 or not _is_float(at):
        return at.op("Equal", x, y)
    # Before version 11 not of floating-point numbers. NaN is neither less nor equal.
    unequal = at.op("Or", at.op("Less", x, y), at.op("Less", y, x))
    nan = at.op("Or", at.op("IsNaN", x), at.op("IsNaN", y))
    return at.op("Not", at.op("Or", unequal, nan))


def _not_equal(at: Equation, x: str, y: str) -> str:
    return at.op("Xor", x, y) if _is_bool(at) else at.op("Not", _equal(at, x, y))


def _less_equal(at: Equation, x: str, y: str) -> str:
    if at.graph.opset >= 12:
        return at.op("LessOrEqual", x, y)
    return at.op("Or", at.op("Less", x, y), _equal(at, x, y))


def _greater_equal(at: Equation, x: str, y: str) -> str:
    return _less_equal(at, y, x)


def _select(at: Equation, which: str, *cases: str) -> str:
    at.require(len(cases) == 2, "two cases", len(cases))
    if at.inputs[0].dtype != np.bool_:
        which = cast(at.graph, which, np.dtype(bool))
    if not _is_bool(at):
        return at.op("Where", which, cases[1], cases[0])
    chosen = at.op("And", which, cases[1])
    return at.op("Or", chosen, at.op("And", at.op("Not", which), cases[0]))


def _convert(at: Equation, x: str) -> str:
    return x if at.inputs[0].dtype == at.output.dtype else cast(at.graph, x, at.output.dtype)


def _power(at: Equation, x: str, y: str) -> str:
    return at.op("Pow", x, y if _is_float(at) else cast(at.graph, y, at.output.dtype))


def _integer_power(at: Equation, x: str) -> str:
    power = int(at.params["y"])
    found, factor, left = "", x, abs(power)
    while left:
        if left % 2:
            found = at.op("Mul", found, factor) if found else factor
        left //= 2
        factor = at.op("Mul", factor, factor) if left else factor
    found = found or at.op("Exp", at.op("Sub", x, x))
    return at.op("Reciprocal", found) if power < 0 else found


def _square(at: Equation, x: str) -> str:
    return at.op("Mul", x, x)


def _inverse_root(at: Equation, x: str) -> str:
    return at.op("Reciprocal", at.op("Sqrt", x))


def _log1p(at: Equation, x: str) -> str:
    """W. Kahan's: log(u) x / (u − 1) with u = 1 + x as it is rounded; x where u is 1."""
    one = at.scalar(1)
    u = at.op("Add", x, one)
    rounded = at.op("Sub", u, one)
    tiny = _equal(at, rounded, at.scalar(0))
    safe = at.op("Where", tiny, one, rounded)
    return at.op("Where", tiny, x, at.op("Mul", at.op("Log", u), at.op("Div", x, safe)))


def _expm1(at: Equation, x: str) -> str:
    """tanh(x/2) (eˣ + 1), in which nothing cancels."""
    half = at.op("Tanh", at.op("Mul", x, at.scalar(0.5)))
    return at.op("Mul", half, at.op("Add", at.op("Exp", x), at.scalar(1)))


def _exp2(at: Equation, x: str) -> str:
    return at.op("Exp", at.op("Mul", x, at.scalar(math.log(2))))


def _is_finite(at: Equation, x: str) -> str:
    return at.op("Not", at.op("Or", at.op("IsInf", x), at.op("IsNaN", x)))


def _round(at: Equation, x: str) -> str:
    """To the nearest integer, of two the even one, or that farther from 0."""
    if int(at.params["rounding_method"]) == 1:
        at.require(at.graph.opset >= 11, "opset 11 or later", at.graph.opset)
        return at.op("Round", x)
    away = at.op("Floor", at.op("Add", at.op("Abs", x), at.scalar(0.5)))
    return at.op("Mul", at.op("Sign", x), away)


def _arctan2(at: Equation, y: str, x: str) -> str:
    """The angle of (x, y): that of y/x, and half a turn more or less where x is negative.

    −0 is taken for 0: at y = −0 and x < 0 it is π, where JAX says −π.
    """
    nothing, half_turn = at.scalar(0), at.scalar(math.pi)
    level = _equal(at, x, nothing)
    angle = at.op("Atan", at.op("Div", y, at.op("Where", level, at.scalar(1), x)))
    below = at.op("Less", y, nothing)
    behind = at.op("Where", below, at.op("Neg", half_turn), half_turn)
    angle = at.op("Where", at.op("Less", x, nothing), at.op("Add", angle, behind), angle)
    upright = at.op("Mul", at.op("Sign", y), at.scalar(math.pi / 2))
    return at.op("Where", level, upright, angle)


def _reduce_precision(at: Equation, x: str) -> str:
    kept = np.finfo(at.output.dtype)
    whole = at.params["mantissa_bits"] >= kept.nmant and at.params["exponent_bits"] >= kept.nexp
    at.require(whole, "the precision of its type", at.params)
    return x


_PLAIN = {
    "abs": "Abs",
    "acos": "Acos",
    "acosh": "Acosh",
    "add": "Add",
    "add_any": "Add",
    "asin": "Asin",
    "asinh": "Asinh",
    "atan": "Atan",
    "atanh": "Atanh",
    "ceil": "Ceil",
    "cos": "Cos",
    "cosh": "Cosh",
    "div": "Div",
    "erf": "Erf",
    "exp": "Exp",
    "floor": "Floor",
    "gt": "Greater",
    "log": "Log",
    "logistic": "Sigmoid",
    "lt": "Less",
    "mul": "Mul",
    "neg": "Neg",
    "sign": "Sign",
    "sin": "Sin",
    "sinh": "Sinh",
    "sqrt": "Sqrt",
    "sub": "Sub",
    "tan": "Tan",
    "tanh": "Tanh",
}
TABLE: Mapping[str, Lowering] = {name: _plain(kind) for name, kind in _PLAIN.items()} | {
    "and": _logical("And"),
    "atan2": _arctan2,
    "clamp": _clamp,
    "convert_element_type": _convert,
    "copy": _same,
    "copy_p": _same,
    "eq": _equal,
    "exp2": _exp2,
    "expm1": _expm1,
    "ge": _greater_equal,
    "integer_pow": _integer_power,
    "is_finite": _is_finite,
    "le": _less_equal,
    "log1p": _log1p,
    "max": _maximum,
    "min": _minimum,
    "name": _same,
    "ne": _not_equal,
    "not": _logical("Not"),
    "optimization_barrier": lambda at, *inputs: inputs,
    "or": _logical("Or"),
    "pow": _power,
    "reduce_precision": _reduce_precision,
    "rem": _remainder,
    "round": _round,
    "rsqrt": _inverse_root,
    "select_n": _select,
    "square": _square,
    "stop_gradient": _same,
    "xor": _logical("Xor"),
}
