"""What may happen below a mirror's root, and that nothing happens elsewhere."""

import errno
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from sedas_sync.errors import TransferError
from sedas_sync.files import safe_tree, tree_listing
from sedas_sync.files.disk_space import free_space
from sedas_sync.files.folder_cache import KEEP_OPEN, FolderCache


@pytest.fixture
def root(tmp_path):
    place = tmp_path / "root"
    place.mkdir()
    return place


@pytest.fixture
def outside(tmp_path):
    place = tmp_path / "outside"
    place.mkdir()
    (place / "victim").write_text("untouched")
    yield place
    assert [(path.name, path.read_text()) for path in place.iterdir()] == [("victim", "untouched")]


@pytest.mark.parametrize("path", ["", "/etc/passwd", "..", "a/../b", "a//b", "./a", "a/", "a\0b", "a/.."])
def test_paths_that_leave_the_root_are_refused(root, path):
    for deed in (safe_tree.prepare, safe_tree.stat, safe_tree.set_aside, safe_tree.remove):
        with pytest.raises(TransferError, match="not a path below"):
            deed(str(root), path)


def test_prepare_makes_the_root_and_the_folders_above(tmp_path):
    made = safe_tree.prepare(str(tmp_path / "deep/root"), "a/b/c.zip")
    assert made == str(tmp_path / "deep/root/a/b/c.zip")
    assert (tmp_path / "deep/root/a/b").is_dir()
    assert safe_tree.prepare(str(tmp_path / "deep/root"), "a/b/c.zip") == made


def test_a_link_on_the_way_is_named_and_refused_by_every_deed(root, outside):
    (root / "a").mkdir()
    (root / "a/b").symlink_to(outside)
    (root / "file").write_text("mine")
    deeds = [
        lambda: safe_tree.prepare(str(root), "a/b/victim"),
        lambda: safe_tree.place(str(root), "file", "a/b/victim", replace=True),
        lambda: safe_tree.place(str(root), "a/b/victim", "x"),
        lambda: safe_tree.set_aside(str(root), "a/b/victim"),
        lambda: safe_tree.move(str(root), "file", "a/b/new"),
        lambda: safe_tree.move(str(root), "a/b/victim", "x"),
        lambda: safe_tree.remove(str(root), "a/b/victim"),
        lambda: safe_tree.stat(str(root), "a/b/victim"),
        lambda: safe_tree.sync(str(root), "a/b/victim"),
    ]
    for deed in deeds:
        with pytest.raises(TransferError, match="a/b in the mirror is a symbolic link"):
            deed()


def test_a_file_is_opened_through_no_link_and_waits_for_no_pipe(root, outside):
    (root / "link").symlink_to(outside / "victim")
    (root / "way").symlink_to(outside)
    for path in ("link", "way/victim", "way/new"):
        for flags in (os.O_RDONLY, os.O_WRONLY | os.O_CREAT | os.O_TRUNC):
            with pytest.raises(TransferError, match="symbolic link"):
                safe_tree.open_file(str(root), path, flags)
    for deed in (safe_tree.names, safe_tree.drop):
        with pytest.raises(TransferError, match="way in the mirror is a symbolic link"):
            deed(str(root), "way/victim")
    with pytest.raises(TransferError, match="link is not a regular file"):
        safe_tree.drop(str(root), "link")
    os.mkfifo(root / "pipe")
    with os.fdopen(safe_tree.open_file(str(root), "pipe", os.O_RDONLY), "rb") as pipe:
        assert not pipe.read()
    file = safe_tree.open_file(str(root), "a/b", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.close(file)
    assert (root / "a/b").stat().st_mode & 0o777 == 0o600
    assert safe_tree.names(str(root), "a") == ["b"]
    safe_tree.drop(str(root), "a/b")
    safe_tree.drop(str(root), "a/b")
    assert safe_tree.names(str(root), "a") == []


def test_scan_of_a_folder_within_sees_through_no_link(root, outside):
    (root / ".sedas-sync/partial/S.scene/new").mkdir(parents=True)
    (root / ".sedas-sync/partial/S.scene/new/B04.tif").write_text("x")
    (root / ".sedas-sync/partial/S.scene/out").symlink_to(outside)
    (root / "way").symlink_to(outside)
    found = {entry.path for entry in tree_listing.scan(str(root), ".sedas-sync/partial/S.scene")}
    assert found == {"new/B04.tif", "out"}
    assert not list(tree_listing.scan(str(root), "way"))
    assert not list(tree_listing.scan(str(root), "nobody/at/home"))


def test_a_link_that_cannot_be_completed_is_undone(root, monkeypatch):
    (root / "part").write_text("new")
    unlink = os.unlink

    def refused(name, *args, **kwargs):
        if os.fstat(kwargs["dir_fd"]).st_ino == root.stat().st_ino and name == "part":
            raise PermissionError(errno.EPERM, "Operation not permitted")
        unlink(name, *args, **kwargs)

    monkeypatch.setattr(os, "unlink", refused)
    for deed in (safe_tree.move, safe_tree.place, lambda place, old, _: safe_tree.set_aside(place, old)):
        with pytest.raises(TransferError, match=r"part belongs to the user \w+"):
            deed(str(root), "part", "final")
    assert [path.name for path in root.iterdir() if path.is_file()] == ["part"]
    assert not list((root / safe_tree.REPLACED).iterdir())
    assert (root / "part").stat().st_nlink == 1


def test_a_file_in_the_place_of_a_folder_is_named(root):
    (root / "a").write_text("x")
    with pytest.raises(TransferError, match="a in the mirror is not a folder"):
        safe_tree.prepare(str(root), "a/b")


def test_the_root_itself_may_be_a_link(root, tmp_path):
    (tmp_path / "alias").symlink_to(root)
    safe_tree.prepare(str(tmp_path / "alias"), "a/b")
    assert (root / "a").is_dir()


@pytest.mark.parametrize("kind", ["file", "link", "dangling", "folder"])
def test_place_never_takes_a_name_that_somebody_has(root, outside, kind):
    (root / "part").write_text("new")
    target = root / "final"
    if kind == "file":
        target.write_text("old")
    elif kind == "folder":
        target.mkdir()
    else:
        target.symlink_to(outside / ("victim" if kind == "link" else "nobody"))
    before = os.lstat(target)
    with pytest.raises(FileExistsError):
        safe_tree.place(str(root), "part", "final")
    assert os.lstat(target) == before
    assert (root / "part").read_text() == "new"


def test_place_counts_what_was_done_though_its_answer_was_lost(root, monkeypatch):
    real = os.link

    def asked_twice(*args, **kwargs):
        real(*args, **kwargs)
        real(*args, **kwargs)

    monkeypatch.setattr(os, "link", asked_twice)
    (root / "part").write_text("new")
    assert safe_tree.place(str(root), "part", "final").st_size == 3
    assert [(path.name, path.read_text()) for path in root.iterdir()] == [("final", "new")]


@pytest.mark.parametrize("kind", ["nothing", "file", "link"])
def test_place_with_leave_to_replace(root, outside, kind):
    (root / "part").write_text("new")
    if kind == "file":
        (root / "sub").mkdir()
        (root / "sub/final").write_text("old")
    elif kind == "link":
        (root / "sub").mkdir()
        (root / "sub/final").symlink_to(outside / "victim")
    found = safe_tree.place(str(root), "part", "sub/final", replace=True)
    assert (root / "sub/final").read_text() == "new"
    assert not (root / "sub/final").is_symlink()
    assert (found.st_size, found.st_mtime_ns) == (3, (root / "sub/final").stat().st_mtime_ns)
    assert not (root / "part").exists()


def test_a_file_system_without_hard_links_is_served_too(root, monkeypatch):
    def no_links(*_, **__):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", no_links)
    (root / "part").write_text("new")
    (root / "taken").write_text("old")
    with pytest.raises(FileExistsError):
        safe_tree.place(str(root), "part", "taken")
    safe_tree.place(str(root), "part", "final")
    assert ((root / "final").read_text(), (root / "taken").read_text()) == ("new", "old")


def test_strangers_go_aside_whatever_they_are(root, outside):
    (root / "a").mkdir()
    moved = []
    for kind in ("file", "file", "link", "dangling", "folder"):
        stranger = root / "a/S.zip"
        if kind == "file":
            stranger.write_text("stranger")
        elif kind == "folder":
            stranger.mkdir()
            (stranger / "inside").write_text("kept")
        else:
            stranger.symlink_to(outside / ("victim" if kind == "link" else "nobody"))
        moved.append(safe_tree.set_aside(str(root), "a/S.zip"))
        assert not os.path.lexists(stranger)
    assert moved == [f".sedas-sync/replaced/S.zip{tail}" for tail in ("", ".1", ".2", ".3", ".4")]
    assert (root / moved[0]).read_text() == "stranger"
    assert (root / moved[2]).is_symlink()
    assert (root / moved[4] / "inside").read_text() == "kept"


def test_a_name_as_long_as_names_may_be_goes_aside_twice(root):
    name = "ü" * 125 + ".zip"
    for _ in range(2):
        (root / name).write_text("x")
        safe_tree.set_aside(str(root), name)
    assert len(list((root / safe_tree.REPLACED).iterdir())) == 2


def test_set_aside_of_nothing(root):
    with pytest.raises(FileNotFoundError):
        safe_tree.set_aside(str(root), "nobody")


def test_move_takes_a_file_along_and_empty_folders_away(root):
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/S.zip").write_text("scene")
    (root / "T.zip").write_text("other")
    with pytest.raises(FileExistsError):
        safe_tree.move(str(root), "a/b/S.zip", "T.zip")
    safe_tree.move(str(root), "a/b/S.zip", "c/d/S.zip")
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*")) == ["T.zip", "c", "c/d", "c/d/S.zip"]


def test_remove_deletes_regular_files_alone(root, outside):
    (root / "a/b").mkdir(parents=True)
    (root / "a/keep").write_text("x")
    (root / "a/b/S.zip").write_text("scene")
    (root / "link").symlink_to(outside / "victim")
    for path in ("link", "a"):
        with pytest.raises(TransferError, match="not a regular file"):
            safe_tree.remove(str(root), path)
    with pytest.raises(FileNotFoundError):
        safe_tree.remove(str(root), "nobody")
    safe_tree.remove(str(root), "a/b/S.zip")
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*")) == ["a", "a/keep", "link"]
    (root / "only").write_text("x")
    safe_tree.remove(str(root), "only")
    assert root.is_dir()


def test_scan_sees_all_but_its_own_folder_and_follows_nothing(root, outside):
    (root / "a/b").mkdir(parents=True)
    (root / ".sedas-sync/partial").mkdir(parents=True)
    (root / "a/.sedas-sync").mkdir()
    for path in ("S.zip", "a/b/T.zip", ".sedas-sync/partial/x", "a/.sedas-sync/seen"):
        (root / path).write_text(path)
    (root / "a/out").symlink_to(outside)
    os.mkfifo(root / "pipe")
    found = {entry.path: entry for entry in tree_listing.scan(str(root))}
    assert sorted(found) == ["S.zip", "a/.sedas-sync/seen", "a/b/T.zip", "a/out", "pipe"]
    plain = found["a/b/T.zip"]
    assert (plain.size, plain.mtime_ns) == (9, (root / "a/b/T.zip").stat().st_mtime_ns)
    assert (plain.is_file, plain.is_symlink) == (True, False)
    assert (found["a/out"].is_file, found["a/out"].is_symlink) == (False, True)
    assert (found["pipe"].is_file, found["pipe"].is_symlink) == (False, False)
    assert list(tree_listing.scan(str(root / "nobody"))) == []


def test_free_space_of_a_folder_that_is_not_yet_there(tmp_path):
    free = free_space(str(tmp_path / "not/yet"))
    found = os.statvfs(tmp_path)
    assert abs(free - found.f_bavail * found.f_frsize) < 1 << 30


@pytest.mark.parametrize("answer", [OSError(errno.ENOSYS, "Function not implemented"), (0, 0, 0)])
def test_free_space_that_a_file_system_does_not_state_is_unknown(tmp_path, monkeypatch, answer):
    def disk_usage(_):
        if isinstance(answer, OSError):
            raise answer
        return SimpleNamespace(total=0, used=0, free=0)

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)
    assert free_space(str(tmp_path)) is None


def test_stat_does_not_follow(root, outside):
    (root / "link").symlink_to(outside / "victim")
    found = safe_tree.stat(str(root), "link")
    assert found is not None
    assert Path(root / "link").lstat().st_ino == found.st_ino
    assert safe_tree.stat(str(root), "nobody") is None
    assert safe_tree.stat(str(root), "no/body") is None


# -- folders that stay open


class Clock:
    def __init__(self):
        self.now = 10.0

    def __call__(self):
        return self.now


def open_folders():
    here = Path("/proc/self/fd")
    return len(list(here.iterdir())) if here.is_dir() else 0


def test_a_folder_stays_open_for_a_while_and_is_walked_to_again(root):
    clock = Clock()
    folders = FolderCache(clock)
    before = open_folders()
    first, name = folders.borrow(str(root), "a/b/file")
    again, _ = folders.borrow(str(root), "a/b/other")
    assert (name, again) == ("file", first)
    (root / "a").rename(root / "gone")
    clock.now += KEEP_OPEN
    later, _ = folders.borrow(str(root), "a/b/file")
    assert later is not first
    assert os.fstat(later.file).st_ino == (root / "a/b").stat().st_ino
    assert os.fstat(first.file).st_ino == (root / "gone/b").stat().st_ino
    for held in (first, again, later):
        folders.give_back(held)
    folders.close()
    assert open_folders() == before


def test_what_is_in_use_is_closed_when_it_is_given_back(root):
    folders = FolderCache(Clock())
    before = open_folders()
    held = [folders.borrow(str(root), f"{number}/file")[0] for number in range(40)]
    assert len({os.fstat(one.file).st_ino for one in held}) == len(held)
    folders.close()
    for one in held:
        os.fstat(one.file)
        folders.give_back(one)
    assert open_folders() == before


@pytest.mark.parametrize("path", ["..", "a/../b", "a/..", "a/.", "a/", "a/b\0", "/a"])
def test_an_open_folder_leads_nowhere_else(root, path):
    folders = FolderCache(Clock())
    folders.give_back(folders.borrow(str(root), "a/file")[0])
    with pytest.raises(TransferError):
        folders.borrow(str(root), path)
    folders.close()


def test_a_link_on_the_way_is_refused_by_open_folders_too(root, outside):
    (root / "link").symlink_to(outside)
    folders = FolderCache(Clock())
    with pytest.raises(TransferError, match="link in the mirror is a symbolic link"):
        folders.borrow(str(root), "link/file")
    (root / "real").mkdir()
    held, name = folders.borrow(str(root), "real/victim")
    (root / "real").rmdir()
    (root / "real").symlink_to(outside)
    # What was found stays what it is, and a folder that is gone takes nothing.
    with pytest.raises(FileNotFoundError):
        os.open(name, os.O_WRONLY | os.O_CREAT, dir_fd=held.file)
    with pytest.raises(TransferError, match="symbolic link"):
        folders.borrow(str(root), "real/victim", again=True)
    folders.give_back(held)
    folders.close()
