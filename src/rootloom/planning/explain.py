"""What would run for a target, and why: a line a stage.

The engine says which jobs (`snakemake --dry-run`); why follows from what the old outputs say of the
job that made them, compared with today's: its configuration, its code, its files, what it reads.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from rootloom.config.documents import parse_yaml, read_yaml
from rootloom.errors import ConfigError, InputError
from rootloom.planning.fingerprint import Definitions
from rootloom.planning.plan import Plan
from rootloom.planning.stage import Job
from rootloom.system.atomic import read_json
from rootloom.system.filelist import states
from rootloom.system.provenance import other_versions, read

EXAMPLES = 3  # files or definitions that a line names; it says how many more there are
LOOKED_AT = 200  # jobs of a rule, and results of all, whose records are read
_FIELD = re.compile(r"^    (output|wildcards): (.*)$")


@dataclass
class Planned:
    """One job of the dry run."""

    rule: str
    output: str = ""
    wildcards: str = ""


def explain(plan: Plan, target: str, config: Sequence[str]) -> list[str]:
    """Lines saying what would run for `target` and why.

    plan: of the settings with `config` on top, KEY=VALUE each. Raises ConfigError where the engine
    has no plan.
    """
    root = plan.request.root
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
        said = [f"{target}: nothing to do, everything is there and current"]
    else:
        said = [f"{target}: {len(jobs)} to run", *_by_rule(jobs, plan)]
    return [*said, *_of_other_versions(plan)]


def _of_other_versions(plan: Plan) -> Iterator[str]:
    """Results that were made with other versions of packages than today's, a line a stage."""
    found: dict[str, Counter[str]] = {}
    # What shards and predictions were made with, the models and the statistics say as well.
    light = (path for path in plan.targets() if path.endswith((".json", ".safetensors")))
    for path in islice(light, LOOKED_AT):
        record = read(plan.request.root / path) or {}
        changed = other_versions(record).items()
        words = ", ".join(f"{name} {then}, now {now}" for name, (then, now) in changed)
        if words:
            found.setdefault(str(record.get("stage")), Counter())[words] += 1
    for stage, several in found.items():
        for words, number in several.items():
            yield f"{stage}: {number} made with {words}; `strict_versions: true` makes them again"


def settings(root: Path, config: Sequence[str]) -> dict[str, Any]:
    """What `config/config.yaml` says, where there is one, with KEY=VALUE on top.

    Raises ConfigError for what the engine would not read either.
    """
    path = root / "config" / "config.yaml"
    found = read_yaml(path) if path.exists() else {}
    for key, _, value in (item.partition("=") for item in config):
        found |= parse_yaml(f"{key}: {value}".encode(), f"--config {key}={value}")
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


def _by_rule(jobs: list[Planned], plan: Plan) -> Iterator[str]:
    rules = list(dict.fromkeys(job.rule for job in jobs))
    for rule in rules:
        of_rule = [job for job in jobs if job.rule == rule]
        causes = Counter(
            cause for job in of_rule[:LOOKED_AT] for cause in _causes(job, plan, rules)
        )
        several = [f"{n} of {len(of_rule)}: " if n < len(of_rule) else "" for n in causes.values()]
        said = "; ".join(f"{of}{cause}" for of, cause in zip(several, causes, strict=True))
        yield f"{rule}: {len(of_rule)} job{'s' if len(of_rule) > 1 else ''}: {said}"


def _causes(job: Planned, plan: Plan, rules: Sequence[str]) -> list[str]:
    """Why a job would run. rules: all that would."""
    root = plan.request.root
    outputs = [output.removesuffix(" (update)") for output in job.output.split(", ")]
    there = [output for output in outputs if (root / output).exists()]
    old = next(filter(None, (read(root / output) for output in there)), None)
    gone = [Path(output).name for output in outputs if output not in there]
    deleted = [f"not there: {_listed(gone)}"] if gone and there else []
    if not there:
        return ["not there"]
    if old is None:
        return deleted or ["what is there does not say what it was made from"]
    wildcards = dict(item.split("=", 1) for item in job.wildcards.split(", ") if "=" in item)
    new = plan.job(job.rule, **wildcards)
    changed = _of_section(old, new, plan, wildcards)
    if old.get("code") != new["code"]:
        changed.append(f"code: {_of_code(plan, str(old.get('code')), new['code'])}")
    if not changed and old.get("upstream") != new["upstream"]:
        above = _nearest([rule for rule in plan.stages[job.rule].reads if rule in rules], plan)
        changed.append(f"follows from {', '.join(above)}" if above else "what it reads changed")
    return [*changed, *deleted] or ["asked for, though nothing changed"]


def _nearest(rules: Sequence[str], plan: Plan) -> list[str]:
    """Rules whose results none of the other rules reads."""
    return [one for one in rules if not any(one in plan.stages[other].reads for other in rules)]


def _of_section(
    old: Mapping[str, Any], new: Job, plan: Plan, wildcards: Mapping[str, str]
) -> list[str]:
    before, now = dict(old.get("section") or {}), json.loads(json.dumps(new["section"]))
    if "files" in now and before.get("files") != now["files"]:  # digests, which say nothing
        before["files"] = old["inputs"]
        now["files"] = states(plan.files(wildcards["dataset"]).of_pack(wildcards["pack"]))
    return list(_differences(before, now))


def _of_code(plan: Plan, old: str, new: str) -> str:
    """Which definitions changed, as far as what the head noted when they ran says it."""
    before = _noted(plan.request.root / plan.paths.code(old))
    now = plan.jobs.definitions(new)
    if before is None:
        return "it changed"
    changed = []
    for module in sorted({*before, *now}):
        names = {name for name, _ in before.get(module, {}).items() ^ now.get(module, {}).items()}
        if names:
            changed.append(f"{module.partition(':')[0]} ({_listed(sorted(names))})")
    return _listed(list(dict.fromkeys(changed)))


def _noted(path: Path) -> Definitions | None:
    try:
        return read_json(path, "the definitions of a version of the code", lambda c: c["modules"])
    except InputError:
        return None


def _listed(names: Sequence[str]) -> str:
    more = len(names) - EXAMPLES
    return ", ".join(names[:EXAMPLES]) + (f" and {more} more" if more > 0 else "")


def _differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    if old == new:
        return
    if path == "files" and isinstance(old, dict) and isinstance(new, dict):
        fresh, gone = new.keys() - old.keys(), old.keys() - new.keys()
        changed = {key for key in old.keys() & new.keys() if old[key] != new[key]}
        yield (
            f"files: {len(fresh)} new, {len(changed)} changed, {len(gone)} gone "
            f"({_listed(sorted({*fresh, *changed, *gone}))})"
        )
    elif isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from _differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    else:
        yield f"{path}: {json.dumps(old)} → {json.dumps(new)}"
