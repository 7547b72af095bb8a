"""The log of runs and searches: the logger `run` below `sedas_sync`, the one logger of this package.

INFO is what was done, WARNING is what is tried again or looks wrong, and ERROR is what failed. The caller decides where
the log goes; without a handler nothing is written.
"""

import logging

from sedas_sync.model.events import (
    Adopted,
    Event,
    Failed,
    Fetched,
    Ordered,
    OrderReady,
    Pruned,
    Retried,
    Searched,
    Summary,
    Warned,
)
from sedas_sync.model.text import count, duration, size
from sedas_sync.net.redact import logger_of

NAME = "sedas_sync.run"

_LOG = logger_of(NAME)


def log_event(event: Event) -> None:
    """Log an event, unless it only reports progress."""
    match event:
        case Fetched():
            _LOG.info("fetched %s (%s, %s)", event.path, size(event.size), event.level)
        case Ordered():
            _LOG.info("ordered %s (order %s)", event.id, event.order)
        case OrderReady():
            _LOG.info("order of %s is ready after %s", event.id, duration(event.age_seconds))
        case Adopted():
            _LOG.info("adopted %s", event.path)
        case Pruned():
            _LOG.info("removed %s", event.path)
        case Retried():
            _LOG.warning("retry of %s in %s: %s", event.id, duration(event.delay_seconds), event.error)
        case Warned():
            _LOG.warning("%s%s", "" if event.id is None else f"{event.id}: ", event.message)
        case Failed():
            _LOG.error("failed: %s: %s", event.id, event.error)
        case Searched(error=None):
            level = logging.INFO if event.complete else logging.WARNING
            rest = "" if event.complete else ", and the search may have missed scenes"
            rest += f", asked {duration(event.age_seconds)} ago" if event.age_seconds else ""
            _LOG.log(level, "searched for %s: %s%s", event.dataset, count(event.scenes, "scene"), rest)
        case Searched():
            _LOG.error("the search for %s failed: %s", event.dataset, event.error)
        case Summary():
            _LOG.info(
                "run ended with exit code %d: %d fetched, %d ordered, %d pending, %d failed",
                event.exit_code,
                event.fetched,
                event.ordered,
                event.pending,
                event.failed,
            )
        case _:
            pass
