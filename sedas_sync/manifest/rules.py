"""Rules between the keys of a dataset, and between a dataset and the rest of its manifest."""

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from msgspec import Struct

from sedas_sync.manifest.archive_types import ArchiveType
from sedas_sync.manifest.dates import is_backwards
from sedas_sync.manifest.problems import suggestion
from sedas_sync.manifest.tables import BESIDE_PRODUCTS, Dataset, Mistake
from sedas_sync.model.product_types import TYPES
from sedas_sync.model.satellites import GROUP_SENSORS, INSTRUMENT_SENSORS, group_of, instruments, spelled
from sedas_sync.model.scene import Sensor

_PRODUCT_TYPES = {name: sensor for group, sensor in GROUP_SENSORS.items() for name in TYPES[group]}
_SENSORS_IN_TEXT = {"optical": "optical", "sar": "SAR"}


class Context(Struct, frozen=True):
    """What a dataset may refer to."""

    aois: tuple[str, ...]
    archives: tuple[str, ...]
    types: Mapping[str, ArchiveType]
    """The type of each archive, by the archive's key; without those of unknown types."""
    now: datetime | None


class _Implied(NamedTuple):
    """A class of sensor that the value of a key implies."""

    key: str
    sensor: Sensor
    clause: str


def mistakes(dataset: Dataset, keys: Collection[str], context: Context) -> Iterator[Mistake]:
    """Yield mistakes of a dataset that no single value shows, each with its key, or "" for the whole dataset.

    Args:
        dataset: The right values; keys with wrong values are at their defaults.
        keys: All keys of the dataset in the manifest, right or wrong.
        context: What the dataset may refer to.
    """
    yield from _areas_or_products(dataset, keys, context)
    yield from _references(dataset, keys, context)
    end_is_known = "end" not in keys or "end" in dataset.model_fields_set
    if dataset.start and end_is_known and is_backwards(dataset.start, dataset.end, context.now):
        yield "end", f'is "{dataset.end.text}", before the start "{dataset.start.text}"'
    if dataset.relative and dataset.recheck is not None:
        yield "recheck", "needs fixed dates: give both `start` and `end` as a date"
    yield from _beyond_archive(dataset, keys, context)
    yield from _wrong_sensor(dataset, keys, context)


def _areas_or_products(dataset: Dataset, keys: Collection[str], context: Context) -> Iterator[Mistake]:
    if "products" in keys:
        clash = [key for key in type(dataset).model_fields if key in keys and key not in ("name", *BESIDE_PRODUCTS)]
        if clash:
            others = ", ".join(clash)
            yield "products", f"cannot be used with {others}: products replaces areas, dates and all rules but exclude"
        return
    types = _types(dataset, context).values()
    given = next((key for key in ("aoi", "tile") if key in keys), None)
    if given is None and (not types or any(one.needs_aoi for one in types)):
        yield "", "has no aoi, tile or products; one of them is required"
        return
    if given is None and "min_aoi_coverage" in keys:
        yield "min_aoi_coverage", "needs an aoi or a tile"
    if "start" not in keys:
        what = {"aoi": "with an AOI", "tile": "with a tile", None: "without products"}[given]
        yield "start", f"missing; a dataset {what} needs a start"


def _references(dataset: Dataset, keys: Collection[str], context: Context) -> Iterator[Mistake]:
    for name in dataset.aoi:
        if name not in context.aois:
            near = suggestion(name, context.aois, show_all=True) or "; there is no [aoi.NAME] table"
            yield "aoi", f'found "{name}", which is not an AOI of this manifest{near}'
    for name in dataset.archive:
        if name not in context.archives:
            near = suggestion(name, context.archives, show_all=True)
            yield "archive", f'found "{name}", which is not an archive of this manifest{near}'
    if "archive" not in keys and len(context.archives) > 1:
        yield "archive", f"missing; this manifest has several archives: {', '.join(context.archives)}"


def _beyond_archive(dataset: Dataset, keys: Collection[str], context: Context) -> Iterator[Mistake]:
    """Yield keys and filters that an archive of the dataset does not support."""
    types = _types(dataset, context).values()
    if dataset.orbits and types and not any(one.has_orbits for one in types):
        names = ", ".join(dict.fromkeys(one.name for one in types))
        yield "orbits", f"archives of type {names} have no orbit files; add one of type cdse to the dataset's archives"
    for name, archive_type in _types(dataset, context).items():
        only = len(context.archives) == 1
        archive = f"an archive of type {archive_type.name}" if only else f"archive {name} ({archive_type.name})"
        for key in keys:
            if key in archive_type.cannot:
                yield key, f"cannot be checked: {archive} has no data for it"
        if archive_type.filters is None and dataset.filters:
            yield "filters", f"{archive} has no filters of its own"
        elif archive_type.filters is not None:
            for key, sentence in archive_type.filters(dataset.filters):
                yield f"filters.{key}", f"{sentence} for {archive}"


def _types(dataset: Dataset, context: Context) -> dict[str, ArchiveType]:
    """Return the types of a dataset's archives, by the archives' keys."""
    names = dataset.archive or context.archives[:1]
    return {name: context.types[name] for name in names if name in context.types}


def _wrong_sensor(dataset: Dataset, keys: Collection[str], context: Context) -> Iterator[Mistake]:
    """Yield keys that contradict the class of sensor, if there is no doubt."""
    if dataset.sensor == "sar" and "max_cloud_cover" in keys:
        yield "max_cloud_cover", 'applies to optical scenes, but sensor is "sar"'
    implied = list(_implied_sensors(dataset, context))
    if dataset.sensor != "all":
        sensor: str = dataset.sensor
        reason = f'sensor is "{sensor}"'
    else:
        first = next(
            (one for one in implied if one.key in {"source_group", "satellite", "instrument", "product_type"}), None
        )
        if first is None:
            return
        sensor, reason = first.sensor, f"{first.key} {first.clause}"
    for one in implied:
        if one.sensor != sensor:
            yield one.key, f"{one.clause}, but {reason}"


def _implied_sensors(dataset: Dataset, context: Context) -> Iterator[_Implied]:
    group, satellite, product_type = dataset.source_group, dataset.satellite, dataset.product_type
    if group and (sensor := GROUP_SENSORS.get(spelled(group))):
        yield _Implied("source_group", sensor, f'"{group}" has {_SENSORS_IN_TEXT[sensor]} scenes')
    if satellite and (sensor := GROUP_SENSORS.get(group_of(satellite) or "")):
        yield _Implied("satellite", sensor, f'"{satellite}" takes {_SENSORS_IN_TEXT[sensor]} scenes')
    for name in sorted(instruments(dataset.instrument or "") & INSTRUMENT_SENSORS.keys()):
        sensor = INSTRUMENT_SENSORS[name]
        yield _Implied("instrument", sensor, f'"{dataset.instrument}" takes {_SENSORS_IN_TEXT[sensor]} scenes')
    for part in re.split(r"[_\s-]", (product_type or "").upper()):
        if part in _PRODUCT_TYPES:
            sensor = _PRODUCT_TYPES[part]
            yield _Implied("product_type", sensor, f'"{product_type}" is a type of {_SENSORS_IN_TEXT[sensor]} scenes')
    if dataset.polarisation:
        yield _Implied("polarisation", "sar", "applies to SAR scenes")
    if dataset.orbits:
        yield _Implied("orbits", "sar", "applies to scenes of Sentinel-1")
    if dataset.tile:
        yield _Implied("tile", "optical", "applies to optical scenes")
    sensors = {name: sensor for one in _types(dataset, context).values() for name, sensor in one.filter_sensors.items()}
    for name in dataset.filters:
        if name in sensors:
            yield _Implied(f"filters.{name}", sensors[name], f"is a filter of {_SENSORS_IN_TEXT[sensors[name]]} scenes")
