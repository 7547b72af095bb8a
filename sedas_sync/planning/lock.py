"""The scene lock: which scenes a manifest stood for when it was resolved, and what their bytes were.

Pure: texts and values in, texts and values out. A lock is JSON Lines. The first line, the head, says what the lock was
made from: the archives, the AOIs by their outlines, and each dataset's rules with the interval that its dates meant.
Then comes one scene a line, sorted by id. No time of writing and nothing of the machine is in it, so that the same
content is the same bytes, and one scene more is one more line of a diff.

A manifest and a lock are compared by what they say, never by a hash of how it is written: an absent rule is one at its
default, lists that mean a set are sets, AOIs are outlines, and a relative date is equal to itself. Mirror and transfer
settings are no part of a lock.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sedas_sync.errors import ManifestError
from sedas_sync.manifest import SINGLE, ArchiveConfig, Dataset, DateSpec, Manifest
from sedas_sync.model.assets import listing_digest
from sedas_sync.model.plan import Action, ActionKind
from sedas_sync.model.scene import DesiredScene, LocalScene, Scene, SceneId

VERSION = 1
"""The lock format this package reads and writes."""

_SETS = frozenset({"aoi", "exclude", "polarisation", "products", "tile"})
"""Rules whose values are lists without an order."""
_ANY_CASE = frozenset({"satellite", "source_group", "product_type"})
_APART = frozenset({"name", "archive"})
_SHA256 = re.compile("[0-9a-f]{64}")
_SHOWN = 72
_LISTED = 5


class LockDamagedError(ManifestError):
    """The file is no lock (any more): a new one may take its place.

    `what` says why, without what to do about it.
    """

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}; `sedas-sync lock` writes a new one")
        self.what = what


class LockedFile(NamedTuple):
    """One file of a pinned scene that consists of several."""

    name: str
    """Where it is below the scene's folder."""
    size: int | None = None
    sha256: str | None = None


class LockedScene(NamedTuple):
    """One scene of a lock."""

    id: SceneId
    datasets: tuple[str, ...]
    """Names of the datasets that want it, sorted."""
    start: datetime | None = None
    """Sensing start."""
    size: int | None = None
    sha256: str | None = None
    """Of the file, where it was held when the lock was written."""
    footprint: str | None = None
    """WKT, as the archive gave it."""
    archives: tuple[str, ...] = ()
    """Keys of the archives that have it, sorted; empty where the manifest has one archive only."""
    files: tuple[LockedFile, ...] = ()
    """Sorted by name, where the scene consists of several; `sha256` is then that of their listing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LockHead:
    """What a lock was made from."""

    archives: Mapping[str, Mapping[str, Any]]
    """Type, URL and what else decides on its scenes, of each archive that a dataset takes scenes from, by its key."""
    aois: Mapping[str, str]
    """Outline of each AOI that a dataset names, as canonical WKT."""
    datasets: Mapping[str, Mapping[str, Any]]
    """The rules of each dataset that are not at their default, dates as they are written."""
    intervals: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """First and last second of sensing start that each dataset's dates meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A head and its scenes."""

    head: LockHead
    scenes: Mapping[SceneId, LockedScene]


@dataclass(frozen=True, slots=True, kw_only=True)
class LockChanges:
    """How one lock differs from another in its scenes."""

    added: tuple[SceneId, ...] = ()
    removed: tuple[SceneId, ...] = ()
    changed: tuple[tuple[SceneId, str], ...] = ()
    """With what has changed, as a clause."""

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


@dataclass(frozen=True, slots=True, kw_only=True)
class LockUpdate:
    """A lock that was brought up to date, or would be."""

    path: str
    lock: Lock
    differences: tuple[str, ...]
    """What the manifest says otherwise than the lock there was."""
    changes: LockChanges
    """Of its scenes."""
    news: bool
    """Whether the lock had to be written."""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {
            "lock": self.path,
            "up_to_date": not self.news,
            "scenes": len(self.lock.scenes),
            "digests": sum(pin.sha256 is not None for pin in self.lock.scenes.values()),
            "differences": list(self.differences),
            "added": list(self.changes.added),
            "removed": list(self.changes.removed),
            "changed": [{"id": scene_id, "change": what} for scene_id, what in self.changes.changed],
        }


# -- making ----------------------------------------------------------------------------------------------------------


def head_of(manifest: Manifest, now: datetime | None) -> LockHead:
    """What a lock of this manifest is made from; its dates are made absolute where `now` is given."""
    used = {key for dataset in manifest.datasets.values() for key in dataset.archive}
    aois = {name for dataset in manifest.datasets.values() for name in dataset.aoi}
    return LockHead(
        archives={key: _address(config) for key, config in manifest.archives.items() if key in used},
        aois={name: manifest.aois[name].wkt for name in sorted(aois)},
        datasets={name: _rules(dataset) for name, dataset in manifest.datasets.items()},
        intervals={
            name: tuple(f"{instant:%Y-%m-%dT%H:%M:%SZ}" for instant in dataset.interval(now))  # type: ignore[misc]  # two of them
            for name, dataset in manifest.datasets.items()
            if dataset.start is not None and now is not None
        },
    )


def lock_scenes(
    head: LockHead, actions: Iterable[Action], held: Mapping[SceneId, LocalScene], before: Lock | None = None
) -> Lock:
    """Pin the scenes of a plan.

    A digest comes from the file where the mirror holds it, else from the lock there was before: whoever resolves a
    manifest without its mirror at hand loses none. Planned acquisitions have no bytes, and are not pinned.

    Args:
        head: what the plan was made from.
        actions: the plan's.
        held: files that are intact, by scene.
        before: the lock that is to be brought up to date.
    """
    old = {} if before is None else before.scenes
    several = len(head.archives) > 1
    scenes = {}
    for action in actions:
        if action.want is None or action.kind is ActionKind.SKIP:
            continue
        want, scene, file, pin = action.want, action.want.scene, held.get(action.id), old.get(action.id)
        size, sha256 = _size_of(want), None
        if file is not None:
            size, sha256 = file.size, file.sha256
        elif pin is not None and size in (None, pin.size) and _same_names(scene, pin):
            size, sha256 = pin.size, pin.sha256
        scenes[action.id] = LockedScene(
            id=action.id,
            datasets=tuple(sorted(action.datasets)),
            start=scene.start,
            size=size,
            sha256=sha256,
            footprint=scene.footprint,
            archives=tuple(sorted(place.archive for place in want.places) or [want.archive]) if several else (),
            files=_pinned_files(want, file, pin),
        )
    return Lock(head=head, scenes=scenes)


def _same_names(scene: Scene, pin: LockedScene) -> bool:
    return {asset.name for asset in scene.assets} == {file.name for file in pin.files}


def _pinned_files(want: DesiredScene, held: LocalScene | None, before: LockedScene | None) -> tuple[LockedFile, ...]:
    if held is not None:
        return tuple(LockedFile(file.name, file.size, file.sha256) for file in held.files)
    old = {} if before is None else {file.name: file for file in before.files}
    files = []
    for asset in sorted(want.scene.assets, key=lambda asset: asset.name):
        # Which of several archives gives it changes from day to day.
        size = None if want.places else asset.size
        was = old.get(asset.name)
        files.append(was if was is not None and size in (None, was.size) else LockedFile(asset.name, size))
    return tuple(files)


def _size_of(want: DesiredScene) -> int | None:
    """The size of a scene where all archives that have it agree: which one gives it changes from day to day."""
    scenes = [place.scene for place in want.places] or [want.scene]
    stated = {scene.size for scene in scenes if not scene.nominal} - {None}
    return stated.pop() if len(stated) == 1 else None


def _address(config: ArchiveConfig) -> dict[str, Any]:
    url = config.url
    if url is not None and "://" in url:
        url = url.rstrip("/") + "/"
    return {"type": config.type, "url": url, **{key: _plain(key, config.meaning[key]) for key in config.meaning}}


def _rules(dataset: Dataset) -> dict[str, Any]:
    rules: dict[str, Any] = {"archive": list(dataset.archive)}
    if dataset.start is not None:
        rules["end"] = dataset.end.text
    return rules | {name: value for name, value in _values(dataset) if value != _DEFAULTS[name]}


def _values(dataset: Dataset) -> Iterator[tuple[str, Any]]:
    for name in type(dataset).model_fields:
        if name not in _APART:
            yield name, _plain(name, getattr(dataset, name))


def _plain(name: str, value: Any) -> Any:
    """A rule's value as JSON has it, the same for all ways to write it."""
    if isinstance(value, DateSpec):
        return value.text
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, tuple | list):
        plain = [_plain("", item) for item in value]
        return sorted(set(plain)) if name in _SETS else plain
    if isinstance(value, Mapping):
        return {key: _plain("", value[key]) for key in sorted(value)}
    return value


_DEFAULTS: Mapping[str, Any] = dict(_values(Dataset(name="")))
"""What an absent rule means."""


# -- writing ---------------------------------------------------------------------------------------------------------


def dumps(lock: Lock) -> str:
    """Write a lock: the same text for the same content, wherever and in whatever order it was put together."""
    return "".join(lines(lock))


def lines(lock: Lock) -> Iterator[str]:
    """Yield the text of a lock line by line: the whole of 100,000 scenes need not be in memory."""
    head = lock.head
    first = {
        "version": VERSION,
        "archives": _sorted(head.archives),
        "aois": _sorted(head.aois),
        "datasets": {
            name: {**_sorted(rules), **({"interval": list(head.intervals[name])} if name in head.intervals else {})}
            for name, rules in sorted(head.datasets.items())
        },
    }
    yield f"{_line(first)}\n"
    for scene_id in sorted(lock.scenes):
        yield f"{_line(_scene(lock.scenes[scene_id]))}\n"


def _scene(pin: LockedScene) -> dict[str, Any]:
    values: dict[str, Any] = {"id": pin.id, "datasets": list(pin.datasets)}
    if pin.start is not None:
        values["start"] = pin.start.astimezone(UTC).isoformat().replace("+00:00", "Z")
    rest: dict[str, Any] = {
        "size": pin.size,
        "sha256": pin.sha256,
        "footprint": pin.footprint,
        "archives": list(pin.archives) or None,
    }
    if pin.files:
        rest["files"] = {
            file.name: {
                key: value for key, value in (("size", file.size), ("sha256", file.sha256)) if value is not None
            }
            for file in pin.files
        }
    return {**values, **{key: value for key, value in rest.items() if value is not None}}


def _sorted(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _sorted(value) if isinstance(value, Mapping) and key != "filters" else value
        for key, value in sorted(values.items())
    }


def _line(values: Any) -> str:
    text = json.dumps(values, ensure_ascii=False)
    # Half a surrogate pair, which JSON can carry and UTF-8 cannot, is the one thing that has to be escaped.
    return text if text.isascii() or _is_unicode(text) else json.dumps(values)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# -- reading ---------------------------------------------------------------------------------------------------------


def loads(text: str, source: str) -> Lock:
    """Read a lock.

    Args:
        text: what the file holds.
        source: its name in messages.

    Raises:
        LockDamagedError: it is no lock.
        ManifestError: it is of a newer version of this package.
    """
    first, *rest = text.removesuffix("\n").replace("\r\n", "\n").split("\n")
    head = _head(_object(first, source, 1), source)
    scenes: dict[SceneId, LockedScene] = {}
    for number, values in enumerate(_objects(rest, source), 2):
        try:
            pin = _pin(values)
        except (KeyError, TypeError, ValueError):
            raise LockDamagedError(f"{source}: line {number}: is no scene of a lock") from None
        if pin.id in scenes:
            raise LockDamagedError(f"{source}: line {number}: the scene {pin.id} is there twice")
        scenes[pin.id] = pin
    return Lock(head=head, scenes=scenes)


def _objects(lines: list[str], source: str) -> list[Any]:
    try:
        # One document is read several times as fast as a hundred thousand.
        found = json.loads(f"[{','.join(lines)}]")
        if len(found) == len(lines):
            return list(found)
    except (ValueError, RecursionError):
        pass
    return [_object(line, source, number) for number, line in enumerate(lines, 2)]


def _object(line: str, source: str, number: int) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        hint = " (a merge that was not resolved?)" if line.startswith(("<<<<<<<", "=======", ">>>>>>>")) else ""
        raise LockDamagedError(f"{source}: line {number}: is not JSON{hint}") from None


def _head(values: Any, source: str) -> LockHead:
    version = values.get("version") if isinstance(values, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise LockDamagedError(f"{source}: line 1: is no head of a lock")
    if version > VERSION:
        raise ManifestError(
            f"{source}: written by a newer sedas-sync (lock format {version}, this one knows {VERSION}); "
            "update sedas-sync to use it"
        )
    try:
        return head_from(values)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise LockDamagedError(f"{source}: line 1: is no head of a lock") from None


def head_json(head: LockHead) -> dict[str, Any]:
    """Return a head as JSON data, for documents that carry one."""
    return dict(json.loads(dumps(Lock(head=head, scenes={}))))


def head_from(values: Mapping[str, Any]) -> LockHead:
    """Read a head from JSON data.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: it is none.
    """
    intervals: dict[str, tuple[str, str]] = {}
    datasets = {}
    for name, rules in values["datasets"].items():
        datasets[name] = {key: value for key, value in rules.items() if key != "interval"}
        if "interval" in rules:
            first, last = rules["interval"]
            intervals[name] = (first, last)
    return LockHead(
        archives={key: dict(address) for key, address in values["archives"].items()},
        aois=dict(values["aois"]),
        datasets=datasets,
        intervals=intervals,
    )


def _pin(values: dict[str, Any]) -> LockedScene:
    scene_id, datasets, start = values["id"], values["datasets"], values.get("start")
    size, sha256, footprint = values.get("size"), values.get("sha256"), values.get("footprint")
    archives = values.get("archives", [])
    fits = (
        isinstance(scene_id, str)
        and scene_id != ""
        and isinstance(datasets, list)
        and all(isinstance(name, str) for name in datasets)
        and (size is None or (isinstance(size, int) and size >= 0))
        and (sha256 is None or (isinstance(sha256, str) and _SHA256.fullmatch(sha256)))
        and (footprint is None or isinstance(footprint, str))
        and isinstance(archives, list)
        and all(isinstance(key, str) for key in archives)
    )
    if not fits:
        raise ValueError(scene_id)
    moment = None if start is None else datetime.fromisoformat(start)
    if moment is not None and moment.tzinfo is None:
        raise ValueError(start)
    return LockedScene(
        scene_id,
        tuple(datasets),
        moment,
        size,
        sha256,
        footprint,
        tuple(archives),
        _files(values.get("files") or {}, sha256),
    )


def _files(values: Any, whole: str | None) -> tuple[LockedFile, ...]:
    if not isinstance(values, dict):
        raise TypeError(values)
    files = []
    for name, file in sorted(values.items()):
        if not isinstance(file, dict):
            raise TypeError(file)
        size, sha256 = file.get("size"), file.get("sha256")
        fits = (
            not {"", ".", ".."} & set(name.split("/"))
            and (size is None or (isinstance(size, int) and size >= 0))
            and (sha256 is None or (isinstance(sha256, str) and _SHA256.fullmatch(sha256)))
        )
        if not fits:
            raise ValueError(name)
        files.append(LockedFile(name, size, sha256))
    # Where the scene's digest is known each file's is, and the two have to say the same.
    if files and whole not in (None, listing_digest((file.name, file.sha256 or "") for file in files)):
        raise ValueError(whole)
    return tuple(files)


# -- comparing -------------------------------------------------------------------------------------------------------


def mismatches(manifest: Manifest, lock: Lock) -> tuple[str, ...]:
    """Name each difference between what a manifest says and what a lock was made from, by meaning.

    Empty where the lock still belongs to the manifest.
    """
    return differences(head_of(manifest, None), lock.head)


def differences(mine: LockHead, other: LockHead, *, called: str = "the lock") -> tuple[str, ...]:
    """Name each difference between two heads; their intervals follow from their dates, and are not compared.

    Args:
        mine: what is said now.
        other: what was said.
        called: how sentences call the other one.
    """
    said = [
        *_archives_differ(mine, other, called),
        *_aois_differ(mine, other, called),
    ]
    for name in sorted({*mine.datasets, *other.datasets}):
        if name not in other.datasets:
            said.append(f"dataset.{name} is not in {called}")
        elif name not in mine.datasets:
            said.append(f"dataset.{name} is in {called} and not in the manifest")
        else:
            said.extend(_dataset_differs(name, mine, other, called))
    return tuple(said)


def _archives_differ(mine: LockHead, other: LockHead, called: str) -> Iterator[str]:
    for key in sorted({*mine.archives} & {*other.archives}):
        path = key if key == SINGLE else f"archives.{key}"
        here_all, there_all = mine.archives[key], other.archives[key]
        for part in ("type", "url", *sorted({*here_all, *there_all} - {"type", "url"})):
            here, there = here_all.get(part), there_all.get(part)
            if here != there:
                yield _sentence(f"{path}.{part}", here, there, called)


def _aois_differ(mine: LockHead, other: LockHead, called: str) -> Iterator[str]:
    for name in sorted({*mine.aois} & {*other.aois}):
        if mine.aois[name] != other.aois[name]:
            here, there = _where_they_part(mine.aois[name], other.aois[name])
            yield f"aoi.{name} is {here}, {called} has {there}"


def _dataset_differs(name: str, mine: LockHead, other: LockHead, called: str) -> Iterator[str]:
    here, there = mine.datasets[name], other.datasets[name]
    keys = ({*here} | {*there}) - {"archive", "aoi", "filters"}
    for key in sorted(keys):
        one, two = here.get(key, _DEFAULTS.get(key)), there.get(key, _DEFAULTS.get(key))
        if _meaning(key, one) != _meaning(key, two):
            yield _sentence(f"dataset.{name}.{key}", one, two, called)
    filters, filtered = here.get("filters", {}), there.get("filters", {})
    for key in sorted({*filters} | {*filtered}):
        if filters.get(key) != filtered.get(key):
            yield _sentence(f"dataset.{name}.filters.{key}", filters.get(key), filtered.get(key), called)
    # What a name stands for counts, not the name; a name both have and take differently has been told of above.
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
    if key in _ANY_CASE and isinstance(value, str):
        return value.casefold()
    if key in _SETS and isinstance(value, list):
        return set(map(str, value))
    return value


def _sentence(path: str, mine: Any, other: Any, called: str) -> str:
    both_listed = isinstance(mine, list) and isinstance(other, list)
    if both_listed and max(len(mine), len(other)) > _LISTED:
        added = [item for item in mine if item not in other]
        gone = [item for item in other if item not in mine]
        more = [f"has {_shown(added)}, which {called} has not"] if added else []
        less = [f"has not {_shown(gone)}, which {called} has"] if gone else []
        return f"{path} {' and '.join(more + less) or f'has another order than {called}'}"
    return f"{path} is {_shown(mine)}, {called} has {_shown(other, absent='none')}"


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


def _where_they_part(one: str, two: str) -> tuple[str, str]:
    """Two long texts, each from a little before the place where they begin to differ."""
    same = next((i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))
    begin = max(0, same - _SHOWN // 2)
    mark = "…" if begin else ""
    return mark + _shown(one[begin:]), mark + _shown(two[begin:])


def changes(old: Lock, new: Lock) -> LockChanges:
    """Say how the scenes of a lock have changed."""
    return LockChanges(
        added=tuple(sorted(new.scenes.keys() - old.scenes.keys())),
        removed=tuple(sorted(old.scenes.keys() - new.scenes.keys())),
        changed=tuple(
            (scene_id, _changed(old.scenes[scene_id], pin))
            for scene_id, pin in sorted(new.scenes.items())
            if scene_id in old.scenes and old.scenes[scene_id] != pin
        ),
    )


def _changed(old: LockedScene, new: LockedScene) -> str:
    parts = []
    for name in ("datasets", "start", "size", "sha256", "footprint", "archives", "files"):
        was, now = getattr(old, name), getattr(new, name)
        if name == "files":
            # Whose digests differ is said by that of the whole.
            was, now = tuple(file.name for file in was), tuple(file.name for file in now)
        if was != now:
            parts.append(f"{name} is now known" if was is None else f"{name} is not known any more" if now is None
                         else f"{name} was {_short(was)}, is {_short(now)}")  # fmt: skip
    return "; ".join(parts)


def _short(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return _shown(value)
