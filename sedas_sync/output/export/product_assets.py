"""The files of Sentinel-1 and Sentinel-2 products as STAC assets.

Assets have the names of the bands: `B04` and `TCI` in a Sentinel-2 L1C product, `B04_10m` and `SCL_20m` in L2A, `vv`
in a Sentinel-1 GRD product, `iw1-vv` in SLC. The metadata files that lead to all others have the names that the
Copernicus Data Space gives them: `safe_manifest`, `product_metadata` and `granule_metadata`.

Sources: the Sentinel-2 products specification document (names of files; scale, offset and nodata of pixels; grids in
the metadata of a tile; wavelengths of Sentinel-2A), the Sentinel-1 product specification, the STAC extension `eo`
(common names).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

from sedas_sync.output.product_files import quicklook_of

TILE_METADATA = "granule_metadata"
"""The asset that has the grids of a Sentinel-2 product."""
GRIDS_WITHIN = 1 << 18
"""Bytes of it that are enough: the grids come before the angles, which fill the rest."""

_REFLECTANCE = {
    # band: name of its colour, its common name, wavelength in micrometres, resolution in metres
    "B01": ("Coastal aerosol", "coastal", 0.443, 60),
    "B02": ("Blue", "blue", 0.493, 10),
    "B03": ("Green", "green", 0.560, 10),
    "B04": ("Red", "red", 0.665, 10),
    "B05": ("Red edge 1", "rededge071", 0.704, 20),
    "B06": ("Red edge 2", "rededge075", 0.741, 20),
    "B07": ("Red edge 3", "rededge078", 0.783, 20),
    "B08": ("Near infrared", "nir", 0.833, 10),
    "B8A": ("Narrow near infrared", "nir08", 0.865, 20),
    "B09": ("Water vapour", "nir09", 0.945, 60),
    "B10": ("Cirrus", "cirrus", 1.374, 60),
    "B11": ("Short-wave infrared 1", "swir16", 1.614, 20),
    "B12": ("Short-wave infrared 2", "swir22", 2.202, 20),
}
_COLOURS = ("B04", "B03", "B02")
"""The bands of a true-colour image."""
_DERIVED: Mapping[str, tuple[str, dict[str, Any]]] = {
    "TCI": ("True-colour image", {"roles": ["visual"], "data_type": "uint8", "nodata": 0}),
    "AOT": (
        "Aerosol optical thickness",
        {"roles": ["data"], "data_type": "uint16", "nodata": 0, "raster:scale": 0.001},
    ),
    "WVP": (
        "Water vapour, cm",
        {"roles": ["data"], "data_type": "uint16", "nodata": 0, "raster:scale": 0.001},
    ),
    "SCL": ("Scene classification", {"roles": ["data"], "data_type": "uint8", "nodata": 0}),
}
"""Rasters that are computed from the bands: title and fields."""
_FIRST_WITH_OFFSET = 400
"""The first processing baseline, times 100, whose values have an offset."""

_OPTICAL = re.compile(r"IMG_DATA/(?:R\d\dm/)?[^/]*_(?P<band>B\d[\dA]|TCI|AOT|WVP|SCL)(?:_(?P<metres>\d\d)m)?\.jp2$")
_RADAR = re.compile(
    r"measurement/s1[a-d]-(?P<swath>[a-z]+\d?)-(?P<type>slc|grd)-(?P<channel>hh|hv|vv|vh)-[^/]+\.tiff?$"
)
_METADATA = {
    "safe_manifest": re.compile(r"(?:^|\.SAFE/)manifest\.safe$"),
    "product_metadata": re.compile(r"(?:^|\.SAFE/)MTD_MSIL\d[A-Z]\.xml$"),
    TILE_METADATA: re.compile(r"(?:^|\.SAFE/)GRANULE/[^/]+/MTD_TL\.xml$"),
}
_TYPES = {
    ".zip": "application/zip",
    ".tif": "image/tiff; application=geotiff",
    ".tiff": "image/tiff; application=geotiff",
    ".jp2": "image/jp2",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".nc": "application/netcdf",
    ".h5": "application/x-hdf5",
    ".xml": "application/xml",
    ".eof": "application/xml",
    ".safe": "application/xml",
    ".json": "application/json",
    ".geojson": "application/geo+json",
    ".html": "text/html",
    ".pdf": "application/pdf",
}
_DESCRIBE_OTHERS = {".xml", ".eof", ".safe", ".json", ".html", ".pdf", ".xsd"}
"""Endings of files that are metadata if nothing else is known of them."""


class Grid(NamedTuple):
    """The grid of a raster."""

    code: str
    """Coordinate system, such as `EPSG:32630`."""
    shape: tuple[int, int]
    """Rows and columns."""
    transform: tuple[float, ...]
    """Six numbers from column and row to the coordinates of a pixel's corner, as in `proj:transform`."""


class ProductAsset(NamedTuple):
    """A file of a product as an asset, without its address."""

    key: str
    file: str
    """Its path inside the product."""
    fields: dict[str, Any]
    """Title, type, roles and the fields of the extensions."""
    known: bool
    """Whether it is more than a file with a name: a raster, a quick-look, or metadata that leads to the rest."""


def media_type(path: str) -> str | None:
    """Return the media type of a file by its name; None if it does not show."""
    return _TYPES.get(_ending(path))


def assets_of_product(
    sizes: Mapping[str, int], *, baseline: int | None, grids: Mapping[int, Grid]
) -> Iterator[ProductAsset]:
    """Yield the files of a product, in their order there. Keys are unique.

    Args:
        sizes: Bytes of each file, by its path inside the product.
        baseline: The processing baseline of a Sentinel-2 product, times 100.
        grids: The grid of each resolution, as `grids_of` returns them.
    """
    thumbnail = quicklook_of(sizes)
    taken = set[str]()
    for file in sizes:
        key, fields = _described(file, baseline, grids, is_thumbnail=file == thumbnail)
        known = key is not None
        # Products of several tiles, or of many small images, have a band more than once.
        key = file if key is None or key in taken else key
        taken.add(key)
        yield ProductAsset(key, file, {"type": media_type(file), **fields}, known)


def find_tile_metadata(files: Iterable[str]) -> str | None:
    """Return the file with the grids of a Sentinel-2 product; None if there is none, or more than one tile."""
    found = [file for file in files if _METADATA[TILE_METADATA].search(file)]
    return found[0] if len(found) == 1 else None


def grids_of(tile_metadata: bytes) -> Mapping[int, Grid]:
    """Return the grids that the metadata of a Sentinel-2 tile states, by resolution in metres; empty if it has none.

    Args:
        tile_metadata: The file, or at least its first `GRIDS_WITHIN` bytes.
    """
    try:
        # The size is limited, and expat limits what entities become. The end may be missing: what comes before is read.
        for _, element in ET.iterparse(BytesIO(tile_metadata)):  # noqa: S314
            if element.tag.rpartition("}")[2] == "Tile_Geocoding":
                return _grids(element)
    except (ET.ParseError, ValueError):
        pass  # No metadata after all: the item is written without grids.
    return {}


def _grids(geocoding: ET.Element) -> Mapping[int, Grid]:
    code = geocoding.findtext("HORIZONTAL_CS_CODE", "").strip()
    if not re.fullmatch(r"EPSG:\d{1,6}", code):
        return {}
    sizes = {size.get("resolution"): size for size in geocoding.iter("Size")}
    found = {}
    for corner in geocoding.iter("Geoposition"):
        metres = corner.get("resolution", "")
        if metres in sizes:
            rows, columns = (int(sizes[metres].findtext(name, "")) for name in ("NROWS", "NCOLS"))
            x, y, width, height = (float(corner.findtext(name, "")) for name in ("ULX", "ULY", "XDIM", "YDIM"))
            found[int(metres)] = Grid(code, (rows, columns), (width, 0, x, 0, height, y))
    return found


def _described(
    file: str, baseline: int | None, grids: Mapping[int, Grid], *, is_thumbnail: bool
) -> tuple[str | None, dict[str, Any]]:
    """Return the key of a file, or None if it has no name of its own, and its fields."""
    title = file.rpartition("/")[2]
    if match := _OPTICAL.search(file):
        return _optical(match["band"], match["metres"], baseline, grids)
    if match := _RADAR.search(file):
        channel, is_slc = match["channel"].upper(), match["type"] == "slc"
        return f"{match['swath']}-{match['channel']}" if is_slc else match["channel"], {
            "title": f"{match['swath'].upper()} {channel}" if is_slc else channel,
            "roles": ["data"],
            "data_type": "cint16" if is_slc else "uint16",
            "nodata": 0,
            "sar:polarizations": [channel],
        }
    if is_thumbnail:
        return "thumbnail", {"title": "Quick-look", "roles": ["thumbnail"]}
    key = next((key for key, pattern in _METADATA.items() if pattern.search(file)), None)
    is_metadata = key is not None or _ending(file) in _DESCRIBE_OTHERS
    return key, {"title": title, "roles": ["metadata" if is_metadata else "data"]}


def _optical(
    band: str, metres: str | None, baseline: int | None, grids: Mapping[int, Grid]
) -> tuple[str, dict[str, Any]]:
    resolution = int(metres) if metres else _REFLECTANCE[band][3] if band in _REFLECTANCE else 10
    fields: dict[str, Any] = {}
    if band in _REFLECTANCE:
        fields |= {"title": f"{_REFLECTANCE[band][0]} ({band}), {resolution} m", "roles": ["data", "reflectance"]}
        fields |= {"bands": [_band(band)], "data_type": "uint16", "nodata": 0, "raster:scale": 0.0001}
        if baseline is not None:
            fields["raster:offset"] = -0.1 if baseline >= _FIRST_WITH_OFFSET else 0
    else:
        title, more = _DERIVED[band]
        fields |= {"title": f"{title}, {resolution} m", **more}
        if band == "TCI":
            fields["bands"] = [_band(name) for name in _COLOURS]
    fields["gsd"] = resolution
    if grid := grids.get(resolution):
        fields |= {"proj:code": grid.code, "proj:shape": [*grid.shape], "proj:transform": [*grid.transform]}
    return f"{band}_{metres}m" if metres else band, fields


def _band(name: str) -> dict[str, Any]:
    _, common, wavelength, _ = _REFLECTANCE[name]
    return {"name": name, "eo:common_name": common, "eo:center_wavelength": wavelength}


def _ending(path: str) -> str:
    _, dot, ending = path.rpartition("/")[2].rpartition(".")
    return (dot + ending).lower()
