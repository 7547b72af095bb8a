"""List and forget the orders of a mirror."""

from collections.abc import Callable

from sedas_sync.model.scene import Order
from sedas_sync.operations.context import MirrorContext


def _silent(_warning: str) -> None:
    """Ignore a warning."""


def orders(context: MirrorContext, *, warn: Callable[[str], None] = _silent) -> list[Order]:
    """Return the orders of this mirror, oldest first.

    Args:
        context: the mirror.
        warn: called with problems of the mirror's index.
    """
    with context.state.index(write=False) as (index, warnings):
        context.state.check_owner(index)
        found = list(index.orders())
    for warning in warnings:
        warn(warning)
    return found


def forget_order(context: MirrorContext, order: str, *, warn: Callable[[str], None] = _silent) -> bool:
    """Forget an order; return whether there was one.

    Args:
        context: the mirror.
        order: its id, or the id of its scene.
        warn: called with problems of the mirror's index.
    """
    with context.state.locked(timeout=0.0), context.state.index(write=True) as (index, warnings):
        context.state.check_owner(index)
        found = [item for item in index.orders() if order in (item.order, item.id)]
        for item in found:
            index.drop_order(item.id)
    for warning in warnings:
        warn(warning)
    return bool(found)
