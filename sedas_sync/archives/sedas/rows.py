"""Scenes from the rows of a SeDAS answer. Pure."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from sys import intern
from typing import Any, cast

from sedas_sync.archives.lazy_json import LazyJson
from sedas_sync.archives.lenient import UnusableError, row_text
from sedas_sync.archives.protocol import Warn
from sedas_sync.model.satellites import group_of
from sedas_sync.model.scene import NOTHING, Scene, Sensor

_MAPPED = frozenset(
    {
        "supplierId", "start", "stop", "coordinatesWKT", "sensorType", "satelliteName", "instrumentName", "modeName",
        "sourceGroup", "productType", "orbit", "orbitDirection", "polarisation", "cloudCoveragePercent",
        "sensorResolution", "downloadUrl", "ql", "thumbnail", "vendorSpecific",
    }
)  # fmt: skip
_SENSORS: Mapping[str, Sensor] = {"optical": "optical", "sar": "sar", "radar": "sar"}
_DIGEST = re.compile(r"[0-9a-fA-F]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_DIGEST_LENGTHS = frozenset({32, 40, 64, 96, 128})
_WKT = re.compile(r"\s*(?:SRID=\d+;)?\s*[A-Za-z]+(?:\s+(?:Z|M|ZM))?\s*(?:EMPTY|\([-+0-9.eE\s,()]*\))\s*")


def to_time(value: str | datetime) -> datetime:
    """Return a time in UTC, from ISO 8601 with or without fraction and offset, or from a `datetime`.

    A time without a zone is UTC.

    Raises:
        ValueError: It is neither.
    """
    when = value if isinstance(value, datetime) else datetime.fromisoformat(value.strip())
    if when.tzinfo is UTC:
        return when
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


def _text(row: Mapping[str, Any], key: str) -> str | None:
    """Return a text field of a row; None if it lacks it."""
    value = row.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise UnusableError(f"{key} is not a string")
    return value if value.isascii() else value.encode(errors="replace").decode()


def _word(row: Mapping[str, Any], key: str) -> str | None:
    """Return one shared copy of a text that many scenes have."""
    value = _text(row, key)
    return None if value is None else intern(value)


def _number(row: Mapping[str, Any], key: str) -> float | None:
    value = row.get(key)
    if value is None or value == "":
        return None
    try:
        number = float("" if isinstance(value, bool) else value)
    except (TypeError, ValueError, OverflowError):
        raise UnusableError(f"{key} is not a number") from None
    return number if math.isfinite(number) else None


def _time(row: Mapping[str, Any], key: str) -> datetime | None:
    value = _text(row, key)
    try:
        return None if value is None else to_time(value)
    except (ValueError, OverflowError):
        raise UnusableError(f"{key} is not a time") from None


def _polarisation(row: Mapping[str, Any]) -> str | None:
    value = row.get("polarisation")
    if value is None:
        return None
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return intern("/".join(value))
    return _word(row, "polarisation")


def _vendor(row: Mapping[str, Any]) -> tuple[str | None, Any]:
    """Return the digest in `vendorSpecific`, and the rest of that field."""
    vendor = row.get("vendorSpecific")
    if not isinstance(vendor, dict):
        return None, vendor
    value = vendor.get("Filehash")
    if not isinstance(value, str) or len(value) not in _DIGEST_LENGTHS or _DIGEST.fullmatch(value) is None:
        return None, vendor
    return value.lower(), {key: vendor[key] for key in vendor if key != "Filehash"} or None


def id_of(row: object) -> str:
    """Return the id of the scene that a row describes.

    Raises:
        ValueError: It has none.
    """
    if not isinstance(row, dict):
        raise UnusableError("it is not an object")
    for key in ("supplierId", "acqPlanId"):
        value = row.get(key)
        if value is None or value == "":
            continue
        if key == "acqPlanId" and isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str) or not value.strip():
            raise UnusableError(f"{key} is not a string")
        if not value.strip(". ") or not (value.isascii() or _SURROGATE.search(value) is None):
            raise UnusableError(f"{key} is not a usable name")
        return value
    raise UnusableError("it has no supplierId")


def scenes_of(rows: Iterable[object], warn: Warn) -> Iterator[Scene]:
    """Yield the scenes of rows, and warn of each row that cannot be used."""
    for row in rows:
        try:
            scene = to_scene(row)
        except ValueError as reason:
            warn(f"{_name_of(row)}skipped a row of the answer that cannot be used: {reason}: {row_text(row)}")
        else:
            yield scene


def _name_of(row: object) -> str:
    try:
        return f"{id_of(row)}: "
    except ValueError:
        return ""


def to_scene(row: object) -> Scene:
    """Return the scene that a row describes.

    Every field but the id may be missing. Unknown fields become `extra`.

    Raises:
        ValueError: The row cannot be used; the message is the reason.
    """
    scene_id = id_of(row)
    row = cast(dict[str, Any], row)
    kind, satellite, wkt = _text(row, "type"), _word(row, "satelliteName"), _text(row, "coordinatesWKT")
    sensor = _SENSORS.get((_text(row, "sensorType") or "").lower())
    direction = _text(row, "orbitDirection")
    if wkt is not None and (_WKT.fullmatch(wkt) is None or wkt.count("(") != wkt.count(")")):
        raise UnusableError("coordinatesWKT is not a WKT geometry")
    digest, vendor = _vendor(row)
    extra = {key: row[key] for key in sorted(row.keys() - _MAPPED)}
    if vendor is not None:
        extra["vendorSpecific"] = vendor
    if sensor is None and row.get("sensorType") is not None:
        extra["sensorType"] = row["sensorType"]
    orbit = _number(row, "orbit")
    return Scene(
        id=scene_id,
        start=_time(row, "start"),
        stop=_time(row, "stop"),
        footprint=wkt,
        sensor=sensor,
        satellite=satellite,
        instrument=_word(row, "instrumentName"),
        mode=_word(row, "modeName"),
        source_group=_word(row, "sourceGroup") or (group_of(satellite) if satellite else None),
        product_type=_word(row, "productType"),
        orbit=None if orbit is None else int(orbit),
        orbit_direction=None if direction is None else intern(direction.upper()),
        polarisation=_polarisation(row),
        cloud_cover=_number(row, "cloudCoveragePercent"),
        resolution=_number(row, "sensorResolution"),
        digest=digest,
        download_url=_text(row, "downloadUrl"),
        quicklook_url=_text(row, "ql"),
        thumbnail_url=_text(row, "thumbnail"),
        planned=bool(kind and kind.upper() != "ARCHIVE") or row.get("acqPlanId") not in (None, ""),
        extra=LazyJson(extra) if extra else NOTHING,
    )
