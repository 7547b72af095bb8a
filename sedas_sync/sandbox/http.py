"""A small HTTP/1.1 server: keep-alive, one thread per connection, little work per request.

A function turns each `SandboxRequest` into a `SandboxReply`, and the reply describes how to send it: slowly, in chunks,
or only in part.
"""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from functools import lru_cache, partial
from http import HTTPStatus
from io import BufferedReader
from pathlib import Path
from threading import Event, Lock
from urllib.parse import parse_qsl, unquote

from sedas_sync.files.threads import DaemonThread
from sedas_sync.sandbox.faults import SandboxReply, SandboxRequest

Handle = Callable[[SandboxRequest], tuple[SandboxReply, Callable[[int], None]]]
"""Answers a request. Returns the reply, and a function to call with the size of each piece before it is sent."""

_SLICE = 1 << 18
_LIMIT = 1 << 16
_BODY_LIMIT = 1 << 26
_BACKLOG = 256


class _RefusedError(Exception):
    """A malformed or too large request; the connection is closed after a status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class HttpServer:
    """A server that runs from its construction until `close`.

    Args:
        host: Address to listen on.
        port: Port; 0 takes a free one.
        handle: Called in the connection's thread for every request.
    """

    def __init__(self, host: str, port: int, handle: Handle) -> None:
        self._handle = handle
        self._closing = Event()
        self._lock = Lock()
        self._connections: dict[socket.socket, DaemonThread] = {}
        self._listener = socket.create_server((host, port), backlog=_BACKLOG)
        self.host: str
        self.port: int
        self.host, self.port = self._listener.getsockname()[:2]
        self._acceptor = DaemonThread(self._accept)

    def close(self) -> None:
        """Stop listening, close every connection and wait for their threads."""
        self._closing.set()
        with contextlib.suppress(OSError):  # wakes the thread that waits in accept()
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join()
        with self._lock:
            open_now = dict(self._connections)
        for connection in open_now:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in open_now.values():
            thread.join(5)

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                continue
            try:
                with self._lock:
                    self._connections[connection] = DaemonThread(partial(self._converse, connection))
            except (RuntimeError, MemoryError):
                connection.close()

    def _converse(self, connection: socket.socket) -> None:
        """Answer the requests of one connection until one side closes it."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with connection, connection.makefile("rb") as stream:
                while not self._closing.is_set() and self._exchange(connection, stream):
                    pass
        except OSError:
            pass  # the client closed the connection
        finally:
            with self._lock:
                self._connections.pop(connection, None)

    def _exchange(self, connection: socket.socket, stream: BufferedReader) -> bool:
        """Answer one request; return False to close the connection."""
        try:
            request, keep = _read(connection, stream)
        except _RefusedError as refused:
            connection.sendall(_head(refused.status, {"Content-Length": "0", "Connection": "close"}))
            return False
        if request is None:
            return False
        reply, count_sent = self._handle(request)
        if reply.wait and self._closing.wait(reply.wait):
            return False
        if reply.drop:
            return False
        return self._send(connection, request, reply, count_sent, keep=keep)

    def _send(
        self,
        connection: socket.socket,
        request: SandboxRequest,
        reply: SandboxReply,
        count_sent: Callable[[int], None],
        *,
        keep: bool,
    ) -> bool:
        whole = reply.body.stat().st_size if isinstance(reply.body, Path) else len(reply.body)
        length = whole - reply.first if reply.length is None else reply.length
        silent = request.method == "HEAD" or reply.status in (204, 304)
        keep = keep and reply.framing != "close" and reply.cut is None
        headers = dict(reply.headers)
        if reply.framing == "length":
            headers["Content-Length"] = str(length)
        elif reply.framing == "chunked" and not silent:
            headers["Transfer-Encoding"] = "chunked"
        if not keep:
            headers["Connection"] = "close"
        head = _head(reply.status, headers)
        if silent:
            connection.sendall(head)
            return keep
        end = length if reply.cut is None else min(length, reply.cut)
        sent = 0
        began = time.monotonic()
        if reply.stall is not None and not reply.stall[0]:
            connection.sendall(head)
            head = b""
            if not self._pause(reply, sent, began):
                return False
        for piece in _pieces(reply, end):
            count_sent(len(piece))
            coded = (b"%x\r\n" % len(piece), piece, b"\r\n") if reply.framing == "chunked" else (piece,)
            connection.sendall(b"".join((head, *coded)) if head or len(coded) > 1 else piece)
            head = b""
            sent += len(piece)
            if not self._pause(reply, sent, began):
                return False
        if head:
            connection.sendall(head)
        if end < length:
            return False
        if reply.framing == "chunked":
            connection.sendall(b"0\r\n\r\n")
        return keep

    def _pause(self, reply: SandboxReply, sent: int, began: float) -> bool:
        """Wait if the reply is slow; return False if the server closes."""
        wait = 0.0
        if reply.rate is not None:
            wait = began + sent / reply.rate - time.monotonic()
        if reply.stall is not None and sent == reply.stall[0]:
            wait += reply.stall[1]
        return wait <= 0 or not self._closing.wait(wait)


def _pieces(reply: SandboxReply, end: int) -> Iterator[bytes | memoryview]:
    """Yield the part of the body to send, in slices that end where the reply pauses."""
    size = _SLICE if reply.rate is None else max(512, min(_SLICE, int(reply.rate / 50)))
    marks = [*range(size, end, size), end]
    if reply.stall is not None and 0 < reply.stall[0] < end:
        marks = sorted({*marks, reply.stall[0]})
    at = 0
    if isinstance(reply.body, Path):
        with reply.body.open("rb") as file:
            file.seek(reply.first)
            for mark in marks:
                yield file.read(mark - at)
                at = mark
        return
    view = memoryview(reply.body)[reply.first :]
    for mark in marks:
        if mark > at:
            yield view[at:mark]
        at = mark


def _read(connection: socket.socket, stream: BufferedReader) -> tuple[SandboxRequest | None, bool]:
    """Return one request, or None at the end of the stream, and whether to keep the connection."""
    line = stream.readline(_LIMIT)
    while line in (b"\r\n", b"\n"):
        line = stream.readline(_LIMIT)
    if not line:
        return None, False
    parts = line.split()
    if len(parts) != 3 or not parts[2].startswith(b"HTTP/1."):  # noqa: PLR2004  # method, target, version
        raise _RefusedError(400)
    headers = {}
    while (line := stream.readline(_LIMIT)) not in (b"\r\n", b"\n"):
        name, colon, value = line.partition(b":")
        if not colon:
            raise _RefusedError(400)
        headers[name.decode("latin-1").strip().lower()] = value.decode("latin-1").strip()
    path, _, query = parts[1].decode("latin-1").partition("?")
    tokens = headers.get("connection", "").lower()
    keep = "close" not in tokens and (parts[2] != b"HTTP/1.0" or "keep-alive" in tokens)
    body = _read_body(connection, stream, headers)
    decoded = dict(parse_qsl(query, keep_blank_values=True))
    return SandboxRequest(parts[0].decode("latin-1"), unquote(path), decoded, headers, body), keep


def _read_body(connection: socket.socket, stream: BufferedReader, headers: dict[str, str]) -> bytes:
    if "transfer-encoding" in headers:
        raise _RefusedError(411)
    text = headers.get("content-length", "0")
    if not text.isdecimal():
        raise _RefusedError(400)
    size = int(text)
    if size > _BODY_LIMIT:
        raise _RefusedError(413)
    if size and headers.get("expect", "").lower() == "100-continue":
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = stream.read(size)
    if len(body) < size:
        raise _RefusedError(400)
    return body


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


def _head(status: int, headers: dict[str, str]) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {status} {phrase}", "Server: sedas-sandbox"]
    sent = {"Date": _date(int(time.time())), **headers}
    lines += [f"{name}: {value}" for name, value in sent.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
