"""AOIs from the formats that GDAL reads, in zips too, with layers and conditions."""

import json
import sys
import zipfile

import pytest
import shapely
from shapely import LineString, MultiLineString, Point, box

from sedas_sync.errors import ManifestError
from sedas_sync.geometry.sphere import area_km2
from sedas_sync.operations.aoi_file import read_aoi, read_areas
from sedas_sync.operations.load import load_manifest

raw = pytest.importorskip("pyogrio.raw")
np = pytest.importorskip("numpy")

WHEAT, RYE = box(-1.4, 51.5, -1.2, 51.6), box(0, 52, 0.5, 52.25)
BOTH = shapely.union_all([WHEAT, RYE])
CROPS, SIZES = ["wheat", "rye"], [12.5, 3.0]


@pytest.fixture
def save(tmp_path):
    def put(name, shapes=(WHEAT, RYE), *, crops=CROPS, sizes=SIZES, kind="Polygon", crs="EPSG:4326", **options):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        number = len(shapes)
        raw.write(
            path,
            shapely.to_wkb(np.array(shapes, dtype=object)),
            field_data=[np.array(crops[:number], dtype=object), np.array(sizes[:number])],
            fields=["crop", "size"],
            crs=crs,
            geometry_type=kind,
            **options,
        )
        return path

    return put


def parquet(path, shapes=(WHEAT, RYE), *, encoding="WKB", **column):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    table = pa.table(
        {
            "crop": CROPS[: len(shapes)],
            "tags": [["a"], ["b"]][: len(shapes)],
            "outline": [shapely.to_wkb(shape) for shape in shapes],
        }
    )
    geo = {"version": "1.0.0", "primary_column": "outline", "columns": {"outline": {"encoding": encoding, **column}}}
    pq.write_table(table.replace_schema_metadata({b"geo": json.dumps(geo).encode()}), path)
    return path


def zipped(target, *files, folder=""):
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in files:
            packed.write(file, folder + file.name)
    return target


def shapefile(save, name="parks.shp"):
    path = save(name)
    return sorted(path.parent.glob(path.stem + ".*"))


# -- formats -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "driver"),
    [
        ("a.gpkg", "GPKG"),
        ("a.shp", "ESRI Shapefile"),
        ("a.fgb", "FlatGeobuf"),
        ("A.KML", "KML"),
        ("a.kml", "LIBKML"),
        ("a.gml", "GML"),
        ("a.geojson", "GeoJSON"),
    ],
)
def test_formats(save, name, driver):
    path = save(name, driver=driver)
    assert read_aoi(path).equals(BOTH)
    assert read_aoi(path, where="crop = 'wheat'").equals(WHEAT)
    assert read_aoi(path, where='"size" < 10 OR crop IS NULL').equals(RYE)
    assert {file.suffix.lower() for file in path.parent.iterdir()} <= {
        path.suffix.lower(),
        ".shx",
        ".dbf",
        ".prj",
        ".cpg",
        ".xsd",
    }


def test_kml_without_the_packages_own_layer_names(tmp_path):
    """All folders of a map count, in 2.5 dimensions and with an old namespace too."""

    def placemark(name, west):
        ring = " ".join(f"{west + x},{50 + y},120" for x, y in [(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)])
        outline = f"<outerBoundaryIs><LinearRing><coordinates>{ring}</coordinates></LinearRing></outerBoundaryIs>"
        return f"<Placemark><name>{name}</name><Polygon>{outline}</Polygon></Placemark>"

    content = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<!-- made by hand -->\n<kml xmlns="http://earth.google.com/kml/2.1">'
        f"<Document><Folder><name>north</name>{placemark('a', 0)}</Folder>"
        f"<Folder><name>south</name>{placemark('b', 5)}</Folder></Document></kml>"
    )
    (tmp_path / "map.kml").write_text(content)
    assert read_aoi(tmp_path / "map.kml").equals(shapely.union_all([box(0, 50, 1, 51), box(5, 50, 6, 51)]))
    assert read_aoi(tmp_path / "map.kml", layer="south").equals(box(5, 50, 6, 51))
    (tmp_path / "doc.kml").write_text(content)
    (tmp_path / "icon.png").write_bytes(b"x")
    kmz = zipped(tmp_path / "map.kmz", tmp_path / "doc.kml", tmp_path / "icon.png")
    assert read_aoi(kmz, layer="north").equals(box(0, 50, 1, 51))
    areas, left_out = read_areas(kmz)
    assert ([area.name for area in areas], left_out) == (["a", "b"], 0)


def test_closed_tracks_of_a_gpx_file_are_areas(save):
    walk = [*WHEAT.exterior.coords[:-1], (-1.20001, 51.50001)]
    path = save(
        "walk.gpx", [MultiLineString([walk]), MultiLineString([[(0, 0), (1, 1)]])],
        kind="MultiLineString", driver="GPX", layer="tracks", dataset_options={"GPX_USE_EXTENSIONS": "YES"},
    )  # fmt: skip
    assert read_aoi(path).symmetric_difference(WHEAT).area < 1e-5
    line = read_aoi(path, buffer_km=1)
    assert line.covers(Point(0.5, 0.5))
    only_open = save(
        "road.gpx", [LineString([(0, 0), (1, 1)])],
        kind="LineString", driver="GPX", layer="routes", dataset_options={"GPX_USE_EXTENSIONS": "YES"},
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"road\.gpx: it has no polygon; set buffer_km"):
        read_aoi(only_open)


def test_geoparquet(tmp_path):
    assert read_aoi(parquet(tmp_path / "a.parquet")).equals(BOTH)
    assert read_aoi(tmp_path / "a.parquet", where="crop = 'rye'").equals(RYE)
    assert read_aoi(parquet(tmp_path / "b.geoparquet", crs=None)).equals(BOTH)


def test_geoparquet_in_another_reference_system(tmp_path):
    pyproj = pytest.importorskip("pyproj")
    shape = box(651409.9, 313177.3, 652409.9, 314177.3)
    path = parquet(tmp_path / "a.parquet", [shape], crs=json.loads(pyproj.CRS.from_epsg(27700).to_json()))
    area = read_aoi(path)
    assert area_km2(area) == pytest.approx(1.0, rel=0.01)
    assert area.distance(Point(1.71605, 52.65798)) < 1e-4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: parquet(path, encoding="point"), "have the encoding point; write them as WKB"),
        (lambda path: path.write_bytes(b"PAR1 and nothing else"), "it is a damaged GeoParquet file"),
        (lambda path: path.write_bytes(b"crop,size"), "it is not a GeoParquet file"),
    ],
)
def test_geoparquet_that_cannot_be_read(tmp_path, make, message):
    make(tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=message):
        read_aoi(tmp_path / "a.parquet")


def test_parquet_without_geometries(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=r"a Parquet file without a geometry column \(GeoParquet\)"):
        read_aoi(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("name", "missing", "extra"),
    [
        ("a.fgb", "pyogrio", "vector"),
        ("a.parquet", "pyarrow", "vector-parquet"),
        ("a.parquet", "pyogrio", "vector-parquet"),
        ("a.zip", "pyarrow", "vector-parquet"),
    ],
)
def test_the_extra_is_named(tmp_path, monkeypatch, name, missing, extra):
    (tmp_path / name).write_bytes(b"fgb" if name == "a.fgb" else b"PAR1")
    if name.endswith(".zip"):
        with zipfile.ZipFile(tmp_path / name, "w") as packed:
            packed.writestr("a.parquet", b"PAR1")
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ValueError, match=rf"needs the extra .*'sedas-sync\[{extra}\]'"):
        read_aoi(tmp_path / name)


# -- layers, conditions, points and lines ------------------------------------------------------------------------------


def test_layers(save):
    save("a.gpkg", layer="fields")
    path = save("a.gpkg", [box(5, 5, 6, 6)], layer="farms", append=True)
    assert read_aoi(path, layer="farms").equals(box(5, 5, 6, 6))
    with pytest.raises(
        ValueError, match=r'several layers with polygons \(fields, farms\); name one of them with layer = "fields"'
    ):
        read_aoi(path)
    with pytest.raises(ValueError, match='it has no layer "farm" with geometries; its layers are fields, farms'):
        read_aoi(path, layer="farm")


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("crp = 'wheat'", r"where = \"crp = 'wheat'\" is not a condition in SQL for its attributes crop, size"),
        ("crop = ", "is not a condition in SQL"),
        ("crop = 'maize'", r"no feature matches where = \"crop = 'maize'\""),
    ],
)
@pytest.mark.parametrize("name", ["a.gpkg", "a.shp", "a.geojson"])
def test_conditions_that_do_not_fit(save, where, message, name):
    with pytest.raises(ValueError, match=message):
        read_aoi(save(name), where=where)


def test_wkt_has_no_features(tmp_path):
    (tmp_path / "a.wkt").write_text(WHEAT.wkt)
    with pytest.raises(ValueError, match="a WKT file has no features"):
        read_aoi(tmp_path / "a.wkt", where="crop = 'wheat'")


@pytest.mark.parametrize("name", ["wells.gpkg", "wells.geojson", "wells.shp"])
def test_points_with_a_buffer(save, name):
    path = save(name, [Point(0, 51), Point(1, 51)], kind="Point")
    assert area_km2(read_aoi(path, buffer_km=2)) == pytest.approx(2 * 3.1416 * 4, rel=0.02)
    assert area_km2(read_aoi(path, buffer_km=2, where="crop = 'rye'")) == pytest.approx(3.1416 * 4, rel=0.02)
    with pytest.raises(ValueError, match=r"it has no polygon|it contains no polygon"):
        read_aoi(path)


def test_points_in_metres_with_a_buffer(save):
    path = save("wells.gpkg", [Point(651409.9, 313177.3)], kind="Point", crs="EPSG:27700")
    area = read_aoi(path, buffer_km=0.5)
    assert area.distance(Point(1.71605, 52.65798)) == 0
    assert area_km2(area) == pytest.approx(0.785, rel=0.02)


def test_a_manifest_with_a_layer_and_a_condition(save, tmp_path):
    save("a.gpkg", layer="fields")
    manifest = tmp_path / "m.toml"
    text = (
        'version = 1\n[aoi.a]\nfile = "a.gpkg"\nlayer = "fields"\nwhere = "{}"\n'
        '[dataset.d]\naoi = "a"\nstart = 2019-05-01\n'
    )
    manifest.write_text(text.format("crop = 'wheat'"))
    assert load_manifest(manifest).aois["a"].geometry.equals(WHEAT)
    manifest.write_text(text.format("crap = 'wheat'"))
    with pytest.raises(ManifestError, match=r"aoi\.a\.file: .*its attributes crop, size"):
        load_manifest(manifest)


# -- zips --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["", "parks/", "data/2024/parks/"])
@pytest.mark.parametrize("name", ["a.zip", "A.ZIP"])
def test_a_shapefile_anywhere_in_a_zip(save, tmp_path, folder, name):
    path = zipped(tmp_path / name, *shapefile(save), folder=folder)
    assert read_aoi(path).equals(BOTH)
    assert read_aoi(path, where="crop = 'rye'").equals(RYE)


def test_what_macos_adds_to_a_zip_does_not_matter(save, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        for file in shapefile(save):
            packed.writestr(f"__MACOSX/parks/._{file.name}", b"\0\5\x16\7")
            packed.write(file, f"parks/{file.name}")
        packed.writestr("parks/.DS_Store", b"x")
        packed.writestr("parks/readme.txt", "about the parks")
        packed.writestr("parks/metadata.json", "{}")
    assert read_aoi(tmp_path / "a.zip").equals(BOTH)


def test_endings_in_any_case(save, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        for file in shapefile(save):
            packed.write(file, f"Parks/PARKS{file.suffix.upper()}")
    assert read_aoi(tmp_path / "a.zip").equals(BOTH)


@pytest.mark.parametrize(
    ("name", "driver"), [("a.gpkg", "GPKG"), ("a.fgb", "FlatGeobuf"), ("a.kml", "KML"), ("a.geojson", "GeoJSON")]
)
def test_another_format_in_a_zip(save, tmp_path, name, driver):
    assert read_aoi(zipped(tmp_path / "a.zip", save(name, driver=driver), folder="x/")).equals(BOTH)


def damaged_zip(path):
    path.write_bytes(b"PK\3\4 and nothing else")


def empty_zip(path):
    zipfile.ZipFile(path, "w").close()


def zip_of_texts(path):
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("thesis/chapter.docx", "x")
        packed.writestr("thesis/map.pdf", "x")


def false_shapefile(path):
    with zipfile.ZipFile(path, "w") as packed:
        for ending in (".shp", ".shx", ".dbf"):
            packed.writestr(f"a{ending}", b"not a shapefile")


def bomb(path):
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed,
        packed.open("a.kml", "w", force_zip64=True) as file,
    ):
        for _ in range(513):
            file.write(bytes(1024**2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (damaged_zip, "it is not a zip file"),
        (empty_zip, "it does not contain a shapefile or another vector file, but nothing"),
        (zip_of_texts, r"it does not contain .*, but thesis/chapter\.docx, thesis/map\.pdf"),
        (false_shapefile, "it is not a shapefile"),
        (bomb, "its files have more than 512 MiB together"),
    ],
)
def test_zips_without_a_shapefile(tmp_path, make, message):
    make(tmp_path / "a.zip")
    with pytest.raises(ValueError, match=message) as caught:
        read_aoi(tmp_path / "a.zip")
    assert "driver" not in str(caught.value).lower()


def test_several_shapefiles_in_a_zip(save, tmp_path):
    path = zipped(tmp_path / "a.zip", *shapefile(save), *shapefile(save, "lakes.shp"))
    with pytest.raises(
        ValueError, match=r"several files with areas \(lakes\.shp, parks\.shp\)|\(parks\.shp, lakes\.shp\)"
    ):
        read_aoi(path)


@pytest.mark.parametrize("packed", [True, False])
def test_a_missing_index(save, tmp_path, packed):
    files = shapefile(save)
    index = next(file for file in files if file.suffix == ".shx")
    path = (
        zipped(tmp_path / "a.zip", *(file for file in files if file != index))
        if packed
        else files[0].with_suffix(".shp")
    )
    index.unlink()
    with pytest.raises(
        ValueError, match=r"parks\.shp has no index \(parks\.shx\); a shapefile consists of several files"
    ):
        read_aoi(path)


@pytest.mark.parametrize("packed", [True, False])
def test_a_missing_reference_system(save, tmp_path, packed):
    """Degrees are read as they are; metres are a mistake that says what to do."""
    files = [file for file in shapefile(save) if file.suffix != ".prj"]
    (files[0].with_suffix(".prj")).unlink()
    path = zipped(tmp_path / "a.zip", *files) if packed else files[0].with_suffix(".shp")
    assert read_aoi(path).equals(BOTH)
    metres = save("m/metres.shp", [box(447000, 186000, 448000, 187000)], crs="EPSG:27700")
    metres.with_suffix(".prj").unlink()
    path = zipped(tmp_path / "m.zip", *metres.parent.glob("metres.*")) if packed else metres
    with pytest.raises(ValueError, match=r"not in degrees.*a shapefile with its \.prj"):
        read_aoi(path)


# -- other formats under an extension ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.kml", "a.gml", "a.gpx", "a.fgb", "a.gpkg", "a.zip", "a.kmz"])
@pytest.mark.parametrize("inside", [False, True])
def test_a_file_that_leads_gdal_on_to_another_is_refused(tmp_path, name, inside):
    (tmp_path / "secret.csv").write_text(f'WKT,text\n"{WHEAT.wkt}",secret\n')
    vrt = (
        f"<OGRVRTDataSource><OGRVRTLayer name='secret'><SrcDataSource>{tmp_path}/secret.csv</SrcDataSource>"
        "<GeometryType>wkbPolygon</GeometryType><GeometryField encoding='WKT' field='WKT'/>"
        "</OGRVRTLayer></OGRVRTDataSource>"
    )
    if inside:
        element = {"a.gml": "FeatureCollection", "a.gpx": "gpx"}.get(name, "kml")
        vrt = f"<!-- x --><{element}>{vrt}</{element}>"
    path = tmp_path / name
    path.write_text(vrt)
    if path.suffix in {".zip", ".kmz"}:
        with zipfile.ZipFile(path, "w") as packed:
            packed.writestr("a.kml", vrt)
    with pytest.raises(ValueError, match=r"it cannot be read: it is not a"):
        read_aoi(path)


# -- areas of a file ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.gpkg", "a.shp", "a.fgb"])
def test_features_are_areas_with_their_properties(save, name):
    areas, left_out = read_areas(save(name))
    assert left_out == 0
    found = {(area.properties["crop"], area.properties["size"]): area.shape for area in areas}
    assert found[("wheat", 12.5)].equals(WHEAT)
    assert found[("rye", 3.0)].equals(RYE)


def test_features_without_a_polygon_are_left_out(save):
    areas, left_out = read_areas(save("a.gpkg", [WHEAT, Point(0, 0)], kind="Unknown"))
    assert (len(areas), left_out) == (1, 1)
