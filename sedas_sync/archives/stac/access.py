"""Who may see what: tokens of the API for its own and trusted hosts, and signatures of links at the moment of use."""

import base64
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

from sedas_sync.archives.stac.kind import SUBSCRIPTION, VARIABLES, token_variables
from sedas_sync.errors import ArchiveError
from sedas_sync.manifest import hosts
from sedas_sync.model.scene import NOTHING
from sedas_sync.net import credentials, session
from sedas_sync.net.credentials import Credentials
from sedas_sync.net.trust import may_see_token, without_token

MARGIN = timedelta(seconds=60)
"""Before its end a signature is renewed (as the Planetary Computer's own SDK does)."""
_BLOBS = ".blob.core.windows.net"
_SIGNED = frozenset({"sig", "st", "se", "sp"})


class Access(Protocol):
    """How the API and its assets are asked."""

    def headers(self, url: str) -> Mapping[str, str]:
        """What goes along with a request to this address; empty where it is not to see a secret."""
        ...

    def sign(self, url: str, *, refused: bool = False) -> str:
        """The address by which a file is asked for now; `refused` where the last one was turned away.

        Raises:
            ArchiveError: there is no signature to be had.
        """
        ...

    def withholds(self, url: str) -> str | None:
        """What to say where there is a secret, and this address is not to see it; None where it saw all there is."""
        ...


class Header:
    """The same header with every request to the API's own host and those that are trusted; none where it is None.

    Args:
        value: the header.
        api: the API's address.
        trusted_hosts: further hosts that may see it.
        variable: the environment variable that has to name a further host too, where there is one.
    """

    def __init__(
        self, value: str | None, api: str, trusted_hosts: Iterable[str] = (), *, variable: str | None = None
    ) -> None:
        self._value = value
        self._variable = variable
        self._api = api
        self._trusted = tuple(trusted_hosts)
        if value is not None:
            session.remember_secret(value)
            session.remember_secret(value.partition(" ")[2])

    def headers(self, url: str) -> Mapping[str, str]:
        """See `Access`."""
        if self._value is None or not may_see_token(url, self._api, self._trusted):
            return NOTHING
        return {"Authorization": self._value}

    def sign(self, url: str, *, refused: bool = False) -> str:  # noqa: ARG002  # a token is in no address
        """Return the address as it is."""
        return url

    def withholds(self, url: str) -> str | None:
        """See `Access`."""
        return None if self._value is None or self.headers(url) else without_token(url, self._variable)


def bearer(archive: str, api: str, trusted_hosts: Iterable[str], environ: Mapping[str, str] = os.environ) -> Header:
    """Access by the token that the environment holds for an archive, given by its key in the manifest.

    Raises:
        AuthenticationError: there is none, or none for this host.
    """
    token, variables = credentials.token(urlsplit(api).hostname or "", token_variables(archive), environ)
    trusted = hosts.in_both(trusted_hosts, credentials.hosts_of(variables, environ))
    return Header(f"Bearer {token}", api, trusted, variable=variables.host)


def basic(
    found: Credentials, api: str, trusted_hosts: Iterable[str], environ: Mapping[str, str] = os.environ
) -> Header:
    """Access by user name and password.

    The header is the password. So a further host has to be named by the environment, wherever the password is from:
    netrc, the keyring and a prompt are for the API's host alone.
    """
    pair = base64.b64encode(f"{found.username}:{found.password}".encode()).decode("ascii")
    session.remember_secret(found.password)
    trusted = hosts.in_both(trusted_hosts, credentials.hosts_of(VARIABLES, environ))
    return Header(f"Basic {pair}", api, trusted, variable=VARIABLES.host)


@dataclass(frozen=True, slots=True)
class _Signature:
    query: str
    until: datetime


class PlanetaryComputer:
    """Links into Azure's blob storage, signed with a token of their container when they are used.

    Args:
        api: asks the token endpoint.
        sign_url: the endpoint: `<sign_url>/<account>/<container>`.
        trusted_hosts: hosts besides Azure's whose links are signed; the account is then the first part of the name.
            Where the subscription's key makes the signatures, none but loopback hosts.
        clock: gives the present instant, UTC.
        environ: where a subscription key may be.
    """

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
        key = session.setting(environ, *SUBSCRIPTION.names)
        signer = urlsplit(sign_url).hostname or ""
        self._key = key if credentials.belongs(signer, SUBSCRIPTION, environ) else None
        self._withheld = credentials.withheld(signer, SUBSCRIPTION, environ) if key and not self._key else ""
        if key is not None:
            session.remember_secret(key)
        self._trusted = tuple(trusted_hosts) if self._key is None else hosts.in_both(trusted_hosts, ())
        self._clock = clock
        self._signatures: dict[tuple[str, str], _Signature] = {}
        self._lock = threading.Lock()

    def headers(self, url: str) -> Mapping[str, str]:  # noqa: ARG002  # the API itself is open
        """Nothing goes along: what is secret is in the signature."""
        return NOTHING

    def sign(self, url: str, *, refused: bool = False) -> str:
        """The address with a token that is good for a while yet; an address that is signed or is elsewhere as it is.

        Raises:
            ArchiveError: the token endpoint gave none.
        """
        parts = urlsplit(url)
        host, container = parts.hostname or "", parts.path.lstrip("/").partition("/")[0]
        if not self._signs(url, host) or not container or parse_qs(parts.query).keys() >= _SIGNED:
            return url
        signature = self._signature(host.partition(".")[0], container, anew=refused)
        query = f"{parts.query}&{signature.query}" if parts.query else signature.query
        return urlunsplit(parts._replace(query=query))

    def withholds(self, url: str) -> str | None:  # noqa: ARG002  # a link that is not signed here may be open
        """Never; see `Access`."""
        return None

    def _signs(self, url: str, host: str) -> bool:
        return may_see_token(url, "https://none.invalid/", (f"*{_BLOBS}", *self._trusted)) and bool(host)

    def _signature(self, account: str, container: str, *, anew: bool) -> _Signature:
        # One at a time: whoever comes second is glad of the first one's token.
        with self._lock:
            known = self._signatures.get((account, container))
            if known is None or anew or known.until - MARGIN <= self._clock():
                known = self._signatures[account, container] = self._ask(account, container)
            return known

    def _ask(self, account: str, container: str) -> _Signature:
        what = f"the request for a token of {account}/{container}"
        url = f"{self._sign_url}/{quote(account, safe='')}/{quote(container, safe='')}"
        headers = {} if self._key is None else {"Ocp-Apim-Subscription-Key": self._key}
        reply = self._api.send("GET", url, headers=headers)
        if not reply.ok:
            raise reply.error(f"{what} ({self._withheld})" if self._withheld else what)
        answer: Any = reply.json(what)
        try:
            token, until = answer["token"], datetime.fromisoformat(answer["msft:expiry"])
            lasting = until - self._clock()
        except (KeyError, TypeError, ValueError):
            raise ArchiveError(f"the archive answered {what} with something else") from None
        if not isinstance(token, str) or not token or lasting <= timedelta(0):
            raise ArchiveError(f"the archive answered {what} with a token that is over")
        session.remember_secret(token)
        return _Signature(token.lstrip("?"), until)
