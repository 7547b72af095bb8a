"""Download scenes into a folder without a manifest."""

import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from sedas_sync.archives.protocol import Archive, ArchiveWrapper, known_orders_of
from sedas_sync.errors import StoppedError, TransferError
from sedas_sync.files.threads import DaemonThread
from sedas_sync.model.arguments import Jobs, Seconds, checked
from sedas_sync.model.events import Adopted, Failed, Fetched
from sedas_sync.model.order import Order, OrderState
from sedas_sync.model.plan import ActionKind
from sedas_sync.model.scene import Scene, SceneId
from sedas_sync.operations.apply.plan_runner import PlanRunner
from sedas_sync.operations.context import Listener, MirrorContext, ignore, open_mirror
from sedas_sync.operations.load import check_manifest
from sedas_sync.operations.plan import plan_scenes
from sedas_sync.operations.progress import shown_progress

_MANIFEST = 'version = 1\n[mirror]\npath = "."\n[dataset.scenes]\nproducts = ["-"]\n'
_WATCH = 0.2
"""Seconds after which a watcher of `stop` looks whether the call has ended."""


class FetchedScene(Struct, frozen=True):
    """A scene that `fetch` has put into its folder."""

    scene: Scene
    path: Path


# Longer than usual by its arguments and their description.
@checked
def fetch(
    scenes: Iterable[Scene],
    folder: str | os.PathLike[str],
    *,
    archive: Archive,
    jobs: Jobs = 4,
    orders: Iterable[Order] | Mapping[str, str] = (),
    wait: bool = True,
    order_timeout: Seconds = 86400.0,
    stop: threading.Event | None = None,
    on_event: Listener = ignore,
    progress: bool | None = None,
) -> Iterator[FetchedScene]:
    """Download scenes into a folder without a manifest; orders those in the long-term archive and waits for them.

    Yields each scene when its file is complete, checked and in place. Scenes that are in the folder already come first
    and are not downloaded again. The folder contains orders and partial downloads, so that the same call resumes after
    an interruption.

    Args:
        scenes: The scenes, from a search.
        folder: Created if needed; files are named `<scene id>.zip`.
        archive: The archive of the scenes.
        jobs: Concurrent downloads.
        orders: Orders of these scenes that were placed before, or the archive's ids of them by the scenes' ids; the
            scenes are not ordered again. Orders that this `archive` object has placed are known without being given.
        wait: Wait for orders. If not, the call downloads what is online now, and a later call continues.
        order_timeout: How many seconds to wait for orders at most.
        stop: Ends the call within a second after it is set.
        on_event: Called with every event; the last one is a `Summary`.
        progress: Show a progress bar; by default in notebooks only.

    Raises:
        TransferError: Some scenes failed; raised when all others are complete, with the last error of each.
        MirrorLocked: Another process works in this folder.
        StoppedError: `stop` was set, or the archive was stopped.

    Example:
        import sedas_sync as ss

        area = "POLYGON ((-1.33 51.56, -1.30 51.56, -1.30 51.59, -1.33 51.59, -1.33 51.56))"
        with ss.SedasArchive.from_env() as sedas:
            scenes = sedas.search(area, "2019-05-01", "2019-05-04", sensor="sar")
            for done in ss.fetch(scenes, "out", archive=sedas, jobs=3):
                print(done.scene.id, done.path)
    """
    manifest = check_manifest(_MANIFEST, Path(folder, "sedas_sync.fetch"))
    transfer = manifest.transfer.model_copy(update={"order_timeout": order_timeout})
    manifest = replace(manifest, transfer=transfer)
    by_id = {scene.id: scene for scene in scenes}
    context = open_mirror(manifest, {"archive": _Borrowed(archive)})
    root = context.state.root
    failures: list[str] = []
    try:
        with (
            _stopped_by(stop, context),
            context.state.locked(),
            shown_progress(on_event, progress=progress) as listener,
        ):
            _add_orders(context, archive, by_id, orders)
            plan = plan_scenes(context, by_id.values())
            for action in plan.actions:
                if action.kind is ActionKind.KEEP:
                    yield FetchedScene(by_id[action.id], root / action.path)
            for event in PlanRunner(context).run(plan, {"jobs": jobs, "wait": wait}):
                listener(event)
                if isinstance(event, Fetched | Adopted):
                    yield FetchedScene(by_id[event.id], root / event.path)
                elif isinstance(event, Failed):
                    failures.append(f"{event.id}: {event.error}")
    finally:
        context.archives.close()
    if context.stopped_with is not None:
        raise StoppedError("stopped before every scene was downloaded; the same call continues")
    if failures:
        raise TransferError(f"{len(failures)} of {len(by_id)} scenes failed:\n" + "\n".join(failures))


class _Borrowed(ArchiveWrapper):
    """An archive of the caller: stopping this call does not stop the archive if it can do less."""

    def stop(self) -> None:
        if not self.interrupt():
            super().stop()

    def close(self) -> None:
        """Leave it open."""


def _add_orders(
    context: MirrorContext,
    archive: Archive,
    scenes: Mapping[SceneId, Scene],
    orders: Iterable[Order] | Mapping[str, str],
) -> None:
    """Record orders that were placed elsewhere, so that the plan waits for them."""
    known = known_orders_of(archive)
    if isinstance(orders, Mapping):
        orders = [Order(order=number, id=scene_id, placed=context.clock()) for scene_id, number in orders.items()]
    with context.state.index(write=True) as index:
        recorded = {order.id for order in index.orders() if order.state is not OrderState.FAILED}
        for order in {order.id: order for order in (*known, *orders)}.values():
            offline = order.id in scenes and not scenes[order.id].online
            ours = order.archive in ("", archive.identity) and order.state is not OrderState.FAILED
            if offline and ours and order.id not in recorded:
                index.reserve_order()
                index.add_order(replace(order, archive=archive.identity))


@contextmanager
def _stopped_by(stop: threading.Event | None, context: MirrorContext) -> Iterator[None]:
    """Stop the run when an event is set."""
    if stop is None:
        yield
        return
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            if stop.wait(_WATCH):
                context.stop(StoppedError.exit_code)
                return

    watcher = DaemonThread(watch)
    try:
        yield
    finally:
        done.set()
        watcher.join()
