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

Redirects are never followed. Everything else about a connection is in `sedas_sync.net.connections`.
"""

import json
import os
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any, TypeVar

import msgspec
import requests

from sedas_sync.errors import ArchiveError, StoppedError
from sedas_sync.model.scene import Reach
from sedas_sync.model.text import bucket_error
from sedas_sync.net import sockets
from sedas_sync.net.connections import USER_AGENT, Answer, ConnectionFailed, Connections, Timeouts
from sedas_sync.net.policy import PermanentError
from sedas_sync.net.redact import logger_of, shorten
from sedas_sync.net.retry import backoff, http_date, retry_after

_log = logger_of(__name__)
Result = TypeVar("Result")

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
_HEADERS = {"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "gzip, deflate"}


# --------------------------------------------------------------------------------------------------------------------
# Answers


def _error_message(body: bytes) -> str | None:
    """Return the message of an error: `errorMessage` of the API's JSON, a plain text, a bucket's, or a page's title."""
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
    if (error := bucket_error(text)) is not None:
        return error
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
        max_answer: int = MAX_ANSWER,
        environ: Mapping[str, str] = os.environ,
        reach: Reach | None = None,
        sleep: Callable[[float], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._retries = retries
        self._timeouts = Timeouts(connect_timeout, stall_timeout)
        self._max_answer = max_answer
        self._stop = threading.Event()
        self._sleep = sleep
        self._clock = clock
        self._chance = chance
        self._environ = environ
        self._under_way = self._new_event()
        """Ends the requests that are under way, with their connections; each `interrupt` replaces it."""
        # Not ended by `stop`: an order that was sent may have been placed, and its answer has its number.
        self._order_connections = Connections(environ=environ)
        self._reach = reach
        self._server_date: tuple[datetime, float] | None = None
        self._lock = threading.Lock()
        self.calls: Counter[str] = Counter()
        """Requests that were sent so far, repetitions included, by kind."""
        self._retrying: dict[int, str] = {}
        """By thread, the try and the reason of a request that is being sent again."""

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
        """Make every request that is under way, and every later one, end with `StoppedError`.

        A request that must not be repeated still gets its answer once it is sent. May be called from any thread, or a
        signal handler.
        """
        self._stop.set()
        self._under_way[0].set()

    def interrupt(self) -> None:
        """End the requests that `stop` ends; later requests are sent."""
        (interrupted, connections), self._under_way = self._under_way, self._new_event()
        interrupted.set()
        connections.close()

    def _new_event(self) -> tuple[threading.Event, Connections]:
        event = threading.Event()
        return event, Connections(stop=event, environ=self._environ)

    @property
    def retrying(self) -> str:
        """Which try of a request is under way and why, such as `try 3 of 6: status 503`; empty if none is repeated."""
        return next(iter(tuple(self._retrying.values())), "")

    @property
    def stopped(self) -> bool:
        """Whether `stop` or `close` was called."""
        return self._stop.is_set()

    def close(self) -> None:
        """Stop, and close the connections."""
        self.stop()
        self._under_way[1].close()
        self._order_connections.close()

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
        kind: str = "other",
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
            kind: What the request is counted as in `calls`: `login`, `search`, `look_up`, `order`, `poll` or `other`.

        Raises:
            ArchiveError: There was no answer, or it is too long; `retryable` if a later attempt may succeed.
            StoppedError: `stop` or `interrupt` was called.
        """
        prepared = _prepared(method, url, json, form, headers or {})
        try:
            return self._send(prepared, repeat=repeat, final=final, kind=kind)
        finally:
            self._retrying.pop(threading.get_ident(), None)

    def run(self, call: Callable[[], Result], seconds: float) -> Result:
        """Run a call of a library that cannot be interrupted; it is left behind after `stop` or `interrupt`.

        Args:
            call: The call; it ends by itself sooner or later.
            seconds: Time that it may take.

        Raises:
            StoppedError: `stop` or `interrupt` was called.
            TimeoutError: It took too long.
        """
        interrupted = self._under_way[0]
        try:
            if not self._stop.is_set():
                return sockets.call_stoppable(call, seconds, interrupted)
        except sockets.RequestStopped:
            pass
        raise StoppedError("stopped before the archive was asked")

    def _send(
        self, prepared: requests.PreparedRequest, *, repeat: bool, final: Callable[[Reply], bool] | None, kind: str
    ) -> Reply:
        asked = f"{prepared.method} {shorten(str(prepared.url))}"
        retried = _RETRIED if repeat else _RETRIED_ORDER
        interrupted, connections = self._under_way
        if not repeat:
            connections = self._order_connections
        for attempt in range(self._retries + 1):
            if self._stop.is_set() or interrupted.is_set():
                raise StoppedError("stopped before the archive was asked")
            last = attempt == self._retries
            with self._lock:
                self.calls[kind] += 1
            try:
                reply = self._send_once(connections, prepared)
            except InterruptedError:
                raise StoppedError("stopped before the archive answered") from None
            except PermanentError as error:
                raise ArchiveError(str(error)) from None
            except ConnectionFailed as error:
                may_retry = repeat or error.unsent
                if last or not may_retry:
                    doubt = "" if may_retry else "; whether the request was carried out is not known"
                    raise ArchiveError(f"{error}{doubt}", retryable=repeat) from None
                self._pause(attempt, None, asked, str(error), interrupted)
                continue
            settled = reply.status not in retried or (final is not None and final(reply))
            wait = reply.retry_after
            too_long = wait is not None and (not repeat or wait > LONGEST_WAIT)
            if settled or last or too_long:
                return reply
            self._pause(attempt, wait, asked, f"status {reply.status}", interrupted)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _pause(
        self, attempt: int, requested: float | None, asked: str, reason: str, interrupted: threading.Event
    ) -> None:
        delay = backoff(attempt, self._chance())
        if requested is not None:
            delay = max(requested, delay if requested == 0 else 0.0)
        _log.warning("%s: %s; retry in %.1f s", asked, reason, delay)
        self._retrying[threading.get_ident()] = f"try {attempt + 2} of {self._retries + 1}: {reason}"
        (self._sleep or interrupted.wait)(delay)
        if self._stop.is_set() or interrupted.is_set():
            raise StoppedError("stopped while waiting to ask the archive again")

    def _send_once(self, connections: Connections, prepared: requests.PreparedRequest) -> Reply:
        started = self._clock()
        method, url, body = str(prepared.method), str(prepared.url), prepared.body
        answer = connections.request(
            method,
            url,
            headers=dict(prepared.headers),
            timeouts=self._timeouts,
            reach=self._reach,
            body=body.encode() if isinstance(body, str) else body or None,
            decode=True,
        )
        try:
            content = self._read(answer, started)
        finally:
            answer.release()
        _log.debug("%s %s: %d, %d bytes", method, shorten(url), answer.status, len(content))
        reply = Reply(answer.status, url, content, answer.headers)
        self._read_clock(reply)
        return reply

    def _read(self, answer: Answer, started: float) -> bytes:
        content = BytesIO()
        while piece := answer.read(_CHUNK):
            content.write(piece)
            if content.tell() > self._max_answer:
                raise ArchiveError(f"the archive's answer is longer than {self._max_answer} bytes")
            if self._clock() - started > MAX_ANSWER_SECONDS:
                raise ArchiveError(f"the archive's answer took more than {MAX_ANSWER_SECONDS:.0f} s", retryable=True)
        return content.getvalue()


def _prepared(
    method: str, url: str, content: object, form: Mapping[str, str] | None, headers: Mapping[str, str]
) -> requests.PreparedRequest:
    """Return a request with its body, a web form or JSON, and its headers.

    Raises:
        ArchiveError: The URL or a header cannot be sent.
    """
    sent = {**_HEADERS, **headers}
    if method == "POST" and form is None:
        sent["Content-Type"] = "application/json"
    try:
        return requests.Request(method, url, json=content, data=form, headers=sent).prepare()
    except (requests.RequestException, ValueError) as error:
        raise ArchiveError(f"{shorten(url, 120)} is not a valid http(s) address: {shorten(str(error), 120)}") from None
