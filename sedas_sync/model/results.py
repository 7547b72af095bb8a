"""What `verify` and `adopt` found and did."""

from enum import StrEnum
from typing import Annotated, Literal

from msgspec import Meta, Struct

from sedas_sync.model.events import Failure, Summary, exit_code_of
from sedas_sync.model.local import LocalFile, ProofLevel
from sedas_sync.model.scene import SceneId

Count = Annotated[int, Meta(ge=0)]

# -- verify ----------------------------------------------------------------------------------------------------------


class Finding(StrEnum):
    """What is wrong with a file."""

    MISSING = "missing"
    """It is in the index or the lock file, and not on disk."""
    CHANGED = "changed"
    """It is a whole file, but another one than in the index or the lock file; or a link or folder is in its place."""
    CORRUPT = "corrupt"
    """Its bytes are damaged: the zip is not whole, or the bytes changed and the mtime did not; or it is reached only
    through a symbolic link. It need not be in the index."""
    UNREADABLE = "unreadable"
    """It, or a folder above it, cannot be read, so that it is not known what is there."""
    UNKNOWN = "unknown"
    """It is not in the index. This is not a failure: sedas-sync did not create it, or it can be adopted."""


class VerifiedFile(Struct, frozen=True, kw_only=True):
    """The result for one file."""

    path: str
    """Empty if a scene of the lock file is missing and its place is not known."""
    size: int
    """Bytes on disk; 0 if it is missing."""
    recorded: LocalFile | None = None
    """The file in the index; None if the file is not in the index."""
    id: SceneId | None = None
    """None if the file is in neither the index nor the lock file."""
    name: str = ""
    """Its path below the scene's folder, for a scene of several files."""
    locked_sha256: str | None = None
    """The checksum in the lock file."""
    finding: Finding | None = None
    detail: str = ""
    pending: bool = False
    """Whether it is missing and its order from the long-term archive is pending."""
    level: ProofLevel | None = None
    """How far its bytes are proved now; None if there is a finding."""

    @property
    def scene_path(self) -> str:
        """The path of the file's scene."""
        return self.path.removesuffix(f"/{self.name}") if self.name else self.path

    @property
    def is_missing(self) -> bool:
        """Whether it is not on disk."""
        return self.finding is Finding.MISSING

    @property
    def by_lock(self) -> bool:
        """Whether its bytes have the sha256 in the lock file."""
        return self.finding is None and self.locked_sha256 is not None


class VerifyReport(Struct, frozen=True, kw_only=True):
    """The result for a whole mirror.

    Example:
        import sedas_sync as ss

        with ss.Mirror(ss.load_manifest("manifest.toml")) as mirror:
            report = mirror.verify()
            for file in report.bad:
                print(file.path, file.finding, file.detail)
            mirror.repair(report)
    """

    manifest: str
    """The manifest's file, as the user wrote it."""
    mirror: str
    """The folder."""
    files: tuple[VerifiedFile, ...]
    """Sorted by path; files that are in neither the index nor the lock file come last."""
    lock: str | None = None
    """The lock file that they were compared with too."""
    lock_decides: bool = False
    """Whether the lock file says what has to be there; if not, it only adds checksums."""
    warnings: tuple[str, ...] = ()
    """What the user should know."""
    damaged_index: bool = False
    """Whether there was no index to compare with, because it is damaged."""
    repair: Summary | None = None
    """The summary of the repair, if there was one."""

    @property
    def findings(self) -> tuple[VerifiedFile, ...]:
        """Files with a finding, unknown ones included."""
        return tuple(item for item in self.files if item.finding is not None)

    @property
    def bad(self) -> tuple[VerifiedFile, ...]:
        """Files that are not what they should be, or that cannot be read."""
        return tuple(item for item in self.findings if item.finding is not Finding.UNKNOWN)

    @property
    def repairable(self) -> tuple[VerifiedFile, ...]:
        """Those that a repair can download again: their scenes are known, and what is on disk could be read."""
        return tuple(item for item in self.bad if item.id is not None and item.finding is not Finding.UNREADABLE)

    @property
    def counts(self) -> dict[str, int]:
        """Number of files with each finding, and without one; zeros included."""
        counted = {"ok": sum(item.finding is None for item in self.files)}
        for kind in Finding:
            counted[kind.value] = sum(item.finding is kind for item in self.files)
        return counted

    @property
    def levels(self) -> dict[str, int]:
        """Number of files without a finding at each level; those with the lock file's sha256 come first."""
        reached = {"lock": sum(item.by_lock for item in self.files)}
        for level in ProofLevel:
            reached[level.value] = sum(item.level is level and not item.by_lock for item in self.files)
        return reached

    @property
    def exit_code(self) -> int:
        """0 if everything is right, or right again; 3 if only orders are pending; else 1, or the code of the repair."""
        if self.damaged_index:
            return 1
        if self.repair is not None and (self.repair.exit_code not in (0, 3) or len(self.repairable) == len(self.bad)):
            return self.repair.exit_code
        if all(item.pending for item in self.bad):
            return 3 if self.bad else 0
        return 1


# -- adopt -----------------------------------------------------------------------------------------------------------

How = Literal["link", "copy", "move"]
"""How a file from another folder gets into the mirror."""


class Result(StrEnum):
    """What was done with a file."""

    ADOPTED = "adopted"
    """It is in the mirror and in the index."""
    HELD = "held"
    """Its scene is on disk already; the file was left where it is."""
    WRONG = "wrong"
    """It is not the scene that its name says; the file was left where it is."""
    INCOMPLETE = "incomplete"
    """It is the folder of a product that lacks files; it was left where it is."""
    UNWANTED = "unwanted"
    """No dataset wants it, or its name has no scene id; the file was left where it is."""
    FAILED = "failed"
    """It is right, but could not be moved to its place."""


class File(Struct, frozen=True, kw_only=True):
    """One file, or folder of a scene, that was checked."""

    file: str
    """Where it was found: relative to the mirror, or to the other folder."""
    result: Result
    id: SceneId | None = None
    path: str | None = None
    """Its path in the mirror; None if it was not adopted."""
    size: int
    level: str | None = None
    """How far its bytes are proved."""
    detail: str = ""
    added: tuple[str, ...] = ()
    """Files in the folder of a product that the product does not list; they are left alone."""


class Adoption(Struct, frozen=True, kw_only=True):
    """What was done with each file."""

    manifest: str
    mirror: str
    source: str
    """The folder whose files were checked."""
    search_complete: bool
    """Whether every search found all there is; if not, no file was looked at."""
    files: tuple[File, ...]
    dry_run: bool = False
    """Whether nothing was changed: files with the result "adopted" would be adopted."""
    failures: tuple[Failure, ...] = ()
    """Searches that failed or are incomplete."""
    warnings: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Number of files of each result, zeros included."""
        return {kind.value: sum(item.result is kind for item in self.files) for kind in Result}

    @property
    def bytes(self) -> dict[str, int]:
        """Bytes of the files of each result, zeros included."""
        return {kind.value: sum(item.size for item in self.files if item.result is kind) for kind in Result}

    @property
    def exit_code(self) -> int:
        """4 if a search was refused, 1 if a search failed or a file is wrong, incomplete or cannot be moved; else 0."""
        counts = self.counts
        return exit_code_of(self.failures) or int(any(counts[bad] for bad in ("wrong", "incomplete", "failed")))
