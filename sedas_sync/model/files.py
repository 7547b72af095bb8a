"""Files of a scene: one file as a scene of its own, the checksum of a folder, and how local and remote files differ.

A scene of several files is a folder in the mirror. Archives locate, workers download and checks read one file at a
time; the manifest selects, the lock pins and reports count scenes.

A product that archives send as a zip is on disk as its zip, or as the folder that the zip contains. Such a folder has
`LocalScene.packed`, and its zip is compared with the archive.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import Protocol

from msgspec.structs import replace

from sedas_sync.model.file_kind import ZIP, ending_of, folder_ending
from sedas_sync.model.local import LocalFile, LocalScene, PackedFile, ProofLevel
from sedas_sync.model.metadata import scene_from_metadata
from sedas_sync.model.reason import Reason, ReasonCode
from sedas_sync.model.scene import ArchiveIdentity, DesiredScene, RemoteFile, Scene, SceneId

_ALL = ("*",)
_LEVELS = tuple(ProofLevel)
"""Best first."""


def scene_of_file(scene: Scene, file: RemoteFile | None) -> Scene:
    """Return one file of a scene as a scene of one file; the scene itself if it is one file."""
    if file is None or not scene.is_folder:
        return scene
    link = file.url if scene.online else None
    return replace(scene, download_url=link, size=file.size, digest=file.digest, assets=(), listing=())


def listing_digest(files: Iterable[tuple[str, str | None]]) -> str | None:
    """Return the sha256 of a folder, given the names and checksums of its files; None if one has none.

    It is the sha256 of the output of `sha256sum` for them, sorted by name.

    >>> listing_digest([("b", 64 * "0")]) == hashlib.sha256(b"0" * 64 + b"  b" + bytes([10])).hexdigest()
    True
    """
    named = sorted(files, key=lambda file: file[0])
    if any(sha256 is None for _, sha256 in named):
        return None
    lines = "".join(f"{sha256}  {name}\n" for name, sha256 in named)
    return hashlib.sha256(lines.encode("utf-8", "surrogatepass")).hexdigest()


def contents_digest(files: Iterable[tuple[str, int, int | None]]) -> str | None:
    """Return a checksum of what a product's folder or zip contains; None if a CRC is not known.

    A folder and the zip that it comes from have the same one.

    Args:
        files: Path below the product's folder, size and CRC of each file.
    """
    named = sorted(files)
    if any(crc is None for _, _, crc in named):
        return None
    lines = "".join(f"{crc:08x}  {size}  {name}\n" for name, size, crc in named)
    return hashlib.sha256(lines.encode("utf-8", "surrogatepass")).hexdigest()


def total_size(scene: Scene) -> int | None:
    """Return the size of all files of a scene; None if the catalogue does not state each of them."""
    sizes = [file.size for file in scene.files]
    return None if None in sizes else sum(size for size in sizes if size is not None)


def below(place: str, name: str) -> str:
    """Return the path of a file of a scene; `name` is empty if the scene is one file."""
    return f"{place}/{name}" if name else place


def above(path: str) -> Iterator[str]:
    """Yield the folders of a path, the nearest first."""
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def local_scene(
    scene_id: SceneId,
    path: str,
    files: Iterable[LocalFile],
    *,
    archive: ArchiveIdentity,
    facts: str,
    packed: PackedFile | None = None,
) -> LocalScene:
    """Return a scene that consists of these files.

    Args:
        scene_id: Its id.
        path: Its path in the mirror.
        files: All files of the scene; a single file without a name makes it a scene of one file.
        archive: The identity of the archive that it was downloaded from; empty if it was adopted.
        facts: As `sedas_sync.model.metadata` writes them.
        packed: The zip of the scene, if the files are those of an unpacked product.
    """
    whole = LocalScene(
        id=scene_id,
        path=path,
        size=0,
        mtime_ns=0,
        sha256="",
        level=ProofLevel.SIZE,
        archive=archive,
        facts=facts,
        packed=packed,
    )
    return with_files(whole, files)


def with_files(local: LocalScene, files: Iterable[LocalFile]) -> LocalScene:
    """Return a local scene with these files: the whole is computed from its files.

    Args:
        local: The scene.
        files: All files of the scene. A single file without a name makes it a scene of one file.
    """
    ordered = tuple(replace(file, path="") for file in sorted(files, key=lambda file: file.name))
    first = ordered[0]
    if not first.name:
        return replace(
            local,
            members=(),
            packed=None,
            size=first.size,
            mtime_ns=first.mtime_ns,
            sha256=first.sha256,
            level=first.level,
            digest=first.digest,
        )
    return replace(
        local,
        members=ordered,
        size=sum(file.size for file in ordered),
        mtime_ns=max(file.mtime_ns for file in ordered),
        sha256=listing_digest((file.name, file.sha256) for file in ordered),
        level=max((file.level for file in ordered), key=_LEVELS.index),
    )


def files_differ(local: LocalScene, scene: Scene, *, trust_digest: bool) -> Reason | None:
    """Return how the local files differ from those of the archive; None if they do not.

    Args:
        local: The scene on disk.
        scene: The scene in the archive it was downloaded from.
        trust_digest: Whether another checksum in the catalogue means another file.
    """
    if change := form_differs(local, scene):
        return change
    if local.packed is not None and not scene.is_folder:
        (file,) = scene.files
        return file_differs(
            local.packed, replace(file, size=None) if scene.nominal else file, trust_digest=trust_digest
        )
    if scene.unlisted:
        return _selection_differs(local, scene)
    here, there = {file.name: file for file in local.files}, {file.name: file for file in scene.files}
    if lacking := tuple(name for name in there if name not in here):
        return Reason(ReasonCode.FILES_MISSING, names=lacking)
    # A file that the archive has lost stays: it may be the last copy.
    if spare := tuple(name for name in here if name not in there and name in scene.unselected):
        return Reason(ReasonCode.FILES_EXTRA, names=spare)
    for name, file in there.items():
        expected = replace(file, size=None) if not name and (scene.nominal or _is_packed(local, scene)) else file
        if why := file_differs(here[name], expected, trust_digest=trust_digest):
            return why
    return None


def selects(patterns: Iterable[str], name: str) -> bool:
    """Return whether one of these patterns matches a path below the folder of a scene, or the last part of it.

    >>> selects(["*_B0[23]_10m.jp2"], "GRANULE/L2A_T30UXC/IMG_DATA/R10m/T30UXC_20190501_B02_10m.jp2")
    True
    """
    last = name.rpartition("/")[2]
    return any(fnmatchcase(name, pattern) or fnmatchcase(last, pattern) for pattern in patterns)


def _selection_differs(local: LocalScene, scene: Scene) -> Reason | None:
    """Return how the patterns of a folder that is not listed again differ from those of its download."""
    with suppress(ValueError):
        before = scene_from_metadata(local.facts).listing or _ALL
        if before != scene.listing:
            if before != _ALL and (new := tuple(one for one in scene.listing if one not in before)):
                return Reason(ReasonCode.FILES_MISSING, names=new)
            if spare := tuple(file.name for file in local.files if not selects(scene.listing, file.name)):
                return Reason(ReasonCode.FILES_EXTRA, names=spare)
    return None


def _is_packed(local: LocalScene, scene: Scene) -> bool:
    """Whether the archive sent a product that is one file as a zip, so that the file has another size."""
    return ending_of(scene.id).lower() not in ("", ending_of(local.path).lower())


def form_differs(local: LocalScene, scene: Scene) -> Reason | None:
    """Return the difference if one is a folder and the other one file. A product's zip and its folder are the same."""
    if local.is_folder == scene.is_folder or local.packed is not None:
        return None
    return Reason(ReasonCode.FORM_CHANGED, here=_form(local), there=_form(scene))


def _form(scene: Scene | LocalScene) -> str:
    return "a folder" if scene.is_folder else "one file"


class Requirement(Protocol):
    """What a lock file requires of a scene. None and an empty mapping are no requirement."""

    @property
    def sha256(self) -> str | None:
        """The checksum of its file, of its zip, or of the listing of its files."""

    @property
    def pinned(self) -> Mapping[str, str]:
        """The checksum of each file of a folder, by name."""

    @property
    def contents(self) -> str | None:
        """What its zip contains, as `contents_digest`."""


def meets_lock(local: LocalScene, required: Requirement) -> bool | None:
    """Return whether a local scene is what a lock file requires; None if it requires nothing that can be compared.

    An unpacked folder is right if its zip was, if each of its files is, or if it has what the zip contains.

    Args:
        local: The scene.
        required: The scene of the lock file, or the desired scene made from it.
    """
    sha256, packed = required.sha256, local.packed
    if packed is None:
        return None if sha256 is None else local.sha256 == sha256
    pinned = required.pinned
    if sha256 is None and not pinned:
        return None
    if sha256 is not None and packed.sha256 == sha256:
        return True
    if pinned:
        return pinned == {file.name: file.sha256 for file in local.members}
    return required.contents is not None and contents_of(local) == required.contents


def contents_of(local: LocalScene) -> str | None:
    """Return `contents_digest` of a folder; None if the CRC of a file is not known."""
    return contents_digest((file.name, file.size, file.crc32) for file in local.members)


def is_packed_product(local: LocalScene) -> bool:
    """Return whether a local scene is the zip of a product that is a folder. Its name shows no kind of file then."""
    return not local.is_folder and not ending_of(local.id) and ending_of(local.path).lower() == ZIP


def place_of(want: DesiredScene, local: LocalScene) -> str:
    """Return the path where a local scene belongs. An unpacked folder has the ending of the product's own folder."""
    if local.packed is None or want.scene.is_folder:
        return want.path
    return folder_path(want.path, local.path)


def folder_path(path: str, folder: str) -> str:
    """Return the path of the folder of a product whose zip would be at `path`.

    Args:
        path: Of the zip.
        folder: The name of the product's own folder, of which the ending is taken.

    >>> folder_path("2019/S2A_MSIL1C.zip", "S2A_MSIL1C.SAFE")
    '2019/S2A_MSIL1C.SAFE'
    """
    stem, ending = path.removesuffix(ending_of(path)), folder_ending(folder)
    return stem if stem.lower().endswith(ending.lower()) else stem + ending


def file_differs(local: LocalFile | PackedFile, remote: RemoteFile, *, trust_digest: bool) -> Reason | None:
    """Return how a local file differs from the catalogue; None if it does not."""
    names = (remote.name,) if remote.name else ()
    if None not in (remote.size, local.size) and remote.size != local.size:
        return Reason(ReasonCode.SIZE_CHANGED, here=local.size, there=remote.size, names=names)
    if trust_digest and None not in (remote.digest, local.digest) and remote.digest != local.digest:
        return Reason(ReasonCode.CHECKSUM_CHANGED, names=names)
    return None
