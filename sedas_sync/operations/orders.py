"""List and forget the orders of a mirror."""

from collections.abc import Callable

from sedas_sync.model.order import ListedOrder
from sedas_sync.operations.context import MirrorContext


def _silent(_warning: str) -> None:
    """Ignore a warning."""


def orders(context: MirrorContext, *, warn: Callable[[str], None] = _silent) -> list[ListedOrder]:
    """Return the orders of this mirror, oldest first, with what is known of their scenes.

    Args:
        context: The mirror.
        warn: Called with problems of the mirror's index.
    """
    with context.state.index(write=False) as index:
        context.state.check_owner(index)
        found = list(index.listed_orders())
    for warning in index.warnings:
        warn(warning)
    return found


def forget_order(context: MirrorContext, order: str, *, warn: Callable[[str], None] = _silent) -> bool:
    """Forget an order; return whether there was one.

    Args:
        context: The mirror.
        order: Its id, or the id of its scene.
        warn: Called with problems of the mirror's index.
    """
    return bool(_forget(context, lambda item: order in (item.order, item.id), warn))


def forget_unwanted_orders(context: MirrorContext, *, warn: Callable[[str], None] = _silent) -> tuple[ListedOrder, ...]:
    """Forget the orders of scenes that no dataset wanted at the last apply; return them.

    Args:
        context: The mirror.
        warn: Called with problems of the mirror's index.
    """
    return _forget(context, lambda item: not item.wanted, warn)


def _forget(
    context: MirrorContext, chosen: Callable[[ListedOrder], bool], warn: Callable[[str], None]
) -> tuple[ListedOrder, ...]:
    with context.state.locked(timeout=0.0), context.state.index(write=True) as index:
        context.state.check_owner(index)
        found = tuple(filter(chosen, index.listed_orders()))
        for item in found:
            index.drop_order(item.id)
    for warning in index.warnings:
        warn(warning)
    return found
