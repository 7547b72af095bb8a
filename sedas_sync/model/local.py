"""Scenes on disk, as the index remembers them. Frozen values, as in `sedas_sync.model.scene`."""

from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from sedas_sync.model.scene import ArchiveIdentity, SceneId

NO_FACTS = "{}"
"""Metadata of a scene that is not known, or was not read."""
UNTRUSTED_MTIME = -1
"""No file has it, so the file is read."""


class ProofLevel(StrEnum):
    """How thoroughly a file was checked, best first."""

    DIGEST = "digest"
    """It has the checksum of the archive or the lock file."""
    CRC = "crc"
    """Every entry of the zip was read and its CRC is right."""
    STRUCTURE = "structure"
    """The zip's directory is complete."""
    SIZE = "size"
    """It has the expected size."""


class LocalFile(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """A file of a scene on disk."""

    name: str
    """Path below the scene's folder; empty if the scene is one file."""
    size: int
    mtime_ns: int
    sha256: str | None
    """None if nothing needed it yet: the file was downloaded with `integrity = "size"`."""
    level: ProofLevel
    digest: str | None = None
    """The catalogue's checksum when it was downloaded."""
    crc32: int | None = None
    """Its CRC in the zip that it was unpacked from."""
    path: str = ""
    """Relative to the mirror. `LocalScene.files` sets it; it is not stored."""


class PackedFile(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The zip of a product that is on disk as its folder. A fact that is not known is None."""

    size: int | None = None
    sha256: str | None = None
    digest: str | None = None
    """The catalogue's checksum when it was downloaded."""


class LocalScene(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """A scene on disk as the index remembers it: a file, or a folder of files."""

    id: SceneId
    path: str
    size: int
    mtime_ns: int
    sha256: str | None
    level: ProofLevel
    archive: ArchiveIdentity
    """The archive it was downloaded from; empty if it was adopted."""
    digest: str | None = None
    """The catalogue's checksum when it was downloaded."""
    facts: str = NO_FACTS
    """The scene as JSON when the catalogue last listed it, so that rules can be applied without the catalogue."""
    members: tuple[LocalFile, ...] = ()
    """The files of a folder, sorted by name; empty for a scene that is one file. Read `files` instead.

    `size` is then their sum, `mtime_ns` the newest, `level` the lowest, and `sha256` that of their listing, or None if
    one of them has none.
    """
    packed: PackedFile | None = None
    """If the folder is a product that archives send as a zip: that zip. All of its facts are unknown if the folder was
    adopted. None for a scene that has the form in which its archive delivers it."""

    @property
    def is_folder(self) -> bool:
        """Whether the scene is a folder of files, not one file."""
        return bool(self.members)

    @property
    def delivered(self) -> "LocalScene | PackedFile":
        """What has the size and the checksum that an archive or a lock file states: of an unpacked folder, the zip."""
        return self if self.packed is None else self.packed

    @property
    def files(self) -> tuple[LocalFile, ...]:
        """The files of the scene with their paths: one or more."""
        if self.members:
            return tuple(replace(file, path=f"{self.path}/{file.name}") for file in self.members)
        return (
            LocalFile(
                name="",
                path=self.path,
                size=self.size,
                mtime_ns=self.mtime_ns,
                sha256=self.sha256,
                level=self.level,
                digest=self.digest,
            ),
        )

    def has_same_file(self, other: "LocalScene | None") -> bool:
        """Return whether another record of the scene is of the same bytes at the same path."""
        return other is not None and (self.path, self.sha256) == (other.path, other.sha256)

    @property
    def paths(self) -> tuple[str, ...]:
        """Where the files of the scene are, relative to the mirror."""
        return tuple(f"{self.path}/{file.name}" for file in self.members) if self.members else (self.path,)
