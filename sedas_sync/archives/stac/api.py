"""Item search of a STAC API: what it can do, one question, and every page of the answer.

A search is whole or it fails: pages are followed to the last one, a page that comes again is noticed, and what was
found is counted against `numberMatched` where the server states it.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, urlencode, urljoin, urlsplit

from sedas_sync.archives.stac.access import Access
from sedas_sync.archives.stac.filters import Condition, Way, said
from sedas_sync.errors import ArchiveError, AuthenticationError, IncompleteSearch, SedasSyncError
from sedas_sync.net import redact, session

PAGE = 100
"""Items a page: small enough for servers that answer through gateways with a limit of some megabytes."""
LONGEST_ADDRESS = 6000
"""Characters of a GET request, below the 8 KB that web servers take."""
EMPTY_PAGES = 50
"""Pages in a row without an item after which a server is not believed to come to an end."""

_FORBIDDEN = 403
_UNAUTHORISED = frozenset({401, _FORBIDDEN})
_NOT_TAKEN = frozenset({400, 405, 413, 415, 422, 500, 501})
"""What servers answer to a question that says more than they understand."""

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a landing page says that an API can do."""

    search: str
    method: Literal["GET", "POST"]
    way: Way | None
    """How conditions are said; None: not at all."""


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: str
    body: Body | None
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def mark(self) -> str:
        """Tells this request from any other."""
        return json.dumps([self.method, self.url, self.body, self.headers], sort_keys=True)


class StacApi:
    """One STAC API.

    Args:
        url: its landing page.
        api: the connections to ask through.
        access: what goes along with a request.
    """

    def __init__(self, url: str, api: session.Api, access: Access) -> None:
        self._url = url
        self._api = api
        self._access = access
        self._abilities: Abilities | None = None
        self._lock = threading.Lock()
        self._page = PAGE
        self._plain = False
        """Whether it has turned away what it says it understands."""

    def abilities(self) -> Abilities:
        """What it can do; asked for once.

        Raises:
            ArchiveError: it could not be asked, or is no STAC API with item search.
            AuthenticationError: it refused the credentials.
        """
        with self._lock:
            if self._abilities is None:
                self._abilities = _read_landing(
                    self._ask(_Request("GET", self._url, None), "its landing page"), self._url
                )
            return self._abilities

    def search(self, question: Body, wanted: tuple[Condition, ...] = ()) -> Iterator[dict[str, Any]]:
        """Yield every page of the answer to a question, as it comes.

        Args:
            question: the core fields of item search, without `limit`.
            wanted: conditions on properties, said as far as the API understands them.

        Raises:
            IncompleteSearch: not every match could be shown to be found.
            ArchiveError: the search failed.
            AuthenticationError: it refused the credentials.
        """
        abilities = self.abilities()
        request, page = self._first(abilities, question, wanted)
        asked = {request.mark}
        found: set[tuple[Any, Any]] = set()
        empty = 0
        while True:
            features = page["features"]
            before = len(found)
            found.update(_names(features))
            yield page
            following = self._next(request, page)
            if following is None:
                _check_count(page, len(found))
                return
            if following.mark in asked:
                raise IncompleteSearch(
                    "the server gives a page again that it has given before, and no end of the search"
                )
            empty = 0 if len(found) > before else empty + 1
            if empty > EMPTY_PAGES:
                raise IncompleteSearch(
                    f"the server gave {empty} pages in a row without an item that is new, and no end"
                )
            asked.add(following.mark)
            request, page = following, self._page_of(following)

    def item(self, collection: str, item_id: str) -> dict[str, Any] | None:
        """One item by its address; None where there is none."""
        address = f"{self._url.rstrip('/')}/collections/{quote(collection, safe='')}/items/{quote(item_id, safe='')}"
        reply = self._send(_Request("GET", address, None))
        if reply.status == 404:  # noqa: PLR2004 - not found
            return None
        if not reply.ok:
            raise _failed(reply, "the request for an item")
        answer = reply.json("the request for an item")
        return answer if isinstance(answer, dict) else None

    def _first(
        self, abilities: Abilities, question: Body, wanted: tuple[Condition, ...]
    ) -> tuple[_Request, dict[str, Any]]:
        """Ask for the first page, in fewer words each time that a server does not understand them."""
        while True:
            conditions = {} if self._plain or abilities.way is None else said(wanted, abilities.way)
            request = _request(abilities, {**question, **conditions, "limit": self._page})
            reply = self._send(request)
            if reply.ok:
                return request, _page(reply)
            clamped = _smaller(reply, self._page)
            if clamped is not None:
                self._page = clamped
            elif conditions and reply.status in _NOT_TAKEN:
                # What it does not filter is filtered here; only more comes over the wire.
                self._plain = True
            else:
                raise _failed(reply, "a search")

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
        """An address of the same host that a proxy has made plain http of is asked for over https all the same."""
        own, parts = urlsplit(self._url), urlsplit(url)
        if own.scheme == "https" and parts.scheme == "http":
            if parts.hostname != own.hostname:
                raise ArchiveError(f"the next page is at {parts.hostname} over plain http, which is not asked")
            return parts._replace(scheme="https", netloc=own.netloc).geturl()
        return url

    def _page_of(self, request: _Request) -> dict[str, Any]:
        reply = self._send(request)
        if not reply.ok:
            raise _failed(reply, "a search")
        return _page(reply)

    def _ask(self, request: _Request, what: str) -> Any:
        reply = self._send(request)
        if not reply.ok:
            raise _failed(reply, what)
        return reply.json(what)

    def _send(self, request: _Request) -> session.Reply:
        headers = {**dict(request.headers), **self._access.headers(request.url)}
        return self._api.send(request.method, request.url, json=request.body, headers=headers)


def _failed(reply: session.Reply, what: str) -> SedasSyncError:
    error = reply.error(what)
    if reply.status in _UNAUTHORISED:
        return AuthenticationError(str(error), forbidden=reply.status == _FORBIDDEN)
    return error


def _smaller(reply: session.Reply, page: int) -> int | None:
    """A page that a server which refuses this one may give; None where that is not what it says."""
    if reply.status not in _NOT_TAKEN or not reply.says("limit") or page <= 1:
        return None
    return max(1, page // 2)


def _request(abilities: Abilities, question: Body) -> _Request:
    if abilities.method == "POST":
        return _Request("POST", abilities.search, question)
    flat = {name: _flat(value) for name, value in question.items()}
    address = _with_query(abilities.search, flat)
    if len(address) > LONGEST_ADDRESS and "intersects" in question:
        # A box around the outline holds all that the outline does.
        del flat["intersects"]
        flat["bbox"] = ",".join(map(repr, _bounds(question["intersects"])))
        address = _with_query(abilities.search, flat)
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
        raise ArchiveError("the archive answered a search with something that is no page of items")
    return page


def _names(features: list[Any]) -> Iterator[tuple[Any, Any]]:
    for feature in features:
        name = (feature.get("collection"), feature.get("id")) if isinstance(feature, dict) else (None, None)
        # What has no name that can be compared counts as one of its own.
        yield name if all(isinstance(part, str | None) for part in name) and name[1] else (None, id(feature))


def _check_count(page: Mapping[str, Any], found: int) -> None:
    context = page.get("context")
    matched = page.get("numberMatched")
    if matched is None and isinstance(context, dict):
        matched = context.get("matched")
    if isinstance(matched, int) and found < matched:
        raise IncompleteSearch(f"the server says that {matched} items match, and gave {found}")


def _joined(base: str, href: str) -> str:
    """The address that a link gives."""
    try:
        url = urljoin(base, href)
        urlsplit(url)
    except ValueError:
        raise ArchiveError(f"{redact.shorten(href, 120)!r} is not an address that can be asked") from None
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


def _read_landing(landing: Any, url: str) -> Abilities:
    """What a landing page says; POST is taken where it is offered."""
    post = _link(landing, "search", lambda link: str(link.get("method", "GET")).upper() == "POST")
    link = post or _link(landing, "search")
    if link is None:
        raise ArchiveError(
            f"{redact.shorten(url)} has no link to item search: is it the landing page of a STAC API? "
            "A catalogue of files alone cannot be searched"
        )
    search = _joined(url if url.endswith("/") else f"{url}/", link["href"])
    own = urlsplit(url)
    if own.scheme == "https" and urlsplit(search).scheme == "http" and urlsplit(search).hostname == own.hostname:
        search = urlsplit(search)._replace(scheme="https", netloc=own.netloc).geturl()
    method: Literal["GET", "POST"] = "POST" if post is not None else "GET"
    return Abilities(search, method, _way(landing, method))


def _way(landing: Any, method: str) -> Way | None:
    """How conditions are said, by the conformance classes (filter extension 1.0, query extension 1.0)."""
    given = landing.get("conformsTo")
    classes = [uri for uri in given if isinstance(uri, str)] if isinstance(given, list) else []

    def conforms(*ends: str) -> bool:
        return any(uri.rstrip("/").endswith(ends) for uri in classes)

    if conforms("item-search#filter"):
        ways: tuple[Way, ...] = ("cql2-json", "cql2-text") if method == "POST" else ("cql2-text", "cql2-json")
        for way in ways:
            if conforms(f"/{way}", f"#{way}", f":{way}"):
                return way
    return "query" if conforms("item-search#query") else None
