"""The registry of functions: a decorator records signature, description and example of each."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from rootloom.rootio.syntax import Signature

if TYPE_CHECKING:
    from rootloom.rootio.functions.values import Value

# What `function` registers counts in the code of jobs whose expressions name it, and of no others.
REGISTERS_ENTRIES = "tests/unit/test_fingerprint_functions.py::test_places_are_those_of_functions"

# What an example has or gives of an entry: a number, a word, or lists of them.
Given: TypeAlias = "Sequence[float | str | Given]"
# Data of the examples: three entries, the second without muons and jets.
EXAMPLE: dict[str, Given] = {
    "MET_pt": [40.0, 25.0, 60.0],
    "MET_phi": [3.0, -3.0, 0.5],
    "run": [1, 1, 2],
    "sample": ["wjets", "ttbar", "wjets"],
    "Jet_pt": [[80.0, 50.0, 30.0], [], [100.0]],
    "Jet_eta": [[0.0, 1.0, -2.0], [], [0.5]],
    "Jet_phi": [[0.0, 3.0, -1.0], [], [2.0]],
    "Jet_mass": [[8.0, 5.0, 3.0], [], [10.0]],
    "Jet_btag": [[0.1, 0.9, 0.4], [], [0.7]],
    "Jet_hits": [[[1, 2], [], [3]], [], [[4, 5, 6]]],
    "Muon_pt": [[25.0, 10.0], [], [30.0]],
    "Muon_eta": [[1.1, -2.0], [], [-1.5]],
    "Muon_phi": [[2.9, -0.9], [], [1.0]],
    "Muon_jetIdx": [[1, -1], [], [0]],
}
_KINDS = {"int": "whole number", "bool": "True or False", "float | None": "number"}


@dataclass(frozen=True)
class Function:
    """A function of expressions.

    call: takes arrays of entries, and its options by name. group: the heading it is listed under.
    example, gives: an expression over EXAMPLE and its value.
    """

    name: str
    signature: Signature
    group: str
    doc: str
    example: str
    gives: Given
    call: Callable[..., Value]

    @property
    def usage(self) -> str:
        """The signature as users write it: `sort(x, by, descending=False)`."""
        least = self.signature.counts[0]
        names = [*self.signature.arguments[:least]]
        rest = self.signature.arguments[least:]
        text = ", ".join(names) + (f"[, {', '.join(rest)}]" if rest else "")
        parameters = inspect.signature(self.call).parameters
        options = [f"{name}={parameters[name].default}" for name in self.signature.options]
        return f"{self.name}({', '.join([text, *options])})"


FUNCTIONS: dict[str, Function] = {}

C = TypeVar("C", bound="Callable[..., Value]")


def function(
    group: str,
    example: str,
    gives: Given,
    *,
    name: str = "",
    counts: tuple[int, ...] = (),
) -> Callable[[C], C]:
    """Register a function for expressions, under its own name or `name`.

    Its positional parameters are the arguments. Those with a default may be left out; `counts`
    restricts how many may be given. Its keyword-only parameters are options, given as plain
    numbers. The first paragraph of its docstring is the documentation for users. Its module holds
    it under its own name.
    """

    def register(call: C) -> C:
        known = name or call.__name__.strip("_")
        parameters = inspect.signature(call).parameters.values()
        named = [p for p in parameters if p.kind == p.POSITIONAL_OR_KEYWORD]
        least = sum(p.default is p.empty for p in named)
        signature = Signature(
            tuple(p.name for p in named),
            counts or tuple(range(least, len(named) + 1)),
            {p.name: _KINDS[p.annotation] for p in parameters if p.kind == p.KEYWORD_ONLY},
            f"{call.__module__}:{call.__name__}",
        )
        assert known not in FUNCTIONS, f"two functions called {known}"
        paragraph, _, _ = inspect.cleandoc(call.__doc__ or "").partition("\n\n")
        doc = " ".join(paragraph.split())
        FUNCTIONS[known] = Function(known, signature, group, doc, example, gives, call)
        return call

    return register


def signatures() -> dict[str, Signature]:
    """The signatures of all functions."""
    return {name: known.signature for name, known in sorted(FUNCTIONS.items())}
