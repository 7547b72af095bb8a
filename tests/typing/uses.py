"""A typed program that uses every public name. Type checkers accept it; it is not run."""

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, assert_type

import sedas_sync as ss
from sedas_sync import compat, errors, events, results
from sedas_sync.archives import plugin
from sedas_sync.archives.plugin import Archive, Download, Order, Orders, Query, RemoteFile, Scene, Warn, replace
from sedas_sync.sandbox import Faults, Sandbox
from sedas_sync.workers.dask import dask_cluster

version: str = ss.__version__


def manifests() -> ss.Manifest:
    manifest = ss.load_manifest(Path("manifest.toml"))
    for name, dataset in manifest.datasets.items():
        assert_type(name, str)
        assert_type(dataset.archive, tuple[str, ...])
    return ss.parse_manifest({"version": 1, "dataset": {}}, base=Path(), name="manifest.toml")


def plans(mirror: ss.Mirror) -> ss.Plan:
    plan = mirror.plan(datasets="optical", sizes=True, on_event=print, on_found=print)
    assert_type(plan, ss.Plan)
    mirror.plan(datasets=["optical", "radar"]).raise_if_incomplete()
    for action in plan.actions:
        assert_type(action, ss.Action)
        assert_type(action.kind, ss.ActionKind)
        assert_type(action.reason, results.Reason)
        assert_type(action.wanted, results.DesiredScene | None)
        assert_type(action.local, results.LocalScene | None)
        if action.kind is ss.ActionKind.FETCH and action.reason.code is results.ReasonCode.NOT_IN_MIRROR:
            text: str = ss.reason_text(action.reason)
            print(text, action.size, action.order)
        if action.wanted is not None:
            files: tuple[results.RemoteFile, ...] = action.wanted.scene.files
            print(files)
        if action.local is not None:
            local: tuple[results.LocalFile, ...] = action.local.files
            level: results.ProofLevel = action.local.level
            packed: results.PackedFile | None = action.local.packed
            print(local, level, packed)
    failures: tuple[results.Failure, ...] = plan.failures
    print(failures, plan.counts[ss.ActionKind.ORDER], plan.bytes)
    data = ss.Plan.from_json(plan.to_json())
    assert_type(data, ss.Plan)
    mirror.save(plan).write("plan.json")
    assert_type(ss.SavedPlan.read("plan.json"), ss.SavedPlan)
    saved = mirror.save(plan, "optical")
    assert_type(saved, ss.SavedPlan)
    mirror.check_saved(saved)
    return mirror.resume_plan(saved, take_over=True)


def on_event(event: events.Event) -> None:
    match event:
        case events.Fetched():
            print(event.id, event.sha256, event.path)
        case events.Progress():
            print(event.done, event.bytes_total)
        case events.Started() | events.Searched() | events.Ordered() | events.OrderReady() | events.Adopted():
            print(event.time)
        case events.Pruned() | events.Skipped() | events.Retried() | events.Warned() | events.Failed():
            print(event.event)
        case events.Summary():
            print(event.ok, event.interrupted)
        case _:
            pass


def runs(mirror: ss.Mirror, plan: ss.Plan) -> ss.Summary:
    with ThreadPoolExecutor() as pool, dask_cluster("tcp://10.0.0.1:8786") as workers:
        mirror.apply(plan, wait=False, jobs=3, executor=pool, max_prune="10%", lock_timeout=60, on_event=on_event)
        mirror.apply(plan, executor=workers, confirm=lambda count, total: count < total, max_prune=20)
    for event in mirror.run(plan, take_over=True):
        assert_type(event, events.Event)
    summary = mirror.sync(datasets="optical", locked=True, prune=False)
    assert_type(summary, ss.Summary)
    summary.raise_for_failures()
    print(summary.fetched, summary.bytes, summary.failures, summary.exit_code)
    return summary


def other_operations(mirror: ss.Mirror, plan: ss.Plan) -> None:
    found: results.SearchResult = mirror.search(datasets=["optical"], explain=True)
    scenes: tuple[ss.Scene, ...] = found.scenes
    collection: dict[str, Any] = ss.to_geojson(scenes)
    frame = ss.to_geodataframe(scenes)
    print(collection, frame, ss.Scene.from_json(scenes[0].to_json()))
    explanation: results.Explanation = mirror.why(scenes[0].id)
    adoption: results.Adoption = mirror.adopt(Path("other"), how="copy", jobs=2)
    report = mirror.verify(jobs=2)
    assert_type(report, ss.VerifyReport)
    bad: tuple[results.VerifiedFile, ...] = report.bad
    repaired: ss.VerifyReport = mirror.repair(report, wait=False)
    missing = [file for file in bad if file.finding is results.Finding.MISSING]
    orders: list[results.ListedOrder] = mirror.orders(warn=print)
    forgotten: bool = mirror.forget_order(orders[0].order)
    exported: results.Exported = mirror.export("geojson", "scenes.geojson")
    written: results.WrittenReport = mirror.report("report.html")
    lock: results.Lock = mirror.checked_lock()
    update: results.LockUpdate = mirror.relock(plan, applied=True, write=False)
    status: ss.Status = mirror.status()
    datasets: tuple[results.DatasetStatus, ...] = status.datasets
    partials: tuple[results.PartialDownload, ...] = status.partials
    archive: Archive = mirror.archive("archive")
    root: Path = mirror.root
    last: list[results.RunRecord] = mirror.history(datetime(2019, 5, 1))
    for change in mirror.changes():
        assert_type(change, results.Change)
        print(change.kind is results.ChangeKind.LATE, change.detail, last)
    listed: tuple[results.ListedOrder, ...] = status.orders
    with mirror.recording("my script"):
        print(listed)
    print(explanation, adoption, repaired, missing, forgotten, exported, written, lock, update, datasets, partials)
    print(archive.identity, root, mirror.manifest, mirror.stopped, mirror.sources())
    mirror.check_choice("optical", prune=False)
    mirror.stop(143)
    with mirror.locked(timeout=1.5), mirror.locked_if_there():
        mirror.close()


def scripts() -> Iterator[results.FetchedScene]:
    with ss.SedasArchive.from_env(prompt=True) as sedas:
        scenes = sedas.search("POLYGON …", datetime.now(), "2019-05-12", sensor="optical", filters={"cloud": 1})
        satellites: list[results.SatelliteSource] = sedas.satellites()
        order = sedas.order(sedas.product("A"))
        (state,) = sedas.order_status(order)
        assert_type(state, ss.Order)
        assert_type(order.state, ss.OrderState)
        if order.state is ss.OrderState.READY:
            print(order.download_url, satellites, sedas.source_groups(), sedas.order_status("17"))
        stop = threading.Event()
        yield from ss.fetch(scenes, "out", archive=sedas, jobs=2, orders=[order], wait=False, stop=stop)
        yield from ss.fetch(scenes, "out", archive=sedas, orders={"A": "17"})


def failures() -> int:
    try:
        manifests()
    except errors.LockMismatch as error:
        print(error.hint)
    except ss.ManifestError as error:
        assert_type(error.problems, tuple[str, ...])
        return error.exit_code
    except ss.StoppedError as error:
        print(error)
    except ss.IncompleteSearch as error:
        print(error)
    except ss.ArchiveError as error:
        print(error.status, error.retry_after)
    except (ss.AuthenticationError, ss.TransferError, ss.MirrorLocked, errors.IntegrityError) as error:
        return error.exit_code
    except ss.SedasSyncError as error:
        print(error.retryable)
    return 0


def old_scripts() -> None:
    sedas = compat.SeDASAPI("user", "password")
    downloader = compat.SeDASBulkDownload(sedas, "out", parallel=3)
    downloader.add(sedas.search_optical("POLYGON …", "2019-04-30", "2019-05-12", maxCloudPercent=50)["products"])
    downloader.shutdown()


def tests() -> None:
    with Sandbox(faults=Faults(cap=100), order_delay=0.1) as sandbox:
        print(sandbox.url)


class Shelf:
    """An archive of a plug-in: its attributes may be plain, of the class or of the object, and read-only."""

    orders: None = None

    @property
    def identity(self) -> str:
        return "shelf"

    def find(self, query: Query, *, warn: Warn) -> Iterator[Scene]:
        yield replace(Scene(id="A", start=query.start), cloud_cover=3.0)

    def look_up(self, ids: Iterable[str], *, warn: Warn) -> Iterator[Scene]:
        yield from (Scene(id=one, assets=(RemoteFile(name="B04.tif"),)) for one in ids)

    def locate(self, scene: Scene, file: RemoteFile | None = None, *, refused: Download | None = None) -> Download:
        return Download(url="https://example.org/", headers={})

    def stop(self) -> None: ...

    def close(self) -> None: ...


class Desk:
    def place(self, scene: Scene) -> Order:
        return Order(order="1", id=scene.id, placed=datetime.now(), state=plugin.OrderState.PENDING)

    def poll(self, orders: Iterable[Order]) -> Iterator[Order]:
        yield from orders


archives: list[Archive] = [Shelf()]
desk: Orders = Desk()
mirror = ss.Mirror(manifests(), archives={"archive": Shelf()}, clock=datetime.now)
TYPE = plugin.ArchiveType(name="shelf", opener=lambda opening: Shelf(), config=plugin.ArchiveConfig)
