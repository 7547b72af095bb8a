"""What a catalogue is, how a search is read and judged, and the catalogue made of given rows.

A row is one product object of the archive's wire protocol, as JSON text. Addresses in it are written with the
placeholders of `download_link`, `quicklook_link` and `thumbnail_link`, which the server fills in when it
answers, so that a catalogue neither knows nor cares where it is served.
"""

import json
import re
from calendar import timegm
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import md5
from pathlib import Path
from threading import Lock
from typing import Any, Literal, NamedTuple, Protocol, overload
from urllib.parse import quote

import numpy as np
import shapely
from shapely.geometry import Polygon

from sedas_sync.sandbox.product import Spec, spec_of

Sensor = Literal["Optical", "SAR"]

ORIGIN = "{{origin}}"
"""Placeholder for the scheme, host and port of the sandbox."""
BYTES = "{{bytes}}"
"""Placeholder for what stands before the id in a download address."""
ZIP = "{{zip}}"
"""Placeholder for what stands behind it."""

CHANNELS = ("HH", "HV", "VH", "VV")

_INSTANT = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)Z")
_AOI = re.compile(r"\s*POLYGON\s*\(", re.IGNORECASE)
_ENUMS: Mapping[str, tuple[str, ...]] = {
    "opticalProductType": ("ALL", "L1C", "ARD", "L3"),
    "sarProductType": ("ALL", "SLC", "GRD", "SCD"),
    "orbitDirection": ("ALL", "ASCENDING", "DESCENDING"),
}
_SENSORS: tuple[Literal["All", "SAR", "Optical"], ...] = ("All", "SAR", "Optical")
_PERCENTS = ("maxCloudPercent", "minCoveragePercent")
_FIELDS = ("sensorFilters", "filters", "aoiWKT", "start", "stop", "satelliteName", "sourceGroup")


class BadRequestError(Exception):
    """A request the archive refuses with status 400; the message is its `errorMessage`."""


class Facts(NamedTuple):
    """What the filters of a search look at, of one product."""

    start: int
    """Sensing start, POSIX seconds."""
    id: str
    """`supplierId`, or what stands for it where there is none."""
    sensor: Sensor
    satellite: str
    group: str
    product_type: str | None
    direction: str | None
    polarisation: str | None
    cloud: float | None


class Hit(NamedTuple):
    """A product that a search found, before its row is made."""

    start: int
    id: str
    satellite: str
    ref: Any
    """The catalogue's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A search of the wire protocol, read and found sound."""

    wkt: str
    aoi: Polygon
    start: int
    """POSIX seconds, included."""
    stop: int
    """The same."""
    sensor: Literal["All", "SAR", "Optical"] = "All"
    satellite: str | None = None
    group: str | None = None
    max_cloud: float | None = None
    min_coverage: float | None = None
    optical_type: str | None = None
    sar_type: str | None = None
    direction: str | None = None
    channels: frozenset[str] = frozenset()

    def admits(self, facts: Facts) -> bool:
        """Whether a product passes every filter but those of time and place.

        Filters on cloud and optical type act on optical products only, those on polarisation and SAR type on
        SAR products only, as the archive's vendor says is meant (geocento/SEDAS-issues 65).
        """
        if self.sensor not in ("All", facts.sensor):
            return False
        if self.satellite not in (None, facts.satellite) or self.group not in (None, facts.group):
            return False
        if self.direction not in (None, facts.direction):
            return False
        if facts.sensor == "Optical":
            clear = self.max_cloud is None or facts.cloud is None or facts.cloud <= self.max_cloud
            return clear and self.optical_type in (None, facts.product_type)
        has = set((facts.polarisation or "").split("/"))
        return self.channels <= has and self.sar_type in (None, facts.product_type)


class Catalogue(Protocol):
    """Where the sandbox gets its products from. Methods are called from several threads at once."""

    satellites: Mapping[str, str]
    """Source group of each satellite."""

    def find(self, search: Search, now: float) -> Sequence[Hit]:
        """Every product that matches, newest start first, those of one second in a fixed order."""
        ...

    def rows(self, hits: Sequence[Hit], search: Search | None) -> list[str]:
        """The rows of hits as JSON texts, with the figures that depend on the AOI where there is a search."""
        ...

    def look_up(self, scene: str, now: float) -> Hit | None:
        """The product with this `supplierId`, if the archive has it."""
        ...

    def online(self, hit: Hit) -> bool:
        """Whether the product can be downloaded without an order."""
        ...

    def spec(self, hit: Hit) -> Spec:
        """What its picture and its generated product show."""
        ...

    def file(self, hit: Hit) -> bytes | Path | None:
        """The product's bytes where they are given; None: they are to be generated from its `spec`."""
        ...


def download_link(scene: str) -> str:
    """Placeholder address of a product's bytes."""
    return f"{BYTES}{quote(scene, safe='')}{ZIP}"


def quicklook_link(scene: str) -> str:
    """Placeholder address of the picture for a map."""
    return f"{ORIGIN}/archiveql/{quote(scene, safe='')}.jpg"


def thumbnail_link(scene: str) -> str:
    """Placeholder address of the picture for a list."""
    return f"{ORIGIN}/qls/qlmgr.php?sceneid={quote(scene, safe='')}"


def instant(text: object) -> int:
    """POSIX seconds of `2019-05-06T11:06:21Z`.

    Raises:
        BadRequestError: It is not written like that, or no such moment exists.
    """
    match = _INSTANT.fullmatch(text) if isinstance(text, str) else None
    if match:
        year, month, day, hour, minute, second = map(int, match.groups())
        try:
            return timegm(datetime(year, month, day, hour, minute, second).timetuple())  # noqa: DTZ001 - UTC by its Z
        except ValueError:
            pass
    raise BadRequestError(f"Could not parse the date {text!r}, expected yyyy-MM-dd'T'HH:mm:ss'Z'")


def parse_search(body: object) -> Search:
    """Read the body of a search request.

    Raises:
        BadRequestError: Anything in it is missing, unknown or malformed.
    """
    if not isinstance(body, dict):
        raise BadRequestError("Can not deserialize instance of SearchRequest out of the given token")
    _no_strangers("SearchRequest", body, _FIELDS)
    filters = body.get("filters", {})
    if not isinstance(filters, dict):
        raise BadRequestError(_instantiation("ProductFilters"))
    _no_strangers("ProductFilters", filters, (*_ENUMS, *_PERCENTS, "polarisation"))
    enums = {name: _enum(filters.get(name), allowed) for name, allowed in _ENUMS.items()}
    percents = {name: _percent(filters.get(name)) for name in _PERCENTS}
    start, stop = instant(body.get("start")), instant(body.get("stop"))
    if stop < start:
        raise BadRequestError("The stop date lies before the start date")
    wkt = body.get("aoiWKT")
    return Search(
        wkt=str(wkt),
        aoi=_aoi(wkt),
        start=start,
        stop=stop,
        sensor=_sensor(body.get("sensorFilters")),
        satellite=_name(body.get("satelliteName"), "satelliteName"),
        group=_name(body.get("sourceGroup"), "sourceGroup"),
        max_cloud=percents["maxCloudPercent"],
        min_coverage=percents["minCoveragePercent"],
        optical_type=enums["opticalProductType"],
        sar_type=enums["sarProductType"],
        direction=enums["orbitDirection"],
        channels=_channels(filters.get("polarisation")),
    )


def _instantiation(name: str) -> str:
    return (
        f"Instantiation of [simple type, class com.geocento.webapps.sedas.extapi.server.domain.{name}] "
        "value failed: HTTP 500 Internal Server Error"
    )


def _no_strangers(name: str, given: Mapping[str, Any], known: Iterable[str]) -> None:
    for key in given:
        if key not in known:
            raise BadRequestError(
                f'Unrecognized field "{key}" (class com.geocento.webapps.sedas.extapi.server.domain.{name}), '
                "not marked as ignorable"
            )


def _enum(value: object, allowed: tuple[str, ...]) -> str | None:
    if value is None or value == "ALL":
        return None
    if value not in allowed:
        raise BadRequestError(_instantiation("ProductFilters"))
    return str(value)


def _percent(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:  # noqa: PLR2004 - percent
        raise BadRequestError(_instantiation("ProductFilters"))
    return float(value)


def _channels(value: object) -> frozenset[str]:
    if value is None or value == "ALL":
        return frozenset()
    found = frozenset(re.split(r"[/+,]", value)) if isinstance(value, str) else frozenset({""})
    if not found <= set(CHANNELS):
        raise BadRequestError(_instantiation("ProductFilters"))
    return found


def _sensor(value: object) -> Literal["All", "SAR", "Optical"]:
    if isinstance(value, dict) and set(value) == {"type"}:
        for sensor in _SENSORS:
            if value["type"] == sensor:
                return sensor
    raise BadRequestError(_instantiation("SensorFilters"))


def _name(value: object, field: str) -> str | None:
    if value is None or (isinstance(value, str) and value):
        return value
    raise BadRequestError(f"The value of {field} is not a name")


def _polygon(wkt: str) -> Polygon | None:
    # Made anew for each question: what is prepared must not be used by two threads at once, or the process dies.
    try:
        shape = shapely.from_wkt(wkt)
    except shapely.errors.GEOSException:
        return None
    if not isinstance(shape, Polygon) or shape.is_empty or not shape.is_valid or not shape.area:
        return None
    west, south, east, north = shape.bounds
    if west < -180 or east > 180 or south < -90 or north > 90:  # noqa: PLR2004 - the ends of the world
        return None
    shapely.prepare(shape)
    return shape


def _aoi(wkt: object) -> Polygon:
    if not isinstance(wkt, str) or not wkt.strip():
        raise BadRequestError("No AoI was provided")
    shape = _polygon(wkt) if _AOI.match(wkt) else None
    if shape is None:
        raise BadRequestError("The AoI is not a valid WKT POLYGON")
    return shape


def equal_area(shapes: Any) -> Any:
    """Shapes in degrees laid out so that areas are true on the sphere, in square radians."""

    def lay(points: Any) -> Any:
        return np.column_stack((np.radians(points[:, 0]), np.sin(np.radians(points[:, 1]))))

    return shapely.transform(shapes, lay)


def coverage(aoi: Polygon, shapes: Any) -> tuple[Any, Any]:
    """How far shapes and an AOI cover each other.

    Returns:
        Two arrays of percents: of the AOI under each shape, and of each shape within the AOI.
    """
    common = shapely.area(equal_area(shapely.intersection(aoi, shapes)))
    whole = shapely.area(equal_area(shapes))
    return 100 * common / shapely.area(equal_area(aoi)), 100 * common / np.maximum(whole, 1e-300)


_GROUPS = (
    ("Sentinel-1", "S1"),
    ("Sentinel-2", "S2"),
    ("Pleiades", "Pleiades"),
    ("SPOT", "SPOT"),
    ("NovaSAR", "NovaSAR"),
)


def group_of(satellite: str) -> str:
    """Source group of a satellite by the beginning of its name; the name itself where that is unknown."""
    return next((group for prefix, group in _GROUPS if satellite.startswith(prefix)), satellite)


class _Hits(Sequence[Hit]):
    """Rows by their indices; what is cut off by a cap is never made into a `Hit`."""

    def __init__(self, hit: Callable[[int], Hit], indices: Any) -> None:
        self._hit = hit
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, at: int) -> Hit: ...
    @overload
    def __getitem__(self, at: slice) -> "_Hits": ...
    def __getitem__(self, at: int | slice) -> "Hit | _Hits":
        if isinstance(at, slice):
            return _Hits(self._hit, self.indices[at])
        return self._hit(int(self.indices[at]))


class RowCatalogue:
    """A catalogue of given product objects, answered verbatim.

    A hundred thousand rows are searched in milliseconds: they are sorted by time, each row is kept as the
    JSON text that is sent, footprints that rows have in common are kept once, and the last AOIs' answers are
    remembered.

    Args:
        rows: Product objects as the archive would send them. The placeholders of `download_link` and its like
        are
            filled in, everything else is sent as it is. A row without a `start`, or with one that cannot be
            read, is found by every time window; one whose `coordinatesWKT` cannot be read by every AOI.
        files: The bytes of products by `supplierId`, in memory or on disk, or a function that gives them.
        What it does
            not have is generated.
    """

    def __init__(
        self,
        rows: Iterable[Mapping[str, Any]],
        files: Mapping[str, bytes | Path] | Callable[[str], bytes | Path | None] | None = None,
    ) -> None:
        texts: list[str] = []
        facts: list[Facts] = []
        shapes: dict[Any, int] = {}
        which: list[int] = []
        for number, row in enumerate(rows):
            texts.append(json.dumps(row, ensure_ascii=False))
            facts.append(_facts(row, number))
            which.append(shapes.setdefault(_text(row.get("coordinatesWKT")), len(shapes)))
        order = sorted(range(len(texts)), key=lambda i: (-facts[i].start, facts[i].id))
        facts = [facts[i] for i in order]
        kinds: dict[Facts, int] = {}
        self._texts = [texts[i] for i in order]
        self._ids = [each.id for each in facts]
        self._ages = np.array([-each.start for each in facts], dtype=np.int64)
        self._clouds = np.array([np.nan if each.cloud is None else each.cloud for each in facts], dtype=np.float64)
        self._kind = np.array([kinds.setdefault(_kind(each), len(kinds)) for each in facts], dtype=np.int32)
        self._which = np.array([which[i] for i in order], dtype=np.int32)
        self._kinds = tuple(kinds)
        self._shapes = shapely.from_wkt(np.array(list(shapes), dtype=object), on_invalid="ignore")
        self._by_id = {scene: i for i, scene in reversed(list(enumerate(self._ids)))}
        self._files = files.get if isinstance(files, Mapping) else files
        self._places: dict[str, tuple[Any, Any]] = {}
        self._lock = Lock()
        named = sorted((kind.satellite, kind.group) for kind in kinds if kind.satellite)
        self.satellites: Mapping[str, str] = dict(named)

    def __len__(self) -> int:
        return len(self._texts)

    def find(self, search: Search, now: float) -> Sequence[Hit]:  # noqa: ARG002 - given rows do not age
        """See `Catalogue`."""
        first, last = np.searchsorted(self._ages, (-search.stop, -search.start + 1))
        timeless = np.searchsorted(self._ages, -_NEVER)
        candidates = np.concatenate((np.arange(first, last), np.arange(timeless, len(self._ages))))
        fits = np.array([search.admits(kind) for kind in self._kinds], dtype=bool)[self._kind[candidates]]
        over, percent = self._place(search)
        if over is not None:
            fits &= over[self._which[candidates]]
        if search.min_coverage is not None:
            fits &= percent[self._which[candidates]] >= search.min_coverage
        if search.max_cloud is not None:
            optical = np.array([kind.sensor == "Optical" for kind in self._kinds], dtype=bool)
            fits &= ~((self._clouds > search.max_cloud)[candidates] & optical[self._kind[candidates]])
        return _Hits(self._hit, candidates[fits])

    def rows(self, hits: Sequence[Hit], search: Search | None) -> list[str]:  # noqa: ARG002 - given rows are verbatim
        """See `Catalogue`."""
        texts = self._texts
        return [texts[i] for i in (hits.indices.tolist() if isinstance(hits, _Hits) else (hit.ref for hit in hits))]

    def look_up(self, scene: str, now: float) -> Hit | None:  # noqa: ARG002 - given rows do not age
        """See `Catalogue`."""
        index = self._by_id.get(scene)
        return None if index is None else self._hit(index)

    def _hit(self, index: int) -> Hit:
        return Hit(-int(self._ages[index]), self._ids[index], self._kinds[self._kind[index]].satellite, index)

    def online(self, hit: Hit) -> bool:
        """See `Catalogue`."""
        return bool(self._row(hit).get("downloadUrl"))

    def spec(self, hit: Hit) -> Spec:
        """See `Catalogue`."""
        return spec_of(self._row(hit))

    def file(self, hit: Hit) -> bytes | Path | None:
        """See `Catalogue`."""
        return self._files(hit.id) if self._files else None

    def _row(self, hit: Hit) -> dict[str, Any]:
        row: dict[str, Any] = json.loads(self._texts[hit.ref])
        return row

    def _place(self, search: Search) -> tuple[Any, Any]:
        """Per footprint: does it meet the AOI, and what percentage of it is covered, if that is asked."""
        with self._lock:
            known = self._places.get(search.wkt)
        if known is None or (known[1] is None and search.min_coverage is not None):
            unknown = shapely.is_missing(self._shapes)
            over = shapely.intersects(search.aoi, self._shapes) | unknown
            percent = None
            if search.min_coverage is not None:
                percent = np.where(unknown, 100.0, coverage(search.aoi, self._shapes)[0])
            known = (None if over.all() else over, percent)
            with self._lock:
                if len(self._places) >= _PLACES:
                    self._places.clear()
                self._places[search.wkt] = known
        return known


def make_row(
    scene: str,
    start: str,
    *,
    footprint: str = "POLYGON((-1.5 51.4,-1.1 51.4,-1.1 51.8,-1.5 51.8,-1.5 51.4))",
    satellite: str = "Sentinel-2A",
    online: bool = True,
    filehash: str | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A product object as the archive sends them, for catalogues of one's own.

    Args:
        scene: `supplierId`.
        start: `YYYY-MM-DDTHH:MM:SSZ`.
        footprint: WKT.
        satellite: Sentinel-1 and NovaSAR make it a SAR product, all others an optical one.
        online: Whether it has a `downloadUrl`, which leads to the sandbox.
        filehash: For `vendorSpecific`, if any.
        more: Further fields, which win over those made here; one that is None is left out.
    """
    sar = satellite.startswith(("Sentinel-1", "NovaSAR"))
    row: dict[str, Any] = {
        "productId": md5(scene.encode(errors="replace"), usedforsecurity=False).hexdigest(),
        "supplierId": scene,
        "type": "ARCHIVE",
        "satelliteName": satellite,
        "sensorType": "SAR" if sar else "Optical",
        "coordinatesWKT": footprint,
        "start": start,
        "stop": start,
        "productType": "GRD" if sar else "L1C",
        "polarisation": "VV/VH" if sar else None,
        "cloudCoveragePercent": None if sar else 0.0,
        "ql": quicklook_link(scene),
        "downloadUrl": download_link(scene) if online else None,
        "vendorSpecific": {"property": "vendorSpecific", "Filehash": filehash} if filehash else None,
        **more,
    }
    return {key: value for key, value in row.items() if value is not None}


_NEVER = -(1 << 62)
_PLACES = 64


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _kind(facts: Facts) -> Facts:
    """What the filters look at apart from the clouds: the same for many rows."""
    return facts._replace(start=0, id="", cloud=None)


def _facts(row: Mapping[str, Any], number: int) -> Facts:
    """Read a row that may be anything; what makes no sense counts as not given."""
    try:
        start = instant(row.get("start"))
    except BadRequestError:
        start = _NEVER
    scene = row.get("supplierId")
    satellite = _text(row.get("satelliteName")) or ""
    cloud = row.get("cloudCoveragePercent")
    return Facts(
        start,
        scene if isinstance(scene, str) else f"#{number}",
        "SAR" if row.get("sensorType") == "SAR" else "Optical",
        satellite,
        group_of(satellite),
        _text(row.get("productType")),
        _text(row.get("orbitDirection")),
        _text(row.get("polarisation")),
        float(cloud) if isinstance(cloud, int | float) else None,
    )
