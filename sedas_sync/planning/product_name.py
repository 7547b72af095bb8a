"""Parse names of products: the Sentinel missions and NovaSAR.

Sources: the Sentinel-1 product specification, the Sentinel-2 products specification document, and the naming
conventions of Sentinel-3, Sentinel-5P and Sentinel-6 and of Sentinel-1 auxiliary data, for the names; the orbit offsets
of Sentinel-1 follow from its reference orbits (175 orbits in 12 days).
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache

from msgspec import Struct

from sedas_sync.model.scene import Scene, Sensor

_SENTINEL_2 = re.compile(
    r"(?P<mission>S2[A-D])_MSI(?P<level>L[0-9][A-Z])_(?P<start>\d{8}T\d{6})_N(?P<baseline>\d{4})_R(?P<orbit>\d{3})"
    r"_T(?P<tile>\d{2}[A-Z]{3})_(?P<discriminator>\d{8}T\d{6})"
)
_SENTINEL_1 = re.compile(
    r"(?P<mission>S1[A-D])_(?P<mode>[A-Z0-9]{2})_(?P<type>[A-Z0-9]{3})[A-Z_]_\d[A-Z](?P<polarisation>[A-Z]{2})"
    r"_(?P<start>\d{8}T\d{6})_(?P<stop>\d{8}T\d{6})_(?P<orbit>\d{6})_[0-9A-F]{6}_[0-9A-F]{4}"
)
_AUXILIARY = re.compile(
    r"(?P<mission>S[1-3][A-D_])_OPER_(?P<type>(?:AUX|MPL)_[A-Z]{6})_[A-Z0-9_]{4}_(?P<made>\d{8}T\d{6})"
    r"_V(?P<start>\d{8}T\d{6})_(?P<stop>\d{8}T\d{6})"
)
"""Orbit files and other files with a period of validity."""
_CALIBRATION = re.compile(
    r"(?P<mission>S1[A-D_])_(?P<type>AUX_[A-Z0-9]{3})_V(?P<start>\d{8}T\d{6})_G(?P<made>\d{8}T\d{6})"
)
_SENTINEL_3 = re.compile(
    r"(?P<mission>S3[A-D_])_(?P<type>[A-Z0-9]{2}_[0-9_]_[A-Z0-9_]{6})_(?P<start>\d{8}T\d{6})_(?P<stop>\d{8}T\d{6})"
    r"_(?P<made>\d{8}T\d{6})_(?P<instance>.{17})_(?P<centre>[A-Z0-9_]{3})_(?P<platform>[A-Z_])_(?P<timeliness>[A-Z]{2})"
    r"_(?P<baseline>[A-Z0-9_]{3})"
)
_SENTINEL_5P = re.compile(
    r"(?P<mission>S5P)_(?P<timeliness>[A-Z]{4})_(?P<type>[A-Z0-9_]{10})_(?P<start>\d{8}T\d{6})_(?P<stop>\d{8}T\d{6})"
    r"_(?P<orbit>\d{5})_(?P<collection>\d{2})_(?P<processor>\d{6})_(?P<made>\d{8}T\d{6})"
)
_SENTINEL_6 = re.compile(
    r"(?P<mission>S6[A-D_])_(?P<type>[A-Z0-9]{2}_[0-9][A-Z0-9_]_[A-Z0-9_]{7})_?(?P<start>\d{8}T\d{6})"
    r"_(?P<stop>\d{8}T\d{6})_(?P<made>\d{8}T\d{6})_\d{4}_(?P<cycle>\d{3})_(?P<passage>\d{3})_.{3}_[A-Z]{3}_+[A-Z]{3}"
    r"_(?P<timeliness>[A-Z]{2})_(?P<baseline>[A-Z]\d{2})"
)
_OTHERS = (_AUXILIARY, _CALIBRATION, _SENTINEL_3, _SENTINEL_5P, _SENTINEL_6)
_NOVASAR = re.compile(r"NovaSAR_\d+_(?P<number>\d+)_(?P<type>[a-z]{3})_", re.IGNORECASE)

_MISSION = re.compile(r"S(?P<number>[1-6])(?P<unit>[A-DP_])")

_S1_FIRST_ORBIT = {"S1A": 73, "S1B": 27, "S1C": 172}
_S1_ORBITS_PER_CYCLE = 175
_POLARISATIONS = {
    "SH": ("HH",),
    "SV": ("VV",),
    "DH": ("HH", "HV"),
    "DV": ("VV", "VH"),
    "HH": ("HH",),
    "HV": ("HV",),
    "VV": ("VV",),
    "VH": ("VH",),
}


class NameFacts(Struct, frozen=True):
    """The fields of a name; a field that it does not contain is None or empty."""

    mission: str | None = None
    product_type: str | None = None
    tile: str | None = None
    """MGRS tile of a Sentinel-2 product, e.g. `30UXC`."""
    relative_orbit: int | None = None
    polarisation: tuple[str, ...] = ()
    start: str | None = None
    """Start of the acquisition in UTC, as in the name: `20190501T110621`."""
    stop: str | None = None
    orbit: int | None = None
    """Absolute orbit number."""
    acquisition: str | None = None
    """The same for all products of one acquisition that differ only in processing."""
    baseline: int | None = None
    """Processing baseline, larger is newer; None if names do not contain it."""
    made: str | None = None
    """When the product was made, as `start`; only of names of auxiliary files, Sentinel-3, -5P and -6."""


@lru_cache(maxsize=4096)
def parse_name(product: str) -> NameFacts:
    """Parse a name with or without `.SAFE`; a name of no known convention has no fields."""
    if match := _SENTINEL_2.match(product):
        part = match.groupdict()
        key = "_".join((part["mission"], part["level"], part["start"], part["orbit"], part["tile"]))
        return NameFacts(
            mission=part["mission"],
            product_type=part["level"],
            tile=part["tile"],
            relative_orbit=int(part["orbit"]),
            start=part["start"],
            acquisition=key,
            baseline=int(part["baseline"]),
        )
    if match := _SENTINEL_1.match(product):
        part = match.groupdict()
        first = _S1_FIRST_ORBIT.get(part["mission"])
        relative = None if first is None else (int(part["orbit"]) - first) % _S1_ORBITS_PER_CYCLE + 1
        return NameFacts(
            mission=part["mission"],
            product_type=part["type"],
            relative_orbit=relative,
            polarisation=_POLARISATIONS.get(part["polarisation"], ()),
            start=part["start"],
            stop=part["stop"],
            orbit=int(part["orbit"]),
        )
    if other := parts_of(product):
        return NameFacts(
            mission=other["mission"],
            product_type=other["type"].rstrip("_"),
            start=other["start"],
            stop=other.get("stop"),
            orbit=int(other["orbit"]) if "orbit" in other else None,
            made=other["made"],
        )
    if match := _NOVASAR.match(product):
        return NameFacts(mission="NovaSAR", product_type=match["type"].upper())
    return NameFacts()


@lru_cache(maxsize=4096)
def parts_of(product: str) -> Mapping[str, str]:
    """Return all parts of a name of an auxiliary file, Sentinel-3, -5P or -6, as in the patterns above; else none."""
    for pattern in _OTHERS:
        if match := pattern.match(product):
            return match.groupdict()
    return {}


def relative_orbit_of(scene: Scene) -> int | None:
    """Return the relative orbit that the catalogue states, or else the name.

    >>> relative_orbit_of(Scene(id="S2A_MSIL1C_20190501T110621_N0207_R137_T30UXC_20190501T132117"))
    137
    """
    return scene.relative_orbit or parse_name(scene.id).relative_orbit


def tile_of(scene: Scene) -> str | None:
    """Return the MGRS tile that the catalogue states, or else the name.

    >>> tile_of(Scene(id="S2A_MSIL1C_20190501T110621_N0207_R137_T30UXC_20190501T132117"))
    '30UXC'
    """
    return scene.tile or parse_name(scene.id).tile


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def described(product: str) -> Scene:
    """Return a scene as its name describes it, if there is no catalogue; an unknown name gives only the id.

    >>> described("S2A_MSIL1C_20190501T110621_N0207_R137_T30UXC_20190501T132117").satellite
    'Sentinel-2A'
    """
    facts = parse_name(product)
    if facts.mission is None:
        return Scene(id=product)
    sentinel = _MISSION.fullmatch(facts.mission)
    number = sentinel["number"] if sentinel else ""
    # Instruments of the other missions are of both classes, or of neither.
    sensors: dict[str, Sensor] = {"": "sar", "1": "sar", "2": "optical"}
    satellite = f"{facts.mission}-1"
    if sentinel:
        satellite = f"Sentinel-{number}{sentinel['unit'].replace('_', '')}"
    return Scene(
        id=product,
        start=_time(facts.start),
        stop=_time(facts.stop),
        sensor=sensors.get(number),
        satellite=satellite,
        source_group="S5P" if number == "5" else f"S{number}" if sentinel else facts.mission,
        product_type=facts.product_type,
        orbit=facts.orbit,
        polarisation="/".join(facts.polarisation) or None,
    )
