"""What the sandbox can be told to do wrong.

A `Rule` hangs an act on one kind of request. An act is a function of the request and of `answer`, which gives
the right reply: it may change the request first, the reply afterwards, or never ask. So acts combine freely,
and a test may bring its own::

    sandbox.faults = Faults(cap=256, rules=(Rule("download", truncate(1000), times=2),))

What needs to be known inside of an answer (the cap of a search, the states of orders) is a field of `Faults`.
"""

import json
import time
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

Endpoint = Literal["login", "search", "look_up", "sensors", "order", "poll", "download", "picture", "portal", "unknown"]
Ids = Container[str] | Callable[[str], bool]
"""Scenes, as anything that `in` works on, or a predicate."""

NOBODY: frozenset[str] = frozenset()


@dataclass(slots=True)
class Request:
    """A request as the server read it. An act may give a changed copy to `answer`."""

    method: str
    path: str
    """Without the query."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes = b""
    endpoint: Endpoint = "unknown"
    scenes: tuple[str, ...] = ()
    """The scenes it is about, where it names any."""
    json: Any = None
    """The body, decoded, where it is JSON."""

    def without(self, *names: str) -> "Request":
        """A copy that lacks some headers."""
        return replace(self, headers={name: value for name, value in self.headers.items() if name not in names})


@dataclass(slots=True)
class Reply:
    """What is sent back, and how badly."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | Path = b""
    """The whole entity; a path is read while it is sent."""
    first: int = 0
    """Where in the body to begin."""
    length: int | None = None
    """How much of it to send; None is all."""
    framing: Literal["length", "chunked", "close"] = "length"
    """How the client is told the end: Content-Length, chunks, or the end of the connection."""
    cut: int | None = None
    """Break the connection after so many bytes of the body."""
    wait: float = 0.0
    """Seconds before anything is sent."""
    stall: tuple[int, float] | None = None
    """After so many bytes of the body, wait so many seconds."""
    rate: float | None = None
    """Bytes a second, on this connection."""
    drop: bool = False
    """Break the connection without a word."""


Answer = Callable[[Request], Reply]
Act = Callable[[Request, Answer], Reply]


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """An act and when it happens; each rule object counts for itself."""

    on: Endpoint | Literal["any"]
    act: Act
    ids: Ids | None = None
    """Only for requests that name one of these scenes."""
    times: int | None = None
    """At most so often."""
    after: int = 0
    """Not on the first so many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Everything that is wrong with the sandbox; by default nothing is."""

    cap: int | None = None
    """A search gives at most so many rows, and does not say that there are more."""
    cap_rule: Literal["newest", "arbitrary", "missing"] = "newest"
    """Which: the newest; those that a hash of their id picks; or, `missing`, whenever more than `cap` match,
    all but the 30 % of the catalogue that a hash picks, however many that are."""
    cap_per_satellite: int | None = None
    """The same number for each satellite by itself, by the same rule, before `cap` is applied."""
    refusal: Literal[400, 401, 403] = 401
    """How a call with a bad token is refused."""
    failed_orders: Ids = NOBODY
    """Scenes whose orders end in `failed_state`."""
    failed_state: str = "FAILED"
    unknown_orders: Ids = NOBODY
    """Scenes whose orders are forgotten as soon as they are placed."""
    order_quota: tuple[int, float] | None = None
    """So many orders in so many seconds; more are refused with 429 and Retry-After."""
    link_life: float | None = None
    """Seconds that the download link of an order works; asking for the order again gives a new one."""
    link_status: int = 403
    """What an expired link answers."""
    rules: tuple[Rule, ...] = ()


def chosen(ids: Ids, scene: str) -> bool:
    """Whether a scene is among some."""
    return ids(scene) if callable(ids) else scene in ids


def rank(scene: str) -> int:
    """The hash of an id that decides what the caps `arbitrary` and `missing` keep."""
    return int.from_bytes(blake2b(f"cap {scene}".encode(), digest_size=4).digest(), "big")


def fail(status: int, *, retry_after: float | None = None, as_date: bool = False, html: bool = False) -> Act:
    """Answer with an error.

    Args:
        status: The HTTP status.
        retry_after: Seconds for the Retry-After header, if any.
        as_date: Write them as a date.
        html: A page, as the download manager's web server sends, in place of the API's JSON.
    """

    def act(_request: Request, _answer: Answer) -> Reply:
        made = page(status, f"<h1>{status}</h1>") if html else error(status, f"HTTP {status}")
        if retry_after is not None:
            moment = formatdate(time.time() + retry_after, usegmt=True)
            made.headers["Retry-After"] = moment if as_date else f"{retry_after:g}"
        return made

    return act


def say(body: Any, *, content_type: str = "application/json") -> Act:
    """Answer 200 with something else: bytes as they are, anything else as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()

    def act(_request: Request, _answer: Answer) -> Reply:
        return Reply(200, {"Content-Type": content_type}, data)

    return act


def delay(seconds: float) -> Act:
    """Be slow to answer."""

    def act(request: Request, answer: Answer) -> Reply:
        made = answer(request)
        return replace(made, wait=made.wait + seconds)

    return act


def ignore_range(*, honest: bool = False) -> Act:
    """Send everything, with 200, whatever range is asked for; `honest` also withdraws Accept-Ranges."""

    def act(request: Request, answer: Answer) -> Reply:
        made = answer(request.without("range", "if-range"))
        made.headers["Accept-Ranges"] = "none" if honest else "bytes"
        return made

    return act


def no_validators() -> Act:
    """Send neither ETag nor Last-Modified."""

    def act(request: Request, answer: Answer) -> Reply:
        made = answer(request)
        made.headers.pop("ETag", None)
        made.headers.pop("Last-Modified", None)
        return made

    return act


def changing_etag() -> Act:
    """Send another ETag each time, so that If-Range never holds."""
    count = 0

    def act(request: Request, answer: Answer) -> Reply:
        nonlocal count
        count += 1
        made = answer(request.without("range", "if-range") if "if-range" in request.headers else request)
        made.headers["ETag"] = f'"changed-{count}"'
        made.headers.pop("Last-Modified", None)
        return made

    return act


def truncate(count: int, *, framing: Literal["length", "chunked", "close"] = "length") -> Act:
    """Break off after some bytes; with `framing="close"` nothing says that there should be more."""

    def act(request: Request, answer: Answer) -> Reply:
        return replace(answer(request), cut=count, framing=framing)

    return act


def stall(count: int, seconds: float = 3600.0) -> Act:
    """Fall silent after some bytes, go on after some seconds."""

    def act(request: Request, answer: Answer) -> Reply:
        return replace(answer(request), stall=(count, seconds))

    return act


def slow(rate: float) -> Act:
    """Send at most so many bytes a second on a connection."""

    def act(request: Request, answer: Answer) -> Reply:
        return replace(answer(request), rate=rate)

    return act


def frame(framing: Literal["chunked", "close"]) -> Act:
    """Send no Content-Length."""

    def act(request: Request, answer: Answer) -> Reply:
        return replace(answer(request), framing=framing)

    return act


def drop() -> Act:
    """Break the connection in place of an answer."""

    def act(_request: Request, _answer: Answer) -> Reply:
        return Reply(drop=True)

    return act


def empty() -> Act:
    """Answer 200 with nothing in it."""

    def act(_request: Request, _answer: Answer) -> Reply:
        return Reply(200, {"Content-Type": "application/zip"})

    return act


def html_page() -> Act:
    """Answer 200 with a page of HTML, as a portal's login form."""

    def act(_request: Request, _answer: Answer) -> Reply:
        return page(200, "<h1>Please log in</h1>")

    return act


def redirect(location: str = "/portal") -> Act:
    """Send the client elsewhere; `/portal` is a page of HTML of the sandbox's own."""

    def act(_request: Request, _answer: Answer) -> Reply:
        return Reply(302, {"Location": location})

    return act


def wrong_bytes(at: int = -1) -> Act:
    """Turn over the bits of one byte of the product, by default in its middle."""

    def act(request: Request, answer: Answer) -> Reply:
        made = answer(request)
        if made.status not in (200, 206):
            return made
        body = bytearray(made.body.read_bytes() if isinstance(made.body, Path) else made.body)
        if body:
            body[at if at >= 0 else len(body) // 2] ^= 0xFF
        return replace(made, body=bytes(body))

    return act


def error(status: int, message: str) -> Reply:
    """An error as the API words it."""
    body = json.dumps({"errorCode": status, "errorMessage": message}).encode()
    return Reply(status, {"Content-Type": "application/json"}, body)


def page(status: int, content: str) -> Reply:
    """A page of HTML."""
    body = f"<!DOCTYPE html>\n<html><head><title>SeDAS</title></head><body>{content}</body></html>\n".encode()
    return Reply(status, {"Content-Type": "text/html; charset=utf-8"}, body)
