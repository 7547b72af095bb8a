"""The scenes of the benchmarks: ids, catalogue rows and zips, the same on every machine.

Half of a zip is noise in a stored entry, and half is 16-bit samples with the statistics of a radar image in a deflated
entry. With `stored` it is only noise, like a product of JPEG 2000 pictures. The CRC of every entry is correct, and no
two scenes have the same bytes.
"""

import random
import struct
import zlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

SEED = 20190430
FIRST = datetime(2019, 5, 1, tzinfo=UTC)
SPACING = timedelta(seconds=60)
"""Time between the acquisition starts of two scenes."""

_NOISE = 1 << 20
_SAMPLES = 1 << 17
_BLOCKS = 4
_AMPLITUDE = 120.0
"""Scale of the Rayleigh distribution of the amplitudes in a radar image."""
_STORED, _DEFLATED = 0, 8
_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_DATE = (2019 - 1980) << 9 | 4 << 5 | 30
_LAST_BLOCK = b"\x03\x00"
"""An empty final block of deflate."""


def scene_id(number: int) -> str:
    """Return the id of a scene, named like a Sentinel-2 product."""
    start = FIRST + number * SPACING
    return f"S2A_MSIL1C_{start:%Y%m%dT%H%M%S}_N0207_R137_T30UXC_{start:%Y%m%dT%H%M%S}"


def catalogue_rows(online: int, lta: int = 0, digests: Sequence[str] = ()) -> Iterator[dict]:
    """Yield product objects as the archive sends them: online scenes, then scenes that must be ordered.

    The first scenes get these checksums.
    """
    from sedas_sync.sandbox import make_row  # noqa: PLC0415  # takes a second, and only the archive's process needs it

    for number in range(online + lta):
        # Neighbours differ, and all footprints are over Harwell, however many there are.
        west = -1.5 + number % 100_000 * 1e-6
        corners = [(west, 51.4), (west + 0.4, 51.4), (west + 0.4, 51.8), (west, 51.8), (west, 51.4)]
        yield make_row(
            scene_id(number),
            f"{FIRST + number * SPACING:%Y-%m-%dT%H:%M:%SZ}",
            footprint=f"POLYGON(({','.join(f'{lon:.6f} {lat}' for lon, lat in corners)}))",
            online=number < online,
            filehash=digests[number] if number < len(digests) else None,
        )


@dataclass(frozen=True)
class _Entry:
    name: bytes
    method: int
    crc: int
    packed: int
    size: int


def write_zip(path: Path, number: int, size: int, *, stored: bool = False) -> int:
    """Write the zip of a scene with about `size` bytes, and return its length."""
    entries: list[tuple[int, _Entry]] = []
    with path.open("wb") as file:
        share = size if stored else size // 2
        for name, method, amount in (
            (b"measurement/noise.jp2", _STORED, share),
            (b"measurement/samples.tiff", _DEFLATED, size - share),
        ):
            if not amount:
                continue
            at = file.tell()
            file.write(bytes(_LOCAL.size) + name)
            chunks = _noise(number, amount) if method == _STORED else _samples(number, amount)
            crc = packed = length = 0
            for plain, data in chunks:
                file.write(data)
                crc, packed, length = zlib.crc32(plain, crc), packed + len(data), length + len(plain)
            entry = _Entry(name, method, crc, packed, length)
            end = file.tell()
            file.seek(at)
            file.write(_LOCAL.pack(b"PK\x03\x04", 20, 0, method, 0, _DATE, crc, packed, length, len(name), 0))
            file.seek(end)
            entries.append((at, entry))
        start = file.tell()
        for at, entry in entries:
            sizes = (entry.crc, entry.packed, entry.size)
            head = (b"PK\x01\x02", 0x314, 20, 0, entry.method, 0, _DATE, *sizes, len(entry.name), 0, 0, 0, 0, 0, at)
            file.write(_CENTRAL.pack(*head) + entry.name)
        count, length = len(entries), file.tell() - start
        file.write(_END.pack(b"PK\x05\x06", 0, 0, count, count, length, start, 0))
        return file.tell()


@cache
def _noise_block() -> bytes:
    return random.Random(SEED).randbytes(_NOISE)


def _noise(number: int, amount: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield noise; every block starts with its scene and position, so that no two are equal."""
    block = memoryview(_noise_block())
    for at in range(0, amount, _NOISE):
        data = struct.pack("<IQ", number, at) + block[12 : max(12, min(_NOISE, amount - at))]
        yield data, data


@cache
def _sample_blocks() -> tuple[tuple[bytes, bytes], ...]:
    """Return samples, plain and deflated; each block ends at a byte boundary and can be decoded alone."""
    dice = random.Random(SEED + 1)
    blocks = []
    for _ in range(_BLOCKS):
        amplitudes = (int(dice.weibullvariate(_AMPLITUDE, 2)) for _ in range(_SAMPLES))
        plain = array("H", amplitudes).tobytes()
        blocks.append((plain, _deflate(plain)))
    return tuple(blocks)


def _deflate(plain: bytes) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return packer.compress(plain) + packer.flush(zlib.Z_FULL_FLUSH)


def _samples(number: int, amount: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield samples in an order that depends on the scene, with about `amount` packed bytes."""
    head = f"scene {number}\n".encode()
    yield head, (packed := _deflate(head))
    left, turn = amount - len(packed) - len(_LAST_BLOCK), number
    while left > 0:
        plain, data = _sample_blocks()[turn % _BLOCKS]
        turn += 1 + number % (_BLOCKS - 1)
        if len(data) > left:
            plain = plain[: len(plain) * left // len(data)]
            data = _deflate(plain)
            left = 0
        yield plain, data
        left -= len(data)
    yield b"", _LAST_BLOCK


def write_scenes(folder: Path, count: int, size: int, *, stored: bool = False) -> dict[str, int]:
    """Write the zips of the first scenes, and return their lengths by file name."""
    folder.mkdir(parents=True)
    return {
        f"{scene_id(number)}.zip": write_zip(folder / f"{scene_id(number)}.zip", number, size, stored=stored)
        for number in range(count)
    }
