"""Lines of `apply --json`: events, with the texts of reasons."""

from typing import Any, Self

from msgspec import to_builtins

from sedas_sync.model.events import Event, Skipped, iso
from sedas_sync.model.reason import Reason, ReasonCode
from sedas_sync.output.documents.base import Part, Time
from sedas_sync.output.reasons import reason_text


class SkippedEntry(Part, frozen=True, kw_only=True):
    """A scene was skipped because it cannot be downloaded."""

    time: Time
    id: str
    reason: str
    reason_code: ReasonCode

    @classmethod
    def about(cls, event: Skipped) -> Self:
        """Return the line of an event."""
        return cls.of(event, time=iso(event.time), **reason_fields(event.reason))


def reason_fields(reason: Reason | None) -> dict[str, str | None]:
    """Return the two fields of a reason: its text and its code."""
    if reason is None:
        return {"reason": None, "reason_code": None}
    return {"reason": reason_text(reason), "reason_code": reason.code}


def event_json(event: Event) -> dict[str, Any]:
    """Return an event as JSON data."""
    if isinstance(event, Skipped):
        return {"event": event.event, **to_builtins(SkippedEntry.about(event))}
    return event.to_json()
