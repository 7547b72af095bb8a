"""STAC items as scenes: fields, footprints, sensors, and which assets are the files."""

import hashlib
import re
from datetime import UTC, datetime

import pytest
from stac_scenes import MAY, read

from sedas_sync.archives.lenient import UnusableError
from sedas_sync.archives.stac.files import with_links
from sedas_sync.archives.stac.items import item_of, scene_of_item
from sedas_sync.archives.stac.multihash import digest_of
from sedas_sync.errors import ArchiveError
from sedas_sync.geometry import Aoi, footprint, footprints, from_bbox
from sedas_sync.model.files import scene_of_file
from sedas_sync.testing import no_warning

# -- items -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("properties", "field"),
    [
        ({"datetime": "0001-01-01T00:00:00+05:00"}, "start"),
        ({"datetime": "2023-05-01T00:00:00Z", "gsd": 10**400}, "resolution"),
        ({"eo:cloud_cover": -5}, "cloud_cover"),
        ({"eo:cloud_cover": 101}, "cloud_cover"),
        ({"sat:absolute_orbit": True}, "orbit"),
    ],
)
def test_impossible_value_is_unknown(properties, field):
    warnings = []
    assert getattr(read(warn=warnings.append, **properties), field) is None
    assert len(set(warnings)) == 1


def test_placeholders_are_unknown_without_a_warning():
    nothing = dict.fromkeys(("sar:instrument_mode", "platform", "grid:code"), "N/A")
    scene = read(**nothing, gsd=None, **{"eo:cloud_cover": -9999, "sar:polarizations": []})
    assert (scene.mode, scene.satellite, scene.tile, scene.cloud_cover, scene.polarisation) == (None,) * 5


def names(*hrefs, patterns=(), **more):
    assets = {f"k{number}": {"href": href, "roles": ["data"], **more} for number, href in enumerate(hrefs)}
    return [asset.name for asset in read(assets, patterns).assets]


def test_item_becomes_a_scene():
    scene = read(
        {
            "vv": {"href": "./vv.tif", "roles": ["data"], "file:size": 3, "file:checksum": "1114" + 40 * "a"},
            "vh": {"href": "https://other.org/x/vh.tif?a=b", "roles": ["data"], "file:size": 4},
            "thumbnail": {"href": "../t.png", "roles": ["thumbnail"]},
        },
        geometry={"type": "Polygon", "coordinates": [[[0, 0, 5], [1, 0, 5], [1, 1, 5], [0, 0, 5]]]},
        **{
            "platform": "SENTINEL-1A", "instruments": ["c-sar"], "sat:orbit_state": "descending",
            "sat:relative_orbit": 51, "sat:absolute_orbit": 53498,
            "sar:polarizations": ["VV", "VH"], "sar:product_type": "GRD",
            "sar:instrument_mode": "IW", "start_datetime": "2023-05-03 10:59:00+00:00", "gsd": 10, "proj:epsg": 32633,
        },
    )  # fmt: skip
    assert (scene.sensor, scene.source_group, scene.product_type, scene.mode) == ("sar", "S1", "GRD", "IW")
    assert (scene.orbit, scene.relative_orbit, scene.orbit_direction) == (53498, 51, "DESCENDING")
    assert (scene.polarisation, scene.resolution, scene.size) == ("VV/VH", 10, 7)
    assert scene.start == datetime(2023, 5, 3, 10, 59, tzinfo=UTC)
    assert footprint(scene.footprint).area == 0.5
    assert [(asset.name, asset.key, asset.url) for asset in scene.assets] == [
        ("vh.tif", "vh", "https://other.org/x/vh.tif?a=b"),
        ("vv.tif", "vv", "https://e.org/a/b/vv.tif"),
    ]
    assert scene.assets[1].digest == "sha1:" + 40 * "a"
    assert scene.thumbnail_url == "https://e.org/a/t.png"
    assert scene.extra["proj:epsg"] == 32633
    assert scene.extra["item"] == "https://e.org/a/b/X.json"


@pytest.mark.parametrize(
    ("geometry", "bounds"),
    [
        ({"type": "MultiPolygon",
          "coordinates": [[[[0, 0], [1, 0], [1, 1], [0, 0]]], [[[5, 5], [6, 5], [6, 6], [5, 5]]]]},
         (0, 0, 6, 6)),
        ({"type": "Polygon", "coordinates": [[[179, 0], [-179, 0], [-179, 1], [179, 1], [179, 0]]]}, (-180, 0, 180, 1)),
        ({"type": "GeometryCollection", "geometries": [
            {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}]}, (0, 0, 1, 1)),
        ({"type": "Point", "coordinates": [3, 4]}, (3, 4, 3, 4)),
        ({"type": "LineString", "coordinates": [[3, 4], [5, 6]]}, (3, 4, 5, 6)),
        ({"type": "MultiPoint", "coordinates": [[3, 4], [5, 6, 7]]}, (3, 4, 5, 6)),
    ],
)  # fmt: skip
def test_footprints_of_every_kind(geometry, bounds):
    assert footprint(read(geometry=geometry).footprint).bounds == bounds


@pytest.mark.parametrize(
    ("bbox", "bounds", "area"),
    [
        ([179, 0, -179, 1], (-180, 0, 180, 1), 2),
        ([-170, -60, 170, 80], (-170, -60, 170, 80), 340 * 140),
        ([-170, -5, 170, 5], (-170, -5, 170, 5), 340 * 10),
        ([-179.95, -89.95, 179.95, 89.95], (-179.95, -89.95, 179.95, 89.95), 359.9 * 179.9),
        ([-180, -90, 0, 180, 90, 100], (-180, -90, 180, 90), 360 * 180),
        ([0, 0, 359, 10], (-180, 0, 180, 10), 3590),
        ([5, 6, 5, 6], (5, 6, 5, 6), 0),
        ([5, 6, 7, 6], (5, 6, 7, 6), 0),
    ],
)
def test_item_without_a_geometry_counts_by_its_box(bbox, bounds, area):
    item = {"id": "X", "geometry": None, "bbox": bbox, "properties": {}, "assets": {"a": {"href": "a.tif"}}}
    wkt = scene_of_item(item, "https://e.org/", (), no_warning).footprint
    for shape in (footprint(wkt), *footprints([wkt])):
        assert shape.bounds == bounds
        assert shape.area == pytest.approx(area)


def test_scenes_with_points_and_boxes_match_the_areas_that_they_meet(server, archive):
    """A search of the API, and the manifest's rules."""
    server.add("point")
    server.add("line")
    server.add("world")
    server.add("elsewhere")
    for item, geometry, bbox in zip(
        server.items[-4:],
        (
            {"type": "Point", "coordinates": [-1.31, 51.57]},
            {"type": "LineString", "coordinates": [[-2, 51.57], [0, 51.57]]},
            None,
            {"type": "Point", "coordinates": [10, 51.57]},
        ),
        ([-1.31, 51.57, -1.31, 51.57], [-2, 51.57, 0, 51.57], [-179.95, -89.95, 179.95, 89.95], [10, 51.57, 10, 51.57]),
        strict=True,
    ):
        item["geometry"], item["bbox"] = geometry, bbox
    aoi = Aoi(from_bbox(-1.4, 51.5, -1.2, 51.6))
    scenes = list(archive.find(MAY, warn=no_warning))
    met = aoi.intersects_each(footprints([scene.footprint for scene in scenes]))
    assert {scene.id for scene, is_met in zip(scenes, met, strict=True) if is_met} == {"point", "line", "world"}


@pytest.mark.parametrize(
    ("assets", "patterns", "keys"),
    [
        ({"B04": ["data"], "visual": ["visual"], "thumb": ["thumbnail"]}, (), ["B04"]),
        (dict.fromkeys(("B04", "visual", "thumbnail", "metadata", "rendered_preview")), (), ["B04", "visual"]),
        ({"B04": [], "info": ["metadata"]}, (), ["B04"]),
        ({"B04": ["data"], "B8A": ["data"], "visual": ["visual"]}, ("visual", "B0*"), ["B04", "visual"]),
        ({"B04": ["data"], "thumbnail": ["thumbnail"]}, ("thumb*",), ["thumbnail"]),
        ({"B04": ["data"], "b04": ["data"]}, ("B04",), ["B04"]),
    ],
)  # fmt: skip
def test_selected_assets(assets, patterns, keys):
    given = {key: {"href": f"{key}-{n}.tif", "roles": roles} for n, (key, roles) in enumerate(assets.items())}
    assert sorted(asset.key for asset in read(given, patterns).assets) == keys


def test_item_without_selected_assets_is_skipped():
    scene = read(patterns=("B99",))
    assert scene.never
    assert scene.offline == "it has none of the assets B99"


TWINS = [
    # A JPEG 2000 beside a GeoTIFF, as in Earth Search.
    ({"red": "https://e.org/B04.tif image/tiff", "red-jp2": "https://e.org/B04.jp2 image/jp2"}, ["red"]),
    ({"red": "https://e.org/B04.tif image/tiff", "red-jp2": "s3://e/B04.jp2 image/jp2"}, ["red"]),
    ({"B04_cog": "https://e.org/c/B04.tif image/tiff", "B04": "https://e.org/B04.jp2 image/jp2"}, ["B04_cog"]),
    # The same file at two places.
    ({"red": "s3://e/B04.tif image/tiff", "red_https": "https://e.org/B04.tif image/tiff"}, ["red_https"]),
    ({"s3-red": "s3://e/B04.tif image/tiff", "red": "https://e.org/B04.tif image/tiff"}, ["red"]),
    # A zip of all beside its parts, as in the Copernicus Data Space.
    ({"B02": "https://e.org/B02.jp2 image/jp2", "Product": "https://e.org/$value application/zip"}, ["Product"]),
    ({"B02": "https://e.org/B02.jp2 image/jp2", "product": "s3://e/all.zip application/zip"}, ["B02"]),
    ({"B4": "https://e.org/B4.tif image/tiff", "bundle": "https://e.org/LC08.tar application/x-tar"}, ["bundle"]),
    # No twins.
    ({"B02_10m": "https://e.org/a.jp2 image/jp2", "B02_20m": "https://e.org/b.jp2 image/jp2"}, ["B02_10m", "B02_20m"]),
    ({"mask": "https://e.org/mask.zip application/zip", "B02": "https://e.org/B02.tif image/tiff"}, ["B02", "mask"]),
]


def linked(assets, **more):
    pairs = {key: text.split(" ") for key, text in assets.items()}
    return {key: {"href": href, "type": kind, "roles": ["data"], **more} for key, (href, kind) in pairs.items()}


@pytest.mark.parametrize(("assets", "keys"), TWINS)
def test_one_of_twins_is_taken(assets, keys):
    ignored = []
    assert [asset.key for asset in read(linked(assets), warn=ignored.append).assets] == keys
    both = read(linked(assets), patterns=("*",), warn=ignored.append).assets
    assert {asset.key for asset in both} == {key for key, text in assets.items() if text.startswith("https")}


def test_twins_by_title_and_bands_and_by_file():
    bands = {"title": "Red", "eo:bands": [{"name": "B04"}]}
    formats = {"a": "https://e.org/4.jp2 image/jp2", "b": "https://e.org/4.tif image/tiff"}
    assert [one.key for one in read(linked(formats, **bands)).assets] == ["b"]
    sums = {"file:checksum": "1114" + 40 * "a"}
    same = {"a": "https://e.org/x/4.tif image/tiff", "b": "https://f.org/y/4.tif image/tiff"}
    assert [one.key for one in read(linked(same, **sums)).assets] == ["a"]
    other = {"a": "https://e.org/x/4.tif image/tiff", "b": "https://f.org/y/5.tif image/tiff"}
    assert [one.key for one in read(linked(other, **sums)).assets] == ["a", "b"], "two empty masks are not twins"


def test_asset_that_cannot_be_downloaded_beside_others_is_left_out_with_a_warning():
    warnings = []
    scene = read(
        linked({"red": "https://e.org/4.tif image/tiff", "snow": "s3://e/SNW.jp2 image/jp2"}), warn=warnings.append
    )
    assert [asset.key for asset in scene.assets] == ["red"]
    problem = "the address is s3://; set `s3 = {}` in the archive's table"
    assert warnings == [f"its asset snow cannot be downloaded and is left out: {problem}"]


@pytest.mark.parametrize(
    ("asset", "name"),
    [
        ({"href": "https://e.org/Products(1)/$value", "type": "application/zip"}, "k.zip"),
        ({"href": "https://e.org/Products(1)/$value", "title": "S2A.SAFE.zip"}, "S2A.SAFE.zip"),
        ({"href": "https://e.org/Products(1)/$value", "title": "The whole product, v1.zip"}, "k"),
        ({"href": "https://e.org/1/$value", "title": "a.zip", "file:local_path": "S2A.SAFE/b.jp2"}, "S2A.SAFE/b.jp2"),
        ({"href": "https://e.org/download/28c4c7e921615d", "type": "image/tiff; application=geotiff"}, "k.tif"),
        ({"href": "https://e.org/download/1.5"}, "k"),
        ({"href": "s3://e/x/B04.jp2", "alternate": {"https": {"href": "https://e.org/$value"}}}, "B04.jp2"),
    ],
)
def test_files_without_a_name_in_their_link(asset, name):
    assert [file.name for file in read({"k": {"roles": ["data"], **asset}}).assets] == [name]


def test_key_with_an_ending_names_a_file():
    """As at CNES GEODES, where links end in a hash and keys are paths."""
    key = "2025/S2A/S2A_MSIL1C_20250402T175741.zip"
    assert [file.name for file in read({key: {"roles": ["data"], "href": "https://e.org/28c4"}}).assets] == [
        "S2A_MSIL1C_20250402T175741.zip"
    ]


SENSORS = [
    ({"instruments": ["msi"], "sar:instrument_mode": "INS-NOBS"}, "optical"),
    ({"instruments": ["C-SAR"], "eo:cloud_cover": 0, "eo:bands": [{"name": "vv"}]}, "sar"),
    ({"instruments": ["OLI", "TIRS"], "sar:polarizations": None}, "optical"),
    ({"instrument": "PALSAR-2", "eo:cloud_cover": None}, "sar"),
    ({"instruments": ["sral"], "eo:cloud_cover": None}, None),
    ({"instruments": ["c-sar", "msi"], "sar:instrument_mode": "IW"}, None),
    ({"constellation": "Sentinel-1", "eo:cloud_cover": 3}, "sar"),
    ({"constellation": "Umbra", "platform": "Umbra-08"}, "sar"),
    ({"platform": "LANDSAT_8", "sar:instrument_mode": "n/a"}, "optical"),
    ({"platform": "S2A"}, "optical"),
    ({"product:type": "GRD"}, "sar"),
    ({"product:type": "S2MSI1C", "sar:looks_range": 0}, "optical"),
    ({"sar:instrument_mode": "SPOTLIGHT", "eo:cloud_cover": None}, "sar"),
    ({"sar:instrument_mode": None, "sar:polarizations": [], "eo:cloud_cover": 20}, "optical"),
    ({"sar:instrument_mode": "", "eo:cloud_cover": -9999}, None),
    ({"sar:instrument_mode": "IW", "eo:cloud_cover": 20}, None),
]


@pytest.mark.parametrize(("properties", "sensor"), SENSORS)
def test_instrument_then_satellite_then_product_then_fields_decide_on_the_sensor(properties, sensor):
    assert read(**properties).sensor == sensor


@pytest.mark.parametrize(("code", "tile"), [("MGRS-30UXC", "30UXC"), ("T14ULD", "14ULD"), ("WRS2-044033", None)])
def test_tile(code, tile):
    assert read(**{"grid:code": code}).tile == tile


def test_file_names_are_safe_and_unique():
    assert names("a/B04.tif", "b/B04.tif", "c/b04.TIF") == ["k0-B04.tif", "k1-B04.tif", "k2-b04.TIF"]
    assert names("a/..%2F..%2Fetc%2Fpasswd") == [name for name in names("a/..%2F..%2Fetc%2Fpasswd") if "/" not in name]
    assert not names("a/.hidden")[0].startswith(".")
    for href in ("a/S2:B04.tif", f"{'n' * 300}.tif", "COM1.tif", "tab\t.tif"):
        (name,) = names(href)
        assert re.fullmatch(r"[A-Za-z0-9_]+~[0-9a-f]{12}\.tif", name)
        assert len(name) <= 235
    assert len(set(names("a/S2:B04.tif", "a/S2%3FB04.tif", "a/S2_B04.tif", "a/S2:B04.jp2"))) == 4
    assert names("a/") == ["k0"]
    assert names("https://x.org/one.tif?sig=1", "https://x.org/one.tif?sig=1") == ["one.tif"]
    assert names("x.org/same/?f=tif&b=1", "x.org/same/?f=tif&b=2") == ["k0", "k1"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("GRANULE/IMG_DATA/T30.jp2", "GRANULE/IMG_DATA/T30.jp2"), ("./a/b.xml", "a/b.xml"), ("../up.tif", "B04.tif"),
        ("/abs.tif", "B04.tif"), ("a//b.tif", "B04.tif"), ("a/.git/b", "B04.tif"), ("CON", "B04.tif"), (3, "B04.tif"),
    ],
)  # fmt: skip
def test_local_path_of_the_catalogue_is_used_if_safe(path, name):
    assert names("x/B04.tif", **{"file:local_path": path}) == [name]


def test_file_and_a_folder_do_not_share_a_name():
    assets = {
        "a": {"href": "x/a", "roles": ["data"], "file:local_path": "data"},
        "b": {"href": "x/b", "roles": ["data"], "file:local_path": "data/b"},
    }
    assert [asset.name for asset in read(assets).assets] == ["a-data", "b-b"]


def test_file_name_does_not_depend_on_other_assets():
    assets = {key: {"href": f"{key}/band.tif", "roles": ["data"]} for key in ("B04", "B08")}
    assert [asset.name for asset in read(assets, ("B04",)).assets] == ["B04-band.tif"]


@pytest.mark.parametrize(
    ("properties", "more", "why"),
    [
        ({"order:status": "orderable"}, {}, "must be ordered"),
        ({"order:status": "pending"}, {}, "its order is pending"),
        ({"order:status": "succeeded"}, {}, None),
        ({}, {"order:status": "shipping"}, "being delivered"),
        ({"order:status": "orderable"}, {"order:status": "succeeded"}, None),
        ({"storage:tier": "Glacier Deep Archive", "storage:platform": "AWS"}, {}, "cold storage"),
        ({"storage:tier": "Archive", "storage:platform": "GCP"}, {}, None),
        ({"storage:tier": "Glacier Instant Retrieval"}, {}, None),
        ({}, {"storage:tier": "archive"}, "cold storage"),
        ({"storage:tier": "Hot"}, {}, None),
    ],
)  # fmt: skip
def test_unavailable_files_make_a_scene_offline(properties, more, why):
    scene = read({"B04": {"href": "a.tif", "roles": ["data"], **more}}, **properties)
    assert scene.online == (why is None)
    assert why is None or why in scene.offline


def test_http_link_is_preferred_to_a_bucket():
    asset = {"href": "s3://eodata/a.tif", "roles": ["data"], "alternate": {"https": {"href": "https://e.org/a.tif"}}}
    assert read({"a": asset}).assets[0].url == "https://e.org/a.tif"


def test_link_that_is_not_http_is_not_located(archive):
    scene = read({"a": {"href": "s3://eodata/a.tif", "roles": ["data"]}})
    with pytest.raises(ArchiveError, match="X is not online: its asset a cannot be downloaded: the address is s3://"):
        archive.locate(scene_of_file(scene, scene.files[0]))


@pytest.mark.parametrize(
    ("feature", "what"),
    [
        (None, "is not an object"),
        ({"id": " "}, "has no id"),
        ({"id": 3}, "has no id"),
        ({"id": "X"}, "properties are not an object"),
    ],
)
def test_what_is_not_an_item(feature, what):
    with pytest.raises(UnusableError, match=what):
        item_of(feature)


@pytest.mark.parametrize(
    ("multihash", "digest"),
    [
        ("1220" + hashlib.sha256(b"x").hexdigest(), "sha256:" + hashlib.sha256(b"x").hexdigest()),
        ("90e40210" + hashlib.blake2b(b"x", digest_size=16).hexdigest(),
         "blake2b:" + hashlib.blake2b(b"x", digest_size=16).hexdigest()),
        ("1620" + hashlib.sha3_256(b"x").hexdigest(), "sha3_256:" + hashlib.sha3_256(b"x").hexdigest()),
        ("DD3CC7ED9A831BFE915C87E45638C48C", "dd3cc7ed9a831bfe915c87e45638c48c"), (32 * "x", None),
        ("d50110" + hashlib.md5(b"x").hexdigest(), "md5:" + hashlib.md5(b"x").hexdigest()),
        ("1220" + 62 * "0", None), ("1221" + 64 * "0", None), ("ff", None), ("", None), (None, None), (7, None),
        ("not hex", None), ("7f20" + 64 * "0", None),
    ],
)  # fmt: skip
def test_multihashes(multihash, digest):
    assert digest_of(multihash) == digest


def test_beginnings_of_links_are_rewritten_the_longest_first():
    item = item_of(
        {
            "id": "S",
            "properties": {},
            "assets": {
                "red": {"href": "s3://bucket/a/red.tif"},
                "nir": {
                    "href": "s3://bucket/nir.tif",
                    "alternate": {"s3": {"href": "s3://bucket/a/nir.tif"}, "odd": 3},
                },
                "blue": {"href": "https://e.org/blue.tif"},
                "odd": 5,
            },
        }
    )
    rewrite = {"s3://bucket/": "https://public.example/", "s3://bucket/a/": "https://other.example/"}
    found = with_links(item, rewrite)["assets"]
    assert [found[key]["href"] for key in ("red", "nir", "blue")] == [
        "https://other.example/red.tif", "https://public.example/nir.tif", "https://e.org/blue.tif",
    ]  # fmt: skip
    assert found["nir"]["alternate"] == {"s3": {"href": "https://other.example/nir.tif"}, "odd": 3}
    assert item["assets"]["red"]["href"] == "s3://bucket/a/red.tif"
    assert with_links(item, {}) is item
