"""What a result depends on, as short hashes: configuration by value, code by syntax tree.

A workflow engine tracks scripts, not the package behind them. Rules therefore carry the fingerprint
of the code they execute in their parameters. Its unit is the definition: a function, a class or a
constant of a module. What a job's entry reaches by name counts, whatever file it stands in, and
nothing else does: neither comments, docstrings and formatting, nor annotations of functions, nor
what its module holds beside it.

How names are followed:

- A name leads to the definition it is bound to, through imports, those inside functions too; an
  attribute of a module to that definition of it; a module used in any other way (`getattr`, an
  argument) to all of it. A class is reached as a whole, with its bases.
- Loading a module executes its statements. Those that bind no name, and functions with a decorator
  of the same package (which may register them somewhere), count as soon as the module is loaded.
  The latter do not if the module of the decorator declares `REGISTERS_ENTRIES`.
- Nothing is followed into a module, or below a package, that declares `DECIDES_NO_VALUE`: how files
  are found and written, where jobs run, what is printed. The declaration names the test that
  holds it to that.
- Classes that a configuration names, and functions that its expressions call, are entries of their
  own: each stage says which ones its jobs execute (`Description`).
"""

from __future__ import annotations

import ast
import hashlib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from rootloom.system.hashing import of_value

DECLARATION = "DECIDES_NO_VALUE"
ENTRIES = "REGISTERS_ENTRIES"
ON_LOADING = "(on loading)"  # the name of what a module executes without binding a name

_DOCUMENTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_FOR_READERS = {"returns", "type_comment", "type_params"}
_SCOPES = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_COMPOUND = (ast.If, ast.Try, ast.For, ast.While, ast.With)  # these may do more than bind names

# Packages into which names are followed: this one, and those of targets, which users may write.
_FOLLOWED = {__name__.partition(".")[0]}

Definitions = dict[str, dict[str, str]]  # hashes by module and name


class Place(NamedTuple):
    """A definition of a module; the module as a whole where `name` is empty."""

    module: str
    name: str


class Definition(NamedTuple):
    """What a definition says, where its names lead, and which modules it loads when it runs.

    packages: others that its names lead to.
    """

    text: str
    uses: tuple[Place, ...]
    loads: tuple[str, ...]
    packages: frozenset[str]


@dataclass
class _Module:
    """A module's statements by the names they bind, and where its imported names lead."""

    name: str
    statements: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, str] = field(default_factory=dict)
    loads: set[str] = field(default_factory=set)
    neutral: bool = False


@cache
def of_code(*targets: str) -> str:
    """Hash of the definitions that `targets` reach.

    A target is a definition ("rootloom.stages.preprocess:run") or a module with all it defines
    ("rootloom.shards.layout"). Raises AttributeError for one that is not there.
    """
    digest = hashlib.blake2b(digest_size=8)
    for place, found in sorted(_reached(*targets).items()):
        digest.update(f"{place.module}\0{place.name}\0{found.text}\0".encode())
    return digest.hexdigest()


@cache
def packages(*targets: str) -> frozenset[str]:
    """Packages that the definitions which `targets` reach import names from."""
    found = frozenset[str]().union(*(found.packages for found in _reached(*targets).values()))
    return found - sys.stdlib_module_names


def definitions(*targets: str) -> Definitions:
    """Hashes of what `of_code` covers, by module and definition, to say what has changed."""
    found: Definitions = {}
    for (module, name), one in _reached(*targets).items():
        found.setdefault(module, {})[name] = of_value(one.text)
    return found


@cache
def _reached(*targets: str) -> dict[Place, Definition]:
    """All definitions that the targets reach."""
    todo = [_of_target(target) for target in targets]
    found: dict[Place, Definition] = {}
    loaded: set[str] = set()
    while todo:
        place = todo.pop()
        if place in found or _neutral(place.module):
            continue
        for module in _loaded_with(place.module) - loaded:
            loaded.add(module)
            todo.append(Place(module, ON_LOADING))
        if not place.name:
            todo.extend(Place(place.module, name) for name in _module(place.module).statements)
            continue
        found[place] = _definition(place)
        todo.extend(found[place].uses)
        todo.extend(Place(module, ON_LOADING) for module in found[place].loads)
    return {place: one for place, one in found.items() if one.text}


def _of_target(target: str) -> Place:
    module, _, name = target.partition(":")
    _FOLLOWED.add(module.partition(".")[0])
    place = _resolved(f"{module}:{name}") if name else Place(module, "")
    if place is None or not _is_module(module) or (name and not place.name):
        raise AttributeError(f"{target}: no such definition")
    return place


@cache
def _loaded_with(module: str) -> frozenset[str]:
    """Modules whose statements are executed when one is loaded: its packages and its imports."""
    found: set[str] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        if name not in found and not _neutral(name):
            found.add(name)
            todo.extend(_module(name).loads)
            todo.extend(filter(None, [name.rpartition(".")[0]]))
    return frozenset(found)


@cache
def _definition(place: Place) -> Definition:
    """The statements of a module that bind a name, as text, with what they use."""
    module = _module(place.module)
    imports, loads = dict(module.imports), set[str]()
    words: list[str] = []
    scope = _Scope()
    leads: list[tuple[str, str]] = []  # targets of imports, and attributes of them
    uses: list[Place] = []
    for statement in module.statements.get(place.name, []):
        text = _Text()
        _describe(statement, text, scope)
        for node in text.imports:
            bound = dict(_bound_by_import(node, module.name))
            imports |= bound
            loads |= _modules_loaded(node, module.name)
            if not isinstance(statement, _DOCUMENTED):  # it imports for whoever uses its names
                words.append(repr(bound))
                leads.extend((target, "") for target in bound.values())
        words += text.words
    for name in sorted(scope.read):
        base, _, attributes = name.partition(".")
        if base in imports:
            words.append(f"{base} is {imports[base]}")
            leads.append((imports[base], attributes))
        elif base in module.statements:
            uses.append(Place(module.name, base))
    found = {lead: _resolved(*lead) for lead in leads}
    uses.extend(place for place in found.values() if place is not None)
    others = frozenset(re.split("[.:]", to)[0] for (to, _), at in found.items() if at is None)
    return Definition(" ".join(words), tuple(uses), tuple(sorted(loads)), others)


def _resolved(target: str, attributes: str = "") -> Place | None:
    """Where an import ("module" or "module:name") leads with these attributes; None: elsewhere.

    A name that a module only hands on leads to where it is defined.
    """
    module, _, name = target.partition(":")
    if not _is_module(module):
        return None
    if _neutral(module):  # nothing is followed into it: it need not be read
        return Place(module, ".".join(filter(None, (name, attributes))))
    if not name:
        if not attributes:
            return Place(module, "")
        first, _, rest = attributes.partition(".")
        return _resolved(f"{module}:{first}", rest)
    source = _module(module)
    if name in source.statements:
        return Place(module, name)
    if source.imports.get(name, target) != target:  # a package may import its modules by its name
        return _resolved(source.imports[name], attributes)
    if _is_module(f"{module}.{name}"):
        return _resolved(f"{module}.{name}", attributes)
    return Place(module, "")  # made in a way that cannot be followed


@cache
def _module(name: str) -> _Module:
    """A module, read from its file: importing it would load the packages behind it."""
    found = _Module(name)
    for statement in ast.parse(_source(name).read_text("utf-8")).body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            found.imports.update(_bound_by_import(statement, name))
            found.loads.update(_modules_loaded(statement, name))
        elif not _for_type_checkers(statement):
            bound = _names_bound(statement)
            for binding in bound:
                found.statements.setdefault(binding, []).append(statement)
            if isinstance(statement, _COMPOUND):
                for node in _import_statements(statement):
                    found.loads.update(_modules_loaded(node, name))
            if not bound or isinstance(statement, _COMPOUND) or _registered(statement, found):
                found.statements.setdefault(ON_LOADING, []).append(statement)
    found.neutral = DECLARATION in found.statements
    return found


def _registered(statement: ast.stmt, module: _Module) -> bool:
    """Whether a decorator of the same package sees a function or class: it may register it.

    Not if it registers entries, which count where jobs name them.
    """
    for decorator in getattr(statement, "decorator_list", []):
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        of = _imported_from(_dotted(called), module)
        if _is_module(of) and _registers_entries(of):
            continue
        scope = _Scope()
        _describe(decorator, _Text(), scope)
        for name in scope.read:
            if name.partition(".")[0] in module.statements or _is_module(
                _imported_from(name, module)
            ):
                return True
    return False


@cache
def _registers_entries(module: str) -> bool:
    """Whether a module declares it. Not read as others: two may use each other's decorators."""
    return bool(re.search(rf"^{ENTRIES} = ", _source(module).read_text("utf-8"), re.MULTILINE))


def _imported_from(name: str, module: _Module) -> str:
    """The module that a name, which may be dotted, is imported from; empty if from none."""
    return module.imports.get(name.partition(".")[0], "").split(":")[0]


@dataclass
class _Text:
    """What statements say, in words, and the imports inside them."""

    words: list[str] = field(default_factory=list)
    imports: list[ast.Import | ast.ImportFrom] = field(default_factory=list)


@dataclass
class _Scope:
    """Names that are read in a function, or outside of all, and those that are bound there.

    shared: bound there, but not its own.
    """

    read: set[str] = field(default_factory=set)
    bound: set[str] = field(default_factory=set)
    shared: set[str] = field(default_factory=set)


def _describe(node: ast.AST, text: _Text, scope: _Scope | None) -> None:
    """Append a node's type and fields to `text`, and what it does with names to `scope`.

    One pass, as every started job runs this. Positions are no fields. Names are dotted as far as
    attributes follow them; those that only a function knows are not read by what holds it.
    scope: None inside a dotted name.
    """
    dotted = _dotted(node)
    if scope is not None:
        if dotted:
            scope.read.add(dotted)
        _bind(node, scope)
    if isinstance(node, ast.Import | ast.ImportFrom):
        text.imports.append(node)
    text.words.append(type(node).__name__)
    for key, value in _fields(node):
        inner = None if dotted else _scope_of(node, key, scope)
        for item in value if isinstance(value, list) else (value,):
            if isinstance(item, ast.AST):
                _describe(item, text, inner)
            else:
                text.words.append(repr(item))
        text.words.append(";")
        if scope is not None and inner is not None and inner is not scope:
            own = _own_names(node, inner)
            scope.read |= {name for name in inner.read if name.partition(".")[0] not in own}


def _bind(node: ast.AST, scope: _Scope) -> None:
    if isinstance(node, ast.Name):
        if isinstance(node.ctx, ast.Store):
            scope.bound.add(node.id)
    elif isinstance(node, _DOCUMENTED):
        scope.bound.add(node.name)
    elif isinstance(node, ast.Global | ast.Nonlocal):
        scope.shared.update(node.names)


def _scope_of(node: ast.AST, key: str, around: _Scope | None) -> _Scope | None:
    """The scope of a node's field: that around it, or one of its own."""
    inside = isinstance(node, _SCOPES) or (key == "body" and isinstance(node, _DOCUMENTED))
    return _Scope() if inside else around


def _own_names(node: ast.AST, inner: _Scope) -> set[str]:
    """Arguments of a function and what it binds; not what it imports, which leads elsewhere.

    Of classes and comprehensions none are told apart.
    """
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return set()
    arguments = {one.arg for one in ast.walk(node.args) if isinstance(one, ast.arg)}
    return (arguments | inner.bound) - inner.shared


def _fields(node: ast.AST) -> Iterator[tuple[str, Any]]:
    """What counts of a node. Imports count where their names lead; what is for readers does not.

    That are docstrings and annotations of functions; those of a class's fields stay, as dataclasses
    and validators are made from them.
    """
    if isinstance(node, ast.Import | ast.ImportFrom):
        return
    documented = isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False)
    for key in node._fields:
        if key in _FOR_READERS or (key == "annotation" and isinstance(node, ast.arg)):
            continue
        value: Any = getattr(node, key, None)
        yield key, value[1:] if documented and key == "body" else value


def _dotted(node: ast.AST) -> str:
    """`a.b.c` of a name with attributes; empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        of = _dotted(node.value)
        return f"{of}.{node.attr}" if of else ""
    return ""


def _for_type_checkers(statement: ast.stmt) -> bool:
    """Whether it is a docstring, or is never executed."""
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return True
    return isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING"


def _names_bound(statement: ast.stmt) -> list[str]:
    """Names that a statement of a module binds there."""
    if isinstance(statement, _DOCUMENTED):
        return [statement.name]
    if isinstance(statement, ast.Expr):
        return []
    found = []
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.append(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.append(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found += [(alias.asname or alias.name).split(".")[0] for alias in node.names]
    return list(dict.fromkeys(found))


def _import_statements(statement: ast.stmt) -> list[ast.Import | ast.ImportFrom]:
    return [n for n in ast.walk(statement) if isinstance(n, ast.Import | ast.ImportFrom)]


def _bound_by_import(node: ast.Import | ast.ImportFrom, of: str) -> Iterator[tuple[str, str]]:
    """Names that an import binds, and where they lead: "module" or "module:name"."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            whole = alias.name if alias.asname else alias.name.split(".")[0]
            yield alias.asname or whole, whole
        return
    module = _absolute(node, of)
    for alias in node.names:
        yield alias.asname or alias.name, f"{module}:{alias.name}"


def _modules_loaded(node: ast.Import | ast.ImportFrom, of: str) -> set[str]:
    """Modules that can be followed and that an import loads."""
    if isinstance(node, ast.Import):
        named = {alias.name for alias in node.names}
    else:
        module = _absolute(node, of)
        named = {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return {name for name in named if _is_module(name)}


def _absolute(node: ast.ImportFrom, of: str) -> str:
    """The module that names are imported from, which may be named by its distance."""
    if not node.level:
        return node.module or ""
    inside = of.split(".") if _source(of).name == "__init__.py" else of.split(".")[:-1]
    return ".".join([*inside[: len(inside) - node.level + 1], *filter(None, [node.module])])


@cache
def _neutral(module: str) -> bool:
    """Whether a module, or a package it lies in, declares that it decides no value."""
    above = module.rpartition(".")[0]
    return bool(above and _neutral(above)) or _module(module).neutral


def _source(module: str) -> Path:
    """The file of a module. Found by its place: importing it would load the packages behind it."""
    place = _place(module)
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


@cache
def _is_module(name: str) -> bool:
    """Whether it is a module of a package whose names are followed."""
    if name.partition(".")[0] not in _FOLLOWED:
        return False
    place = _place(name)
    return (place / "__init__.py").exists() or place.with_suffix(".py").exists()


def _place(module: str) -> Path:
    package, *names = module.split(".")
    return _root(package).joinpath(*names)


@cache
def _root(package: str) -> Path:
    """The folder of a package, or of a module without one, as if it were its file's stem."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise AttributeError(f"{package}: no such package")
    origin = Path(spec.origin)
    return origin.parent if origin.name == "__init__.py" else origin.with_suffix("")
