"""Orders in the moment they are placed: a small file whose room is on the disk before an archive is asked.

An archive that has taken an order does not tell its number again. Between its answer and the row in the index lie a
kill and a full disk; the note outlives both, since it is written over bytes that are already there.
"""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from sedas_sync.errors import TransferError
from sedas_sync.files import safe_tree
from sedas_sync.files.safe_tree import STATE
from sedas_sync.model.scene import Order, OrderState, SceneId
from sedas_sync.state.memory import NOTE

ROOM = 16384
"""Bytes of one note; an order with a longer link or reason than fits is noted without them."""

FIELDS = Order.__struct_fields__

_PATH = f"{STATE}/{NOTE}"


def order_of(values: dict[str, object]) -> Order:
    """An order from its fields as they are written in notes and in the index.

    Raises:
        ValueError: they are none; KeyError and TypeError likewise.
    """
    placed, state = datetime.fromisoformat(str(values["placed"])), OrderState(str(values["state"]))
    return Order(**{**values, "placed": placed, "state": state})  # type: ignore[arg-type]  # the fields of a row


class OrderJournal:
    """The notes of one mirror, each desk that places orders with its own place in the file.

    Args:
        root: the mirror's folder; the file need not be there.
    """

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._taken: dict[int, SceneId] = {}
        self._reserved: set[int] = set()

    def read(self) -> Iterator[Order]:
        """Yield the orders that are noted; what is no note is passed over."""
        content = self._content()
        for start in range(0, len(content), ROOM):
            try:
                yield order_of(json.loads(content[start : start + ROOM].strip(b"\0 \n")))
            except (ValueError, KeyError, TypeError):
                continue

    def reserve(self, place: int) -> None:
        """See to it that there is room for a note, on the disk.

        Raises:
            OSError: there is none.
        """
        if place not in self._reserved:
            self._write(place, b"", durable=True)
            self._reserved.add(place)

    def write(self, order: Order, place: int) -> None:
        """Note an order where room was reserved; a kill from now on does not lose it."""
        values = {name: getattr(order, name) for name in FIELDS}
        note = json.dumps({**values, "placed": order.placed.isoformat()}).encode()
        if len(note) > ROOM:
            note = json.dumps(
                {**values, "placed": order.placed.isoformat(), "download_url": None, "detail": None, "state": "pending"}
            ).encode()
        self._taken[place] = order.id
        self._write(place, note, durable=False)

    def keep(self) -> None:
        """Bring the notes to the disk: nothing else remembers their orders."""
        with suppress(FileNotFoundError):
            file = self._open(os.O_RDWR)
            try:
                os.fsync(file)
            finally:
                os.close(file)

    def drop(self, scene_id: SceneId) -> None:
        """Take away the note of an order that is remembered elsewhere, or not wanted any more."""
        for place, noted in list(self._taken.items()):
            if noted == scene_id:
                del self._taken[place]
                self._write(place, b"", durable=False)

    def take_up(self) -> None:
        """Know what an earlier process has noted, so that `drop` can take it away."""
        found = {order.id for order in self.read()}
        if not found:
            self.clear()
            return
        content = self._content()
        for place, start in enumerate(range(0, len(content), ROOM)):
            try:
                self._taken[place] = json.loads(content[start : start + ROOM].strip(b"\0 \n"))["id"]
            except (ValueError, KeyError, TypeError):
                continue

    def clear(self) -> None:
        """Remove the file where no order is noted in it."""
        if not self._taken:
            self._reserved.clear()
            safe_tree.drop(self._root, _PATH)

    def _content(self) -> bytes:
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

    def _write(self, place: int, note: bytes, *, durable: bool) -> None:
        file = self._open(os.O_RDWR | os.O_CREAT)
        try:
            rest = memoryview(note.ljust(ROOM))
            at = place * ROOM
            while rest:
                written = os.pwrite(file, rest, at)
                rest, at = rest[written:], at + written
            if durable:
                os.fsync(file)
        finally:
            os.close(file)
