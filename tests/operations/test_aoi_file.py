"""AOI files: what is read, and what is said about those that cannot be."""

import json
import sys
import zipfile
from itertools import product

import pytest
import shapely
from effort import effort
from shapely import MultiPolygon, Polygon, box

from sedas_sync.errors import ManifestError
from sedas_sync.operations import aoi_file
from sedas_sync.operations.aoi_file import read_aoi
from sedas_sync.operations.load import load_manifest

SQUARE = box(-1.4, 51.5, -1.2, 51.6)
GEOJSON = {"type": "Polygon", "coordinates": [[list(p) for p in SQUARE.exterior.coords]]}


@pytest.fixture
def write(tmp_path):
    def put(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return put


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.geojson", json.dumps(GEOJSON)),
        ("a.json", json.dumps({"type": "Feature", "properties": {}, "geometry": GEOJSON})),
        ("A.GEOJSON", "\ufeff" + json.dumps(GEOJSON)),
        ("a.wkt", SQUARE.wkt + "\n"),
        ("b.wkt", "\ufeff" + SQUARE.wkt),
    ],
)
def test_text_files_are_read(write, name, content):
    assert read_aoi(write(name, content)).equals(SQUARE)
    assert read_aoi(str(write(name, content))).equals(SQUARE)


@pytest.mark.parametrize(
    "name",
    [
        "urn:ogc:def:crs:OGC:1.3:CRS84",
        "urn:ogc:def:crs:OGC::CRS84",
        "http://www.opengis.net/def/crs/OGC/1.3/CRS84",
        "EPSG:4326",
        "urn:ogc:def:crs:EPSG::4326",
        "urn:ogc:def:crs:EPSG::4258",
        "EPSG:4269",
        "http://www.opengis.net/def/crs/EPSG/0/7844",
    ],
)
def test_a_crs_member_may_name_longitude_and_latitude(write, name):
    content = GEOJSON | {"crs": {"type": "name", "properties": {"name": name}}}
    assert read_aoi(write("a.geojson", json.dumps(content))).equals(SQUARE)
    assert read_aoi(write("b.geojson", json.dumps(GEOJSON | {"crs": None}))).equals(SQUARE)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.geojson", "{", r"a\.geojson: it is not JSON: .* \(line 1, column 2\)"),
        ("a.geojson", "", "it is not JSON"),
        ("a.geojson", "[]", "it is not GeoJSON"),
        ("a.geojson", "[" * 100_000, "nested too deep"),
        ("a.geojson", b"\xff\xfe{\x00", r"it is not UTF-8 \(at byte 0\)"),
        ("a.geojson", json.dumps({"type": "Point", "coordinates": [0, 0]}), "it contains no polygon, but Point"),
        ("a.geojson", json.dumps({"type": "FeatureCollection", "features": []}), "it is empty"),
        (
            "a.geojson",
            json.dumps(GEOJSON | {"crs": {"properties": {"name": "EPSG:99999"}}}),
            "its reference system is not known: EPSG:99999",
        ),
        ("a.geojson", json.dumps(GEOJSON | {"crs": {"type": "link"}}), "its crs has no name"),
        ("a.wkt", "POLYGON ((0 0, 1 0, 1 1))", "a ring is open"),
        ("a.wkt", "", "it is not WKT"),
        ("a.kml", "", r"a\.kml: it cannot be read: it is not a KML file"),
        ("a.txt", "", r"a\.txt has an unknown extension; known are \.fgb, \.geojson, \.geoparquet, \.gml, \.gpkg"),
        ("plain", "", "has an unknown extension"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(write, name, content, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        read_aoi(write(name, content))
    assert name in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match=r"nothing\.wkt does not exist"):
        read_aoi(tmp_path / "nothing.wkt")
    (tmp_path / "folder.wkt").mkdir()
    with pytest.raises(ValueError, match=r"folder\.wkt is not a file"):
        read_aoi(tmp_path / "folder.wkt")


def test_a_file_too_large_to_be_an_aoi_is_not_read(write, monkeypatch):
    monkeypatch.setattr(aoi_file, "MAX_BYTES", 10)
    with pytest.raises(ValueError, match="an AOI has at most"):
        read_aoi(write("a.wkt", SQUARE.wkt))


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.gpkg", b"SQLite format 3\0"), ("a.kml", b"<kml/>"), ("a.geojson", json.dumps(GEOJSON).encode())],
)
def test_vector_files_name_the_extra_they_need(write, monkeypatch, name, content):
    monkeypatch.setitem(sys.modules, "pyogrio", None)
    with pytest.raises(ValueError, match=r"reading a (\w+ file|GeoPackage) needs the extra .*sedas-sync\[vector\]"):
        read_aoi(write(name, content), layer="a" if name == "a.geojson" else None)


# ------------------------------------------------------------------------------------- with the extra


@pytest.fixture
def save(tmp_path):
    raw = pytest.importorskip("pyogrio.raw")
    pytest.importorskip("pyproj")

    def put(name, shapes, crs="EPSG:4326", layer=None, kind="Polygon", **options):
        path = tmp_path / name
        raw.write(
            path,
            shapely.to_wkb(shapes),
            field_data=[],
            fields=[],
            crs=crs,
            layer=layer,
            geometry_type=kind,
            **options,
        )
        return path

    return put


@pytest.mark.parametrize("name", ["a.gpkg", "a.shp"])
def test_all_polygons_of_a_vector_file_are_read(save, name):
    shape = read_aoi(save(name, [SQUARE, box(5, 5, 6, 6)]))
    assert shape.equals(MultiPolygon([SQUARE, box(5, 5, 6, 6)]))


def test_a_zipped_shapefile_is_read(save, tmp_path):
    path = save("a.shp", [SQUARE])
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        for part in path.parent.glob("a.*"):
            if part.suffix != ".zip":
                file.write(part, part.name)
    assert read_aoi(tmp_path / "a.zip").equals(SQUARE)


@pytest.mark.parametrize("name", ["a.gpkg", "a.shp"])
def test_other_reference_systems_are_brought_to_degrees(save, name):
    """Caister water tower, whose coordinates in both systems are widely published."""
    shape = read_aoi(save(name, [box(651409.9, 313177.3, 652409.9, 314177.3)], crs="EPSG:27700"))
    corner = min(shape.exterior.coords, key=lambda p: abs(p[0] - 1.71605) + abs(p[1] - 52.65798))
    assert corner == pytest.approx((1.71605, 52.65798), abs=1e-4)
    kilometre = 1 / 111.2
    assert shape.bounds[3] - shape.bounds[1] == pytest.approx(kilometre, rel=0.1)


def test_a_shapefile_without_a_reference_system_must_fit(save):
    path = save("a.shp", [SQUARE])
    path.with_suffix(".prj").unlink()
    assert read_aoi(path).equals(SQUARE)
    path = save("b.shp", [box(447000, 186000, 448000, 187000)])
    path.with_suffix(".prj").unlink()
    with pytest.raises(ValueError, match=r"is not in degrees. If these are metres, .* a shapefile with its \.prj"):
        read_aoi(path)


def test_several_layers_are_listed(save):
    save("a.gpkg", [SQUARE], layer="fields")
    path = save("a.gpkg", [SQUARE], layer="farms", append=True)
    with pytest.raises(ValueError, match=r"several layers with polygons \(fields, farms\)"):
        read_aoi(path)


def test_a_layer_of_points_beside_the_polygons_does_not_matter(save):
    save("a.gpkg", [SQUARE], layer="fields")
    path = save("a.gpkg", [shapely.Point(0, 0)], layer="wells", kind="Point", append=True)
    assert read_aoi(path).equals(SQUARE)


def test_a_vector_file_without_polygons(save):
    with pytest.raises(ValueError, match=r"it has no polygon \(a: Point\)"):
        read_aoi(save("a.gpkg", [shapely.Point(0, 0)], kind="Point"))


def test_a_crossing_outline_in_a_vector_file_is_a_mistake_too(save):
    with pytest.raises(ValueError, match="crosses or touches itself"):
        read_aoi(save("a.gpkg", [Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])]))


@pytest.mark.parametrize("name", ["a.gpkg", "a.shp", "a.zip"])
def test_a_damaged_vector_file(save, write, name):
    with pytest.raises(ValueError, match=rf"{name}: "):
        read_aoi(write(name, b"this is no vector file"))


# -- files outside the manifest's folder ------------------------------------------------------------------------------

SECRET = "machine archive.example login ann password hunter2-secret"


WAYS = ["link", "linked folder", "above", "absolute"]
KINDS = ["wkt", "geojson", "json", "gpkg", "shp", "zip"]


@pytest.mark.parametrize(
    ("way", "kind"),
    effort([*zip(WAYS, ["wkt"] * 4, strict=True), *(("link", kind) for kind in KINDS[1:])], [*product(WAYS, KINDS)]),
)
@pytest.mark.parametrize(
    "content",
    [SECRET, f"POLYGON (({SECRET}))", f"POLYGON ((1 2, 3 4)) {SECRET}",
     json.dumps({"type": SECRET}), json.dumps({**GEOJSON, "crs": {"properties": {"name": SECRET}}})],
)  # fmt: skip
def test_what_a_file_elsewhere_holds_is_not_quoted(tmp_path, kind, way, content):
    folder, outside = tmp_path / "work", tmp_path / "home"
    folder.mkdir()
    outside.mkdir()
    secret = outside / f"secret.{kind}"
    secret.write_text(content)
    named = {
        "link": f"area.{kind}",
        "linked folder": f"there/secret.{kind}",
        "above": f"../home/secret.{kind}",
        "absolute": str(secret),
    }[way]
    (folder / f"area.{kind}").symlink_to(secret)
    (folder / "there").symlink_to(outside)
    manifest = folder / "manifest.toml"
    manifest.write_text(f'version = 1\n[aoi.a]\nfile = "{named}"\n[dataset.d]\naoi = "a"\nstart = 2019-05-01\n')
    with pytest.raises(ManifestError) as caught:
        load_manifest(manifest)
    message = str(caught.value)
    assert "details are not shown" in message
    assert named in message
    assert not any(word in message for word in SECRET.split())


def test_a_file_elsewhere_that_holds_an_area_is_read(tmp_path):
    (tmp_path / "area.wkt").write_text(SQUARE.wkt)
    (tmp_path / "work").mkdir()
    manifest = tmp_path / "work" / "manifest.toml"
    manifest.write_text('version = 1\n[aoi.a]\nfile = "../area.wkt"\n[dataset.d]\naoi = "a"\nstart = 2019-05-01\n')
    assert load_manifest(manifest).aois["a"]


def test_a_file_of_the_folder_is_quoted_also_where_the_folder_is_linked(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "area.wkt").write_text("POLYGON ((x))")
    manifest = tmp_path / "linked" / "manifest.toml"
    manifest.write_text('version = 1\n[aoi.a]\nfile = "area.wkt"\n[dataset.d]\naoi = "a"\nstart = 2019-05-01\n')
    with pytest.raises(ManifestError, match=r"it is not WKT: .*'x'"):
        load_manifest(manifest)


@pytest.mark.parametrize("name", ["a.gpkg", "a.shp", "a.zip"])
def test_a_file_that_leads_gdal_on_to_another_is_refused(write, name):
    """By its content such a file is of another format, which names the file that is read."""
    write("secret.csv", f'WKT,text\n"{SQUARE.wkt}",{SECRET}\n')
    vrt = (
        "<OGRVRTDataSource><OGRVRTLayer name='secret'>"
        f"<SrcDataSource>{write('x', '').parent}/secret.csv</SrcDataSource>"
        "<GeometryType>wkbPolygon</GeometryType><GeometryField encoding='WKT' field='WKT'/>"
        "</OGRVRTLayer></OGRVRTDataSource>"
    )
    path = write(name, vrt)
    if name == "a.zip":
        with zipfile.ZipFile(path, "w") as packed:
            packed.writestr("a.vrt", vrt)
    with pytest.raises(
        ValueError, match=r"it is not a GeoPackage|it is not a shapefile|it does not contain a shapefile"
    ):
        read_aoi(path)


PLACEMARK = (
    "<Placemark><Polygon><outerBoundaryIs><LinearRing><coordinates>{}</coordinates></LinearRing></outerBoundaryIs>"
    "</Polygon></Placemark>"
)
CLOSED, OPEN = "-1.4,51.5 -1.2,51.5 -1.2,51.6 -1.4,51.5", "-1.4,51.5 -1.2,51.5 -1.2,51.6 -1.4,51.6"


def kml(body):
    return f'<?xml version="1.0"?><kml xmlns="http://www.opengis.net/kml/2.2">{body}</kml>'


@pytest.mark.parametrize("body", ["<Document>{}</Document>", "{}", "<Document><name>farm</name>{}</Document>"])
def test_kml_whose_document_has_no_name_is_read(tmp_path, body):
    path = tmp_path / "f.kml"
    path.write_text(kml(body.format(PLACEMARK.format(CLOSED))))
    assert read_aoi(path).bounds == pytest.approx((-1.4, 51.5, -1.2, 51.6))
    if "name" not in body:
        assert read_aoi(path, layer="f").bounds == pytest.approx((-1.4, 51.5, -1.2, 51.6))


def test_open_ring_of_a_vector_file_is_a_mistake_that_can_be_repaired(tmp_path):
    path = tmp_path / "f.kml"
    path.write_text(kml(f"<Document>{PLACEMARK.format(CLOSED)}{PLACEMARK.format(OPEN)}</Document>"))
    with pytest.raises(ValueError, match=r"feature 2: a ring is open .* repair = true"):
        read_aoi(path)
    repairs = []
    assert read_aoi(path, on_repair=repairs.append).bounds == pytest.approx((-1.4, 51.5, -1.2, 51.6))
    assert "feature 2" in repairs[0]
