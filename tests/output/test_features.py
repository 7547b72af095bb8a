"""Scenes as GeoJSON and as a GeoDataFrame."""

import json
from datetime import UTC, datetime

import pytest
from shapely.geometry import shape

import sedas_sync as ss

NOW = datetime(2019, 4, 30, 11, 6, tzinfo=UTC)
SCENES = [
    ss.Scene(id="A", start=NOW, footprint="POLYGON((0 0,1 0,1 1,0 0))", download_url="https://example.org/?sig=hush"),
    ss.Scene(id="fiji", cloud_cover=0.0, footprint="POLYGON((179 -17,181 -17,181 -16,179 -16,179 -17))"),
    ss.Scene(id="west", footprint="POLYGON((179 -17,-179 -17,-179 -16,179 -16,179 -17))"),
    ss.Scene(id="nowhere", footprint="POLYGON((what"),
    ss.Scene(id="unknown"),
]


def test_geojson_has_a_feature_for_each_scene():
    found = json.loads(json.dumps(ss.to_geojson(iter(SCENES))))
    assert found["type"] == "FeatureCollection"
    assert [feature["id"] for feature in found["features"]] == [scene.id for scene in SCENES]
    assert "hush" not in json.dumps(found)
    assert found["features"][0]["properties"] == {"start": "2019-04-30T11:06:00Z", "online": True}


def test_footprints_are_cut_at_the_antimeridian():
    """RFC 7946, 3.1.9 and 5.2."""
    for feature in ss.to_geojson(SCENES)["features"][1:3]:
        geometry = shape(feature["geometry"])
        assert geometry.geom_type == "MultiPolygon"
        assert geometry.area == pytest.approx(2)
        assert feature["bbox"] == [179, -17, -179, -16]
        for part in geometry.geoms:
            west, _, east, _ = part.bounds
            assert east - west == pytest.approx(1)
            assert part.exterior.is_ccw


def test_footprints_that_cannot_be_read_are_null():
    for feature in ss.to_geojson(SCENES)["features"][3:]:
        assert feature["geometry"] is None
        assert "bbox" not in feature


def test_a_geodataframe_has_a_row_for_each_scene(tmp_path):
    frame = ss.to_geodataframe(iter(SCENES))
    assert list(frame.id) == [scene.id for scene in SCENES]
    assert frame.crs.to_epsg() == 4326
    assert frame.start[0] == NOW
    assert list(frame.online) == [True, False, False, False, False]
    assert list(frame.geometry.isna()) == [False, False, False, True, True]
    assert frame.cx[-180:-170, -20:-10].id.tolist() == ["fiji", "west"]
    frame.to_file(tmp_path / "scenes.gpkg")
    assert not ss.to_geodataframe([]).columns.difference(frame.columns).size


def test_orbit_and_tile_are_those_of_the_catalogue_or_the_name():
    named = "S2A_MSIL1C_20190505T111625_N0207_R037_T30UXC_20190505T140416"
    frame = ss.to_geodataframe([ss.Scene(id=named), ss.Scene(id="A", relative_orbit=7, tile="31UCT")])
    assert frame.relative_orbit.tolist() == [37, 7]
    assert frame.tile.tolist() == ["30UXC", "31UCT"]
    (feature,) = ss.to_geojson([ss.Scene(id=named)])["features"]
    assert feature["properties"] == {"relative_orbit": 37, "tile": "30UXC"}
