"""The lock file: the scenes that a manifest stood for when it was resolved, and their checksums.

Pure. `lock_text` reads and writes the format, `lock_changes` compares locks and manifests.

A manifest and a lock file are compared by meaning, never by a hash of their text: an absent rule is one at its default,
lists that mean a set are sets, AOIs are outlines, and a relative date equals itself. Mirror and transfer settings are
not part of a lock file.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Struct, field

from sedas_sync.manifest import ArchiveConfig, Dataset, DateSpec, Manifest
from sedas_sync.model.files import contents_of
from sedas_sync.model.local import LocalScene
from sedas_sync.model.plan import Action, ActionKind
from sedas_sync.model.scene import NOTHING, DesiredScene, Scene, SceneId

_APART = frozenset({"name", "archive", "recheck"})
SETS = frozenset(key for key, field in Dataset.model_fields.items() if field.default == ()) - _APART
"""Rules whose values are lists without an order. Archives are listed in order of preference."""


_Size = Annotated[int, Meta(ge=0)]
_Sha256 = Annotated[str, Meta(min_length=64, max_length=64)]
"""`lock_text` checks that it is hex, for all scenes at once."""


class LockedFile(Struct, frozen=True, omit_defaults=True, gc=False):
    """A file of a locked scene of several files."""

    size: _Size | None = None
    sha256: _Sha256 | None = None


class LockedScene(Struct, frozen=True, omit_defaults=True, gc=False):
    """A scene of a lock file."""

    id: Annotated[SceneId, Meta(min_length=1)]
    datasets: tuple[str, ...]
    """Names of the datasets that it matches, sorted."""
    start: Annotated[datetime, Meta(tz=True)] | None = None
    """Start of the acquisition."""
    size: _Size | None = None
    sha256: _Sha256 | None = None
    """Of the file, if it was on disk when the lock file was written."""
    footprint: str | None = None
    """WKT as the archive returned it."""
    archives: tuple[str, ...] = ()
    """Keys of the archives that have it, sorted; empty if the manifest has only one archive."""
    files: Mapping[str, LockedFile] = NOTHING
    """By the path below the scene's folder, if the scene is a folder; `sha256` is then that of their listing."""
    unpacked: Mapping[str, LockedFile] = NOTHING
    """In the same way, if the scene was unpacked when the lock file was written; `size` and `sha256` are the zip's."""
    contents: _Sha256 | None = None
    """What the zip of the scene contains, so that a folder can be compared with it."""
    listing: tuple[str, ...] = ()
    """Patterns of its files, if it is a folder whose files the archive lists only when it is downloaded."""

    @property
    def pinned(self) -> Mapping[str, str]:
        """The checksums of its files, by name."""
        files = self.files or self.unpacked
        return {name: file.sha256 for name, file in files.items() if file.sha256 is not None} if files else NOTHING


class LockHead(Struct, frozen=True, kw_only=True):
    """What a lock file was made from."""

    archives: Mapping[str, Mapping[str, Any]]
    """Type, URL and other settings that decide on its scenes, of each archive of a dataset, by key."""
    aois: Mapping[str, str]
    """Outline of each AOI of a dataset, as canonical WKT."""
    datasets: Mapping[str, Mapping[str, Any]]
    """The rules of each dataset that are not at their default, with dates as in the manifest."""
    intervals: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """First and last second of the start of an acquisition that each dataset's dates meant."""


class Lock(Struct, frozen=True, kw_only=True):
    """A head and its scenes."""

    head: LockHead
    scenes: Mapping[SceneId, LockedScene]

    def by_dataset(self, names: Iterable[str]) -> dict[str, tuple[SceneId, ...]]:
        """Return the scenes of each of these datasets."""
        found: dict[str, list[SceneId]] = {name: [] for name in names}
        for pin in self.scenes.values():
            for name in pin.datasets:
                if name in found:
                    found[name].append(pin.id)
        return {name: tuple(ids) for name, ids in found.items()}


def head_of(manifest: Manifest, now: datetime | None) -> LockHead:
    """Return what a lock file of this manifest is made from; dates are made absolute if `now` is given."""
    used = {key for dataset in manifest.datasets.values() for key in dataset.archive}
    aois = {name for dataset in manifest.datasets.values() for name in dataset.aoi}
    return LockHead(
        archives={key: _address(config) for key, config in manifest.archives.items() if key in used},
        aois={name: manifest.aois[name].wkt for name in sorted(aois)},
        datasets={name: _rules(dataset) for name, dataset in manifest.datasets.items()},
        intervals={
            name: tuple(f"{time:%Y-%m-%dT%H:%M:%SZ}" for time in dataset.interval(now))  # type: ignore[misc]  # two of them
            for name, dataset in manifest.datasets.items()
            if dataset.start is not None and now is not None
        },
    )


def hashes_of_rules(manifest: Manifest) -> dict[str, str]:
    """Return a hash of the rules, areas and archives of each dataset: equal hashes mean equal searches."""
    head = head_of(manifest, None)
    return {
        name: hashlib.sha256(
            json.dumps(
                [
                    head.datasets[name],
                    [head.aois[aoi] for aoi in dataset.aoi],
                    [head.archives[key] for key in dataset.archive],
                ],
                sort_keys=True,
                default=str,
            ).encode()
        ).hexdigest()
        for name, dataset in manifest.datasets.items()
    }


def lock_scenes(
    head: LockHead,
    actions: Iterable[Action],
    local_scenes: Mapping[SceneId, LocalScene],
    before: Lock | None = None,
    contents: Mapping[SceneId, str | None] = NOTHING,
) -> Lock:
    """Lock the scenes of a plan.

    A checksum comes from the file on disk, or else from the previous lock file, so that none is lost if the mirror is
    not available. Planned acquisitions have no bytes and are left out.

    Args:
        head: What the plan was made from.
        actions: The plan's actions.
        local_scenes: Those that are intact.
        before: The previous lock file.
        contents: What zips on disk contain.
    """
    old = {} if before is None else before.scenes
    several = len(head.archives) > 1
    scenes = {}
    for action in actions:
        if action.wanted is None or (action.kind is ActionKind.SKIP and not action.is_unreadable):
            continue
        want, scene, local, pin = action.wanted, action.wanted.scene, local_scenes.get(action.id), old.get(action.id)
        size, sha256 = _size(want), None
        same = local is not None and pin is not None and _is_same_product(local, pin, contents)
        if same and pin is not None:
            size, sha256 = pin.size, pin.sha256
        elif local is not None and local.delivered.sha256 is not None:
            size, sha256 = local.delivered.size, local.delivered.sha256
        elif local is not None and pin is not None and _files_of(local) == pin.unpacked:
            size, sha256 = pin.size, pin.sha256
        elif local is not None:
            size = size if local.packed else local.size
        elif pin is not None and size in (None, pin.size) and _same_names(scene, pin):
            size, sha256 = pin.size, pin.sha256
        scenes[action.id] = LockedScene(
            id=action.id,
            datasets=tuple(sorted(action.datasets)),
            start=scene.start,
            size=size,
            sha256=sha256,
            footprint=scene.footprint,
            archives=tuple(sorted(source.archive for source in want.sources)) if several else (),
            files=_files(want, local, pin),
            unpacked=pin.unpacked if same and pin is not None else _unpacked(local, pin, sha256),
            contents=_contents(local, pin, sha256) or contents.get(action.id),
            listing=scene.listing,
        )
    return Lock(head=head, scenes=scenes)


def _is_same_product(local: LocalScene, pin: LockedScene, contents: Mapping[SceneId, str | None]) -> bool:
    """Return whether a zip or a folder has what the locked one contains, if no checksum of a zip can show it."""
    if pin.contents is None or None not in (pin.sha256, local.delivered.sha256):
        return False
    return pin.contents == (contents.get(local.id) if local.packed is None else contents_of(local))


def _same_names(scene: Scene, pin: LockedScene) -> bool:
    return {file.name for file in scene.assets} == pin.files.keys()


def _files(want: DesiredScene, local: LocalScene | None, before: LockedScene | None) -> Mapping[str, LockedFile]:
    if local is not None:
        return NOTHING if local.packed else _files_of(local)
    old = NOTHING if before is None else before.files
    if want.scene.unlisted:
        return old
    files = {}
    for file in want.scene.assets:
        # With several sources the first one changes from day to day.
        size = None if len(want.sources) > 1 else file.size
        previous = old.get(file.name)
        keep = previous is not None and size in (None, previous.size)
        files[file.name] = previous if previous is not None and keep else LockedFile(size)
    return files or NOTHING


def _files_of(local: LocalScene) -> Mapping[str, LockedFile]:
    return {file.name: LockedFile(file.size, file.sha256) for file in local.members} or NOTHING


def _unpacked(local: LocalScene | None, before: LockedScene | None, sha256: str | None) -> Mapping[str, LockedFile]:
    """Return the files of a product that is unpacked here, or was where the lock file was written before."""
    if local is not None and local.packed:
        return _files_of(local)
    return before.unpacked if before is not None and sha256 is not None and before.sha256 == sha256 else NOTHING


def _contents(local: LocalScene | None, before: LockedScene | None, sha256: str | None) -> str | None:
    if before is not None and sha256 is not None and before.sha256 == sha256 and before.contents is not None:
        return before.contents
    return contents_of(local) if local is not None and local.packed is not None else None


def _size(want: DesiredScene) -> int | None:
    """Return the size of a scene if all its sources agree, because the first one changes from day to day."""
    stated = {source.scene.size for source in want.sources if not source.scene.nominal} - {None}
    return stated.pop() if len(stated) == 1 else None


def _address(config: ArchiveConfig) -> dict[str, Any]:
    url = config.address
    if url is not None and "://" in url:
        url = url.rstrip("/") + "/"
    return {"type": config.type, "url": url, **{key: _plain(key, value) for key, value in config.lock_facts.items()}}


def _rules(dataset: Dataset) -> dict[str, Any]:
    rules: dict[str, Any] = {"archive": list(dataset.archive)}
    if dataset.start is not None:
        rules["end"] = dataset.end.text
    return rules | {name: value for name, value in _values(dataset) if value != DEFAULTS[name]}


def _values(dataset: Dataset) -> Iterator[tuple[str, Any]]:
    for name in type(dataset).model_fields:
        if name not in _APART:
            yield name, _plain(name, getattr(dataset, name))


def _plain(name: str, value: Any) -> Any:
    """Return a rule's value as JSON, the same for all ways to write it."""
    if isinstance(value, DateSpec):
        return value.text
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, tuple | list):
        plain = [_plain("", item) for item in value]
        return sorted(set(plain)) if name in SETS else plain
    if isinstance(value, Mapping):
        return {key: _plain("", value[key]) for key in sorted(value)}
    return value


DEFAULTS: Mapping[str, Any] = dict(_values(Dataset(name="")))
"""The values of absent rules."""
