"""The mirror's catalogue for other tools, made from the index."""

from typing import Literal

from msgspec import Struct

from sedas_sync.model.events import Failure

Format = Literal["geojson", "csv", "stac", "geoparquet", "urls", "sha256sums"]
"""Formats of a catalogue."""
LinkKind = Literal["hard", "symbolic"]
"""How a self-contained catalogue has the scenes' files: as hard links, or as relative symbolic links to the mirror."""


class Exported(Struct, frozen=True, kw_only=True):
    """The result of an export."""

    manifest: str
    format: Format
    out: str | None
    """The file or folder; None if it went to an open file."""
    scenes: int
    written: bool
    """Whether anything had to be written."""
    left_out: tuple[Failure, ...] = ()
    """Scenes that are not in it, and why."""
    failures: tuple[Failure, ...] = ()
    """Archives that gave no links, by their keys in the manifest."""

    @property
    def exit_code(self) -> int:
        """Return the exit code of the process."""
        return 1 if self.failures else 0
