"""Protects a run from the archive of another package, which may raise anything and return values of any type.

Both become an `ArchiveError` with the name of the archive's type. Only that search, look-up or scene fails.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar

from msgspec.structs import replace

from sedas_sync.archives.protocol import Archive, ArchiveWrapper, Orders, Warn
from sedas_sync.errors import ArchiveError, SedasSyncError
from sedas_sync.model.order import Order
from sedas_sync.model.satellites import SatelliteSource
from sedas_sync.model.scene import Download, Query, Reach, RemoteFile, Scene
from sedas_sync.net.redact import logger_of

_LOG = logger_of(__name__)

Value = TypeVar("Value")


class GuardedArchive(ArchiveWrapper):
    """An archive of another package, with its errors and results checked.

    Args:
        archive: The archive that the package opened.
        kind: The name of its type.
        reach: Where its links may lead if they have no `reach` of their own.
    """

    def __init__(self, archive: Archive, kind: str, reach: Reach | None = None) -> None:
        with guard(kind, "identity"):
            super().__init__(archive)
        self._kind = kind
        self._reach = reach or Reach()

    def find(self, query: Query, *, warn: Warn) -> Iterator[Scene]:
        """Yield the scenes that the package finds; see `Archive.find`."""
        with guard(self._kind, "find"):
            for scene in super().find(query, warn=warn):
                yield self._checked(scene, "find")

    def look_up(self, ids: Iterable[str], *, warn: Warn) -> Iterator[Scene]:
        """Yield the scenes that the package looks up; see `Archive.look_up`."""
        with guard(self._kind, "look_up"):
            for scene in super().look_up(ids, warn=warn):
                yield self._checked(scene, "look_up")

    def locate(self, scene: Scene, file: RemoteFile | None = None, *, refused: Download | None = None) -> Download:
        """Return the link that the package gives; see `Archive.locate`."""
        with guard(self._kind, "locate"):
            download = _of_type(super().locate(scene, file, refused=refused), Download, self._kind, "locate")
            if download.open is not None and not callable(download.open):
                raise _failed(self._kind, "locate", "the `open` of its Download cannot be called")
            return download if download.reach != Reach() else replace(download, reach=self._reach)

    @property
    def orders(self) -> Orders | None:
        """Places and polls orders; None if the package takes none."""
        with guard(self._kind, "orders"):
            orders = super().orders
        return None if orders is None else _GuardedOrders(orders, self._kind)

    @property
    def connections(self) -> int | None:
        """Maximum concurrent downloads; None if there is no limit."""
        with guard(self._kind, "connections"):
            return super().connections

    @property
    def server_time(self) -> datetime | None:
        """The current time of the archive's server; None if the package fails."""
        time = self._or_else(lambda: super(GuardedArchive, self).server_time, None, "server_time")
        return time if isinstance(time, datetime) and time.tzinfo is not None else None

    @property
    def calls(self) -> Mapping[str, int]:
        """The requests so far, by kind; none if the package fails."""
        return self._or_else(lambda: dict(super(GuardedArchive, self).calls), {}, "calls")

    @property
    def retrying(self) -> str:
        """Which try of a request is under way; empty if the package fails."""
        return str(self._or_else(lambda: super(GuardedArchive, self).retrying, "", "retrying"))

    @property
    def known_orders(self) -> Sequence[Order]:
        """The orders that the package remembers."""
        with guard(self._kind, "known_orders"):
            return [_of_type(order, Order, self._kind, "known_orders") for order in super().known_orders]

    @property
    def stopped(self) -> bool:
        """Whether `stop` or `close` was called, as far as the package knows."""
        return self._or_else(lambda: super(GuardedArchive, self).stopped, False, "stopped") is True

    def satellites(self) -> Sequence[SatelliteSource]:
        """Return the satellites that the package lists."""
        with guard(self._kind, "satellites"):
            return [_of_type(item, SatelliteSource, self._kind, "satellites") for item in super().satellites()]

    def source_groups(self) -> Sequence[SatelliteSource]:
        """Return the groups of satellites that the package lists."""
        with guard(self._kind, "source_groups"):
            return [_of_type(item, SatelliteSource, self._kind, "source_groups") for item in super().source_groups()]

    def list_files(self, scene: Scene) -> Scene:
        """Return a scene with the files that the package lists."""
        with guard(self._kind, "list_files"):
            return self._checked(super().list_files(scene), "list_files")

    def interrupt(self) -> bool:
        """End running calls; return False if the package cannot, or fails."""
        return self._or_else(super().interrupt, False, "interrupt")

    def stop(self) -> None:
        """Make calls in other threads end early. An error is only logged."""
        self._or_else(super().stop, None, "stop")

    def close(self) -> None:
        """Close the archive. An error is only logged."""
        self._or_else(super().close, None, "close")

    def _or_else(self, call: Callable[[], Value], instead: Value, what: str) -> Value:
        """Return the result of a call, or another one if the package fails. The error is only logged."""
        try:
            return call()
        except (Exception, SystemExit):  # noqa: BLE001  # the package may raise anything
            _LOG.warning("the package of archive type %s failed in %s", self._kind, what, exc_info=True)
            return instead

    def _checked(self, value: object, method: str) -> Scene:
        scene = _of_type(value, Scene, self._kind, method)
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
            return self._checked(self._orders.place(scene), "orders.place")

    def poll(self, orders: Iterable[Order]) -> Iterator[Order]:
        with guard(self._kind, "orders.poll"):
            for order in self._orders.poll(orders):
                yield self._checked(order, "orders.poll")

    def _checked(self, order: object, method: str) -> Order:
        return _of_type(order, Order, self._kind, method)


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


def _of_type(value: Any, expected: type[Value], kind: str, method: str) -> Value:
    """Return a value that a package made, if it has the right type."""
    if not isinstance(value, expected):
        found, article = type(value).__name__, "an" if expected.__name__[0] in "AEIOU" else "a"
        raise _failed(kind, method, f"it returned {found} instead of {article} {expected.__name__}")
    return value
