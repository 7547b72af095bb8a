"""Scenes that consist of several files: one view for each file, one digest for all, and how two of them differ.

Such a scene is a folder in the mirror. What is asked of an archive, fetched and checked is a file at a time; what is
wanted, held, locked and counted is the scene.
"""

import hashlib
from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from sedas_sync.model.scene import DesiredScene, LocalFile, LocalScene, ProofLevel, RemoteFile, Scene

_LEVELS = tuple(ProofLevel)
"""Best first."""


def scene_of_file(scene: Scene, asset: RemoteFile) -> Scene:
    """One file of a scene as if it were the scene: what an archive is asked to locate."""
    link = None if not scene.online else asset.url
    return replace(scene, download_url=link, size=asset.size, digest=asset.digest, assets=())


def each_file(scene: Scene) -> Iterator[Scene]:
    """The scene itself, or a view of each of its files."""
    if not scene.assets:
        yield scene
    for asset in scene.assets:
        yield scene_of_file(scene, asset)


def files_on_disk(held: LocalScene) -> Iterator[LocalScene]:
    """The holding itself, or a view of each of its files with the path of that file."""
    if not held.files:
        yield held
    for file in held.files:
        yield replace(
            held,
            path=f"{held.path}/{file.name}",
            size=file.size,
            mtime_ns=file.mtime_ns,
            sha256=file.sha256,
            level=file.level,
            digest=file.digest,
            files=(),
        )


def paths_on_disk(held: LocalScene) -> tuple[str, ...]:
    """Where the files of a held scene are, relative to the mirror."""
    return tuple(f"{held.path}/{file.name}" for file in held.files) if held.files else (held.path,)


def desired_paths(want: DesiredScene) -> tuple[str, ...]:
    """Where the files of a wanted scene belong, relative to the mirror."""
    assets = want.scene.assets
    return tuple(f"{want.path}/{asset.name}" for asset in assets) if assets else (want.path,)


def listing_digest(files: Iterable[tuple[str, str]]) -> str:
    """The sha256 of a scene of several files, given their names and digests.

    It is the digest of what `sha256sum` prints for them, sorted by name.

    >>> listing_digest([("b", 64 * "0")]) == hashlib.sha256(b"0" * 64 + b"  b" + bytes([10])).hexdigest()
    True
    """
    lines = "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(files))
    return hashlib.sha256(lines.encode("utf-8", "surrogatepass")).hexdigest()


def total_size(scene: Scene) -> int | None:
    """The bytes of all files of a scene; None where the catalogue does not say for each of them."""
    sizes = [file.size for file in each_file(scene)]
    return None if None in sizes else sum(size for size in sizes if size is not None)


def scene_of_files(held: LocalScene, files: Iterable[LocalFile]) -> LocalScene:
    """A holding of these files: their sizes added up, their digests digested, proved as far as the least of them."""
    ordered = tuple(sorted(files, key=lambda file: file.name))
    return replace(
        held,
        files=ordered,
        size=sum(file.size for file in ordered),
        mtime_ns=max(file.mtime_ns for file in ordered),
        sha256=listing_digest((file.name, file.sha256) for file in ordered),
        level=max((file.level for file in ordered), key=_LEVELS.index),
    )


def assets_differ(held: LocalScene, scene: Scene, *, trust_digest: bool) -> str | None:
    """How the files that are wanted of a scene differ from those that are held, as a clause; None where they do not."""
    if not held.files or not scene.assets:
        now = "a folder of files" if scene.assets else "one file"
        return f"is held as {'a folder of files' if held.files else 'one file'}, and wanted as {now}"
    here, wanted = {file.name: file for file in held.files}, {asset.name: asset for asset in scene.assets}
    if lacking := [name for name in wanted if name not in here]:
        return f"{', '.join(lacking)} of it {'is' if len(lacking) == 1 else 'are'} wanted and not here"
    if spare := [name for name in here if name not in wanted]:
        return f"{', '.join(spare)} of it {'is' if len(spare) == 1 else 'are'} here and not wanted"
    for name, asset in wanted.items():
        if why := file_differs(here[name], asset, trust_digest=trust_digest):
            return why
    return None


def file_differs(file: LocalFile, asset: RemoteFile, *, trust_digest: bool) -> str | None:
    """How a file that is held differs from what the catalogue says of it, as a clause; None where it does not."""
    if asset.size is not None and asset.size != file.size:
        return f"{asset.name} changed in the archive: {asset.size} bytes there, {file.size} here"
    if trust_digest and None not in (asset.digest, file.digest) and asset.digest != file.digest:
        return f"{asset.name} changed in the archive: another digest than when it was fetched"
    return None
