"""Errors for the user: what was expected, what was found, where, the nearest fix, and the fault."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from typing import ClassVar, Literal

DECIDES_NO_VALUE = "tests/unit/test_fingerprint.py::test_what_decides_no_value_handles_no_arrays"

# What is at fault decides what a run does after an error.
# "input": one file cannot be used on any machine: `on_bad_file: quarantine` may set it aside.
# "machine": the node, a disk, the network, or a result on disk, but no input file: the
#     run stops, keeps everything, sets nothing aside, and continues when it is started again.
# "request": the configuration asks for something that is impossible with these data.
Fault = Literal["input", "machine", "request"]

# Exceptions that damaged or wrong content of HDF5, safetensors and JSON may raise when it is read.
FAULTS = (
    OSError, RuntimeError, LookupError, ValueError, TypeError, ArithmeticError, AttributeError,
    MemoryError,
)  # fmt: skip


def reason(error: BaseException) -> str:
    """The first line of an exception, or its type if it has no text."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


class RootloomError(Exception):
    """An error that a user can correct; the command line prints it without a traceback.

    fault: what is at fault. passes: whether the same job may succeed later without any change;
    only then it is tried again.
    """

    fault: ClassVar[Fault] = "request"
    passes: ClassVar[bool] = False

    def __init__(self, where: str, *, expected: str, found: str, fix: str = "") -> None:
        self.where, self.expected, self.found, self.fix = where, expected, found, fix
        lines = [where, f"  expected: {expected}", f"  found:    {found}"]
        if fix:
            lines.append(f"  fix:      {fix}")
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple:
        # For passing exceptions between processes; the default calls __init__ with one string.
        return _rebuild, (type(self), _fields(self))


def _fields(refusal: RootloomError) -> dict[str, str]:
    """The arguments of an error, without the notes that Python adds."""
    return {name: value for name, value in vars(refusal).items() if not name.startswith("_")}


def _rebuild(kind: type[RootloomError], fields: Mapping[str, str]) -> RootloomError:
    return kind(**fields)


class ConfigError(RootloomError):
    """The configuration asks for something that does not exist or does not fit together."""


class InputError(RootloomError):
    """A file that was given is missing, damaged, or lacks what the dataset file names."""

    fault: ClassVar[Fault] = "input"


class LackError(InputError):
    """A file lacks a tree, or readable branches, that the dataset file names. names: of these.

    If every file of a sample lacks one, its name is wrong, and no file is at fault.
    """

    def __init__(
        self,
        where: str,
        *,
        expected: str,
        found: str,
        fix: str = "",
        names: tuple[str, ...] = (),
    ) -> None:
        super().__init__(where, expected=expected, found=found, fix=fix)
        self.names = names


class UnsteadyError(InputError):
    """A file that its server did not deliver completely in several attempts."""

    passes = True


class ResultError(InputError):
    """A file that an earlier job has written is missing, damaged or of another version."""

    fault = "machine"


class ChangedError(InputError):
    """A file is not the one that was indexed; it must be indexed again.

    checksum: of its present header.
    """

    fault = "machine"

    def __init__(
        self, where: str, *, expected: str, found: str, fix: str = "", checksum: str = ""
    ) -> None:
        super().__init__(where, expected=expected, found=found, fix=fix)
        self.checksum = checksum


class DataError(RootloomError):
    """The data can be read but not used: nothing selected, one class, non-finite values."""


class ResourceError(RootloomError):
    """The machine lacks something: devices, memory, open files, a file server."""

    fault = "machine"
    passes = True


class StorageError(ResourceError):
    """A file cannot be written or read until somebody frees space or gives permission."""

    passes = False


class PackageError(ResourceError):
    """A package is missing and has to be installed."""

    passes = False


class TrainingError(RootloomError):
    """Training cannot continue, or a checkpoint cannot be used."""


class LostError(TrainingError):
    """A process of a training ended without an error message; another attempt continues it."""

    fault = "machine"
    passes = True


def to_dict(refusal: RootloomError) -> dict[str, str]:
    """An error as JSON data, to be raised in another process."""
    fields = ("where", "expected", "found", "fix")
    return {"kind": type(refusal).__name__, **{name: getattr(refusal, name) for name in fields}}


def from_dict(fields: Mapping[str, str]) -> RootloomError:
    """The inverse of `to_dict`; a class that is not in this module becomes TrainingError."""
    given = dict(fields)
    named = globals().get(given.pop("kind"))
    kind: type[RootloomError] = TrainingError
    if isinstance(named, type) and issubclass(named, RootloomError):
        kind = named
    return kind(**given)


@contextmanager
def naming(place: str, kind: type[RootloomError] | None = None) -> Iterator[None]:
    """Put `place`, such as a file, before the place in errors of the block that do not name it.

    kind: class of these errors; None: all.
    """
    try:
        yield
    except RootloomError as refusal:
        if place in refusal.where or not isinstance(refusal, kind or RootloomError):
            raise
        fields = {**_fields(refusal), "where": f"{place}: {refusal.where}"}
        raise _rebuild(type(refusal), fields) from None


def require_fault_of_file(refusal: InputError) -> None:
    """Raise an error again unless a file itself is at fault and may be set aside."""
    if refusal.fault != "input":
        raise refusal


def require(where: str, holds: bool, expected: str, found: object) -> None:
    """Raise ConfigError unless a condition holds."""
    if not holds:
        raise ConfigError(where, expected=expected, found=str(found))


def require_known(names: Iterable[str], known: Collection[str], where: str, expected: str) -> None:
    """Raise ConfigError for the first of the names that is not among the known ones."""
    for name in names:
        if name not in known:
            raise ConfigError(where, expected=expected, found=f"'{name}'", fix=nearest(name, known))


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence with the names closest to `name`, or all names if none is close."""
    known = sorted(set(known))
    close = get_close_matches(name, known, n=3, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(f"'{c}'" for c in close) + "?"
    if not known:
        return "nothing is declared there"
    shown = ", ".join(known[:12]) + (", …" if len(known) > 12 else "")
    return f"choose one of: {shown}"
