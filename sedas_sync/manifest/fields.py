"""Readers of single values of a manifest.

Each takes a value as TOML gives it and returns it in the form the program uses, or raises a ValueError that
says what is allowed ("must be …"); never a TypeError, since a wrong type is a mistake in a file here. TOML
has true types, so nothing is converted between them: a text is no number, and neither is true.
"""

import re
from collections.abc import Callable, Mapping
from math import isfinite
from types import MappingProxyType
from typing import Any, cast

from sedas_sync.model.path_template import Layout

_CHANNELS = ("HH", "HV", "VH", "VV")
_TILE = re.compile(r"T?(0?[1-9]|[1-5][0-9]|60)([C-HJ-NP-X][A-HJ-NP-Z][A-HJ-NP-V])", re.IGNORECASE)
_PRODUCT = re.compile(r"[^\s/\\*?\x00-\x1f\x7f]+")
_ENDINGS = re.compile(r"(?:\.SAFE|\.zip)+$", re.IGNORECASE)


def text(value: Any) -> str:
    """A text that says something, on one line."""
    if isinstance(value, str) and value.strip() and value.isprintable():
        return value.strip()
    raise ValueError("must be a text that is not empty, on one line")


def document(value: Any) -> str:
    """A text that says something, on as many lines as it likes."""
    if isinstance(value, str) and value.strip():
        return value
    raise ValueError("must be a text that is not empty")


def number(value: Any) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
        raise ValueError("must be a number")
    return float(value)


def above_zero(value: Any) -> float:
    """A finite number above 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value) or value <= 0:
        raise ValueError("must be a number above 0")
    return float(value)


def percent(value: Any) -> float:
    """A percentage."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:  # noqa: PLR2004 - a percentage
        raise ValueError("must be a percentage, a number from 0 to 100")
    return float(value)


def whole(least: int, most: int | None = None) -> Callable[[Any], int]:
    """A reader of whole numbers between two bounds, both included."""
    bounds = f"from {least} to {most}" if most is not None else f"of at least {least}"

    def read(value: Any) -> int:
        fits = isinstance(value, int) and not isinstance(value, bool) and value >= least
        if not fits or (most is not None and value > most):
            raise ValueError(f"must be a whole number {bounds}")
        return int(value)

    return read


def choice(*allowed: str) -> Callable[[Any], str]:
    """A reader of one of several words, in any letter case."""

    def read(value: Any) -> str:
        if isinstance(value, str) and value.strip().lower() in allowed:
            return value.strip().lower()
        raise ValueError(f"must be one of {', '.join(allowed)}")

    return read


def numbers(count: int, what: str) -> Callable[[Any], tuple[float, ...]]:
    """A reader of a list of so many finite numbers."""

    def read(value: Any) -> tuple[float, ...]:
        if not isinstance(value, list) or len(value) != count:
            raise ValueError(f"must be a list of {count} numbers: {what}")
        try:
            return tuple(number(item) for item in value)
        except ValueError:
            raise ValueError(f"must be a list of {count} numbers: {what}") from None

    return read


def texts(value: Any) -> tuple[str, ...]:
    """A list of texts, each of which says something."""
    if not isinstance(value, list):
        raise ValueError("must be a list of texts")  # noqa: TRY004 - see the module's docstring
    try:
        return tuple(text(item) for item in value)
    except ValueError:
        raise ValueError("must be a list of texts, none of them empty") from None


def names(value: Any) -> tuple[str, ...]:
    """A name or a list of at least one, without repetition."""
    found = texts(value) if isinstance(value, list) else (text(value),)
    if not found:
        raise ValueError("must be a name or a list of at least one name")
    return tuple(dict.fromkeys(found))


def products(value: Any) -> tuple[str, ...]:
    """A list of at least one product id, without repetition; `.SAFE` and `.zip` at the end are cut off."""
    found = [_ENDINGS.sub("", item) for item in texts(value)]
    if not found or not all(_PRODUCT.fullmatch(item) for item in found):
        raise ValueError("must be a list of at least one full product id (wildcards belong in exclude)")
    return tuple(dict.fromkeys(found))


def orbit_direction(value: Any) -> str:
    """ASCENDING or DESCENDING."""
    return choice("ascending", "descending")(value).upper()


def polarisation(value: Any) -> tuple[str, ...]:
    """Channels such as `VV+VH`, also with `/`, `,` or spaces between them, in the order given."""
    found = re.split(r"[\s+/,&]+", value.strip().upper()) if isinstance(value, str) else []
    if not found or not set(found) <= set(_CHANNELS):
        raise ValueError(f"must be channels such as 'VV' or 'VV+VH', out of {', '.join(_CHANNELS)}")
    return tuple(dict.fromkeys(found))


def tiles(value: Any) -> tuple[str, ...]:
    """A Sentinel-2 tile of the military grid (MGRS) or a list of them: `30UXC`, also `T30UXC`."""
    found = [_TILE.fullmatch(item.strip()) if isinstance(item, str) else None for item in _listed(value)]
    matches = [match for match in found if match]
    if not matches or len(matches) < len(found):
        raise ValueError("must be an MGRS tile such as '30UXC' (zone, band, square), or a list of them")
    return tuple(dict.fromkeys(f"{int(match[1]):02d}{match[2].upper()}" for match in matches))


def segments(value: Any) -> int | None:
    """Connections a scene may be split over; None is "auto"."""
    if value == "auto":
        return None
    try:
        return whole(1, 16)(value)
    except ValueError:
        raise ValueError('must be "auto" or a whole number from 1 to 16') from None


def filters(value: Any) -> Mapping[str, Any]:
    """A table of the archive's own filters: texts, finite numbers, true, false, and lists and tables of them."""
    if not isinstance(value, dict):
        raise ValueError("must be a table such as { maxCloudPercent = 50 }")  # noqa: TRY004 - as above
    for name, item in value.items():
        if not _is_plain_tree(item):
            raise ValueError(f"must hold texts, numbers, true or false, but its {name!r} does not")
        if name.endswith("Percent"):
            try:
                percent(item)
            except ValueError as error:
                raise ValueError(f"its {name} {error}") from None
    return cast(Mapping[str, Any], _frozen(value))


def layout(value: Any) -> Layout:
    """A template of paths below the mirror."""
    try:
        return Layout.parse(text(value))
    except ValueError as error:
        raise ValueError(f"this layout cannot be: {error}") from None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return MappingProxyType({name: _frozen(item) for name, item in value.items()})
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _is_plain_tree(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_plain_tree, value.values()))
    return all(map(_is_plain_tree, value)) if isinstance(value, list) else _is_plain(value)


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | bool) or (isinstance(value, int | float) and _is_finite(value))


def _is_finite(value: float) -> bool:
    try:
        return isfinite(value)
    except OverflowError:
        return False
