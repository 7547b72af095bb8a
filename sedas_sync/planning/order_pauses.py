"""When a scene whose orders fail is ordered again. Pure; imports little, because `status` needs it."""

from datetime import datetime, timedelta

from sedas_sync.model.order import Order, OrderState

ORDERS_AT_ONCE = 4
"""So many orders of a scene are placed without a pause if each of them fails."""
_PAUSES = (timedelta(days=1), timedelta(days=7), timedelta(days=30))
"""The pauses after further orders that failed, since they were placed; the last one is repeated."""


def next_order(order: Order) -> datetime | None:
    """Return when a scene whose orders fail again and again is ordered again; None if nothing delays it."""
    pauses = order.attempts - ORDERS_AT_ONCE
    if order.state is not OrderState.FAILED or pauses < 0:
        return None
    return order.placed + _PAUSES[min(pauses, len(_PAUSES) - 1)]


def paused_until(order: Order, now: datetime) -> datetime | None:
    """Return until when a scene is not ordered again; None if nothing delays it now.

    An order from the future was placed while this machine's clock was ahead, and delays nothing.
    """
    again = next_order(order)
    return again if again is not None and order.placed <= now < again else None
