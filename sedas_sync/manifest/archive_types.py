"""Kinds of archives, as a manifest sees them: what the table of one may say, and what a dataset may ask of it.

Values only. Which kinds there are is handed to `parse`; how one is opened is `sedas_sync.archives.registry`'s.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from sedas_sync.model.scene import NOTHING, Sensor

if TYPE_CHECKING:
    from sedas_sync.manifest.tables import ArchiveConfig

Mistake = tuple[str, str]
"""A key, and a sentence about it ("must be …", "is …")."""

ADDRESS = "url"


class BrokenTypeError(ValueError):
    """A type of archive is installed and cannot be used; the message says why, as the end of a sentence."""


@dataclass(frozen=True, slots=True)
class Variables:
    """Environment variables that hold secrets, and the hosts that these belong to.

    No manifest can add a host: see `sedas_sync.net.credentials.belongs`, which decides.
    """

    names: tuple[str, ...]
    """E.g. those of a user name and its password."""
    host: str | None = None
    """The variable that names further hosts; None where there are no others."""
    hosts: tuple[str, ...] = ()
    """The hosts of the service itself: exact names, or `*.example.org`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveKey:
    """A key that the table of one kind of archive has besides those of all."""

    read: Callable[[Any], Any]
    """Takes the value as TOML gives it; a ValueError says what is allowed ("must be …")."""
    about: str
    """What it says, in one line: for references and editors."""
    default: Any = None
    """As `read` would return it."""
    required: bool = False
    selects: bool = True
    """Whether it has a part in which scenes are offered or what their bytes are: then a lock is made from it too."""
    schema: Mapping[str, Any] = field(default=NOTHING, hash=False)
    """What `read` takes, as JSON Schema."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveType:
    """One kind of archive: what `type = "NAME"` stands for.

    Cheap to make and to import: it is needed to read a manifest, and `opener` to ask anything.
    """

    name: str
    opener: str | Callable[..., Any]
    """Takes an `Opening` and returns an `Archive`; given as `package.module:function` it is imported when needed."""
    url: str | None = None
    """The address where the manifest gives none; without it one has to be given."""
    place: str | None = ADDRESS
    """The key that says where it is, None where it is nowhere; without `url` it has no `trusted_hosts` either."""
    trusted_hosts: tuple[str, ...] = ()
    """Further hosts that may see its credentials, where the manifest names none."""
    filehash: Literal["warn", "enforce", "ignore"] = "warn"
    """What a scene is worth that differs from the catalogue's digest, where the manifest does not say."""
    keys: Mapping[str, ArchiveKey] = field(default=NOTHING, hash=False)
    """Its own keys, besides `type`, `url`, `trusted_hosts` and `filehash`."""
    check: "Callable[[ArchiveConfig], Iterator[Mistake]] | None" = None
    """Finds what is wrong with its table beyond single values."""
    gone: Mapping[str, str] = field(default=NOTHING, hash=False)
    """Keys that it had once, each with what to do instead."""
    variables: Variables | None = None
    """The environment variables of user name and password, in this order, where it takes such."""
    filters: Callable[[Mapping[str, Any]], Iterator[Mistake]] | None = None
    """Finds what is wrong with a dataset's `filters`, by the filter's name; None: it takes no filters of its own."""
    filter_sensors: Mapping[str, Sensor] = field(default=NOTHING, hash=False)
    """Filters that act on one class of sensor only."""
    cannot: frozenset[str] = frozenset()
    """Keys of a dataset that it has no facts for: to give one is a mistake."""

    def __post_init__(self) -> None:
        """Check what another package says about secrets.

        Raises:
            TypeError: it does not say which hosts they belong to.
        """
        if self.variables is not None and not isinstance(self.variables, Variables):
            raise TypeError("variables is no Variables, which names the hosts that the credentials belong to")


def any_filters(filters: Mapping[str, Any]) -> Iterator[Mistake]:
    """Find nothing wrong with a dataset's filters: for archives that take whatever TOML can say."""
    del filters
    yield from ()


def flat_filters(filters: Mapping[str, Any]) -> Iterator[Mistake]:
    """Find filters that are tables; for archives that take values and lists of values."""
    for name, value in filters.items():
        if isinstance(value, Mapping):
            yield name, "must be a text, a number, true or false, or a list of them"
