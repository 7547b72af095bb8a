"""The tables of a manifest as pydantic models: keys, types, limits, defaults and descriptions.

The editor's JSON Schema, the reference, the lock file and the report take their keys from these models.

To add a filter for datasets (`instrument` is a finished one):

1. Add a field to `Dataset`. If its values have a syntax of their own, add a type to `fields`.
2. Make sure that `sedas_sync.model.scene.Scene` has a field of the same name, and that each archive fills it from its
   rows. No test finds an archive that does not: its scenes are then "unknown" and do not match.
3. Add it to `RuleName` in `sedas_sync.model.reason` under the name of the key, and to `FILTERS` in
   `sedas_sync.planning.filters`: how it is compared with a scene, and which values mean the same, because archives
   spell one value in different ways. A test fails if a key of `Dataset` has no filter. The tests need an example:
   `VALUES` in `tests/planning/test_filters.py`, `ALL` in `tests/manifest/test_manifest_schema.py`. `_STATED` in
   `sedas_sync.planning.nothing_found` lists the values that were found if none matched.
4. To let archives search by it, add a field with the same name and default to `sedas_sync.model.scene.Query`, and use
   it in their queries. This only saves time: the filter is applied to whatever an archive returns. If SeDAS is asked,
   add it to `_NO_FILTERS` in `sedas_sync.archives.sedas.search`.
5. If an archive type never knows the value, add the key to its `ArchiveType.cannot`.
6. If a value implies a class of sensor, add it to `sedas_sync.manifest.rules` and to the rules in `schema`.
7. Run `make reference`, and name the filter in `docs/explanation/how-a-sync-decides.md` and in the changelog.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.json_schema import SkipJsonSchema

from sedas_sync.manifest import fields
from sedas_sync.manifest.dates import DateSpec
from sedas_sync.model.path_template import FIELDS

VERSION = 1
"""The version of the manifest format."""
PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""Names of archives, AOIs and datasets."""
DEFAULT_TYPE = "sedas"
"""The archive type if a manifest does not name one."""

Mistake = tuple[str, str]
"""A key, and a sentence about it ("must be …", "is …")."""


class _Table(BaseModel):
    # A manifest has few of the tables: the check of each is built when it is first used.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


FileHash = Annotated[
    Literal["warn", "enforce", "ignore"],
    fields.AnyCase(),
    Field(
        description="What to do if a file's checksum differs from the catalogue's: warn, fail the scene, or ignore it. "
        "The default depends on the type."
    ),
]
TrustedHosts = Annotated[
    fields.TrustedHosts,
    Field(
        description="Further hosts that links may lead to. They may receive the token and may have a private address. "
        "Exact names, or `*.example.org`. A token from the environment is sent only to those that its `…_HOST` "
        "variable names too. Type `sedas` trusts `*.satapps.org`."
    ),
]
ApiUrl = Annotated[
    fields.Address,
    Field(description="Address of the API: https, or http to this machine; some types have a default."),
]


class ArchiveConfig(_Table):
    """Where the scenes come from. The whole table may be left out."""

    # Subclasses add the keys of their archive type, and set defaults of their own.

    LOCK_IGNORES: ClassVar[frozenset[str]] = frozenset()
    """Keys that a lock file does not depend on: they change neither the offered scenes nor their bytes."""
    REMOVED_KEYS: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Keys of earlier versions, each with what to do instead."""
    SCENE_SIZE: ClassVar[int | None] = None
    """Typical bytes of a scene, if they do not depend on the product type: plans use it if a size is not stated."""

    type: fields.Line = Field(default=DEFAULT_TYPE, description="The type of the archive.")
    filehash: FileHash = "warn"

    @field_validator("*", mode="wrap")
    @classmethod
    def _catch_errors_of_packages(cls, value: Any, read: Callable[[Any], Any]) -> Any:
        """Turn any exception of a plug-in's validator into a mistake of the manifest."""
        try:
            return read(value)
        except ValueError:
            raise
        except Exception as error:
            raise ValueError(f"the archive type's package cannot read it: {type(error).__name__}: {error}") from error

    @property
    def address(self) -> str | None:
        """The address of the API, or the path of the folder; None if the type has neither."""
        return None

    @property
    def lock_facts(self) -> Mapping[str, Any]:
        """The type's own keys that a lock file depends on, if they are not at their default."""
        return {
            name: getattr(self, name)
            for name, field in type(self).model_fields.items()
            if name not in WebArchiveConfig.model_fields
            and name not in self.LOCK_IGNORES
            and getattr(self, name) != field.get_default(call_default_factory=True)
        }

    def mistakes(self) -> Iterator[Mistake]:
        """Yield mistakes that no single value shows."""
        yield from ()


class WebArchiveConfig(ArchiveConfig):
    """Where the scenes come from. The whole table may be left out."""

    url: ApiUrl
    trusted_hosts: TrustedHosts = ()

    @property
    def address(self) -> str | None:
        """The address of the API."""
        return self.url


class MirrorConfig(_Table):
    """Where the scenes are stored. May be left out."""

    path: fields.Line = Field(
        default="scenes", description="The folder of the scenes, relative to the manifest; `~` is the home folder."
    )
    layout: fields.PathLayout = Field(
        default="{id}",
        validate_default=True,
        description="Template of the paths in it, without the extension. Fields: "
        + ", ".join(f"`{name}`" for name in FIELDS)
        + "; `start` and `stop` take strftime, as in `{start:%Y/%m}`.",
    )
    unpack: bool = Field(
        default=False,
        description="Whether a product that the archive sends as a zip is unpacked: the mirror then has its folder, "
        "such as `<id>.SAFE`, and no zip.",
    )
    keep_replaced: fields.Duration | None = Field(
        default=None,
        description="How long files that were in a scene's place stay in `.sedas-sync/replaced/`; for ever by default.",
    )


class TransferConfig(_Table):
    """How scenes are downloaded. Every key has a default; may be left out."""

    jobs: int = Field(default=4, ge=1, description="Concurrent downloads.")
    segments: fields.Segments = Field(
        default="auto",
        validate_default=True,
        description="Connections that a large file may be split over; `auto` leaves it to the program.",
    )
    retries: int = Field(
        default=5, ge=0, description="Further attempts after the first, for a scene and for a call to the API."
    )
    connect_timeout: fields.AboveZero = Field(default=10.0, description="Seconds to wait for a connection.")
    stall_timeout: fields.AboveZero = Field(
        default=60.0, description="Seconds without a byte before a connection is closed."
    )
    max_rate: fields.Size = Field(
        default="0",
        validate_default=True,
        description="Maximum bytes per second over all downloads; `0` is no limit.",
    )
    order_timeout: fields.Duration = Field(
        default="24h",
        validate_default=True,
        description="How long one run waits for orders from the long-term archive.",
    )
    max_orders: int = Field(default=0, ge=0, description="Maximum orders that one run places; 0 is no limit.")
    max_download: fields.Size = Field(
        default="0",
        validate_default=True,
        description="Bytes that one run may have to download, with its orders; a larger plan is refused with exit "
        "code 2. `0` is no limit.",
    )
    confirm: bool = Field(
        default=True,
        description="Whether `apply` on a terminal asks before it downloads, orders or removes anything.",
    )
    integrity: Annotated[Literal["crc", "structure", "size"], fields.AnyCase()] = Field(
        default="crc",
        description="How a file is checked: every entry of the zip, the zip's directory, or the size alone.",
    )


class AoiTable(_Table):
    """One area of interest, given by exactly one of wkt, file, bbox, point, country."""

    GIVEN_BY: ClassVar[tuple[str, ...]] = ("wkt", "file", "bbox", "point", "country")
    """The keys of which exactly one is needed."""

    wkt: fields.Wkt | None = Field(
        default=None, description="The area as WKT: POLYGON, MULTIPOLYGON or GEOMETRYCOLLECTION."
    )
    file: fields.AoiFile | None = Field(
        default=None,
        description="A file with the area, relative to the manifest; `~` is the home folder. `.geojson`, `.json`, "
        "`.wkt`, and with the extra `sedas-sync[vector]` `.gpkg`, `.shp`, `.fgb`, `.kml`, `.kmz`, `.gml`, `.gpx`, or a "
        "`.zip` with one of them; `.parquet` with the extra `sedas-sync[vector-parquet]`. All polygons in it count.",
    )
    layer: fields.Line | None = Field(
        default=None, description="The layer of `file` to read; needed if several have polygons."
    )
    where: fields.Line | None = Field(
        default=None,
        description="Which features of `file` to read, by their attributes, as in `crop = 'wheat'` (SQL as in GDAL).",
    )
    bbox: fields.BoundingBox | None = Field(
        default=None, description="A box in degrees; if west is greater than east, it crosses the antimeridian."
    )
    point: fields.Position | None = Field(
        default=None, description="The centre of a circle, in degrees; needs `radius_km`."
    )
    radius_km: fields.AboveZero | None = Field(
        default=None, description="The radius of the circle around `point`, in kilometres."
    )
    country: fields.Countries | None = Field(
        default=None,
        description="Countries by their codes (ISO 3166-1 alpha-3). Their outlines are coarse (1:50 million), so "
        "`buffer_km` is 5 by default.",
    )
    buffer_km: Annotated[fields.AboveZero, Field(le=500)] | None = Field(
        default=None,
        description="All places within this many kilometres, at most 500, are added to the area. Needed for points and "
        "lines, which have no area. Not with `point`, which has a radius.",
    )
    repair: bool = Field(
        default=False,
        description="Whether outlines that are not valid are repaired: those that cross or touch themselves, are open "
        "or have no area. `validate` and `plan` print what was done.",
    )


BESIDE_PRODUCTS = ("products", "archive", "exclude", "orbits")
"""The keys of a dataset that names its scenes."""


class Dataset(_Table):
    """Scenes over areas within an interval that match every rule given here, or scenes named by their ids."""

    name: SkipJsonSchema[str]
    archive: fields.Names = Field(
        default=(), description="The archives to search, by name; needed if the manifest has several."
    )
    """Not empty in a manifest that was read."""
    aoi: fields.Names = Field(
        default=(),
        description="Areas by name; a scene over any of them matches. Archives of type `cdse`, `stac` and `directory` "
        "can be searched without it.",
    )
    """Empty if `products` is given, or the whole world is searched. If only tiles are given, their AOIs, which are
    called `tile 30UXC`."""
    start: fields.Start | None = Field(
        default=None, description="Earliest acquisition start; a date-time without offset is UTC."
    )
    """None if `products` is given."""
    end: fields.End = Field(
        default="now", validate_default=True, description="Latest acquisition start; a date includes its last second."
    )
    sensor: Annotated[Literal["all", "optical", "sar"], fields.AnyCase()] = Field(
        default="all", description="The class of sensor."
    )
    max_cloud_cover: fields.Percent | None = Field(
        default=None,
        description="Maximum cloud cover in percent. Applies to optical scenes with a known cloud cover.",
    )
    satellite: fields.Line | None = Field(default=None, description="Name of the satellite, such as `Sentinel-2A`.")
    instrument: fields.Line | None = Field(
        default=None,
        description="Instrument, such as `C-SAR` or `MSI`, in the spelling of any archive. A scene of several "
        "instruments matches if this is one of them.",
    )
    source_group: fields.Line | None = Field(
        default=None, description="The archive's group of satellites, such as `S1` or `S2`."
    )
    product_type: fields.Line | None = Field(default=None, description="Product type, such as `L1C` or `GRD`.")
    orbit_direction: Annotated[Literal["ASCENDING", "DESCENDING"], fields.AnyCase()] | None = Field(
        default=None, description="Direction of flight."
    )
    polarisation: fields.Polarisation = Field(default=(), description="Channels that a scene must all have.")
    min_aoi_coverage: fields.Percent | None = Field(
        default=None,
        description="Minimum share of one of the areas that the scene's footprint covers, in percent.",
    )
    tile: fields.Tiles = Field(
        default=(),
        description="MGRS tiles of Sentinel-2; a scene of any of them matches. Without `aoi`, the tiles are the areas.",
    )
    # Sentinel-1 repeats its orbits after 175, Sentinel-2 after 143.
    relative_orbit: int | None = Field(
        default=None, ge=1, le=175, description="Number of the orbit in the repeat cycle."
    )
    exclude: fields.Lines = Field(
        default=(), description="Ids of scenes to leave out, or patterns of ids such as `S2B_*`."
    )
    latest: int | None = Field(default=None, ge=1, description="Only this many of the newest scenes match.")
    reprocessed: Annotated[Literal["all", "newest"], fields.AnyCase()] = Field(
        default="all", description="Which processing baselines of one acquisition match: all, or the newest only."
    )
    orbits: Annotated[Literal["precise", "restituted"], fields.AnyCase()] | None = Field(
        default=None,
        description="Also the orbit file that covers each Sentinel-1 scene. `precise` takes the restituted one until "
        "the precise one appears.",
    )
    filters: fields.Filters = Field(
        default_factory=lambda: MappingProxyType({}),
        description="The archive's own filters by name, passed on unchanged.",
    )
    products: fields.SceneIds = Field(
        default=(),
        description="Scenes by their full ids, instead of areas, dates and rules; only `archive`, `exclude` and "
        "`orbits` may be given too.",
    )

    recheck: fields.Duration | None = Field(
        default=None,
        description="How often an interval of fixed dates is searched again once it is 60 days old and all its scenes "
        "are on disk, such as `7d`; by default by every `plan` and `apply`.",
    )

    @property
    def start_spec(self) -> str | None:
        """The start as a text; equal texts mean equal starts. None if `products` is given."""
        return self.start.text if self.start else None

    @property
    def end_spec(self) -> str | None:
        """The end as a text; equal texts mean equal ends. None if `products` is given."""
        return self.end.text if self.start else None

    @property
    def relative(self) -> bool:
        """Whether the interval moves with the current time."""
        return self.start is not None and (self.start.relative or self.end.relative)

    def bound(self, acquired: datetime, now: datetime) -> DateSpec:
        """Return the end of the interval that excludes a scene acquired at this time."""
        return self.start if self.start is not None and acquired < self.start.resolve(now) else self.end

    def interval(self, now: datetime) -> tuple[datetime, datetime]:
        """Return the earliest and the latest acquisition start that match, both included; UTC.

        An end in whole seconds is the last microsecond of that second, because some catalogues state fractions of
        seconds.

        Raises:
            ValueError: The dataset names scenes and has no interval.
        """
        if self.start is None:
            raise ValueError(f"the dataset {self.name} names products and has no interval")
        return self.start.resolve(now), self.end.resolve(now)
