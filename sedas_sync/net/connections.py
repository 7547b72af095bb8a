"""Requests over kept connections, to an archive's API and for downloads, by one policy.

urllib3 speaks HTTP. This module adds the rules: which addresses are allowed and which proxy is used (`policy`), which
authorities are trusted (`certificates`), that every wait ends after a stop (`sockets`), and which host sees a secret
after a redirect. Neither netrc nor any other file is read, and nothing is retried.
"""

import functools
import os
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urljoin, urlsplit

import urllib3
import urllib3.exceptions
from urllib3.util import Retry, Timeout

from sedas_sync._version import __version__
from sedas_sync.model.hosts import matches_any
from sedas_sync.model.scene import Reach
from sedas_sync.net import certificates, policy, pools, sockets
from sedas_sync.net.explain import PROXY_LOGIN, FailureKind, chain_of, explain
from sedas_sync.net.policy import PORTS, Origin, PermanentError
from sedas_sync.net.redact import shorten

USER_AGENT = f"sedas-sync/{__version__}"
"""Sent with every request: the service rejects the default agents of HTTP libraries (sedas_pyapi history, 0.4.2)."""

OK, PARTIAL, BAD_REQUEST, UNSATISFIABLE, SERVER_ERROR = 200, 206, 400, 416, 500
"""HTTP statuses."""

REDIRECTS = 5
_REDIRECTED = frozenset({301, 302, 303, 307, 308})
_KEPT = 64
"""Connections to one host that are kept open; more than any run has jobs."""
_DRAINED = 1 << 16
"""Bytes of a body that are read to keep its connection."""

_CLEAN = re.compile(r"[A-Za-z0-9!#$%&'()*+,/:;=?@\[\]~._-]*")
_HOST = re.compile(r"[a-z0-9._~:%-]+")
"""Names and addresses, with the zone of an IPv6 address. urllib3 refuses other characters with an error of its own."""
_PLAIN = re.compile(r"(https?)://([a-z0-9][a-z0-9.-]*)(?::([1-9][0-9]{0,4}))?(/[A-Za-z0-9!$%&'()*+,/:;=?@~._-]*)")
"""Most links: they need no percent-encoding."""
_PORT_MOST = 65535
_CREDENTIALS = frozenset({"authorization", "cookie"})
_NO_RETRIES = Retry.from_int(False)
_FAILURES = (urllib3.exceptions.HTTPError, OSError, sockets.RequestStopped)


class ConnectionFailed(Exception):
    """No connection was made, it broke, or the peer did not speak HTTP; another try may succeed.

    `unsent`: no connection was made, so that the server cannot have acted on the request.
    """

    def __init__(self, text: str, *, unsent: bool = False) -> None:
        super().__init__(text)
        self.unsent = unsent


class Timeouts(NamedTuple):
    """How long to wait, in seconds."""

    connect: float
    """For a connection."""
    stall: float
    """For the next byte."""


@functools.lru_cache(maxsize=256)
def split(url: str) -> tuple[Origin, str]:
    """Split a URL into its origin and the target of a request.

    Raises:
        PermanentError: It is not an http or https URL.
    """
    plain = _PLAIN.fullmatch(url)
    if plain is not None and int(plain[3] or 0) <= _PORT_MOST:
        return Origin(plain[1], plain[2], int(plain[3] or PORTS[plain[1]])), plain[4]
    try:
        found = urlsplit(url)
        host, port, scheme = found.hostname or "", found.port, found.scheme.lower()
        host = host if host.isascii() else host.encode("idna").decode()
    except ValueError:
        found, host, port, scheme = urlsplit(""), "", None, ""
    if scheme not in PORTS or not _HOST.fullmatch(host):
        raise PermanentError(f"{shorten(url)!r} is not a valid http or https URL")
    target = found.path or "/"
    if found.query:
        target += f"?{found.query}"
    if not _CLEAN.fullmatch(target):
        target = quote(target, safe="!#$%&'()*+,/:;=?@[]~", errors="replace")
    return Origin(scheme, host, port or PORTS[scheme]), target


def _redirected(url: str, location: str) -> tuple[str, Origin]:
    """Return the URL and the origin to which a URL redirects.

    Raises:
        PermanentError: The redirect is not followed.
    """
    origin = split(url)[0]
    try:
        url = urljoin(url, location)
        following = split(url)[0]
    except (ValueError, PermanentError) as error:
        raise PermanentError(f"{origin} redirects to an invalid URL, not an http or https one") from error
    if origin.scheme == "https" and following.scheme == "http":
        raise PermanentError(f"{origin} redirects to plain http, which is not followed")
    return url, following


def _cookie_header(cookies: Mapping[str, str] | None) -> dict[str, str]:
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())} if cookies else {}


class Answer:
    """Status, headers and body of an answer."""

    def __init__(
        self,
        response: urllib3.BaseHTTPResponse,
        origin: Origin,
        failed: Callable[[BaseException], Exception],
        *,
        decode: bool = False,
    ) -> None:
        self._response = response
        self._failed = failed
        self.origin = origin
        self.status: int = response.status
        self.headers: Mapping[str, str] = response.headers
        self.redirected = False
        """Whether another origin has answered after a redirect."""
        self.withheld = False
        """Whether the headers were not sent to that origin, because it is not trusted."""
        self.length: int | None = getattr(response, "length_remaining", None)
        """Length of the body as it is sent; None if the server did not state it."""
        self.ended = False
        """Whether the body has been read to its end, and the end was not just a broken connection."""
        self._left = None if decode else self.length
        self._check_framing()

    def _check_framing(self) -> None:
        """Check that the headers say where the body ends.

        Raises:
            ConnectionFailed: They do not.
        """
        coding = self.headers.get("transfer-encoding", "").strip().lower()
        problem = None
        if coding not in ("", "chunked"):
            problem = f"an unknown transfer coding: {shorten(coding, 40)}"
        elif not coding and self.length is None and "content-length" in self.headers:
            problem = "a Content-Length that is not a number"
        if problem is not None:
            self.close()
            raise ConnectionFailed(f"the server sent {problem}")

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies that it sets, without their attributes."""
        pairs = (line.partition(";")[0].partition("=") for line in self._response.headers.getlist("set-cookie"))
        return {name.strip(): value.strip() for name, mark, value in pairs if mark and name.strip()}

    def read(self, most: int) -> bytes:
        """Read the next bytes of the body as soon as there are any; none at its end.

        Raises:
            ConnectionFailed: The connection broke, or the body ended before its time.
            InterruptedError: The stop event was set.
        """
        if self.ended:
            return b""
        try:
            data = self._response.read1(most)
        except _FAILURES as error:
            raise self._failed(error) from error
        if self._left is not None:
            self._left -= len(data)
        self.ended = not data or self._left == 0
        return data

    def read_all(self, limit: int) -> bytes:
        """Read the body, at most `limit` bytes of it.

        Raises:
            ConnectionFailed: The connection broke.
            InterruptedError: The stop event was set.
        """
        pieces, left = [], limit
        while left > 0 and (data := self.read(left)):
            pieces.append(data)
            left -= len(data)
        return b"".join(pieces)

    def release(self) -> None:
        """Keep the connection for the next request if the body was read to its end; close it otherwise."""
        if self.ended:
            self._response.release_conn()
        else:
            self.close()

    def drain(self) -> None:
        """Read a short rest of the body, and release the connection."""
        if not self.ended and self._left is not None and self._left <= _DRAINED:
            try:
                self.read_all(_DRAINED)
            except ConnectionFailed:
                self.close()
                return
        self.release()

    def shut_down(self) -> None:
        """Make `read` in another thread end soon."""
        try:
            self._response.shutdown()
        except (OSError, RuntimeError, ValueError):
            return

    def close(self) -> None:
        """Close the connection."""
        self._response.close()


class Connections:
    """Connections to any number of servers, kept for the next request. Safe for threads.

    Args:
        stop: Ends every request with `InterruptedError` within a fraction of a second.
        environ: The variables that name proxies and certificate authorities.
    """

    def __init__(self, *, stop: threading.Event | None = None, environ: Mapping[str, str] = os.environ) -> None:
        self._stop = stop or threading.Event()
        self._environ = environ
        self._pools: dict[tuple[int, Origin, Reach | None], tuple[Any, policy.Proxy | None]] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the kept connections."""
        with self._lock:
            pools, self._pools = self._pools, {}
        for pool, _ in pools.values():
            pool.close()

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        timeouts: Timeouts,
        reach: Reach | None = None,
        body: bytes | None = None,
        decode: bool = False,
    ) -> Answer:
        """Send one request and return the answer with its body unread. Redirects are not followed.

        Args:
            method: `GET`, `HEAD` or `POST`.
            url: The URL.
            headers: Sent as they are; credentials only if nobody can read them on the way.
            timeouts: After these the request has failed.
            reach: Which loopback and private addresses are allowed; all if it is None.
            body: The request's body.
            decode: Whether to decompress the answer's body.

        Raises:
            PermanentError: The request is not allowed, or a retry does not help.
            ConnectionFailed: There was no answer.
            InterruptedError: The stop event was set.
        """
        origin, target = split(url)
        pool, proxy = self._pool(origin, reach)
        if not origin.may_carry_secret:
            headers = {name: value for name, value in headers.items() if name.lower() not in _CREDENTIALS}
        if proxy is not None and not proxy.is_socks and origin.scheme == "http":
            target = f"{origin}{target}"
        try:
            response = pool.urlopen(
                method,
                target,
                body=body,
                headers=headers,
                retries=_NO_RETRIES,
                redirect=False,
                assert_same_host=False,
                timeout=Timeout(connect=timeouts.connect, read=timeouts.stall),
                preload_content=False,
                decode_content=decode,
            )
        except _FAILURES as error:
            raise self._failure(url, proxy, error) from error
        except ValueError:
            # The message quotes the header, which may be a secret.
            raise PermanentError("a header has a line break or another character that is not allowed") from None
        if response.status == PROXY_LOGIN and proxy is not None:
            response.close()
            raise PermanentError(proxy.login_error())
        return Answer(response, origin, functools.partial(self._failure, url, proxy, reading=True), decode=decode)

    def get_file(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        extra: Mapping[str, str],
        timeouts: Timeouts,
        trusted_hosts: tuple[str, ...] = (),
        reach: Reach,
    ) -> Answer:
        """Request a URL, follow redirects, and return the first other answer with its body unread.

        A cookie that an origin sets on the way goes back to that origin only, and only on this way: the login of NASA's
        Earthdata leads to a file by setting one.

        Args:
            url: The URL.
            headers: Sent to the URL's own origin only, and only if nobody can read them on the way.
            extra: Sent to every origin.
            timeouts: See `request`.
            trusted_hosts: Hosts that get `headers` after a redirect too, under the same condition.
            reach: Which loopback and private addresses are allowed, also for redirects.

        Raises:
            PermanentError: The request is not allowed, also: a redirect to plain http.
            ConnectionFailed: There was no answer.
            InterruptedError: The stop event was set.
        """
        first = origin = split(url)[0]
        every = {"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity", **extra}
        own = headers if origin.may_carry_secret else {}
        cookies: dict[Origin, dict[str, str]] = {}
        for _ in range(REDIRECTS + 1):
            answer = self._get_again(
                url,
                headers={**every, **own, **_cookie_header(cookies.get(origin))},
                timeouts=timeouts,
                reach=reach,
            )
            location = answer.headers.get("location") if answer.status in _REDIRECTED else None
            if not location:
                answer.redirected = origin != first
                answer.withheld = answer.redirected and bool(headers) and not own
                return answer
            if origin.may_carry_secret:
                cookies.setdefault(origin, {}).update(answer.cookies)
            answer.drain()
            url, following = _redirected(url, location)
            if following != origin and not (following.may_carry_secret and matches_any(following.host, trusted_hosts)):
                own = {}
            origin = following
        raise PermanentError(f"{first} redirects more than {REDIRECTS} times")

    def _get_again(self, url: str, **arguments: Any) -> Answer:
        """Send a GET request, again if the server closed a kept connection: that says nothing about the request."""
        while True:
            try:
                return self.request("GET", url, **arguments)
            except ConnectionFailed as error:
                if not any(isinstance(item, pools.KeptConnectionClosed) for item in chain_of(error)):
                    raise

    def _pool(self, origin: Origin, reach: Reach | None) -> tuple[Any, policy.Proxy | None]:
        """Return the connections to an origin by a rule, and the proxy on the way."""
        # Not those of the parent after a fork: two processes must not use one connection.
        key = os.getpid(), origin, reach
        found = self._pools.get(key)
        if found is not None:
            return found
        proxy = policy.proxy_for(str(origin), self._environ)
        if proxy is not None and reach is not None:
            policy.check_url(str(origin), reach)
        with self._lock:
            if key not in self._pools:
                secure = {"ssl_context": certificates.tls_context(self._environ)} if origin.scheme == "https" else {}
                manager = pools.manager(proxy, reach, self._stop, maxsize=_KEPT)
                pool = manager.connection_from_host(origin.host, origin.port, origin.scheme, pool_kwargs=secure)
                self._pools[key] = pool, proxy
            return self._pools[key]

    def _failure(
        self, url: str, proxy: policy.Proxy | None, error: BaseException, *, reading: bool = False
    ) -> Exception:
        """Return what to raise for a failed request."""
        if self._stop.is_set():
            return InterruptedError("stopped")
        text, kind = explain(error, url, proxy)
        if kind is FailureKind.PERMANENT and not reading:
            return PermanentError(text)
        return ConnectionFailed(text, unsent=kind is FailureKind.UNSENT and not reading)
