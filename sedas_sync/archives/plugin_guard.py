"""An archive of another package behind a guard: whatever it raises or gives, a run goes on as it does with any archive.

A foreign package may raise anything, and what it gives may be of any type. Both become an `ArchiveError` that names the
type of the archive, so that one search, look-up or scene fails by it and nothing else.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NoReturn

from msgspec.structs import replace

from sedas_sync.archives.protocol import Archive, Orders, Warn, server_time_of
from sedas_sync.errors import ArchiveError, SedasSyncError
from sedas_sync.model.scene import Download, Order, Query, Reach, Scene

_LOG = logging.getLogger(__name__)


class GuardedArchive:
    """An archive whose package is not trusted to keep its word.

    Args:
        archive: what the package opened.
        kind: the name of its type.
        reach: where its links may lead, unless it says so itself.
    """

    def __init__(self, archive: Archive, kind: str, reach: Reach | None = None) -> None:
        self._archive = archive
        self._kind = kind
        self._reach = reach or Reach()
        self.identity = str(archive.identity)
        orders = archive.orders
        self.orders: Orders | None = None if orders is None else _GuardedOrders(orders, kind)

    def __getattr__(self, name: str) -> Any:
        """What only some archives have, such as `connections` and `satellites`."""
        return getattr(self._archive, name)

    def find(self, query: Query, *, warn: Warn) -> Iterator[Scene]:
        """Yield what the package finds; see `Archive.find`."""
        with guard(self._kind, "find"):
            for scene in self._archive.find(query, warn=warn):
                yield self._checked(scene, "find")

    def look_up(self, ids: Iterable[str], *, warn: Warn) -> Iterator[Scene]:
        """Yield what the package knows; see `Archive.look_up`."""
        with guard(self._kind, "look_up"):
            for scene in self._archive.look_up(ids, warn=warn):
                yield self._checked(scene, "look_up")

    def locate(self, scene: Scene, *, refused: Download | None = None) -> Download:
        """Say where the bytes are; see `Archive.locate`."""
        with guard(self._kind, "locate"):
            found: object = self._archive.locate(scene, refused=refused)
            if not isinstance(found, Download):
                _refuse(self._kind, "locate", f"gave {type(found).__name__} instead of a Download")
            return found if found.reach != Reach() else replace(found, reach=self._reach)

    @property
    def server_time(self) -> datetime | None:
        """What the clock of the archive's server shows now; nothing fails where its package cannot tell."""
        try:
            with guard(self._kind, "server_time"):
                return server_time_of(self._archive)
        except SedasSyncError:
            return None

    def stop(self) -> None:
        """Make calls under way end early."""
        self._quietly("stop")

    def close(self) -> None:
        """Let go of whatever is held."""
        self._quietly("close")

    def _quietly(self, method: str) -> None:
        """Nothing that is done hangs on these."""
        try:
            getattr(self._archive, method)()
        except (Exception, SystemExit):  # noqa: BLE001  # a foreign package may raise anything
            _LOG.warning("the package of archive type %s failed in %s", self._kind, method, exc_info=True)

    def _checked(self, scene: object, method: str) -> Scene:
        if not isinstance(scene, Scene):
            _refuse(self._kind, method, f"gave {type(scene).__name__} instead of a Scene")
        for name, when in (("start", scene.start), ("stop", scene.stop)):
            if when is not None and when.tzinfo is None:
                _refuse(self._kind, method, f"gave the scene {scene.id!r} a {name} without a time zone")
        return scene


class _GuardedOrders:
    def __init__(self, orders: Orders, kind: str) -> None:
        self._orders = orders
        self._kind = kind

    def place(self, scene: Scene) -> Order:
        with guard(self._kind, "orders.place"):
            return self._orders.place(scene)

    def poll(self, orders: Iterable[Order]) -> Iterator[Order]:
        with guard(self._kind, "orders.poll"):
            yield from self._orders.poll(orders)


@contextmanager
def guard(kind: str, method: str) -> Iterator[None]:
    """Turn whatever a package raises into an `ArchiveError`; the errors of this package go through."""
    try:
        yield
    except SedasSyncError:
        raise
    except (Exception, SystemExit) as error:
        _LOG.debug("the package of archive type %s failed in %s", kind, method, exc_info=True)
        raise ArchiveError(
            f"the package of archive type {kind} failed in {method}: {type(error).__name__}: {error}"
        ) from error


def _refuse(kind: str, method: str, what: str) -> NoReturn:
    raise ArchiveError(f"the package of archive type {kind} failed in {method}: it {what}")
