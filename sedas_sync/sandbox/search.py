"""Searches of the wire protocol: how a request is read, and which scenes match it."""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import numpy as np
import shapely
from shapely.geometry import Polygon

from sedas_sync.model.times import to_iso

Sensor = Literal["Optical", "SAR"]

CHANNELS = ("HH", "HV", "VH", "VV")

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_AOI = re.compile(r"\s*POLYGON\s*\(", re.IGNORECASE)
_ENUMS: Mapping[str, tuple[str, ...]] = {
    "opticalProductType": ("ALL", "L1C", "ARD", "L3"),
    "sarProductType": ("ALL", "SLC", "GRD", "SCD"),
    "orbitDirection": ("ALL", "ASCENDING", "DESCENDING"),
}
_SENSORS: tuple[Literal["All", "SAR", "Optical"], ...] = ("All", "SAR", "Optical")
_PERCENTS = ("maxCloudPercent", "minCoveragePercent")
_FIELDS = ("sensorFilters", "filters", "aoiWKT", "start", "stop", "satelliteName", "sourceGroup")


class BadRequestError(Exception):
    """A request that the archive refuses with status 400; the message is its `errorMessage`."""


class Facts(NamedTuple):
    """The properties of a scene that the filters of a search compare."""

    sensor: Sensor
    satellite: str
    group: str
    product_type: str | None
    direction: str | None
    polarisation: str | None
    cloud: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A valid search of the wire protocol."""

    wkt: str
    aoi: Polygon
    start: int
    """POSIX seconds, included."""
    stop: int
    """POSIX seconds, included."""
    sensor: Literal["All", "SAR", "Optical"] = "All"
    satellite: str | None = None
    group: str | None = None
    max_cloud: float | None = None
    min_coverage: float | None = None
    optical_type: str | None = None
    sar_type: str | None = None
    direction: str | None = None
    channels: frozenset[str] = frozenset()

    def matches(self, facts: Facts) -> bool:
        """Return whether a scene passes every filter except those of time and place.

        Filters on cloud and optical type apply to optical scenes only, those on polarisation and SAR type to SAR
        scenes only. The archive's vendor says that this is intended (geocento/SEDAS-issues 65).
        """
        if self.sensor not in ("All", facts.sensor):
            return False
        if self.satellite not in (None, facts.satellite) or self.group not in (None, facts.group):
            return False
        if self.direction not in (None, facts.direction):
            return False
        if facts.sensor == "Optical":
            clear = self.max_cloud is None or facts.cloud is None or facts.cloud <= self.max_cloud
            return clear and self.optical_type in (None, facts.product_type)
        has = set((facts.polarisation or "").split("/"))
        return self.channels <= has and self.sar_type in (None, facts.product_type)


def iso_time(seconds: float) -> str:
    """Return POSIX seconds as `2019-05-06T11:06:21Z`; a fraction is left out."""
    return to_iso(datetime.fromtimestamp(int(seconds), UTC))


def posix_time(text: object) -> int:
    """Return the POSIX seconds of `2019-05-06T11:06:21Z`.

    Raises:
        BadRequestError: The text has another form, or the date does not exist.
    """
    if isinstance(text, str) and _TIME.fullmatch(text):
        with suppress(ValueError):
            return int(datetime.fromisoformat(text).timestamp())
    raise BadRequestError(f"Could not parse the date {text!r}, expected yyyy-MM-dd'T'HH:mm:ss'Z'")


def parse_search(body: object) -> Search:
    """Read the body of a search request.

    Raises:
        BadRequestError: A field is missing, unknown or malformed.
    """
    if not isinstance(body, dict):
        raise BadRequestError("Can not deserialize instance of SearchRequest out of the given token")
    _refuse_unknown("SearchRequest", body, _FIELDS)
    filters = body.get("filters", {})
    if not isinstance(filters, dict):
        raise BadRequestError(_instantiation("ProductFilters"))
    _refuse_unknown("ProductFilters", filters, (*_ENUMS, *_PERCENTS, "polarisation"))
    enums = {name: _enum(filters.get(name), allowed) for name, allowed in _ENUMS.items()}
    percents = {name: _percent(filters.get(name)) for name in _PERCENTS}
    start, stop = posix_time(body.get("start")), posix_time(body.get("stop"))
    if stop < start:
        raise BadRequestError("The stop date lies before the start date")
    wkt = body.get("aoiWKT")
    return Search(
        wkt=str(wkt),
        aoi=_aoi(wkt),
        start=start,
        stop=stop,
        sensor=_sensor(body.get("sensorFilters")),
        satellite=_name(body.get("satelliteName"), "satelliteName"),
        group=_name(body.get("sourceGroup"), "sourceGroup"),
        max_cloud=percents["maxCloudPercent"],
        min_coverage=percents["minCoveragePercent"],
        optical_type=enums["opticalProductType"],
        sar_type=enums["sarProductType"],
        direction=enums["orbitDirection"],
        channels=_channels(filters.get("polarisation")),
    )


def _instantiation(name: str) -> str:
    return (
        f"Instantiation of [simple type, class com.geocento.webapps.sedas.extapi.server.domain.{name}] "
        "value failed: HTTP 500 Internal Server Error"
    )


def _refuse_unknown(name: str, given: Mapping[str, Any], known: Iterable[str]) -> None:
    for key in given:
        if key not in known:
            raise BadRequestError(
                f'Unrecognized field "{key}" (class com.geocento.webapps.sedas.extapi.server.domain.{name}), '
                "not marked as ignorable"
            )


def _enum(value: object, allowed: tuple[str, ...]) -> str | None:
    if value is None or value == "ALL":
        return None
    if value not in allowed:
        raise BadRequestError(_instantiation("ProductFilters"))
    return str(value)


def _percent(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:  # noqa: PLR2004  # percent
        raise BadRequestError(_instantiation("ProductFilters"))
    return float(value)


def _channels(value: object) -> frozenset[str]:
    if value is None or value == "ALL":
        return frozenset()
    found = frozenset(re.split(r"[/+,]", value)) if isinstance(value, str) else frozenset({""})
    if not found <= set(CHANNELS):
        raise BadRequestError(_instantiation("ProductFilters"))
    return found


def _sensor(value: object) -> Literal["All", "SAR", "Optical"]:
    if isinstance(value, dict) and set(value) == {"type"}:
        for sensor in _SENSORS:
            if value["type"] == sensor:
                return sensor
    raise BadRequestError(_instantiation("SensorFilters"))


def _name(value: object, field: str) -> str | None:
    if value is None or (isinstance(value, str) and value):
        return value
    raise BadRequestError(f"The value of {field} is not a name")


def _polygon(wkt: str) -> Polygon | None:
    # Not shared between searches: two threads that use one prepared geometry at once crash the process.
    try:
        shape = shapely.from_wkt(wkt)
    except shapely.errors.GEOSException:
        return None
    if not isinstance(shape, Polygon) or shape.is_empty or not shape.is_valid or not shape.area:
        return None
    west, south, east, north = shape.bounds
    if west < -180 or east > 180 or south < -90 or north > 90:  # noqa: PLR2004  # degrees
        return None
    shapely.prepare(shape)
    return shape


def _aoi(wkt: object) -> Polygon:
    if not isinstance(wkt, str) or not wkt.strip():
        raise BadRequestError("No AoI was provided")
    shape = _polygon(wkt) if _AOI.match(wkt) else None
    if shape is None:
        raise BadRequestError("The AoI is not a valid WKT POLYGON")
    return shape


def equal_area(shapes: Any) -> Any:
    """Project shapes in degrees so that their areas are true on the sphere, in square radians."""

    def project(points: Any) -> Any:
        return np.column_stack((np.radians(points[:, 0]), np.sin(np.radians(points[:, 1]))))

    return shapely.transform(shapes, project)


def coverage(aoi: Polygon, shapes: Any) -> tuple[Any, Any]:
    """Compute how much shapes and an AOI cover of each other.

    Returns:
        Two arrays of percents: of the AOI inside each shape, and of each shape inside the AOI.
    """
    common = shapely.area(equal_area(shapely.intersection(aoi, shapes)))
    whole = shapely.area(equal_area(shapes))
    return 100 * common / shapely.area(equal_area(aoi)), 100 * common / np.maximum(whole, 1e-300)
