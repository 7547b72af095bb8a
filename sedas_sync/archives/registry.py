"""The types of archives that this installation knows: those built in, and those that other packages bring.

A package brings one by an entry point of the group `sedas_sync.archives`, whose name is the type's and whose object is
an `ArchiveType`. Packages are looked through only where a type is not built in, since that takes its time.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sedas_sync.archives.cdse import kind as cdse
from sedas_sync.archives.stac import kind as stac
from sedas_sync.errors import ManifestError
from sedas_sync.manifest import ArchiveConfig, TransferConfig, fields
from sedas_sync.manifest.archive_types import ArchiveKey, ArchiveType, BrokenTypeError, flat_filters
from sedas_sync.model.scene import Reach, Sensor
from sedas_sync.net.credentials import VARIABLES as SEDAS_VARIABLES

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from sedas_sync.archives import Archive
    from sedas_sync.net.credentials import Credentials

GROUP = "sedas_sync.archives"
"""The group of entry points by which packages bring types of archives."""

_OWED = ("identity", "orders", "find", "look_up", "locate", "stop", "close")
"""What `sedas_sync.archives.Archive` promises."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What an archive is opened with: its table of the manifest, and the world around it."""

    config: ArchiveConfig
    """Its own keys are in `options`."""
    kind: ArchiveType
    key: str = "archive"
    """Its key in the manifest."""
    base: Path = field(default_factory=Path)
    """The manifest's folder, which relative paths start from."""
    transfer: TransferConfig = field(default_factory=TransferConfig)
    """Retries and timeouts are for calls of its API too."""
    clock: Callable[[], datetime] = _utc_now
    """Gives the present instant, UTC."""
    prompt: bool = False
    """Whether a person may be asked for credentials."""
    mirror: Path | None = None
    """The folder that is filled."""
    alone: bool = True
    """Whether it is the only host of its type: environment variables name no host, and belong to one only."""
    stack: ExitStack = field(default_factory=ExitStack)
    """Closes what the archive needs besides itself, after it."""

    def credentials(self, host: str | None = None, *, also: Iterable[str] = ()) -> "Credentials":
        """Find the user name and the password for a host, by default that of the archive's address.

        A token that they give may go on to `allowed_hosts(config.trusted_hosts)` of what is returned, and to no more.

        Args:
            host: where they are sent.
            also: further hosts that the login involves, such as one that only gives tokens.

        Raises:
            AuthenticationError: there are none, or none for these hosts; the message says where they were looked for.
        """
        from sedas_sync.net import credentials  # noqa: PLC0415  # only where somebody logs in

        return credentials.find(
            host or urlsplit(self.config.url or "").hostname or "",
            prompt=self.prompt,
            variables=self.kind.variables,
            also=also,
            alone=self.alone,
        )


_SEDAS_FILTER_SENSORS: Mapping[str, Sensor] = {
    "opticalProductType": "optical",
    "maxCloudPercent": "optical",
    "minCloudPercent": "optical",
    "sarProductType": "sar",
    "polarisation": "sar",
}
"""Filters that act on one class of sensor only (geocento/SEDAS-issues 12, 42 and 65)."""

BUILT_IN: Mapping[str, ArchiveType] = {
    kind.name: kind
    for kind in (
        ArchiveType(
            name="sedas",
            opener="sedas_sync.archives.sedas.archive:open_archive",
            url="https://geobrowser.satapps.org/api/",
            # The service's bytes come from another host than its API (seen in saved answers of 2019 and 2020).
            trusted_hosts=("*.satapps.org",),
            variables=SEDAS_VARIABLES,
            filters=flat_filters,
            filter_sensors=_SEDAS_FILTER_SENSORS,
        ),
        ArchiveType(
            name="sandbox",
            opener="sedas_sync.archives.sandbox:open_archive",
            place=None,
            filters=flat_filters,
            filter_sensors=_SEDAS_FILTER_SENSORS,
        ),
        cdse.KIND,
        ArchiveType(
            name="directory",
            opener="sedas_sync.archives.directory:open_archive",
            place="path",
            # What an index says of bytes is of the file itself, never of something that was packed otherwise.
            filehash="enforce",
            keys={
                "path": ArchiveKey(
                    read=fields.text,
                    about="the folder, relative to the manifest",
                    required=True,
                    schema={"type": "string"},
                ),
                "link": ArchiveKey(
                    read=fields.choice("auto", "hard", "reflink", "copy"),
                    about="how files are taken from it",
                    default="auto",
                    selects=False,
                    schema={"enum": ["auto", "hard", "reflink", "copy"]},
                ),
            },
        ),
        stac.KIND,
    )
}
"""By name. A type's module is imported when one is opened, so nothing here may import it."""


class Types(Mapping[str, ArchiveType]):
    """All types of archives, by name; a package that brings one is imported when its type is asked for.

    Args:
        built_in: those that need no looking for.
        entry_points: finds those of other packages.
    """

    def __init__(
        self,
        built_in: Mapping[str, ArchiveType] = BUILT_IN,
        entry_points: "Callable[[], list[EntryPoint]] | None" = None,
    ) -> None:
        self._known = dict(built_in)
        self._built_in = frozenset(built_in)
        self._entry_points = entry_points or _entry_points
        self._found: list[EntryPoint] | None = None

    def __getitem__(self, name: str) -> ArchiveType:
        """Return a type.

        Raises:
            KeyError: there is none of this name.
            BrokenTypeError: a package brings it, and it cannot be used.
        """
        if name not in self._known:
            self._known[name] = _load(name, [point for point in self._brought() if point.name == name])
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        brought = {point.name for point in self._brought()}
        return iter(sorted(self._built_in | brought))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _brought(self) -> "list[EntryPoint]":
        if self._found is None:
            self._found = self._entry_points()
        return self._found


def _entry_points() -> "list[EntryPoint]":
    from importlib.metadata import entry_points  # noqa: PLC0415  # slow to import, and most types are built in

    return list(entry_points(group=GROUP))


def _load(name: str, points: "list[EntryPoint]") -> ArchiveType:
    if not points:
        raise KeyError(name)
    brought_by = sorted({f"{_package(point)} ({point.value})" for point in points})
    if len(brought_by) > 1:
        raise BrokenTypeError(f"is brought by {' and by '.join(brought_by)}; uninstall all but one")
    try:
        kind = points[0].load()
    except Exception as error:  # a foreign package may raise anything, and none of it is our traceback
        raise BrokenTypeError(
            f"is brought by {brought_by[0]}, which cannot be imported: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(kind, ArchiveType):
        raise BrokenTypeError(f"is brought by {brought_by[0]}, which is no ArchiveType but {type(kind).__name__}")
    if kind.name != name:
        raise BrokenTypeError(f"is brought by {brought_by[0]}, whose ArchiveType is named {kind.name!r}")
    return kind


def _package(point: "EntryPoint") -> str:
    return point.dist.name if point.dist is not None else "a package"


def open_archive(opening: Opening) -> "Archive":
    """Open an archive; `opening.stack` closes it.

    Args:
        opening: made by `sedas_sync.api`.

    Raises:
        AuthenticationError: there are no credentials for it.
        ArchiveError: the package that brings its type failed.
        ManifestError: its type is brought by a package that does not do what it must.
    """
    opener = opening.kind.opener
    if isinstance(opener, str):
        module, _, function = opener.partition(":")
        try:
            opener = getattr(import_module(module), function)
        except (ImportError, AttributeError) as error:
            raise ManifestError(
                f"the archive {opening.key!r} of type {opening.kind.name} cannot be opened: {error}"
            ) from error
    if opening.kind.name in BUILT_IN:
        built_in: Archive = opener(opening)
        opening.stack.callback(built_in.close)
        return built_in
    from sedas_sync.archives.plugin_guard import GuardedArchive, guard  # noqa: PLC0415  # only packages need it

    with guard(opening.kind.name, "its opener"):
        archive = opener(opening)
    missing = [name for name in _OWED if not hasattr(archive, name)]
    if missing:
        raise ManifestError(
            f"the archive {opening.key!r} of type {opening.kind.name} is none: what its package opens "
            f"({type(archive).__name__}) lacks {', '.join(missing)}"
        )
    reach = Reach(api=opening.config.url or "", trusted_hosts=opening.config.trusted_hosts)
    guarded = GuardedArchive(archive, opening.kind.name, reach)
    opening.stack.callback(guarded.close)
    return guarded


TYPES = Types()
"""The types of this installation."""
