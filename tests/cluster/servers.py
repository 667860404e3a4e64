"""Servers of files on loopback: XRootD, HTTPS with faults on demand, and a relay that fails."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.cluster.daemons import Unavailable, install, wait_until

_BLOCK = 1 << 16
_CONFIGURATION = """
all.export / readonly
oss.localroot {root}/files
all.adminpath {root}/admin
all.pidpath {root}/admin
xrd.port {port}
xrd.network nodnr
xrootd.chksum max 2 adler32 md5
if exec xrootd
xrd.protocol http:{http} libXrdHttp.so
fi
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def adler32(path: Path) -> str:
    return f"{zlib.adler32(path.read_bytes()):08x}"


class XRootD:
    """A data server of one folder; it speaks XRootD and, with a library of its own, HTTP."""

    def __init__(self, root: Path) -> None:
        self.files, self._root = root / "files", root
        self.port, self.http_port = free_port(), free_port()
        for folder in (root, self.files, root / "admin"):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o777)  # the server gives up root's rights
        self._configuration = root / "xrootd.cfg"
        self._configuration.write_text(
            _CONFIGURATION.format(root=root, port=self.port, http=self.http_port)
        )
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, name: str, port: int = 0) -> str:
        return f"root://127.0.0.1:{port or self.port}//{name}"

    def add(self, source: Path, name: str = "") -> str:
        """Copy a file to where the server finds it; its URL."""
        shutil.copyfile(source, self.files / (name or source.name))
        return self.url(name or source.name)

    def start(self) -> None:
        command = [
            "xrootd",
            "-c",
            str(self._configuration),
            "-l",
            str(self._root / "admin" / "log"),
        ]
        if os.getuid() == 0:
            command += ["-R", "nobody"]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(lambda: _answers(self.port), 20, self._log)

    def kill(self) -> None:
        """As when a node dies."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def signal(self, number: int) -> None:
        """Stop it, or let it go on."""
        if self._process:
            self._process.send_signal(number)

    def _log(self) -> str:
        logs = sorted((self._root / "admin").rglob("log"))
        return "\n".join(log.read_text()[-1000:] for log in logs) or "no log"


@contextmanager
def xrootd() -> Iterator[XRootD]:
    """A running XRootD server. Raises Unavailable where it cannot run."""
    if shutil.which("xrootd") is None:
        install("xrootd-server")
    root = Path(tempfile.mkdtemp(prefix="rootloom-xrootd-"))
    server = XRootD(root)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(root, ignore_errors=True)


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@dataclass
class Faults:
    """What a web server does wrong, and a count of what it was asked for.

    drops: so many answers end after `drop_after` bytes of content, -1 for all of them; in the same
    way corrupt: so many have a wrong byte, unavailable: so many are 503. delay: s before every
    answer. ranges: whether parts are sent. digests: whether checksums are told. short: bytes
    missing at the end of every file. token: what must come as a bearer token. redirect: where to
    send everybody instead.
    """

    drops: int = 0
    drop_after: int = 0
    corrupt: int = 0
    unavailable: int = 0
    delay: float = 0.0
    ranges: bool = True
    digests: bool = True
    short: int = 0
    token: str = ""
    redirect: str = ""
    requests: int = 0
    seen: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, name: str) -> bool:
        """Whether this answer is to fail in the way `name`; counts down."""
        with self.lock:
            left = getattr(self, name)
            if left > 0:
                setattr(self, name, left - 1)
            return bool(left)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments: object, root: Path, faults: Faults) -> None:
        self._root, self._faults = root, faults
        super().__init__(*arguments)  # type: ignore[arg-type]

    def log_message(self, format: str, *arguments: object) -> None:
        """Silence."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        faults = self._faults
        with faults.lock:
            faults.requests += 1
            faults.seen.append(self.headers.get("Authorization", ""))
        time.sleep(faults.delay)
        path = self._root / self.path.lstrip("/").partition("?")[0]
        if faults.redirect:
            self._end(307, {"Location": faults.redirect + self.path})
        elif faults.take("unavailable"):
            self._end(503)
        elif faults.token and self.headers.get("Authorization") != f"Bearer {faults.token}":
            self._end(401)
        elif not path.is_file():
            self._end(404)
        else:
            self._send(path, body)

    def _end(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": "0", **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, path: Path, body: bool) -> None:
        faults, size = self._faults, path.stat().st_size - self._faults.short
        start, stop = 0, size
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        part = bool(asked and faults.ranges)
        if asked and part:
            start, stop = int(asked[1]), min(int(asked[2] or size) + 1, size)
            if start >= size:
                self._end(416, {"Content-Range": f"bytes */{size}"})
                return
        self.send_response(206 if part else 200)
        self.send_header("Content-Length", str(stop - start))
        if part:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        if faults.digests and "Want-Digest" in self.headers:
            md5 = base64.b64encode(hashlib.md5(path.read_bytes()).digest()).decode()
            self.send_header("Digest", f"adler32={adler32(path)},md5={md5}")
        self.end_headers()
        if body:
            self._send_content(path, start, stop)

    def _send_content(self, path: Path, start: int, stop: int) -> None:
        with path.open("rb") as file:
            file.seek(start)
            content = file.read(stop - start)
        dropped = self._faults.take("drops")
        if dropped:
            content = content[: self._faults.drop_after]
        elif self._faults.take("corrupt"):
            content = content[:-1] + bytes([content[-1] ^ 1])
        with suppress(OSError):
            self.wfile.write(content)
            if dropped:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are what the tests are about."""


@dataclass
class Web:
    """A web server of one folder."""

    files: Path
    faults: Faults
    port: int
    scheme: str
    certificate: Path | None

    def url(self, name: str, port: int = 0) -> str:
        return f"{self.scheme}://localhost:{port or self.port}/{name}"

    def add(self, source: Path, name: str = "") -> str:
        """Copy a file to where the server finds it; its URL."""
        shutil.copyfile(source, self.files / (name or source.name))
        return self.url(name or source.name)


@contextmanager
def web(
    files: Path, certificate: Path | None = None, *, clients: Path | None = None
) -> Iterator[Web]:
    """A running HTTP server, HTTPS with a certificate (a file that also holds its key).

    clients: the authority whose certificate a client must show.
    """
    files.mkdir(exist_ok=True)
    faults = Faults()
    server = _Server(("127.0.0.1", 0), partial(_Handler, root=files, faults=faults))
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        if clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(clients)
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        scheme = "https" if certificate else "http"
        yield Web(files, faults, server.server_port, scheme, certificate)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def make_certificate(folder: Path) -> Path:
    """A certificate for localhost that has signed itself, and its key, in one file."""
    if shutil.which("openssl") is None:
        install("openssl")
    key, certificate, both = folder / "key.pem", folder / "certificate.pem", folder / "both.pem"
    command = [
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
        "-keyout", str(key), "-out", str(certificate),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise Unavailable(f"openssl: {done.stderr.strip()}")
    both.write_text(certificate.read_text() + key.read_text())
    return both


@dataclass
class Relay:
    """Passes bytes on to a port, later, and not always.

    delay: s, one way. cuts: so many connections end after `cut_after` bytes from the server.
    refusing: whether new connections are closed at once.
    """

    target: int
    delay: float = 0.0
    cuts: int = 0
    cut_after: int = 0
    refusing: bool = False
    connections: int = 0
    port: int = 0

    def serve(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            if self.refusing:
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self.target))
            limit = None
            if self.cuts:
                self.cuts, limit = self.cuts - 1, self.cut_after
            for source, sink, most in ((client, server, None), (server, client, limit)):
                threading.Thread(target=self._pass, args=(source, sink, most), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, most: int | None) -> None:
        left = most
        queue: list[tuple[float, bytes]] = []
        ready, ended = threading.Condition(), False

        def deliver() -> None:
            while True:
                with ready:
                    ready.wait_for(lambda: queue or ended)
                    if not queue:
                        return
                    when, data = queue.pop(0)
                time.sleep(max(0.0, when - time.monotonic()))
                with suppress(OSError):
                    sink.sendall(data)

        sender = threading.Thread(target=deliver, daemon=True)
        sender.start()
        with suppress(OSError):
            while (left is None or left > 0) and (data := source.recv(_BLOCK)):
                data = data if left is None else data[:left]
                left = None if left is None else left - len(data)
                with ready:
                    queue.append((time.monotonic() + self.delay, data))
                    ready.notify()
        with ready:
            ended = True
            ready.notify()
        sender.join()
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def relay(target: int) -> Iterator[Relay]:
    """A relay to a port of this machine."""
    passing = Relay(target)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        passing.port = listener.getsockname()[1]
        thread = threading.Thread(target=passing.serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield passing
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
