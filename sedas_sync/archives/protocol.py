"""The interface of an archive.

An archive needs no base class. It has the attributes and methods of `Archive` and works with the values of
`sedas_sync.model.scene`. If an archive lacks a capability, the attribute is None; there is no method that only raises.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Protocol

from sedas_sync.model.order import Order
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

    All methods may be called from several threads at the same time. Some attributes are optional, and functions of this
    module read them:

    - `connections`, an `int`: how many downloads one account may have at the same time.
    - `server_time`, an aware `datetime`: the current time of the archive's server.
    - `calls`, a mapping of names to numbers: the requests to the archive's interface so far, by kind.
    - `retrying`, a `str`: which try of a request is under way and why; empty if none is being repeated.
    - `known_orders`, a sequence of `Order`: the latest order of each scene that this object has placed or polled.
    - `stopped`, a `bool`: whether `stop` or `close` was called. A run ends if it becomes true.
    - `interrupt()`: does what `stop` does, but only to calls that are running.
    """

    @property
    def identity(self) -> ArchiveIdentity:
        """Names the archive in the index, e.g. `sedas https://example.org/api/`; never changes for the same archive."""
        ...

    @property
    def orders(self) -> Orders | None:
        """None if no scene is ever offline. An attribute of an object or of its class does as well."""
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


def locate_file(archive: Archive, scene: Scene, file: RemoteFile, refused: Download | None = None) -> Download:
    """Return the link of one of `scene.files`; see `Archive.locate`."""
    if scene.is_folder:
        return archive.locate(scene, file, refused=refused)
    return archive.locate(scene, refused=refused)


def connections_of(archive: Archive) -> int | None:
    """Return how many downloads an archive allows an account at the same time; None if there is no limit."""
    connections = getattr(archive, "connections", None)
    return connections if isinstance(connections, int) and connections > 0 else None


def known_orders_of(archive: Archive) -> tuple[Order, ...]:
    """Return the orders that an archive object has placed or polled; none if it does not keep them."""
    return tuple(getattr(archive, "known_orders", ()))


def is_stopped(archive: Archive) -> bool:
    """Return whether `stop` or `close` of an archive was called, as far as it knows."""
    return getattr(archive, "stopped", False) is True


def interrupt(archive: Archive) -> None:
    """End the running calls of an archive; stop it if it cannot do less."""
    getattr(archive, "interrupt", archive.stop)()


def server_time_of(archive: Archive) -> datetime | None:
    """Return the current time of an archive's server; None if it is not known."""
    time = getattr(archive, "server_time", None)
    return time if isinstance(time, datetime) and time.tzinfo is not None else None


def calls_of(archive: Archive) -> Mapping[str, int]:
    """Return how many requests an archive object has sent to its archive's interface, by kind, as far as it counts."""
    calls = getattr(archive, "calls", None)
    return calls if isinstance(calls, Mapping) else {}


def retrying_of(archive: Archive) -> str:
    """Return which try of a request of an archive is under way and why; empty if that is not known."""
    retrying = getattr(archive, "retrying", "")
    return retrying if isinstance(retrying, str) else ""
