"""Fields of a catalogue's answer that a scene has no attribute for."""

import json
from collections.abc import ItemsView, Iterator, Mapping
from typing import Any

import msgspec


class LazyJson(Mapping[str, Any]):
    """A mapping that is stored as JSON text, because a catalogue of 100,000 scenes has 100,000 and few are read."""

    __slots__ = ("_text",)

    def __init__(self, fields: Mapping[str, Any]) -> None:
        try:
            self._text = msgspec.json.encode(fields)
        except UnicodeEncodeError:  # an archive may send half of a surrogate pair
            self._text = json.dumps(fields, separators=(",", ":")).encode()

    def _fields(self) -> dict[str, Any]:
        try:
            fields: dict[str, Any] = msgspec.json.decode(self._text)
        except (msgspec.DecodeError, UnicodeDecodeError):
            fields = json.loads(self._text)
        return fields

    def __getitem__(self, key: str) -> Any:
        return self._fields()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields())

    def __bool__(self) -> bool:
        return self._text != b"{}"

    def __len__(self) -> int:
        return len(self._fields())

    def items(self) -> ItemsView[str, Any]:
        """Return all fields. Decodes the text once, not once for each field."""
        return self._fields().items()

    def __repr__(self) -> str:
        return repr(self._fields())
