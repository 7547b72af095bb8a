"""Lines of `apply --json`: events, with the texts of reasons."""

from typing import Any

from msgspec import to_builtins

from sedas_sync.model.events import Event, Skipped
from sedas_sync.model.reason import ReasonCode
from sedas_sync.output.documents.base import JsonObject, Time


class SkippedEntry(JsonObject, frozen=True, kw_only=True):
    """A scene was skipped because it cannot be downloaded."""

    time: Time
    id: str
    reason: str
    reason_code: ReasonCode


def event_json(event: Event) -> dict[str, Any]:
    """Return an event as JSON data."""
    if isinstance(event, Skipped):
        return {"event": event.event, **to_builtins(SkippedEntry.of(event))}
    return event.to_json()
