"""The tables of a manifest: their keys, types and defaults."""

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import core_schema

from sedas_sync.manifest import fields, units
from sedas_sync.manifest.dates import DateSpec
from sedas_sync.model.path_template import Layout

DEFAULT_TYPE = "sedas"


class _Reader:
    """Makes a function of `_fields` the one and only validator of a field.

    Unlike pydantic's PlainValidator it makes no schema of the field's type, which would double the
    time it takes to import this module.
    """

    def __init__(self, read: Callable[[Any], Any]) -> None:
        self._read = read

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self._read)


def _no_filters() -> Mapping[str, Any]:
    return MappingProxyType({})


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ArchiveConfig(_Table):
    """Where scenes come from: `[archive]` or one of `[archives.NAME]`."""

    type: Annotated[str, _Reader(fields.text)] = DEFAULT_TYPE
    """Which kind of archive; a name that is known to this installation."""
    url: Annotated[str | None, _Reader(fields.text)] = None
    """Address of its API; of a directory its path. None for one that is nowhere in particular."""
    trusted_hosts: Annotated[tuple[str, ...], _Reader(fields.texts)] = ()
    """Further hosts that may be sent the token, in lower case: exact names, or `*.example.org`."""
    filehash: Annotated[Literal["warn", "enforce", "ignore"], _Reader(fields.choice("warn", "enforce", "ignore"))] = (
        "warn"
    )
    """What a scene is worth that differs from the digest in the catalogue."""
    options: Mapping[str, Any] = Field(default_factory=_no_filters)
    """The keys of its own type, each with its value or default."""
    meaning: Mapping[str, Any] = Field(default_factory=_no_filters)
    """Those of them that say which scenes it offers or what their bytes are, where they are not at their default."""


class MirrorConfig(_Table):
    """Where scenes go: `[mirror]`."""

    path: Annotated[str, _Reader(fields.text)] = "scenes"
    """Folder, relative to the manifest."""
    layout: Annotated[Layout, _Reader(fields.layout)] = Layout.parse("{id}")
    """Template of paths below it."""


class TransferConfig(_Table):
    """How scenes are fetched: `[transfer]`, in base units."""

    jobs: Annotated[int, _Reader(fields.whole(1))] = 4
    """Downloads at once."""
    segments: Annotated[int | None, _Reader(fields.segments)] = None
    """Connections a large scene may be split over; None leaves it to the program."""
    retries: Annotated[int, _Reader(fields.whole(0))] = 5
    """Further tries after the first."""
    connect_timeout: Annotated[float, _Reader(fields.above_zero)] = 10.0
    """Seconds."""
    stall_timeout: Annotated[float, _Reader(fields.above_zero)] = 60.0
    """Seconds without a byte before a connection is given up."""
    max_rate: Annotated[int, _Reader(units.size)] = 0
    """Bytes a second over all downloads; 0 is no limit."""
    order_timeout: Annotated[float, _Reader(units.duration)] = 86400.0
    """Seconds one run waits for orders."""
    max_orders: Annotated[int, _Reader(fields.whole(0))] = 0
    """Most orders placed in one run; 0 is no limit."""
    integrity: Annotated[Literal["crc", "structure", "size"], _Reader(fields.choice("crc", "structure", "size"))] = (
        "crc"
    )
    """How far a scene's bytes are checked."""


class Dataset(_Table):
    """One `[dataset.NAME]`: scenes over AOIs within an interval that obey its rules, or named products."""

    name: str
    archive: Annotated[tuple[str, ...], _Reader(fields.names)] = ()
    """Keys of the archives it takes scenes from; at least one in a manifest that was read."""
    aoi: Annotated[tuple[str, ...], _Reader(fields.names)] = ()
    """Names of AOIs; a scene over any of them belongs. Empty where products are named."""
    start: Annotated[DateSpec | None, _Reader(lambda value: DateSpec.parse(value, "start"))] = None
    end: Annotated[DateSpec, _Reader(lambda value: DateSpec.parse(value, "end"))] = DateSpec("ago", "end")
    sensor: Annotated[Literal["all", "optical", "sar"], _Reader(fields.choice("all", "optical", "sar"))] = "all"
    max_cloud_cover: Annotated[float | None, _Reader(fields.percent)] = None
    """Percent; acts on optical scenes that state a figure."""
    satellite: Annotated[str | None, _Reader(fields.text)] = None
    source_group: Annotated[str | None, _Reader(fields.text)] = None
    product_type: Annotated[str | None, _Reader(fields.text)] = None
    orbit_direction: Annotated[Literal["ASCENDING", "DESCENDING"] | None, _Reader(fields.orbit_direction)] = None
    polarisation: Annotated[tuple[str, ...], _Reader(fields.polarisation)] = ()
    """Channels that must all be there, in the order of the manifest, which means nothing."""
    min_aoi_coverage: Annotated[float | None, _Reader(fields.percent)] = None
    """Percent of one of the AOIs under the footprint."""
    tile: Annotated[tuple[str, ...], _Reader(fields.tiles)] = ()
    """MGRS tiles without a leading T, any of which will do."""
    relative_orbit: Annotated[int | None, _Reader(fields.whole(1, 175))] = None
    """175 is Sentinel-1's repeat cycle in orbits, 143 is Sentinel-2's."""
    exclude: Annotated[tuple[str, ...], _Reader(fields.texts)] = ()
    """Ids, or patterns of ids, of scenes that do not belong."""
    latest: Annotated[int | None, _Reader(fields.whole(1))] = None
    """Only so many of the newest belong."""
    reprocessed: Annotated[Literal["all", "newest"], _Reader(fields.choice("all", "newest"))] = "all"
    filters: Annotated[Mapping[str, Any], _Reader(fields.filters)] = Field(default_factory=_no_filters)
    """The archive's own filters, passed on as they are; lists have become tuples."""
    products: Annotated[tuple[str, ...], _Reader(fields.products)] = ()
    """Ids of named products, which replace AOIs, dates and rules; empty where there are none."""

    @property
    def start_spec(self) -> str | None:
        """The start as a text that is equal exactly if it means the same; None where products are named."""
        return self.start.text if self.start else None

    @property
    def end_spec(self) -> str | None:
        """The end as a text that is equal exactly if it means the same; None where products are named."""
        return self.end.text if self.start else None

    @property
    def relative(self) -> bool:
        """Whether its interval is another one every day."""
        return self.start is not None and (self.start.relative or self.end.relative)

    def bound(self, sensed: datetime, now: datetime) -> DateSpec:
        """The end of the interval that leaves out what was sensed then."""
        return self.start if self.start is not None and sensed < self.start.resolve(now) else self.end

    def interval(self, now: datetime) -> tuple[datetime, datetime]:
        """The first and the last instant of sensing start that belong, both included; UTC.

        An end in whole seconds is the last microsecond of that second, so that scenes of catalogues which
        state fractions of seconds are not lost; cut to seconds it is what the manifest says.

        Raises:
            ValueError: the dataset names products and has no interval.
        """
        if self.start is None:
            raise ValueError(f"the dataset {self.name} names products and has no interval")
        return self.start.resolve(now), self.end.resolve(now)


class AoiTable(_Table):
    """Where an AOI is: `[aoi.NAME]`, in exactly one of four ways."""

    wkt: Annotated[str | None, _Reader(fields.document)] = None
    file: Annotated[str | None, _Reader(fields.text)] = None
    bbox: Annotated[
        tuple[float, float, float, float] | None,
        _Reader(fields.numbers(4, "west, south, east, north")),
    ] = None
    point: Annotated[tuple[float, float] | None, _Reader(fields.numbers(2, "longitude, latitude"))] = None
    radius_km: Annotated[float | None, _Reader(fields.above_zero)] = None
