"""The diff: the decision table, and what must hold whatever comes in."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sedas_sync.model.disk import DiskState, FileState
from sedas_sync.model.local import LocalScene, ProofLevel
from sedas_sync.model.order import Order, OrderState
from sedas_sync.model.plan import CHANGES, ActionKind
from sedas_sync.model.reason import Reason, ReasonCode
from sedas_sync.model.scene import DesiredScene, Scene
from sedas_sync.planning.compare import Comparison, choose_actions, failed_if_missing

NOON = datetime(2019, 5, 6, 12, tzinfo=UTC)


def scene(name="S", *, online=True, planned=False, digest=None, size=None):
    url = "https://example.org/S.zip" if online else None
    return Scene(id=name, start=NOON, download_url=url, planned=planned, digest=digest, size=size)


def shelved():
    """A scene that no order of ours brings back."""
    return replace(scene(online=False), offline="order it elsewhere")


def unattainable():
    """A scene that its archive can never deliver."""
    return replace(shelved(), never=True)


def want(of, path=None):
    return DesiredScene.of("archive", of, datasets=("d",), path=path or f"{of.id}.zip")


def held(name="S", *, path=None, digest=None, size=10):
    return LocalScene(
        id=name, path=path or f"{name}.zip", size=size, mtime_ns=1, sha256="0" * 64, level=ProofLevel.CRC, archive="a",
        digest=digest,
    )  # fmt: skip


def order(state=OrderState.PENDING):
    url = "https://example.org/ready" if state is OrderState.READY else None
    return Order(order="7", id="S", placed=NOON, state=state, download_url=url, detail="EXPIRED")


INTACT = DiskState(local=held(), state=FileState.INTACT, tracked=True)
DAMAGED = DiskState(local=held(), state=FileState.DAMAGED, tracked=True)
GONE = DiskState(local=held(), state=FileState.ABSENT, tracked=True)
MATCHES = DiskState(local=held(), state=FileState.INTACT, tracked=False)
STRANGER = DiskState(state=FileState.DAMAGED)
PARTIAL = DiskState(partial=512)
NOTHING = DiskState()


@pytest.mark.parametrize(
    ("of", "here", "ordered", "kind", "reason"),
    [
        (scene(planned=True, online=False), NOTHING, None, ActionKind.SKIP, ReasonCode.PLANNED),
        (scene(), INTACT, None, ActionKind.KEEP, ReasonCode.UNCHANGED),
        (scene(online=False), INTACT, None, ActionKind.KEEP, ReasonCode.UNCHANGED),
        (scene(online=False), INTACT, order(), ActionKind.KEEP, ReasonCode.UNCHANGED),
        (scene(), DAMAGED, None, ActionKind.REPLACE, ReasonCode.DAMAGED),
        (scene(online=False), DAMAGED, None, ActionKind.ORDER, ReasonCode.NO_ORDER),
        (scene(), GONE, None, ActionKind.FETCH, ReasonCode.FILE_GONE),
        (scene(online=False), GONE, None, ActionKind.ORDER, ReasonCode.NO_ORDER),
        (scene(), MATCHES, None, ActionKind.ADOPT, ReasonCode.UNTRACKED),
        (scene(online=False), MATCHES, None, ActionKind.ADOPT, ReasonCode.UNTRACKED),
        (scene(), STRANGER, None, ActionKind.FETCH, ReasonCode.PATH_TAKEN),
        (scene(), PARTIAL, None, ActionKind.RESUME, ReasonCode.PARTLY_DOWNLOADED),
        (shelved(), NOTHING, None, ActionKind.WAIT, ReasonCode.OFFLINE),
        (shelved(), DAMAGED, None, ActionKind.WAIT, ReasonCode.OFFLINE),
        (shelved(), INTACT, None, ActionKind.KEEP, ReasonCode.UNCHANGED),
        (unattainable(), NOTHING, None, ActionKind.SKIP, ReasonCode.NOT_DOWNLOADABLE),
        (unattainable(), DAMAGED, None, ActionKind.SKIP, ReasonCode.NOT_DOWNLOADABLE),
        (unattainable(), INTACT, None, ActionKind.KEEP, ReasonCode.UNCHANGED),
        (scene(online=False), PARTIAL, order(OrderState.READY), ActionKind.RESUME, ReasonCode.ORDER_READY),
        (scene(), NOTHING, None, ActionKind.FETCH, ReasonCode.NOT_IN_MIRROR),
        (scene(online=False), NOTHING, None, ActionKind.ORDER, ReasonCode.NO_ORDER),
        (scene(online=False), NOTHING, order(), ActionKind.WAIT, ReasonCode.ORDER_PENDING),
        (scene(online=False), NOTHING, order(OrderState.READY), ActionKind.FETCH, ReasonCode.ORDER_READY),
        (scene(online=False), NOTHING, order(OrderState.FAILED), ActionKind.ORDER, ReasonCode.ORDER_FAILED),
        (scene(), NOTHING, order(), ActionKind.FETCH, ReasonCode.NOT_IN_MIRROR),
    ],
)
def test_the_decision_table(of, here, ordered, kind, reason):
    (action,) = choose_actions({"S": want(of)}, {"S": here}, {"S": ordered} if ordered else {})
    assert action.kind is kind
    assert action.reason.code is reason


def test_an_order_is_placed_for_the_reason_that_a_scene_would_be_downloaded():
    (action,) = choose_actions({"S": want(scene(online=False))}, {"S": DAMAGED}, {})
    assert action.reason == Reason(ReasonCode.NO_ORDER, cause=Reason(ReasonCode.DAMAGED))
    (action,) = choose_actions({"S": want(scene(online=False))}, {"S": PARTIAL}, {"S": order(OrderState.READY)})
    partial = Reason(ReasonCode.PARTLY_DOWNLOADED, here=512)
    assert action.reason == Reason(ReasonCode.ORDER_READY, order="7", cause=partial)


def test_a_digest_that_the_catalogue_changed_means_a_changed_scene():
    here = DiskState(local=held(digest="a" * 32), state=FileState.INTACT, tracked=True)
    wants = {"S": want(scene(digest="b" * 32))}
    assert choose_actions(wants, {"S": here}, {})[0].kind is ActionKind.REPLACE
    assert choose_actions(wants, {"S": here}, {}, Comparison(trust_digest=False))[0].kind is ActionKind.KEEP


def test_a_size_that_the_catalogue_changed_means_a_changed_scene():
    here = DiskState(local=held(size=10), state=FileState.INTACT, tracked=True)
    (action,) = choose_actions({"S": want(scene(size=11))}, {"S": here}, {})
    assert action.kind is ActionKind.REPLACE
    assert action.reason == Reason(ReasonCode.SIZE_CHANGED, here=10, there=11)


def test_a_layout_that_moves_a_file_fetches_nothing():
    (action,) = choose_actions({"S": want(scene(), path="2019/S.zip")}, {"S": INTACT}, {})
    assert action.kind is ActionKind.ADOPT
    assert action.reason == Reason(ReasonCode.OTHER_PATH, here="S.zip", there="2019/S.zip")


def test_an_order_the_archive_has_not_known_three_times_in_a_row_has_failed():
    lost = Order(order="7", id="S", placed=NOON, missing=2)
    assert failed_if_missing(lost).state is OrderState.PENDING
    assert failed_if_missing(Order(order="7", id="S", placed=NOON, missing=3)).state is OrderState.FAILED


scenes = st.builds(scene, st.sampled_from("ABCDEF"), online=st.booleans(), planned=st.booleans())
observations = st.sampled_from([INTACT, DAMAGED, GONE, MATCHES, STRANGER, PARTIAL, NOTHING])
ledgers = st.sampled_from([None, *map(order, OrderState)])


@given(st.lists(st.tuples(scenes, observations, ledgers), unique_by=lambda row: row[0].id))
def test_every_scene_has_exactly_one_action_and_bytes_move_only_where_they_must(rows):
    wants = {of.id: want(of) for of, _, _ in rows}
    actions = choose_actions(
        wants, {of.id: here for of, here, _ in rows}, {of.id: o for of, _, o in rows if o is not None}
    )
    assert sorted(action.id for action in actions) == sorted(wants)
    by_id = {action.id: action for action in actions}
    for of, here, _ in rows:
        action = by_id[of.id]
        right_here = here.state is FileState.INTACT
        if of.planned:
            assert action.kind is ActionKind.SKIP
        elif right_here:
            assert action.kind in (ActionKind.KEEP, ActionKind.ADOPT)
        else:
            assert action.kind in CHANGES | {ActionKind.WAIT}
            assert action.kind is not ActionKind.ADOPT
        if action.kind in (ActionKind.FETCH, ActionKind.RESUME, ActionKind.REPLACE):
            assert of.online or action.order.state is OrderState.READY
        if action.kind in (ActionKind.ORDER, ActionKind.WAIT):
            assert not of.online


def test_what_another_archive_says_is_no_measure_for_a_file_even_where_its_own_is_gone():
    of = scene(digest="f" * 32, size=11)
    here = DiskState(local=held(digest="0" * 64), state=FileState.INTACT, tracked=True)
    (action,) = choose_actions({"S": want(of)}, {"S": here}, {}, Comparison(identities={"archive": "b"}))
    assert action.kind is ActionKind.KEEP
    (action,) = choose_actions({"S": want(of)}, {"S": here}, {}, Comparison(identities={"archive": "a"}))
    assert action.kind is ActionKind.REPLACE
