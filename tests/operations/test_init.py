"""`init`, and manifests over the areas of a GeoJSON file."""

import json
import os
import zipfile

import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from tomli import loads

from sedas_sync.cli.main import cli
from sedas_sync.errors import ManifestError
from sedas_sync.operations.aoi_file import read_areas
from sedas_sync.operations.init import MAX_AREAS, from_file
from sedas_sync.operations.init_template import PRESETS, toml_string
from sedas_sync.operations.load import load_manifest


def square(west, south, size=0.1):
    ring = [[west, south], [west + size, south], [west + size, south + size], [west, south + size], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def feature(geometry, **properties):
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def collection(*features):
    return {"type": "FeatureCollection", "features": list(features)}


def write(folder, content, name="fields.geojson"):
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))
    return file


def test_one_area_stays_in_its_file(workspace):
    write(workspace.path, feature(square(-1.3, 51.5), name="Home field"), "geo/field.json")
    (workspace.path / "work").mkdir()
    ran = workspace.run("init", "work/m.toml", "--from-geojson", "geo/field.json", "--json")
    assert (ran.code, ran.json["aois"]) == (0, ["Home-field"])
    text = (workspace.path / "work" / "m.toml").read_text()
    assert 'file = "../geo/field.json"' in text
    assert "# " in text
    assert workspace.run("validate", "work/m.toml").code == 0
    assert workspace.run("plan", "work/m.toml").code == 0


def bow_tie(west, south, size=0.1):
    ring = [[west, south], [west + size, south + size], [west + size, south], [west, south + size], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def test_outlines_that_are_not_valid_are_repaired_with_a_warning(workspace):
    write(workspace.path, feature(bow_tie(-1.3, 51.5), name="field"))
    ran = workspace.run("init", "one.toml", "--from-geojson", "fields.geojson", "--json")
    assert ran.code == 0, ran.err
    assert (
        "field: its outline crosses or touches itself near longitude -1.25, latitude 51.55" in ran.json["warnings"][0]
    )
    assert "\nrepair = true\n" in (workspace.path / "one.toml").read_text()
    write(
        workspace.path,
        collection(feature(square(-1.3, 51.5), name="a"), feature(bow_tie(0, 52), name="b")),
        "two.geojson",
    )
    ran = workspace.run("init", "two.toml", "--from-geojson", "two.geojson", "--json")
    assert [warning.partition(": ")[2][:3] for warning in ran.json["warnings"]] == ["b: "]
    assert "repair" not in (workspace.path / "two.toml").read_text()
    for name, area in (("one.toml", 0.005), ("two.toml", 0.015)):
        assert workspace.run("validate", name).code == 0
        aois = load_manifest(workspace.path / name).aois.values()
        assert sum(aoi.geometry.area for aoi in aois) == pytest.approx(area)


def test_several_areas_are_named_and_written_out(workspace):
    write(workspace.path, collection(feature(square(-1.3, 51.5), NAME="Nördlich"), feature(square(0, 52), NAME="b/c")))
    ran = workspace.run("init", "--from-geojson", "fields.geojson")
    assert ran.code == 0, ran.err
    assert "Nordlich, b-c" in ran.out
    manifest = load_manifest(workspace.path / "manifest.toml")
    assert list(manifest.aois) == ["Nordlich", "b-c"]
    assert manifest.datasets["radar"].aoi == ("Nordlich", "b-c")
    areas, _ = read_areas(workspace.path / "fields.geojson")
    for area in areas:
        assert shapely.from_wkt(manifest.aois[area.name].wkt).equals(area.shape)


@pytest.mark.parametrize(
    ("properties", "names"),
    [
        ([{"id": 7}, {"id": 8}], ["7", "8"]),
        ([{"name": "x"}, {"name": "X"}], ["x", "X-2"]),
        ([{"name": "f"}, {"name": "f"}, {"name": "f-2"}, {"name": "g"}, {}], ["f", "f-3", "f-2", "g", "area-5"]),
        ([{"name": "a" * 64}, {"name": "a" * 64}], ["a" * 64, "a" * 62 + "-2"]),
        ([{"name": "x"}, {}], ["x", "area-2"]),
        ([{"name": "x", "id": 1}, {"name": None, "id": 2}], ["1", "2"]),
        ([{"name": "日本"}, {"name": "Поле 3"}], ["RiBen", "Pole-3"]),
        ([{"name": "日本"}, {"name": "---"}, {"name": " "}], ["RiBen", "area-2", "area-3"]),
        ([{"name": "a" * 100}, {"name": "b"}], ["a" * 64, "b"]),
        ([{"name": ["x"]}, {"name": True}], ["area-1", "area-2"]),
    ],
)
def test_names_come_from_what_tells_the_features_apart(tmp_path, properties, names):
    content = collection(*(feature(square(n, 50), **row) for n, row in enumerate(properties)))
    areas, left_out = read_areas(write(tmp_path, content))
    assert ([area.name for area in areas], left_out) == (names, 0)


def test_points_are_left_out_and_said(workspace):
    point = feature({"type": "Point", "coordinates": [0, 50]}, name="gate")
    write(workspace.path, collection(feature(square(-1, 51), name="field"), point, feature(None)))
    ran = workspace.run("init", "--from-geojson", "fields.geojson")
    assert ran.code == 0
    assert "2 features without a polygon" in ran.err
    assert list(load_manifest(workspace.path / "manifest.toml").aois) == ["field"]


def test_very_many_areas_are_taken_together_by_their_file(workspace):
    squares = [feature(square(number / 10, 51, 0.05), name=f"n{number}") for number in range(MAX_AREAS + 1)]
    write(workspace.path, collection(*squares))
    ran = workspace.run("init", "--from-geojson", "fields.geojson", "--json")
    assert ran.json["aois"] == ["aoi"]
    assert "all 41 areas of the file together" in (workspace.path / "manifest.toml").read_text()


def test_an_area_over_the_antimeridian_comes_through(tmp_path):
    file = write(tmp_path, collection(feature(square(179.95, -17), name="east"), feature(square(-1, 51), name="home")))
    file.write_text(file.read_text().replace("180.05", "-179.95").replace("180.04999999999998", "-179.95"))
    text = from_file(str(file), tmp_path / "m.toml").text
    (tmp_path / "m.toml").write_text(text)
    loaded = load_manifest(tmp_path / "m.toml").aois["east"]
    assert shapely.from_wkt(loaded.wkt).equals(read_areas(file)[0][0].shape)


@pytest.mark.parametrize(
    "name",
    [
        'say "hi".geojson',
        "back\\slash.geojson",
        "it's # not a comment.geojson",
        "two\nlines.geojson",
        "tab\there.geojson",
        " leading.geojson",
        "trailing.geojson ",
        "no-ending",
        "ünïcode 日本.geojson",
        "del\x7f.geojson",
        "-rf.geojson",
        "bell\a.geojson",
    ],
)
def test_a_file_may_be_called_anything(tmp_path, name):
    file = write(tmp_path, feature(square(-1.3, 51.5), name="field"), name)
    start = from_file(str(file), tmp_path / "m.toml")
    (tmp_path / "m.toml").write_text(start.text, encoding="utf-8")
    assert load_manifest(tmp_path / "m.toml").aois["field"]


def test_a_file_whose_name_is_no_text_is_written_out(tmp_path):
    name = os.fsdecode(b"caf\xe9.geojson")
    try:
        file = write(tmp_path, feature(square(-1.3, 51.5), name="field"), name)
    except OSError:
        pytest.skip("this file system takes only text as names")
    assert "wkt = " in from_file(str(file), tmp_path / "m.toml").text


@settings(deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_the_same_after_toml(text):
    assert loads(f"x = {toml_string(text)}") == {"x": text}


def test_an_existing_manifest_is_left_alone(workspace):
    (workspace.path / "manifest.toml").write_text("mine")
    write(workspace.path, feature(square(-1.3, 51.5)))
    ran = workspace.run("init", "--from-geojson", "fields.geojson")
    assert ran.code == 2
    assert (workspace.path / "manifest.toml").read_text() == "mine"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "is not GeoJSON"),
        ('{"type": "FeatureCollection"}', "without a list of features"),
        ('{"type": "FeatureCollection", "features": [1, null]}', "no polygon"),
        (json.dumps(feature({"type": "Point", "coordinates": [0, 50]})), "no polygon"),
        (
            json.dumps(collection(feature(square(-1, 51), name="a"), feature(square(-1, 95), name="b"))),
            "feature 2 (b)",
        ),
        ('{"type": "GeometryCollection", "geometries": [' * 3000, "GeoJSON"),
        ('{"type": "GeometryCollection", "geometries": 5}', "no polygon"),
        ('{"type": "Polygon", "coordinates": "none"}', "GeoJSON"),
    ],
)
def test_a_file_that_is_none_is_told(tmp_path, content, message):
    file = tmp_path / "f.geojson"
    file.write_text(content)
    with pytest.raises(ManifestError) as told:
        from_file(str(file), tmp_path / "m.toml")
    assert message.lower() in str(told.value).lower().replace("is not json", "is not json, is not geojson")
    assert not (tmp_path / "m.toml").exists()


def test_a_missing_file_ends_with_2(workspace):
    ran = workspace.run("init", "--from-geojson", "no.geojson")
    assert (ran.code, "does not exist" in ran.err) == (2, True)
    assert not (workspace.path / "manifest.toml").exists()


# -- other formats, properties, and areas that the archive does not have -----------------------------------------------


@pytest.fixture
def shapefile(tmp_path):
    raw, np = pytest.importorskip("pyogrio.raw"), pytest.importorskip("numpy")

    def save(name, *corners):
        shapes = [shapely.box(x, y, x + 0.1, y + 0.1) for x, y in corners]
        names = np.array([f"field {n}" for n in range(len(shapes))], dtype=object)
        hectares = np.array([n * 1.5 for n in range(len(shapes))])
        raw.write(
            tmp_path / name, shapely.to_wkb(shapes), field_data=[names, hectares], fields=["name", "ha"],
            crs="EPSG:4326", geometry_type="Polygon",
        )  # fmt: skip
        return tmp_path / name

    return save


@pytest.mark.parametrize("name", ["fields.shp", "fields.gpkg", "fields.fgb"])
def test_features_of_any_vector_file(shapefile, tmp_path, name):
    start = from_file(str(shapefile(name, (-1.3, 51.5), (-1.1, 51.5))), tmp_path / "m.toml")
    assert sorted(start.aois) == ["field-0", "field-1"]
    assert start.warnings == ()
    assert "# name = field 1, ha = 1.5\nwkt = " in start.text


def test_one_area_of_a_zipped_shapefile_stays_in_it(shapefile, tmp_path):
    path = shapefile("field.shp", (-1.3, 51.5))
    with zipfile.ZipFile(tmp_path / "field.zip", "w") as packed:
        for file in path.parent.glob("field.*"):
            if file.suffix != ".zip":
                packed.write(file, f"deep/{file.name}")
    start = from_file(str(tmp_path / "field.zip"), tmp_path / "m.toml")
    assert 'file = "field.zip"' in start.text
    assert "# name = field 0, ha = 0.0\n" in start.text


def test_properties_are_a_comment(tmp_path):
    properties = {
        "name": "a",
        "crop": "wheat\n[aoi.b]",
        "owner": "\ud800",
        "tags": ["x"],
        "empty": "",
        "note": "x" * 500,
    }
    file = write(tmp_path, collection(feature(square(-1.3, 51.5), **properties), feature(square(0, 52), name="b")))
    text = from_file(str(file), tmp_path / "m.toml").text
    (comment,) = (line for line in text.splitlines() if line.startswith("# name = a"))
    assert comment.startswith("# name = a, crop = wheat\\n[aoi.b], owner = ?, note = xxx")
    assert len(comment) < 210
    assert list(loads(text)["aoi"]) == ["a", "b"]


def test_areas_without_scenes_are_said_at_once(workspace):
    write(
        workspace.path, collection(feature(square(36.8, -1.3), name="Nairobi"), feature(square(36, -1), name="Nakuru"))
    )
    ran = workspace.run("init", "--from-file", "fields.geojson")
    assert ran.code == 0
    assert "warning: fields.geojson: the archive (type sandbox) has no scenes over these areas" in ran.err
    assert "Great Britain and Ireland, Fiji and Svalbard" in ran.err
    as_json = workspace.run("init", "other.toml", "--from-geojson", "fields.geojson", "--json").json
    assert len(as_json["warnings"]) == 1
    write(
        workspace.path, collection(feature(square(36.8, -1.3), name="Nairobi"), feature(square(-1.3, 51.5), name="UK"))
    )
    assert workspace.run("init", "third.toml", "--from-file", "fields.geojson").err == ""


# -- a manifest for a real archive -------------------------------------------------------------------------------------


@pytest.mark.parametrize("archive", PRESETS)
@pytest.mark.parametrize("sensor", [None, "optical", "sar"])
def test_every_archive_gives_a_valid_manifest(workspace, archive, sensor):
    arguments = ["--archive", archive, "--bbox=-1.4,51.5,-1.2,51.6", "--start", "-7d", "--end", "now"]
    ran = workspace.run("init", *arguments, *(["--sensor", sensor] if sensor else []))
    preset = PRESETS[archive]
    if preset.collections and sensor == "sar" and sensor not in preset.collections:
        assert ran.code == 2
        assert "has no sar scenes that can be downloaded; take" in ran.err
        assert not (workspace.path / "manifest.toml").exists()
        return
    assert ran.code == 0, ran.err
    manifest = load_manifest(workspace.path / "manifest.toml")
    assert [dataset.sensor for dataset in manifest.datasets.values()] == ([sensor] if sensor else list(preset.sensors))
    for dataset in manifest.datasets.values():
        assert (dataset.reprocessed, dataset.start_spec) == ("newest", "-7d")
    assert manifest.aois["area"].geometry.bounds == (-1.4, 51.5, -1.2, 51.6)


def test_what_is_given_is_written(workspace):
    write(workspace.path, feature(square(-1.3, 51.5), name="Home"))
    ran = workspace.run(
        "init", "--archive", "cdse", "--aoi", "fields.geojson", "--start", "2024-05-01", "--end", "2024-05-31",
        "--sensor", "sar", "--product-type", "SLC",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    text = (workspace.path / "manifest.toml").read_text()
    assert "start = 2024-05-01\nend = 2024-05-31 " in text
    assert loads(text)["dataset"]["radar"]["product_type"] == "SLC"
    assert loads(text)["archive"] == {"type": "cdse"}
    assert ran.err == "", "a real archive is not searched"


@pytest.mark.parametrize(("product_type", "sensor"), [("L2A", "optical"), ("SLC", "sar")])
def test_a_product_type_implies_the_sensor(workspace, product_type, sensor):
    box = "--bbox=-1.4,51.5,-1.2,51.6"
    assert workspace.run("init", "--archive", "cdse", box, "--product-type", product_type).code == 0
    (dataset,) = load_manifest(workspace.path / "manifest.toml").datasets.values()
    assert (dataset.sensor, dataset.product_type) == (sensor, product_type)


def test_the_sandbox_has_scenes_at_once(workspace):
    assert workspace.run("init", "--bbox=-1.4,51.5,-1.2,51.6", "--sensor", "optical").code == 0
    assert workspace.run("plan", "--json").json["summary"]["fetch"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--bbox", "1,2,3"], "error: --bbox: found [1, 2, 3]; must be a list of 4 numbers"),
        (["--start", "2024-13-01"], 'error: --start: found "2024-13-01"; must be a date'),
        (["--bbox", "a,b,c,d"], "--bbox 'a,b,c,d': must be four numbers"),
        (["--bbox", "1,2,3,4", "--aoi", "x.geojson"], "give one of them"),
        (["--start", "yesterday"], 'error: --start: found "yesterday"; must be a date'),
        (["--start", "2024-06-01", "--end", "2024-05-01", "--archive", "cdse"], "error: --end: is"),
        (["--archive", "nothing"], "'nothing' is not one of"),
        (["--archive", "planetary-computer", "--product-type", "L1C"], "no scenes of type L1C that can be downloaded"),
        (["--archive", "planetary-computer", "--product-type", "SLC"], "take sandbox, sedas or cdse"),
        (["--archive", "earth-search", "--product-type", "OL_1_EFR"], "no scenes of type OL_1_EFR"),
    ],
)
def test_wrong_wishes_write_nothing(workspace, arguments, message):
    ran = workspace.run("init", *arguments)
    assert ran.code == 2
    assert message in ran.err
    assert not (workspace.path / "manifest.toml").exists()


@pytest.mark.parametrize(
    ("box", "width"),
    [("3,51,1,52", "358°"), ("-1,51,355,52", "356°"), ("170,-20,-170,-10", ""), ("-180,-90,180,90", "")],
)
def test_a_box_around_most_of_the_world_is_pointed_out(workspace, box, width):
    ran = workspace.run("init", "--archive", "cdse", f"--bbox={box}")
    assert ran.code == 0, ran.err
    assert (f"crosses the antimeridian, {width} wide" in ran.err) == bool(width)


def test_the_command_line_knows_the_presets():
    (option,) = (one for one in cli.commands["init"].params if one.name == "archive")
    assert list(option.type.choices) == list(PRESETS)


def test_projected_fields_keep_their_names(tmp_path):
    """Their edges are divided in degrees, which are not corners of theirs."""
    fields = [
        feature(
            {"type": "Polygon", "coordinates": [[[x, y], [x + 400, y], [x + 400, y + 300], [x, y + 300], [x, y]]]},
            name=name,
        )
        for name, x, y in (("north", 450_000, 190_000), ("south", 450_000, 188_000))
    ]
    content = {**collection(*fields), "crs": {"type": "name", "properties": {"name": "EPSG:27700"}}}
    target = tmp_path / "manifest.toml"
    start = from_file(str(write(tmp_path, content)), target)
    assert start.aois == ("north", "south")
    areas = {area.name: area.shape for area in read_areas(tmp_path / "fields.geojson")[0]}
    target.write_text(start.text)
    for name, aoi in load_manifest(target).aois.items():
        assert shapely.hausdorff_distance(aoi.geometry, areas[name]) < 2e-5
