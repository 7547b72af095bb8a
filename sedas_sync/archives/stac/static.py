"""Static catalogues: files that link to each other, and STAC GeoParquet files.

A catalogue without a search is read whole and filtered here. All its files are requested each time, but a file that has
not changed is not sent again: the cache remembers it with its ETag or date. A file that cannot be read makes the search
incomplete; an item that no longer exists does not.
"""

import json
import tempfile
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from sedas_sync.archives.stac.access import Access
from sedas_sync.archives.stac.document_cache import Document, DocumentCache
from sedas_sync.errors import ArchiveError, AuthenticationError, IncompleteSearch, ManifestError, StoppedError
from sedas_sync.model.threads import Pool
from sedas_sync.net import redact, session

AT_ONCE = 8
"""Requests at the same time."""
_AHEAD = 256
"""Requests that wait, at most: a catalogue may link to 100,000 items."""
_NOT_MODIFIED, _GONE = 304, (404, 410)
_CHILDREN = ("child", "items")
PARQUET = (".parquet", ".geoparquet")

Feature = dict[str, Any]


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
        self._items: list[tuple[str, bytes]] | None = None
        self._problems: list[str] = []
        self._gone = 0

    def items(self) -> Iterator[tuple[str, Feature]]:
        """Yield all items with the URL that their links are relative to.

        Raises:
            IncompleteSearch: A file could not be read. All items that were found have been yielded.
            AuthenticationError: The server refused the credentials.
            ManifestError: The file is GeoParquet, and the extra for it is not installed.
        """
        with self._lock:
            if self._items is None:
                read = self._read_parquet() if is_parquet(self._url) else self._crawl()
                # As text, because 100,000 items as objects need gigabytes.
                self._items = [(url, json.dumps(item).encode()) for url, item in read]
        for url, text in self._items:
            yield url, json.loads(text)
        if self._problems:
            more = f" and {len(self._problems) - 1} more files" if len(self._problems) > 1 else ""
            raise IncompleteSearch(f"the catalogue could not be read whole: {self._problems[0]}{more}")

    @property
    def gone(self) -> int:
        """How many items the catalogue links to that do not exist."""
        return self._gone

    # -- files that link to each other -------------------------------------------------------------------------------

    def _crawl(self) -> Iterator[tuple[str, Feature]]:
        seen = {self._url}
        ahead: list[tuple[str, bool]] = [(self._url, False)]
        running: dict[Future[Document | None], tuple[str, bool]] = {}
        with Pool(AT_ONCE, "catalogue") as pool:
            try:
                while ahead or running:
                    while ahead and len(running) < _AHEAD:
                        url, is_item = ahead.pop()
                        running[pool.submit(self._fetch, url, self._cache.get(url))] = url, is_item
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        url, is_item = running.pop(future)
                        for item in self._take(future, url, is_item=is_item, seen=seen, ahead=ahead):
                            yield url, item
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
                self._cache.flush()

    def _take(
        self,
        future: "Future[Document | None]",
        url: str,
        *,
        is_item: bool,
        seen: set[str],
        ahead: list[tuple[str, bool]],
    ) -> Iterator[Feature]:
        """Yield the items of one file, and note the files that it links to."""
        try:
            document = future.result()
            content = None if document is None else json.loads(document.body)
        except ValueError:
            self._problems.append(f"{redact.shorten(url, 120)} is not JSON")
            return
        except (AuthenticationError, StoppedError):
            raise
        except ArchiveError as error:
            self._problems.append(f"{redact.shorten(url, 120)}: {error}")
            return
        if document is None and is_item:
            self._gone += 1
        elif document is None or not isinstance(content, dict):
            self._problems.append(
                f"{redact.shorten(url, 120)} {'does not exist' if document is None else 'is no catalogue'}"
            )
        else:
            self._cache.put(url, document)
            features = content.get("features")
            if content.get("type") == "Feature":
                yield content
            elif isinstance(features, list):
                yield from (feature for feature in features if isinstance(feature, dict))
            for link, to_item in _links(content, url):
                if link not in seen:
                    seen.add(link)
                    ahead.append((link, to_item))

    def _fetch(self, url: str, known: Document | None) -> Document | None:
        """Request a file, or only whether it has changed; None if it does not exist."""
        headers = {**self._access.headers(url), **({} if known is None else known.conditions)}
        reply = self._api.send("GET", url, headers=headers)
        if known is not None and reply.status == _NOT_MODIFIED:
            return known
        if reply.status in _GONE:
            return None
        if reply.status in (401, 403):
            raise AuthenticationError(f"{reply.error('the request for a catalogue')}; {self._access.advice(url)}")
        if not reply.ok:
            raise reply.error("the request for a catalogue")
        return Document(reply.body, reply.headers.get("ETag"), reply.headers.get("Last-Modified"))

    # -- GeoParquet --------------------------------------------------------------------------------------------------

    def _read_parquet(self) -> Iterator[tuple[str, Feature]]:
        try:
            rustac = import_module("rustac")
        except ImportError:
            raise ManifestError(
                f"{redact.shorten(self._url, 120)} is a GeoParquet file: reading it needs the extra "
                "sedas-sync[geoparquet]"
            ) from None
        document = self._fetch(self._url, self._cache.get(self._url))
        if document is None:
            raise ArchiveError(f"{redact.shorten(self._url, 120)} does not exist: is the archive's url right?")
        self._cache.put(self._url, document)
        self._cache.flush()
        with tempfile.TemporaryDirectory(prefix="sedas-sync-") as folder:
            path = Path(folder, "items.parquet")
            path.write_bytes(document.body)
            try:
                listed = rustac.read_sync(str(path), format="geoparquet", set_self_link=False)
            except Exception as error:  # noqa: BLE001  # a parser of another package may raise anything
                raise ArchiveError(
                    f"{redact.shorten(self._url, 120)} cannot be read as STAC GeoParquet: {error}"
                ) from None
        yield from ((self._url, item) for item in listed["features"])


def is_parquet(url: str) -> bool:
    """Return whether a URL is that of a GeoParquet file."""
    return urlsplit(url).path.lower().endswith(PARQUET)


def is_catalogue(landing: Any) -> bool:
    """Return whether the document at an archive's URL is a static catalogue: it links to catalogues or has items."""
    if not isinstance(landing, dict):
        return False
    return isinstance(landing.get("features"), list) or landing.get("type") == "Feature" or any(_links(landing, ""))


def _links(document: Mapping[str, Any], url: str) -> Iterator[tuple[str, bool]]:
    """Yield the URLs of catalogues, pages and items that a file links to, and whether it is an item."""
    links = document.get("links")
    pages = ("next",) if isinstance(document.get("features"), list) else ()
    for link in links if isinstance(links, list) else ():
        if not isinstance(link, dict) or not isinstance(link.get("href"), str):
            continue
        if link.get("rel") in ("item", *_CHILDREN, *pages):
            try:
                yield urljoin(url, link["href"]).partition("#")[0], link["rel"] == "item"
            except ValueError:
                continue
