"""From its name and fields to a representation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rootloom.config import registry


def representation_of(named: Mapping[str, Any]) -> Any:
    """The representation with these fields, among which its name is none."""
    fields = {k: v for k, v in named.items() if k != "name"}
    return registry.build("representations", fields)
