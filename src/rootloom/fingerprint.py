"""What a result depends on, as short hashes: configuration by value, code by syntax tree.

A workflow engine tracks scripts, not the package behind them. Rules therefore carry the fingerprint
of the code they execute in their parameters. Comments, docstrings and formatting do not count.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PACKAGE = "rootloom"

# These say what is asked for or how a refusal reads, never what a number is: a new registry entry
# or a better error message must not recompute a data set.
NEUTRAL = frozenset(
    f"{PACKAGE}.{name}"
    for name in ("cli", "config", "doctor", "errors", "fingerprint", "paths", "plan", "provenance", "registry")
)


def of_value(value: Any) -> str:
    """Hash of a JSON-able value, independent of the order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def of_code(*targets: str) -> str:
    """Hash of the syntax trees behind `targets` and of every module of the package they import.

    A target is a module ("rootloom.shards.format") or one of its functions with what it uses of
    its own module ("rootloom.stages:preprocess").
    """
    digest = hashlib.blake2b(digest_size=8)
    for name, text in sorted(_closure(targets).items()):
        digest.update(f"{name}\0{text}\0".encode())
    return digest.hexdigest()


def modules_of(*targets: str) -> list[str]:
    """Names of what `of_code` hashes, for `rootloom explain`."""
    return sorted(_closure(targets))


def _closure(targets: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    todo = list(targets)
    while todo:
        target = todo.pop()
        module = target.partition(":")[0]
        if target in found or module in NEUTRAL:
            continue
        text, imports = _parsed(target)
        found[target] = text
        todo.extend(imports)
    return found


@cache
def _parsed(target: str) -> tuple[str, tuple[str, ...]]:
    module, _, function = target.partition(":")
    tree = _strip(ast.parse(_source(module).read_text()))
    nodes: list[ast.stmt] = _reachable(tree, function, target) if function else tree.body
    text = "\n".join(ast.dump(node) for node in nodes)
    return text, tuple(sorted(_imports(nodes)))


def _source(module: str) -> Path:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(module)
    return Path(spec.origin)


def _strip(tree: ast.Module) -> ast.Module:
    """Remove docstrings: they are read by people only."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        first = body[0] if body else None
        if (
            isinstance(first, ast.Expr)
            and isinstance(first.value, ast.Constant)
            and isinstance(first.value.value, str)
        ):
            node.body = node.body[1:]
    return tree


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


def _imports(nodes: Iterable[ast.AST]) -> set[str]:
    """Modules of the package imported anywhere below `nodes`, inside functions too."""
    found = set()
    for node in (child for top in nodes for child in ast.walk(top)):
        if isinstance(node, ast.ImportFrom) and node.module and _ours(node.module):
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                found.add(submodule if _is_module(submodule) else node.module)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names if _ours(alias.name))
    return found


def _ours(module: str) -> bool:
    return module == PACKAGE or module.startswith(f"{PACKAGE}.")


@cache
def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False
