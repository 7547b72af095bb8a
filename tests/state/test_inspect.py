"""The comparison of a folder with the index and the desired scenes."""

import hashlib
import os
import zipfile

import pytest
from msgspec.structs import replace

from sedas_sync.files import tree_listing
from sedas_sync.model.disk import FileState
from sedas_sync.model.files import local_scene
from sedas_sync.model.local import LocalFile, ProofLevel
from sedas_sync.model.scene import DesiredScene, RemoteFile, Scene, Source
from sedas_sync.state.inspect import inspect_mirror
from sedas_sync.state.untracked import judge

FILEHASH = {"one": "enforce", "two": "enforce"}


def recorded(root, scene_id, *names):
    """A scene of the index whose files are on disk; a name is a path below the scene's folder."""
    files = []
    for name in names or ("",):
        path = root / scene_id / name if name else root / f"{scene_id}.zip"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(f"{scene_id}/{name}".encode())
        found = path.stat()
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        files.append(
            LocalFile(name=name, size=found.st_size, mtime_ns=found.st_mtime_ns, sha256=sha256, level=ProofLevel.SIZE)
        )
    return local_scene(scene_id, scene_id if names else f"{scene_id}.zip", files, archive="a", facts="{}")


def make_zip(path, folder):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{folder}/manifest.safe", folder)
    return hashlib.md5(path.read_bytes()).hexdigest()  # a catalogue's checksum


def verdict_on(root, want):
    entry = tree_listing.look(str(root), want.path)
    return judge(str(root), want.path, want, entry=entry, level="crc", filehash=FILEHASH)


def test_without_desired_scenes_the_index_is_compared_with_the_folder(tmp_path):
    intact, touched, changed, gone = (recorded(tmp_path, name) for name in "ABCD")
    folder = recorded(tmp_path, "E", "x.tif", "y.tif")
    os.utime(tmp_path / "B.zip", ns=(1, 1))
    (tmp_path / "C.zip").write_bytes(b"something else")
    (tmp_path / "D.zip").unlink()
    (tmp_path / "E" / "y.tif").unlink()
    (tmp_path / "notes.txt").write_text("mine")
    seen = inspect_mirror(tmp_path, {}, [intact, touched, changed, gone, folder])
    assert set(seen.present) == {"A", "B", "C", "E"}
    assert seen.changed == {"C", "E"}
    assert seen.refreshed == [replace(touched, mtime_ns=1)]
    assert seen.unknown == 1
    assert seen.bytes == sum(path.stat().st_size for path in tmp_path.rglob("*") if path.suffix in (".zip", ".tif"))
    assert seen.observed["D"].state is FileState.ABSENT


def test_a_mirror_that_does_not_exist(tmp_path):
    scene = recorded(tmp_path, "A")
    seen = inspect_mirror(tmp_path / "elsewhere", {}, [scene])
    assert (seen.present, seen.changed, seen.unknown) == ({}, set(), 0)
    assert seen.observed["A"].tracked


def test_a_scene_that_is_not_desired_does_not_hide_one_that_is(tmp_path):
    scene = recorded(tmp_path, "A")
    make_zip(tmp_path / "B.zip", "B.SAFE")
    want = DesiredScene.of("one", Scene(id="B"), datasets=("d",), path="B.zip")
    seen = inspect_mirror(tmp_path, {"B": want}, [scene], filehash=FILEHASH)
    assert (seen.observed["A"].tracked, seen.observed["A"].state) == (True, FileState.INTACT)
    assert (seen.observed["B"].tracked, seen.observed["B"].state) == (False, FileState.INTACT)


@pytest.mark.parametrize("first", [True, False])
def test_a_file_is_the_scene_if_one_source_describes_it(tmp_path, first):
    digest = make_zip(tmp_path / "A.zip", "A.SAFE")
    right, wrong = Scene(id="A", digest=digest), Scene(id="A", digest="0" * 32)
    sources = [Source(archive="one", scene=wrong), Source(archive="two", scene=right)]
    want = replace(
        DesiredScene.of("one", wrong, datasets=("d",), path="A.zip"), sources=tuple(sources[::-1] if first else sources)
    )
    assert verdict_on(tmp_path, want).found.level is ProofLevel.DIGEST
    neither = replace(want, sources=(Source(archive="one", scene=wrong),))
    assert "the catalogue states" in verdict_on(tmp_path, neither).found


def test_a_folder_is_the_scene_if_all_its_files_are(tmp_path):
    recorded(tmp_path, "A", "x.tif", "y.tif")
    files = tuple(RemoteFile(name=name, size=len(f"A/{name}")) for name in ("x.tif", "y.tif"))
    want = DesiredScene.of("one", Scene(id="A", assets=files), datasets=("d",), path="A")

    def found():
        return judge(str(tmp_path), "A", want, entry=None, level="crc", filehash=FILEHASH).found

    assert [file.name for file in found().files] == ["x.tif", "y.tif"]
    (tmp_path / "A" / "y.tif").write_bytes(b"another size")
    assert found().startswith("y.tif: it has 12 bytes")
    (tmp_path / "A" / "y.tif").unlink()
    assert found() == "y.tif of it is not there"
