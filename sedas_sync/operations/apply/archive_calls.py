"""The calls of a run to the archives. Each is made in a thread of its own."""

from collections.abc import Mapping

from msgspec.structs import replace

from sedas_sync.archives.plugin_guard import InvalidOrder
from sedas_sync.archives.protocol import Archive, list_files, locate_file, orders_of
from sedas_sync.errors import ArchiveError, AuthenticationError
from sedas_sync.model.order import Order
from sedas_sync.model.scene import Download, Scene
from sedas_sync.operations.apply import effects as do
from sedas_sync.state.index import WritableIndex

_NO_LOGIN, _NO_RIGHT, _GONE = 401, 403, 404
LOGIN_REFUSED = {
    _NO_LOGIN: "the server of the file does not accept this account's login",
    _NO_RIGHT: "this account has no right to download it",
}
"""What HTTP statuses of a server mean that refuses a login."""


class ArchiveCalls:
    """Calls archives for the tasks of a run.

    Args:
        archives: By their keys in the manifest.
        index: Takes orders when they are placed.
    """

    def __init__(self, archives: Mapping[str, Archive], index: WritableIndex) -> None:
        self._archives = archives
        self._index = index
        self._slots = {key: slot for slot, key in enumerate(archives)}

    def place(self, task: do.Task) -> Order:
        """Place an order; it is in the order journal when this returns.

        Raises:
            IndexUnwritableError: There is no room to write the order, so it was not placed.
            ArchiveError: The archive refused it, or returned it with a wrong field.
        """
        orders = orders_of(self._archives[task.archive])
        if orders is None:
            raise RuntimeError(f"the archive {task.archive} takes no orders")
        slot = self._slots[task.archive]
        # Reserved first: an order that cannot be written down would be placed again by the next run.
        self._index.reserve_order(slot)
        problem: InvalidOrder | None = None
        try:
            placed = orders.place(task.scene)
        except InvalidOrder as error:
            # It was placed: the next run must not place it again.
            placed, problem = error.usable, error
        order = replace(placed, id=task.action.id, attempts=task.orders_placed + 1)
        # Written in this thread: the run may be busy with downloads, and may be killed before it handles the answer.
        self._index.add_order(order)
        if problem is not None:
            raise problem
        return order

    def poll(self, request: do.PollOrders) -> tuple[Order, ...]:
        """Request the state of orders.

        Raises:
            ArchiveError: The archive does not answer.
        """
        orders = orders_of(self._archives[request.archive])
        return () if orders is None else tuple(orders.poll(request.orders))

    def renew(self, request: do.RenewLink) -> Download | Order | Scene:
        """Request another link or token.

        Returns:
            The link; the order as it is now; or the scene, if it is no longer online.

        Raises:
            ArchiveError: The archive has no link.
            AuthenticationError: The server of the file refused the login, and there is no other.
        """
        task = request.task
        archive = self._archives[task.archive]
        orders = orders_of(archive) if request.from_order else None
        if orders is not None and task.order is not None:
            return next(iter(orders.poll([task.order])))
        if request.look_up:
            reasons: list[str] = []
            found = tuple(archive.look_up([task.scene.id], warn=reasons.append))
            for scene in found:
                if not scene.online and not scene.planned:
                    return scene
            if not found and reasons:
                # The archive states why it does not know the scene any more.
                raise ArchiveError("; ".join(reasons))
        try:
            return self.locate(task, replace(request.refused, refusal=str(request.cause)))
        except ArchiveError as error:
            status = request.cause.status
            if status not in LOGIN_REFUSED or error.status == _GONE:
                raise
            message = f"{error}: {LOGIN_REFUSED[status]}"
            raise AuthenticationError(message, forbidden=status != _NO_LOGIN) from error

    def look_up(self, task: do.Task) -> Scene | None:
        """Return a scene as its archive lists it now, with its files if only these are missing.

        Raises:
            ArchiveError: The archive does not answer.
        """
        if task.scene.unlisted:
            return list_files(self._archives[task.archive], task.scene)
        return next(iter(self._archives[task.archive].look_up([task.scene.id], warn=lambda _: None)), None)

    def locate(self, task: do.Task, refused: Download | None = None) -> Download:
        """Return the link of a scene, or of a file of it.

        Raises:
            ArchiveError: The archive has no link.
        """
        scene = (task.whole or task).scene
        return locate_file(self._archives[task.archive], scene, task.file or scene.files[0], refused)
