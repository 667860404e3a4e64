"""Sizes, checksums and copies of files on XRootD servers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from rootloom.rootio.transport.checksums import ALGORITHMS, Content
from rootloom.rootio.transport.remote import limit_patience, timeout

if TYPE_CHECKING:
    from XRootD.client.responses import XRootDStatus

T = TypeVar("T")
_BLOCK = 8 << 20
_CHECKSUM_SECONDS = 600  # s: a server that keeps no checksums reads the whole file to answer
_ERROR_CODE = 400  # XrdCl's code for an error sent by the server, unlike a lost connection


class XRootD:
    """One file on a server. The library reads credentials itself (X509_USER_PROXY, tokens)."""

    def __init__(self, url: str) -> None:
        limit_patience()
        from XRootD import client

        self._client, self.url = client, url
        parsed = client.URL(url)
        self._path = parsed.path_with_params
        self._server = client.FileSystem(f"{parsed.protocol}://{parsed.hostid}")

    def facts(self, algorithms: Iterable[str]) -> Content:
        """Size of the file and checksums from the server."""
        size = int(_good(self._server.stat(self._path, timeout=_seconds())).size)
        digests: dict[str, str] = {}
        for name in algorithms:
            digests |= self._digest(name)
        return Content(size, digests)

    def copy(self, sink: BinaryIO, start: int) -> None:
        """Write bytes from `start` to the end to `sink`."""
        file = self._client.File()
        _good(file.open(self.url, timeout=_seconds()))
        try:
            while block := _good(file.read(start, _BLOCK, timeout=_seconds())):
                sink.write(block)
                start += len(block)
        finally:
            file.close(timeout=_seconds())

    def _digest(self, name: str) -> dict[str, str]:
        """The checksum by its name; empty if the server has none of that kind."""
        code = self._client.flags.QueryCode.CHECKSUM
        separator = "&" if "?" in self._path else "?"
        status, answer = self._server.query(
            code, f"{self._path}{separator}cks.type={name}", timeout=_CHECKSUM_SECONDS
        )
        if not status.ok and status.code != _ERROR_CODE:
            raise OSError(status.message.strip())
        words = answer.decode().rstrip("\0").split() if answer else []
        if len(words) != 2 or words[0].lower() not in ALGORITHMS:
            return {}
        kind = words[0].lower()
        return {kind: words[1].lower().zfill(ALGORITHMS[kind])}


def _good(answer: tuple[XRootDStatus, T]) -> T:
    status, content = answer
    if not status.ok:
        raise OSError(status.message.strip())
    return content


def _seconds() -> int:
    return max(1, int(timeout()))
