"""Functions of single numbers; booleans count as 0 and 1, and results are float64."""

from __future__ import annotations

from collections.abc import Callable

import awkward as ak
import numpy as np

from rootloom.rootio.functions.registry import Given, function
from rootloom.rootio.functions.values import Value, is_vector, real, refuse, truth, whole_or_real

GROUP = "Numbers one by one"


def _of_numpy(ufunc: np.ufunc, doc: str, example: str, gives: Given) -> Callable[..., Value]:
    """Register a function of NumPy, in float64, under its name there."""
    if ufunc.nin == 1:

        def call(x: Value) -> Value:
            return ufunc(real(x))
    else:

        def call(x: Value, y: Value) -> Value:  # type: ignore[misc]
            return ufunc(real(x), real(y))

    call.__doc__, call.__name__ = doc, ufunc.__name__
    return function(GROUP, example, gives)(call)


sqrt = _of_numpy(np.sqrt, "Square root; NaN below 0.", "sqrt(MET_pt + 9)", [7.0, 5.831, 8.3066])
cbrt = _of_numpy(np.cbrt, "Cube root.", "cbrt(MET_pt + 24)", [4.0, 3.6593, 4.3795])
log = _of_numpy(np.log, "Natural logarithm; NaN below 0.", "log(MET_pt)", [3.6889, 3.2189, 4.0943])
log2 = _of_numpy(np.log2, "Logarithm to base 2.", "log2(MET_pt - 24)", [4.0, 0.0, 5.1699])
log10 = _of_numpy(np.log10, "Logarithm to base 10.", "log10(MET_pt + 40)", [1.9031, 1.8129, 2.0])
log1p = _of_numpy(
    np.log1p, "log(1 + x), exact for small x.", "log1p(MET_pt)", [3.7136, 3.2581, 4.1109]
)
exp = _of_numpy(np.exp, "Exponential.", "exp(-MET_pt / 10)", [0.0183, 0.0821, 0.0025])
expm1 = _of_numpy(
    np.expm1, "exp(x) - 1, exact for small x.", "expm1(MET_pt / 100)", [0.4918, 0.284, 0.8221]
)
sin = _of_numpy(np.sin, "Sine of an angle in rad.", "sin(MET_phi)", [0.1411, -0.1411, 0.4794])
cos = _of_numpy(np.cos, "Cosine of an angle in rad.", "cos(MET_phi)", [-0.99, -0.99, 0.8776])
tan = _of_numpy(np.tan, "Tangent of an angle in rad.", "tan(MET_phi)", [-0.1425, 0.1425, 0.5463])
sinh = _of_numpy(np.sinh, "Hyperbolic sine.", "sinh(MET_phi)", [10.0179, -10.0179, 0.5211])
cosh = _of_numpy(np.cosh, "Hyperbolic cosine.", "cosh(MET_phi)", [10.0677, 10.0677, 1.1276])
tanh = _of_numpy(np.tanh, "Hyperbolic tangent.", "tanh(MET_phi)", [0.9951, -0.9951, 0.4621])
arcsin = _of_numpy(
    np.arcsin, "Inverse of sin, in [-π/2, π/2].", "arcsin(MET_phi / 6)", [0.5236, -0.5236, 0.0834]
)
arccos = _of_numpy(
    np.arccos, "Inverse of cos, in [0, π].", "arccos(MET_phi / 3)", [0.0, 3.1416, 1.4033]
)
arctan = _of_numpy(
    np.arctan, "Inverse of tan, in (-π/2, π/2).", "arctan(MET_phi)", [1.249, -1.249, 0.4636]
)
arcsinh = _of_numpy(np.arcsinh, "Inverse of sinh.", "arcsinh(MET_phi)", [1.8184, -1.8184, 0.4812])
arccosh = _of_numpy(
    np.arccosh, "Inverse of cosh, 1 and above.", "arccosh(MET_pt)", [4.3819, 3.9116, 4.7874]
)
arctanh = _of_numpy(
    np.arctanh, "Inverse of tanh, in (-1, 1).", "arctanh(MET_phi / 4)", [0.973, -0.973, 0.1257]
)
floor = _of_numpy(np.floor, "The next whole number below.", "floor(MET_phi)", [3.0, -3.0, 0.0])
ceil = _of_numpy(np.ceil, "The next whole number above.", "ceil(MET_phi)", [3.0, -3.0, 1.0])
hypot = _of_numpy(np.hypot, "sqrt(x² + y²).", "hypot(MET_pt, 3 * run)", [40.1123, 25.1794, 60.2993])


@function(GROUP, "arctan2(MET_phi, run)", [1.249, -1.249, 0.245])
def arctan2(y: Value, x: Value) -> Value:
    """Angle of the point (x, y) in (-π, π]; y comes first."""
    return np.arctan2(real(y), real(x))


@function(GROUP, "abs(MET_phi)", [3.0, 3.0, 0.5], name="abs")
def _abs(x: Value) -> Value:
    """Absolute value."""
    return np.absolute(whole_or_real(x))


@function(GROUP, "sign(MET_phi)", [1.0, -1.0, 1.0])
def sign(x: Value) -> Value:
    """-1, 0 or 1."""
    return np.sign(whole_or_real(x))


@function(GROUP, "round(MET_pt / 7)", [6.0, 4.0, 9.0], name="round")
def _round(x: Value) -> Value:
    """The nearest whole number; the even one of two equally near."""
    return np.rint(real(x))


@function(GROUP, "isfinite(log(MET_phi))", [True, False, True])
def isfinite(x: Value) -> Value:
    """False for NaN (also of an absent object) and infinities."""
    return np.isfinite(real(x))


@function(GROUP, "isnan(log(MET_phi))", [False, True, False])
def isnan(x: Value) -> Value:
    """True for NaN, also of an absent object."""
    return np.isnan(real(x))


@function(GROUP, "minimum(MET_pt, 50)", [40.0, 25.0, 50.0])
def minimum(x: Value, y: Value) -> Value:
    """The smaller of two numbers."""
    return np.minimum(whole_or_real(x), whole_or_real(y))


@function(GROUP, "maximum(MET_pt, 50)", [50.0, 50.0, 60.0])
def maximum(x: Value, y: Value) -> Value:
    """The larger of two numbers."""
    return np.maximum(whole_or_real(x), whole_or_real(y))


@function(GROUP, "clip(MET_pt, 30, 50)", [40.0, 30.0, 50.0])
def clip(x: Value, low: Value, high: Value) -> Value:
    """`x` limited to [low, high]."""
    return np.minimum(np.maximum(whole_or_real(x), whole_or_real(low)), whole_or_real(high))


@function(GROUP, "pow(MET_pt, 2)", [1600.0, 625.0, 3600.0], name="pow")
def power(x: Value, y: Value) -> Value:
    """x to the power y, as `x ** y`."""
    return np.power(real(x), real(y))


@function(GROUP, "where(MET_pt > 30, MET_pt, -1)", [40.0, -1.0, 60.0])
def where(condition: Value, yes: Value, no: Value) -> Value:
    """`yes` where the condition holds, else `no`."""
    for value in (yes, no):
        if is_vector(value):
            raise refuse("where", "numbers to choose from", value)
    if not any(isinstance(value, ak.Array) for value in (condition, yes, no)):
        return np.where(truth(condition), yes, no)
    return ak.where(truth(condition), yes, no)
