"""The manifest as a JSON Schema for editors, and as tables of keys for the reference page.

The keys, their words and their order come from the models in `tables`; what a key means, and how it may be
written, is said here. A key of a model that nothing is said about is an error, so that neither can drift.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from sedas_sync.manifest import VERSION
from sedas_sync.manifest.archive_types import ADDRESS, ArchiveType, BrokenTypeError
from sedas_sync.manifest.rules import PLAIN_NAME
from sedas_sync.manifest.tables import DEFAULT_TYPE, AoiTable, ArchiveConfig, Dataset, MirrorConfig, TransferConfig
from sedas_sync.model.path_template import FIELDS

DIALECT = "http://json-schema.org/draft-07/schema#"
"""The draft that editors of TOML read (Taplo, and with it Even Better TOML in VS Code)."""

MODELS: Mapping[str, type[BaseModel]] = MappingProxyType(
    {
        "archive": ArchiveConfig,
        "mirror": MirrorConfig,
        "transfer": TransferConfig,
        "aoi": AoiTable,
        "dataset": Dataset,
    }
)
"""The model of each kind of table."""

_NOT_KEYS = frozenset({"name", "options", "meaning"})
"""Fields of models that no manifest sets."""

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SchemaKey:
    """What a key means, and how it may be written."""

    meaning: str
    kind: str
    """Its type in words."""
    schema: Mapping[str, Any]
    default: Any = None
    """As it would stand in a manifest; None where there is none."""


def _any_case(words: Collection[str]) -> str:
    def either(letter: str) -> str:
        return f"[{letter.upper()}{letter.lower()}]" if letter.isalpha() else letter

    return "|".join("".join(map(either, word)) for word in words)


def _choice(model: type[BaseModel], key: str) -> Schema:
    """The words of a field's Literal: as they are best written, and in any other case."""
    words = [word.lower() for word in _words(model.model_fields[key].annotation)]
    return {"anyOf": [{"enum": words}, {"type": "string", "pattern": rf"^\s*(?:{_any_case(words)})\s*$"}]}


def _words(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [word for part in get_args(annotation) for word in _words(part)]


_LINE: Schema = {"type": "string", "pattern": r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"}
_TEXT: Schema = {"type": "string", "pattern": r"\S"}
_LINES: Schema = {"type": "array", "items": _LINE}
_NAMES: Schema = {"anyOf": [_LINE, {"type": "array", "items": _LINE, "minItems": 1}]}
_PERCENT: Schema = {"type": "number", "minimum": 0, "maximum": 100}
_ABOVE_ZERO: Schema = {"type": "number", "exclusiveMinimum": 0}
_DATE = r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
_TIME = r"(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d+)?)?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)?"
_WHEN: Schema = {
    "anyOf": [
        {"enum": ["today", "now"]},
        {"type": "string", "pattern": rf"^\s*(?:{_any_case(['today', 'now'])})\s*$"},
        {"type": "string", "pattern": r"^\s*-\s*\d{1,7}\s*[hdwHDW]\s*$"},
        {"type": "string", "pattern": rf"^\s*{_DATE}(?:[Tt ]{_TIME})?\s*$"},
    ]
}
_SIZE: Schema = {
    "anyOf": [
        {"type": "integer", "minimum": 0},
        {"type": "string", "pattern": r"^\s*\d+(?:\.\d+)?\s*(?:(?:[kKMGT]i?)?B(?:/s)?)?\s*$"},
    ]
}
_DURATION: Schema = {
    "anyOf": [
        {"type": "number", "minimum": 0},
        {"type": "string", "pattern": r"^\s*(?:\d+(?:\.\d+)?[dhms])+\s*$"},
    ]
}
_CHANNEL = f"(?:{_any_case(['HH', 'HV', 'VH', 'VV'])})"
_TILE: Schema = {
    "type": "string",
    "pattern": r"^\s*[Tt]?(?:0?[1-9]|[1-5][0-9]|60)[C-HJ-NP-Xc-hj-np-x][A-HJ-NP-Za-hj-np-z][A-HJ-NP-Va-hj-np-v]\s*$",
}
_FILTERS: Schema = {
    "type": "object",
    "patternProperties": {"Percent$": _PERCENT},
    "additionalProperties": {"type": ["string", "number", "boolean", "array", "object"]},
}
_LAYOUT_FIELDS = "|".join(field for field in FIELDS if field not in ("start", "stop"))
_LAYOUT: Schema = {
    "type": "string",
    "pattern": r"^(?!\s*/)(?=.*\{id\})"
    rf"(?:[^{{}}\\]|\{{\{{|\}}\}}|\{{(?:{_LAYOUT_FIELDS})\}}|\{{(?:start|stop)(?::[^{{}}\\]+)?\}})+$",
}
_WKT: Schema = {"type": "string", "pattern": rf"(?:{_any_case(['POLYGON', 'GEOMETRYCOLLECTION'])})"}
_FILE: Schema = {
    "type": "string",
    "pattern": rf"^[^\x00-\x1f\x7f]*\.(?:{_any_case(['geojson', 'json', 'wkt', 'gpkg', 'shp', 'zip'])})\s*$",
}


def _position(count: int) -> Schema:
    """Degrees; that latitudes end at 90 is what a list of one kind of item cannot say in this draft."""
    degrees = {"type": "number", "minimum": -180, "maximum": 180}
    return {"type": "array", "items": degrees, "minItems": count, "maxItems": count}


def _whole(least: int, most: int | None = None) -> Schema:
    return {"type": "integer", "minimum": least, **({} if most is None else {"maximum": most})}


KEYS: Mapping[str, Mapping[str, SchemaKey]] = MappingProxyType(
    {
        "archive": {
            "type": SchemaKey("Which kind of archive.", "name", _LINE, DEFAULT_TYPE),
            "url": SchemaKey(
                "Address of its API: https, or http to this machine. Where left out, the type's own.",
                "text",
                _LINE,
            ),
            "trusted_hosts": SchemaKey(
                "Further hosts that links may lead to: they may be sent the token, and may be at a private address. "
                "Exact names, or `*.example.org`. A token from the environment goes only to those that its `…_HOST` "
                "variable names too. Type `sedas` trusts `*.satapps.org`.",
                "list of host names",
                _LINES,
            ),
            "filehash": SchemaKey(
                "What a scene is worth that differs from the digest in the catalogue: told, refused, or neither.",
                "`warn`, `enforce`, `ignore`",
                _choice(ArchiveConfig, "filehash"),
                "warn",
            ),
        },
        "mirror": {
            "path": SchemaKey("The folder of the scenes, relative to the manifest.", "path", _LINE, "scenes"),
            "layout": SchemaKey(
                "Template of the paths below it, without the extension. Fields: "
                + ", ".join(f"`{field}`" for field in FIELDS)
                + "; `start` and `stop` take strftime, as in `{start:%Y/%m}`.",
                "template",
                _LAYOUT,
                "{id}",
            ),
        },
        "transfer": {
            "jobs": SchemaKey("Downloads at once.", "whole number from 1", _whole(1), 4),
            "segments": SchemaKey(
                "Connections that a large scene may be split over; `auto` leaves it to the program.",
                "`auto`, or 1 to 16",
                {"anyOf": [{"enum": ["auto"]}, _whole(1, 16)]},
                "auto",
            ),
            "retries": SchemaKey(
                "Further tries after the first, of a scene and of a call to the API.",
                "whole number from 0",
                _whole(0),
                5,
            ),
            "connect_timeout": SchemaKey("Seconds to wait for a connection.", "number above 0", _ABOVE_ZERO, 10.0),
            "stall_timeout": SchemaKey(
                "Seconds without a byte before a connection is given up.", "number above 0", _ABOVE_ZERO, 60.0
            ),
            "max_rate": SchemaKey(
                "Bytes a second over all downloads, such as `20MB` or `512KiB`; `0` is no limit.", "size", _SIZE, "0"
            ),
            "order_timeout": SchemaKey(
                "How long one run waits for orders from the long-term archive, such as `90m` or `24h`.",
                "duration, or seconds",
                _DURATION,
                "24h",
            ),
            "max_orders": SchemaKey(
                "At most so many orders are placed in one run; 0 is no limit.", "whole number from 0", _whole(0), 0
            ),
            "integrity": SchemaKey(
                "How far a scene's bytes are checked: every entry of the zip, its directory, or the length alone.",
                "`crc`, `structure`, `size`",
                _choice(TransferConfig, "integrity"),
                "crc",
            ),
        },
        "aoi": {
            "wkt": SchemaKey("The area as WKT: POLYGON, MULTIPOLYGON or GEOMETRYCOLLECTION.", "text", _WKT),
            "file": SchemaKey(
                "A file with the area, relative to the manifest: `.geojson`, `.json`, `.wkt`, and with the extra "
                "`sedas-sync[vector]` `.gpkg`, `.shp`, `.zip`. All polygons in it count.",
                "path",
                _FILE,
            ),
            "bbox": SchemaKey(
                "West, south, east, north in degrees; west greater than east crosses the antimeridian.",
                "list of 4 numbers",
                _position(4),
            ),
            "point": SchemaKey("Longitude, latitude in degrees; needs `radius_km`.", "list of 2 numbers", _position(2)),
            "radius_km": SchemaKey("Kilometres around `point`.", "number above 0", _ABOVE_ZERO),
        },
        "dataset": {
            "archive": SchemaKey(
                "The archives it takes scenes from: needed where the manifest has several.", "name, or list", _NAMES
            ),
            "aoi": SchemaKey("Areas by name; a scene over any of them belongs.", "name, or list", _NAMES),
            "start": SchemaKey(
                "Earliest sensing start: a date or date-time (without offset it is UTC), `today`, `now`, or how long "
                "ago: `-30d`, `-12h`, `-2w`.",
                "date",
                _WHEN,
            ),
            "end": SchemaKey(
                "Latest sensing start, as `start`; a date counts to its last second.", "date", _WHEN, "now"
            ),
            "sensor": SchemaKey("The class of sensor.", "`all`, `optical`, `sar`", _choice(Dataset, "sensor"), "all"),
            "max_cloud_cover": SchemaKey(
                "Most cloud, percent. Acts on optical scenes that state a figure.", "0 to 100", _PERCENT
            ),
            "satellite": SchemaKey("Name of the satellite, such as `Sentinel-2A`.", "text", _LINE),
            "source_group": SchemaKey("The archive's group of satellites, such as `S1` or `S2`.", "text", _LINE),
            "product_type": SchemaKey("Type of product, such as `L1C` or `GRD`.", "text", _LINE),
            "orbit_direction": SchemaKey(
                "Direction of flight.", "`ascending`, `descending`", _choice(Dataset, "orbit_direction")
            ),
            "polarisation": SchemaKey(
                "Channels that must all be there, such as `VV+VH`.",
                "text",
                {"type": "string", "pattern": rf"^\s*{_CHANNEL}(?:[\s+/,&]+{_CHANNEL})*\s*$"},
            ),
            "min_aoi_coverage": SchemaKey(
                "Least share of one of the areas under the scene's footprint, percent.", "0 to 100", _PERCENT
            ),
            "tile": SchemaKey(
                "MGRS tiles of Sentinel-2, such as `30UXC`; any of them will do.",
                "text, or list",
                {"anyOf": [_TILE, {"type": "array", "items": _TILE, "minItems": 1}]},
            ),
            "relative_orbit": SchemaKey("Number of the orbit in the repeat cycle.", "1 to 175", _whole(1, 175)),
            "exclude": SchemaKey(
                "Ids of scenes that do not belong, or patterns of them such as `S2B_*`.", "list of texts", _LINES
            ),
            "latest": SchemaKey("Only so many of the newest scenes belong.", "whole number from 1", _whole(1)),
            "reprocessed": SchemaKey(
                "Of one acquisition in several processing baselines: all, or the newest.",
                "`all`, `newest`",
                _choice(Dataset, "reprocessed"),
                "all",
            ),
            "filters": SchemaKey("The archive's own filters by name, passed on as they are.", "table", _FILTERS),
            "products": SchemaKey(
                "Named products, by their full ids, instead of areas, dates and rules; only `archive` and `exclude` "
                "may stand beside it.",
                "list of ids",
                {"type": "array", "items": {"type": "string", "pattern": r"^\s*[^\s/\\*?]+\s*$"}, "minItems": 1},
            ),
        },
    }
)
"""Every key that may stand in a table."""

_TABLES: Mapping[str, str] = MappingProxyType(
    {
        "archive": "Where the scenes come from. The whole table may be left out.",
        "mirror": "Where the scenes go. May be left out.",
        "transfer": "How scenes are fetched. Every key has a default; may be left out.",
        "aoi": "One area of interest, in exactly one of the ways wkt, file, bbox, point.",
        "dataset": "Scenes over areas within an interval that obey every rule given here, or named products.",
    }
)


def keys_of(table: str) -> dict[str, SchemaKey]:
    """The keys of a kind of table, in the order of its model.

    Raises:
        KeyError: the model has a key that `KEYS` says nothing about.
    """
    return {name: KEYS[table][name] for name in MODELS[table].model_fields if name not in _NOT_KEYS}


def manifest_schema(types: Mapping[str, ArchiveType]) -> Schema:
    """The JSON Schema of a manifest, its dates as texts.

    It refuses what the parser refuses as far as a schema can tell: names that are not there, areas that make no
    sense and intervals that end before they start are `validate`'s.

    Args:
        types: the types of archives that this installation knows, by name; those that cannot be used are left out.
    """
    tables = {name: _table(name) for name in MODELS}
    tables["archive"] = _archive(tables["archive"], _usable(types))
    tables["aoi"]["oneOf"] = [{"required": [way]} for way in ("wkt", "file", "bbox", "point")]
    tables["aoi"]["dependencies"] = {"point": ["radius_km"], "radius_km": ["point"]}
    tables["dataset"]["allOf"] = _dataset_rules()
    names = {"pattern": f"^{PLAIN_NAME.pattern}$"}

    def named(table: str, description: str, **more: Any) -> Schema:
        entry = {"$ref": f"#/definitions/{table}"}
        return {
            "type": "object",
            "description": description,
            "propertyNames": names,
            "additionalProperties": entry,
            **more,
        }

    return {
        "$schema": DIALECT,
        "title": "sedas-sync manifest",
        "description": "Which satellite scenes a folder shall hold.",
        "type": "object",
        "properties": {
            "version": {"const": VERSION, "description": "Version of the manifest format."},
            "archive": {"$ref": "#/definitions/archive"},
            "archives": named("archive", "Several archives by name; each dataset then names its own.", minProperties=1),
            "mirror": {"$ref": "#/definitions/mirror"},
            "transfer": {"$ref": "#/definitions/transfer"},
            "aoi": named("aoi", "Areas of interest by name."),
            "dataset": named("dataset", "What the mirror shall hold, by name.", minProperties=1),
        },
        "required": ["version", "dataset"],
        "additionalProperties": False,
        "not": {"required": ["archive", "archives"]},
        "if": {"properties": {"archives": {"minProperties": 2}}, "required": ["archives"]},
        "then": {"properties": {"dataset": {"additionalProperties": {"required": ["archive"]}}}},
        "definitions": tables,
    }


def _table(table: str) -> Schema:
    properties = {}
    for name, key in keys_of(table).items():
        default = {} if key.default is None else {"default": key.default}
        properties[name] = {"description": key.meaning, **key.schema, **default}
    return {
        "type": "object",
        "description": _TABLES[table],
        "properties": properties,
        "additionalProperties": False,
    }


def _usable(types: Mapping[str, ArchiveType]) -> list[ArchiveType]:
    found = []
    for name in types:
        try:
            found.append(types[name])
        except BrokenTypeError:
            continue
    return found


_SAFE_ADDRESS = (
    r"^\s*(?:https://[^\s\\@?#]+|http://(?:localhost|127(?:\.\d+){3}|\[::1\])(?::\d+)?(?:/[^\s\\@?#]*)?)\s*$"
)


def _archive(table: Schema, kinds: Collection[ArchiveType]) -> Schema:
    """The table of an archive: the keys of all types, and for each type those that it has."""
    properties = table["properties"]
    properties["type"] |= {"enum": sorted(kind.name for kind in kinds)}
    del properties["type"]["pattern"]
    properties["url"] |= {"pattern": _SAFE_ADDRESS, "examples": sorted({kind.url for kind in kinds if kind.url})}
    common = [name for name in properties if name not in ("url", "trusted_hosts")]
    rules = []
    for kind in kinds:
        named = {"properties": {"type": {"const": kind.name}}}
        condition = named if kind.name == DEFAULT_TYPE else {**named, "required": ["type"]}
        of_place = ["url", "trusted_hosts"] if kind.place == ADDRESS else []
        required = [name for name, key in kind.keys.items() if key.required]
        required += ["url"] if kind.place == ADDRESS and kind.url is None else []
        own = {name: {"description": key.about, **key.schema} for name, key in kind.keys.items()}
        then = {"propertyNames": {"enum": [*common, *of_place, *own]}, "properties": own, "required": required}
        rules.append({"if": condition, "then": then})
    every = {name for kind in kinds for name in kind.keys}
    return {**table, "properties": {**properties, **dict.fromkeys(sorted(every), True)}, "allOf": rules}


def _dataset_rules() -> list[Schema]:
    """What the keys of a dataset must obey together."""
    beside_products = ["products", "archive", "exclude"]

    def without(*keys: str) -> Schema:
        return {"not": {"anyOf": [{"required": [key]} for key in keys]}}

    def sensor(word: str) -> Schema:
        return {
            "properties": {"sensor": {"type": "string", "pattern": rf"^\s*{_any_case([word])}\s*$"}},
            "required": ["sensor"],
        }

    return [
        {
            "if": {"required": ["products"]},
            "then": {"propertyNames": {"enum": beside_products}},
            "else": {"required": ["aoi", "start"]},
        },
        {"if": sensor("sar"), "then": without("max_cloud_cover", "tile")},
        {"if": sensor("optical"), "then": without("polarisation")},
    ]
