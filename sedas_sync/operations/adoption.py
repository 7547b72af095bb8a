"""Adopt existing files into a mirror."""

import os
from collections.abc import Callable
from pathlib import Path

from sedas_sync.errors import ManifestError
from sedas_sync.model.events import Step
from sedas_sync.operations.adopt import Adopter, Adoption, File, How
from sedas_sync.operations.context import Listener, MirrorContext, filehash_of, ignore
from sedas_sync.operations.search import search_archives
from sedas_sync.operations.verify import readers
from sedas_sync.state.index import BatchWriter


def adopt_files(
    context: MirrorContext,
    source: str | os.PathLike[str] | None = None,
    *,
    how: How = "link",
    jobs: int | None = None,
    on_file: Callable[[File], None] | None = None,
    on_event: Listener = ignore,
    on_found: Callable[[int], None] | None = None,
    take_over: bool = False,
    lock_timeout: float = 0.0,
) -> Adoption:
    """Check existing files and take them into the mirror and its index; downloads nothing.

    Args:
        context: the mirror.
        source: the folder with the files; the mirror itself if None.
        how: `link` (a hard link, or a copy on another file system), `copy` or `move` files of another folder.
        jobs: number of files that are read at once.
        on_file: called with the result for each file.
        on_event: called with every event.
        on_found: called with the number of scenes found, a few times a second.
        take_over: take the mirror from the manifest it belongs to.
        lock_timeout: seconds to wait for another process in this mirror.

    Raises:
        ManifestError: the mirror belongs to another manifest, or `source` is not a folder.
    """
    place, root, state = source_folder(source, context.state.root), context.state.root, context.state
    with state.locked(timeout=lock_timeout), state.index(write=True) as (index, warnings):
        state.check_owner(index, take_over=take_over)
        found = search_archives(context, on_event=on_event, on_found=on_found)
        state.own(index)
        number = index.begin_run("adopt", context.clock())
        ledger = BatchWriter(index, context.clock)
        adopter = Adopter(
            root,
            wants=found.wants,
            holdings=index.local_scenes(),
            level=context.manifest.transfer.integrity,
            filehash=filehash_of(context.manifest),
            jobs=jobs or readers(),
            record=ledger.add,
            stopped=lambda: context.stopped_with is not None,
            with_lengths=context.remote_sizes.complete,
        )
        files: list[File] = []
        state.on_step(Step("checking files", unit="file"))
        with ledger:
            for file in adopter.adopt(place, how=how):
                files.append(file)
                state.on_step(Step("checking files", len(files), unit="file"))
                if on_file is not None:
                    on_file(file)
        done = Adoption(
            manifest=context.manifest.source,
            mirror=str(root),
            source=str(place or root),
            search_complete=found.complete,
            files=tuple(files),
            failures=found.failures if not found.complete else (),
            warnings=(*warnings, *found.warnings, *adopter.warnings),
        )
        code = done.exit_code if context.stopped_with is None else context.stopped_with
        index.end_run(number, context.clock(), code, done.counts)
        return done


def source_folder(source: str | os.PathLike[str] | None, root: Path) -> Path | None:
    """Return the folder to adopt from; None for the mirror itself.

    Raises:
        ManifestError: there is no such folder.
    """
    place = None if source is None else Path(source)
    if place is not None and not place.is_dir():
        raise ManifestError(f"{place}: there is no such folder to adopt from")
    return None if place is None or place.resolve() == root else place
