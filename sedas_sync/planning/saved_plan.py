"""A plan in a file: written by `plan --out`, carried out by `apply --plan`, refused if the mirror has changed.

One JSON document with what the plan was made from, its actions, the metadata of their scenes, and the files and orders
of that time. Links are left out, because they expire. It contains no secrets.
"""

import hashlib
import json
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from sedas_sync.errors import ManifestError
from sedas_sync.model.events import Failure
from sedas_sync.model.metadata import metadata_of, scene_from_metadata
from sedas_sync.model.plan import TRANSFERS, Action, ActionKind, Plan
from sedas_sync.model.reason import Reason
from sedas_sync.model.scene import DesiredScene, LocalScene, Order, Scene, SceneId, Source
from sedas_sync.planning.lock import LockHead
from sedas_sync.planning.lock_text import head_from, head_json

VERSION = 3
"""The version of the format that this package reads and writes."""

LINK_LEFT_OUT = ""
"""Replaces the link of a scene that was online."""

_SAME = {ActionKind.RESUME: ActionKind.FETCH}
"""A download that was started counts as one that was not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedPlan:
    """A plan and what it was made from."""

    head: LockHead
    mirror: Mapping[str, str]
    """The manifest's `path` and `layout`."""
    datasets: tuple[str, ...]
    """The datasets that the plan is limited to; empty for all."""
    plan: Plan
    digest: str = ""
    """Checksum of the file's text, which identifies this plan."""

    @property
    def command(self) -> str:
        """The command that the index stores for a run of this plan."""
        return f"apply --plan {self.digest}"

    @property
    def wants(self) -> dict[SceneId, DesiredScene]:
        """The desired scenes of the plan."""
        return {action.id: action.want for action in self.plan.actions if action.want is not None}

    @property
    def orders(self) -> tuple[Order, ...]:
        """The orders of the plan as they were when it was made."""
        return tuple(action.order for action in self.plan.actions if action.order is not None)


# -- the document ----------------------------------------------------------------------------------------------------


class _Source(Struct, omit_defaults=True):
    archive: str
    online: bool
    scene: dict[str, Any]
    """As `model.metadata` writes it."""


class _Want(Struct, omit_defaults=True):
    archive: str
    online: bool
    scene: dict[str, Any]
    sources: tuple[_Source, ...] = ()
    """If there are several."""
    sha256: str | None = None
    files: dict[str, str] = {}  # a struct copies it for each instance


class _Action(Struct, omit_defaults=True):
    action: ActionKind
    id: SceneId
    datasets: tuple[str, ...]
    path: str
    size: int | None
    reason: Reason
    after: tuple[SceneId, ...] = ()
    want: _Want | None = None
    held: LocalScene | None = None
    order: Order | None = None


class _Document(Struct):
    """The file, with the fields of `Plan` that `apply` needs."""

    schema: Annotated[int, Meta(ge=1)]
    kind: str
    manifest: str
    mirror: str
    archive: dict[str, str | None]
    archives: dict[str, dict[str, str | None]]
    identities: dict[str, str]
    made_from: dict[str, Any]
    mirror_settings: dict[str, str]
    datasets: tuple[str, ...]
    search_complete: bool
    failures: tuple[Failure, ...]
    warnings: tuple[str, ...]
    refused: bool
    actions: tuple[_Action, ...]


def dumps(saved: SavedPlan) -> str:
    """Return a saved plan as one JSON document with one action a line."""
    plan = saved.plan
    document = _Document(
        schema=VERSION,
        kind="plan",
        manifest=plan.manifest,
        mirror=plan.mirror,
        archive=dict(plan.archive),
        archives={key: dict(facts) for key, facts in plan.archives.items()},
        identities=dict(plan.identities),
        made_from=head_json(saved.head),
        mirror_settings=dict(saved.mirror),
        datasets=saved.datasets,
        search_complete=plan.search_complete,
        failures=plan.failures,
        warnings=plan.warnings,
        refused=plan.refused,
        actions=(),
    )
    kept = {action.id for action in plan.actions if action.kind is ActionKind.KEEP}
    actions = ",\n".join(json.dumps(msgspec.to_builtins(_action(action, kept))) for action in plan.actions)
    # Not msgspec's own JSON: names of files can contain lone surrogates, which it cannot write.
    rest = msgspec.to_builtins(document)
    del rest["actions"]
    return f'{json.dumps(rest)[:-1]}, "actions": [\n{actions}\n]}}\n'


def _action(action: Action, kept: Container[SceneId]) -> _Action:
    want, held, order = action.want, action.held, action.order
    return _Action(
        action=action.kind,
        id=action.id,
        datasets=action.datasets,
        path=action.path,
        size=action.size,
        reason=action.reason,
        # Scenes on disk are looked at again before anything is removed, like all that are kept.
        after=tuple(scene_id for scene_id in action.after if scene_id not in kept),
        want=None if want is None else _want(want),
        held=None if held is None else replace(held, facts="{}", digest=None, members=()),
        order=None if order is None else replace(order, download_url=None),
    )


def _want(want: DesiredScene) -> _Want:
    several = want.sources if len(want.sources) > 1 else ()
    return _Want(
        archive=want.archive,
        online=want.scene.online,
        scene=_scene_json(want.scene),
        sources=tuple(
            _Source(archive=source.archive, online=source.scene.online, scene=_scene_json(source.scene))
            for source in several
        ),
        sha256=want.sha256,
        files=dict(want.pinned),
    )


def _scene_json(scene: Scene) -> dict[str, Any]:
    return dict(json.loads(metadata_of(scene)))


def loads(text: str, source: str) -> SavedPlan:
    """Read a saved plan.

    Args:
        text: the content of the file.
        source: its name in messages.

    Raises:
        ManifestError: the text is not a saved plan, or was written by another version of this package.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise ManifestError(
            f"{source}: not a saved plan: not JSON; create one with `sedas-sync plan --out FILE`"
        ) from None
    if not isinstance(values, dict) or values.get("kind") != "plan" or not isinstance(values.get("schema"), int):
        raise ManifestError(f"{source}: not a saved plan; create one with `sedas-sync plan --out FILE`")
    if (version := values["schema"]) != VERSION:
        age = "a newer" if version > VERSION else "an older"
        raise ManifestError(
            f"{source}: written by {age} sedas-sync (plan format {version}, this one knows {VERSION}); "
            "make a new plan with `sedas-sync plan --out FILE`"
        )
    try:
        document = msgspec.convert(values, _Document)
        return _saved(document, hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest())
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ManifestError(f"{source}: is a damaged plan; make a new one with `sedas-sync plan --out FILE`") from None


def _saved(document: _Document, digest: str) -> SavedPlan:
    return SavedPlan(
        head=head_from(document.made_from),
        mirror=document.mirror_settings,
        datasets=document.datasets,
        plan=Plan(
            manifest=document.manifest,
            mirror=document.mirror,
            archive=document.archive,
            archives=document.archives,
            identities=document.identities,
            actions=tuple(_read_action(action) for action in document.actions),
            search_complete=document.search_complete,
            failures=document.failures,
            warnings=document.warnings,
            refused=document.refused,
        ),
        digest=digest,
    )


def _read_action(saved: _Action) -> Action:
    return Action(
        kind=saved.action,
        id=saved.id,
        datasets=saved.datasets,
        path=saved.path,
        size=saved.size,
        reason=saved.reason,
        after=saved.after,
        want=None if saved.want is None else _read_want(saved.want, saved),
        held=saved.held,
        order=saved.order,
    )


def _read_want(saved: _Want, action: _Action) -> DesiredScene:
    scene = _read_scene(saved)
    several = tuple(Source(archive=one.archive, scene=_read_scene(one)) for one in saved.sources)
    return DesiredScene(
        scene=scene,
        datasets=action.datasets,
        path=action.path,
        sources=several or (Source(archive=saved.archive, scene=scene),),
        sha256=saved.sha256,
        pinned=saved.files,
    )


def _read_scene(saved: _Source | _Want) -> Scene:
    return replace(scene_from_metadata(saved.scene), download_url=LINK_LEFT_OUT if saved.online else None)


# -- comparing -------------------------------------------------------------------------------------------------------


def drift(plan: Plan, now: Iterable[Action], holdings: Mapping[SceneId, LocalScene]) -> tuple[str, ...]:
    """Return for each scene how the mirror has changed since a plan was made.

    Args:
        plan: the saved plan.
        now: the actions for the same scenes now, as if the archives had not changed.
        holdings: the scenes of the index now.
    """
    return tuple(_drifted(plan, {action.id: action for action in now}, holdings))


def _drifted(plan: Plan, now: Mapping[SceneId, Action], holdings: Mapping[SceneId, LocalScene]) -> Iterator[str]:
    for then in plan.actions:
        today = now.get(then.id)
        if then.want is None or today is None:
            if not _same_file(then.held, holdings.get(then.id)):
                yield f"{then.id}: the plan would {then.kind.value} {then.path}, but that file is gone"
        elif _comparable(then) != _comparable(today):
            yield (f"{then.id}: the plan has {_in_words(then)}, now it would be {_in_words(today)}")
        elif not _same_file(then.held, today.held):
            yield f"{then.id}: another file is held than when the plan was made"


def _in_words(action: Action) -> str:
    return f"{action.kind.value} ({action.reason.code.value.replace('_', ' ')})"


def _comparable(action: Action) -> tuple[object, ...]:
    kind = _SAME.get(action.kind, action.kind)
    order = action.order.order if action.order is not None and action.kind not in TRANSFERS else None
    return kind, action.path, order


def _same_file(then: LocalScene | None, now: LocalScene | None) -> bool:
    if then is None or now is None:
        return then is now
    return (then.path, then.sha256) == (now.path, now.sha256)
