"""`weights` as training weight, reweighting and balance of a dataset."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from rootloom.convert.weaver.document import Document, is_number
from rootloom.convert.weaver.terms import Term, Unsupported, call
from rootloom.convert.weaver.translation import Translator

_KEYS = (
    "use_precomputed_weights", "weight_branches", "reweight_method", "reweight_vars",
    "reweight_classes", "class_weights", "reweight_threshold", "reweight_basewgt",
    "reweight_discard_under_overflow", "reweight_hists",
)  # fmt: skip
_WHERE = ("weights",)


@dataclass
class Weights:
    """How a training weights rows. variables: expressions of the reweighting, by name."""

    weight: Term | None = None
    variables: dict[str, Term] = field(default_factory=dict)
    reweight: dict[str, Any] | None = None
    balance: bool | dict[str, float] = False
    notes: list[str] = field(default_factory=list)


def read_weights(document: Document, translator: Translator, classes: Collection[str]) -> Weights:
    """The weights of a file: none by default, as in weaver-core. Problems are noted."""
    section = document.section("weights", keys=_KEYS)
    if not section:
        return Weights()
    if section.get("use_precomputed_weights"):
        return Weights(weight=_precomputed(document, translator))
    found = _reweighting(document, translator, classes)
    if section.get("reweight_basewgt"):
        base = str(section["reweight_basewgt"])
        found.weight = _term(document, translator, "reweight_basewgt", base)
        found.notes.append(
            "weights.reweight_basewgt: rows of negative weight are trained on with its absolute "
            "value, and large weights are kept; weaver-core never draws the former, and draws all "
            f"rows above percentile 100 - {section.get('reweight_threshold', 10)} alike"
        )
    if section.get("reweight_hists") is not None:
        found.notes.append(
            "weights.reweight_hists are not used: histograms are filled from the training split"
        )
    return found


def _precomputed(document: Document, translator: Translator) -> Term:
    """The product of the branches, as a probability: rows are drawn never below 0, always above 1.

    The texts are joined without parentheses, as weaver-core does.
    """
    branches = document.listed("weights", "weight_branches")
    if not branches or not all(isinstance(one, str) for one in branches):
        document.expect((*_WHERE, "weight_branches"), "a list of branches", branches)
        return Term("0")
    product = _term(document, translator, "weight_branches", "*".join(branches))
    return call("clip", product, "0", "1")


def _reweighting(document: Document, translator: Translator, classes: Collection[str]) -> Weights:
    section, found = document.section("weights"), Weights()
    edges = document.section("weights", "reweight_vars")
    for name, of in edges.items():
        if not name.isidentifier():
            document.expect((*_WHERE, "reweight_vars", name), "the name of a variable", name)
            continue
        found.variables[name] = _term(document, translator, "reweight_vars", name)
        if not _ascends(of):
            document.expect((*_WHERE, "reweight_vars", name), "ascending edges", of)
    if not edges:
        document.refuse((*_WHERE, "reweight_vars"), "variables with the edges of their bins")
    shares = _shares(document, classes)
    alike = shares.keys() == {*classes} and len({*shares.values()}) == 1
    found.balance = alike or shares
    method, threshold = (
        section.get("reweight_method", "flat"),
        section.get("reweight_threshold", 10),
    )
    if method not in ("flat", "ref"):
        document.expect((*_WHERE, "reweight_method"), "flat or ref", method)
    if not is_number(threshold) or not 0 <= threshold < 100:
        document.expect((*_WHERE, "reweight_threshold"), "a percentile below 100", threshold)
    keep = section.get("reweight_discard_under_overflow", True) is False
    found.reweight = {
        "edges": edges,
        "target": "flat" if method == "flat" else next(iter(shares), "flat"),
        "threshold": threshold,
        "outside": "nearest" if keep else "left_out",
    }
    return found


def _shares(document: Document, classes: Collection[str]) -> dict[str, float]:
    """The share of each class; without `class_weights` all are alike."""
    named = [str(name) for name in document.listed("weights", "reweight_classes")]
    for number, name in enumerate(named):
        if name not in classes:
            expected = f"one of the classes of `labels` ({', '.join(classes)})"
            document.expect((*_WHERE, "reweight_classes", number), expected, name)
        elif name in named[:number]:
            document.expect((*_WHERE, "reweight_classes", number), "each class once", name)
    shares = document.listed("weights", "class_weights") or [1] * len(named)
    good = len(shares) == len(named) and all(is_number(one) and one >= 0 for one in shares)
    if not good:
        expected = f"{len(named)} numbers, one of each class"
        document.expect((*_WHERE, "class_weights"), expected, shares)
    elif not any(shares):
        expected = "a positive number for one of the classes" if named else "a list of classes"
        key = "class_weights" if named else "reweight_classes"
        document.expect((*_WHERE, key), expected, shares)
    return dict(zip(named, shares, strict=False)) if good else {}


def _ascends(edges: object) -> bool:
    numbers = isinstance(edges, list) and all(map(is_number, edges))
    return numbers and len(edges) > 1 and sorted({*edges}) == edges  # type: ignore[misc, arg-type]


def _term(document: Document, translator: Translator, key: str, text: str) -> Term:
    try:
        return translator.translated(text)
    except Unsupported as problem:
        document.refuse((*_WHERE, key), str(problem))
        return Term("0")
