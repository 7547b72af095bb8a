"""Open archives: what an archive type's opener receives, and what its archive must have."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct, field

from sedas_sync.archives.cache_folder import cache_folder
from sedas_sync.archives.plugin_guard import GuardedArchive, guard
from sedas_sync.archives.protocol import Archive
from sedas_sync.archives.registry import BUILT_IN
from sedas_sync.errors import ManifestError
from sedas_sync.files.extras import load_extra
from sedas_sync.manifest import ArchiveConfig, TransferConfig, WebArchiveConfig
from sedas_sync.manifest.archive_types import ArchiveType
from sedas_sync.model.scene import Reach
from sedas_sync.net import credentials
from sedas_sync.net.credentials import Credentials

_REQUIRED = ("identity", "find", "look_up", "locate", "stop", "close")
"""The attributes and methods of `Archive`."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Opening(Struct, frozen=True, kw_only=True):
    """What the opener of an archive type receives: the archive's table of the manifest, and its environment."""

    config: ArchiveConfig
    """Of the type's `config` model."""
    kind: ArchiveType
    key: str = "archive"
    """The archive's key in the manifest."""
    base: Path = field(default_factory=Path)
    """The manifest's folder. Relative paths start here."""
    transfer: TransferConfig = field(default_factory=TransferConfig)
    """Its retries and timeouts apply to API calls too."""
    clock: Callable[[], datetime] = _utc_now
    """Returns the current time, UTC."""
    prompt: bool = False
    """Whether to ask the user for credentials on the terminal."""
    mirror: Path | None = None
    """The folder of the mirror."""
    alone: bool = True
    """Whether the manifest has no other host of this type. If it has, environment variables cannot name one of them."""
    stack: ExitStack = field(default_factory=ExitStack)
    """Closes what the archive needs, after the archive."""

    @property
    def cache(self) -> Path | None:
        """A folder for what this type of archive may read again, shared by all mirrors of the user.

        It is `archives/<type>` in `SEDAS_SYNC_CACHE`, or else in `sedas-sync` of the user's cache folder (XDG); None if
        nothing may be kept. It need not exist. The user may delete it at any time; this program never does.
        """
        folder = cache_folder()
        return None if folder is None else folder / "archives" / self.kind.name

    def credentials(
        self, host: str | None = None, *, also: Iterable[str] = (), entries: Iterable[str] = ()
    ) -> Credentials:
        """Find the user name and the password for a host.

        A token that they give may go to `allowed_hosts(config.trusted_hosts)` of the result, and to no other host.

        Args:
            host: Where they are sent; by default the host of the archive's address.
            also: Further hosts that take part in the login, such as one that only issues tokens.
            entries: Further hosts of the same service whose entries in netrc serve too.

        Raises:
            AuthenticationError: There are none for these hosts; the message says where they were looked for.
        """
        return credentials.find(
            host or urlsplit(self.config.address or "").hostname or "",
            prompt=self.prompt,
            variables=self.kind.variables,
            also=also,
            alone=self.alone,
            entries=entries,
        )


def open_archive(opening: Opening) -> Archive:
    """Open an archive; `opening.stack` closes it.

    Raises:
        AuthenticationError: There are no credentials for it.
        ArchiveError: The package of its type failed.
        ManifestError: The package of its type cannot be used.
    """
    name = f"the archive {opening.key!r} of type {opening.kind.name}"
    opener = opening.kind.opener
    if isinstance(opener, str):
        module, _, function = opener.partition(":")
        try:
            extra = opening.kind.extra
            opener = getattr(import_module(module) if extra is None else load_extra(module, extra, name), function)
        except (ImportError, AttributeError) as error:
            raise ManifestError(f"{name} cannot be opened: {error}") from error
    archive: Archive
    if opening.kind.name in BUILT_IN:
        archive = opener(opening)
    else:
        with guard(opening.kind.name, "its opener"):
            opened = opener(opening)
        missing = [attribute for attribute in _REQUIRED if not hasattr(opened, attribute)]
        if missing:
            raise ManifestError(
                f"{name} cannot be used: the {type(opened).__name__} that its package opens lacks {', '.join(missing)}"
            )
        config = opening.config
        trusted_hosts = config.trusted_hosts if isinstance(config, WebArchiveConfig) else ()
        reach = Reach(api=config.address or "", trusted_hosts=trusted_hosts)
        archive = GuardedArchive(opened, opening.kind.name, reach)
    opening.stack.callback(archive.close)
    return archive
