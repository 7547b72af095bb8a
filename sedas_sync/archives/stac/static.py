"""Static catalogues: files that link to each other, and STAC GeoParquet files.

A catalogue without a search is read whole and filtered here. All its files are requested each time, but a file that has
not changed is not sent again: the cache remembers it with its ETag or date. A file that cannot be read makes the search
incomplete; an item that no longer exists does not.
"""

import json
import tempfile
import threading
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

from sedas_sync.archives.stac.access import Access
from sedas_sync.archives.stac.document_cache import CachedDocument, DocumentCache
from sedas_sync.errors import ArchiveError, AuthenticationError, IncompleteSearch, StoppedError
from sedas_sync.files.extras import load_extra
from sedas_sync.files.threads import Pool
from sedas_sync.net import redact, session

AT_ONCE = 8
"""Requests at the same time."""
_AHEAD = 256
"""Requests that wait, at most: a catalogue may link to 100,000 items."""
_NOT_MODIFIED, _GONE = 304, (404, 410)
_CHILDREN = ("child", "items")
PARQUET = (".parquet", ".geoparquet")

MOST_FILES = 1_000_000
"""Files of a catalogue after which reading it ends: it may be made up as it is read."""

Feature = dict[str, Any]


class ListedItem(NamedTuple):
    """An item of a catalogue."""

    item: Feature
    base: str
    """The URL that its links are relative to."""
    within: tuple[str, ...]
    """The ids of the catalogues and collections that it is in."""


class _Link(NamedTuple):
    url: str
    is_item: bool
    within: tuple[str, ...]


class StaticCatalogue:
    """A catalogue of files; read once.

    Args:
        url: `catalog.json`, `collection.json`, an item collection, or a STAC GeoParquet file.
        api: Sends the requests.
        access: Authorises the requests.
        cache: Remembers files that have not changed.
    """

    def __init__(self, url: str, api: session.Api, access: Access, cache: DocumentCache) -> None:
        self._url = url
        self._api = api
        self._access = access
        self._cache = cache
        self._lock = threading.Lock()
        self._items: list[tuple[bytes, str, tuple[str, ...]]] | None = None
        self._problems: list[str] = []
        self._gone = 0

    def items(self) -> Iterator[ListedItem]:
        """Yield all items.

        Raises:
            IncompleteSearch: A file could not be read. All items that were found have been yielded.
            AuthenticationError: The server refused the credentials.
            ManifestError: The file is GeoParquet, and the extra for it is not installed.
        """
        with self._lock:
            if self._items is None:
                read = self._read_parquet() if is_parquet(self._url) else self._crawl()
                # Packed, because 100,000 items as objects need gigabytes.
                self._items = [(zlib.compress(json.dumps(one.item).encode(), 1), one.base, one.within) for one in read]
        for packed, base, within in self._items:
            yield ListedItem(json.loads(zlib.decompress(packed)), base, within)
        if self._problems:
            more = f" and {len(self._problems) - 1} more files" if len(self._problems) > 1 else ""
            raise IncompleteSearch(f"the catalogue could not be read whole: {self._problems[0]}{more}")

    @property
    def gone(self) -> int:
        """How many items the catalogue links to that do not exist."""
        return self._gone

    # -- files that link to each other -------------------------------------------------------------------------------

    def _crawl(self) -> Iterator[ListedItem]:
        seen = {self._url}
        ahead = [_Link(self._url, is_item=False, within=())]
        running: dict[Future[CachedDocument | None], _Link] = {}
        with Pool(AT_ONCE) as pool:
            try:
                while ahead or running:
                    while ahead and len(running) < _AHEAD:
                        link = ahead.pop()
                        running[pool.submit(self._fetch, link.url, self._cache.get(link.url))] = link
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        link = running.pop(future)
                        content = self._content(future, link)
                        if content is None:
                            continue
                        yield from _items_in(content, link)
                        new = [one for one in _links(content, link) if one.url not in seen]
                        seen.update(one.url for one in new)
                        ahead += new
                    if len(seen) > MOST_FILES:
                        self._problems.append(f"it has more than {MOST_FILES:,} files")
                        return
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
                self._cache.close(whole=not (ahead or running or self._problems))

    def _content(self, future: "Future[CachedDocument | None]", link: _Link) -> dict[str, Any] | None:
        """Return what a file contains; None if it is not there, or cannot be used."""
        shown = redact.shorten(link.url, 120)
        try:
            document = future.result()
            content = None if document is None else json.loads(document.body)
        except ValueError:
            self._problems.append(f"{shown} is not JSON")
            return None
        except (AuthenticationError, StoppedError):
            raise
        except ArchiveError as error:
            self._problems.append(f"{shown}: {error}")
            return None
        if document is not None and isinstance(content, dict):
            self._cache.put(link.url, document)
            return content
        if document is None and link.is_item:
            self._gone += 1
        else:
            self._problems.append(f"{shown} {'does not exist' if document is None else 'is no catalogue'}")
        return None

    def _fetch(self, url: str, known: CachedDocument | None) -> CachedDocument | None:
        """Request a file, or only whether it has changed; None if it does not exist."""
        headers = {**self._access.headers(url), **({} if known is None else known.conditions)}
        reply = self._api.send("GET", url, headers=headers, kind="search")
        if known is not None and reply.status == _NOT_MODIFIED:
            return known
        if reply.status in _GONE:
            return None
        if reply.status in (401, 403):
            raise AuthenticationError(f"{reply.error('the request for a catalogue')}; {self._access.advice(url)}")
        if not reply.ok:
            raise reply.error("the request for a catalogue")
        return CachedDocument(reply.body, reply.headers.get("ETag"), reply.headers.get("Last-Modified"))

    # -- GeoParquet --------------------------------------------------------------------------------------------------

    def _read_parquet(self) -> Iterator[ListedItem]:
        rustac = load_extra("rustac", "stac-geoparquet", f"{redact.shorten(self._url, 120)}, a GeoParquet file,")
        document = self._fetch(self._url, self._cache.get(self._url))
        if document is None:
            raise ArchiveError(f"{redact.shorten(self._url, 120)} does not exist: is the archive's url right?")
        self._cache.put(self._url, document)
        self._cache.close(whole=True)
        with tempfile.TemporaryDirectory(prefix="sedas-sync-") as folder:
            path = Path(folder, "items.parquet")
            path.write_bytes(document.body)
            try:
                listed = rustac.read_sync(str(path), format="geoparquet", set_self_link=False)
            except Exception as error:  # noqa: BLE001  # a parser of another package may raise anything
                raise ArchiveError(
                    f"{redact.shorten(self._url, 120)} cannot be read as STAC GeoParquet: {error}"
                ) from None
        yield from (ListedItem(item, self._url, ()) for item in listed["features"])


def is_parquet(url: str) -> bool:
    """Return whether a URL is that of a GeoParquet file."""
    return urlsplit(url).path.lower().endswith(PARQUET)


def is_catalogue(landing: Any) -> bool:
    """Return whether the document at an archive's URL is a static catalogue: it links to catalogues or has items."""
    if not isinstance(landing, dict):
        return False
    here = _Link("", is_item=False, within=())
    return any(_items_in(landing, here)) or isinstance(landing.get("features"), list) or any(_links(landing, here))


def _items_in(document: Mapping[str, Any], at: _Link) -> Iterator[ListedItem]:
    """Yield the items that a file contains."""
    features = document.get("features")
    found = [document] if document.get("type") == "Feature" else features if isinstance(features, list) else []
    yield from (ListedItem(dict(item), at.url, at.within) for item in found if isinstance(item, dict))


def _links(document: Mapping[str, Any], at: _Link) -> Iterator[_Link]:
    """Yield the catalogues, pages and items that a file links to."""
    links, name = document.get("links"), document.get("id")
    within = at.within
    if isinstance(name, str) and document.get("type") in ("Catalog", "Collection"):
        within = (*within, name)
    pages = ("next",) if isinstance(document.get("features"), list) else ()
    for link in links if isinstance(links, list) else ():
        if not isinstance(link, dict) or not isinstance(link.get("href"), str):
            continue
        if link.get("rel") in ("item", *_CHILDREN, *pages):
            with suppress(ValueError):
                url = urljoin(at.url, link["href"]).partition("#")[0]
                yield _Link(url, is_item=link["rel"] == "item", within=within)
