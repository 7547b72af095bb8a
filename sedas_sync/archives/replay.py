"""Records of an archive's answers, and an archive that answers from a record.

With a record, a change of a manifest can be reviewed without network and account. The record is JSON Lines: a header
with the time, then one line for each query with its answer. Links are left out because they expire; whether a scene was
online is kept.
"""

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import IO, Any

import msgspec
import numpy as np  # noqa: F401  # before shapely, which prints a traceback if there is no memory for numpy
import shapely
from msgspec import Struct
from msgspec.structs import replace

from sedas_sync.archives.protocol import Archive, ArchiveWrapper, Warn
from sedas_sync.errors import ArchiveError, IncompleteSearch, ManifestError
from sedas_sync.model.metadata import metadata_of, scene_from_metadata
from sedas_sync.model.scene import Download, Query, RemoteFile, Scene
from sedas_sync.planning.filters import search_includes

VERSION = 1
_ONLINE = "recorded:"
"""The start of the link of an online scene, in place of the real link."""


class Recorder(ArchiveWrapper):
    """An archive that writes each query and its answer to a record.

    Args:
        archive: The archive that answers.
        key: Its key in the manifest.
        out: Where to write, open for text.
    """

    def __init__(self, archive: Archive, key: str, out: IO[str]) -> None:
        super().__init__(archive)
        self._key = key
        self._out = out
        self._lock = threading.Lock()

    def find(self, query: Query, *, warn: Warn) -> Iterator[Scene]:
        """Yield the scenes that the archive finds, then record them."""
        question = {"find": msgspec.to_builtins(query, enc_hook=dict)}
        return self._recorded(question, lambda warn: self._archive.find(query, warn=warn), warn)

    def look_up(self, ids: Iterable[str], *, warn: Warn) -> Iterator[Scene]:
        """Yield the scenes that the archive looks up, then record them."""
        wanted = list(ids)
        return self._recorded({"look_up": wanted}, lambda warn: self._archive.look_up(wanted, warn=warn), warn)

    def _recorded(
        self, question: dict[str, Any], ask: Callable[[Warn], Iterator[Scene]], warn: Warn
    ) -> Iterator[Scene]:
        scenes: list[Scene] = []
        warnings: list[str] = []
        error: str | None = None

        def record_warning(warning: str) -> None:
            warnings.append(warning)
            warn(warning)

        try:
            for scene in ask(record_warning):
                scenes.append(scene)
                yield scene
        except ArchiveError as failure:
            error = str(failure)
            raise
        finally:
            line = {
                "archive": self._key,
                "identity": self.identity,
                **question,
                "scenes": [{**json.loads(metadata_of(scene)), "online": scene.online} for scene in scenes],
                "warnings": warnings,
                "error": error,
            }
            with self._lock:
                self._out.write(json.dumps(line) + "\n")


def write_head(out: IO[str], now: datetime) -> None:
    """Write the header of a record. Relative dates of the manifest count from this time."""
    out.write(json.dumps({"sedas_sync_record": VERSION, "now": now.isoformat()}) + "\n")


class _RecordedAnswer(Struct, frozen=True):
    query: Query | None
    """None if it is the answer to a look-up."""
    scenes: tuple[Scene, ...]
    warnings: tuple[str, ...]
    error: str | None


class Record(Struct, frozen=True):
    """A record that has been read."""

    now: datetime
    """Its time."""
    answers: Mapping[str, list[_RecordedAnswer]]
    """By the archive's key."""
    identities: Mapping[str, str]
    """By the archive's key."""

    def archive(self, key: str) -> "Replay":
        """Return the recorded archive that has a key in the manifest."""
        return Replay(key, self.answers.get(key, []), self.identities.get(key))


def read_record(lines: Iterable[str], source: str) -> Record:
    """Read a record.

    Args:
        lines: Its lines.
        source: Its file, for error messages.

    Raises:
        ManifestError: It is not a record, or one of another version.
    """
    answers: dict[str, list[_RecordedAnswer]] = {}
    identities: dict[str, str] = {}
    try:
        head, *rest = (json.loads(line) for line in lines)
        if head["sedas_sync_record"] != VERSION:
            raise ManifestError(
                f"{source}: this is a record of version {head['sedas_sync_record']}, but this program reads {VERSION}"
            )
        for line in rest:
            if "identity" in line:
                identities[line["archive"]] = str(line["identity"])
            answers.setdefault(line["archive"], []).append(_recorded_answer(line))
        now = datetime.fromisoformat(head["now"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ManifestError(f"{source}: this is not a record; `plan --record FILE` makes one") from None
    return Record(now, answers, identities)


def _recorded_answer(line: dict[str, Any]) -> _RecordedAnswer:
    scenes = []
    for item in line["scenes"]:
        online = item.pop("online")
        scenes.append(replace(scene_from_metadata(item), download_url=_ONLINE + item["id"] if online else None))
    query = None
    if "find" in line:
        query = msgspec.convert(line["find"], Query)
        query = replace(query, filters=_with_tuples(query.filters))
    return _RecordedAnswer(query, tuple(scenes), tuple(line["warnings"]), line["error"])


def _with_tuples(value: Any) -> Any:
    """Return JSON data with tuples for lists, as the filters of a manifest have them."""
    if isinstance(value, Mapping):
        return {name: _with_tuples(item) for name, item in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value


class Replay:
    """An archive that answers from a record.

    A recorded query gets its answer. A narrower query gets the answer of a recorded query that includes it, because
    answers may have more scenes than match. Any other query is an `IncompleteSearch`.

    Its identity is that of the recorded archive, so that local scenes are compared with the archive they came from.
    """

    def __init__(self, key: str, answers: Iterable[_RecordedAnswer], identity: str | None = None) -> None:
        self.identity = identity or f"recorded {key}"
        self._answers = tuple(answers)

    def find(self, query: Query, *, warn: Warn) -> Iterator[Scene]:
        """Yield the recorded answer to this query, or to one that includes it."""
        matching = [answer for answer in self._answers if answer.query is not None and _includes(answer.query, query)]
        best = min(matching, key=lambda answer: answer.error is not None, default=None)
        if best is None:
            raise IncompleteSearch(
                "the record has no answer to this query because the query asks for more than was recorded; "
                "make a new record"
            )
        for warning in best.warnings:
            warn(warning)
        yield from best.scenes
        if best.error is not None:
            raise IncompleteSearch(f"when it was recorded: {best.error}")

    def look_up(self, ids: Iterable[str], *, warn: Warn) -> Iterator[Scene]:
        """Yield the scenes with these ids from all recorded answers."""
        del warn
        known = {scene.id: scene for answer in self._answers for scene in answer.scenes}
        yield from (known[scene_id] for scene_id in ids if scene_id in known)

    def locate(self, scene: Scene, file: RemoteFile | None = None, *, refused: Download | None = None) -> Download:
        """Raise an error, because a record has no links."""
        del file, refused
        raise ArchiveError(f"{scene.id}: a record has no files to download")

    def stop(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def _includes(recorded: Query, query: Query) -> bool:
    """Return whether all scenes that match `query` also match `recorded`."""
    if not (recorded.start <= query.start and query.stop <= recorded.stop):
        return False
    if not search_includes(recorded, query):
        return False
    if any(query.filters.get(name) != value for name, value in recorded.filters.items()):
        return False
    least = recorded.min_aoi_coverage
    if recorded.aoi == query.aoi:
        return least is None or (query.min_aoi_coverage is not None and query.min_aoi_coverage >= least)
    # A coverage is a share of the query's own AOI, so it cannot be compared with that of another AOI.
    return least is None and (recorded.aoi is None or _covers(recorded.aoi, query.aoi))


def _covers(outer: str, inner: str | None) -> bool:
    if inner is None:
        return False
    return bool(shapely.from_wkt(outer).covers(shapely.from_wkt(inner)))
