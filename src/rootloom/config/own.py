"""Classes of the user's own packages, which a configuration names as "package.module:Class"."""

from __future__ import annotations

import dataclasses
import pkgutil
import re
from importlib import import_module
from types import ModuleType

from rootloom.config.members import lacking
from rootloom.errors import ConfigError, RootloomError, nearest, reason
from rootloom.system import faults

_PATH = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*)")


def is_path(kind: object) -> bool:
    """Whether a `kind` is an import path and not a name of the registry."""
    return isinstance(kind, str) and ":" in kind


def class_of(target: str, base: type, where: str) -> type:
    """The class behind an import path, which must derive from `base` and have all members.

    Raises ConfigError, naming `where`, for anything else; nothing but such a class is ever called.
    """
    match = _PATH.fullmatch(target)
    if match is None:
        raise ConfigError(
            where, expected="an import path 'package.module:Class'", found=f"'{target}'"
        )
    module, name = _module(match[1], where), match[2]
    found = getattr(module, name, None)
    if found is None:
        fitting = [n for n, value in vars(module).items() if _derived(value, base)]
        raise ConfigError(
            where,
            expected=f"a class of the module '{match[1]}' ({module.__file__})",
            found=f"no '{name}' in it",
            fix=nearest(name, fitting),
        )
    if not _derived(found, base):
        raise ConfigError(
            where,
            expected=f"a class derived from {_called(base)}",
            found=f"{name}, a {type(found).__name__} of {module.__file__}",
            fix=f"write class {name}({base.__name__}); its docstring describes the members",
        )
    _require_whole(found, base, where)
    return found


def _require_whole(cls: type, base: type, where: str) -> None:
    if not dataclasses.is_dataclass(cls):
        raise ConfigError(
            where,
            expected="a dataclass, whose fields are its configuration",
            found=f"{cls.__name__}, which is not a dataclass",
            fix=f"@dataclass(frozen=True) above `class {cls.__name__}`",
        )
    for name, words in lacking(cls, base).items():
        raise ConfigError(
            where,
            expected=f"a member '{name}' of {cls.__name__}: {words}",
            found="no such member, and there is no default",
            fix=f"define it, as {_called(base)} describes",
        )


def _derived(value: object, base: type) -> bool:
    return isinstance(value, type) and issubclass(value, base) and value is not base


def _called(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _module(name: str, where: str) -> ModuleType:
    try:
        return import_module(name)
    except RootloomError:
        raise
    except ModuleNotFoundError as error:
        raise _not_found(name, error.name or name, where) from error
    except Exception as error:  # importing any module may raise any error
        faults.pass_on(error, where)
        raise ConfigError(
            where,
            expected=f"a module '{name}' that can be imported",
            found=f"{type(error).__name__}: {reason(error)}",
            fix=f'python -c "import {name}" shows where',
        ) from error


def _not_found(name: str, missing: str, where: str) -> ConfigError:
    """The error for a module that is missing, or imports a missing one."""
    expected = f"a module '{name}' that can be imported"
    if not f"{name}.".startswith(f"{missing}."):
        fix = f"install '{missing}' where rootloom is"
        return ConfigError(where, expected=expected, found=f"it imports '{missing}'", fix=fix)
    package = missing.rpartition(".")[0]
    fix = "install its package where rootloom is, or put its folder into PYTHONPATH"
    if package:
        inside = pkgutil.iter_modules(getattr(import_module(package), "__path__", ()))
        fix = nearest(missing, [f"{package}.{module.name}" for module in inside])
    return ConfigError(where, expected=expected, found=f"no module '{missing}'", fix=fix)
