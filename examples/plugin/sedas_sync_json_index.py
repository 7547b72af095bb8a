"""A type of archive for sedas-sync: scenes listed in one JSON file, with links to their zips.

The file is a list of objects with `id` and `url`, and if known `start` (ISO 8601), `footprint` (WKT), `cloud_cover`
(percent), `size` (bytes) and `sha256`.
"""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Annotated, Any, cast
from urllib.request import urlopen

from pydantic import Field

from sedas_sync.archives import plugin


class JsonIndexConfig(plugin.WebArchiveConfig):
    """The table of an archive of type `json-index`."""

    only: Annotated[plugin.fields.Line, Field(description="A pattern that ids must match.")] = "*"


class JsonIndex:
    def __init__(self, url: str, only: str, timeout: float) -> None:
        self.identity = f"json-index {url}"
        self._url, self._only, self._timeout = url, only, timeout

    @cached_property
    def _scenes(self) -> dict[str, plugin.Scene]:
        try:
            with urlopen(self._url, timeout=self._timeout) as answer:  # noqa: S310  # the manifest allows no other scheme
                rows = json.load(answer)
            scenes = [_scene(row) for row in rows if fnmatchcase(row["id"], self._only)]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise plugin.ArchiveError(f"{self._url}: {error!r}") from error
        return {scene.id: scene for scene in scenes}

    def find(self, query: plugin.Query, *, warn: plugin.Warn) -> Iterator[plugin.Scene]:
        # Scenes that do not match are allowed, because the dataset's rules are applied again.
        yield from (s for s in self._scenes.values() if s.start is None or query.start <= s.start <= query.stop)

    def look_up(self, ids: Iterable[str], *, warn: plugin.Warn) -> Iterator[plugin.Scene]:
        yield from (self._scenes[one] for one in dict.fromkeys(ids) if one in self._scenes)

    def locate(self, scene: plugin.Scene, *, refused: plugin.Download | None = None) -> plugin.Download:
        if refused is not None or scene.download_url is None:
            raise plugin.ArchiveError(f"{scene.id}: the index has no other link")
        return plugin.Download(url=scene.download_url, size=scene.size, digest=scene.digest)

    def stop(self) -> None: ...

    def close(self) -> None: ...


def _scene(row: dict[str, Any]) -> plugin.Scene:
    start = datetime.fromisoformat(row["start"]) if row.get("start") else None
    known: dict[str, Any] = {name: row.get(name) for name in ("footprint", "cloud_cover", "size")}
    return plugin.Scene(id=row["id"], start=start, digest=row.get("sha256"), download_url=row["url"], **known)


def open_archive(opening: plugin.Opening) -> JsonIndex:
    config = cast(JsonIndexConfig, opening.config)
    return JsonIndex(config.url, config.only, timeout=opening.transfer.stall_timeout)


TYPE = plugin.ArchiveType(name="json-index", opener=open_archive, config=JsonIndexConfig)
