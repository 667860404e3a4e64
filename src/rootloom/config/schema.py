"""The JSON schema of the configuration, generated from the configured classes.

Editors use `config/schema.json`, and so does the workflow, which checks sections without
importing the heavy packages of the classes. A test compares it with what is generated here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import NamedTuple

from rootloom.config import registry
from rootloom.config.classes import of_class
from rootloom.config.sections import Dataset, Experiment, Rates, Settings, Table

# Classes that are configured but not chosen by a kind.
SINGLE = {
    "training": "rootloom.training.options:TrainingOptions",
    "reweight": "rootloom.shards.reweight:Reweight",
}

SIGNATURES = "rootloom.rootio.functions:signatures"  # signatures of the functions of expressions


def generate() -> dict[str, object]:
    """The schema as plain data."""
    definitions: dict[str, object] = {}
    for group, entries in registry.REGISTRY.items():
        definitions[group] = {n: of_class(registry.resolve(group, n)) for n in sorted(entries)}
    for name, target in SINGLE.items():
        definitions[name] = {name: of_class(registry.load(target))}
    for section in (Settings, Rates, Dataset, Experiment, Table):
        definitions[section.__name__.lower()] = section.model_json_schema()
    signatures: Callable[[], Mapping[str, NamedTuple]] = registry.load(SIGNATURES)
    definitions["functions"] = {name: s._asdict() for name, s in signatures().items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "rootloom configuration (generated: rootloom schema)",
        "$defs": definitions,
    }


def text() -> str:
    """The schema as it is stored."""
    return json.dumps(generate(), indent=1, sort_keys=True, default=list) + "\n"
