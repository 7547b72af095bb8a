"""The frames of the generated catalogue: which scenes each satellite records in one repeat cycle.

A ground track repeats exactly, so a frame that is recorded once is recorded again after each repeat cycle, with
the same footprint. The table `data/frames.csv.gz` holds the first recording of every frame since 2019;
`tools/sandbox_catalogue.py` computes it from the orbits.
"""

import csv
import gzip
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from math import inf
from typing import Any, NamedTuple

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from sedas_sync.sandbox.search import Facts, Sensor

DAY = 86_400
"""Seconds."""
TABLE = "frames.csv.gz"
"""File name of the table in `data`."""
COLUMNS = (
    "satellite",
    "region",
    "kind",
    "direction",
    "relative_orbit",
    "tile",
    "scene",
    "orbit",
    "start",
    "offset",
    "seconds",
    "area",
    "footprint",
)
"""The table's columns; the attributes of `Frame` and `Footprint` describe them."""


class Satellite(NamedTuple):
    """A satellite of the generated catalogue."""

    name: str
    """Name in the catalogue, `Sentinel-1A`."""
    short: str
    """Name in scene ids, `S1A`."""
    group: str
    """Source group."""
    sensor: Sensor
    cycle: int
    """Seconds in a repeat cycle."""
    orbits: int
    """Orbits in a repeat cycle."""
    datatakes: float = 0.0
    """Sentinel-1 datatakes per orbit; makes the datatake numbers in ids as large as the real ones."""
    last: float = inf
    """POSIX time at which it stopped working."""


SATELLITES = {
    satellite.short: satellite
    for satellite in (
        Satellite("Sentinel-1A", "S1A", "S1", "SAR", 12 * DAY, 175, 7.4),
        # Its power supply failed on 2021-12-23.
        Satellite("Sentinel-1B", "S1B", "S1", "SAR", 12 * DAY, 175, 7.71, last=1_640_217_600),
        Satellite("Sentinel-2A", "S2A", "S2", "Optical", 10 * DAY, 143),
        Satellite("Sentinel-2B", "S2B", "S2", "Optical", 10 * DAY, 143),
    )
}


class Region(NamedTuple):
    """A part of the world that the generated catalogue covers."""

    name: str
    number: int
    channels: str
    """The channels of Sentinel-1: `VV/VH` over most land, `HH/HV` over ice."""
    cloudiness: float
    """0 to 1; the higher, the more cloud."""
    optical_days: tuple[int, int] = (1, 366)
    """First and last day of the year with enough light for optical scenes."""


REGIONS = {
    region.name: region
    for region in (
        Region("britain", 0, "VV/VH", 0.60),
        Region("fiji", 1, "VV/VH", 0.45),
        Region("svalbard", 2, "HH/HV", 0.62, optical_days=(65, 285)),
    )
}


@dataclass(frozen=True, slots=True, eq=False)
class Footprint:
    """A footprint that several frames share."""

    wkt: str
    """WKT within ±180 degrees, without spaces after commas, as the archive writes it."""
    shape: BaseGeometry
    area: float
    """Whole square metres."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A scene that one satellite records in every repeat cycle."""

    satellite: Satellite
    region: Region
    kind: str
    """`GRD`, `SLC` or `L1C`; `PLAN` for a planned acquisition, which is a whole datatake over a region."""
    direction: str
    """`ASCENDING` or `DESCENDING`."""
    relative: int
    """Relative orbit."""
    tile: str | None
    """Sentinel-2 tile, `30UXC`."""
    scene: str | None
    """Fixed id of a scene that is recorded only once."""
    orbit: int
    """Absolute orbit of the first recording."""
    start: int
    """POSIX time of the first recording since 2019-01-01."""
    offset: str
    """Seconds from the ascending node to the start, with three decimals; part of the hash in Sentinel-1 ids."""
    seconds: int
    """How long the recording takes; 0 for a tile."""
    footprint: Footprint
    facts: Facts
    """What a search's filters look at, without cloud cover, and with all channels of the region."""

    @property
    def planned(self) -> bool:
        """Whether this is a planned acquisition."""
        return self.kind == "PLAN"


class Frames(NamedTuple):
    """All frames, by footprint."""

    shapes: Any
    """NumPy array of the different footprints."""
    over: list[list[Frame]]
    """The frames with each of these footprints."""


@cache
def load_frames() -> Frames:
    """Read the table; takes about 20 ms, once per process."""
    over: dict[str, list[Frame]] = {}
    footprints: dict[str, Footprint] = {}
    packed = files(__package__).joinpath("data", TABLE)
    with packed.open("rb") as file, gzip.open(file, "rt", encoding="ascii") as text:
        for row in csv.DictReader(text):
            wkt = row["footprint"]
            if wkt not in footprints:
                footprints[wkt] = Footprint(wkt, shapely.from_wkt(wkt), float(row["area"]))
            over.setdefault(wkt, []).append(_frame(row, footprints[wkt]))
    return Frames(np.array([footprint.shape for footprint in footprints.values()], dtype=object), list(over.values()))


def _frame(row: dict[str, str], footprint: Footprint) -> Frame:
    satellite, region, kind = SATELLITES[row["satellite"]], REGIONS[row["region"]], row["kind"]
    facts = Facts(
        satellite.sensor,
        satellite.name,
        satellite.group,
        None if kind == "PLAN" else kind,
        row["direction"],
        region.channels if satellite.sensor == "SAR" else None,
        None,
    )
    return Frame(
        satellite=satellite,
        region=region,
        kind=kind,
        direction=row["direction"],
        relative=int(row["relative_orbit"]),
        tile=row["tile"] or None,
        scene=row["scene"] or None,
        orbit=int(row["orbit"]),
        start=int(datetime.fromisoformat(row["start"]).timestamp()),
        offset=row["offset"],
        seconds=int(row["seconds"]),
        footprint=footprint,
        facts=facts,
    )
