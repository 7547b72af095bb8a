"""Faults: how the sandbox misbehaves.

A `Rule` connects an act with one kind of request. An act is a function of the request and of `answer`, which
returns the correct reply: the act can change the request before, the reply after, or not call `answer` at all. So
acts can be combined, and a test can define its own::

    sandbox.faults = Faults(cap=256, rules=(Rule("download", truncate(1000), times=2),))

Faults inside an answer (the cap of a search, the states of orders) are fields of `Faults`.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Any, Literal

Endpoint = Literal["login", "search", "look_up", "sensors", "order", "poll", "download", "picture", "portal", "unknown"]
Ids = Container[str] | Callable[[str], bool]
"""Scenes: a container or a predicate."""

NOBODY: frozenset[str] = frozenset()


@dataclass(slots=True)
class SandboxRequest:
    """A request as the server read it. An act can pass a changed copy to `answer`."""

    method: str
    path: str
    """Without the query."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """By name in lower case."""
    body: bytes = b""
    endpoint: Endpoint = "unknown"
    scenes: tuple[str, ...] = ()
    """The scenes that it names."""
    json: Any = None
    """The decoded body if it is JSON."""

    def without(self, *names: str) -> "SandboxRequest":
        """Return a copy without some headers."""
        return replace(self, headers={name: value for name, value in self.headers.items() if name not in names})


@dataclass(slots=True)
class SandboxReply:
    """A reply, and how to send it."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | Path = b""
    """The whole entity; a path is read while it is sent."""
    first: int = 0
    """Offset in the body of the first byte to send."""
    length: int | None = None
    """Bytes to send; None for the rest of the body."""
    framing: Literal["length", "chunked", "close"] = "length"
    """What marks the end of the body: Content-Length, the last chunk, or the end of the connection."""
    cut: int | None = None
    """Close the connection after this many bytes of the body."""
    wait: float = 0.0
    """Seconds to wait before the reply."""
    stall: tuple[int, float] | None = None
    """Bytes of the body to send before a pause, and the seconds it lasts."""
    rate: float | None = None
    """Maximum bytes per second on this connection."""
    drop: bool = False
    """Close the connection without a reply."""


Answer = Callable[[SandboxRequest], SandboxReply]
Act = Callable[[SandboxRequest, Answer], SandboxReply]


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """An act and when it happens. Each rule object counts its own requests."""

    on: Endpoint | Literal["any"]
    act: Act
    ids: Ids | None = None
    """Only requests that name one of these scenes."""
    times: int | None = None
    """Maximum number of times."""
    after: int = 0
    """Number of requests to skip first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """All faults of the sandbox; by default there are none."""

    cap: int | None = None
    """Maximum rows of a search; the reply does not show that there are more."""
    cap_rule: Literal["newest", "arbitrary", "missing"] = "newest"
    """Which rows remain: the newest; `arbitrary` ones, by a hash of the id; or, with `missing`, all except the 30 % of
    the catalogue that a hash selects, even if more than `cap` remain."""
    cap_per_satellite: int | None = None
    """Maximum rows of each satellite, by the same rule; applied before `cap`."""
    refusal: Literal[400, 401, 403] = 401
    """Status of a call with an invalid token."""
    failed_orders: Ids = NOBODY
    """Scenes whose orders end in `failed_state`."""
    failed_state: str = "FAILED"
    unknown_orders: Ids = NOBODY
    """Scenes whose orders are unknown once they are placed."""
    order_quota: tuple[int, float] | None = None
    """Maximum orders, and the seconds in which they count; more are refused with 429 and Retry-After."""
    link_life: float | None = None
    """Seconds that the download link of an order works; each poll of the order returns a new link."""
    link_status: int = 403
    """Status of an expired link."""
    rules: tuple[Rule, ...] = ()


class RuleTurns:
    """Counts the requests of each rule, and applies the rules whose turn it is."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._seen: Counter[int] = Counter()

    def forget_others(self, rules: Iterable[Rule]) -> None:
        """Drop the counts of all rules except these."""
        kept = {id(rule) for rule in rules}
        with self._lock:
            self._seen = Counter({key: count for key, count in self._seen.items() if key in kept})

    def apply(self, rules: Iterable[Rule], request: SandboxRequest, answer: Answer) -> SandboxReply:
        """Return the reply to a request as the rules change it; the first rule is the outermost."""
        for rule in reversed(self._matching(rules, request)):
            answer = _combined(rule.act, answer)
        return answer(request)

    def _matching(self, rules: Iterable[Rule], request: SandboxRequest) -> list[Rule]:
        matching = []
        with self._lock:
            for rule in rules:
                if rule.on not in ("any", request.endpoint):
                    continue
                if rule.ids is not None and not any(chosen(rule.ids, scene) for scene in request.scenes):
                    continue
                turn = self._seen[id(rule)]
                self._seen[id(rule)] += 1
                if turn >= rule.after and (rule.times is None or turn < rule.after + rule.times):
                    matching.append(rule)
        return matching


def _combined(act: Act, answer: Answer) -> Answer:
    return lambda request: act(request, answer)


def chosen(ids: Ids, scene: str) -> bool:
    """Return whether a scene is one of some."""
    return ids(scene) if callable(ids) else scene in ids


def _instead(make: Callable[[], SandboxReply]) -> Act:
    """Make another reply, and do nothing of what the request asks for."""
    return lambda _request, _answer: make()


def _sent(**how: Any) -> Act:
    """Send the correct reply with other values of some fields."""
    return lambda request, answer: replace(answer(request), **how)


def fail(status: int, *, retry_after: float | None = None, as_date: bool = False, html: bool = False) -> Act:
    """Answer with an error.

    Args:
        status: The HTTP status.
        retry_after: Seconds for the Retry-After header.
        as_date: Write Retry-After as a date.
        html: Send a page, as the download manager does, instead of the API's JSON.
    """

    def make() -> SandboxReply:
        made = page(status, f"<h1>{status}</h1>") if html else error(status, f"HTTP {status}")
        if retry_after is not None:
            moment = formatdate(time.time() + retry_after, usegmt=True)
            made.headers["Retry-After"] = moment if as_date else f"{retry_after:g}"
        return made

    return _instead(make)


def say(body: Any, *, content_type: str = "application/json") -> Act:
    """Answer with status 200 and another body; anything except bytes is sent as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return _instead(lambda: SandboxReply(200, {"Content-Type": content_type}, data))


def delay(seconds: float) -> Act:
    """Wait before the reply."""

    def act(request: SandboxRequest, answer: Answer) -> SandboxReply:
        made = answer(request)
        return replace(made, wait=made.wait + seconds)

    return act


def ignore_range(*, honest: bool = False) -> Act:
    """Send the whole product with status 200 instead of a range; `honest` also sends `Accept-Ranges: none`."""

    def act(request: SandboxRequest, answer: Answer) -> SandboxReply:
        made = answer(request.without("range", "if-range"))
        made.headers["Accept-Ranges"] = "none" if honest else "bytes"
        return made

    return act


def no_validators() -> Act:
    """Send neither ETag nor Last-Modified."""

    def act(request: SandboxRequest, answer: Answer) -> SandboxReply:
        made = answer(request)
        made.headers.pop("ETag", None)
        made.headers.pop("Last-Modified", None)
        return made

    return act


def changing_etag() -> Act:
    """Send a different ETag each time, so that If-Range never matches."""
    number = count(1)

    def act(request: SandboxRequest, answer: Answer) -> SandboxReply:
        made = answer(request.without("range", "if-range") if "if-range" in request.headers else request)
        made.headers["ETag"] = f'"changed-{next(number)}"'
        made.headers.pop("Last-Modified", None)
        return made

    return act


def truncate(count: int, *, framing: Literal["length", "chunked", "close"] = "length") -> Act:
    """Close the connection after some bytes; with `framing="close"` the client does not notice the loss."""
    return _sent(cut=count, framing=framing)


def stall(count: int, seconds: float = 3600.0) -> Act:
    """Pause after some bytes."""
    return _sent(stall=(count, seconds))


def slow(rate: float) -> Act:
    """Limit the bytes per second on a connection."""
    return _sent(rate=rate)


def frame(framing: Literal["chunked", "close"]) -> Act:
    """Send no Content-Length."""
    return _sent(framing=framing)


def drop() -> Act:
    """Close the connection instead of an answer."""
    return _instead(lambda: SandboxReply(drop=True))


def empty() -> Act:
    """Answer with status 200 and an empty body."""
    return _instead(lambda: SandboxReply(200, {"Content-Type": "application/zip"}))


def html_page() -> Act:
    """Answer with status 200 and a page of HTML, such as a login form."""
    return _instead(lambda: page(200, "<h1>Please log in</h1>"))


def redirect(location: str = "/portal") -> Act:
    """Redirect the client; `/portal` is a page of HTML on the sandbox."""
    return _instead(lambda: SandboxReply(302, {"Location": location}))


def wrong_bytes(at: int = -1) -> Act:
    """Invert one byte of the product, by default in its middle."""

    def act(request: SandboxRequest, answer: Answer) -> SandboxReply:
        made = answer(request)
        if made.status not in (200, 206):
            return made
        body = bytearray(made.body.read_bytes() if isinstance(made.body, Path) else made.body)
        if body:
            body[at if at >= 0 else len(body) // 2] ^= 0xFF
        return replace(made, body=bytes(body))

    return act


def error(status: int, message: str) -> SandboxReply:
    """Return an error as the API sends it."""
    body = json.dumps({"errorCode": status, "errorMessage": message}).encode()
    return SandboxReply(status, {"Content-Type": "application/json"}, body)


def page(status: int, content: str) -> SandboxReply:
    """Return a page of HTML."""
    body = f"<!DOCTYPE html>\n<html><head><title>SeDAS</title></head><body>{content}</body></html>\n".encode()
    return SandboxReply(status, {"Content-Type": "text/html; charset=utf-8"}, body)
