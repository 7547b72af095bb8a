"""The events of a run, for `on_event` and for the types of programs that use them.

Each has the fields of a line of `apply --json`. The last one of a run is a `Summary`.
"""

from sedas_sync.model.events import (
    Adopted,
    Event,
    Failed,
    Fetched,
    Ordered,
    OrderReady,
    Progress,
    Pruned,
    Retried,
    Searched,
    Skipped,
    Started,
    Summary,
    Warned,
)

__all__ = [
    "Adopted",
    "Event",
    "Failed",
    "Fetched",
    "OrderReady",
    "Ordered",
    "Progress",
    "Pruned",
    "Retried",
    "Searched",
    "Skipped",
    "Started",
    "Summary",
    "Warned",
]
