"""Shapes and oracles for tests of the geometry; the oracles use no geometry library."""

import math
import random
import re
from itertools import pairwise

import shapely
from hypothesis import strategies as st
from shapely import Polygon, box

from sedas_sync import geometry as g

HARWELL = "POLYGON ((-1.3295 51.5881, -1.3013 51.5872, -1.3020 51.5621, -1.3300 51.5622, -1.3295 51.5881))"
WORLD = "POLYGON ((-180 -90, 180 -90, 180 90, -180 90, -180 -90))"

Ring = list[tuple[float, float]]


# ----------------------------------------------------------------------------------------------- oracles


def within(x: float, y: float, ring: Ring) -> bool:
    """Even-odd rule."""
    inside = False
    for (x1, y1), (x2, y2) in pairwise(ring):
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            inside = not inside
    return inside


def ring_of(wkt: str) -> Ring:
    body = re.fullmatch(r"POLYGON \(\(([^()]*)\)\)", wkt)
    assert body, wkt
    return [(float(a), float(b)) for a, b in (pair.split() for pair in body[1].split(", "))]


def rings_of(shape) -> list[list[Ring]]:
    return [
        [list(part.exterior.coords), *(list(hole.coords) for hole in part.interiors)]
        for part in getattr(shape, "geoms", [shape])
    ]


def is_in(x: float, y: float, shape) -> bool:
    return any(sum(within(x, y, ring) for ring in rings) % 2 == 1 for rings in rings_of(shape))


def coverage(aoi, footprint) -> float:
    return g.Aoi(aoi).coverage(footprint)


def distance_km(lon1: float, lat1: float, lon2: float, lat2: float) -> float:
    """Haversine."""
    a, b = math.radians(lat1), math.radians(lat2)
    h = math.sin((b - a) / 2) ** 2 + math.cos(a) * math.cos(b) * math.sin(math.radians(lon2 - lon1) / 2) ** 2
    return 2 * 6371.0088 * math.asin(min(1.0, math.sqrt(h)))


# ----------------------------------------------------------------------------------- random shapes


def star(rng: random.Random, x: float, y: float, size: float, corners: int) -> Ring:
    """Return a star-shaped ring, which never crosses itself."""
    turns = sorted(rng.uniform(0, 2 * math.pi) for _ in range(corners))
    gaps = [b - a for a, b in zip(turns, [*turns[1:], turns[0] + 2 * math.pi], strict=True)]
    if max(gaps) > math.pi * 0.95:  # its middle would be outside
        turns = [2 * math.pi * n / corners for n in range(corners)]
    reach = [size * rng.uniform(0.3, 1) for _ in turns]
    ring = [(x + r * math.cos(t), y + r * math.sin(t)) for t, r in zip(turns, reach, strict=True)]
    return [*ring, ring[0]]


@st.composite
def areas(draw):
    """Draw one or many polygons, with holes and long outlines, split at the antimeridian."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    parts = []
    for _ in range(draw(st.sampled_from([1, 1, 2, 5, 25, 90]))):
        size = 10 ** rng.uniform(-3, 1)
        x, y = rng.uniform(-179, 179), rng.uniform(-89, 89)
        shell = star(rng, x, y, size, rng.choice([3, 4, 8, 40, 300]))
        holes = [star(rng, x, y, size * 0.2, 5)] if rng.random() < 0.3 else []
        part = Polygon(shell, holes)
        parts.append(part if part.is_valid else Polygon(shell).convex_hull)
    return shapely.union_all(parts).intersection(box(-180, -90, 180, 90))
