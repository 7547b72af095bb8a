"""What the countries of public packages cost to search, as outlines and as area."""

import json

import pytest
import shapely
from outlines import countries_of_topology, npm_package, tried

from sedas_sync import geometry as g
from sedas_sync.geometry.query_polygons import MAX_QUERIES, query_polygons
from sedas_sync.geometry.sphere import area_km2

pytestmark = pytest.mark.slow


def check(name, geojson):
    area = g.from_geojson(geojson, on_repair=lambda _: None)
    queries = query_polygons([area])
    cover = shapely.union_all([shapely.from_wkt(query.wkt) for query in queries])
    assert len(queries) <= MAX_QUERIES, name
    assert cover.buffer(1e-9).covers(area), name
    # Below half a scene, fewer searches matter more than a small area.
    assert area_km2(cover) < max(3 * area_km2(area), 5000), name
    return len(queries)


@pytest.mark.parametrize("part", range(8))
def test_countries_of_world_geojson(part):
    folder = npm_package("world-geojson", "3.5.3") / "countries"
    for name in tried(sorted(file.stem for file in folder.glob("*.json")))[part::8]:
        check(name, json.loads((folder / f"{name}.json").read_text()))


@pytest.mark.parametrize(("scale", "part"), [("50m", 0), ("50m", 1), *(("10m", part) for part in range(8))])
def test_countries_of_world_atlas(scale, part):
    countries = countries_of_topology(npm_package("world-atlas", "2.0.2") / f"countries-{scale}.json")
    for name in tried(countries)[part :: 2 if scale == "50m" else 8]:
        if not name.endswith("Vatican"):  # its ring is a point at 1:10 million
            check(f"{scale}: {name}", countries[name])
