"""Rows of the Copernicus Data Space catalogue as scenes. Pure.

Source of the fields: the OData page of the Copernicus Data Space documentation (2025-03). A length of 0 and an empty
list of checksums mean that the catalogue does not know them.
"""

import math
import re
from collections.abc import Mapping
from datetime import datetime
from sys import intern
from typing import Any

from sedas_sync.archives.lazy_json import LazyJson
from sedas_sync.model.file_kind import ending_of
from sedas_sync.model.scene import NOTHING, Scene, Sensor
from sedas_sync.model.times import from_iso

ADVICE = (
    "offline: it can only be ordered in the Copernicus Data Workspace "
    "(https://dataspace.copernicus.eu/workspace); the next apply after it is back online downloads it"
)
"""Quotas page of the documentation (2025-03), note 2: no API accepts orders of offline data."""

_ENDING = ".SAFE"
_SENSORS: dict[str, Sensor] = {
    **dict.fromkeys(("SAR", "SAR-C", "C-SAR", "ASAR"), "sar"),
    **dict.fromkeys(("MSI", "OLCI", "SLSTR", "OLI", "OLI_TIRS", "TIRS", "ETM", "TM", "MERIS", "MODIS"), "optical"),
}
_DIGEST = {"MD5": re.compile(r"[0-9a-f]{32}"), "BLAKE3": re.compile(r"[0-9a-f]{64}")}
_WKT = re.compile(r"\s*(?:geography')?\s*(?:SRID=\d+;)?\s*([A-Za-z]+\s*\([-+0-9.eE\s,()]*\))\s*'?\s*")
_MAPPED = frozenset({"Name", "ContentDate", "Footprint", "GeoFootprint", "Attributes", "ContentLength", "Online"})
_MAPPED_ATTRIBUTES = frozenset(
    {
        "platformShortName", "platformSerialIdentifier", "instrumentShortName", "operationalMode", "productType",
        "orbitNumber", "orbitDirection", "polarisationChannels", "cloudCover", "beginningDateTime", "endingDateTime",
    }
)  # fmt: skip


class UnusableRowError(ValueError):
    """A row of an answer that cannot be used; the message is the reason."""


def scene_id(row: object) -> str:
    """Return the scene id of a row: its `Name` without `.SAFE`.

    Raises:
        UnusableRowError: It has none.
    """
    name = row.get("Name") if isinstance(row, dict) else None
    if not isinstance(name, str):
        raise UnusableRowError("it is not an object" if not isinstance(row, dict) else "it has no Name")
    if not name.strip(". ") or not name.isprintable():
        raise UnusableRowError("its Name is not valid")
    return name.removesuffix(_ENDING) or name


def identify(row: object) -> str:
    """Return the catalogue's key of a row, which shows if a row comes twice.

    Raises:
        UnusableRowError: It has none, or it cannot be part of a URL.
    """
    value = row.get("Id") if isinstance(row, dict) else None
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9-]{1,64}", value):
        raise UnusableRowError("it has no Id")
    return value


def start_of(row: object) -> datetime:
    """Return the acquisition start of a row.

    Raises:
        UnusableRowError: It has none, or it is not a time.
    """
    dates = row.get("ContentDate") if isinstance(row, dict) else None
    found = _time(dates.get("Start") if isinstance(dates, dict) else None, "ContentDate/Start")
    if found is None:
        raise UnusableRowError("it has no ContentDate/Start")
    return found


def to_scene(row: object, link: str) -> Scene:
    """Convert a row to a scene.

    Args:
        row: An element of `value`.
        link: Its download link while it is online.

    Raises:
        UnusableRowError: It cannot be used; the message gives the reason.
    """
    if not isinstance(row, dict):
        raise UnusableRowError("it is not an object")
    attributes = _attributes(row.get("Attributes"))
    satellite = _satellite(attributes)
    length = _number(row.get("ContentLength"), "ContentLength")
    online = row.get("Online")
    if not isinstance(online, bool | None):
        raise UnusableRowError("Online is neither true nor false")
    orbit = _number(attributes.get("orbitNumber"), "orbitNumber")
    dates = row.get("ContentDate")
    extra = {key: value for key, value in row.items() if key not in _MAPPED and value not in (None, "", [])}
    others = {key: value for key, value in attributes.items() if key not in _MAPPED_ATTRIBUTES}
    if others:
        extra["Attributes"] = others
    instrument = _word(attributes, "instrumentShortName")
    own = scene_id(row)
    return Scene(
        id=own,
        start=start_of(row),
        stop=_time(dates.get("End") if isinstance(dates, dict) else None, "ContentDate/End"),
        footprint=_footprint(row),
        sensor=_SENSORS.get((instrument or "").upper()),
        satellite=satellite,
        instrument=instrument,
        mode=_word(attributes, "operationalMode"),
        source_group=_group(satellite),
        product_type=_word(attributes, "productType"),
        orbit=None if orbit is None else int(orbit),
        orbit_direction=_upper(_word(attributes, "orbitDirection")),
        polarisation=_polarisation(attributes),
        cloud_cover=_number(attributes.get("cloudCover"), "cloudCover"),
        size=int(length) if length else None,
        # A zip is made when it is requested; a file is sent as the catalogue describes it.
        processed=_processed(attributes),
        nominal=not ending_of(own),
        digest=_digest(row.get("Checksum")),
        download_url=None if online is False else link,
        offline=ADVICE if online is False else None,
        extra=LazyJson(extra) if extra else NOTHING,
    )


def _attributes(listed: object) -> dict[str, Any]:
    """Return the attributes by name; invalid entries are ignored."""
    items = listed if isinstance(listed, list) else []
    return {
        intern(item["Name"]): item.get("Value")
        for item in items
        if isinstance(item, dict) and isinstance(item.get("Name"), str)
    }


def _word(attributes: Mapping[str, Any], name: str) -> str | None:
    """Return a text attribute; equal texts are stored once."""
    value = attributes.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise UnusableRowError(f"{name} is not a string")
    return intern(value)


def _upper(word: str | None) -> str | None:
    return None if word is None else intern(word.upper())


def _number(value: object, name: str) -> float | None:
    if value is None or value == "":
        return None
    try:
        number = float("not a number" if isinstance(value, bool) else value)  # type: ignore[arg-type]  # refused just below
    except (TypeError, ValueError, OverflowError):
        raise UnusableRowError(f"{name} is not a number") from None
    if number < 0:
        raise UnusableRowError(f"{name} is negative")
    return number if math.isfinite(number) else None


def _time(value: object, name: str) -> datetime | None:
    if value is None or value == "":
        return None
    try:
        return from_iso(value)  # type: ignore[arg-type]  # anything else is refused just below
    except (AttributeError, ValueError, OverflowError):
        raise UnusableRowError(f"{name} is not a time") from None


def _processed(attributes: Mapping[str, Any]) -> datetime | None:
    """Return the time of processing; it only decides between two products, so an odd one counts as unknown."""
    try:
        return _time(attributes.get("processingDate"), "processingDate")
    except UnusableRowError:
        return None


def _satellite(attributes: Mapping[str, Any]) -> str | None:
    """Return the satellite in the spelling of this package: `Sentinel-2A`."""
    platform, serial = _word(attributes, "platformShortName"), _word(attributes, "platformSerialIdentifier")
    if platform is None:
        return None
    # Files for all satellites of a mission have an underscore, and some missions repeat the number.
    if serial is not None and (serial == "_" or platform.endswith(serial)):
        serial = None
    name = f"Sentinel-{platform[9:]}" if platform.upper().startswith("SENTINEL-") else platform
    return intern(f"{name}{serial or ''}" if name.startswith("Sentinel-") else " ".join(filter(None, (name, serial))))


def _group(satellite: str | None) -> str | None:
    if satellite is None or not satellite.startswith("Sentinel-"):
        return None
    return intern("S5P" if satellite[9:10] == "5" else f"S{satellite[9:10]}")


def _polarisation(attributes: Mapping[str, Any]) -> str | None:
    value = _word(attributes, "polarisationChannels")
    return None if value is None else intern(value.replace("&", "/"))


def _digest(listed: object) -> str | None:
    """Return the MD5, which every Python can compute, or else the BLAKE3 with its name before it.

    The MD5 is preferred even if `blake3` is installed: checksums are compared with those of earlier runs, so the choice
    must not depend on the machine.
    """
    stated: dict[str, str] = {}
    for item in listed if isinstance(listed, list) else []:
        if isinstance(item, dict) and isinstance(item.get("Value"), str):
            algorithm, value = str(item.get("Algorithm")).upper(), item["Value"].lower()
            if algorithm in _DIGEST and _DIGEST[algorithm].fullmatch(value):
                stated[algorithm] = value
    if "MD5" in stated:
        return stated["MD5"]
    return f"blake3:{stated['BLAKE3']}" if "BLAKE3" in stated else None


def _footprint(row: Mapping[str, Any]) -> str | None:
    """Return the WKT of `Footprint`, or else of `GeoFootprint`."""
    wkt, shape = row.get("Footprint"), row.get("GeoFootprint")
    if isinstance(wkt, str) and (match := _WKT.fullmatch(wkt)) and wkt.count("(") == wkt.count(")"):
        return match[1]
    if isinstance(shape, dict):
        return _from_geojson(shape)
    if wkt in (None, "") and shape is None:
        return None
    raise UnusableRowError("its footprint is not valid")


def _from_geojson(shape: Mapping[str, Any]) -> str:
    try:
        match shape["type"]:
            case "Polygon":
                return f"POLYGON {_rings(shape['coordinates'])}"
            case "MultiPolygon":
                return f"MULTIPOLYGON ({', '.join(map(_rings, shape['coordinates']))})"
            case _:
                pass
    except (KeyError, TypeError, ValueError, IndexError):
        pass
    raise UnusableRowError("its footprint is not valid")


def _rings(rings: list[list[list[float]]]) -> str:
    return "(" + ", ".join("(" + ", ".join(f"{float(x)} {float(y)}" for x, y, *_ in ring) + ")" for ring in rings) + ")"
