"""Read the list of files that a product contains: `manifest.safe` (Sentinel-1, -2) or `xfdumanifest.xml` (Sentinel-3).

Both are XFDU documents (CCSDS 661.0-B-1). Sentinel-1 and -3 have MD5 checksums, Sentinel-2 too, and
SHA3-256 since baseline 03.01. A product of Sentinel-1 refers to its schemas without size or checksum.
"""

import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from msgspec import Struct

from sedas_sync.model.scene import RemoteFile

NAMES = ("manifest.safe", "xfdumanifest.xml")
"""Names of the list, in the folder of the product."""
MAX_SIZE = 32 << 20
"""Bytes; that of a continent's vegetation product of Sentinel-3 has three million."""
_MAX_DEPTH = 100
"""Elements in elements; products have about ten."""
_MAX_ELEMENTS = 500_000
"""Ten times those of the largest products; each takes some hundred bytes of memory."""
_PIECE = 1 << 16
_MAX_OUTLINE = 1 << 20
"""Characters of a footprint; those of products have some hundred."""
_SIZE = re.compile(r"\d{1,18}")
"""Bytes that fit into 64 bits."""
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_UNLISTED = re.compile(
    r"(?:support|rep_info|HTML)/.+|preview/(?:icons/logo|thumbnail)\.png|[^/]+-report-\d[^/]*\.pdf|[^/]+-ql\.jpg|INSPIRE\.xml"
    r"|(?:browse|quicklook)\.jpg|EOP_?Metadata\.xml|manifest\.xml",
    re.IGNORECASE,
)
"""Files that archives deliver in products and that some lists leave out: schemas, reports, quick-looks, metadata."""

Ring = tuple[tuple[float, float], ...]
"""Corners of an outline: longitude and latitude in degrees."""


class ProductListing(Struct, frozen=True):
    """What a product's own list says."""

    files: tuple[RemoteFile, ...]
    """The listed files with their sizes and checksums, if the list has them; sorted by name."""
    references: frozenset[str]
    """Other files that it refers to: a product is complete without them."""
    footprint: tuple[Ring, ...] = ()
    """One ring for each frame."""
    start: datetime | None = None
    """Start of the acquisition."""

    def may_contain(self, name: str) -> bool:
        """Return whether a file that is not listed can be part of the product as it was delivered."""
        return name in NAMES or name in self.references or _UNLISTED.fullmatch(name) is not None


class _Tree(TreeBuilder):
    """Builds a tree of limited depth and size; refuses a document type, so that there are no entities to expand."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = self._elements = 0

    def start(self, tag: Any, attrs: dict[Any, Any], /) -> Element:
        """Open an element.

        Raises:
            ValueError: It is too deep, or there are too many.
        """
        self._depth += 1
        self._elements += 1
        if self._depth > _MAX_DEPTH:
            raise ValueError(f"its elements are nested more than {_MAX_DEPTH} deep")
        if self._elements > _MAX_ELEMENTS:
            raise ValueError(f"it has more than {_MAX_ELEMENTS:,} elements")
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> Element:
        """Close an element."""
        self._depth -= 1
        return super().end(tag)

    def doctype(self, *_: object) -> None:
        """Refuse a document type.

        Raises:
            ValueError: Always.
        """
        raise ValueError("it has a document type, which no product has")


def read_listing(data: bytes) -> ProductListing:
    """Read the list of a product.

    Args:
        data: The bytes of the file.

    Raises:
        ValueError: It is not such a list, is larger than `MAX_SIZE`, or lists a file outside the product.
    """
    if len(data) > MAX_SIZE:
        raise ValueError(f"it is larger than {MAX_SIZE >> 20} MiB")
    parser = XMLParser(target=_Tree())  # noqa: S314  # without a document type there is nothing to expand
    try:
        # Only between two pieces does an error of the tree end the parser.
        for start in range(0, len(data), _PIECE):
            parser.feed(data[start : start + _PIECE])
        root = parser.close()
    except (ParseError, LookupError) as error:
        # An encoding that is not known is a `LookupError`.
        raise ValueError(f"it is not XML ({error})") from None
    files: dict[str, RemoteFile] = {}
    for stream in root.iter("byteStream"):
        for file in _files_of(stream):
            known = files.setdefault(file.name, file)
            if (known.size, known.digest) != (file.size, file.digest):
                raise ValueError(f"it lists {file.name} twice, with different sizes or checksums")
    if not files:
        raise ValueError("it lists no file")
    references = {_path(str(element.get("href"))) for element in root.iter("metadataReference")}
    return ProductListing(
        files=tuple(files[name] for name in sorted(files)),
        references=frozenset(path for path in references if path is not None) - files.keys(),
        footprint=tuple(_rings(root)),
        start=_start(root),
    )


def _files_of(stream: Element) -> list[RemoteFile]:
    size, checksum = stream.get("size", ""), stream.find("checksum")
    found = []
    for location in stream.findall("fileLocation"):
        name = _path(href := str(location.get("href")))
        if name is None:
            raise ValueError(f"it lists {href!r}, which is not a path in the product")
        digest = None if checksum is None else _digest(checksum.get("checksumName", ""), checksum.text or "")
        if size.isdecimal() and not _SIZE.fullmatch(size):
            raise ValueError(f"it states a size of {len(size):,} digits for {name}")
        # A list cannot contain its own checksum.
        if name not in NAMES:
            found.append(RemoteFile(name=name, size=int(size) if size.isdecimal() else None, digest=digest))
    return found


def _path(href: str) -> str | None:
    """Return a path below the product's folder; None if it is not one."""
    path = href.removeprefix("./")
    unsafe = "\\" in path or "\0" in path or ":" in path or not {"", ".", ".."}.isdisjoint(path.split("/"))
    return None if unsafe else path


def _digest(name: str, text: str) -> str | None:
    """Return a checksum as `Scene.digest` has it, e.g. `sha3_256:…` for `SHA3-256`; None if there is none."""
    algorithm, value = name.strip().lower(), text.strip().lower()
    algorithm = algorithm.replace("-", "_" if algorithm.startswith("sha3-") else "")
    return f"{algorithm}:{value}" if algorithm and value else None


def _start(root: Element) -> datetime | None:
    texts = (element.text or "" for element in root.iter() if _plain(element.tag) == "startTime")
    with suppress(ValueError, StopIteration):
        return datetime.fromisoformat(next(texts).strip().removesuffix("Z")).replace(tzinfo=UTC)
    return None


def _plain(tag: str) -> str:
    """Return the name of an element without its namespace."""
    return tag.rpartition("}")[2]


def _rings(root: Element) -> list[Ring]:
    """Return the outlines of all footprints: pairs of latitude and longitude, whatever is between the numbers."""
    rings: list[Ring] = []
    for element in root.iter():
        if _plain(element.tag) == "footPrint":
            for inner in (element, *element):
                numbers = [float(number) for number in _NUMBER.findall((inner.text or "")[:_MAX_OUTLINE])]
                ring = tuple(zip(numbers[1::2], numbers[::2], strict=False))
                if len(ring) > 2 and all(abs(x) <= 180 and abs(y) <= 90 for x, y in ring):  # noqa: PLR2004  # degrees
                    rings.append(ring)
    return rings
