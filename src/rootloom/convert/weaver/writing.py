"""Sections as YAML that people read: short lists and mappings in one line, the others in blocks."""

from __future__ import annotations

from typing import Any

import yaml

_WIDTH = 100
_IN_ONE_LINE = ({"where"}, {"kind"}, {"kind", "signal"}, {"model", "representation"})


class _Dumper(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _sequence(dumper: yaml.SafeDumper, values: list[Any]) -> yaml.Node:
    flat = not any(isinstance(one, list | dict) for one in values)
    short = sum(len(str(one)) + 2 for one in values) < _WIDTH - 20
    kind = "tag:yaml.org,2002:seq"
    return dumper.represent_sequence(kind, values, flow_style=flat and short)


def _mapping(dumper: yaml.SafeDumper, values: dict[str, Any]) -> yaml.Node:
    flat = not any(isinstance(one, list | dict) for one in values.values())
    short = set(values) in _IN_ONE_LINE
    kind = "tag:yaml.org,2002:map"
    return dumper.represent_mapping(kind, values.items(), flow_style=flat and short)


_Dumper.add_representer(list, _sequence)
_Dumper.add_representer(dict, _mapping)


def text_of(section: dict[str, Any], *comments: str) -> str:
    """The text of a file: comments, then the keys in their order."""
    lines = "".join(f"# {line}\n" for line in comments)
    dumped = yaml.dump(section, Dumper=_Dumper, sort_keys=False, width=_WIDTH, allow_unicode=True)
    return lines + str(dumped)
