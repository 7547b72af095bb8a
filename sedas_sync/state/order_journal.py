"""The orders of a mirror, in a text file that is on the disk before anything else happens.

An archive does not repeat the id of an order, and the folder does not contain it. So orders are not in the index
but in a journal of their own, `orders.jsonl`:

1. Each line is one order as JSON; a later line of the same scene replaces an earlier one, and a line whose `order` is
   null forgets the scene's order. Zero bytes are room that is reserved.
2. Before an archive is asked, `reserve` makes sure that a line fits on the disk. `add` then writes into that room, so
   that a full disk cannot lose the answer.
3. `add` returns when the line is on the disk: neither a kill nor a power cut loses it.
4. Changes of state are appended without a flush. Losing one costs another question to the archive, not an order.
5. The process that holds the mirror's lock writes, from any of its threads; others may read at the same time.
"""

import errno
import json
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec import convert, to_builtins
from msgspec.structs import replace

from sedas_sync.errors import TransferError
from sedas_sync.files import safe_tree
from sedas_sync.files.safe_tree import STATE
from sedas_sync.model.order import Order, OrderState
from sedas_sync.model.scene import SceneId
from sedas_sync.state.connection import ORDERS

ROOM = 16384
"""Bytes reserved for one order. An order whose link or reason is longer is recorded without them."""

_PATH = f"{STATE}/{ORDERS}"
_REWRITE_ABOVE = 1 << 20
"""Bytes of outdated lines after which the file is rewritten."""


class OrderJournal:
    """The order journal of one mirror.

    Args:
        root: The mirror's folder; the file need not exist.
    """

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self.path = root / STATE / ORDERS
        self._mutex = threading.Lock()
        self._orders: dict[SceneId, Order] = {}
        self.unreadable = 0
        """Lines that are not orders."""
        self._end = self._live = 0
        self._size = 0
        self._slots: set[int] = set()
        self._load()

    def orders(self) -> list[Order]:
        """Return the order of each scene, oldest first."""
        with self._mutex:
            return sorted(self._orders.values(), key=lambda order: (order.placed, order.id))

    def reserve(self, slot: int) -> None:
        """Make sure that the next order fits on the disk.

        Args:
            slot: A number for each caller that may place an order at the same time.

        Raises:
            OSError: The disk has no room for it.
        """
        with self._mutex:
            self._slots.add(slot)
            self._make_room(0)

    def add(self, order: Order) -> None:
        """Record an order; it is on the disk when this returns.

        Raises:
            OSError: It cannot be written.
        """
        line = _line(order)
        if len(line) > ROOM:
            line = _line(order, download_url=None, detail=None, state=OrderState.PENDING)
        with self._mutex:
            self._append(line, flush=True)
            self._orders[order.id] = order

    def update(self, order: Order) -> None:
        """Record a change of an order's state; a power cut may lose it.

        Raises:
            OSError: It cannot be written.
        """
        with self._mutex:
            if self._orders.get(order.id) == order:
                return
            line = _line(order)
            self._make_room(len(line))
            self._append(line, flush=False)
            self._orders[order.id] = order

    def drop(self, scene_id: SceneId) -> None:
        """Forget the order of a scene.

        Raises:
            OSError: This cannot be written.
        """
        with self._mutex:
            if self._orders.pop(scene_id, None) is not None:
                line = json.dumps({"id": scene_id, "order": None}).encode() + b"\n"
                self._make_room(len(line))
                self._append(line, flush=False)

    def close(self) -> None:
        """Remove outdated lines and reserved room; remove the file if no order is left."""
        with self._mutex:
            self._slots.clear()
            if self._orders:
                if self._size != self._live:
                    self._rewrite()
            elif self._size:
                safe_tree.drop(self._root, _PATH)
                self._end = self._size = self._live = 0

    def _load(self) -> None:
        content = self._read()
        self._size = len(content)
        written = content.rstrip(b"\0")
        self._end = len(written)
        for line in written.split(b"\n"):
            if not (text := line.strip(b"\0 ")):
                continue
            try:
                values = json.loads(text)
                if values["order"] is None:
                    self._orders.pop(values["id"], None)
                else:
                    order = convert(values, Order)
                    self._orders[order.id] = order
            except (ValueError, KeyError, TypeError, RecursionError):
                self.unreadable += 1
        self._live = sum(len(_line(order)) for order in self._orders.values())

    def _read(self) -> bytes:
        try:
            with os.fdopen(self._open(os.O_RDONLY), "rb") as file:
                return file.read()
        except OSError:
            return b""

    def _open(self, flags: int) -> int:
        try:
            return safe_tree.open_file(self._root, _PATH, flags)
        except TransferError as error:
            raise OSError(errno.ELOOP, str(error)) from error

    def _make_room(self, size: int) -> None:
        """Extend the file, on the disk, so that `size` bytes and one order of each slot fit in."""
        needed = self._end + size + len(self._slots) * (ROOM + 1)
        if needed > self._size:
            self._write(bytes(needed - self._size), self._size, flush=True)
            self._size = needed

    def _append(self, line: bytes, *, flush: bool) -> None:
        # A line that was cut by a kill ends here.
        line = b"\n" + line if self._end else line
        self._write(line, self._end, flush=flush)
        self._end += len(line)
        self._size = max(self._size, self._end)
        if self._end > self._live + _REWRITE_ABOVE:
            self._rewrite()

    def _write(self, content: bytes, at: int, *, flush: bool) -> None:
        file = self._open(os.O_RDWR | os.O_CREAT)
        try:
            rest = memoryview(content)
            while rest:
                written = os.pwrite(file, rest, at)
                rest, at = rest[written:], at + written
            if flush:
                os.fsync(file)
        finally:
            os.close(file)

    def _rewrite(self) -> None:
        """Write the file again without outdated lines; on a full disk it stays as it is."""
        content = b"".join(_line(order) for order in self._orders.values())
        new = f"{_PATH}.new"
        with suppress(OSError, TransferError):
            safe_tree.drop(self._root, new)
            with os.fdopen(safe_tree.open_file(self._root, new, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            safe_tree.place(self._root, new, _PATH, replace=True)
            safe_tree.sync(self._root, _PATH)
            self._end = self._size = self._live = len(content)
            self._make_room(0)


def _line(order: Order, **changed: Any) -> bytes:
    # Not msgspec's own JSON: an archive's text can contain lone surrogates, which it cannot write.
    return json.dumps(to_builtins(replace(order, **changed))).encode() + b"\n"
