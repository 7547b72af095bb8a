"""Adopt files that are on disk already: find them by the scene ids in their names, check them, record them.

A file that is wrong, or that matches no dataset, is reported and left where it is. Nothing is overwritten.
"""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from sedas_sync.errors import ManifestError
from sedas_sync.files.threads import readers
from sedas_sync.model.arguments import Jobs, Seconds
from sedas_sync.model.events import Step
from sedas_sync.model.product_listing import NAMES
from sedas_sync.model.results import Adoption, File, How
from sedas_sync.operations.adopt.adopter import Adopter
from sedas_sync.operations.context import Listener, MirrorContext, ignore
from sedas_sync.operations.search import SearchResult, search_archives
from sedas_sync.state.history import begin_run, end_run
from sedas_sync.state.index import BatchWriter, Index


def adopt_files(
    context: MirrorContext,
    source: str | os.PathLike[str] | None = None,
    *,
    how: How = "link",
    known: bool = False,
    dry_run: bool = False,
    jobs: Jobs | None = None,
    on_file: Callable[[File], None] | None = None,
    on_event: Listener = ignore,
    on_found: Callable[[int], None] | None = None,
    take_over: bool = False,
    lock_timeout: Seconds = 0.0,
) -> Adoption:
    """Check existing files and folders and take them into the mirror and its index; downloads nothing.

    A product is taken as its zip or as the folder that its zip contains. If a search fails, no file is looked at: the
    scenes that match are not known.

    Args:
        context: The mirror.
        source: The folder with the files; the mirror itself if None.
        how: `link` (a hard link, or a copy on another file system), `copy` or `move` files of another folder.
        known: Also adopt scenes that match no dataset, if their file or folder has the id of a scene that an archive
            knows. So a prune can judge them, after the index was lost.
        dry_run: Check the files and change nothing.
        jobs: Number of files that are read at once.
        on_file: Called with the result for each file, or folder of a scene.
        on_event: Called with every event.
        on_found: Called with the number of scenes found, a few times a second.
        take_over: Take the mirror from the manifest it belongs to.
        lock_timeout: Seconds to wait for another process in this mirror.

    Raises:
        ManifestError: The mirror belongs to another manifest, or `source` is not a folder.
    """
    state = context.state
    place = _source_folder(source, state.root)
    adopt = partial(_adopt, context, source=place, how=how, known=known, jobs=jobs or readers(), on_file=on_file)
    if dry_run:
        with state.index(write=False) as index:
            state.check_owner(index, take_over=take_over)
            search = search_archives(context, on_event=on_event, on_found=on_found)
            return adopt(search, index, None)
    with state.locked(timeout=lock_timeout), state.index(write=True) as index:
        state.check_owner(index, take_over=take_over)
        search = search_archives(context, on_event=on_event, on_found=on_found)
        state.own(index)
        number = begin_run(index, "adopt", context.clock())
        # The files that are in their places are found again.
        index.skip_when_full = True
        with BatchWriter(index, context.clock) as writer:
            done = adopt(search, index, writer)
        code = done.exit_code if context.stopped_with is None else context.stopped_with
        end_run(index, number, context.clock(), code, done.counts)
        return done


def _adopt(
    context: MirrorContext,
    search: SearchResult,
    index: Index,
    writer: BatchWriter | None,
    *,
    source: Path | None,
    how: How,
    known: bool,
    jobs: int,
    on_file: Callable[[File], None] | None,
) -> Adoption:
    """Adopt the files for scenes that were found; `writer` is None in a dry run."""
    state = context.state
    adopter = Adopter(
        context,
        source,
        how,
        wants=search.wants,
        scenes=index.local_scenes(),
        writer=writer,
        look_up=context.look_up() if known else None,
    )
    files: list[File] = []
    if search.complete:
        state.on_step(Step("checking files", unit="file"))
        for file in adopter.adopt(jobs):
            files.append(file)
            state.on_step(Step("checking files", len(files), len(adopter.candidates), unit="file"))
            if on_file is not None:
                on_file(file)
    return Adoption(
        manifest=context.manifest.name,
        mirror=str(state.root),
        source=str(source or state.root),
        search_complete=search.complete,
        dry_run=writer is None,
        files=tuple(files),
        failures=(*(() if search.complete else search.failures), *adopter.failures),
        warnings=(*index.warnings, *search.warnings, *adopter.warnings),
    )


def _source_folder(source: str | os.PathLike[str] | None, root: Path) -> Path | None:
    """Return the folder to adopt from; None for the mirror itself.

    Raises:
        ManifestError: The folder does not exist, or is itself a product.
    """
    place = None if source is None else Path(source)
    if place is None:
        return None
    if not place.is_dir():
        raise ManifestError(f"{place}: the folder to adopt from does not exist")
    if any((place / name).is_file() for name in NAMES):
        raise ManifestError(f"{place}: this folder is a product itself; name the folder that contains it")
    return None if place.resolve() == root else place
