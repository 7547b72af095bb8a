"""One token for all threads of an archive, and which requests for files get it."""

import math
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from sedas_sync.errors import ArchiveError, AuthenticationError
from sedas_sync.model.scene import NOTHING, Download
from sedas_sync.net.credentials import Credentials
from sedas_sync.net.policy import may_see_token, token_withheld
from sedas_sync.net.redact import remember_secret

NOWHERE = "https://none.invalid/"
"""The address of an API that is asked without a token, if only trusted hosts get one."""
RENEW_BEFORE = 60.0
"""Seconds before its end at which a token is renewed, at most; never more than a fifth of its life."""
LOGIN_AGAIN = 60.0
"""Seconds before a login is repeated that was answered with something unusable: a page, or no token."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token. Times are seconds on the clock of its `SharedToken`."""

    access_token: str = field(repr=False)
    access_good_until: float = math.inf
    """When to renew it, a little before it expires."""
    after_refusal: bool = False
    """Whether it replaced one that a download server refused."""

    def __post_init__(self) -> None:
        """Check that it is a valid header value, and hide it in logs."""
        check_token(self.access_token)
        remember_secret(self.access_token)


def check_token(value: object) -> None:
    """Check that a token is a valid header value.

    Raises:
        ValueError: It is not.
    """
    if not isinstance(value, str) or not value or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("not a token")


def renewal_time(started: float, life: float) -> float:
    """Return when to renew a token that was requested at a time and lives so many seconds."""
    return started + life - min(RENEW_BEFORE, life / 5)


AnyToken = TypeVar("AnyToken", bound=Token)


class SharedToken(Generic[AnyToken]):
    """One token for all threads. The first thread that finds it expired gets another; the others wait for that login.

    A login that was refused is not repeated, because a service may lock an account after some attempts. One that failed
    is not repeated by threads that waited for it. If it was not an outage, but for example the page of a portal, it is
    not repeated for a minute: every scene of a run would send the password again.

    Args:
        log_in: Returns a token other than the refused one, if one was refused. The second argument is its
            `after_refusal`.
        now: The clock of tokens, in seconds.
    """

    def __init__(self, log_in: Callable[[str | None, bool], AnyToken], now: Callable[[], float]) -> None:
        self._get = log_in
        self._now = now
        self._lock = threading.Lock()
        self._tokens: AnyToken | None = None
        self._refused: str | None = None
        self._failure: tuple[int, float, ArchiveError] | None = None
        """Number, time and error of the last login that failed."""
        self._logins = 0

    def current(self) -> str:
        """Return a valid token.

        Raises:
            AuthenticationError: There are no credentials, or they were refused.
            ArchiveError: The login failed.
        """
        known = self._valid(self._tokens, None)
        return self._renew(None, after_refusal=False) if known is None else known.access_token

    def renew(self, refused: str, *, by_download: bool = True) -> str:
        """Replace a token that a server refused. All threads that were refused share one login.

        Args:
            refused: The token.
            by_download: Whether a download server refused it. If it replaced a token that one had refused, it is
                returned again, because another one does not help either.

        Raises:
            AuthenticationError: There are no credentials, or they were refused.
            ArchiveError: The login failed.
        """
        known = self._valid(self._tokens, None)
        if by_download and known is not None and known.access_token == refused and known.after_refusal:
            return refused
        return self._renew(refused, after_refusal=by_download)

    def _renew(self, refused: str | None, *, after_refusal: bool) -> str:
        before = self._logins
        with self._lock:
            if self._refused is not None:
                raise AuthenticationError(self._refused)
            if (known := self._valid(self._tokens, refused)) is not None:
                return known.access_token
            if self._failure is not None:
                number, when, failed = self._failure
                if number > before or (not failed.retryable and 0 <= self._now() - when < LOGIN_AGAIN):
                    raise ArchiveError(str(failed), status=failed.status, retryable=failed.retryable)
            self._logins += 1
            try:
                self._tokens = self._get(refused, after_refusal)
            except AuthenticationError as error:
                self._refused = str(error)
                raise
            except ArchiveError as error:
                self._failure = (self._logins, self._now(), error)
                raise
            return self._tokens.access_token

    def _valid(self, tokens: AnyToken | None, refused: str | None) -> AnyToken | None:
        if tokens is None or tokens.access_token == refused or self._now() >= tokens.access_good_until:
            return None
        return tokens


class TokenAccount:
    """The account of a login, found when it is first needed, and the hosts that may see its tokens.

    Args:
        find: Finds user name and password.
        trusted_hosts: Hosts that may see the tokens. Those of an account from the environment are fewer.
        variable: The environment variable that must then name a host too.
    """

    def __init__(self, find: Callable[[], Credentials], trusted_hosts: Iterable[str], variable: str | None) -> None:
        self._find = find
        self.trusted_hosts = tuple(trusted_hosts)
        self._variable = variable
        self._found: Credentials | None = None
        self.withheld: str | None = None
        """The environment variable that must name a trusted host too."""

    def __call__(self) -> Credentials:
        """Return user name and password. They are looked for once, because a person may have been asked.

        Raises:
            AuthenticationError: There are none.
        """
        if self._found is None:
            self._found = self.limit(self._find())
        return self._found

    def limit(self, found: Credentials) -> Credentials:
        """Use an account; return it."""
        remember_secret(found.password)
        self.trusted_hosts = found.allowed_hosts(self.trusted_hosts)
        self.withheld = None if found.hosts is None else self._variable
        return found


class Login:
    """Access to files with a token that a login gives when the first file needs it. Searches need none.

    Args:
        token: The token.
        account: Of the login.
        source: Where the token is from, for messages.
        api: The address of the API, if its host gets the token too.
        scheme: The word before the token in the header.
    """

    def __init__(
        self,
        token: SharedToken[Any],
        account: TokenAccount,
        source: str,
        api: str = NOWHERE,
        *,
        scheme: str = "Bearer",
    ) -> None:
        self.token = token
        self._account = account
        self._source = source
        self._api = api
        self._scheme = f"{scheme} "

    @property
    def trusted_hosts(self) -> tuple[str, ...]:
        """Hosts that may see the token."""
        return self._account.trusted_hosts

    def _may_see(self, url: str) -> bool:
        return may_see_token(url, self._api, self.trusted_hosts)

    def headers(self, url: str) -> Mapping[str, str]:  # noqa: ARG002
        """Return no headers: the catalogue is open."""
        return NOTHING

    def link(self, url: str, refused: Download | None) -> tuple[str, Mapping[str, str]]:
        """Return a URL with the headers of a request for it, with another token than the refused one if there is any.

        Raises:
            AuthenticationError: There are no credentials, or they were refused.
            ArchiveError: The login failed.
        """
        if not self._may_see(url):
            return url, NOTHING
        before = "" if refused is None else refused.headers.get("Authorization", "").removeprefix(self._scheme)
        token = self.token.renew(before) if before else self.token.current()
        # The login may have shown that fewer hosts may see the token.
        return url, {"Authorization": f"{self._scheme}{token}"} if self._may_see(url) else NOTHING

    def advice(self, url: str) -> str:
        """Return what to do if a URL refuses a request with or without the token."""
        if not self._may_see(url):
            return token_withheld(url, self._account.withheld)
        return f"the token of {self._source} is wrong, has expired, or has no right to this"
