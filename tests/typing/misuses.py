"""Mistakes of users. Type checkers report every line with `# error`, and no other."""

from collections.abc import Iterable, Iterator

import sedas_sync as ss
from sedas_sync import Miror  # error
from sedas_sync import Fetched  # error
from sedas_sync import import_module  # error
from sedas_sync.archives.plugin import Archive, Download, Query, RemoteFile, Scene, Warn
from sedas_sync.events import Fetch  # error

manifest = ss.load_manifest("manifest.toml")
ss.laod_manifest("manifest.toml")  # error
ss.load_manifest({"version": 1})  # error
ss.load_manifest(3)  # error
ss.parse_manifest(["version = 1"])  # error
ss.Mirror("manifest.toml")  # error

with ss.Mirror(manifest) as mirror:
    plan = mirror.plan(datasets=3)  # error
    mirror.plan(dataset="optical")  # error
    mirror.aply(plan)  # error
    mirror.apply("plan.json")  # error
    mirror.apply(plan, jobs="four")  # error
    mirror.apply(plan, jbos=4)  # error
    mirror.apply(plan, max_prune=0.5)  # error
    mirror.apply(plan, on_event="print")  # error
    mirror.sync(wait="no")  # error
    mirror.export("shapefile", "out")  # error
    mirror.adopt(how="steal")  # error
    mirror.root = "elsewhere"  # error
    mirror.archive("archive").identity = "another"  # error
    mirror.why(plan)  # error
    plan.actions[0].kind = ss.ActionKind.KEEP  # error
    plan.action  # error
    mirror.status().uptodate  # error
    mirror.verify().repair.ok  # error

ss.SedasArchive(username="name")  # error
with ss.SedasArchive.from_env() as sedas:
    scenes = sedas.search("POLYGON …", 3, "2019-05-12")  # error
    ss.fetch(scenes, "out")  # error
    ss.fetch(["A"], "out", archive=sedas)  # error
    ss.fetch(scenes, "out", archive="sedas")  # error
    sedas.order([scene for scene in scenes])  # error
    for scene in scenes:
        scene.cloudcover  # error
        scene.id = "B"  # error
    try:
        sedas.log_in()
    except ss.SedasSyncError as error:
        error.problems  # error


class Incomplete:
    identity = "incomplete"
    orders = None

    def find(self, query: Query, *, warn: Warn) -> Iterator[Scene]:
        yield from ()

    def look_up(self, ids: Iterable[str], *, warn: Warn) -> Iterator[Scene]:
        yield from ()

    def locate(self, scene: Scene, file: RemoteFile | None = None, *, refused: Download | None = None) -> str:
        return "https://example.org/"

    def stop(self) -> None: ...

    def close(self) -> None: ...


archive: Archive = Incomplete()  # error
