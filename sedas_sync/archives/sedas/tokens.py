"""One token for all threads of an archive."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from sedas_sync.errors import ArchiveError, AuthenticationError

LONGEST_MARGIN = 60.0
"""A token is renewed this many seconds before it expires, or after four fifths of its lifetime if that is later."""


@dataclass(frozen=True, slots=True)
class _Token:
    value: str = field(repr=False)
    expires: float | None
    """On the clock of `SedasTokens`; None if the service stated no time, or one that is over already."""
    for_download: bool
    """Whether it replaced a token that a download server refused."""


class SedasTokens:
    """One token for all threads. The first thread that finds it expired logs in; the others wait for that login.

    Args:
        login: Logs in; returns a token and its lifetime in seconds, or None if that is not known.
        clock: Returns seconds on a clock that never goes back.
    """

    def __init__(self, login: Callable[[], tuple[str, float | None]], clock: Callable[[], float]) -> None:
        self._login = login
        self._clock = clock
        self._lock = threading.Lock()
        self._token: _Token | None = None
        self._refused: AuthenticationError | None = None
        self._failure: tuple[int, ArchiveError] | None = None
        """The last failed login: its number and its error."""
        self._logins = 0

    def current(self) -> str:
        """Return a valid token; log in if there is none or if it is about to expire."""
        token = self._token
        if token is not None and (token.expires is None or self._clock() < token.expires):
            return token.value
        return self._renew(token.value if token else None, for_download=False)

    def renew(self, refused: str) -> str:
        """Return another token than the one the API refused. All threads that were refused share one login."""
        return self._renew(refused, for_download=False)

    def renew_for_download(self, refused: str) -> str:
        """Like `renew`, for a token that a download server refused. A token that is the result is not renewed again."""
        token = self._token
        if token is not None and token.value == refused and token.for_download:
            return token.value
        return self._renew(refused, for_download=True)

    def _renew(self, old: str | None, *, for_download: bool) -> str:
        logins = self._logins
        with self._lock:
            if self._refused is not None:
                raise AuthenticationError(str(self._refused))
            if self._token is not None and self._token.value != old:
                return self._token.value
            if self._failure is not None and self._failure[0] > logins:
                error = self._failure[1]
                raise ArchiveError(str(error), status=error.status, retryable=error.retryable)
            self._logins += 1
            begun = self._clock()
            try:
                value, lifetime = self._login()
            except AuthenticationError as error:
                self._refused = error
                raise
            except ArchiveError as error:
                self._failure = (self._logins, error)
                raise
            margin = min(LONGEST_MARGIN, (lifetime or 0.0) / 5)
            expires = None if lifetime is None or lifetime <= 0 else begun + lifetime - margin
            self._token = _Token(value, expires, for_download)
            return value
