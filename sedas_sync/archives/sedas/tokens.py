"""One token for all threads of an archive."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from sedas_sync.errors import ArchiveError, AuthenticationError

LONGEST_MARGIN = 60.0
"""Seconds before its end at which a token is renewed, at most; never more than a fifth of its life."""


@dataclass(frozen=True, slots=True)
class _Token:
    value: str = field(repr=False)
    expires: float | None
    """On the clock of `SedasTokens`; None where the service did not say, or said something that is over already."""
    from_refusal: bool
    """Whether it replaced a token that a download server refused."""


class SedasTokens:
    """One token for all threads: whoever finds it stale renews it, everyone else waits for that one login."""

    def __init__(self, login: Callable[[], tuple[str, float | None]], clock: Callable[[], float]) -> None:
        self._login = login
        self._clock = clock
        self._lock = threading.Lock()
        self._token: _Token | None = None
        self._refused: AuthenticationError | None = None
        self._failure: tuple[int, ArchiveError] | None = None
        self._logins = 0

    def current(self) -> str:
        """Return a token that is good for now; logs in where there is none or it is about to end."""
        token = self._token
        if token is not None and (token.expires is None or self._clock() < token.expires):
            return token.value
        return self._renew(token.value if token else None, from_refusal=False)

    def renew(self, refused: str) -> str:
        """Return a token other than the one the API refused; logs in at most once for all who were refused with it."""
        return self._renew(refused, from_refusal=False)

    def renew_for_download(self, refused: str) -> str:
        """As `renew`, for a download server: a token that replaced a refused one is not replaced again."""
        token = self._token
        if token is not None and token.value == refused and token.from_refusal:
            return token.value
        return self._renew(refused, from_refusal=True)

    def _renew(self, stale: str | None, *, from_refusal: bool) -> str:
        seen = self._logins
        with self._lock:
            if self._refused is not None:
                raise AuthenticationError(str(self._refused))
            if self._token is not None and self._token.value != stale:
                return self._token.value
            if self._failure is not None and self._failure[0] > seen:
                failed = self._failure[1]
                raise ArchiveError(str(failed), status=failed.status, retryable=failed.retryable)
            self._logins += 1
            begun = self._clock()
            try:
                value, life = self._login()
            except AuthenticationError as error:
                self._refused = error
                raise
            except ArchiveError as error:
                self._failure = (self._logins, error)
                raise
            margin = min(LONGEST_MARGIN, (life or 0.0) / 5)
            expires = None if life is None or life <= 0 else begun + life - margin
            self._token = _Token(value, expires, from_refusal)
            return value
