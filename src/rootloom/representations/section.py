"""From a job's section to its representation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rootloom.config import registry


def representation_of(section: Mapping[str, Any]) -> Any:
    """The representation that a section names."""
    fields = {k: v for k, v in section["representation"].items() if k != "name"}
    return registry.build("representations", fields)
