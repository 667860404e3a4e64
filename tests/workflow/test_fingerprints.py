"""Fingerprints cover what jobs execute: shown by what the jobs of a complete run executed."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

from rootloom.planning import fingerprint
from tests.workflow.project import Project

FUNCTIONS = "rootloom.rootio.functions."


def test_all_code_that_a_job_executed_is_in_its_fingerprint(finished: Project) -> None:
    reports = [json.loads(p.read_text()) for p in (finished.path.parent / "executed").iterdir()]
    assert {report["rule"] for report in reports} >= {
        "index", "preprocess", "moments", "statistics", "survey", "train", "predict", "bundle",
        "baseline", "evaluate", "friends", "report", "export",
    }  # fmt: skip
    missing = sorted({row for report in reports for row in missing_of(finished, report)})
    assert not missing, "\n".join(map(str, missing))


def missing_of(project: Project, report: dict) -> Iterator[tuple[str, str, str]]:
    """Rule, module and line of definitions that a job executed and its fingerprint has not.

    The index calls functions of expressions over no entries, to refuse a shape that does not fit.
    They decide nothing of what it writes, and rows are refused for the same where they are read.
    All jobs register functions as they load them; that counts where one of them is called.
    """
    (noted,) = project.path.rglob(f"{report['code']}.json")
    covered = json.loads(noted.read_text())["modules"]
    for file, line in report["places"]:
        module = module_of(file)
        names = names_at(module, line)
        if (report["rule"] == "index" and module.startswith(FUNCTIONS)) or (
            module == FUNCTIONS + "registry" and names == {"function"}
        ):
            continue
        if not fingerprint._neutral(module) and not names & {*covered.get(module, {})}:
            yield report["rule"], module, f"line {line}"


def module_of(file: str) -> str:
    path = Path(file).with_suffix("")
    parts = path.parts[len(path.parts) - path.parts[::-1].index("rootloom") - 1 :]
    return ".".join(parts).removesuffix(".__init__")


def names_at(module: str, line: int) -> set[str]:
    """Definitions of a module, by name, that a line belongs to."""
    return {
        name
        for name, statements in fingerprint._module(module).statements.items()
        for one in statements
        if first_line(one) <= line <= (one.end_lineno or one.lineno)
    }


def first_line(statement: ast.stmt) -> int:
    decorators = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(one.lineno for one in decorators)])
