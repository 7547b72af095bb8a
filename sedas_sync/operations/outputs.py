"""Check the files that a command writes: none may replace what the mirror or its manifest needs."""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from sedas_sync.errors import ManifestError, SedasSyncError
from sedas_sync.files.paths import user_path
from sedas_sync.files.safe_tree import STATE
from sedas_sync.manifest import Manifest
from sedas_sync.model.file_kind import ending_of, folder_ending
from sedas_sync.model.scene import NOTHING
from sedas_sync.state.index import Index

_SHAPEFILE = {".shp", ".shx", ".dbf", ".prj", ".cpg"}


def check_outputs(
    manifest: Manifest, outputs: Mapping[str, str | None], inputs: Mapping[str, str | None] = NOTHING
) -> None:
    """Check the output files of a command line.

    Args:
        manifest: The manifest.
        outputs: The files that the command writes, by their options; None for an option that is not given.
        inputs: Files that it reads.

    Raises:
        ManifestError: A file is needed by the mirror or its manifest, or two options name one file.
    """
    seen: dict[str, str] = {}
    for option, file in {**inputs, **outputs}.items():
        if file is None:
            continue
        target = os.path.realpath(file)
        if target in seen and (Path(target).is_file() or not Path(target).exists()):
            raise ManifestError(f"{seen[target]} and {option} name the same file, {file}; name two files")
        seen[target] = option
        if option in outputs:
            check_output(file, manifest, option)


def check_output(file: str | os.PathLike[str], manifest: Manifest, option: str = "") -> None:
    """Check that a file to write is not the manifest or its lock file, and nothing that one of them needs.

    Args:
        file: The file; links are resolved.
        manifest: The manifest.
        option: The option that names the file, for the message.

    Raises:
        ManifestError: It is one of them.
    """
    target = Path(os.path.realpath(file))
    for reason in _reasons(target, manifest):
        shown = f"{option} {file}" if option else str(file)
        raise ManifestError(f"{shown}: is {reason}, and is not changed; name another file")


def _reasons(target: Path, manifest: Manifest) -> Iterator[str]:
    """Yield why a file must not be written."""
    source = Path(manifest.source)
    if _same(target, source):
        yield "the manifest itself"
    if _same(target, source.with_suffix(".lock")):
        yield "the manifest's lock file"
    for name in manifest.aoi_files:
        path = user_path(source.parent, name)
        parts = [path.with_suffix(end) for end in _SHAPEFILE] if path.suffix.lower() == ".shp" else [path]
        if any(_same(target, part) for part in parts):
            yield f"the AOI file {name} of the manifest"
    root = Path(os.path.realpath(user_path(source.parent, manifest.mirror.path)))
    if root / STATE in (target, *target.parents):
        yield "in the mirror's state folder"
    folders = {root: "a scene of the mirror"}
    for key, config in manifest.archives.items():
        if config.address is not None and "://" not in config.address:
            folder = Path(os.path.realpath(user_path(source.parent, config.address)))
            folders.setdefault(folder, f"a scene of the archive {key!r}")
    if target.is_file():
        yield from (what for folder, what in folders.items() if _is_scene(target, folder))


def _is_scene(target: Path, folder: Path) -> bool:
    """Return whether a file is of a scene in a folder: by its name, or by the folder's index."""
    below = target.relative_to(folder).parts if target.is_relative_to(folder) else ()
    if below and (ending_of(below[-1]) or any(map(folder_ending, below[:-1]))):
        return True
    linked = target.stat().st_nlink > 1
    if (below or linked) and (folder / STATE).is_dir():
        with suppress(SedasSyncError), Index(folder) as index:
            paths = {folder / path for local in index.local_scenes() for path in local.paths}
            return target in paths or (linked and any(_same(target, path) for path in paths))
    return False


def _same(target: Path, other: Path) -> bool:
    """Return whether two paths lead to one file. Hard links do: some options write in place."""
    return target == Path(os.path.realpath(other)) or (target.exists() and other.exists() and target.samefile(other))
