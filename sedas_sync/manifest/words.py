"""A JSON Schema in words, for error messages and the reference."""

from collections.abc import Mapping
from typing import Any


def in_words(schema: Mapping[str, Any]) -> str:
    """Describe the values that a schema allows, such as "a whole number from 1 to 175"; completes "must be …"."""
    if "title" in schema:
        return str(schema["title"])
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return f"one of {', '.join(map(str, schema['enum']))}"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(map(in_words, schema["anyOf"])))
    kind = schema.get("type")
    if kind in {"integer", "number"}:
        return f"a {'whole number' if kind == 'integer' else 'number'}{_bounds(schema)}"
    if kind == "array":
        return "a list"
    return {"string": "a text", "boolean": "true or false", "object": "a table"}.get(str(kind), "a valid value")


def _bounds(schema: Mapping[str, Any]) -> str:
    least, most, above = schema.get("minimum"), schema.get("maximum"), schema.get("exclusiveMinimum")
    if above is not None:
        return f" above {above}"
    if least is not None and most is not None:
        return f" from {least} to {most}"
    if least is not None:
        return f" of at least {least}"
    return "" if most is None else f" of at most {most}"
