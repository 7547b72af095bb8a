"""Checksums of `file:checksum`: multihashes in hex, which state their algorithm and length."""

from typing import Any

_NAMES = {
    0x11: ("sha1", 20),
    0x12: ("sha256", 32),
    0x13: ("sha512", 64),
    0x14: ("sha3_512", 64),
    0x15: ("sha3_384", 48),
    0x16: ("sha3_256", 32),
    0x17: ("sha3_224", 28),
    0x1E: ("blake3", 32),
    0x20: ("sha384", 48),
    0xD5: ("md5", 16),
    0x1013: ("sha224", 28),
    0x1014: ("sha512_224", 28),
    0x1015: ("sha512_256", 32),
}
"""Code of the multicodec table, name in `hashlib`, bytes."""
_BLAKE2B, _BLAKE2S = 0xB200, 0xB240
"""Codes of BLAKE2 follow these, one for each length in bytes, up to 64 and 32."""
_HEX = frozenset("0123456789abcdef")
_PLAIN = frozenset({32, 40, 64, 96, 128})
"""Hex digits of md5, sha1, sha256, sha384 and sha512."""


def digest_of(multihash: Any) -> str | None:
    """Read a multihash in hex as `algorithm:hex`; None if it is not one, or its algorithm is unknown.

    A plain checksum, as in the Sentinel-1 RTC of the Planetary Computer, is returned as it is; its length shows the
    algorithm.

    >>> digest_of("1114" + 40 * "0") == "sha1:" + 40 * "0"
    True
    """
    found = _read(multihash)
    if found is None and isinstance(multihash, str) and len(multihash) in _PLAIN and set(multihash.lower()) <= _HEX:
        return multihash.lower()
    return found


def _read(multihash: Any) -> str | None:
    try:
        data = bytes.fromhex(multihash)
        code, at = _varint(data, 0)
        length, at = _varint(data, at)
    except (TypeError, ValueError, IndexError):
        return None
    name, expected = _algorithm(code)
    digest = data[at:]
    if name is None or not len(digest) == length == expected:
        return None
    return f"{name}:{digest.hex()}"


def _algorithm(code: int) -> tuple[str | None, int]:
    if _BLAKE2B < code <= _BLAKE2B + 64:
        return "blake2b", code - _BLAKE2B
    if _BLAKE2S < code <= _BLAKE2S + 32:
        return "blake2s", code - _BLAKE2S
    return _NAMES.get(code, (None, 0))


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Read an unsigned LEB128 number; return it and the position after it."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at
