"""A recorded catalogue: what an archive answered, kept in a file, and an archive that answers from it.

For reviewing a change of a manifest without network or account: the record is made where the account is, the plan from
it anywhere. JSON Lines: a head with the instant, then one line for each question with its answer. Links are left out;
whether a scene was online is kept.
"""

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any

from msgspec.structs import replace

from sedas_sync.archives.protocol import Archive, Orders, Warn, connections_of, server_time_of
from sedas_sync.errors import ArchiveError, IncompleteSearch, ManifestError
from sedas_sync.model.metadata import metadata_of, scene_from_metadata
from sedas_sync.model.scene import Download, Query, Scene

VERSION = 1
_ONLINE = "recorded:"
"""Stands for a link, which would not last."""
_LIMITS = ("satellite", "source_group", "product_type", "orbit_direction", "relative_orbit")


class Recorder:
    """Writes down every question and its answer on the way through.

    Args:
        archive: answers.
        key: its key in the manifest.
        out: open for writing text.
    """

    def __init__(self, archive: Archive, key: str, out: IO[str]) -> None:
        self._archive = archive
        self._key = key
        self._out = out
        self._lock = threading.Lock()
        self.identity = archive.identity
        self.orders: Orders | None = archive.orders
        self.connections = connections_of(archive)

    def find(self, query: Query, *, warn: Warn) -> Iterator[Scene]:
        """Yield what the archive does, and write it down when it is all there."""
        yield from self._noted({"find": _query_data(query)}, lambda told: self._archive.find(query, warn=told), warn)

    def look_up(self, ids: Iterable[str], *, warn: Warn) -> Iterator[Scene]:
        """Yield what the archive does, and write it down when it is all there."""
        asked = list(ids)
        yield from self._noted({"look_up": asked}, lambda told: self._archive.look_up(asked, warn=told), warn)

    def _noted(self, question: dict[str, Any], ask: Callable[[Warn], Iterator[Scene]], warn: Warn) -> Iterator[Scene]:
        scenes: list[Scene] = []
        warnings: list[str] = []

        def told(warning: str) -> None:
            warnings.append(warning)
            warn(warning)

        error: str | None = None
        try:
            for scene in ask(told):
                scenes.append(scene)
                yield scene
        except ArchiveError as failed:
            error = str(failed)
            raise
        finally:
            answer = {
                "archive": self._key,
                "identity": self.identity,
                **question,
                "scenes": [{**json.loads(metadata_of(scene)), "online": scene.online} for scene in scenes],
                "warnings": warnings,
                "error": error,
            }
            with self._lock:
                self._out.write(json.dumps(answer) + "\n")

    @property
    def server_time(self) -> datetime | None:
        """What the clock of the archive's server shows now."""
        return server_time_of(self._archive)

    def locate(self, scene: Scene, *, refused: Download | None = None) -> Download:
        """Ask the archive."""
        return self._archive.locate(scene, refused=refused)

    def stop(self) -> None:
        """Stop the archive."""
        self._archive.stop()

    def close(self) -> None:
        """Close the archive."""
        self._archive.close()


def write_head(out: IO[str], now: datetime) -> None:
    """Begin a record: relative dates will be counted from this instant."""
    out.write(json.dumps({"sedas_sync_record": VERSION, "now": now.isoformat()}) + "\n")


@dataclass(frozen=True, slots=True)
class _Answer:
    query: Query | None
    scenes: tuple[Scene, ...]
    warnings: tuple[str, ...]
    error: str | None


class Record:
    """A record that has been read."""

    def __init__(
        self, now: datetime, answers: Mapping[str, tuple[_Answer, ...]], identities: Mapping[str, str]
    ) -> None:
        self.now = now
        self._answers = answers
        self._identities = identities

    def archive(self, key: str) -> "Replay":
        """The archive that the manifest names so, as it was recorded."""
        return Replay(key, self._answers.get(key, ()), self._identities.get(key))


def read_record(lines: Iterable[str], source: str) -> Record:
    """Read a record.

    Raises:
        ManifestError: it is none, or of a version this program does not know.
    """
    try:
        head, *rest = (json.loads(line) for line in lines)
        if head["sedas_sync_record"] != VERSION:
            raise ManifestError(
                f"{source}: a record of version {head['sedas_sync_record']}, this program reads {VERSION}"
            )
        answers: dict[str, list[_Answer]] = {}
        identities: dict[str, str] = {}
        for line in rest:
            if "identity" in line:
                identities[line["archive"]] = str(line["identity"])
            answers.setdefault(line["archive"], []).append(_answer(line))
        now = datetime.fromisoformat(head["now"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ManifestError(f"{source}: is no record; `plan --record FILE` makes one") from None
    return Record(now, {key: tuple(items) for key, items in answers.items()}, identities)


def _answer(line: dict[str, Any]) -> _Answer:
    scenes = []
    for item in line["scenes"]:
        online = item.pop("online")
        scenes.append(replace(scene_from_metadata(item), download_url=_ONLINE + item["id"] if online else None))
    query = _query_of(line["find"]) if "find" in line else None
    return _Answer(query, tuple(scenes), tuple(line["warnings"]), line["error"])


class Replay:
    """An archive that answers from a record.

    A question that was recorded gets its answer; a narrower one gets the answer of a recorded one that holds it, since
    answers may hold more than was asked for. Anything else is an `IncompleteSearch`: the record cannot know.

    It goes by the name of the archive that was recorded, since held files are measured only by the archive they are of.
    """

    orders: Orders | None = None

    def __init__(self, key: str, answers: tuple[_Answer, ...], identity: str | None = None) -> None:
        self.identity = identity or f"recorded {key}"
        self._answers = answers

    def find(self, query: Query, *, warn: Warn) -> Iterator[Scene]:
        """Yield the recorded answer to this question, or to one that holds it."""
        covering = [answer for answer in self._answers if answer.query is not None and _holds(answer.query, query)]
        best = min(covering, key=lambda answer: answer.error is not None, default=None)
        if best is None:
            raise IncompleteSearch(
                "the record holds no answer to this question: it reaches beyond what was recorded; record it again"
            )
        for warning in best.warnings:
            warn(warning)
        yield from best.scenes
        if best.error is not None:
            raise IncompleteSearch(f"when it was recorded: {best.error}")

    def look_up(self, ids: Iterable[str], *, warn: Warn) -> Iterator[Scene]:
        """Yield what was recorded of these scenes, by whatever question."""
        del warn
        known = {scene.id: scene for answer in self._answers for scene in answer.scenes}
        yield from (known[scene_id] for scene_id in ids if scene_id in known)

    def locate(self, scene: Scene, *, refused: Download | None = None) -> Download:
        """There is nothing to fetch from a record."""
        del refused
        raise ArchiveError(f"{scene.id}: a record has no bytes")

    def stop(self) -> None:
        """Nothing is under way."""

    def close(self) -> None:
        """Nothing is open."""


def _holds(recorded: Query, asked: Query) -> bool:
    """Whether everything that answers `asked` was in the answer to `recorded`."""
    if not (recorded.start <= asked.start and asked.stop <= recorded.stop):
        return False
    if recorded.sensor not in ("all", asked.sensor) or not set(recorded.polarisation) <= set(asked.polarisation):
        return False
    if any(getattr(recorded, name) not in (None, getattr(asked, name)) for name in _LIMITS):
        return False
    if recorded.tile and not (asked.tile and set(asked.tile) <= set(recorded.tile)):
        return False
    if any(asked.filters.get(name) != value for name, value in recorded.filters.items()):
        return False
    if not _at_most(recorded.max_cloud_cover, asked.max_cloud_cover):
        return False
    if recorded.aoi == asked.aoi:
        least, wanted = recorded.min_aoi_coverage, asked.min_aoi_coverage
        return least is None or (wanted is not None and least <= wanted)
    # Coverage is of the AOI that was asked for: figures for another one say nothing.
    return recorded.min_aoi_coverage is None and _covers(recorded.aoi, asked.aoi)


def _at_most(recorded: float | None, asked: float | None) -> bool:
    return recorded is None or (asked is not None and asked <= recorded)


def _covers(outer: str, inner: str) -> bool:
    import shapely  # noqa: PLC0415  # slow to import, and only needed where an AOI has changed

    return bool(shapely.from_wkt(outer).covers(shapely.from_wkt(inner)))


def _query_data(query: Query) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for name in Query.__struct_fields__:
        value = getattr(query, name)
        data[name] = value.isoformat() if isinstance(value, datetime) else value
    return {**data, "filters": _thawed(query.filters)}


def _thawed(value: Any) -> Any:
    """A tree of frozen mappings as JSON data."""
    if isinstance(value, Mapping):
        return {name: _thawed(item) for name, item in value.items()}
    return [_thawed(item) for item in value] if isinstance(value, list | tuple) else value


def _frozen(value: Any) -> Any:
    """JSON data as a manifest's filters have it."""
    if isinstance(value, dict):
        return {name: _frozen(item) for name, item in value.items()}
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _query_of(data: dict[str, Any]) -> Query:
    values = {name: data[name] for name in Query.__struct_fields__ if name in data}
    for name in ("start", "stop"):
        values[name] = datetime.fromisoformat(values[name])
    values.update({name: tuple(values[name]) for name in ("polarisation", "tile") if name in values})
    return Query(**{**values, "filters": _frozen(values["filters"])})
