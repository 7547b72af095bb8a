"""A folder or another mirror as an archive: what it lists, and how files are copied."""

import errno
import hashlib
import os
import shutil
import zipfile
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace
from stac_server import StacServer

import sedas_sync as ss
from sedas_sync.archives.directory import DirectoryArchive
from sedas_sync.errors import ArchiveError, IntegrityError, ManifestError, TransferError
from sedas_sync.model.files import scene_of_file
from sedas_sync.model.scene import LocalSource, Query
from sedas_sync.planning.product_name import described
from sedas_sync.testing import ArchiveContract, Case
from sedas_sync.transfer import local_copy
from sedas_sync.transfer.fetch import fetch
from sedas_sync.transfer.job import FetchJob, FetchStopped, Policy
from sedas_sync.transfer.partial import partial_of
from sedas_sync.transfer.shared_state import SharedState

S2 = "S2A_MSIL1C_20190501T110621_N0207_R137_T30UXC_20190501T132117"
S2_LATER = "S2B_MSIL1C_20190506T110629_N0207_R137_T30UXC_20190506T120832"
S1 = "S1B_IW_GRDH_1SDV_20190528T105030_20190528T105055_016443_01EF3E_5E4F"
QUERY = Query(
    aoi="POLYGON((-1.5 51.4,-1.1 51.4,-1.1 51.8,-1.5 51.8,-1.5 51.4))",
    start=datetime(2019, 4, 30, tzinfo=UTC),
    stop=datetime(2019, 6, 12, 23, 59, 59, tzinfo=UTC),
)
DATASET = (
    '[aoi.here]\nbbox = [-1.4, 51.5, -1.2, 51.6]\n[dataset.d]\naoi = "here"\nstart = 2019-04-30\nend = 2019-06-12\n'
)


def put(folder, name, text=""):
    file = folder / f"{name}.zip"
    file.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(file, "w") as out:
        out.writestr(f"{file.stem}.SAFE/manifest.safe", text or name)
    return file


@pytest.fixture
def shelf(tmp_path):
    """A folder as the original client leaves it, with subfolders."""
    folder = tmp_path / "shelf"
    for name in (S2, f"2019/deep/{S1}", S2_LATER, "notes-by-hand"):
        put(folder, name)
    (folder / "readme.txt").write_text("no scene")
    return folder


@pytest.fixture
def write(tmp_path):
    def write(archive, datasets=DATASET, name="m.toml", mirror="scenes"):
        file = tmp_path / name
        file.write_text(
            f'version = 1\n[archive]\ntype = "directory"\n{archive}\n[mirror]\npath = "{mirror}"\n{datasets}'
        )
        return ss.load_manifest(file)

    return write


# -- the contract ----------------------------------------------------------------------------------------------------


class TestPlainFolder(ArchiveContract):
    footprints = False

    @pytest.fixture
    def case(self, shelf):
        (shelf / "notes-by-hand.zip").unlink()
        return Case(DirectoryArchive(shelf), QUERY)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A mirror of the sandbox, without the scenes of the long-term archive."""
    folder = tmp_path_factory.mktemp("other")
    file = folder / "m.toml"
    file.write_text(f'version = 1\n[archive]\ntype = "sandbox"\n[transfer]\norder_timeout = "0s"\n{DATASET}')
    with ss.Mirror(ss.load_manifest(file)) as mirror:
        mirror.apply(mirror.plan(), wait=False)
        return mirror.root


BANDS = '[aoi.here]\nbbox = [-1.4, 51.5, -1.2, 51.6]\n[dataset.d]\naoi = "here"\nstart = 2023-05-01\nend = 2023-05-31\n'
MAY = replace(QUERY, start=datetime(2023, 5, 1, tzinfo=UTC), stop=datetime(2023, 5, 31, 23, 59, 59, tzinfo=UTC))


@pytest.fixture
def bands(tmp_path):
    """A mirror of a STAC API with two scenes of two files each."""
    file = tmp_path / "bands.toml"
    with StacServer() as stac:
        stac.add("S1", day=1, files={"B04": b"red" * 100, "more/SCL": b"scl"})
        stac.add("S2", day=2)
        file.write_text(
            f'version = 1\n[archive]\ntype = "stac"\nurl = "{stac.url}"\ncollections = "s2"\n'
            f'[mirror]\npath = "bands"\nlayout = "{{start:%m}}/{{id}}"\n{BANDS}'
        )
        with ss.Mirror(ss.load_manifest(file)) as mirror:
            assert mirror.apply(mirror.plan()).exit_code == 0
            return mirror.root


class TestOtherMirror(ArchiveContract):
    @pytest.fixture
    def case(self, filled):
        return Case(DirectoryArchive(filled), QUERY)

    def test_checksums_are_those_of_the_index(self, scenes, filled):
        for scene in scenes:
            assert scene.digest == hashlib.sha256((filled / f"{scene.id}.zip").read_bytes()).hexdigest()

    def test_file_that_differs_from_the_index_is_skipped(self, filled, scenes, tmp_path):
        copy = tmp_path / "copy"
        shutil.copytree(filled, copy)
        (copy / f"{scenes[0].id}.zip").write_bytes(b"PK changed")
        warned = []
        found = {scene.id for scene in DirectoryArchive(copy).find(QUERY, warn=warned.append)}
        assert found == {scene.id for scene in scenes[1:]}
        assert any("differs from its mirror's index" in sentence for sentence in warned)


class TestOtherMirrorOfFolders(ArchiveContract):
    @pytest.fixture
    def case(self, bands):
        return Case(DirectoryArchive(bands), MAY)


# -- what it lists ---------------------------------------------------------------------------------------------------


def test_names_give_metadata():
    scene = described(S1)
    assert (scene.satellite, scene.source_group, scene.sensor, scene.product_type) == (
        "Sentinel-1B",
        "S1",
        "sar",
        "GRD",
    )
    assert (scene.start, scene.stop) == (
        datetime(2019, 5, 28, 10, 50, 30, tzinfo=UTC),
        datetime(2019, 5, 28, 10, 50, 55, tzinfo=UTC),
    )
    assert (scene.orbit, scene.polarisation) == (16443, "VV/VH")
    assert described(S2).start == datetime(2019, 5, 1, 11, 6, 21, tzinfo=UTC)
    assert described("notes-by-hand").start is None


def test_scene_without_a_footprint_matches_with_a_warning(shelf, write):
    with ss.Mirror(write('path = "shelf"')) as mirror:
        plan = mirror.plan()
    assert {action.id for action in plan.actions} == {S1, S2, S2_LATER}
    assert any("dataset d: 3 scenes have no footprint" in warning for warning in plan.warnings)
    assert any("'notes-by-hand'" in warning and "no acquisition time" in warning for warning in plan.warnings)


def test_file_with_an_unknown_name_can_be_listed_in_products(shelf, write):
    with ss.Mirror(write('path = "shelf"', '[dataset.d]\nproducts = ["notes-by-hand"]\n')) as mirror:
        assert mirror.apply(mirror.plan()).exit_code == 0
    assert (mirror.root / "notes-by-hand.zip").is_file()


def test_a_scene_whose_name_is_not_unicode_is_left_out(shelf, write):
    """A byte that is not UTF-8 is legal in a file's name, and stops nothing."""
    put(shelf, f"{S2}-copy", "another").rename(shelf / f"{S2}\udcff.zip")
    with ss.Mirror(write('path = "shelf"')) as mirror:
        plan = mirror.plan()
        assert mirror.apply(plan).exit_code == 0
        assert {path.name for path in mirror.root.glob("*.zip")} == {f"{S1}.zip", f"{S2}.zip", f"{S2_LATER}.zip"}
    assert any(f"{S2}\\udcff: it is left out" in warning for warning in plan.warnings)


def test_links_and_a_second_file_of_a_scene_are_skipped(shelf):
    (shelf / "linked.zip").symlink_to(shelf / f"{S2}.zip")
    (shelf / "elsewhere").symlink_to("/etc")
    put(shelf, f"z/{S2}", "another")
    warned = []
    found = [scene.id for scene in DirectoryArchive(shelf).find(QUERY, warn=warned.append)]
    assert sorted(found) == sorted([S1, S2, S2_LATER, "notes-by-hand"])
    assert any("1 symbolic link is not followed" in sentence for sentence in warned)
    assert any(f"z/{S2}.zip: skipped; {S2}.zip is the same scene" in sentence for sentence in warned)


def test_mirror_below_its_own_archive_is_ignored(shelf, write):
    manifest = write('path = "shelf"', mirror="shelf/mine")
    with ss.Mirror(manifest) as mirror:
        assert mirror.apply(mirror.plan()).fetched == 3
    with ss.Mirror(manifest) as mirror:
        assert mirror.plan().changes == 0
    with pytest.raises(ManifestError, match="cannot be its own archive"), ss.Mirror(write('path = "scenes"')) as mirror:
        mirror.plan()


def test_missing_folder_is_an_archive_error(write):
    with ss.Mirror(write('path = "gone"')) as mirror:
        plan = mirror.plan()
    assert not plan.search_complete
    assert "this folder does not exist" in plan.failures[0].error


# -- taking ----------------------------------------------------------------------------------------------------------


def job(tmp_path, shelf, how="auto", name=S2, **more):
    download = DirectoryArchive(shelf, how=how).locate(described(name))
    root = tmp_path / "scenes"
    return FetchJob(
        id=name, download=download, root=str(root), path=f"{name}.zip", partial=f".sedas-sync/partial/{name}.part",
        policy=Policy(filehash="enforce"), **more,
    )  # fmt: skip


@pytest.mark.parametrize("how", ["hard", "copy", "auto"])
def test_file_is_copied_and_verified(tmp_path, shelf, how):
    got = fetch(job(tmp_path, shelf, how))
    source, copy = shelf / f"{S2}.zip", tmp_path / "scenes" / f"{S2}.zip"
    assert copy.read_bytes() == source.read_bytes()
    assert got.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert got.level.value == "crc"
    assert (copy.stat().st_ino == source.stat().st_ino) == (got.received == 0)
    if how != "auto":
        assert (got.received == 0) == (how == "hard")
    assert list((tmp_path / "scenes/.sedas-sync/partial").iterdir()) == []


def test_link_replaces_clone_and_copy_replaces_link_if_not_supported(tmp_path, shelf, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EOPNOTSUPP, "no")

    monkeypatch.setattr(local_copy, "_clone", refuse)
    assert fetch(job(tmp_path, shelf)).received == 0
    real = os.link

    def link(*arguments, **more):
        if str(arguments[1]).endswith(".part"):
            raise OSError(errno.EXDEV, "no")
        real(*arguments, **more)

    monkeypatch.setattr(os, "link", link)
    assert fetch(job(tmp_path, shelf, name=S1)).received > 0
    with pytest.raises(TransferError, match="link = 'reflink' is not possible"):
        fetch(job(tmp_path, shelf, "reflink", name=S2_LATER))
    with pytest.raises(TransferError, match="link = 'hard' is not possible"):
        fetch(job(tmp_path, shelf, "hard", name=S2_LATER))


class Stopper:
    """Ends a fetch after so many bytes."""

    def __init__(self, after):
        self.live = SharedState(on_bytes=self.on_progress)
        self.after = after
        self.first = None

    def on_progress(self, _job, done, _size):
        self.first = done if self.first is None else self.first
        if done >= self.after:
            self.live.stop.set()


@pytest.fixture
def large(tmp_path, shelf):
    """A file that is copied in several steps, in a mirror without links."""
    with zipfile.ZipFile(shelf / f"{S2}.zip", "w") as out:
        out.writestr(f"{S2}.SAFE/band.jp2", os.urandom(20 << 20))
    return shelf / f"{S2}.zip"


@pytest.mark.parametrize("after", [8 << 20, 20 << 20])
def test_interrupted_copy_is_resumed(tmp_path, shelf, large, after):
    stopper = Stopper(after)
    with pytest.raises(FetchStopped):
        fetch(job(tmp_path, shelf, "copy"), stopper.live)
    assert not (tmp_path / "scenes" / f"{S2}.zip").exists()
    partial = partial_of(str(tmp_path / "scenes"), f".sedas-sync/partial/{S2}.part")
    assert (partial.bytes >= after, partial.total) == (True, large.stat().st_size)
    got = fetch(job(tmp_path, shelf, "copy"))
    assert (got.resumed_from, got.received) == (partial.bytes, partial.total - partial.bytes)
    assert (tmp_path / "scenes" / f"{S2}.zip").read_bytes() == large.read_bytes()
    assert list((tmp_path / "scenes/.sedas-sync/partial").iterdir()) == []


@pytest.mark.parametrize("change", ["source", "part", "link"])
def test_partial_copy_of_another_file_is_not_resumed(tmp_path, shelf, large, change):
    with pytest.raises(FetchStopped):
        fetch(job(tmp_path, shelf, "copy"), Stopper(8 << 20).live)
    part = tmp_path / f"scenes/.sedas-sync/partial/{S2}.part"
    if change == "source":
        with zipfile.ZipFile(large, "w") as out:
            out.writestr(f"{S2}.SAFE/band.jp2", os.urandom(20 << 20))
    elif change == "part":
        part.write_bytes(bytes(part.stat().st_size))
    got = fetch(job(tmp_path, shelf, "hard" if change == "link" else "copy"))
    assert (got.resumed_from, got.received) == (0, 0 if change == "link" else large.stat().st_size)
    assert (tmp_path / "scenes" / f"{S2}.zip").read_bytes() == large.read_bytes()
    assert list(part.parent.iterdir()) == []


def test_damaged_file_never_enters_the_mirror(tmp_path, shelf):
    data = (shelf / f"{S2}.zip").read_bytes()
    (shelf / f"{S2}.zip").write_bytes(data[:40] + b"?" + data[41:])
    with pytest.raises(IntegrityError):
        fetch(job(tmp_path, shelf))
    assert list((tmp_path / "scenes").glob("**/*.*")) == [tmp_path / "scenes/.sedas-sync"]


def test_checksum_of_the_lock_file_decides(tmp_path, shelf):
    with pytest.raises(IntegrityError, match="the lock file has"):
        fetch(job(tmp_path, shelf, sha256="0" * 64))


@pytest.mark.parametrize("swap", ["file", "folder", "gone"])
def test_link_that_replaces_a_file_is_not_followed(tmp_path, shelf, swap):
    secret = put(tmp_path, "secret/secret")
    wanted = job(tmp_path, shelf, name=S1)
    deep = shelf / "2019/deep"
    if swap == "folder":
        deep.rename(tmp_path / "away")
        (secret.parent / f"{S1}.zip").write_bytes(secret.read_bytes())
        deep.symlink_to(secret.parent)
    else:
        (deep / f"{S1}.zip").unlink()
        if swap == "file":
            (deep / f"{S1}.zip").symlink_to(secret)
    with pytest.raises(TransferError, match=r"symbolic link|any more") as caught:
        fetch(wanted)
    assert "written through" not in str(caught.value)
    assert not (tmp_path / "scenes" / f"{S1}.zip").exists()


def test_only_regular_files_are_copied(tmp_path, shelf):
    os.mkfifo(shelf / "pipe.zip")
    wanted = job(tmp_path, shelf)
    piped = LocalSource(root=str(shelf), path="pipe.zip")
    download = type(wanted.download)(url="file:///pipe.zip", local=piped)
    with pytest.raises(TransferError, match="not a regular file"):
        fetch(FetchJob(id="pipe", download=download, root=wanted.root, path="pipe.zip", partial=wanted.partial))


def test_file_removed_after_listing_is_an_archive_error(shelf):
    archive = DirectoryArchive(shelf)
    (scene,) = archive.look_up([S2], warn=print)
    (shelf / f"{S2}.zip").unlink()
    with pytest.raises(ArchiveError, match="no longer in"):
        archive.locate(scene)


# -- all of it -------------------------------------------------------------------------------------------------------


def test_mirror_is_filled_from_another_mirror(tmp_path, write):
    file = tmp_path / "first.toml"
    file.write_text(f'version = 1\n[archive]\ntype = "sandbox"\n[mirror]\npath = "first"\n{DATASET}')
    with ss.Mirror(ss.load_manifest(file)) as first:
        held = first.apply(first.plan(), wait=False).fetched
    assert held
    manifest = write('path = "first"\nlink = "copy"')
    with ss.Mirror(manifest) as second:
        summary = second.apply(second.plan())
        assert (summary.exit_code, summary.fetched) == (0, held)
        assert {path.name: path.read_bytes() for path in second.root.glob("*.zip")} == {
            path.name: path.read_bytes() for path in first.root.glob("*.zip")
        }
        assert not second.verify().bad
    with ss.Mirror(manifest) as second:
        plan = second.plan()
        assert (plan.changes, plan.warnings) == (0, ())


def files_of(root):
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and ".sedas-sync" not in path.parts
    }


@pytest.mark.parametrize("how", ["hard", "copy", "auto"])
def test_scenes_of_several_files_are_copied_from_another_mirror(bands, write, how):
    manifest = write(f'path = "bands"\nlink = "{how}"', BANDS)
    before = files_of(bands)
    with ss.Mirror(manifest) as second:
        plan = second.plan()
        assert plan.bytes == sum(map(len, before.values()))
        summary = second.apply(plan)
        assert (summary.exit_code, summary.fetched, summary.warnings) == (0, 2, 0)
        assert files_of(second.root) == {name.partition("/")[2]: data for name, data in before.items()}
        assert ((second.root / "S2" / "B04.tif").stat().st_nlink > 1) == (how != "copy")
        assert not second.verify().bad
        assert second.plan().changes == 0
        second.relock(second.plan())
    with ss.Mirror(write(f'path = "bands"\nlink = "{how}"', BANDS, mirror="third")) as third:
        assert third.apply(third.plan(locked=True)).fetched == 2
    without = write(f'path = "bands"\nlink = "{how}"', BANDS + 'exclude = ["S*"]\n')
    with ss.Mirror(without) as second:
        assert second.apply(second.plan(prune=True)).pruned == 2
    assert files_of(bands) == before


def test_folder_of_another_mirror_that_lacks_a_file_is_skipped(bands, write, tmp_path):
    (bands / "05" / "S1" / "B04.tif").unlink()
    (bands / "05" / "S2" / "visual.tif").write_bytes(b"changed")
    (bands / "05" / "S2" / "B04.tif").rename(tmp_path / "out.tif")
    (bands / "05" / "S2" / "B04.tif").symlink_to(tmp_path / "out.tif")
    with ss.Mirror(write('path = "bands"', BANDS)) as second:
        plan = second.plan()
        assert plan.actions == ()
        assert sum("differs from its mirror's index" in warning for warning in plan.warnings) == 2


def test_file_of_several_is_identified_by_its_link(bands):
    archive = DirectoryArchive(bands)
    (scene,) = archive.look_up(["S2"], warn=print)
    for asset in scene.assets:
        assert archive.locate(scene_of_file(scene, asset)).local.path == f"05/S2/{asset.name}"
    with pytest.raises(ArchiveError, match="no longer in"):
        archive.locate(replace(scene_of_file(scene, scene.assets[1]), download_url="file:///elsewhere"))


def test_changed_file_of_a_folder_is_not_copied(bands, write):
    (bands / "05" / "S2" / "B04.tif").write_bytes(b"X" * len((bands / "05" / "S2" / "B04.tif").read_bytes()))
    with ss.Mirror(write('path = "bands"\nlink = "copy"', BANDS)) as second:
        summary = second.apply(second.plan())
        assert (summary.exit_code, summary.fetched, summary.failed) == (1, 1, 1)
        assert "S2" not in {path.name for path in second.root.iterdir()}
