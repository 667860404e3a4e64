"""What a job's section describes, as objects: how rows are read, and what is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rootloom import registry
from rootloom.rootio.dataset import ClassRule, FriendRule, RowReader

Section = Mapping[str, Any]


def representation_of(section: Section) -> Any:
    """The representation that a section names."""
    fields = {k: v for k, v in section["representation"].items() if k != "name"}
    return registry.build("representations", fields)


def reader_of(section: Section) -> RowReader:
    """The reader whose fields a section holds."""
    classes = tuple(ClassRule(**rule) for rule in section["classes"])
    tuples = {name: tuple(section[name]) for name in ("identity", "mentions")}
    friends = {
        name: FriendRule(rule["tree"], None if rule["by"] is None else tuple(rule["by"]))
        for name, rule in section["friends"].items()
    }
    return RowReader(**{**section, **tuples, "classes": classes, "friends": friends})
