"""OData requests to the Copernicus Data Space catalogue. Pure.

An optional condition never excludes a scene that the exact rules may match, because those are applied to the answer: a
scene without a cloud value stays in, and so do all names that the archive has for one product type.

Source of the grammar: the OData page of the Copernicus Data Space documentation (2025-03).
"""

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any
from urllib.parse import quote

import shapely
from msgspec import Struct

from sedas_sync.archives.cdse.filters import attribute, either, own_filter, string_literal
from sedas_sync.errors import ArchiveError
from sedas_sync.model.product_types import group_of_type
from sedas_sync.model.scene import Query

LONGEST_FILTER = 4000
"""Characters of a percent-encoded `$filter`, well below the 8 KB that web servers accept for a request line."""
COLLECTIONS = ("SENTINEL-1", "SENTINEL-2")
"""The collections to search if neither the manifest nor the query names one."""

_SENSORS = {
    "SENTINEL-1": "sar", "SENTINEL-1-RTC": "sar",
    "SENTINEL-2": "optical", "LANDSAT-5": "optical", "LANDSAT-7": "optical", "LANDSAT-8": "optical",
    "LANDSAT-8-ESA": "optical", "TERRAAQUA": "optical",
}  # fmt: skip
"""Collections with one class of sensor; any other may have both."""
_GROUPS = {
    "S1": "SENTINEL-1", "S2": "SENTINEL-2", "S3": "SENTINEL-3", "S5P": "SENTINEL-5P", "S6": "SENTINEL-6",
}  # fmt: skip
_KNOWN = (
    *_GROUPS.values(), "SENTINEL-1-RTC", "GLOBAL-MOSAICS", "SMOS", "ENVISAT", "LANDSAT-5", "LANDSAT-7", "LANDSAT-8",
    "LANDSAT-8-ESA", "COP-DEM", "TERRAAQUA", "S2GLM", "CCM",
)  # fmt: skip
"""Collections of the service (OData page, 2025-03), to read other spellings of their names."""
_LANDSAT = re.compile(r"LANDSAT[-_ ]?(\d)", re.IGNORECASE)
_SATELLITE = re.compile(r"SENTINEL-?(\d)([A-Z]?)", re.IGNORECASE)
_OPTICAL_TYPES = {"L1C": "S2MSI1C", "L2A": "S2MSI2A"}
_SAR_TYPE = re.compile(r"(?:GRD[FHM]?|SLC|OCN|RAW)")
_CHANNELS = ("HH", "HV", "VH", "VV")
_PAIRS = tuple(pair for pair in permutations(_CHANNELS, 2) if pair[0][0] == pair[1][0] or set(pair) == {"HH", "VV"})
_COG = "-COG"
_TILE = re.compile(r"[0-9]{2}[A-Z]{3}")


def time_literal(when: datetime, *, up: bool = False) -> str:
    """Write a time with a `Z`, in whole milliseconds as the catalogue states them; rounded down, or `up`.

    The zone is necessary: before 2024-05-28 a time without one was local time in Warsaw (release notes).
    """
    utc = when.astimezone(UTC)
    rest = utc.microsecond % 1000
    if rest:
        utc += timedelta(microseconds=1000 - rest if up else -rest)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"


class Conditions(Struct, frozen=True):
    """The conditions of a search besides its time."""

    needed: tuple[str, ...]
    """Collection, area and the manifest's `filters`."""
    optional: tuple[str, ...]
    """Conditions that the exact rules check again, so that a search without them only takes longer."""

    def within(self, start: datetime, stop: datetime, *, narrow: bool = True) -> str:
        """Write the `$filter` for an interval of the acquisition start, both ends included."""
        first, *others = self.needed
        time = (f"ContentDate/Start ge {time_literal(start)}", f"ContentDate/Start le {time_literal(stop, up=True)}")
        return " and ".join((first, *time, *others, *(self.optional if narrow else ())))


def conditions(query: Query, collections: tuple[str, ...] = ()) -> Conditions:
    """Translate a query.

    Args:
        query: The query.
        collections: The collections that the manifest names for the archive, if any.

    Raises:
        ArchiveError: A filter of the manifest is not valid.
    """
    searched = _collections(query, collections)
    needed = [either(f"Collection/Name eq {string_literal(name)}" for name in searched)]
    try:
        own = [condition for name, value in query.filters.items() for condition in own_filter(name, value)]
    except ValueError as error:
        raise ArchiveError(f"a filter of the dataset is not valid: it {error}") from None
    room = LONGEST_FILTER - len(quote(" and ".join([*needed, *own]), safe=""))
    if query.aoi is not None:
        needed.append(f"OData.CSC.Intersects(area=geography'SRID=4326;{_area(query.aoi, room)}')")
    return Conditions((*needed, *own), tuple(_optional(query)))


def _collections(query: Query, limited: tuple[str, ...]) -> tuple[str, ...]:
    """Return the collections that may have the scenes."""
    landsat = _LANDSAT.fullmatch(query.satellite or "")
    if limited:
        names = tuple(map(_spelled, limited))
    elif landsat:
        names = tuple(name for name in _KNOWN if name.startswith(f"LANDSAT-{landsat[1]}"))
    elif query.source_group:
        names = (_GROUPS.get(query.source_group.upper(), query.source_group),)
    elif match := _SATELLITE.match(query.satellite or ""):
        names = tuple(name for name in _GROUPS.values() if name.startswith(f"SENTINEL-{match[1]}"))
    elif group := group_of_type(query.product_type or ""):
        names = (_GROUPS[group],)
    else:
        names = COLLECTIONS
    # No collection has a satellite that does not exist.
    names = names or COLLECTIONS
    if query.sensor == "all":
        return names
    return tuple(name for name in names if _SENSORS.get(name.upper(), query.sensor) == query.sensor) or names


def _spelled(collection: str) -> str:
    """Return the name of a collection as the service writes it: `SENTINEL2` is `SENTINEL-2`."""
    plain = {re.sub("[^A-Z0-9]", "", name): name for name in _KNOWN}
    return plain.get(re.sub("[^A-Z0-9]", "", collection.upper()), collection)


def _optional(query: Query) -> Iterable[str]:
    if (match := _SATELLITE.fullmatch(query.satellite or "")) and match[2]:
        yield f"startswith(Name,{string_literal(f'S{match[1]}{match[2].upper()}')})"
    if query.product_type:
        yield from _product_type(query.product_type.upper())
    if query.max_cloud_cover is not None:
        # "Not greater than" keeps scenes without a value; "less or equal" would lose them.
        yield f"not ({attribute('cloudCover', 'Double', 'gt', f'{query.max_cloud_cover:.2f}')})"
    if query.orbit_direction:
        yield attribute("orbitDirection", "String", "eq", string_literal(query.orbit_direction.upper()))
    if query.relative_orbit is not None:
        yield attribute("relativeOrbitNumber", "Integer", "eq", str(query.relative_orbit))
    if query.polarisation and (channels := _channels(query.polarisation)):
        yield either(attribute("polarisationChannels", "String", "eq", string_literal(word)) for word in channels)
    if query.tile and all(map(_TILE.fullmatch, query.tile)):
        yield either(f"contains(Name,{string_literal(f'_T{tile}_')})" for tile in query.tile)


def _product_type(name: str) -> Iterable[str]:
    """Yield conditions for a product type, or a part of one; the names of products contain their types."""
    plain = name.removesuffix(_COG)
    if plain != name:
        yield "contains(Name,'_COG')"
    in_name = f"contains(Name,{string_literal(plain)})"
    if _SAR_TYPE.fullmatch(plain):
        # IW_GRDH_1S, EW_GRDM_1S, IW_GRDH_1S-COG and others are all GRD.
        yield f"contains(Name,{string_literal(f'_{plain}')})"
    elif plain in _OPTICAL_TYPES:
        yield attribute("productType", "String", "eq", string_literal(_OPTICAL_TYPES[plain]))
    else:
        yield either((attribute("productType", "String", "eq", string_literal(name)), in_name))


def _channels(wanted: tuple[str, ...]) -> list[str]:
    """Return the archive's words for scenes with all of these channels; empty if it has none."""
    alone = [(channel,) for channel in _CHANNELS]
    return ["&".join(channels) for channels in (*alone, *_PAIRS) if set(wanted) <= set(channels)]


_WORDS = re.compile(r"\s*([A-Za-z]+)\s*(\(.*\))\s*", re.DOTALL)


def _area(wkt: str, room: int) -> str:
    """Return the AOI as the catalogue reads it, or a simpler area around it if it is too long for a URL."""
    match = _WORDS.fullmatch(wkt)
    plain = f"{match[1].upper()}{match[2]}" if match else wkt
    if len(quote(plain, safe="")) <= max(room, 0):
        return plain
    shape = shapely.from_wkt(wkt)
    west, south, east, north = shape.bounds
    for grid in (1e4, 1e2):
        hull = shape.convex_hull.buffer(2 / grid, quad_segs=1, join_style="mitre").simplify(1 / grid)
        found = _rounded(hull, grid)
        if found is not None and found.covers(shape) and len(quote(found.wkt, safe="")) <= room:
            return str(found.wkt)
    return str(
        shapely.box(
            max(-180.0, math.floor(west * 100) / 100),
            max(-90.0, math.floor(south * 100) / 100),
            min(180.0, math.ceil(east * 100) / 100),
            min(90.0, math.ceil(north * 100) / 100),
        ).wkt
    )


def _rounded(shape: Any, grid: float) -> Any:
    """Return a polygon rounded to a grid, within the world; None if the result is not a polygon."""
    found = shapely.set_precision(shape, 1 / grid).intersection(shapely.box(-180, -90, 180, 90))
    return found if found.geom_type == "Polygon" and found.is_valid and not found.interiors else None


def names_filter(names: Iterable[str]) -> str:
    """Write the `$filter` for scenes with these names."""
    return either(f"Name eq {string_literal(name)}" for name in names)


def url(base: str, path: str, options: Mapping[str, str]) -> str:
    """Write the URL of a request, with every `+`, quote and space percent-encoded."""
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in options.items())
    return f"{base}{path}?{query}"
