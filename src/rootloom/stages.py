"""One typed function per rule: the only room that knows every room.

Each takes the rule's `job` (its configuration section and fingerprint, see `rootloom.plan`), the
paths the rule declares, and leaves its outputs whole or not at all. Imports are local to the
functions: a job loads, and its fingerprint covers, only the rooms it uses.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rootloom import provenance, registry
from rootloom.errors import DataError, InputError, RootloomError
from rootloom.fileio import write_text
from rootloom.running import progress, running
from rootloom.types import SPLITS

if TYPE_CHECKING:
    from rootloom.rootio.dataset import RowReader

__all__ = [
    "baseline", "evaluate", "friends", "index", "moments", "predict", "preprocess", "report",
    "running", "simulate", "statistics", "train",
]  # fmt: skip

Job = Mapping[str, Any]


def simulate(job: Job, *, output: str) -> None:
    """Simulate one ROOT file: a fixed number of accepted rows of one process."""
    section = job["section"]
    source = registry.build("simulations", section["source"])
    source.generate(
        section["process"],
        section["rows"],
        section["seed"],
        Path(output),
        progress(f"simulate {Path(output).stem}", "jets"),
    )


def index(job: Job, *, output: str) -> None:
    """Read one file's headers; refuse a missing branch or a damaged file, or set it aside."""
    from rootloom.rootio.header import inspect, require

    section = job["section"]
    reader = _reader(section)
    try:
        header = inspect(section["url"], reader.tree)
        require(header, reader.branches())
    except InputError as refusal:
        if section["on_bad_file"] == "fail":
            raise
        content: dict[str, Any] = {"quarantined": str(refusal)}
        print(f"set aside: {refusal}")
    else:
        content = {"header": header.to_dict()}
        print(f"{section['url']}: {header.entries} entries, {len(header.branches)} branches")
    content["provenance"] = provenance.record("index", dict(job))
    write_text(output, json.dumps(content, indent=1, sort_keys=True))
