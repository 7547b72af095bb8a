"""From the rows of a SeDAS answer to scenes. Pure."""

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from sys import intern
from typing import Any

import msgspec
from msgspec.structs import astuple

from sedas_sync.archives.lazy_json import LazyJson
from sedas_sync.model.scene import NOTHING, Scene, Sensor
from sedas_sync.net import redact


class _UnusableRowError(ValueError):
    """A row of an answer that cannot be used; the message is the reason."""


class _Texts(msgspec.Struct, gc=False, rename="camel"):
    """The fields of a row that are text; what is not said is None or empty."""

    # Nearly all rows of a long catalogue are as they should be: msgspec sees that at once, for all fields.
    type: str | None = None
    satellite_name: str | None = None
    sensor_type: str | None = None
    instrument_name: str | None = None
    mode_name: str | None = None
    source_group: str | None = None
    product_type: str | None = None
    orbit_direction: str | None = None
    start: str | None = None
    stop: str | None = None
    footprint: str | None = msgspec.field(name="coordinatesWKT", default=None)
    download_url: str | None = None
    ql: str | None = None
    thumbnail: str | None = None


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
_GROUPS = (
    ("sentinel-1", "S1"), ("sentinel-2", "S2"), ("novasar", "NovaSAR"), ("pleiades", "Pleiades"), ("spot", "SPOT"),
    ("cosmo", "Cosmo-SkyMed"), ("airsar", "AIRSAR"),
)  # fmt: skip


def to_instant(value: str | datetime) -> datetime:
    """Read an instant: ISO 8601 with or without fraction and offset, or a `datetime`; without a zone it is UTC.

    Raises:
        ValueError: it is neither.
    """
    when = value if isinstance(value, datetime) else datetime.fromisoformat(value.strip())
    if when.tzinfo is UTC:
        return when
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


@lru_cache(maxsize=256)
def group_of(satellite: str) -> str | None:
    """Infer the source group from a satellite's name, since rows do not carry it."""
    name = satellite.lower()
    return next((group for prefix, group in _GROUPS if name.startswith(prefix)), None)


def _text(row: Mapping[str, Any], key: str) -> str | None:
    value = row.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise _UnusableRowError(f"{key} is no text")
    return value if value.isascii() else value.encode(errors="replace").decode()


def _number(row: Mapping[str, Any], key: str) -> float | None:
    value = row.get(key)
    if value is None or value == "":
        return None
    try:
        number = float("no number" if isinstance(value, bool) else value)
    except (TypeError, ValueError, OverflowError):
        raise _UnusableRowError(f"{key} is no number") from None
    return number if math.isfinite(number) else None


def _instant(value: str | None, key: str) -> datetime | None:
    if not value:
        return None
    try:
        return to_instant(value)
    except (ValueError, OverflowError):
        raise _UnusableRowError(f"{key} is no date") from None


def _polarisation(row: Mapping[str, Any]) -> str | None:
    value = row.get("polarisation")
    if value is None:
        return None
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return intern("/".join(value))
    return _kept_once(_text(row, "polarisation"))


def _vendor(row: Mapping[str, Any]) -> tuple[str | None, Any]:
    """Take the digest out of `vendorSpecific`; return it with what is left of the field."""
    vendor = row.get("vendorSpecific")
    if not isinstance(vendor, dict):
        return None, vendor
    value = vendor.get("Filehash")
    if not isinstance(value, str) or len(value) not in _DIGEST_LENGTHS or _DIGEST.fullmatch(value) is None:
        return None, vendor
    return value.lower(), {key: vendor[key] for key in vendor if key != "Filehash"} or None


def identify(row: object) -> str:
    """Return the id under which a row is a scene.

    Raises:
        ValueError: it has none.
    """
    if not isinstance(row, dict):
        raise _UnusableRowError("it is no object")
    for key in ("supplierId", "acqPlanId"):
        value = row.get(key)
        if value is None or value == "":
            continue
        if key == "acqPlanId" and isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str) or not value.strip():
            raise _UnusableRowError(f"{key} is no text")
        if not value.strip(". ") or not (value.isascii() or _SURROGATE.search(value) is None):
            raise _UnusableRowError(f"{key} is no name")
        return value
    raise _UnusableRowError("it has no supplierId")


def to_scene(row: object) -> Scene:
    """Read one product of an answer.

    Every field but the id may be missing; unknown ones are kept in `extra`.

    Raises:
        ValueError: the row cannot be used; the message says why.
    """
    scene_id = identify(row)
    if not isinstance(row, dict):
        raise _UnusableRowError("it is no object")
    texts = _texts(row)
    kind, satellite, wkt = texts.type, texts.satellite_name, texts.footprint or None
    sensor = _SENSORS.get((texts.sensor_type or "").lower())
    if wkt is not None and (_WKT.fullmatch(wkt) is None or wkt.count("(") != wkt.count(")")):
        raise _UnusableRowError("coordinatesWKT is no WKT")
    digest, vendor = _vendor(row)
    extra = {key: row[key] for key in sorted(row.keys() - _MAPPED)}
    if vendor is not None:
        extra["vendorSpecific"] = vendor
    if sensor is None and row.get("sensorType") is not None:
        extra["sensorType"] = row["sensorType"]
    orbit = _number(row, "orbit")
    return Scene(
        id=scene_id,
        start=_instant(texts.start, "start"),
        stop=_instant(texts.stop, "stop"),
        footprint=wkt,
        sensor=sensor,
        satellite=_kept_once(satellite),
        instrument=_kept_once(texts.instrument_name),
        mode=_kept_once(texts.mode_name),
        source_group=_kept_once(texts.source_group) or (group_of(satellite) if satellite else None),
        product_type=_kept_once(texts.product_type),
        orbit=None if orbit is None else int(orbit),
        orbit_direction=_kept_once(texts.orbit_direction and texts.orbit_direction.upper()),
        polarisation=_polarisation(row),
        cloud_cover=_number(row, "cloudCoveragePercent"),
        resolution=_number(row, "sensorResolution"),
        digest=digest,
        download_url=texts.download_url or None,
        quicklook_url=texts.ql or None,
        thumbnail_url=texts.thumbnail or None,
        planned=bool(kind and kind.upper() != "ARCHIVE") or row.get("acqPlanId") not in (None, ""),
        extra=LazyJson(extra) if extra else NOTHING,
    )


def _texts(row: Mapping[str, Any]) -> _Texts:
    """The fields of a row that are text.

    Raises:
        ValueError: one of them is something else.
    """
    try:
        texts = msgspec.convert(row, _Texts)
    except (msgspec.ValidationError, UnicodeError):
        return _Texts(*[_text(row, key) for key in _Texts.__struct_encode_fields__])
    if "".join(filter(None, astuple(texts))).isascii():
        return texts
    return _Texts(*[_text(row, key) for key in _Texts.__struct_encode_fields__])


def _kept_once(word: str | None) -> str | None:
    """A text of which a catalogue holds few different ones: all scenes share it."""
    return intern(word) if word else None


def shown(row: object) -> str:
    """A row as a warning shows it: JSON, so that control characters are escaped, shortened and redacted."""
    return redact.shorten(json.dumps(row, ensure_ascii=True, default=str), 240)
