"""Protects a run from the archive of another package, which may raise anything and return values of any type.

Both become an `ArchiveError` with the name of the archive's type. Only that search, look-up or scene fails.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from sedas_sync.archives.protocol import Archive, Orders, Warn, server_time_of
from sedas_sync.errors import ArchiveError, SedasSyncError
from sedas_sync.model.order import Order
from sedas_sync.model.scene import Download, Query, Reach, RemoteFile, Scene
from sedas_sync.net.redact import logger_of

_LOG = logger_of(__name__)


class GuardedArchive:
    """An archive of another package, with its errors and results checked.

    Args:
        archive: The archive that the package opened.
        kind: The name of its type.
        reach: Where its links may lead if they have no `reach` of their own.
    """

    def __init__(self, archive: Archive, kind: str, reach: Reach | None = None) -> None:
        self._archive = archive
        self._kind = kind
        self._reach = reach or Reach()
        self.identity = str(archive.identity)
        orders = archive.orders
        self.orders: Orders | None = None if orders is None else _GuardedOrders(orders, kind)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute that only some archives have, such as `connections`."""
        return getattr(self._archive, name)

    def find(self, query: Query, *, warn: Warn) -> Iterator[Scene]:
        """Yield the scenes that the package finds; see `Archive.find`."""
        with guard(self._kind, "find"):
            for scene in self._archive.find(query, warn=warn):
                yield self._checked(scene, "find")

    def look_up(self, ids: Iterable[str], *, warn: Warn) -> Iterator[Scene]:
        """Yield the scenes that the package looks up; see `Archive.look_up`."""
        with guard(self._kind, "look_up"):
            for scene in self._archive.look_up(ids, warn=warn):
                yield self._checked(scene, "look_up")

    def locate(self, scene: Scene, file: RemoteFile | None = None, *, refused: Download | None = None) -> Download:
        """Return the link that the package gives; see `Archive.locate`."""
        # An archive whose scenes are all one file may leave the argument out.
        files = () if file is None else (file,)
        with guard(self._kind, "locate"):
            download: object = self._archive.locate(scene, *files, refused=refused)
            if not isinstance(download, Download):
                raise _failed(self._kind, "locate", f"it returned {type(download).__name__} instead of a Download")
            return download if download.reach != Reach() else replace(download, reach=self._reach)

    @property
    def server_time(self) -> datetime | None:
        """The current time of the archive's server; None if the package fails."""
        try:
            with guard(self._kind, "server_time"):
                return server_time_of(self._archive)
        except SedasSyncError:
            return None

    def stop(self) -> None:
        """Make calls in other threads end early. An error is only logged."""
        self._log_errors("stop")

    def close(self) -> None:
        """Close the archive. An error is only logged."""
        self._log_errors("close")

    def _log_errors(self, method: str) -> None:
        try:
            getattr(self._archive, method)()
        except (Exception, SystemExit):  # noqa: BLE001  # the package may raise anything
            _LOG.warning("the package of archive type %s failed in %s", self._kind, method, exc_info=True)

    def _checked(self, scene: object, method: str) -> Scene:
        if not isinstance(scene, Scene):
            raise _failed(self._kind, method, f"it returned {type(scene).__name__} instead of a Scene")
        for name, when in (("start", scene.start), ("stop", scene.stop)):
            if when is not None and when.tzinfo is None:
                raise _failed(self._kind, method, f"the {name} of scene {scene.id!r} has no time zone")
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
    """Turn all errors of a package into an `ArchiveError`, except the errors of sedas-sync.

    Args:
        kind: The name of the archive's type.
        method: The method that is called, for the error message.
    """
    try:
        yield
    except SedasSyncError:
        raise
    except (Exception, SystemExit) as error:
        _LOG.debug("the package of archive type %s failed in %s", kind, method, exc_info=True)
        raise _failed(kind, method, f"{type(error).__name__}: {error}") from error


def _failed(kind: str, method: str, reason: str) -> ArchiveError:
    return ArchiveError(f"the package of archive type {kind} failed in {method}: {reason}")
