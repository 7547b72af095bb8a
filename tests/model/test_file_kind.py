"""What kind of file a product is: Content-Disposition, media type, name and first bytes, in this order of trust."""

import pytest

from sedas_sync.model.file_kind import (
    NotAProductError,
    ending_of,
    ending_on_disk,
    kind_of,
    with_ending,
    without_endings,
)

ZIP, NETCDF, HDF = b"PK\x03\x04....", b"CDF\x01....", b"\x89HDF\r\n\x1a\n"
S5P = "S5P_OFFL_L1B_RA_BD1_20241203T104901_20241203T123031_37002_03_020100_20241204T083504"
S2 = "S2A_MSIL1C_20190501T110621_N0207_R137_T30UXC_20190501T132117"
EOF = "S1A_OPER_AUX_POEORB_OPOD_20210301T130653_V20140406T225944_20140408T005944.EOF"
OCTETS = "application/octet-stream"


def named(name):
    return f'attachment; filename="{name}"'


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        (f"{S5P}.nc", ".nc"), (EOF, ".EOF"), ("LS08_OLI_GTC.TIFF", ".TIFF"), ("LC08.tar", ".tar"), ("X.tgz", ".tgz"),
        ("X.tar.gz", ".tar.gz"), (f"{S2}.SAFE", ""), ("S3A_OL_1_EFR.SEN3", ""), ("Copernicus_DSM_10.DEM", ""),
        (S5P, ""), ("Landsat_mosaic_V1.0.1", ""), (".nc", ""),
    ],
)  # fmt: skip
def test_names_show_which_file_a_product_is(name, ending):
    assert ending_of(name) == ending


@pytest.mark.parametrize("ending", [".SAFE", ".SAFE.zip", ".SEN3", ".nc", ".EOF", ".DEM", ".zip", ".tgz"])
def test_one_product_with_and_without_its_ending(ending):
    assert without_endings(f"{S2}{ending}") == S2
    assert without_endings(ending) == ending


@pytest.mark.parametrize(
    ("disposition", "media_type", "name", "first", "kind"),
    [
        # Content-Disposition is trusted most.
        (named(f"{S5P}.nc"), "application/zip", S5P, HDF, ".nc"),
        (named(f"{S2}.SAFE.zip"), OCTETS, S2, ZIP, ".zip"),
        (named("/eodata/X.tar"), None, "X", b"....", ".tar"),
        ("attachment; filename*=UTF-8''X%20Y.tgz", None, "X Y", b"....", ".tgz"),
        (named("X.KEA"), OCTETS, "X", b"....", ".KEA"),
        # Then the media type; the ending of the catalogue's name stays if it is of the same kind.
        (None, "application/x-netcdf; version=3", S5P, HDF, ".nc"),
        (None, "image/tiff; application=geotiff", "LS08.TIFF", b"II*\x00", ".TIFF"),
        (None, "application/zip", f"{S5P}.nc", ZIP, ".zip"),
        (named(f"{S2}.SAFE"), "application/zip", S2, ZIP, ".zip"),
        # Then the name.
        (None, OCTETS, EOF, b'<?xml version="1.0"?><Earth_Explorer_File>', ".EOF"),
        (None, "application/xml", EOF, b'<?xml version="1.0"?><Earth_Explorer_File>', ".EOF"),
        (None, None, f"{S5P}.nc", b"....", ".nc"),
        # Then the first bytes.
        (None, OCTETS, S2, ZIP, ".zip"),
        (None, OCTETS, S5P, NETCDF, ".nc"),
        (None, None, S5P, b"\x1f\x8b\x08", ".gz"),
        (None, "text/plain", S5P, NETCDF, ".nc"),
        (None, None, "X", b"\0" * 257 + b"ustar\x0000", ".tar"),
        # The server calls the file by the name of the product, which has no ending.
        (named("S1A_OPER_AUX_GNSSRD"), OCTETS, "S1A_OPER_AUX_GNSSRD", b"G01 20", ""),
        (None, OCTETS, S2, b"G01 20", None),
    ],
)
def test_the_order_of_trust(disposition, media_type, name, first, kind):
    assert kind_of(disposition=disposition, media_type=media_type, name=name, first=first) == kind


@pytest.mark.parametrize(
    ("disposition", "media_type", "first"),
    [
        (None, "text/html", b"Please log in"),
        (None, OCTETS, b"<!DOCTYPE html><title>Log in</title>"),
        (None, OCTETS, b"\xef\xbb\xbf \n<HTML lang=en>"),
        (None, "application/zip", b'<?xml version="1.0"?>\n<!-- portal --><html xmlns="...">'),
        (named("X.nc"), OCTETS, b"<html>"),
        (named("login.html"), OCTETS, b"...."),
        (None, "application/json", b'{"detail": "Not Found"}'),
        (None, "text/plain", b"Not Found"),
        (None, "application/xml", b"<Error><Code>NoSuchKey</Code></Error>"),
    ],
)
def test_a_page_is_never_a_product(disposition, media_type, first):
    with pytest.raises(NotAProductError):
        kind_of(disposition=disposition, media_type=media_type, name="X.nc", first=first)


@pytest.mark.parametrize("name", ["B04.tif", "X.nc", "X.tar.gz", "browse.png", "cloud.laz", "X.hdf"])
@pytest.mark.parametrize(
    "first", [b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code>', b"<Error>", b'{"message": 1}']
)
@pytest.mark.parametrize("media_type", [None, OCTETS, "binary/octet-stream", "image/tiff"])
def test_the_text_of_an_error_is_no_binary_file(name, first, media_type):
    with pytest.raises(NotAProductError):
        kind_of(disposition=None, media_type=media_type, name=name, first=first)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("manifest.safe", None),
        ("X.xml", ".xml"),
        ("X.EOF", ".EOF"),
        ("doc.kml", None),
        ("item.json", None),
        ("tiles", None),
        ("X.svg", None),
    ],
)
@pytest.mark.parametrize("first", [b'<?xml version="1.0"?><a/>', b'{"a": 1}'])
def test_a_file_that_is_a_text_may_begin_like_one(name, kind, first):
    assert kind_of(disposition=None, media_type=OCTETS, name=name, first=first) == kind


@pytest.mark.parametrize("name", ["X.prj", "X.tfw", "X.met"])
def test_small_files_beside_an_image_are_plain_texts(name):
    found = kind_of(disposition=None, media_type="text/plain; charset=utf-8", name=name, first=b"10.0")
    assert found is None, "its name has its kind, which is none of a product"


@pytest.mark.parametrize("name", ["X", "X.dat", "X.xml", f"{S2}.SAFE"])
@pytest.mark.parametrize("media_type", [None, OCTETS, "application/xml"])
def test_the_error_of_a_bucket_is_nothing_else(name, media_type):
    with pytest.raises(NotAProductError):
        kind_of(disposition=None, media_type=media_type, name=name, first=b'<?xml version="1.0"?>\n<Error><Code>')


def test_endings_in_the_mirror():
    assert with_ending("2019/X.zip", ".nc") == "2019/X.nc"
    assert ending_on_disk("2019/X.nc", "2019/X") == ".nc"
    assert ending_on_disk("old/X.KEA", "new/X") == ".KEA"
    assert ending_on_disk("old/X", "new/X") == ""
    assert ending_on_disk("old/Y.EOF", "new/X") == ".EOF"
    assert ending_on_disk(".sedas-sync/partial/Y.moving", "new/X") is None
