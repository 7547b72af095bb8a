"""A plan in a file: what is written is what is read."""

import json
from datetime import UTC, datetime

import pytest

from sedas_sync.errors import ManifestError
from sedas_sync.model.events import Failure
from sedas_sync.model.plan import Action, ActionKind, Plan
from sedas_sync.model.reason import Reason, ReasonCode
from sedas_sync.model.scene import (
    DesiredScene,
    LocalScene,
    Order,
    OrderState,
    ProofLevel,
    RemoteFile,
    Scene,
    Source,
)
from sedas_sync.planning.lock import LockHead
from sedas_sync.planning.saved_plan import VERSION, SavedPlan, dumps, loads

NOON = datetime(2019, 5, 6, 12, tzinfo=UTC)
HELD = LocalScene(id="K", path="\udc80.zip", size=1, mtime_ns=2, sha256="0" * 64, level=ProofLevel.CRC, archive="x")


def action(kind, scene_id="S", *, want=None, **values):
    path = want.path if want is not None else f"{scene_id}.zip"
    return Action(
        kind=kind,
        id=scene_id,
        datasets=("d",),
        path=path,
        size=3,
        reason=Reason(ReasonCode.UNCHANGED),
        want=want,
        **values,
    )


def saved(*actions):
    plan = Plan(
        manifest="m.toml",
        mirror="/m",
        archive={"type": "stac", "url": None},
        archives={"one": {"type": "stac", "url": None}},
        identities={"one": "first"},
        actions=actions,
        search_complete=False,
        failures=(Failure(id="d", error="no", refused=True),),
        warnings=("w",),
        refusals=(Failure(id="prune", error="not confirmed"),),
    )
    head = LockHead(archives={"one": {"type": "stac"}}, aois={}, datasets={"d": {"tile": ["30UXC"]}}, intervals={})
    return SavedPlan(head=head, mirror={"path": ".", "layout": "{id}"}, datasets=("d",), plan=plan)


def scene(**values):
    return Scene(id="S", start=NOON, extra={"x": [1]}, **values)


WANTS = [
    DesiredScene.of("one", scene(download_url="", size=3), datasets=("d",), path="S.zip", sha256="1" * 64),
    DesiredScene.of(
        "one", scene(assets=(RemoteFile(name="a", key="A"),)), datasets=("d",), path="S", pinned={"a": "2"}
    ),
    DesiredScene(
        scene=scene(download_url=""),
        datasets=("d",),
        path="S.zip",
        sources=(Source(archive="two", scene=scene(download_url="")), Source(archive="one", scene=scene())),
    ),
]


@pytest.mark.parametrize("want", WANTS)
def test_what_is_written_is_what_is_read(want):
    order = Order(order="7", id="S", placed=NOON, archive="first", state=OrderState.FAILED, detail="expired")
    plan = saved(
        action(ActionKind.ORDER, want=want, order=order),
        action(ActionKind.KEEP, "K", held=HELD),
        action(ActionKind.PRUNE, "P", after=("K", "S"), held=HELD),
    )
    read = loads(dumps(plan), "p.json")
    assert read.head == plan.head
    assert (read.mirror, read.datasets) == (plan.mirror, plan.datasets)
    assert read.plan.actions[0] == plan.plan.actions[0]
    assert read.plan.actions[1] == plan.plan.actions[1], "also a name that is not UTF-8"
    assert read.plan.actions[2].after == ("S",), "a scene that is kept is looked at again anyway"
    for name in ("manifest", "mirror", "archive", "archives", "identities", "search_complete", "failures", "warnings"):
        assert getattr(read.plan, name) == getattr(plan.plan, name)
    assert read.plan.refusals == plan.plan.refusals


def test_no_link_is_saved():
    link = "https://example.org/S.zip?signature=secret"
    want = DesiredScene.of(
        "one",
        scene(download_url=link, quicklook_url=link, assets=(RemoteFile(name="a", url=link),)),
        datasets=("d",),
        path="S",
    )
    order = Order(order="7", id="S", placed=NOON, download_url=link)
    text = dumps(saved(action(ActionKind.FETCH, want=want, order=order)))
    assert "secret" not in text
    (read,) = loads(text, "p.json").plan.actions
    assert read.want.scene.online


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (
            {"schema": VERSION - 1},
            "written by an older sedas-sync .* make a new plan with `sedas-sync plan --out",
        ),
        ({"schema": VERSION + 1}, "written by a newer sedas-sync"),
        ({"schema": "2"}, "not a saved plan"),
        ({"kind": "lock"}, "not a saved plan"),
        ({"plan": {}}, "is a damaged plan"),
        ({"datasets": [1]}, "is a damaged plan"),
        ({"made_from": {}}, "is a damaged plan"),
    ],
)
def test_what_is_not_a_saved_plan(change, error):
    values = json.loads(dumps(saved()))
    with pytest.raises(ManifestError, match=error):
        loads(json.dumps({**values, **change}), "p.json")


@pytest.mark.parametrize("change", [{"actions": [{"kind": "explode"}]}, {"warnings": [1]}])
def test_damaged_plans(change):
    values = json.loads(dumps(saved()))
    values["plan"] |= change
    with pytest.raises(ManifestError, match="is a damaged plan"):
        loads(json.dumps(values), "p.json")
