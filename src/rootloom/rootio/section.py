"""From a job's section to its reader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rootloom.rootio.dataset import ClassRule, FriendRule, RowReader
from rootloom.rootio.gathering import GatherRule


def reader_of(section: Mapping[str, Any]) -> RowReader:
    """The reader whose fields a section holds."""
    classes = tuple(ClassRule(**rule) for rule in section["classes"])
    tuples = {name: tuple(section[name]) for name in ("identity", "mentions")}
    friends = {
        name: FriendRule(rule["tree"], None if rule["by"] is None else tuple(rule["by"]))
        for name, rule in section["friends"].items()
    }
    gather = {name: GatherRule(**rule) for name, rule in section["gather"].items()}
    read = {"classes": classes, "friends": friends, "gather": gather}
    return RowReader(**{**section, **tuples, **read})
