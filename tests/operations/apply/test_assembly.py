"""Scenes of several files: the assembler with a fake clock, no disk and no downloads."""

import pytest
from state_machines import Clock, fetched, link, local, of, task

from sedas_sync.errors import TransferError
from sedas_sync.model.scene import RemoteFile, Scene
from sedas_sync.operations.apply.assembly import SceneAssembler
from sedas_sync.operations.apply.effects import (
    Answered,
    Commit,
    Fail,
    FetchEnded,
    FileKept,
    KeepFile,
    PutBack,
    RecordScene,
    SceneOffline,
    SceneStaged,
    Stage,
    StopRequested,
    TaskFailed,
)

FILES = tuple(RemoteFile(name=f"{name}.tif", key=name, url=f"http://x/{name}", size=10) for name in "abc")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def machine():
    return SceneAssembler()


def begun(clock, machine, name="S", missing=FILES, archive="a"):
    """Begin a scene; return its task."""
    one = task(name, archive=archive, assets=FILES)
    assert list(machine.begin(one, clock.now)) == [Stage(one)]
    assert clock.tell(machine, SceneStaged(one, missing, 10 * (3 - len(missing)))) == ([] if missing else [Commit(one)])
    return one


def next_files(machine, count=3):
    files = [machine.next_file() for _ in range(count)]
    assert None not in files
    return files


def complete(clock, machine, file):
    """Have a file downloaded and recorded."""
    result = fetched(file.file.name)
    assert clock.tell(machine, FetchEnded(file, link(), result)) == [KeepFile(file, result)]
    return clock.tell(machine, FileKept(file))


def test_a_scene_is_committed_with_its_last_file(clock, machine):
    one = begun(clock, machine)
    files = next_files(machine)
    assert machine.next_file() is None
    assert [file.scene.download_url for file in files] == ["http://x/a", "http://x/b", "http://x/c"]
    assert complete(clock, machine, files[1]) == []
    assert complete(clock, machine, files[0]) == []
    assert complete(clock, machine, files[2]) == [Commit(one)]
    assert machine.unfinished == (one,)
    record = RecordScene(one, local("S", "S"), 30, 30, ("w",))
    assert clock.tell(machine, Answered(Commit(one), record)) == [record]
    assert not machine.unfinished


def test_only_missing_files_are_downloaded(clock, machine):
    one = begun(clock, machine, missing=FILES[2:])
    assert machine.bytes_of("S") == 20
    (file,) = next_files(machine, 1)
    assert machine.next_file() is None
    assert complete(clock, machine, file) == [Commit(one)]
    assert machine.bytes_of("S") == 30


def test_a_scene_without_missing_files_is_committed_at_once(clock, machine):
    begun(clock, machine, missing=())


def test_warnings_of_files_are_reported_with_the_scene(clock, machine):
    one = begun(clock, machine, missing=FILES[:1])
    (file,) = next_files(machine, 1)
    clock.tell(machine, FetchEnded(file, link(), fetched("a", warnings=("odd",))))
    clock.tell(machine, FileKept(file))
    (record,) = clock.tell(machine, Answered(Commit(one), RecordScene(one, local("S", "S"), 0, 0, ("moved",))))
    assert record.warnings == ("moved", "a.tif: odd")


def test_files_of_a_full_archive_wait(clock, machine):
    begun(clock, machine, "S", archive="a")
    other = begun(clock, machine, "T", archive="b")
    assert machine.next_file({"a"}).whole is other
    assert machine.next_file({"a", "b"}) is None


def test_a_file_that_is_put_back_is_next(clock, machine):
    begun(clock, machine)
    first, _ = next_files(machine, 2)
    clock.tell(machine, FetchEnded(first, link()))
    clock.tell(machine, PutBack(first))
    assert machine.next_file() is first


def test_a_file_that_fails_fails_the_scene_once_and_others_are_kept(clock, machine):
    one = begun(clock, machine)
    first, second, third = next_files(machine)
    clock.tell(machine, FetchEnded(first, link(), error=TransferError("404")))
    assert clock.tell(machine, TaskFailed(first, "404")) == [Fail(one, "a.tif: 404")]
    assert clock.tell(machine, TaskFailed(one, "a.tif: 404")) == []
    assert not machine.unfinished
    result = fetched("b")
    assert clock.tell(machine, FetchEnded(second, link(), result)) == [KeepFile(second, result)]
    assert clock.tell(machine, FileKept(second)) == [], "nothing is committed"
    clock.tell(machine, FetchEnded(third, link(), error=TransferError("404")))
    assert clock.tell(machine, TaskFailed(third, "404")) == [], "a scene fails once"


def test_the_next_archive_waits_for_the_files_of_the_first(clock, machine):
    begun(clock, machine)
    first, second, _ = next_files(machine)
    clock.tell(machine, FetchEnded(first, link(), error=TransferError("404")))
    clock.tell(machine, TaskFailed(first, "404"))
    again = task("S", archive="b", assets=FILES)
    assert list(machine.begin(again, clock.now)) == []
    assert machine.unfinished == (again,)
    assert machine.next_file() is None
    clock.tell(machine, FetchEnded(second, link(), error=TransferError("404")))
    assert clock.tell(machine, TaskFailed(second, "404")) == []


def test_the_next_archive_begins_when_the_last_file_of_the_first_has_ended(clock, machine):
    begun(clock, machine)
    first, second = next_files(machine, 2)
    clock.tell(machine, FetchEnded(first, None, error=TransferError("no link")))
    clock.tell(machine, TaskFailed(first, "no link"))
    again = task("S", archive="b", assets=FILES)
    assert list(machine.begin(again, clock.now)) == []
    result = fetched("b")
    effects = clock.tell(machine, FetchEnded(second, link(), result))
    assert effects == [KeepFile(second, result), Stage(again)], "the file is recorded before the folder is read"
    clock.tell(machine, SceneStaged(again, FILES[:1], 20))
    assert clock.tell(machine, FileKept(second)) == []
    clock.tell(machine, PutBack(second))
    (file,) = next_files(machine, 1)
    assert (file.whole, file.file) == (again, FILES[0])
    assert machine.next_file() is None, "a file of the first archive does not come back"


def test_a_file_that_went_offline_makes_its_scene_offline(clock, machine):
    one = begun(clock, machine)
    (first,) = next_files(machine, 1)
    clock.tell(machine, FetchEnded(first, link(), error=TransferError("403")))
    offline = Scene(id="S")
    assert clock.tell(machine, SceneOffline(first, offline)) == [SceneOffline(one, offline)]
    assert clock.tell(machine, SceneOffline(one, offline)) == []
    assert not machine.unfinished


def test_a_folder_that_cannot_be_prepared_closes_the_scene(clock, machine):
    one = task("S", assets=FILES)
    list(machine.begin(one, clock.now))
    clock.tell(machine, TaskFailed(one, "permission denied"))
    assert not machine.unfinished


def test_a_commit_that_fails_fails_the_scene(clock, machine):
    one = begun(clock, machine, missing=())
    error = OSError("full")
    assert clock.tell(machine, Answered(Commit(one), error=error)) == [Fail(one, error)]
    assert not machine.unfinished


# -- a stop in each state --------------------------------------------------------------------------------------------


def test_a_stop_leaves_begun_scenes_unfinished(clock, machine):
    one = begun(clock, machine)
    first, _ = next_files(machine, 2)
    clock.tell(machine, StopRequested())
    assert of(clock.tell(machine, FetchEnded(first, link())), Fail) == []
    clock.tell(machine, PutBack(first))
    assert machine.unfinished == (one,)


def test_a_commit_under_way_when_the_run_stops_is_recorded(clock, machine):
    one = begun(clock, machine, missing=())
    clock.tell(machine, StopRequested())
    record = RecordScene(one, local("S", "S"), 30, 30)
    assert clock.tell(machine, Answered(Commit(one), record)) == [record]
