"""Sockets on which no wait outlasts a stop: while connecting, in a TLS handshake, while sending and reading.

The kernel waits no longer than a tick. After each one the socket checks the stop event, and its own timeout.
"""

import math
import os
import select
import selectors
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, TypeVar, cast

from sedas_sync.files.threads import call_aside

TICK = 0.1
"""Seconds between two checks of the stop event."""

_BUFFER = 1 << 16

_NEXT_ADDRESS = 0.25
"""Seconds after which the next address of a host is tried too (RFC 8305, section 5)."""

Result = TypeVar("Result")


class RequestStopped(Exception):
    """The stop event was set. No `OSError`, so that no library takes it for a failure of the connection."""


class StoppableSocket(socket.socket):
    """A connected socket. Its timeout is that of one wait for bytes.

    For the kernel it never blocks. So a read that finds bytes is one system call, and only one that finds none waits.
    """

    stop: threading.Event = threading.Event()
    """Ends a wait. Never set until `adopt` or a context sets another one: `ssl` may read while it makes the socket."""
    _seconds: float | None = None

    @classmethod
    def adopt(cls, sock: socket.socket, stop: threading.Event) -> "StoppableSocket":
        """Return the same connection as a stoppable socket."""
        adopted = cls(sock.family, sock.type, sock.proto, sock.detach())
        adopted.stop = stop
        return adopted

    def settimeout(self, value: float | None) -> None:
        """Set how long one wait may take, in seconds; None for no limit."""
        self._seconds = value
        if super().gettimeout() != 0:
            super().settimeout(0)

    def gettimeout(self) -> float | None:
        """Return how long one wait may take."""
        return self._seconds

    def makefile(self, mode: Any = "r", buffering: Any = _BUFFER, **kwargs: Any) -> Any:
        """Return a file of the connection. Its buffer takes the head of an answer and a small body at once."""
        return super().makefile(mode, buffering, **kwargs)

    def recv(self, *args: Any) -> bytes:
        """Read at least one byte; none if the peer closed the connection."""
        return self._in_ticks(select.POLLIN, super().recv, *args)

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        """Read at least one byte; 0 if the peer closed the connection."""
        return self._in_ticks(select.POLLIN, super().recv_into, *args, **kwargs)

    def send(self, *args: Any) -> int:
        """Send at least one byte."""
        return self._in_ticks(select.POLLOUT, super().send, *args)

    def sendall(self, data: Any, *args: Any) -> None:
        """Send everything."""
        with memoryview(data) as whole, whole.cast("B") as view:
            sent = 0
            while sent < len(view):
                sent += self.send(view[sent:], *args)

    def _in_ticks(self, event: int, call: Callable[..., Result], *args: Any, **kwargs: Any) -> Result:
        """Make a call that does not block; repeat it after each wait for the event that it needs."""
        late: float | None = None
        while True:
            if self.stop.is_set():
                raise RequestStopped
            try:
                return call(*args, **kwargs)
            except BlockingIOError:
                wanted = event
            except ssl.SSLWantReadError:
                # TLS may have to read before it can write, and the other way round.
                wanted = select.POLLIN
            except ssl.SSLWantWriteError:
                wanted = select.POLLOUT
            now = time.monotonic()
            late = late or now + (math.inf if self._seconds is None else self._seconds)
            if now >= late:
                raise TimeoutError("timed out")
            waiting = select.poll()
            waiting.register(self, wanted)
            waiting.poll(1000 * min(TICK, late - now))


class StoppableTlsSocket(StoppableSocket, ssl.SSLSocket):
    """The same with TLS. A verification error carries the issuer of the certificate."""

    def recv_into(self, buffer: Any, nbytes: int | None = None, _flags: int = 0) -> int:
        """Read at least one byte, and as many records as have arrived.

        TLS gives one record at a time, at most 16 KB. A large file has so many that what is done after each read would
        cost several times as much as TLS itself.
        """
        read = cast("Callable[[int, memoryview], int]", super().read)
        with memoryview(buffer) as view:
            size = nbytes or len(view)
            try:
                done = self._in_ticks(select.POLLIN, read, size, view)
                # If no more has arrived, or the connection broke, the next read shows it.
                with suppress(OSError):
                    while 0 < done < size and (more := read(size - done, view[done:])):
                        done += more
            except ValueError as error:
                raise ConnectionAbortedError("the connection was shut down") from error
            return done

    def do_handshake(self, block: bool = False) -> None:
        """Shake hands."""
        try:
            self._in_ticks(select.POLLIN, super().do_handshake, block)
        except ssl.SSLCertVerificationError as error:
            error.issuer = _issuer(self)  # type: ignore[attr-defined]
            raise


class StoppableContext(ssl.SSLContext):
    """Settings of TLS for stoppable sockets."""

    sslsocket_class = StoppableTlsSocket

    def wrap_socket(self, sock: socket.socket, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        """Return a TLS connection over a stoppable socket."""
        stop = sock.stop if isinstance(sock, StoppableSocket) else threading.Event()
        secure = super().wrap_socket(sock, *args, **{**kwargs, "do_handshake_on_connect": False})
        try:
            if isinstance(secure, StoppableTlsSocket):
                secure.stop = stop
            secure.do_handshake()
        except BaseException:
            secure.close()
            raise
        return secure


def _issuer(sock: ssl.SSLSocket) -> str | None:
    """Return the issuer of the server's certificate; None if this Python cannot read an untrusted one."""
    try:
        chain = getattr(sock, "_sslobj").get_unverified_chain()  # noqa: B009  # public from Python 3.13 on, as bytes
        issuer = dict(pair for group in chain[0].get_info()["issuer"] for pair in group)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, ssl.SSLError):
        return None
    named = issuer.get("commonName") or issuer.get("organizationName")
    return "".join(char for char in named if char.isprintable())[:80] if named else None


def connect(addresses: Iterable[tuple[Any, ...]], seconds: float | None, stop: threading.Event) -> StoppableSocket:
    """Connect to the first address that answers; the next one is tried before the last one has failed.

    Args:
        addresses: What `socket.getaddrinfo` returns.
        seconds: Time for all of them; None for no limit.
        stop: Ends the wait.

    Raises:
        RequestStopped: `stop` was set.
        OSError: None of them answers.
    """
    waiting = deque(addresses)
    late = time.monotonic() + (math.inf if seconds is None else seconds)
    failure: OSError | None = None
    following = 0.0
    with selectors.DefaultSelector() as trying:
        try:
            while waiting or trying.get_map():
                now = time.monotonic()
                if stop.is_set():
                    raise RequestStopped
                if now >= late:
                    raise TimeoutError(f"no connection in {seconds:g} s")
                if waiting and (now >= following or not trying.get_map()):
                    following = now + _NEXT_ADDRESS
                    try:
                        trying.register(_begin(*waiting.popleft()), selectors.EVENT_WRITE)
                    except OSError as error:
                        failure = error
                    continue
                for key, _ in trying.select(min(TICK, late - now)):
                    sock = trying.unregister(key.fileobj).fileobj
                    if not isinstance(sock, StoppableSocket):
                        raise TypeError(sock)
                    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    if not code:
                        sock.stop = stop
                        return sock
                    sock.close()
                    failure = OSError(code, os.strerror(code))
        finally:
            for key in list(trying.get_map().values()):
                if isinstance(key.fileobj, socket.socket):
                    key.fileobj.close()
    raise failure or OSError("the name has no address")


def _begin(family: int, kind: int, protocol: int, _name: str, address: Any) -> StoppableSocket:
    """Begin to connect."""
    sock = StoppableSocket(family, kind, protocol)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(BlockingIOError):
            sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock


def call_stoppable(call: Callable[[], Result], seconds: float | None, stop: threading.Event) -> Result:
    """Run a call of a library that cannot be interrupted in a thread, and leave it behind after a stop.

    Args:
        call: The call; it ends by itself sooner or later.
        seconds: Time that it may take; None for no limit.
        stop: Ends the wait.

    Raises:
        RequestStopped: `stop` was set.
        TimeoutError: It took too long.
        MemoryError, RuntimeError: The system has no room for another thread.
    """
    future = call_aside(call)
    late = time.monotonic() + (math.inf if seconds is None else seconds)
    while True:
        try:
            return future.result(TICK)
        except TimeoutError:
            if future.done() or time.monotonic() > late:
                raise
        if stop.is_set():
            raise RequestStopped
