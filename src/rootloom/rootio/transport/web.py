"""Ranges, sizes, checksums and copies of files on HTTPS and WebDAV servers."""

from __future__ import annotations

import os
import queue
import re
import ssl
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urljoin, urlsplit

import requests
import uproot
from uproot.source.coalesce import CoalesceConfig, coalesce_requests

from rootloom.rootio.transport.checksums import Content, of_header
from rootloom.rootio.transport.remote import HopelessError, WholeFilesOnlyError, timeout

_BLOCK = 1 << 20
_CONNECTIONS = 8
_MAX_REDIRECTIONS = 10
_REDIRECTION_BYTES = 1 << 16
_TARGETS = requests.sessions.SessionRedirectMixin()
_WITHOUT_HEAD = (403, 405, 501)  # answers of servers that support only GET
_HEADER_NAMES = {"adler32": "adler32", "md5": "md5", "sha256": "sha-256"}

# Variables with files and folders of certificates that are trusted in addition to the system's.
_CA_VARIABLES = ("CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "X509_CERT_DIR")
_TLS_VARIABLES = (*_CA_VARIABLES, "SSL_CERT_FILE", "SSL_CERT_DIR", "X509_USER_PROXY")


class Web:
    """One file on a server."""

    def __init__(self, url: str) -> None:
        self.url = url

    def facts(self, algorithms: Iterable[str]) -> Content:
        """Size of the file and checksums from the server."""
        names = [_HEADER_NAMES[name] for name in algorithms]
        headers = {"Want-Digest": ", ".join(names)} if names else {}
        if "sha-256" in names:
            headers["Want-Repr-Digest"] = "sha-256=1"
        try:
            with self._ask("HEAD", headers) as answer:
                size = answer.headers.get("Content-Length")
        except OSError as error:
            if getattr(error, "status", None) not in _WITHOUT_HEAD:
                raise
            with self._ask("GET", {**headers, "Range": "bytes=0-0"}) as answer:
                size = str(_range(answer)[2] or answer.headers.get("Content-Length"))
        digests = of_header(answer.headers.get("Digest", ""))
        digests |= of_header(answer.headers.get("Repr-Digest", ""))
        return Content(int(size) if size and size.isdecimal() else None, digests)

    def read(self, start: int, stop: int) -> tuple[bytes, int | None]:
        """Bytes [start, stop), fewer at the end of the file, and the file's size if known.

        Raises WholeFilesOnlyError for a server that sends only whole files, OSError for one that
        sends other bytes, more or fewer; never keeps more than requested.
        """
        with self._ask("GET", {"Range": f"bytes={start}-{stop - 1}"}) as answer:
            if answer.status_code == 206:
                first, last, size = _range(answer)
                short = last < stop - 1 and size is not None and last + 1 != size
                if first != start or not start <= last < stop or short:
                    raise OSError(f"bytes {first}-{last} came, {start}-{stop - 1} were asked for")
                count = last + 1 - first
                data = b"".join(_blocks(answer, count))
                if len(data) != count:
                    less = "fewer" if len(data) < count else "more"
                    raise OSError(f"{less} than the {count} bytes came that the server announced")
                return data, size
        raise WholeFilesOnlyError(
            self.url,
            expected="a server that sends parts of a file (range requests)",
            found=f"HTTP {answer.status_code}: the whole file",
            fix="set ROOTLOOM_SCRATCH, so that files are copied first, or copy the file yourself",
        )

    def copy(self, sink: BinaryIO, start: int) -> None:
        """Write bytes from `start` to the end to `sink`; from 0 where a server sends no parts."""
        with self._ask("GET", {"Range": f"bytes={start}-"} if start else {}) as answer:
            if answer.status_code == 206 and _range(answer)[0] != start:
                raise OSError(f"bytes from {_range(answer)[0]} came, not from {start}")
            if start and answer.status_code != 206:
                sink.seek(0)
                sink.truncate()
            for block in _blocks(answer):
                sink.write(block)

    @contextmanager
    def _ask(self, method: str, headers: dict[str, str]) -> Iterator[requests.Response]:
        url = self.url
        try:
            for _ in range(1 + _MAX_REDIRECTIONS):
                with self._once(method, url, headers) as answer:
                    place = _TARGETS.get_redirect_target(answer)
                    if place is None:
                        _check(answer)
                        yield answer
                        return
                    # So that the connection can be used again; a longer body is not read.
                    answer.raw.read(_REDIRECTION_BYTES, decode_content=False)
                url = urljoin(url, requests.utils.requote_uri(place))
            raise HopelessError(
                f"more than {_MAX_REDIRECTIONS} redirections, the last to {url[:200]}",
                "check the address: its server redirects in a circle",
            )
        except requests.exceptions.SSLError as error:
            if "CERTIFICATE_VERIFY_FAILED" not in str(error):
                raise
            raise HopelessError(
                f"the server's certificate cannot be verified: {error}",
                "name the file of the site's certificate authority in SSL_CERT_FILE "
                "(or its folder in X509_CERT_DIR)",
            ) from error

    def _once(self, method: str, url: str, headers: dict[str, str]) -> requests.Response:
        """The answer of one server, without following redirections.

        Their bodies can be endless and would be read into memory.
        """
        own = urlsplit(url)[:2] == urlsplit(self.url)[:2]
        wait = timeout()
        return _session_here().request(
            method,
            url,
            headers={"Accept-Encoding": "identity", **headers, **(_token(url) if own else {})},
            timeout=(wait, wait),
            stream=True,
            allow_redirects=False,
        )


class WebError(OSError):
    """An HTTP answer other than success. status: its code."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"HTTP {status} {reason}")
        self.status = status


class WebSource(uproot.source.chunk.Source):
    """A source for uproot: neighbouring ranges in one request, several requests at a time."""

    _config = CoalesceConfig(max_request_ranges=1)

    def __init__(self, file_path: str, **_: object) -> None:
        super().__init__()
        self._file_path = file_path
        self._web = Web(file_path)
        self._size: int | None = None
        self._pool = ThreadPoolExecutor(_CONNECTIONS)
        self._closed = False

    def __enter__(self) -> WebSource:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._closed = True

    @property
    def closed(self) -> bool:
        """Whether the source is closed."""
        return self._closed

    @property
    def num_bytes(self) -> int:
        """The size of the file, from the server."""
        if self._size is None:
            self._size = self._web.facts(()).size
        if self._size is None:
            raise OSError("the server does not tell the size of the file")
        return self._size

    def chunk(self, start: int, stop: int) -> uproot.source.chunk.Chunk:
        """Bytes [start, stop), at once."""
        data = uproot.source.futures.TrivialFuture(self._read([(start, stop)])[0])
        return uproot.source.chunk.Chunk(self, start, stop, data)

    def chunks(
        self, ranges: list[tuple[int, int]], notifications: queue.Queue
    ) -> list[uproot.source.chunk.Chunk]:
        """Bytes of all ranges, which arrive in `notifications`."""
        return coalesce_requests(ranges, self._submit, self, notifications, config=self._config)

    def _submit(self, ranges: list[tuple[int, int]]) -> Future:
        return self._pool.submit(self._read, ranges)

    def _read(self, ranges: list[tuple[int, int]]) -> list[bytes]:
        found = []
        for start, stop in ranges:
            data, size = self._web.read(start, stop)
            if size and self._size and size != self._size:
                raise OSError(f"the server says {size} bytes, and said {self._size} before")
            self._size = size or self._size
            found.append(data)
        return found


class _Session(requests.Session):
    """A session that follows no redirection and reads no body of one."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return no target: requests would read the whole body before it asks for one."""


class _Adapter(requests.adapters.HTTPAdapter):
    """Connections that also trust a site's own certificates, directly or through a proxy."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__(pool_maxsize=2 * _CONNECTIONS)

    def init_poolmanager(self, *arguments: object, **options: object) -> None:
        """Called by requests for direct connections."""
        super().init_poolmanager(*arguments, **options, ssl_context=self._context)

    def proxy_manager_for(self, proxy: str, **options: object) -> object:
        """Called by requests for connections through a proxy."""
        return super().proxy_manager_for(proxy, **options, ssl_context=self._context)


def _blocks(answer: requests.Response, count: int | None = None) -> Iterator[bytes]:
    """The bytes of an answer as they were sent; at most `count` + 1, if given.

    Raises OSError for compressed content, which could expand to any size.
    """
    packed = answer.headers.get("Content-Encoding", "identity").lower()
    if packed not in ("", "identity"):
        raise OSError(f"content encoded as {packed[:40]!r} came, which was not asked for")
    left = None if count is None else count + 1
    while left is None or left > 0:
        block = answer.raw.read(_BLOCK if left is None else min(_BLOCK, left), decode_content=False)
        if not block:
            return
        left = None if left is None else left - len(block)
        yield block


def _session_here() -> _Session:
    return _session(os.getpid(), tuple(os.environ.get(name) for name in _TLS_VARIABLES))


@lru_cache(maxsize=1)
def _session(process: int, tls: tuple[str | None, ...]) -> _Session:
    """Connections of this process for these variables, kept alive between files.

    Proxies come from the environment, as everywhere.
    """
    context = ssl.create_default_context()  # SSL_CERT_FILE and SSL_CERT_DIR are OpenSSL's own
    for place in (Path(os.environ.get(name) or "/nowhere") for name in _CA_VARIABLES):
        if place.is_dir():
            context.load_verify_locations(capath=place)
        elif place.is_file():
            context.load_verify_locations(cafile=place)
    proxy = os.environ.get("X509_USER_PROXY", "")
    if Path(proxy).is_file():
        context.load_cert_chain(proxy)
    session = _Session()
    session.mount("https://", _Adapter(context))
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=2 * _CONNECTIONS))
    return session


def _token(url: str) -> dict[str, str]:
    """The bearer token of the environment (WLCG Bearer Token Discovery), only for https.

    It is not sent to the host of a redirection.
    """
    file = os.environ.get("BEARER_TOKEN_FILE", "")
    token = os.environ.get("BEARER_TOKEN", "") or (Path(file).read_text() if file else "")
    if not token.strip() or not url.startswith("https://"):
        return {}
    return {"Authorization": f"Bearer {token.strip()}"}


def _check(answer: requests.Response) -> None:
    """Raise the error that fits an answer."""
    status, reason = answer.status_code, answer.reason or ""
    if status in (404, 410):
        raise FileNotFoundError(f"HTTP {status} {reason}")
    # Where an address is signed for GET alone, HEAD is forbidden: `facts` asks again.
    if status == 401 or (status == 403 and answer.request.method != "HEAD"):
        raise PermissionError(f"HTTP {status} {reason}")
    if status >= 400:
        raise WebError(status, reason)


def _range(answer: requests.Response) -> tuple[int, int, int | None]:
    """First and last byte of an answer, and the size of the file if known."""
    header = answer.headers.get("Content-Range", "")
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", header.strip())
    if not found:
        return 0, -1, None
    return int(found[1]), int(found[2]), int(found[3]) if found[3].isdecimal() else None
