"""Check whether untracked files are a scene."""

import errno
import os
from collections.abc import Callable, Mapping

from msgspec import Struct

from sedas_sync.errors import TransferError
from sedas_sync.files import safe_tree, tree_listing
from sedas_sync.files.integrity import FileCheck, Filehash, Proving, algorithm, check, zip_names
from sedas_sync.files.tree_listing import TreeEntry
from sedas_sync.model.files import with_files
from sedas_sync.model.metadata import metadata_of
from sedas_sync.model.scene import DesiredScene, LocalFile, LocalScene, ProofLevel, Scene
from sedas_sync.model.text import product_id
from sedas_sync.state.staging import proved


def judge_files(
    root: str,
    place: str,
    want: DesiredScene,
    *,
    level: Proving,
    filehash: Filehash,
    source: str | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> LocalScene | str:
    """Check whether a folder is a desired scene of several files.

    A file is right if a download proved it, or if it has the size or the checksum of the catalogue or the lock.

    Args:
        root: the mirror's folder.
        place: the folder, relative to `source`.
        want: the scene.
        level: how thoroughly zips among its files are checked.
        filehash: what to do if a checksum differs from the catalogue.
        source: the folder that contains `place`, if it is not the mirror.
        stopped: called now and then; a true result ends the check.

    Returns:
        What the index has to store, or why the folder is not the scene.

    Raises:
        OSError: a file is missing or cannot be read.
        InterruptedError: `stopped` returned true.
        TransferError: a folder of its path is a symbolic link.
    """
    found = []
    for remote in want.scene.files:
        path = f"{place}/{remote.name}"
        entry = safe_tree.stat(source or root, path)
        if entry is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        there = TreeEntry.of(path, entry)
        demanded = want.pinned.get(remote.name)
        known = proved(root, want.scene, remote, demanded=demanded) if source is None else None
        if known is not None and tree_listing.untouched(there, known):
            found.append(known)
            continue
        checked = check(
            path, root=source or root, level=level, size=remote.size, digest=remote.digest, filehash=filehash,
            sha256=demanded, stopped=stopped,
        )  # fmt: skip
        if checked.problems or checked.warnings:
            return f"{remote.name}: {'; '.join(checked.problems + checked.warnings)}"
        found.append(
            LocalFile(
                name=remote.name,
                size=checked.size,
                mtime_ns=there.mtime_ns,
                sha256=checked.sha256,
                level=checked.level,
                digest=remote.digest,
            )
        )
    folder = LocalScene(
        id=want.scene.id,
        path=want.path,
        size=0,
        mtime_ns=0,
        sha256="",
        level=ProofLevel.SIZE,
        archive="",
        facts=metadata_of(want.scene),
    )
    return with_files(folder, found)


class FileVerdict(Struct, frozen=True):
    """Whether a file is a scene."""

    checked: FileCheck
    problem: str | None
    """Why it is not the scene; None if it is."""
    warning: str | None = None


def judge_want(
    root: str,
    path: str,
    want: DesiredScene,
    *,
    level: Proving,
    filehash: Mapping[str, Filehash],
    stopped: Callable[[], bool] = lambda: False,
) -> FileVerdict:
    """Check whether a file is a desired scene as one of its sources describes it.

    Raises:
        OSError: the file cannot be read.
        InterruptedError: `stopped` returned true.
        TransferError: a folder of its path is a symbolic link.
    """
    found = [
        judge(
            root,
            path,
            source.scene,
            level=level,
            filehash=filehash.get(source.archive, "warn"),
            sha256=want.sha256,
            stopped=stopped,
        )
        for source in want.sources
    ]
    return next((verdict for verdict in found if verdict.problem is None), found[0])


def judge(
    root: str,
    path: str,
    scene: Scene,
    *,
    level: Proving,
    filehash: Filehash,
    sha256: str | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> FileVerdict:
    """Check whether a file that this program did not download is a scene.

    Args:
        root: the folder that contains it.
        path: its path below this folder.
        scene: the scene.
        level: how thoroughly a zip is checked.
        filehash: what to do if the checksum differs from the catalogue.
        sha256: the checksum that the lock requires.
        stopped: called now and then; a true result ends the check.

    Raises:
        OSError: the file cannot be read.
        InterruptedError: `stopped` returned true.
    """
    size = None if scene.nominal else scene.size
    checked = check(
        path, root=root, level=level, size=size, digest=scene.digest, filehash=filehash, sha256=sha256, stopped=stopped
    )
    if checked.problems:
        return FileVerdict(checked, "; ".join(checked.problems))
    if checked.level is ProofLevel.DIGEST:
        return FileVerdict(checked, None)
    within = folder_within(root, path)
    product = product_id(within or "")
    if within is not None and within.endswith(".SAFE") and product != product_id(scene.id):
        return FileVerdict(checked, f"it contains {product}")
    if filehash != "ignore" and algorithm(scene.digest) is not None:
        # A catalogue's checksum can be that of something else. Then the folder in the zip shows which
        # product it is.
        if product != product_id(scene.id):
            return FileVerdict(checked, "; ".join(checked.warnings))
        return FileVerdict(checked, None, "is adopted although the catalogue's Filehash differs")
    return FileVerdict(checked, None)


def adopted_as(want: DesiredScene, checked: FileCheck, *, mtime_ns: int) -> LocalScene:
    """Return what the index has to store of a file that was checked and is the desired scene."""
    return LocalScene(
        id=want.scene.id,
        path=want.path,
        size=checked.size,
        mtime_ns=mtime_ns,
        sha256=checked.sha256,
        level=checked.level,
        archive="",
        digest=want.scene.digest,
        facts=metadata_of(want.scene),
    )


def folder_within(root: str, path: str) -> str | None:
    """Return the name of the only top-level folder of a zip; None if there is no such folder."""
    found: str | None = None
    try:
        with os.fdopen(safe_tree.open_file(root, path, os.O_RDONLY), "rb") as file:
            for name in zip_names(file):
                first = name.partition("/")[0]
                if found not in {None, first}:
                    return None
                found = first
    except (OSError, TransferError, ValueError):
        return None
    return found
