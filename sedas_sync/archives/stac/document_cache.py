"""Files of static catalogues that were read before, in the user's cache folder.

One SQLite file per catalogue. It is only a cache: if it cannot be used, every file is requested again.
"""

import hashlib
import os
import sqlite3
import zlib
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from sedas_sync.net.policy import setting

FOLDER_VARIABLE = "SEDAS_SYNC_CACHE"
"""The environment variable with the folder of the cache, or `off`."""
_MOST = 64 << 20
"""Bytes of the largest file that is remembered."""
_TABLE = "CREATE TABLE IF NOT EXISTS documents (url TEXT PRIMARY KEY, etag TEXT, modified TEXT, body BLOB NOT NULL)"


class Document(NamedTuple):
    """A file as a server sent it."""

    body: bytes
    etag: str | None
    modified: str | None
    """The server's date of its last change."""

    @property
    def conditions(self) -> dict[str, str]:
        """The headers of a request that asks only for a change (RFC 9110, 13.1)."""
        if self.etag:
            return {"If-None-Match": self.etag}
        return {"If-Modified-Since": self.modified} if self.modified else {}


class DocumentCache:
    """Remembers the files of one catalogue. Not safe for threads.

    Args:
        path: The SQLite file; None remembers nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known: dict[str, tuple[str | None, str | None, bytes]] | None = None
        self._new: dict[str, Document] = {}

    def get(self, url: str) -> Document | None:
        """Return a file that the server can be asked about; None if it is not known."""
        if self._known is None:
            self._known = self._load()
        found = self._known.get(url)
        return None if found is None else Document(zlib.decompress(found[2]), found[0], found[1])

    def put(self, url: str, document: Document) -> None:
        """Remember a file, if the server can be asked about it later."""
        if document.conditions and len(document.body) <= _MOST:
            self._new[url] = document

    def flush(self) -> None:
        """Write the files that were read, and forget those that were not."""
        if self._path is None or not self._new:
            return
        rows = [(url, one.etag, one.modified, zlib.compress(one.body)) for url, one in self._new.items()]
        with suppress(OSError, sqlite3.Error):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._path, timeout=1)) as database, database:
                database.execute(_TABLE)
                database.execute("DELETE FROM documents")
                database.executemany("INSERT INTO documents VALUES (?, ?, ?, ?)", rows)

    def _load(self) -> dict[str, tuple[str | None, str | None, bytes]]:
        if self._path is None or not self._path.is_file():
            return {}
        with suppress(OSError, sqlite3.Error), closing(sqlite3.connect(self._path, timeout=1)) as database:
            rows = database.execute("SELECT url, etag, modified, body FROM documents")
            return {url: (etag, modified, body) for url, etag, modified, body in rows}
        return {}


def cache_of(url: str, environ: Mapping[str, str] = os.environ) -> DocumentCache:
    """Return the cache of a catalogue, in `SEDAS_SYNC_CACHE` or else in the user's cache folder (XDG)."""
    chosen = setting(environ, FOLDER_VARIABLE)
    home = setting(environ, "XDG_CACHE_HOME") or (f"{environ['HOME']}/.cache" if environ.get("HOME") else None)
    folder = chosen or (None if home is None else f"{home}/sedas-sync")
    if folder is None or folder.lower() == "off":
        return DocumentCache(None)
    return DocumentCache(Path(folder) / "catalogues" / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.sqlite")
