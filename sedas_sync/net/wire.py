"""HTTP/1.1 for downloads, directly on the socket.

Bytes are read into the caller's buffer, by one call that returns when the buffer is full or a fraction of a second has
passed, so that large bodies cost little and slow ones are not held back. The module has requests, pooled connections,
proxies, TLS and redirects. What an answer means is for the caller.
"""

import functools
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote, urljoin, urlsplit

from sedas_sync._version import __version__
from sedas_sync.model.hosts import is_loopback, matches_any
from sedas_sync.model.scene import Reach
from sedas_sync.net import certificates, policy
from sedas_sync.net.policy import PermanentError as PermanentError  # noqa: PLC0414  # requests of this module raise it too

TICK = 0.04
"""Seconds after which a read returns the bytes that have come, or none."""

OK, PARTIAL, BAD_REQUEST, PROXY_LOGIN, UNSATISFIABLE, SERVER_ERROR = 200, 206, 400, 407, 416, 500
"""HTTP statuses."""

REDIRECTS = 5
_CLEAN = re.compile(r"[A-Za-z0-9!#$%&'()*+,/:;=?@\[\]~._-]*")
_PLAIN = re.compile(r"(https?)://([a-z0-9][a-z0-9.-]*)(?::([1-9][0-9]{0,4}))?(/[A-Za-z0-9!$%&'()*+,/:;=?@~._-]*)")
"""Most links: they need no percent-encoding."""

_PORT_MOST = 65535
_HEAD_LIMIT = 1 << 16
_IDLE_LIMIT = 30.0
_DEFAULT_PORTS = {"http": 80, "https": 443}
_REDIRECTED = frozenset({301, 302, 303, 307, 308})
_BODILESS = frozenset({204, 304})


class ConnectionFailed(Exception):
    """The connection failed or the peer did not speak HTTP; another try may succeed."""


class Origin(NamedTuple):
    """Scheme, host and port of a URL."""

    scheme: str
    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether the host is this machine."""
        return is_loopback(self.host)

    def is_one_of(self, hosts: tuple[str, ...]) -> bool:
        """Whether these entries name the host (exactly, or as `*.example.org`); never over plain http."""
        if self.scheme != "https" and not self.loopback:
            return False
        return matches_any(self.host, hosts)

    @property
    def authority(self) -> str:
        """The value of a `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


@functools.lru_cache(maxsize=256)
def split(url: str) -> tuple[Origin, str]:
    """Split a URL into its origin and the target of a request.

    Raises:
        PermanentError: It is not an http or https URL.
    """
    plain = _PLAIN.fullmatch(url)
    if plain is not None and int(plain[3] or 0) <= _PORT_MOST:
        return Origin(plain[1], plain[2], int(plain[3] or _DEFAULT_PORTS[plain[1]])), plain[4]
    try:
        found = urlsplit(url)
        host, port = found.hostname, found.port
    except ValueError as error:
        raise PermanentError("the link is not a URL") from error
    scheme = found.scheme.lower()
    if scheme not in _DEFAULT_PORTS or not host:
        raise PermanentError("the link is not an http or https URL")
    if not host.isascii():
        try:
            host = host.encode("idna").decode()
        except UnicodeError as error:
            raise PermanentError("the link has no valid host") from error
    target = found.path or "/"
    if found.query:
        target += f"?{found.query}"
    if not _CLEAN.fullmatch(target):
        target = quote(target, safe="!#$%&'()*+,/:;=?@[]~")
    return Origin(scheme, host, port or _DEFAULT_PORTS[scheme]), target


class Connection:
    """A connection to a server or proxy, with the bytes that were read and not yet used."""

    def __init__(self, sock: socket.socket, origin: Origin, reach: Reach | None = None) -> None:
        self.sock = sock
        self.origin = origin
        self.reach = reach
        """The rule by which it was made; it is not used for an archive with another rule."""
        self.buffer = bytearray()
        self.reused = False
        self.kept_at = 0.0
        self._tls = isinstance(sock, ssl.SSLSocket)
        self._tick = 0.0
        if not self._tls:
            sock.settimeout(None)
        self.tick(TICK)

    def close(self) -> None:
        """Close the socket."""
        self.sock.close()

    def tick(self, seconds: float) -> None:
        """Set how long a read may take."""
        if seconds == self._tick:
            return
        self._tick = seconds
        if self._tls:
            self.sock.settimeout(seconds)
        else:
            # The kernel's timeout saves a poll() before every recv(), and MSG_WAITALL returns the bytes so far.
            whole, rest = divmod(seconds, 1)
            packed = struct.pack("@ll", int(whole), int(rest * 1e6))
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, packed)

    def send(self, data: bytes) -> None:
        """Send a request.

        Raises:
            ConnectionFailed: the peer closed the connection.
        """
        try:
            if self._tls:
                self.sock.settimeout(10.0)
            self.sock.sendall(data)
            if self._tls:
                self.sock.settimeout(self._tick)
        except OSError as error:
            raise ConnectionFailed(f"the connection broke ({_reason(error)})") from error

    def more(self) -> bool | None:
        """Read into the buffer: True bytes came, False the peer closed the connection, None nothing came in a tick."""
        try:
            data = self.sock.recv(_HEAD_LIMIT)
        except (BlockingIOError, TimeoutError):
            return None
        except ssl.SSLEOFError:
            return False
        except OSError as error:
            raise ConnectionFailed(f"the connection broke ({_reason(error)})") from error
        self.buffer += data
        return bool(data)

    def read_into(self, view: memoryview, flags: int = socket.MSG_WAITALL) -> int | None:
        """Fill the view as far as bytes come within a tick; 0 the peer closed the connection, None nothing came."""
        got = min(len(view), len(self.buffer))
        if got:
            view[:got] = self.buffer[:got]
            del self.buffer[:got]
            if got == len(view):
                return got
            view = view[got:]
        try:
            if self._tls:
                return got + self._fill(view)
            return got + self.sock.recv_into(view, len(view), flags)
        except (BlockingIOError, TimeoutError):
            return got or None
        except OSError as error:
            if got:
                return got
            if isinstance(error, ssl.SSLEOFError):
                return 0
            raise ConnectionFailed(f"the connection broke ({_reason(error)})") from error

    def _fill(self, view: memoryview) -> int:
        read = self.sock.recv_into
        got = read(view)
        if not got:
            return 0
        end = len(view)
        late = time.monotonic() + self._tick
        while got < end:
            try:
                count = read(view[got:])
            except (OSError, ssl.SSLError):
                # Return the bytes so far; a lasting error is raised by the next read.
                break
            if not count or time.monotonic() > late:
                got += count
                break
            got += count
        return got


def _reason(error: BaseException) -> str:
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or 'failure'}".replace("_", " ").lower().replace("tls", "TLS")
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__


class Response:
    """Status, headers (lower case) and the body of an answer."""

    def __init__(self, connection: Connection, status: int, headers: dict[str, str], *, keep: bool) -> None:
        self.connection = connection
        self.origin: Origin = connection.origin
        self.status = status
        self.headers = headers
        self.redirected = False
        """Whether another origin has answered after a redirect."""
        self.withheld = False
        """Whether the headers were not sent to that origin, because it is not trusted."""
        self._keep = keep
        self.length: int | None = None
        """Length of the body; None if the server did not state it."""
        self._left: int | None = None
        self._chunked = False
        self._chunk = 0
        self._closing = False
        self._trailer = False
        self._ended = False
        self._frame()

    def _frame(self) -> None:
        coding = self.headers.get("transfer-encoding", "").lower()
        if self.status in _BODILESS:
            self.length = self._left = 0
        elif coding:
            if coding.split(",")[-1].strip() != "chunked":
                raise ConnectionFailed("the server sent an unknown transfer coding")
            self._chunked = True
        elif (said := self.headers.get("content-length")) is not None:
            lengths = {part.strip() for part in said.split(",")}
            value = lengths.pop()
            if lengths or not (value.isascii() and value.isdigit()):
                raise ConnectionFailed("the server sent a Content-Length that is not a number")
            self.length = self._left = int(value)
        else:
            self._keep = False
        self._ended = self._left == 0

    @property
    def ended(self) -> bool:
        """Whether the body has been read to its end, and the end was not just a broken connection."""
        return self._ended

    def read_into(self, view: memoryview) -> int | None:
        """Read the next bytes of the body: 0 it has ended, None nothing came in a tick.

        Raises:
            ConnectionFailed: the connection broke, or the body ended before its time.
        """
        if self._ended:
            return 0
        if self._chunked:
            return self._read_chunked(view)
        count = self.connection.read_into(view if self._left is None else view[: self._left])
        if count is None:
            return None
        if self._left is not None:
            if not count:
                raise ConnectionFailed(f"the connection ended {self._left} bytes early")
            self._left -= count
        self._ended = not count if self._left is None else not self._left
        return count

    def _read_chunked(self, view: memoryview) -> int | None:
        got, late = 0, time.monotonic() + TICK
        while got < len(view) and not self._ended:
            if not self._chunk:
                if not self._next_chunk():
                    return got or None
                continue
            count = self.connection.read_into(view[got : got + self._chunk], 0)
            if count is None:
                return got or None
            if not count:
                raise ConnectionFailed("the connection ended in the middle of the body")
            got += count
            self._chunk -= count
            self._closing = not self._chunk
            if time.monotonic() > late:
                break
        return got

    def _next_chunk(self) -> bool:
        """Read on to the next chunk or the end of the body; False if that has not come yet."""
        while (line := self._line()) is not None:
            if self._trailer:
                self._ended = not line
            elif self._closing:
                if line:
                    raise ConnectionFailed("the server sent a chunk that is longer than stated")
                self._closing = False
                continue
            else:
                size = line.split(b";")[0].strip()
                if not size or set(size.lower()) - set(b"0123456789abcdef"):
                    raise ConnectionFailed("the server sent a chunk without a length")
                self._chunk = int(size, 16)
                self._trailer = not self._chunk
            if self._chunk or self._ended:
                return True
        return False

    def _line(self) -> bytes | None:
        buffer = self.connection.buffer
        while (end := buffer.find(b"\n")) < 0:
            if len(buffer) > _HEAD_LIMIT:
                raise ConnectionFailed("the server sent a chunk without a length")
            came = self.connection.more()
            if came is None:
                return None
            if not came:
                raise ConnectionFailed("the connection ended in the middle of the body")
        line = bytes(buffer[:end]).rstrip(b"\r")
        del buffer[: end + 1]
        return line

    def reusable(self) -> bool:
        """Whether the connection is good for another request."""
        return self._keep and self._ended and not self.connection.buffer


class Client:
    """Requests over pooled connections to any number of servers; one for all threads of a process."""

    def __init__(self) -> None:
        self._idle: dict[tuple[Origin, Reach | None], list[Connection]] = {}
        self._proxies: dict[Origin, policy.Proxy | None] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            idle, self._idle = self._idle, {}
        for connections in idle.values():
            for connection in connections:
                connection.close()

    def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        extra: Mapping[str, str],
        connect_timeout: float,
        timer: "StallTimer",
        trusted_hosts: tuple[str, ...] = (),
        reach: Reach,
    ) -> Response:
        """Request a URL, follow redirects, and return the first other answer with its body unread.

        Args:
            url: The URL.
            headers: Sent to the URL's own origin only, and over plain http to a loopback address only.
            extra: Sent to every origin.
            connect_timeout: Seconds to wait for a connection.
            timer: Checked while no bytes come.
            trusted_hosts: Hosts that get `headers` after a redirect too, under the same condition.
            reach: Which loopback and private addresses are allowed, also for redirects.

        Raises:
            PermanentError: The request is not possible: not a URL, an address that is not allowed, a certificate that
                is not trusted, a redirect to plain http.
            ConnectionFailed: The server cannot be reached, or does not speak HTTP.
        """
        origin, target = split(url)
        first = origin
        own = dict(headers) if origin.scheme == "https" or origin.loopback else {}
        for _ in range(REDIRECTS + 1):
            response = self._ask(origin, target, {**own, **extra}, connect_timeout, timer, reach)
            proxy = self._proxy(origin)
            if proxy is not None and origin.scheme == "http" and response.status == PROXY_LOGIN:
                response.connection.close()
                raise PermanentError(proxy.login_error())
            location = response.headers.get("location")
            if response.status not in _REDIRECTED or not location:
                response.redirected = origin != first
                response.withheld = response.redirected and bool(headers) and not own
                return response
            self.release(response, timer)
            try:
                url = urljoin(f"{origin}{target}", location)
            except ValueError as error:
                raise PermanentError(f"{origin} redirects to an invalid URL") from error
            following, target = split(url)
            if origin.scheme == "https" and following.scheme == "http":
                raise PermanentError(f"{origin} redirects to plain http, which is not followed")
            if following != origin and not following.is_one_of(trusted_hosts):
                own = {}
            origin = following
        raise PermanentError(f"{first} redirects more than {REDIRECTS} times")

    def _ask(
        self,
        origin: Origin,
        target: str,
        headers: Mapping[str, str],
        connect_timeout: float,
        timer: "StallTimer",
        reach: Reach,
    ) -> Response:
        proxy = self._proxy(origin)
        through = proxy is not None and origin.scheme == "http"
        if through:
            target = f"{origin}{target}"
        lines = [
            f"GET {target} HTTP/1.1",
            f"Host: {origin.authority}",
            f"User-Agent: sedas-sync/{__version__}",
            "Accept: */*",
            "Accept-Encoding: identity",
        ]
        if proxy is not None and through and proxy.authorization:
            lines.append(f"Proxy-Authorization: {proxy.authorization}")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        request = "\r\n".join([*lines, "", ""])
        if request.count("\n") != len(lines) + 1 or request.count("\r") != len(lines) + 1:
            raise PermanentError("a header has a line break")
        data = request.encode("latin-1", "replace")
        while True:
            connection = self._take(origin, reach) or self._connect(origin, proxy, connect_timeout, timer, reach)
            try:
                connection.send(data)
                return _answer(connection, timer)
            except ConnectionFailed:
                connection.close()
                if not connection.reused or connection.buffer:
                    raise
                # The server closed an idle connection: that says nothing about the request.
            except BaseException:
                connection.close()
                raise

    def release(self, response: Response, timer: "StallTimer | None" = None) -> None:
        """Return the connection to the pool if the answer was read to its end; close it otherwise.

        With `timer`, a short rest of the body is read first.
        """
        if timer is not None and response.length is not None and response.length <= _HEAD_LIMIT:
            try:
                read_all(response, _HEAD_LIMIT, timer)
            except ConnectionFailed:
                response.connection.close()
                return
        connection = response.connection
        if not response.reusable():
            connection.close()
            return
        connection.reused = True
        connection.tick(TICK)
        connection.kept_at = time.monotonic()
        with self._lock:
            self._idle.setdefault((response.origin, connection.reach), []).append(connection)

    def _take(self, origin: Origin, reach: Reach) -> Connection | None:
        stale = []
        try:
            with self._lock:
                kept = self._idle.get((origin, reach))
                while kept:
                    connection = kept.pop()
                    if time.monotonic() - connection.kept_at < _IDLE_LIMIT:
                        return connection
                    stale.append(connection)
            return None
        finally:
            for connection in stale:
                connection.close()

    def _connect(
        self, origin: Origin, proxy: policy.Proxy | None, timeout: float, timer: "StallTimer", reach: Reach
    ) -> Connection:
        try:
            if proxy is None:
                sock = policy.connect(origin.host, origin.port, timeout, reach)
            else:
                policy.check_url(str(origin), reach)
                sock = policy.connect(proxy.host, proxy.port, timeout, None)
        except OSError as error:
            reason = _reason(error)
            if proxy is not None:
                raise ConnectionFailed(proxy.connect_error(error, reason)) from error
            raise ConnectionFailed(f"{origin} cannot be reached ({reason})") from error
        try:
            if origin.scheme == "https":
                if proxy is not None:
                    _tunnel(sock, origin, proxy, timer)
                    sock.settimeout(timeout)
                sock = _secure(sock, origin)
            return Connection(sock, origin, reach)
        except BaseException:
            sock.close()
            raise

    def _proxy(self, origin: Origin) -> policy.Proxy | None:
        if origin not in self._proxies:
            self._proxies[origin] = policy.proxy_for(str(origin))
        return self._proxies[origin]


def _secure(sock: socket.socket, origin: Origin) -> ssl.SSLSocket:
    try:
        return certificates.tls_context().wrap_socket(sock, server_hostname=origin.host)
    except ssl.SSLCertVerificationError as error:
        raise PermanentError(certificates.untrusted(str(origin), error)) from error
    except OSError as error:
        raise ConnectionFailed(f"{origin} cannot be reached ({_reason(error)})") from error


def _tunnel(sock: socket.socket, origin: Origin, proxy: policy.Proxy, timer: "StallTimer") -> None:
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    lines = [
        f"CONNECT {host}:{origin.port} HTTP/1.1",
        f"Host: {host}:{origin.port}",
        f"User-Agent: sedas-sync/{__version__}",
    ]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    connection = Connection(sock, origin)
    connection.send("\r\n".join([*lines, "", ""]).encode())
    status, _, _ = _head(connection, timer)
    if status == PROXY_LOGIN:
        raise PermanentError(proxy.login_error())
    if status // 100 != OK // 100:
        raise ConnectionFailed(f"{proxy} does not reach {origin} (HTTP {status})")


class StallTimer:
    """Ends a wait for bytes: after so many seconds without one, or when the run stops."""

    def __init__(self, seconds: float, stop: threading.Event) -> None:
        self._seconds = seconds
        self._stop = stop
        self._since = time.monotonic()

    def reset(self) -> None:
        """Start again, because bytes came."""
        self._since = time.monotonic()

    def check(self) -> None:
        """Raise if the wait has been too long; called when no bytes came.

        Raises:
            ConnectionFailed: No byte has come for too long.
            InterruptedError: The run stops.
        """
        if self._stop.is_set():
            raise InterruptedError
        if time.monotonic() - self._since > self._seconds:
            raise ConnectionFailed(f"the server sent nothing for {self._seconds:g} s")


def _answer(connection: Connection, timer: StallTimer) -> Response:
    while True:
        status, headers, keep = _head(connection, timer)
        if status >= OK:
            return Response(connection, status, headers, keep=keep)


def _head(connection: Connection, timer: StallTimer) -> tuple[int, dict[str, str], bool]:
    """Read status line and headers."""
    timer.reset()
    buffer = connection.buffer
    while (end := buffer.find(b"\r\n\r\n")) < 0:
        if len(buffer) > _HEAD_LIMIT:
            raise ConnectionFailed("the server sent headers without an end")
        came = connection.more()
        if came is None:
            timer.check()
        elif came:
            timer.reset()
        else:
            raise ConnectionFailed("the server closed the connection without an answer")
    first, *lines = bytes(buffer[:end]).decode("latin-1").split("\r\n")
    del buffer[: end + 4]
    version, _, rest = first.partition(" ")
    if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
        raise ConnectionFailed("the server does not speak HTTP/1.1")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        name = name.lower()
        value = value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    connections = headers.get("connection", "").lower()
    keep = "close" not in connections if version != "HTTP/1.0" else "keep-alive" in connections
    return int(rest[:3]), headers, keep


def read_all(response: Response, limit: int, timer: StallTimer) -> bytes:
    """Read a body, at most `limit` bytes of it.

    Raises:
        ConnectionFailed: the connection broke.
    """
    view = memoryview(bytearray(limit))
    got = 0
    timer.reset()
    while got < limit and not response.ended:
        count = response.read_into(view[got:])
        if count is None:
            timer.check()
            continue
        timer.reset()
        got += count
    return bytes(view[:got])
