"""What kind of file a product is: one rule for all archives. Pure.

The kind is the ending of a file's name, such as `.zip` or `.nc`. It follows from, in this order of trust:

1. the file name in `Content-Disposition`
2. the media type
3. the name in the catalogue
4. the first bytes

A page of HTML is never a product, and the text of an error is no file of a format that is binary.
"""

import re
from collections.abc import Mapping
from email.message import Message

ZIP = ".zip"
"""The kind of a product that is a folder: archives send it as a zip."""
ZIP_BYTES = b"PK\x03\x04"
"""The first bytes of a zip."""

_KINDS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    ((ZIP,), ("application/zip", "application/x-zip", "application/x-zip-compressed")),
    ((".nc", ".nc4", ".cdf"), ("application/netcdf", "application/x-netcdf", "application/x-netcdf4")),
    ((".h5", ".hdf5", ".he5", ".hdf", ".nc", ".nc4"), ("application/x-hdf5", "application/x-hdf", "application/hdf5")),
    ((".tif", ".tiff"), ("image/tiff", "image/geotiff")),
    ((".jp2",), ("image/jp2", "image/jpx")),
    ((".tar",), ("application/x-tar",)),
    ((".gz", ".tgz", ".tar.gz"), ("application/gzip", "application/x-gzip", "application/x-tgz")),
    ((".bz2", ".tar.bz2"), ("application/x-bzip2",)),
    # An XML body may be an error's text, so that the media type alone shows nothing.
    ((".eof",), ()),
    ((".xml",), ()),
    ((".grib", ".grib2", ".grb"), ("application/x-grib", "application/x-grib2", "application/grib")),
    # Formats without a registered media type: Envisat, SMOS and CryoSat, the Earth Explorers' headers.
    ((".n1",), ()),
    ((".dbl",), ()),
    ((".hdr",), ()),
)
"""Endings of one kind, the usual one first, and the media types of the kind."""
_BY_MEDIA_TYPE: Mapping[str, tuple[str, ...]] = {name: endings for endings, names in _KINDS for name in names}
_FILES = frozenset(ending for endings, _ in _KINDS for ending in endings)
"""Endings of a file."""
_FOLDERS = frozenset({".safe", ".sen3", ".sen6", ".dem"})
"""Endings of a product that is a folder, which archives send as a zip."""
_MAGIC = (
    (ZIP_BYTES, 0, ZIP),
    (b"CDF\x01", 0, ".nc"),
    (b"CDF\x02", 0, ".nc"),
    (b"CDF\x05", 0, ".nc"),
    (b"\x89HDF\r\n\x1a\n", 0, ".h5"),
    (b"II*\x00", 0, ".tif"),
    (b"MM\x00*", 0, ".tif"),
    (b"II+\x00", 0, ".tif"),
    (b"\x00\x00\x00\x0cjP  ", 0, ".jp2"),
    (b"\x1f\x8b\x08", 0, ".gz"),
    (b"BZh", 0, ".bz2"),
    (b"GRIB", 0, ".grib"),
    (b"ustar", 257, ".tar"),
)
"""First bytes, their position, and the kind that they show (the formats' specifications)."""
FIRST_BYTES = 512
"""Number of bytes needed to recognise the kind."""
_PAGE = re.compile(
    rb"\s*(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html)\b",
    re.IGNORECASE | re.DOTALL,
)
_BUCKET_ERROR = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?<Error>")
"""The error of a bucket (S3 API, REST error responses); no product begins so."""
_PAGE_TYPES = frozenset({"text/html", "application/xhtml+xml"})
_PAGE_NAMES = (".html", ".htm", ".xhtml")
_TEXT_TYPES: Mapping[str, tuple[str, ...]] = {
    "application/json": (".json", ".geojson"),
    "text/plain": (".txt", ".csv", ".md", ".log", ".xml", ".eof", ".hdr", ".json", ".geojson", *_PAGE_NAMES),
    "application/xml": (".xml", ".eof", ".safe", ".kml", ".gml"),
    "text/xml": (".xml", ".eof", ".safe", ".kml", ".gml"),
}
"""Types of an error's text, and the endings of files that have them too."""
_BINARY = frozenset(
    {ending for endings, types in _KINDS if types for ending in endings}
    | {".png", ".jpg", ".jpeg", ".pdf", ".gpkg", ".las", ".laz", ".parquet", ".sqlite", ".img", ".ntf"}
)
"""Endings of files that never begin with a text."""
_MARKUP = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:<[?!A-Za-z]|\{\s*[\"}])")
"""The beginning of XML or of a JSON object. Buckets send their errors so, some with status 200 and no useful type."""
_SAFE = re.compile(r"S[12][A-D_]_(?!OPER_)")
_ENDING = re.compile(r"(?:\.tar)?\.[A-Za-z][A-Za-z0-9]{0,6}")


class NotAProductError(ValueError):
    """The answer of a server is not a product, but a page or the text of an error; the message says which."""


def ending_of(name: str) -> str:
    """Return the ending of a product's name that shows which kind of file it is, as it is written there.

    Returns:
        Empty for a product that is a folder, and for a name that does not show it.

    >>> ending_of("S1A_OPER_AUX_POEORB_OPOD_20210301T130653_V20140406T225944_20140408T005944.EOF")
    '.EOF'
    >>> ending_of("S3A_OL_1_EFR____20160406T012156.SEN3")
    ''
    """
    last = _last_ending(name)
    if not last or last.lower() not in _FILES:
        return ""
    stem = name[: -len(last)]
    double = stem[-4:] + last
    return double if stem[-4:].lower() == ".tar" and double.lower() in _FILES else last


def _last_ending(name: str) -> str:
    """Return what follows the last dot of a name, with the dot; empty if there is no dot, or nothing before it."""
    dot = name.rfind(".")
    return name[dot:] if dot > 0 else ""


def folder_ending(name: str) -> str:
    """Return the ending of the name of a product's folder, as it is written there; empty if there is none.

    >>> folder_ending("S3A_OL_1_EFR____20160406T012156.SEN3")
    '.SEN3'
    """
    last = _last_ending(name)
    return last if last.lower() in _FOLDERS else ""


def safe_folder(name: str) -> str:
    """Return `.SAFE` if it is the ending of the folder of this product: those of Sentinel-1 and -2 that are no files.

    >>> safe_folder("S2A_MSIL1C_20190501T110621_N0207_R137_T30UXC_20190501T132117")
    '.SAFE'
    """
    return ".SAFE" if _SAFE.match(name) and not folder_ending(name) else ""


def without_endings(name: str) -> str:
    """Return a product's name without the endings that one archive writes and another does not.

    >>> without_endings("S2A_MSIL1C_20190501T110621.SAFE.zip"), without_endings("S5P_OFFL_L2__NO2.nc")
    ('S2A_MSIL1C_20190501T110621', 'S5P_OFFL_L2__NO2')
    """
    stem = name
    while (last := _last_ending(stem).lower()) in _FILES or last in _FOLDERS:
        stem = stem[: -len(ending_of(stem) or last)]
    return name if stem.lower() in _FILES | _FOLDERS else stem


def with_ending(path: str, ending: str) -> str:
    """Return the path of a product with another ending.

    >>> with_ending("2019/S5P_OFFL_L2__NO2.zip", ".nc")
    '2019/S5P_OFFL_L2__NO2.nc'
    """
    return path.removesuffix(ending_of(path)) + ending


def ending_on_disk(path: str, stem: str) -> str | None:
    """Return the ending of a product's file in the mirror; None if its name does not show where it begins.

    Args:
        path: The file.
        stem: Its path without an ending, as the layout gives it now; the file's own may be an earlier one.
    """
    name, own = path.rpartition("/")[2], stem.rpartition("/")[2]
    if name.startswith(own) and (name == own or _ENDING.fullmatch(name, len(own))):
        return name[len(own) :]
    return ending_of(name) or None


def kind_of(*, disposition: str | None, media_type: str | None, name: str, first: bytes) -> str | None:
    """Return the kind of a file that a server sends.

    Args:
        disposition: The header `Content-Disposition`.
        media_type: The header `Content-Type`.
        name: The name of the product, or of the file, in the catalogue.
        first: The first bytes of the file, `FIRST_BYTES` if it has so many.

    Returns:
        Its ending: that of the name if it agrees. Empty if the server calls the file by a name that has none. None if
        nothing shows the kind.

    Raises:
        NotAProductError: It is a page, or the text of an error.
    """
    sent, called, own = (media_type or "").partition(";")[0].strip().lower(), _file_name(disposition), ending_of(name)
    shown = next((kind for magic, at, kind in _MAGIC if first[at : at + len(magic)] == magic), None)
    stated = _ending_of_file(called)
    ending = (stated or _last_ending(name)).lower()
    if _BUCKET_ERROR.match(first):
        raise NotAProductError("the error of a bucket")
    if _PAGE.match(first) or stated.lower() in _PAGE_NAMES or (sent in _PAGE_TYPES and shown is None):
        raise NotAProductError("an HTML page")
    texts = _TEXT_TYPES.get(sent)
    # Files of metadata are XML and have names of their own.
    nameless = "xml" in sent and not (stated or own)
    # So have files beside images: `.prj`, `.tfw`, `.met`.
    nameless |= sent == "text/plain" and ending[1:2].isalpha() and ending not in _FILES | _FOLDERS | _BINARY
    if texts and shown is None and not nameless and not (stated or name).lower().endswith(texts):
        raise NotAProductError(sent)
    binary = ending in _BINARY or sent in _BY_MEDIA_TYPE
    if binary and shown is None and _MARKUP.match(first):
        raise NotAProductError("the text of an error")
    for endings in ((stated.lower(),) if stated else (), _BY_MEDIA_TYPE.get(sent, ())):
        if endings:
            # Files of one kind have several endings, and the catalogue's is the product's own.
            return own if own.lower() in endings else (stated or endings[0])
    return own or shown or ("" if called and called == name else None)


def _file_name(disposition: str | None) -> str:
    """Return the file name of a `Content-Disposition` (RFC 6266), without folders; empty if there is none."""
    if not disposition:
        return ""
    message = Message()
    message["Content-Disposition"] = disposition
    return re.split(r"[/\\]", message.get_filename() or "")[-1].strip()


def _ending_of_file(called: str) -> str:
    """Return the ending of the name that a server gives a file; empty if it is the name of a folder."""
    if found := ending_of(called):
        return found
    match = re.search(rf"{_ENDING.pattern}$", called)
    return match[0] if match and match[0].lower() not in _FOLDERS else ""
