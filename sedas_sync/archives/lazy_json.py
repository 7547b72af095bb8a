"""Fields of an answer that have no place of their own in a scene, kept as they came."""

import json
from collections.abc import ItemsView, Iterator, Mapping
from typing import Any

import msgspec


class LazyJson(Mapping[str, Any]):
    """A mapping that is kept as JSON text: a catalogue of 100,000 scenes holds 100,000 of these, and few are read."""

    __slots__ = ("_text",)

    def __init__(self, fields: Mapping[str, Any]) -> None:
        try:
            self._text = msgspec.json.encode(fields)
        except UnicodeEncodeError:
            # Half of a surrogate pair is no text, and archives are not to be trusted to send none.
            self._text = json.dumps(fields, separators=(",", ":")).encode()

    def _fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = json.loads(self._text)
        return fields

    def __getitem__(self, key: str) -> Any:
        return self._fields()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields())

    def __len__(self) -> int:
        return len(self._fields())

    def items(self) -> ItemsView[str, Any]:
        """All fields at once, read once."""
        return self._fields().items()

    def __repr__(self) -> str:
        return repr(self._fields())
