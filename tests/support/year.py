"""A mirror in operation for days or a year: a catalogue that lives, an operator, accidents, and an oracle beside them.

Every day a catalogue gains, loses, reprocesses, changes and archives scenes. Servers fail, quotas run out, files rot,
disks are restored, clocks are wrong, manifests are edited, and on some days the machine is off. The nightly run is
`apply --no-wait`, in every second night with `--prune`, the weekly one `verify --repair`. After each the oracle checks
what is on disk, and that every failure has a cause that it knows: an alarm without one is a mistake of the program.

The manifest has two datasets: one that moves with time, and one of the autumn before, which has `recheck`.
"""

import hashlib
import io
import random
import shutil
import zipfile
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from clocks import Clock, Weeks

import sedas_sync as ss
from sedas_sync.model.history import ChangeKind
from sedas_sync.sandbox import Faults, RowCatalogue, Rule, Sandbox, make_row
from sedas_sync.sandbox.faults import fail

WINDOWS = ("-30d", "-20d", "-45d")
WORK = b"work of somebody"
EDITED = timedelta(days=25)
"""How long the removals of an edit may take: a tenth of the mirror in two nights, at least five files."""
AUTUMN = '[dataset.autumn]\naoi = "a"\nstart = 2025-09-01\nend = 2025-10-15\nrecheck = "7d"\n'
RECHECK = timedelta(days=7)


@dataclass
class Truth:
    """A scene as it is in the archive."""

    id: str
    acquired: datetime
    published: datetime
    listed: bool = True
    online: bool = True
    version: int = 1
    back: datetime | None = None
    """When the catalogue lists it again."""
    changed: datetime | None = None
    """When it got its version, if it is of the autumn."""
    autumn: bool = False

    def content(self, version=None):
        """The bytes of a version."""
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as file:
            info = zipfile.ZipInfo(f"{self.id}.SAFE/manifest.safe")
            file.writestr(info, f"{self.id} {version or self.version} " * 40)
        return out.getvalue()

    def row(self):
        return make_row(
            self.id,
            f"{self.acquired:%Y-%m-%dT%H:%M:%SZ}",
            online=self.online,
            filehash=hashlib.md5(self.content()).hexdigest(),
        )


def name(acquired, baseline, made):
    return f"S2A_MSIL1C_{acquired:%Y%m%dT%H%M%S}_N{baseline:04}_R137_T30UXC_{made:%Y%m%dT%H%M%S}"


class Year:
    """The simulation.

    Args:
        path: an empty folder.
        seed: of what happens.
    """

    def __init__(self, path, seed):
        self.random = random.Random(seed)
        self.clock = Clock("2026-01-01")
        self.clock.move(hours=3)
        self.skew = timedelta()
        self.truth = {}
        self.failing = {}
        """Scenes whose orders fail, and until when."""
        self.broken = set()
        """Scenes whose orders have failed at some time."""
        self.sandbox = Sandbox(clock=self.clock.posix, order_delay=1.5 * 86400)
        self.weeks = Weeks(path, self.sandbox, lambda: self.clock() + self.skew)
        self.window = WINDOWS[0]
        self.edited = self.clock() - EDITED
        self.doubted = False
        """Whether the last run had a wrong clock."""
        self.faults = {}
        self.asked = None
        """When a run has last searched for the autumn."""
        self.asked_before_backup = None
        self.spared = 0
        """How many runs have not."""
        self.kept = {}
        """Versions that are on disk and must not get lost, by id: the catalogue may no longer have them."""
        self.orphaned = False
        self.unknown = set()
        """Files whose scenes were withdrawn when the index was lost."""
        self.backup = None
        self.happened = Counter()
        self.orders = Counter()
        self.excused = Counter()
        """How often a scene may be ordered again."""
        self.runs = []

    def close(self):
        self.sandbox.close()

    # -- the world ---------------------------------------------------------------------------------------------------

    def live(self, days):
        """Begin with forty days of scenes, and live for some days."""
        self.sandbox.start()
        for age in range(40):
            self.acquire(self.clock() - timedelta(days=age), delay=0)
        for day in range(10):
            self.acquire_in_autumn(day)
        self.write()
        for day in range(days):
            self.one_day(day)
            self.clock.move(days=1)

    def write(self):
        """Write the manifest. Without an index, only a checksum tells a file from its later version."""
        self.weeks.write(self.window, f'reprocessed = "newest"\n{AUTUMN}', archive='filehash = "enforce"\n')

    def one_day(self, day):
        self.faults, self.skew = {}, timedelta()
        if self.chance(0.7):
            self.acquire(self.clock() - timedelta(hours=16), delay=self.random.choice((0, 0, 0, 1, 1, 6)))
        for chance, event in (
            (0.04, self.withdraw),
            (0.04, self.reprocess),
            (0.03, self.change),
            (0.15, self.archive),
            (0.02, self.break_orders),
            (0.03, self.outage),
            (0.02, self.refuse_login),
            (0.05, self.limit_orders),
            (0.02, self.set_clock_wrong),
            (0.04, self.damage),
            (0.04, self.delete),
            (0.02, self.restore),
            (0.015, self.lose_index),
            (0.025, self.edit),
            (0.02, self.gain_in_autumn),
            (0.03, self.change_in_autumn),
        ):
            if day and self.chance(chance):
                self.happened[event.__name__] += 1
                event()
        for scene in self.truth.values():
            if scene.back is not None and scene.back <= self.clock():
                scene.listed, scene.back = True, None
        self.failing = {key: until for key, until in self.failing.items() if until > self.clock()}
        self.offer()
        if day and self.chance(0.1):
            self.happened["off"] += 1
            return
        self.nightly()
        if day % 7 == 6:
            self.weekly()

    def chance(self, share):
        return self.random.random() < share

    def acquire(self, acquired, *, delay):
        acquired = acquired.replace(minute=6, second=21, microsecond=0)
        made = acquired + timedelta(hours=3)
        scene = Truth(name(acquired, 509, made), acquired, made + timedelta(days=delay))
        self.truth[scene.id] = scene

    def acquire_in_autumn(self, day):
        acquired = self.clock().replace(year=2025, month=9, day=1 + day % 30, hour=10 + day // 30)
        self.acquire(acquired, delay=0)
        scene = list(self.truth.values())[-1]
        scene.autumn, scene.published, scene.changed = True, self.clock(), self.clock()

    def gain_in_autumn(self):
        self.acquire_in_autumn(sum(scene.autumn for scene in self.truth.values()))

    def change_in_autumn(self):
        scene = self.some(scene for scene in self.truth.values() if scene.autumn)
        scene.version, scene.changed = scene.version + 1, self.clock()

    def offer(self):
        listed = [scene for scene in self.truth.values() if self.is_listed(scene)]
        files = {scene.id: scene.content() for scene in self.truth.values()}
        self.sandbox._catalogue = RowCatalogue([scene.row() for scene in listed], files=files)
        rules = tuple(Rule(endpoint, fail(status)) for endpoint, status in self.faults.items() if endpoint != "quota")
        quota = (1, 86400.0) if "quota" in self.faults else None
        self.sandbox.faults = Faults(rules=rules, failed_orders=tuple(self.failing), order_quota=quota)

    def is_listed(self, scene):
        return scene.listed and scene.published <= self.clock()

    def some(self, scenes):
        """One scene of these, or None."""
        found = sorted(scenes, key=lambda scene: scene.id)
        return self.random.choice(found) if found else None

    def current(self):
        """The listed scenes within the window."""
        first = self.first()
        return [scene for scene in self.truth.values() if self.is_listed(scene) and scene.acquired >= first]

    def first(self):
        return self.clock() + self.skew - timedelta(days=int(self.window[1:-1]))

    def withdraw(self):
        if scene := self.some(self.current()):
            scene.listed = False
            scene.back = self.clock() + timedelta(days=self.random.randint(3, 9)) if self.chance(0.5) else None

    def reprocess(self):
        if scene := self.some(scene for scene in self.current() if "_N0509_" in scene.id):
            scene.listed, made = False, self.clock() - timedelta(hours=1)
            newer = Truth(name(scene.acquired, 511, made), scene.acquired, made)
            self.truth[newer.id] = newer

    def change(self):
        if scene := self.some(scene for scene in self.current() if scene.online):
            scene.version += 1

    def archive(self):
        if scene := self.some(scene for scene in self.current() if scene.online):
            scene.online = False

    def break_orders(self):
        if scene := self.some(scene for scene in self.current() if not scene.online):
            self.failing[scene.id] = self.clock() + timedelta(days=50)
            self.broken.add(scene.id)

    def outage(self):
        self.faults["search"] = 500

    def refuse_login(self):
        self.faults["login"] = 401

    def limit_orders(self):
        self.faults["quota"] = 429

    def set_clock_wrong(self):
        self.skew = timedelta(days=2)

    # -- accidents and the operator ----------------------------------------------------------------------------------

    @property
    def root(self):
        return self.weeks.path / "scenes"

    def files(self):
        return {file.stem: file for file in sorted(self.root.glob("*.zip"))}

    def a_file(self):
        found = self.files()
        return found[self.random.choice(sorted(found))] if found else None

    def damage(self):
        if file := self.a_file():
            file.write_bytes(WORK)
            self.lose(file.stem)

    def delete(self):
        if file := self.a_file():
            file.unlink()
            self.lose(file.stem)

    def lose(self, scene_id):
        self.kept.pop(scene_id, None)
        self.excused[scene_id] += 1

    def restore(self):
        if self.backup is None:
            return
        self.asked = self.asked_before_backup
        shutil.rmtree(self.root)
        shutil.copytree(self.backup, self.root, symlinks=True)
        for scene_id in set(self.kept) | set(self.truth):
            self.lose(scene_id)

    def lose_index(self):
        for suffix in ("", "-wal", "-shm"):
            (self.root / ".sedas-sync" / f"index.db{suffix}").unlink(missing_ok=True)
        self.orphaned = True
        self.edited = self.clock()

    def edit(self):
        self.window = self.random.choice([window for window in WINDOWS if window != self.window])
        self.write()
        self.edited = self.clock()
        # A wider window brings back what the narrower one has removed.
        self.excused.update(self.truth.keys())

    # -- the runs, and what the oracle expects of them ---------------------------------------------------------------

    def nightly(self):
        self.pruned = self.chance(0.5)
        before = len(self.sandbox.log)
        with self.weeks.mirror() as mirror:
            if self.orphaned and not self.faults and not self.skew:
                # Two runs: the first one finds what is wanted, and the look-up finds the rest.
                mirror.sync(wait=False)
                mirror.adopt(known=True)
                self.orphaned = False
                # No archive knows them now, so that nothing can tell what they are.
                self.unknown |= {scene_id for scene_id in self.files() if not self.is_listed(self.truth[scene_id])}
            try:
                with mirror.locked(), mirror.recording("apply"):
                    plan = mirror.plan(prune=self.pruned)
                    summary = mirror.apply(plan, wait=False)
            except ss.AuthenticationError:
                assert "login" in self.faults, "an account is refused without a cause"
                self.runs.append(4)
                return
            left = mirror.orders()
            status = mirror.status()
        self.count_orders(self.sandbox.log[before:])
        self.runs.append(summary.exit_code)
        self.explain(summary)
        self.check_files(summary)
        self.check_autumn(plan)
        self.check_orders(summary, left)
        assert status.last_run.exit_code == summary.exit_code
        shown, failed = ({failure.id for failure in some} for some in (status.failures, summary.failures))
        # After a search that failed, what failed before is still the last that is known of a scene.
        assert shown == failed or ("search" in self.faults and shown > failed)
        assert status.replaced[0] == len(list((self.root / ".sedas-sync" / "replaced").iterdir()))
        self.doubted = bool(self.skew)
        self.back_up()

    def explain(self, summary):
        """Every failure has a cause, and the exit code is that of the failures and orders."""
        for failure in summary.failures:
            cause = {
                "d": "search" in self.faults,
                "autumn": "search" in self.faults,
                "prune": self.skew or self.doubted or self.clock() - self.edited < EDITED,
            }.get(failure.id, failure.id in self.failing or "ordered again after" in failure.error)
            assert cause, f"{self.clock():%Y-%m-%d}: an alarm that nothing explains: {failure}"
        pending = summary.pending > 0
        assert summary.exit_code == (1 if summary.failures else 3 if pending else 0)

    def check_files(self, summary):
        here = {scene_id: file.read_bytes() for scene_id, file in self.files().items()}
        # A file that somebody has changed is replaced if its scene is wanted, and is theirs otherwise.
        wanted = {scene.id for scene in self.current() if scene.online and "search" not in self.faults}
        wanted |= {scene.id for scene in self.truth.values() if scene.autumn and "search" not in self.faults}
        here = {key: content for key, content in here.items() if content != WORK or key in wanted}
        for scene_id, content in here.items():
            scene = self.truth[scene_id]
            versions = [scene.content(version) for version in range(1, scene.version + 1)]
            assert content in versions, f"{scene_id}: bytes that the archive never had"
        first = self.first()
        lost = {scene_id for scene_id in self.kept if scene_id not in here and self.truth[scene_id].acquired >= first}
        lost = {scene_id for scene_id in lost if not self.successor(scene_id)}
        assert not lost, f"{self.clock():%Y-%m-%d}: files of scenes that may be the last copies are gone: {lost}"
        if "search" in self.faults:
            return
        for scene in self.current():
            if scene.online and not self.successor(scene.id):
                assert here.get(scene.id) == scene.content(), f"{scene.id}: is missing or outdated"
            elif scene.id not in here and not self.successor(scene.id):
                assert summary.exit_code in (1, 3), f"{scene.id}: is missing, and nobody says so"
        if self.pruned and summary.exit_code in (0, 3) and not self.skew and not self.orphaned:
            truth = [self.truth[scene_id] for scene_id in here]
            old = {scene.id for scene in truth if scene.acquired < first and not scene.autumn} - self.unknown
            assert not old, f"{self.clock():%Y-%m-%d}: files that are too old are left: {old}"
        self.kept = dict.fromkeys(here, True)

    def check_autumn(self, plan):
        """What had come or changed before the last search for the autumn is here, and that search is not too old."""
        if "search" in self.faults:
            return
        if "autumn" in plan.not_asked:
            self.spared += 1
        else:
            self.asked = self.clock()
        assert self.clock() + self.skew - plan.searched["autumn"] < RECHECK
        here = self.files()
        for scene in self.truth.values():
            if scene.autumn and self.asked is not None and scene.changed <= self.asked:
                assert here[scene.id].read_bytes() == scene.content(), f"{scene.id} is outdated"

    def successor(self, scene_id):
        """The later processing of a scene, if the catalogue has it."""
        stem = scene_id[:26]
        newer = (other for other in self.truth.values() if other.id[:26] == stem and "_N0511_" in other.id)
        return next((other for other in newer if other.id != scene_id and self.is_listed(other)), None)

    def count_orders(self, log):
        for entry in log:
            if entry.endpoint == "order" and entry.status == 200:
                self.orders[entry.path.partition("?")[0].rpartition("/")[2]] += 1
        for scene_id, number in self.orders.items():
            allowed = self.truth[scene_id].version + self.excused[scene_id]
            assert number <= allowed + 7 * (scene_id in self.broken), f"{scene_id}: ordered {number} times"

    def check_orders(self, summary, orders):
        if summary.failures or self.skew or not self.pruned:
            return
        first = self.first()
        for order in orders:
            scene = self.truth[order.id]
            assert scene.acquired >= first, f"{order.id}: an order of a scene that is too old is left"

    def weekly(self):
        with self.weeks.mirror() as mirror:
            if "login" in self.faults:
                return
            report = mirror.verify()
            done = mirror.repair(report, wait=False)
            if done.repair is not None:
                for failure in done.repair.failures:
                    scene = self.truth[failure.id]
                    gone = not self.is_listed(scene)
                    assert gone or failure.id in self.failing, f"a repair fails without a cause: {failure}"
            for item in mirror.verify().bad:
                scene = self.truth[item.id]
                assert not (self.is_listed(scene) and scene.online), f"{item.id} is still {item.finding}"

    def back_up(self):
        if self.chance(0.15):
            self.backup, self.asked_before_backup = self.weeks.path / "backup", self.asked
            shutil.rmtree(self.backup, ignore_errors=True)
            shutil.copytree(self.root, self.backup, symlinks=True)

    def check_past(self):
        """What the mirror remembers is what has happened."""
        with self.weeks.mirror() as mirror:
            changes, runs = mirror.changes(), mirror.history()
        for change in changes:
            scene = self.truth[change.id]
            if change.kind is ChangeKind.REPROCESSED:
                assert change.detail in self.truth
                assert change.detail[:26] == change.id[:26]
            elif change.kind is ChangeKind.LATE:
                assert scene.published - scene.acquired > timedelta(days=3)
            elif change.kind is ChangeKind.CHANGED:
                assert scene.version > 1
        return changes, runs
