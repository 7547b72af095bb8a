"""What is to be fetched, how hard to try, and what came of it: plain data, fit to be sent to another machine."""

from msgspec import Struct

from sedas_sync import errors
from sedas_sync.files import safe_tree
from sedas_sync.files.integrity import Filehash, Proving
from sedas_sync.model import scene


class Policy(Struct, frozen=True, kw_only=True):
    """How hard to try, and what to believe."""

    retries: int = 5
    """Further tries after the first."""
    connect_timeout: float = 10.0
    """Seconds."""
    stall_timeout: float = 60.0
    """Seconds without a byte before a connection is given up."""
    segments: int | None = None
    """Connections one scene may be split over; None: as many as are left and help."""
    integrity: Proving = "crc"
    filehash: Filehash = "warn"
    backoff: float = 1.0
    """Seconds before the second try, doubled for each further one."""
    backoff_max: float = 60.0


class FetchJob(Struct, frozen=True, kw_only=True):
    """One scene to fetch."""

    id: scene.SceneId
    download: scene.Download
    root: str
    """The mirror's folder, absolute."""
    path: str
    """Where the scene shall be, relative to the root. A name in `.zip` has to become a whole zip."""
    partial: str
    """Where its bytes go meanwhile, relative to the root, on the same file system."""
    policy: Policy = Policy()
    sha256: str | None = None
    """The digest that the lock demands."""
    replace: safe_tree.Replace = False
    """What gives way at the path: a file of this size and time, or whatever is there. The fetch fails where something
    else is there when it has come to the end."""


class FetchResult(Struct, frozen=True, kw_only=True):
    """A scene that is in its place, flushed and proved."""

    id: scene.SceneId
    path: str
    size: int
    mtime_ns: int
    sha256: str
    level: scene.ProofLevel
    received: int
    """Bytes of bodies that came over the wire in this call, those that had to be thrown away included."""
    resumed_from: int
    """Bytes of an earlier call that were still good."""
    seconds: float
    warnings: tuple[str, ...] = ()
    etag: str | None = None
    worker: str | None = None
    """Who did it, where that was not this process."""


class FetchStopped(errors.TransferError):
    """The run was asked to stop; what has arrived is kept."""
