"""Spelling of trees and branches in files, and names in the friend trees that are written."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from difflib import SequenceMatcher, get_close_matches
from itertools import chain

from rootloom.errors import LackError, nearest

# Separates, as in ROOT, a branch from the one it is inside, or from the name of a friend tree.
INSIDE = "/"
_SHOWN = 8
_GUESSES = 3
_ALIKE = (
    0.4  # of the last parts of names: above that of 'qgl' and 'pt', below that of 'pt' and 'ptt'
)
_SIZE = re.compile(r"\[\d+\]$")


def resolve(branches: Iterable[str], name: str) -> str | None:
    """How the file spells branch `name`, or None.

    branches: full paths, such as "muon/muon.pt". A path's last parts name it too ("muon.pt"), and
    so does a dot in place of a slash. A jagged record is `cons_px` in a TTree and `cons.px` in an
    RNTuple: either spelling finds both. An array of fixed length may have that in its name
    ("Jet.Tau[5]"), and is found without it. Raises InputError for a name that matches several
    branches.
    """
    known = branches if isinstance(branches, dict | set | frozenset) else set(branches)
    for spelling in (name, *_spellings(name)):
        if spelling in known:
            return spelling
        ends = [path for path in known if path.endswith(INSIDE + spelling)]
        if ends:
            return _only(ends, name)
    for head, tail in _cuts(name):
        below: dict[str, list[str]] = {}
        for path in known:
            _, found_inside, inside = f"{INSIDE}{path}".partition(f"{INSIDE}{head}{INSIDE}")
            if found_inside:
                below.setdefault(inside, []).append(path)
        if below and (found := resolve(below, tail)) is not None:
            return _only(below[found], name)
    plain_names = {_SIZE.sub("", path): path for path in known if _SIZE.search(path)}
    found = resolve(plain_names, name) if plain_names else None
    return None if found is None else plain_names[found]


def nearest_branch(name: str, branches: Collection[str]) -> str:
    """A sentence with the branches most similar to `name`, by whole names or by their ends.

    An alphabetical list would not help, because files have thousands of branches.
    """
    known = {*branches, *(path.rpartition(INSIDE)[2] for path in branches)}
    end = _end(name)
    # Names of one collection are alike: 'Jet_qgl' does not mean 'Jet_pt'.
    alike = {one for one in known if _similarity(end, _end(one)) > _ALIKE}
    if not known or get_close_matches(name, alike, n=1):
        return nearest(name, alike)
    ends = {one for one in known if INSIDE not in one and _end(one) == end}
    likely = ends or {one for one in known if end in one.lower()}
    first = sorted(likely or known, key=lambda one: (-_similarity(name, one), one))[:_GUESSES]
    names = " or ".join(f"'{one}'" for one in first)
    if not likely:
        return f"no name is similar, the closest are {names}; `rootloom inspect FILE` lists all"
    more = f" {len(ends)} branches end in '{end}'" if len(ends) > len(first) else ""
    return f"did you mean {names}?{more}"


def _end(name: str) -> str:
    """The last part of a name in lower case: "pt" of "Jet_pt" and of "AnalysisJetsAuxDyn.pt"."""
    return re.split(r"[./_]", name.rstrip("./_"))[-1].lower()


def _similarity(name: str, other: str) -> float:
    return SequenceMatcher(None, name.lower(), other.lower()).ratio()


def plain(tree: str) -> str:
    """The name of a tree without its cycle: "Events;2" → "Events"."""
    return split_cycle(tree)[0]


def split_cycle(tree: str) -> tuple[str, int | None]:
    """Name and cycle of a tree; None for the latest cycle."""
    name, separator, cycle = tree.rpartition(";")
    digits = cycle.isascii() and cycle.isdecimal()
    return (name, int(cycle)) if separator and digits else (tree, None)


def _only(paths: list[str], name: str) -> str:
    if len(paths) > 1:
        shown = [f"'{path}'" for path in sorted(paths)]
        raise LackError(
            f"branch '{name}'",
            expected="a name that means one branch",
            found=", ".join(shown[:_SHOWN]) + (", …" if len(shown) > _SHOWN else ""),
            fix=f'name one by its full path: branch("{min(paths)}")',
            names=(name,),
        )
    return paths[0]


def _spellings(name: str) -> Iterator[str]:
    cuts = [(name[:i], name[i + 1 :]) for i, c in enumerate(name) if c == "_"]
    return chain([name.replace(".", "_")], (f"{head}.{tail}" for head, tail in cuts))


def _cuts(name: str) -> Iterator[tuple[str, str]]:
    places = (i for i, c in enumerate(name) if c in f".{INSIDE}")
    return ((name[:i], name[i + 1 :]) for i in places)


def identifier(name: str) -> str:
    """`name` as a C++ identifier: each sequence of other characters becomes one '_'.

    There are never two '_' in a row or one at an end, so that '__' can separate joined names.
    Names that differ only in such characters become equal.
    """
    words = _words(name)
    return words if words[:1].isalpha() else f"n{words}"


def friend_tree(tree: str, experiment: str) -> str:
    """Name of the friend tree of `tree`, without the folders and cycle of `tree`."""
    own = plain(tree).rpartition("/")[2]
    return f"{identifier(own)}_{identifier(experiment)}_scores"


def friend_branch(experiment: str, *parts: str) -> str:
    """Name of a branch of an experiment, from the method and further parts."""
    return "__".join([identifier(experiment), *map(_words, parts)])


def _words(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")
