"""What several documents share, and how a document is written."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Literal, Self

import msgspec
from msgspec import UNSET, Meta, Struct

from sedas_sync.model.events import iso
from sedas_sync.model.order import ListedOrder, OrderState
from sedas_sync.model.reason import Reason
from sedas_sync.model.results import Count
from sedas_sync.model.text import as_json
from sedas_sync.output.reasons import reason_text

Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Time = Annotated[
    str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", extra_json_schema={"format": "date-time"})
]
"""UTC, with milliseconds."""


class JsonObject(Struct, frozen=True, kw_only=True):
    """An object in a document. A field whose default is `UNSET` is left out of the JSON if it is not set."""

    @classmethod
    def of(cls, result: object, **computed: object) -> Self:
        """Return a result of the program as an object of a document.

        A time is written as JSON has it, and a reason as its text and its code.

        Args:
            result: Has attributes with the names of the fields; those of objects in it are taken as they are.
            computed: Values of the fields that the result does not have, or has in another form.
        """
        values: dict[str, object] = {}
        for name, key in zip(cls.__struct_fields__, cls.__struct_encode_fields__, strict=True):
            value = computed[name] if name in computed else getattr(result, name, UNSET)
            if isinstance(value, Reason):
                values |= {key: reason_text(value), "reason_code": value.code}
            elif value is not UNSET:
                values[key] = iso(value) if isinstance(value, datetime) else value
        return msgspec.convert(values, cls, from_attributes=True)


class JsonDocument(JsonObject, frozen=True, kw_only=True):
    """A document as a whole."""

    schema: Literal[1] = 1
    """Version of this document's shape."""


class ErrorDocument(JsonDocument, frozen=True, kw_only=True):
    """What any command prints if it ends with an error, instead of its own document."""

    event: Literal["error"] = "error"
    """So that a line of `apply` can be told from events."""
    error: str
    """The error as text, as on standard error."""
    problems: tuple[str, ...]
    """Each mistake of a manifest or of a command line on its own."""
    exit_code: int
    """The command's exit code."""


class ArchiveEntry(JsonObject, frozen=True, kw_only=True):
    """An archive."""

    type: str | None
    """Its type."""
    url: str | None
    """Its address."""


class OrderEntry(JsonObject, frozen=True, kw_only=True):
    """One order from the long-term archive."""

    order: str
    id: str
    state: OrderState
    """State of the order."""
    placed: Time
    """When it was placed."""
    age_seconds: float
    """Its age."""
    polls: Count
    """How often its state was requested."""
    attempts: Count
    """How often its scene was ordered, this time included."""
    wanted: bool
    """Whether a dataset wanted its scene at the last apply."""
    again: Time | None
    """When its scene is ordered again, if its orders failed again and again."""
    detail: str | None
    """The archive's text for the state."""

    @classmethod
    def at(cls, order: ListedOrder, now: datetime) -> Self:
        """Return an order with its age at `now`."""
        age = max(0.0, round((now - order.placed).total_seconds(), 3))
        return cls.of(order, age_seconds=age)


def json_line(document: JsonObject) -> str:
    """Return a document as JSON on one line."""
    return _text(document) + "\n"


def json_lines(document: JsonObject | Sequence[Struct]) -> Iterator[str]:
    """Yield the JSON text of a document in pieces: a field a line, and in its lists an item a line."""
    if not isinstance(document, JsonObject):
        yield from _list_lines(document, "")
    else:
        separator = "{"
        for name, key in zip(document.__struct_fields__, document.__struct_encode_fields__, strict=True):
            value = getattr(document, name)
            if value is UNSET:
                continue
            yield f'{separator}\n "{key}": '
            separator = ","
            if isinstance(value, list | tuple):
                yield from _list_lines(value, " ")
            else:
                yield _text(value)
        yield "\n}"
    yield "\n"


def _list_lines(items: Sequence[object], indent: str) -> Iterator[str]:
    separator = "["
    for item in items:
        yield f"{separator}\n{indent} {_text(item)}"
        separator = ","
    yield f"\n{indent}]" if items else "[]"


def _text(value: object) -> str:
    """Return ASCII JSON on one line."""
    try:
        text = msgspec.json.encode(value)
    except (TypeError, ValueError):  # a file name that is not UTF-8
        return as_json(msgspec.to_builtins(value))
    if text.isascii() and b"\x7f" not in text:
        return msgspec.json.format(text, indent=0).decode()
    return as_json(msgspec.to_builtins(value))
