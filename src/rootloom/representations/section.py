"""From a job's section to its representation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rootloom.config import registry
from rootloom.representations.base import Representation


def representation_of(section: Mapping[str, Any]) -> Representation:
    """The representation that a section names."""
    fields = {k: v for k, v in section["representation"].items() if k != "name"}
    found: Representation = registry.build("representations", fields)
    return found
