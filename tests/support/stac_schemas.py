"""STAC's schemas without the network: the core from pystac, the extensions by what their specifications demand.

An extension's own schema is fetched from its site wherever a catalogue is validated. The ones here say the same of the
fields that we write, and refuse any other field with their prefix.
"""

import json
from functools import cache
from pathlib import Path

TEXT = {"type": "string", "minLength": 1}
NUMBERS = {"type": "array", "items": {"type": "number"}}
POLARISATIONS = {
    "type": "array",
    "minItems": 1,
    "maxItems": 4,
    "uniqueItems": True,
    "items": {"enum": ["HH", "VV", "HV", "VH"]},
}
COMMON_NAMES = [
    *("coastal", "blue", "green", "red", "nir", "nir08", "nir09", "cirrus", "swir16", "swir22"),
    *("rededge071", "rededge075", "rededge078"),
]
EXTENSIONS = {
    # Fields, and those of them that an item's properties must have.
    "eo/v2.0.0": (
        {
            "eo:cloud_cover": {"type": "number", "minimum": 0, "maximum": 100},
            "eo:common_name": {"enum": COMMON_NAMES},
            "eo:center_wavelength": {"type": "number", "exclusiveMinimum": 0},
        },
        [],
    ),
    "raster/v2.0.0": ({"raster:scale": {"type": "number"}, "raster:offset": {"type": "number"}}, []),
    "alternate-assets/v1.2.0": ({"alternate:name": TEXT}, []),
    "file/v2.1.0": (
        {
            "file:size": {"type": "integer", "minimum": 0},
            "file:checksum": {"type": "string", "pattern": "^1220[a-f0-9]{64}$"},
        },
        [],
    ),
    "grid/v1.1.0": (
        {"grid:code": {"type": "string", "pattern": "^[A-Z0-9]+-[-_.A-Za-z0-9]+$"}},
        ["grid:code"],
    ),
    "processing/v1.2.0": ({"processing:level": TEXT, "processing:version": TEXT}, []),
    "product/v1.1.0": ({"product:type": TEXT}, ["product:type"]),
    "projection/v2.0.0": (
        {
            "proj:code": {"type": "string", "pattern": "^EPSG:[0-9]+$"},
            "proj:shape": {**NUMBERS, "minItems": 2, "maxItems": 2},
            "proj:transform": {**NUMBERS, "minItems": 6, "maxItems": 6},
        },
        ["proj:code"],
    ),
    "sar/v1.3.0": (
        {
            "sar:instrument_mode": TEXT,
            "sar:frequency_band": {"enum": ["P", "L", "S", "C", "X", "Ku", "K", "Ka"]},
            "sar:polarizations": POLARISATIONS,
        },
        [],
    ),
    "sat/v1.1.0": (
        {
            "sat:orbit_state": {"enum": ["ascending", "descending", "geostationary"]},
            "sat:absolute_orbit": {"type": "integer", "minimum": 1},
            "sat:relative_orbit": {"type": "integer", "minimum": 1},
        },
        [],
    ),
}


def address(name):
    return f"https://stac-extensions.github.io/{name}/schema.json"


def _extension(name, fields, required):
    prefix = {"projection": "proj", "alternate-assets": "alternate"}.get(name.partition("/")[0], name.partition("/")[0])
    known = {"type": "object", "properties": fields, "patternProperties": {f"^(?!{prefix}:)": {}}}
    known |= {"additionalProperties": False}
    of_properties = {"allOf": [{"required": required}, known]}
    alternate = {"type": "object", "minProperties": 1, "additionalProperties": {**known, "required": ["href"]}}
    of_assets = {"allOf": [known, {"properties": {"bands": {"type": "array", "items": known}, "alternate": alternate}}]}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "required": ["stac_extensions", "properties", "assets"],
        "properties": {
            "type": {"const": "Feature"},
            "stac_extensions": {"contains": {"const": address(name)}},
            "properties": of_properties,
            "assets": {"additionalProperties": of_assets},
        },
    }


def _documents():
    from pystac.validation.local_validator import get_local_schema_cache

    return {
        **get_local_schema_cache(),
        **{address(name): _extension(name, *rules) for name, rules in EXTENSIONS.items()},
    }


def schema_map(folder: Path):
    """Every schema that a catalogue of ours names, as a file in `folder`."""
    found = {}
    for number, (url, document) in enumerate(_documents().items()):
        file = folder / f"{number}.json"
        file.write_text(json.dumps(document))
        found[url] = str(file)
    return found


def problems(catalogue: Path, schemas):
    """What stac-validator finds wrong with a catalogue, document by document."""
    from stac_validator.validate import StacValidate

    found = []
    for document in sorted(catalogue.rglob("*.json")):
        judge = StacValidate(str(document), schema_map=dict(schemas))
        if not judge.run():
            found.append((document.name, judge.message))
    return found


@cache
def _judge(kind):
    from jsonschema import Draft7Validator
    from referencing import Registry
    from referencing.jsonschema import DRAFT7

    documents = _documents()
    registry = Registry().with_resources((url, DRAFT7.create_resource(document)) for url, document in documents.items())
    url = kind if kind in documents else f"https://schemas.stacspec.org/v1.1.0/{kind}-spec/json-schema/{kind}.json"
    return Draft7Validator(documents[url], registry=registry)


def quick_problems(catalogue: Path):
    """The same, found with the schemas alone and many times as fast."""
    found = []
    for path in sorted(catalogue.rglob("*.json")):
        document = json.loads(path.read_bytes())
        kind = "item" if document["type"] == "Feature" else document["type"].lower()
        for judge in map(_judge, (kind, *document.get("stac_extensions", ()))):
            found += [(path.name, error.message) for error in judge.iter_errors(document)]
    return found
