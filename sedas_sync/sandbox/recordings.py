"""Recordings: a frame at one time, with the id, clouds and processing that hashes choose for it.

Everything that is left to chance in nature follows from hashes of the frame and the orbit, so every sandbox has
the same catalogue.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

from sedas_sync.sandbox.frames import DAY, Frame
from sedas_sync.sandbox.search import Facts

_SEED = 100  # with this seed, the examples' fortnight at Harwell has clear, cloudy, online and offline scenes
_REPROCESSED_UNTIL = 1_609_459_200  # 2021-01-01
_BASELINES = (
    # processing baselines, newest first, and the POSIX time each came into use
    (1_705_363_200, "0510"),
    (1_670_284_800, "0509"),
    (1_643_068_800, "0400"),
    (1_625_011_200, "0301"),
    (1_580_774_400, "0209"),
    (1_562_544_000, "0208"),
    (0, "0207"),
)


@dataclass(frozen=True, slots=True)
class Recording:
    """One scene or planned acquisition of the generated catalogue."""

    frame: Frame
    id: str
    orbit: int
    start: int
    """POSIX time."""
    facts: Facts


def recordings(frame: Frame, first: int, last: int) -> Iterator[Recording]:
    """Yield the recordings of a frame that start between two POSIX times, both included.

    A Sentinel-2 recording is two scenes if it was processed again later.
    """
    satellite = frame.satellite
    low, high = -((frame.start - first) // satellite.cycle), (last - frame.start) // satellite.cycle
    for number in range(low, high + 1) if frame.scene is None else range(max(low, 0), min(high, 0) + 1):
        orbit, start = frame.orbit + number * satellite.orbits, frame.start + number * satellite.cycle
        optical = satellite.sensor == "Optical"
        if start >= satellite.last or (optical and not _is_light(frame, start)):
            continue
        if frame.planned:
            yield Recording(frame, f"{satellite.short}_{stamp(start)}_{orbit:06d}", orbit, start, frame.facts)
        elif optical:
            facts = frame.facts._replace(cloud=_cloud_cover(frame, orbit, start))
            for name in _tile_ids(frame, orbit, start):
                yield Recording(frame, name, orbit, start, facts)
        else:
            channels = _channels(frame, orbit)
            name = frame.scene or _slice_id(frame, orbit, start, channels)
            yield Recording(frame, name, orbit, start, frame.facts._replace(polarisation=channels))


def archived_only(scene: str) -> bool:
    """Return whether a scene is only in the long-term archive: one third of all scenes, by a hash of the id."""
    return int.from_bytes(_draw(f"lta {scene}")[:4], "big") % 3 == 0


def hash_of(text: str) -> bytes:
    """Return 16 bytes that depend on nothing but the text."""
    return blake2b(text.encode(), digest_size=16).digest()


def stamp(seconds: float) -> str:
    """Write a POSIX time as scene ids do, `20190512T110621`."""
    return time.strftime("%Y%m%dT%H%M%S", time.gmtime(seconds))


def _draw(text: str) -> bytes:
    return hash_of(f"{_SEED} {text}")


def _share(digest: bytes, at: int) -> float:
    """Return a number in [0, 1) from two bytes of a hash."""
    return (digest[at] << 8 | digest[at + 1]) / 65536


def _is_light(frame: Frame, start: int) -> bool:
    first, last = frame.region.optical_days
    return first <= time.gmtime(start).tm_yday <= last


def _channels(frame: Frame, orbit: int) -> str:
    """Return the channels of a Sentinel-1 datatake; one in 32 has a single one."""
    single = hash_of(f"polarisation {frame.satellite.short} {orbit} {frame.region.name}")[0] % 32 == 0
    return frame.region.channels.partition("/")[0] if single else frame.region.channels


def _slice_id(frame: Frame, orbit: int, start: int, channels: str) -> str:
    satellite = frame.satellite
    lot = hash_of(f"slice {satellite.short} {orbit} {frame.offset} {frame.kind} {frame.region.name}")
    datatake = int(orbit * satellite.datatakes) + frame.region.number * 2 + (frame.direction == "ASCENDING")
    kind = "GRDH" if frame.kind == "GRD" else "SLC_"
    return (
        f"{satellite.short}_IW_{kind}_1S{'D' if '/' in channels else 'S'}{channels[0]}"
        f"_{stamp(start)}_{stamp(start + frame.seconds)}_{orbit:06d}_{datatake:06X}_{lot[0]:02X}{lot[1]:02X}"
    )


@lru_cache(maxsize=4096)
def _weather(region: str, cloudiness: float, day: int) -> float:
    """Return the cloud cover of a region on a day; below 0 is clear, above 1 is overcast."""
    return (_share(_draw(f"weather {region} {day}"), 0) - 0.5) * 1.5 + cloudiness


def _cloud_cover(frame: Frame, orbit: int, start: int) -> float:
    weather = _weather(frame.region.name, frame.region.cloudiness, start // DAY)
    lot = _draw(f"cloud {frame.satellite.short} {orbit} {frame.tile}")
    return round(100 * min(1.0, max(0.0, weather + 0.5 * (_share(lot, 0) - 0.5))), 1)


@lru_cache(maxsize=4096)
def _processing(short: str, orbit: int, start: int) -> tuple[tuple[str, str], ...]:
    """Return baseline and processing time of a Sentinel-2 datatake; two pairs if it was processed again."""
    lot = _draw(f"processing {short} {orbit}")
    baseline = next(name for since, name in _BASELINES if start >= since)
    done = start + 7200 + int(5400 * _share(lot, 0))
    again = start + int((1460 + 90 * _share(lot, 2)) * DAY)
    newer = (("0500", stamp(again)),) if start < _REPROCESSED_UNTIL and lot[4] % 16 == 0 else ()
    return ((baseline, stamp(done)), *newer)


def _tile_ids(frame: Frame, orbit: int, start: int) -> Iterator[str]:
    short = frame.satellite.short
    for baseline, processed in _processing(short, orbit, start):
        yield f"{short}_MSIL1C_{stamp(start)}_N{baseline}_R{frame.relative:03d}_T{frame.tile}_{processed}"
