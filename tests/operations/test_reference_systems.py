"""AOIs in other reference systems, compared with PROJ's own conversion of many places of each edge."""

import json
import math
import sys

import numpy as np
import pytest
import shapely
from shapely import Polygon, box

from sedas_sync import geometry as g
from sedas_sync.operations.aoi_file import read_aoi

pyproj = pytest.importorskip("pyproj")
raw = pytest.importorskip("pyogrio.raw")


@pytest.fixture
def save(tmp_path):
    def put(shapes, crs, name="a.gpkg"):
        raw.write(
            tmp_path / name,
            shapely.to_wkb(shapes),
            field_data=[],
            fields=[],
            crs=crs,
            geometry_type="Polygon",
        )
        return tmp_path / name

    return put


def as_geojson(shape, crs):
    return json.dumps(
        {"crs": {"type": "name", "properties": {"name": crs}}, **shapely.geometry.mapping(shape)},
    )


PROJECTED = [
    ("EPSG:3035", box(2.9e6, 4.9e6, 5.6e6, 6.0e6)),
    ("EPSG:3035", Polygon([(2.5e6, 1.5e6), (7e6, 2e6), (6e6, 5.2e6)])),
    ("EPSG:5070", box(-2.4e6, 3e5, 2.3e6, 3.2e6)),
    ("EPSG:3413", box(-1e6, -1e6, 1e6, 1e6)),
    ("EPSG:3413", box(-3e6, 1e5, 1e6, 2e6)),
    ("EPSG:3413", box(-2e6, -200, 2e6, 3e6)),
    ("EPSG:3031", box(-3e6, -3e6, 3e6, 3e6)),
    ("EPSG:6931", Polygon(box(-4e6, -4e6, 4e6, 4e6).exterior, [box(-1e6, -1e6, 1e6, 1e6).exterior])),
    ("EPSG:3832", box(1.5e6, -2e6, 5e6, 1e6)),
    ("EPSG:27700", box(447000, 186000, 448000, 187000)),
]


@pytest.mark.parametrize(("crs", "shape"), PROJECTED, ids=[crs for crs, _ in PROJECTED])
def test_projected_outline_is_right_to_ten_metres(save, crs, shape):
    """Places a little inside and outside of each edge in the projection are inside and outside in degrees."""
    area = read_aoi(save([shape], crs))
    assert area.is_valid
    assert read_aoi(save([shapely.reverse(shape)], crs, "b.gpkg")).equals(area)
    to_degrees = pyproj.Transformer.from_crs(crs, 4326, always_xy=True)
    factors = pyproj.Proj(crs)
    rng = np.random.default_rng(1)
    inside = outside = 0
    for ring in (shape.exterior, *shape.interiors):
        for share in rng.uniform(0, 1, 400):
            place = ring.interpolate(share, normalized=True)
            lon, lat = to_degrees.transform(place.x, place.y)
            if abs(lat) > 89.99 or abs(abs(lon) - 180) < 1e-3:
                continue
            scale = min(factors.get_factors(lon, lat).tissot_semimajor, factors.get_factors(lon, lat).tissot_semiminor)
            for angle in (0, math.pi / 2, math.pi, 3 * math.pi / 2):
                reach = 12 * max(scale, 0.3)
                beside = shapely.Point(place.x + reach * math.cos(angle), place.y + reach * math.sin(angle))
                if shape.boundary.distance(beside) < reach * 0.99:
                    continue
                there = shapely.Point(*to_degrees.transform(beside.x, beside.y))
                assert area.intersects(there) == shape.intersects(beside), (beside.wkt, there.wkt)
                inside, outside = inside + shape.intersects(beside), outside + (not shape.intersects(beside))
    assert min(inside, outside) > 100


def test_polar_box_contains_its_pole_and_nothing_else(save):
    area = read_aoi(save([box(-1e6, -1e6, 1e6, 1e6)], "EPSG:3413"))
    assert area.covers(shapely.Point(0, 89.9))
    assert area.covers(shapely.Point(-179.9, 82))
    assert not area.intersects(box(-180, -90, 180, 75))


def test_edges_are_divided_only_as_needed(save):
    assert shapely.get_num_coordinates(read_aoi(save([box(447000, 186000, 448000, 187000)], "EPSG:27700"))) < 300
    assert shapely.get_num_coordinates(read_aoi(save([box(2.9e6, 4.9e6, 5.6e6, 6.0e6)], "EPSG:3035", "b.gpkg"))) < 4000


def test_position_outside_the_reference_system_is_named(save):
    with pytest.raises(ValueError, match=r"feature 2: it has positions outside the area of .*, such as 2e\+20"):
        read_aoi(save([box(447000, 186000, 448000, 187000), box(1e20, 0, 2e20, 1e20)], "EPSG:3035"))


@pytest.mark.parametrize("crs", ["EPSG:4258", "EPSG:4269", "EPSG:7844"])
def test_geojson_in_degrees_of_another_datum_is_read_as_a_shapefile_is(save, tmp_path, crs):
    shape = box(-100.5, 40.25, -100.25, 40.5)
    (tmp_path / "a.geojson").write_text(as_geojson(shape, crs))
    found = read_aoi(tmp_path / "a.geojson")
    assert found.equals(shape)
    assert found.equals(read_aoi(save([shape], crs, "b.shp")))


def test_geojson_in_degrees_of_another_datum_needs_no_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyproj", None)
    shape = box(-100.5, 40.25, -100.25, 40.5)
    (tmp_path / "a.geojson").write_text(as_geojson(shape, "urn:ogc:def:crs:EPSG::4258"))
    assert read_aoi(tmp_path / "a.geojson").equals(shape)
    (tmp_path / "b.geojson").write_text(as_geojson(box(447000, 186000, 448000, 187000), "EPSG:27700"))
    with pytest.raises(ValueError, match=r"in EPSG:27700; converting them needs the extra .*sedas-sync\[vector\]"):
        read_aoi(tmp_path / "b.geojson")


@pytest.mark.parametrize("crs", ["EPSG:27700", "urn:ogc:def:crs:EPSG::27700"])
def test_projected_geojson_is_read_as_a_geopackage_is(save, tmp_path, crs):
    shape = box(447000, 186000, 468000, 197000)
    (tmp_path / "a.geojson").write_text(as_geojson(shape, crs))
    assert read_aoi(tmp_path / "a.geojson").equals(read_aoi(save([shape], "EPSG:27700")))


def test_projected_outline_that_crosses_itself_is_repaired(save):
    path = save([box(447000, 186000, 448000, 187000), Polygon([(0, 0), (1e5, 1e5), (1e5, 0), (0, 1e5)])], "EPSG:27700")
    with pytest.raises(ValueError, match="feature 2: its outline crosses or touches itself"):
        read_aoi(path)
    repairs = []
    area = read_aoi(path, on_repair=repairs.append)
    assert area.is_valid
    assert len(repairs) == 1
    assert g.Aoi(area).intersects(box(-2, 51, -1, 52))
