"""The generated catalogue: what Sentinel-1 and Sentinel-2 would have recorded, worked out, never stored.

The ground tracks repeat, so everything about a place on a track is worked out once, as a `Frame`: a 25 s
slice of a Sentinel-1 datatake, or the part of a Sentinel-2 tile below one swath. A product is a frame, a
satellite and the number of a repeat cycle; what is left to chance in nature (clouds, the time of processing,
what is online) follows from hashes. A search is therefore: which frames lie over the AOI, and which cycles
fall into the window.

The archive begins with 2019 and ends with yesterday. What lies in the coming fourteen days is offered as
planned acquisitions, one per datatake and region.
"""

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from hashlib import blake2b
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from shapely.affinity import translate
from shapely.geometry import MultiPolygon, Polygon, box
from shapely.geometry.base import BaseGeometry
from shapely.prepared import prep

from sedas_sync.sandbox import orbits
from sedas_sync.sandbox.catalogue import (
    BadRequestError,
    Facts,
    Hit,
    Search,
    Sensor,
    coverage,
    download_link,
    equal_area,
    instant,
    quicklook_link,
    thumbnail_link,
)
from sedas_sync.sandbox.product import Spec, digest
from sedas_sync.sandbox.regions import REGIONS, Region, land
from sedas_sync.sandbox.tiles import tiles

FIRST = 1_546_300_800
"""The archive's first second, 2019-01-01T00:00:00Z."""
PLANNED_DAYS = 14
"""How far ahead planned acquisitions are known."""
EXAMPLE = "S1B_IW_GRDH_1SDV_20190528T105030_20190528T105055_016443_01EF3E_5E4F"
"""A product that tutorials of the archive look up; it is kept in the catalogue, over Great Britain."""

_EXAMPLE_START = 1_559_040_630
_EXAMPLE_RING = ((-3.9, 51.0), (-0.4, 51.4), (-0.9, 52.9), (-4.5, 52.5), (-3.9, 51.0))
_SEED = 100  # gives the tutorials' fortnight at Harwell clear and clouded scenes, online and archived ones
_SLICE = 25
_TAKE_SLICES = 8  # what a planned optical datatake is said to last, in units of a slice
_MARGIN = 4.0
_NEARBY = 75.0  # degrees of longitude beyond which no swath of a pass reaches a region
_LEAST = 0.04  # a smaller part of a tile is not made into a product
_COAST = 0.2  # degrees of sea that are recorded with the land
_REPROCESSED_UNTIL = 1_609_459_200  # 2021-01-01
_BASELINES = (
    # what the ground segment ran, and since when
    (1_705_363_200, "0510"),
    (1_670_284_800, "0509"),
    (1_643_068_800, "0400"),
    (1_625_011_200, "0301"),
    (1_580_774_400, "0209"),
    (1_562_544_000, "0208"),
    (0, "0207"),
)
_SATELLITES = {satellite.short: satellite for satellite in orbits.SATELLITES}
_DATATAKES = {"S1A": 7.4, "S1B": 7.71}  # per orbit, so that their numbers are of the true size
_SLICE_NAME = re.compile(
    r"(S1[AB])_IW_(GRDH|SLC_)_1S(?:DV|DH|SV|SH)_(\d{8}T\d{6})_\d{8}T\d{6}_(\d{6})_[0-9A-F]{6}_[0-9A-F]{4}"
)
_TILE_NAME = re.compile(r"(S2[AB])_MSIL1C_(\d{8}T\d{6})_N\d{4}_R(\d{3})_T(\d\d[A-Z]{3})_\d{8}T\d{6}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """A place on a repeating ground track that yields one product a cycle and satellite."""

    region: Region
    mission: orbits.Mission
    relative: int
    ascending: bool
    product_type: str
    """`GRD`, `SLC` or `L1C`."""
    datatake: float
    """When the datatake begins, seconds after the ascending node."""
    offset: float
    """When the product's sensing starts, seconds after the ascending node."""
    seconds: int
    """How long its sensing lasts as the names tell it; 0 for a tile."""
    shape: BaseGeometry
    """Footprint within ±180 degrees."""
    tile: str | None = None

    @cached_property
    def wkt(self) -> str:
        """Footprint as the archive writes it: no blanks after commas."""
        return shapely.to_wkt(self.shape, rounding_precision=6, trim=True).replace(", ", ",").replace("N (", "N(")

    @cached_property
    def area(self) -> float:
        """Square metres, whole."""
        return float(round(float(shapely.area(equal_area(self.shape))) * (orbits.EARTH_RADIUS * 1000) ** 2))

    @property
    def sensor(self) -> Sensor:
        """Sensor class of the mission."""
        return "SAR" if self.mission is orbits.SENTINEL_1 else "Optical"

    @property
    def direction(self) -> str:
        """Orbit direction as the archive writes it."""
        return "ASCENDING" if self.ascending else "DESCENDING"


@dataclass(frozen=True, slots=True)
class _Taken:
    """One product: a frame recorded by one satellite in one orbit."""

    frame: Frame
    satellite: orbits.Satellite
    orbit: int
    start: int
    cloud: float | None
    polarisation: str | None
    planned: bool = False


def _hash(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=16).digest()


def _lot(what: str) -> bytes:
    """Draw for something that is left to chance in nature."""
    return _hash(f"{_SEED} {what}")


def _share(digest_: bytes, at: int) -> float:
    """A number in [0, 1) from two bytes of a digest."""
    return (digest_[at] << 8 | digest_[at + 1]) / 65536


def in_archive_only(scene: str) -> bool:
    """Whether a scene is only in the long-term archive: a third of all, by a hash of the id."""
    return int.from_bytes(_lot(f"lta {scene}")[:4], "big") % 3 == 0


def _stamp(seconds: float) -> str:
    return time.strftime("%Y%m%dT%H%M%S", time.gmtime(seconds))


def _iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _wrapped(shape: BaseGeometry) -> BaseGeometry:
    """Bring a shape whose longitudes run beyond 180 back within ±180, cut at the antimeridian."""
    west, _, east, _ = shape.bounds
    if west >= 180:  # noqa: PLR2004 - the antimeridian
        return translate(shape, -360)
    if east <= 180:  # noqa: PLR2004 - the antimeridian
        return shape
    parts = [
        shape.intersection(box(-180, -90, 180, 90)),
        translate(shape.intersection(box(180, -90, 540, 90)), -360),
    ]
    return MultiPolygon([_rounded(part) for part in parts if isinstance(part, Polygon) and part.area])


def _rounded(shape: Polygon) -> Polygon:
    return Polygon([(round(lon, 6), round(lat, 6)) for lon, lat in shape.exterior.coords])


def _passes(mission: orbits.Mission, region: Region) -> Iterator[tuple[BaseGeometry, int, bool, float, float]]:
    """Yield every pass over a region: coast, relative orbit, direction, first and last second."""
    directions = (True, False) if mission is orbits.SENTINEL_1 else (False,)
    coast = land(region).buffer(_COAST)
    touched = prep(coast)
    west, south, east, north = coast.bounds
    for ascending in directions:
        first, last = orbits.crossings(
            mission, max(south - _MARGIN, -89), min(north + _MARGIN, 89), ascending=ascending
        )
        for relative in range(1, mission.orbits + 1):
            middle = orbits.beside(mission, relative, (first + last) / 2, (mission.near + mission.far) / 2)[0]
            if abs((middle - (west + east) / 2 + 180) % 360 - 180) > _NEARBY:
                continue
            ring = orbits.strip(mission, relative, first, last, step=30, around=(west + east) / 2)
            if touched.intersects(Polygon(ring).buffer(0)):
                yield coast, relative, ascending, first, last


def _jitter(*key: object) -> float:
    return _share(_hash(" ".join(map(str, key))), 0)


def _slices(region: Region) -> Iterator[Frame]:
    for coast, relative, ascending, first, last in _passes(orbits.SENTINEL_1, region):
        around = sum(coast.bounds[::2]) / 2
        touched = prep(coast)
        begin = first + _SLICE * _jitter("slices", region.name, relative, ascending)
        shapes = []
        for number in range(int((last - begin) // _SLICE)):
            offset = begin + _SLICE * number
            ring = orbits.strip(orbits.SENTINEL_1, relative, offset, offset + _SLICE, step=_SLICE, around=around)
            shape = _rounded(Polygon(ring))
            if touched.intersects(shape):
                shapes.append((offset, shape))
        for offset, shape in shapes:
            for product_type, early, seconds in (("GRD", 0, _SLICE), ("SLC", 1, _SLICE + 2)):
                yield Frame(
                    region=region,
                    mission=orbits.SENTINEL_1,
                    relative=relative,
                    ascending=ascending,
                    product_type=product_type,
                    datatake=shapes[0][0],
                    offset=offset - early,
                    seconds=seconds,
                    shape=_wrapped(shape),
                )


def _granules(region: Region) -> Iterator[Frame]:
    shore = land(region).buffer(_COAST / 4)
    grid = [(name, shape, prep(shape)) for name, shape in tiles(region.zones, shore)]
    for coast, relative, ascending, first, last in _passes(orbits.SENTINEL_2, region):
        around = sum(coast.bounds[::2]) / 2
        swath = Polygon(orbits.strip(orbits.SENTINEL_2, relative, first, last, step=15, around=around)).buffer(0)
        lead = region.optical_lead
        datatake = lead if lead is not None else first + 30 * _jitter("datatake", region.name, relative)
        for name, tile, prepared in grid:
            if not prepared.intersects(swath):
                continue
            shape = tile if prepared.within(swath) else tile.intersection(swath).simplify(0.002)
            if isinstance(shape, Polygon) and shape.area >= _LEAST * tile.area:
                yield Frame(
                    region=region,
                    mission=orbits.SENTINEL_2,
                    relative=relative,
                    ascending=ascending,
                    product_type="L1C",
                    datatake=datatake,
                    offset=datatake,
                    seconds=0,
                    shape=_wrapped(_rounded(shape)),
                    tile=name,
                )


@lru_cache(maxsize=len(REGIONS))
def frames(region: Region) -> tuple[Frame, ...]:
    """Every frame over a region, worked out once a process in a fraction of a second."""
    return (*_slices(region), *_granules(region))


@lru_cache(maxsize=len(REGIONS))
def _tracks(region: Region) -> dict[tuple[str, int], list[Frame]]:
    """The frames over a region by mission and relative orbit."""
    tracks: dict[tuple[str, int], list[Frame]] = {}
    for frame in frames(region):
        tracks.setdefault((frame.mission.name, frame.relative), []).append(frame)
    return tracks


@lru_cache(maxsize=len(REGIONS))
def _plans(region: Region) -> tuple[Frame, ...]:
    """One frame for each datatake over a region, its footprint the whole swath there."""
    groups: dict[tuple[str, int, bool], list[Frame]] = {}
    for frame in frames(region):
        if frame.product_type != "SLC":
            groups.setdefault((frame.mission.name, frame.relative, frame.ascending), []).append(frame)
    plans = []
    for members in groups.values():
        head = members[0]
        whole = shapely.union_all([member.shape for member in members])
        lasting = len(members) if head.tile is None else _TAKE_SLICES
        plans.append(
            replace(
                head,
                product_type="PLAN",
                offset=head.datatake,
                seconds=_SLICE * lasting,
                shape=whole.convex_hull if isinstance(whole, Polygon) else whole,
                tile=None,
            )
        )
    return tuple(plans)


@lru_cache(maxsize=2 * len(REGIONS) + 1)
def _shapes(candidates: tuple[Frame, ...]) -> Any:
    return np.array([frame.shape for frame in candidates], dtype=object)


def _regions(aoi: Polygon) -> list[Region]:
    """The regions whose footprints may meet an AOI."""
    return [region for region in REGIONS if any(aoi.intersects(box(*reach)) for reach in region.reach)]


@lru_cache(maxsize=4096)
def _weather(region: str, cloudiness: float, day: int) -> float:
    """How clouded a region is on a day, 0 to 1 and beyond at both ends."""
    return (_share(_lot(f"weather {region} {day}"), 0) - 0.5) * 1.5 + cloudiness


@lru_cache(maxsize=4096)
def _processing(short: str, orbit: int, start: int) -> tuple[tuple[str, str], ...]:
    """Baseline and processing time of a Sentinel-2 datatake; two where it has been processed again."""
    lot = _lot(f"processing {short} {orbit}")
    baseline = next(name for since, name in _BASELINES if start >= since)
    done = start + 7200 + int(5400 * _share(lot, 0))
    again = start + int((1460 + 90 * _share(lot, 2)) * orbits.DAY)
    newer = (("0500", _stamp(again)),) if start < _REPROCESSED_UNTIL and lot[4] % 16 == 0 else ()
    return ((baseline, _stamp(done)), *newer)


def _single(short: str, orbit: int, region: str) -> bool:
    """Whether a Sentinel-1 datatake was recorded in one polarisation only."""
    return _hash(f"polarisation {short} {orbit} {region}")[0] % 32 == 0


def _slice_id(taken: _Taken) -> str:
    frame, short = taken.frame, taken.satellite.short
    lot = _hash(f"slice {short} {taken.orbit} {frame.offset:.3f} {frame.product_type} {frame.region.name}")
    datatake = int(taken.orbit * _DATATAKES[short]) + (REGIONS.index(frame.region) * 2 + frame.ascending)
    kind = "GRDH" if frame.product_type == "GRD" else "SLC_"
    dual = "D" if "/" in (taken.polarisation or "") else "S"
    sent = (taken.polarisation or "V")[0]
    return (
        f"{short}_IW_{kind}_1S{dual}{sent}_{_stamp(taken.start)}_{_stamp(taken.start + frame.seconds)}"
        f"_{taken.orbit:06d}_{datatake:06X}_{int.from_bytes(lot[:2], 'big'):04X}"
    )


def _take(frame: Frame, satellite: orbits.Satellite, orbit: int) -> Iterator[tuple[str, _Taken]]:
    """Yield the products of one frame, satellite and orbit, if any, with their ids."""
    start = round(satellite.node(orbit) + frame.offset + satellite.lag)
    if start >= satellite.last:
        return
    if frame.tile is None:
        single = _single(satellite.short, orbit, frame.region.name)
        polarisation = frame.region.channels.partition("/")[0] if single else frame.region.channels
        taken = _Taken(frame, satellite, orbit, start, None, polarisation)
        yield _slice_id(taken), taken
        return
    if not frame.region.optical_days[0] <= time.gmtime(start).tm_yday <= frame.region.optical_days[1]:
        return
    weather = _weather(frame.region.name, frame.region.cloudiness, start // orbits.DAY)
    lot = _lot(f"cloud {satellite.short} {orbit} {frame.tile}")
    cloud = round(100 * min(1.0, max(0.0, weather + 0.5 * (_share(lot, 0) - 0.5))), 1)
    for baseline, processed in _processing(satellite.short, orbit, start):
        scene = f"{satellite.short}_MSIL1C_{_stamp(start)}_N{baseline}_R{frame.relative:03d}"
        scene += f"_T{frame.tile}_{processed}"
        yield scene, _Taken(frame, satellite, orbit, start, cloud, None)


def _orbits_between(frame: Frame, satellite: orbits.Satellite, first: float, last: float) -> range:
    """Orbits of a satellite on a frame's track whose product may start within a window of POSIX seconds."""
    base = satellite.orbit_on(frame.relative)
    at = satellite.node(base) + frame.offset + satellite.lag
    cycle, turns = frame.mission.cycle, frame.mission.orbits
    low = ceil((first - 1 - at) / cycle)
    high = int((last + 1 - at) // cycle)
    return range(base + low * turns, base + high * turns + 1, turns)


def _example() -> tuple[str, _Taken]:
    frame = Frame(
        region=REGIONS[0],
        mission=orbits.SENTINEL_1,
        relative=142,
        ascending=False,
        product_type="GRD",
        datatake=0,
        offset=0,
        seconds=_SLICE,
        shape=Polygon(_EXAMPLE_RING),
    )
    return EXAMPLE, _Taken(frame, _SATELLITES["S1B"], 16443, _EXAMPLE_START, None, "VV/VH")


class SentinelCatalogue:
    """The catalogue of Sentinel-1A, 1B, 2A and 2B over the regions of `sedas_sync.sandbox.regions`."""

    satellites: Mapping[str, str] = {satellite.name: satellite.mission.name for satellite in orbits.SATELLITES}

    def __init__(self) -> None:
        self._digests: dict[str, str] = {}
        self._example = _example()

    def find(self, search: Search, now: float) -> list[Hit]:
        """See `Catalogue`."""
        hits = [*self._recorded(search, now), *self._planned(search, now)]
        hits.sort(key=lambda hit: (-hit.start, hit.id))
        return hits

    def rows(self, hits: Sequence[Hit], search: Search | None) -> list[str]:
        """See `Catalogue`."""
        percents: dict[int, tuple[float, float]] = {}
        if search is not None and hits:
            shapes = {id(hit.ref.frame): hit.ref.frame.shape for hit in hits}
            aoi, useful = coverage(search.aoi, np.array(list(shapes.values()), dtype=object))
            percents = {key: (float(round(a)), float(round(u))) for key, a, u in zip(shapes, aoi, useful, strict=True)}
        none = (0.0, 0.0)
        encode = json.JSONEncoder(check_circular=False).encode
        return [
            encode(self._plan_row(hit, percents.get(id(hit.ref.frame), none)))
            if hit.ref.planned
            else encode(self._row(hit, percents.get(id(hit.ref.frame), none)))
            for hit in hits
        ]

    def look_up(self, scene: str, now: float) -> Hit | None:
        """See `Catalogue`."""
        try:
            taken = next((taken for name, taken in self._named(scene) if name == scene), None)
        except BadRequestError:  # a name with a date that does not exist
            return None
        if taken is None or not FIRST <= taken.start <= _archive_end(now):
            return None
        return Hit(taken.start, scene, taken.satellite.name, taken)

    def online(self, hit: Hit) -> bool:
        """See `Catalogue`."""
        return not hit.ref.planned and not in_archive_only(hit.id)

    def spec(self, hit: Hit) -> Spec:
        """See `Catalogue`."""
        taken: _Taken = hit.ref
        frame = taken.frame
        return Spec(
            id=hit.id,
            sensor=frame.sensor,
            satellite=taken.satellite.name,
            product_type=frame.product_type,
            start=_iso(taken.start),
            stop=_iso(taken.start + frame.seconds),
            footprint=frame.wkt,
            orbit=taken.orbit,
            relative=frame.relative,
            direction=frame.direction,
            polarisation=taken.polarisation,
            cloud=taken.cloud,
            tile=frame.tile,
        )

    def file(self, hit: Hit) -> bytes | Path | None:  # noqa: ARG002 - nothing is stored here
        """See `Catalogue`: every product is generated."""
        return None

    def _recorded(self, search: Search, now: float) -> Iterator[Hit]:
        first, last = max(search.start, FIRST), min(search.stop, _archive_end(now))
        if first > last:
            return
        over = (frame for region in _regions(search.aoi) for frame in _over(search, frames(region)))
        for frame in over:
            if not _may_match(search, frame):
                continue
            for satellite in _flying(search, frame):
                for orbit in _orbits_between(frame, satellite, first, last):
                    for scene, taken in _take(frame, satellite, orbit):
                        if first <= taken.start <= last and search.admits(_facts_of(scene, taken)):
                            yield Hit(taken.start, scene, satellite.name, taken)
        scene, taken = self._example
        fits = first <= taken.start <= last and search.admits(_facts_of(scene, taken))
        if fits and _over(search, (taken.frame,)):
            yield Hit(taken.start, scene, taken.satellite.name, taken)

    def _planned(self, search: Search, now: float) -> Iterator[Hit]:
        first, last = max(search.start, int(now) + 1), min(search.stop, int(now) + PLANNED_DAYS * orbits.DAY)
        if first > last:
            return
        over = (frame for region in _regions(search.aoi) for frame in _over(search, _plans(region)))
        for frame in over:
            for satellite in _flying(search, frame):
                for orbit in _orbits_between(frame, satellite, first, last):
                    start = round(satellite.node(orbit) + frame.offset + satellite.lag)
                    lit = frame.region.optical_days[0] <= time.gmtime(start).tm_yday <= frame.region.optical_days[1]
                    if not first <= start <= last or start >= satellite.last or (frame.sensor == "Optical" and not lit):
                        continue
                    plan = f"{satellite.short}_{_stamp(start)}_{orbit:06d}"
                    taken = _Taken(frame, satellite, orbit, start, None, _channels_of(frame), planned=True)
                    if search.admits(_facts_of(plan, taken)):
                        yield Hit(start, plan, satellite.name, taken)

    def _named(self, scene: str) -> Iterator[tuple[str, _Taken]]:
        """Yield the products that a name may mean."""
        if scene == EXAMPLE:
            yield self._example
        slice_, tile = _SLICE_NAME.fullmatch(scene), _TILE_NAME.fullmatch(scene)
        if slice_:
            satellite, orbit = _SATELLITES[slice_[1]], int(slice_[4])
            for frame in _on_track("S1", satellite.relative(orbit)):
                if frame.product_type == slice_[2][:3]:
                    yield from _take(frame, satellite, orbit)
        if tile:
            satellite, start = _SATELLITES[tile[1]], _seconds(tile[2])
            for frame in _on_track("S2", int(tile[3])):
                if frame.tile == tile[4]:
                    for orbit in _orbits_between(frame, satellite, start, start):
                        yield from _take(frame, satellite, orbit)

    def _digest(self, hit: Hit) -> str:
        known = self._digests.get(hit.id)
        if known is None:
            if len(self._digests) >= _DIGESTS:
                self._digests.clear()
            known = self._digests[hit.id] = digest(self.spec(hit))
        return known

    def _row(self, hit: Hit, percents: tuple[float, float]) -> dict[str, Any]:
        taken: _Taken = hit.ref
        frame, scene = taken.frame, hit.id
        row: dict[str, Any] = {
            "productId": _hash(f"product {scene}").hex(),
            "supplierId": scene,
            "type": "ARCHIVE",
            "satelliteName": taken.satellite.name,
            "instrumentName": "SAR-C SAR" if frame.tile is None else "MSI",
            "modeName": "IW" if frame.tile is None else "Nominal",
            "sensorType": frame.sensor,
            "sensorResolution": 5.0 if frame.product_type == "SLC" else 10.0,
            "coordinatesWKT": frame.wkt,
            "start": _iso(taken.start),
            "stop": _iso(taken.start + frame.seconds),
            "orbit": taken.orbit,
            "orbitDirection": frame.direction,
            "area": frame.area,
            "aoiCoveragePercent": percents[0],
            "usefulAreaPercent": percents[1],
            "productType": frame.product_type,
            "latency": "Standard",
            "ql": quicklook_link(scene),
            "thumbnail": thumbnail_link(scene),
            "vendorSpecific": {"property": "vendorSpecific", "Filehash": self._digest(hit)},
        }
        if taken.cloud is not None:
            row["cloudCoveragePercent"] = taken.cloud
        if taken.polarisation is not None:
            row["polarisation"] = taken.polarisation
        if not in_archive_only(scene):
            row["downloadUrl"] = download_link(scene)
        return row

    @staticmethod
    def _plan_row(hit: Hit, percents: tuple[float, float]) -> dict[str, Any]:
        taken: _Taken = hit.ref
        frame = taken.frame
        row = {
            "productId": _hash(f"product {hit.id}").hex(),
            "type": "PLANNEDACQ",
            "acqPlanId": hit.id,
            "satelliteName": taken.satellite.name,
            "instrumentName": "SAR-C SAR" if frame.sensor == "SAR" else "MSI",
            "modeName": "IW" if frame.sensor == "SAR" else "Nominal",
            "sensorType": frame.sensor,
            "sensorResolution": 10.0,
            "coordinatesWKT": frame.wkt,
            "start": _iso(taken.start),
            "stop": _iso(taken.start + frame.seconds),
            "orbit": taken.orbit,
            "orbitDirection": frame.direction,
            "area": frame.area,
            "aoiCoveragePercent": percents[0],
            "usefulAreaPercent": percents[1],
        }
        if _hash(f"plan {hit.id}")[0] % 2:  # the older kind, which puts the datatake where a scene's id belongs
            row["supplierId"] = f"{taken.satellite.short}-{taken.orbit}"
            del row["acqPlanId"]
        return row


_DIGESTS = 1 << 18


def _archive_end(now: float) -> int:
    """The last second of the day before now."""
    return int(now) // orbits.DAY * orbits.DAY - 1


def _seconds(stamp: str) -> int:
    return instant(f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:11]}:{stamp[11:13]}:{stamp[13:]}Z")


def _channels_of(frame: Frame) -> str | None:
    return frame.region.channels if frame.sensor == "SAR" else None


def _facts_of(scene: str, taken: _Taken) -> Facts:
    frame = taken.frame
    return Facts(
        taken.start,
        scene,
        frame.sensor,
        taken.satellite.name,
        frame.mission.name,
        None if taken.planned else frame.product_type,
        frame.direction,
        taken.polarisation,
        taken.cloud,
    )


def _may_match(search: Search, frame: Frame) -> bool:
    """Whether a search's filters let anything of a frame through, by what its products have in common."""
    facts = Facts(0, "", frame.sensor, "", "", frame.product_type, frame.direction, frame.region.channels, 0.0)
    plain = Search(
        wkt="",
        aoi=search.aoi,
        start=0,
        stop=0,
        sensor=search.sensor,
        optical_type=search.optical_type,
        sar_type=search.sar_type,
        direction=search.direction,
        channels=search.channels,
    )
    return plain.admits(facts)


def _flying(search: Search, frame: Frame) -> list[orbits.Satellite]:
    return [
        satellite
        for satellite in orbits.SATELLITES
        if satellite.mission is frame.mission
        and search.satellite in (None, satellite.name)
        and search.group in (None, frame.mission.name)
    ]


def _over(search: Search, candidates: tuple[Frame, ...]) -> list[Frame]:
    """The frames that meet the AOI, and cover enough of it where the search asks for that."""
    shapes = _shapes(candidates)
    over = np.flatnonzero(shapely.intersects(search.aoi, shapes))
    if search.min_coverage is not None:
        over = over[coverage(search.aoi, shapes[over])[0] >= search.min_coverage]
    return [candidates[i] for i in over.tolist()]


def _on_track(mission: str, relative: int) -> Iterator[Frame]:
    """The frames on a track, one region after the other, so that later ones need not be worked out."""
    for region in REGIONS:
        yield from _tracks(region).get((mission, relative), ())
