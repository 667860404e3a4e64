"""Packs: which files one job works on.

A job takes seconds to start, and a scheduler can handle thousands of jobs, not millions.
So stages that look at every file do it pack by pack. A pack is a range of the hash of the files'
names: one more file changes one pack, twice as many packs split each in two, and no pack's content
depends on the order of the files. The paths of a file's results do not depend on its pack.
"""

from __future__ import annotations

import hashlib
import math

MAX_PACKS = 2048  # per stage: Snakemake plans ten thousand jobs in well under a minute
FOLDER_ENTRIES = 1000  # larger folders are slow and hard to read
_BITS = 64


def packs_for(seconds: float, target: float) -> int:
    """How many packs give jobs of about `target` seconds: a power of two, so that packs nest."""
    wanted = max(1.0, seconds / target)
    return min(MAX_PACKS, 1 << math.ceil(math.log2(wanted)))


def position(key: str) -> int:
    """Position of a file in the order of packs: 64 bits of the hash of its key."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big")


def number_of(key: str, packs: int) -> int:
    """Number of the pack, out of `packs`, that a file belongs to."""
    return number_at(position(key), packs)


def number_at(position: int, packs: int) -> int:
    """Number of the pack, out of `packs`, with this position."""
    return position * packs >> _BITS


def label(number: int, packs: int) -> str:
    """Name of a pack in paths: "3-of-8", in folders of limited size if there are many."""
    name = f"{number}-of-{packs}"
    return name if packs < FOLDER_ENTRIES else f"{number % 64}/{name}"


def folder(key: str) -> str:
    """Folder of a file's results: 256 × 16 of them, so that a million files fit."""
    digits = f"{position(key):016x}"
    return f"{digits[:2]}/{digits[2]}"
