"""How a lock file differs from a manifest, and from another lock file. Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from sedas_sync.manifest import SINGLE_ARCHIVE, Manifest
from sedas_sync.model.scene import SceneId
from sedas_sync.model.times import to_iso
from sedas_sync.planning.filters import MEANINGS
from sedas_sync.planning.lock import DEFAULTS, SETS, Lock, LockedScene, LockHead, head_of

_SHOWN = 72
_LISTED = 5


class LockChanges(Struct, frozen=True, kw_only=True):
    """How the scenes of two locks differ."""

    added: tuple[SceneId, ...] = ()
    removed: tuple[SceneId, ...] = ()
    changed: tuple[tuple[SceneId, str], ...] = ()
    """Each with the change as a clause."""

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


class LockUpdate(Struct, frozen=True, kw_only=True):
    """The result of updating a lock file, or of checking it."""

    path: str
    lock: Lock
    differences: tuple[str, ...]
    """How the manifest differs from the previous lock file."""
    changes: LockChanges
    """How the scenes differ."""
    news: bool
    """Whether the lock file had to be written."""


def mismatches(manifest: Manifest, lock: Lock) -> tuple[str, ...]:
    """Return each difference in meaning between a manifest and a lock file; empty if they match."""
    return differences(head_of(manifest, None), lock.head)


def differences(mine: LockHead, other: LockHead, *, called: str = "the lock file") -> tuple[str, ...]:
    """Return each difference between two heads. Intervals follow from dates and are not compared.

    Args:
        mine: Of the manifest.
        other: Of the lock file or the plan.
        called: The name of the other one in sentences.
    """
    found = [*_archives_differ(mine, other, called), *_aois_differ(mine, other, called)]
    for name in sorted({*mine.datasets, *other.datasets}):
        if name not in other.datasets:
            found.append(f"dataset.{name} is not in {called}")
        elif name not in mine.datasets:
            found.append(f"dataset.{name} is in {called} and not in the manifest")
        else:
            found.extend(_dataset_differs(name, mine, other, called))
    return tuple(found)


def _archives_differ(mine: LockHead, other: LockHead, called: str) -> Iterator[str]:
    for key in sorted({*mine.archives} & {*other.archives}):
        path = key if key == SINGLE_ARCHIVE else f"archives.{key}"
        here_all, there_all = mine.archives[key], other.archives[key]
        for part in ("type", "url", *sorted({*here_all, *there_all} - {"type", "url"})):
            here, there = here_all.get(part), there_all.get(part)
            if here != there:
                yield _sentence(f"{path}.{part}", here, there, called)


def _aois_differ(mine: LockHead, other: LockHead, called: str) -> Iterator[str]:
    for name in sorted({*mine.aois} & {*other.aois}):
        if mine.aois[name] != other.aois[name]:
            here, there = _shortened(mine.aois[name], other.aois[name])
            yield f"aoi.{name} is {here}, {called} has {there}"


def _dataset_differs(name: str, mine: LockHead, other: LockHead, called: str) -> Iterator[str]:
    here, there = mine.datasets[name], other.datasets[name]
    keys = ({*here} | {*there}) - {"archive", "aoi", "filters"}
    for key in sorted(keys):
        one, two = here.get(key, DEFAULTS.get(key)), there.get(key, DEFAULTS.get(key))
        if _meaning(key, one) != _meaning(key, two):
            yield _sentence(f"dataset.{name}.{key}", one, two, called)
    filters, filtered = here.get("filters", {}), there.get("filters", {})
    for key in sorted({*filters} | {*filtered}):
        if filters.get(key) != filtered.get(key):
            yield _sentence(f"dataset.{name}.filters.{key}", filters.get(key), filtered.get(key), called)
    # The meaning of a name counts, not the name. A name with two meanings was reported above.
    for key, table, table_there in (
        ("archive", mine.archives, other.archives),
        ("aoi", mine.aois, other.aois),
    ):
        names, names_there = here.get(key, []), there.get(key, [])
        meant = [table.get(item) for item in names]
        meant_there = [table_there.get(item) for item in names_there]
        same = meant == meant_there if key == "archive" else set(map(str, meant)) == set(map(str, meant_there))
        if not same and names != names_there:
            yield _sentence(f"dataset.{name}.{key}", names, names_there, called)


def _meaning(key: str, value: Any) -> Any:
    if key in MEANINGS:
        return MEANINGS[key](value)
    return set(map(str, value)) if key in SETS and isinstance(value, list) else value


def _sentence(path: str, mine: Any, other: Any, called: str) -> str:
    both_listed = isinstance(mine, list) and isinstance(other, list)
    if both_listed and max(len(mine), len(other)) > _LISTED:
        if not (changed := _added_and_removed(other, mine)):
            return f"{path} is in a different order than in {called}"
        return f"{path}: {changed} (compared with {called})"
    return f"{path} is {_shown(mine)}, {called} has {_shown(other, absent='none')}"


def _added_and_removed(was: Sequence[Any], now: Sequence[Any]) -> str:
    added, gone = [item for item in now if item not in was], [item for item in was if item not in now]
    return ", ".join([f"{verb} {_shown(some)}" for verb, some in (("added", added), ("removed", gone)) if some])


def _shown(value: Any, absent: str = "not set") -> str:
    if value is None or value == []:
        return absent
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        more = f" and {len(value) - _LISTED} more" if len(value) > _LISTED else ""
        return ", ".join(_shown(item) for item in value[:_LISTED]) + more
    text = str(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _shortened(one: str, two: str) -> tuple[str, str]:
    """Shorten two long texts to start a little before their first difference."""
    same = next((i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))
    begin = max(0, same - _SHOWN // 2)
    mark = "…" if begin else ""
    return mark + _shown(one[begin:]), mark + _shown(two[begin:])


def changes(old: Lock, new: Lock) -> LockChanges:
    """Return how the scenes of two locks differ."""
    return LockChanges(
        added=tuple(sorted(new.scenes.keys() - old.scenes.keys())),
        removed=tuple(sorted(old.scenes.keys() - new.scenes.keys())),
        changed=tuple(
            (scene_id, _scene_changes(old.scenes[scene_id], pin))
            for scene_id, pin in sorted(new.scenes.items())
            if scene_id in old.scenes and _differ(old.scenes[scene_id], pin)
        ),
    )


def _differ(old: LockedScene, new: LockedScene) -> bool:
    # The same zip has the same files: that it is unpacked now, or no longer, is no change.
    return (old if old.sha256 is None else replace(old, unpacked=new.unpacked, contents=new.contents)) != new


def _scene_changes(old: LockedScene, new: LockedScene) -> str:
    parts = []
    for name in ("datasets", "start", "size", "sha256", "footprint", "archives", "files", "unpacked"):
        was, now = getattr(old, name), getattr(new, name)
        if name in {"files", "unpacked"}:
            # A change of their checksums is a change of the scene's checksum.
            was, now = tuple(sorted(was)), tuple(sorted(now))
        if was == now:
            continue
        if was is None:
            parts.append(f"{name} is now known")
        elif now is None:
            parts.append(f"{name} is no longer known")
        elif isinstance(now, tuple) and max(len(was), len(now)) > _LISTED:
            parts.append(f"{name}: {_added_and_removed(was, now)}")
        else:
            parts.append(f"{name} was {_short(was)}, is {_short(now)}")
    return "; ".join(parts) or "checksums of its files changed"


def _short(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return to_iso(value) if isinstance(value, datetime) else _shown(value)
