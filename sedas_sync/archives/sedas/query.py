"""A query as SeDAS is asked it. Pure."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from sedas_sync.model.scene import Query

_WEB_TYPE: dict[str, str] = {"all": "All", "sar": "SAR", "optical": "Optical"}
OPTICAL_TYPES = frozenset({"L1C", "ARD"})
SAR_TYPES = frozenset({"GRD", "SLC"})
_FULL_COVERAGE = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST = int(datetime(1000, 1, 1, tzinfo=UTC).timestamp())
_LATEST = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())


def seconds(when: datetime) -> int:
    """Whole seconds since 1970, rounded down."""
    return math.floor(when.timestamp())


def seconds_up(when: datetime) -> int:
    """Whole seconds since 1970, rounded up."""
    return math.ceil(when.timestamp())


def wire_time(seconds: int) -> str:
    """An instant as the service reads it, from whole seconds since 1970."""
    return f"{_EPOCH + timedelta(seconds=min(max(seconds, _EARLIEST), _LATEST)):%Y-%m-%dT%H:%M:%SZ}"


def search_body(query: Query) -> dict[str, Any]:
    """Translate a query into the body of `POST /search`; the answer may hold more than was asked for, never less.

    A filter of one sensor class does not exclude scenes of the other (geocento/SEDAS-issues 65), so a product type of
    one class narrows the sensor too. What the service would judge otherwise than the exact rules do is asked for a
    little wider or not at all, since the rules are applied again to what comes.
    """
    sensor = query.sensor
    filters: dict[str, Any] = {}
    product_type = (query.product_type or "").upper()
    if product_type in OPTICAL_TYPES and sensor != "sar":
        sensor = "optical"
        filters["opticalProductType"] = product_type
    elif product_type in SAR_TYPES and sensor != "optical":
        sensor = "sar"
        filters["sarProductType"] = product_type
    if query.max_cloud_cover is not None and sensor == "optical":
        filters["maxCloudPercent"] = _plain(math.ceil(query.max_cloud_cover))
    if query.orbit_direction:
        filters["orbitDirection"] = query.orbit_direction.upper()
    if len(query.polarisation) == 1:
        filters["polarisation"] = query.polarisation[0].upper()
    if query.min_aoi_coverage is not None:
        # Coverage is rounded to whole percent there (saved answers of 2019), and by which rule is not known.
        least = min(math.floor(query.min_aoi_coverage), _FULL_COVERAGE) - 1
        if least > 0:
            filters["minCoveragePercent"] = least
    filters.update(query.filters)
    body: dict[str, Any] = {
        "sensorFilters": {"type": _WEB_TYPE[sensor]},
        "filters": filters,
        "aoiWKT": query.aoi,
        "start": wire_time(seconds(query.start)),
        "stop": wire_time(seconds_up(query.stop)),
    }
    if query.satellite:
        body["satelliteName"] = query.satellite
    if query.source_group:
        body["sourceGroup"] = query.source_group
    return body


def _plain(value: float) -> float:
    return int(value) if value == int(value) else value
