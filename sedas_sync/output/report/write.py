"""Collect the content of a report, and write it to disk."""

import os
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from sedas_sync.errors import ManifestError
from sedas_sync.files.atomic import write_whole
from sedas_sync.manifest import Manifest
from sedas_sync.model.events import OnStep, Step
from sedas_sync.operations.context import MirrorContext
from sedas_sync.operations.lock_file import beside, matching_lock_or_warning, wanted_scenes
from sedas_sync.operations.outputs import check_output
from sedas_sync.output.report.document import Memory, document
from sedas_sync.output.report.page import page
from sedas_sync.output.report.quicklooks import quicklooks as small_pictures
from sedas_sync.planning.lock import Lock
from sedas_sync.state.history import last_run
from sedas_sync.state.index import Index
from sedas_sync.state.inspect import inspect_mirror
from sedas_sync.state.staging import partial_names


class WrittenReport(Struct, frozen=True, kw_only=True):
    """A written report."""

    path: str
    manifest: str
    mirror: str
    bytes: int
    scenes: int
    """Scenes in it, wanted or on disk."""
    warnings: tuple[str, ...] = ()


def write_report(
    context: MirrorContext, out: str | os.PathLike[str] | None = None, *, quicklooks: bool = False
) -> WrittenReport:
    """Write one self-contained HTML page about the mirror. Works offline.

    Like `status`, it compares with the lock if there is one that matches, else with the last `apply`.

    Args:
        context: The mirror.
        out: The file, which is replaced; `<manifest stem>.html` next to the manifest if None.
        quicklooks: Embed small pictures of the scenes on disk. They are read from the products.

    Raises:
        ManifestError: The mirror belongs to another manifest, or the file cannot be written, or is the manifest or its
            lock; or the extra `quicklooks` is not installed.
    """
    manifest, state = context.manifest, context.state
    source = Path(manifest.source)
    target = beside(manifest, f"{source.stem}.html") if out is None else Path(out)
    check_output(target, manifest)
    if target.is_dir():
        raise ManifestError(f"{target}: is a folder; --out needs a file")
    with state.index(write=False) as index:
        warnings = index.warnings
        state.check_owner(index)
        lock = matching_lock_or_warning(manifest, warnings)
        state.on_step(Step("looking at the mirror", index.count()))
        memory = remembered(manifest, state.root, index, lock, state.on_step)
    if quicklooks:
        memory = replace(memory, quicklooks=small_pictures(str(state.root), memory.local_scenes, state.on_step))
    data = document(manifest, memory, name=source.stem, text=_text(source), on_step=state.on_step)
    # An id may contain characters that UTF-8 cannot encode.
    content = page(data).encode("utf-8", "xmlcharrefreplace")
    write_whole(target, content)
    return WrittenReport(
        path=str(target),
        manifest=manifest.name,
        mirror=str(state.root),
        bytes=len(content),
        scenes=len(data["scenes"]),
        warnings=tuple(warnings),
    )


def _text(source: Path) -> str | None:
    try:
        return source.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None


def remembered(manifest: Manifest, root: Path, index: Index, lock: Lock | None, on_step: OnStep) -> Memory:
    """Collect the content of the index, and which files are on disk. Files with another time are read."""
    folder = inspect_mirror(root, {}, index.local_scenes(), on_step=on_step)
    wanted = wanted_scenes(manifest, index, lock)
    ids = {scene_id for of_dataset in wanted.values() for scene_id in of_dataset}
    return Memory(
        local_scenes=list(folder.present.values()),
        changed=frozenset(folder.changed),
        wanted=wanted,
        awaited={scene_id: facts for scene_id, facts in index.absent().items() if scene_id in ids},
        orders=tuple(index.orders()),
        errors=index.last_errors(),
        lock=lock,
        lock_decides=lock is not None and index.lock_decides,
        last_run=last_run(index),
        unknown=folder.unknown,
        partials=len(partial_names(str(root))),
    )
