"""The origin of a file's events, independent of its name; files with the same events."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from rootloom.errors import ConfigError, InputError
from rootloom.rootio.names import plain

if TYPE_CHECKING:
    import uproot

# Name of the text that `rootloom import` stores beside a tree: which rows of which table it has.
TABLE_NOTE = "rootloom_table"


class Events(NamedTuple):
    """The events of the file at `url`: entries `first`, `first` + 1, … of an origin.

    origin: as in `Header`.
    """

    origin: str
    first: int
    entries: int
    url: str


def table_note(checksum: str, tree: str, first: int, most: int) -> dict[str, str]:
    """The text stored beside a tree with at most `most` rows of a table from row `first` on.

    checksum: SHA-256 of the uncompressed table, in hexadecimal.
    """
    fields = {"sha256": checksum, "tree": tree, "first_row": first, "most_rows": most}
    return {TABLE_NOTE: json.dumps(fields)}


def origin_of(
    directory: uproot.ReadOnlyDirectory, tree: str, entries: int, checksum: str
) -> tuple[str, int]:
    """Origin of a tree's entries, and the number of the first among those of its origin.

    directory: uproot's, of the open file. entries: of the tree. checksum: of its header, which
    replaces a UUID of zero, as some programs write. Raises InputError for a table's note
    that cannot be read.
    """
    found = _imported(directory, tree, entries)
    if found is not None:
        return found
    uuid, name = directory.file.uuid, plain(tree).strip("/")
    return f"{uuid.hex if uuid.int else checksum}/{name}", 0


def _imported(
    directory: uproot.ReadOnlyDirectory, tree: str, entries: int
) -> tuple[str, int] | None:
    """The content of the note of an imported table; None if there is none for this tree.

    Merged files have several notes, or more entries than the note allows; they get their own
    identity.
    """
    notes = [key for key in directory.keys(recursive=False) if key.partition(";")[0] == TABLE_NOTE]
    if len(notes) != 1:
        return None
    try:
        note = json.loads(str(directory[TABLE_NOTE]))
        about, most = str(note["tree"]), int(note["most_rows"])
        origin, first = f"table {note['sha256']}", int(note["first_row"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{directory.file.file_path}: '{TABLE_NOTE}'",
            expected="the note that `rootloom import` leaves: sha256, tree, first_row, most_rows",
            found=f"{type(error).__name__}: {error}",
            fix="import the table again",
        ) from None
    return (origin, first) if about == plain(tree) and entries <= most else None


def overlap(one: Events, other: Events) -> bool:
    """Whether two files have a common event. One without entries may be a copy as well."""
    return (
        one.origin == other.origin
        and other.first < one.first + max(one.entries, 1)
        and one.first < other.first + max(other.entries, 1)
    )


def require_distinct(files: Iterable[Events]) -> None:
    """Raise ConfigError, naming both, if two files have the same events.

    This is so if they have the same origin and a common entry: one is a copy of the other, or the
    same file by another name, or both were imported from one table.
    """
    found = sorted(files)
    for one, other in pairwise(found):
        if overlap(one, other):
            table = one.origin.startswith("table ")
            raise ConfigError(
                f"files {one.url} and {other.url}",
                expected="files with different events, each listed once",
                found=f"the same rows of one table, from row {other.first} on"
                if table
                else f"one file under two names: both have the identity {one.origin}",
                fix="leave one of them out: its events would count twice",
            )
