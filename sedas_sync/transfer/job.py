"""A download and its result: plain data that can be sent to another machine."""

from msgspec import Struct

from sedas_sync import errors
from sedas_sync.files import safe_tree
from sedas_sync.files.integrity import Filehash, Proving
from sedas_sync.model import scene
from sedas_sync.model.local import ProofLevel


class Policy(Struct, frozen=True, kw_only=True):
    """How often to retry, how long to wait, and how to prove a scene."""

    retries: int = 5
    """Attempts after the first."""
    connect_timeout: float = 10.0
    """Seconds."""
    stall_timeout: float = 60.0
    """Seconds without a byte after which a connection has failed."""
    segments: int | None = None
    """Connections for one scene; None: as many as are free and make it faster."""
    integrity: Proving = "crc"
    filehash: Filehash = "warn"
    backoff: float = 2.0
    """Seconds of the longest first pause; doubled for each further attempt."""
    backoff_max: float = 60.0
    """Seconds of the longest pause."""


class FetchJob(Struct, frozen=True, kw_only=True):
    """One file to download."""

    id: scene.SceneId
    download: scene.Download
    root: str
    """The mirror's folder, absolute."""
    path: str
    """The final path, relative to the root. A zip file must become whole."""
    partial: str
    """The path of the partial file, relative to the root, on the same file system."""
    product: str = ""
    """The catalogue's name of the product, if the job is all of it: the path then gets the ending of the file that
    arrives. Empty for a file of a folder, whose path is fixed."""
    policy: Policy = Policy()
    sha256: str | None = None
    """The checksum that the lock file demands."""
    replace: safe_tree.Replace = False
    """What is replaced at the path: a file of this size and time, or any file. The fetch fails at its end if there is
    another file."""


class FetchResult(Struct, frozen=True, kw_only=True):
    """A file that is at its final path, flushed and proved."""

    id: scene.SceneId
    path: str
    size: int
    mtime_ns: int
    sha256: str | None
    """None if no checksum is stated and `Policy.integrity` is `size`."""
    level: ProofLevel
    received: int
    """Bytes of bodies that this call received, including bytes that were discarded."""
    resumed_from: int
    """Bytes of an earlier call that were reused."""
    seconds: float
    warnings: tuple[str, ...] = ()
    etag: str | None = None
    worker: str | None = None
    """The worker that did it; None for this process."""


class FetchStopped(errors.TransferError):
    """The run was stopped; the received bytes are kept."""
