"""Countries as AOIs."""

import pytest
import shapely
from effort import effort
from shapely import Point

from sedas_sync.errors import ManifestError
from sedas_sync.geometry.query_polygons import MAX_QUERIES, query_polygons
from sedas_sync.geometry.sphere import area_km2
from sedas_sync.operations.countries import area_of_countries, world
from sedas_sync.operations.load import load_manifest

CODES = sorted({country.code for country in world().countries if country.code is not None})

HARD = ["FJI", "FRA", "GRC", "KIR", "NZL", "RUS", "USA"]
"""They cross the antimeridian, or have very many islands."""


@pytest.mark.parametrize(
    ("code", "km2"), [("KEN", 580_367), ("IRL", 70_273), ("BRA", 8_515_770), ("NZL", 268_838), ("MNG", 1_564_116)]
)
def test_areas_are_those_of_the_world_factbook(code, km2):
    assert area_km2(area_of_countries([code], 0.001)) == pytest.approx(km2, rel=0.025)


@pytest.mark.parametrize(
    ("codes", "inside", "outside"),
    [
        (["KEN"], [(36.8, -1.3), (39.7, -4.05)], [(32.6, 0.3)]),
        (["GBR", "IRL"], [(-0.1, 51.5), (-6.3, 53.3), (-1.2, 60.2)], [(2.3, 48.9)]),
        (["FJI"], [(178.4, -18.1), (-179.95, -16.7)], [(0, -17)]),
        (["FRA"], [(2.3, 48.9), (-52.3, 4.9), (55.5, -21.1)], [(-0.1, 51.5)]),
        (["XKX"], [(21.2, 42.7)], [(20.5, 44.8)]),
    ],
)
def test_places(codes, inside, outside):
    area = area_of_countries(codes)
    assert all(area.covers(Point(place)) for place in inside)
    assert not any(area.covers(Point(place)) for place in outside)


def test_a_coast_has_a_buffer_of_five_kilometres():
    plain, wide = area_of_countries(["ISL"], 0.001), area_of_countries(["ISL"])
    reykjanes = plain.exterior.coords[0]
    assert wide.covers(plain)
    assert wide.covers(Point(reykjanes).buffer(4.5 / 111.2))
    assert area_of_countries(["ISL"], 20).covers(wide)


@pytest.mark.parametrize("code", effort([*CODES[::12], *HARD], CODES))
def test_every_country_is_searched_over_little_more_than_its_area(code):
    area = area_of_countries([code])
    queries = query_polygons([area])
    cover = query_cover(queries)
    assert len(queries) <= MAX_QUERIES
    assert cover.buffer(1e-9).covers(area)
    assert area_km2(cover) < max(3 * area_km2(area), 3300)


def query_cover(queries):
    return shapely.union_all([shapely.from_wkt(query.wkt) for query in queries])


def load(tmp_path, aoi):
    (tmp_path / "m.toml").write_text(f'version = 1\n[aoi.a]\n{aoi}\n[dataset.d]\naoi = "a"\nstart = 2019-05-01\n')
    return load_manifest(tmp_path / "m.toml").aois["a"]


def test_manifest_with_countries(tmp_path):
    aoi = load(tmp_path, 'country = ["gbr", "IRL"]')
    assert aoi.intersects(Point(-6.3, 53.3).buffer(0.1))
    wide = load(tmp_path, 'country = "IRL"\nbuffer_km = 120')
    assert wide.intersects(Point(-4.6, 53.3).buffer(0.1))


@pytest.mark.parametrize(
    ("aoi", "message"),
    [
        ('country = "UK"', "must be a code of three letters .*; for UK write GBR"),
        ('country = ["KEN", "cz"]', "; for cz write CZE"),
        ('country = "United States"', "; for United States write USA"),
        ('country = "Great Britain"', "; for Great Britain write GBR"),
        ('country = "U.S.A."', "; for U\\.S\\.A\\. write USA"),
        ('country = "Holland"', "; for Holland write NLD"),
        ('country = "Czech Republic"', "; for Czech Republic write CZE"),
        ('country = "Switzerlnd"', "; for Switzerlnd write CHE"),
        ('country = "UAE"', "codes have three letters .*; for UAE write ARE"),
        ('country = "Xyzzy"', "or a list of them$"),
        ('country = "QQQ"', '"QQQ" is not a country of the map; codes have three letters'),
        ('country = "KEN"\nbbox = [0, 0, 1, 1]', "has bbox and country; it needs exactly one of"),
        ('country = "KEN"\nbuffer_km = 501', "buffer_km"),
        ('country = "KEN"\nlayer = "x"', r"aoi\.a\.layer: needs a file"),
        ("point = [0, 0]\nradius_km = 1\nbuffer_km = 1", "cannot be used with a point; write a larger radius_km"),
        ('wkt = "POINT (0 0)"', "set buffer_km to search around points and lines"),
    ],
)
def test_mistakes(tmp_path, aoi, message):
    with pytest.raises(ManifestError, match=message):
        load(tmp_path, aoi)


def test_buffers_in_a_manifest(tmp_path):
    assert area_km2(load(tmp_path, 'wkt = "POINT (0 0)"\nbuffer_km = 1').geometry) == pytest.approx(3.14, rel=0.02)
    assert area_km2(load(tmp_path, "bbox = [0, 0, 1, 1]\nbuffer_km = 10").geometry) == pytest.approx(17126, rel=0.02)
