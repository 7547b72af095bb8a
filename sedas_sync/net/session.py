"""Talking HTTP to an archive's API: connections, timeouts, retries, errors in words, and what may be shown of them.

Owns the one `requests` session an archive uses for its API, the policy of what is tried again and when, the mapping of
foreign exceptions to this package's, and the redaction of everything that may reach a log or a message.

The policy, once for all callers:

=====================================================  ===========  ==========================
what happened                                          repeat=True  repeat=False (an order)
=====================================================  ===========  ==========================
no connection was made (name, refused, timed out)      again        again
the connection broke, or the answer stalled            again        error: it may have arrived
status 500, 502, 504                                   again        error: it may have arrived
status 503                                             again        again, but not with a Retry-After
status 429                                             again        error with `retry_after`
TLS failed, a redirect, any other status               no           no
=====================================================  ===========  ==========================

Redirects are never followed, and netrc is never read by `requests` (it would replace the token). Proxies, addresses
that may be asked and certificate authorities are those of `sedas_sync.net.policy`.
"""

import json
import logging
import os
import random
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn
from urllib.parse import quote, urlencode, urlsplit

import msgspec
import requests
import requests.adapters
import urllib3.connection
import urllib3.connectionpool
import urllib3.exceptions

from sedas_sync._version import __version__
from sedas_sync.errors import ArchiveError
from sedas_sync.model.scene import Reach
from sedas_sync.net import policy

_log = logging.getLogger(__name__)

USER_AGENT = f"sedas-sync/{__version__}"
"""Sent with every request: the service turns away the default agents of HTTP libraries (sedas_pyapi history, 0.4.2)."""

BACKOFF_FIRST = 1.0
BACKOFF_MOST = 60.0
LONGEST_WAIT = 300.0
"""Seconds. A server that asks for more patience than this in Retry-After gets an error reported, not a wait."""

MAX_ANSWER = 1 << 30
"""Bytes of one API answer after decompression; 1 GiB is some 700,000 products. More is an error, not memory."""

MAX_ANSWER_SECONDS = 900.0
"""Seconds one answer may take to arrive, however steadily it drips."""

_CHUNK = 1 << 18
_SHOWN = 300
_RETRIED = frozenset({429, 500, 502, 503, 504})
_RETRIED_ORDER = frozenset({503})
_NOT_FOUND, _PROXY_LOGIN, _TOO_MANY, _UNAVAILABLE = 404, 407, 429, 503


# --------------------------------------------------------------------------------------------------------------------
# Redaction


_MASK = "***"
_NAMES_OF_SECRETS = (
    r"(?:authorization|proxy-authorization|cookie|set-cookie|x-api-key|password|passwd|pwd|secret|token|access_token"
    r"|refresh_token|id_token|api_?key|apikey|sig|signature|x-amz-signature|x-amz-credential|x-amz-security-token)"
)
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # scheme://user:password@host and scheme://token@host
    (re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*://)[^\s/?#@'\"<>:]*:[^\s'\"<>]*@"), rf"\1{_MASK}@"),
    (re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*://)[^\s/?#@'\"<>]+@"), rf"\1{_MASK}@"),
    # "password": "…" and 'token': '…', also where the text was cut before the closing quote, also with escaped quotes
    (
        re.compile(rf"(?i)(\\?[\"']{_NAMES_OF_SECRETS}\\?[\"']\s*[:=,]\s*b?)\\?\"(?:[^\"\\]|\\.)*(?:\"|\\?$)"),
        rf'\1"{_MASK}"',
    ),
    (re.compile(rf"(?i)([\"']{_NAMES_OF_SECRETS}[\"']\s*[:=,]\s*b?)'(?:[^'\\]|\\.)*(?:'|\\?$)"), rf"\1'{_MASK}'"),
    # header lines as they stand on the wire
    (re.compile(r"(?im)\b((?:proxy-)?authorization|(?:set-)?cookie)(\s*[:=]\s*)(?![\"'])[^\r\n\"']+"), rf"\1\2{_MASK}"),
    # the value of a header that stands by itself
    (re.compile(r"\b(Token|Bearer|Basic|Digest)(\s+)[A-Za-z0-9._~+/=:-]{8,}"), rf"\1\2{_MASK}"),
    # query strings and forms
    (re.compile(rf"(?i)(\b{_NAMES_OF_SECRETS}=)(?!\*\*\*)[^&\s\"'<>;,)\]}}]+"), rf"\1{_MASK}"),
)
_SHORTEST_SECRET = 8
_secrets: set[str] = set()
_secrets_lock = threading.Lock()


def remember_secret(secret: str) -> None:
    """Mask this text wherever `redact` meets it, in plain, percent-encoded and JSON form.

    Texts of fewer than 8 characters are not remembered, since masking them would mangle ordinary words; the patterns
    of `redact` still cover the places where they usually stand.
    """
    if len(secret) < _SHORTEST_SECRET:
        return
    forms = {secret, quote(secret), quote(secret, safe=""), json.dumps(secret)[1:-1], repr(secret)[1:-1]}
    with _secrets_lock:
        _secrets.update(forms)


def redact(text: str) -> str:
    """Return `text` without tokens, passwords, Authorization values, `user:password@` and secrets in query strings."""
    with _secrets_lock:
        known = sorted((secret for secret in _secrets if secret in text), key=len, reverse=True)
    for secret in known:
        text = text.replace(secret, _MASK)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def shorten(text: str, limit: int = _SHOWN) -> str:
    """Make a server's text fit to be shown: redacted, on one line, without control characters, at most `limit` long."""
    text = redact(text[: limit * 40])
    text = "".join(char if char.isprintable() else " " for char in text)
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


class RedactingFormatter(logging.Formatter):
    """A formatter whose every line, tracebacks included, has been through `redact`."""

    def format(self, record: logging.LogRecord) -> str:
        """Format as the base class does, then mask."""
        return redact(super().format(record))


class RedactingFilter(logging.Filter):
    """A filter for handlers whose formatter is not ours: masks message and traceback of the record itself.

    Hang it on handlers: a filter on a logger does not see what its children log.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask the record in place; never drops it."""
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = f"{record.msg} {record.args}"
        record.msg, record.args = redact(message), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        return True


# --------------------------------------------------------------------------------------------------------------------
# Where to, and through what


setting = policy.setting


class _Adapter(requests.adapters.HTTPAdapter):
    """Connects as `sedas_sync.net.policy` says, with its certificate authorities."""

    def __init__(self, reach: Reach | None, environ: Mapping[str, str], connections: int) -> None:
        self._reach = reach
        self._environ = environ
        super().__init__(pool_connections=4, pool_maxsize=connections, max_retries=0)

    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        """Make the pools of connections that go straight to a server."""
        super().init_poolmanager(*args, **more)
        self.poolmanager.pool_classes_by_scheme = _pools(self._reach)

    def cert_verify(self, conn: Any, url: str, verify: bool | str, cert: Any) -> None:  # noqa: ARG002  # of `requests`
        """Give a pool what it trusts, before its first connection."""
        if url.lower().startswith("https:"):
            conn.conn_kw["ssl_context"] = policy.tls_context(self._environ)


def _pools(reach: Reach | None) -> dict[str, type[urllib3.connectionpool.HTTPConnectionPool]]:
    class Plain(urllib3.connection.HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _connected(self, reach)

    class Secure(urllib3.connection.HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _connected(self, reach)

    class PlainPool(urllib3.connectionpool.HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(urllib3.connectionpool.HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def _connected(connection: urllib3.connection.HTTPConnection, reach: Reach | None) -> socket.socket:
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
    """One that never looks where a redirect leads: even unfollowed, an address that cannot be read would raise."""

    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002 - the signature of `requests`
        return None


class Session:
    """Sends what it is told and nothing else, with a pool for so many threads. It never retries by itself.

    It does not read netrc, which would replace an Authorization header.

    Args:
        connections: Connections kept open, so about the number of threads.
        reach: Which loopback and private addresses may be asked; all where it is None.
        environ: Where proxies and certificate authorities are named.
    """

    def __init__(
        self, *, connections: int = 16, reach: Reach | None = None, environ: Mapping[str, str] = os.environ
    ) -> None:
        self._session = _new_session(connections, reach, environ)
        self._reach = reach
        self._environ = environ
        self._proxies: dict[tuple[str, str], policy.Proxy | None] = {}

    def close(self) -> None:
        """Let go of the connections."""
        self._session.close()

    def proxy(self, url: str) -> policy.Proxy | None:
        """The proxy that a URL is asked through.

        Raises:
            Refused: the environment names none that can be used.
        """
        parts = urlsplit(url)
        where = (parts.scheme, parts.netloc)
        if where not in self._proxies:
            self._proxies[where] = policy.proxy_for(url, self._environ)
        return self._proxies[where]

    def ask(
        self, method: str, url: str, *, headers: Mapping[str, str], timeout: tuple[float, float], data: bytes = b""
    ) -> requests.Response:
        """Send one request; the answer's body is still to be read.

        Raises:
            Refused: it may not be sent, or the proxy refuses it.
            RequestException: there was no answer.
        """
        proxy = self.proxy(url)
        if proxy is not None and self._reach is not None:
            policy.check_link(url, self._reach)
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
        if proxy is not None and response.status_code == _PROXY_LOGIN:
            response.close()
            raise policy.PermanentError(proxy.wants_login())
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
# Errors in words


def _chain(error: BaseException) -> list[BaseException]:
    """List an exception with everything it wraps: arguments, reasons, causes."""
    found: list[BaseException] = []
    queue: list[Any] = [error]
    while queue:
        item = queue.pop(0)
        if isinstance(item, BaseException) and not any(item is other for other in found):
            found.append(item)
            queue += [*item.args, getattr(item, "reason", None), item.__cause__, item.__context__]
    return found


def never_arrived(error: BaseException) -> bool:
    """Whether no connection was made, so that the server cannot have acted on the request."""
    return any(
        isinstance(item, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ConnectTimeoutError)
        for item in _chain(error)
    )


def explain(error: BaseException, url: str, proxy: policy.Proxy | None = None) -> str:
    """Say in one sentence what went wrong with a request to `url`, and what a person can do about it."""
    host = urlsplit(url).netloc.rpartition("@")[2]
    chain = _chain(error)

    def one_of(*kinds: type[BaseException]) -> BaseException | None:
        return next((item for item in chain if isinstance(item, kinds)), None)

    if proxy is not None and (one_of(requests.exceptions.ProxyError) or never_arrived(error)):
        return _of_proxy(chain, host, proxy)
    untrusted = one_of(ssl.SSLCertVerificationError)
    if isinstance(untrusted, ssl.SSLCertVerificationError):
        return policy.untrusted(host, untrusted)
    if one_of(requests.exceptions.SSLError, urllib3.exceptions.SSLError):
        return f"the TLS connection to {host} failed: {_innermost(chain)}"
    if one_of(urllib3.exceptions.NameResolutionError):
        return f"the host {host} is not found: check the address and the network"
    if one_of(ConnectionRefusedError):
        return f"{host} refused the connection: is the address right, and the service running?"
    if one_of(requests.exceptions.ConnectTimeout, urllib3.exceptions.ConnectTimeoutError):
        return f"{host} did not accept a connection in time: check the network, or raise [transfer] connect_timeout"
    if one_of(requests.exceptions.ReadTimeout, urllib3.exceptions.ReadTimeoutError, TimeoutError):
        return f"{host} stopped answering: try again later, or raise [transfer] stall_timeout"
    if isinstance(error, requests.exceptions.ContentDecodingError):
        return f"the answer of {host} cannot be decompressed"
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
        return f"{shorten(url)!r} is not an address that can be asked"
    if isinstance(error, requests.exceptions.ChunkedEncodingError | requests.exceptions.ConnectionError):
        return f"the connection to {host} broke ({_innermost(chain)})"
    return f"{host} could not be asked ({_innermost(chain)})"


def _of_proxy(chain: list[BaseException], host: str, proxy: policy.Proxy) -> str:
    """Say why a proxy did not lead to a host."""
    answered = next(
        (found for item in chain if (found := re.search(r"^Tunnel connection failed: (\d+)", str(item)))), None
    )
    if answered is not None:
        status = int(answered[1])
        return proxy.wants_login() if status == _PROXY_LOGIN else f"{proxy} does not reach {host} (HTTP {status})"
    unknown = next((item for item in chain if isinstance(item, socket.gaierror)), None)
    return proxy.unreachable(unknown or chain[0], _innermost(chain))


def _innermost(chain: list[BaseException]) -> str:
    """Return the words of the deepest exception that has any of its own."""
    for item in reversed(chain):
        words = getattr(item, "strerror", None) or (str(item) if not isinstance(item, KeyError) else "")
        if words:
            return shorten(re.sub(r"^<[^>]*>:?\s*|\(_ssl\.c:\d+\)", "", str(words)).strip(), 160)
    return type(chain[0]).__name__


def _stated(body: bytes) -> str | None:
    """Return what an error body says: `errorMessage` of the API's JSON, a short plain text, or the title of a page."""
    text = body[:65536].decode("utf-8", "replace").strip()
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
        return f"a page titled {title[1].strip()!r}" if title and title[1].strip() else "a page instead of an answer"
    return text


def _loads(body: bytes) -> Any:
    """Read JSON quickly; what is not quite JSON (a byte order mark, NaN, other encodings) the tolerant way."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return json.loads(body)


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer, whatever its status."""

    status: int
    url: str
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)

    @property
    def ok(self) -> bool:
        """Whether the status is in the two hundreds."""
        return 200 <= self.status < 300  # noqa: PLR2004 - the definition of success in HTTP

    @property
    def date(self) -> datetime | None:
        """The server's own clock when it answered."""
        return http_date(self.headers.get("Date"))

    @property
    def retry_after(self) -> float | None:
        """Seconds the server asked to wait, counted from its own clock where it gave a date."""
        value = (self.headers.get("Retry-After") or "").strip()
        if re.fullmatch(r"\d{1,9}(\.\d+)?", value):
            return float(value)
        until = http_date(value)
        if until is None:
            return None
        return max(0.0, (until - (self.date or datetime.now(UTC))).total_seconds())

    def says(self, text: str) -> bool:
        """Whether the body holds this text, in any case."""
        return text.lower().encode() in self.body[:65536].lower()

    def json(self, what: str) -> Any:
        """Return the body as JSON.

        Args:
            what: The question, for the message, e.g. `"a search"`.

        Raises:
            ArchiveError: it is none.
        """
        try:
            return _loads(self.body)
        except (ValueError, RecursionError):
            shown = shorten(_stated(self.body) or "nothing at all", 160)
            raise ArchiveError(f"the archive answered {what} with something that is not JSON: {shown}") from None

    def error(self, what: str) -> ArchiveError:
        """Turn a status that is no success into an error that says what was asked and what the server replied."""
        stated = _stated(self.body)
        words = f": {shorten(stated)}" if stated else ""
        if 300 <= self.status < 400:  # noqa: PLR2004 - the redirects of HTTP
            target = shorten(self.headers.get("Location", "nowhere"), 120)
            words = f": it redirects to {target}, which is not followed; is the archive's url right?"
        elif self.status == _NOT_FOUND and self.body.lstrip()[:1] == b"<":
            words += "; is the archive's url right?"
        return ArchiveError(
            f"the archive answered {what} with status {self.status}{words}",
            status=self.status,
            retryable=self.status in _RETRIED,
            retry_after=self.retry_after,
        )


def http_date(value: str | None) -> datetime | None:
    """Read a date as HTTP headers write it; None for anything else."""
    if not value:
        return None
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


# --------------------------------------------------------------------------------------------------------------------
# Asking


class StoppedError(ArchiveError):
    """The caller asked to stop while a request was waiting for its next try."""


def backoff(attempt: int, chance: float, first: float = BACKOFF_FIRST, most: float = BACKOFF_MOST) -> float:
    """Seconds to wait after the failed try number `attempt` (from 0): doubling, between half and all of the step.

    Args:
        attempt: How many tries have failed before this one.
        chance: A random number in [0, 1), which spreads out clients that failed together.
        first: The first step, in seconds.
        most: The longest step, in seconds.
    """
    step = min(most, first * 2.0 ** min(attempt, 32))
    return step * (0.5 + 0.5 * chance)


class Api:
    """A pool of connections to one archive's API, with the retry policy of this module. Safe in many threads.

    Args:
        retries: Further tries after the first.
        connect_timeout: Seconds for a connection to be made.
        stall_timeout: Seconds without a byte before an answer is given up.
        connections: Connections kept open, so about the number of threads.
        max_answer: Bytes of the longest answer that is read.
        environ: Where proxies and certificate authorities are named.
        reach: Which loopback and private addresses may be asked; all where it is None.
        sleep: Waits so many seconds; the default wakes up early on `stop`.
        clock: Seconds on a clock that never goes back.
        chance: Random numbers in [0, 1).
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
        self._stopping = threading.Event()
        self._sleep = sleep or self._stopping.wait
        self._clock = clock
        self._chance = chance
        self._session = Session(connections=connections, reach=reach, environ=environ)
        self._dated: tuple[datetime, float] | None = None

    @property
    def server_time(self) -> datetime | None:
        """What the server's clock shows now, as far as the dates of its answers tell; None where none had a date."""
        if self._dated is None:
            return None
        stated, heard = self._dated
        return stated + timedelta(seconds=self._clock() - heard)

    def _hear(self, reply: Reply) -> None:
        """Take in the date of an answer; one from a cache is as old as it says, or older than the newest heard."""
        age = reply.headers.get("Age") or "0"
        stated, known = reply.date, self.server_time
        try:
            stated = stated and stated.astimezone(UTC) + timedelta(seconds=int(age) if age.isdecimal() else 0)
        except (OverflowError, ValueError):
            return
        if stated is not None and (known is None or stated > known):
            self._dated = stated, self._clock()

    def stop(self) -> None:
        """Make every request end with `StoppedError` instead of waiting for another try; callable in any thread."""
        self._stopping.set()

    def close(self) -> None:
        """Stop, and let go of the connections."""
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
        """Ask, and try again what is worth it; return the answer whatever its status.

        Args:
            method: `GET` or `POST`.
            url: Where to; redirects are returned, not followed.
            json: Sent as the JSON body where it is not None.
            form: Sent instead, as a web form.
            headers: Sent besides the session's own.
            repeat: Whether the request may be sent again when it is not known if the server acted on it.
            final: Says of an answer with a status worth another try that it is the answer all the same.

        Raises:
            ArchiveError: there was no answer, or none of a bearable length; `retryable` where a later try may do
                better.
        """
        sent = dict(headers or {})
        if form is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        elif json is not None or method == "POST":
            sent["Content-Type"] = "application/json"
        body = urlencode(form).encode() if form is not None else b"" if json is None else _encode(json)
        retried = _RETRIED if repeat else _RETRIED_ORDER
        for attempt in range(self._retries + 1):
            if self._stopping.is_set():
                raise StoppedError("stopped before the archive was asked")
            last = attempt == self._retries
            try:
                reply = self._once(method, url, body, sent)
            except policy.PermanentError as error:
                raise ArchiveError(str(error)) from None
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                if last or not _worth_another_try(error, repeat=repeat):
                    self._give_up(error, url, repeat=repeat)
                self._pause(attempt, None, f"{method} {shorten(url)}: {explain(error, url, self._session.proxy(url))}")
                continue
            settled = reply.status not in retried or (final is not None and final(reply))
            wait = reply.retry_after
            held_up = wait is not None and (not repeat or wait > LONGEST_WAIT)
            if settled or last or held_up:
                return reply
            self._pause(attempt, wait, f"{method} {shorten(url)}: status {reply.status}")
        raise AssertionError("unreachable: the last try returns or raises")

    def _give_up(self, error: BaseException, url: str, *, repeat: bool) -> NoReturn:
        doubt = "" if repeat or never_arrived(error) else "; whether the request was carried out is not known"
        retryable = repeat and _worth_another_try(error, repeat=True)
        told = explain(error, url, self._session.proxy(url))
        raise ArchiveError(told + doubt, retryable=retryable) from None

    def _pause(self, attempt: int, asked: float | None, why: str) -> None:
        delay = backoff(attempt, self._chance())
        if asked is not None:
            delay = max(asked, delay if asked == 0 else 0.0)
        _log.info("%s; again in %.1f s", why, delay)
        self._sleep(delay)
        if self._stopping.is_set():
            raise StoppedError("stopped while waiting to ask the archive again")

    def _once(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        begun = self._clock()
        with self._session.ask(method, url, headers=headers, timeout=self._timeout, data=body) as response:
            content = self._read(response, begun)
            _log.debug("%s %s: %d, %d bytes", method, shorten(url), response.status_code, len(content))
            reply = Reply(response.status_code, url, content, response.headers)
        self._hear(reply)
        return reply

    def _read(self, response: requests.Response, begun: float) -> bytes:
        pieces: list[bytes] = []
        length = 0
        for piece in response.iter_content(_CHUNK):
            pieces.append(piece)
            length += len(piece)
            if length > self._max_answer:
                raise ArchiveError(f"the archive's answer is longer than {self._max_answer} bytes")
            if self._clock() - begun > MAX_ANSWER_SECONDS:
                raise ArchiveError(f"the archive's answer took more than {MAX_ANSWER_SECONDS:.0f} s", retryable=True)
        return b"".join(pieces)


def _encode(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _worth_another_try(error: BaseException, *, repeat: bool) -> bool:
    hopeless = (
        requests.exceptions.SSLError,
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidSchema,
        requests.exceptions.MissingSchema,
        requests.exceptions.InvalidHeader,
    )
    if isinstance(error, hopeless):
        return False
    if isinstance(error, OSError) and not isinstance(error, requests.RequestException):
        return False  # sockets' own errors come wrapped
    return repeat or never_arrived(error)
