"""A plan in a file: what is written is what is read."""

import json
from datetime import UTC, datetime

import pytest

from sedas_sync.errors import ManifestError
from sedas_sync.model.events import Failure
from sedas_sync.model.local import LocalScene, ProofLevel
from sedas_sync.model.order import Order, OrderState
from sedas_sync.model.plan import Action, ActionKind, Plan
from sedas_sync.model.reason import Reason, ReasonCode
from sedas_sync.model.scene import DesiredScene, RemoteFile, Scene, Source
from sedas_sync.operations.saved_plan import VERSION, SavedPlan
from sedas_sync.planning.lock import LockHead

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
        wanted=want,
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
    return SavedPlan.of(plan, head=head, mirror={"path": ".", "layout": "{id}"}, datasets=("d",))


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
def test_what_is_written_is_what_is_read(want, tmp_path):
    order = Order(order="7", id="S", placed=NOON, archive="first", state=OrderState.FAILED, detail="expired")
    plan = saved(
        action(ActionKind.ORDER, want=want, order=order),
        action(ActionKind.KEEP, "K", local=HELD),
        action(ActionKind.PRUNE, "P", after=("K", "S"), local=HELD),
    )
    plan.write(tmp_path / "p.json")
    for read in (
        SavedPlan.read(tmp_path / "p.json"),
        SavedPlan.from_json(plan.to_json()),
        SavedPlan.from_json(json.dumps(plan.to_json())),
    ):
        assert read == plan
        assert read.command == plan.command
    assert plan.plan.actions[1].local.path == HELD.path, "also a name that is not UTF-8"
    assert plan.plan.actions[2].after == ("S",), "a scene that is kept is looked at again anyway"
    assert plan.plan.refusals


def test_no_link_is_saved():
    link = "https://example.org/S.zip?signature=secret"
    want = DesiredScene.of(
        "one",
        Scene(
            id="S",
            download_url=link,
            quicklook_url=link,
            assets=(RemoteFile(name="a", url=link),),
            extra={"links": [f"see {link}"]},
        ),
        datasets=("d",),
        path="S",
    )
    order = Order(order="7", id="S", placed=NOON, download_url=link)
    plan = saved(action(ActionKind.FETCH, want=want, order=order))
    assert "secret" not in json.dumps(plan.to_json())
    (read,) = SavedPlan.from_json(plan.to_json()).plan.actions
    assert read.wanted.scene.online


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (
            {"schema": VERSION - 1},
            "written by an older sedas-sync .* make a new plan with `sedas-sync plan --out",
        ),
        ({"schema": VERSION + 1}, "written by a newer sedas-sync"),
        ({"schema": "2"}, "not a saved plan"),
        ({"kind": "plan"}, "not a saved plan"),
        ({"plan": {}}, "is a damaged plan"),
        ({"datasets": [1]}, "is a damaged plan"),
        ({"made_from": {}}, "is a damaged plan"),
    ],
)
def test_what_is_not_a_saved_plan(change, error):
    with pytest.raises(ManifestError, match=error):
        SavedPlan.from_json({**saved().to_json(), **change}, source="p.json")


@pytest.mark.parametrize("change", [{"actions": [{"kind": "explode"}]}, {"warnings": [1]}])
def test_damaged_plans(change):
    values = saved().to_json()
    values["plan"] |= change
    with pytest.raises(ManifestError, match=r"p\.json: is a damaged plan"):
        SavedPlan.from_json(values, source="p.json")


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "p.json").write_bytes(b"\xff")
    with pytest.raises(ManifestError, match="not UTF-8 text"):
        SavedPlan.read(tmp_path / "p.json")
    with pytest.raises(ManifestError, match="cannot be opened: No such file"):
        SavedPlan.read(tmp_path / "nowhere.json")
    with pytest.raises(ManifestError, match="cannot be written"):
        saved().write(tmp_path / "nowhere" / "p.json")
