"""The branches of an open tree: their names, types and arrays."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import awkward as ak

from rootloom.errors import InputError, LackError

if TYPE_CHECKING:
    from concurrent.futures import Executor

    import uproot

# uproot's objects: an open tree, and what it reads the values of a name from.
Tree: TypeAlias = "uproot.TTree | uproot.behaviors.RNTuple.HasFields"
Source: TypeAlias = "uproot.TBranch | uproot.models.RNTuple.RField"

Container = Literal["ttree", "rntuple"]

# Begins the type of a branch that uproot cannot interpret; an error only if it is needed.
UNREADABLE = "unreadable: "
# RNTuple writers add this prefix to the fields of a collection of records without a name.
_HIDDEN = re.compile(r"(?:_collection\d+\.)+")
_LISTS = re.compile(
    r"\[\]|\b(?:vector|RVec|list|deque|set|multiset|map|TClonesArray|TRefArray|TObjArray)\b"
)
_PLAIN_BRANCH = "TBranch"
# ROOT's letters for types of leaves.
_LEAVES = {
    "B": "int8_t", "S": "int16_t", "I": "int32_t", "L": "int64_t", "F": "float", "D": "double",
    "O": "bool", "C": "char*", "G": "int64_t",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Place:
    """Where the values of a name are. source: uproot's TBranch or RField.

    path: of the source. leaf: name of a leaf of a leaf-list, or of a part of a field; "" for all.
    """

    source: Source
    path: str
    leaf: str = ""


def places(tree: Tree, container: Container) -> dict[str, Place]:
    """Name → place, in the file's order; the first of two with the same name, as in ROOT.

    Names are full paths, "muon/muon.pt" for a branch inside another and "reco.x" for a leaf.
    Types are not looked at: they take a second for a thousand branches.
    """
    found: dict[str, Place] = {}
    for name, place in _fields(tree) if container == "rntuple" else _branches(tree):
        found.setdefault(name, place)
    return found


def types(found: dict[str, Place]) -> dict[str, str]:
    """Name → type as in ROOT, with `[]` for each collection around it.

    A branch that uproot cannot interpret has a text that begins with `UNREADABLE`.
    """
    return {name: _type(place) for name, place in found.items()}


def is_jagged(kind: str) -> bool:
    """Whether a type has a list of variable length per entry."""
    return _LISTS.search(kind) is not None and not kind.startswith(UNREADABLE)


def require_readable(kind: str, where: str, name: str) -> None:
    """Raise LackError naming `where` for the type of a branch that uproot cannot interpret."""
    if kind.startswith(UNREADABLE):
        raise LackError(
            f"{where}: branch '{name}'",
            expected="a branch that uproot can read",
            found=kind.removeprefix(UNREADABLE),
            fix="leave it out of the expressions, or write it as numbers or vectors",
            names=(name,),
        )


def compression_of(source: Source | uproot.reading.CommonFileMethods) -> str:
    """Name of the compression algorithm set for a branch or file; "" if unknown.

    The setting is only a hint, since each basket has its own: ROOT leaves -1 in the branches of a
    tree that was made in memory.
    """
    try:
        found = source.compression
    except (ValueError, KeyError):
        return ""
    return "" if found is None else str(found.name)


def _branches(tree: uproot.TTree) -> Iterator[tuple[str, Place]]:
    for path, branch in tree.iteritems(recursive=True, full_paths=True):
        yield path, Place(branch, path)
        for name, leaf in _leaves(branch):
            yield f"{path}.{name}", Place(branch, path, leaf)


def _leaves(branch: uproot.TBranch) -> list[tuple[str, str]]:
    """Names of a branch's leaves, if they differ from its own, and what to read for each."""
    if branch.classname != _PLAIN_BRANCH:
        return []
    names = [leaf.member("fName") for leaf in branch.member("fLeaves")]
    if len(names) > 1:
        return [(name, name) for name in names]
    return [(name, "") for name in names if name != branch.name]


def _fields(ntuple: uproot.behaviors.RNTuple.HasFields) -> Iterator[tuple[str, Place]]:
    # uproot's own `keys()` takes time quadratic in the number of fields.
    fields = {field.path: field for field in ntuple.all_fields if field.path}
    shown = {
        path: path[found.end() :] if (found := _HIDDEN.match(path)) else path for path in fields
    }
    times = Counter(shown.values())
    for path, field in fields.items():
        yield shown[path] if times[shown[path]] == 1 else path, Place(field, path)


def _type(place: Place) -> str:
    source = place.source
    if not hasattr(type(source), "interpretation"):
        return str(source.typename) + "[]" * _collections_around(source)
    try:
        interpretation = source.interpretation
        if isinstance(interpretation, Exception):
            raise interpretation
    except Exception as error:  # uproot's own errors, and any error of its parsers of titles
        return UNREADABLE + _reason(error)
    if place.leaf:
        return _type_of_leaf(source, place.leaf)
    try:
        return str(source.typename)
    except Exception:  # it can be read; only its type has no name
        return str(interpretation)


def _type_of_leaf(branch: uproot.TBranch, name: str) -> str:
    leaf = next(leaf for leaf in branch.member("fLeaves") if leaf.member("fName") == name)
    kind = leaf.classname.removeprefix("TLeaf")
    sizes = re.findall(r"\[[^\]]*\]", leaf.member("fTitle"))
    fixed = [size if size[1:-1].isdecimal() else "[]" for size in sizes]
    return _LEAVES.get(kind, kind) + "".join(fixed)


def _collections_around(field: uproot.models.RNTuple.RField) -> int:
    import uproot

    found, parent = 0, field.parent
    while hasattr(parent, "record"):
        role = parent.record.struct_role
        found += role == uproot.const.RNTupleFieldRole.COLLECTION
        parent = parent.parent
    return found


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def read_arrays(
    tree: Tree,
    container: Container,
    wanted: Iterable[Place],
    start: int,
    stop: int,
    executor: Executor | None,
) -> dict[Place, ak.Array]:
    """The arrays of places over entries [start, stop).

    executor: for decompression, None for none. Raises InputError for one that has fewer entries.
    """
    chosen = list(dict.fromkeys(wanted))
    if container == "rntuple":
        found = _read_fields(chosen, start, stop)
    else:
        paths = list(dict.fromkeys(place.path for place in chosen))
        whole = tree.arrays(
            paths,
            entry_start=start,
            entry_stop=stop,
            decompression_executor=executor,
            how=dict,
        )
        found = {
            place: whole[place.path][place.leaf] if place.leaf else whole[place.path]
            for place in chosen
        }
    for place, values in found.items():
        if isinstance(values, dict | tuple):
            raise InputError(
                f"branch '{place.path}'",
                expected="a branch with values of its own",
                found=f"a group of {len(values)} branches",
                fix="name one of the branches inside it: rootloom inspect shows them",
            )
        if len(values) != stop - start:
            raise InputError(
                f"branch '{place.path}'",
                expected=f"{stop - start} entries from {start} on, as its tree has them",
                found=f"{len(values)}",
                fix="leave it out of the dataset's expressions, or write the file again",
            )
    return found


def _read_fields(chosen: list[Place], start: int, stop: int) -> dict[Place, ak.Array]:
    """Read fields of one collection together, so that its lengths are read once.

    The fields are not searched in the whole RNTuple, because uproot's search takes time quadratic
    in their number.
    """
    groups: dict[str, dict[str, Place]] = {}
    for place in chosen:
        groups.setdefault(place.path.partition(".")[0], {})[place.path] = place
    found = {}
    for top, asked in groups.items():
        field = next(iter(asked.values())).source
        while not field.top_level:
            field = field.parent
        if top in asked:
            record = field.array(entry_start=start, entry_stop=stop)
            parts = {path: tuple(path.split(".")[1:]) for path in asked}
        else:
            record = field.arrays(
                filter_field=lambda f, p=asked: f.path in p, entry_start=start, entry_stop=stop
            )
            parts = {path: tuple(path.split(".")) for path in asked}
        for path, place in asked.items():
            found[place] = record[parts[path]] if parts[path] else record
    return found
