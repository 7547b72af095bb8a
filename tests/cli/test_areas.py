"""Areas as people draw them, from the manifest to the scenes of the sandbox."""

import json

import pytest
import shapely
from shapely import Polygon, box

from sedas_sync.sandbox import SentinelCatalogue

WORLD = "POLYGON((-170 -60,170 -60,170 80,-170 80,-170 -60))"
DATASET = '[dataset.d]\naoi = "harwell"\nstart = 2019-04-25\nend = 2019-05-12\n'
BOW_TIE = "POLYGON ((-1.5 51.5, -1.3 51.6, -1.3 51.5, -1.5 51.6, -1.5 51.5))"


@pytest.fixture(autouse=True)
def without_checksums(monkeypatch):
    """The checksums of products cost most of a long answer's time; these scenes are only searched."""
    monkeypatch.setattr(SentinelCatalogue, "_digest", lambda _self, _hit: "")


def found(workspace, aoi):
    workspace.write(DATASET, aoi=aoi)
    ran = workspace.run("search", "--json")
    assert ran.code == 0, ran.err
    return {scene["id"] for scene in ran.json["scenes"]}


def test_polygon_of_the_world_finds_what_the_same_bbox_finds(workspace):
    scenes = found(workspace, f'wkt = "{WORLD}"')
    assert scenes == found(workspace, "bbox = [-170, -60, 170, 80]")
    assert len(scenes) > 1000


def test_outline_across_the_antimeridian_finds_what_the_same_bbox_finds(workspace):
    fiji = found(workspace, "bbox = [178, -20, -179, -16]")
    assert fiji
    assert fiji == found(workspace, 'wkt = "POLYGON((178 -20, -179 -20, -179 -16, 178 -16, 178 -20))"')
    assert fiji == found(workspace, 'wkt = "POLYGON((178 -20, 181 -20, 181 -16, 178 -16, 178 -20))"')
    assert fiji == found(workspace, 'wkt = "POLYGON((-182 -20, -179 -20, -179 -16, -182 -16, -182 -20))"')
    assert fiji == found(workspace, "bbox = [178, -20, 181, -16]")


def test_projected_file_finds_the_scenes_of_its_densified_outline(workspace):
    """A box of Europe whose edges in degrees are far from those in the projection."""
    pyproj, raw = pytest.importorskip("pyproj"), pytest.importorskip("pyogrio.raw")
    shape = box(2.9e6, 4.9e6, 5.6e6, 6.0e6)
    file = workspace.path / "north.gpkg"
    raw.write(file, shapely.to_wkb([shape]), field_data=[], fields=[], crs="EPSG:3035", geometry_type="Polygon")
    convert = pyproj.Transformer.from_crs(3035, 4326, always_xy=True).transform
    dense = shapely.transform(shapely.segmentize(shape, 1000), convert, interleaved=False)
    scenes = found(workspace, 'file = "north.gpkg"')
    assert len(scenes) > 100
    assert scenes == found(workspace, f'wkt = "{dense.wkt}"')


@pytest.mark.parametrize(
    "aoi",
    [
        "bbox = [-1.31, 51.57, -1.3099996, 51.5700004]",
        "point = [-1.31, 51.57]\nradius_km = 0.00001",
        "point = [-1.31, 51.57]\nradius_km = 0.000000001",
        f'wkt = "{shapely.union_all([box(-1.31, 51.57, -1.30, 51.58), box(-1.32, 51.57, -1.3199999, 51.58)]).wkt}"',
    ],
)
def test_tiny_areas_find_the_scenes_over_their_place(workspace, aoi):
    around = found(workspace, "bbox = [-1.3101, 51.5699, -1.3099, 51.5701]")
    assert around
    assert around <= found(workspace, aoi)


def test_repair_is_printed_by_validate_and_plan(workspace):
    workspace.write(DATASET, aoi=f'wkt = "{BOW_TIE}"\nrepair = true')
    sentence = (
        "aoi harwell: its outline crosses or touches itself near longitude -1.4, latitude 51.55; repaired; its area was"
    )
    text = workspace.run("validate")
    assert text.code == 0
    assert sentence in text.out
    assert "km² and is 76." in text.out
    document = workspace.run("validate", "--json").json
    assert document["warnings"][0].startswith(sentence)
    plan = workspace.run("plan", "--json").json
    assert [warning for warning in plan["warnings"] if warning.startswith(sentence)]
    assert sentence in workspace.run("plan").err + workspace.run("plan").out
    assert found(workspace, f'wkt = "{BOW_TIE}"\nrepair = true') == found(
        workspace, f'wkt = "{shapely.make_valid(shapely.from_wkt(BOW_TIE)).wkt}"'
    )


def test_without_repair_every_bad_feature_is_named(workspace):
    bow_tie = shapely.geometry.mapping(Polygon([(0, 0), (1, 1), (1, 0), (0, 1)]))
    good = shapely.geometry.mapping(box(2, 2, 3, 3))
    features = [{"type": "Feature", "properties": {}, "geometry": shape} for shape in (bow_tie, good, bow_tie)]
    (workspace.path / "f.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    workspace.write(DATASET, aoi='file = "f.geojson"')
    ran = workspace.run("validate")
    assert ran.code == 2
    assert (
        "feature 1: its outline crosses or touches itself near longitude 0.5, latitude 0.5; feature 3: its" in ran.err
    )
    assert "set repair = true in the table of the AOI" in ran.err


# -- validate ----------------------------------------------------------------------------------------------------------

SWAPPED = "[aoi.farm]\nbbox = [51.5, -1.4, 51.6, -1.2]\n"


def test_validate_prints_each_area_in_numbers(workspace):
    workspace.write(
        f"{SWAPPED}[aoi.fiji]\nbbox = [178, -20, -179, -16]\n{DATASET}"
        '[dataset.t]\ntile = "30UXC"\nstart = 2019-05-01\n',
        aoi='country = "IRL"',
    )
    ran = workspace.run("validate")
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert lines[1] == "aoi farm: 247.2 km², 51.5°E to 51.6°E, 1.4°S to 1.2°S, 1 part, 1 search outline"
    assert lines[2] == "aoi fiji: 141,082 km², 178°E to 179°W, 20°S to 16°S, 2 parts, 2 search outlines"
    assert lines[0].startswith("aoi harwell: 79,")
    assert lines[3].startswith("aoi tile 30UXC: 12,0")
    assert lines[4] == "manifest.toml: valid, 2 datasets"
    assert workspace.run("validate", "--quiet").out == ""


def test_validate_as_json_has_the_numbers(workspace):
    """Against areas that PROJ computes, and a shapely that does not know the package."""
    pyproj = pytest.importorskip("pyproj")
    fields = [box(-1.4, 51.5, -1.3, 51.6), box(10, 40, 10.5, 40.2)]
    workspace.write(DATASET, aoi=f'wkt = "{shapely.MultiPolygon(fields).wkt}"')
    (aoi,) = workspace.run("validate", "--json").json["aois"]
    sphere = pyproj.Geod(a=6371008.8, b=6371008.8)
    dense = [shapely.segmentize(field, 0.001) for field in fields]
    area = sum(abs(sphere.geometry_area_perimeter(field)[0]) for field in dense) / 1e6
    assert aoi.pop("area_km2") == pytest.approx(area, rel=1e-6)
    extent = {"west": -1.4, "south": 40, "east": 10.5, "north": 51.6}
    assert aoi == {"name": "harwell", "extent": extent, "parts": 2, "outlines": 2}


def test_validate_as_json_of_a_manifest_with_mistakes_has_no_areas(workspace):
    workspace.write(DATASET, aoi=f'wkt = "{BOW_TIE}"')
    assert "aois" not in workspace.run("validate", "--json").json
