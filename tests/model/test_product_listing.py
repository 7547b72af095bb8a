"""The lists of files in products, as they are and as they should not be."""

import hashlib
import io
import zipfile

import pytest

from sedas_sync.model import product_listing
from sedas_sync.model.product_listing import read_listing
from sedas_sync.model.scene import RemoteFile
from sedas_sync.sandbox.product import Spec, made

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'


def listing(*streams, more="", head=HEAD):
    """Return a list of files in the form of the Sentinels."""
    return (
        f'{head}<xfdu:XFDU xmlns:xfdu="urn:ccsds:schema:xfdu:1" xmlns:safe="http://www.esa.int/safe/sentinel/1.1"'
        f' xmlns:gml="http://www.opengis.net/gml">{more}<dataObjectSection>{"".join(streams)}</dataObjectSection>'
        "</xfdu:XFDU>"
    ).encode()


def stream(href, size="3", checksum="900150983cd24fb0d6963f7d28e17f72", name="MD5"):
    proof = f'<checksum checksumName="{name}">{checksum}</checksum>' if checksum else ""
    return (
        f'<dataObject ID="a"><byteStream size="{size}"><fileLocation locatorType="URL" href="{href}"/>{proof}'
        "</byteStream></dataObject>"
    )


@pytest.mark.parametrize(
    ("scene_id", "sensor"),
    [
        ("S1B_IW_GRDH_1SDV_20190528T105030_20190528T105055_016443_01EF3E_5E4F", "SAR"),
        ("S2A_MSIL1C_20190506T110621_N0207_R137_T30UXC_20190506T131402", "Optical"),
        ("S2A_MSIL1C_20190506T110621_N0500_R137_T30UXC_20230506T131402", "Optical"),
    ],
)
def test_products_of_the_sandbox_have_true_lists(scene_id, sensor):
    footprint = "POLYGON ((-1.5 51, -1 51, -1 52, -1.5 51))"
    with zipfile.ZipFile(io.BytesIO(made(Spec(id=scene_id, sensor=sensor, footprint=footprint))[0])) as archive:
        content = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    found = read_listing(content.pop("manifest.safe"))
    assert {file.name for file in found.files} == content.keys()
    for file in found.files:
        algorithm, _, value = file.digest.partition(":")
        assert algorithm == ("sha3_256" if "_N0500_" in scene_id else "md5")
        assert hashlib.new(algorithm, content[file.name]).hexdigest() == value
        assert file.size == len(content[file.name])
    assert found.footprint == (((-1.5, 51), (-1, 51), (-1, 52), (-1.5, 51)),)


def test_names_sizes_and_checksums_in_every_spelling():
    found = read_listing(
        listing(
            stream("./a/b.xml"),
            stream("c.jp2", name="SHA3-256", checksum=" ABCD\n"),
            stream("d", name="SHA-256", checksum="ef"),
            stream("e", checksum="", size="many"),
            stream("manifest.safe"),
            stream("c.jp2", name="SHA3-256", checksum="abcd"),
            more='<metadataReference href="./support/s1.xsd"/><metadataReference href="http://example.org/x.xsd"/>',
        )
    )
    assert found.files == (
        RemoteFile(name="a/b.xml", size=3, digest="md5:900150983cd24fb0d6963f7d28e17f72"),
        RemoteFile(name="c.jp2", size=3, digest="sha3_256:abcd"),
        RemoteFile(name="d", size=3, digest="sha256:ef"),
        RemoteFile(name="e"),
    )
    assert found.references == {"support/s1.xsd"}
    own = [
        "manifest.safe",
        "support/s1.xsd",
        "preview/icons/logo.png",
        "INSPIRE.xml",
        "S2A-ql.jpg",
        "S1A_IW.SAFE-report-20190101T000000.pdf",
    ]
    assert all(map(found.may_contain, own))
    assert not any(map(found.may_contain, ["a/b.xml.aux.xml", "c.jp2.ovr", "ndvi.tif", "notes.pdf"]))


@pytest.mark.parametrize(
    "text",
    [
        "<gml:coordinates>51,-1.5 51,-1 52,-1.25</gml:coordinates>",
        "<gml:coordinates>51 -1.5 51 -1 52 -1.25 </gml:coordinates>",
        "<gml:posList>51 -1.5 51 -1 5.2e1 -1.25</gml:posList>",
    ],
)
def test_footprints_of_all_three_missions(text):
    frame = f"<safe:footPrint>{text}</safe:footPrint>"
    found = read_listing(listing(stream("a"), more=frame + frame))
    assert found.footprint == 2 * (((-1.5, 51), (-1, 51), (-1.25, 52)),)
    broken = "<safe:footPrint><gml:posList>91 0 1 1 2 2</gml:posList></safe:footPrint>"
    assert read_listing(listing(stream("a"), more=broken)).footprint == ()


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "not XML"),
        (b"\x89PNG", "not XML"),
        (listing(stream("a"))[:-20], "not XML"),
        (listing(), "lists no file"),
        (listing(stream("../a")), "not a path in the product"),
        (listing(stream("/etc/passwd")), "not a path in the product"),
        (listing(stream("a/../../b")), "not a path in the product"),
        (listing(stream("file:///etc/passwd")), "not a path in the product"),
        (listing(stream("a\\b")), "not a path in the product"),
        (listing(stream("a//b")), "not a path in the product"),
        (listing(stream("")), "not a path in the product"),
        (listing(stream("a"), stream("./a", size="4")), "lists a twice"),
        (listing(stream("a"), head=BOMB, more="&b;"), "document type"),
        (listing(stream("a"), head='<!DOCTYPE x SYSTEM "file:///etc/passwd">'), "document type"),
        (listing(stream("a"), head='<?xml version="1.0" encoding="klingon"?>'), "not XML"),
        (listing(stream("a"), head='<?xml version="1.0" encoding="utf-7"?>'), "not XML|multi-byte"),
        (listing(stream("a", size="9" * 5000)), "a size of 5,000 digits for a"),
        (listing(stream("a"), more=100 * "<b>" + 100 * "</b>"), "nested more than 100 deep"),
        (b"<b>" * 3_000_000, "nested more than 100 deep"),
    ],
)
def test_what_is_no_list(data, problem):
    with pytest.raises(ValueError, match=problem):
        read_listing(data)


def test_a_list_of_any_number_of_elements_is_not_read(monkeypatch):
    monkeypatch.setattr(product_listing, "_MAX_ELEMENTS", 1000)
    with pytest.raises(ValueError, match="more than 1,000 elements"):
        read_listing(listing(stream("a"), more="<b/>" * 1000))


def test_files_are_listed_in_their_own_stream():
    inner = '<byteStream size="4"><fileLocation href="b"/></byteStream>'
    found = read_listing(listing(f'<byteStream size="3"><fileLocation href="a"/>{inner}</byteStream>'))
    assert found.files == (RemoteFile(name="a", size=3), RemoteFile(name="b", size=4))


def test_a_list_of_any_size_is_not_read(monkeypatch):
    monkeypatch.setattr(product_listing, "MAX_SIZE", 1 << 20)
    with pytest.raises(ValueError, match="larger than 1 MiB"):
        read_listing(listing(stream("a"), more=" " * (1 << 20)))
