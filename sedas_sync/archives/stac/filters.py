"""Conditions on the properties of an item: from a manifest's `filters` to CQL2 or `query`, and applied here.

Pure. A filter is a property with a value that it must equal, a list of allowed values, or a table of comparisons:
`{ "eo:cloud_cover" = { lt = 15 }, "grid:code" = ["MGRS-30UXC"] }`. The conditions are always applied again to the
server's answer.
"""

import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from msgspec import Struct

Comparison = Literal["eq", "neq", "lt", "lte", "gt", "gte", "in"]
FilterLanguage = Literal["cql2-json", "cql2-text", "query"]
"""In which language a server takes conditions."""

_SIGNS: dict[Comparison, str] = {"eq": "=", "neq": "<>", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_TESTS: dict[Comparison, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "neq": operator.ne,
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
    "in": lambda value, wanted: value in wanted,
}
_VALUE = "must be a string, a number, true or false, a list of these, or a table of comparisons such as { lt = 15 }"


class Condition(Struct, frozen=True):
    """One comparison of a property."""

    name: str
    comparison: Comparison
    value: Any
    """A tuple for `in`."""
    or_absent: bool = False
    """Whether an item without the property passes."""

    def holds(self, properties: Mapping[str, Any]) -> bool:
        """Whether an item with these properties passes."""
        found = properties.get(self.name)
        if found is None:
            return self.or_absent
        try:
            return bool(_TESTS[self.comparison](found, self.value))
        except TypeError:
            return False


def conditions(filters: Mapping[str, Any]) -> tuple[Condition, ...]:
    """Read the filters of a dataset.

    Raises:
        ValueError: A filter is not valid; the message lists what is allowed.
    """
    found = []
    for name, value in filters.items():
        if isinstance(value, Mapping):
            if not value:
                raise ValueError(_VALUE)
            found += [_condition(name, comparison, wanted) for comparison, wanted in value.items()]
        elif isinstance(value, tuple | list):
            found.append(_condition(name, "in", value))
        else:
            found.append(_condition(name, "eq", value))
    return tuple(found)


def _condition(name: str, comparison: str, value: Any) -> Condition:
    known = next((known for known in _TESTS if known == comparison), None)
    if known is None:
        raise ValueError(f"has the comparison {comparison!r}; allowed are {', '.join(_TESTS)}")
    listed = isinstance(value, tuple | list)
    if listed != (known == "in") or (listed and not value):
        raise ValueError(_VALUE)
    values = tuple(value) if listed else (value,)
    if not all(isinstance(one, str | int | float) for one in values):
        raise ValueError(_VALUE)
    return Condition(name, known, values if listed else value)


def encode(wanted: Iterable[Condition], language: FilterLanguage) -> dict[str, Any]:
    """Return the part of a search request with these conditions; empty if none can be expressed.

    The `query` extension cannot express a missing property, so conditions that items without the property pass are
    omitted there: an answer may have too many items, never too few.
    """
    wanted = tuple(wanted)
    if language == "query":
        query: dict[str, dict[str, Any]] = {}
        for one in wanted:
            if not one.or_absent:
                query.setdefault(one.name, {})[one.comparison] = (
                    list(one.value) if one.comparison == "in" else one.value
                )
        return {"query": query} if query else {}
    if not wanted:
        return {}
    if language == "cql2-json":
        parts = [_json(one) for one in wanted]
        return {"filter-lang": language, "filter": parts[0] if len(parts) == 1 else {"op": "and", "args": parts}}
    return {"filter-lang": language, "filter": " AND ".join(_text(one) for one in wanted)}


def _json(one: Condition) -> dict[str, Any]:
    name = {"property": one.name}
    if one.comparison == "in":
        compared = {"op": "in", "args": [name, list(one.value)]}
    else:
        compared = {"op": _SIGNS[one.comparison], "args": [name, one.value]}
    return {"op": "or", "args": [compared, {"op": "isNull", "args": [name]}]} if one.or_absent else compared


def _text(one: Condition) -> str:
    name = '"' + one.name.replace('"', '""') + '"'
    if one.comparison == "in":
        compared = f"{name} IN ({', '.join(_literal(value) for value in one.value)})"
    else:
        compared = f"{name} {_SIGNS[one.comparison]} {_literal(one.value)}"
    return f"({compared} OR {name} IS NULL)" if one.or_absent else compared


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)
