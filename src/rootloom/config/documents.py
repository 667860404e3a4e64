"""YAML files as plain data, restricted to what JSON can express.

YAML allows more than a configuration needs, and some of it is silently wrong or unlimited: keys
that are given twice (the last one wins), `yes:` as a key that is not text, aliases that multiply to
more than the memory. Such files are refused, with the line.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import yaml

from rootloom.errors import ConfigError

if TYPE_CHECKING:
    from yaml._yaml import Mark as CMark
    from yaml.error import Mark as PyMark

Mark: TypeAlias = "PyMark | CMark"
T = TypeVar("T")
MAX_BYTES = 2_000_000
MAX_DEPTH = 50  # of nested lists and mappings
MAX_VALUES = 1_000_000  # after aliases are expanded
WORDS = 300  # characters of a found value that are shown
_INTEGERS = 2**63
# YAML's errors for texts without quotes that begin with a special character.
_SPECIAL = ("cannot start any token", "block scalar", "for the tag", "alias")
_STRING, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"


def read_yaml(path: Path, *, empty: bool = False) -> dict[str, Any]:
    """Read a YAML file with a mapping of keys; empty: whether it may have no keys.

    Raises ConfigError naming the file, and the line if there is one, for a file that cannot be
    read, is not UTF-8 or not YAML, and for what a configuration must not have: keys given twice or
    not text, more than `MAX_DEPTH` levels, circular aliases, numbers that are not finite or need
    more than 64 bits, tags of other types.
    """
    return parse_yaml(_bytes(path), str(path), empty=empty)


def parse_yaml(content: bytes, where: str, *, empty: bool = False) -> dict[str, Any]:
    """Parse the content of a YAML file as `read_yaml` does; `where` names the file."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            where,
            expected="a text in UTF-8",
            found=f"byte 0x{content[error.start]:02x} at position {error.start}",
            fix="save the file as UTF-8",
        ) from None
    try:
        data = _Loader(text).get_single_data()
    except _Refused as refusal:
        raise ConfigError(_at(where, refusal.mark), **refusal.words) from None
    except yaml.reader.ReaderError as error:
        raise ConfigError(
            where,
            expected="printable characters",
            found=f"character U+{error.character:04X} at position {error.position}",
            fix="remove it",
        ) from None
    except (ValueError, OverflowError) as error:  # "\\U00110000" is not a character
        raise ConfigError(where, expected="valid YAML", found=str(error)) from None
    except yaml.MarkedYAMLError as error:
        raise ConfigError(
            _at(where, error.problem_mark or error.context_mark),
            expected="valid YAML",
            found=", ".join(filter(None, (error.context, error.problem))),
            fix=_fix(error),
        ) from None
    if data is None and empty:
        return {}
    if not isinstance(data, dict):
        found = "nothing" if data is None else shown(data)
        raise ConfigError(where, expected="a mapping of keys (key: value)", found=found)
    return data


def lines_of(path: Path) -> dict[tuple[str | int, ...], int]:
    """The line, from 1, of every value of a YAML file, by the keys and positions that lead to it.

    Keys have the line of the key. The file is one that `read_yaml` reads.
    """
    node = _Loader(_bytes(path).decode("utf-8-sig")).get_single_node()
    return dict(_lines(node, (), node.start_mark.line + 1)) if node else {(): 1}


def _lines(
    node: yaml.Node, place: tuple[str | int, ...], line: int
) -> Iterator[tuple[tuple[str | int, ...], int]]:
    yield place, line
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _lines(value, (*place, key.value), key.start_mark.line + 1)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield from _lines(value, (*place, number), value.start_mark.line + 1)


def shown(value: object) -> str:
    """A value as a message shows it: not longer than a few lines."""
    if value is None:
        return "nothing"
    text = repr(value)
    return text if len(text) <= WORDS else f"{text[:WORDS]}… ({len(text)} characters)"


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        found = error.strerror or str(error)
        raise ConfigError(str(path), expected="a readable file", found=found) from None
    if len(content) > MAX_BYTES:
        raise ConfigError(
            str(path),
            expected=f"at most {MAX_BYTES / 1e6:g} MB of YAML",
            found="more",
            fix="name many files by patterns: data/*.root",
        )
    return content


def _at(where: str, mark: Mark | None) -> str:
    return f"{where}: line {mark.line + 1}, column {mark.column + 1}" if mark else where


def _fix(error: yaml.MarkedYAMLError) -> str:
    said = f"{error.context} {error.problem}"
    if "\\t" in said:
        return "indent with spaces, not with tabs"
    if "mapping values are not allowed" in said:
        return "put a text that contains ': ' into quotes, or correct the indentation"
    if "but got '['" in said or "but got '{'" in said or _is_behind_bracket(error, said):
        return _in_quotes(error.problem_mark) if error.problem_mark else ""
    if any(words in said for words in _SPECIAL):
        return "put a text that begins with such a character into quotes"
    if "found '<scalar>'" in said:
        return "put the whole text into quotes if it begins with one, or correct the indentation"
    return ""


def _is_behind_bracket(error: yaml.MarkedYAMLError, said: str) -> bool:
    """Whether the wrong character follows a bracket that is the real error."""
    mark = error.problem_mark
    if mark is None or mark.buffer is None:
        return False
    before = mark.buffer[mark.pointer - mark.column : mark.pointer]
    return "start any token" in said and "[" in before


def _in_quotes(mark: Mark) -> str:
    """The item at a place inside { } or [ ] with quotes, if its own brackets or commas cut it."""
    line = (mark.buffer or "")[mark.pointer - mark.column :].split("\n")[0].rstrip("\0")
    whole = next((line[i:j] for i, j in _items(line) if i <= mark.column <= j), line)
    key, colon, value = whole.strip().rpartition(": ")
    quote = "'" if '"' in value else '"'
    return f"put the expression into quotes: {key}{colon}{quote}{value}{quote}"


def _items(line: str) -> Iterator[tuple[int, int]]:
    """Start and end of the items of a line that YAML's brackets and commas separate.

    A bracket at the start of an item is YAML's; any other, with its commas, is an expression's.
    """
    start = 0
    of_yaml: list[bool] = []  # of each bracket that is open
    for place, mark in enumerate(line):
        if mark in "([{":
            begins = mark != "(" and line[start:place].rstrip()[-1:] in ("", ":", "-")
            of_yaml.append(begins)
            start = place + 1 if begins else start
        elif mark in ",)]}" and (not of_yaml or of_yaml[-1]):
            yield start, place
            start = place + 1
        if mark in ")]}" and of_yaml:
            of_yaml.pop()
    yield start, len(line)


class _Refused(Exception):  # noqa: N818 (becomes a ConfigError where the file's name is known)
    def __init__(self, mark: Mark | None, expected: str, found: str, fix: str = "") -> None:
        self.mark = mark
        self.words = {"expected": expected, "found": found, "fix": fix}


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with further restrictions."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._open: set[str] = set()  # anchors of what is being read
        self._values: dict[int, int] = {}  # by node: how many there are with aliases written out

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in self._open:
                what = f"*{event.anchor} inside &{event.anchor}"
                raise _Refused(event.start_mark, "an alias that is not inside its own anchor", what)
            return self._composed(parent, index)
        if self._depth == MAX_DEPTH:
            raise _Refused(event.start_mark, f"at most {MAX_DEPTH} levels", "more")
        anchor = event.anchor
        self._depth += 1
        self._open |= {anchor} if anchor else set()
        try:
            node = self._composed(parent, index)
        finally:
            self._depth -= 1
            self._open.discard(anchor)
        if getattr(parent, "flow_style", False):
            _require_whole_item(node)  # before what its second half does to keys and values
        self._count(node)
        return node

    def _composed(self, parent: yaml.Node | None, index: int) -> yaml.Node:
        node = super().compose_node(parent, index)
        assert node is not None  # but for the end of a document, where no node is asked for
        return node

    def _count(self, node: yaml.Node) -> None:
        children: list[yaml.Node] = []
        if isinstance(node, yaml.SequenceNode):
            children = node.value
        elif isinstance(node, yaml.MappingNode):
            children = [part for pair in node.value for part in pair]
        self._values[id(node)] = 1 + sum(self._values[id(child)] for child in children)
        if self._values[id(node)] > MAX_VALUES:
            few = f"at most {MAX_VALUES:,} values after all aliases are expanded"
            raise _Refused(node.start_mark, few, f"{self._values[id(node)]:,}")

    def compose_mapping_node(self, anchor: dict[object, yaml.Node]) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        known: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _Refused(key.start_mark, "keys that are text", f"a {key.id} as a key")
            if key.tag not in (_STRING, _MERGE):
                kind = key.tag.rpartition(":")[2]
                fix = f'"{key.value}": …' if key.value else "write a name before the colon"
                found = f"'{key.value}', which YAML reads as {kind}"
                raise _Refused(key.start_mark, "keys that are text", found, fix)
            _text(self, key)
            if key.value in known:
                found = f"'{key.value}' again, first in line {known[key.value] + 1}"
                fix = "leave one of them out: only the last one would count"
                raise _Refused(key.start_mark, "each key once", found, fix)
            known[key.value] = key.start_mark.line
        return node


def _require_whole_item(node: yaml.Node) -> None:
    """Refuse an expression in { } or [ ] that YAML has cut in two at a comma."""
    plain = isinstance(node, yaml.ScalarNode) and node.style is None
    if plain and node.value.count("(") > node.value.count(")"):
        raise _Refused(
            node.start_mark,
            "an expression in quotes, where it has a comma inside { } or [ ]",
            f"'{node.value}', up to the comma",
            _in_quotes(node.start_mark),
        )


def _integer(loader: _Loader, node: yaml.ScalarNode) -> int:
    value = _plain(loader, node, "a whole number of at most 64 bits", int)
    if not -_INTEGERS <= value < _INTEGERS:
        raise _Refused(node.start_mark, "a whole number of at most 64 bits", node.value[:WORDS])
    return int(value)


def _number(loader: _Loader, node: yaml.ScalarNode) -> float:
    value = float(_plain(loader, node, "a finite number", float))
    if not math.isfinite(value):
        raise _Refused(node.start_mark, "a finite number", node.value[:WORDS])
    return value


def _truth(loader: _Loader, node: yaml.ScalarNode) -> bool:
    return bool(_plain(loader, node, "true or false", bool))


def _text(loader: _Loader, node: yaml.ScalarNode) -> str:
    text = str(loader.construct_scalar(node))
    for number, character in enumerate(text):
        if unicodedata.category(character) in ("Cc", "Cs") and character not in "\n\t":
            found = f"U+{ord(character):04X} after {number} characters"
            raise _Refused(node.start_mark, "printable characters", found, "remove the escape")
    return text


def _plain(loader: _Loader, node: yaml.ScalarNode, expected: str, kind: type[T]) -> T:
    """PyYAML's value of a word; an error for a word that is not a number, given as `!!int`."""
    text = str(loader.construct_scalar(node))
    try:
        return getattr(yaml.SafeLoader, f"construct_yaml_{kind.__name__}")(loader, node)
    except (ValueError, KeyError, IndexError):  # more digits than Python reads, too
        found = text if len(text) < 40 else f"one of {len(text)} characters"
        raise _Refused(node.start_mark, expected, found or "nothing") from None


_OWN: dict[str, Callable[[_Loader, yaml.ScalarNode], object]] = {
    "int": _integer,
    "float": _number,
    "bool": _truth,
    "str": _text,
}
_Loader.yaml_constructors = {
    tag: build
    for tag, build in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or str(tag).rpartition(":")[2] in ("null", "seq", "map")
} | {f"tag:yaml.org,2002:{name}": build for name, build in _OWN.items()}
# A date stays text.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if not tag.endswith(":timestamp")]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
# 1e-3 and 1.0e9 are numbers, but words in YAML 1.1.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?[0-9][0-9_]*\.?[0-9_]*[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)
