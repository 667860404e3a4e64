"""Note which code of the library a job executes: `tests/workflow/test_fingerprints.py` asks for it.

On the path of a run's jobs, Python imports it when it starts. The library's functions are then
loaded with one more statement at their start, which costs far less than a trace of all calls. At
the end of a job it writes the file and first line of all functions that ran, and the hash of code
in the job's fingerprint.
"""

import ast
import atexit
import builtins
import importlib._bootstrap_external as files
import inspect
import json
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

FOLDER = "ROOTLOOM_EXECUTED"  # environment variable: where a job writes what it executed
PACKAGE = "rootloom"
NOTE = "note_that_it_runs"
TAG = "executed"  # of the compiled files, which lie beside those without notes
KERNEL = "njit"  # Python does not execute what this decorates
executed: set[tuple[str, int]] = set()


def note(file: str, line: int) -> None:
    """Called at the start of a function; what loading a module or class calls need not be used."""
    if (file, line) not in executed:
        caller = sys._getframe(2)
        if caller.f_code.co_flags & inspect.CO_OPTIMIZED:
            executed.add((file, line))


class Noting(ast.NodeTransformer):
    """Lets functions say that they run."""

    def __init__(self, path: str) -> None:
        self.path = path

    def note(self, node: ast.stmt | ast.expr) -> ast.Call:
        first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])
        return ast.parse(f"{NOTE}({self.path!r}, {first})", mode="eval").body  # type: ignore[return-value]

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        if not any(KERNEL in ast.unparse(one) for one in node.decorator_list):
            self.generic_visit(node)
            after = 1 if ast.get_docstring(node, clean=False) is not None else 0
            node.body.insert(after, ast.Expr(self.note(node)))
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.Lambda:
        self.generic_visit(node)
        both = ast.Tuple([self.note(node), node.body], ast.Load())
        node.body = ast.Subscript(both, ast.Constant(1), ast.Load())
        return node


class Loader(SourceFileLoader):
    """Loads a module with notes, and keeps what it compiled apart from what has none."""

    def source_to_code(self, data: Any, path: Any, *, _optimize: int = -1) -> Any:
        tree = ast.fix_missing_locations(Noting(path).visit(ast.parse(data)))
        return compile(tree, path, "exec", dont_inherit=True, optimize=_optimize)

    def get_code(self, fullname: str) -> Any:
        plain = files.cache_from_source
        files.cache_from_source = lambda path, *_, **__: plain(path, optimization=TAG)
        try:
            return super().get_code(fullname)
        finally:
            files.cache_from_source = plain


class Finder(MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.partition(".")[0] != PACKAGE:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = Loader(spec.loader.name, spec.loader.path)
        return spec


def write() -> None:
    job = getattr(sys.modules["__main__"], "snakemake", None)
    if job is None:
        return
    code = job.params.job["code"] if "job" in job.params.keys() else ""  # noqa: SIM118
    with open(os.path.join(os.environ[FOLDER], f"{os.getpid()}.json"), "w") as file:
        json.dump({"rule": job.rule, "code": code, "places": sorted(executed)}, file)


setattr(builtins, NOTE, note)
sys.meta_path.insert(0, Finder())
atexit.register(write)
os.register_at_fork(after_in_child=executed.clear)  # of `tests/warm`: what it ran is no job's
