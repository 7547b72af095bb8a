"""Requests to an archive's API: connections, timeouts, retries and answers.

The retry policy, for all callers:

=====================================================  ===========  ==========================
failure                                                repeat=True  repeat=False (an order)
=====================================================  ===========  ==========================
no connection was made (name, refused, timeout)        retry        retry
the connection broke, or the answer stalled            retry        error: it may have arrived
status 500, 502, 504                                   retry        error: it may have arrived
status 503                                             retry        retry without Retry-After
status 429                                             retry        error with `retry_after`
TLS failed, a redirect, any other status               error        error
=====================================================  ===========  ==========================

Redirects are never followed, and `requests` never reads netrc (it would replace the token). Proxies and allowed
addresses are those of `sedas_sync.net.policy`, trusted authorities those of `sedas_sync.net.certificates`.
"""

import json
import logging
import os
import random
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn
from urllib.parse import urlencode, urlsplit

import msgspec
import requests
import requests.adapters
import urllib3.connection
import urllib3.connectionpool
import urllib3.exceptions

from sedas_sync._version import __version__
from sedas_sync.errors import ArchiveError, StoppedError
from sedas_sync.model.scene import Reach
from sedas_sync.net import certificates, policy
from sedas_sync.net.explain import PROXY_LOGIN, explain, never_connected
from sedas_sync.net.redact import shorten
from sedas_sync.net.retry import backoff, http_date, retry_after

_log = logging.getLogger(__name__)

USER_AGENT = f"sedas-sync/{__version__}"
"""Sent with every request: the service rejects the default agents of HTTP libraries (sedas_pyapi history, 0.4.2)."""

LONGEST_WAIT = 300.0
"""Seconds. If Retry-After asks for a longer pause, the answer is returned at once."""

MAX_ANSWER = 1 << 30
"""Bytes of one answer after decompression; 1 GiB is about 700,000 scenes. A longer one is an error."""

MAX_ANSWER_SECONDS = 900.0
"""Seconds that one answer may take to arrive, even if bytes keep coming."""

_CHUNK = 1 << 18
_BODY_SEARCHED = 1 << 16
_RETRIED = frozenset({429, 500, 502, 503, 504})
_RETRIED_ORDER = frozenset({503})
_NOT_FOUND = 404


class _Adapter(requests.adapters.HTTPAdapter):
    """Connects by the rules of `policy` and `certificates`."""

    def __init__(self, reach: Reach | None, environ: Mapping[str, str], connections: int) -> None:
        self._reach = reach
        self._environ = environ
        super().__init__(pool_connections=4, pool_maxsize=connections, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Create the pools of direct connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _pool_classes(self._reach)

    def cert_verify(self, conn: Any, url: str, verify: bool | str, cert: Any) -> None:  # noqa: ARG002  # of `requests`
        """Set what a pool trusts, before its first connection."""
        if url.lower().startswith("https:"):
            conn.conn_kw["ssl_context"] = certificates.tls_context(self._environ)


def _pool_classes(reach: Reach | None) -> dict[str, type[urllib3.connectionpool.HTTPConnectionPool]]:
    class Plain(urllib3.connection.HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _connect(self, reach)

    class Secure(urllib3.connection.HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _connect(self, reach)

    class PlainPool(urllib3.connectionpool.HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(urllib3.connectionpool.HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def _connect(connection: urllib3.connection.HTTPConnection, reach: Reach | None) -> socket.socket:
    timeout = connection.timeout if isinstance(connection.timeout, int | float) else None
    try:
        return policy.connect(connection.host, connection.port or connection.default_port, timeout, reach)
    except socket.gaierror as error:
        raise urllib3.exceptions.NameResolutionError(connection.host, connection, error) from error
    except TimeoutError as error:
        raise urllib3.exceptions.ConnectTimeoutError(connection, f"no connection in {timeout:g} s") from error
    except OSError as error:
        raise urllib3.exceptions.NewConnectionError(connection, str(error)) from error


class _Session(requests.Session):
    """Never reads the target of a redirect: an invalid one would raise even if it is not followed."""

    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002  # the signature of `requests`
        return None


class Session:
    """A pool of connections that sends requests as they are, without netrc and without retries.

    Args:
        connections: Connections kept open; about the number of threads.
        reach: Which loopback and private addresses are allowed; all if it is None.
        environ: The variables that name proxies and certificate authorities.
    """

    def __init__(
        self, *, connections: int = 16, reach: Reach | None = None, environ: Mapping[str, str] = os.environ
    ) -> None:
        self._session = _new_session(connections, reach, environ)
        self._reach = reach
        self._environ = environ
        self._proxies: dict[tuple[str, str], policy.Proxy | None] = {}

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def proxy(self, url: str) -> policy.Proxy | None:
        """Return the proxy for a URL, if any.

        Raises:
            PermanentError: The environment names a proxy that cannot be used.
        """
        parts = urlsplit(url)
        origin = (parts.scheme, parts.netloc)
        if origin not in self._proxies:
            self._proxies[origin] = policy.proxy_for(url, self._environ)
        return self._proxies[origin]

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str], timeout: tuple[float, float], data: bytes = b""
    ) -> requests.Response:
        """Send one request and return the answer with its body unread.

        Raises:
            PermanentError: The request is not allowed, or the proxy refuses it.
            RequestException: There was no answer.
        """
        proxy = self.proxy(url)
        if proxy is not None and self._reach is not None:
            policy.check_url(url, self._reach)
        response = self._session.request(
            method,
            url,
            data=data,
            headers=policy.safe_headers(url, headers),
            proxies={} if proxy is None else {urlsplit(url).scheme: proxy.url},
            timeout=timeout,
            allow_redirects=False,
            stream=True,
        )
        if proxy is not None and response.status_code == PROXY_LOGIN:
            response.close()
            raise policy.PermanentError(proxy.login_error())
        return response


def _new_session(connections: int, reach: Reach | None, environ: Mapping[str, str]) -> requests.Session:
    session = _Session()
    session.trust_env = False
    session.headers.clear()
    session.headers.update({"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "gzip, deflate"})
    adapter = _Adapter(reach, environ, connections)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


# --------------------------------------------------------------------------------------------------------------------
# Answers


def _error_message(body: bytes) -> str | None:
    """Return the message of an error: `errorMessage` of the API's JSON, a plain text, or the title of a page."""
    text = body[:_BODY_SEARCHED].decode("utf-8", "replace").strip()
    if not text:
        return None
    if text[0] in "{[":
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            return text
        if isinstance(answer, dict):
            named = next((answer[key] for key in ("errorMessage", "message", "error") if answer.get(key)), None)
            return str(named) if named is not None else text
        return text
    if text[0] == "<":
        title = re.search(r"(?is)<title[^>]*>(.*?)</title>", text)
        return f"a page titled {title[1].strip()!r}" if title and title[1].strip() else "a web page"
    return text


def _loads(body: bytes) -> Any:
    """Decode JSON: fast, or tolerantly if it has a byte order mark, NaN or another encoding."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return json.loads(body)


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer with any status."""

    status: int
    url: str
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300  # noqa: PLR2004  # success in HTTP

    @property
    def date(self) -> datetime | None:
        """The server's clock when it answered."""
        return http_date(self.headers.get("Date"))

    @property
    def retry_after(self) -> float | None:
        """Seconds that the server asks to wait; None if it does not ask."""
        return retry_after(self.headers.get("Retry-After"), self.headers.get("Date"))

    def says(self, text: str) -> bool:
        """Whether the body contains this text, ignoring case."""
        return text.lower().encode() in self.body[:_BODY_SEARCHED].lower()

    def json(self, what: str) -> Any:
        """Decode the body as JSON.

        Args:
            what: The request, for the error message, e.g. `"a search"`.

        Raises:
            ArchiveError: The body is not JSON.
        """
        try:
            return _loads(self.body)
        except (ValueError, RecursionError):
            shown = shorten(_error_message(self.body) or "nothing", 160)
            raise ArchiveError(f"the archive answered {what} with something that is not JSON: {shown}") from None

    def error(self, what: str) -> ArchiveError:
        """Return an error that names the request, the status and the server's message."""
        message = _error_message(self.body)
        details = f": {shorten(message)}" if message else ""
        if 300 <= self.status < 400:  # noqa: PLR2004  # redirects in HTTP
            target = shorten(self.headers.get("Location", "nowhere"), 120)
            details = f": it redirects to {target}, which is not followed; is the archive's url right?"
        elif self.status == _NOT_FOUND and self.body.lstrip()[:1] == b"<":
            details += "; is the archive's url right?"
        return ArchiveError(
            f"the archive answered {what} with status {self.status}{details}",
            status=self.status,
            retryable=self.status in _RETRIED,
            retry_after=self.retry_after,
        )


# --------------------------------------------------------------------------------------------------------------------
# Requests with retries


class Api:
    """Requests to one archive's API, with the retry policy of this module. Safe for threads.

    Args:
        retries: Attempts after the first.
        connect_timeout: Seconds to wait for a connection.
        stall_timeout: Seconds without a byte after which an answer has failed.
        connections: Connections kept open; about the number of threads.
        max_answer: Bytes of the longest answer that is read.
        environ: The variables that name proxies and certificate authorities.
        reach: Which loopback and private addresses are allowed; all if it is None.
        sleep: Waits so many seconds; the default wakes up early on `stop` and `interrupt`.
        clock: A monotonic clock, in seconds.
        chance: Returns random numbers in [0, 1).
    """

    def __init__(
        self,
        *,
        retries: int = 5,
        connect_timeout: float = 10.0,
        stall_timeout: float = 60.0,
        connections: int = 16,
        max_answer: int = MAX_ANSWER,
        environ: Mapping[str, str] = os.environ,
        reach: Reach | None = None,
        sleep: Callable[[float], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._retries = retries
        self._timeout = (connect_timeout, stall_timeout)
        self._max_answer = max_answer
        self._stopped = False
        self._interrupted = threading.Event()
        """Ends the requests that are under way; each `interrupt` replaces it."""
        self._sleep = sleep
        self._clock = clock
        self._chance = chance
        self._session = Session(connections=connections, reach=reach, environ=environ)
        self._server_date: tuple[datetime, float] | None = None

    @property
    def server_time(self) -> datetime | None:
        """The server's present time by the dates of its answers; None if no answer had a date."""
        if self._server_date is None:
            return None
        date, received = self._server_date
        return date + timedelta(seconds=self._clock() - received)

    def _read_clock(self, reply: Reply) -> None:
        """Remember the newest date of the server. The answer of a cache is older by its `Age`."""
        age = reply.headers.get("Age") or "0"
        date, known = reply.date, self.server_time
        try:
            date = date and date.astimezone(UTC) + timedelta(seconds=int(age) if age.isdecimal() else 0)
        except (OverflowError, ValueError):
            return
        if date is not None and (known is None or date > known):
            self._server_date = date, self._clock()

    def stop(self) -> None:
        """Make every request that waits for a retry, and every later one, end with `StoppedError`.

        May be called from any thread, or a signal handler.
        """
        self._stopped = True
        self._interrupted.set()

    def interrupt(self) -> None:
        """Make every request that waits for a retry end with `StoppedError`; later requests are sent."""
        interrupted, self._interrupted = self._interrupted, threading.Event()
        interrupted.set()

    @property
    def stopped(self) -> bool:
        """Whether `stop` or `close` was called."""
        return self._stopped

    def close(self) -> None:
        """Stop, and close the connections."""
        self.stop()
        self._session.close()

    def send(
        self,
        method: str,
        url: str,
        *,
        json: object = None,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        repeat: bool = True,
        final: Callable[[Reply], bool] | None = None,
    ) -> Reply:
        """Send a request, retry it by the policy, and return the answer with any status.

        Args:
            method: `GET` or `POST`.
            url: The URL; a redirect is returned, not followed.
            json: The JSON body; None for no body.
            form: A web form to send instead.
            headers: Headers besides those of the session.
            repeat: Whether the request may be sent again if it is unknown whether the server acted on it.
            final: Whether an answer with a status that is usually retried is final.

        Raises:
            ArchiveError: There was no answer, or it is too long; `retryable` if a later attempt may succeed.
        """
        body, content_type = _encode(json, form)
        sent = dict(headers or {})
        if content_type is not None or method == "POST":
            sent["Content-Type"] = content_type or "application/json"
        retried = _RETRIED if repeat else _RETRIED_ORDER
        interrupted = self._interrupted
        for attempt in range(self._retries + 1):
            if self._stopped or interrupted.is_set():
                raise StoppedError("stopped before the archive was asked")
            last = attempt == self._retries
            try:
                reply = self._send_once(method, url, body, sent)
            except policy.PermanentError as error:
                raise ArchiveError(str(error)) from None
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                if last or not _may_retry(error, repeat=repeat):
                    self._raise(error, url, repeat=repeat)
                reason = explain(error, url, self._session.proxy(url))
                self._pause(attempt, None, f"{method} {shorten(url)}: {reason}", interrupted)
                continue
            settled = reply.status not in retried or (final is not None and final(reply))
            wait = reply.retry_after
            too_long = wait is not None and (not repeat or wait > LONGEST_WAIT)
            if settled or last or too_long:
                return reply
            self._pause(attempt, wait, f"{method} {shorten(url)}: status {reply.status}", interrupted)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _raise(self, error: BaseException, url: str, *, repeat: bool) -> NoReturn:
        doubt = "" if repeat or never_connected(error) else "; whether the request was carried out is not known"
        retryable = repeat and _may_retry(error, repeat=True)
        raise ArchiveError(explain(error, url, self._session.proxy(url)) + doubt, retryable=retryable) from None

    def _pause(self, attempt: int, requested: float | None, reason: str, interrupted: threading.Event) -> None:
        delay = backoff(attempt, self._chance())
        if requested is not None:
            delay = max(requested, delay if requested == 0 else 0.0)
        _log.info("%s; retry in %.1f s", reason, delay)
        (self._sleep or interrupted.wait)(delay)
        if self._stopped or interrupted.is_set():
            raise StoppedError("stopped while waiting to ask the archive again")

    def _send_once(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        started = self._clock()
        with self._session.request(method, url, headers=headers, timeout=self._timeout, data=body) as response:
            content = self._read(response, started)
            _log.debug("%s %s: %d, %d bytes", method, shorten(url), response.status_code, len(content))
            reply = Reply(response.status_code, url, content, response.headers)
        self._read_clock(reply)
        return reply

    def _read(self, response: requests.Response, started: float) -> bytes:
        pieces: list[bytes] = []
        length = 0
        for piece in response.iter_content(_CHUNK):
            pieces.append(piece)
            length += len(piece)
            if length > self._max_answer:
                raise ArchiveError(f"the archive's answer is longer than {self._max_answer} bytes")
            if self._clock() - started > MAX_ANSWER_SECONDS:
                raise ArchiveError(f"the archive's answer took more than {MAX_ANSWER_SECONDS:.0f} s", retryable=True)
        return b"".join(pieces)


def _encode(value: object, form: Mapping[str, str] | None) -> tuple[bytes, str | None]:
    """Return a body and its type; the type is None without a body."""
    if form is not None:
        return urlencode(form).encode(), "application/x-www-form-urlencoded"
    if value is None:
        return b"", None
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode(), "application/json"


def _may_retry(error: BaseException, *, repeat: bool) -> bool:
    permanent = (
        requests.exceptions.SSLError,
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidSchema,
        requests.exceptions.MissingSchema,
        requests.exceptions.InvalidHeader,
    )
    if isinstance(error, permanent):
        return False
    if isinstance(error, OSError) and not isinstance(error, requests.RequestException):
        return False  # `requests` wraps the errors of sockets
    return repeat or never_connected(error)
