"""Calls to the SeDAS API: login, tokens, and what each status means."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from sedas_sync.archives.sedas.answers import as_list, products_of
from sedas_sync.archives.sedas.rows import to_time
from sedas_sync.archives.shared_token import SharedToken, Token, renewal_time
from sedas_sync.errors import ArchiveError, AuthenticationError, ManifestError
from sedas_sync.model.hosts import is_loopback
from sedas_sync.net import redact, session
from sedas_sync.net.policy import origin_of

_BAD_REQUEST, _UNAUTHORIZED, _FORBIDDEN = 400, 401, 403
_KINDS = {"POST search": "search", "GET search/products": "look_up", "POST request": "order", "GET request": "poll"}
"""What calls are counted as, by their methods and paths."""
_UNKNOWN_TOKEN = "User token does not exist"  # noqa: S105 - an error text of the service, not a token

IsFinal = Callable[[session.Reply], bool]


class SedasClient:
    """The API of one account. Safe in many threads.

    Args:
        url: The API's address, as `checked_url` returns it.
        username: The account's name.
        password: Its password.
        api: Sends requests.
        now: Returns the current time, UTC.
        clock: Returns seconds on a clock that never goes back; tokens expire by it.

    Raises:
        AuthenticationError: The user name or the password is empty.
    """

    def __init__(
        self,
        url: str,
        username: str,
        password: str,
        api: session.Api,
        now: Callable[[], datetime],
        clock: Callable[[], float],
    ) -> None:
        if not username or not password:
            raise AuthenticationError("the user name and the password for the archive must not be empty")
        redact.remember_secret(password)
        self.url = url
        self.api = api
        self.now = now
        self.tokens = SharedToken(self._log_in, clock)
        self._clock = clock
        self._account = (username, password)
        self._forbidden: str | None = None
        """The token with which the last call was forbidden although it was new."""
        self._refused_when_new: tuple[str, str, str] | None = None
        """A token that was refused although it was new, with the method and the first part of the path."""

    def call(
        self,
        method: str,
        path: str,
        what: str,
        *,
        json: object = None,
        repeat: bool = True,
        final: IsFinal | None = None,
    ) -> session.Reply:
        """Send a request with the token. If the API refuses the token, log in again and repeat the request once.

        Args:
            method: `GET` or `POST`.
            path: The path below the API's address.
            what: The request, for error messages.
            json: The body.
            repeat: Whether to repeat the request if it is not known whether the server carried it out.
            final: Whether a reply with an error status needs no retry.

        Raises:
            ArchiveError: There was no reply.
            AuthenticationError: The API refuses the credentials, or a token that it has just issued.
        """

        def send(token: str) -> session.Reply:
            headers = {"Authorization": f"Token {token}"}
            return self.api.send(
                method, self.url + path, json=json, headers=headers, repeat=repeat, final=final, kind=kind
            )

        place = path.strip("/").partition("?")[0]
        kind = _KINDS.get(f"{method} {'request' if place.startswith('request') else place}", "other")
        token = self.tokens.current()
        reply = send(token)
        if not _token_refused(reply) or (reply.status == _FORBIDDEN and token == self._forbidden):
            return reply
        endpoint = method, path.partition("?")[0].partition("/")[0]
        # If a new token was refused here, another login for each call would not help.
        if self._refused_when_new != (token, *endpoint):
            token = self.tokens.renew(token, by_download=False)
            reply = send(token)
        if reply.status == _FORBIDDEN:
            # The token is new, so the account itself lacks the permission. Do not log in again for that.
            self._forbidden = token
        elif _token_refused(reply):
            self._refused_when_new = (token, *endpoint)
            raise AuthenticationError(
                f"the archive refuses a token it has just issued: {reply.error(what)}", forbidden=True
            )
        return reply

    def answer(self, reply: session.Reply, what: str) -> Any:
        """Return the JSON of a reply.

        Raises:
            ArchiveError: The reply is an error, or not JSON.
            AuthenticationError: The account lacks the permission.
        """
        if reply.status == _FORBIDDEN:
            raise AuthenticationError(f"this account may not do that: {reply.error(what)}", forbidden=True)
        if not reply.ok:
            raise reply.error(what)
        return reply.json(what)

    def get_list(self, path: str, what: str) -> list[Any]:
        """Send a GET request whose answer is a list."""
        return as_list(self.answer(self.call("GET", path, what), what), what)

    def search(self, body: dict[str, Any]) -> list[Any]:
        """Send one search and return its rows."""
        return products_of(self.answer(self.call("POST", "search", "a search", json=body), "a search"))

    def _log_in(self, _: str | None, after_refusal: bool) -> Token:
        started = self._clock()
        username, password = self._account
        login = {"username": username, "password": password}
        reply = self.api.send("POST", self.url + "authentication", json=login, kind="login")
        if reply.status in {_BAD_REQUEST, _UNAUTHORIZED, _FORBIDDEN}:
            raise AuthenticationError(
                f"{urlsplit(self.url).netloc} refused the credentials of {username!r}: {reply.error('the login')}; "
                "check user name and password"
            )
        if not reply.ok:
            raise reply.error("the login")
        answer = reply.json("the login")
        try:
            token = Token(answer["token"], after_refusal=after_refusal)
        except (KeyError, TypeError, ValueError):
            raise ArchiveError("the archive answered the login without a token") from None
        try:
            # By the server's clock. A time that is over already is not valid.
            life = (to_time(answer["validUntil"]) - (reply.date or self.now())).total_seconds()
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            return token
        return replace(token, access_good_until=renewal_time(started, life)) if life > 0 else token


def checked_url(url: str) -> str:
    """Return an API address in lower case and with a slash at its end.

    Raises:
        ManifestError: It is not an http(s) address, or plain http to another machine.
    """
    try:
        scheme, host, _ = origin_of(url)
    except ValueError as reason:
        raise ManifestError(f"the archive's url {redact.shorten(str(url), 120)!r} cannot be used: {reason}") from None
    if scheme == "http" and not is_loopback(host):
        raise ManifestError(f"the archive's url {url!r} is plain http, which would expose the password: use https")
    parts = urlsplit(url)
    return urlunsplit((scheme, parts.netloc.lower(), parts.path.rstrip("/") + "/", "", ""))


def _token_refused(reply: session.Reply) -> bool:
    if reply.status in {_UNAUTHORIZED, _FORBIDDEN}:
        return True
    return reply.status == _BAD_REQUEST and reply.says(_UNKNOWN_TOKEN)
