"""Documents about scenes and archives, and about files that a command writes."""

from collections.abc import Sequence
from typing import Any, Literal, Self

from msgspec import UNSET, UnsetType

from sedas_sync.model.events import Failure
from sedas_sync.model.metadata import fields_of
from sedas_sync.model.results import Count
from sedas_sync.model.scene import Scene
from sedas_sync.output.documents.base import JsonDocument, JsonObject, Time
from sedas_sync.output.export import Exported, Format
from sedas_sync.planning.product_name import relative_orbit_of, tile_of

# -- search and sources ----------------------------------------------------------------------------------------------


class SceneEntry(JsonObject, frozen=True, kw_only=True):
    """One scene."""

    id: str
    datasets: tuple[str, ...]
    """Datasets that match it, in the order of the manifest."""
    start: Time | None
    """Start of the acquisition."""
    stop: Time | None
    """End of the acquisition."""
    sensor: Literal["optical", "sar"] | None
    """Class of sensor."""
    satellite: str | None
    """Satellite."""
    instrument: str | None
    """Instrument."""
    mode: str | None
    """Mode of the instrument."""
    source_group: str | None
    """The archive's group of satellites."""
    product_type: str | None
    """Type of product."""
    orbit: int | None
    """Absolute orbit number."""
    orbit_direction: str | None
    """`ASCENDING` or `DESCENDING`."""
    polarisation: str | None
    """Channels, as the archive writes them."""
    cloud_cover: float | None
    """Percent."""
    resolution: float | None
    """Metres."""
    size: Count | None
    digest: str | None
    """Checksum in the catalogue; its length identifies the algorithm."""
    online: bool
    """Whether it can be downloaded without an order."""
    planned: bool
    """Whether it is a planned acquisition."""
    footprint: str | None
    """WKT."""
    download_url: str | None
    """Where its bytes are now."""
    quicklook_url: str | None
    """A picture of it."""
    thumbnail_url: str | None
    """A small picture of it."""
    relative_orbit: int | None
    """Relative orbit number, from the catalogue or from the name of the product."""
    tile: str | None
    """MGRS tile without a leading T, from the catalogue or from the name of the product."""
    extra: dict[str, Any]
    """The archive's other fields."""

    @classmethod
    def wanted_by(cls, scene: Scene, datasets: Sequence[str]) -> Self:
        """Return a scene and the datasets that match it."""
        return cls.of(
            scene,
            datasets=datasets,
            relative_orbit=relative_orbit_of(scene),
            tile=tile_of(scene),
            extra=fields_of(scene.extra),
        )


class SearchDocument(JsonDocument, frozen=True, kw_only=True):
    """`search`: what the archive offers."""

    manifest: str
    search_complete: bool
    scenes: list[SceneEntry]
    """The scenes found."""
    failures: list[Failure]
    warnings: tuple[str, ...]


class SourcesEntry(JsonObject, frozen=True, kw_only=True):
    """One archive of the manifest."""

    archive: str
    """Its name in the manifest."""
    type: str
    """Its type."""
    satellites: list[dict[str, Any]]
    """Satellites that may be searched: each with its `name` and the other fields that the archive states."""
    source_groups: list[dict[str, Any]]
    """Groups of satellites: each with its `name` and the other fields that the archive states."""


class SourcesDocument(JsonDocument, frozen=True, kw_only=True):
    """`sources`: what this account may search."""

    archives: list[SourcesEntry]
    """Each archive."""


# -- written files ---------------------------------------------------------------------------------------------------


class LeftOutEntry(JsonObject, frozen=True, kw_only=True):
    """One scene."""

    id: str
    reason: str


class ExportDocument(JsonDocument, frozen=True, kw_only=True):
    """`export`: what was written. It goes with `--out`, or with `--format stac`."""

    manifest: str
    format: Format
    """Format of the catalogue."""
    out: str | None
    """The file, or the folder of a STAC catalogue."""
    scenes: Count
    """Scenes in it."""
    written: bool
    """Whether anything had to be written."""
    left_out: list[LeftOutEntry]
    """Scenes that are not in it."""
    failures: list[Failure]
    """Archives that did not give links."""

    @classmethod
    def about(cls, done: Exported) -> Self:
        """Return what was exported."""
        return cls.of(done, left_out=[LeftOutEntry(id=item.id, reason=item.error) for item in done.left_out])


class ReportDocument(JsonDocument, frozen=True, kw_only=True):
    """`report`: the page that was written."""

    manifest: str
    mirror: str
    report: str
    """The page's file."""
    bytes: Count
    """Bytes."""
    scenes: Count
    """Scenes in it, wanted or on disk."""
    warnings: tuple[str, ...]


class InitDocument(JsonDocument, frozen=True, kw_only=True):
    """`init`: the manifest that was written."""

    manifest: str
    aois: tuple[str, ...]
    """Names of its areas."""
    warnings: tuple[str, ...] = ()
    """Features that were left out, and whether the archive has no scenes over the areas."""


class ExtentEntry(JsonObject, frozen=True, kw_only=True):
    """A bounding box."""

    west: float
    """Degrees of longitude."""
    south: float
    """Degrees of latitude."""
    east: float
    """Degrees of longitude."""
    north: float
    """Degrees of latitude."""


class AoiEntry(JsonObject, frozen=True, kw_only=True):
    """One AOI."""

    name: str
    """Its name in the manifest; `tile 30UXC` for a tile of a dataset without AOIs."""
    area_km2: float
    """Its area in square kilometres."""
    extent: ExtentEntry
    """Its bounding box in degrees; if `west` is greater than `east`, it crosses the antimeridian."""
    parts: Count
    """Polygons; one that crosses the antimeridian counts on both sides."""
    outlines: Count
    """Outlines that an archive is searched with, for this AOI alone."""


class ValidateDocument(JsonDocument, frozen=True, kw_only=True):
    """`validate`: the mistakes of a manifest."""

    manifest: str
    valid: bool
    """Whether there are none."""
    problems: tuple[str, ...]
    """Every mistake, as a sentence."""
    datasets: tuple[str, ...] | UnsetType = UNSET
    """Names of its datasets; only of a valid manifest."""
    warnings: tuple[str, ...] | UnsetType = UNSET
    """What was repaired in its areas; only of a valid manifest."""
    aois: tuple[AoiEntry, ...] | UnsetType = UNSET
    """Its areas; only of a valid manifest."""


class SandboxDocument(JsonDocument, frozen=True, kw_only=True):
    """`sandbox`: where the embedded archive listens."""

    url: str
    """Address of its API."""
    username: str = "sandbox"
    """User."""
    password: str = "sandbox"  # noqa: S105  # not a secret
    """Password."""


class CompletionDocument(JsonDocument, frozen=True, kw_only=True):
    """`completion`: a script for a shell."""

    shell: str
    """The shell."""
    script: str
    """What the shell has to run."""
