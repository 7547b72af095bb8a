"""The boundary: what an archive must be able to do, and nothing else.

An implementation needs no class of this package but the values of `sedas_sync.model.scene`. A capability that an
archive does not have is an attribute that is None, not a method that raises.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Protocol

from sedas_sync.model.scene import Download, Order, Query, Scene

Warn = Callable[[str], None]
"""Takes one sentence about something that was left out or looks wrong."""


class Orders(Protocol):
    """Ordering from a long-term archive."""

    def place(self, scene: Scene) -> Order:
        """Order one scene.

        Raises:
            ArchiveError: the order was refused; `status` 429 or a `retry_after` means that a quota is used up.
        """
        ...

    def poll(self, orders: Iterable[Order]) -> Iterator[Order]:
        """Ask for the state of orders; yields each of them once, brought up to date.

        An order the archive does not know comes back with `missing` raised by one; one it knows with `missing` 0.

        Raises:
            ArchiveError: the archive could not be asked.
        """
        ...


def connections_of(archive: "Archive") -> int | None:
    """How many downloads an archive allows an account at once; None where it sets no limit.

    An archive that does says so with an attribute `connections`.
    """
    found = getattr(archive, "connections", None)
    return found if isinstance(found, int) and found > 0 else None


def server_time_of(archive: "Archive") -> datetime | None:
    """What the clock of an archive's server shows now; None where it does not tell.

    An archive that knows says so with an attribute `server_time`, an aware `datetime`.
    """
    found = getattr(archive, "server_time", None)
    return found if isinstance(found, datetime) and found.tzinfo is not None else None


class Archive(Protocol):
    """A catalogue of scenes and a place to get their bytes from.

    Every method may be called from several threads at once. One that limits the downloads of an account has an
    attribute `connections`; see `connections_of`. One whose server tells the time has an attribute `server_time`; see
    `server_time_of`.
    """

    identity: str
    """Names the archive in the index, e.g. `sedas https://example.org/api/`: the same for as long as it is the same."""
    orders: Orders | None
    """None: nothing here is ever offline."""

    def find(self, query: Query, *, warn: Warn) -> Iterator[Scene]:
        """Yield every scene that matches, each once, in any order.

        Raises:
            IncompleteSearch: not every match could be shown to be found; what was found has been yielded before.
            ArchiveError: the search failed.
            AuthenticationError: the archive refused the credentials.
        """
        ...

    def look_up(self, ids: Iterable[str], *, warn: Warn) -> Iterator[Scene]:
        """Yield the scenes of these ids that the archive knows, in any order; unknown ids are left out.

        Raises:
            ArchiveError: the look-up failed.
            AuthenticationError: the archive refused the credentials.
        """
        ...

    def locate(self, scene: Scene, *, refused: Download | None = None) -> Download:
        """Say where the bytes of an online scene are now, with the headers to ask for them.

        Of a scene with `assets` one file is asked for at a time: as the scene with that file's link, size and digest,
        and without `assets`; see `sedas_sync.model.files.scene_of_file`.

        `refused` is the download that the server turned away (an expired token or link): the answer must differ from
        it where the archive can do anything about it.

        Raises:
            ArchiveError: the scene is not online (any more).
            AuthenticationError: the archive refused the credentials.
        """
        ...

    def stop(self) -> None:
        """Make calls under way in other threads end early; may be called from a signal handler."""
        ...

    def close(self) -> None:
        """Let go of connections and of whatever else is held."""
        ...
