"""OData conditions, and the filters of a manifest as conditions. Pure.

Source of the grammar: the OData page of the Copernicus Data Space documentation (2025-03).
"""

import re
from collections.abc import Iterable
from typing import Any

_VERSION = re.compile(r"(\d{1,2})\.(\d+)")
RAW = "$filter"
"""The key in a manifest's `filters` for OData conditions that are sent as they are."""


def string_literal(value: str) -> str:
    """Write a string literal, with doubled quotes."""
    return "'" + value.replace("'", "''") + "'"


def attribute(name: str, kind: str, operator: str, literal: str) -> str:
    """Compare an attribute, e.g. `cloudCover`, with a literal; `kind` is `String`, `Double` or `Integer`."""
    field = f"OData.CSC.{kind}Attribute"
    return f"Attributes/{field}/any(att:att/Name eq {string_literal(name)} and att/{field}/Value {operator} {literal})"


def either(conditions: Iterable[str]) -> str:
    """Join conditions of which one must be true."""
    listed = list(dict.fromkeys(conditions))
    return listed[0] if len(listed) == 1 else "(" + " or ".join(listed) + ")"


def own_filter(name: str, value: Any) -> list[str]:
    """Write a filter of the manifest: OData conditions, or an attribute that equals a value or one of several.

    Raises:
        ValueError: It is not valid; the message follows the name of the filter ("must be …").
    """
    values = value if isinstance(value, tuple | list) else (value,)
    if not values:
        raise ValueError("must not be an empty list: nothing could match it")
    if name.startswith("$") and name != RAW:
        raise ValueError(f"must not begin with $, because no attribute does; the key for OData conditions is {RAW!r}")
    if name == RAW:
        if not all(isinstance(condition, str) and _balanced(condition) for condition in values):
            raise ValueError("must be an OData condition with balanced quotes and parentheses, or a list of them")
        return [f"({condition.strip()})" for condition in values]
    return [either(condition for item in values for condition in _equal(name, item))]


def _equal(name: str, value: Any) -> Iterable[str]:
    match value:
        case bool():
            yield attribute(name, "Boolean", "eq", str(value).lower())
        case int() | float():
            # 50 in a manifest may mean an attribute of either type, and each is only found with its own.
            if value == int(value):
                yield attribute(name, "Integer", "eq", str(int(value)))
            yield attribute(name, "Double", "eq", f"{value:.6f}")
        case str():
            for text in _spellings(name, value):
                yield attribute(name, "String", "eq", string_literal(text))
        case _:
            raise ValueError("must be a string, a number, true or false, or a list of them")


def _spellings(name: str, value: str) -> Iterable[str]:
    """Yield the spellings of a value: versions of processors are stated with and without a leading zero."""
    yield value
    if name == "processorVersion" and (match := _VERSION.fullmatch(value)):
        yield f"{int(match[1])}.{match[2]}"
        yield f"{int(match[1]):02d}.{match[2]}"


def _balanced(conjunct: str) -> bool:
    """Whether a condition can be put in parentheses: its quotes and parentheses are closed, and it is not empty."""
    depth, quoted = 0, False
    for char in conjunct:
        if char == "'":
            quoted = not quoted
        elif not quoted:
            depth += (char == "(") - (char == ")")
            if depth < 0:
                return False
    return depth == 0 and not quoted and bool(conjunct.strip())
