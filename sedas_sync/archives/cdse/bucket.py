"""Products of the Copernicus Data Space as files of its bucket, `eodata`.

The catalogue states where a product is (`S3Path`): a folder, such as `….SAFE`, or one object. What is in the folder is
listed when it is downloaded: one request, and one for the product's own list of checksums.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import PurePosixPath

from msgspec.structs import replace

from sedas_sync.archives.protocol import Archive, ArchiveWrapper, Warn, not_online
from sedas_sync.archives.s3 import Buckets, split
from sedas_sync.archives.s3_config import SCHEME, Place
from sedas_sync.errors import ArchiveError
from sedas_sync.model import product_listing
from sedas_sync.model.file_kind import ending_of
from sedas_sync.model.files import selects
from sedas_sync.model.path_template import collisions, comparable, safe_name
from sedas_sync.model.scene import Download, Query, Reach, RemoteFile, Scene
from sedas_sync.model.text import named
from sedas_sync.net import session

REQUESTS_PER_MINUTE = 1500
"""Requests for files. An account has 2,000 (Quotas page, 2025-03); the others are for lists."""
ALL = ("*",)


class BucketProducts(ArchiveWrapper):
    """The catalogue with the files of products in the bucket.

    Args:
        catalogue: The catalogue.
        buckets: Makes links.
        api: Sends the requests for lists of checksums.
        server: The server of the bucket.
        files: Patterns of the files to download; all if there are none.
        reach: Where links may lead.
    """

    def __init__(
        self,
        catalogue: Archive,
        buckets: Buckets,
        api: session.Api,
        *,
        server: str,
        files: Sequence[str] = (),
        reach: Reach,
    ) -> None:
        super().__init__(catalogue)
        self._buckets = buckets
        self._api = api
        self._place = Place(server)
        self._files = tuple(files) or ALL
        self._reach = reach

    def find(self, query: Query, *, warn: Warn) -> Iterator[Scene]:
        """Yield the scenes that match; see `Archive.find`."""
        return map(self._in_bucket, super().find(query, warn=warn))

    def look_up(self, ids: Iterable[str], *, warn: Warn) -> Iterator[Scene]:
        """Yield the scenes with these ids; see `Archive.look_up`."""
        return map(self._in_bucket, super().look_up(ids, warn=warn))

    def _in_bucket(self, scene: Scene) -> Scene:
        """Return a scene of the catalogue as it is in the bucket: a folder that is not listed yet, or one object."""
        path = scene.extra.get("S3Path")
        if not isinstance(path, str) or not path.startswith("/") or not path.strip("/"):
            return replace(
                scene, download_url=None, never=True, offline="the catalogue does not state where it is in the bucket"
            )
        link = None if scene.download_url is None else f"{SCHEME}{path.strip('/')}"
        if ending_of(path):
            return replace(scene, download_url=link)
        # The catalogue's size and checksum are those of the zip.
        whole = self._files == ALL
        return replace(
            scene,
            download_url=link,
            listing=self._files,
            size=scene.size if whole else None,
            nominal=True,
            digest=None,
        )

    def list_files(self, scene: Scene) -> Scene:
        """Return a scene with its files; see `ListsFiles`."""
        if scene.download_url is None:
            raise not_online(scene)
        place = scene.download_url
        key = split(place)[1]
        found = {}
        listed = [one for one in self._buckets.objects(place, self._place) if not one.key.endswith("/")]
        inside = [one for one in listed if one.key.startswith(f"{key}/")]
        # A product without an ending can be one object. Beside files below it, that object is the marker of a folder.
        for one in inside or [one for one in listed if one.key == key]:
            name = one.key.removeprefix(f"{key}/") if inside else one.key.rpartition("/")[2]
            if not all(part and safe_name(part) == part for part in name.split("/")):
                raise ArchiveError(f"{place} has a file whose name cannot be a path: {name!r}")
            found[name] = RemoteFile(
                name=name, url=f"{SCHEME}{split(place)[0]}/{one.key}", size=one.size, digest=one.md5
            )
        _check_names(place, found)
        if not found:
            raise ArchiveError(f"the bucket has no files at {place}", status=404)
        chosen = [name for name in sorted(found) if selects(scene.listing, name)]
        if not chosen:
            raise ArchiveError(
                f"none of its {len(found)} files matches files = {list(scene.listing)}; they are {named(sorted(found))}"
            )
        digests = self._stated(found)
        files = tuple(replace(found[name], digest=digests.get(name) or found[name].digest) for name in chosen)
        return replace(
            scene,
            assets=files,
            unselected=tuple(name for name in sorted(found) if name not in chosen),
            size=sum(file.size or 0 for file in files),
            nominal=False,
        )

    def _stated(self, found: dict[str, RemoteFile]) -> dict[str, str]:
        """Return the checksums that a product states of its own files; none if it has no list that can be read."""
        own = next((found[name] for name in product_listing.NAMES if name in found), None)
        if own is None or (own.size or 0) > product_listing.MAX_SIZE:
            return {}
        reply = self._buckets.read(own.url or "", self._place)
        with suppress(ValueError):
            listed = product_listing.read_listing(reply.body).files
            return {file.name: file.digest for file in listed if file.digest is not None}
        return {}

    def locate(self, scene: Scene, file: RemoteFile | None = None, *, refused: Download | None = None) -> Download:
        """Return the signed link to a file; see `Archive.locate`."""
        if scene.download_url is None:
            raise not_online(scene)
        if file is not None and file.url is None:
            # A lock file has only the names.
            alone = split(scene.download_url)[1].rpartition("/")[2] == file.name
            file = replace(file, url=scene.download_url if alone else f"{scene.download_url}/{file.name}")
        one = file or scene.files[0]
        return Download(
            url=self._buckets.link(one.url or "", self._place, refused=refused),
            size=None if scene.nominal and file is None else one.size,
            digest=one.digest,
            reach=self._reach,
            connections=self.connections,
            requests_per_minute=REQUESTS_PER_MINUTE,
        )


def _check_names(place: str, names: Collection[str]) -> None:
    """Check that all files of a folder can be on disk at the same time.

    Raises:
        ArchiveError: Two names differ only in letter case, or one is the folder of another.
    """
    for one, other, *_ in collisions({name: name for name in names}).values():
        raise ArchiveError(f"{place} has two files whose names differ only in letter case: {one!r} and {other!r}")
    taken = {comparable(name): name for name in names}
    for name in names:
        for folder in PurePosixPath(name).parents:
            if (above := taken.get(comparable(str(folder)))) is not None:
                raise ArchiveError(f"{place} has the file {above!r}, which is also the folder of {name!r}")
