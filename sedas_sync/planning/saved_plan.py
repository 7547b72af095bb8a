"""A plan in a file: written by `plan --out`, carried out by `apply --plan`, refused where it no longer fits.

One JSON document. It holds what the plan was made from, each action with the facts of its scene, and what was held and
ordered then. Links are left out, since they do not last; no secret is in it.
"""

import hashlib
import json
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from sedas_sync.errors import ManifestError
from sedas_sync.model.events import Failure
from sedas_sync.model.metadata import metadata_of, scene_from_metadata
from sedas_sync.model.plan import TRANSFERS, Action, ActionKind, Plan
from sedas_sync.model.scene import DesiredScene, LocalScene, Order, OrderState, ProofLevel, Scene, SceneId, Source
from sedas_sync.planning.lock import LockHead, head_from, head_json

VERSION = 1
"""The format of saved plans this package reads and writes."""

LINK_LEFT_OUT = ""
"""Stands for the link of a scene that was online."""

_SAME = {ActionKind.RESUME: ActionKind.FETCH}
"""A download that has begun is the same deed as one that has not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedPlan:
    """A plan and what it was made from."""

    head: LockHead
    mirror: Mapping[str, str]
    """The manifest's `path` and `layout`."""
    datasets: tuple[str, ...]
    """Those that the plan was narrowed to; empty for all."""
    plan: Plan
    digest: str = ""
    """Of the file's text, which tells this plan from any other."""

    @property
    def command(self) -> str:
        """What a mirror remembers the carrying-out of this plan as."""
        return f"apply --plan {self.digest}"

    @property
    def wants(self) -> dict[SceneId, DesiredScene]:
        """The scenes of the plan."""
        return {action.id: action.want for action in self.plan.actions if action.want is not None}

    @property
    def orders(self) -> tuple[Order, ...]:
        """The orders that the plan counts on, as they were when it was made."""
        return tuple(action.order for action in self.plan.actions if action.order is not None)


# -- writing ---------------------------------------------------------------------------------------------------------


def dumps(saved: SavedPlan) -> str:
    """Write a saved plan as one JSON document, an action a line."""
    plan = saved.plan
    rest = {
        "schema": VERSION,
        "kind": "plan",
        "manifest": plan.manifest,
        "mirror": plan.mirror,
        "archive": dict(plan.archive),
        "archives": {key: dict(facts) for key, facts in plan.archives.items()},
        "identities": dict(plan.identities),
        "made_from": head_json(saved.head),
        "mirror_settings": dict(saved.mirror),
        "datasets": list(saved.datasets),
        "search_complete": plan.search_complete,
        "failures": [
            {"id": failure.id, "error": failure.error, "refused": failure.refused} for failure in plan.failures
        ],
        "warnings": list(plan.warnings),
        "refused": plan.refused,
    }
    kept = {action.id for action in plan.actions if action.kind is ActionKind.KEEP}
    actions = ",\n".join(json.dumps(_action(action, kept)) for action in plan.actions)
    return f'{json.dumps(rest)[:-1]}, "actions": [\n{actions}\n]}}\n'


def _action(action: Action, kept: Container[SceneId]) -> dict[str, Any]:
    want, held, order = action.want, action.held, action.order
    # Those that are here are looked at again before anything is done, like all that is kept.
    after = [scene_id for scene_id in action.after if scene_id not in kept]
    return {
        **action.to_json(),
        **({"after": after} if after else {}),
        "want": None
        if want is None
        else {
            "archive": want.archive,
            "sha256": want.sha256,
            **({"files": dict(want.pinned)} if want.pinned else {}),
            **_scene_data(want.scene),
            "places": [{"archive": place.archive, **_scene_data(place.scene)} for place in want.places],
        },
        "held": None
        if held is None
        else {
            "path": held.path,
            "size": held.size,
            "mtime_ns": held.mtime_ns,
            "sha256": held.sha256,
            "level": held.level.value,
            "archive": held.archive,
        },
        "order": None
        if order is None
        else {
            "order": order.order,
            "placed": order.placed.isoformat(),
            "archive": order.archive,
            "state": order.state.value,
            "detail": order.detail,
        },
    }


def _scene_data(scene: Scene) -> dict[str, Any]:
    return {"online": scene.online, "scene": json.loads(metadata_of(scene))}


# -- reading ---------------------------------------------------------------------------------------------------------


def loads(text: str, source: str) -> SavedPlan:
    """Read a saved plan.

    Args:
        text: what the file holds.
        source: its name in messages.

    Raises:
        ManifestError: it is no saved plan, or one of a newer version of this package.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise ManifestError(f"{source}: is not JSON; `sedas-sync plan --out FILE` writes a plan") from None
    if not isinstance(document, dict) or document.get("kind") != "plan" or not isinstance(document.get("schema"), int):
        raise ManifestError(f"{source}: is no saved plan; `sedas-sync plan --out FILE` writes one")
    if document["schema"] > VERSION:
        raise ManifestError(
            f"{source}: written by a newer sedas-sync (plan format {document['schema']}, this one knows {VERSION}); "
            "make the plan anew"
        )
    try:
        return _saved(document, hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest())
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ManifestError(f"{source}: is a damaged plan; make it anew with `sedas-sync plan --out FILE`") from None


def _saved(document: Mapping[str, Any], digest: str) -> SavedPlan:
    return SavedPlan(
        head=head_from(document["made_from"]),
        mirror={key: str(value) for key, value in document["mirror_settings"].items()},
        datasets=tuple(document["datasets"]),
        plan=Plan(
            manifest=str(document["manifest"]),
            mirror=str(document["mirror"]),
            archive=dict(document["archive"]),
            archives={key: dict(facts) for key, facts in document.get("archives", {}).items()},
            identities={key: str(name) for key, name in document.get("identities", {}).items()},
            actions=tuple(_read_action(values) for values in document["actions"]),
            search_complete=bool(document["search_complete"]),
            failures=tuple(
                Failure(id=str(item["id"]), error=str(item["error"]), refused=item.get("refused") is True)
                for item in document["failures"]
            ),
            warnings=tuple(map(str, document["warnings"])),
            refused=document.get("refused") is True,
        ),
        digest=digest,
    )


def _read_action(values: Mapping[str, Any]) -> Action:
    scene_id, datasets, path = str(values["id"]), tuple(map(str, values["datasets"])), str(values["path"])
    want, held, order = values["want"], values["held"], values["order"]
    return Action(
        kind=ActionKind(values["action"]),
        id=scene_id,
        datasets=datasets,
        path=path,
        size=values["size"],
        reason=str(values["reason"]),
        after=tuple(map(str, values.get("after", ()))),
        want=None
        if want is None
        else DesiredScene(
            scene=_scene(want),
            datasets=datasets,
            archive=str(want["archive"]),
            path=path,
            sha256=want["sha256"],
            pinned=dict(want.get("files", {})),
            places=tuple(Source(archive=str(one["archive"]), scene=_scene(one)) for one in want.get("places", ())),
        ),
        held=None if held is None else LocalScene(**{**held, "id": scene_id, "level": ProofLevel(held["level"])}),
        order=None
        if order is None
        else Order(
            **{
                **order,
                "id": scene_id,
                "placed": datetime.fromisoformat(order["placed"]),
                "state": OrderState(order["state"]),
            }
        ),
    )


def _scene(want: Mapping[str, Any]) -> Scene:
    return replace(scene_from_metadata(want["scene"]), download_url=LINK_LEFT_OUT if want["online"] else None)


# -- comparing -------------------------------------------------------------------------------------------------------


def drift(plan: Plan, now: Iterable[Action], holdings: Mapping[SceneId, LocalScene]) -> tuple[str, ...]:
    """Name each scene for which the mirror has moved on since a plan was made.

    Args:
        plan: as it was saved.
        now: what would be done now about the same scenes, were they in the archive as they were then.
        holdings: what the index remembers now.
    """
    return tuple(_drifted(plan, {action.id: action for action in now}, holdings))


def _drifted(plan: Plan, now: Mapping[SceneId, Action], holdings: Mapping[SceneId, LocalScene]) -> Iterator[str]:
    for then in plan.actions:
        today = now.get(then.id)
        if then.want is None or today is None:
            if not _same_file(then.held, holdings.get(then.id)):
                yield f"{then.id}: the plan would {then.kind.value} {then.path}, and that file is not held any more"
        elif _deed(then) != _deed(today):
            yield (
                f"{then.id}: the plan has {then.kind.value} ({then.reason}), "
                f"now it would be {today.kind.value} ({today.reason})"
            )
        elif not _same_file(then.held, today.held):
            yield f"{then.id}: another file is held than when the plan was made"


def _deed(action: Action) -> tuple[object, ...]:
    kind = _SAME.get(action.kind, action.kind)
    order = action.order.order if action.order is not None and action.kind not in TRANSFERS else None
    return kind, action.path, order


def _same_file(then: LocalScene | None, now: LocalScene | None) -> bool:
    if then is None or now is None:
        return then is now
    return (then.path, then.sha256) == (now.path, now.sha256)
