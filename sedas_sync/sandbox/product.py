"""Generated products: the zip of a scene, made when it is downloaded, with the same bytes every time.

The folders and file names in it are those of a Sentinel-1 GRD or SLC product, or of a Sentinel-2 L1C product:
metadata in XML, TIFF rasters of noise, JPEG 2000 bands that geographic readers put into their place (see `bands`), and
a JPEG quick-look. Entries are stored, not deflated, so the bytes do not depend on the version of zlib.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from hashlib import blake2b, md5, sha3_256, shake_256
from importlib.resources import files
from io import BytesIO
from struct import pack
from typing import Any, Literal
from xml.sax.saxutils import escape
from zipfile import ZipFile, ZipInfo

from sedas_sync.sandbox.bands import BANDS, band_file, geocoding, stage_of

_NOISE = 1 << 22
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")
_KILO = 1024
_WIDTH = 64
_BEGINNING = "1980-01-01T00:00:00Z"
_CLOUDIEST = 4  # the last of the optical pictures
_BASELINE = re.compile(r"_N(\d{4})_")
_SHA3 = "0301"
_OFFSET = "0400"
_RING = re.compile(r"\(([^()]+)\)")
_CORNER = re.compile(r"(-?\d+(?:\.\d+)?)\s+(-?\d+(?:\.\d+)?)")

File = tuple[str, bytes]
"""Path in the product, and content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """The properties of a scene that its product contains, as in the catalogue."""

    id: str
    sensor: Literal["Optical", "SAR"]
    satellite: str = ""
    product_type: str = ""
    start: str = _BEGINNING
    stop: str = _BEGINNING
    footprint: str = ""
    orbit: int = 0
    relative: int = 0
    direction: str = ""
    polarisation: str | None = None
    cloud: float | None = None
    tile: str | None = None


def spec_of(row: Mapping[str, Any]) -> Spec:
    """Read the properties of a scene from a row that may contain anything."""

    def text(key: str, default: str = "") -> str:
        value = row.get(key)
        return value if isinstance(value, str) else default

    orbit, cloud = row.get("orbit"), row.get("cloudCoveragePercent")
    scene = text("supplierId", "unnamed")
    tile = re.search(r"_T(\d\d[A-Z]{3})_", scene)
    return Spec(
        id=scene,
        sensor="SAR" if row.get("sensorType") == "SAR" else "Optical",
        satellite=text("satelliteName"),
        product_type=text("productType"),
        start=text("start", _BEGINNING),
        stop=text("stop", text("start", _BEGINNING)),
        footprint=text("coordinatesWKT"),
        orbit=orbit if isinstance(orbit, int) else 0,
        direction=text("orbitDirection"),
        polarisation=text("polarisation") or None,
        cloud=float(cloud) if isinstance(cloud, int | float) else None,
        tile=tile[1] if tile else None,
    )


@lru_cache(maxsize=8)
def made(spec: Spec) -> tuple[bytes, str]:
    """Return the zip of a scene and its MD5 in hex; the last few are cached."""
    data = _zip(spec)
    return data, md5(data, usedforsecurity=False).hexdigest()


def digest(spec: Spec) -> str:
    """Return the MD5 of the zip of a scene in hex; the zip is not cached."""
    return md5(_zip(spec), usedforsecurity=False).hexdigest()


def picture(spec: Spec) -> bytes:
    """Return the JPEG quick-look that is also in the zip: one for radar, five by cloud cover for optical scenes."""
    if spec.sensor == "SAR":
        return _picture("radar.jpg")
    cloudiness = round(_CLOUDIEST * min(100.0, max(0.0, spec.cloud or 0.0)) / 100)
    return _picture(f"optical-{cloudiness}.jpg")


@cache
def _picture(name: str) -> bytes:
    return files(__package__).joinpath("data", name).read_bytes()


def _size(scene: str) -> int:
    """Return the bytes of measurement: kilobytes, for one scene in 32 hundreds of them, for one in 256 megabytes."""
    lot = blake2b(f"product {scene}".encode(), digest_size=16).digest()[4:]
    if lot[0] == 0:
        return (1 + lot[1] % 4) * _KILO * _KILO
    if lot[0] < 8:  # noqa: PLR2004  # 7 in 256, about one in 32
        return (128 + 32 * (lot[1] % 8)) * _KILO
    return (9 + lot[1] % 16) * _KILO


@cache
def _noise() -> bytes:
    return shake_256(b"measurement").digest(_NOISE)


@lru_cache(maxsize=512)
def _tiff(width: int, height: int) -> bytes:
    """Make a grey 16 bit TIFF of one strip (TIFF 6.0, little endian)."""
    data = 8 + 2 + 10 * 12 + 4
    tags = (
        (256, width),
        (257, height),
        (258, 16),
        (259, 1),
        (262, 1),
        (273, data),
        (277, 1),
        (278, height),
        (279, 2 * width * height),
        (339, 1),
    )
    directory = b"".join(pack("<HHLL", tag, 4, 1, value) for tag, value in tags)
    return b"II*\x00" + pack("<LH", 8, len(tags)) + directory + bytes(4) + _noise()[: 2 * width * height]


def _common(spec: Spec) -> str:
    """Return the XML elements that all metadata files of a product contain."""
    return (
        f"  <productName>{escape(spec.id)}</productName>\n"
        f"  <platform>{escape(spec.satellite)}</platform>\n"
        f"  <productType>{escape(spec.product_type)}</productType>\n"
        f"  <startTime>{escape(spec.start)}</startTime>\n"
        f"  <stopTime>{escape(spec.stop)}</stopTime>\n"
        f"  <absoluteOrbitNumber>{spec.orbit}</absoluteOrbitNumber>\n"
        f"  <relativeOrbitNumber>{spec.relative}</relativeOrbitNumber>\n"
        f"  <pass>{escape(spec.direction)}</pass>\n"
        f"  <footPrint>{escape(spec.footprint)}</footPrint>\n"
    )


def _xml(root: str, common: str, more: str = "") -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{root}>\n{common}{more}</{root}>\n'.encode()


def _manifest(spec: Spec, content: list[File]) -> bytes:
    """Make the list of files of a SAFE product, an XFDU document, as Sentinel-1 and Sentinel-2 products have it.

    Sentinel-2 products of newer baselines have SHA3-256, all others MD5 (seen: MD5 with 03.00, SHA3-256 with 03.01).
    """
    baseline = _BASELINE.search(spec.id)
    name, algorithm = ("SHA3-256", sha3_256) if baseline and baseline[1] >= _SHA3 else ("MD5", md5)
    # Bands with the same bytes are hashed once.
    checksums = {data: algorithm(data, usedforsecurity=False).hexdigest() for data in {data for _, data in content}}
    objects = "".join(
        f'<dataObject ID="object{number}"><byteStream mimeType="{_media_type(path)}" size="{len(data)}">'
        f'<fileLocation locatorType="URL" href="./{path}"/>'
        f'<checksum checksumName="{name}">{checksums[data]}</checksum></byteStream></dataObject>\n'
        for number, (path, data) in enumerate(content, 1)
    )
    comma = "," if spec.sensor == "SAR" else " "
    rings = (" ".join(f"{y}{comma}{x}" for x, y in _CORNER.findall(ring)) for ring in _RING.findall(spec.footprint))
    frames = "".join(f"<gml:coordinates>{ring}</gml:coordinates>" for ring in rings if ring)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<xfdu:XFDU xmlns:xfdu="urn:ccsds:schema:xfdu:1"'
        ' xmlns:gml="http://www.opengis.net/gml" xmlns:safe="http://www.esa.int/safe/sentinel/1.1">\n'
        "<metadataSection>\n"
        f"<safe:acquisitionPeriod><safe:startTime>{escape(spec.start)}</safe:startTime>"
        f"<safe:stopTime>{escape(spec.stop)}</safe:stopTime></safe:acquisitionPeriod>\n"
        '<safe:frameSet><safe:footPrint srsName="http://www.opengis.net/gml/srs/epsg.xml#4326">'
        f"{frames}</safe:footPrint></safe:frameSet>\n"
        f"</metadataSection>\n<dataObjectSection>\n{objects}</dataObjectSection>\n</xfdu:XFDU>\n"
    ).encode()


def _media_type(path: str) -> str:
    return "text/xml" if path.endswith(".xml") else "application/octet-stream"


def _radar(spec: Spec, name: str, common: str, size: int) -> Iterator[File]:
    slc = spec.product_type == "SLC"
    when = f"{_compact(spec.start)}-{_compact(spec.stop)}".lower()
    take = f"{spec.orbit:06d}-{name[56:62].lower() or '000000'}"
    unit = f"{name[:3].lower()}"
    channels = _UNSAFE.sub("/", spec.polarisation or "VV").split("/")
    rasters = [(swath, channel) for channel in channels for swath in (("iw1", "iw2", "iw3") if slc else ("iw",))]
    raster = _tiff(_WIDTH, max(1, size // len(rasters) // (2 * _WIDTH)))
    for number, (swath, channel) in enumerate(rasters, 1):
        stem = f"{unit}-{swath}-{'slc' if slc else 'grd'}-{channel.lower()}-{when}-{take}-{number:03d}"
        more = f"  <swath>{swath.upper()}</swath>\n  <polarisation>{channel}</polarisation>\n"
        yield f"measurement/{stem}.tiff", raster
        yield f"annotation/{stem}.xml", _xml("product", common, more)
        yield f"annotation/calibration/calibration-{stem}.xml", _xml("calibration", more)
    yield "preview/quick-look.jpg", picture(spec)


def _optical(spec: Spec, name: str, common: str, size: int) -> Iterator[File]:
    tile, when = spec.tile or "00XXX", _compact(spec.start)
    granule = f"GRANULE/L1C_T{tile}_A{spec.orbit:06d}_{when}"
    more = f"  <Cloud_Coverage_Assessment>{spec.cloud}</Cloud_Coverage_Assessment>\n"
    yield "MTD_MSIL1C.xml", _xml("Level-1C_User_Product", common, more)
    yield "INSPIRE.xml", _xml("MD_Metadata", common)
    yield f"DATASTRIP/DS_{name[:3]}_{when}/MTD_DS.xml", _xml("Level-1C_DataStrip_ID", common)
    yield f"{granule}/MTD_TL.xml", _xml("Level-1C_Tile_ID", common, geocoding(spec.tile) + more)
    stage, noise = stage_of(_date(spec.start)[1]), _noise()[: size // len(BANDS)]
    baseline = _BASELINE.search(spec.id)
    offset = bool(baseline and baseline[1] >= _OFFSET)
    for band in sorted(BANDS):
        yield f"{granule}/IMG_DATA/T{tile}_{when}_{band}.jp2", band_file(band, stage, spec.tile, noise, offset=offset)
    yield f"{name}-ql.jpg", picture(spec)


def _compact(when: str) -> str:
    return _UNSAFE.sub("", when.replace("-", "").replace(":", "").removesuffix("Z"))


def _date(when: str) -> tuple[int, int, int, int, int, int]:
    """Return a time as `ZipInfo` takes it; the start of 1980 if the text is not a time."""
    try:
        time = datetime.strptime(when, "%Y-%m-%dT%H:%M:%SZ")  # noqa: DTZ007  # zips have no time zone
    except ValueError:
        return 1980, 1, 1, 0, 0, 0
    return min(max(time.year, 1980), 2107), time.month, time.day, time.hour, time.minute, time.second


def _zip(spec: Spec) -> bytes:
    name = (_UNSAFE.sub("_", spec.id).lstrip(".") or "unnamed")[:150]
    common, date = _common(spec), _date(spec.start)
    make = _radar if spec.sensor == "SAR" else _optical
    content = list(make(spec, name, common, _size(spec.id)))
    data = BytesIO()
    with ZipFile(data, "w") as archive:
        for path, body in (("manifest.safe", _manifest(spec, content)), *content):
            info = ZipInfo(f"{name}.SAFE/{path}", date)
            info.create_system, info.external_attr = 3, 0o644 << 16  # Unix, on every system
            archive.writestr(info, body)
    return data.getvalue()
