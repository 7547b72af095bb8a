"""urllib3's pools, with connections that obey a stop and lead only to allowed addresses.

Four things are added to urllib3's connections: all interim answers are skipped, and not too many of them; bytes that
were decrypted and not read make a kept connection unusable, as bytes in the kernel do; so does an answer with two
lengths; and a kept connection that the server has closed meanwhile is told apart from one that breaks.
"""

import http.client
import socket
import ssl
import threading
from typing import Any, cast

import urllib3
import urllib3.connection
import urllib3.connectionpool
import urllib3.exceptions

from sedas_sync.files.extras import load_extra
from sedas_sync.model.scene import Reach
from sedas_sync.net import policy, sockets

_INTERIM = 20
"""Interim answers (1xx) to one request, after which no final one is awaited."""


class KeptConnectionClosed(ConnectionError):
    """The server closed a kept connection before it answered the next request on it."""


class _Response(http.client.HTTPResponse):
    """An answer without the interim answers before it; the base class skips those with status 100 only."""

    def _read_status(self) -> tuple[str, int, str]:
        for _ in range(_INTERIM):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if status // 100 != 1:
                return version, status, reason
            http.client.parse_headers(self.fp)
        raise http.client.HTTPException(f"more than {_INTERIM} interim answers")


class _Connection(urllib3.connection.HTTPConnection):
    response_class = _Response
    _answered = False
    _ambiguous = False

    @property
    def is_connected(self) -> bool:
        """Whether it can be used again: it is open, and the server has sent nothing since the last answer."""
        if self._ambiguous or not super().is_connected:
            return False
        return not (isinstance(self.sock, ssl.SSLSocket) and self.sock.pending())

    def connect(self) -> None:
        """Connect."""
        self._answered = self._ambiguous = False
        super().connect()

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]  # as in urllib3
        """Read the head of an answer."""
        try:
            response = super().getresponse()
        except ConnectionError as error:
            if self._answered:
                raise KeptConnectionClosed("the server closed the connection") from error
            raise
        self._answered = True
        # Such an answer may be the work of somebody who smuggles another one in (RFC 9112, section 6.1).
        self._ambiguous = "transfer-encoding" in response.headers and "content-length" in response.headers
        return response

    @property
    def _seconds(self) -> float | None:
        return self.timeout if isinstance(self.timeout, int | float) else None


def manager(proxy: policy.Proxy | None, reach: Reach | None, stop: threading.Event, **options: Any) -> Any:
    """Return a pool manager.

    Args:
        proxy: The proxy; None for direct connections.
        reach: Which addresses are allowed; all if it is None. That of a proxy is the user's choice and always allowed.
        stop: Ends every wait with `RequestStopped`.
        options: For each pool.
    """
    if proxy is not None and proxy.is_socks:
        return _socks_manager(proxy, stop, options)
    if proxy is None:
        made = urllib3.PoolManager(**options)
    else:
        headers = dict(proxy.headers)
        made, reach = urllib3.ProxyManager(proxy.url, proxy_headers=headers, **options), None

    class Connection(_Connection):
        def _new_conn(self) -> socket.socket:
            try:
                sock = policy.connect(self.host, self.port or self.default_port, self._seconds, reach, stop)
            except socket.gaierror as error:
                raise urllib3.exceptions.NameResolutionError(self.host, self, error) from error
            except TimeoutError as error:
                raise urllib3.exceptions.ConnectTimeoutError(self, str(error)) from error
            except OSError as error:
                raise urllib3.exceptions.NewConnectionError(self, str(error)) from error
            sock.settimeout(self._seconds)
            return sock

    class SecureConnection(Connection, urllib3.connection.HTTPSConnection):
        pass

    _set_classes(made, Connection, SecureConnection)
    return made


def _socks_manager(proxy: policy.Proxy, stop: threading.Event, options: dict[str, Any]) -> urllib3.PoolManager:
    socks = load_extra("urllib3.contrib.socks", "socks", str(proxy), policy.PermanentError)

    class SocksConnection(_Connection, socks.SOCKSConnection):  # type: ignore[name-defined, misc]
        def _new_conn(self) -> socket.socket:
            made = sockets.call_stoppable(super()._new_conn, self._seconds, stop)
            sock = sockets.StoppableSocket.adopt(made, stop)
            sock.settimeout(self._seconds)
            return sock

    class SecureSocksConnection(SocksConnection, socks.SOCKSHTTPSConnection):  # type: ignore[name-defined, misc]
        pass

    made: urllib3.PoolManager = socks.SOCKSProxyManager(proxy.url, **options)
    _set_classes(made, SocksConnection, SecureSocksConnection)
    return made


def _set_classes(made: urllib3.PoolManager, plain: type, secure: type) -> None:
    class PlainPool(urllib3.HTTPConnectionPool):
        ConnectionCls = plain

    class SecurePool(urllib3.HTTPSConnectionPool):
        ConnectionCls = secure

    made.pool_classes_by_scheme = cast("Any", {"http": PlainPool, "https": SecurePool})
