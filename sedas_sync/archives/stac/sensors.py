"""The class of sensor of an item: radar or optical. Pure.

Catalogues fill fields of the extensions `sar` and `eo` in all their items, with nulls or placeholders in those that
they do not apply to. So the instrument decides first, then the constellation or the satellite, then the product type,
and only then these fields.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from sedas_sync.archives.lenient import is_placeholder
from sedas_sync.model.scene import Sensor

_SAR_INSTRUMENT = re.compile(r"(?<![a-z])(?:[a-z]-?|pal|ice|nova|tan)?sar(?![a-z])")
"""`sar`, `c-sar`, `csar`, `asar`, `palsar-2`, …"""
_OPTICAL_INSTRUMENTS = frozenset(
    {
        "msi", "oli", "oli2", "tirs", "tirs2", "etm", "etm+", "tm", "mss", "modis", "aster", "viirs", "hrv", "hrvir",
        "hrg", "naomi", "olci", "slstr", "meris", "aatsr", "atsr", "tropomi", "avnir", "avnir2", "prism", "slim6",
        "slim622", "hirais", "hsi", "hyperion", "desis", "emit", "ali", "liss3", "liss4", "awifs", "ps2", "psbsd",
        "ps2sd", "psb", "avhrr", "seviri", "oli_tirs", "etm+_tirs", "vnir", "swir", "tir", "sgli",
    }
)  # fmt: skip
"""In lower case, without hyphens."""
_FAMILIES: Mapping[Sensor, tuple[str, ...]] = {
    "sar": (
        "sentinel1", "umbra", "capella", "iceye", "cosmo", "csk", "csg", "terrasar", "tandem", "radarsat", "rcm",
        "novasar", "risat", "saocom", "nisar", "paz", "kompsat5", "ers", "alos2", "alos4", "airsar", "uavsar", "s1",
    ),
    "optical": (
        "sentinel2", "landsat", "planetscope", "skysat", "dove", "worldview", "geoeye", "quickbird", "ikonos",
        "pleiades", "spot", "rapideye", "geosat", "deimos", "kompsat3", "venus", "cbers", "gaofen", "superview", "wv0",
        "legion", "ge01", "s2", "amazonia", "satellogic", "newsat",
    ),
}  # fmt: skip
"""Constellations and satellites that have one class of sensor, by the start of their names without signs."""
_PRODUCT_TYPES: Mapping[Sensor, re.Pattern[str]] = {
    "sar": re.compile(
        r"(?:^|_)(?:GRD[FHM]?|SLC|OCN|RTC|GEC|SICD|SIDD|CPHD|CRSD|SSC|MGD|EEC|GUNW|[RG]SLC|GCOV|SAR)(?:_|$)"
    ),
    "optical": re.compile(r"^(?:S2MSI|MSI|OL_|SL_|SY_|L[12](?:SP|SR|TP|GT|GS)|L1[ABCT]$|L2A$)"),
}


def sensor_of(
    properties: Mapping[str, Any], instruments: Iterable[str], families: Iterable[str | None], product_type: str | None
) -> Sensor | None:
    """Return the class of sensor of an item; None if it is not known.

    Args:
        properties: Of the item.
        instruments: Names of its instruments.
        families: Constellation and satellite.
        product_type: The product type.
    """
    by_instrument = {_of_instrument(name) for name in instruments} - {None}
    if by_instrument:
        return by_instrument.pop() if len(by_instrument) == 1 else None
    for family in families:
        name = re.sub("[^a-z0-9]", "", (family or "").lower())
        for sensor, starts in _FAMILIES.items():
            if name.startswith(starts):
                return sensor
    for sensor, pattern in _PRODUCT_TYPES.items():
        if product_type and pattern.search(product_type.upper()):
            return sensor
    stated = {name.partition(":")[0] for name, value in properties.items() if not is_placeholder(value)}
    found: list[Sensor] = [sensor for prefix, sensor in _PREFIXES if prefix in stated]
    return found[0] if len(found) == 1 else None


_PREFIXES: tuple[tuple[str, Sensor], ...] = (("sar", "sar"), ("eo", "optical"))


def _of_instrument(name: str) -> Sensor | None:
    name = name.strip().lower()
    if _SAR_INSTRUMENT.search(name):
        return "sar"
    plain = name.replace("-", "").replace(" ", "")
    parts = {plain, *re.split(r"[/,_]", plain)}
    return "optical" if not _OPTICAL_INSTRUMENTS.isdisjoint(parts) else None
