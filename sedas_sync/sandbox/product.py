"""The zip of a scene, made when it is asked for: the same bytes every time and everywhere.

The tree within is that of a Sentinel-1 GRD or SLC product, or of a Sentinel-2 L1C product, with every file
under its true
name: metadata in XML, TIFF rasters that any reader opens, JPEG 2000 files with sound boxes and noise in place
of a codestream, and a JPEG quick-look of the scene. All entries are stored, none deflated, so no version of
zlib has a say.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b, md5, shake_256
from struct import Struct, pack
from typing import Any, Literal
from xml.sax.saxutils import escape
from zlib import crc32

from sedas_sync.sandbox.picture import quicklook

_FACTS = Struct("<3H4L2H")  # what the headers before an entry and in the directory have in common
_REST = Struct("<3H2L")
_END = Struct("<4s4H2LH")
_NOISE = 1 << 22
_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12", "TCI")
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")
_INSTANT = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)Z")
_KILO = 1024
_WIDTH = 64
_BEGINNING = "1980-01-01T00:00:00Z"

Entry = tuple[str, bytes, int]
"""Path, content and its CRC-32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What a product is made from; the fields say what they say in the catalogue."""

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
    """Read what a product is made from out of a row that may hold anything."""

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
    """The zip of a scene and its MD5 in hex; the last few are kept."""
    data = b"".join(_zip(spec))
    return data, md5(data, usedforsecurity=False).hexdigest()


def digest(spec: Spec) -> str:
    """The MD5 of the zip of a scene in hex; the zip is not kept."""
    return md5(b"".join(_zip(spec)), usedforsecurity=False).hexdigest()


def picture(spec: Spec) -> bytes:
    """The JPEG quick-look that is also in the zip."""
    return quicklook(spec.footprint, cloud=spec.cloud, radar=spec.sensor == "SAR", chance=_chance(spec))


def _chance(spec: Spec) -> bytes:
    return blake2b(f"product {spec.id}".encode(), digest_size=16).digest()


def _size(chance: bytes) -> int:
    """Bytes of measurement: kilobytes mostly, in one product of 32 some hundred, in one of 256 megabytes."""
    lot = chance[4]
    if lot == 0:
        return (1 + chance[5] % 4) * _KILO * _KILO
    if lot < 8:  # noqa: PLR2004 - 7 in 256, about one in 32
        return (128 + 32 * (chance[5] % 8)) * _KILO
    return (9 + chance[5] % 16) * _KILO


@lru_cache(maxsize=1)
def _noise() -> bytes:
    return shake_256(b"measurement").digest(_NOISE)


@lru_cache(maxsize=512)
def _tiff(width: int, height: int) -> tuple[bytes, int]:
    """A grey 16 bit TIFF of one strip with its CRC: TIFF 6.0, little endian."""
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
    made = b"II*\x00" + pack("<LH", 8, len(tags)) + directory + bytes(4) + _noise()[: 2 * width * height]
    return made, crc32(made)


@lru_cache(maxsize=512)
def _jp2(size: int) -> tuple[bytes, int]:
    """The boxes of a JPEG 2000 file (ISO/IEC 15444-1, annex I) around noise, with its CRC."""

    def box(kind: bytes, body: bytes) -> bytes:
        return pack(">L", len(body) + 8) + kind + body

    side = 10980
    header = box(b"ihdr", pack(">LLHBBBB", side, side, 1, 15, 7, 0, 0)) + box(b"colr", pack(">BBBL", 1, 0, 0, 17))
    made = b"".join(
        (
            box(b"jP  ", b"\r\n\x87\n"),
            box(b"ftyp", b"jp2 \x00\x00\x00\x00jp2 "),
            box(b"jp2h", header),
            box(b"free", _noise()[:size]),
        )
    )
    return made, crc32(made)


def _text(path: str, text: str) -> Entry:
    data = text.encode()
    return path, data, crc32(data)


def _common(spec: Spec) -> str:
    """What all metadata files of a product say: the catalogue's facts as XML elements."""
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


def _xml(root: str, common: str, more: str = "") -> str:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{root}>\n{common}{more}</{root}>\n'


def _manifest(common: str, entries: list[Entry]) -> str:
    """The inventory of a SAFE product, an XFDU document."""
    objects = "".join(
        [
            f'<dataObject><byteStream size="{len(data)}"><fileLocation href="./{path}"/>'
            f'<checksum checksumName="CRC32">{crc:08x}</checksum></byteStream></dataObject>\n'
            for path, data, crc in entries
        ]
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<xfdu:XFDU xmlns:xfdu="urn:ccsds:schema:xfdu:1">\n'
        f"<metadataSection>\n{common}</metadataSection>\n<dataObjectSection>\n{objects}</dataObjectSection>\n"
        "</xfdu:XFDU>\n"
    )


def _radar(spec: Spec, name: str, common: str, size: int) -> Iterator[Entry]:
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
        yield f"measurement/{stem}.tiff", *raster
        yield _text(f"annotation/{stem}.xml", _xml("product", common, more))
        yield _text(f"annotation/calibration/calibration-{stem}.xml", _xml("calibration", more))
    image = picture(spec)
    yield "preview/quick-look.jpg", image, crc32(image)


def _optical(spec: Spec, name: str, common: str, size: int) -> Iterator[Entry]:
    tile, when = spec.tile or "00XXX", _compact(spec.start)
    granule = f"GRANULE/L1C_T{tile}_A{spec.orbit:06d}_{when}"
    more = f"  <Cloud_Coverage_Assessment>{spec.cloud}</Cloud_Coverage_Assessment>\n"
    yield _text("MTD_MSIL1C.xml", _xml("Level-1C_User_Product", common, more))
    yield _text("INSPIRE.xml", _xml("MD_Metadata", common))
    yield _text(f"DATASTRIP/DS_{name[:3]}_{when}/MTD_DS.xml", _xml("Level-1C_DataStrip_ID", common))
    yield _text(f"{granule}/MTD_TL.xml", _xml("Level-1C_Tile_ID", common, more))
    band = _jp2(size // len(_BANDS))
    for number in _BANDS:
        yield f"{granule}/IMG_DATA/T{tile}_{when}_{number}.jp2", *band
    image = picture(spec)
    yield f"{name}-ql.jpg", image, crc32(image)


def _compact(instant: str) -> str:
    return _UNSAFE.sub("", instant.replace("-", "").replace(":", "").removesuffix("Z"))


def _dos(instant: str) -> int:
    """Time and date as zip directories hold them, as one number; the first of 1980 for what is no date."""
    match = _INSTANT.match(instant)
    if not match:
        return 33 << 16
    year, month, day, hour, minute, second = map(int, match.groups())
    date = min(max(year, 1980), 2107) - 1980 << 9 | month << 5 | day
    return date << 16 | hour << 11 | minute << 5 | second // 2


def _zip(spec: Spec) -> list[bytes]:
    """The pieces of the zip (PKWARE APPNOTE 6.3), all entries stored."""
    name = (_UNSAFE.sub("_", spec.id).lstrip(".") or "unnamed")[:150]
    common, size, moment = _common(spec), _size(_chance(spec)), _dos(spec.start)
    body = _radar if spec.sensor == "SAR" else _optical
    entries = list(body(spec, name, common, size))
    entries.insert(0, _text("manifest.safe", _manifest(common, entries)))
    pieces: list[bytes] = []
    directory: list[bytes] = []
    offset = 0
    for path, data, crc in entries:
        full = f"{name}.SAFE/{path}".encode()
        facts = _FACTS.pack(20, 0, 0, moment, crc, len(data), len(data), len(full), 0)
        directory += (b"PK\x01\x02\x14\x03", facts, _REST.pack(0, 0, 0, 0o644 << 16, offset), full)
        pieces += (b"PK\x03\x04", facts, full, data)
        offset += 4 + _FACTS.size + len(full) + len(data)
    central = b"".join(directory)
    end = _END.pack(b"PK\x05\x06", 0, 0, len(entries), len(entries), len(central), offset, 0)
    return [*pieces, central, end]
