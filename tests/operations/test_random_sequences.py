"""Whatever happens in whatever order: no stranger is touched, no wrong byte has a scene's name, and apply ends in sync.

A mirror, its manifest and a sandbox within this process; steps are drawn by hypothesis. Kills are those of a run that
is stopped after a few events, of one that is dropped in the middle without an end, and now and then of a process.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from contextlib import closing
from pathlib import Path

import pytest
from effort import effort
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import sedas_sync as ss
from sedas_sync.sandbox import RowCatalogue, Sandbox, make_row

BOX = "bbox = [-1.4, 51.5, -1.2, 51.65]"
ONLINE = tuple(f"ON{number}" for number in range(6))
ARCHIVED = ("LTA0", "LTA1")
NAMES = (*ONLINE, *ARCHIVED)
LAYOUTS = ("{id}", "{start:%d}/{id}", "{satellite}/{id}")
WHICH = st.integers(0, 63)
"""Picks a file, whichever are there: what is drawn must not depend on the moment at which a run was killed."""


def content_of(folder):
    """A small zip for each scene, each different."""
    files = {}
    for name in NAMES:
        files[name] = folder / f"{name}.source"
        with zipfile.ZipFile(files[name], "w") as file:
            file.writestr(f"{name}.SAFE/manifest.safe", name * 300)
    return files


class Everything(RuleBasedStateMachine):
    """One mirror, and what users, crashes and catalogues do to it."""

    def __init__(self):
        super().__init__()
        self.base = Path(tempfile.mkdtemp(prefix="invariants-", dir=os.environ.get("TMPDIR")))
        files = content_of(self.base)
        self.right = {name: file.read_bytes() for name, file in files.items()}
        self.offered = set(NAMES)
        self.files = files
        self.sandbox = Sandbox(catalogue=RowCatalogue(self.rows(), files=files), order_delay=0)
        self.sandbox.start()
        self.archive = ss.SedasArchive(url=self.sandbox.url, username="sandbox", password="sandbox")
        self.root = self.base / "m" / "scenes"
        self.strangers = {}
        self.damaged = set()
        """Wrong contents that this test has written, with the scene's name that they have."""
        self.rotted = set()
        """Those of them that nothing but reading can find."""
        self.number = 0
        (self.base / "m").mkdir()

    def rows(self):
        return [
            make_row(
                name,
                f"2019-05-{day:02}T11:00:00Z",
                online=name in ONLINE,
                satellite="Sentinel-2A" if day % 2 else "Sentinel-2B",
            )
            for day, name in enumerate(NAMES, 1)
            if name in self.offered
        ]

    @initialize()
    def begin(self):
        self.change_the_manifest(first=1, latest=None, layout="{id}", exclude=None)

    # -- what a user does ------------------------------------------------------------------------------------------

    @rule(
        first=st.integers(1, 6),
        latest=st.none() | st.integers(1, 5),
        layout=st.sampled_from(LAYOUTS),
        exclude=st.none() | st.sampled_from(NAMES),
    )
    def change_the_manifest(self, first, latest, layout, exclude):
        rules = f"start = 2019-05-{first:02}\nend = 2019-05-31\n"
        rules += f"latest = {latest}\n" if latest else ""
        rules += f'exclude = ["{exclude}"]\n' if exclude else ""
        (self.base / "m" / "manifest.toml").write_text(
            f'version = 1\n[archive]\nurl = "{self.sandbox.url}"\n[mirror]\nlayout = "{layout}"\n'
            f'[transfer]\nretries = 0\n[aoi.a]\n{BOX}\n[dataset.d]\naoi = "a"\n{rules}'
        )

    @rule(which=WHICH)
    def delete_a_file(self, which):
        if here := self.scene_files():
            here[which % len(here)].unlink()

    @rule(which=WHICH, other=st.sampled_from(NAMES), how=st.sampled_from(["cut", "flip", "other", "touch", "rot"]))
    def damage_a_file(self, which, other, how):
        here = self.scene_files()
        if not here:
            return
        victim = here[which % len(here)]
        before = victim.stat()
        content = bytearray(victim.read_bytes())
        if how == "touch":
            os.utime(victim, ns=(1, 1))
            return
        if how == "cut":
            content = content[: len(content) // 2]
        elif how == "other":
            content = self.right[other]
        else:
            content[len(content) // 2] ^= 1
        victim.unlink()
        victim.write_bytes(content)
        self.damaged.add((victim.stem, bytes(content)))
        if how == "rot":
            os.utime(victim, ns=(before.st_atime_ns, before.st_mtime_ns))
            self.rotted.add((victim.stem, bytes(content)))

    @rule(name=st.sampled_from(NAMES), kind=st.sampled_from(["beside", "name", "link", "folder", "right"]))
    def add_a_stranger(self, name, kind):
        self.root.mkdir(exist_ok=True)
        self.number += 1
        place = self.root / (f"{name}.zip" if kind != "beside" else f"notes-{self.number}.txt")
        if place.exists() or place.is_symlink():
            return
        content = f"stranger {self.number}".encode()
        if kind == "right":
            place.write_bytes(self.right[name])
            return
        if kind == "link":
            target = self.base / f"target-{self.number}"
            target.write_bytes(content)
            place.symlink_to(target)
            self.strangers[self.number] = ("link", content, target)
        elif kind == "folder":
            place.mkdir()
            (place / f"inner-{self.number}").write_bytes(content)
            self.strangers[self.number] = ("file", content, None)
        else:
            place.write_bytes(content)
            self.strangers[self.number] = ("file", content, None)

    @rule(how=st.sampled_from(["delete", "garbage"]))
    def lose_the_index(self, how):
        state = self.root / ".sedas-sync"
        if not (state / "index.db").exists():
            return
        for suffix in ("-wal", "-shm"):
            (state / f"index.db{suffix}").unlink(missing_ok=True)
        (state / "index.db").unlink()
        if how == "garbage":
            (state / "index.db").write_bytes(b"garbage " * 200)

    @rule(name=st.sampled_from(NAMES))
    def the_catalogue_changes(self, name):
        self.offered ^= {name}
        self.sandbox._catalogue = RowCatalogue(self.rows(), files=self.files)

    # -- what the program does -------------------------------------------------------------------------------------

    def mirror(self):
        return ss.Mirror(ss.load_manifest(self.base / "m" / "manifest.toml"), archives={"archive": self.archive})

    @rule(prune=st.booleans())
    def apply(self, prune):
        with self.mirror() as mirror:
            plan = mirror.plan(prune=prune)
            summary = mirror.apply(plan, wait=False, max_prune="100%")
        assert summary.failed == 0, summary.failures
        assert summary.pruned == plan.counts[ss.ActionKind.PRUNE]
        for action in plan.actions:
            if action.wanted is not None and action.kind not in (ss.ActionKind.ORDER, ss.ActionKind.WAIT):
                content = (self.root / action.path).read_bytes()
                assert content == self.right[action.id] or (action.id, content) in self.rotted

    @rule(after=st.integers(1, 8), how=st.sampled_from(["stop", "drop"]), prune=st.booleans())
    def apply_and_be_interrupted(self, after, how, prune):
        with self.mirror() as mirror:
            run = mirror.run(mirror.plan(prune=prune), wait=False, max_prune="100%")
            with closing(run):
                for number, _ in enumerate(run):
                    if number == after:
                        if how == "drop":
                            break
                        mirror.stop()
        self.archive.close()
        self.archive = ss.SedasArchive(url=self.sandbox.url, username="sandbox", password="sandbox")

    @precondition(lambda self: self.number % 7 == 6)
    @rule(after=st.floats(0.2, 1.0))
    def apply_and_be_killed(self, after):
        self.number += 1
        account = {**os.environ, "SEDAS_USERNAME": "sandbox", "SEDAS_PASSWORD": "sandbox"}
        process = subprocess.Popen(
            [sys.executable, "-m", "sedas_sync", "apply", "--no-wait", "--prune", "--yes", "-q"],
            cwd=self.base / "m", env=account, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    @rule()
    def lock(self):
        with self.mirror() as mirror:
            mirror.relock(mirror.plan())

    @rule(prune=st.booleans())
    def apply_the_lock(self, prune):
        with self.mirror() as mirror:
            try:
                locked = set(mirror.checked_lock().scenes)
            except ss.ManifestError:
                return  # there is none, or the manifest has moved on
            plan = mirror.plan(locked=True, prune=prune)
            summary = mirror.apply(plan, wait=False, max_prune="100%")
        lost = {failure.id for failure in summary.failures}
        assert lost <= set(NAMES) - self.offered, "what the catalogue has lost is all that may fail"
        gone = {action.id for action in plan.actions if action.kind is ss.ActionKind.PRUNE}
        assert not gone & locked, "what the lock names is never removed"

    @rule()
    def adopt(self):
        with self.mirror() as mirror:
            mirror.adopt()

    @rule(repair=st.booleans())
    def verify(self, repair):
        with self.mirror() as mirror:
            report = mirror.verify()
            right = {
                self.root / item.path for item in report.files if item.recorded is not None and item.finding is None
            }
            assert not [file for file in self.scene_files() if file in right and self.is_wrong(file)]
            if repair:
                # A repair has to find its scenes in the catalogue; those that it lost stay as they are, and are named.
                done = mirror.repair(report, wait=False).repair
                if done is not None:
                    assert {failure.id for failure in done.failures} <= set(NAMES) - self.offered

    # -- what must hold --------------------------------------------------------------------------------------------

    def scene_files(self):
        """Files below the mirror that have a scene's name and are no stranger's."""
        found = []
        for file in self.root.rglob("*.zip") if self.root.is_dir() else ():
            if ".sedas-sync" in file.parts or file.is_symlink() or not file.is_file():
                continue
            if file.stem in NAMES and not file.read_bytes().startswith(b"stranger"):
                found.append(file)
        return sorted(found)

    def is_wrong(self, file):
        return file.read_bytes() != self.right[file.stem]

    @invariant()
    def no_wrong_byte_has_a_scenes_name(self):
        wrong = {(file.stem, file.read_bytes()) for file in self.scene_files() if self.is_wrong(file)}
        assert wrong <= self.damaged, "only what this test has damaged is wrong"

    @invariant()
    def no_stranger_is_touched(self):
        if not self.strangers:
            return
        files = [file for file in self.root.rglob("*") if file.is_file() and not file.is_symlink()]
        contents = {file.read_bytes() for file in files if file.stat().st_size < 100}
        links = {str(file.readlink()) for file in self.root.rglob("*") if file.is_symlink()}
        for kind, content, target in self.strangers.values():
            if kind == "link":
                assert target.read_bytes() == content
                assert str(target) in links, "the link itself is kept, if need be in replaced/"
            else:
                assert content in contents

    def teardown(self):
        try:
            self.end_in_sync()
        finally:
            self.archive.close()
            self.sandbox.close()
            shutil.rmtree(self.base, ignore_errors=True)

    def end_in_sync(self):
        """Damage that kept size and time is for verify to find; everything else apply mends by itself."""
        self.offered = set(NAMES)
        self.sandbox._catalogue = RowCatalogue(self.rows(), files=self.files)
        with self.mirror() as mirror:
            for _ in range(2):  # the first one orders, the second one fetches what was ordered
                mirror.repair(mirror.verify(), wait=False)
            for _ in range(2):
                summary = mirror.apply(mirror.plan(prune=True), wait=False, max_prune="100%")
            assert (summary.exit_code, summary.failures) == (0, ())
            plan = mirror.plan(prune=True)
            assert plan.changes == 0
            assert {action.kind for action in plan.actions} <= {ss.ActionKind.KEEP}
            for action in plan.actions:
                assert (self.root / action.path).read_bytes() == self.right[action.id]
            if (self.root.parent / "manifest.lock").exists():
                # What it was made of may be out of `latest` by now.
                mirror.relock(plan)
            assert not mirror.verify().bad
            assert {order.id for order in mirror.orders()} <= set(ARCHIVED)
        self.no_stranger_is_touched()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_random_sequences_keep_the_invariants():
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        Everything,
        settings=settings(
            max_examples=effort(25, 500),
            stateful_step_count=12,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
