"""What would run for a target, and why, in words.

The engine decides (`snakemake --dry-run`); this reads its reasons and, where it says only that
parameters changed, compares the configuration stored in the old output with today's.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rootloom.errors import ConfigError
from rootloom.plan import Plan
from rootloom.provenance import read

EXAMPLES = 3  # jobs named per rule; the count says how many more there are
_FIELD = re.compile(r"^    (output|reason|wildcards): (.*)$")


@dataclass
class Planned:
    """One job of the dry run."""

    rule: str
    output: str = ""
    reason: str = ""
    wildcards: str = ""


def explain(root: Path, target: str, config: Sequence[str]) -> list[str]:
    """Lines saying what would run for `target` and why."""
    command = [sys.executable, "-m", "snakemake", "--dry-run", target]
    if config:
        command += ["--config", *config]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    if done.returncode:
        raise ConfigError(
            f"snakemake --dry-run {target}",
            expected="a plan",
            found=(done.stderr or done.stdout).strip()[-2000:],
        )
    jobs = [job for job in _jobs(done.stdout + done.stderr) if job.rule != "all"]
    if not jobs:
        return [f"{target}: nothing to do, everything is there and current"]
    plan = Plan(settings(root, config), root)
    return [f"{target}: {len(jobs)} jobs would run", *_by_rule(jobs, plan, root)]


def settings(root: Path, config: Sequence[str]) -> dict[str, Any]:
    """What `config/config.yaml` says, with KEY=VALUE on top, as the engine reads both."""
    import yaml

    found = dict(yaml.safe_load((root / "config" / "config.yaml").read_text()))
    for key, _, value in (item.partition("=") for item in config):
        found[key] = yaml.safe_load(value)
    return found


def _jobs(text: str) -> Iterator[Planned]:
    job: Planned | None = None
    for line in text.splitlines():
        head = re.match(r"^(?:local)?rule (\w+):$", line)
        if head:
            if job:
                yield job
            job = Planned(head[1])
        field = _FIELD.match(line)
        if job and field:
            setattr(job, field[1], field[2])
    if job:
        yield job


def _by_rule(jobs: list[Planned], plan: Plan, root: Path) -> Iterator[str]:
    for rule in dict.fromkeys(job.rule for job in jobs):
        of_rule = [job for job in jobs if job.rule == rule]
        yield f"{rule}: {len(of_rule)}"
        for job in of_rule[:EXAMPLES]:
            yield f"  {job.output.split(', ')[0]}"
            yield from (f"    {line}" for line in _why(job, plan, root))
        if len(of_rule) > EXAMPLES:
            yield f"  … and {len(of_rule) - EXAMPLES} more"


def _why(job: Planned, plan: Plan, root: Path) -> list[str]:
    said = [] if "Params have changed" in job.reason else [job.reason]
    old = read(root / job.output.split(", ")[0].removesuffix(" (update)"))
    if old is None:
        return said or ["the configuration or the code changed since it was made"]
    wildcards = dict(item.split("=", 1) for item in job.wildcards.split(", ") if "=" in item)
    new = plan.job(job.rule, **wildcards)
    before, now = dict(old.get("section") or {}), json.loads(json.dumps(new["section"]))
    if "files" in now and before.get("files") != now["files"]:  # digests, which say nothing
        before["files"] = old["inputs"]
        now["files"] = {k: file.state for k, file in plan.files(wildcards["pack"]).items()}
    changed = list(_differences(before, now))
    if said or changed:
        return said + changed
    parts = {"code": "the code it executes changed", "upstream": "something upstream of it changed"}
    return [text for key, text in parts.items() if old.get(key) != new[key]] or [job.reason]


def _differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    if old == new:
        return
    if path == "files" and isinstance(old, dict) and isinstance(new, dict):
        changed = sum(old[key] != new[key] for key in old.keys() & new.keys())
        yield (
            f"files: {len(new.keys() - old.keys())} new, {changed} changed, "
            f"{len(old.keys() - new.keys())} gone"
        )
    elif isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from _differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    else:
        yield f"{path}: {json.dumps(old)} → {json.dumps(new)}"
