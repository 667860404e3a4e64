"""What a result depends on, as short hashes: configuration by value, code by syntax tree.

A workflow engine tracks scripts, not the package behind them. Rules therefore carry the fingerprint
of the code they execute in their parameters. Comments, docstrings and formatting do not count.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from rootloom.system.hashing import of_value

PACKAGE = "rootloom"
Definitions = dict[str, dict[str, str]]

# These say what is asked for, how a refusal reads or how a file is written, never what a number is:
# a new registry entry or a better message must not recompute a data set.
NEUTRAL = frozenset(
    f"{PACKAGE}.{name}"
    for name in (
        "cli", "cluster", "config", "errors", "planning", "system", "training.launch",
        "training.lock",
    )
)  # fmt: skip


@cache
def of_code(*targets: str) -> str:
    """Hash of the syntax trees behind `targets` and of every module of the package they import.

    A target is a module ("rootloom.shards.format") or one of its functions with what it uses of
    its own module ("rootloom.stages.preprocess:run").
    """
    digest = hashlib.blake2b(digest_size=8)
    for name, text in sorted(_closure(targets).items()):
        digest.update(f"{name}\0{text}\0".encode())
    return digest.hexdigest()


def definitions(*targets: str) -> Definitions:
    """Hashes of what `of_code` covers, by target and definition, to say what has changed."""
    found: Definitions = {}
    for target in _closure(targets):
        module, _, function = target.partition(":")
        tree = ast.parse(_source(module).read_text())
        nodes = _reachable(tree, function, target) if function else tree.body
        named: dict[str, list[str]] = {}
        for node in nodes:
            words: list[str] = []
            _describe(node, words, set())
            imports = isinstance(node, ast.Import | ast.ImportFrom)
            name = "imports" if imports else ", ".join(_names_bound(node)) or "statements"
            named.setdefault(name, []).extend(words)
        found[target] = {name: of_value(words) for name, words in named.items()}
    return found


def _closure(targets: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    todo = list(targets)
    while todo:
        target = todo.pop()
        module = target.partition(":")[0]
        if target in found or _neutral(module):
            continue
        text, imports = _parsed(target)
        found[target] = text
        todo.extend(imports)
    return found


@cache
def _parsed(target: str) -> tuple[str, tuple[str, ...]]:
    """Canonical text of a target's syntax tree, and the modules of the package it imports."""
    module, _, function = target.partition(":")
    tree = ast.parse(_source(module).read_text())
    nodes = _reachable(tree, function, target) if function else [tree]
    words: list[str] = []
    imports: set[str] = set()
    for node in nodes:
        _describe(node, words, imports)
    return " ".join(words), tuple(sorted(imports))


def _describe(node: ast.AST, words: list[str], imports: set[str]) -> None:
    """Append a node's type and fields to `words`: one pass, as every started job runs this.

    Positions are no fields, and docstrings are left out: both are for readers.
    """
    if isinstance(node, ast.Import | ast.ImportFrom):
        imports.update(_imported(node))
    words.append(type(node).__name__)
    for name in node._fields:
        value = getattr(node, name, None)
        if isinstance(value, list):
            words.append("[")
            for item in value[1:] if name == "body" and _documented(node, value) else value:
                if isinstance(item, ast.AST):
                    _describe(item, words, imports)
                else:
                    words.append(repr(item))
            words.append("]")
        elif isinstance(value, ast.AST):
            _describe(value, words, imports)
        else:
            words.append(repr(value))


def _documented(node: ast.AST, body: list[ast.AST]) -> bool:
    """Whether a body begins with a docstring."""
    if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    first = body[0] if body else None
    return (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )


def _source(module: str) -> Path:
    """The file of a module. Found by its place: importing it would load the packages behind it."""
    place = _place(module)
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def _reachable(tree: ast.Module, function: str, target: str) -> list[ast.stmt]:
    """The top-level statements that a function uses, itself included."""
    defined: dict[str, ast.stmt] = {}
    for node in tree.body:
        for name in _names_bound(node):
            defined[name] = node
    if function not in defined:
        raise AttributeError(f"{target}: no such function")
    reached: set[str] = set()
    todo = [function]
    while todo:
        name = todo.pop()
        if name in reached or name not in defined:
            continue
        reached.add(name)
        todo.extend(n.id for n in ast.walk(defined[name]) if isinstance(n, ast.Name))
    keep = {id(defined[name]) for name in reached}
    return [node for node in tree.body if id(node) in keep]


def _names_bound(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [(alias.asname or alias.name).split(".")[0] for alias in node.names]
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return [t.id for target in targets for t in ast.walk(target) if isinstance(t, ast.Name)]
    return []


def _imported(node: ast.Import | ast.ImportFrom) -> set[str]:
    """Modules of the package that an import statement loads."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names if _ours(alias.name)}
    if not node.module or not _ours(node.module):
        return set()
    below = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return {name if _is_module(name) else node.module for name in below.values()}


def _ours(module: str) -> bool:
    return module == PACKAGE or module.startswith(f"{PACKAGE}.")


@cache
def _is_module(name: str) -> bool:
    place = _place(name)
    return place.is_dir() or place.with_suffix(".py").exists()


def _neutral(module: str) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in NEUTRAL)


def _place(module: str) -> Path:
    return Path(__file__).parents[1].joinpath(*module.split(".")[1:])
