"""A plan in a file: written by `plan --out`, carried out by `apply --plan`, refused if the mirror has changed.

One JSON document with what the plan was made from, its actions, the metadata of their scenes, and the files and orders
of that time. Links are left out, because they expire. It contains no secrets.
"""

import hashlib
import json
import os
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any, Self

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from sedas_sync.errors import ManifestError
from sedas_sync.files.atomic import write_whole
from sedas_sync.manifest.tables import MirrorConfig
from sedas_sync.model.arguments import checked
from sedas_sync.model.local import NO_FACTS
from sedas_sync.model.metadata import without_links
from sedas_sync.model.order import Order
from sedas_sync.model.plan import Action, ActionKind, Plan
from sedas_sync.model.portable import LINK_LEFT_OUT, as_data, cleaned, json_object
from sedas_sync.model.scene import NOTHING, DesiredScene, Scene, SceneId, Source
from sedas_sync.planning.lock import LockHead
from sedas_sync.planning.lock_text import head_from, head_json

VERSION = 5
"""The version of the format that this package reads and writes."""

_KIND = "saved_plan"


class SavedPlan(Struct, frozen=True, kw_only=True):
    """A plan and what it was made from, to be reviewed and applied later.

    `Mirror.save` makes one, and `Mirror.resume_plan` makes it ready to be applied.

    Example:
        import sedas_sync as ss

        with ss.Mirror(ss.load_manifest("manifest.toml")) as mirror:
            mirror.save(mirror.plan()).write("plan.json")
            saved = ss.SavedPlan.read("plan.json")
            plan = mirror.resume_plan(saved)  # LockMismatch if the mirror or the manifest has changed
            mirror.apply(plan, command=saved.command).raise_for_failures()
    """

    head: LockHead
    """What of the manifest it was made from."""
    mirror: Mapping[str, str]
    """The manifest's `path` and `layout`."""
    datasets: tuple[str, ...]
    """The datasets that the plan is limited to; empty for all."""
    plan: Plan
    """Without links and without what is looked at again before it is applied."""

    @classmethod
    def of(cls, plan: Plan, *, head: LockHead, mirror: Mapping[str, str], datasets: tuple[str, ...]) -> Self:
        """Return a plan as it is saved; `Mirror.save` calls this.

        Args:
            plan: The plan.
            head: What of the manifest it was made from.
            mirror: From `mirror_settings`.
            datasets: The datasets that it is limited to; empty for all.
        """
        kept = {action.id for action in plan.actions if action.kind is ActionKind.KEEP}
        portable = replace(
            plan,
            actions=tuple(_portable(action, kept) for action in plan.actions),
            refreshed=(),
            polled=(),
            unwanted_downloads=(),
        )
        return cls(head=head, mirror=mirror, datasets=datasets, plan=portable)

    @property
    def command(self) -> str:
        """The command that the index stores for a run of this plan. Its checksum identifies the plan."""
        digest = hashlib.sha256(self._text().encode()).hexdigest()
        return f"apply --plan {digest}"

    @property
    def wants(self) -> dict[SceneId, DesiredScene]:
        """The desired scenes of the plan."""
        return {action.id: action.wanted for action in self.plan.actions if action.wanted is not None}

    @property
    def orders(self) -> tuple[Order, ...]:
        """The orders of the plan as they were when it was made."""
        return tuple(action.order for action in self.plan.actions if action.order is not None)

    def to_json(self) -> dict[str, Any]:
        """Return the saved plan as JSON data, for `json.dump`. `from_json` reads it back exactly."""
        return {
            "schema": VERSION,
            "kind": _KIND,
            "made_from": head_json(self.head),
            "mirror_settings": dict(self.mirror),
            "datasets": list(self.datasets),
            "plan": as_data(replace(self.plan, actions=tuple(map(_short, self.plan.actions)))),
        }

    @classmethod
    @checked
    def from_json(cls, document: str | bytes | Mapping[str, Any], *, source: str = "the document") -> Self:
        """Return the saved plan of `to_json`, or of the text of a file.

        Args:
            document: JSON data, or its text.
            source: Its name in messages.

        Raises:
            ManifestError: It is not a saved plan, or was written by another version of this package.
        """
        hint = "with `sedas-sync plan --out FILE`"
        values = json_object(document, f"{source}: not a saved plan", f"; create one {hint}")
        if values.get("kind") != _KIND or not isinstance(version := values.get("schema"), int):
            raise ManifestError(f"{source}: not a saved plan; create one {hint}")
        if version != VERSION:
            age = "a newer" if version > VERSION else "an older"
            raise ManifestError(
                f"{source}: written by {age} sedas-sync (plan format {version}, this program reads {VERSION}); "
                f"make a new plan {hint}"
            )
        try:
            plan = msgspec.convert(values["plan"], Plan)
            return cls(
                head=head_from(values["made_from"]),
                mirror=msgspec.convert(values["mirror_settings"], dict[str, str]),
                datasets=msgspec.convert(values["datasets"], tuple[str, ...]),
                plan=replace(plan, actions=tuple(map(_whole, plan.actions))),
            )
        except (AttributeError, KeyError, TypeError, ValueError):
            raise ManifestError(f"{source}: is a damaged plan; make a new one {hint}") from None

    @checked
    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the saved plan to a file, as `plan --out` does: readers see the old file or the new one.

        Args:
            path: The file, which is replaced.

        Raises:
            ManifestError: The file cannot be written.
        """
        write_whole(Path(path), self._text().encode())

    @classmethod
    @checked
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Read a file of `write` or `plan --out`.

        Args:
            path: The file.

        Raises:
            ManifestError: It cannot be read, is not a saved plan, or was written by another version of this package.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise ManifestError(f"{path}: not a saved plan: not UTF-8 text") from None
        except OSError as error:
            raise ManifestError(f"{path}: cannot be opened: {error.strerror}") from None
        return cls.from_json(text, source=str(path))

    def _text(self) -> str:
        """Return the document with one action a line."""
        values = self.to_json()
        actions = ",\n".join(map(json.dumps, values["plan"].pop("actions")))
        return f'{json.dumps(values)[:-2]}, "actions": [\n{actions}\n]}}}}\n'


def mirror_settings(mirror: MirrorConfig) -> dict[str, str]:
    """Return the settings of a mirror that decide on a plan's paths and actions."""
    return {"path": mirror.path, "layout": str(mirror.layout), "unpack": str(mirror.unpack).lower()}


def _portable(action: Action, kept: Container[SceneId]) -> Action:
    """Return an action without links, and without what is looked at again before it is carried out."""
    want, local, order = action.wanted, action.local, action.order
    return replace(
        action,
        after=tuple(scene_id for scene_id in action.after if scene_id not in kept),
        wanted=None if want is None else _without_links(want),
        local=None if local is None else replace(local, facts=NO_FACTS, digest=None, members=()),
        order=None if order is None else replace(order, download_url=None),
    )


def _without_links(want: DesiredScene) -> DesiredScene:
    scene = _offered(want.scene)
    sources = tuple(replace(source, scene=_offered(source.scene)) for source in want.sources)
    return replace(want, scene=scene, sources=(replace(sources[0], scene=scene),) if len(sources) == 1 else sources)


def _offered(scene: Scene) -> Scene:
    return replace(
        without_links(scene),
        download_url=LINK_LEFT_OUT if scene.online else None,
        extra=cleaned(scene.extra, scene.id) if scene.extra else NOTHING,
    )


def _short(action: Action) -> Action:
    """Return an action as it is written: the scene of a single source is that of the whole, and written once."""
    want = action.wanted
    if want is None or len(want.sources) > 1:
        return action
    source = replace(want.sources[0], scene=Scene(id=want.scene.id))
    return replace(action, wanted=replace(want, sources=(source,)))


def _whole(action: Action) -> Action:
    """Return an action as it was before `_short`."""
    want = action.wanted
    if want is None or len(want.sources) > 1:
        return action
    return replace(action, wanted=replace(want, sources=(Source(archive=want.archive, scene=want.scene),)))
