from __future__ import annotations

from pathlib import Path

import pytest

from rootloom.errors import InputError
from rootloom.rootio.source import expand, is_remote, key_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a/x.root", "a/y.root", "b/x.root", "b/deep/z.root", "a/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def test_globs_lists_and_urls_sorted_and_unique(folder: Path) -> None:
    url = "root://eos.example//store/x.root"
    found = expand(["b/**/*.root", "a/*.root", "a/x.root", url, url], base=folder)
    names = [file.url for file in found]
    assert names[:-1] == [
        str(folder / n) for n in ("a/x.root", "a/y.root", "b/deep/z.root", "b/x.root")
    ]
    assert names[-1] == url


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


def test_without_a_base(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert [file.url for file in expand("a/*.root")] == ["a/x.root", "a/y.root"]


def test_remote() -> None:
    assert is_remote("https://x/y.root")
    assert not is_remote("/data/y.root")
