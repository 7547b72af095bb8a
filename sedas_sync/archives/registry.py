"""Types of archives: the built-in ones, and those of other packages.

A package adds a type with an entry point in the group `sedas_sync.archives`: its name is the type's name and its object
is an `ArchiveType`. Packages are searched only if a type is not built in, because that search is slow.
"""

from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points

from sedas_sync.archives.cdse import kind as cdse
from sedas_sync.archives.directory_config import DirectoryConfig
from sedas_sync.archives.eodag import kind as eodag
from sedas_sync.archives.sedas import kind as sedas
from sedas_sync.archives.stac import kind as stac
from sedas_sync.manifest.archive_types import ArchiveType, BrokenTypeError

GROUP = "sedas_sync.archives"
"""The group of entry points with which packages add types of archives."""

_DIRECTORY = ArchiveType(
    name="directory",
    opener="sedas_sync.archives.directory:open_archive",
    config=DirectoryConfig,
    needs_aoi=False,
    has_orbits=True,
)

BUILT_IN: Mapping[str, ArchiveType] = {
    kind.name: kind for kind in (sedas.KIND, sedas.SANDBOX_KIND, cdse.KIND, _DIRECTORY, stac.KIND, eodag.KIND)
}
"""By name. The module of an archive is imported when one of its type is opened."""


class Types(Mapping[str, ArchiveType]):
    """All types of archives by name. A package is imported when its type is looked up.

    Args:
        built_in: The types that need no package.
        entry_points: Returns the entry points of packages.
    """

    def __init__(
        self,
        built_in: Mapping[str, ArchiveType] = BUILT_IN,
        entry_points: Callable[[], list[EntryPoint]] | None = None,
    ) -> None:
        self._known = dict(built_in)
        self._built_in = frozenset(built_in)
        self._list_entry_points = entry_points or _entry_points
        self._listed: list[EntryPoint] | None = None

    def __getitem__(self, name: str) -> ArchiveType:
        """Return a type.

        Raises:
            KeyError: There is no type with this name.
            BrokenTypeError: A package provides it but it cannot be used.
        """
        if name not in self._known:
            self._known[name] = _load(name, [point for point in self._packages() if point.name == name])
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._built_in | {point.name for point in self._packages()}))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _packages(self) -> list[EntryPoint]:
        if self._listed is None:
            self._listed = self._list_entry_points()
        return self._listed


def _entry_points() -> list[EntryPoint]:
    return list(entry_points(group=GROUP))


def _load(name: str, points: list[EntryPoint]) -> ArchiveType:
    if not points:
        raise KeyError(name)
    packages = sorted({f"{point.dist.name if point.dist else 'a package'} ({point.value})" for point in points})
    if len(packages) > 1:
        raise BrokenTypeError(f"is provided by {' and by '.join(packages)}; uninstall all but one")
    try:
        kind = points[0].load()
    except Exception as error:  # the package may raise anything
        raise BrokenTypeError(
            f"is provided by {packages[0]}, which cannot be imported: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(kind, ArchiveType):
        raise BrokenTypeError(f"is provided by {packages[0]}, which is not an ArchiveType but {type(kind).__name__}")
    if kind.name != name:
        raise BrokenTypeError(f"is provided by {packages[0]}, whose ArchiveType is named {kind.name!r}")
    return kind


TYPES = Types()
"""The types of this installation."""
