"""A query as the JSON of the SeDAS API. Pure."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from sedas_sync.model.satellites import group_of_family
from sedas_sync.model.scene import Query

_SENSOR_TYPES: dict[str, str] = {"all": "All", "sar": "SAR", "optical": "Optical"}
OPTICAL_TYPES = frozenset({"L1C", "ARD"})
SAR_TYPES = frozenset({"GRD", "SLC"})
_FULL_COVERAGE = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST = int(datetime(1000, 1, 1, tzinfo=UTC).timestamp())
_LATEST = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())


def seconds(when: datetime) -> int:
    """Return whole seconds since 1970, rounded down."""
    return math.floor(when.timestamp())


def seconds_up(when: datetime) -> int:
    """Return whole seconds since 1970, rounded up."""
    return math.ceil(when.timestamp())


def time_text(seconds: int) -> str:
    """Return a time as the service reads it, from whole seconds since 1970."""
    return f"{_EPOCH + timedelta(seconds=min(max(seconds, _EARLIEST), _LATEST)):%Y-%m-%dT%H:%M:%SZ}"


def search_body(query: Query) -> dict[str, Any]:
    """Return the body of `POST /search` for a query. The answer has all matches and may have more.

    A filter of one sensor class does not exclude scenes of the other class (geocento/SEDAS-issues 65), so a product
    type restricts the sensor too. If the service judges a filter otherwise than the manifest's rules, the filter is a
    little wider or left out. The rules are applied to the answer anyway.
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
        filters["maxCloudPercent"] = math.ceil(query.max_cloud_cover)
    if query.orbit_direction:
        filters["orbitDirection"] = query.orbit_direction.upper()
    if len(query.polarisation) == 1:
        filters["polarisation"] = query.polarisation[0].upper()
    if query.min_aoi_coverage is not None:
        # The service rounds coverage to whole percent (saved answers of 2019), by an unknown rule.
        least = min(math.floor(query.min_aoi_coverage), _FULL_COVERAGE) - 1
        if least > 0:
            filters["minCoveragePercent"] = least
    filters.update(query.filters)
    body: dict[str, Any] = {
        "sensorFilters": {"type": _SENSOR_TYPES[sensor]},
        "filters": filters,
        "aoiWKT": query.aoi,
        "start": time_text(seconds(query.start)),
        "stop": time_text(seconds_up(query.stop)),
    }
    # The service knows a family of satellites by its group only.
    family = group_of_family(query.satellite) if query.satellite else None
    if query.satellite and family is None:
        body["satelliteName"] = query.satellite
    if group := query.source_group or family:
        body["sourceGroup"] = group
    return body
