"""YAML as plain data: shipped files as PyYAML reads them, and what surprises is refused by line."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from rootloom.config.documents import MAX_BYTES, MAX_DEPTH, parse_yaml, read_yaml
from rootloom.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
NINE = [*"abcdefghi"]


def laughs(first: str, row: str) -> str:
    """Nine lines, each nine times the one before."""
    lines = [f"a: &a {first}"]
    lines += [
        f"{name}: &{name} {row.format(', '.join([f'*{of}'] * 9))}" for of, name in pairwise(NINE)
    ]
    return "\n".join(lines)


@pytest.mark.parametrize("file", sorted((ROOT / "config").rglob("*.yaml")), ids=lambda f: f.stem)
def test_shipped_files_read_as_ever(file: Path) -> None:
    assert read_yaml(file) == yaml.safe_load(file.read_text())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"\xff\xfea\0", r"f.yaml\n.*UTF-8\n.*0xff at position 0"),
        ("x: é".encode("latin-1"), r"UTF-8\n.*0xe9 at position 3"),
        (b"", "a mapping of keys.*\n.*nothing"),
        (b"- a", "a mapping of keys"),
        (b"a: 1\nb: 2\na: 3", r"line 3, column 1\n.*each key once\n.*'a' again, first in line 1"),
        (b"a: {x: 1, 'x': 2}", "each key once"),
        (b"<<: {a: 1}\n<<: {b: 1}", "each key once"),
        (b"yes: 1", "keys that are text\n.*'yes', which YAML reads as bool"),
        (b"1: 1", "keys that are text"),
        (b"? [a]\n: 1", "keys that are text\n.*a sequence"),
        (b"? {a: b}\n: 1", "keys that are text\n.*a mapping"),
        (b"a: .nan", "a finite number"),
        (b"a: 1.0e+999", "a finite number"),
        (b"a: 99999999999999999999", "64 bits"),
        (b"a: " + b"9" * 9000, "64 bits\n.*9000 characters"),
        (b"a: !!int x", "a whole number"),
        (b"a: !!bool x", "true or false"),
        (b"a: !!binary eA==", "valid YAML"),
        (b"a: !!python/object/apply:os.getcwd []", "valid YAML"),
        (b"a:\n\tb: 1", r"line 2(.|\n)*spaces, not with tabs"),
        (b"a: b: c", r"line 1(.|\n)*quotes"),
        (b"b: {where: x[0] > 1}", r"""into quotes: where: "x\[0\] > 1"\Z"""),
        (b"{a: 1, b: x[:, 0] > y[1], c: 2}", r"""into quotes: b: "x\[:, 0\] > y\[1\]"\Z"""),
        (b'- [a, "b", s[0] == "w"]', r"""into quotes: 's\[0\] == "w"'\Z"""),
        (b"b: {where: max(a, b[0]) > 1}", r"""into quotes: where: "max\(a, b\[0\]\) > 1"\Z"""),
        (b"b: {where: max(a, b) > 1, c: d}", r"""'max\(a', up(.|\n)*where: "max\(a, b\) > 1"\Z"""),
        (b"b: {where: X in (1, 2, 3)}", r"""into quotes: where: "X in \(1, 2, 3\)"\Z"""),
        (b'b: {where: X in ("1", "2")}', r"""quotes: where: 'X in \("1", "2"\)'\Z"""),
        (b'{where: f("A", "B") == 5, c: 1}', r"""quotes: where: 'f\("A", "B"\) == 5'\Z"""),
        (b"identity: [max(a, b), c]", r"""into quotes: "max\(a, b\)"\Z"""),
        (b"a: !isnan(x)", "begins with such a character into quotes"),
        (b"a: |x| > 1", "begins with such a character into quotes"),
        (b'a: "x" == 1', "the whole text into quotes"),
        (b"a\0: 1", r"printable characters\n.*U\+0000"),
        (b'a: "x\\0y"', r"printable characters\n.*U\+0000 after 1"),
        (b'a: "\\ud800"', "printable characters"),
        (b'a: "\\U00110000"', "valid YAML"),
        (b"a: &a [*a]", "not inside its own anchor"),
        (b"a: &a {b: {c: *a}}", "not inside its own anchor"),
        (b"a: *b", "undefined alias"),
        (b"[" * 100_000, f"at most {MAX_DEPTH} levels"),
        (b"- " * 1000, f"at most {MAX_DEPTH} levels"),
        (laughs("[x, x, x]", "[{}]").encode(), "after all aliases are expanded"),
        (laughs("{x: 1}", "{{<<: [{}]}}").encode(), "after all aliases are expanded"),
        (b"--- {}\n--- {}", "another document"),
        (b"#" * (MAX_BYTES + 1), "at most 2 MB"),
    ],
)  # fmt: skip
def test_what_surprises_is_refused(text: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_bytes(text)
    with pytest.raises(ConfigError, match=message) as refused:
        read_yaml(file)
    assert str(file) in str(refused.value)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.yaml"):
        with pytest.raises(ConfigError, match="a readable file"):
            read_yaml(path)


def test_ordinary_conveniences_stay() -> None:
    merged = parse_yaml(b"a: &a {x: 1}\nb: &b {<<: *a, x: 2}\nc: {<<: *b, y: 3}\nd: *b", "f")
    assert merged["b"] == merged["d"] == {"x": 2}
    assert merged["c"] == {"x": 2, "y": 3}
    assert parse_yaml(b"a: {b: (x + 1) * f(y), c: '(, [0]'}", "f")["a"]["b"] == "(x + 1) * f(y)"
    assert parse_yaml(b"# nothing\n", "f", empty=True) == {}
    assert parse_yaml(b"\xef\xbb\xbfa: 1", "f") == {"a": 1}  # a byte order mark
    assert parse_yaml(b"a: 2026-11-30", "f") == {"a": "2026-11-30"}  # no day, but a text
    deep = b"a: " + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1)
    assert parse_yaml(deep, "f")["a"]
