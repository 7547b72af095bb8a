"""Which zip is unpacked next: no files are needed."""

import pytest
from msgspec.structs import replace
from state_machines import Clock, action, local, of, task

from sedas_sync.model.local import PackedFile
from sedas_sync.model.scene import RemoteFile
from sedas_sync.operations.apply.effects import (
    Answered,
    GiveUp,
    LeavePending,
    RecordScene,
    StopRequested,
    Unpack,
    ZipReady,
)
from sedas_sync.operations.apply.unpacks import AT_ONCE, UnpackQueue, must_be_unpacked


@pytest.fixture
def clock():
    return Clock()


def zipped(name, path=None):
    return RecordScene(task(name), local(name, path or f"{name}.zip"), bytes=1, received=1)


def started(clock, machine, *names):
    return [effect for name in names for effect in clock.tell(machine, ZipReady(zipped(name)))]


def test_a_few_zips_are_unpacked_at_once(clock):
    machine = UnpackQueue()
    names = [f"S{number}" for number in range(AT_ONCE + 2)]
    first, *others = of(started(clock, machine, *names), Unpack)
    assert len(others) == AT_ONCE - 1
    assert len(machine.unfinished) == len(names)
    folder = replace(first.record, local=local("S0", "S0.SAFE"))
    record, following = clock.tell(machine, Answered(first, folder))
    assert record == folder
    assert following.record.local.id == names[AT_ONCE]
    assert [one.action.id for one in machine.unfinished] == [names[1], names[2], names[3]]


def test_a_zip_that_cannot_be_unpacked_stops_no_other(clock):
    machine = UnpackQueue()
    first, *_ = started(clock, machine, *(f"S{number}" for number in range(AT_ONCE + 1)))
    given_up, following = clock.tell(machine, Answered(first, error=ValueError("a link")))
    assert isinstance(given_up, GiveUp)
    assert (given_up.id, str(given_up.error)) == ("S0", "a link")
    assert isinstance(following, Unpack)


def test_a_stop_leaves_zips_to_the_next_run(clock):
    machine = UnpackQueue()
    first, *_ = started(clock, machine, *(f"S{number}" for number in range(AT_ONCE + 1)))
    assert clock.tell(machine, StopRequested()) == []
    assert clock.tell(machine, Answered(first, error=InterruptedError())) == [LeavePending("S0")]
    assert len(machine.unfinished) == AT_ONCE


FOLDER = replace(local("A", "A.SAFE"), packed=PackedFile())


@pytest.mark.parametrize(
    ("name", "path", "held", "unpack", "unpacked"),
    [
        ("A", "A.zip", None, True, True),
        ("A", "A.ZIP", None, True, True),
        ("A", "A.zip", None, False, False),
        ("A", "A.zip", FOLDER, False, True),
        ("A", "A.zip", local("A", "A.zip"), False, False),
        ("A", "A.nc", None, True, False),
        ("A.nc", "A.zip", None, True, False),
        ("A.zip", "A.zip", None, True, False),
    ],
)
def test_which_scenes_are_unpacked(name, path, held, unpack, unpacked):
    record = zipped(name, path)
    record.task.action = action(name, local=held)
    assert must_be_unpacked(record, unpack=unpack) is unpacked


def test_the_files_of_a_scene_of_several_files_stay_as_they_are():
    record = replace(zipped("A"), task=task("A", assets=(RemoteFile(name="a.zip"),)))
    assert not must_be_unpacked(record, unpack=True)
