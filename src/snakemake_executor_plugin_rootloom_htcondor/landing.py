"""What a job left in its sandbox gets its final names.

It lies in the sandbox until all of it is there; each file is then renamed, the declared outputs
last: who sees them sees what they speak of.
"""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rootloom.cluster.running import STARTS
from rootloom.system.atomic import Draft
from snakemake_executor_plugin_rootloom_htcondor import node

IN = "in"
_LANDED = ".landed"


def land(place: Path, home: Path) -> None:
    """Bring home what is in a sandbox, and remove it; nothing when there is none any more.

    Where the job did not end by itself, that is what it had sent before. May be killed at any time
    and called again.
    """
    order = read_json(place / IN / node.ORDER)
    if order is None:
        return
    left, names, gone = _left_in(place)
    outputs = order["outputs"]
    for name in sorted(names, key=lambda name: (name in outputs, name)):
        _give_final_name(left / name, home / name, append=name == str(STARTS))
    for name in gone:
        (home / name).unlink(missing_ok=True)
    # In one step: half a sandbox could be taken for one whose job had only sent something.
    over = place.with_name(f"{place.name}{_LANDED}")
    place.rename(over)
    shutil.rmtree(over, ignore_errors=True)


def read_json(path: Path) -> dict[str, Any] | None:
    """JSON that may not be there, or not all of it."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return found


def _left_in(place: Path) -> tuple[Path, list[str], list[str]]:
    """What a job left: a folder, the names of the files in it, and those of files that are gone."""
    out, landing = place / node.OUT, place / "landing.json"
    said = read_json(landing) or read_json(out / node.ORDER)
    if said and (landing.exists() or _is_whole(out / node.TREE, said["files"])):
        if not landing.exists():
            (out / node.ORDER).rename(landing)
        names = [name for name in said["files"] if (out / node.TREE / name).exists()]
        return out / node.TREE, names, said["gone"]
    left = place / "state"
    shutil.rmtree(left, ignore_errors=True)
    left.mkdir()
    if (place / IN / node.STATE).exists():
        with tarfile.open(place / IN / node.STATE) as state:
            state.extractall(left, filter="data")
    return left, [str(p.relative_to(left)) for p in left.rglob("*") if p.is_file()], []


def _is_whole(folder: Path, files: Mapping[str, int]) -> bool:
    """Whether files are there with their sizes."""
    try:
        return all((folder / name).stat().st_size == size for name, size in files.items())
    except OSError:
        return False


def _give_final_name(path: Path, target: Path, *, append: bool) -> None:
    """Publish a file that has the target's name already, in another folder."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if append:
        with target.open("a") as file:
            file.write(path.read_text())
        path.unlink()
        return
    Draft(target, path.parent).publish()
