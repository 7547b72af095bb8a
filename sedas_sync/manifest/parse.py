"""Read a manifest and check everything that can be checked without the network.

All mistakes are reported together. Each is a sentence with the file, the dotted path, what was found and what is
allowed. This module uses neither the clock nor files: the current time and the areas are passed in.
"""

import copyreg
from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import tomli
from msgspec import Struct

from sedas_sync.errors import ManifestError
from sedas_sync.manifest import rules
from sedas_sync.manifest.archive_types import ArchiveType, BrokenTypeError
from sedas_sync.manifest.problems import ProblemList, dotted, shown, suggestion
from sedas_sync.manifest.tables import (
    DEFAULT_TYPE,
    PLAIN_NAME,
    VERSION,
    AoiTable,
    ArchiveConfig,
    Dataset,
    MirrorConfig,
    TransferConfig,
)

if TYPE_CHECKING:  # shapely is slow to import, and a manifest without AOIs does not need it
    from sedas_sync.geometry import Aoi


ReadArea = Callable[[AoiTable | str], "Aoi"]
"""Returns the area of a table, which has exactly one, or of an MGRS tile. A ValueError or OSError is a mistake."""
SINGLE_ARCHIVE = "archive"
"""The key of the only archive, if a manifest has `[archive]` or no table of archives."""

_TABLES = ("version", "archive", "archives", "mirror", "transfer", "aoi", "dataset")


def _read_only(values: dict[str, Any]) -> MappingProxyType[str, Any]:
    return MappingProxyType(values)


# Manifests are sent to other processes, and Python does not pickle its own read-only dicts.
copyreg.pickle(MappingProxyType, lambda proxy: (_read_only, (dict(proxy),)))


class Manifest(Struct, frozen=True, kw_only=True):
    """A manifest without mistakes, from `load_manifest` or `parse_manifest`.

    Example:
        import sedas_sync as ss

        manifest = ss.load_manifest("manifest.toml")
        for name, dataset in manifest.datasets.items():
            print(name, dataset.sensor, dataset.archive)
    """

    source: str
    """The file, as an absolute path; the manifest of a text or dict is a file that need not exist."""
    name: str
    """The file as the user wrote it, for messages."""
    version: int
    """The version of the manifest's format."""
    archives: Mapping[str, ArchiveConfig]
    """In the order of the manifest. `[archive]`, or no table of archives, is one entry with the key `archive`."""
    mirror: MirrorConfig
    """`[mirror]`: the path of the folder and the layout of its files."""
    transfer: TransferConfig
    """`[transfer]`: how scenes are downloaded."""
    aois: Mapping[str, "Aoi"]
    """The areas by name."""
    datasets: Mapping[str, Dataset]
    """In the order of the manifest."""
    aoi_files: tuple[str, ...] = ()
    """The AOI files that the manifest names, as they are written there."""

    @property
    def first_archive(self) -> dict[str, str | None]:
        """Type and URL of the first archive."""
        config = next(iter(self.archives.values()))
        return {"type": config.type, "url": config.address}


def parse(
    text: str | Mapping[str, Any],
    *,
    source: str,
    name: str = "",
    read_area: ReadArea,
    types: Mapping[str, ArchiveType],
    now: datetime | None = None,
) -> Manifest:
    """Read a manifest and check everything that can be checked without the network.

    Args:
        text: The manifest: TOML, or its tables.
        source: The file, as an absolute path.
        name: The file in messages; `source` if it is empty.
        read_area: Returns the areas of its tables.
        types: The archive types of this installation, by name; only those that the manifest names are looked up.
        now: The current time, to find relative dates that end before they start. Without it, only dates that do so
            at any time are mistakes.

    Raises:
        ManifestError: The manifest has mistakes; the error has one sentence for each.
    """
    name = name or source
    tree = _read_toml(text, name) if isinstance(text, str) else dict(text)
    report = ProblemList(name)
    report.remove_secrets(tree)
    _check_top(tree, report)
    archives = _read_archives(tree, report, types)
    mirror = report.model(MirrorConfig, report.table(tree, "mirror", "mirror"), "mirror")
    transfer = report.model(TransferConfig, report.table(tree, "transfer", "transfer"), "transfer")
    aois = _read_aois(report.table(tree, "aoi", "aoi"), report, read_area)
    known_types = {key: archive_type for key, (archive_type, _) in archives.items() if archive_type is not None}
    context = rules.Context(tuple(aois), tuple(archives), known_types, now)
    datasets = _read_datasets(tree, report, context)
    aois |= _tile_aois(datasets, report, read_area)
    if report.problems or mirror is None or transfer is None:
        raise ManifestError(report.problems)
    return Manifest(
        source=source,
        name=name,
        version=VERSION,
        archives=MappingProxyType({key: config for key, (_, config) in archives.items() if config is not None}),
        mirror=mirror,
        transfer=transfer,
        aois=MappingProxyType({name: aoi for name, aoi in aois.items() if aoi is not None}),
        datasets=MappingProxyType(datasets),
        aoi_files=tuple(str(table["file"]) for table in tree.get("aoi", {}).values() if "file" in table),
    )


def _read_toml(text: str, source: str) -> dict[str, Any]:
    try:
        return tomli.loads(text.removeprefix("\ufeff"))
    except tomli.TOMLDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise ManifestError(f"{source}: {place}: this is not TOML: {error.msg}") from None
    except RecursionError:
        raise ManifestError(f"{source}: its lists or tables are nested too deeply") from None


def _check_top(tree: Mapping[str, Any], report: ProblemList) -> None:
    for key in tree:
        if key not in _TABLES:
            report.add(dotted("", key), "unknown key" + suggestion(key, _TABLES, show_all=True))
    version = tree.get("version")
    if version is None:
        report.add("version", f"missing; add version = {VERSION} at the top of the manifest")
    elif version != VERSION or isinstance(version, bool | float):
        report.add("version", f"found {shown(version)}; this program reads version {VERSION}")


def _names(tables: Mapping[str, Any], path: str, report: ProblemList) -> list[tuple[str, str]]:
    """Return the names in a table of tables with their dotted paths, and report invalid names."""
    for name in tables:
        if not PLAIN_NAME.fullmatch(name):
            report.add(dotted(path, name), "a name has 1 to 64 of the characters A-Z, a-z, 0-9, '-' and '_'")
    return [(name, dotted(path, name)) for name in tables]


# ---------------------------------------------------------------------------------------------- archives

_TypeAndConfig = tuple[ArchiveType | None, ArchiveConfig | None]


def _read_archives(
    tree: Mapping[str, Any], report: ProblemList, types: Mapping[str, ArchiveType]
) -> dict[str, _TypeAndConfig]:
    """Return all archives by key."""
    if "archives" not in tree:
        return {SINGLE_ARCHIVE: _read_archive(report.table(tree, "archive", "archive"), "archive", report, types)}
    if "archive" in tree:
        report.add("archive", "cannot be used together with [archives.*]; move it there and give it a name")
    tables = report.table(tree, "archives", "archives")
    if not tables and isinstance(tree["archives"], dict):
        report.add("archives", "is empty; add an [archives.NAME] table")
    return {
        name: _read_archive(report.table(tables, name, path), path, report, types)
        for name, path in _names(tables, "archives", report)
    }


def _read_archive(
    table: Mapping[str, Any], path: str, report: ProblemList, types: Mapping[str, ArchiveType]
) -> _TypeAndConfig:
    """Return the type and the configuration of an archive; None for what is not known because of a mistake."""
    archive_type = _find_type(table.get("type", DEFAULT_TYPE), path, report, types)
    if archive_type is None:
        # The type decides which other keys are allowed.
        report.model(ArchiveConfig, {key: table[key] for key in table if key in ArchiveConfig.model_fields}, path)
        return None, None
    config = None
    try:
        config = report.model(archive_type.config, table, path, removed=archive_type.config.REMOVED_KEYS)
        for key, sentence in () if config is None else config.mistakes():
            report.add(dotted(path, key), sentence)
    except Exception as error:  # noqa: BLE001 - the package of an archive type may raise anything
        report.add(path, f"the package of type {archive_type.name} cannot read it: {type(error).__name__}: {error}")
    return archive_type, config


def _find_type(name: Any, path: str, report: ProblemList, types: Mapping[str, ArchiveType]) -> ArchiveType | None:
    if not isinstance(name, str) or not name.strip():
        return None
    try:
        archive_type = types.get(name.strip())
    except BrokenTypeError as error:
        report.add(dotted(path, "type"), f"found {shown(name)}, which {error}")
        return None
    if archive_type is None:
        near = suggestion(name.strip(), sorted(types), show_all=True)
        report.add(dotted(path, "type"), f"found {shown(name)}, which is not a known type{near}")
    return archive_type


# -------------------------------------------------------------------------------------------------- AOIs


def _read_aois(tables: Mapping[str, Any], report: ProblemList, read_area: ReadArea) -> dict[str, "Aoi | None"]:
    """Return all AOIs by name; None for one that is wrong."""
    return {
        name: _read_aoi(report.table(tables, name, path), path, report, read_area)
        for name, path in _names(tables, "aoi", report)
    }


def _read_aoi(table: Mapping[str, Any], path: str, report: ProblemList, read_area: ReadArea) -> "Aoi | None":
    before = len(report.problems)
    config = report.model(AoiTable, table, path)
    given = [key for key in AoiTable.GIVEN_BY if key in table]
    if len(given) != 1:
        found = f"has {' and '.join(given)}" if given else "has no area"
        report.add(path, f"{found}; it needs exactly one of {', '.join(AoiTable.GIVEN_BY)}")
    if "point" in given and "radius_km" not in table:
        report.add(path, "has a point without radius_km")
    if "radius_km" in table and "point" not in given:
        report.add(dotted(path, "radius_km"), "needs a point")
    for key in ("layer", "where"):
        if key in table and "file" not in given:
            report.add(dotted(path, key), "needs a file")
    if "buffer_km" in table and "point" in given:
        report.add(dotted(path, "buffer_km"), "cannot be used with a point; write a larger radius_km")
    if config is None or len(report.problems) > before:
        return None
    return _area(config, read_area, dotted(path, given[0]), report)


def _area(given: AoiTable | str, read_area: ReadArea, path: str, report: ProblemList) -> "Aoi | None":
    """Return the area of a table or tile; if it is wrong, report a mistake with this path and return None."""
    try:
        return read_area(given)
    except (ValueError, OSError, ManifestError) as error:
        report.add(path, str(error))
        return None


# ---------------------------------------------------------------------------------------------- datasets


def _read_datasets(tree: Mapping[str, Any], report: ProblemList, context: rules.Context) -> dict[str, Dataset]:
    tables = report.table(tree, "dataset", "dataset")
    if not tables and isinstance(tree.get("dataset", {}), dict):
        report.add("dataset", "missing; a manifest needs at least one [dataset.NAME]")
    datasets: dict[str, Dataset] = {}
    for name, path in _names(tables, "dataset", report):
        table = report.table(tables, name, path)
        dataset = report.model(Dataset, table, path, name=name)
        if dataset is not None and isinstance(tables[name], dict):
            for key, sentence in rules.mistakes(dataset, table.keys(), context):
                report.add(f"{path}.{key}" if key else path, sentence)
            archive = dataset.archive or context.archives[:1]
            aoi = dataset.aoi if "aoi" in table else tuple(map(_tile_aoi, dataset.tile))
            datasets[name] = dataset.model_copy(update={"archive": archive, "aoi": aoi})
    return datasets


def _tile_aoi(tile: str) -> str:
    """Return the name of a tile's AOI. No table can have it, because it has a space."""
    return f"tile {tile}"


def _tile_aois(datasets: Mapping[str, Dataset], report: ProblemList, read_area: ReadArea) -> "dict[str, Aoi | None]":
    """Return the outlines of the tiles of datasets without AOIs."""
    return {
        _tile_aoi(tile): _area(tile, read_area, f"{dotted('dataset', name)}.tile", report)
        for name, one in datasets.items()
        for tile in one.tile
        if _tile_aoi(tile) in one.aoi
    }
