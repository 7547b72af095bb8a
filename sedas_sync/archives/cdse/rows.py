"""Rows of the Copernicus Data Space catalogue as scenes. Pure.

Source of the fields: the OData page of the Copernicus Data Space documentation (2025-03). A length of 0 and an empty
list of checksums mean that the catalogue does not know them.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from sys import intern
from typing import Any

from sedas_sync.archives.lazy_json import LazyJson
from sedas_sync.archives.lenient import Properties, Report, UnusableError, wkt_of
from sedas_sync.model.file_kind import ending_of
from sedas_sync.model.scene import NOTHING, Scene, Sensor

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
_WKT = re.compile(r"\s*(?:geography')?\s*(?:SRID=\d+;)?\s*([A-Za-z]+\s*\([(\s]*[-+0-9][-+0-9.eE\s,()]*\))\s*'?\s*")
_MAPPED = frozenset({"Name", "ContentDate", "Footprint", "GeoFootprint", "Attributes", "ContentLength", "Online"})
_MAPPED_ATTRIBUTES = frozenset(
    {
        "platformShortName", "platformSerialIdentifier", "instrumentShortName", "operationalMode", "productType",
        "orbitNumber", "orbitDirection", "polarisationChannels", "cloudCover", "beginningDateTime", "endingDateTime",
    }
)  # fmt: skip


def scene_id(row: object) -> str:
    """Return the scene id of a row: its `Name` without `.SAFE`.

    Raises:
        UnusableError: It has none.
    """
    name = row.get("Name") if isinstance(row, dict) else None
    if not isinstance(name, str):
        raise UnusableError("it is not an object" if not isinstance(row, dict) else "it has no Name")
    if not name.strip(". ") or not name.isprintable():
        raise UnusableError("its Name is not valid")
    return name.removesuffix(_ENDING) or name


def identify(row: object) -> str:
    """Return the catalogue's key of a row, which shows if a row comes twice.

    Raises:
        UnusableError: It has none, or it cannot be part of a URL.
    """
    value = row.get("Id") if isinstance(row, dict) else None
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9-]{1,64}", value):
        raise UnusableError("it has no Id")
    return value


def start_of(row: object) -> datetime:
    """Return the acquisition start of a row.

    Raises:
        UnusableError: It has none, or it is not a time.
    """
    dates = row.get("ContentDate") if isinstance(row, dict) else None
    found = Properties(dates, _ignore).time("Start") if isinstance(dates, dict) else None
    if found is None:
        raise UnusableError("its ContentDate/Start is missing or not a time")
    return found


def to_scene(row: object, link: str, report: Report) -> Scene:
    """Convert a row to a scene.

    Args:
        row: An element of `value`.
        link: Its download link while it is online.
        report: Called for each field that cannot be read, and is unknown.

    Raises:
        UnusableError: It has no name or no acquisition start; the message gives the reason.
    """
    if not isinstance(row, dict):
        raise UnusableError("it is not an object")
    attributes = _attributes(row.get("Attributes"))
    stated, own = Properties(attributes, report), Properties(row, report)
    dates = row.get("ContentDate")
    satellite = _satellite(stated)
    length = own.number("ContentLength")
    online = own.flag("Online") is not False
    extra = {key: value for key, value in row.items() if key not in _MAPPED and value not in (None, "", [])}
    others = {key: value for key, value in attributes.items() if key not in _MAPPED_ATTRIBUTES}
    if others:
        extra["Attributes"] = others
    instrument = stated.word("instrumentShortName")
    name = scene_id(row)
    return Scene(
        id=name,
        start=start_of(row),
        stop=Properties(dates if isinstance(dates, dict) else {}, report).time("End"),
        footprint=_footprint(row, report),
        sensor=_SENSORS.get((instrument or "").upper()),
        satellite=satellite,
        instrument=instrument,
        mode=stated.word("operationalMode"),
        source_group=_group(satellite),
        product_type=stated.word("productType"),
        orbit=stated.whole("orbitNumber"),
        orbit_direction=_changed(stated.word("orbitDirection"), str.upper),
        polarisation=_changed(stated.word("polarisationChannels"), lambda word: word.replace("&", "/")),
        cloud_cover=stated.percent("cloudCover"),
        size=int(length) if length and length > 0 else None,
        # It only decides between two products.
        processed=Properties(attributes, _ignore).time("processingDate"),
        # A zip is made when it is requested; a file is sent as the catalogue describes it.
        nominal=not ending_of(name),
        digest=_digest(row.get("Checksum")),
        download_url=link if online else None,
        offline=None if online else ADVICE,
        extra=LazyJson(extra) if extra else NOTHING,
    )


def _ignore(_: str) -> None:
    """Receive a report that nobody needs."""


def _attributes(listed: object) -> dict[str, Any]:
    """Return the attributes by name; invalid entries are ignored."""
    items = listed if isinstance(listed, list) else []
    return {
        intern(item["Name"]): item.get("Value")
        for item in items
        if isinstance(item, dict) and isinstance(item.get("Name"), str)
    }


def _changed(word: str | None, change: Callable[[str], str]) -> str | None:
    """Return a word with a change; equal texts are stored once."""
    return None if word is None else intern(change(word))


def _satellite(stated: Properties) -> str | None:
    """Return the satellite in the spelling of this package: `Sentinel-2A`."""
    platform, serial = stated.word("platformShortName"), stated.word("platformSerialIdentifier")
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


def _footprint(row: Mapping[str, Any], report: Report) -> str | None:
    """Return the WKT of `Footprint`, or else of `GeoFootprint`; None if neither can be read."""
    wkt, shape = row.get("Footprint"), row.get("GeoFootprint")
    if isinstance(wkt, str) and (match := _WKT.fullmatch(wkt)) and wkt.count("(") == wkt.count(")"):
        return match[1]
    if (found := wkt_of(shape)) is None and (wkt not in (None, "") or shape is not None):
        report("its footprint is not valid, and counts as unknown")
    return found
