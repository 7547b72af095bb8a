"""Archive types as a manifest sees them: the keys of their table, and what a dataset may ask of them.

Values only. `parse` receives the known types; `sedas_sync.archives.opening` opens archives.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sedas_sync.manifest.tables import ArchiveConfig, Mistake, WebArchiveConfig
from sedas_sync.model.scene import NOTHING, Sensor


class BrokenTypeError(ValueError):
    """An installed archive type cannot be used. The message is the end of a sentence: "is brought by …"."""


@dataclass(frozen=True, slots=True)
class Variables:
    """Environment variables that contain secrets, and the hosts that these belong to.

    A manifest cannot add a host: `sedas_sync.net.credentials.belongs` decides.
    """

    names: tuple[str, ...]
    """For example those of a user name and its password."""
    host: str | None = None
    """The variable that names further hosts, if there is one."""
    hosts: tuple[str, ...] = ()
    """The hosts of the service itself: exact names, or `*.example.org`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveType:
    """The archive type of `type = "NAME"`.

    It must be cheap to make and to import, because every command that reads a manifest needs it. `opener` is only
    called to search or to download.
    """

    name: str
    opener: str | Callable[..., Any]
    """Takes an `Opening` and returns an `Archive`. The form `package.module:function` is imported when it is needed."""
    config: type[ArchiveConfig] = WebArchiveConfig
    """The model of its table: `ArchiveConfig`, `WebArchiveConfig`, or a subclass with keys of its own."""
    variables: Variables | None = None
    """The environment variables of user name and password, in this order."""
    filters: Callable[[Mapping[str, Any]], Iterator[Mistake]] | None = None
    """Yields mistakes in a dataset's `filters`, by the filter's name. None: the archive has no filters of its own."""
    filter_sensors: Mapping[str, Sensor] = field(default=NOTHING, hash=False)
    """Filters that apply to one class of sensor only."""
    cannot: frozenset[str] = frozenset()
    """Keys of a dataset that it has no data for; giving one is a mistake."""
    needs_aoi: bool = True
    """Whether every search needs an area; if not, `Query.aoi` may be None."""
    has_orbits: bool = False
    """Whether it has the orbit files of Sentinel-1."""
    extra: str | None = None
    """The extra of this package that installs what the opener imports."""

    def __post_init__(self) -> None:
        """Check the values that protect secrets.

        Raises:
            TypeError: `variables` does not state the hosts that the secrets belong to.
        """
        if self.variables is not None and not isinstance(self.variables, Variables):
            raise TypeError("variables must be a Variables, which names the hosts that the credentials belong to")


def any_filters(filters: Mapping[str, Any]) -> Iterator[Mistake]:
    """Accept any filters of a dataset."""
    del filters
    yield from ()


def flat_filters(filters: Mapping[str, Any]) -> Iterator[Mistake]:
    """Yield a mistake for each filter that is a table; values and lists of values are accepted."""
    for name, value in filters.items():
        if isinstance(value, Mapping):
            yield name, "must be a text, a number, true or false, or a list of them"


def filters_read_by(read: Callable[[str, Any], object]) -> Callable[[Mapping[str, Any]], Iterator[Mistake]]:
    """Return what yields a mistake for each filter that a function refuses.

    Args:
        read: Takes the name of a filter and its value, and raises a `ValueError` if they are not valid.
    """

    def mistakes(filters: Mapping[str, Any]) -> Iterator[Mistake]:
        for name, value in filters.items():
            try:
                read(name, value)
            except ValueError as error:
                yield name, str(error)

    return mistakes
