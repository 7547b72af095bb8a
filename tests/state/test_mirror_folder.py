"""The mirror folder: sentences of its contract that no other module has, and what hostile folders do to it."""

import os
import shutil
import subprocess
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec.structs import replace

import sedas_sync as ss
from sedas_sync.files import tree_listing
from sedas_sync.output.documents.mirror import StatusDocument
from sedas_sync.sandbox import RowCatalogue, make_row

RULES = '[dataset.d]\naoi = "harwell"\nstart = 2019-05-01\nend = 2019-05-31\n'


def rows(*names, **more):
    return [make_row(name, f"2019-05-{day:02}T11:00:00Z", **more) for day, name in enumerate(names, 1)]


@pytest.fixture
def mirror_of(workspace, sandbox, monkeypatch):
    """Open the mirror of a manifest, in this process."""
    for key, value in workspace.env.items():
        monkeypatch.setenv(key, value)

    def opened(*names, layout="{id}", place=None, rules=RULES):
        if names:
            sandbox._catalogue = RowCatalogue(rows(*names))
        workspace.write(rules, mirror=f'layout = "{layout}"' + (f'\npath = "{place}"' if place else ""))
        return ss.Mirror(ss.load_manifest(workspace.path / "manifest.toml"))

    return opened


def apply(opened, **how):
    with opened as mirror:
        summary = mirror.apply(mirror.plan(**how))
    assert summary.failed == 0, summary.failures
    return summary


def files(root):
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".sedas-sync" not in path.parts
    }


def test_unchanged_files_are_not_read_and_changed_ones_are_hashed(mirror_of, workspace, sandbox):
    """One whose size or mtime differs from the index is hashed, and fetched again if it differs.

    Unchanged files are not read.
    """
    apply(mirror_of("A", "B", "C", "D"))
    right = workspace.files()
    for name in "AB":
        place = workspace.mirror / f"{name}.zip"
        seen = place.stat()
        place.write_bytes(bytes(seen.st_size))
        if name == "A":
            os.utime(place, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    os.utime(workspace.mirror / "C.zip", (1, 1))
    before = sandbox.downloads
    summary = apply(mirror_of())
    assert (summary.kept, summary.fetched, sandbox.downloads) == (3, 1, before + 1)
    assert workspace.files()["B.zip"] == right["B.zip"]
    assert workspace.files()["A.zip"] != right["A.zip"], "its size and time are right, and only verify reads it"


def test_ids_that_differ_in_case_alone_share_neither_file_nor_partial(mirror_of, workspace):
    """Names from the archive are made safe; a file system may not tell `a` from `A`."""
    from sedas_sync.model.path_template import comparable
    from sedas_sync.model.scene import Scene
    from sedas_sync.state.staging import partial_path

    ids = ["SCENE_A", "scene_a", "Scene_A", "scene_A"]
    assert len({comparable(partial_path(Scene(id=name))) for name in ids}) == 4
    assert partial_path(Scene(id="SCENE_A")) == ".sedas-sync/partial/SCENE_A.zip.part"
    assert apply(mirror_of(*ids)).fetched == 4
    assert len({comparable(name) for name in workspace.files()}) == 4


@pytest.fixture
def forgetful(tmp_path):
    """A folder on a file system that takes `a` for `A`, and shows every name in small letters."""
    image, place = tmp_path / "image", tmp_path / "forgetful"
    if os.geteuid() != 0 or not shutil.which("lowntfs-3g") or not Path("/dev/fuse").exists():
        pytest.skip("needs root, /dev/fuse and lowntfs-3g (Debian: ntfs-3g)")
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(8 << 20)
    for command in (["mkntfs", "-q", "-F", "-f", str(image)], ["lowntfs-3g", "-o", "ignore_case", image, place]):
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("nothing can be mounted here")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_file_system_that_does_not_tell_a_from_A(mirror_of, forgetful, sandbox):  # noqa: N802  # the letters are the point
    place = forgetful / "scenes"
    names = ("Scene_A", "SCENE_a", "B")
    assert apply(mirror_of(*names, place=place)).fetched == 3
    right = sorted(files(place).values())
    downloads = sandbox.downloads
    for layout, adopted in (
        ("{id}", 0), ("Sat/{id}", 3), ("SAT/{id}", 3), ("SAT/{id}", 0), ("SAT/x{id}", 3), ("SAT/X{id}", 3),
    ):  # fmt: skip
        summary = apply(mirror_of(layout=layout, place=place))
        assert (summary.adopted, summary.kept, summary.warnings) == (adopted, 3 - adopted, 0), layout
        assert sorted(files(place).values()) == right
    with mirror_of(layout="SAT/X{id}", place=place) as mirror:
        assert mirror.verify().counts["ok"] == 3
        status = mirror.status()
        assert (status.held, status.unknown) == (3, 0)
    (place / ".sedas-sync" / "index.db").unlink()
    assert apply(mirror_of(layout="SAT/X{id}", place=place)).adopted == 3, "a lost index is rebuilt"
    assert sandbox.downloads == downloads
    assert not list((place / ".sedas-sync" / "replaced").iterdir())


def shown_in_small_letters(monkeypatch, root):
    """Make a listing show each name in small letters, as another name of the same file; nothing else is changed."""
    scan = tree_listing.scan

    def small(place, **options):
        for entry in list(scan(place, **options)):
            if entry.path == entry.path.lower():
                continue
            os.link(root / entry.path, root / entry.path.lower())
            yield replace(entry, path=entry.path.lower())

    monkeypatch.setattr(tree_listing, "scan", small)


def test_a_listing_that_shows_another_spelling_is_understood(mirror_of, workspace, monkeypatch):
    """The same where nothing can be mounted: the listing is another's, names lead to the files all the same."""
    apply(mirror_of("A", "B"))
    shown_in_small_letters(monkeypatch, workspace.mirror)
    entries = tree_listing.listing(str(workspace.mirror), ["A.zip", "GONE.zip"])
    assert set(entries) == {"A.zip", "b.zip"}
    for name in ("a.zip", "b.zip"):
        (workspace.mirror / name).unlink()
    with mirror_of() as mirror:
        assert {action.kind.value for action in mirror.plan().actions} == {"keep"}


def test_strangers_that_only_look_alike_are_no_scenes(mirror_of, workspace):
    apply(mirror_of("A"))
    (workspace.mirror / "A.zip").rename(workspace.mirror / "a.zip")
    entries = tree_listing.listing(str(workspace.mirror), ["A.zip"])
    assert set(entries) == {"a.zip"}, "this file system tells them apart"
    assert apply(mirror_of()).fetched == 1
    assert set(workspace.files()) == {"a.zip", "A.zip"}


def test_a_move_that_was_killed_between_link_and_unlink_is_finished(mirror_of, workspace, sandbox):
    """A changed layout moves files; nothing is fetched again."""
    apply(mirror_of("A", "B"))
    right = workspace.files()
    (workspace.mirror / "x").mkdir()
    os.link(workspace.mirror / "A.zip", workspace.mirror / "x" / "A.zip")
    downloads = sandbox.downloads
    summary = apply(mirror_of(layout="x/{id}"))
    assert (summary.adopted, summary.warnings) == (2, 0)
    assert files(workspace.mirror) == {f"x/{name}": content for name, content in right.items()}
    assert not list((workspace.mirror / ".sedas-sync" / "replaced").iterdir())
    assert sandbox.downloads == downloads


@pytest.mark.parametrize("kind", ["fifo", "socket", "link to itself", "link to the mirror"])
def test_whatever_stands_in_a_scenes_place_is_moved_and_never_opened(mirror_of, workspace, kind):
    """A symbolic link there is moved the same way, never followed."""
    place = workspace.mirror / "A.zip"
    workspace.mirror.mkdir()
    if kind == "fifo":
        os.mkfifo(place)
    elif kind == "socket":
        import socket

        here = Path.cwd()
        os.chdir(workspace.mirror)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("A.zip")
        os.chdir(here)
    else:
        place.symlink_to("A.zip" if kind == "link to itself" else workspace.mirror)
    assert apply(mirror_of("A")).fetched == 1
    assert zipfile.is_zipfile(place)
    (aside,) = (workspace.mirror / ".sedas-sync" / "replaced").iterdir()
    assert not aside.is_file()


@pytest.mark.parametrize("name", ["index.db", "partial", "replaced", "apply.lock", ""])
def test_a_state_folder_of_somebody_elses_making_is_a_clear_refusal(mirror_of, workspace, name):
    place = workspace.mirror / ".sedas-sync" / name
    place.parent.mkdir(parents=True)
    if name in ("index.db", "apply.lock"):
        place.mkdir()
    else:
        place.write_text("mine")
    with mirror_of("A") as mirror, pytest.raises(ss.SedasSyncError, match=r"\.sedas-sync|the mirror cannot be"):
        mirror.apply(mirror.plan())
    assert not workspace.files()


def test_a_file_that_changes_while_it_is_looked_at_is_not_taken_for_right(mirror_of, workspace, monkeypatch):
    apply(mirror_of("A"))
    place = workspace.mirror / "A.zip"
    listing = tree_listing.listing

    def then_written_to(*arguments, **options):
        entries = listing(*arguments, **options)
        place.write_bytes(b"somebody's")
        return entries

    monkeypatch.setattr(tree_listing, "listing", then_written_to)
    with mirror_of() as mirror:
        assert mirror.verify().counts["corrupt"] == 1
        monkeypatch.setattr(tree_listing, "listing", lambda *a, **options: (listing(*a, **options), place.unlink())[0])
        assert mirror.verify().counts["missing"] == 1


def test_nothing_is_read_through_a_folder_that_became_a_link(mirror_of, workspace):
    """Nothing is written through a symbolic link or outside the mirror."""
    apply(mirror_of("A", layout="x/{id}"))
    outside = workspace.path / "outside"
    (workspace.mirror / "x").rename(outside)
    (workspace.mirror / "x").symlink_to(outside)
    before = files(outside)
    with mirror_of(layout="x/{id}") as mirror:
        report = mirror.verify()
        assert {item.path: item.finding.value for item in report.findings} == {"x": "unknown", "x/A.zip": "missing"}
        summary = mirror.apply(mirror.plan())
    assert summary.failed == 1
    assert files(outside) == before


def test_a_new_mirror_that_its_run_did_not_need_is_created_again_for_the_run_that_waits(mirror_of):
    waiting = threading.Event()

    def wait_for_it():
        with mirror_of() as mirror:
            mirror.on_step = lambda _: waiting.set()
            with mirror.locked(timeout=60):
                return (mirror.root / ".sedas-sync" / "partial").is_dir()

    with ThreadPoolExecutor(1) as pool, mirror_of() as first:
        with first.locked():
            second = pool.submit(wait_for_it)
            assert waiting.wait(30)
        assert second.result(30)


def test_a_clock_that_goes_backwards_harms_nothing(mirror_of, workspace, sandbox):
    from datetime import UTC, datetime

    sandbox.order_delay = 3600
    with mirror_of("A") as mirror:
        mirror.apply(mirror.plan())
    sandbox._catalogue = RowCatalogue([*rows("A"), *rows("L", online=False)])
    workspace.write(RULES)
    manifest = ss.load_manifest(workspace.path / "manifest.toml")
    past = datetime(2001, 1, 1, tzinfo=UTC)
    with ss.Mirror(manifest) as mirror:
        mirror.apply(mirror.plan(), wait=False)
    with ss.Mirror(manifest, clock=lambda: past) as mirror:
        assert mirror.plan().counts[ss.ActionKind.WAIT] == 1, "an order of the future is an order"
        assert mirror.apply(mirror.plan(), wait=False).pending == 1
        assert StatusDocument.at(mirror.status(), past).summary.held == 1


# -- which manifest a mirror belongs to --------------------------------------------------------------------------------


def point(link, target):
    """Let a link lead somewhere else, at once, as those do who deploy by links."""
    new = link.with_name("new-link")
    new.symlink_to(target)
    new.rename(link)


@pytest.fixture
def owned(workspace, sandbox):
    """Write manifests of one mirror, and apply them by some path from some folder; gives the exit code."""
    sandbox._catalogue = RowCatalogue(rows("A"))
    home = workspace.path

    class Owned:
        path = home

        def write(self, folder, mirror):
            (home / folder).mkdir(parents=True, exist_ok=True)
            workspace.write(RULES, mirror=f'path = "{mirror}"', name=f"{folder}/manifest.toml")

        def apply(self, manifest="manifest.toml", cwd=".", code=0):
            # A shell enters a folder through links, and says in PWD by which.
            ran = workspace.run("apply", "--quiet", manifest, cwd=cwd, PWD=str(home / cwd))
            assert ran.code == code, ran.err
            return ran.err

    return Owned()


def test_a_config_map_that_changes_is_one_manifest(owned):
    owned.write("etc/..1", owned.path / "scenes")
    owned.write("etc/..2", owned.path / "scenes")
    (owned.path / "etc" / "..data").symlink_to("..1")
    (owned.path / "etc" / "manifest.toml").symlink_to("..data/manifest.toml")
    owned.apply(owned.path / "etc" / "manifest.toml")
    point(owned.path / "etc" / "..data", "..2")
    shutil.rmtree(owned.path / "etc" / "..1")
    owned.apply(owned.path / "etc" / "manifest.toml")
    owned.apply("manifest.toml", cwd="etc")
    owned.apply("etc/manifest.toml")
    owned.apply("../etc/manifest.toml", cwd="scenes")


@pytest.mark.parametrize("mirror", ["outside", "absolute"])
@pytest.mark.parametrize(
    ("manifest", "cwd"),
    [("current/manifest.toml", "."), ("{}/current/manifest.toml", "/"), ("manifest.toml", "current")],
)
def test_releases_behind_a_link_are_one_manifest(owned, manifest, cwd, mirror):
    place = owned.path / "shared" / "scenes" if mirror == "absolute" else "../../shared/scenes"
    for number in (7, 8, 9):
        owned.write(f"releases/{number}", place)
    given = manifest.format(owned.path)
    for number in (7, 8):
        point(owned.path / "current", f"releases/{number}")
        owned.apply(given, cwd=cwd)
    shutil.rmtree(owned.path / "releases" / "7")
    owned.apply(cwd="releases/8")
    point(owned.path / "current", "releases/9")
    owned.apply(given, cwd=cwd)
    assert "belongs to another manifest" in owned.apply("releases/8/manifest.toml", code=2)
    assert (owned.path / "shared" / "scenes" / "A.zip").exists()


def test_a_stale_PWD_is_not_believed(owned, workspace):  # noqa: N802  # the variable's name
    owned.write("one", owned.path / "scenes")
    owned.write("two", owned.path / "scenes")
    owned.apply("one/manifest.toml")
    for said in (owned.path / "one", "one", "", owned.path / "gone"):
        assert workspace.run("apply", cwd="two", PWD=str(said)).code == 2, "it is the manifest of this folder"


def test_mirror_and_manifest_move_together_also_through_links(owned):
    owned.write("real/project", "scenes")
    (owned.path / "home").symlink_to("real")
    owned.apply("home/project/manifest.toml")
    owned.apply("real/project/manifest.toml")
    (owned.path / "real" / "project").rename(owned.path / "elsewhere")
    owned.apply("elsewhere/manifest.toml")
    owned.apply(cwd="elsewhere")
    other = owned.path / "other.toml"
    other.write_text((owned.path / "elsewhere" / "manifest.toml").read_text().replace('"scenes"', '"elsewhere/scenes"'))
    assert "belongs to another manifest" in owned.apply("other.toml", code=2)


def test_a_mirror_that_moves_alone_keeps_its_manifest(owned):
    owned.write("project", "scenes")
    owned.apply("project/manifest.toml")
    for place in ("disk/scenes", "other/disk/scenes"):
        (owned.path / place).parent.mkdir(parents=True)
        before = next(owned.path.rglob("A.zip")).parent
        before.rename(owned.path / place)
        owned.write("project", owned.path / place)
        assert owned.apply(cwd="project") == ""
    (owned.path / "project").rename(owned.path / "renamed")
    owned.write("third", owned.path / place)
    err = owned.apply("third/manifest.toml", code=2)
    assert f"another manifest, {owned.path / 'project' / 'manifest.toml'} (which no longer exists)" in err


def test_a_manifest_in_the_old_place_does_not_own_a_mirror_that_moved(owned):
    owned.write("project", "scenes")
    owned.apply("project/manifest.toml")
    (owned.path / "project").rename(owned.path / "moved")
    owned.apply("moved/manifest.toml")
    owned.write("project", owned.path / "moved" / "scenes")
    err = owned.apply("project/manifest.toml", code=2)
    assert f"another manifest, {owned.path / 'moved' / 'manifest.toml'};" in err


def test_a_mirror_behind_a_link_has_the_same_manifest(owned):
    (owned.path / "disk").mkdir()
    (owned.path / "scenes").symlink_to("disk")
    owned.write("project", "../scenes")
    owned.apply("project/manifest.toml")
    owned.apply(cwd="project")
    (owned.path / "disk").rename(owned.path / "larger-disk")
    point(owned.path / "scenes", "larger-disk")
    owned.apply("project/manifest.toml")


def test_an_index_that_remembers_the_file_behind_the_link_is_known_and_brought_up_to_date(owned):
    """What earlier versions wrote."""
    for number in (7, 8):
        owned.write(f"releases/{number}", owned.path / "scenes")
    owned.apply("releases/7/manifest.toml")
    (owned.path / "current").symlink_to("releases/7")
    owned.apply("current/manifest.toml")
    point(owned.path / "current", "releases/8")
    owned.apply("current/manifest.toml")


def test_two_dots_after_a_link_lead_where_the_system_says(owned):
    owned.write("a/b", owned.path / "scenes")
    owned.write("a", owned.path / "scenes")
    owned.write(".", owned.path / "scenes")
    (owned.path / "link").symlink_to("a/b")
    owned.apply("link/../manifest.toml")
    owned.apply("a/manifest.toml")
    owned.apply("manifest.toml", code=2)
