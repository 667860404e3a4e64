"""Refusals: what was expected, what came, where, the nearest fix, and who is at fault."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from typing import ClassVar, Literal

DECIDES_NO_VALUE = "tests/unit/test_fingerprint.py::test_what_decides_no_value_handles_no_arrays"

# What a run does after a refusal depends on it.
# "input": one file cannot be used, whoever reads it: `on_bad_file: quarantine` may set it aside.
# "machine": the node, a disk, the network, or a result on disk. It says nothing of any input: the
#     run stops, keeps everything, sets nothing aside, and goes on when it is started again.
# "request": what was asked for cannot be done with these data.
Fault = Literal["input", "machine", "request"]

# Whatever damaged or foreign content of HDF5, safetensors and JSON leads to where it is read.
FAULTS = (
    OSError, RuntimeError, LookupError, ValueError, TypeError, ArithmeticError, AttributeError,
    MemoryError,
)  # fmt: skip


def reason(error: BaseException) -> str:
    """The first line of an error, or its kind where it says nothing."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


class RootloomError(Exception):
    """A refusal that a user can act on; the command line prints it without a traceback.

    fault: who is to blame. passes: whether the same job may succeed although nobody did anything;
    only then is it worth another attempt.
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
        # Exceptions cross process borders; the default would call __init__ with one string.
        return _rebuild, (type(self), _fields(self))


def _fields(refusal: RootloomError) -> dict[str, str]:
    """What a refusal was made of; Python keeps notes beside it."""
    return {name: value for name, value in vars(refusal).items() if not name.startswith("_")}


def _rebuild(kind: type[RootloomError], fields: Mapping[str, str]) -> RootloomError:
    return kind(**fields)


class ConfigError(RootloomError):
    """The configuration asks for something that does not exist or does not fit together."""


class InputError(RootloomError):
    """A file that was given is missing, damaged, or lacks what the dataset file names."""

    fault: ClassVar[Fault] = "input"


class LackError(InputError):
    """A file lacks a tree, or readable branches, that the dataset file names; names: of these.

    Where every file of a sample lacks one, its name is wrong and no file is.
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
    """A file that its server did not deliver whole this time, however often it was asked."""

    passes = True


class ResultError(InputError):
    """A file that an earlier job has written is missing, damaged or of another version."""

    fault = "machine"


class ChangedError(InputError):
    """A file is not the one that was indexed: not a bad one, but one to be indexed again.

    checksum: of its header, as it is now.
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
    """The machine is not what it should be: devices, memory, open files, a file server."""

    fault = "machine"
    passes = True


class StorageError(ResourceError):
    """A file cannot be written or read until somebody makes room or gives the right to."""

    passes = False


class PackageError(ResourceError):
    """A package is missing: somebody has to install it."""

    passes = False


class TrainingError(RootloomError):
    """Training cannot go on, or a checkpoint cannot be used."""


class LostError(TrainingError):
    """A process of a training ended without a word: another attempt goes on where it was."""

    fault = "machine"
    passes = True


def to_dict(refusal: RootloomError) -> dict[str, str]:
    """A refusal as JSON data, for another process to raise."""
    fields = ("where", "expected", "found", "fix")
    return {"kind": type(refusal).__name__, **{name: getattr(refusal, name) for name in fields}}


def from_dict(fields: Mapping[str, str]) -> RootloomError:
    """The refusal that `to_dict` described; a kind of another module becomes the nearest here."""
    given = dict(fields)
    named = globals().get(given.pop("kind"))
    kind: type[RootloomError] = TrainingError
    if isinstance(named, type) and issubclass(named, RootloomError):
        kind = named
    return kind(**given)


@contextmanager
def naming(place: str, kind: type[RootloomError] | None = None) -> Iterator[None]:
    """Let what is refused in the block name `place` first, such as a file, unless it does so.

    kind: of the refusals that this concerns; None: all.
    """
    try:
        yield
    except RootloomError as refusal:
        if place in refusal.where or not isinstance(refusal, kind or RootloomError):
            raise
        fields = {**_fields(refusal), "where": f"{place}: {refusal.where}"}
        raise _rebuild(type(refusal), fields) from None


def require_fault_of_file(refusal: InputError) -> None:
    """Raise a refusal again unless a file itself is at fault: only then may it be set aside."""
    if refusal.fault != "input":
        raise refusal


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
    known = sorted(set(known))
    close = get_close_matches(name, known, n=3, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(f"'{c}'" for c in close) + "?"
    if not known:
        return "nothing is declared there"
    shown = ", ".join(known[:12]) + (", …" if len(known) > 12 else "")
    return f"choose one of: {shown}"
