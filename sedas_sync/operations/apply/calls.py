"""Calls to archives that run in threads of their own: place an order, poll orders, renew a link."""

from collections.abc import Mapping

from msgspec.structs import replace

from sedas_sync.archives.protocol import Archive
from sedas_sync.model.scene import Download, Order, Scene
from sedas_sync.operations.apply.effects import PollOrders, RenewLink, Task
from sedas_sync.state.index import WritableIndex


class ArchiveCalls:
    """Calls to the archives of a run.

    Args:
        archives: by their keys in the manifest.
        index: open for writing.
    """

    def __init__(self, archives: Mapping[str, Archive], index: WritableIndex) -> None:
        self._archives = archives
        self._index = index
        self._slots = {key: slot for slot, key in enumerate(archives)}

    def place(self, task: Task) -> Order:
        """Place an order; it is in the order journal when this returns.

        Raises:
            IndexUnwritableError: there is no room to write the order, so it was not placed.
            ArchiveError: the archive refused it.
        """
        orders = self._archives[task.archive].orders
        if orders is None:
            raise RuntimeError(f"the archive {task.archive} takes no orders")
        slot = self._slots[task.archive]
        # Reserved first: an order that cannot be written down would be placed again by the next run.
        self._index.reserve_order(slot)
        order = replace(orders.place(task.scene), id=task.action.id, attempts=task.placed + 1)
        # Written in this thread: the run may be busy with downloads, and may be killed before it handles the answer.
        self._index.add_order(order)
        return order

    def poll(self, request: PollOrders) -> tuple[Order, ...]:
        """Request the state of orders.

        Raises:
            ArchiveError: the archive does not answer.
        """
        orders = self._archives[request.archive].orders
        return () if orders is None else tuple(orders.poll(request.orders))

    def renew(self, request: RenewLink) -> Download | Order | Scene:
        """Request another link or token.

        Returns:
            The link; the order as it is now; or the scene, if it is no longer online.

        Raises:
            ArchiveError: the archive has no link.
        """
        task = request.task
        archive = self._archives[task.archive]
        if request.from_order and task.order is not None and archive.orders is not None:
            return next(iter(archive.orders.poll([task.order])))
        if request.look_up:
            for scene in archive.look_up([task.scene.id], warn=lambda _: None):
                if not scene.online and not scene.planned:
                    return scene
        return archive.locate(task.scene, refused=request.refused)
