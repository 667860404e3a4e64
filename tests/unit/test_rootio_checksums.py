from __future__ import annotations

import base64
import hashlib
import zlib
from pathlib import Path

import pytest

from rootloom.errors import ConfigError
from rootloom.rootio.transport.checksums import Content, join, of_file, of_header, parse, split

MD5, SHA = "9e107d9d372bb6826bd81d3542a419d6", "0" * 62 + "ab"


def test_words_become_content() -> None:
    found = parse(["ADLER32:3DA0195", f"md5={MD5}", f"sha256:{SHA}", "size:12"], "here")
    assert found == Content(12, {"adler32": "03da0195", "md5": MD5, "sha256": SHA})
    assert not parse([], "here")
    assert "03da0195" in str(found)
    assert "12 bytes" in str(found)


@pytest.mark.parametrize(
    "word", ["crc32:00000000", "adler32:xyz", "adler32:123456789", f"md5:{MD5}0", "size:1k", "size"]
)
def test_other_words_are_refused(word: str) -> None:
    with pytest.raises(ConfigError, match=f"list, line 3[\\s\\S]*'{word}'"):
        parse([word], "list, line 3")


@pytest.mark.parametrize(
    "url", ["root://h//a.root", "https://h/a.root?x=1#y", "/a#size of it.root"]
)
def test_a_fragment_carries_the_content(url: str) -> None:
    content = Content(7, {"adler32": "00000001", "md5": MD5})
    assert split(join(url, content)) == (url, content)
    assert split(url) == (url, Content())
    assert join(url, Content()) == url


def test_what_both_know_is_compared() -> None:
    listed = Content(5, {"md5": MD5, "adler32": "00000001"})
    told = Content(None, {"adler32": "00000002"})
    ours, theirs = listed.common(told)
    assert (ours, theirs) == (Content(None, {"adler32": "00000001"}), told)
    assert listed.common(Content(6))[0] != listed.common(Content(6))[1]


def test_headers_of_servers() -> None:
    encoded = base64.b64encode(bytes.fromhex(MD5)).decode()
    assert of_header(f"adler32=3da0195,MD5={encoded}") == {"adler32": "03da0195", "md5": MD5}
    assert of_header(f"md5={MD5}, unixsum=30637") == {"md5": MD5}
    sha = base64.b64encode(bytes.fromhex(SHA)).decode()
    assert of_header(f"sha-256=:{sha}:") == {"sha256": SHA}
    assert of_header("md5=!!, adler32=") == {}
    assert of_header("") == {}


def test_digests_of_a_file(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    path = tmp_path / "a"
    path.write_bytes(data)
    assert of_file(path, ["adler32", "sha256"]) == Content(
        len(data),
        {"adler32": f"{zlib.adler32(data):08x}", "sha256": hashlib.sha256(data).hexdigest()},
    )
