"""What the keys of one dataset must obey together."""

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from msgspec import Struct

from sedas_sync.manifest.archive_types import ArchiveType, Mistake
from sedas_sync.manifest.dates import is_backwards
from sedas_sync.manifest.problems import suggestion
from sedas_sync.manifest.tables import Dataset
from sedas_sync.model.scene import Sensor

PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

_BESIDE_PRODUCTS = frozenset({"name", "products", "archive", "exclude"})
_PRODUCT_TYPES: dict[str, Sensor] = {
    **dict.fromkeys(("L1C", "L2A", "S2MSI1C", "S2MSI2A"), "optical"),
    **dict.fromkeys(("SLC", "GRD", "GRDH", "GRDM", "GRDF", "SCD", "OCN", "RAW"), "sar"),
}
_GROUPS: dict[str, Sensor] = {"S1": "sar", "S2": "optical"}
_SATELLITES: dict[str, Sensor] = {"SENTINEL-1": "sar", "SENTINEL-2": "optical"}
_SPOKEN = {"optical": "optical", "sar": "SAR"}


class Context(Struct, frozen=True):
    """What a dataset is held against."""

    aois: tuple[str, ...]
    archives: tuple[str, ...]
    kinds: Mapping[str, ArchiveType]
    """Of each archive that can be used, by its key."""
    now: datetime | None


class _Claim(NamedTuple):
    """A key that only makes sense for one class of sensor."""

    key: str
    sensor: Sensor
    what: str


def mistakes(dataset: Dataset, keys: Collection[str], context: Context) -> Iterator[Mistake]:
    """Yield what is wrong with a dataset beyond its single values, under the key below it or "" for all of it.

    Args:
        dataset: what is right of it; keys with mistakes of their own are left at their defaults.
        keys: all keys that stand in the manifest, right or wrong.
        context: the names it may refer to.
    """
    yield from _selection(dataset, keys)
    yield from _references(dataset, keys, context)
    end_is_known = "end" not in keys or "end" in dataset.model_fields_set
    if dataset.start and end_is_known and is_backwards(dataset.start, dataset.end, context.now):
        yield "end", f'is "{dataset.end.text}", before the start "{dataset.start.text}"'
    yield from _capabilities(dataset, keys, context)
    yield from _sensor(dataset, keys, context)


def _selection(dataset: Dataset, keys: Collection[str]) -> Iterator[Mistake]:
    if "products" in keys:
        clash = [key for key in type(dataset).model_fields if key in keys and key not in _BESIDE_PRODUCTS]
        if clash:
            others = ", ".join(clash)
            yield (
                "products",
                f"cannot stand beside {others}: products replace AOI, dates and all rules but exclude",
            )
    elif "aoi" not in keys:
        yield "", "has neither aoi nor products; one of them is needed"
    elif "start" not in keys:
        yield "start", "missing; a dataset with an AOI needs a start"


def _references(dataset: Dataset, keys: Collection[str], context: Context) -> Iterator[Mistake]:
    for name in dataset.aoi:
        if name not in context.aois:
            near = suggestion(name, context.aois, show_all=True) or "; there is no [aoi.NAME] table"
            yield "aoi", f'found "{name}", which is no AOI of this manifest{near}'
    for name in dataset.archive:
        if name not in context.archives:
            near = suggestion(name, context.archives, show_all=True)
            yield "archive", f'found "{name}", which is no archive of this manifest{near}'
    if "archive" not in keys and len(context.archives) > 1:
        yield "archive", f"missing; this manifest has several archives: {', '.join(context.archives)}"


def _capabilities(dataset: Dataset, keys: Collection[str], context: Context) -> Iterator[Mistake]:
    """Find what a dataset asks of an archive that cannot do it."""
    for name, kind in _kinds(dataset, context).items():
        where = f"an archive of type {kind.name}" if len(context.archives) == 1 else f"archive {name} ({kind.name})"
        for key in keys:
            if key in kind.cannot:
                yield key, f"cannot be judged: {where} has no facts for it"
        if kind.filters is None and dataset.filters:
            yield "filters", f"{where} takes no filters of its own"
        elif kind.filters is not None:
            yield from ((f"filters.{one}", f"{said} for {where}") for one, said in kind.filters(dataset.filters))


def _kinds(dataset: Dataset, context: Context) -> dict[str, ArchiveType]:
    """The kinds of the archives that a dataset takes scenes from."""
    names = dataset.archive or context.archives[:1]
    return {name: context.kinds[name] for name in names if name in context.kinds}


def _sensor(dataset: Dataset, keys: Collection[str], context: Context) -> Iterator[Mistake]:
    """Find keys that contradict the class of sensor; only what is beyond doubt is a mistake."""
    if dataset.sensor == "sar" and "max_cloud_cover" in keys:
        yield "max_cloud_cover", 'acts on optical scenes, but sensor is "sar"'
    claims = list(_claims(dataset, context))
    if dataset.sensor != "all":
        sensor: str = dataset.sensor
        because = f'sensor is "{sensor}"'
    else:
        leading = next((c for c in claims if c.key in {"source_group", "satellite", "product_type"}), None)
        if leading is None:
            return
        sensor, because = leading.sensor, f"{leading.key} {leading.what}"
    for claim in claims:
        if claim.sensor != sensor:
            yield claim.key, f"{claim.what}, but {because}"


def _claims(dataset: Dataset, context: Context) -> Iterator[_Claim]:
    group = _GROUPS.get((dataset.source_group or "").upper())
    if group:
        yield _Claim("source_group", group, f'"{dataset.source_group}" is of {_SPOKEN[group]} scenes')
    for stem, sensor in _SATELLITES.items():
        if dataset.satellite and dataset.satellite.upper().startswith(stem):
            yield _Claim("satellite", sensor, f'"{dataset.satellite}" takes {_SPOKEN[sensor]} scenes')
    for part in re.split(r"[_\s-]", (dataset.product_type or "").upper()):
        if part in _PRODUCT_TYPES:
            sensor = _PRODUCT_TYPES[part]
            yield _Claim("product_type", sensor, f'"{dataset.product_type}" is of {_SPOKEN[sensor]} scenes')
    if dataset.polarisation:
        yield _Claim("polarisation", "sar", "is of SAR scenes")
    if dataset.tile:
        yield _Claim("tile", "optical", "is of optical scenes")
    sensors = {
        name: sensor for kind in _kinds(dataset, context).values() for name, sensor in kind.filter_sensors.items()
    }
    for name in dataset.filters:
        if name in sensors:
            yield _Claim(f"filters.{name}", sensors[name], f"is a filter of {_SPOKEN[sensors[name]]} scenes")
