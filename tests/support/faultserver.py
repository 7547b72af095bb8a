"""A real HTTP/1.1 server on loopback with faults on demand.

A path serves bytes, with or without ranges and validators. Its `faults` are taken one a request, in order; when they
are used up it behaves. A fault is a word, with a number or text behind a colon where it needs one.
"""

import gzip
import io
import random
import socket
import ssl
import struct
import threading
import time
import zipfile
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Self

from sedas_sync.model.scene import Reach
from sedas_sync.transfer.fetch import fetch
from sedas_sync.transfer.shared_state import SharedState

NEAR = Reach(api="http://127.0.0.1/")
"""The rule of an archive on this machine: its links may lead to loopback servers."""


def make_zip(size: int, *, seed: int = 0, entries: int = 3, deflate: bool = True) -> bytes:
    """Return a zip of about `size` bytes, equal for equal arguments; every other entry is deflated."""
    noise = random.Random(seed)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number in range(entries):
            info = zipfile.ZipInfo(f"S2A_{seed}.SAFE/GRANULE/band{number}.jp2", (2019, 5, 1, 10, 0, 0))
            if deflate and number % 2:
                info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, noise.randbytes(max(1, size // entries)), compresslevel=1)
    return out.getvalue()


def download(wanted, **shared):
    """Carry out a job with this shared state, which has no connection left afterwards."""
    live = SharedState(**shared)
    try:
        return fetch(wanted, live)
    finally:
        live.close()
        assert live.budget.running == 0


@dataclass
class Served:
    """The file of one path, and its faults."""

    data: bytes
    etag: str | None = '"v1"'
    modified: float | None = None
    ranges: bool = True
    faults: list[str] = field(default_factory=list)
    rate: float = 0.0
    """Bytes per second of each connection; 0: no limit."""
    kind: str = "application/zip"


@dataclass
class Seen:
    """A received request."""

    method: str
    target: str
    headers: dict[str, str]
    fault: str


class FaultServer:
    """Listens on a free port; a context manager."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self.paths: dict[str, Served] = {}
        self.seen: list[Seen] = []
        self.open_now = 0
        self.open_most = 0
        self.accepted = 0
        self.sent = 0
        self._tls = tls
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        # shutdown() ends the accept(); close() alone would not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            sockets = list(self._sockets)
        for sock in sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    def url(self, path: str = "/scene.zip") -> str:
        scheme = "https" if self._tls else "http"
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    def _spawn(self, target, *args) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._sockets.add(sock)
                self.accepted += 1
            self._spawn(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls:
                plain, sock = sock, self._tls.wrap_socket(sock, server_side=True)
                with self._lock:
                    # The plain socket is empty now: only this one can be shut down.
                    self._sockets ^= {plain, sock}
            reader = sock.makefile("rb")
            while self._one(sock, reader):
                pass
        except (OSError, ValueError):
            pass
        finally:
            with self._lock:
                self._sockets.discard(sock)
            sock.close()

    def _one(self, sock, reader) -> bool:
        line = reader.readline()
        if not line:
            return False
        method, target, _ = line.decode("latin-1").split(" ", 2)
        headers = {}
        while line := reader.readline().strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        served = self.paths.get(target.partition("?")[0])
        with self._lock:
            fault = served.faults.pop(0) if served and served.faults else "ok"
            self.seen.append(Seen(method, target, headers, fault))
            self.open_now += 1
            self.open_most = max(self.open_most, self.open_now)
        try:
            if served is None:
                return self._plain(sock, 404, b"<html>Not Found</html>", "text/html")
            return self._answer(sock, served, headers, fault)
        finally:
            with self._lock:
                self.open_now -= 1

    # -- answers

    def _send(self, sock, data: bytes, rate: float = 0.0) -> None:
        view = memoryview(data)
        if not rate:
            sock.sendall(view)
            with self._lock:
                self.sent += len(view)
            return
        began, done = time.monotonic(), 0
        piece = max(1, int(rate * 0.005))
        while done < len(view) and not self._closing.is_set():
            sock.sendall(view[done : done + piece])
            with self._lock:
                self.sent += len(view[done : done + piece])
            done += piece
            wait = began + done / rate - time.monotonic()
            if wait > 0:
                time.sleep(wait)

    def _plain(self, sock, status: int, body: bytes, kind: str, *more: str) -> bool:
        head = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *more, "", ""]
        sock.sendall("\r\n".join(head).encode() + body)
        return True

    def _answer(self, sock, served: Served, headers: dict[str, str], fault: str) -> bool:
        word, _, argument = fault.partition(":")
        early = self._early(sock, word, argument)
        if early is not None:
            return early
        data = served.data
        start, status = 0, 200
        end = len(data)
        asked = headers.get("range") if served.ranges and word != "ignore-range" else None
        condition = headers.get("if-range")
        if asked and condition and condition not in self._validators(served):
            asked = None
        if asked:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, end = int(first), min(len(data), int(last) + 1 if last else len(data))
            status = 206
            if start >= len(data) or word == "416":
                return self._plain(sock, 416, b"", "text/plain", f"Content-Range: bytes */{len(data)}")
        head = [f"HTTP/1.1 {status} X", f"Content-Type: {served.kind}", f"Date: {formatdate(usegmt=True)}"]
        if served.ranges:
            head.append("Accept-Ranges: bytes")
        head += self._marks(served)
        body = data[start:end]
        if status == 206:
            shown, total = (
                (start + 7 if word == "wrong-start" else start),
                len(data) + (9 if word == "wrong-total" else 0),
            )
            head.append(f"Content-Range: bytes {shown}-{end - 1}/{total}")
            if word == "lying-range":
                body = data[: end - start]
        return self._body(sock, served, head, body, word, argument)

    def _validators(self, served: Served) -> list[str]:
        return [line.partition(": ")[2] for line in self._marks(served)]

    def _marks(self, served: Served) -> list[str]:
        marks = [f"ETag: {served.etag}"] if served.etag else []
        if served.modified is not None:
            marks.append(f"Last-Modified: {formatdate(served.modified, usegmt=True)}")
        return marks

    def _early(self, sock, word: str, argument: str) -> bool | None:
        match word:
            case "html":
                return self._plain(sock, 200, b"<!DOCTYPE html><html><body>Sign in</body></html>", "text/html")
            case "html-as-zip":
                return self._plain(sock, 200, b"<html>maintenance</html>", "application/zip")
            case "json":
                return self._plain(sock, 200, b'{"errorCode":500,"errorMessage":"oops"}', "application/json")
            case "empty":
                return self._plain(sock, 200, b"", "application/zip")
            case "token":
                body = b'{"errorCode":400,"errorMessage":"User token does not exist"}'
                return self._plain(sock, 400, body, "application/json")
            case "status":
                status, _, after = argument.partition(":")
                more = [f"Retry-After: {after}"] if after else []
                return self._plain(sock, int(status), b"trouble", "text/plain", *more)
            case "redirect":
                return self._plain(sock, 302, b"", "text/html", f"Location: {argument}")
            case "hang":
                self._closing.wait(30)
                return False
            case "garbage":
                sock.sendall(b"220 mail.example.org ESMTP\r\n\r\n")
                return False
            case "drop":
                return False
        return None

    def _body(self, sock, served: Served, head: list[str], body: bytes, word: str, argument: str) -> bool:
        length = len(body)
        keep = True
        count = int(argument) if argument.isdigit() else 0
        if word == "short":
            body = body[:count]
            length = len(body)
        elif word == "flip":
            body = body[: len(body) // 2] + bytes([body[len(body) // 2] ^ 1]) + body[len(body) // 2 + 1 :]
        elif word == "gzip":
            body = gzip.compress(body)
            length = len(body)
            head.append("Content-Encoding: gzip")
        elif word in ("cut", "reset", "stall"):
            body = body[:count]
        if word in ("nolength", "nolength-cut"):
            keep = False
            head.append("Connection: close")
            body = body[:count] if count else body
        elif word in ("chunked", "chunked-cut"):
            head.append("Transfer-Encoding: chunked")
        else:
            head.append(f"Content-Length: {length}")
        sock.sendall("\r\n".join([*head, "", ""]).encode())
        if word in ("chunked", "chunked-cut"):
            whole = body
            body = body[:count] if word == "chunked-cut" else body
            for at in range(0, len(body), 40_000):
                piece = body[at : at + 40_000]
                sock.sendall(b"%x;x=y\r\n" % len(piece) + piece + b"\r\n")
            if word == "chunked":
                sock.sendall(b"0\r\nX-Sum: %d\r\n\r\n" % zlib.crc32(whole))
                return True
            return False
        self._send(sock, body, served.rate)
        if word == "stall":
            self._closing.wait(30)
            return False
        if word == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        return keep and word not in ("cut", "nolength-cut")
