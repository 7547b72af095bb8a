"""Satellites, their groups and their instruments, in the spelling of the archives."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from sedas_sync.model.scene import NOTHING, Sensor

_GROUPS = {
    "sentinel-1": "S1",
    "sentinel-2": "S2",
    "novasar": "NovaSAR",
    "pleiades": "Pleiades",
    "spot": "SPOT",
    "cosmo": "Cosmo-SkyMed",
    "airsar": "AIRSAR",
}
"""The source group of a satellite, by the start of its name in lower case."""
GROUP_SENSORS: Mapping[str, Sensor] = MappingProxyType({"S1": "sar", "S2": "optical"})
"""The groups whose satellites all have one class of sensor."""

_C_SAR = "c-sar"
_INSTRUMENTS = dict.fromkeys(("sar-c sar", "sar-c", "sar", "c sar", "csar"), _C_SAR)
"""Other names of an instrument in lower case.

The radar of Sentinel-1 is `SAR-C SAR` in SeDAS, `SAR` in the Copernicus Data Space and `c-sar` in STAC APIs.
"""
INSTRUMENT_SENSORS: Mapping[str, Sensor] = MappingProxyType({_C_SAR: "sar", "msi": "optical"})
"""The class of sensor of an instrument, by a name that `instruments` returns."""

_SENTINELS = [(number, letter) for number in "123" for letter in "ABCD"]
_SPELLINGS = {
    name.casefold(): name
    for name in (
        *_GROUPS.values(),
        *(f"Sentinel-{number}{letter}" for number, letter in _SENTINELS),
        *("NovaSAR-1", "Pleiades-1A", "Pleiades-1B"),
    )
} | {f"s{number}{letter}".casefold(): f"Sentinel-{number}{letter}" for number, letter in _SENTINELS}


@lru_cache(maxsize=256)
def group_of(satellite: str) -> str | None:
    """Return the source group of a satellite, or None if it is not known."""
    name = satellite.lower()
    return next((group for prefix, group in _GROUPS.items() if name.startswith(prefix)), None)


@dataclass(frozen=True, slots=True)
class SatelliteSource:
    """A satellite or a group of satellites (`S1`, `S2`, `NovaSAR`) that the account may search."""

    name: str
    extra: Mapping[str, Any] = field(default=NOTHING, hash=False)
    """Further fields of the service's answer, unchanged."""


def is_known_group(name: str) -> bool:
    """Return whether a name is that of a group above, in any letter case."""
    return name.casefold() in {group.casefold() for group in _GROUPS.values()}


def group_of_family(name: str) -> str | None:
    """Return the source group of a name that means several satellites; None if it means one, or is not known.

    >>> group_of_family("Sentinel-2"), group_of_family("S2"), group_of_family("Sentinel-2A")
    ('S2', 'S2', None)
    """
    plain = _plain(name)
    return next((group for prefix, group in _GROUPS.items() if plain in (_plain(prefix), _plain(group))), None)


def same_satellite(wanted: str, stated: str | None) -> bool:
    """Return whether a satellite is the wanted one, or of the wanted family.

    >>> same_satellite("Sentinel-2", "Sentinel-2A"), same_satellite("Landsat-8", "landsat_8")
    (True, True)
    >>> same_satellite("Sentinel-2A", "Sentinel-2"), same_satellite("Landsat-1", "Landsat-10")
    (False, False)
    """
    one, other = _plain(wanted), _plain(stated or "")
    unit = r"[a-z]" if one[-1:].isdigit() else r"\d{1,2}[a-z]?"
    return other == one or (other.startswith(one) and re.fullmatch(unit, other[len(one) :]) is not None)


@lru_cache(maxsize=256)
def _plain(name: str) -> str:
    plain = re.sub(r"[^a-z0-9]", "", spelled(name).casefold())
    return re.sub(r"^s(?=\d)", "sentinel", plain)


def spelled(name: str) -> str:
    """Return a known satellite or group in the archives' spelling (`S2A` is `Sentinel-2A`); other names unchanged."""
    return _SPELLINGS.get(name.casefold(), name)


@lru_cache(maxsize=256)
def instruments(text: str) -> frozenset[str]:
    """Return the instruments in a text, such as `OLI/TIRS`. Names that mean the same instrument are equal.

    >>> instruments("SAR-C SAR") == instruments("SAR") == instruments("c-sar")
    True
    """
    names = (" ".join(part.replace("_", "-").split()).casefold() for part in text.split("/"))
    return frozenset(_INSTRUMENTS.get(name, name) for name in names if name)
