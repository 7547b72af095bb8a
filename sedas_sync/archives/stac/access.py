"""Access to a STAC API and its assets: tokens for its own and trusted hosts, or signed links."""

import base64
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

from msgspec import Struct

from sedas_sync.archives.shared_token import NOWHERE
from sedas_sync.archives.stac.kind import SUBSCRIPTION, VARIABLES, token_variables
from sedas_sync.errors import ArchiveError
from sedas_sync.model.hosts import in_both
from sedas_sync.model.scene import NOTHING, Download
from sedas_sync.net import credentials, policy, redact, session
from sedas_sync.net.credentials import Credentials
from sedas_sync.net.policy import may_see_token, token_withheld

RENEW_BEFORE = timedelta(seconds=60)
"""A signature is renewed this long before its end (as the SDK of the Planetary Computer does)."""
_BLOBS = ".blob.core.windows.net"
_SIGNED = frozenset({"sig", "st", "se", "sp"})


class Access(Protocol):
    """How requests to the API and its assets are authorised."""

    @property
    def trusted_hosts(self) -> tuple[str, ...]:
        """Hosts that receive the headers of a file after a redirect too."""
        ...

    def headers(self, url: str) -> Mapping[str, str]:
        """Return the headers of a request to the API; empty if the URL may not see a secret."""
        ...

    def link(self, url: str, refused: Download | None) -> tuple[str, Mapping[str, str]]:
        """Return the URL and the headers with which to request a file now; others than `refused` if there are any.

        Raises:
            ArchiveError: No signature or token was given.
            AuthenticationError: The login was refused.
        """
        ...

    def advice(self, url: str) -> str:
        """Return what to do if a URL asks for a login, or refuses a token."""
        ...


class Header:
    """An `Authorization` header for the API's host and trusted hosts; without a value, open access.

    Args:
        value: The value of the header.
        api: URL of the API.
        trusted_hosts: Other hosts that may see it.
        variable: The environment variable that must name these hosts too, if any.
        source: Where the value was found.
    """

    def __init__(
        self,
        value: str | None,
        api: str,
        trusted_hosts: Iterable[str] = (),
        *,
        variable: str | None = None,
        source: str = "",
    ) -> None:
        self._value = value
        self._variable = variable
        self._source = source
        self._api = api
        self.trusted_hosts = () if value is None else tuple(trusted_hosts)
        if value is not None:
            redact.remember_secret(value)
            redact.remember_secret(value.partition(" ")[2])

    def headers(self, url: str) -> Mapping[str, str]:
        """See `Access`."""
        if self._value is None or not may_see_token(url, self._api, self.trusted_hosts):
            return NOTHING
        return {"Authorization": self._value}

    def link(self, url: str, refused: Download | None) -> tuple[str, Mapping[str, str]]:  # noqa: ARG002
        """See `Access`. There is only one header."""
        return url, self.headers(url)

    def advice(self, url: str) -> str:
        """See `Access`."""
        if self._value is None:
            return "if it needs a login, set `auth` in the manifest's table of the archive"
        if not self.headers(url):
            return token_withheld(url, self._variable)
        return f"{self._source or 'the login'} is wrong, has expired, or has no right to this"


def bearer(archive: str, api: str, trusted_hosts: Iterable[str], environ: Mapping[str, str] = os.environ) -> Header:
    """Return access with a token from the environment.

    Args:
        archive: Key of the archive in the manifest.
        api: URL of the API.
        trusted_hosts: Other hosts that may see the token.
        environ: The environment.

    Raises:
        AuthenticationError: There is no token, or none for this host.
    """
    token, variables = credentials.token(urlsplit(api).hostname or "", token_variables(archive), environ)
    trusted = in_both(trusted_hosts, credentials.hosts_of(variables, environ))
    source = f"the token in {variables.names[0]}"
    return Header(f"Bearer {token}", api, trusted, variable=variables.host, source=source)


def basic_header(account: Credentials) -> str:
    """Return the value of an `Authorization` header with a user name and a password (RFC 7617)."""
    pair = base64.b64encode(f"{account.username}:{account.password}".encode()).decode("ascii")
    redact.remember_secret(account.password)
    redact.remember_secret(pair)
    return f"Basic {pair}"


def basic(
    found: Credentials, api: str, trusted_hosts: Iterable[str], environ: Mapping[str, str] = os.environ
) -> Header:
    """Return access with a user name and a password.

    The header is the password itself. So the environment must name every other host that may see it, wherever the
    password is from: netrc, the keyring and a prompt are for the host of the API only.
    """
    trusted = in_both(trusted_hosts, credentials.hosts_of(VARIABLES, environ))
    source = f"the login of {found.source or 'the caller'}"
    return Header(basic_header(found), api, trusted, variable=VARIABLES.host, source=source)


class _Signature(Struct, frozen=True):
    query: str
    expires: datetime


class PlanetaryComputer:
    """Links to the blob storage of Azure, signed when they are used with a token of their container.

    Args:
        api: Sends the requests for tokens.
        sign_url: The endpoint: `<sign_url>/<account>/<container>`.
        trusted_hosts: Hosts besides Azure's whose links are signed; the account is then the first part of the name.
            With a subscription key only loopback hosts count.
        clock: Returns the present time, UTC.
        environ: The environment, which may have a subscription key.
    """

    trusted_hosts: tuple[str, ...] = ()
    """No host receives a header."""

    def __init__(
        self,
        api: session.Api,
        sign_url: str,
        trusted_hosts: Iterable[str],
        clock: Callable[[], datetime],
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._api = api
        self._sign_url = sign_url.rstrip("/")
        key = policy.setting(environ, *SUBSCRIPTION.names)
        signer = urlsplit(sign_url).hostname or ""
        self._key = key if credentials.belongs(signer, SUBSCRIPTION, environ) else None
        self._withheld = credentials.withheld(signer, SUBSCRIPTION, environ) if key and not self._key else ""
        if key is not None:
            redact.remember_secret(key)
        self._trusted = tuple(trusted_hosts) if self._key is None else in_both(trusted_hosts, ())
        self._clock = clock
        self._signatures: dict[tuple[str, str], _Signature] = {}
        self._lock = threading.Lock()

    def headers(self, url: str) -> Mapping[str, str]:  # noqa: ARG002
        """Return no headers: the API is open, and the secret of a file is in the signature."""
        return NOTHING

    def link(self, url: str, refused: Download | None) -> tuple[str, Mapping[str, str]]:
        """Return the URL with a signature that is valid for a while; unchanged if it is signed or not in the storage.

        Raises:
            ArchiveError: The endpoint gave no token.
        """
        parts = urlsplit(url)
        host, container = parts.hostname or "", parts.path.lstrip("/").partition("/")[0]
        signs = host and container and may_see_token(url, NOWHERE, (f"*{_BLOBS}", *self._trusted))
        if not signs or parse_qs(parts.query).keys() >= _SIGNED:
            return url, NOTHING
        signature = self._signature(host.partition(".")[0], container, renew=refused is not None)
        query = f"{parts.query}&{signature.query}" if parts.query else signature.query
        return urlunsplit(parts._replace(query=query)), NOTHING

    def advice(self, url: str) -> str:  # noqa: ARG002
        """See `Access`."""
        return "the storage refuses links with a signature of the Planetary Computer, or this link needs none"

    def _signature(self, account: str, container: str, *, renew: bool) -> _Signature:
        # One request at a time: the second caller uses the token of the first.
        with self._lock:
            known = self._signatures.get((account, container))
            if known is None or renew or known.expires - RENEW_BEFORE <= self._clock():
                known = self._signatures[account, container] = self._request(account, container)
            return known

    def _request(self, account: str, container: str) -> _Signature:
        what = f"the request for a token of {account}/{container}"
        url = f"{self._sign_url}/{quote(account, safe='')}/{quote(container, safe='')}"
        headers = {} if self._key is None else {"Ocp-Apim-Subscription-Key": self._key}
        reply = self._api.send("GET", url, headers=headers, kind="login")
        if not reply.ok:
            raise reply.error(f"{what} ({self._withheld})" if self._withheld else what)
        answer: Any = reply.json(what)
        try:
            token, expires = answer["token"], datetime.fromisoformat(answer["msft:expiry"])
            left = expires - self._clock()
        except (KeyError, TypeError, ValueError):
            raise ArchiveError(f"the archive answered {what} with something that is not a token") from None
        if not isinstance(token, str) or not token or left <= timedelta(0):
            raise ArchiveError(f"the archive answered {what} with an expired token")
        redact.remember_secret(token)
        return _Signature(token.lstrip("?"), expires)
