"""Check whether untracked files are a scene."""

from collections.abc import Callable, Mapping
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from sedas_sync.errors import TransferError
from sedas_sync.files import safe_tree, tree_listing, zip_records
from sedas_sync.files.integrity import FileCheck, Filehash, Proving, algorithm, check
from sedas_sync.files.tree_listing import TreeEntry
from sedas_sync.model.files import local_scene, meets_lock
from sedas_sync.model.local import LocalFile, LocalScene, ProofLevel
from sedas_sync.model.metadata import metadata_of
from sedas_sync.model.results import Result
from sedas_sync.model.scene import DesiredScene, Scene
from sedas_sync.model.text import product_id
from sedas_sync.state.product_folder import NotAScene, check_product
from sedas_sync.state.staging import proved


class Verdict(Struct, frozen=True):
    """Whether untracked files are a scene."""

    found: LocalScene | str
    """What the index has to store, or why they are not the scene."""
    warning: str | None = None
    result: Result = Result.WRONG
    """What they are if they are not the scene."""
    added: tuple[str, ...] = ()
    """Files in the folder of a product that are not the product's."""


def judge(
    root: str,
    place: str,
    want: DesiredScene,
    *,
    entry: TreeEntry | None,
    level: Proving,
    filehash: Mapping[str, Filehash],
    source: str | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Verdict:
    """Check whether a file, or a folder of files, is a desired scene.

    A file is compared with each source of the scene. A file of a folder is right if a download proved it, or if it has
    the size or the checksum of the catalogue or the lock.

    Args:
        root: The mirror's folder.
        place: The path of the file or folder, relative to `source`.
        want: The scene.
        entry: The file; None for a folder.
        level: How thoroughly zips are checked.
        filehash: What to do if a checksum differs from the catalogue, by the archive's key.
        source: The folder that contains `place`, if it is not the mirror.
        stopped: Called now and then; a true result ends the check.

    Raises:
        OSError: A file cannot be read.
        InterruptedError: `stopped` returned true.
        TransferError: A folder of a path is a symbolic link.
    """
    base = source or root
    checked = partial(check, root=base, level=level, stopped=stopped)
    if entry is None and not want.scene.is_folder:
        return _judge_product(base, place, want, checked)
    if entry is None:
        known_in = None if source is not None else root
        return _judge_folder(base, known_in, place, want, checked, filehash.get(want.archive, "enforce"))
    first: Verdict | None = None
    for offer in want.sources:
        policy, scene = filehash.get(offer.archive, "warn"), offer.scene
        size = None if scene.nominal else scene.size
        result = checked(place, size=size, digest=scene.digest, filehash=policy, sha256=want.sha256)
        problem, warning = _problem(base, place, scene, result, policy)
        if problem is None:
            return Verdict(_adopted(want, [_local("", result, entry, want.scene.digest)]), warning)
        first = first or Verdict(problem)
    if first is None:
        raise AssertionError(want)
    return first


def _judge_product(base: str, place: str, want: DesiredScene, checked: Callable[..., FileCheck]) -> Verdict:
    try:
        product = check_product(base, place, want, checked)
    except NotAScene as problem:
        return Verdict(str(problem), result=problem.result)
    if meets_lock(product.found, replace(want, sha256=None, contents=None)) is False:
        return Verdict("its files are not those of the lock file")
    return Verdict(product.found, added=product.added)


def _judge_folder(
    base: str,
    known_in: str | None,
    place: str,
    want: DesiredScene,
    checked: Callable[..., FileCheck],
    filehash: Filehash,
) -> Verdict:
    """Check whether a folder below `base` is a scene; in the mirror `known_in` the notes of downloads prove files."""
    if want.scene.unlisted:
        return Verdict("the archive did not list its files")
    files = []
    for remote in want.scene.files:
        path, demanded = f"{place}/{remote.name}", want.pinned.get(remote.name)
        there = tree_listing.look(base, path)
        if there is None:
            return Verdict(f"{remote.name} of it is not there")
        known = None if known_in is None else proved(known_in, want.scene, remote, demanded=demanded)
        if known is not None and tree_listing.untouched(there, known):
            files.append(known)
            continue
        result = checked(path, size=remote.size, digest=remote.digest, filehash=filehash, sha256=demanded)
        if result.problems or result.warnings:
            return Verdict(f"{remote.name}: {'; '.join(result.problems + result.warnings)}")
        files.append(_local(remote.name, result, there, remote.digest))
    return Verdict(_adopted(want, files))


def _local(name: str, result: FileCheck, there: TreeEntry, digest: str | None) -> LocalFile:
    return LocalFile(
        name=name, size=result.size, mtime_ns=there.mtime_ns, sha256=result.sha256, level=result.level, digest=digest
    )


def _adopted(want: DesiredScene, files: list[LocalFile]) -> LocalScene:
    return local_scene(want.scene.id, want.path, files, archive="", facts=metadata_of(want.scene))


def _problem(
    root: str, path: str, scene: Scene, checked: FileCheck, filehash: Filehash
) -> tuple[str | None, str | None]:
    """Return why a file that was checked is not a scene, None if it is; and a warning."""
    if checked.problems:
        return "; ".join(checked.problems), None
    if checked.level is ProofLevel.DIGEST:
        return None, None
    within = _folder_within(root, path)
    product = product_id(within or "")
    if within is not None and within.endswith(".SAFE") and product != product_id(scene.id):
        return f"it contains {product}", None
    if filehash != "ignore" and algorithm(scene.digest) is not None:
        # A catalogue's checksum can be that of something else. Then the folder in the zip shows which
        # product it is.
        if product != product_id(scene.id):
            return "; ".join(checked.warnings), None
        return None, "is adopted although the catalogue's checksum differs"
    return None, None


def _folder_within(root: str, path: str) -> str | None:
    """Return the name of the only top-level folder of a zip; None if there is no such folder."""
    found: str | None = None
    try:
        with safe_tree.reading(root, path) as file:
            for name in zip_records.names(file.fileno()):
                first = name.partition("/")[0]
                if found not in {None, first}:
                    return None
                found = first
    except (OSError, TransferError, ValueError):
        return None
    return found
