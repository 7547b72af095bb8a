"""Files of static catalogues that were read before, in the user's cache folder.

One SQLite file per catalogue. It is only a cache: if it cannot be used, every file is requested again.
"""

import hashlib
import os
import sqlite3
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from sedas_sync.archives.cache_folder import cache_folder

_MOST = 64 << 20
"""Bytes of the largest file that is remembered."""
_TABLE = """
    CREATE TABLE IF NOT EXISTS documents
    (url TEXT PRIMARY KEY, etag TEXT, modified TEXT, body BLOB NOT NULL, used INTEGER NOT NULL)
"""
_FAULTS = (OSError, sqlite3.Error, zlib.error)


class CachedDocument(NamedTuple):
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
    """Remembers the files of one catalogue. One thread reads a catalogue: from the first `get` to `close`.

    Args:
        path: The SQLite file; None remembers nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._database: sqlite3.Connection | None = None

    def get(self, url: str) -> CachedDocument | None:
        """Return a file that the server can be asked about; None if it is not known."""
        try:
            if (database := self._open()) is not None:
                row = database.execute("SELECT body, etag, modified FROM documents WHERE url = ?", (url,)).fetchone()
                return None if row is None else CachedDocument(zlib.decompress(row[0]), row[1], row[2])
        except _FAULTS:
            self._give_up()
        return None

    def put(self, url: str, document: CachedDocument) -> None:
        """Remember a file, if the server can be asked about it later."""
        if not document.conditions or len(document.body) > _MOST:
            return
        try:
            if (database := self._open()) is not None:
                row = (url, document.etag, document.modified, zlib.compress(document.body))
                database.execute("INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?, 1)", row)
        except _FAULTS:
            self._give_up()

    def close(self, *, whole: bool) -> None:
        """Write what was read.

        Args:
            whole: Whether the catalogue was read whole, so that files that were not read are forgotten.
        """
        database, self._database = self._database, None
        if database is None:
            return
        with suppress(*_FAULTS):
            if whole:
                database.execute("DELETE FROM documents WHERE used = 0")
            database.execute("UPDATE documents SET used = 0")
            database.commit()
        with suppress(*_FAULTS):
            database.close()

    def _give_up(self) -> None:
        """Use the cache no longer: another process may be writing it."""
        database, self._database, self._path = self._database, None, None
        if database is not None:
            with suppress(*_FAULTS):
                database.close()

    def _open(self) -> sqlite3.Connection | None:
        if self._database is None and self._path is not None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                self._database = _connect(self._path)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:
                # A damaged file is replaced.
                self._path.unlink(missing_ok=True)
                self._database = _connect(self._path)
        return self._database


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=1)
    try:
        database.execute(_TABLE)
    except sqlite3.Error:
        database.close()
        raise
    return database


def cache_of(url: str, environ: Mapping[str, str] = os.environ) -> DocumentCache:
    """Return the cache of a catalogue, in the user's cache folder."""
    folder = cache_folder(environ)
    name = f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.sqlite"
    return DocumentCache(None if folder is None else folder / "catalogues" / name)
