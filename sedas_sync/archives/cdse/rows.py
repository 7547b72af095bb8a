"""From the rows of the Copernicus Data Space catalogue to scenes. Pure.

Source of the fields: the OData page of the Copernicus Data Space documentation (2025-03). Lengths may be 0 and lists of
checksums empty there; both mean that the catalogue does not know.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from sys import intern
from typing import Any

from sedas_sync.archives.lazy_json import LazyJson
from sedas_sync.model.scene import NOTHING, Scene, Sensor

ADVICE = (
    "offline: it can only be ordered in the Copernicus Data Workspace "
    "(https://dataspace.copernicus.eu/workspace), and is fetched by the next apply after it has come back online"
)
"""Quotas page of the documentation (2025-03), note 2: no API takes orders of offline data."""

_ENDING = ".SAFE"
_KEPT = "9999-12-31"
"""An `EvictionDate` in that year means that a product stays."""
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
    """The id under which a row is a scene: its `Name` without `.SAFE`.

    Raises:
        UnusableRowError: it has none.
    """
    name = row.get("Name") if isinstance(row, dict) else None
    if not isinstance(name, str):
        raise UnusableRowError("it is no object" if not isinstance(row, dict) else "it has no Name")
    if not name.strip(". ") or not name.isprintable():
        raise UnusableRowError("its Name is none")
    return name.removesuffix(_ENDING) or name


def identify(row: object) -> str:
    """The catalogue's own key of a product, by which a row that came twice is known.

    Raises:
        UnusableRowError: it has none, or one that cannot stand in an address.
    """
    value = row.get("Id") if isinstance(row, dict) else None
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9-]{1,64}", value):
        raise UnusableRowError("it has no Id")
    return value


def start_of(row: object) -> datetime:
    """When sensing began.

    Raises:
        UnusableRowError: the row does not say, or says what is no instant.
    """
    dates = row.get("ContentDate") if isinstance(row, dict) else None
    found = _instant(dates.get("Start") if isinstance(dates, dict) else None, "ContentDate/Start")
    if found is None:
        raise UnusableRowError("it has no ContentDate/Start")
    return found


def to_scene(row: object, link: str) -> Scene:
    """Read one product of an answer.

    Args:
        row: An element of `value`.
        link: Where its bytes are while it is online.

    Raises:
        UnusableRowError: it cannot be used; the message says why.
    """
    if not isinstance(row, dict):
        raise UnusableRowError("it is no object")
    facts = _attributes(row.get("Attributes"))
    satellite = _satellite(facts)
    length = _number(row.get("ContentLength"), "ContentLength")
    online = row.get("Online")
    if not isinstance(online, bool | None):
        raise UnusableRowError("Online is neither true nor false")
    orbit = _number(facts.get("orbitNumber"), "orbitNumber")
    dates = row.get("ContentDate")
    extra = {key: value for key, value in row.items() if key not in _MAPPED and value not in (None, "", [])}
    further = {key: value for key, value in facts.items() if key not in _MAPPED_ATTRIBUTES}
    if further:
        extra["Attributes"] = further
    instrument = _word(facts, "instrumentShortName")
    return Scene(
        id=scene_id(row),
        start=start_of(row),
        stop=_instant(dates.get("End") if isinstance(dates, dict) else None, "ContentDate/End"),
        footprint=_footprint(row),
        sensor=_SENSORS.get((instrument or "").upper()),
        satellite=satellite,
        instrument=instrument,
        mode=_word(facts, "operationalMode"),
        source_group=_group(satellite),
        product_type=_word(facts, "productType"),
        orbit=None if orbit is None else int(orbit),
        orbit_direction=_upper(_word(facts, "orbitDirection")),
        polarisation=_polarisation(facts),
        cloud_cover=_number(facts.get("cloudCover"), "cloudCover"),
        size=int(length) if length else None,
        nominal=True,
        digest=_digest(row.get("Checksum")),
        download_url=None if online is False else link,
        offline=ADVICE if online is False else None,
        extra=LazyJson(extra) if extra else NOTHING,
    )


def evicted_at(scene: Scene) -> str | None:
    """When a product leaves the rolling archive; None where it stays, or the catalogue does not say."""
    value = scene.extra.get("EvictionDate")
    return value if isinstance(value, str) and value and not value.startswith(_KEPT) else None


def _attributes(listed: object) -> dict[str, Any]:
    """The attributes by name; what is no list of names and values is as good as none."""
    items = listed if isinstance(listed, list) else []
    return {
        intern(item["Name"]): item.get("Value")
        for item in items
        if isinstance(item, dict) and isinstance(item.get("Name"), str)
    }


def _word(facts: Mapping[str, Any], name: str) -> str | None:
    """A text of which a catalogue holds few different ones, kept once."""
    value = facts.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise UnusableRowError(f"{name} is no text")
    return intern(value)


def _upper(word: str | None) -> str | None:
    return None if word is None else intern(word.upper())


def _number(value: object, name: str) -> float | None:
    if value is None or value == "":
        return None
    try:
        number = float("no number" if isinstance(value, bool) else value)  # type: ignore[arg-type]  # refused just below
    except (TypeError, ValueError, OverflowError):
        raise UnusableRowError(f"{name} is no number") from None
    if number < 0:
        raise UnusableRowError(f"{name} is less than nothing")
    return number if math.isfinite(number) else None


def _instant(value: object, name: str) -> datetime | None:
    if value is None or value == "":
        return None
    try:
        when = datetime.fromisoformat(value.strip() if isinstance(value, str) else "no text")
    except ValueError:
        raise UnusableRowError(f"{name} is no date") from None
    try:
        return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except OverflowError:
        raise UnusableRowError(f"{name} is no date") from None


def _satellite(facts: Mapping[str, Any]) -> str | None:
    """As the rest of the package writes it: `Sentinel-2A`."""
    platform, serial = _word(facts, "platformShortName"), _word(facts, "platformSerialIdentifier")
    if platform is None:
        return None
    name = f"Sentinel-{platform[9:]}" if platform.upper().startswith("SENTINEL-") else platform
    return intern(f"{name}{serial or ''}" if name.startswith("Sentinel-") else " ".join(filter(None, (name, serial))))


def _group(satellite: str | None) -> str | None:
    if satellite is None or not satellite.startswith("Sentinel-"):
        return None
    return intern("S5P" if satellite[9:10] == "5" else f"S{satellite[9:10]}")


def _polarisation(facts: Mapping[str, Any]) -> str | None:
    value = _word(facts, "polarisationChannels")
    return None if value is None else intern(value.replace("&", "/"))


def _digest(listed: object) -> str | None:
    """The MD5 where there is one, since every Python can compute it, else the BLAKE3 with its name before it.

    Not the other way round where `blake3` is installed: a digest is compared with that of the last time, and which one
    it is must not depend on the machine.
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
    """`Footprint` without the OData around its WKT, else the WKT of `GeoFootprint`."""
    wkt, shape = row.get("Footprint"), row.get("GeoFootprint")
    if isinstance(wkt, str) and (match := _WKT.fullmatch(wkt)) and wkt.count("(") == wkt.count(")"):
        return match[1]
    if isinstance(shape, dict):
        return _from_geojson(shape)
    if wkt in (None, "") and shape is None:
        return None
    raise UnusableRowError("its footprint is none")


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
    raise UnusableRowError("its footprint is none")


def _rings(rings: list[list[list[float]]]) -> str:
    return "(" + ", ".join("(" + ", ".join(f"{float(x)} {float(y)}" for x, y, *_ in ring) + ")" for ring in rings) + ")"
