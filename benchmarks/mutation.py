"""Which changes of the code no test notices: one random mutation at a time, in a scratch copy.

    nice python benchmarks/mutation.py --files 'evaluation/*.py' --mutants 60 --seed 1

A mutant is killed when a test file that imports the changed module or is named after it, itself or
through modules of the same package, fails or runs out of time; the nearest one runs first. A seed
and the code decide the mutants and their order, so that `--skip` goes on where a run ended (and
does not ask again whether the tests pass without a mutation).
"""

from __future__ import annotations

import argparse
import ast
import importlib
import os
import random
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path("src/rootloom")
OPERATORS: dict[type, tuple[type, ...]] = {
    ast.Lt: (ast.LtE, ast.Gt), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.Lt), ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,), ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Div,), ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Div,), ast.Mod: (ast.Mult,), ast.Pow: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,), ast.BitOr: (ast.BitAnd,), ast.And: (ast.Or,), ast.Or: (ast.And,),
}  # fmt: skip
DROPPED_CALLS = {"abs", "absolute", "sign", "sqrt", "square", "maximum", "minimum", "clip"}
TWINS = {"min": "max", "argmin": "argmax", "minimum": "maximum", "left": "right"}
TWINS |= {value: key for key, value in TWINS.items()}
PRELOADED = (
    "awkward",
    "flax",
    "h5py",
    "jax",
    "optax",
    "pydantic",
    "scipy.stats",
    "sklearn.metrics",
)
NOT_CODE = (ast.Raise, ast.Import, ast.ImportFrom, ast.JoinedStr)  # words, not behaviour


class Mutant(NamedTuple):
    """One change: the text from `start` to `end` (bytes of the file) becomes `after`."""

    file: str
    place: str  # line and column
    start: int
    end: int
    before: str
    after: str

    def apply(self, source: bytes) -> bytes:
        return source[: self.start] + self.after.encode() + source[self.end :]


def changed(node: ast.AST) -> Iterator[ast.AST | str]:
    """Everything that may stand in the place of `node`."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        for op in OPERATORS[type(node.ops[0])]:
            yield ast.Compare(node.left, [op()], node.comparators)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(OPERATORS[type(node.op)][0](), node.values)
    elif isinstance(node, ast.AugAssign):
        yield ast.AugAssign(node.target, OPERATORS[type(node.op)][0](), node.value)
    elif isinstance(node, ast.BinOp):
        yield from products(node)
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.IfExp):
        yield ast.IfExp(node.test, node.orelse, node.body)
    elif isinstance(node, ast.Constant):
        yield from constants(node.value)
    elif isinstance(node, ast.Call):
        yield from calls(node)


def products(node: ast.BinOp) -> Iterator[ast.AST]:
    """Sums, products and the like with another operator, or without one of their parts."""
    yield from (ast.BinOp(node.left, op(), node.right) for op in OPERATORS.get(type(node.op), ()))
    yield node.left
    if isinstance(node.op, ast.Mult):
        yield node.right


def constants(value: Any) -> Iterator[str]:
    if isinstance(value, bool):
        yield repr(not value)
    elif isinstance(value, int):
        yield from (repr(value + 1), repr(value - 1))
    elif isinstance(value, float):
        yield from (repr(1.1 * value + (value == 0)), repr(-value or 0.5))
    elif isinstance(value, str) and value in TWINS:
        yield repr(TWINS[value])


def calls(node: ast.Call) -> Iterator[ast.AST]:
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    if name in DROPPED_CALLS and node.args:
        yield node.args[0]
    if name in TWINS:
        names = (
            {"attr": TWINS[name]} if isinstance(node.func, ast.Attribute) else {"id": TWINS[name]}
        )
        function = type(node.func)(**{**vars(node.func), **names})
        yield ast.Call(function, node.args, node.keywords)
    if len(node.args) > 1 and not any(isinstance(arg, ast.Starred) for arg in node.args):
        yield ast.Call(node.func, [node.args[1], node.args[0], *node.args[2:]], node.keywords)


def code(node: ast.AST) -> Iterator[ast.AST]:
    """Expressions below `node`, without annotations, messages and what only type checkers read."""
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, NOT_CODE):
                continue
            text = ast.unparse(child) if isinstance(child, ast.If | ast.Assign) else ""
            if not text.startswith("if TYPE_CHECKING") and "Annotated[" not in text:
                yield from code(child)


def mutants(path: Path) -> list[Mutant]:
    source = (ROOT / path).read_bytes()
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = []
    for node in code(ast.parse(source)):
        for new in changed(node):
            start = starts[node.lineno - 1] + node.col_offset
            end = starts[node.end_lineno - 1] + node.end_col_offset
            text = new if isinstance(new, str) else ast.unparse(new)
            bare = isinstance(new, str | ast.Name | ast.Call | ast.stmt)
            before = source[start:end].decode()
            after = text if bare else f"({text})"
            if text != ast.unparse(node):
                place = f"{node.lineno}:{node.col_offset + 1}"
                found.append(Mutant(str(path), place, start, end, before, after))
    return found


def imported(path: Path) -> set[str]:
    """Modules of rootloom (or names in them) that a file imports, or a test is named after."""
    names = {f"rootloom.{path.stem.removeprefix('test_').replace('_', '.', 1)}"}
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rootloom"):
            names |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def tests_of(path: Path) -> list[str]:
    """Files of fast tests that import a module, those that do so by themselves first."""
    module = ".".join(path.relative_to("src").with_suffix("").parts)
    package = {
        f"{module.rpartition('.')[0]}.{file.stem}": imported(file)
        for file in (ROOT / path.parent).glob("*.py")
    }
    files = sorted([*ROOT.glob("tests/unit/test_*.py"), *ROOT.glob("tests/physics/test_*.py")])
    near, reached = {file: imported(file) for file in files}, {module}
    found: list[str] = []
    while True:
        found += [
            str(file.relative_to(ROOT))
            for file in files
            if near[file] & reached and str(file.relative_to(ROOT)) not in found
        ]
        more = {name for name, names in package.items() if names & reached} - reached
        if not more:
            return found
        reached |= more


def preload(scratch: Path) -> None:
    """Import what the tests need of other packages, once for all mutants."""
    os.environ |= {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(scratch / "src")}
    sys.path[:0] = [str(scratch), str(scratch / "src")]
    sys.dont_write_bytecode = True  # a mutant may have the length and the second of another one
    for name in PRELOADED:
        importlib.import_module(name)


def killed(scratch: Path, tests: list[str], more: str, timeout: int = 0) -> str:
    """The first test that noticed, "timeout", or "" for a survivor."""
    return next(filter(None, (noticed(scratch, test, more, timeout) for test in tests)), "")


def noticed(scratch: Path, test: str, more: str, timeout: int) -> str:
    """The same of one file of tests, in a process of its own; timeout: seconds, 0 for none."""
    output = scratch / "output"
    child = os.fork()
    if child == 0:
        signal.alarm(timeout)
        os.chdir(scratch)
        with output.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        os._exit(pytest.main(["-q", "-x", "-p", "no:cacheprovider", *shlex.split(more), test]))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        return ""
    lines = [line for line in output.read_text().splitlines() if line[:6] in ("FAILED", "ERROR ")]
    return "timeout" if code == -signal.SIGALRM else (lines or [f"pytest ended with {code}"])[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", nargs="+", default=["evaluation/*.py"], help="in src/rootloom")
    parser.add_argument("--mutants", type=int, default=60)
    parser.add_argument("--skip", type=int, default=0, help="so many, which an earlier run tried")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--timeout", type=int, default=180, help="seconds a file of tests")
    parser.add_argument("--pytest", default="", help="more options for pytest, as one word")
    options = parser.parse_args()
    paths = sorted({path for glob in options.files for path in (ROOT / PACKAGE).glob(glob)})
    found = [mutant for path in paths for mutant in mutants(path.relative_to(ROOT))]
    random.Random(options.seed).shuffle(found)
    chosen = found[options.skip : options.skip + options.mutants]
    tests = {file: tests_of(Path(file)) for file in {mutant.file for mutant in chosen}}
    print(f"{len(chosen)} of {len(found)} mutants, seed {options.seed}", flush=True)
    survivors = 0
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        for name in ("src", "tests", "config"):
            shutil.copytree(ROOT / name, scratch / name)
        shutil.copy2(ROOT / "pyproject.toml", scratch)
        preload(scratch)
        every = [] if options.skip else sorted(set().union(*tests.values()))
        if test := killed(scratch, every, options.pytest):
            sys.exit(f"the tests fail without any mutation: {test}")
        for mutant in chosen:
            target = scratch / mutant.file
            source = target.read_bytes()
            target.write_bytes(mutant.apply(source))
            test = killed(scratch, tests[mutant.file], options.pytest, options.timeout)
            target.write_bytes(source)
            survivors += not test
            print(f"{mutant.file}:{mutant.place}  {mutant.before!r} -> {mutant.after!r}")
            print(f"    {test or 'SURVIVED'}", flush=True)
    print(f"{len(chosen) - survivors} killed, {survivors} survived")


if __name__ == "__main__":
    main()
