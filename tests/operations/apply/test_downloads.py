"""The download queue with a fake clock: links, workers, other archives."""

import pytest
from state_machines import Clock, events_of, fetched, link, of, order, task

from sedas_sync.errors import ArchiveError, IntegrityError, StoppedError, TransferError
from sedas_sync.model.scene import Download, RemoteFile, Scene, Source
from sedas_sync.operations.apply.downloads import MAX_LINK_FAILURES, MAX_LOSSES, DownloadQueue
from sedas_sync.operations.apply.effects import (
    Abort,
    Answered,
    Fail,
    FetchEnded,
    GiveUp,
    LeavePending,
    OrderExpired,
    OrderLinkRefused,
    OrderNeeded,
    PutBack,
    RecordFetch,
    RenewLink,
    SceneOffline,
    SceneReady,
    StopRequested,
    TaskFailed,
)
from sedas_sync.transfer.job import FetchStopped
from sedas_sync.workers.claim import WorkerLost


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def machine():
    return DownloadQueue()


def begin(clock, machine, one):
    machine.begin(one, clock.now)
    return one


def refused(status=403):
    return TransferError(f"HTTP {status}", status=status, relocate=True)


def test_scenes_are_downloaded_in_order_as_far_as_archives_allow(clock, machine):
    one, two = task("A", archive="a"), task("B", archive="b")
    for each in (one, two):
        clock.tell(machine, SceneReady(each))
    assert machine.next({"a"}) is two
    assert machine.next({"a"}) is None
    assert machine.next() is one
    assert machine.next() is None


def test_a_scene_that_arrived_is_recorded(clock, machine):
    one = begin(clock, machine, task("A"))
    assert clock.tell(machine, FetchEnded(one, link(), fetched("A"))) == [RecordFetch(one, fetched("A"))]
    assert not machine.unfinished


def test_an_error_of_the_scene_fails_it(clock, machine):
    one, two = begin(clock, machine, task("A")), begin(clock, machine, task("B"))
    error = IntegrityError("another checksum")
    assert clock.tell(machine, FetchEnded(one, link(), error=error)) == [Fail(one, error)]
    assert clock.tell(machine, FetchEnded(two, None, error=error)) == [Fail(two, error)]
    assert not machine.unfinished


def test_a_stop_while_a_link_is_made_fails_nothing(clock, machine):
    """The error can be there before the request to stop."""
    one, two = begin(clock, machine, task("A")), begin(clock, machine, task("B"))
    answer = clock.tell(machine, FetchEnded(one, None, error=StoppedError("stopped")))
    assert answer[-1] == SceneReady(one)
    clock.tell(machine, FetchEnded(two, link("old"), error=refused()))
    request = RenewLink(two, link("old"), refused(), from_order=False, look_up=False)
    assert clock.tell(machine, Answered(request, error=StoppedError("stopped"))) == [PutBack(two)]
    clock.tell(machine, StopRequested())
    one = begin(clock, machine, one)
    assert clock.tell(machine, FetchEnded(one, None, error=StoppedError("stopped"))) == [PutBack(one)]


def test_an_error_of_the_mirror_ends_the_run(clock, machine):
    one = begin(clock, machine, task("A"))
    error = TransferError("disk full", fatal=True)
    assert clock.tell(machine, FetchEnded(one, link(), error=error)) == [PutBack(one), Abort(error)]
    clock.tell(machine, PutBack(one))
    assert machine.unfinished == (one,)


# -- links -----------------------------------------------------------------------------------------------------------


def test_a_refused_link_is_renewed_twice_and_then_fails(clock, machine):
    one = task("A")
    asked = []
    for _ in range(MAX_LINK_FAILURES):
        begin(clock, machine, one)
        effects = clock.tell(machine, FetchEnded(one, link("old"), error=refused()))
        (request,) = of(effects, RenewLink)
        asked.append((request.from_order, request.look_up))
        assert machine.unfinished == (one,)
        new = Download(url="http://x/new")
        assert clock.tell(machine, Answered(request, new)) == [PutBack(one)]
        assert one.download is new
    assert asked == [(False, False), (False, True)], "first the token is renewed, then the link"
    begin(clock, machine, one)
    error = refused()
    assert clock.tell(machine, FetchEnded(one, link("new"), error=error)) == [Fail(one, error)]


def test_a_link_that_is_gone_is_looked_up_at_once(clock, machine):
    one = begin(clock, machine, task("A"))
    (request,) = of(clock.tell(machine, FetchEnded(one, link(), error=refused(410))), RenewLink)
    assert (request.from_order, request.look_up) == (False, True)


def test_a_link_that_brought_bytes_may_be_renewed_any_number_of_times(clock, machine):
    one = task("A")
    for number in range(1, 20):
        begin(clock, machine, one)
        effects = clock.tell(machine, FetchEnded(one, link(), error=refused(), bytes=number * 1000))
        (request,) = of(effects, RenewLink)
        clock.tell(machine, Answered(request, link()))


def test_a_link_that_expired_in_a_queue_is_no_failure(clock, machine):
    one = task("A")
    for _ in range(10):
        begin(clock, machine, one)
        effects = clock.tell(machine, FetchEnded(one, link(), error=refused(), early=True))
        clock.tell(machine, Answered(of(effects, RenewLink)[0], link()))
    assert one.link_failures == 0


def test_a_link_that_cannot_be_renewed_fails_with_both_reasons(clock, machine):
    one = begin(clock, machine, task("A"))
    (request,) = of(clock.tell(machine, FetchEnded(one, link(), error=refused())), RenewLink)
    assert clock.tell(machine, Answered(request, error=ArchiveError("down"))) == [Fail(one, "HTTP 403; down")]


def test_the_link_of_an_order_is_polled(clock, machine):
    one = begin(clock, machine, task("A", order=order("A")))
    (request,) = of(clock.tell(machine, FetchEnded(one, link(), error=refused(410))), RenewLink)
    assert request.from_order
    expired = clock.tell(machine, Answered(request, order("A")))
    assert expired == [OrderExpired(one, "the link of order O-A has expired: HTTP 410")]


def test_the_same_link_of_an_order_is_refused_in_the_end(clock, machine):
    one = task("A", order=order("A"))
    same = order("A", download_url="http://x/old")
    effects = []
    for _ in range(MAX_LINK_FAILURES):
        begin(clock, machine, one)
        (request,) = of(clock.tell(machine, FetchEnded(one, link("old"), error=refused(410))), RenewLink)
        effects = clock.tell(machine, Answered(request, same))
    assert effects == [OrderLinkRefused(one, "the link of order O-A does not work: HTTP 410")]


def test_a_scene_that_went_offline_is_ordered(clock, machine):
    one = begin(clock, machine, task("A"))
    (request,) = of(clock.tell(machine, FetchEnded(one, link(), error=refused(404))), RenewLink)
    offline = Scene(id="A")
    assert clock.tell(machine, Answered(request, offline)) == [SceneOffline(one, offline)]
    assert clock.tell(machine, SceneOffline(one, offline)) == [OrderNeeded(one)]
    assert one.scene is offline


def test_a_scene_that_cannot_be_ordered_is_left_to_a_later_run(clock, machine):
    one = task("A")
    effects = clock.tell(machine, SceneOffline(one, Scene(id="A", offline="order it on the website")))
    assert effects[0] == LeavePending("A")
    assert events_of(effects)[0].message == "A: order it on the website"


# -- workers ---------------------------------------------------------------------------------------------------------


def test_a_scene_whose_workers_are_lost_fails_after_three_others(clock, machine):
    one = task("A")
    for _ in range(MAX_LOSSES):
        begin(clock, machine, one)
        effects = clock.tell(machine, FetchEnded(one, link(), error=WorkerLost("its worker was lost")))
        assert effects[-1] == SceneReady(one)
        assert one.download is None, "the next worker gets a new token"
    begin(clock, machine, one)
    effects = clock.tell(machine, FetchEnded(one, link(), error=WorkerLost("its worker was lost")))
    assert effects == [Fail(one, "its worker was lost (tried 4 times)")]


# -- other archives --------------------------------------------------------------------------------------------------


def sources(*scenes):
    return tuple(Source(archive=f"b{number}", scene=scene) for number, scene in enumerate(scenes))


def test_the_next_archive_delivers(clock, machine):
    scene = Scene(id="A2", download_url="http://y/a")
    one = task("A", other_sources=sources(scene, Scene(id="A3")), began=7.0)
    retried, ready = clock.tell(machine, TaskFailed(one, "404"))
    assert retried.event.error == "archive a: 404; archive b0 has it too"
    again = ready.task
    assert (again.action.id, again.scene, again.archive, again.began) == ("A", scene, "b0", 7.0)
    (needed,) = of(clock.tell(machine, TaskFailed(again, "500")), OrderNeeded)
    assert needed.task.archive == "b1"


def test_an_archive_that_cannot_deliver_now_is_passed_over(clock, machine):
    one = task("A", other_sources=sources(Scene(id="A", offline="in the archive")))
    (failed,) = of(clock.tell(machine, TaskFailed(one, "404")), Fail)
    assert failed.error == "in the archive (archive a: 404)"
    assert clock.tell(machine, TaskFailed(failed.task, failed.error)) == [GiveUp("A", failed.error)]


def test_without_another_archive_the_scene_fails(clock, machine):
    assert clock.tell(machine, TaskFailed(task("A"), "404")) == [GiveUp("A", "404")]


# -- a stop in each state --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [FetchStopped("stopped"), WorkerLost("gone"), None])
def test_a_stop_while_a_scene_is_downloaded_leaves_it_for_later(clock, machine, error):
    one = begin(clock, machine, task("A"))
    clock.tell(machine, StopRequested())
    assert clock.tell(machine, FetchEnded(one, link(), error=error)) == [PutBack(one)]
    clock.tell(machine, PutBack(one))
    assert machine.unfinished == (one,)
    assert one.losses == 0


def test_a_stop_while_a_link_is_renewed_leaves_the_scene_for_later(clock, machine):
    one = begin(clock, machine, task("A"))
    (request,) = of(clock.tell(machine, FetchEnded(one, link(), error=refused())), RenewLink)
    clock.tell(machine, StopRequested())
    assert clock.tell(machine, Answered(request, error=ArchiveError("stopped"))) == [PutBack(one)]


def test_after_a_stop_no_other_archive_is_tried(clock, machine):
    one = task("A", other_sources=sources(Scene(id="A", download_url="u")))
    clock.tell(machine, StopRequested())
    assert clock.tell(machine, TaskFailed(one, "404")) == [GiveUp("A", "404")]


def test_a_scene_that_arrives_after_a_stop_is_recorded(clock, machine):
    one = begin(clock, machine, task("A"))
    clock.tell(machine, StopRequested())
    assert clock.tell(machine, FetchEnded(one, link(), fetched("A"))) == [RecordFetch(one, fetched("A"))]


def test_files_of_a_scene_are_no_scenes(clock, machine):
    file = task("A", file=RemoteFile(name="a.tif", key="a"), whole=task("A"))
    begin(clock, machine, file)
    assert clock.tell(machine, FetchEnded(file, link(), fetched("a"))) == [], "the assembler records it"
    assert clock.tell(machine, PutBack(file)) == []
    assert not machine.unfinished
