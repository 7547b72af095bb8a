"""What the countries of public packages cost to search, as outlines and as area."""

import json

import pytest
import shapely
from effort import effort
from outlines import countries_of_topology, npm_package, tried

from sedas_sync import geometry as g
from sedas_sync.geometry.query_polygons import MAX_QUERIES, query_polygons
from sedas_sync.geometry.sphere import area_km2

pytestmark = pytest.mark.slow
PARTS = effort(1, 8)
FEW = {"every": 48, "hard": {"Antarctica", "Fiji", "Russia", "fiji", "russia", "usa"}}
"""A cover takes up to two seconds; `test_countries` searches countries with very many islands too."""


def check(name, geojson):
    area = g.from_geojson(geojson, on_repair=lambda _: None)
    queries = query_polygons([area])
    cover = shapely.union_all([shapely.from_wkt(query.wkt) for query in queries])
    assert len(queries) <= MAX_QUERIES, name
    assert cover.buffer(1e-9).covers(area), name
    # Below half a scene, fewer searches matter more than a small area.
    assert area_km2(cover) < max(3 * area_km2(area), 5000), name
    return len(queries)


@pytest.mark.parametrize("part", range(PARTS))
def test_countries_of_world_geojson(part):
    folder = npm_package("world-geojson", "3.5.3") / "countries"
    for name in tried(sorted(file.stem for file in folder.glob("*.json")), **FEW)[part::PARTS]:
        check(name, json.loads((folder / f"{name}.json").read_text()))


@pytest.mark.parametrize("part", range(PARTS))
def test_countries_of_world_atlas(part):
    """At 1:10 million; the map at 1:50 million is the project's own, of which `test_countries` tries every country."""
    countries = countries_of_topology(npm_package("world-atlas", "2.0.2") / "countries-10m.json")
    for name in tried(countries, **FEW)[part::PARTS]:
        if not name.endswith("Vatican"):  # its ring is a point
            check(name, countries[name])
