"""What can still be read of an index that is damaged: the orders, which no look at the folder gives back."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sedas_sync.model.scene import Order, SceneId
from sedas_sync.state import memory
from sedas_sync.state.order_journal import FIELDS, order_of


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveredOrders:
    """What an index still gave."""

    orders: tuple[Order, ...] = ()
    owner: str | None = None
    """The manifest that the mirror belongs to."""
    whole: bool = False
    """Every order that was in it was read."""


def rescue(root: Path) -> RecoveredOrders:
    """Read what can be read of a damaged index; changes nothing.

    Args:
        root: the mirror's folder.
    """
    try:
        db = memory.connect(str(root), "ro", timeout=30)
    except (sqlite3.Error, OSError):
        return RecoveredOrders()
    try:
        found: dict[SceneId, Order] = {}
        whole = True
        # From both ends: a hole stops a reader on each side of it.
        for way in ("ASC", "DESC"):
            try:
                for order in _orders(db, way):
                    found.setdefault(order.id, order)
            except sqlite3.Error:
                whole = False
                continue
            whole = True
            break
        return RecoveredOrders(orders=tuple(found.values()), owner=_owner(db), whole=whole)
    finally:
        db.close()


def _orders(db: sqlite3.Connection, way: str) -> Iterator[Order]:
    names = ", ".join(f'"{name}"' for name in FIELDS)
    # By the table's own tree alone: an index beside it may be what is damaged.
    for row in db.execute(f"SELECT {names} FROM orders NOT INDEXED ORDER BY rowid {way}"):  # noqa: S608  # names of our own
        try:
            yield order_of(dict(zip(FIELDS, row, strict=True)))
        except (ValueError, KeyError, TypeError):
            continue


def _owner(db: sqlite3.Connection) -> str | None:
    try:
        row = db.execute("SELECT value FROM meta WHERE key = 'manifest'").fetchone()
    except sqlite3.Error:
        return None
    return None if row is None else str(row[0])
