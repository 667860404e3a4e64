"""One kind of refusal: what was expected, what came, where, and the nearest fix."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches

# Whatever damaged or foreign content of HDF5, safetensors and JSON leads to where it is read.
FAULTS = (
    OSError, RuntimeError, LookupError, ValueError, TypeError, ArithmeticError, AttributeError,
    MemoryError,
)  # fmt: skip


def reason(error: BaseException) -> str:
    """The first line of an error, or its kind where it says nothing."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


class RootloomError(Exception):
    """A refusal that a user can act on; the command line prints it without a traceback."""

    def __init__(self, where: str, *, expected: str, found: str, fix: str = "") -> None:
        self.where, self.expected, self.found, self.fix = where, expected, found, fix
        lines = [where, f"  expected: {expected}", f"  found:    {found}"]
        if fix:
            lines.append(f"  fix:      {fix}")
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple:
        # Exceptions cross process borders; the default would call __init__ with one string.
        return _rebuild, (type(self), self.where, self.expected, self.found, self.fix)


def _rebuild(kind: type, where: str, expected: str, found: str, fix: str) -> RootloomError:
    return kind(where, expected=expected, found=found, fix=fix)


class ConfigError(RootloomError):
    """The configuration asks for something that does not exist or does not fit together."""


class InputError(RootloomError):
    """A ROOT file or shard is missing, damaged, or lacks what the dataset file names."""


class DataError(RootloomError):
    """The data can be read but not used: nothing selected, one class, non-finite values."""


class ResourceError(RootloomError):
    """The machine is not the one that was asked for."""


class TrainingError(RootloomError):
    """Training cannot go on, or a checkpoint cannot be used."""


def require(where: str, holds: bool, expected: str, found: object) -> None:
    """Raise ConfigError when a value does not hold."""
    if not holds:
        raise ConfigError(where, expected=expected, found=str(found))


def require_known(names: Iterable[str], known: Collection[str], where: str, expected: str) -> None:
    """Raise ConfigError for the first of the names that is not among the known ones."""
    for name in names:
        if name not in known:
            raise ConfigError(where, expected=expected, found=f"'{name}'", fix=nearest(name, known))


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence naming what is close to `name`, or all there is when nothing is close."""
    known = sorted(known)
    close = get_close_matches(name, known, n=3, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(f"'{c}'" for c in close) + "?"
    if not known:
        return "nothing is declared there"
    shown = ", ".join(known[:12]) + (", …" if len(known) > 12 else "")
    return f"choose one of: {shown}"
