"""Quick-looks: small baseline JPEG pictures of a scene, the same bytes on every machine, made quickly.

A picture is a mosaic of 8 by 8 pixel patches of a few kinds (nothing, sea, land, cloud in three densities,
radar backscatter in six). Four patches make one coding unit of the JPEG; a restart marker behind each unit
makes it independent of its neighbours, so every distinct unit is encoded once a process and a picture is
these pieces strung together.

The cosine transform works on constants written out here, and the Huffman tables are the picture's own, of
plain
structure: two bits for the end of a block, eight for any other symbol. See ITU-T T.81.
"""

from functools import cache, lru_cache
from hashlib import shake_256
from itertools import product
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from sedas_sync.sandbox.regions import REGIONS, land

SIDE = 40
"""Patches along one side of a picture."""
PIXELS = 8 * SIDE
"""Pixels along it."""

_OUTSIDE = 0
_OPTICAL_SEA = (1, 2, 3, 4)
_OPTICAL_LAND = (5, 6, 7, 8)
_RADAR_SEA = (9, 10)
_RADAR_LAND = (11, 12, 13, 14)
_COLOURS = (
    # red, green, blue, and how rough the patch is
    (12, 12, 16, 0),
    (22, 52, 92, 4),
    (84, 108, 136, 10),
    (158, 172, 186, 12),
    (234, 238, 241, 6),
    (84, 112, 52, 14),
    (126, 146, 106, 14),
    (178, 188, 170, 12),
    (238, 241, 240, 6),
    (30, 30, 30, 12),
    (46, 46, 46, 16),
    (96, 96, 96, 26),
    (122, 122, 122, 30),
    (148, 148, 148, 34),
    (182, 182, 182, 36),
)
_STEP = 12
"""The one quantiser of all coefficients."""
_KEPT = 6
"""Coefficients of a patch, of 64."""

# cos(k π / 16) for k = 0 .. 8; the transform's other values are these with a sign.
_COSINES = (
    1.0,
    0.9807852804,
    0.9238795325,
    0.8314696123,
    0.7071067812,
    0.5555702330,
    0.3826834324,
    0.1950903220,
    0.0,
)
_END_OF_BLOCK = "00"
_LONG_RUN = 0xF0
_SYMBOLS = (*(run << 4 | size for run, size in product(range(16), range(1, 11))), _LONG_RUN)
_SIZES = tuple(range(12))
_RESTARTS = tuple(bytes((0xFF, 0xD0 + i)) for i in range(8))


def _cosine(k: int) -> float:
    k %= 32
    if k > 16:  # noqa: PLR2004 - half a turn
        k = 32 - k
    return _COSINES[k] if k <= 8 else -_COSINES[16 - k]  # noqa: PLR2004 - a quarter turn


_BASIS = tuple(tuple((0.3535533906 if u == 0 else 0.5) * _cosine((2 * x + 1) * u) for x in range(8)) for u in range(8))


def _zigzag() -> tuple[tuple[int, int], ...]:
    cells = product(range(8), range(8))
    return tuple(sorted(cells, key=lambda vu: (sum(vu), vu[0] if sum(vu) % 2 else vu[1])))


_ZIGZAG = _zigzag()


def _coefficients(samples: list[list[float]]) -> tuple[int, ...]:
    """Transform and quantise 8 by 8 samples around 0; in zigzag order, without the finest grain."""
    rows = [[sum(row[x] * basis[x] for x in range(8)) for basis in _BASIS] for row in samples]
    kept = (round(sum(rows[y][u] * _BASIS[v][y] for y in range(8)) / _STEP) for v, u in _ZIGZAG[:_KEPT])
    return (*kept, *[0] * (64 - _KEPT))


def _amplitude(value: int, size: int) -> str:
    return format(value if value > 0 else value + (1 << size) - 1, f"0{size}b") if size else ""


def _block(coefficients: tuple[int, ...], before: int) -> str:
    """Entropy-code a block as a string of bits; `before` is the DC value of the block before it."""
    change = coefficients[0] - before
    size = abs(change).bit_length()
    bits = [format(_SIZES.index(size), "04b"), _amplitude(change, size)]
    run = 0
    last = max((i for i, value in enumerate(coefficients) if i and value), default=0)
    for value in coefficients[1 : last + 1]:
        if not value:
            run += 1
            continue
        bits += [_symbol(_LONG_RUN)] * (run // 16)
        size = abs(value).bit_length()
        bits += [_symbol(run % 16 << 4 | size), _amplitude(value, size)]
        run = 0
    if last < 63:  # noqa: PLR2004 - the last of 64
        bits.append(_END_OF_BLOCK)
    return "".join(bits)


def _symbol(symbol: int) -> str:
    # canonical codes: after the one code of two bits, those of eight bits go on at 01000000
    return format(64 + _SYMBOLS.index(symbol), "08b")


@lru_cache(maxsize=len(_COLOURS))
def _patch(kind: int) -> tuple[tuple[int, ...], tuple[float, float]]:
    """The luma coefficients of a kind of patch, and its two chroma values around 0."""
    red, green, blue, rough = _COLOURS[kind]
    luma = 0.299 * red + 0.587 * green + 0.114 * blue - 128
    grain = shake_256(f"patch {kind}".encode()).digest(64)
    samples = [[luma + rough * (grain[8 * y + x] - 127.5) / 127.5 for x in range(8)] for y in range(8)]
    chroma = (-0.168736 * red - 0.331264 * green + 0.5 * blue, 0.5 * red - 0.418688 * green - 0.081312 * blue)
    return _coefficients(samples), chroma


@cache
def _unit(key: int) -> bytes:
    """A coding unit of 16 by 16 pixels by its four patches, four bits each."""
    patches = [_patch(key >> shift & 15) for shift in (12, 8, 4, 0)]
    bits, before = [], 0
    for coefficients, _ in patches:
        bits.append(_block(coefficients, before))
        before = coefficients[0]
    for channel in range(2):
        level = sum(chroma[channel] for _, chroma in patches) / 4
        bits.append(_block((round(8 * level / _STEP), *[0] * 63), 0))
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\x00")


def _segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(body) + 2).to_bytes(2, "big") + body


def _table(kind: int, lengths: dict[int, int], symbols: tuple[int, ...]) -> bytes:
    return bytes((kind, *(lengths.get(length, 0) for length in range(1, 17)), *symbols))


_HEAD = b"".join(
    (
        b"\xff\xd8",
        _segment(0xE0, b"JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"),
        _segment(0xDB, bytes((0, *[_STEP] * 64))),
        _segment(
            0xC0,
            bytes((8, *divmod(PIXELS, 256), *divmod(PIXELS, 256), 3, 1, 0x22, 0, 2, 0x11, 0, 3, 0x11, 0)),
        ),
        _segment(
            0xC4,
            _table(0x00, {4: len(_SIZES)}, _SIZES) + _table(0x10, {2: 1, 8: len(_SYMBOLS)}, (0, *_SYMBOLS)),
        ),
        _segment(0xDD, bytes((0, 1))),
        _segment(0xDA, bytes((3, 1, 0, 2, 0, 3, 0, 0, 63, 0))),
    )
)
_COUNT = (SIDE // 2) ** 2
_MARKERS = [_RESTARTS[i % 8] for i in range(_COUNT - 1)] + [b"\xff\xd9"]


def encode(kinds: Any) -> bytes:
    """Make a JPEG of a square array of `SIDE` by `SIDE` patch kinds."""
    keys = kinds[0::2, 0::2] << 12 | kinds[0::2, 1::2] << 8 | kinds[1::2, 0::2] << 4 | kinds[1::2, 1::2]
    pieces = [b""] * (2 * _COUNT)
    pieces[::2] = map(_unit, keys.ravel().tolist())
    pieces[1::2] = _MARKERS
    return _HEAD + b"".join(pieces)


@lru_cache(maxsize=1)
def _noise() -> Any:
    """Clouds without end: smooth noise of three octaves, evenly spread over 0 .. 255, repeated both ways."""
    side = 2 * SIDE
    total = np.zeros((side, side), dtype=np.int64)
    for octave, cell in enumerate((16, 8, 4)):
        count = side // cell
        grain = np.frombuffer(shake_256(f"octave {octave}".encode()).digest(count * count), dtype=np.uint8)
        grid = grain.reshape(count, count).astype(np.int64)
        grid = np.pad(grid, (0, 1), mode="wrap")
        at, part = np.divmod(np.arange(side), cell)
        upper = grid[at][:, at] * (cell - part) + grid[at][:, at + 1] * part
        lower = grid[at + 1][:, at] * (cell - part) + grid[at + 1][:, at + 1] * part
        total += (
            (upper * (cell - part)[:, None] + lower * part[:, None]) * 256 // cell
        )  # an octave weighs what its cell is wide
    rank = np.empty(side * side, dtype=np.int64)
    rank[np.argsort(total.ravel(), kind="stable")] = np.arange(side * side)
    even = (rank * 256 // (side * side)).astype(np.int32).reshape(side, side)
    return np.tile(even, (2, 2))


def _together(shape: BaseGeometry) -> BaseGeometry:
    """Bring the parts of a footprint that was cut at the antimeridian side by side again."""
    west, _, east, _ = shape.bounds
    if east - west < 180:  # noqa: PLR2004 - no scene is half the world wide
        return shape

    def eastwards(points: Any) -> Any:
        return np.column_stack((points[:, 0] % 360, points[:, 1]))

    joined: BaseGeometry = shapely.transform(shape, eastwards)
    return joined


@lru_cache(maxsize=4096)
def _canvas(wkt: str) -> tuple[Any, Any]:
    """Which patches lie within a footprint, and which on land; north is up, east-west true to scale."""
    inside, ashore = np.zeros((SIDE, SIDE), dtype=bool), np.zeros((SIDE, SIDE), dtype=bool)
    shape = shapely.from_wkt(wkt, on_invalid="ignore")
    if shape is None or shape.is_empty or not np.isfinite(shape.bounds).all():
        return ~inside, ashore
    shape = _together(shape)
    west, south, east, north = shape.bounds
    squeeze = max(0.05, float(np.cos(np.radians((south + north) / 2))))
    half = 0.53 * max((east - west) * squeeze, north - south, 1e-6)
    steps = (np.arange(SIDE) + 0.5) / SIDE * 2 - 1
    lons, lats = np.meshgrid((west + east) / 2 + steps * half / squeeze, (south + north) / 2 - steps * half)
    inside = shapely.contains_xy(shape, lons, lats)
    for region in REGIONS:
        for turn in (0, 360):
            outline = land(region)
            if outline.intersects(shapely.box(west + turn, south, east + turn, north)):
                ashore |= shapely.contains_xy(outline, lons + turn, lats)
    return inside, ashore


def quicklook(wkt: str, *, cloud: float | None, radar: bool, chance: bytes) -> bytes:
    """Draw a scene.

    Args:
        wkt: Its footprint; one that cannot be read fills the picture.
        cloud: Percent of cloud, None for none.
        radar: Grey backscatter instead of colours.
        chance: At least three bytes that shift the pattern of the clouds.
    """
    inside, ashore = _canvas(wkt)
    top, left = chance[0] % (2 * SIDE), chance[1] % (2 * SIDE)
    pattern = _noise()[top : top + SIDE, left : left + SIDE]
    if chance[2] & 1:
        pattern = pattern.T
    if radar:
        kinds = np.where(ashore, _RADAR_LAND[0] + (pattern >> 6), _RADAR_SEA[0] + (pattern >> 7))
    else:
        limit = round(2.56 * min(100.0, max(0.0, cloud or 0.0)))
        density = np.searchsorted((limit * 3 // 4, limit * 9 // 10, limit), pattern, side="right")
        density = 3 - density
        kinds = np.where(ashore, _OPTICAL_LAND[0], _OPTICAL_SEA[0]) + density
    return encode(np.where(inside, kinds, _OUTSIDE))
