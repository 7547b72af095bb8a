"""The manifest as a JSON Schema for editors, and the keys of its tables for the reference.

pydantic generates the schema of each table from the models in `tables`. Rules between keys are added here.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel
from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, NoDefault
from pydantic_core import core_schema

from sedas_sync.manifest.archive_types import ArchiveType, BrokenTypeError
from sedas_sync.manifest.fields import Schema, any_case
from sedas_sync.manifest.tables import (
    BESIDE_PRODUCTS,
    DEFAULT_TYPE,
    PLAIN_NAME,
    VERSION,
    AoiTable,
    Dataset,
    MirrorConfig,
    TransferConfig,
    WebArchiveConfig,
)

DIALECT = "http://json-schema.org/draft-07/schema#"
"""The draft that TOML editors read (Taplo, and with it Even Better TOML in VS Code)."""

MODELS: Mapping[str, type[BaseModel]] = MappingProxyType(
    {
        "archive": WebArchiveConfig,
        "mirror": MirrorConfig,
        "transfer": TransferConfig,
        "aoi": AoiTable,
        "dataset": Dataset,
    }
)
"""The model of each kind of table."""


class _TomlSchema(GenerateJsonSchema):
    """Leaves out what TOML does not have (null) and the titles that pydantic makes from names."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def get_default_value(self, schema: core_schema.WithDefaultSchema) -> Any:
        default = super().get_default_value(schema)
        return NoDefault if default is None or default == () else default

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's signature
        return False


def table_schema(model: type[BaseModel]) -> Schema:
    """Return the JSON Schema of one table."""
    schema = model.model_json_schema(schema_generator=_TomlSchema)
    del schema["title"]
    return schema


def keys_of(model: type[BaseModel]) -> dict[str, Schema]:
    """Return the keys of a table with their schemas, in the order of its model."""
    return dict(table_schema(model)["properties"])


def manifest_schema(types: Mapping[str, ArchiveType]) -> Schema:
    """Return the JSON Schema of a manifest; its dates are texts.

    The schema rejects what the parser rejects, as far as a schema can. Names that do not exist, invalid areas and
    intervals that end before they start are only found by `validate`.

    Args:
        types: The archive types of this installation, by name. Those that cannot be used are left out.
    """
    tables = {name: table_schema(model) for name, model in MODELS.items()}
    tables["archive"] = _archive(tables["archive"], types)
    tables["aoi"]["oneOf"] = [{"required": [key]} for key in AoiTable.GIVEN_BY]
    tables["aoi"]["dependencies"] = {
        "point": ["radius_km"],
        "radius_km": ["point"],
        "layer": ["file"],
        "where": ["file"],
        "buffer_km": {"not": {"required": ["point"]}},
    }
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
        "description": "The satellite scenes that a folder must contain.",
        "type": "object",
        "properties": {
            "version": {"const": VERSION, "description": "Version of the manifest format."},
            "archive": {"$ref": "#/definitions/archive"},
            "archives": named("archive", "Several archives by name; each dataset then names its own.", minProperties=1),
            "mirror": {"$ref": "#/definitions/mirror"},
            "transfer": {"$ref": "#/definitions/transfer"},
            "aoi": named("aoi", "Areas of interest by name."),
            "dataset": named("dataset", "The scenes of the mirror, by dataset name.", minProperties=1),
        },
        "required": ["version", "dataset"],
        "additionalProperties": False,
        "not": {"required": ["archive", "archives"]},
        "if": {"properties": {"archives": {"minProperties": 2}}, "required": ["archives"]},
        "then": {"properties": {"dataset": {"additionalProperties": {"required": ["archive"]}}}},
        "allOf": [_area_or_products(types)],
        "definitions": tables,
    }


def _area_or_products(types: Mapping[str, ArchiveType]) -> Schema:
    """Return the rule that each dataset has an AOI or names products, unless its archive needs neither."""
    free = [name for name in _schemas_of_types(types) if not types[name].needs_aoi]
    archive = {"properties": {"type": {"enum": free}}, "required": ["type"]}
    given = [{"required": [key]} for key in ("aoi", "tile", "products")]
    one = {"properties": {"archive": archive}, "required": ["archive"]}
    return {
        # Which of several archives a dataset means, `validate` knows.
        "if": {"anyOf": [{"required": ["archives"]}, one]},
        "else": {"properties": {"dataset": {"additionalProperties": {"anyOf": given}}}},
    }


def _archive(table: Schema, types: Mapping[str, ArchiveType]) -> Schema:
    """Return the schema of an archive's table: the keys of all types, and for each type those that it has."""
    schemas = _schemas_of_types(types)
    properties = dict(table["properties"])
    properties["type"] = {"description": properties["type"]["description"], "enum": sorted(schemas)} | {
        "default": DEFAULT_TYPE
    }
    rules = []
    for name, schema in schemas.items():
        named: Schema = {"properties": {"type": {"const": name}}}
        condition = named if name == DEFAULT_TYPE else {**named, "required": ["type"]}
        keys = {key: value for key, value in schema["properties"].items() if key != "type"}
        then = {"propertyNames": {"enum": ["type", *keys]}, "properties": keys, "required": schema.get("required", [])}
        rules.append({"if": condition, "then": then})
        properties |= {key: True for key in keys if key not in properties}
    common = {key: value for key, value in table.items() if key != "required"}  # the rules say what each type requires
    return {**common, "properties": properties, "allOf": rules}


def _schemas_of_types(types: Mapping[str, ArchiveType]) -> dict[str, Schema]:
    schemas = {}
    for name in types:
        try:
            schemas[name] = table_schema(types[name].config)
        except (BrokenTypeError, PydanticUserError):
            continue
    return schemas


def _dataset_rules() -> list[Schema]:
    """Return the rules between the keys of a dataset."""

    def without(*keys: str) -> Schema:
        return {"not": {"anyOf": [{"required": [key]} for key in keys]}}

    def sensor(word: str) -> Schema:
        return {
            "properties": {"sensor": {"type": "string", "pattern": rf"^\s*{any_case([word])}\s*$"}},
            "required": ["sensor"],
        }

    return [
        {
            "if": {"required": ["products"]},
            "then": {"propertyNames": {"enum": list(BESIDE_PRODUCTS)}},
            "else": {"required": ["start"]},
        },
        {"if": sensor("sar"), "then": without("max_cloud_cover", "tile")},
        {"if": sensor("optical"), "then": without("polarisation", "orbits")},
    ]
