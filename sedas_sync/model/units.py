"""Sizes and durations such as `20MB` and `1h30m`, in bytes and seconds."""

import re
from math import isfinite

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:([kKMGT]?i?B)(?:/s)?)?\s*")
_DECIMAL = {"B": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[dhms])+")
_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}

SIZES = "a number of bytes, or a text such as '20MB' (millions), '512KiB' or '0'"
"""What `size` accepts, in words."""
DURATIONS = "a text such as '24h', '90m', '2d', '30s' or '1h30m', or a number of seconds"
"""What `duration` accepts, in words."""


def size(value: object) -> int:
    """Read a number of bytes: kB, MB, GB, TB are powers of 1000, KiB, MiB, GiB, TiB of 1024.

    A `/s` at the end is ignored, because such sizes are often rates. Units must be spelled as above: `Mb` is an
    error, because it often means megabits.

    Raises:
        ValueError: The value is not a size, is negative, or is above 0 and less than one byte.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    unit = (match[2] or "B") if match else ""
    if match is None or unit == "iB":
        raise ValueError(f"must be {SIZES}")
    factors = _BINARY if "i" in unit else _DECIMAL
    number = float(match[1]) * factors[unit[0].upper()]
    if 0 < number < 1 or not isfinite(number):
        raise ValueError(f"must be {SIZES}")
    return round(number)


def duration(value: object) -> float:
    """Read a duration as seconds.

    Raises:
        ValueError: The value is not a duration or is negative.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) and value >= 0:
        return float(value)
    text = value.strip() if isinstance(value, str) else ""
    if not _DURATION.fullmatch(text):
        raise ValueError(f"must be {DURATIONS}")
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in re.findall(r"([\d.]+)([dhms])", text))
    if not isfinite(seconds):
        raise ValueError(f"must be {DURATIONS}")
    return seconds
