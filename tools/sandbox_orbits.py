"""The orbits of Sentinel-1 and Sentinel-2: repeat cycles, orbit numbers, ground tracks and swaths.

Both missions fly circular, sun-synchronous orbits that repeat exactly: Sentinel-1 flies 175 orbits in 12 days,
Sentinel-2 143 orbits in 10 days. Each has two satellites half a cycle apart. The orbital plane does not move
relative to the mean sun, so one known crossing of the equator per satellite fixes all others: the time of a
crossing gives its longitude. Distances are on a sphere, with errors below one percent.
"""

import math
from dataclasses import dataclass

DAY = 86_400
"""Seconds."""
EARTH_RADIUS = 6371.0
"""Kilometres."""

_POLAR_FLATTENING = (1 - 1 / 298.257223563) ** 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Mission:
    """The properties that the satellites of a mission share."""

    name: str
    """Source group, `S1` or `S2`."""
    days: int
    """Length of the repeat cycle."""
    orbits: int
    """Orbits in a repeat cycle."""
    inclination: float
    """Degrees."""
    node_hour: float
    """Mean local solar time at the ascending node, hours."""
    near: float
    """Kilometres from the ground track to the left edge of the swath; right of the track is positive."""
    far: float
    """Kilometres from the ground track to the right edge of the swath."""

    @property
    def cycle(self) -> int:
        """Seconds in a repeat cycle."""
        return self.days * DAY

    @property
    def period(self) -> float:
        """Seconds from one ascending node to the next."""
        return self.cycle / self.orbits


@dataclass(frozen=True, slots=True, kw_only=True)
class Spacecraft:
    """The orbit of one satellite, fixed by one crossing of the equator."""

    short: str
    """Satellite as in scene ids, `S1A`."""
    mission: Mission
    anchor_orbit: int
    """The absolute number of an orbit."""
    anchor: float
    """POSIX time at which `anchor_orbit` began, at the ascending node."""
    first_relative: int
    """Absolute orbits with this remainder are relative orbit 1."""
    lag: float = 0.0
    """Seconds by which its recordings start later than those of the other satellite on the same track."""

    def relative(self, orbit: int) -> int:
        """Return the relative number of an absolute orbit."""
        return (orbit - self.first_relative) % self.mission.orbits + 1

    def orbit_on(self, relative: int) -> int:
        """Return the absolute orbit on a track, at or after the anchor and within one cycle of it."""
        return self.anchor_orbit + (relative - self.relative(self.anchor_orbit)) % self.mission.orbits

    def node(self, orbit: int) -> float:
        """Return the POSIX time at which an absolute orbit began, at the ascending node."""
        return self.anchor + (orbit - self.anchor_orbit) * self.mission.period


# The interferometric wide swath is 29 to 46 degrees to the right of the track, seen from a height of 693 km.
SENTINEL_1 = Mission(name="S1", days=12, orbits=175, inclination=98.18, node_hour=18.0, near=345.0, far=595.0)
# Descending node at 10:30; a swath of 290 km straight below.
SENTINEL_2 = Mission(name="S2", days=10, orbits=143, inclination=98.62, node_hour=22.5, near=-145.0, far=145.0)

# Ascending nodes, derived from published scenes: S1A_IW_SLC__1SDV_20190704T135158_20190704T135225_027968_…, whose
# middle is Ridgecrest, and S2A_MSIL1C_20170522T110621_N0205_R137_T30UXC_…, 72 cycles before this node.
_S1_ANCHOR = 1_562_245_946.0  # 2019-07-04T13:12:26Z
_S2_ANCHOR = 1_557_657_563.0  # 2019-05-12T10:39:23Z

FLEET = (
    Spacecraft(short="S1A", mission=SENTINEL_1, anchor_orbit=27968, anchor=_S1_ANCHOR, first_relative=73),
    Spacecraft(short="S1B", mission=SENTINEL_1, anchor_orbit=17072, anchor=_S1_ANCHOR + 6 * DAY, first_relative=27),
    Spacecraft(short="S2A", mission=SENTINEL_2, anchor_orbit=20297, anchor=_S2_ANCHOR, first_relative=-2),
    Spacecraft(
        short="S2B", mission=SENTINEL_2, anchor_orbit=11317, anchor=_S2_ANCHOR - 5 * DAY, first_relative=27, lag=8.0
    ),
)
"""Every satellite, the A of each mission first."""


def node_longitude(mission: Mission, relative: int) -> float:
    """Return the longitude at which a track crosses the equator northwards, in degrees, not wrapped."""
    craft = next(craft for craft in FLEET if craft.mission is mission)
    crossing = craft.node(craft.orbit_on(relative))
    return 15.0 * (mission.node_hour - crossing % DAY / 3600)


def ground(mission: Mission, relative: int, seconds: float) -> tuple[float, float]:
    """Return longitude (not wrapped) and latitude below the satellite, some seconds after the ascending node."""
    along = 2 * math.pi * seconds / mission.period
    tilt = math.radians(mission.inclination)
    lat = math.asin(math.sin(tilt) * math.sin(along))
    lon = math.degrees(math.atan2(math.cos(tilt) * math.sin(along), math.cos(along)))
    geodetic = math.degrees(math.atan(math.tan(lat) / _POLAR_FLATTENING))
    return node_longitude(mission, relative) + lon - 360 * seconds / DAY, geodetic


def beside(mission: Mission, relative: int, seconds: float, distance: float) -> tuple[float, float]:
    """Return the point `distance` kilometres to the right of the ground track, at a right angle to the flight."""
    lon, lat = ground(mission, relative, seconds)
    ahead_lon, ahead_lat = ground(mission, relative, seconds + 1)
    east = ((ahead_lon - lon + 180) % 360 - 180) * math.cos(math.radians(lat))
    bearing = math.atan2(east, ahead_lat - lat) + math.pi / 2
    arc, phi = distance / EARTH_RADIUS, math.radians(lat)
    height = math.sin(phi) * math.cos(arc) + math.cos(phi) * math.sin(arc) * math.cos(bearing)
    shift = math.atan2(math.sin(bearing) * math.sin(arc) * math.cos(phi), math.cos(arc) - math.sin(phi) * height)
    return lon + math.degrees(shift), math.degrees(math.asin(height))


def strip(
    mission: Mission, relative: int, first: float, last: float, *, step: float, around: float
) -> list[tuple[float, float]]:
    """Return the outline of the swath between two moments of one orbit.

    Args:
        mission: The mission.
        relative: The track.
        first: Start, seconds after the ascending node.
        last: End, seconds after the ascending node.
        step: Maximum seconds between two points of an edge.
        around: Longitudes are wrapped to within 180 degrees of this one.

    Returns:
        An open ring: down the left edge and back along the right one.
    """
    count = max(1, math.ceil((last - first) / step))
    moments = [first + (last - first) * i / count for i in range(count + 1)]
    left = [beside(mission, relative, moment, mission.near) for moment in moments]
    right = [beside(mission, relative, moment, mission.far) for moment in reversed(moments)]
    return [((lon - around + 180) % 360 - 180 + around, lat) for lon, lat in left + right]


def crossings(mission: Mission, south: float, north: float, *, ascending: bool) -> tuple[float, float]:
    """Return when a satellite is between two latitudes, as seconds after the ascending node (first, last)."""
    tilt = math.sin(math.radians(mission.inclination))

    def climb(lat: float) -> float:
        centric = math.atan(math.tan(math.radians(lat)) * _POLAR_FLATTENING)
        return math.asin(max(-1.0, min(1.0, math.sin(centric) / tilt)))

    low, high = climb(south), climb(north)
    begin, end = (low, high) if ascending else (math.pi - high, math.pi - low)
    turn = 2 * math.pi if begin < 0 else 0.0  # south of the equator, northward flight is the end of an orbit
    scale = mission.period / (2 * math.pi)
    return (begin + turn) * scale, (end + turn) * scale
