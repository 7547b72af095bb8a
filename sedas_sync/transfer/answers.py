"""Requests for one file, and what the answers mean: ranges, validators, errors, pages instead of files."""

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import NoReturn
from urllib.parse import urlsplit

from sedas_sync import errors
from sedas_sync.model.file_kind import FIRST_BYTES, ZIP, ZIP_BYTES, NotAProductError, ending_of, kind_of
from sedas_sync.model.text import bucket_error
from sedas_sync.net.connections import (
    BAD_REQUEST,
    OK,
    PARTIAL,
    SERVER_ERROR,
    UNSATISFIABLE,
    Answer,
    ConnectionFailed,
    Timeouts,
)
from sedas_sync.net.redact import shorten
from sedas_sync.net.retry import http_date, retry_after
from sedas_sync.transfer.attempts import AttemptFailed
from sedas_sync.transfer.job import FetchJob
from sedas_sync.transfer.opened import opened_answer
from sedas_sync.transfer.partial import Note
from sedas_sync.transfer.shared_state import SharedState

_TOO_MANY = 429
_SESSIONS = re.compile(r"max session number (\d{1,4}) exceeded", re.IGNORECASE)
_BUSY = re.compile(rf"{_SESSIONS.pattern}|\bDAT-ZIP-100\b", re.IGNORECASE)
"""Errors of the Copernicus Data Space for one connection too many (its FAQ, 2025-03; the code: CS-SI/eodag 2019)."""
_RANGE = re.compile(r"bytes +([0-9]{1,18})-([0-9]{1,18})/(\*|[0-9]{1,18})", re.IGNORECASE)
_TEMPORARY = frozenset({408, 425, 429})
_LINK_REFUSED = frozenset({401, 403, 404, 409, 410, 422})
"""The link may have expired. With some of these a service also reports that a scene has gone offline."""
_TOKEN_REFUSED = frozenset({401, 403})
_MOVED = frozenset({301, 307, 308})
"""Without a `Location`, a bucket reports with these that it is in another region."""
_KEY_REFUSED = re.compile(
    r"(?:Expired|Invalid)Token|TokenRefreshRequired|Authorization(?:Header|QueryParameters)|token does not exist",
    re.IGNORECASE,
)
"""Errors with status 400 that another link may help against: of a bucket, about a token that has expired or a signature
for another region (S3 API, list of error codes), and of SeDAS."""
_BODY_SHOWN = 200
_BODY_READ = 4096
_SECRET_LENGTH = 5
"""Longer words of a header may be a secret; the word `Token` is not one."""
_PAGES = frozenset({"text/html", "application/xhtml+xml", "application/json", "text/plain"})
_LOGIN_WORDS = re.compile(r"log[ -]?in\b|sign[ -]?in\b|password|authenticat", re.IGNORECASE)
_LOGIN_FORM = re.compile(r"type\s*=\s*[\"']?password|<title>[^<]*(?:log[ -]?in|sign[ -]?in)\b", re.IGNORECASE)
_NO_LOGIN = 401
_OLD = 60
"""Seconds after which a date of change counts as strong (RFC 9110, 8.8.2.2)."""


def validator(headers: Mapping[str, str]) -> str | None:
    """Return the value for `If-Range`: a strong ETag, or a date that is old enough; None if there is neither."""
    etag = headers.get("etag", "")
    if etag != '""' and etag.startswith('"') and etag.endswith('"'):
        return etag
    modified, now = http_date(headers.get("last-modified")), http_date(headers.get("date"))
    if etag or modified is None or now is None:
        return None
    return headers["last-modified"] if (now - modified).total_seconds() >= _OLD else None


def agree(noted: str | None, sent: str | None) -> bool:
    """Whether a header agrees with the noted one; a missing header agrees with everything."""
    return noted is None or sent is None or noted == sent


def parse_range(value: str | None) -> tuple[int, int, int | None] | None:
    """Read a `Content-Range`: start, end (excluded), and the size of the file; None if it is not valid.

    >>> parse_range("bytes 5-9/20")
    (5, 10, 20)
    >>> parse_range("bytes */20") is None
    True
    """
    found = _RANGE.fullmatch((value or "").strip())
    if found is None or int(found[2]) < int(found[1]):
        return None
    return int(found[1]), int(found[2]) + 1, None if found[3] == "*" else int(found[3])


def is_whole(answer: Answer) -> bool:
    """Whether an answer with status 206 is all of the file."""
    found = parse_range(answer.headers.get("content-range"))
    return found is not None and found[0] == 0 and found[1] == found[2] and answer.length in (None, found[2])


def allowed_connections(text: str) -> int:
    """Return how many connections a service allows an account, by its error; 0 if the error does not state it."""
    match = _SESSIONS.search(text)
    return int(match[1]) if match else 0


class FileRequests:
    """Sends the requests of one download, and checks that the answers are the file."""

    def __init__(self, job: FetchJob, shared: SharedState) -> None:
        self._job = job
        self._shared = shared
        self._policy = job.policy
        self._reach = job.download.widest_reach

    def get(self, note: Note | None, start: int, end: int | None = None) -> Answer:
        """Request the bytes from `start` to `end` (excluded; None: to the last).

        Args:
            note: The file that the bytes on disk belong to.
            start: First byte.
            end: The byte after the last one.

        Raises:
            AttemptFailed: A status that may be temporary.
            TransferError: A permanent one.
        """
        extra: dict[str, str] = {}
        if start or end is not None:
            extra["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
            if note is not None and note.validator:
                extra["If-Range"] = note.validator
        download = self._job.download
        if download.open is not None:
            return opened_answer(
                download.open,
                start,
                end,
                size=download.size,
                stop=self._shared.stop,
                stall_timeout=self._policy.stall_timeout,
            )
        self._shared.await_turn(urlsplit(download.url).netloc, download.requests_per_minute)
        answer = self._shared.connections.get_file(
            download.url,
            headers=download.headers,
            extra=extra,
            timeouts=Timeouts(self._policy.connect_timeout, self._policy.stall_timeout),
            trusted_hosts=download.trusted_hosts,
            reach=self._reach,
        )
        if answer.status in (OK, PARTIAL, UNSATISFIABLE):
            return answer
        try:
            self._raise_status(answer)
        finally:
            answer.close()

    def _raise_status(self, answer: Answer) -> NoReturn:
        status = answer.status
        body = self._body_text(answer)
        text = f"HTTP {status}" + (f": {body}" if body else "")
        if answer.withheld and status in _TOKEN_REFUSED:
            text += f"; {answer.origin} was asked without the token, because trusted_hosts does not name it"
            raise errors.TransferError(text, status=status)
        if status in _LINK_REFUSED | _MOVED or (status == BAD_REQUEST and _KEY_REFUSED.search(body)):
            raise errors.TransferError(text, status=status, relocate=True)
        if status in _TEMPORARY or status >= SERVER_ERROR:
            busy = status == _TOO_MANY and bool(_BUSY.search(body))
            raise AttemptFailed(
                text + (self._limit_connections(body) if busy else ""),
                status=status,
                delay=retry_after(answer.headers.get("retry-after"), answer.headers.get("date")),
                busy=busy,
            )
        raise errors.TransferError(text, status=status)

    def _limit_connections(self, body: str) -> str:
        """Use fewer connections if the service allows fewer than usual, and return the text that reports it.

        Only if all connections of this process are for this service: otherwise it is unknown which are.
        """
        allowed, usual, budget = allowed_connections(body), self._job.download.connections, self._shared.budget
        if usual is None or not 0 < allowed < min(usual, budget.limit) or budget.limit > usual:
            return ""
        budget.limit = allowed
        return f"; the account is limited to {allowed} of {usual} connections, as after its transfer quota is used up"

    def _body_text(self, answer: Answer, most: int = _BODY_SHOWN) -> str:
        """Return the beginning of an error's body on one line, without secrets."""
        try:
            body = answer.read_all(_BODY_READ)
            error = bucket_error(body.decode("utf-8", "replace"))
            return self._printable(body if error is None else error.encode(), most)
        except ConnectionFailed:
            return ""

    def _printable(self, body: bytes, most: int) -> str:
        text = body.decode("utf-8", "replace")
        for value in self._job.download.headers.values():
            for secret in (value, *value.split()):
                if len(secret) > _SECRET_LENGTH:
                    text = text.replace(secret, "***")
        return shorten(text, most)

    def check_not_page(self, answer: Answer) -> None:
        """Raise if the type of an answer is that of a page.

        Raises:
            AttemptFailed: It is a page.
            TransferError: It is a page that asks for a login.
        """
        kind = _content_type(answer)
        if kind in _PAGES:
            raise self._page_error(kind, self._body_text(answer, _BODY_READ), answer)

    def is_packed(self, answer: Answer) -> bool:
        """Whether a product that is one file is sent as a zip, so that the catalogue's size is not that of the zip."""
        own = ending_of(self._job.product).lower()
        if own in ("", ZIP):
            return False
        with suppress(NotAProductError):
            return kind_of(**_headers(answer), name=self._job.product, first=b"") == ZIP
        return False

    def kind(self, answer: Answer, data: bytes) -> str | None:
        """Return the kind of the file that an answer is, before its bytes are written.

        Returns:
            Its ending; None for a file of a folder that shows no kind.

        Raises:
            AttemptFailed: It is something else than a product.
            TransferError: It is a page that asks for a login.
        """
        sent, first = _content_type(answer), data[:FIRST_BYTES]
        with suppress(NotAProductError):
            found = kind_of(**_headers(answer), name=self._job.product or self._job.path, first=first)
            if found is None and self._job.path.lower().endswith(ZIP):
                found = ZIP
            if found != ZIP or ZIP_BYTES.startswith(first[: len(ZIP_BYTES)]):
                return found
        raise self._page_error(sent, self._printable(data[:_BODY_READ], _BODY_READ), answer)

    def _page_error(self, kind: str, body: str, answer: Answer) -> Exception:
        xml = body.lstrip().startswith(("<?xml", "<Error")) and "<html" not in body.lower()
        page = "html" in kind or body.lstrip()[:1] == "<"
        what = "an XML text" if xml else "an HTML page" if page else kind or "something else"
        # Bytes of another file are no text.
        shown = "" if "\ufffd" in body else f": {body[:120]}"
        text = f"the server sent {what} instead of the scene{shown}"
        refused = "token" in body.lower() and "exist" in body.lower()
        if page and not xml and (_LOGIN_WORDS if answer.redirected else _LOGIN_FORM).search(body):
            return errors.TransferError(text, status=_NO_LOGIN, relocate=True)
        if answer.redirected or refused:
            # With a page after a redirect some services report that the token has expired.
            return errors.TransferError(text, status=answer.status, relocate=True)
        return AttemptFailed(text, status=answer.status, relocate=True)


def _headers(answer: Answer) -> dict[str, str | None]:
    return {"disposition": answer.headers.get("content-disposition"), "media_type": _content_type(answer)}


def _content_type(answer: Answer) -> str:
    return answer.headers.get("content-type", "").partition(";")[0].strip().lower()
