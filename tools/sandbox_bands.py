"""Compute the bands of the embedded archive's Sentinel-2 products.

Writes `sedas_sync/sandbox/data/bands.zip`: `python tools/sandbox_bands.py`. Needs pillow and numpy. Each entry is a
JPEG 2000 codestream; the sandbox puts it into a file with the tile's coordinates when a product is made.

A tile shows the same sixteen squares everywhere: water, forest, crops and towns. Crops grow: their red and near
infrared depend on the season, so a vegetation index over the year has a curve.
"""

import io
from collections.abc import Iterator
from itertools import product
from zipfile import ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sandbox_catalogue import DATA

from sedas_sync.sandbox.bands import BANDS, FILE, SIDES, STAGES, codestream_of

_SQUARES = np.array([[0, 1, 2, 3], [1, 2, 2, 1], [2, 3, 1, 2], [2, 3, 1, 0]])
"""The class of each square of a tile: water, forest, crops, towns."""
_REFLECTANCE = {
    "B01": (1152, 896, 1024, 1408),
    "B02": (896, 640, 768, 1408),
    "B03": (768, 640, 896, 1408),
    "B04": (512, 384, 640, 1536),
    "B05": (384, 768, 1152, 1664),
    "B06": (384, 1920, 2048, 1792),
    "B07": (384, 2304, 2432, 1920),
    "B08": (256, 2304, 2560, 1920),
    "B8A": (256, 2560, 2688, 2048),
    "B09": (128, 896, 896, 640),
    "B10": (128, 128, 128, 128),
    "B11": (128, 1152, 1664, 2176),
    "B12": (128, 640, 1024, 1920),
}
"""Reflectance of the classes in each band, in ten thousandths."""
_OFFSET = 1000
"""Added to the values since baseline 04.00 (`RADIO_ADD_OFFSET`, Sentinel-2 products specification document)."""
_CROPS = 2
_OF_CROPS = {"B04": (1408, 1024, 640, 384), "B08": (1664, 2048, 2816, 3712)}
"""Reflectance of crops at each stage, from bare soil to the highest plants."""
_COLOURS = np.array([(24, 48, 96), (32, 72, 40), (128, 152, 72), (160, 152, 144)], dtype=np.uint8)


def pixels(band: str, stage: int, *, offset: bool = False) -> NDArray[np.uint16] | NDArray[np.uint8]:
    """Return the values of a band, with the offset or without: rows and columns, and for the colours a third axis."""
    side = SIDES[BANDS[band]]
    classes = np.repeat(np.repeat(_SQUARES, 10, axis=0), 10, axis=1)
    step = len(classes) // side
    classes = classes[::step, ::step]
    if band == "TCI":
        return _COLOURS[classes]
    values = np.array(_REFLECTANCE[band], dtype=np.uint16)
    if band in _OF_CROPS:
        values[_CROPS] = _OF_CROPS[band][stage]
    return (values + offset * _OFFSET)[classes].astype(np.uint16)


def codestreams() -> Iterator[tuple[str, bytes]]:
    """Yield the name and the lossless codestream of each band, for each stage and offset that it depends on."""
    shown = {}
    for band, stage, offset in product(BANDS, range(STAGES), (False, True)):
        shown.setdefault(codestream_of(band, stage, offset=offset), pixels(band, stage, offset=offset))
    for name, values in shown.items():
        coded = io.BytesIO()
        Image.fromarray(values).save(coded, "JPEG2000", no_jp2=True, irreversible=False, num_resolutions=1)
        yield name, coded.getvalue()


def main() -> None:
    """Write the file."""
    with ZipFile(DATA / FILE, "w") as archive:
        for name, coded in codestreams():
            archive.writestr(ZipInfo(name), coded)


if __name__ == "__main__":
    main()
