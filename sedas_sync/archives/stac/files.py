"""The files of a STAC item: assets selected by name, pattern or role, with safe file names.

Pure. A file has the same name whatever else is selected, because all assets of an item are named together.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from sys import intern
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import unquote, urljoin, urlsplit

from sedas_sync.archives.lenient import size_of
from sedas_sync.archives.s3_config import SCHEME, S3Config
from sedas_sync.archives.stac.multihash import digest_of
from sedas_sync.archives.stac.storage import Storage, storage_of
from sedas_sync.model.files import above
from sedas_sync.model.path_template import comparable
from sedas_sync.model.path_template import safe_name as _safe_name
from sedas_sync.model.scene import NOTHING, RemoteFile

safe_name = lru_cache(maxsize=1024)(_safe_name)

_NOT_DATA = frozenset(
    {"thumbnail", "overview", "metadata", "visual-overview", "preview", "tiles", "tilejson", "iso-19115"}
)
"""Roles, or names of assets without roles, that are not data (STAC best practices, "list of asset roles")."""
_NAMES_OF_NO_DATA = frozenset({"rendered-preview", "info", "browse", "index"})
_HTTP = ("https://", "http://")
_PACKED = frozenset({"application/zip", "application/x-zip", "application/x-zip-compressed", "application/x-tar"})
_PACKED_ENDINGS = (".zip", ".tar", ".tgz", ".tar.gz")
_WHOLE = frozenset({"product", "archive", "bundle", "package", "all", "safe", "zip", "tar"})
"""Words in the key or title of a zip or tar that has the whole product."""
_FORMAT = re.compile(r"[-_.](?:jp2|cog|geotiff|tiff?|s3|https?)$|^(?:s3|https?)[-_.]")
"""The word of a key that names a format or a place, as in `red-jp2`."""
_ENDINGS = MappingProxyType(
    {
        "application/zip": ".zip", "image/tiff": ".tif", "image/jp2": ".jp2", "image/png": ".png",
        "image/jpeg": ".jpg", "application/netcdf": ".nc", "application/x-netcdf": ".nc", "application/x-hdf5": ".h5",
        "application/x-hdf": ".hdf", "application/xml": ".xml", "text/xml": ".xml", "application/json": ".json",
        "application/geo+json": ".geojson", "text/plain": ".txt", "application/gzip": ".gz",
        "application/x-tar": ".tar", "application/pdf": ".pdf",
    }
)  # fmt: skip
"""The ending of a file's name by its media type, for a file whose link shows none."""
_ENDING = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,9}$")
_GLACIAL = frozenset({"archive", "coldarchive", "deeparchive", "glacier", "glacierdeeparchive",
                      "glacierflexibleretrieval"})  # fmt: skip
"""Storage tiers, without spaces and signs, that cannot be read at once (storage extension 1.0)."""
_ALWAYS_ONLINE = frozenset({"GCP", "GOOGLE"})
"""Platforms whose archive tiers can be read at once."""
_UNAVAILABLE = {
    "orderable": "it must be ordered",
    "ordered": "it has been ordered",
    "pending": "its order is pending",
    "shipping": "it is being delivered",
    "failed": "its order failed",
    "canceled": "its order was cancelled",
}
"""States of the order extension 1.1 in which a file cannot be downloaded."""


class Choice(NamedTuple):
    """Which assets of an item are the files of a scene."""

    keys: tuple[str, ...]
    """Of the chosen assets, sorted."""
    files: tuple[RemoteFile, ...]
    """Their files, sorted by name; without links if none of them can be downloaded."""
    unselected: tuple[str, ...]
    """Names of the files of all other assets."""
    problems: Mapping[str, str]
    """The assets that should be chosen but cannot be downloaded, each with a sentence that says why."""
    storages: Mapping[str, Storage] = NOTHING
    """The storage of the files that are in buckets, by their key."""

    @property
    def fetchable(self) -> bool:
        """Whether anything can be downloaded."""
        return any(file.url is not None for file in self.files)


def choose(item: Mapping[str, Any], base: str, patterns: Sequence[str], buckets: S3Config | None = None) -> Choice:
    """Choose the assets of an item that are the files of a scene.

    With patterns: all assets of which the key matches one. Without: assets with the role `data`, or else all assets
    except thumbnails, overviews and metadata; of these

    1. an archive of the whole product alone, if there is one
    2. of twins, which are the same data in another format or at another place, the first of: can be downloaded, not
       JPEG 2000, first by key.

    A link of an asset is one to a bucket if `buckets` is given, or else http(s).

    Args:
        item: The item as the API sent it.
        base: URL that relative links are resolved against.
        patterns: Names or patterns of assets (`B0*`); case-sensitive.
        buckets: How files in buckets are downloaded; None if they are not.
    """
    links = _Links(base, item["properties"], buckets)
    assets = {key: asset for key, asset in item["assets"].items() if _has_link(asset)}
    if patterns:
        keys = sorted(key for key in assets if any(fnmatchcase(key, pattern) for pattern in patterns))
    else:
        keys = _data(assets)
    problems = {key: problem for key in keys if (problem := links.problem(assets[key]))}
    unavailable = problems.keys()
    chosen = [key for key in keys if key not in problems] or keys
    if not patterns:
        chosen = [key for key in chosen if _is_whole(key, assets[key])][:1] or _without_twins(chosen, assets)
        if problems:
            problems = _worth_reporting(problems, chosen, assets)
    urls = {key: None if key in problems else links.best(assets[key]) for key in chosen}
    found = {key: links.in_bucket(assets[key]) for key, url in urls.items() if url is not None and buckets is not None}
    storages = {key: one[1] for key, one in found.items() if one is not None}
    names = _names(item["assets"])
    others = _shared(tuple(sorted(name for key, name in names.items() if key not in urls and key not in unavailable)))
    return Choice(tuple(chosen), _files(item["assets"], urls, names), others, problems, storages)


@lru_cache(maxsize=1024)
def _shared(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return an equal tuple: a catalogue has few different ones, and all scenes share them."""
    return names


def _worth_reporting(problems: Mapping[str, str], chosen: list[str], assets: Mapping[str, Any]) -> dict[str, str]:
    """Return the problems of assets that are chosen, or have neither a chosen twin nor a zip with all of them."""
    taken = {mark for key in chosen for mark in _marks(key, assets[key])}
    whole = any(_is_whole(key, assets[key]) for key in chosen)
    return {
        key: problem
        for key, problem in problems.items()
        if key in chosen or not (whole or taken & _marks(key, assets[key]))
    }


def _data(assets: Mapping[str, Any]) -> list[str]:
    data = sorted(key for key, asset in assets.items() if "data" in _roles(asset))
    return data or sorted(key for key, asset in assets.items() if not _is_not_data(key, asset))


def _has_link(asset: Any) -> bool:
    return isinstance(asset, dict) and isinstance(asset.get("href"), str) and bool(asset["href"].strip())


def _roles(asset: Mapping[str, Any]) -> frozenset[str]:
    roles = asset.get("roles")
    return frozenset(role for role in roles if isinstance(role, str)) if isinstance(roles, list) else frozenset()


def _is_not_data(key: str, asset: Mapping[str, Any]) -> bool:
    roles = _roles(asset)
    return bool(roles & _NOT_DATA) if roles else key.lower().replace("_", "-") in _NOT_DATA | _NAMES_OF_NO_DATA


def _is_whole(key: str, asset: Mapping[str, Any]) -> bool:
    """Whether an asset is a zip or tar of the whole product, as those of the Copernicus Data Space."""
    if media_type(asset) not in _PACKED and not _linked_name(asset).lower().endswith(_PACKED_ENDINGS):
        return False
    words = re.split(r"[^a-z]+", f"{key} {asset.get('title') or ''}".lower())
    return "archive" in _roles(asset) or not _WHOLE.isdisjoint(words)


def _without_twins(keys: list[str], assets: Mapping[str, Any]) -> list[str]:
    """Return the keys without twins: all have http(s) links, so the format decides, and then the key."""
    # Most items have no twins, and comparing bands takes time.
    seen: set[object] = set()
    for key in keys:
        signs = {
            _plain_key(key),
            ("title", str(assets[key].get("title"))),
            ("sum", str(assets[key].get("file:checksum"))),
        }
        if not seen.isdisjoint(signs - {("title", "None"), ("sum", "None")}):
            break
        seen |= signs
    else:
        return keys
    taken: set[tuple[object, ...]] = set()
    chosen = []
    for key in sorted(keys, key=lambda key: ("jp2" in media_type(assets[key]), key)):
        marks = _marks(key, assets[key])
        if taken.isdisjoint(marks):
            chosen.append(key)
        taken |= marks
    return sorted(chosen)


@lru_cache(maxsize=4096)
def _plain_key(key: str) -> str:
    return _FORMAT.sub("", key.lower())


def _marks(key: str, asset: Mapping[str, Any]) -> set[tuple[object, ...]]:
    """Return marks of which twins share one.

    They are the key without a word for a format or a place; title, bands and grid; and file name and checksum.
    """
    marks: set[tuple[object, ...]] = {("key", _plain_key(key))}
    title, bands, checksum = asset.get("title"), asset.get("bands") or asset.get("eo:bands"), asset.get("file:checksum")
    if title and bands:
        grid = (asset.get("gsd"), asset.get("proj:shape"))
        marks.add(("bands", json.dumps([title, bands, grid], sort_keys=True)))
    if checksum:
        marks.add(("file", _linked_name(asset), str(checksum)))
    return marks


def with_links(item: dict[str, Any], rewrite: Mapping[str, str]) -> dict[str, Any]:
    """Return an item with other links to its assets.

    Args:
        item: The item as the API sent it.
        rewrite: Beginnings of links, each with what replaces it. The longest that fits is used.
    """
    if not rewrite:
        return item
    starts = sorted(rewrite, key=len, reverse=True)

    def changed(asset: Any) -> Any:
        if not isinstance(asset, dict):
            return asset
        copy = dict(asset)
        link = str(asset.get("href"))
        start = next((one for one in starts if link.startswith(one)), None)
        if start is not None:
            copy["href"] = rewrite[start] + link[len(start) :]
        if isinstance(asset.get("alternate"), dict):
            copy["alternate"] = {key: changed(other) for key, other in asset["alternate"].items()}
        return copy

    return {**item, "assets": {key: changed(asset) for key, asset in item["assets"].items()}}


class _Links:
    """The links of an item's assets.

    Args:
        base: URL that relative links are resolved against.
        properties: Of the item.
        buckets: How files in buckets are downloaded; None if they are not.
    """

    def __init__(self, base: str, properties: Mapping[str, Any], buckets: S3Config | None) -> None:
        self._base = base
        self._properties = properties
        self._buckets = buckets

    def problem(self, asset: Mapping[str, Any]) -> str | None:
        """Explain why an asset cannot be downloaded, as a sentence; None if it can."""
        if "zarr" in media_type(asset):
            return "a Zarr store is a folder of many files that the catalogue does not list"
        try:
            url = self.best(asset)
        except ValueError:
            return "the link is not valid"
        if url.startswith(_HTTP) or (url.startswith(SCHEME) and self.in_bucket(asset) is not None):
            return None
        if not url.startswith(SCHEME):
            return f"the address is {urlsplit(url).scheme}://, not http or https"
        key = "s3 = { requester_pays = true }" if storage_of(self._properties, asset).requester_pays else "s3 = {}"
        paid = ", and your account then pays for the transfer" if "pays" in key else ""
        return f"the address is {SCHEME}; set `{key}` in the archive's table{paid}"

    def best(self, asset: Mapping[str, Any]) -> str:
        """Return the link to download: to a bucket if they are used, or else http(s), or else the asset's own."""
        found = self.in_bucket(asset)
        if found is not None:
            return found[0]
        links = self._all(asset)
        own = next(links)[0]
        if own.startswith(_HTTP):
            return own
        return next((url for url, _ in links if url.startswith(_HTTP)), own)

    def in_bucket(self, asset: Mapping[str, Any]) -> tuple[str, Storage] | None:
        """Return the first link to a bucket that may be used, and its storage; None if there is none."""
        if self._buckets is None:
            return None
        for url, parts in self._all(asset):
            if url.startswith(SCHEME):
                storage = storage_of(self._properties, *parts)
                if self._buckets.requester_pays or not storage.requester_pays:
                    return url, storage
        return None

    def _all(self, asset: Mapping[str, Any]) -> Iterator[tuple[str, tuple[Mapping[str, Any], ...]]]:
        """Yield the links of an asset (alternate-assets extension), each with what describes it."""
        yield joined(self._base, str(asset["href"])), (asset,)
        for other in _alternates(asset):
            yield joined(self._base, str(other["href"])), (other, asset)


def media_type(asset: Mapping[str, Any]) -> str:
    """Return the media type of an asset without parameters, in lower case; empty if it has none."""
    kind = asset.get("type")
    return kind.partition(";")[0].strip().lower() if isinstance(kind, str) else ""


def _files(
    assets: Mapping[str, Any], urls: Mapping[str, str | None], names: Mapping[str, str]
) -> tuple[RemoteFile, ...]:
    files: dict[str, RemoteFile] = {}
    for key, url in urls.items():
        asset = assets[key]
        files.setdefault(
            url or key,
            RemoteFile(
                # A catalogue has few different names: all scenes share them.
                name=intern(names[key]),
                key=intern(key),
                url=url,
                size=size_of(asset.get("file:size")),
                digest=digest_of(asset.get("file:checksum") or asset.get("checksum:multihash")),
            ),
        )
    return tuple(sorted(files.values(), key=lambda file: file.name))


def joined(base: str, href: str) -> str:
    """Resolve a link as `urljoin` does; fast if it is absolute.

    Raises:
        ValueError: It is not valid.
    """
    absolute = href.startswith(_HTTP) and href.isascii() and href.isprintable()
    return href if absolute and not any(odd in href for odd in ("[", "]", "/.", " ")) else urljoin(base, href)


def _alternates(asset: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    others = asset.get("alternate")
    for other in others.values() if isinstance(others, dict) else ():
        if isinstance(other, dict) and isinstance(other.get("href"), str):
            yield other


def unavailable_reason(item: Mapping[str, Any], keys: Iterable[str]) -> str | None:
    """Explain why files cannot be downloaded now, by the order and storage extensions; None if they can."""
    properties = item["properties"]
    for key in keys:
        asset = item["assets"][key]
        state = asset.get("order:status", properties.get("order:status"))
        if isinstance(state, str) and state in _UNAVAILABLE:
            return f"{_UNAVAILABLE[state]} (order:status is {state})"
        tier = asset.get("storage:tier", properties.get("storage:tier"))
        platform = str(asset.get("storage:platform", properties.get("storage:platform", ""))).upper()
        plain = "".join(sign for sign in str(tier).lower() if sign.isalnum())
        if plain in _GLACIAL and platform not in _ALWAYS_ONLINE:
            return f"its files are in cold storage (storage:tier is {tier})"
    return None


def _names(assets: Mapping[str, Any]) -> dict[str, str]:
    """Return a path below the scene's folder for every asset; no two assets share a file."""
    wanted = {key: _local_path(asset) or _file_name(key, asset) for key, asset in assets.items() if _has_link(asset)}
    same = {key: assets[key]["href"] for key in wanted}
    taken: Counter[str] = Counter()
    for plain, _ in {(comparable(name), same[key]) for key, name in wanted.items()}:
        taken[plain] += 1
        taken.update(above(plain))
    names = {}
    for key, name in wanted.items():
        plain = comparable(name)
        alone = taken[plain] == 1 and not any(folder in map(comparable, wanted.values()) for folder in above(plain))
        names[key] = name if alone else safe_name(f"{key}-{name.rpartition('/')[2]}")
    return names


def _local_path(asset: Mapping[str, Any]) -> str | None:
    """Return the path that the catalogue states for a file (file extension), if it is safe."""
    path = asset.get("file:local_path")
    if not isinstance(path, str) or not path or path.endswith("/"):
        return None
    path = path.removeprefix("./")
    return path if all(part and safe_name(part) == part for part in path.split("/")) else None


def _linked_name(asset: Mapping[str, Any]) -> str:
    """Return the last part of a link; empty if it has none."""
    address = asset["href"].partition("#")[0].partition("?")[0]
    above, _, name = address.rpartition("/")
    # After two slashes comes a host.
    return unquote(name) if name and not above.endswith("/") else ""


def _file_name(key: str, asset: Mapping[str, Any]) -> str:
    """Return the name of a file: of its link, its title or its key, the first that has an ending, such as `.tif`.

    Links such as `…/$value` have none. The key then gets the ending of the media type.
    """
    title = asset.get("title")
    for found in (_linked_name(asset), title if isinstance(title, str) and " " not in title.strip() else "", key):
        if _ENDING.search(found):
            return safe_name(found.rpartition("/")[2])
    return safe_name(key + _ENDINGS.get(media_type(asset), ""))
