"""Scenes from the rows of a SeDAS answer. Pure."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from sys import intern
from typing import Any, cast

from msgspec.structs import replace

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
_SHARED = (
    "type", "satelliteName", "sensorType", "instrumentName", "modeName", "sourceGroup", "productType", "orbitDirection",
    "polarisation",
)  # fmt: skip
_SENSORS: Mapping[str, Sensor] = {"optical": "optical", "sar": "sar", "radar": "sar"}
_DIGEST = re.compile(r"[0-9a-fA-F]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_DIGEST_LENGTHS = frozenset({32, 40, 64, 96, 128})
_WKT = re.compile(r"\s*(?:SRID=\d+;)?\s*[A-Za-z]+(?:\s+(?:Z|M|ZM))?\s*(?:EMPTY|\([-+0-9.eE\s,()]*\))\s*")


@lru_cache(maxsize=1024)  # a search reads a time before its scene does, and scenes of one pass share it
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


@lru_cache(maxsize=1024)
def _shared(*values: Any) -> dict[str, Any]:
    """Return the fields of a scene that many scenes have alike, from the values of `_SHARED`.

    Raises:
        ValueError: The row cannot be used.
        TypeError: A value is an object or a list.
    """
    row = dict(zip(_SHARED, values, strict=True))
    texts = {key: text and intern(text) for key in _SHARED if (text := _text(row, key))}
    satellite = texts.get("satelliteName")
    return {
        "sensor": _SENSORS.get(texts.get("sensorType", "").lower()),
        "satellite": satellite,
        "instrument": texts.get("instrumentName"),
        "mode": texts.get("modeName"),
        "source_group": texts.get("sourceGroup") or (group_of(satellite) if satellite else None),
        "product_type": texts.get("productType"),
        "orbit_direction": intern(texts["orbitDirection"].upper()) if "orbitDirection" in texts else None,
        "polarisation": texts.get("polarisation"),
        "planned": texts.get("type", "ARCHIVE").upper() != "ARCHIVE",
    }


@lru_cache(maxsize=1024)
def _others(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the fields of a row that a scene has no attribute for."""
    return tuple(sorted(set(names) - _MAPPED))


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


def scene_or_reason(row: object) -> Scene | str:
    """Return the scene of a row, or a warning that the row cannot be used."""
    try:
        return to_scene(row)
    except ValueError as reason:
        return f"{_name_of(row)}skipped a row of the answer that cannot be used: {reason}: {row_text(row)}"


def usable(found: Iterable[Scene | str], warn: Warn) -> Iterator[Scene]:
    """Yield scenes, and pass on the warnings among them."""
    for scene in found:
        if isinstance(scene, str):
            warn(scene)
        else:
            yield scene


def scenes_of(rows: Iterable[object], warn: Warn) -> Iterator[Scene]:
    """Yield the scenes of rows, and warn of each row that cannot be used."""
    return usable(map(scene_or_reason, rows), warn)


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
    polarisation = row.get("polarisation")
    if isinstance(polarisation, list) and polarisation and all(isinstance(item, str) for item in polarisation):
        row = {**row, "polarisation": "/".join(polarisation)}
    try:
        shared = _shared(*map(row.get, _SHARED))
    except TypeError:  # an object or a list, which has no hash
        shared = _shared.__wrapped__(*map(row.get, _SHARED))
    wkt = _text(row, "coordinatesWKT")
    if wkt is not None and (_WKT.fullmatch(wkt) is None or wkt.count("(") != wkt.count(")")):
        raise UnusableError("coordinatesWKT is not a WKT geometry")
    digest, vendor = _vendor(row)
    extra = {key: row[key] for key in _others(tuple(row))}
    if vendor is not None:
        extra["vendorSpecific"] = vendor
    if shared["sensor"] is None and row.get("sensorType") is not None:
        extra["sensorType"] = row["sensorType"]
    orbit = _number(row, "orbit")
    scene = Scene(
        id=scene_id,
        start=_time(row, "start"),
        stop=_time(row, "stop"),
        footprint=wkt,
        orbit=None if orbit is None else int(orbit),
        cloud_cover=_number(row, "cloudCoveragePercent"),
        resolution=_number(row, "sensorResolution"),
        digest=digest,
        download_url=_text(row, "downloadUrl"),
        quicklook_url=_text(row, "ql"),
        thumbnail_url=_text(row, "thumbnail"),
        extra=LazyJson(extra) if extra else NOTHING,
        **shared,
    )
    return scene if row.get("acqPlanId") in (None, "") else replace(scene, planned=True)
