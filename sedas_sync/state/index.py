"""The index of a mirror: which files are on disk, and which scenes match each dataset.

One SQLite file below `.sedas-sync/`. It is a cache: the folder has the scenes, and a damaged index is built again from
it. A file's row is written after the file has its name. What a look at the folder does not give back, the orders, is in
`sedas_sync.state.order_journal`, which the index opens and closes. `sedas_sync.state.history` reads and writes the
past. One process writes (it holds the mirror's lock), any number read beside it.
"""

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from msgspec.structs import asdict

from sedas_sync.errors import DISK_FULL, SedasSyncError, TransferError, is_disk_full
from sedas_sync.files.safe_tree import STATE
from sedas_sync.model.local import LocalScene
from sedas_sync.model.order import ListedOrder, Order
from sedas_sync.model.scene import DesiredScene, SceneId
from sedas_sync.planning.order_pauses import next_order
from sedas_sync.state.connection import INDEX
from sedas_sync.state.database import IndexUnwritableError, errors_in_words, open_for_reading, open_for_writing
from sedas_sync.state.order_journal import OrderJournal
from sedas_sync.state.rows import (
    PUT_FILE,
    PUT_WANTED,
    SELECT,
    SELECT_WITHOUT_FACTS,
    packed_of,
    parts_of,
    row_of,
    scene_of_row,
)

_BATCH = 200
_BATCH_SECONDS = 1.0
"""How many files, and for how many seconds, may wait for one commit."""

_SMALL = 256
"""Pages of an index that is never compacted: a megabyte."""


class Index:
    """The index and the orders of one mirror, open for reading.

    Args:
        root: The mirror's folder; without an index in it there are no rows.
        check: Look for damage first, which reads the whole file.
        damaged: Do not open the file, because it is damaged; there are no rows, only the orders.

    Raises:
        ManifestError: The index was written by a newer version.
        IndexDamagedError: It is damaged or of an older format.
    """

    def __init__(self, root: Path, *, check: bool = True, damaged: bool = False) -> None:
        self.damaged = damaged
        """Whether the index is empty because the file is damaged, not because the mirror is."""
        self._open(root, None if damaged else open_for_reading(root, check=check))

    def _open(self, root: Path, db: sqlite3.Connection | None) -> None:
        self.root = root
        self.path = root / STATE / INDEX
        self.warnings: list[str] = []
        """Problems with the index and the order journal that stopped nothing."""
        self._connection = db
        self._journal = OrderJournal(root)
        if self._journal.unreadable:
            self.warnings.append(
                f"{self._journal.path}: {self._journal.unreadable} lines cannot be read; scenes whose orders they were "
                "may be ordered again"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query; none if there is no index."""
        if self._connection is None:
            return []
        try:
            with errors_in_words(self.path):
                return self._connection.execute(sql, values).fetchall()
        except IndexUnwritableError as error:
            raise SedasSyncError(str(error).replace("cannot be written", "cannot be read")) from error

    def _value(self, sql: str, *values: object) -> Any:
        """Return the first column of the first row; None if there is none."""
        return next((row[0] for row in self.rows(sql, *values)), None)

    def local_scenes(self) -> Iterator[LocalScene]:
        """Yield every scene on disk that is in the index."""
        yield from map(scene_of_row, self.rows(SELECT))

    def local_scenes_of(self, wanted: Mapping[SceneId, DesiredScene]) -> dict[SceneId, LocalScene]:
        """Return those of these scenes that are on disk, without metadata, which the plan has anyway.

        Folders that are not listed again have it: it shows by which patterns their files were chosen.

        The text of ids and paths is shared with `wanted`: that counts for a hundred thousand scenes.
        """
        chosen = {}
        if any(want.scene.listing for want in wanted.values()):
            folders = self.rows("SELECT id, facts FROM files WHERE parts IS NOT NULL")
            chosen = {key: facts for key, facts in folders if key in wanted and wanted[key].scene.listing}
        found = {}
        for scene_id, path, *values, facts in self.rows(SELECT_WITHOUT_FACTS):
            if (want := wanted.get(scene_id)) is not None:
                shared = (want.scene.id, want.path if want.path == path else path)
                found[want.scene.id] = scene_of_row((*shared, *values, chosen.get(scene_id, facts)))
        return found

    def local_scene(self, scene_id: SceneId) -> LocalScene | None:
        """Return a scene on disk; None if it is not in the index."""
        return next(map(scene_of_row, self.rows(f"{SELECT} WHERE id = ?", scene_id)), None)

    def facts(self) -> dict[SceneId, str]:
        """Return the metadata of the scenes on disk, as `sedas_sync.model.metadata` writes it."""
        return dict(self.rows("SELECT id, facts FROM files"))

    def has_path(self, path: str) -> bool:
        """Return whether a scene is at a path."""
        return bool(self._value("SELECT count(*) FROM files WHERE path = ?", path))

    def count(self) -> int:
        """Return the number of scenes on disk."""
        return self._value("SELECT count(*) FROM files") or 0

    def ids(self) -> set[SceneId]:
        """Return the ids of the scenes on disk."""
        return {row[0] for row in self.rows("SELECT id FROM files")}

    def orders(self) -> Iterator[Order]:
        """Yield every order, oldest first."""
        yield from self._journal.orders()

    def listed_orders(self) -> tuple[ListedOrder, ...]:
        """Return every order, oldest first, with what is known of its scene."""
        orders, wanted = self._journal.orders(), self.wanted() if self._journal.orders() else {}
        ids = {scene_id for of_dataset in wanted.values() for scene_id in of_dataset}
        return tuple(
            ListedOrder(**asdict(order), wanted=not wanted or order.id in ids, again=next_order(order))
            for order in orders
        )

    def last_errors(self) -> dict[SceneId, str]:
        """Return the last error of each scene that failed since it was last fetched, and of each failed search."""
        return self._search_errors() | dict(self.rows("SELECT id, error FROM errors"))

    @property
    def has_errors(self) -> bool:
        """Whether a scene has failed since it was last fetched."""
        return bool(self._value("SELECT count(*) FROM errors"))

    def _search_errors(self) -> dict[str, str]:
        return dict(json.loads(self.meta("failures") or "{}"))

    def meta(self, key: str) -> str | None:
        """Return a value that the index has once; None if it was not set."""
        found: str | None = self._value("SELECT value FROM meta WHERE key = ?", key)
        return found

    def owner(self) -> str | None:
        """Return the manifest this mirror belongs to, as a path relative to the mirror; None if it has no owner yet."""
        return self.meta("manifest")

    def absolute_owner(self) -> str | None:
        """Return the absolute path of the manifest this mirror belongs to; None if it is not known."""
        return self.meta("absolute_manifest")

    def wanted(self) -> dict[str, tuple[SceneId, ...]]:
        """Return the scenes that each dataset wanted when it was last applied, by the dataset's name."""
        return {row[0]: tuple(json.loads(row[1])) for row in self.rows("SELECT dataset, ids FROM wanted")}

    @property
    def lock_decides(self) -> bool:
        """Whether the last apply of all datasets was a locked one, or there was none."""
        return self.meta("locked") != "no"

    @property
    def unpacks(self) -> bool:
        """Whether the last apply unpacked zips."""
        return self.meta("unpack") == "yes"

    def absent(self) -> dict[SceneId, str]:
        """Return the metadata of the scenes that were wanted or on order, and not on disk, when the last run ended."""
        return dict(self.rows("SELECT id, facts FROM absent"))


class WritableIndex(Index):
    """The index and the orders of one mirror, open for writing; created if they are missing.

    The caller holds the mirror's lock.

    Args:
        root: The mirror's folder.

    Raises:
        ManifestError: The index was written by a newer version.
        IndexDamagedError: It is damaged or of an older format.
        IndexUnwritableError: It cannot be written.
    """

    def __init__(self, root: Path) -> None:
        self.skip_when_full = False
        """Do not raise if a row does not fit on the disk, but set `unwritten`: the folder has what the index lacks."""
        self.unwritten: IndexUnwritableError | None = None
        """Whether a row was skipped because the disk is full."""
        self.damaged = False
        self._db = open_for_writing(root)
        self._open(root, self._db)

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            super().close()
            with suppress(OSError, TransferError):
                self._journal.close()

    @contextmanager
    def _tolerating_full_disk(self) -> Iterator[None]:
        try:
            yield
        except IndexUnwritableError as error:
            if not self.skip_when_full:
                raise
            if self.unwritten is None:
                self.unwritten = error
                self.warnings.append(str(error))

    def execute(self, sql: str, *values: object) -> bool:
        """Change rows, and return whether there were any; a full disk is only noted if `skip_when_full` is set."""
        before = self._db.total_changes
        with self._tolerating_full_disk():
            self._db.execute(sql, values)
        return self._db.total_changes > before

    def execute_each(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Change rows once for the values of each item, in one commit; a full disk as in `execute`."""
        with self._tolerating_full_disk(), self.together():
            self._db.executemany(sql, rows)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write all rows of a `with` block in one commit. What was written before an error is committed too."""
        if self._in_transaction():
            yield
            return
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            # On a full disk SQLite may have ended the transaction.
            if self._in_transaction():
                with self._tolerating_full_disk():
                    self._commit()

    def _in_transaction(self) -> bool:
        return self._db.in_transaction

    def _commit(self) -> None:
        try:
            self._db.execute("COMMIT")
        except SedasSyncError:
            # Left open, the transaction would include everything that is written later.
            with suppress(SedasSyncError, sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise

    def compact(self) -> None:
        """Give unused pages back to the file system if they are a third of the file."""
        ((pages,),), ((free,),) = self.rows("PRAGMA page_count"), self.rows("PRAGMA freelist_count")
        if pages > _SMALL and free * 3 > pages:
            with suppress(SedasSyncError, sqlite3.Error):
                self._db.execute("VACUUM")

    def put_meta(self, key: str, value: str) -> None:
        """Set a value that the index has once."""
        self.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", key, value)

    def set_owner(self, manifest: str, absolute: str | None) -> None:
        """Record the manifest this mirror belongs to, by its path from the mirror and by its absolute path."""
        self.put_meta("manifest", manifest)
        if absolute is not None:
            self.put_meta("absolute_manifest", absolute)

    def put_files(self, scenes: Sequence[LocalScene], now: datetime) -> None:
        """Record scenes that are on disk; other rows of the same scenes or paths are replaced."""
        if not scenes:
            return
        recorded = now.isoformat()
        ids = {scene.id for scene in scenes}
        rows = [row_of(scene, recorded) for scene in scenes]
        with self._tolerating_full_disk(), self.together():
            self._db.executemany(PUT_FILE, rows)
            self._db.executemany("DELETE FROM errors WHERE id = ?", [(scene_id,) for scene_id in ids])
            if failed := self._search_errors().keys() & ids:
                self.put_failures({}, of=failed)

    def put_times(self, scenes: Sequence[LocalScene]) -> None:
        """Record new mtimes and checksums of files whose bytes are the same."""
        rows = [(each.mtime_ns, each.sha256, each.digest, parts_of(each), packed_of(each), each.id) for each in scenes]
        if rows:
            sql = "UPDATE files SET mtime_ns = ?, sha256 = ?, digest = ?, parts = ?, packed = ? WHERE id = ?"
            self.execute_each(sql, rows)

    def put_facts(self, facts: Mapping[SceneId, str]) -> None:
        """Record the metadata of scenes on disk as the catalogue has them now, as `sedas_sync.model.metadata` does."""
        rows = ((text, scene_id) for scene_id, text in facts.items())
        self.execute_each("UPDATE files SET facts = ? WHERE id = ?", rows)

    def drop_file(self, scene_id: SceneId) -> None:
        """Remove a scene that is no longer on disk."""
        self.execute("DELETE FROM files WHERE id = ?", scene_id)
        self.drop_error(scene_id)

    def reserve_order(self, slot: int = 0) -> None:
        """Make sure that an order which is placed now can be recorded; from any thread.

        Args:
            slot: A number for each caller that may place an order at the same time.

        Raises:
            IndexUnwritableError: The disk has no room for it.
        """
        if self.unwritten is not None:
            raise IndexUnwritableError(str(self.unwritten), disk_full=self.unwritten.disk_full)
        with self._journal_errors():
            self._journal.reserve(slot)

    def add_order(self, order: Order) -> None:
        """Record a new order, from any thread; it is on the disk when this returns.

        Raises:
            SedasSyncError: It cannot be written. After `reserve_order` that is a failing disk, not a full one.
        """
        try:
            self._journal.add(order)
        except OSError as error:
            raise SedasSyncError(
                f"{self._journal.path}: order {order.order} was placed and cannot be recorded: {error.strerror}"
            ) from error

    def update_order(self, order: Order) -> None:
        """Record a change of an order's state; a power cut may lose it."""
        with self._tolerating_full_disk(), self._journal_errors():
            self._journal.update(order)

    def drop_order(self, scene_id: SceneId) -> None:
        """Forget the order of a scene."""
        with self._tolerating_full_disk(), self._journal_errors():
            self._journal.drop(scene_id)

    @contextmanager
    def _journal_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            full = is_disk_full(error)
            message = f"{self._journal.path}: an order cannot be recorded: {DISK_FULL if full else error.strerror}"
            raise IndexUnwritableError(message, disk_full=full) from error

    def put_error(self, scene_id: SceneId, error: str, now: datetime) -> None:
        """Record the last error of a scene."""
        self.execute("INSERT OR REPLACE INTO errors VALUES (?, ?, ?)", scene_id, error, now.isoformat())

    def drop_error(self, scene_id: SceneId) -> None:
        """Remove the last error of a scene."""
        self.execute("DELETE FROM errors WHERE id = ?", scene_id)

    def drop_errors(self, *, but: AbstractSet[SceneId]) -> None:
        """Remove the last errors of all scenes but these."""
        for (scene_id,) in self.rows("SELECT id FROM errors"):
            if scene_id not in but:
                self.drop_error(scene_id)

    def put_failures(self, failures: Mapping[str, str], *, of: AbstractSet[str] | None) -> None:
        """Record which searches and look-ups failed, by dataset or scene.

        Args:
            failures: The last error of each.
            of: Whose older failures are removed; all of them if None.
        """
        older = {} if of is None else {key: why for key, why in self._search_errors().items() if key not in of}
        self.put_meta("failures", json.dumps({**older, **failures}, ensure_ascii=False))

    def put_wanted(self, wanted: Mapping[str, Iterable[SceneId]], *, only: bool) -> None:
        """Record what datasets want now, in one row each, and forget their complete searches.

        Args:
            wanted: The scenes of each dataset, by its name.
            only: Remove datasets that are not in `wanted`.
        """
        rows = [(name, json.dumps(list(ids), ensure_ascii=False)) for name, ids in wanted.items()]
        gone = [row for row in self.rows("SELECT dataset FROM wanted") if only and row[0] not in wanted]
        with self._tolerating_full_disk(), self.together():
            self._db.executemany("DELETE FROM wanted WHERE dataset = ?", gone)
            self._db.executemany(PUT_WANTED, rows)

    def put_locked(self, *, locked: bool) -> None:
        """Record whether all datasets were applied with the lock file."""
        self.put_meta("locked", "yes" if locked else "no")

    def put_unpacks(self, *, unpack: bool) -> None:
        """Record whether the manifest unpacks zips."""
        self.put_meta("unpack", "yes" if unpack else "no")

    def put_absent(self, facts: Mapping[SceneId, str], *, only: bool) -> None:
        """Record the metadata of scenes that are wanted and not on disk, for reports.

        Args:
            facts: As `sedas_sync.model.metadata` writes them.
            only: Remove scenes that are not in `facts`.
        """
        with self._tolerating_full_disk(), self.together():
            if only:
                self._db.execute("DELETE FROM absent")
            self._db.executemany("INSERT OR REPLACE INTO absent VALUES (?, ?)", facts.items())


class BatchWriter:
    """Records scenes some at a time: small files come faster than commits.

    A scene added less than a second ago may not be written yet. Leaving the context writes the rest.
    """

    def __init__(self, index: WritableIndex, now: Callable[[], datetime]) -> None:
        self._index = index
        self._now = now
        self._added: list[LocalScene] = []
        self._written = time.monotonic()

    def add(self, scene: LocalScene) -> None:
        """Record a scene that is on disk, and forget its order."""
        self._added.append(scene)
        if len(self._added) >= _BATCH or time.monotonic() - self._written > _BATCH_SECONDS:
            self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()

    def flush(self) -> bool:
        """Write what was added; return whether everything is in the index: a full disk may not take it."""
        with self._index.together():
            self._index.put_files(self._added, self._now())
            for scene in self._added:
                self._index.drop_order(scene.id)
        self._added = []
        self._written = time.monotonic()
        return self._index.unwritten is None
