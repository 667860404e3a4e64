"""Short hashes of values."""

from __future__ import annotations

import hashlib
import json


def of_value(value: object) -> str:
    """Hash of a JSON-able value, independent of the order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
