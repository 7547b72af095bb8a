"""Tokens of a Keycloak login, and the file in which processes of one user share them."""

import hashlib
import os
import stat
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from sedas_sync.archives.shared_token import Token, check_token
from sedas_sync.net.redact import remember_secret

CLIENT = "cdse-public"
"""The client that accounts of the Copernicus Data Space log in with (Access Token page, 2025-03)."""
FOLDER_VARIABLE = "SEDAS_SYNC_TOKENS"
"""The environment variable with the folder for shared tokens, or `off`."""
LOCK_SECONDS = 30.0
"""How long to wait for another process that has locked the file, before logging in separately."""


@dataclass(frozen=True, slots=True)
class KeycloakTokens(Token):
    """The tokens of a login, as the file has them. Times are seconds since 1970, so that processes agree on them."""

    refresh_token: str | None = field(default=None, repr=False)
    refresh_good_until: float = 0.0

    def __post_init__(self) -> None:
        """Check that both are valid header values, and hide them in logs."""
        Token.__post_init__(self)
        if self.refresh_token is not None:
            check_token(self.refresh_token)
            remember_secret(self.refresh_token)


class TokenStore:
    """A file with the tokens that the processes of one user share; only that user can read it.

    Args:
        file: The file; its folder is created if necessary. None: nothing is shared.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the file against other processes, if possible."""
        if self._file is None:
            yield
            return
        # A file system without locks is treated as a folder that cannot be written.
        lock = FileLock(f"{self._file}.lock", timeout=LOCK_SECONDS, mode=0o600, fallback_to_soft=False)
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock.acquire()
        except (OSError, Timeout):
            # The folder cannot be written, or another process hangs: a login of our own costs one more session.
            yield
            return
        try:
            yield
        finally:
            lock.release()

    def read(self) -> KeycloakTokens | None:
        """Return the stored tokens; None if there are none, or if another user could have read or written them."""
        if self._file is None:
            return None
        try:
            descriptor = os.open(self._file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        with os.fdopen(descriptor, "rb") as opened:
            found = os.fstat(descriptor)
            if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
                return None
            with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                return msgspec.json.decode(opened.read(), type=KeycloakTokens)
        return None

    def write(self, tokens: KeycloakTokens) -> None:
        """Store tokens, if the folder can be written."""
        if self._file is None:
            return
        fresh = self._file.with_name(f"{self._file.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as opened:
                opened.write(msgspec.json.encode(tokens))
            fresh.replace(self._file)
        except OSError:
            with suppress(OSError):
                fresh.unlink()

    def forget(self) -> None:
        """Delete the stored tokens."""
        if self._file is not None:
            with suppress(OSError):
                self._file.unlink()


def store_for(login_url: str, username: str, environ: Mapping[str, str] = os.environ) -> TokenStore:
    """Return the store of an account: in the folder of `SEDAS_SYNC_TOKENS`, or else in the user's runtime folder.

    The runtime folder (`XDG_RUNTIME_DIR`) is in memory, private to the user, and deleted at logout. Without one, as on
    most CI machines, nothing is written and each process logs in.
    """
    chosen = environ.get(FOLDER_VARIABLE, "").strip()
    runtime = environ.get("XDG_RUNTIME_DIR", "").strip()
    if chosen.lower() == "off" or not (chosen or _private(runtime)):
        return TokenStore(None)
    folder = Path(chosen) if chosen else Path(runtime) / "sedas-sync"
    account = hashlib.sha256(f"{login_url}\n{CLIENT}\n{username}".encode()).hexdigest()[:32]
    return TokenStore(folder / f"tokens-{account}.json")


def _private(folder: str) -> bool:
    """Whether a folder is private to this user, as the specification of `XDG_RUNTIME_DIR` demands."""
    if not folder:
        return False
    try:
        found = Path(folder).stat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not stat.S_IMODE(found.st_mode) & 0o077
