"""The mirror's memory: which files are held, which orders are open, and what past runs did.

One SQLite file below `.sedas-sync/`. The folder is the truth and the index a memory of it: rows of files are written
after the rename that they describe, rows of orders before anything else happens. One process writes (it holds the
lock), any number read beside it.
"""

import errno
import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import Any, Self

from sedas_sync.errors import SedasSyncError, TransferError
from sedas_sync.files.safe_tree import STATE
from sedas_sync.model.scene import DesiredScene, LocalFile, LocalScene, Order, ProofLevel, SceneId
from sedas_sync.state import memory
from sedas_sync.state.database import (
    FULL,
    IndexDamagedError,
    IndexUnwritableError,
    checked_version,
    in_words,
    open_for_reading,
    open_for_writing,
)
from sedas_sync.state.memory import SCHEMA
from sedas_sync.state.order_journal import FIELDS as _ORDER
from sedas_sync.state.order_journal import OrderJournal, order_of
from sedas_sync.state.recovery import RecoveredOrders

_AT_ONCE = 200
_AT_LEAST_EVERY = 1.0
"""How many files, and for how many seconds, may wait for one commit."""

_HOLDING = tuple(name for name in LocalScene.__struct_fields__ if name != "members")


def _upsert(table: str, columns: tuple[str, ...]) -> str:
    names = ", ".join(f'"{name}"' for name in columns)
    return f"INSERT OR REPLACE INTO {table} ({names}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608  # names of our own


NO_FACTS = "{}"
"""What stands for facts that are not known, or were not read."""
_PART = tuple(name for name in LocalFile.__struct_fields__ if name != "path")

_values_of = attrgetter(*_HOLDING)
_values_of_part = attrgetter(*_PART)
_PUT_FILE = _upsert("files", (*_HOLDING, "parts", "recorded"))
_PUT_ORDER = _upsert("orders", _ORDER)
_UNSTAMP = "DELETE FROM meta WHERE key = 'stamp'"


def _parts_of(held: LocalScene) -> str | None:
    """The files of a folder as they are written down; None for a scene that is one file."""
    return json.dumps([list(_values_of_part(file)) for file in held.members]) if held.members else None


def _holding_of(row: tuple[Any, ...]) -> LocalScene:
    # One by one, since a mapping in between takes twice as long, and a mirror has a hundred thousand of them.
    scene_id, path, size, mtime_ns, sha256, level, archive, digest, facts, parts = row
    return LocalScene(
        id=scene_id,
        path=path,
        size=size,
        mtime_ns=mtime_ns,
        sha256=sha256,
        level=_LEVELS[level],
        archive=archive,
        digest=digest,
        facts=facts,
        members=() if parts is None else tuple(_part_of(part) for part in json.loads(parts)),
    )


def _same(text: str, other: str) -> str:
    """The text; where there is another with the same content, that one."""
    return other if text == other else text


def _part_of(values: Sequence[Any]) -> LocalFile:
    name, size, mtime_ns, sha256, level, digest = values
    return LocalFile(name=name, size=size, mtime_ns=mtime_ns, sha256=sha256, level=_LEVELS[level], digest=digest)


_LEVELS = {level.value: level for level in ProofLevel}


class Index:
    """The index of one mirror, open for reading or for writing.

    Args:
        root: the mirror's folder.
        write: open for writing, creating the file where there is none. The caller holds the mirror's lock.

    Raises:
        ManifestError: the index was written by a newer version of this package.
        IndexDamagedError: the file is there and is no index.
    """

    def __init__(self, root: Path, *, write: bool) -> None:
        self.path = root / STATE / memory.INDEX
        self.write = write
        self._version = SCHEMA
        self.forgiving = False
        """Whether a row that finds no room is left out, and said: the folder knows what the index does not."""
        self.said: list[str] = []
        """What went wrong with the index and stopped nothing."""
        self.on_damage: Callable[[Index, IndexDamagedError], RecoveredOrders] | None = None
        """Asked once to put a damaged index aside, where that may be; what it rescues goes on in the place of it."""
        self.on_rebuilt: Callable[[], None] = lambda: None
        """Told that the index was begun anew while it was open."""
        self.unwritten = False
        """Whether a row was left out for want of room."""
        self._rescued: tuple[Order, ...] = ()
        self._root = root
        self._notes = OrderJournal(root)
        self._db = self._open()
        if write:
            self._take_up_notes()

    def _open(self) -> sqlite3.Connection | None:
        if self.write:
            return open_for_writing(self._root)
        db = open_for_reading(self._root)
        if db is not None:
            self._version = checked_version(db, self.path)
        return db

    def _take_up_notes(self) -> None:
        """Take orders into the index that an earlier process had only time to note."""
        try:
            self._notes.take_up()
            noted = list(self._notes.read())
            known = {order.id: order for order in self._orders_of_rows()} if noted else {}
            for order in noted:
                self.put_order(known.get(order.id, order))
        except IndexUnwritableError as error:
            # The notes stay, and `orders` has them.
            self._leave_out(error)
        except IndexDamagedError:
            self.close()
            raise

    def _leave_out(self, error: IndexUnwritableError) -> None:
        if not self.unwritten:
            self.unwritten = True
            self.said.append(str(error))

    def _do(self, deed: Callable[[], object]) -> None:
        """Write what is only memory: no room for it, and damage that it meets, stop nothing that may go on."""
        try:
            try:
                deed()
            except IndexDamagedError as error:
                self._mended(error)
                deed()
        except IndexUnwritableError as error:
            if not self.forgiving:
                raise
            self._leave_out(error)

    def _execute(self, sql: str, values: Sequence[object] = ()) -> None:
        self._do(lambda: self._writer.execute(sql, values))

    def begin_anew(self, rescued: RecoveredOrders) -> None:
        """Go on with what was rescued of an index that was damaged: in a new file, or without one where only read."""
        self._rescued = rescued.orders
        if not self.write:
            return
        self._db = self._db or self._open()
        if rescued.owner is not None:
            self.set_owner(rescued.owner)
        for order in rescued.orders:
            self.put_order(order)
        self._rescued = ()
        self.on_rebuilt()

    def _mended(self, error: IndexDamagedError) -> None:
        """Begin anew where that may be.

        Raises:
            IndexDamagedError: it may not, or was done before.
        """
        mend, self.on_damage = self.on_damage, None
        if mend is None:
            raise error
        self.close()
        self.begin_anew(mend(self, error))

    @property
    def _parts(self) -> str:
        """The column of a folder's files, as far as this index has one."""
        return "parts" if self._version > 1 else "NULL"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._db is not None:
            with suppress(sqlite3.Error):
                self._db.close()
            self._db = None
            if self.write:
                with suppress(OSError, TransferError):
                    self._notes.clear()

    # -- reading -------------------------------------------------------------------------------------------------

    def _rows(self, sql: str, *values: object) -> Iterator[tuple[Any, ...]]:
        try:
            return self._fetched(sql, values)
        except IndexDamagedError as error:
            self._mended(error)
            return self._fetched(sql, values)

    def _fetched(self, sql: str, values: tuple[object, ...]) -> Iterator[tuple[Any, ...]]:
        if self._db is None:
            return iter(())
        try:
            with in_words(self.path):
                return iter(self._db.execute(sql, values).fetchall())
        except IndexUnwritableError as error:
            raise SedasSyncError(str(error).replace("cannot be written", "cannot be read")) from error

    def holdings(self) -> Iterator[LocalScene]:
        """Yield every file that is remembered."""
        for row in self._rows(f"SELECT {', '.join(_HOLDING)}, {self._parts} FROM files"):  # noqa: S608  # names of our own
            yield _holding_of(row)

    def holdings_of(self, wants: Mapping[SceneId, DesiredScene]) -> Iterator[LocalScene]:
        """Yield the files that are remembered of these scenes, without their scenes' facts, which a plan has anew.

        Of a hundred thousand it matters that names are not kept twice.
        """
        sql = f"SELECT {', '.join(_HOLDING[:-1])}, {self._parts} FROM files"  # noqa: S608  # names of our own
        for scene_id, path, *values, parts in self._rows(sql):
            if (want := wants.get(scene_id)) is not None:
                names = (_same(scene_id, want.scene.id), _same(path, want.path))
                yield _holding_of((*names, *values, NO_FACTS, parts))

    def count(self) -> int:
        """How many files are remembered."""
        return next((int(row[0]) for row in self._rows("SELECT count(*) FROM files")), 0)

    def ids(self) -> set[SceneId]:
        """The scenes whose files are remembered."""
        return {row[0] for row in self._rows("SELECT id FROM files")}

    def holding(self, scene_id: SceneId) -> LocalScene | None:
        """The file that is remembered of one scene."""
        sql = f"SELECT {', '.join(_HOLDING)}, {self._parts} FROM files WHERE id = ?"  # noqa: S608  # as above
        for row in self._rows(sql, scene_id):
            return _holding_of(row)
        return None

    def orders(self) -> Iterator[Order]:
        """Yield every order that is remembered, oldest first."""
        found = {order.id: order for order in self._orders_of_rows()}
        for order in (*self._rescued, *self._notes.read()):
            known = found.get(order.id)
            if known is None or order.placed > known.placed:
                found[order.id] = order
        yield from sorted(found.values(), key=lambda order: (order.placed, order.id))

    def _orders_of_rows(self) -> Iterator[Order]:
        names = ", ".join(f'"{name}"' for name in _ORDER)
        for row in self._rows(f"SELECT {names} FROM orders ORDER BY placed, id"):  # noqa: S608  # names of our own
            yield order_of(dict(zip(_ORDER, row, strict=True)))

    def last_errors(self) -> dict[SceneId, str]:
        """The last error of each scene that failed since it was last fetched, and of each search that failed last."""
        return self._failures() | {row[0]: row[1] for row in self._rows("SELECT id, error FROM errors")}

    def _failures(self) -> dict[str, str]:
        for row in self._rows("SELECT value FROM meta WHERE key = 'failures'"):
            return dict(json.loads(row[0]))
        return {}

    def owner(self) -> str | None:
        """The manifest this mirror belongs to, relative to the mirror; None while it belongs to none."""
        for row in self._rows("SELECT value FROM meta WHERE key = 'manifest'"):
            return str(row[0])
        return None

    def stamped(self, digest: str) -> int | None:
        """How many scenes are held of the lock with this stamp; None where that is not known."""
        for row in self._rows("SELECT value FROM meta WHERE key = 'stamp'"):
            return memory.scenes_of(str(row[0]), digest)
        return None

    def wanted(self) -> dict[str, tuple[SceneId, ...]]:
        """The scenes that each dataset wanted when it was last applied, by the dataset's name."""
        return {row[0]: tuple(json.loads(row[1])) for row in self._rows("SELECT dataset, ids FROM wanted")}

    def awaited(self) -> dict[SceneId, str]:
        """Facts of scenes that were wanted and had not arrived when the last run ended, as `facts_of` writes them."""
        if not any(self._rows("SELECT 1 FROM sqlite_master WHERE name = 'awaited'")):
            return {}
        return dict(self._rows("SELECT id, facts FROM awaited"))

    def last_run(self) -> "RunRecord | None":
        """The run that began last."""
        sql = "SELECT command, started, ended, exit_code, summary FROM runs ORDER BY number DESC LIMIT 1"
        for command, started, ended, exit_code, summary in self._rows(sql):
            return RunRecord(
                command=command,
                started=datetime.fromisoformat(started),
                ended=None if ended is None else datetime.fromisoformat(ended),
                exit_code=exit_code,
                summary=None if summary is None else json.loads(summary),
            )
        return None

    def last_time(self) -> datetime | None:
        """The latest instant at which any run began or ended."""
        for (latest,) in self._rows("SELECT max(max(started, coalesce(ended, started))) FROM runs"):
            return None if latest is None else datetime.fromisoformat(latest)
        return None

    # -- writing -------------------------------------------------------------------------------------------------

    @property
    def _writer(self) -> sqlite3.Connection:
        if self._db is None or not self.write:
            raise RuntimeError("the index is open for reading only")
        return self._db

    def set_owner(self, manifest: str) -> None:
        """Remember the manifest this mirror belongs to."""
        self._execute("INSERT OR REPLACE INTO meta VALUES ('manifest', ?)", (manifest,))

    def put_files(self, held: Sequence[LocalScene], now: datetime) -> None:
        """Remember files that are in place; whatever was remembered of their scenes or paths is replaced."""
        if not held:
            return
        recorded = now.isoformat()

        def put() -> None:
            with self.together():
                self._writer.executemany(_PUT_FILE, [(*_values_of(item), _parts_of(item), recorded) for item in held])
                self._writer.executemany("DELETE FROM errors WHERE id = ?", [(item.id,) for item in held])
                self._writer.execute(_UNSTAMP)
                if (failures := self._failures()).keys() & (ids := {item.id for item in held}):
                    self.put_failures({}, of=failures.keys() & ids)

        self._do(put)

    def put_times(self, held: Sequence[LocalScene]) -> None:
        """Remember that files have other times, or the catalogue states other digests, and the bytes are the same."""
        if not held:
            return
        values = [(item.mtime_ns, item.digest, _parts_of(item), item.id) for item in held]

        def put() -> None:
            with self.together():
                self._writer.executemany("UPDATE files SET mtime_ns = ?, digest = ?, parts = ? WHERE id = ?", values)
                self._writer.execute(_UNSTAMP)

        self._do(put)

    def drop_file(self, scene_id: SceneId) -> None:
        """Forget a file."""

        def drop() -> None:
            with self.together():
                self._writer.execute("DELETE FROM files WHERE id = ?", (scene_id,))
                self._writer.execute(_UNSTAMP)

        self._do(drop)

    def stamp(self, digest: str, scenes: int) -> None:
        """Remember that all of a lock is held, until any file is put or dropped; see `sedas_sync.operations.noop`."""
        self._execute("INSERT OR REPLACE INTO meta VALUES ('stamp', ?)", (f"{digest} {scenes}",))

    def put_order(self, order: Order, *, durable: bool = True) -> None:
        """Remember an order, on disk before this returns where `durable`: in its row, or else in its note."""
        values = [order.placed.isoformat() if name == "placed" else getattr(order, name) for name in _ORDER]
        if not durable:
            self._execute(_PUT_ORDER, values)
            return
        try:
            with self._deed_for_good():
                self._writer.execute(_PUT_ORDER, values)
        except IndexUnwritableError as error:
            self._notes.keep()
            if not (self.forgiving and order.id in {noted.id for noted in self._notes.read()}):
                raise
            self._leave_out(error)
        except IndexDamagedError as error:
            self._mended(error)
            self._writer.execute(_PUT_ORDER, values)
            self._notes.drop(order.id)
        else:
            self._notes.drop(order.id)

    @contextmanager
    def _deed_for_good(self) -> Iterator[None]:
        """What is written within is on the disk at its end."""
        db = self._writer
        within = db.in_transaction
        if within:
            db.execute("COMMIT")
        db.execute("PRAGMA synchronous = FULL")
        try:
            yield
        finally:
            db.execute("PRAGMA synchronous = NORMAL")
            if within:
                db.execute("BEGIN IMMEDIATE")

    def reserve_order(self, place: int = 0) -> None:
        """See to it that an order which is placed now can be remembered; from whatever thread.

        Args:
            place: which of those that place orders at the same time asks.

        Raises:
            IndexUnwritableError: there is no room for it on the disk.
        """
        if self.unwritten:
            raise IndexUnwritableError(self.said[-1])
        try:
            self._notes.reserve(place)
        except OSError as error:
            reason = FULL if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror
            raise IndexUnwritableError(f"{self.path.parent}: the order could not be remembered: {reason}") from error

    def note_order(self, order: Order, place: int = 0) -> None:
        """Note an order in the moment it is known, from whatever thread: a kill before `put_order` does not lose it.

        One at a time for each place: `put_order` takes the note away.
        """
        self._notes.write(order, place)

    def drop_order(self, scene_id: SceneId) -> None:
        """Forget the order of a scene."""
        self._execute("DELETE FROM orders WHERE id = ?", (scene_id,))
        self._notes.drop(scene_id)
        self._rescued = tuple(order for order in self._rescued if order.id != scene_id)

    def drop_errors(self, *, but: AbstractSet[SceneId]) -> None:
        """Forget the last errors of other scenes than these."""
        for (scene_id,) in list(self._rows("SELECT id FROM errors")):
            if scene_id not in but:
                self._execute("DELETE FROM errors WHERE id = ?", (scene_id,))

    def put_error(self, scene_id: SceneId, error: str, now: datetime) -> None:
        """Remember the last error of a scene."""
        self._execute("INSERT OR REPLACE INTO errors VALUES (?, ?, ?)", (scene_id, error, now.isoformat()))

    def put_failures(self, failures: Mapping[str, str], *, of: AbstractSet[str] | None) -> None:
        """Remember which searches and look-ups failed, by dataset or scene.

        Args:
            failures: the last error of each.
            of: what was asked for, of which older failures are forgotten; everything where None.
        """
        older = {} if of is None else {key: why for key, why in self._failures().items() if key not in of}
        value = json.dumps({**older, **failures}, ensure_ascii=False)
        self._execute("INSERT OR REPLACE INTO meta VALUES ('failures', ?)", (value,))

    def put_wanted(self, wanted: Mapping[str, Iterable[SceneId]], *, only: bool) -> None:
        """Remember what datasets want now.

        One row a dataset: a hundred thousand scenes cost as little as the text they are.

        Args:
            wanted: for each dataset's name, its scenes.
            only: there are no other datasets; those that are not named are forgotten.
        """
        rows = [(name, json.dumps(list(ids), ensure_ascii=False)) for name, ids in wanted.items()]

        def put() -> None:
            with self.together():
                if only:
                    self._writer.execute("DELETE FROM wanted")
                self._writer.executemany("INSERT OR REPLACE INTO wanted VALUES (?, ?)", rows)

        self._do(put)

    def put_awaited(self, facts: Mapping[SceneId, str], *, only: bool) -> None:
        """Remember the facts of scenes that are wanted and not here.

        Args:
            facts: as `facts_of` writes them.
            only: nothing else is wanted and absent; whatever was remembered before is forgotten.
        """

        def put() -> None:
            with self.together():
                if only:
                    self._writer.execute("DELETE FROM awaited")
                self._writer.executemany("INSERT OR REPLACE INTO awaited VALUES (?, ?)", facts.items())

        self._do(put)

    def begin_run(self, command: str, now: datetime) -> int:
        """Note that a run begins; returns its number."""
        numbers: list[int] = []
        self._do(lambda: numbers.append(memory.begin_run(self._writer, command, now)))
        return numbers[0] if numbers else 0

    def end_run(self, number: int, now: datetime, exit_code: int, summary: dict[str, Any]) -> None:
        """Note how a run ended."""
        self._do(lambda: memory.end_run(self._writer, number, now, exit_code, summary))

    @contextmanager
    def together(self) -> Iterator[None]:
        """Commit once for all that is written within; what is durable by itself stays so."""
        if self._within():
            yield
            return
        self._do(lambda: self._writer.execute("BEGIN IMMEDIATE"))
        try:
            yield
        except IndexDamagedError:
            self._roll_back()
            raise
        finally:
            # What was written before something went wrong happened, and is true. On a full disk SQLite lets go itself.
            if self._within():
                self._do(self._commit)

    def _within(self) -> bool:
        return self._writer.in_transaction

    def _commit(self) -> None:
        if not self._within():
            return
        try:
            self._writer.execute("COMMIT")
        except (IndexUnwritableError, IndexDamagedError):
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        """End a transaction that cannot be committed: left open, it would swallow all that is written after it."""
        if self._within():
            with suppress(SedasSyncError, sqlite3.Error):
                self._writer.execute("ROLLBACK")


class Ledger:
    """Files that are taken in one by one, written some at a time: small ones come faster than commits.

    What was added less than a second ago may not be written yet. Leaving the context writes the rest.
    """

    def __init__(self, index: Index, now: Callable[[], datetime]) -> None:
        self._index = index
        self._now = now
        self._added: list[LocalScene] = []
        self._written = time.monotonic()

    def add(self, held: LocalScene) -> None:
        """Remember a file that is in place, and that its scene needs no order any more."""
        self._added.append(held)
        if len(self._added) >= _AT_ONCE or time.monotonic() - self._written > _AT_LEAST_EVERY:
            self._write()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._write()

    def _write(self) -> None:
        with self._index.together():
            self._index.put_files(self._added, self._now())
            for held in self._added:
                self._index.drop_order(held.id)
        self._added = []
        self._written = time.monotonic()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """What is remembered of a run."""

    command: str
    started: datetime
    ended: datetime | None
    """None while it is under way, and for ever where it was killed."""
    exit_code: int | None
    summary: dict[str, Any] | None
    """The fields of its last event."""
