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
from sedas_sync.model.metadata import without_links
from sedas_sync.model.plan import TRANSFERS, Action, ActionKind, Plan
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
    """A plan and what it was made from.

    Example:
        import sedas_sync as ss

        with ss.Mirror(ss.load_manifest("manifest.toml")) as mirror:
            saved = mirror.save(mirror.plan())
            plan = mirror.resume_plan(saved)  # LockMismatch if the mirror or the manifest has changed
            mirror.apply(plan).raise_for_failures()
    """

    head: LockHead
    """What of the manifest it was made from."""
    mirror: Mapping[str, str]
    """The manifest's `path` and `layout`."""
    datasets: tuple[str, ...]
    """The datasets that the plan is limited to; empty for all."""
    plan: Plan
    """The plan."""
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


class _Document(Struct):
    """The file."""

    schema: Annotated[int, Meta(ge=1)]
    kind: str
    made_from: dict[str, Any]
    mirror_settings: dict[str, str]
    datasets: tuple[str, ...]
    plan: Plan


def dumps(saved: SavedPlan) -> str:
    """Return a saved plan as one JSON document with one action a line."""
    document = _Document(
        schema=VERSION,
        kind="plan",
        made_from=head_json(saved.head),
        mirror_settings=dict(saved.mirror),
        datasets=saved.datasets,
        plan=replace(saved.plan, actions=(), refreshed=(), polled=(), unwanted_downloads=()),
    )
    values = _builtins(document)
    del values["plan"]["actions"]
    kept = {action.id for action in saved.plan.actions if action.kind is ActionKind.KEEP}
    actions = ",\n".join(json.dumps(_builtins(_portable(action, kept))) for action in saved.plan.actions)
    return f'{json.dumps(values)[:-2]}, "actions": [\n{actions}\n]}}}}\n'


def _builtins(value: Struct) -> dict[str, Any]:
    # Not msgspec's own JSON: names of files can contain lone surrogates, which it cannot write.
    return dict(msgspec.to_builtins(value, enc_hook=dict))


def _portable(action: Action, kept: Container[SceneId]) -> Action:
    """Return an action without links, and without what is looked at again before it is carried out."""
    want, held, order = action.want, action.held, action.order
    return replace(
        action,
        after=tuple(scene_id for scene_id in action.after if scene_id not in kept),
        want=None if want is None else _without_links(want),
        held=None if held is None else replace(held, facts="{}", digest=None, members=()),
        order=None if order is None else replace(order, download_url=None),
    )


def _without_links(want: DesiredScene) -> DesiredScene:
    sources = tuple(replace(source, scene=_offered(source.scene)) for source in want.sources)
    if len(sources) == 1:
        # Its scene is that of the whole, which need not be written twice.
        sources = (replace(sources[0], scene=Scene(id=want.scene.id)),)
    return replace(want, scene=_offered(want.scene), sources=sources)


def _offered(scene: Scene) -> Scene:
    return replace(without_links(scene), download_url=LINK_LEFT_OUT if scene.online else None)


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
            f"{source}: written by {age} sedas-sync (plan format {version}, this program reads {VERSION}); "
            "make a new plan with `sedas-sync plan --out FILE`"
        )
    try:
        document = msgspec.convert(values, _Document)
        return SavedPlan(
            head=head_from(document.made_from),
            mirror=document.mirror_settings,
            datasets=document.datasets,
            plan=replace(document.plan, actions=tuple(map(_whole, document.plan.actions))),
            digest=hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ManifestError(f"{source}: is a damaged plan; make a new one with `sedas-sync plan --out FILE`") from None


def _whole(action: Action) -> Action:
    """Return an action as it was, but for its links."""
    want = action.want
    if want is None or len(want.sources) > 1:
        return action
    return replace(action, want=replace(want, sources=(Source(archive=want.archive, scene=want.scene),)))


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
            yield f"{then.id}: the file in the mirror has changed since the plan was saved"


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
