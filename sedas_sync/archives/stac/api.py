"""Item search of a STAC API: its capcapabilities, one request, and all pages of the answer.

A search is complete or it fails: all pages are followed, a repeated page is detected, and the items are counted against
`numberMatched` if the server states it.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, urlencode, urljoin, urlsplit

from sedas_sync.archives.stac.access import Access
from sedas_sync.archives.stac.filters import Condition, FilterLanguage, encode
from sedas_sync.errors import ArchiveError, AuthenticationError, IncompleteSearch, SedasSyncError
from sedas_sync.net import redact, session

PAGE = 100
"""Items per page: few enough for gateways that limit an answer to some megabytes."""
LONGEST_ADDRESS = 6000
"""Characters of a GET request, below the 8 KB that web servers accept."""
EMPTY_PAGES = 50
"""Pages in a row without a new item after which the search fails."""

_FORBIDDEN, _NOT_FOUND = 403, 404
_AUTHENTICATION = frozenset({401, _FORBIDDEN})
_NOT_UNDERSTOOD = frozenset({400, 405, 413, 415, 422, 500, 501})
"""Statuses for a request with something that the server does not understand."""

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an API can do, by its landing page."""

    search: str
    method: Literal["GET", "POST"]
    language: FilterLanguage | None
    """The language of conditions; None if the API takes none."""


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: str
    body: Body | None
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> str:
        """A text that is different for every request."""
        return json.dumps([self.method, self.url, self.body, self.headers], sort_keys=True)


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
        self._capabilities: Capabilities | None = None
        self._lock = threading.Lock()
        self._page = PAGE
        self._no_conditions = False
        """Whether the API has refused conditions that it claims to understand."""

    def capabilities(self) -> Capabilities:
        """Return what the API can do; requested once.

        Raises:
            ArchiveError: The request failed, or it is not a STAC API with item search.
            AuthenticationError: The API refused the credentials.
        """
        with self._lock:
            if self._capabilities is None:
                reply = self._send(_Request("GET", self._url, None))
                if not reply.ok:
                    raise _error(reply, "its landing page")
                self._capabilities = _read_landing(reply.json("its landing page"), self._url)
            return self._capabilities

    def search(self, query: Body, wanted: tuple[Condition, ...] = ()) -> Iterator[dict[str, Any]]:
        """Yield all pages of a search as they arrive.

        Args:
            query: The core fields of item search, without `limit`.
            wanted: Conditions on properties; sent if the API understands them.

        Raises:
            IncompleteSearch: Some matches may be missing.
            ArchiveError: The search failed.
            AuthenticationError: The API refused the credentials.
        """
        request, page = self._first(self.capabilities(), query, wanted)
        requested = {request.key}
        found: set[tuple[Any, Any]] = set()
        empty = 0
        while True:
            before = len(found)
            found.update(_names(page["features"]))
            yield page
            following = self._next(request, page)
            if following is None:
                _check_count(page, len(found))
                return
            if following.key in requested:
                raise IncompleteSearch("the server repeats a page, and the search has no end")
            empty = 0 if len(found) > before else empty + 1
            if empty > EMPTY_PAGES:
                raise IncompleteSearch(f"the server sent {empty} pages in a row without a new item")
            requested.add(following.key)
            reply = self._send(following)
            if not reply.ok:
                raise _error(reply, "a search")
            request, page = following, _page(reply)

    def item(self, collection: str, item_id: str) -> dict[str, Any] | None:
        """Return one item; None if it does not exist."""
        url = f"{self._url.rstrip('/')}/collections/{quote(collection, safe='')}/items/{quote(item_id, safe='')}"
        reply = self._send(_Request("GET", url, None))
        if reply.status == _NOT_FOUND:
            return None
        if not reply.ok:
            raise _error(reply, "the request for an item")
        answer = reply.json("the request for an item")
        return answer if isinstance(answer, dict) else None

    def _first(
        self, capabilities: Capabilities, query: Body, wanted: tuple[Condition, ...]
    ) -> tuple[_Request, dict[str, Any]]:
        """Request the first page, with less each time that the server does not understand it."""
        while True:
            language = None if self._no_conditions else capabilities.language
            conditions = {} if language is None else encode(wanted, language)
            request = _request(capabilities, {**query, **conditions, "limit": self._page})
            reply = self._send(request)
            if reply.ok:
                return request, _page(reply)
            smaller = _smaller_page(reply, self._page)
            if smaller is not None:
                self._page = smaller
            elif conditions and reply.status in _NOT_UNDERSTOOD:
                # The conditions are applied here too, so the search only takes longer.
                self._no_conditions = True
            else:
                raise _error(reply, "a search")

    def _next(self, request: _Request, page: Mapping[str, Any]) -> _Request | None:
        link = _link(page, "next")
        if link is None:
            return None
        url = self._safe(_joined(request.url, link["href"]))
        method = str(link.get("method", "GET")).upper()
        body = link.get("body")
        if method == "POST":
            given = body if isinstance(body, dict) else {}
            body = {**(request.body or {}), **given} if link.get("merge") else given or request.body
        headers = link.get("headers")
        sent = {str(name): str(value) for name, value in headers.items()} if isinstance(headers, dict) else {}
        if urlsplit(url).netloc != urlsplit(self._url).netloc:
            sent = {}
        return _Request(method, url, body if method == "POST" else None, tuple(sorted(sent.items())))

    def _safe(self, url: str) -> str:
        """Return a URL of the same host with https, if a proxy of the server has changed it to plain http."""
        own, parts = urlsplit(self._url), urlsplit(url)
        if own.scheme == "https" and parts.scheme == "http":
            if parts.hostname != own.hostname:
                raise ArchiveError(f"the next page is at {parts.hostname} over plain http, which is not followed")
            return parts._replace(scheme="https", netloc=own.netloc).geturl()
        return url

    def _send(self, request: _Request) -> session.Reply:
        headers = {**dict(request.headers), **self._access.headers(request.url)}
        return self._api.send(request.method, request.url, json=request.body, headers=headers)


def _error(reply: session.Reply, what: str) -> SedasSyncError:
    error = reply.error(what)
    if reply.status in _AUTHENTICATION:
        return AuthenticationError(str(error), forbidden=reply.status == _FORBIDDEN)
    return error


def _smaller_page(reply: session.Reply, page: int) -> int | None:
    """Return a page size that a server may accept; None if it did not refuse the size."""
    if reply.status not in _NOT_UNDERSTOOD or not reply.says("limit") or page <= 1:
        return None
    return max(1, page // 2)


def _request(capabilities: Capabilities, query: Body) -> _Request:
    if capabilities.method == "POST":
        return _Request("POST", capabilities.search, query)
    flat = {name: _flat(value) for name, value in query.items()}
    address = _with_query(capabilities.search, flat)
    if len(address) > LONGEST_ADDRESS and "intersects" in query:
        # A box around the area has all items of the area.
        del flat["intersects"]
        flat["bbox"] = ",".join(map(repr, _bounds(query["intersects"])))
        address = _with_query(capabilities.search, flat)
    return _Request("GET", address, None)


def _flat(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _with_query(url: str, values: Mapping[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(values)}"


def _bounds(polygon: Mapping[str, Any]) -> tuple[float, float, float, float]:
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


def _check_count(page: Mapping[str, Any], found: int) -> None:
    context = page.get("context")
    matched = page.get("numberMatched")
    if matched is None and isinstance(context, dict):
        matched = context.get("matched")
    if isinstance(matched, int) and found < matched:
        raise IncompleteSearch(f"the server states that {matched} items match, and sent {found}")


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


def _read_landing(landing: Any, url: str) -> Capabilities:
    """Read a landing page; POST is preferred."""
    post = _link(landing, "search", lambda link: str(link.get("method", "GET")).upper() == "POST")
    link = post or _link(landing, "search")
    if link is None:
        raise ArchiveError(
            f"{redact.shorten(url)} has no link to item search: is it the landing page of a STAC API? "
            "A static catalogue cannot be searched"
        )
    search = _joined(url if url.endswith("/") else f"{url}/", link["href"])
    own = urlsplit(url)
    if own.scheme == "https" and urlsplit(search).scheme == "http" and urlsplit(search).hostname == own.hostname:
        search = urlsplit(search)._replace(scheme="https", netloc=own.netloc).geturl()
    method: Literal["GET", "POST"] = "POST" if post is not None else "GET"
    return Capabilities(search, method, _language(landing, method))


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
