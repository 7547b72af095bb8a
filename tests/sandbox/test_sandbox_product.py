"""The zips of the sandbox: valid, with the right checksums, laid out like real ones, the same everywhere."""

import hashlib
import io
import json
import subprocess
import sys
import zipfile
import zlib
from dataclasses import replace
from importlib.resources import files
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageChops
from sandbox_bands import codestreams
from sandbox_bands import pixels as pixels_of
from sandbox_catalogue import SIDE, pictures
from sandbox_client import HARWELL, NOW

from sedas_sync.sandbox import SentinelCatalogue, make_row
from sedas_sync.sandbox.bands import BANDS, FILE, stage_of
from sedas_sync.sandbox.product import Spec, digest, made, picture, spec_of
from sedas_sync.sandbox.search import parse_search

CATALOGUE = SentinelCatalogue()
SEARCH = parse_search(
    {
        "sensorFilters": {"type": "All"},
        "aoiWKT": HARWELL,
        "start": "2019-04-30T00:00:00Z",
        "stop": "2019-05-12T23:59:59Z",
    }
)
HITS = CATALOGUE.find(SEARCH, NOW)


def of(kind):
    return CATALOGUE.spec(next(hit for hit in HITS if hit.ref.frame.kind == kind))


def opened(spec):
    return zipfile.ZipFile(io.BytesIO(made(spec)[0]))


@pytest.mark.parametrize("hit", HITS, ids=lambda hit: hit.id)
def test_zips_are_sound_and_their_digest_is_in_the_catalogue(hit):
    data, said = made(CATALOGUE.spec(hit))
    [row] = map(json.loads, CATALOGUE.rows([hit], None))
    assert row["vendorSpecific"]["Filehash"] == said == hashlib.md5(data).hexdigest() == digest(CATALOGUE.spec(hit))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert {name.split("/")[0] for name in archive.namelist()} == {f"{hit.id}.SAFE"}
        assert len(set(archive.namelist())) == len(archive.namelist())
    assert 20_000 < len(data) < 6_000_000


@pytest.mark.parametrize(("kind", "rasters"), [("GRD", 2), ("SLC", 6)])
def test_radar_products_are_laid_out_as_sentinel_1(kind, rasters):
    spec = of(kind)
    with opened(spec) as archive:
        names = [name.removeprefix(f"{spec.id}.SAFE/") for name in archive.namelist()]
        measured = [name for name in names if name.startswith("measurement/") and name.endswith(".tiff")]
        assert names[0] == "manifest.safe"
        assert len(measured) == rasters
        assert {name.split("-")[3] for name in measured} == {"vv", "vh"}
        for name in measured:
            assert f"annotation/{name[12:-5]}.xml" in names
            with Image.open(io.BytesIO(archive.read(f"{spec.id}.SAFE/{name}"))) as raster:
                raster.load()
                assert raster.mode.startswith("I;16")


def test_optical_products_are_laid_out_as_sentinel_2():
    spec = of("L1C")
    with opened(spec) as archive:
        names = [name.removeprefix(f"{spec.id}.SAFE/") for name in archive.namelist()]
        bands = [name for name in names if "/IMG_DATA/" in name]
        assert {name[-7:-4] for name in bands} == {
            *(f"B{number:02d}" for number in range(1, 13)),
            "B8A",
            "TCI",
        }
        assert all(name.startswith(f"GRANULE/L1C_T30UXC_A{spec.orbit:06d}_") for name in bands)
        assert "MTD_MSIL1C.xml" in names
        assert archive.read(f"{spec.id}.SAFE/{bands[0]}")[4:8] == b"jP  "


@pytest.mark.parametrize("baseline", ["0207", "0509"])
def test_the_bands_are_pictures_of_fields_in_the_place_of_the_tile(baseline):
    """GDAL reads the same: see the how-to for odc-stac, which a test runs."""
    spec = of("L1C")
    spec = replace(spec, id=spec.id.replace("_N0207_", f"_N{baseline}_"))
    month = int(spec.start[5:7])
    with opened(spec) as archive:
        (metadata,) = [name for name in archive.namelist() if name.endswith("MTD_TL.xml")]
        stated = ET.fromstring(archive.read(metadata)).find("Geometric_Info/Tile_Geocoding")
        assert stated.findtext("HORIZONTAL_CS_CODE") == "EPSG:32630"
        for name in archive.namelist():
            if not name.endswith(".jp2"):
                continue
            data, expected = archive.read(name), pixels_of(name[-7:-4], stage_of(month), offset=baseline == "0509")
            with Image.open(io.BytesIO(data)) as image:
                assert np.array_equal(np.asarray(image), expected), name
            assert b"EPSG::32630" in data
            size = stated.find(f"Size[@resolution='{BANDS[name[-7:-4]]}']")
            assert int(size.findtext("NROWS")) == len(expected)


def test_fields_are_greenest_in_summer():
    def greenness(month):
        near, red = (pixels_of(band, stage_of(month)).astype(float) for band in ("B08", "B04"))
        return ((near - red) / (near + red)).max()

    assert [month for month in range(1, 13) if greenness(month) == max(map(greenness, range(1, 13)))] == [6, 7]


def test_the_bands_are_those_that_the_script_makes():
    """Another version of the codec may write other bytes, but the same pixels."""
    with zipfile.ZipFile(files("sedas_sync.sandbox").joinpath("data", FILE)) as shipped:
        made_now = dict(codestreams())
        assert shipped.namelist() == [*made_now]
        for name, coded in made_now.items():
            was, now = (np.asarray(Image.open(io.BytesIO(data))) for data in (shipped.read(name), coded))
            assert np.array_equal(was, now), name


def test_a_tile_that_the_grid_does_not_have_has_bands_without_coordinates():
    with opened(Spec(id="S2A_99XXX", sensor="Optical", tile="99XXX")) as archive:
        names = [name for name in archive.namelist() if name.endswith(".jp2")]
        assert len(names) == len(BANDS)
        assert not any(b"EPSG" in archive.read(name) for name in names)


@pytest.mark.parametrize(
    ("kind", "newer", "checksum"),
    [("GRD", False, "MD5"), ("SLC", False, "MD5"), ("L1C", False, "MD5"), ("L1C", True, "SHA3-256")],
)
def test_metadata_is_xml_and_the_manifest_lists_what_is_there(kind, newer, checksum):
    spec = of(kind)
    spec = replace(spec, id=spec.id.replace("_N0207_", "_N0500_")) if newer else spec
    with opened(spec) as archive:
        for name in archive.namelist():
            if name.endswith((".xml", ".safe")):
                ET.fromstring(archive.read(name))
        manifest = ET.fromstring(archive.read(f"{spec.id}.SAFE/manifest.safe"))
        listed = {}
        for stream in manifest.iter("byteStream"):
            path = stream.find("fileLocation").get("href").removeprefix("./")
            assert stream.find("checksum").get("checksumName") == checksum
            listed[f"{spec.id}.SAFE/{path}"] = (int(stream.get("size")), stream.find("checksum").text)
        algorithm = {"MD5": "md5", "SHA3-256": "sha3_256"}[checksum]
        there = {
            name: (len(archive.read(name)), hashlib.new(algorithm, archive.read(name)).hexdigest())
            for name in archive.namelist()
        }
        del there[f"{spec.id}.SAFE/manifest.safe"]
        assert listed == there


def test_sizes_range_from_kilobytes_to_megabytes():
    sizes = [len(made(Spec(id=f"S2A_{number}", sensor="Optical"))[0]) for number in range(700)]
    assert min(sizes) > 18_000
    assert sorted(sizes)[350] < 60_000
    assert max(sizes) > 1_000_000
    assert 1 <= sum(size > 1_000_000 for size in sizes) <= 10


def test_the_bytes_are_the_same_everywhere():
    """A change here changes the checksums of every mirror of the sandbox."""
    said = {kind: made(of(kind))[1] for kind in ("GRD", "SLC", "L1C")}
    assert said == FIXED
    code = f"from sedas_sync.sandbox.product import Spec, made;print(made({of('L1C')!r})[1])"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert other.strip() == FIXED["L1C"]


FIXED = {
    "GRD": "13bb39e91b03436f7b74221e10009f9f",
    "L1C": "33a28aab242ff42ffc6590125579c673",
    "SLC": "22aab91dee1db592e57dc18a108ff3cf",
}


def test_nothing_is_deflated():
    with opened(of("GRD")) as archive:
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


def pixels(data):
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert (image.format, image.mode) == ("JPEG", "RGB")
        return image


def test_the_picture_of_a_scene_is_in_its_zip():
    with opened(of("L1C")) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("-ql.jpg")]
        data = archive.read(name)
    assert data == picture(of("L1C"))
    assert pixels(data).size == (SIDE, SIDE)
    assert max(pixels(data).getpixel((2, 2))) < 40  # outside of the footprint


def test_pictures_are_the_whiter_the_more_cloud_there_is():
    images = [pixels(picture(Spec(id="x", sensor="Optical", cloud=cloud))) for cloud in (None, 25.0, 50.0, 75.0, 100.0)]
    shades = [image.convert("L").resize((1, 1)).getpixel((0, 0)) for image in images]
    assert shades == sorted(shades)
    assert shades[-1] - shades[0] > 40


def test_pictures_of_radar_are_grey_and_optical_ones_are_green():
    red, green, blue = pixels(picture(Spec(id="x", sensor="Optical"))).resize((1, 1)).getpixel((0, 0))
    assert green > red > blue
    red, green, blue = pixels(picture(Spec(id="x", sensor="SAR"))).resize((1, 1)).getpixel((0, 0))
    assert max(red, green, blue) - min(red, green, blue) <= 4


@given(cloud=st.none() | st.floats(-10, 110), sensor=st.sampled_from(["SAR", "Optical"]))
def test_every_scene_has_a_picture(cloud, sensor):
    assert picture(Spec(id="x", sensor=sensor, cloud=cloud))[:2] == b"\xff\xd8"


def test_the_pictures_are_those_that_the_script_makes():
    """Another version of the JPEG library may write other bytes, but the same picture."""
    for name, data in pictures():
        shipped = pixels(files("sedas_sync.sandbox").joinpath("data", name).read_bytes())
        difference = ImageChops.difference(shipped, pixels(data)).convert("L")
        assert difference.resize((1, 1)).getpixel((0, 0)) <= 3, name


@given(
    st.fixed_dictionaries(
        {},
        optional={
            key: st.none() | st.text(max_size=80) | st.integers() | st.floats() | st.lists(st.integers())
            for key in (
                "supplierId",
                "start",
                "stop",
                "coordinatesWKT",
                "orbit",
                "polarisation",
                "cloudCoveragePercent",
                "sensorType",
                "productType",
            )
        },
    ),
    st.booleans(),
)
def test_a_product_can_be_made_from_any_row(row, sar):
    spec = replace(spec_of(row), sensor="SAR" if sar else "Optical")
    with zipfile.ZipFile(io.BytesIO(made(spec)[0])) as archive:
        assert archive.testzip() is None
        for name in archive.namelist():
            assert ".." not in name.split("/")
            assert not name.startswith("/")


def test_names_in_a_zip_are_safe_for_any_id():
    with opened(spec_of(make_row("../../etc/passwd", "2019-01-01T00:00:00Z"))) as archive:
        assert all(name.startswith("_.._etc_passwd.SAFE/") for name in archive.namelist())


@pytest.mark.parametrize(
    "start", ["2107-99-99T99:99:99Z", "2019-02-30T00:00:00Z", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z"]
)
def test_a_product_can_be_made_of_any_date(start):
    assert opened(spec_of(make_row("x", start))).testzip() is None


def test_crcs_are_true():
    with opened(of("SLC")) as archive:
        for info in archive.infolist():
            assert zlib.crc32(archive.read(info)) == info.CRC
