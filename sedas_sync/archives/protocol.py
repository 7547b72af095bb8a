"""The interface of an archive: what every archive does, and capabilities that some have.

An archive needs no base class. It has the attributes and methods of `Archive`, and those of the other protocols here
whose capability it has. It works with the values of `sedas_sync.model.scene`. If an archive lacks a capability, it
lacks the attributes; there is no method that only raises. Read capabilities with the functions of this module, such as
`orders_of` and `connections_of`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

from sedas_sync.errors import ArchiveError
from sedas_sync.model.order import Order
from sedas_sync.model.satellites import SatelliteSource
from sedas_sync.model.scene import ArchiveIdentity, Download, Query, RemoteFile, Scene

Warn = Callable[[str], None]
"""Takes one sentence about something that was left out or looks wrong; it contains the id of the scene it is about."""


class Orders(Protocol):
    """Orders from a long-term archive."""

    def place(self, scene: Scene) -> Order:
        """Order one scene.

        Raises:
            ArchiveError: The order was refused. Status 429 or a `retry_after` means that a quota is used up.
        """
        ...

    def poll(self, orders: Iterable[Order]) -> Iterator[Order]:
        """Request the state of orders; yield each order once, updated.

        If the answer does not contain an order, its `missing` is one higher; otherwise `missing` is 0.

        Raises:
            ArchiveError: The request failed.
        """
        ...


class Archive(Protocol):
    """A catalogue of scenes and a source of their bytes.

    All methods may be called from several threads at the same time. Further capabilities are optional: `TakesOrders`,
    `LimitsConnections`, `ListsSources`, `ListsFiles`,
    `Interruptible`, `ReportsStop`, `ReportsRetries`, `KnowsTime`, `CountsCalls`
    and `KeepsOrders`.
    """

    @property
    def identity(self) -> ArchiveIdentity:
        """Names the archive in the index, e.g. `sedas https://example.org/api/`; never changes for the same archive."""
        ...

    def find(self, query: Query, *, warn: Warn) -> Iterator[Scene]:
        """Yield all scenes that match, each once, in any order.

        Raises:
            IncompleteSearch: Some matches may be missing. The scenes that were found have been yielded.
            ArchiveError: The search failed.
            AuthenticationError: The archive refused the credentials.
        """
        ...

    def look_up(self, ids: Iterable[str], *, warn: Warn) -> Iterator[Scene]:
        """Yield the scenes with these ids, in any order; skip unknown ids.

        Raises:
            ArchiveError: The look-up failed.
            AuthenticationError: The archive refused the credentials.
        """
        ...

    def locate(self, scene: Scene, file: RemoteFile | None = None, *, refused: Download | None = None) -> Download:
        """Return the current link to the bytes of an online scene, with the headers for the request.

        Args:
            scene: The scene. If an order made it available, it was looked up again since, and `download_url` is the
                link of the order if the catalogue still has none.
            file: One of `scene.assets`; None if the scene is one file.
            refused: The download that the server refused, e.g. because a token or a link has expired. The result must
                differ from it if the archive can get another one.

        Raises:
            ArchiveError: The scene is not online.
            AuthenticationError: The archive refused the credentials.
        """
        ...

    def stop(self) -> None:
        """Make calls in other threads end early. May be called from a signal handler."""
        ...

    def close(self) -> None:
        """Close connections and release all other resources."""
        ...


@runtime_checkable
class TakesOrders(Protocol):
    """An archive with scenes that have to be ordered."""

    @property
    def orders(self) -> Orders | None:
        """Places and polls orders; None if no scene is ever offline."""
        ...


@runtime_checkable
class LimitsConnections(Protocol):
    """An archive that allows an account so many downloads at the same time."""

    @property
    def connections(self) -> int | None:
        """Maximum concurrent downloads; None if there is no limit."""
        ...


@runtime_checkable
class ListsSources(Protocol):
    """An archive that lists what an account may search."""

    def satellites(self) -> Sequence[SatelliteSource]:
        """Return the satellites.

        Raises:
            ArchiveError: The archive did not answer.
        """
        ...

    def source_groups(self) -> Sequence[SatelliteSource]:
        """Return the groups of satellites.

        Raises:
            ArchiveError: The archive did not answer.
        """
        ...


@runtime_checkable
class ListsFiles(Protocol):
    """An archive that lists the files of a folder only when it is downloaded: its scenes have a `listing`."""

    def list_files(self, scene: Scene) -> Scene:
        """Return a scene with the files that match its `listing`, in `assets` and `unselected`.

        Raises:
            ArchiveError: The archive did not answer, or has no such files.
            AuthenticationError: The archive refused the credentials.
        """
        ...


@runtime_checkable
class Interruptible(Protocol):
    """An archive that can end running calls without being stopped."""

    def interrupt(self) -> bool | None:
        """Make running calls in other threads end early; later calls work. False: it can only be stopped."""
        ...


@runtime_checkable
class ReportsStop(Protocol):
    """An archive that others may stop while a run uses it."""

    @property
    def stopped(self) -> bool:
        """Whether `stop` or `close` was called. A run ends if it becomes true."""
        ...


@runtime_checkable
class ReportsRetries(Protocol):
    """An archive that reports which of its requests is repeated."""

    @property
    def retrying(self) -> str:
        """Which try of a request is under way and why; empty if none is being repeated."""
        ...


@runtime_checkable
class KnowsTime(Protocol):
    """An archive whose server states its time."""

    @property
    def server_time(self) -> datetime | None:
        """The current time of the server, with a time zone; None if it is not known yet."""
        ...


@runtime_checkable
class CountsCalls(Protocol):
    """An archive that counts its requests."""

    @property
    def calls(self) -> Mapping[str, int]:
        """The requests to the archive's interface so far, by kind."""
        ...


@runtime_checkable
class KeepsOrders(Protocol):
    """An archive object that remembers its orders."""

    @property
    def known_orders(self) -> Sequence[Order]:
        """The latest order of each scene that this object has placed or polled."""
        ...


def not_online(scene: Scene) -> ArchiveError:
    """Return the error for a scene without a link."""
    return ArchiveError(f"{scene.id} is not online: {scene.offline or 'it has no link'}")


def locate_file(archive: Archive, scene: Scene, file: RemoteFile, refused: Download | None = None) -> Download:
    """Return the link of one of `scene.files`; see `Archive.locate`."""
    if scene.is_folder:
        return archive.locate(scene, file, refused=refused)
    return archive.locate(scene, refused=refused)


def list_files(archive: Archive, scene: Scene) -> Scene:
    """Return a scene with its files; as it is if they are known."""
    return archive.list_files(scene) if scene.unlisted and isinstance(archive, ListsFiles) else scene


def orders_of(archive: Archive) -> Orders | None:
    """Return what places and polls the orders of an archive; None if it takes none."""
    return archive.orders if isinstance(archive, TakesOrders) else None


def connections_of(archive: Archive) -> int | None:
    """Return how many downloads an archive allows an account at the same time; None if there is no limit."""
    connections = archive.connections if isinstance(archive, LimitsConnections) else None
    return connections if connections is not None and connections > 0 else None


def sources_of(archive: Archive) -> tuple[Sequence[SatelliteSource], Sequence[SatelliteSource]]:
    """Return the satellites and the groups of satellites that an account may search; none if they are not listed.

    Raises:
        ArchiveError: The archive did not answer.
    """
    return (archive.satellites(), archive.source_groups()) if isinstance(archive, ListsSources) else ((), ())


def known_orders_of(archive: Archive) -> tuple[Order, ...]:
    """Return the orders that an archive object has placed or polled; none if it does not keep them."""
    return tuple(archive.known_orders) if isinstance(archive, KeepsOrders) else ()


def is_stopped(archive: Archive) -> bool:
    """Return whether `stop` or `close` of an archive was called, as far as it knows."""
    # Not `isinstance`: for a protocol it costs fifty times as much, and a run asks for every file.
    return getattr(archive, "stopped", False) is True


def interrupt(archive: Archive) -> bool:
    """End the running calls of an archive; return False if that needs `stop`."""
    return isinstance(archive, Interruptible) and archive.interrupt() is not False


def server_time_of(archive: Archive) -> datetime | None:
    """Return the current time of an archive's server; None if it is not known."""
    return archive.server_time if isinstance(archive, KnowsTime) else None


def calls_of(archive: Archive) -> Mapping[str, int]:
    """Return how many requests an archive object has sent to its archive's interface, by kind, as far as it counts."""
    return archive.calls if isinstance(archive, CountsCalls) else {}


def retrying_of(archive: Archive) -> str:
    """Return which try of a request of an archive is under way and why; empty if that is not known."""
    return archive.retrying if isinstance(archive, ReportsRetries) else ""


class ArchiveWrapper:
    """An archive that forwards everything to another one, including the capabilities of that one."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self.identity = str(archive.identity)

    # Each capability has its own protocol above.
    orders = property(lambda self: orders_of(self._archive))
    connections = property(lambda self: connections_of(self._archive))
    server_time = property(lambda self: server_time_of(self._archive))
    calls = property(lambda self: calls_of(self._archive))
    retrying = property(lambda self: retrying_of(self._archive))
    known_orders = property(lambda self: known_orders_of(self._archive))
    stopped = property(lambda self: is_stopped(self._archive))

    def satellites(self) -> Sequence[SatelliteSource]:
        """See `ListsSources`."""
        return self._archive.satellites() if isinstance(self._archive, ListsSources) else ()

    def source_groups(self) -> Sequence[SatelliteSource]:
        """See `ListsSources`."""
        return self._archive.source_groups() if isinstance(self._archive, ListsSources) else ()

    def find(self, query: Query, *, warn: Warn) -> Iterator[Scene]:
        """See `Archive`."""
        return self._archive.find(query, warn=warn)

    def look_up(self, ids: Iterable[str], *, warn: Warn) -> Iterator[Scene]:
        """See `Archive`."""
        return self._archive.look_up(ids, warn=warn)

    def locate(self, scene: Scene, file: RemoteFile | None = None, *, refused: Download | None = None) -> Download:
        """See `Archive`."""
        # An archive whose scenes are all one file may leave the argument out.
        files = () if file is None else (file,)
        return self._archive.locate(scene, *files, refused=refused)

    def list_files(self, scene: Scene) -> Scene:
        """See `ListsFiles`."""
        return list_files(self._archive, scene)

    def interrupt(self) -> bool:
        """See `Interruptible`."""
        return interrupt(self._archive)

    def stop(self) -> None:
        """See `Archive`."""
        self._archive.stop()

    def close(self) -> None:
        """See `Archive`."""
        self._archive.close()
