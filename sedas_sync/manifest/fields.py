"""Types of the values in a manifest.

Each type is an `Annotated` for a field of a table model (`tables`). pydantic checks numbers and lists. A type with a
syntax of its own, such as a date or a size, has a `Reader`: a function, the allowed values in words, and their JSON
Schema, side by side. The words are used in error messages ("must be …") and in the reference.

TOML has true types, so nothing is converted between them: a text is not a number, and `true` is not 1.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from math import isfinite
from types import MappingProxyType
from typing import Annotated, Any, get_args

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, WithJsonSchema
from pydantic_core import CoreSchema, core_schema

from sedas_sync.manifest import hosts
from sedas_sync.manifest.countries import suggested_code
from sedas_sync.manifest.dates import DATES, DateSpec
from sedas_sync.model import units
from sedas_sync.model.path_template import FIELDS, Layout

Schema = dict[str, Any]
"""A JSON Schema."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Annotation for a type that pydantic does not know."""

    read: Callable[[Any], Any]
    """Returns the program's form of a TOML value. Raises a ValueError; its text, if any, replaces "must be …"."""
    allowed: str
    """The allowed values in words; completes "must be …"."""
    schema: Mapping[str, Any] | Callable[[], Schema] = field(hash=False)
    """The allowed values as JSON Schema, or a function that returns it: few commands need it."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> Schema:
        return {"title": self.allowed, **(self.schema() if callable(self.schema) else self.schema)}


class AnyCase:
    """Annotation for a Literal whose words are accepted in any letter case."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        words = {word.lower(): word for word in get_args(source)}

        def spelled(value: Any) -> Any:
            return words.get(value.strip().lower(), value) if isinstance(value, str) else value

        return core_schema.no_info_before_validator_function(spelled, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> Schema:
        words = [word.lower() for word in handler(schema)["enum"]]
        pattern = _text(rf"^\s*(?:{any_case(words)})\s*$")
        return {"title": f"one of {', '.join(words)}", **_any_of({"enum": words}, pattern)}


def any_case(words: Collection[str]) -> str:
    """Return a pattern for JSON Schema that matches each of the words in any letter case."""

    def either(letter: str) -> str:
        return f"[{letter.upper()}{letter.lower()}]" if letter.isalpha() else letter

    return "|".join("".join(map(either, word)) for word in words)


def _text(pattern: str) -> Schema:
    return {"type": "string", "pattern": pattern}


def _any_of(*schemas: Schema) -> Schema:
    return {"anyOf": list(schemas)}


def _each(read: Callable[[Any], str], allowed: str, schema: Schema, *, least: int = 1, alone: bool = True) -> Reader:
    """Return the reader of a list without duplicates.

    Args:
        read: Reads one of its items.
        allowed: The allowed values in words.
        schema: Of one item.
        least: The smallest number of items.
        alone: Whether one item may stand without a list.
    """

    def read_each(value: Any) -> tuple[str, ...]:
        items = [value] if alone and not isinstance(value, list) else value
        if not isinstance(items, list) or len(items) < least:
            raise ValueError
        return tuple(dict.fromkeys(map(read, items)))

    of_items = {"type": "array", "items": schema, **({"minItems": least} if least else {})}
    return Reader(read_each, allowed, _any_of(schema, of_items) if alone else of_items)


# ------------------------------------------------------------------------------------------------ numbers

AboveZero = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, le=100, title="a percentage, a number from 0 to 100")]
# Range errors are left to the geometry, which can tell whether latitude and longitude are swapped.
Degrees = Annotated[
    float, Field(allow_inf_nan=False), WithJsonSchema({"type": "number", "minimum": -540, "maximum": 540})
]
BoundingBox = Annotated[
    tuple[Degrees, ...],
    Field(min_length=4, max_length=4, strict=False, title="a list of 4 numbers: west, south, east, north"),
]
Position = Annotated[
    tuple[Degrees, ...],
    Field(min_length=2, max_length=2, strict=False, title="a list of 2 numbers: longitude, latitude"),
]


# -------------------------------------------------------------------------------------------------- texts


def _line(value: Any) -> str:
    if isinstance(value, str) and value.strip() and value.isprintable():
        return value.strip()
    raise ValueError


def _document(value: Any) -> str:
    if isinstance(value, str) and value.strip():
        return value
    raise ValueError


_LINE = _text(r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$")

Line = Annotated[str, Reader(_line, "a text on one line, not empty", _LINE)]
Lines = Annotated[tuple[str, ...], _each(_line, "a list of texts, none of them empty", _LINE, least=0, alone=False)]
Names = Annotated[tuple[str, ...], _each(_line, "a name, or a list of at least one name, none of them empty", _LINE)]
"""Names without duplicates."""
_WKT_WORDS = any_case(["POLYGON", "GEOMETRYCOLLECTION", "LINESTRING", "POINT"])
_WKT = _text(rf"(?:{_WKT_WORDS})|^\W*0[01][0-9A-Fa-f]{{16,}}")
AOI_ENDINGS = (
    "geojson", "json", "wkt", "gpkg", "shp", "zip", "fgb", "kml", "kmz", "gml", "gpx", "parquet", "geoparquet"
)  # fmt: skip
"""Endings of the files that an AOI can be read from."""
_ENDINGS = any_case(AOI_ENDINGS)
Wkt = Annotated[str, Reader(_document, "a text, not empty", _WKT)]
AoiFile = Annotated[
    str, Reader(_line, "a text on one line, not empty", _text(rf"^[^\x00-\x1f\x7f]*\.(?:{_ENDINGS})\s*$"))
]


def _country(value: Any) -> str:
    code = _line(value).upper()
    if not _COUNTRY.fullmatch(code):
        raise ValueError(f"must be {_CODES}{suggested_code(value)}")
    return code


_CODES = "a code of three letters (ISO 3166-1 alpha-3) such as 'KEN', or a list of them"
_COUNTRY = re.compile(r"[A-Z]{3}")
Countries = Annotated[
    tuple[str, ...],
    _each(
        _country,
        _CODES,
        _text(r"^\s*[A-Za-z]{3}\s*$"),
    ),
]
"""Codes in upper case, without duplicates."""


def _layout(value: Any) -> Layout:
    text = _line(value)
    try:
        return Layout.parse(text)
    except ValueError as error:
        raise ValueError(f"this layout cannot be used: {error}") from None


_PLAIN_FIELDS = "|".join(name for name in FIELDS if name not in ("start", "stop"))
_LAYOUT_PART = rf"[^{{}}\\]|\{{\{{|\}}\}}|\{{(?:{_PLAIN_FIELDS})\}}|\{{(?:start|stop)(?::[^{{}}\\]+)?\}}"
PathLayout = Annotated[
    Layout,
    Reader(_layout, "a template such as '{start:%Y}/{id}'", _text(rf"^(?!\s*/)(?=.*\{{id\}})(?:{_LAYOUT_PART})+$")),
]


# ------------------------------------------------------------------------------------- archives and hosts


def _address(value: Any) -> str:
    return hosts.url(_line(value))


def _trusted_host(value: Any) -> str:
    return hosts.trusted_host(_line(value))


_LOOPBACK = r"(?:localhost|127(?:\.\d+){3}|\[::1\])"
_URL = _text(rf"^\s*(?:https://[^\s\\@?#]+|http://{_LOOPBACK}(?::\d+)?(?:/[^\s\\@?#]*)?)\s*$")
Address = Annotated[str, Reader(_address, "an https address, or an http address of this machine", _URL)]


def _rewrite(value: Any) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise ValueError  # noqa: TRY004 - a wrong type in a file is not a programming error
    if odd := [start for start in value if not _SCHEME.match(start)]:
        raise ValueError(f"its keys are beginnings of links, such as 's3://bucket/', which {odd[0]!r} is not")
    return MappingProxyType({start: _address(address) for start, address in value.items()})


_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://")
Rewrite = Annotated[
    Mapping[str, str],
    Reader(
        _rewrite,
        'a table such as { "s3://bucket/" = "https://bucket.s3.amazonaws.com/" }',
        {"type": "object", "propertyNames": {"pattern": _SCHEME.pattern}, "additionalProperties": _URL},
    ),
]
"""Read-only."""
TrustedHosts = Annotated[tuple[str, ...], _each(_trusted_host, "a list of host names", _LINE, least=0, alone=False)]
"""Exact names or `*.example.org`, in lower case."""


# ----------------------------------------------------------------------------- times, sizes and durations

_DATE = r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
_TIME = r"(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d+)?)?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)?"
_DATES = _any_of(
    {"enum": ["today", "now"]},
    _text(rf"^\s*(?:{any_case(['today', 'now'])})\s*$"),
    _text(r"^\s*-\s*\d{1,7}\s*[hdwHDW]\s*$"),
    _text(rf"^\s*{_DATE}(?:[Tt ]{_TIME})?\s*$"),
)
_SIZE = _any_of({"type": "integer", "minimum": 0}, _text(r"^\s*\d+(?:\.\d+)?\s*(?:(?:[kKMGT]i?)?B(?:/s)?)?\s*$"))
_DURATION = _any_of({"type": "number", "minimum": 0}, _text(r"^\s*(?:\d+(?:\.\d+)?[dhms])+\s*$"))

Start = Annotated[DateSpec, Reader(lambda value: DateSpec.parse(value, "start"), DATES, _DATES)]
End = Annotated[DateSpec, Reader(lambda value: DateSpec.parse(value, "end"), DATES, _DATES)]
Size = Annotated[int, Reader(units.size, units.SIZES, _SIZE)]
"""Bytes."""
Duration = Annotated[float, Reader(units.duration, units.DURATIONS, _DURATION)]
"""Seconds."""


def _segments(value: Any) -> int | None:
    if value == "auto":
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 16:  # noqa: PLR2004 - as in its schema
        return value
    raise ValueError


Segments = Annotated[
    int | None,
    Reader(
        _segments,
        '"auto" or a whole number from 1 to 16',
        _any_of({"enum": ["auto"]}, {"type": "integer", "minimum": 1, "maximum": 16}),
    ),
]
"""None is "auto"."""


# --------------------------------------------------------------------------------------- rules of datasets

_CHANNELS = ("HH", "HV", "VH", "VV")
_CHANNEL = f"(?:{any_case(_CHANNELS)})"
_TILE = re.compile(r"T?(0?[1-9]|[1-5][0-9]|60)([C-HJ-NP-X][A-HJ-NP-Z][A-HJ-NP-V])", re.IGNORECASE)
_TILE_TEXT = r"^\s*[Tt]?(?:0?[1-9]|[1-5][0-9]|60)[C-HJ-NP-Xc-hj-np-x][A-HJ-NP-Za-hj-np-z][A-HJ-NP-Va-hj-np-v]\s*$"
_SCENE_ID = re.compile(r"[^\s/\\*?\x00-\x1f\x7f]+")
_PRODUCT_ENDINGS = re.compile(r"(?:\.SAFE|\.zip)+$", re.IGNORECASE)


def _channels(value: Any) -> tuple[str, ...]:
    channels = re.split(r"[\s+/,&]+", value.strip().upper()) if isinstance(value, str) else []
    if not channels or not set(channels) <= set(_CHANNELS):
        raise ValueError
    return tuple(dict.fromkeys(channels))


def _tile(value: Any) -> str:
    match = _TILE.fullmatch(_line(value))
    if match is None:
        raise ValueError
    return f"{int(match[1]):02d}{match[2].upper()}"


def _scene_id(value: Any) -> str:
    scene_id = _PRODUCT_ENDINGS.sub("", _line(value))
    if not _SCENE_ID.fullmatch(scene_id):
        raise ValueError
    return scene_id


Polarisation = Annotated[
    tuple[str, ...],
    Reader(
        _channels,
        f"channels such as 'VV' or 'VV+VH', out of {', '.join(_CHANNELS)}",
        _text(rf"^\s*{_CHANNEL}(?:[\s+/,&]+{_CHANNEL})*\s*$"),
    ),
]
"""Channels in the order of the manifest, without duplicates. `+`, `/`, `,`, `&` and spaces separate them."""
Tiles = Annotated[
    tuple[str, ...],
    _each(_tile, "an MGRS tile such as '30UXC' (zone, band, square), or a list of them", _text(_TILE_TEXT)),
]
"""MGRS tiles without a leading T and with two digits, without duplicates."""
SceneIds = Annotated[
    tuple[str, ...],
    _each(
        _scene_id,
        "a list of at least one full scene id (wildcards belong in exclude)",
        _text(r"^\s*[^\s/\\*?]+\s*$"),
        alone=False,
    ),
]
"""Scene ids without duplicates and without `.SAFE` or `.zip` at the end."""


def _filters(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError  # noqa: TRY004 - a wrong type in a file is not a programming error
    for name, item in value.items():
        if not _is_plain(item):
            raise ValueError(f"must contain texts, numbers, true or false, but its {name!r} does not")
        is_number = isinstance(item, int | float) and not isinstance(item, bool)
        if name.endswith("Percent") and not (is_number and 0 <= item <= 100):  # noqa: PLR2004 - a percentage
            raise ValueError(f"its {name} must be a percentage, a number from 0 to 100")
    return MappingProxyType({name: _frozen(item) for name, item in value.items()})


def _is_plain(value: Any) -> bool:
    """Whether a value consists of texts, finite numbers, booleans, and lists and tables of them."""
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, float):
        return isfinite(value)
    return isinstance(value, str | int)


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return MappingProxyType({name: _frozen(item) for name, item in value.items()})
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


Filters = Annotated[
    Mapping[str, Any],
    Reader(
        _filters,
        "a table such as { maxCloudPercent = 50 }",
        {
            "type": "object",
            "patternProperties": {"Percent$": {"type": "number", "minimum": 0, "maximum": 100}},
            "additionalProperties": {"type": ["string", "number", "boolean", "array", "object"]},
        },
    ),
]
"""Read-only; lists become tuples."""
