"""The dataset of a converted file: expressions, classes, collections and weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rootloom.convert.weaver.document import Document
from rootloom.convert.weaver.inputs import MOMENTUM, Group, Inputs, Variable, translated
from rootloom.convert.weaver.labels import Labels
from rootloom.convert.weaver.terms import Unsupported, is_true
from rootloom.convert.weaver.translation import Translator
from rootloom.convert.weaver.weights import Weights
from rootloom.rootio.functions.registry import signatures
from rootloom.rootio.syntax import Syntax


@dataclass
class Quantities:
    """Expressions of a dataset, and the names that the inputs have in it.

    rows: variables of a row; objects: by collection; names: those of the quantities of each group.
    """

    rows: dict[str, str] = field(default_factory=dict)
    objects: dict[str, dict[str, str]] = field(default_factory=dict)
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)


def quantities(document: Document, translator: Translator, inputs: Inputs) -> Quantities:
    """The quantities of all groups. Points and momenta are scaled by their expressions."""
    found = Quantities()
    # Momenta first: networks find them by their names, which a feature must not take.
    for group in sorted(inputs.groups, key=lambda one: one.role != "vectors"):
        into = found.rows if group.role == "row" else found.objects.setdefault(group.collection, {})
        names = MOMENTUM if group.role == "vectors" else [one.name for one in group.variables]
        texts = [_text(document, translator, group, one) for one in group.variables]
        found.names[group.name] = tuple(
            _named(into, name, text) for name, text in zip(names, texts, strict=False)
        )
        _refuse_twice(document, group, found.names[group.name])
    return found


def _text(document: Document, translator: Translator, group: Group, variable: Variable) -> str:
    term = translated(document, translator, variable)
    inside = group.role in ("points", "vectors") and not variable.scaling.is_auto
    return (variable.scaling.applied(term) if inside else term).text


def _named(into: dict[str, str], name: str, text: str) -> str:
    """A name for an expression: another one if the name is taken for another expression."""
    while into.setdefault(name, text) != text:
        name += "_"
    return name


def _refuse_twice(document: Document, group: Group, names: Iterable[str]) -> None:
    for name, times in Counter(names).items():
        if times > 1:
            document.refuse(
                (*group.place, "vars"), f"each variable once: '{name}' is {times} times"
            )


def dataset(
    document: Document,
    translator: Translator,
    of: Quantities,
    labels: Labels,
    weights: Weights,
) -> dict[str, Any]:
    """The section of a dataset without files and tree."""
    observed = _observed(document, translator)
    rows = {**of.rows, **{name: term.text for name, term in weights.variables.items()}}
    targets = {name: term.text for name, term in labels.targets.items()}
    # Targets are stored with the predictions, but a regression would learn them all.
    if labels.targets:
        rows = {**observed, **rows}
    else:
        targets = observed
    section = {
        "select": selection(document, translator),
        "classes": {name: {"where": term.text} for name, term in labels.classes.items()},
        "objects": of.objects,
        "variables": rows,
        "targets": targets,
        "training_weight": weights.weight.text if weights.weight else None,
        "reweight": weights.reweight,
    }
    kept: dict[str, Any] = {key: value for key, value in section.items() if value}
    if not (labels.targets and not labels.classes):
        kept["balance"] = weights.balance
    return with_definitions(kept, translator)


def selection(document: Document, translator: Translator) -> str | None:
    """The selection, as a condition."""
    text = document.text("selection")
    if text is None:
        return None
    try:
        return is_true(translator.translated(text)).text
    except Unsupported as problem:
        document.refuse(("selection",), str(problem))
        return None


def _observed(document: Document, translator: Translator) -> dict[str, str]:
    found = {}
    for number, name in enumerate(document.listed("observers")):
        if not (isinstance(name, str) and name.isidentifier()):
            document.expect(("observers", number), "the name of a variable", name)
            continue
        try:
            found[name] = translator.translated(name).text
        except Unsupported as problem:
            document.refuse(("observers", number), str(problem))
    return found


def with_definitions(section: dict[str, Any], translator: Translator) -> dict[str, Any]:
    """A dataset with the variables that its expressions name under `define`.

    A variable that one key alone names, and nothing else, is written there.
    """
    found = needed(_texts(section), translator)
    counted = Counter(name for text in [*_texts(section), *found.values()] for name in _names(text))
    alone = {name for name in found if counted[name] == 1}

    def written(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: written(one) for key, one in value.items()}
        if isinstance(value, str) and value in alone:
            used.add(value)
            return written(found[value])
        return value

    used: set[str] = set()
    expressions = {key: written(value) for key, value in section.items() if key != "reweight"}
    whole = {**section, **expressions}
    define = {name: text for name, text in found.items() if name not in used}
    return {**({"define": define} if define else {}), **whole}


def needed(texts: Iterable[str], translator: Translator) -> dict[str, str]:
    """Definitions that expressions need, and those that these need, in the order of the file."""
    open_, found = [*texts], dict[str, str]()
    while open_:
        for name in _names(open_.pop()):
            if name in translator.variables and name not in found:
                own = translator.variables[name]
                if own != name:
                    found[name] = translator.variable(name).text
                    open_.append(found[name])
    return {name: found[name] for name in translator.variables if name in found}


def _texts(section: Mapping[str, Any]) -> list[str]:
    """All expressions of a dataset."""
    found = []
    for key, value in section.items():
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, Mapping) and key != "reweight":
            found += _texts(value)
    return found


def _names(text: str) -> tuple[str, ...]:
    return tuple(Syntax(text, signatures()).names)
