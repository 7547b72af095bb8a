"""Files of scenes: one accessor for scenes of one file and of several."""

import pytest
from msgspec.structs import replace

from sedas_sync.model.files import (
    contents_digest,
    files_differ,
    listing_digest,
    meets_lock,
    place_of,
    scene_of_file,
    total_size,
    with_files,
)
from sedas_sync.model.local import LocalFile, LocalScene, PackedFile, ProofLevel
from sedas_sync.model.reason import Reason, ReasonCode
from sedas_sync.model.scene import DesiredScene, RemoteFile, Scene

ONE = Scene(id="A", download_url="https://e.org/A.zip", size=7, digest="d" * 32)
SEVERAL = Scene(
    id="B",
    download_url="https://e.org/1",
    assets=(
        RemoteFile(name="x.tif", key="x", url="https://e.org/1", size=1),
        RemoteFile(name="y.tif", key="y", url="https://e.org/2", size=2, digest="e" * 32),
    ),
)


def local(name, size=1, level=ProofLevel.CRC, mtime_ns=1, digest=None):
    return LocalFile(name=name, size=size, mtime_ns=mtime_ns, sha256=f"{size:064x}", level=level, digest=digest)


ON_DISK = LocalScene(id="A", path="a/A.zip", size=7, mtime_ns=3, sha256="0" * 64, level=ProofLevel.CRC, archive="x")
FOLDER = with_files(replace(ON_DISK, path="a/B"), [local("y.tif", 2, ProofLevel.SIZE, 9), local("x.tif")])


def test_every_scene_has_files():
    (file,) = ONE.files
    assert (file.name, file.url, file.size, file.digest) == ("", ONE.download_url, 7, ONE.digest)
    assert SEVERAL.files == SEVERAL.assets
    assert (total_size(ONE), total_size(SEVERAL)) == (7, 3)


def test_a_file_is_located_as_a_scene_of_its_own():
    assert scene_of_file(ONE, None) == scene_of_file(ONE, ONE.files[0]) == ONE
    files = [scene_of_file(SEVERAL, file) for file in SEVERAL.files]
    assert [(file.download_url, file.size, file.assets) for file in files] == [
        ("https://e.org/1", 1, ()),
        ("https://e.org/2", 2, ()),
    ]
    offline = replace(SEVERAL, download_url=None)
    assert not any(scene_of_file(offline, file).online for file in offline.files)


def test_local_files_know_their_paths():
    (file,) = ON_DISK.files
    assert (file.path, file.size, file.mtime_ns) == ("a/A.zip", 7, 3)
    assert [file.path for file in FOLDER.files] == list(FOLDER.paths) == ["a/B/x.tif", "a/B/y.tif"]
    assert [file.path for file in replace(FOLDER, path="c").files] == ["c/x.tif", "c/y.tif"], "also after a move"


def test_a_scene_is_the_sum_of_its_files():
    assert (FOLDER.size, FOLDER.mtime_ns, FOLDER.level) == (3, 9, ProofLevel.SIZE)
    assert FOLDER.sha256 == listing_digest((file.name, file.sha256) for file in FOLDER.files)
    assert with_files(FOLDER, FOLDER.files) == FOLDER, "paths are not stored"
    assert with_files(ON_DISK, ON_DISK.files) == ON_DISK


def test_desired_paths():
    assert DesiredScene.of("a", ONE, datasets=(), path="A.zip").paths == ("A.zip",)
    assert DesiredScene.of("a", SEVERAL, datasets=(), path="B").paths == ("B/x.tif", "B/y.tif")


@pytest.mark.parametrize(
    ("held", "scene", "change"),
    [
        (ON_DISK, ONE, None),
        (FOLDER, SEVERAL, None),
        (ON_DISK, SEVERAL, Reason(ReasonCode.FORM_CHANGED, here="one file", there="a folder")),
        (FOLDER, ONE, Reason(ReasonCode.FORM_CHANGED, here="a folder", there="one file")),
        (ON_DISK, replace(ONE, size=8), Reason(ReasonCode.SIZE_CHANGED, here=7, there=8)),
        (ON_DISK, replace(ONE, size=8, nominal=True), None),
        (replace(ON_DISK, digest="c" * 32), ONE, Reason(ReasonCode.CHECKSUM_CHANGED)),
        (
            FOLDER,
            replace(SEVERAL, assets=SEVERAL.assets[:1], unselected=("y.tif", "z.tif")),
            Reason(ReasonCode.FILES_EXTRA, names=("y.tif",)),
        ),
        (FOLDER, replace(SEVERAL, unselected=("y.tif",)), None),
        # The archive has lost it.
        (FOLDER, replace(SEVERAL, assets=SEVERAL.assets[:1], unselected=("z.tif",)), None),
        (with_files(FOLDER, FOLDER.files[:1]), SEVERAL, Reason(ReasonCode.FILES_MISSING, names=("y.tif",))),
    ],
)
def test_how_files_differ(held, scene, change):
    assert files_differ(held, scene, trust_digest=True) == change


UNPACKED = replace(
    FOLDER, id="A", path="a/A.SAFE", digest=None, packed=PackedFile(size=7, sha256="f" * 64, digest=ONE.digest)
)
"""What `ONE` becomes if it is unpacked."""


@pytest.mark.parametrize(
    ("held", "scene", "change"),
    [
        (UNPACKED, ONE, None),
        (UNPACKED, replace(ONE, size=8), Reason(ReasonCode.SIZE_CHANGED, here=7, there=8)),
        (UNPACKED, replace(ONE, size=8, nominal=True), None),
        (UNPACKED, replace(ONE, digest="c" * 32), Reason(ReasonCode.CHECKSUM_CHANGED)),
        # An adopted folder: nothing is known of a zip.
        (replace(UNPACKED, packed=PackedFile()), replace(ONE, size=8, digest="c" * 32), None),
        # Another archive offers the files of the folder one by one.
        (UNPACKED, SEVERAL, None),
        (with_files(UNPACKED, UNPACKED.files[:1]), SEVERAL, Reason(ReasonCode.FILES_MISSING, names=("y.tif",))),
    ],
)
def test_of_an_unpacked_folder_the_zip_is_compared(held, scene, change):
    assert files_differ(held, scene, trust_digest=True) == change


def required_by_lock(**required):
    return DesiredScene.of("a", ONE, datasets=(), path="a/A.zip", **required)


@pytest.mark.parametrize(
    ("required", "met"),
    [
        ({}, None),
        ({"sha256": "f" * 64}, True),
        ({"sha256": "0" * 64}, False),
        ({"sha256": "0" * 64, "pinned": {file.name: file.sha256 for file in UNPACKED.members}}, True),
        ({"pinned": {file.name: file.sha256 for file in UNPACKED.members}}, True),
        ({"pinned": {file.name: "0" * 64 for file in UNPACKED.members}}, False),
    ],
)
def test_a_lock_is_met_by_the_zip_of_a_folder_or_by_each_of_its_files(required, met):
    assert meets_lock(UNPACKED, required_by_lock(**required)) is met


def test_a_lock_is_met_by_a_folder_with_what_the_zip_contains():
    files = [replace(file, crc32=number) for number, file in enumerate(UNPACKED.members)]
    folder = replace(with_files(UNPACKED, files), packed=PackedFile())
    contents = contents_digest((file.name, file.size, file.crc32) for file in reversed(files))
    want = required_by_lock(sha256="0" * 64, contents=contents)
    assert meets_lock(folder, want)
    assert meets_lock(folder, replace(want, contents="0" * 64)) is False
    assert meets_lock(UNPACKED, want) is False, "its CRCs are not known"
    other = with_files(folder, [replace(files[0], crc32=7), *files[1:]])
    assert meets_lock(other, want) is False


@pytest.mark.parametrize(
    ("path", "folder", "place"),
    [
        ("a/A.zip", "b/A.SAFE", "a/A.SAFE"),
        ("a/A.zip", "b/A", "a/A"),
        ("A.SEN3.zip", "A.SEN3", "A.SEN3"),
        ("A.zip", "A.b", "A"),
    ],
)
def test_a_folder_has_the_ending_of_its_product(path, folder, place):
    want = DesiredScene.of("a", ONE, datasets=(), path=path)
    assert place_of(want, replace(UNPACKED, path=folder)) == place
    assert place_of(want, ON_DISK) == path
