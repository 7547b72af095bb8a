"""Scenes into a folder without a manifest: bulk download in one call."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sedas_sync.api import Mirror
from sedas_sync.archives.protocol import Archive
from sedas_sync.archives.registry import TYPES
from sedas_sync.errors import TransferError
from sedas_sync.manifest import parse
from sedas_sync.model.events import Adopted, Failed, Fetched
from sedas_sync.model.scene import Scene
from sedas_sync.operations.plan import Listener, ignore

if TYPE_CHECKING:
    from sedas_sync.geometry import Polygonal


@dataclass(frozen=True, slots=True)
class FetchedScene:
    """A scene that is in its folder now."""

    scene: Scene
    path: Path


def fetch(
    scenes: Iterable[Scene],
    folder: str | os.PathLike[str],
    *,
    archive: Archive,
    jobs: int = 4,
    on_event: Listener = ignore,
) -> Iterator[FetchedScene]:
    """Download scenes into a folder, ordering those in the long-term archive and waiting for them.

    Yields each scene once its file is complete, checked and in place, as they complete; scenes that the folder holds
    already come first and are not fetched again. The folder remembers orders and partial downloads, so that the same
    call goes on after an interruption.

    Args:
        scenes: from a search.
        folder: created where it is not there; files are named `<scene id>.zip`.
        archive: where the scenes come from.
        jobs: downloads at once.
        on_event: told of everything that happens.

    Raises:
        TransferError: some scenes failed; raised when all others are done, and names each with its last error.
        MirrorLocked: another process is at work in this folder.
    """
    root = Path(folder)
    manifest = parse(
        'version = 1\n[mirror]\npath = "."\n[dataset.scenes]\nproducts = ["-"]\n',
        source=str(root / "sedas_sync.fetch"),
        read_aoi=_no_file,
        types=TYPES,
    )
    by_id = {scene.id: scene for scene in scenes}
    with Mirror(manifest, archives={"archive": archive}) as mirror:
        plan = mirror.plan_for(by_id.values())
        for action in plan.actions:
            if action.kind.value == "keep":
                yield FetchedScene(by_id[action.id], mirror.root / action.path)
        failures: list[str] = []
        for event in mirror.run(plan, jobs=jobs):
            on_event(event)
            if isinstance(event, Fetched | Adopted):
                yield FetchedScene(by_id[event.id], mirror.root / event.path)
            elif isinstance(event, Failed):
                failures.append(f"{event.id}: {event.error}")
    if failures:
        raise TransferError(f"{len(failures)} of {len(by_id)} scenes failed:\n" + "\n".join(failures))


def _no_file(name: str) -> "Polygonal":
    raise FileNotFoundError(name)
