"""Requests to a STAC API: its landing page, one item, and all pages of a search.

A walk follows the pages of one search to the last one. `whole_search` makes searches of walks, and decides when one is
complete.
"""

import json
import re
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from enum import Enum
from typing import Any, Literal
from urllib.parse import quote, urlencode, urljoin, urlsplit

from msgspec import Struct, field

from sedas_sync.archives.stac.access import Access
from sedas_sync.archives.stac.filters import Condition, FilterLanguage, encode
from sedas_sync.errors import ArchiveError, AuthenticationError, IncompleteSearch
from sedas_sync.net import redact, session

PAGE = 100
"""Items per page: few enough for gateways that limit an answer to some megabytes."""
LONGEST_ADDRESS = 6000
"""Characters of a GET request, below the 8 KB that web servers accept."""
EMPTY_PAGES = 50
"""Pages in a row without a new item after which the search fails."""
FEW = 2
"""An answer with fewer items is not cut: no server has so low a limit."""

_BAD_REQUEST, _FORBIDDEN, _NOT_FOUND = 400, 403, 404
_AUTHENTICATION = frozenset({401, _FORBIDDEN})
_NOT_UNDERSTOOD = frozenset({400, 405, 413, 415, 422, 500, 501})
"""Statuses for a request with something that the server does not understand."""
_TOO_LONG = frozenset({502, 504})
"""Statuses of a gateway that gets no answer, or too long a one."""
_LOGIN = re.compile(rb"log[ -]?in|sign[ -]?in|password|authenticat|oauth|authorize|openid", re.IGNORECASE)

Body = dict[str, Any]


class Capabilities(Struct, frozen=True):
    """What an API can do, by its landing page."""

    search: str
    method: Literal["GET", "POST"]
    language: FilterLanguage | None
    """The language of conditions; None if the API takes none."""


class _StacRequest(Struct, frozen=True):
    method: str
    url: str
    body: Body | None
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> str:
        """A text that is different for every request."""
        return json.dumps([self.method, self.url, self.body, self.headers], sort_keys=True)


class End(Enum):
    """What the last page of a walk shows."""

    COMPLETE = "complete"
    """No item is missing: the server's own count is met, or the page is shorter than another one."""
    FULL = "full"
    """The page may be as long as a limit, and no count shows otherwise; or the server does not give the next page."""
    SHORT = "short"
    """The server states a larger number of items than it sent."""


class Walk(Struct):
    """The pages of one search, followed to the last one."""

    names: set[tuple[Any, Any]] = field(default_factory=set)
    """Collection and id of the items."""
    times: list[str] = field(default_factory=list)
    """The acquisition times of the items, as the server states them."""
    matched: int | None = None
    """How many items match, as the server states it."""
    end: End = End.COMPLETE
    problem: ArchiveError | None = None
    """Why a later page could not be had: some servers refuse to go beyond 10,000 items."""


class StacApi:
    """One STAC API.

    Args:
        url: The landing page.
        api: Sends the requests.
        access: Authorises the requests.
    """

    def __init__(self, url: str, api: session.Api, access: Access) -> None:
        self._url = url
        self._api = api
        self._access = access
        self._landing_page: Any = None
        self._lock = threading.Lock()
        self._page = PAGE
        self._longest = 0
        """Items of the longest page of this size. The server's limit is not lower."""
        self._no_conditions = False
        """Whether the API has refused conditions that it claims to understand."""
        self._box = False
        """Whether the API has refused `intersects`, so that it is asked with `bbox`."""

    def has_search(self, is_catalogue: Callable[[Any], bool]) -> bool:
        """Return whether the API can be searched; False if its landing page is a static catalogue.

        Raises:
            ArchiveError: The request failed, or it is neither.
            AuthenticationError: The API refused the credentials.
        """
        landing = self._landing()
        return _search_link(landing) is not None or not is_catalogue(landing)

    def capabilities(self) -> Capabilities:
        """Return what the API can do; requested once.

        Raises:
            ArchiveError: The request failed, or it is not a STAC API with item search.
            AuthenticationError: The API refused the credentials.
        """
        return _read_landing(self._landing(), self._url)

    def _landing(self) -> Any:
        with self._lock:
            if self._landing_page is None:
                what = "the request for its landing page"
                reply = self._send(_StacRequest("GET", self._url, None), what)
                if not reply.ok:
                    raise reply.error(what)
                self._landing_page = reply.json(what)
            return self._landing_page

    def walk(
        self, query: Body, wanted: tuple[Condition, ...] = (), *, limit: int | None = None
    ) -> Generator[dict[str, Any], None, Walk]:
        """Yield the pages of a search as they arrive; return what they were.

        Args:
            query: The core fields of item search, without `limit`.
            wanted: Conditions on properties; sent if the API understands them.
            limit: Items of a page; by default as many as the API is known to accept.

        Raises:
            IncompleteSearch: The pages have no end.
            ArchiveError: The search failed.
            AuthenticationError: The API refused the credentials.
        """
        walk, empty = Walk(), 0
        request, page = self._first(self.capabilities(), query, wanted, limit)
        requested = {request.key}
        while True:
            features = page["features"]
            before = len(walk.names)
            walk.names.update(_names(features))
            walk.times += _times(features)
            walk.matched = _matched(page, walk.matched)
            yield page
            following = self._next(request, page)
            repeated = following is not None and following.key in requested
            if following is None or (repeated and not features):
                # An empty page that leads to itself is the last one.
                walk.end = self._end(walk, len(features), limit)
                return walk
            if repeated:
                raise IncompleteSearch("the server repeats a page, and the search has no end")
            empty = 0 if len(walk.names) > before else empty + 1
            if empty > EMPTY_PAGES:
                raise IncompleteSearch(f"the server sent {empty} pages in a row without a new item")
            self._longest = max(self._longest, 0 if limit else len(features))
            requested.add(following.key)
            reply = self._send(following, "a search")
            if not reply.ok:
                walk.end, walk.problem = End.FULL, reply.error("a search")
                return walk
            request, page = following, _page(reply)

    def _end(self, walk: Walk, last: int, limit: int | None) -> End:
        """Judge the last page, given its number of items."""
        found, longest = len(walk.names), limit or self._longest
        if walk.matched is not None and walk.matched > found:
            return End.SHORT
        # A count below what was sent (0, -1), or equal to one full page, is no count of the matches.
        counted = walk.matched == found and not (found == last >= (longest or self._page))
        if counted:
            return End.COMPLETE
        self._longest = max(self._longest, 0 if limit else last)
        return End.COMPLETE if last < max(longest, FEW) else End.FULL

    def item(self, collection: str, item_id: str) -> dict[str, Any] | None:
        """Return one item; None if it does not exist."""
        url = f"{self._url.rstrip('/')}/collections/{quote(collection, safe='')}/items/{quote(item_id, safe='')}"
        reply = self._send(_StacRequest("GET", url, None), "the request for an item")
        if reply.status == _NOT_FOUND:
            return None
        if not reply.ok:
            raise reply.error("the request for an item")
        answer = reply.json("the request for an item")
        return answer if isinstance(answer, dict) else None

    def _first(
        self, capabilities: Capabilities, query: Body, wanted: tuple[Condition, ...], limit: int | None
    ) -> tuple[_StacRequest, dict[str, Any]]:
        """Request the first page, with less each time that the server does not understand it.

        What it did not understand is remembered only if the rest succeeds: otherwise something else was wrong.
        """
        size, box, plain = min(limit or self._page, self._page), self._box, self._no_conditions
        while True:
            language = None if plain else capabilities.language
            conditions = {} if language is None else encode(wanted, language)
            area = _as_box(query) if box else query
            request = _request(capabilities, {**area, **conditions, "limit": size})
            # A gateway's error is not waited for: a smaller page is the remedy.
            smaller = size > 1
            reply = self._send(request, "a search", final=lambda reply: reply.status in _TOO_LONG and smaller)  # noqa: B023
            if reply.ok:
                self._box, self._no_conditions = box, plain
                if limit is None and size < self._page:
                    self._page, self._longest = size, 0
                return request, _page(reply)
            refused = reply.status in _NOT_UNDERSTOOD
            if refused and reply.says("limit") and smaller:
                size //= 2
            elif refused and conditions:
                # The conditions are applied here too, so the search only takes longer.
                plain = True
            elif refused and "intersects" in area:
                box = True
            elif (reply.status in _TOO_LONG or reply.status == _BAD_REQUEST) and smaller:
                size //= 2
            else:
                raise reply.error("a search")

    def _next(self, request: _StacRequest, page: Mapping[str, Any]) -> _StacRequest | None:
        link = _link(page, "next")
        if link is None:
            return None
        url = self._safe(_joined(request.url, link["href"]))
        method, body = _method(link), link.get("body")
        if method == "POST":
            given = body if isinstance(body, dict) else {}
            body = {**(request.body or {}), **given} if link.get("merge") else given or request.body
        headers = link.get("headers")
        sent = {str(name): str(value) for name, value in headers.items()} if isinstance(headers, dict) else {}
        if urlsplit(url).netloc != urlsplit(self._url).netloc:
            sent = {}
        return _StacRequest(method, url, body if method == "POST" else None, tuple(sorted(sent.items())))

    def _safe(self, url: str) -> str:
        """Return a URL of the same host with https, if a proxy of the server has changed it to plain http."""
        own, parts = urlsplit(self._url), urlsplit(url)
        if own.scheme == "https" and parts.scheme == "http":
            if parts.hostname != own.hostname:
                raise ArchiveError(f"the next page is at {parts.hostname} over plain http, which is not followed")
            return parts._replace(scheme="https", netloc=own.netloc).geturl()
        return url

    def _send(
        self, request: _StacRequest, what: str, *, final: Callable[[session.Reply], bool] | None = None
    ) -> session.Reply:
        headers = {**dict(request.headers), **self._access.headers(request.url)}
        reply = self._api.send(
            request.method, request.url, json=request.body, headers=headers, final=final, kind="search"
        )
        asks = _asks_for_login(reply)
        if reply.status in _AUTHENTICATION or asks:
            answer = f"the archive answered {what} with the page of a login" if asks else str(reply.error(what))
            message = f"{answer}; {self._access.advice(request.url)}"
            raise AuthenticationError(message, forbidden=reply.status == _FORBIDDEN)
        return reply


def _asks_for_login(reply: session.Reply) -> bool:
    """Whether an answer is the page of a login, or leads to one."""
    if not reply.ok:
        return bool(_LOGIN.search(reply.headers.get("Location", "").encode()))
    kind = reply.headers.get("Content-Type", "").lower()
    is_page = "html" in kind or reply.body.lstrip()[:1] == b"<"
    return is_page and bool(_LOGIN.search(reply.body))


def _request(capabilities: Capabilities, query: Body) -> _StacRequest:
    if capabilities.method == "POST":
        return _StacRequest("POST", capabilities.search, query)
    flat = {name: _flat(value) for name, value in query.items()}
    address = _with_query(capabilities.search, flat)
    if len(address) > LONGEST_ADDRESS and "intersects" in query:
        flat = {name: _flat(value) for name, value in _as_box(query).items()}
        address = _with_query(capabilities.search, flat)
    return _StacRequest("GET", address, None)


def _as_box(query: Body) -> Body:
    """Return a search with a box around its area, which has all items of the area."""
    if "intersects" not in query:
        return query
    rest = {name: value for name, value in query.items() if name != "intersects"}
    return {**rest, "bbox": list(bounds(query["intersects"]))}


def _flat(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(one if isinstance(one, str) else repr(one) for one in value)
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _with_query(url: str, values: Mapping[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(values)}"


def bounds(polygon: Mapping[str, Any]) -> tuple[float, float, float, float]:
    """Return west, south, east and north of a GeoJSON polygon."""
    xs, ys = zip(*polygon["coordinates"][0], strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def _page(reply: session.Reply) -> dict[str, Any]:
    page = reply.json("a search")
    if not isinstance(page, dict) or not isinstance(page.get("features"), list):
        raise ArchiveError("the archive answered a search with something that is not a page of items")
    return page


def _names(features: list[Any]) -> Iterator[tuple[Any, Any]]:
    for feature in features:
        name = (feature.get("collection"), feature.get("id")) if isinstance(feature, dict) else (None, None)
        # An item without a name counts as a new one.
        yield name if all(isinstance(part, str | None) for part in name) and name[1] else (None, id(feature))


def _times(features: list[Any]) -> Iterator[str]:
    for feature in features:
        properties = feature.get("properties") if isinstance(feature, dict) else None
        if isinstance(properties, dict):
            time = properties.get("datetime") or properties.get("start_datetime")
            if isinstance(time, str):
                yield time


def _matched(page: Mapping[str, Any], before: int | None) -> int | None:
    """Return the number of matches that a page states, in `numberMatched` or in the older context extension."""
    context = page.get("context")
    stated = (page.get("numberMatched"), context.get("matched") if isinstance(context, dict) else None)
    return next((one for one in stated if isinstance(one, int) and not isinstance(one, bool)), before)


def _joined(base: str, href: str) -> str:
    """Return the URL of a link."""
    try:
        url = urljoin(base, href)
        urlsplit(url)
    except ValueError:
        raise ArchiveError(f"{redact.shorten(href, 120)!r} is not a valid URL") from None
    return url


def _links(answer: Any) -> list[dict[str, Any]]:
    links = answer.get("links") if isinstance(answer, dict) else None
    return [
        link
        for link in (links if isinstance(links, list) else [])
        if isinstance(link, dict) and isinstance(link.get("href"), str)
    ]


def _link(answer: Any, rel: str, fits: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any] | None:
    return next((link for link in _links(answer) if link.get("rel") == rel and fits(link)), None)


def _search_link(landing: Any) -> dict[str, Any] | None:
    """Return the link to the search; one with POST is preferred."""
    post = _link(landing, "search", lambda link: _is_json(link) and _method(link) == "POST")
    return post or _link(landing, "search", _is_json)


def _method(link: Mapping[str, Any]) -> str:
    return str(link.get("method", "GET")).upper()


def _read_landing(landing: Any, url: str) -> Capabilities:
    """Read a landing page; POST is preferred."""
    link = _search_link(landing)
    if link is None:
        raise ArchiveError(
            f"{redact.shorten(url)} has no link to item search, and no items: is it the landing page of a STAC "
            "API, or a catalogue?"
        )
    search = _joined(url if url.endswith("/") else f"{url}/", link["href"])
    own = urlsplit(url)
    if own.scheme == "https" and urlsplit(search).scheme == "http" and urlsplit(search).hostname == own.hostname:
        search = urlsplit(search)._replace(scheme="https", netloc=own.netloc).geturl()
    method: Literal["GET", "POST"] = "POST" if _method(link) == "POST" else "GET"
    return Capabilities(search, method, _language(landing, method))


def _is_json(link: Mapping[str, Any]) -> bool:
    """Whether a link to a search gives JSON: some servers also list a page and an OpenSearch description."""
    kind = link.get("type")
    return not isinstance(kind, str) or "json" in kind


def _language(landing: Any, method: str) -> FilterLanguage | None:
    """Return the language of conditions by the conformance classes (filter extension 1.0, query extension 1.0)."""
    listed = landing.get("conformsTo")
    classes = [uri for uri in listed if isinstance(uri, str)] if isinstance(listed, list) else []

    def conforms(*ends: str) -> bool:
        return any(uri.rstrip("/").endswith(ends) for uri in classes)

    if conforms("item-search#filter"):
        languages: tuple[FilterLanguage, ...] = ("cql2-json", "cql2-text")
        for language in languages if method == "POST" else reversed(languages):
            if conforms(f"/{language}", f"#{language}", f":{language}"):
                return language
    return "query" if conforms("item-search#query") else None
