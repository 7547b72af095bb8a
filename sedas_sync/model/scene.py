"""The values that all packages share: scenes, their files, sources, orders and downloads.

They are frozen msgspec structs without I/O, because a catalogue of 100,000 scenes is made of them and a struct costs a
fifth of a dataclass. `msgspec.structs.replace` makes a changed copy.

All times are timezone-aware `datetime` objects in UTC. Sizes are bytes. Coordinates are degrees, longitude before
latitude, EPSG:4326. Paths of scenes are relative to the mirror and use forward slashes.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, BinaryIO, ClassVar, Literal, Self

from msgspec import Struct
from msgspec.structs import replace

from sedas_sync.model.file_kind import ZIP, ending_of, safe_folder
from sedas_sync.model.geojson import geometry_of_wkt
from sedas_sync.model.portable import LINK_LEFT_OUT, Portable, cleaned, may_be_secret, repr_without_secrets
from sedas_sync.model.text import link_without_secrets
from sedas_sync.model.times import to_iso

SceneId = str
"""The archive's name of a scene (SeDAS: `supplierId`), without `.SAFE` or `.zip`.

The ending of a product that is one file, such as `.nc`, is part of it: see `sedas_sync.model.file_kind`.
"""

ArchiveKey = str
"""The name of an archive in the manifest; `archive` if it has only one. In another manifest it may mean another one."""

ArchiveIdentity = str
"""What an archive is called in the index and in orders, e.g. `sedas https://example.org/api/`: the same everywhere."""

Sensor = Literal["optical", "sar"]

_NOT_IN_GEOJSON = frozenset(
    {"id", "footprint", "download_url", "quicklook_url", "thumbnail_url", "assets", "unselected", "nominal", "planned"}
    | {"extra", "listing"}
)


class Nothing(Mapping[str, Any]):
    """An immutable empty mapping, shared by all values without further fields."""

    __slots__ = ()

    def __getitem__(self, key: str) -> Any:
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "{}"

    def __reduce__(self) -> str:
        return "NOTHING"


NOTHING = Nothing()


class RemoteFile(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """A file of a scene in an archive."""

    name: str = ""
    """Path below the scene's folder, unique in any letter case; empty if the scene is one file."""
    key: str = ""
    """The catalogue's name for the file, e.g. `B04` or `visual`."""
    url: str | None = None
    """None if it is not known, as in a lock file. Empty if it was left out of the scene's JSON."""
    size: int | None = None
    digest: str | None = None
    """As `Scene.digest`."""

    __repr__ = repr_without_secrets


class Scene(Portable, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """A scene as an archive's catalogue describes it. A field that the catalogue does not state is None.

    Example:
        import sedas_sync as ss

        with ss.Mirror(ss.load_manifest("manifest.toml")) as mirror:
            for scene in mirror.search(datasets="optical").scenes:
                print(scene.id, scene.start, scene.cloud_cover, scene.footprint)
            assert ss.Scene.from_json(scene.to_json()).id == scene.id
    """

    json_kind: ClassVar[str] = "scene"
    id: SceneId
    """Its name in the archive, without `.zip` or `.SAFE`."""
    start: datetime | None = None
    """Start of the acquisition."""
    stop: datetime | None = None
    """End of the acquisition."""
    footprint: str | None = None
    """WKT as the archive returned it."""
    sensor: Sensor | None = None
    """`optical` or `sar`."""
    satellite: str | None = None
    """E.g. `Sentinel-1A`."""
    instrument: str | None = None
    """E.g. `MSI`."""
    mode: str | None = None
    """E.g. `IW`."""
    source_group: str | None = None
    """The archive's group of satellites, e.g. `S2`."""
    product_type: str | None = None
    """E.g. `S2MSI1C`."""
    orbit: int | None = None
    """Absolute orbit number."""
    orbit_direction: str | None = None
    """`ASCENDING` or `DESCENDING`."""
    relative_orbit: int | None = None
    """If the catalogue states it; names of Sentinel products contain it too."""
    tile: str | None = None
    """MGRS tile without a leading T, if the catalogue states it; names of Sentinel-2 products contain it too."""
    polarisation: str | None = None
    """As the archive writes it, e.g. `VV/VH`."""
    cloud_cover: float | None = None
    """Percent."""
    resolution: float | None = None
    """Metres."""
    size: int | None = None
    """Bytes."""
    nominal: bool = False
    """Whether `size` is the product's size in the catalogue, so that the downloaded file can have another one."""
    digest: str | None = None
    """Checksum of the file in the catalogue: hex, or `algorithm:hex` if the length does not identify the algorithm."""
    download_url: str | None = None
    """Current link; None while the scene is in the long-term archive. Empty if it was left out of the scene's JSON."""
    offline: str | None = None
    """Why an archive without orders cannot deliver the scene now, and what to do about it."""
    never: bool = False
    """Whether it can never deliver it, for the reason in `offline`: the scene is skipped, not waited for."""
    quicklook_url: str | None = None
    """A picture of it."""
    thumbnail_url: str | None = None
    """A smaller picture."""
    processed: datetime | None = None
    """When the product was made."""
    requester_pays: bool = False
    """Whether your account pays for its transfer, as the manifest's `s3` allows."""
    planned: bool = False
    """Whether it is a planned acquisition, which cannot be downloaded yet."""
    assets: tuple[RemoteFile, ...] = ()
    """The files of a scene that is a folder in the mirror; empty for a scene that is one file. Read `files` instead.

    `size` is then their sum, `digest` is None, and `download_url` is the first file's if all are online.
    """
    listing: tuple[str, ...] = ()
    """Patterns of the files of a folder that the archive lists only when it is downloaded; `assets` is empty before."""
    unselected: tuple[str, ...] = ()
    """Names of files that the archive has of the scene and the manifest does not select."""
    extra: Mapping[str, Any] = NOTHING
    """Other fields of the catalogue's answer, unchanged."""

    __repr__ = repr_without_secrets

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def __geo_interface__(self) -> dict[str, Any]:
        """The scene as a GeoJSON feature, for geopandas, shapely, folium and others; without links."""
        properties = {}
        for name in FEATURE_PROPERTIES:
            value = getattr(self, name)
            if value is not None and value is not False:
                properties[name] = to_iso(value) if isinstance(value, datetime) else value
        geometry = None if self.footprint is None else geometry_of_wkt(self.footprint)
        return {"type": "Feature", "id": self.id, "geometry": geometry, "properties": properties}

    def without_secrets(self) -> Self:
        """Return the scene without links that may contain a secret."""

        def safe(link: str | None, instead: str | None = None) -> str | None:
            return instead if may_be_secret(link, self.id) else link

        return replace(
            self,
            download_url=safe(self.download_url, LINK_LEFT_OUT),
            quicklook_url=safe(self.quicklook_url),
            thumbnail_url=safe(self.thumbnail_url),
            assets=tuple(replace(file, url=safe(file.url, LINK_LEFT_OUT)) for file in self.assets),
            extra=cleaned(self.extra, self.id) if self.extra else NOTHING,
        )

    @property
    def lacks_links(self) -> bool:
        """Whether links were left out, so that the archive has to be asked for them."""
        return self.download_url == LINK_LEFT_OUT or any(file.url == LINK_LEFT_OUT for file in self.assets)

    @property
    def online(self) -> bool:
        """Whether the scene can be downloaded without an order."""
        return self.download_url is not None

    @property
    def ending(self) -> str:
        """The ending of its file as its id shows it, else `.zip`; `.SAFE` or nothing if the scene is a folder."""
        if self.listing:
            return safe_folder(self.id)
        return "" if self.assets else ending_of(self.id) or ZIP

    @property
    def is_folder(self) -> bool:
        """Whether the scene is a folder of files in the mirror, not one file."""
        return bool(self.assets or self.listing)

    @property
    def unlisted(self) -> bool:
        """Whether it is a folder whose files are not known before the archive lists them."""
        return bool(self.listing) and not self.assets

    @property
    def files(self) -> tuple[RemoteFile, ...]:
        """The files of the scene: one or more; none if it is unlisted."""
        return (
            self.assets if self.is_folder else (RemoteFile(url=self.download_url, size=self.size, digest=self.digest),)
        )


FEATURE_PROPERTIES = (*(name for name in Scene.__struct_fields__ if name not in _NOT_IN_GEOJSON), "online")
"""The attributes of a scene that GeoJSON and tables for Python have besides its id and its footprint."""


class Query(Struct, frozen=True, kw_only=True, gc=False):
    """One search of a catalogue. It may return more scenes than match, never fewer: the rules are applied again."""

    aoi: str | None
    """WKT of one simple POLYGON within ±180/±90, its ring closed. None for the whole world, only if the archive's type
    allows it."""
    start: datetime
    """Earliest start of an acquisition, included."""
    stop: datetime
    """Latest start of an acquisition, included."""
    sensor: Literal["all", "optical", "sar"] = "all"
    satellite: str | None = None
    source_group: str | None = None
    product_type: str | None = None
    orbit_direction: str | None = None
    """`ASCENDING` or `DESCENDING`."""
    polarisation: tuple[str, ...] = ()
    """Required channels, e.g. `("VV", "VH")`."""
    relative_orbit: int | None = None
    tile: tuple[str, ...] = ()
    """MGRS tiles without a leading T; a scene has to be of one of them."""
    max_cloud_cover: float | None = None
    min_aoi_coverage: float | None = None
    """Percent of this query's AOI; None if the AOI was changed for the query."""
    filters: Mapping[str, Any] = NOTHING
    """The archive's own filters, passed on unchanged."""

    def __hash__(self) -> int:
        return hash((self.aoi, self.start, self.stop))


class Source(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """One archive's offer of a scene."""

    archive: ArchiveKey
    scene: Scene
    """As this archive describes it, with its link, size and checksum."""


class DesiredScene(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """A scene that matches the manifest, its path in the mirror and the archives that have it."""

    scene: Scene
    """As the first archive of the manifest describes it, with the link, size and checksum of the first source."""
    datasets: tuple[str, ...]
    """In the order of the manifest."""
    path: str
    sources: tuple[Source, ...]
    """One or more, best first. A single source's scene is `scene`."""
    sha256: str | None = None
    """The checksum that a lock file requires."""
    pinned: Mapping[str, str] = NOTHING
    """The checksum that a lock file requires of each file, by name, if the scene is a folder."""
    contents: str | None = None
    """What the zip of the lock file contains, as `sedas_sync.model.files.contents_digest`: a folder may have it too."""

    @classmethod
    def of(
        cls, archive: ArchiveKey, scene: Scene, *, datasets: tuple[str, ...], path: str, **values: Any
    ) -> "DesiredScene":
        """Make a scene that one archive has."""
        return cls(scene=scene, datasets=datasets, path=path, sources=(Source(archive=archive, scene=scene),), **values)

    @property
    def archive(self) -> ArchiveKey:
        """The archive that the scene is downloaded from."""
        return self.sources[0].archive

    @property
    def paths(self) -> tuple[str, ...]:
        """Where the files of the scene belong, relative to the mirror."""
        if not self.scene.assets:
            return (self.path,)
        return tuple(f"{self.path}/{file.name}" for file in self.scene.assets)

    @property
    def lacks_links(self) -> bool:
        """Whether links were left out, so that the archives have to be asked for them."""
        return self.scene.lacks_links or any(source.scene.lacks_links for source in self.sources)

    def without_secrets(self) -> "DesiredScene":
        """Return the same without links that may contain a secret."""
        sources = tuple(replace(source, scene=source.scene.without_secrets()) for source in self.sources)
        return replace(self, scene=self.scene.without_secrets(), sources=sources)

    def with_files(self, files: tuple[RemoteFile, ...]) -> "DesiredScene":
        """Return the same with these files of a folder; a single source has them too."""
        scene = replace(self.scene, assets=files)
        sources = self.sources if len(self.sources) > 1 else (Source(archive=self.archive, scene=scene),)
        return replace(self, scene=scene, sources=sources)


Taking = Literal["auto", "hard", "reflink", "copy"]
"""How a file of this machine is copied: `auto` clones its blocks, else makes a hard link, else copies the bytes."""


class LocalSource(Struct, frozen=True, kw_only=True, gc=False):
    """A file of this machine that is a scene."""

    root: str
    """An absolute folder; nothing outside it is read."""
    path: str
    """Relative to it, with forward slashes."""
    how: Taking = "auto"


class Reach(Struct, frozen=True, kw_only=True, gc=False):
    """Which loopback and private addresses an archive's links may lead to; by default none."""

    api: str = ""
    """Address of the archive's API. If it is such an address itself, links may lead to all of them."""
    trusted_hosts: tuple[str, ...] = ()
    """Hosts that may have such an address: exact names, or `*.example.org`."""


class Download(Struct, frozen=True, kw_only=True, gc=False):
    """A link to a scene's bytes that is valid now."""

    url: str
    headers: Mapping[str, str] = NOTHING
    """Sent to the URL's own host, and to `trusted_hosts` after a redirect. Never shown: it may contain a token."""
    size: int | None = None
    digest: str | None = None
    trusted_hosts: tuple[str, ...] = ()
    """Hosts that receive `headers` after a redirect: exact names, or `*.example.org`."""
    reach: Reach = Reach()
    """Where the link and its redirects may lead. Set for every archive that a manifest opens."""
    connections: int | None = None
    """Maximum concurrent downloads for an account; None if the archive sets no limit."""
    requests_per_minute: int | None = None
    """Maximum requests for an account; None if the archive sets no limit."""
    local: LocalSource | None = None
    """The file, if it is on this machine; `url` then only shows where it is."""
    open: Callable[[int, int | None], BinaryIO] | None = None
    """Opens the file if it can only be read through a library; `url` then names it, always by the same name.

    It is called with the first byte and the number of bytes (None: to the end), from several threads, and returns a
    stream of them. It raises `io.UnsupportedOperation` if it can only begin at byte 0; the file is then read from the
    start. An `OSError`, or an `ArchiveError` that is `retryable`, is tried again. State `size`: without it nothing is
    resumed.
    """

    refusal: str = ""
    """What the server answered, if the archive is asked for another link because the server refused this one."""

    def __hash__(self) -> int:
        return hash(self.url)

    @property
    def widest_reach(self) -> Reach:
        """Where the link may lead: the archive's rule, and the hosts that receive the headers."""
        return Reach(api=self.reach.api, trusted_hosts=(*self.reach.trusted_hosts, *self.trusted_hosts))

    @property
    def shown(self) -> str:
        """The link without what may be secret: some services put a signature into the query."""
        return link_without_secrets(self.url)

    def __repr__(self) -> str:
        # Schedulers log their arguments.
        return f"Download(url={self.shown!r}, size={self.size!r}, digest={self.digest!r})"
