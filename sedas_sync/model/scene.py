"""The values everything else speaks in. Frozen, without behaviour beyond their own consistency, no I/O.

They are structs of msgspec: a catalogue of 100,000 scenes is made of them, and they cost a fifth of a dataclass, in the
time to define one and to make one. `msgspec.structs.replace` makes changed copies.

All instants are timezone-aware `datetime` objects in UTC; all sizes are bytes; all coordinates are degrees, longitude
before latitude, EPSG:4326; all paths of scenes are relative to the mirror and written with forward slashes.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from msgspec import Struct

SceneId = str
"""The archive's name for a product (SeDAS: `supplierId`), without `.SAFE` or `.zip`."""

Sensor = Literal["optical", "sar"]


class Nothing(Mapping[str, Any]):
    """The empty mapping: shared by all values that have no further fields, and not to be filled by accident."""

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


class RemoteFile(Struct, frozen=True, kw_only=True, gc=False):
    """One file of a scene that consists of several."""

    name: str
    """Where it is below the scene's folder: a safe relative path, no other file's in any letter case."""
    key: str
    """What the catalogue calls it, e.g. `B04` or `visual`."""
    url: str | None = None
    """None where it is not known, as in a lock."""
    size: int | None = None
    digest: str | None = None
    """As `Scene.digest`."""


class Scene(Struct, frozen=True, kw_only=True, gc=False):
    """One product as an archive's catalogue describes it. What the catalogue leaves out is None."""

    id: SceneId
    start: datetime | None = None
    """Sensing start."""
    stop: datetime | None = None
    """Sensing stop."""
    footprint: str | None = None
    """WKT, as the archive gave it."""
    sensor: Sensor | None = None
    satellite: str | None = None
    instrument: str | None = None
    mode: str | None = None
    source_group: str | None = None
    product_type: str | None = None
    orbit: int | None = None
    """Absolute orbit number."""
    orbit_direction: str | None = None
    """`ASCENDING` or `DESCENDING`."""
    relative_orbit: int | None = None
    """Where the catalogue states it; names of Sentinel products say it too."""
    tile: str | None = None
    """MGRS tile without a leading T, where the catalogue states it; names of Sentinel-2 products say it too."""
    polarisation: str | None = None
    """As the archive writes it, e.g. `VV/VH`."""
    cloud_cover: float | None = None
    """Percent."""
    resolution: float | None = None
    """Metres."""
    size: int | None = None
    nominal: bool = False
    """Whether the size is the product's as the catalogue has it, and the file that is served may have another."""
    digest: str | None = None
    """Digest of the file as the catalogue states it: hex, or `algorithm:hex` where its length does not say which."""
    download_url: str | None = None
    """Where the bytes are now; None while the scene is in the long-term archive."""
    offline: str | None = None
    """Why an archive that takes no orders cannot give it now, and what can be done about that; None elsewhere."""
    quicklook_url: str | None = None
    thumbnail_url: str | None = None
    planned: bool = False
    """A future acquisition, which cannot be had yet."""
    assets: tuple[RemoteFile, ...] = ()
    """The files of a scene that consists of several, which is a folder in the mirror; empty for one that is one file.

    `size` is then their sum, `digest` is None, and `download_url` is the first one's while all are online.
    """
    extra: Mapping[str, Any] = NOTHING
    """Fields of the answer that this package does not know, kept as they came."""

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def online(self) -> bool:
        """Whether the bytes can be fetched without an order."""
        return self.download_url is not None


class Query(Struct, frozen=True, kw_only=True, gc=False):
    """One question to a catalogue. The answer may hold more than was asked for, never less: rules are applied again."""

    aoi: str
    """WKT of one plain POLYGON within ±180/±90, its ring closed."""
    start: datetime
    """Earliest sensing start, included."""
    stop: datetime
    """Latest sensing start, included."""
    sensor: Literal["all", "optical", "sar"] = "all"
    satellite: str | None = None
    source_group: str | None = None
    product_type: str | None = None
    orbit_direction: str | None = None
    """`ASCENDING` or `DESCENDING`."""
    polarisation: tuple[str, ...] = ()
    """Channels that must all be there, e.g. `("VV", "VH")`."""
    relative_orbit: int | None = None
    tile: tuple[str, ...] = ()
    """MGRS tiles without a leading T, any of which will do."""
    max_cloud_cover: float | None = None
    min_aoi_coverage: float | None = None
    """Percent of this query's AOI; None where the AOI was changed for the query."""
    filters: Mapping[str, Any] = NOTHING
    """The archive's own filter names, passed on as they are."""

    def __hash__(self) -> int:
        return hash((self.aoi, self.start, self.stop))


class Source(Struct, frozen=True, kw_only=True, gc=False):
    """A scene as one of several archives has it."""

    archive: str
    """Key of the archive."""
    scene: Scene


class DesiredScene(Struct, frozen=True, kw_only=True, gc=False):
    """A scene that the manifest admits, and where it shall be."""

    scene: Scene
    """As the archive that the manifest lists first describes it, with the link, size and digest of `archive`."""
    datasets: tuple[str, ...]
    """In the order of the manifest."""
    archive: str
    """Key of the archive it comes from."""
    path: str
    sha256: str | None = None
    """The digest that a lock demands of its bytes."""
    places: tuple[Source, ...] = ()
    """All archives that have it, best first, where there are several; the first is `archive`."""
    pinned: Mapping[str, str] = NOTHING
    """The digest that a lock demands of each file, by name, where the scene consists of several."""


class ProofLevel(StrEnum):
    """How far a file's bytes have been proved, best first."""

    DIGEST = "digest"
    """The archive's (or the lock's) digest agrees."""
    CRC = "crc"
    """Every entry of the zip was read and its CRC agrees."""
    STRUCTURE = "structure"
    """The zip's directory is whole."""
    SIZE = "size"
    """The length is what was promised."""


class LocalFile(Struct, frozen=True, kw_only=True, gc=False):
    """One file of a held scene that consists of several."""

    name: str
    """Where it is below the scene's folder."""
    size: int
    mtime_ns: int
    sha256: str
    level: ProofLevel
    digest: str | None = None
    """The digest the catalogue stated when it was fetched."""


class LocalScene(Struct, frozen=True, kw_only=True, gc=False):
    """A scene of the mirror that the index remembers: a file, or a folder of files."""

    id: SceneId
    path: str
    size: int
    mtime_ns: int
    sha256: str
    level: ProofLevel
    archive: str
    """Identity of the archive it came from; empty where it was adopted."""
    digest: str | None = None
    """The digest the catalogue stated when the file was fetched."""
    facts: str = "{}"
    """The scene as JSON when it was last seen in the catalogue, so that rules can be judged without it."""
    files: tuple[LocalFile, ...] = ()
    """The files of a folder, sorted by name; empty for a scene that is one file.

    `size` is then their sum, `mtime_ns` the newest, `sha256` that of their listing, `level` the least proved.
    """


class OrderState(StrEnum):
    """Where an LTA order stands."""

    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"


class Order(Struct, frozen=True, kw_only=True, gc=False):
    """An order of a scene from the long-term archive."""

    order: str
    """The archive's id of the order, opaque."""
    id: SceneId
    placed: datetime
    archive: str = ""
    """Identity of the archive it was placed with."""
    state: OrderState = OrderState.PENDING
    polls: int = 0
    attempts: int = 1
    """How often this scene has been ordered, this order included."""
    missing: int = 0
    """Answers in a row in which the archive did not know the order."""
    download_url: str | None = None
    detail: str | None = None
    """The archive's own word for the state, where it gave one."""


Taking = Literal["auto", "hard", "reflink", "copy"]
"""How a file of this machine is taken: `auto` is a clone of its blocks, else a hard link, else a copy."""


class LocalSource(Struct, frozen=True, kw_only=True, gc=False):
    """A file of this machine that is a scene."""

    root: str
    """A folder, absolute; nothing outside it is taken."""
    path: str
    """Relative to it, with forward slashes."""
    how: Taking = "auto"


class Reach(Struct, frozen=True, kw_only=True, gc=False):
    """Which loopback and private addresses an archive's links may lead to; by default none."""

    api: str = ""
    """Address of the archive's API: where that is at such an address itself, links may lead to all of them."""
    trusted_hosts: tuple[str, ...] = ()
    """Hosts that may be at such an address: exact names, or `*.example.org`."""


class Download(Struct, frozen=True, kw_only=True, gc=False):
    """Where to get a scene's bytes, valid now."""

    url: str
    headers: Mapping[str, str] = NOTHING
    """Sent to the URL's own host, and to `trusted_hosts` after a redirect; may hold a token, so never shown."""
    size: int | None = None
    digest: str | None = None
    trusted_hosts: tuple[str, ...] = ()
    """Hosts that `headers` go along to where a redirect leads there: exact names, or `*.example.org`."""
    reach: Reach = Reach()
    """Where the link and its redirects may lead. Set for every archive that is opened by a manifest."""
    connections: int | None = None
    """How many downloads the service allows an account at once; None where it sets no limit."""
    local: LocalSource | None = None
    """The file, where it is one of this machine; `url` then only shows where it is."""

    def __hash__(self) -> int:
        return hash(self.url)

    @property
    def widest_reach(self) -> Reach:
        """Where the link may lead: what the archive's rule says, and hosts that see the headers."""
        return Reach(api=self.reach.api, trusted_hosts=(*self.reach.trusted_hosts, *self.trusted_hosts))

    @property
    def shown(self) -> str:
        """The link without what may be secret in it: some services put a signature into the query."""
        scheme, mark, rest = self.url.partition("?")[0].partition("://")
        host, slash, path = rest.partition("/")
        return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"

    def __repr__(self) -> str:
        # Schedulers log what they are given.
        return f"Download(url={self.shown!r}, size={self.size!r}, digest={self.digest!r})"
