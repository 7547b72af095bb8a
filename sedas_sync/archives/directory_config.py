"""The table of an archive of type `directory`."""

from typing import Annotated

from pydantic import Field

from sedas_sync.manifest import fields
from sedas_sync.manifest.tables import ArchiveConfig, FileHash
from sedas_sync.model.scene import Taking


class DirectoryConfig(ArchiveConfig):
    """The table of an archive of type `directory`."""

    # A lock file contains the path as the archive's address.
    LOCK_IGNORES = frozenset({"path", "link"})

    # A checksum in the folder's index is that of the file itself, not of one that was zipped again.
    filehash: FileHash = "enforce"
    path: Annotated[fields.Line, Field(description="The folder, relative to the manifest; `~` is the home folder.")]
    link: Annotated[Taking, fields.AnyCase(), Field(description="How files are taken from it.")] = "auto"

    @property
    def address(self) -> str:
        """The folder."""
        return self.path
