"""Functions of NumPy, awkward, math and weaver-core in terms of those of rootloom's expressions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from rootloom.convert.weaver.terms import (
    POWER,
    PRODUCT,
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
    either,
    is_true,
)

_LARGEST = "3.4028234663852886e+38"  # of float32, in which weaver-core computes


@dataclass(frozen=True)
class Arguments:
    """Arguments of a call: by position, and by name as their source text.

    translated: translates the text of an option that is an expression.
    """

    given: tuple[Term, ...]
    options: Mapping[str, str] = field(default_factory=dict)
    translated: Callable[[str], Term] = Term

    def terms(self, count: int, options: tuple[str, ...] = ()) -> tuple[Term, ...]:
        """The arguments by position, which must be `count`; options: those that are allowed."""
        strange = self.options.keys() - set(options)
        if len(self.given) != count or strange:
            of = f" and {', '.join(options)}" if options else ""
            found = ", ".join([*(one.text for one in self.given), *sorted(strange)])
            raise Unsupported(f"{count} argument(s){of}, not ({found})")
        return self.given

    def option(self, name: str, default: str) -> str:
        """The text of an option."""
        return self.options.get(name, default)


Translation: TypeAlias = Callable[[Arguments], Term]


def _same(name: str, count: int = 1, kind: Kind = "number") -> Translation:
    return lambda of: call(name, *of.terms(count), kind=kind)


def _operator(symbol: str, level: int) -> Translation:
    def translate(of: Arguments) -> Term:
        left, right = of.terms(2)
        return arithmetic(symbol, level, left, right)

    return translate


def _comparison(symbol: str) -> Translation:
    def translate(of: Arguments) -> Term:
        left, right = of.terms(2)
        return compared(symbol, left, right)

    return translate


def _as_it_is(of: Arguments) -> Term:
    return of.terms(1)[0]


def _axis(of: Arguments, default: str = "None") -> tuple[Term, str]:
    """The array of a reduction, and its axis, which must not be that of the entries."""
    given = of.given[1].text if len(of.given) == 2 else of.option("axis", default)
    (array,) = Arguments(of.given[:1], of.options).terms(1, ("axis",))
    if len(of.given) > 2 or given not in ("1", "-1", "2"):
        raise Unsupported(f"axis={given} combines entries of the file; axis=1 is over objects")
    return array, given


def _reduction(name: str, kind: Kind = "number") -> Translation:
    def translate(of: Arguments) -> Term:
        array, axis = _axis(of)
        result: Kind = "vector" if array.kind == "vector" else kind
        return call(name, array, f"axis={axis}", kind=result)

    return translate


def _number_of(of: Arguments) -> Term:
    """ak.num, which counts all objects of a mask, unlike `count`."""
    array, axis = _axis(of, "1")
    counted = array if array.kind in ("number", "vector") else _times("0", array)
    return call("count", counted, f"axis={axis}")


def _nonzero(of: Arguments) -> Term:
    array, axis = _axis(of)
    return call("count", is_true(array), f"axis={axis}")


def _place(name: str) -> Translation:
    def translate(of: Arguments) -> Term:
        options = {key: value for key, value in of.options.items() if key != "keepdims"}
        array, _ = _axis(Arguments(of.given, options))
        kind: Kind = "single" if of.option("keepdims", "False") == "True" else "index"
        return call(name, array, kind=kind)

    return translate


def _order(name: str, kind: Kind = "number") -> Translation:
    def translate(of: Arguments) -> Term:
        rising = of.option("ascending", "True")
        options = {key: of.options[key] for key in of.options if key not in ("ascending", "stable")}
        array, _ = _axis(Arguments(of.given, options), "-1")
        if rising not in ("True", "False"):
            raise Unsupported(f"expected ascending: True or False, found {rising}")
        return call(name, array, *(["descending=True"] if rising == "False" else []), kind=kind)

    return translate


def _times(factor: str, term: Term) -> Term:
    return Term(f"{factor} * {term.at(SIGN)}", PRODUCT)


def _like(value: str) -> Translation:
    def translate(of: Arguments) -> Term:
        (array,) = of.terms(1, ("dtype",))
        return Term(f"{value} + {_times('0', array).text}", SUM) if value else _times("0", array)

    return translate


def _full_like(of: Arguments) -> Term:
    array, value = of.terms(2, ("dtype",))
    return Term(f"{value.at(SUM)} + {_times('0', array).text}", SUM)


def _clip(of: Arguments) -> Term:
    return call("clip", *of.terms(3))


def _where(of: Arguments) -> Term:
    condition, yes, no = of.terms(3)
    kind: Kind = "truth" if yes.kind == no.kind == "truth" else "number"
    return call("where", condition, yes, no, kind=kind)


def _nan_to_num(of: Arguments) -> Term:
    """NaN becomes 0 and infinities the largest number, or what the options say."""
    (array,) = of.terms(1, ("nan", "posinf", "neginf", "copy"))
    found = call("where", call("isnan", array), of.translated(of.option("nan", "0")), array)
    high, low = of.option("posinf", "None"), of.option("neginf", "None")
    if high == low == "None":
        return call("clip", found, f"-{_LARGEST}", _LARGEST)
    for symbol, limit, value in ((">", _LARGEST, high), ("<", f"-{_LARGEST}", low)):
        beyond = compared(symbol, array, Term(limit, SIGN))
        found = call("where", beyond, limit if value == "None" else of.translated(value), found)
    return found


def _fill_none(of: Arguments) -> Term:
    """What is None for awkward, such as the maximum of no objects, is NaN here."""
    array, value = Arguments(of.given, {}).terms(2)
    return call("where", call("isnan", array), value, array)


def _first(of: Arguments) -> Term:
    array = Arguments(of.given, {}).terms(1)[0]
    return array.of("number") if array.kind == "single" else call("first", array, kind=array.kind)


def _as_type(of: Arguments) -> Term:
    """A change of the type: numbers are float64 here, and nothing is cut to whole numbers."""
    if len(of.given) != 2:
        raise Unsupported("an array and a type")
    array, kind = of.given
    name = kind.text.strip("'\"").removeprefix("np.").rstrip("_")
    if name.startswith("bool"):
        return is_true(array)
    if name.startswith("float") or array.kind == "truth":
        return array.of("number")
    raise Unsupported(f"a conversion to '{name}' cuts numbers; floor(x) and round(x) are there")


def _unary(symbol: str, level: int) -> Translation:
    return lambda of: Term(f"{symbol}{of.terms(1)[0].at(level)}", level)


def _square(of: Arguments) -> Term:
    return Term(f"{of.terms(1)[0].at(POWER + 1)}**2", POWER)


def _logical(join: Callable[[Term, Term], Term]) -> Translation:
    return lambda of: join(*(is_true(one) for one in of.terms(2)))


def _not(of: Arguments) -> Term:
    return Term(f"~{is_true(of.terms(1)[0]).at(SIGN)}", SIGN, "truth")


def _exclusive(left: Term, right: Term) -> Term:
    return compared("!=", Term(f"({left.text})"), Term(f"({right.text})"))


def _isinf(of: Arguments) -> Term:
    (array,) = of.terms(1)
    text = f"not isfinite({array.text}) and not isnan({array.text})"
    return Term(f"({text})", kind="truth")


def _delta_eta(of: Arguments) -> Term:
    left, right = of.terms(2)
    return binary("-", SUM, call("eta", left), call("eta", right))


def _scaled(factor: float) -> Translation:
    return lambda of: _times(repr(factor), of.terms(1)[0])


_SAME_NAME = (
    "sqrt", "cbrt", "log", "log2", "log10", "log1p", "exp", "expm1", "sin", "cos", "tan", "sinh",
    "cosh", "tanh", "arcsin", "arccos", "arctan", "arcsinh", "arccosh", "arctanh", "floor", "ceil",
    "sign",
)  # fmt: skip
_ELEMENTWISE: dict[str, Translation] = {
    **{name: _same(name) for name in _SAME_NAME},
    **{name: _same(name, 2) for name in ("hypot", "arctan2", "minimum", "maximum")},
    **{name: _same("abs") for name in ("abs", "absolute", "fabs")},
    **{name: _same("round") for name in ("round", "around", "rint")},
    **{name: _same("pow", 2) for name in ("power", "float_power")},
    **{name: _same(name, kind="truth") for name in ("isfinite", "isnan")},
    "fmin": _same("minimum", 2),
    "fmax": _same("maximum", 2),
    "isinf": _isinf,
    "clip": _clip,
    "square": _square,
    "negative": _unary("-", SIGN),
    "add": _operator("+", SUM),
    "subtract": _operator("-", SUM),
    "multiply": _operator("*", PRODUCT),
    "divide": _operator("/", PRODUCT),
    "true_divide": _operator("/", PRODUCT),
    "floor_divide": _operator("//", PRODUCT),
    "mod": _operator("%", PRODUCT),
    "remainder": _operator("%", PRODUCT),
    "equal": _comparison("=="),
    "not_equal": _comparison("!="),
    "less": _comparison("<"),
    "less_equal": _comparison("<="),
    "greater": _comparison(">"),
    "greater_equal": _comparison(">="),
    "logical_and": _logical(both),
    "logical_or": _logical(either),
    "logical_xor": _logical(_exclusive),
    "logical_not": _not,
    "deg2rad": _scaled(math.pi / 180),
    "radians": _scaled(math.pi / 180),
    "rad2deg": _scaled(180 / math.pi),
    "degrees": _scaled(180 / math.pi),
    "nan_to_num": _nan_to_num,
}
_ARRAYS: dict[str, Translation] = {
    "where": _where,
    "ones_like": _like("1"),
    "zeros_like": _like(""),
    "full_like": _full_like,
    "sum": _reduction("sum"),
    "prod": _reduction("prod"),
    "mean": _reduction("mean"),
    "std": _reduction("std"),
    "max": _reduction("max"),
    "min": _reduction("min"),
    "any": _reduction("any", "truth"),
    "all": _reduction("all", "truth"),
    "argmax": _place("argmax"),
    "argmin": _place("argmin"),
    "count_nonzero": _nonzero,
}
_AWKWARD: dict[str, Translation] = {
    "num": _number_of,
    "count": _number_of,
    "sort": _order("sort"),
    "argsort": _order("argsort", "index"),
    "firsts": _first,
    "fill_none": _fill_none,
    "is_none": lambda of: call("isnan", of.given[0], kind="truth"),
    "nan_to_num": _nan_to_num,
    "values_astype": _as_type,
    "to_numpy": _as_it_is,
    "Array": _as_it_is,
    "drop_none": _as_it_is,
}
_NUMPY: dict[str, Translation] = {
    "amax": _reduction("max"),
    "amin": _reduction("min"),
    "array": _as_it_is,
    "asarray": _as_it_is,
}
_MATH = (*_SAME_NAME, "hypot")
_OTHER_NAMES = {
    "atan2": "arctan2", "asin": "arcsin", "acos": "arccos", "atan": "arctan", "asinh": "arcsinh",
    "acosh": "arccosh", "atanh": "arctanh", "fabs": "abs", "pow": "power",
}  # fmt: skip
# By the name of the module and that of the function.
FUNCTIONS: dict[str, Translation] = {
    **{f"np.{name}": of for name, of in {**_ELEMENTWISE, **_ARRAYS, **_NUMPY}.items()},
    **{f"ak.{name}": of for name, of in {**_ARRAYS, **_AWKWARD}.items()},
    **{f"math.{name}": _ELEMENTWISE[name] for name in _MATH if name in _ELEMENTWISE},
    **{f"math.{name}": _ELEMENTWISE[ours] for name, ours in _OTHER_NAMES.items()},
    **{f"np.{name}": _ELEMENTWISE[ours] for name, ours in _OTHER_NAMES.items() if name != "fabs"},
    "_p4_from_pxpypze": _same("pxpypze", 4, "vector"),
    "_p4_from_ptetaphie": _same("ptetaphie", 4, "vector"),
    "_p4_from_ptetaphim": _same("ptetaphim", 4, "vector"),
    "_clip": _clip,
}
# Methods of arrays: the array is the first argument.
METHODS: dict[str, Translation] = {
    **{name: of for name, of in _ARRAYS.items() if name not in ("where", "count_nonzero")},
    "clip": _clip,
    "round": _ELEMENTWISE["round"],
    "astype": _as_type,
}
# Properties of four-vectors, and functions of two of them.
PROPERTIES = {
    "pt": "pt", "eta": "eta", "phi": "phi", "mass": "mass", "m": "mass", "M": "mass", "tau": "mass",
    "energy": "energy", "E": "energy", "e": "energy", "t": "energy", "px": "px", "py": "py",
    "pz": "pz", "x": "px", "y": "py", "z": "pz", "p": "momentum", "mag": "momentum", "rho": "pt",
    "rapidity": "rapidity",
}  # fmt: skip
OF_TWO = {
    "deltaR": _same("delta_r", 2),
    "delta_r": _same("delta_r", 2),
    "deltaphi": _same("delta_phi", 2),
    "deltaeta": _delta_eta,
    "boostCM_of_p4": _same("boost", 2, "vector"),
    "boostCM_of": _same("boost", 2, "vector"),
}
CONSTANTS = {"np.pi": math.pi, "math.pi": math.pi, "np.e": math.e, "math.e": math.e}
