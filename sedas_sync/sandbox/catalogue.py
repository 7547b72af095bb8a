"""Catalogues: the interface that the sandbox needs, and a catalogue of given rows.

A row is one product object of the wire protocol, as JSON text. Its addresses contain placeholders (see
`download_link`, `quicklook_link` and `thumbnail_link`) that the server fills in when it answers, so a catalogue
does not depend on the address of its server.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import md5
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, Protocol, overload
from urllib.parse import quote

import numpy as np
import shapely

from sedas_sync.model.satellites import group_of
from sedas_sync.sandbox.product import Spec, spec_of
from sedas_sync.sandbox.search import BadRequestError, Facts, Search, coverage, posix_time

ORIGIN = "{{origin}}"
"""Placeholder for the scheme, host and port of the sandbox."""
BYTES = "{{bytes}}"
"""Placeholder for the part of a download address before the id."""
ZIP = "{{zip}}"
"""Placeholder for the part of a download address after the id."""


class Hit(NamedTuple):
    """A scene that a search found, before its row is made."""

    start: int
    """POSIX seconds."""
    id: str
    """`supplierId`, or a substitute if the row has none."""
    satellite: str
    ref: Any
    """For the catalogue's own use."""


class Catalogue(Protocol):
    """The source of the sandbox's scenes. Several threads call its methods at the same time."""

    satellites: Mapping[str, str]
    """Source group of each satellite."""

    def find(self, search: Search, now: float) -> Sequence[Hit]:
        """Return every scene that matches, newest start first, and in a fixed order within a second."""
        ...

    def rows(self, hits: Sequence[Hit], search: Search | None) -> list[str]:
        """Return the rows of hits as JSON texts, with the coverage of the AOI if a search is given."""
        ...

    def look_up(self, scene: str, now: float) -> Hit | None:
        """Return the scene with this `supplierId`, or None."""
        ...

    def online(self, hit: Hit) -> bool:
        """Return whether the scene can be downloaded without an order."""
        ...

    def spec(self, hit: Hit) -> Spec:
        """Return what a picture and a generated product of the scene contain."""
        ...

    def file(self, hit: Hit) -> bytes | Path | None:
        """Return the product if the catalogue has it; None means to generate it from its `spec`."""
        ...


def download_link(scene: str) -> str:
    """Return the placeholder address of a product."""
    return f"{BYTES}{quote(scene, safe='')}{ZIP}"


def quicklook_link(scene: str) -> str:
    """Return the placeholder address of the large picture."""
    return f"{ORIGIN}/archiveql/{quote(scene, safe='')}.jpg"


def thumbnail_link(scene: str) -> str:
    """Return the placeholder address of the small picture."""
    return f"{ORIGIN}/qls/qlmgr.php?sceneid={quote(scene, safe='')}"


class _Hits(Sequence[Hit]):
    """Hits by index, made when they are read: rows that a cap cuts off are never made into a `Hit`."""

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
    """A catalogue of given product objects, which it sends unchanged.

    It searches a hundred thousand rows in milliseconds: rows are sorted by time and kept as the JSON text that is
    sent, each different footprint is kept once, and the results for the last AOIs are cached.

    Args:
        rows: Product objects as the archive sends them. Only the placeholders of `download_link` and the other
            links are replaced. A row without a valid `start` matches every time window; a row without a valid
            `coordinatesWKT` matches every AOI.
        files: Products by `supplierId`, in memory or on disk, or a function that returns them. Products that are
            not there are generated.
    """

    def __init__(
        self,
        rows: Iterable[Mapping[str, Any]],
        files: Mapping[str, bytes | Path] | Callable[[str], bytes | Path | None] | None = None,
    ) -> None:
        texts: list[str] = []
        ids: list[str] = []
        starts: list[int] = []
        facts: list[Facts] = []
        shapes: dict[Any, int] = {}
        which: list[int] = []
        for number, row in enumerate(rows):
            texts.append(json.dumps(row, ensure_ascii=False))
            scene = _text(row.get("supplierId"))
            ids.append(f"#{number}" if scene is None else scene)
            starts.append(_start(row))
            facts.append(_facts(row))
            which.append(shapes.setdefault(_text(row.get("coordinatesWKT")), len(shapes)))
        order = sorted(range(len(texts)), key=lambda i: (-starts[i], ids[i]))
        facts = [facts[i] for i in order]
        kinds: dict[Facts, int] = {}
        self._texts = [texts[i] for i in order]
        self._ids = [ids[i] for i in order]
        self._ages = np.array([-starts[i] for i in order], dtype=np.int64)
        self._clouds = np.array([np.nan if each.cloud is None else each.cloud for each in facts], dtype=np.float64)
        self._kind = np.array(
            [kinds.setdefault(each._replace(cloud=None), len(kinds)) for each in facts], dtype=np.int32
        )
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

    def find(self, search: Search, now: float) -> Sequence[Hit]:  # noqa: ARG002  # given rows do not age
        """See `Catalogue`."""
        first, last = np.searchsorted(self._ages, (-search.stop, -search.start + 1))
        timeless = np.searchsorted(self._ages, -_NEVER)
        candidates = np.concatenate((np.arange(first, last), np.arange(timeless, len(self._ages))))
        fits = np.array([search.matches(kind) for kind in self._kinds], dtype=bool)[self._kind[candidates]]
        over, percent = self._place(search)
        if over is not None:
            fits &= over[self._which[candidates]]
        if search.min_coverage is not None:
            fits &= percent[self._which[candidates]] >= search.min_coverage
        if search.max_cloud is not None:
            optical = np.array([kind.sensor == "Optical" for kind in self._kinds], dtype=bool)
            fits &= ~((self._clouds > search.max_cloud)[candidates] & optical[self._kind[candidates]])
        return _Hits(self._hit, candidates[fits])

    def rows(self, hits: Sequence[Hit], search: Search | None) -> list[str]:  # noqa: ARG002  # given rows are sent unchanged
        """See `Catalogue`."""
        texts = self._texts
        return [texts[i] for i in (hits.indices.tolist() if isinstance(hits, _Hits) else (hit.ref for hit in hits))]

    def look_up(self, scene: str, now: float) -> Hit | None:  # noqa: ARG002  # given rows do not age
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
        """Return for each footprint if it intersects the AOI, and the percent it covers if the search needs that."""
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
    """Make a product object as the archive sends it, for a `RowCatalogue`.

    Args:
        scene: `supplierId`.
        start: `YYYY-MM-DDTHH:MM:SSZ`.
        footprint: WKT.
        satellite: Sentinel-1 and NovaSAR make a SAR scene, all others an optical one.
        online: Whether it has a `downloadUrl`, which leads to the sandbox.
        filehash: Checksum for `vendorSpecific`.
        more: More fields, which replace those made here; None removes a field.
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


def _start(row: Mapping[str, Any]) -> int:
    try:
        return posix_time(row.get("start"))
    except BadRequestError:
        return _NEVER


def _facts(row: Mapping[str, Any]) -> Facts:
    """Read a row that may contain anything; a value of the wrong type counts as missing."""
    satellite = _text(row.get("satelliteName")) or ""
    cloud = row.get("cloudCoveragePercent")
    return Facts(
        "SAR" if row.get("sensorType") == "SAR" else "Optical",
        satellite,
        group_of(satellite) or satellite,
        _text(row.get("productType")),
        _text(row.get("orbitDirection")),
        _text(row.get("polarisation")),
        float(cloud) if isinstance(cloud, int | float) else None,
    )
