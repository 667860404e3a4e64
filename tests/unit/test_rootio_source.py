from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

import pytest

from rootloom.errors import ConfigError, InputError
from rootloom.rootio.transport.source import expand, is_remote, key_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a/x.root", "a/y.root", "b/x.root", "b/deep/z.root", "a/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def test_globs_lists_and_urls_sorted(folder: Path) -> None:
    url = "root://eos.example//store/x.root"
    found = expand(["b/**/*.root", "a/*.root", url], base=folder)
    names = [file.url for file in found]
    assert names[:-1] == [
        str(folder / n) for n in ("a/x.root", "a/y.root", "b/deep/z.root", "b/x.root")
    ]
    assert names[-1] == url


@pytest.mark.parametrize(
    "patterns", [["a/x.root", "a/x.root"], ["a/*.root", "a/x.root"], ["root://h//x.root"] * 2]
)
def test_a_file_that_two_entries_name_is_refused(folder: Path, patterns: list[str]) -> None:
    with pytest.raises(InputError, match=r"x\.root\n.*listed once\n.*'\S+' and '\S+'\n"):
        expand(patterns, base=folder)


def test_keys_depend_on_nothing_but_the_path_as_written(folder: Path) -> None:
    alone = expand("a/x.root", base=folder)[0]
    together = {file.key for file in expand(["a/*.root", "b/*.root"], base=folder)}
    assert alone.key in together
    assert len(together) == 3
    assert alone.key == key_of("a/x.root")


@pytest.mark.parametrize(
    "url", ["https://x.example/a b/ü%20?token=1", "root://h//", "../weird name (1).root", "x" * 300]
)
def test_keys_are_safe_file_names(url: str) -> None:
    key = key_of(url)
    assert all(c.isascii() and (c.isalnum() or c in "_-") for c in key)
    assert 0 < len(key) < 64
    assert key[0].isalnum()


def test_no_match_names_the_nearest(folder: Path) -> None:
    with pytest.raises(InputError, match=r"x\.root"):
        expand("a/xx.root", base=folder)
    with pytest.raises(InputError, match="no match"):
        expand("nowhere/*.root", base=folder)


def test_a_folder_needs_a_pattern(folder: Path) -> None:
    with pytest.raises(
        InputError, match=r"files: 'a'(.|\n)*it is a folder: write 'a/\*\.root' for"
    ):
        expand(["a"], base=folder)
    with pytest.raises(InputError, match=r"write '\S+/\*\*/\*\.root' for"):
        expand([f"{folder}/"])


def test_a_folder_that_cannot_be_listed_hides_no_refusal(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: object) -> list[str]:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr("rootloom.rootio.transport.source.os.listdir", refuse)
    with pytest.raises(InputError, match=r"no match(.|\n)*a: Permission denied"):
        expand("a/w.root", base=folder)


def test_without_a_base(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert [file.url for file in expand("a/*.root")] == ["a/x.root", "a/y.root"]


def test_remote() -> None:
    assert is_remote("https://x/y.root")
    assert not is_remote("/data/y.root")


def test_lists_name_files_and_what_is_known_of_them(folder: Path) -> None:
    (folder / "all.txt").write_text(
        "# mine\n\nroot://h//x.root  adler32:1a2b3c4d size:12 # as the server says\n"
        "https://h/y.root\na/*.root\n"
    )
    found = {file.key: file.url for file in expand("all.txt", base=folder)}
    assert found == {
        key_of("root://h//x.root"): "root://h//x.root#adler32=1a2b3c4d&size=12",
        key_of("https://h/y.root"): "https://h/y.root",
        key_of("a/x.root"): str(folder / "a/x.root"),
        key_of("a/y.root"): str(folder / "a/y.root"),
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("root://h//x.root adler32:1a2b", None),
        ("root://h//x.root adler32:1a2b3c4d5e", "line 2[\\s\\S]*1a2b3c4d5e"),
        ("a/x.root adler32:1a2b3c4d", "line 2[\\s\\S]*local file"),
        ("root://h//x.root size:1\nroot://h//x.root size:2", "list it once"),
        ("root://h//x.root crc32:1a2b3c4d", "line 2[\\s\\S]*not an address"),
    ],
)
def test_a_list_that_makes_no_sense_is_refused(
    folder: Path, line: str, message: str | None
) -> None:
    (folder / "all.txt").write_text(f"# mine\n{line}\n")
    if message is None:  # leading zeros may be missing
        assert expand("all.txt", base=folder)[0].url.endswith("#adler32=00001a2b")
        return
    with pytest.raises((ConfigError, InputError), match=message):
        expand("all.txt", base=folder)


def test_a_list_in_another_encoding_is_refused(folder: Path) -> None:
    (folder / "odd.txt").write_bytes("é.root\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"odd\.txt: byte 0(.|\n)*UTF-8"):
        expand("odd.txt", base=folder)
    (folder / "marked.txt").write_text("a/x.root\n", encoding="utf-8-sig")
    assert len(expand("marked.txt", base=folder)) == 1


@pytest.mark.parametrize(
    ("text", "found"),
    [("a/x.root\0\n", r"U\+0000 after 8 others"), ("", "none"), ("# a\n", "none")],
)
def test_a_list_of_nothing_is_refused(folder: Path, text: str, found: str) -> None:
    (folder / "l.txt").write_text(text)
    with pytest.raises((ConfigError, InputError), match=rf"l\.txt\n.*one a line\n.*{found}"):
        expand("l.txt", base=folder)


def test_two_deep_globs_find_a_file_once(folder: Path) -> None:
    assert len(expand("**/**/z.root", base=folder)) == 1


def test_names_that_no_file_can_have(folder: Path) -> None:
    for name in ("a" * 300, "a/" * 3000 + "x"):
        with pytest.raises(InputError, match="at least one file"):
            expand(f"{name}.root", base=folder)
    (folder / "a/y.root").unlink()
    (folder / "a/y.root").symlink_to("y.root")
    with pytest.raises(InputError, match=r"y\.root, which leads back to it"):
        expand("a/*.root", base=folder)


def test_a_name_that_is_no_text_is_refused(folder: Path) -> None:
    with suppress(OSError):  # of file systems that refuse it first
        os.rename(folder / "a/y.root", os.fsencode(folder) + b"/a/y\xff.root")
        with pytest.raises(InputError, match=r"y\\xff\.root'\n.*in UTF-8"):
            expand("a/*.root", base=folder)


def test_a_missing_list_names_the_nearest(folder: Path) -> None:
    (folder / "files.txt").touch()
    with pytest.raises(InputError, match=r"did you mean 'files\.txt'"):
        expand("file.txt", base=folder)


def test_braces_and_brackets_are_characters_of_a_name(tmp_path: Path) -> None:
    for name in ("a{1,2}.root", "b{x}.root", "c[1].root", "c1.root"):
        (tmp_path / name).touch()
    for pattern, names in {
        "a{1,2}.root": ["a{1,2}.root"],
        "b{x}.root": ["b{x}.root"],
        "?{*.root": ["a{1,2}.root", "b{x}.root"],
        "c[1].root": ["c[1].root"],  # a name that a file has is that file
        "c[[]1].root": ["c[1].root"],
        "c[0-9].root": ["c1.root"],
    }.items():
        found = [file.url for file in expand(pattern, base=tmp_path)]
        assert found == [str(tmp_path / name) for name in names], pattern
    with pytest.raises(InputError, match="one entry for each choice"):
        expand("c{1,2}.root", base=tmp_path)
