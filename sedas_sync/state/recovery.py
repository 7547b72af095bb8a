"""Replace an index that is damaged or of an older format; the folder fills the new one.

Orders have a journal of their own (`sedas_sync.state.order_journal`). Up to format 2 they were rows of the index: those
that can be read are moved into the journal. So is the mirror's owner into the new index.
"""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from msgspec import convert

from sedas_sync.files import safe_tree
from sedas_sync.files.safe_tree import STATE
from sedas_sync.model.order import Order
from sedas_sync.state.connection import INDEX, SQLITE_SUFFIXES, connect
from sedas_sync.state.index import WritableIndex

_FIELDS = Order.__struct_fields__


def replace_index(root: Path) -> str:
    """Set the index aside and create a new one; return the name of the old one.

    Args:
        root: The mirror's folder; the caller holds the mirror's lock.
    """
    orders, owner, absolute = _leftovers(root)
    name = _set_aside(str(root))
    with WritableIndex(root) as index:
        if owner is not None:
            index.set_owner(owner, absolute)
        known = {order.id for order in index.orders()}
        for order in orders:
            if order.id not in known:
                index.add_order(order)
    return name


def _leftovers(root: Path) -> tuple[list[Order], str | None, str | None]:
    """Read the orders and the owner of an index as far as possible."""
    orders: list[Order] = []
    known: dict[str, str] = {}
    with suppress(sqlite3.Error, OSError), closing(connect(str(root), "ro", timeout=30)) as db:
        with suppress(sqlite3.Error):
            known = dict(db.execute("SELECT key, value FROM meta WHERE key IN ('manifest', 'absolute_manifest')"))
        with suppress(sqlite3.Error):
            names = ", ".join(f'"{name}"' for name in _FIELDS)
            for row in db.execute(f"SELECT {names} FROM orders"):  # noqa: S608  # our own column names
                with suppress(ValueError):
                    orders.append(convert(dict(zip(_FIELDS, row, strict=True)), Order))
    return orders, known.get("manifest"), known.get("absolute_manifest")


def _set_aside(root: str) -> str:
    number = 1
    while safe_tree.stat(root, f"{STATE}/{(name := f'{INDEX}.damaged-{number}')}") is not None:
        number += 1
    for suffix in ("", *SQLITE_SUFFIXES):
        with suppress(FileNotFoundError):
            safe_tree.move(root, f"{STATE}/{INDEX}{suffix}", f"{STATE}/{name}{suffix}")
    return name
