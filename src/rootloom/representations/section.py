"""From its name and fields to a representation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rootloom.config import registry
from rootloom.representations.base import Representation


def representation_of(named: Mapping[str, Any]) -> Representation:
    """The representation with these fields, among which its name is none."""
    fields = {k: v for k, v in named.items() if k != "name"}
    found: Representation = registry.build("representations", fields)
    return found
