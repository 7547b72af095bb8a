"""Compute the data of the embedded archive: its table of frames and its pictures.

Writes into `sedas_sync/sandbox/data`: `python tools/sandbox_catalogue.py`. Needs pillow and pyproj. What it writes is
committed and ships in the wheel; each run writes the same bytes.
"""

import csv
import gzip
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b, shake_256
from math import ceil
from pathlib import Path

import shapely
from PIL import Image, ImageOps
from sandbox_orbits import EARTH_RADIUS, FLEET, SENTINEL_1, SENTINEL_2, Mission, beside, crossings, strip
from sandbox_regions import LANDS, Land
from sandbox_regions import shape as land_shape
from sandbox_tiles import tiles
from shapely.affinity import translate
from shapely.geometry import MultiPolygon, Polygon, box
from shapely.geometry.base import BaseGeometry
from shapely.prepared import prep

from sedas_sync.sandbox.frames import COLUMNS, TABLE
from sedas_sync.sandbox.search import equal_area

DATA = Path(__file__).parents[1] / "sedas_sync" / "sandbox" / "data"
FIRST = 1_546_300_800
"""The archive starts at 2019-01-01T00:00:00Z."""
SLICE = 25
"""Seconds of a Sentinel-1 scene."""
SIDE = 240
"""Pixels along a side of a picture."""
CLOUDS = (0, 25, 50, 75, 100)
"""Percent of cloud in the optical pictures."""
_TAKE_SECONDS = 200  # length of a planned Sentinel-2 datatake
_MARGIN = 4.0  # degrees of latitude around the land
_NEARBY = 75.0  # degrees of longitude; the swath of a pass that is further away does not reach a region
_LEAST = 0.04  # a smaller part of a tile is not a scene
_COAST = 0.2  # degrees of sea that are recorded with the land

# A scene that tutorials of the archive look up; it is in the catalogue over Great Britain.
EXAMPLE = {
    "satellite": "S1B",
    "region": "britain",
    "kind": "GRD",
    "direction": "DESCENDING",
    "relative_orbit": 142,
    "tile": "",
    "scene": "S1B_IW_GRDH_1SDV_20190528T105030_20190528T105055_016443_01EF3E_5E4F",
    "orbit": 16443,
    "start": "2019-05-28T10:50:30Z",
    "offset": "0.000",
    "seconds": SLICE,
}
_EXAMPLE_SHAPE = Polygon(((-3.9, 51.0), (-0.4, 51.4), (-0.9, 52.9), (-4.5, 52.5), (-3.9, 51.0)))


@dataclass(frozen=True, kw_only=True, eq=False)
class Place:
    """A place on a ground track that yields one scene per cycle and satellite."""

    land: Land
    mission: Mission
    relative: int
    ascending: bool
    kind: str
    """`GRD`, `SLC`, `L1C` or `PLAN`."""
    datatake: float
    """Start of the datatake, seconds after the ascending node."""
    offset: float
    """Start of the scene, seconds after the ascending node."""
    seconds: int
    """Length of the recording; 0 for a tile."""
    shape: BaseGeometry
    """Footprint within ±180 degrees."""
    tile: str = ""


def places(land: Land) -> list[Place]:
    """Compute all scenes over a region, then its planned acquisitions."""
    scenes = [*_slices(land), *_granules(land)]
    return [*scenes, *_plans(scenes)]


def _passes(mission: Mission, land: Land) -> Iterator[tuple[int, bool, float, float]]:
    """Yield every pass over a region: relative orbit, whether it ascends, first and last second."""
    coast = land_shape(land).buffer(_COAST)
    touched = prep(coast)
    west, south, east, north = coast.bounds
    for ascending in (True, False) if mission is SENTINEL_1 else (False,):
        first, last = crossings(mission, max(south - _MARGIN, -89), min(north + _MARGIN, 89), ascending=ascending)
        for relative in range(1, mission.orbits + 1):
            middle = beside(mission, relative, (first + last) / 2, (mission.near + mission.far) / 2)[0]
            if abs((middle - (west + east) / 2 + 180) % 360 - 180) > _NEARBY:
                continue
            ring = strip(mission, relative, first, last, step=30, around=(west + east) / 2)
            if touched.intersects(Polygon(ring).buffer(0)):
                yield relative, ascending, first, last


def _slices(land: Land) -> Iterator[Place]:
    """Yield the Sentinel-1 scenes over a region: slices of 25 seconds, each as GRD and as SLC."""
    coast = land_shape(land).buffer(_COAST)
    around = sum(coast.bounds[::2]) / 2
    touched = prep(coast)
    for relative, ascending, first, last in _passes(SENTINEL_1, land):
        begin = first + SLICE * _jitter("slices", land.region, relative, ascending)
        shapes = []
        for number in range(int((last - begin) // SLICE)):
            offset = begin + SLICE * number
            ring = strip(SENTINEL_1, relative, offset, offset + SLICE, step=SLICE, around=around)
            shape = _rounded(Polygon(ring))
            if touched.intersects(shape):
                shapes.append((offset, shape))
        for offset, shape in shapes:
            for kind, early, seconds in (("GRD", 0, SLICE), ("SLC", 1, SLICE + 2)):
                yield Place(
                    land=land,
                    mission=SENTINEL_1,
                    relative=relative,
                    ascending=ascending,
                    kind=kind,
                    datatake=shapes[0][0],
                    offset=offset - early,
                    seconds=seconds,
                    shape=_wrapped(shape),
                )


def _granules(land: Land) -> Iterator[Place]:
    """Yield the Sentinel-2 scenes over a region: the part of each tile that is below a swath."""
    around = sum(land_shape(land).buffer(_COAST).bounds[::2]) / 2
    grid = [(name, shape, prep(shape)) for name, shape in tiles(land.zones, land_shape(land).buffer(_COAST / 4))]
    for relative, ascending, first, last in _passes(SENTINEL_2, land):
        swath = Polygon(strip(SENTINEL_2, relative, first, last, step=15, around=around)).buffer(0)
        datatake = land.optical_lead or first + 30 * _jitter("datatake", land.region, relative)
        for name, tile, prepared in grid:
            if not prepared.intersects(swath):
                continue
            shape = tile if prepared.within(swath) else tile.intersection(swath).simplify(0.002)
            if isinstance(shape, Polygon) and shape.area >= _LEAST * tile.area:
                yield Place(
                    land=land,
                    mission=SENTINEL_2,
                    relative=relative,
                    ascending=ascending,
                    kind="L1C",
                    datatake=datatake,
                    offset=datatake,
                    seconds=0,
                    shape=_wrapped(_rounded(shape)),
                    tile=name,
                )


def _plans(scenes: list[Place]) -> Iterator[Place]:
    """Yield one planned acquisition for each datatake; its footprint is the whole swath over the region."""
    datatakes: dict[tuple[str, int, bool], list[Place]] = {}
    for scene in scenes:
        if scene.kind != "SLC":
            datatakes.setdefault((scene.mission.name, scene.relative, scene.ascending), []).append(scene)
    for members in datatakes.values():
        head = members[0]
        whole = shapely.union_all([member.shape for member in members])
        yield Place(
            land=head.land,
            mission=head.mission,
            relative=head.relative,
            ascending=head.ascending,
            kind="PLAN",
            datatake=head.datatake,
            offset=head.datatake,
            seconds=_TAKE_SECONDS if head.tile else SLICE * len(members),
            shape=whole.convex_hull if isinstance(whole, Polygon) else whole,
        )


def _jitter(*key: object) -> float:
    """Return a number in [0, 1) that depends on nothing but the key."""
    digest = blake2b(" ".join(map(str, key)).encode(), digest_size=16).digest()
    return (digest[0] << 8 | digest[1]) / 65536


def _rounded(shape: Polygon) -> Polygon:
    return Polygon([(round(lon, 6), round(lat, 6)) for lon, lat in shape.exterior.coords])


def _wrapped(shape: BaseGeometry) -> BaseGeometry:
    """Move longitudes greater than 180 back within ±180; cut the shape at the antimeridian."""
    west, _, east, _ = shape.bounds
    if west >= 180:  # noqa: PLR2004  # the antimeridian
        return translate(shape, -360)
    if east <= 180:  # noqa: PLR2004  # the antimeridian
        return shape
    parts = [
        shape.intersection(box(-180, -90, 180, 90)),
        translate(shape.intersection(box(180, -90, 540, 90)), -360),
    ]
    return MultiPolygon([_rounded(part) for part in parts if isinstance(part, Polygon) and part.area])


def rows() -> Iterator[dict[str, object]]:
    """Yield the rows of the table: each place with each satellite of its mission."""
    yield {**EXAMPLE, **_footprint(_EXAMPLE_SHAPE)}
    for land in LANDS:
        for place in places(land):
            footprint = _footprint(place.shape)
            for craft in FLEET:
                if craft.mission is place.mission:
                    mission, orbit = craft.mission, craft.orbit_on(place.relative)
                    start = round(craft.node(orbit) + place.offset + craft.lag)
                    number = ceil((FIRST - start) / mission.cycle)
                    yield {
                        "satellite": craft.short,
                        "region": land.region,
                        "kind": place.kind,
                        "direction": "ASCENDING" if place.ascending else "DESCENDING",
                        "relative_orbit": place.relative,
                        "tile": place.tile,
                        "scene": "",
                        "orbit": orbit + number * mission.orbits,
                        "start": _iso(start + number * mission.cycle),
                        "offset": f"{place.offset:.3f}",
                        "seconds": place.seconds,
                        **footprint,
                    }


def _footprint(shape: BaseGeometry) -> dict[str, object]:
    wkt = shapely.to_wkt(shape, rounding_precision=6, trim=True).replace(", ", ",").replace("N (", "N(")
    return {"area": round(float(shapely.area(equal_area(shape))) * (EARTH_RADIUS * 1000) ** 2), "footprint": wkt}


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def table() -> bytes:
    """Return the table as compressed CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows())
    packed = io.BytesIO()
    with gzip.GzipFile("", "wb", compresslevel=9, fileobj=packed, mtime=0) as file:
        file.write(text.getvalue().encode())
    return packed.getvalue()


def pictures() -> Iterator[tuple[str, bytes]]:
    """Yield the names and JPEG files of the quick-looks: five with more and more cloud, and one of radar."""
    ground = ImageOps.colorize(_noise("ground", 5, 10, 40), (62, 96, 44), (166, 160, 110), mid=(104, 130, 72))
    clouds = ImageOps.equalize(_noise("clouds", 5, 10, 20, 40))
    for number, percent in enumerate(CLOUDS):
        opacity = clouds.point([min(255, max(0, 6 * (int(2.9 * percent) - level))) for level in range(256)])
        white = Image.new("RGB", ground.size, (238, 241, 243))
        yield f"optical-{number}.jpg", _jpeg(Image.composite(white, ground, opacity))
    yield "radar.jpg", _jpeg(_noise("radar", 5, 60, 60).convert("RGB"))


def _noise(name: str, *cells: int) -> Image.Image:
    """Return grey noise; each octave has so many cells along a side and half the weight of the one before."""
    total = Image.new("L", (SIDE, SIDE), 128)
    for octave, cell in enumerate(cells):
        grain = Image.frombytes("L", (cell, cell), shake_256(f"{name} {octave}".encode()).digest(cell * cell))
        total = Image.blend(total, grain.resize((SIDE, SIDE), Image.Resampling.BICUBIC), 1 / (octave + 1.3))
    return ImageOps.autocontrast(total)


def _jpeg(scene: Image.Image) -> bytes:
    """Turn a scene as the ground track does, on black, and encode it."""
    file = io.BytesIO()
    scene.rotate(-12, Image.Resampling.BICUBIC).save(file, "JPEG", quality=35, optimize=True)
    return file.getvalue()


def main() -> None:
    """Write the table and the pictures."""
    (DATA / TABLE).write_bytes(table())
    for name, data in pictures():
        (DATA / name).write_bytes(data)


if __name__ == "__main__":
    main()
