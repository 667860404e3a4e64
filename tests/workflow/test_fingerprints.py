"""Fingerprints cover what jobs execute: shown by what the jobs of a complete run executed."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from rootloom.planning import fingerprint
from tests.workflow.project import Project


def test_all_code_that_a_job_executed_is_in_its_fingerprint(finished: Project) -> None:
    reports = [json.loads(p.read_text()) for p in (finished.path.parent / "executed").iterdir()]
    assert {report["rule"] for report in reports} >= {
        "index", "preprocess", "moments", "statistics", "survey", "train", "predict", "baseline",
        "evaluate", "friends", "report",
    }  # fmt: skip
    missing = sorted({row for report in reports for row in missing_of(finished, report)})
    assert not missing, "\n".join(map(str, missing))


def missing_of(project: Project, report: dict) -> Iterator[tuple[str, str, str]]:
    """Rule, module and name of definitions that a job executed and its fingerprint has not."""
    (noted,) = project.path.rglob(f"{report['code']}.json")
    covered = json.loads(noted.read_text())["modules"]
    for file, line in report["places"]:
        module = module_of(file)
        names = names_at(file, line)
        known = {*covered.get(module, {})}
        if not fingerprint._neutral(module) and not known & {*names}:
            yield report["rule"], module, "/".join(names)


def module_of(file: str) -> str:
    path = Path(file).with_suffix("")
    parts = path.parts[path.parts.index("rootloom") :]
    return ".".join(parts).removesuffix(".__init__")


def names_at(file: str, line: int) -> list[str]:
    """Names that the module's statement at a line binds."""
    for first, last, names in spans(file):
        if first <= line <= last:
            return names
    raise AssertionError(f"{file}:{line} is in no statement")


@cache
def spans(file: str) -> list[tuple[int, int, list[str]]]:
    found = []
    for statement in ast.parse(Path(file).read_text()).body:
        decorators = getattr(statement, "decorator_list", [])
        first = min([statement.lineno, *(one.lineno for one in decorators)])
        names = fingerprint._names_bound(statement) or [fingerprint.ON_LOADING]
        found.append((first, statement.end_lineno or first, names))
    return found
