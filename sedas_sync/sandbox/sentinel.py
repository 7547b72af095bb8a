"""The generated catalogue: Sentinel-1 and Sentinel-2 scenes over three regions, from 2019 until yesterday.

Nothing but the table of frames is stored. A search selects the frames over the AOI and adds repeat cycles to them
until they are in its window. Planned acquisitions, one per datatake and region, cover the next fourteen days.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import shapely

from sedas_sync.sandbox.catalogue import Hit, download_link, quicklook_link, thumbnail_link
from sedas_sync.sandbox.frames import DAY, SATELLITES, Frame, load_frames
from sedas_sync.sandbox.product import Spec, digest
from sedas_sync.sandbox.recordings import Recording, archived_only, hash_of, recordings
from sedas_sync.sandbox.search import BadRequestError, Search, coverage, iso_time, posix_time

FIRST = 1_546_300_800
"""The archive starts at 2019-01-01T00:00:00Z."""
PLANNED_DAYS = 14
"""For how many days planned acquisitions are known."""
EXAMPLE = "S1B_IW_GRDH_1SDV_20190528T105030_20190528T105055_016443_01EF3E_5E4F"
"""A scene that tutorials of the archive look up; it is in the catalogue over Great Britain."""

_NAME = re.compile(r"(S[12][AB])_(?:IW|MSIL1C)_.*?(\d{4})(\d\d)(\d\dT\d\d)(\d\d)(\d\d)_.*")  # the first time in an id
_DIGESTS = 1 << 18


class SentinelCatalogue:
    """The catalogue of Sentinel-1A, 1B, 2A and 2B over the regions of `sedas_sync.sandbox.frames`."""

    satellites: Mapping[str, str] = {satellite.name: satellite.group for satellite in SATELLITES.values()}

    _digests: ClassVar[dict[str, str]] = {}
    """By id, of the products of every catalogue: a digest takes the whole product."""

    def find(self, search: Search, now: float) -> list[Hit]:
        """See `Catalogue`."""
        recorded = max(search.start, FIRST), min(search.stop, _archive_end(now))
        planned = max(search.start, int(now) + 1), min(search.stop, int(now) + PLANNED_DAYS * DAY)
        hits = [
            _hit(recording)
            for frame in _over(search)
            for recording in recordings(frame, *(planned if frame.planned else recorded))
            if search.matches(recording.facts)
        ]
        hits.sort(key=lambda hit: (-hit.start, hit.id))
        return hits

    def rows(self, hits: Sequence[Hit], search: Search | None) -> list[str]:
        """See `Catalogue`."""
        percents: dict[str, tuple[float, float]] = {}
        if search is not None and hits:
            shapes = {hit.ref.frame.footprint.wkt: hit.ref.frame.footprint.shape for hit in hits}
            covered = coverage(search.aoi, np.array(list(shapes.values()), dtype=object))
            percents = {wkt: (float(round(a)), float(round(u))) for wkt, a, u in zip(shapes, *covered, strict=True)}
        encode = json.JSONEncoder(check_circular=False).encode
        return [encode(self._row(hit.ref, percents.get(hit.ref.frame.footprint.wkt, (0.0, 0.0)))) for hit in hits]

    def look_up(self, scene: str, now: float) -> Hit | None:
        """See `Catalogue`."""
        match = _NAME.fullmatch(scene)
        if match is None:
            return None
        short, year, month, hour, minute, second = match.groups()
        try:
            start = posix_time(f"{year}-{month}-{hour}:{minute}:{second}Z")
        except BadRequestError:  # a date that does not exist
            return None
        if not FIRST <= start <= _archive_end(now):
            return None
        frames = _by_time().get((short, start % SATELLITES[short].cycle), ())
        found = (recording for frame in frames for recording in recordings(frame, start, start))
        return next((_hit(recording) for recording in found if recording.id == scene), None)

    def online(self, hit: Hit) -> bool:
        """See `Catalogue`."""
        return not hit.ref.frame.planned and not archived_only(hit.id)

    def spec(self, hit: Hit) -> Spec:
        """See `Catalogue`."""
        recording: Recording = hit.ref
        frame, facts = recording.frame, recording.facts
        return Spec(
            id=hit.id,
            sensor=facts.sensor,
            satellite=facts.satellite,
            product_type=frame.kind,
            start=iso_time(recording.start),
            stop=iso_time(recording.start + frame.seconds),
            footprint=frame.footprint.wkt,
            orbit=recording.orbit,
            relative=frame.relative,
            direction=frame.direction,
            polarisation=facts.polarisation,
            cloud=facts.cloud,
            tile=frame.tile,
        )

    def file(self, hit: Hit) -> bytes | Path | None:  # noqa: ARG002  # nothing is stored here
        """See `Catalogue`: every product is generated."""
        return None

    def _digest(self, hit: Hit) -> str:
        known = self._digests.get(hit.id)
        if known is None:
            if len(self._digests) >= _DIGESTS:
                self._digests.clear()
            known = self._digests[hit.id] = digest(self.spec(hit))
        return known

    def _row(self, recording: Recording, percents: tuple[float, float]) -> dict[str, Any]:
        frame, facts, scene = recording.frame, recording.facts, recording.id
        row: dict[str, Any] = {
            "productId": hash_of(f"product {scene}").hex(),
            "supplierId": scene,
            "type": "ARCHIVE",
            "satelliteName": facts.satellite,
            "instrumentName": "SAR-C SAR" if facts.sensor == "SAR" else "MSI",
            "modeName": "IW" if facts.sensor == "SAR" else "Nominal",
            "sensorType": facts.sensor,
            "sensorResolution": 5.0 if frame.kind == "SLC" else 10.0,
            "coordinatesWKT": frame.footprint.wkt,
            "start": iso_time(recording.start),
            "stop": iso_time(recording.start + frame.seconds),
            "orbit": recording.orbit,
            "orbitDirection": frame.direction,
            "area": frame.footprint.area,
            "aoiCoveragePercent": percents[0],
            "usefulAreaPercent": percents[1],
        }
        if frame.planned:
            return _as_plan(row, recording)
        row |= {
            "productType": frame.kind,
            "latency": "Standard",
            "ql": quicklook_link(scene),
            "thumbnail": thumbnail_link(scene),
            "vendorSpecific": {"property": "vendorSpecific", "Filehash": self._digest(_hit(recording))},
        }
        if facts.cloud is not None:
            row["cloudCoveragePercent"] = facts.cloud
        if facts.polarisation is not None:
            row["polarisation"] = facts.polarisation
        if not archived_only(scene):
            row["downloadUrl"] = download_link(scene)
        return row


def _as_plan(row: dict[str, Any], recording: Recording) -> dict[str, Any]:
    """Turn the row of a scene into that of a planned acquisition."""
    row["type"] = "PLANNEDACQ"
    if hash_of(f"plan {recording.id}")[0] % 2:  # the older kind, with the datatake in the place of a scene's id
        row["supplierId"] = f"{recording.frame.satellite.short}-{recording.orbit}"
    else:
        row["acqPlanId"] = row.pop("supplierId")
    return row


def _hit(recording: Recording) -> Hit:
    return Hit(recording.start, recording.id, recording.facts.satellite, recording)


def _archive_end(now: float) -> int:
    """Return the last second of the day before now."""
    return int(now) // DAY * DAY - 1


def _over(search: Search) -> Iterator[Frame]:
    """Yield the frames that intersect the AOI, cover enough of it, and may match the other filters."""
    shapes, frames = load_frames()
    over = np.flatnonzero(shapely.intersects(search.aoi, shapes))
    if search.min_coverage is not None:
        over = over[coverage(search.aoi, shapes[over])[0] >= search.min_coverage]
    for index in over.tolist():
        yield from (frame for frame in frames[index] if search.matches(frame.facts))


@cache
def _by_time() -> dict[tuple[str, int], list[Frame]]:
    """Return the frames by satellite and second of its repeat cycle."""
    found: dict[tuple[str, int], list[Frame]] = {}
    for frames in load_frames().over:
        for frame in frames:
            if not frame.planned:
                key = frame.satellite.short, frame.start % frame.satellite.cycle
                found.setdefault(key, []).append(frame)
    return found
