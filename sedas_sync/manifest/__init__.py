"""The manifest: what a mirror shall hold, read from TOML and held against every rule that needs no network.

All mistakes of a manifest are reported together, each as a sentence with the file, the dotted path, what
was found and what is allowed. Nothing here knows the clock, files or the network: they are passed in.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

import tomli

from sedas_sync.errors import ManifestError
from sedas_sync.manifest import hosts as _hosts
from sedas_sync.manifest import rules
from sedas_sync.manifest.archive_types import ADDRESS, ArchiveType, BrokenTypeError
from sedas_sync.manifest.dates import DateSpec
from sedas_sync.manifest.problems import ProblemList, dotted, shown, suggestion
from sedas_sync.manifest.tables import DEFAULT_TYPE, AoiTable, ArchiveConfig, Dataset, MirrorConfig, TransferConfig

__all__ = [
    "SINGLE",
    "VERSION",
    "ArchiveConfig",
    "Dataset",
    "DateSpec",
    "Manifest",
    "MirrorConfig",
    "TransferConfig",
    "parse",
]

if TYPE_CHECKING:  # shapely takes longer to import than all the rest, and a manifest of products never needs it
    from sedas_sync.geometry import Aoi, Polygonal

VERSION = 1
"""The manifest format this package reads."""
SINGLE = "archive"
"""The key of the only archive, where a manifest has `[archive]` or no table of archives at all."""

_COMMON = ("type", "url", "trusted_hosts", "filehash")
_OF_ADDRESSES = frozenset({"url", "trusted_hosts"})
_TABLES = ("version", "archive", "archives", "mirror", "transfer", "aoi", "dataset")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A manifest without mistakes; made by `parse`."""

    source: str
    """The file's name as messages give it."""
    version: int
    archives: Mapping[str, ArchiveConfig]
    """In the order of the manifest; `[archive]`, or its absence, is one entry under the key `archive`."""
    mirror: MirrorConfig
    transfer: TransferConfig
    aois: Mapping[str, "Aoi"]
    datasets: Mapping[str, Dataset]
    """In the order of the manifest."""


def parse(
    text: str,
    *,
    source: str,
    read_aoi: "Callable[[str], Polygonal]",
    types: Mapping[str, ArchiveType],
    now: datetime | None = None,
) -> Manifest:
    """Read a manifest and check everything that can be checked without the network.

    Args:
        text: the manifest.
        source: its name in messages.
        read_aoi: reads an AOI file, given as the manifest names it; a ValueError or OSError is a mistake.
        types: the types of archives that this installation knows, by name; only those that the manifest names are
            asked for.
        now: the time, to tell whether relative dates end before they start; without it only dates that do
        so at any
            time are mistakes.

    Raises:
        ManifestError: with one sentence for each mistake.
    """
    tree = _toml(text, source)
    report = ProblemList(source)
    report.remove_secrets(tree)
    _check_top(tree, report)
    archives = _archives(tree, report, types)
    mirror = report.model(MirrorConfig, report.table(tree, "mirror", "mirror"), "mirror")
    transfer = report.model(TransferConfig, report.table(tree, "transfer", "transfer"), "transfer")
    aois = _aois(report.table(tree, "aoi", "aoi"), report, read_aoi)
    kinds = {key: types[config.type] for key, config in archives.items() if config is not None}
    context = rules.Context(tuple(aois), tuple(archives), kinds, now)
    datasets = _datasets(tree, report, context)
    if report.problems or mirror is None or transfer is None:
        raise ManifestError(report.problems)
    return Manifest(
        source=source,
        version=VERSION,
        archives=MappingProxyType({key: value for key, value in archives.items() if value}),
        mirror=mirror,
        transfer=transfer,
        aois=MappingProxyType({name: aoi for name, aoi in aois.items() if aoi}),
        datasets=MappingProxyType(datasets),
    )


def _toml(text: str, source: str) -> dict[str, Any]:
    try:
        return tomli.loads(text.removeprefix("\ufeff"))
    except tomli.TOMLDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise ManifestError(f"{source}: {place}: this is not TOML: {error.msg}") from None
    except RecursionError:
        raise ManifestError(f"{source}: its lists or tables are nested too deep") from None


def _check_top(tree: Mapping[str, Any], report: ProblemList) -> None:
    for key in tree:
        if key not in _TABLES:
            report.add(dotted("", key), "unknown key" + suggestion(key, _TABLES, show_all=True))
    version = tree.get("version")
    if version is None:
        report.add("version", f"missing; version = {VERSION} belongs at the top of a manifest")
    elif version != VERSION or isinstance(version, bool | float):
        report.add("version", f"found {shown(version)}; this program reads version {VERSION}")


# ---------------------------------------------------------------------------------------------- archives


def _archives(
    tree: Mapping[str, Any], report: ProblemList, types: Mapping[str, ArchiveType]
) -> dict[str, ArchiveConfig | None]:
    """All archives by key; None for one that is wrong beyond use."""
    if "archives" not in tree:
        return {SINGLE: _archive(report.table(tree, "archive", "archive"), "archive", report, types)}
    if "archive" in tree:
        report.add("archive", "cannot stand beside [archives.*]; give it a name there too")
    tables = report.table(tree, "archives", "archives")
    if not tables and isinstance(tree["archives"], dict):
        report.add("archives", "is empty; [archives.NAME] tables belong in it")
    return {
        name: _archive(report.table(tables, name, path), path, report, types)
        for name, path in _named(tables, "archives", report)
    }


def _archive(
    table: Mapping[str, Any], path: str, report: ProblemList, types: Mapping[str, ArchiveType]
) -> ArchiveConfig | None:
    kind = _kind(table.get("type", DEFAULT_TYPE), path, report, types)
    if kind is None:
        # Which keys it may have is not known; those that all have can be checked.
        report.model(ArchiveConfig, {key: table[key] for key in table if key in _COMMON}, path)
        return None
    common = [key for key in _COMMON if kind.place == ADDRESS or key not in _OF_ADDRESSES]
    known = [*common, *kind.keys]
    for key in table:
        if key not in known:
            instead = f"; {kind.gone[key]}" if key in kind.gone else suggestion(key, known, show_all=True)
            report.add(dotted(path, key), "unknown key" + instead)
    given = {"filehash": kind.filehash, **{key: value for key, value in table.items() if key in common}}
    options = _options(table, path, report, kind)
    meaning = {
        name: options[name]
        for name, key in kind.keys.items()
        if key.selects and name != kind.place and options[name] != key.default
    }
    config = report.model(
        ArchiveConfig, given, path, options=MappingProxyType(options), meaning=MappingProxyType(meaning)
    )
    if config is None:
        return None
    filehash = config.filehash if "filehash" in table else kind.filehash
    update = {"type": kind.name, "filehash": filehash, **_address(config, table, path, report, kind)}
    config = config.model_copy(update=update)
    if kind.check is not None:
        for key, sentence in kind.check(config):
            report.add(dotted(path, key), sentence)
    return config


def _kind(name: Any, path: str, report: ProblemList, types: Mapping[str, ArchiveType]) -> ArchiveType | None:
    if not isinstance(name, str) or not name.strip():
        return None
    try:
        kind = types.get(name.strip())
    except BrokenTypeError as error:
        report.add(dotted(path, "type"), f"found {shown(name)}, which {error}")
        return None
    if kind is None:
        near = suggestion(name.strip(), sorted(types), show_all=True)
        report.add(dotted(path, "type"), f"found {shown(name)}, which is no known type{near}")
    return kind


def _options(table: Mapping[str, Any], path: str, report: ProblemList, kind: ArchiveType) -> dict[str, Any]:
    """The keys that only this kind of archive has, each with its value or default."""
    options = {}
    for name, key in kind.keys.items():
        options[name] = key.default
        if name not in table:
            if key.required:
                report.add(dotted(path, name), f"missing; an archive of type {kind.name} needs it: {key.about}")
            continue
        try:
            options[name] = key.read(table[name])
        except ValueError as error:
            report.add(dotted(path, name), f"found {shown(table[name])}; {error}")
        except Exception as error:  # noqa: BLE001  # a foreign package may raise anything, and none of it is our traceback
            why = f"{type(error).__name__}: {error}"
            report.add(
                dotted(path, name), f"found {shown(table[name])}; the package of type {kind.name} cannot read it: {why}"
            )
    return options


def _address(
    config: ArchiveConfig, table: Mapping[str, Any], path: str, report: ProblemList, kind: ArchiveType
) -> dict[str, Any]:
    """Where an archive is, and which further hosts may see its credentials."""
    if kind.place != ADDRESS:
        return {"url": None if kind.place is None else config.options.get(kind.place), "trusted_hosts": ()}
    if kind.url is None and "url" not in table:
        report.add(dotted(path, "url"), f"missing; the type {config.type} has no address of its own")
    hosts = config.trusted_hosts
    try:
        hosts = tuple(_hosts.trusted_host(host) for host in hosts)
    except ValueError as error:
        report.add(dotted(path, "trusted_hosts"), f"found {shown(list(config.trusted_hosts))}; an entry {error}")
    if "trusted_hosts" not in table:
        hosts = kind.trusted_hosts
    if config.url is not None:
        try:
            _hosts.url(config.url)
        except ValueError as error:
            report.add(dotted(path, "url"), f"found {shown(config.url)}; it {error}")
    return {"url": config.url or kind.url, "trusted_hosts": hosts}


# -------------------------------------------------------------------------------------------------- AOIs


def _aois(
    tables: Mapping[str, Any], report: ProblemList, read_aoi: "Callable[[str], Polygonal]"
) -> dict[str, "Aoi | None"]:
    """All AOIs by name; None for one that is wrong."""
    return {
        name: _aoi(report.table(tables, name, path), path, report, read_aoi)
        for name, path in _named(tables, "aoi", report)
    }


def _aoi(
    table: Mapping[str, Any], path: str, report: ProblemList, read_aoi: "Callable[[str], Polygonal]"
) -> "Aoi | None":
    before = len(report.problems)
    config = report.model(AoiTable, table, path)
    ways = [key for key in ("wkt", "file", "bbox", "point") if key in table]
    if len(ways) != 1:
        found = f"has {' and '.join(ways)}" if ways else "says nowhere where it is"
        report.add(path, f"{found}; it needs exactly one of wkt, file, bbox, point")
    if "point" in ways and "radius_km" not in table:
        report.add(path, "has a point without radius_km")
    if "radius_km" in table and "point" not in ways:
        report.add(dotted(path, "radius_km"), "belongs to a point, and there is none")
    if config is None or len(report.problems) > before:
        return None

    from sedas_sync import geometry  # noqa: PLC0415 - see TYPE_CHECKING above

    try:
        return geometry.Aoi(_region(config, read_aoi))
    except (ValueError, OSError) as error:
        report.add(dotted(path, ways[0]), str(error))
        return None


def _region(config: AoiTable, read_aoi: "Callable[[str], Polygonal]") -> "Polygonal":
    from sedas_sync import geometry  # noqa: PLC0415 - see TYPE_CHECKING above

    if config.wkt is not None:
        return geometry.from_wkt(config.wkt)
    if config.file is not None:
        return read_aoi(config.file)
    if config.bbox is not None:
        return geometry.from_bbox(*config.bbox)
    return geometry.from_circle(*cast(tuple[float, float], config.point), cast(float, config.radius_km))


# ---------------------------------------------------------------------------------------------- datasets


def _datasets(tree: Mapping[str, Any], report: ProblemList, context: rules.Context) -> dict[str, Dataset]:
    tables = report.table(tree, "dataset", "dataset")
    if not tables and isinstance(tree.get("dataset", {}), dict):
        report.add("dataset", "missing; a manifest needs at least one [dataset.NAME]")
    datasets: dict[str, Dataset] = {}
    for name, path in _named(tables, "dataset", report):
        table = report.table(tables, name, path)
        dataset = report.model(Dataset, table, path, name=name)
        if dataset is not None and isinstance(tables[name], dict):
            for key, sentence in rules.mistakes(dataset, table.keys(), context):
                report.add(f"{path}.{key}" if key else path, sentence)
            archive = dataset.archive or context.archives[:1]
            datasets[name] = dataset.model_copy(update={"archive": archive})
    return datasets


def _named(tables: Mapping[str, Any], path: str, report: ProblemList) -> list[tuple[str, str]]:
    """The names in a table of tables with their dotted paths; a name that is not plain is noted."""
    for name in tables:
        if not rules.PLAIN_NAME.fullmatch(name):
            report.add(dotted(path, name), "a name has 1 to 64 of the characters A-Z, a-z, 0-9, '-' and '_'")
    return [(name, dotted(path, name)) for name in tables]
