"""SeDAS, the UK's Sentinel Data Access Service, as an archive: its login, catalogue, orders and download links.

Owns the archive's wire protocol: what is asked, how answers are read, and which host may see the token. Where the
protocol's public evidence is silent (several ids in one call, the words of an order's state) the client tries the
cheaper form first, notices when the service does not speak it, and remembers that for as long as it lives.
"""

import json
import math
import re
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from sys import intern
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

import msgspec
from msgspec.structs import astuple, replace

from sedas_sync import credentials, http
from sedas_sync.archives import Orders, Warn, windows
from sedas_sync.archives.further import Further
from sedas_sync.errors import ArchiveError, AuthenticationError, IncompleteSearch, ManifestError
from sedas_sync.model import NOTHING, Download, Order, OrderState, Query, Scene, Sensor

if TYPE_CHECKING:
    from sedas_sync.archives.registry import Opening

LIVE_URL = "https://geobrowser.satapps.org/api/"
"""The real service's API (sedas_pyapi 0.5.0)."""
TRUSTED_HOSTS = ("*.satapps.org",)
"""Hosts besides the API's own that get the token: the bytes come from `sedasdm.satapps.org` (saved answers of 2019)."""

BATCH_IDS = 100
BATCH_CHARACTERS = 6000
"""Limits of one comma list of ids, well below the 8 KB that web servers take for a request line."""
SEARCHES_AT_ONCE = 4
LONGEST_MARGIN = 60.0
"""Seconds before its end at which a token is renewed, at most; never more than a fifth of its life."""

_T = TypeVar("_T")

_FAILED_WORDS = frozenset({"FAILED", "CANCELLED", "REJECTED", "ERROR", "EXPIRED"})
_TOKEN_GONE = "User token does not exist"  # noqa: S105 - the service's words, not a token
_NOT_READY = "No enum constant"
_QUOTA_WORDS = ("quota", "too many requests", "limit exceeded", "limit reached")
_FULL_COVERAGE = 100
_OK, _BAD_REQUEST, _UNAUTHORISED, _FORBIDDEN, _NOT_FOUND = 200, 400, 401, 403, 404
_TOO_MANY, _SERVER_ERROR = 429, 500
_LIST_REFUSED = frozenset({400, 404, 405, 413, 414, 431, 500})

_WEB_TYPE: dict[str, str] = {"all": "All", "sar": "SAR", "optical": "Optical"}
_OPTICAL_TYPES = frozenset({"L1C", "ARD"})
_SAR_TYPES = frozenset({"GRD", "SLC"})


# --------------------------------------------------------------------------------------------------------------------
# Values


@dataclass(frozen=True, slots=True)
class Satellite:
    """A satellite that this account may search."""

    name: str
    extra: Mapping[str, Any] = field(default=NOTHING, hash=False)
    """What else the archive says about it, as it came."""


@dataclass(frozen=True, slots=True)
class SourceGroup:
    """A group of sources (`S1`, `S2`, `NovaSAR`) that this account may search."""

    name: str
    extra: Mapping[str, Any] = field(default=NOTHING, hash=False)
    """What else the archive says about it, its satellites among it, as it came."""


_UNFILTERED: dict[str, Any] = {
    "max_cloud_cover": None,
    "product_type": None,
    "orbit_direction": None,
    "polarisation": (),
    "min_aoi_coverage": None,
}


class _UnusableRowError(ValueError):
    """A row of an answer that cannot be used; the message is the reason."""


class _Texts(msgspec.Struct, gc=False, rename="camel"):
    """The fields of a row that are text; what is not said is None or empty."""

    # Nearly all rows of a long catalogue are as they should be: msgspec sees that at once, for all fields.
    type: str | None = None
    satellite_name: str | None = None
    sensor_type: str | None = None
    instrument_name: str | None = None
    mode_name: str | None = None
    source_group: str | None = None
    product_type: str | None = None
    orbit_direction: str | None = None
    start: str | None = None
    stop: str | None = None
    footprint: str | None = msgspec.field(name="coordinatesWKT", default=None)
    download_url: str | None = None
    ql: str | None = None
    thumbnail: str | None = None


_MAPPED = frozenset(
    {
        "supplierId", "start", "stop", "coordinatesWKT", "sensorType", "satelliteName", "instrumentName", "modeName",
        "sourceGroup", "productType", "orbit", "orbitDirection", "polarisation", "cloudCoveragePercent",
        "sensorResolution", "downloadUrl", "ql", "thumbnail", "vendorSpecific",
    }
)  # fmt: skip
_SENSORS: Mapping[str, Sensor] = {"optical": "optical", "sar": "sar", "radar": "sar"}
_DIGEST = re.compile(r"[0-9a-fA-F]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_DIGEST_LENGTHS = frozenset({32, 40, 64, 96, 128})
_WKT = re.compile(r"\s*(?:SRID=\d+;)?\s*[A-Za-z]+(?:\s+(?:Z|M|ZM))?\s*(?:EMPTY|\([-+0-9.eE\s,()]*\))\s*")
_GROUPS = (
    ("sentinel-1", "S1"), ("sentinel-2", "S2"), ("novasar", "NovaSAR"), ("pleiades", "Pleiades"), ("spot", "SPOT"),
    ("cosmo", "Cosmo-SkyMed"), ("airsar", "AIRSAR"),
)  # fmt: skip
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST = int(datetime(1000, 1, 1, tzinfo=UTC).timestamp())
_LATEST = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())


def to_instant(value: str | datetime) -> datetime:
    """Read an instant: ISO 8601 with or without fraction and offset, or a `datetime`; without a zone it is UTC.

    Raises:
        ValueError: it is neither.
    """
    when = value if isinstance(value, datetime) else datetime.fromisoformat(value.strip())
    if when.tzinfo is UTC:
        return when
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


def _seconds(when: datetime) -> int:
    """Whole seconds since 1970, rounded down."""
    return math.floor(when.timestamp())


def _seconds_up(when: datetime) -> int:
    """Whole seconds since 1970, rounded up."""
    return math.ceil(when.timestamp())


def _wire_time(seconds: int) -> str:
    return f"{_EPOCH + timedelta(seconds=min(max(seconds, _EARLIEST), _LATEST)):%Y-%m-%dT%H:%M:%SZ}"


@lru_cache(maxsize=256)
def _group_of(satellite: str) -> str | None:
    """Infer the source group from a satellite's name, since rows do not carry it."""
    name = satellite.lower()
    return next((group for prefix, group in _GROUPS if name.startswith(prefix)), None)


def _text(row: Mapping[str, Any], key: str) -> str | None:
    value = row.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise _UnusableRowError(f"{key} is no text")
    return value if value.isascii() else value.encode(errors="replace").decode()


def _number(row: Mapping[str, Any], key: str) -> float | None:
    value = row.get(key)
    if value is None or value == "":
        return None
    try:
        number = float("no number" if isinstance(value, bool) else value)
    except (TypeError, ValueError, OverflowError):
        raise _UnusableRowError(f"{key} is no number") from None
    return number if math.isfinite(number) else None


def _instant(value: str | None, key: str) -> datetime | None:
    if not value:
        return None
    try:
        return to_instant(value)
    except (ValueError, OverflowError):
        raise _UnusableRowError(f"{key} is no date") from None


def _polarisation(row: Mapping[str, Any]) -> str | None:
    value = row.get("polarisation")
    if value is None:
        return None
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return intern("/".join(value))
    return _kept_once(_text(row, "polarisation"))


def _vendor(row: Mapping[str, Any]) -> tuple[str | None, Any]:
    """Take the digest out of `vendorSpecific`; return it with what is left of the field."""
    vendor = row.get("vendorSpecific")
    if not isinstance(vendor, dict):
        return None, vendor
    value = vendor.get("Filehash")
    if not isinstance(value, str) or len(value) not in _DIGEST_LENGTHS or _DIGEST.fullmatch(value) is None:
        return None, vendor
    return value.lower(), {key: vendor[key] for key in vendor if key != "Filehash"} or None


def identify(row: object) -> str:
    """Return the id under which a row is a scene.

    Raises:
        ValueError: it has none.
    """
    if not isinstance(row, dict):
        raise _UnusableRowError("it is no object")
    for key in ("supplierId", "acqPlanId"):
        value = row.get(key)
        if value is None or value == "":
            continue
        if key == "acqPlanId" and isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str) or not value.strip():
            raise _UnusableRowError(f"{key} is no text")
        if not value.strip(". ") or not (value.isascii() or _SURROGATE.search(value) is None):
            raise _UnusableRowError(f"{key} is no name")
        return value
    raise _UnusableRowError("it has no supplierId")


def to_scene(row: object) -> Scene:
    """Read one product of an answer.

    Every field but the id may be missing; unknown ones are kept in `extra`.

    Raises:
        ValueError: the row cannot be used; the message says why.
    """
    scene_id = identify(row)
    if not isinstance(row, dict):
        raise _UnusableRowError("it is no object")
    texts = _texts(row)
    kind, satellite, wkt = texts.type, texts.satellite_name, texts.footprint or None
    sensor = _SENSORS.get((texts.sensor_type or "").lower())
    if wkt is not None and (_WKT.fullmatch(wkt) is None or wkt.count("(") != wkt.count(")")):
        raise _UnusableRowError("coordinatesWKT is no WKT")
    digest, vendor = _vendor(row)
    extra = {key: row[key] for key in sorted(row.keys() - _MAPPED)}
    if vendor is not None:
        extra["vendorSpecific"] = vendor
    if sensor is None and row.get("sensorType") is not None:
        extra["sensorType"] = row["sensorType"]
    orbit = _number(row, "orbit")
    return Scene(
        id=scene_id,
        start=_instant(texts.start, "start"),
        stop=_instant(texts.stop, "stop"),
        footprint=wkt,
        sensor=sensor,
        satellite=_kept_once(satellite),
        instrument=_kept_once(texts.instrument_name),
        mode=_kept_once(texts.mode_name),
        source_group=_kept_once(texts.source_group) or (_group_of(satellite) if satellite else None),
        product_type=_kept_once(texts.product_type),
        orbit=None if orbit is None else int(orbit),
        orbit_direction=_kept_once(texts.orbit_direction and texts.orbit_direction.upper()),
        polarisation=_polarisation(row),
        cloud_cover=_number(row, "cloudCoveragePercent"),
        resolution=_number(row, "sensorResolution"),
        digest=digest,
        download_url=texts.download_url or None,
        quicklook_url=texts.ql or None,
        thumbnail_url=texts.thumbnail or None,
        planned=bool(kind and kind.upper() != "ARCHIVE") or row.get("acqPlanId") not in (None, ""),
        extra=Further(extra) if extra else NOTHING,
    )


def _texts(row: Mapping[str, Any]) -> _Texts:
    """The fields of a row that are text.

    Raises:
        ValueError: one of them is something else.
    """
    try:
        texts = msgspec.convert(row, _Texts)
    except (msgspec.ValidationError, UnicodeError):
        return _Texts(*[_text(row, key) for key in _Texts.__struct_encode_fields__])
    if "".join(filter(None, astuple(texts))).isascii():
        return texts
    return _Texts(*[_text(row, key) for key in _Texts.__struct_encode_fields__])


def _kept_once(word: str | None) -> str | None:
    """A text of which a catalogue holds few different ones: all scenes share it."""
    return intern(word) if word else None


def _shown(row: object) -> str:
    """A row as a warning shows it: JSON, so that control characters are escaped, shortened and redacted."""
    return http.shorten(json.dumps(row, ensure_ascii=True, default=str), 240)


# --------------------------------------------------------------------------------------------------------------------
# Which host may see the token


_FRONT = re.compile(r"[A-Za-z]+://[^/?#]*(?=[/?#]|\Z)")
"""All of a URL that says where it leads to; thousands of links share it."""


def _host_and_port(url: str) -> tuple[str, str, int | None]:
    """Split a URL into scheme, host and port.

    Raises:
        ValueError: it is no http(s) URL, or one that is written so that parsers may read it differently.
    """
    if not isinstance(url, str) or re.search(r"[\s\\\x00-\x20\x7f]", url):
        raise ValueError("it holds characters that no URL has")
    front = _FRONT.match(url)
    return _front_parts(url if front is None else front[0])


@lru_cache(maxsize=256)
def _front_parts(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("it is no http or https URL")
    if "@" in parts.netloc:
        raise ValueError("it holds a user name")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.scheme, parts.hostname.lower().rstrip("."), port


def without_token(url: str) -> str:
    """What to say where a host refused a request that carried no token, since it is not trusted with it."""
    return f"{urlsplit(url).netloc} was asked without the token: name it in trusted_hosts if it may see it"


def may_see_token(url: str, api: str, trusted_hosts: Iterable[str]) -> bool:
    """Whether a request to `url` may carry the token of the archive whose API is at `api`.

    Only over https, or to a loopback address. Only to the API's own host (on a loopback address its own port too,
    since other ports are other people's servers), or to a trusted host: an exact name, or `*.example.org` for every
    name below `example.org`, which is not `example.org` itself.
    """
    try:
        scheme, host, port = _host_and_port(url)
        _, own_host, own_port = _host_and_port(api)
    except ValueError:
        return False
    return _trusts(scheme, host, port, own_host, own_port, tuple(trusted_hosts))


@lru_cache(maxsize=256)
def _trusts(  # what it is decided from, and nothing else
    scheme: str, host: str, port: int | None, own_host: str, own_port: int | None, trusted_hosts: tuple[str, ...]
) -> bool:
    loopback = http.is_loopback(host)
    if scheme != "https" and not loopback:
        return False
    if host == own_host and (port == own_port or not loopback):
        return True
    for trusted in trusted_hosts:
        name = trusted.strip().lower().rstrip(".")
        if name.startswith("*."):
            if len(name) > len("*.") and host.endswith(name[1:]) and host != name[2:]:
                return True
        elif name and host == name:
            return True
    return False


# --------------------------------------------------------------------------------------------------------------------
# The token


@dataclass(frozen=True, slots=True)
class _Token:
    value: str = field(repr=False)
    expires: float | None
    """On the clock of `_Tokens`; None where the service did not say, or said something that is over already."""
    from_refusal: bool
    """Whether it replaced a token that a download server refused."""


class _Tokens:
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


# --------------------------------------------------------------------------------------------------------------------
# The archive


class SedasArchive:
    """A SeDAS-compatible archive. Safe in many threads; closes as a context manager.

    Args:
        url: The API's base address; https, or a loopback address.
        username: The account's name.
        password: Its password; shows nowhere.
        trusted_hosts: Further hosts that get the token; by default those of the real service, where `url` is on it.
        identity: Names the archive in an index; by default `sedas` and the address.
        retries: Further tries of an API call after the first.
        connect_timeout: Seconds for a connection to be made.
        stall_timeout: Seconds without a byte before an answer is given up.
        now: The instant it is now.
        api: The HTTP layer, instead of one of its own.
        clock: Seconds on a clock that never goes back; tokens age by it.

    Raises:
        ManifestError: `url` is no http(s) address, or plain http to another machine.
    """

    def __init__(
        self,
        url: str = LIVE_URL,
        *,
        username: str,
        password: str,
        trusted_hosts: Iterable[str] | None = None,
        identity: str | None = None,
        retries: int = 5,
        connect_timeout: float = 10.0,
        stall_timeout: float = 60.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        api: http.Api | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = _checked_base(url)
        if not username or not password:
            raise AuthenticationError("the user name and the password for the archive must not be empty")
        self._account = (username, password)
        http.remember_secret(password)
        if trusted_hosts is None:
            trusted_hosts = TRUSTED_HOSTS if may_see_token(self._url, LIVE_URL, TRUSTED_HOSTS) else ()
        self._trusted = tuple(trusted_hosts)
        self.identity = identity or f"sedas {self._url}"
        self._now = now
        self._api = api or http.Api(retries=retries, connect_timeout=connect_timeout, stall_timeout=stall_timeout)
        self._tokens = _Tokens(self._log_in, clock)
        self._forbidden: str | None = None
        self._knowledge: dict[str, windows.Knowledge] = {}
        """By how a search is narrowed besides time and place: a limit may count before that or after."""
        self._ordered: dict[str, Order] = {}
        """By scene, for links that only the order can give anew."""
        self._lists = _ListSupport()
        self._satellite_names: tuple[str, ...] | None = None
        self.orders: Orders | None = _SedasOrders(self)

    @classmethod
    def from_env(cls, url: str = LIVE_URL, *, prompt: bool = False, **options: Any) -> Self:
        """Make one with the credentials of the environment, netrc or the keyring (see `sedas_sync.credentials`).

        Raises:
            AuthenticationError: there are none; the message says where they were looked for.
        """
        host = urlsplit(_checked_base(url)).hostname or ""
        found = credentials.find(host, prompt=prompt)
        return cls(url, username=found.username, password=found.password, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._url!r})"

    def stop(self) -> None:
        """Make calls under way in other threads end early instead of waiting for their next try."""
        self._api.stop()

    def close(self) -> None:
        """Let go of the connections; calls under way end."""
        self._api.close()

    # -- asking ------------------------------------------------------------------------------------------------------

    def _log_in(self) -> tuple[str, float | None]:
        """Ask for a token; return it with the seconds it lives by the server's own clock."""
        username, password = self._account
        reply = self._api.send("POST", self._url + "authentication", json={"username": username, "password": password})
        host = urlsplit(self._url).netloc
        if reply.status in {_BAD_REQUEST, _UNAUTHORISED, _FORBIDDEN}:
            words = str(reply.error("the login"))
            raise AuthenticationError(
                f"{host} refused the credentials of {username!r}: {words}; check user name and password"
            )
        if not reply.ok:
            raise reply.error("the login")
        answer = reply.json("the login")
        token = answer.get("token") if isinstance(answer, dict) else None
        if not isinstance(token, str) or not token or not token.isprintable() or not token.isascii():
            raise ArchiveError("the archive answered the login without a token")
        http.remember_secret(token)
        try:
            until = to_instant(answer["validUntil"])
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            return token, None
        return token, (until - (reply.date or self._now())).total_seconds()

    def _call(
        self,
        method: str,
        path: str,
        what: str,
        *,
        json: object = None,
        repeat: bool = True,
        final: Callable[[http.Reply], bool] | None = None,
    ) -> http.Reply:
        """Ask the API with the token; renew it once where the API says that it is over."""

        def ask(token: str) -> http.Reply:
            headers = {"Authorization": f"Token {token}"}
            return self._api.send(method, self._url + path, json=json, headers=headers, repeat=repeat, final=final)

        token = self._tokens.current()
        reply = ask(token)
        if not _token_refused(reply) or (reply.status == _FORBIDDEN and token == self._forbidden):
            return reply
        token = self._tokens.renew(token)
        reply = ask(token)
        if reply.status == _FORBIDDEN:
            # Not the token's fault then: it is what this account may not have, and another login would not help.
            self._forbidden = token
        elif _token_refused(reply):
            raise AuthenticationError(
                f"the archive refuses a token it has just given: {reply.error(what)}", forbidden=True
            )
        return reply

    def _answer(self, reply: http.Reply, what: str) -> Any:
        if reply.status == _FORBIDDEN:
            raise AuthenticationError(f"this account may not do that: {reply.error(what)}", forbidden=True)
        if not reply.ok:
            raise reply.error(what)
        return reply.json(what)

    def _get_list(self, path: str, what: str) -> list[Any]:
        """Ask for an answer that is a JSON list."""
        return _as_list(self._answer(self._call("GET", path, what), what), what)

    # -- the catalogue -----------------------------------------------------------------------------------------------

    def find(self, query: Query, *, warn: Warn) -> Iterator[Scene]:
        """Yield every scene that matches, each once; see `Archive.find` and `sedas_sync.archives.windows`."""
        found: set[str] = set()
        try:
            yield from self._find(query, found, warn)
        except IncompleteSearch:
            # A limit that counts rows before they are filtered hides how far an answer reaches. Without the filters
            # whose rules are applied again anyway, every row that counts is seen.
            wider = replace(query, **_UNFILTERED)
            if search_body(wider) == search_body(query):
                raise
            yield from self._find(wider, found, warn)

    def _find(self, query: Query, found: set[str], warn: Warn) -> Iterator[Scene]:
        start, stop = _seconds(query.start), _seconds_up(query.stop)
        if start > stop:
            return
        asking = _Asking(self, query)
        rows = windows.complete(
            asking.ask,
            windows.Window(start, stop),
            spread=asking.spread,
            divide=asking.divide,
            knowledge=self._knowledge.setdefault(asking.narrowing, windows.Knowledge()),
            workers=SEARCHES_AT_ONCE,
            found=found,
        )
        for row in rows:
            try:
                scene = to_scene(row.item)
            except ValueError as reason:
                warn(f"a row of the answer cannot be used and is left out: {reason}: {_shown(row.item)}")
            else:
                yield scene

    def search(
        self,
        aoi_wkt: str,
        start: str | datetime,
        stop: str | datetime,
        *,
        sensor: str = "all",
        satellite: str | None = None,
        source_group: str | None = None,
        filters: Mapping[str, Any] | None = None,
        warn: Warn = lambda _: None,
    ) -> Iterator[Scene]:
        """Yield every scene over an area whose sensing start lies within [start, stop].

        Args:
            aoi_wkt: One plain POLYGON in degrees, longitude before latitude.
            start: Earliest sensing start; ISO 8601 or a `datetime`, without a zone UTC.
            stop: Latest sensing start, included.
            sensor: `all`, `optical` or `sar`, in any case.
            satellite: A satellite's name, e.g. `Sentinel-1A`.
            source_group: A source group's name, e.g. `S2`.
            filters: The archive's own filter names, e.g. `{"maxCloudPercent": 50}`.
            warn: Takes a sentence about each row that cannot be used.

        Raises:
            ValueError: an instant or the sensor makes no sense.
            IncompleteSearch: not every match could be shown to be found; what was found has been yielded before.
            ArchiveError: the search failed.
            AuthenticationError: the archive refused the credentials.
        """
        query = Query(
            aoi=aoi_wkt,
            start=to_instant(start),
            stop=to_instant(stop),
            sensor=_sensor_word(sensor),
            satellite=satellite or None,
            source_group=source_group or None,
            filters=dict(filters or {}),
        )
        return self.find(query, warn=warn)

    def product(self, scene_id: str) -> Scene:
        """Look one product up by its id.

        Raises:
            ArchiveError: the archive does not know it, or the look-up failed.
            AuthenticationError: the archive refused the credentials.
        """
        row = self._product_row(scene_id)
        if row is None:
            raise ArchiveError(f"the archive does not know {scene_id!r}", status=_NOT_FOUND)
        try:
            return to_scene(row)
        except ValueError as reason:
            raise ArchiveError(f"the archive's answer cannot be used: {reason}: {_shown(row)}") from None

    def look_up(self, ids: Iterable[str], *, warn: Warn) -> Iterator[Scene]:
        """Yield the scenes of these ids that the archive knows; see `Archive.look_up`.

        Several ids are asked for in one call. A single id in a call is the only form seen to work, so whatever a list
        leaves out is asked for again until it is plain whether the service knows it.
        """
        wanted = list(dict.fromkeys(ids))
        for row in self._look_up_rows(wanted):
            try:
                scene = to_scene(row)
            except ValueError as reason:
                warn(f"a row of the answer cannot be used and is left out: {reason}: {_shown(row)}")
            else:
                yield scene

    def _look_up_rows(self, wanted: list[str]) -> Iterator[object]:
        while wanted and self._lists.products is None and len(wanted) > 1:
            batch, wanted = wanted[: _batch_length(wanted)], wanted[_batch_length(wanted) :]
            yield from self._look_up_batch(batch)
        if len(wanted) <= 1:
            batches = [wanted] if wanted else []
        elif self._lists.products:
            batches = list(_batches(wanted))
        else:
            batches = [[scene_id] for scene_id in wanted]
        with ThreadPoolExecutor(SEARCHES_AT_ONCE, thread_name_prefix="look-up") as pool:
            try:
                for rows in pool.map(self._look_up_batch, batches):
                    yield from rows
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _look_up_batch(self, batch: list[str]) -> list[object]:
        if len(batch) == 1:
            row = self._product_row(batch[0])
            return [] if row is None else [row]
        if self._lists.products is False:
            return [row for scene_id in batch for row in self._look_up_batch([scene_id])]
        rows = self._product_list(batch)
        if rows is None:
            return [row for scene_id in batch for row in self._look_up_batch([scene_id])]
        found = _by_id(rows, batch)
        if len(found) > 1:
            self._lists.products = True
        missing = [scene_id for scene_id in batch if scene_id not in found]
        unmatched = [row for row in rows if not isinstance(row, dict) or _id_or_none(row) is None]
        return [*found.values(), *unmatched, *self._look_up_missing(missing, len(batch))]

    def _look_up_missing(self, missing: list[str], asked: int) -> list[object]:
        """Ask again for what a list left out: the service may not know it, or may not do (long) lists."""
        if not missing:
            return []
        if self._lists.products is None:
            # One id by itself tells: found that way, though a list left it out, lists are not understood.
            rows: list[object] = []
            for position, scene_id in enumerate(missing):
                row = self._product_row(scene_id)
                if row is not None:
                    self._lists.products = False
                    rest = [found for other in missing[position + 1 :] for found in self._look_up_batch([other])]
                    return [*rows, row, *rest]
            return rows
        if len(missing) == asked:
            return []
        return self._look_up_batch(missing)

    def _product_list(self, batch: list[str]) -> list[Any] | None:
        """Ask for several products; None where the service does not take a list."""
        path = "search/products?ids=" + ",".join(quote(scene_id, safe="") for scene_id in batch)
        reply = self._call("GET", path, "a look-up", final=lambda reply: reply.status == _SERVER_ERROR)
        if reply.status in _LIST_REFUSED:
            return None
        return _as_list(self._answer(reply, "a look-up"), "a look-up")

    def _product_row(self, scene_id: str) -> dict[str, Any] | None:
        path = "search/products?ids=" + quote(scene_id, safe="")
        for row in self._get_list(path, "a look-up"):
            if isinstance(row, dict) and _id_or_none(row) == scene_id:
                return row
        return None

    def satellites(self) -> list[Satellite]:
        """List the satellites that this account may search."""
        return [Satellite(name, extra) for name, extra in self._named("sensors/satellites", "the list of satellites")]

    def source_groups(self) -> list[SourceGroup]:
        """List the source groups that this account may search."""
        found = self._named("sensors/sourceGroups", "the list of source groups")
        return [SourceGroup(name, extra) for name, extra in found]

    def _named(self, path: str, what: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for item in self._get_list(path, what):
            name = item.get("name") if isinstance(item, dict) else item
            if isinstance(name, str) and name:
                rest = {key: item[key] for key in item if key != "name"} if isinstance(item, dict) else {}
                yield name, rest or NOTHING

    def _known_satellites(self) -> tuple[str, ...]:
        if self._satellite_names is None:
            try:
                self._satellite_names = tuple(satellite.name for satellite in self.satellites())
            except ArchiveError:
                self._satellite_names = ()
        return self._satellite_names

    # -- orders and downloads ----------------------------------------------------------------------------------------

    def order(self, scene: Scene | str) -> Order:
        """Order a scene from the long-term archive.

        Raises:
            ArchiveError: the order was refused, or it is not known whether it was taken.
            AuthenticationError: the archive refused the credentials.
        """
        return self._place(scene.id if isinstance(scene, Scene) else scene)

    def order_status(self, orders: Iterable[Order]) -> list[Order]:
        """Ask where orders stand; returns them brought up to date, in the order given.

        Raises:
            ArchiveError: the archive could not be asked.
            AuthenticationError: the archive refused the credentials.
        """
        asked = list(orders)
        told = {order.order: order for order in self._poll(asked)}
        return [told[order.order] for order in asked]

    def locate(self, scene: Scene, *, refused: Download | None = None) -> Download:
        """Say where an online scene's bytes are; the token goes along only where the host may see it.

        After a refusal the link is asked for again, of the order that gave it or else of the catalogue; that also
        proves the token, since the API renews one that is over. A token the API still takes is renewed once all the
        same where the link stayed as it was, since the download server may keep its own book.
        """
        if scene.download_url is None:
            raise ArchiveError(f"{scene.id} is not online")
        if refused is None:
            return self._download(scene, scene.download_url)
        url = self._fresh_link(scene) or scene.download_url
        refused_token = refused.headers.get("Authorization", "").removeprefix("Token ")
        if refused_token and url == refused.url:
            self._tokens.renew_for_download(refused_token)
        located = self._download(scene, url)
        if located.url == refused.url and dict(located.headers) == dict(refused.headers):
            why = "" if located.headers else f"; {without_token(url)}"
            raise ArchiveError(
                f"{scene.id} is not online any more, or not for this account: its link is refused{why}",
                status=_FORBIDDEN,
            )
        return located

    def _fresh_link(self, scene: Scene) -> str | None:
        """Ask anew for a scene's link; None where nobody gives one."""
        order = self._ordered.get(scene.id)
        if order is not None and order.download_url == scene.download_url:
            told = self._poll_one(order)
            link = told.get("downloadUrl") if told is not None else None
            if isinstance(link, str) and link:
                return link
        row = self._product_row(scene.id)
        link = row.get("downloadUrl") if row is not None else None
        return link if isinstance(link, str) and link else None

    def _download(self, scene: Scene, url: str) -> Download:
        try:
            _host_and_port(url)
        except ValueError as reason:
            raise ArchiveError(f"the link of {scene.id} cannot be used: {reason}: {http.shorten(url, 120)}") from None
        headers: Mapping[str, str] = NOTHING
        if may_see_token(url, self._url, self._trusted):
            headers = {"Authorization": f"Token {self._tokens.current()}"}
        return Download(url=url, headers=headers, size=scene.size, digest=scene.digest)

    def _place(self, scene_id: str) -> Order:
        what = f"the order of {scene_id}"
        reply = self._request_call("POST", f"/{quote(scene_id, safe='')}", what, repeat=False)
        if not reply.ok:
            raise _order_refused(reply, what)
        answer = reply.json(what)
        number = answer.get("requestId") if isinstance(answer, dict) else None
        if isinstance(number, bool) or not isinstance(number, str | int) or number == "":
            if isinstance(answer, dict) and answer.get("errorCode"):
                raise _order_refused(reply, what)
            raise ArchiveError(f"the archive answered {what} without a requestId")
        return Order(order=str(number), id=scene_id, placed=self._now(), archive=self.identity)

    def _request_call(
        self,
        method: str,
        rest: str,
        what: str,
        *,
        repeat: bool = True,
        final: Callable[[http.Reply], bool] | None = None,
    ) -> http.Reply:
        """Call `request`; where that is not there, `/request` with the double slash of the original client."""
        if self._lists.request_path is not None:
            return self._call(method, self._lists.request_path + rest, what, repeat=repeat, final=final)
        reply = self._call(method, "request" + rest, what, repeat=repeat, final=final)
        if reply.status != _NOT_FOUND:
            self._lists.request_path = "request"
            return reply
        other = self._call(method, "/request" + rest, what, repeat=repeat, final=final)
        if other.status == _NOT_FOUND:
            return reply
        self._lists.request_path = "/request"
        return other

    def _poll(self, orders: Iterable[Order]) -> Iterator[Order]:
        pending = list({order.order: order for order in orders}.values())
        for batch in _batches(pending, key=lambda order: order.order):
            known: dict[str, dict[str, Any]] = {}
            if len(batch) > 1 and self._lists.orders is not False:
                known = self._poll_list(batch)
            alone = [order for order in batch if order.order not in known]
            for order in batch:
                if order.order in known:
                    yield self._told(order, known[order.order])
            for order in alone:
                told = self._poll_one(order)
                if told is not None and len(batch) > 1 and len(known) < 2 and self._lists.orders is None:  # noqa: PLR2004
                    self._lists.orders = False
                yield self._told(order, told)

    def _told(self, order: Order, element: dict[str, Any] | None) -> Order:
        order = _updated(order, element)
        self._ordered[order.id] = order
        return order

    def _poll_list(self, batch: Collection[Order]) -> dict[str, dict[str, Any]]:
        reply = self._ask_orders([order.order for order in batch])
        if reply.status in _LIST_REFUSED:
            return {}
        elements = _as_list(self._answer(reply, "a question about orders"), "a question about orders")
        wanted = {order.order for order in batch}
        known = {number: item for item in elements if (number := _order_number(item)) in wanted}
        if len(known) > 1:
            self._lists.orders = True
        return {number: item for number, item in known.items() if number is not None}

    def _poll_one(self, order: Order) -> dict[str, Any] | None:
        """Ask for one order; None where the archive does not know it."""
        reply = self._ask_orders([order.order])
        if _not_ready(reply):
            return {}
        if reply.status == _NOT_FOUND and self._lists.request_path is not None:
            return None
        elements = _as_list(self._answer(reply, "a question about an order"), "a question about an order")
        objects = [item for item in elements if isinstance(item, dict)]
        for item in objects:
            if _order_number(item) == order.order:
                return item
        return objects[0] if len(objects) == 1 and _order_number(objects[0]) is None else None

    def _ask_orders(self, numbers: Collection[str]) -> http.Reply:
        rest = "?ids=" + ",".join(quote(number, safe="") for number in numbers)
        alone = len(numbers) == 1
        return self._request_call(
            "GET",
            rest,
            "a question about orders",
            final=lambda reply: _not_ready(reply) or (not alone and reply.status == _SERVER_ERROR),
        )


@dataclass(slots=True)
class _ListSupport:
    """What has been learnt about the forms this service takes; None: not known yet."""

    products: bool | None = None
    orders: bool | None = None
    request_path: Literal["request", "/request"] | None = None


class _SedasOrders:
    """The ordering half of a `SedasArchive`; see `sedas_sync.archives.Orders`."""

    def __init__(self, archive: SedasArchive) -> None:
        self._archive = archive

    def place(self, scene: Scene) -> Order:
        """Order one scene; never sent twice where it is not known whether the first was taken."""
        return self._archive._place(scene.id)  # noqa: SLF001 - one object in two faces

    def poll(self, orders: Iterable[Order]) -> Iterator[Order]:
        """Ask for the state of orders, many in one call; those missing from the answer one by one."""
        return self._archive._poll(orders)  # noqa: SLF001 - one object in two faces


def _checked_base(url: str) -> str:
    """Return an API address in its plain form, with the slash at its end.

    Raises:
        ManifestError: it is no http(s) address, or plain http to another machine.
    """
    try:
        scheme, host, _ = _host_and_port(url)
    except ValueError as reason:
        raise ManifestError(f"the archive's url {http.shorten(str(url), 120)!r} cannot be used: {reason}") from None
    if scheme == "http" and not http.is_loopback(host):
        raise ManifestError(
            f"the archive's url {url!r} is plain http, over which a password would be readable: use https"
        )
    parts = urlsplit(url)
    return urlunsplit((scheme, parts.netloc.lower(), parts.path.rstrip("/") + "/", "", ""))


def _sensor_word(sensor: str) -> Literal["all", "optical", "sar"]:
    match sensor.strip().lower():
        case "all":
            return "all"
        case "optical":
            return "optical"
        case "sar":
            return "sar"
        case _:
            raise ValueError(f"sensor is {sensor!r}; it is one of all, optical, sar")


def _token_refused(reply: http.Reply) -> bool:
    if reply.status in {_UNAUTHORISED, _FORBIDDEN}:
        return True
    return reply.status == _BAD_REQUEST and reply.says(_TOKEN_GONE)


def _not_ready(reply: http.Reply) -> bool:
    """A bug of the service while an order is in progress (geocento/SEDAS-issues 6): not an error of the order."""
    return reply.status == _SERVER_ERROR and reply.says(_NOT_READY)


def _order_refused(reply: http.Reply, what: str) -> ArchiveError:
    error = reply.error(what)
    quota = reply.status == _TOO_MANY or error.retry_after is not None or any(reply.says(word) for word in _QUOTA_WORDS)
    if not quota:
        return error
    return ArchiveError(str(error), status=_TOO_MANY, retryable=True, retry_after=error.retry_after)


def _as_list(answer: object, what: str) -> list[Any]:
    if isinstance(answer, list):
        return answer
    if isinstance(answer, dict) and answer.get("errorCode"):
        stated = http.shorten(str(answer.get("errorMessage") or answer["errorCode"]))
        raise ArchiveError(f"the archive answered {what} with an error: {stated}")
    raise ArchiveError(f"the archive answered {what} with {_kind(answer)} instead of a list")


def _kind(answer: object) -> str:
    match answer:
        case None:
            return "null"
        case dict():
            return "an object"
        case list():
            return "a list"
        case str():
            return "a text"
        case _:
            return "a bare value"


def _id_or_none(row: dict[str, Any]) -> str | None:
    try:
        return identify(row)
    except ValueError:
        return None


def _by_id(rows: Iterable[object], wanted: Collection[str]) -> dict[str, object]:
    asked = set(wanted)
    found: dict[str, object] = {}
    for row in rows:
        name = _id_or_none(row) if isinstance(row, dict) else None
        if name is not None and name in asked:
            found.setdefault(name, row)
    return found


def _batch_length(items: list[_T], key: Callable[[_T], str] = str) -> int:
    """How many of the first items fit into one call."""
    length = 0
    for position, item in enumerate(items[:BATCH_IDS]):
        length += len(quote(key(item), safe="")) + 1
        if length > BATCH_CHARACTERS and position:
            return position
    return min(len(items), BATCH_IDS)


def _batches(items: list[_T], key: Callable[[_T], str] = str) -> Iterator[list[_T]]:
    rest = items
    while rest:
        length = _batch_length(rest, key)
        yield rest[:length]
        rest = rest[length:]


def _order_number(item: object) -> str | None:
    if not isinstance(item, dict):
        return None
    for key in ("requestId", "id"):
        value = item.get(key)
        if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
            return str(value)
    return None


def _updated(order: Order, told: dict[str, Any] | None) -> Order:
    """Bring an order up to date with its element of an answer; None: the archive does not know it."""
    if told is None:
        return replace(order, polls=order.polls + 1, missing=order.missing + 1)
    word = next((told[key] for key in ("status", "state") if isinstance(told.get(key), str) and told[key]), None)
    url = told.get("downloadUrl")
    ready = isinstance(url, str) and bool(url)
    failed = word is not None and word.strip().upper() in _FAILED_WORDS
    state = OrderState.READY if ready else OrderState.FAILED if failed else OrderState.PENDING
    return replace(
        order,
        polls=order.polls + 1,
        missing=0,
        state=state,
        download_url=url if ready else None,
        detail=http.shorten(word, 80) if word is not None else order.detail,
    )


# --------------------------------------------------------------------------------------------------------------------
# A query on the wire


def search_body(query: Query) -> dict[str, Any]:
    """Translate a query into the body of `POST /search`; the answer may hold more than was asked for, never less.

    A filter of one sensor class does not exclude scenes of the other (geocento/SEDAS-issues 65), so a product type of
    one class narrows the sensor too. What the service would judge otherwise than the exact rules do is asked for a
    little wider or not at all, since the rules are applied again to what comes.
    """
    sensor = query.sensor
    filters: dict[str, Any] = {}
    product_type = (query.product_type or "").upper()
    if product_type in _OPTICAL_TYPES and sensor != "sar":
        sensor = "optical"
        filters["opticalProductType"] = product_type
    elif product_type in _SAR_TYPES and sensor != "optical":
        sensor = "sar"
        filters["sarProductType"] = product_type
    if query.max_cloud_cover is not None and sensor == "optical":
        filters["maxCloudPercent"] = _plain(math.ceil(query.max_cloud_cover))
    if query.orbit_direction:
        filters["orbitDirection"] = query.orbit_direction.upper()
    if len(query.polarisation) == 1:
        filters["polarisation"] = query.polarisation[0].upper()
    if query.min_aoi_coverage is not None:
        # Coverage is rounded to whole percent there (saved answers of 2019), and by which rule is not known.
        least = min(math.floor(query.min_aoi_coverage), _FULL_COVERAGE) - 1
        if least > 0:
            filters["minCoveragePercent"] = least
    filters.update(query.filters)
    body: dict[str, Any] = {
        "sensorFilters": {"type": _WEB_TYPE[sensor]},
        "filters": filters,
        "aoiWKT": query.aoi,
        "start": _wire_time(_seconds(query.start)),
        "stop": _wire_time(_seconds_up(query.stop)),
    }
    if query.satellite:
        body["satelliteName"] = query.satellite
    if query.source_group:
        body["sourceGroup"] = query.source_group
    return body


def _plain(value: float) -> float:
    return int(value) if value == int(value) else value


@dataclass(slots=True)
class _Ends:
    """Whether answers hold what starts in the very first and the very last second that was asked for."""

    first_included: bool = False
    last_included: bool = False
    loose: bool = False
    """Whether answers reach beyond what was asked for, and so tell nothing about its ends."""

    def learn(self, start: int, stop: int, starts: Collection[int]) -> None:
        """Learn from the starts of an answer."""
        if starts:
            first, last = min(starts), max(starts)
            self.loose = self.loose or first < start or last > stop
            self.first_included = not self.loose and (self.first_included or first == start)
            self.last_included = not self.loose and (self.last_included or last == stop)


class _Asking:
    """One query's questions: asks windows of it, and knows the ways to cut a second that is too full."""

    def __init__(self, archive: SedasArchive, query: Query) -> None:
        self._archive = archive
        self._query = query
        self._whole = search_body(query)
        narrowing = ("sensorFilters", "filters", "satelliteName", "sourceGroup")
        self.narrowing = json.dumps([self._whole.get(key) for key in narrowing], sort_keys=True, default=str)
        self._ends = _Ends()
        self._fractions = False

    def ask(self, window: windows.Window) -> windows.Answer:
        body = {**self._whole, **(window.part or {})}
        # Whether the service includes the ends of what it is asked is not documented, so that a second more is asked
        # for at either end. Starts with fractions of a second would fall between windows of whole seconds besides.
        start = window.start - (0 if self._ends.first_included else windows.NEAR)
        stop = window.stop + (0 if self._ends.last_included and not self._fractions else windows.NEAR)
        body["start"], body["stop"] = _wire_time(start), _wire_time(stop)
        reply = self._archive._call("POST", "search", "a search", json=body)  # noqa: SLF001 - its own helper
        products = _products(self._archive._answer(reply, "a search"))  # noqa: SLF001 - its own helper
        rows = [self._row(row) for row in products]
        self._ends.learn(start, stop, [row.start for row in rows if row.start is not None])
        return windows.Answer(rows)

    def _row(self, row: Any) -> windows.Row:
        try:
            name = identify(row)
            value = row.get("start")
            when = to_instant(value) if value else None
        except (ValueError, TypeError, AttributeError, OverflowError):
            # It will be left out with a warning, once, however many answers hold it; till then it counts as a row.
            return windows.Row("\0" + _shown(row), None, _ALIKE, row)
        if when is None:
            return windows.Row(name, None, _respects(row), row)
        if when.microsecond:
            self._fractions = True
        return windows.Row(name, _seconds(when), _respects(row), row)

    def spread(self, window: windows.Window, rows: Collection[windows.Row]) -> list[Any]:
        """Cut the area so that no part meets all rows; each part is what it changes in the body of the question."""
        if "minCoveragePercent" in self._query.filters:
            return []
        part: dict[str, Any] = window.part or {}
        body = {**self._whole, **part}
        filters = {key: value for key, value in body["filters"].items() if key != "minCoveragePercent"}
        areas = _cut_area(body["aoiWKT"], [row.item for row in rows])
        return [{**part, "aoiWKT": area, "filters": filters} for area in areas]

    def divide(self, window: windows.Window, rows: Collection[windows.Row]) -> Iterator[list[Any]]:
        """Yield other ways to cut a question into parts whose answers together are the whole's, best first."""
        part: dict[str, Any] = window.part or {}
        body = {**self._whole, **part}
        if "satelliteName" not in body:
            seen = {row.groups[0] for row in rows if row.groups[0]}
            names = sorted(seen.union(self._archive._known_satellites()))  # noqa: SLF001 - its own helper
            if len(names) > 1:
                yield [{**part, "satelliteName": name} for name in names]
        kind = body["sensorFilters"]["type"]
        if kind == "All":
            yield [{**part, "sensorFilters": {"type": name}} for name in ("Optical", "SAR")]
        for key, own, values in (
            ("opticalProductType", "Optical", _OPTICAL_TYPES),
            ("sarProductType", "SAR", _SAR_TYPES),
        ):
            types = {row.item.get("productType") for row in rows if isinstance(row.item, dict)}
            if kind == own and key not in body["filters"] and types <= values:
                yield [{**part, "filters": {**body["filters"], key: value}} for value in sorted(values)]
        directions = ("ASCENDING", "DESCENDING")
        if "orbitDirection" not in body["filters"] and all(
            isinstance(row.item, dict) and str(row.item.get("orbitDirection")).upper() in directions for row in rows
        ):
            yield [{**part, "filters": {**body["filters"], "orbitDirection": value}} for value in directions]


_RESPECTS = ("satelliteName", "sensorType", "productType", "orbitDirection")
"""What a limit may count rows by, besides the source group: what they can be filtered by."""
_ALIKE = ("",) * (len(_RESPECTS) + 1)


def _respects(row: Mapping[str, Any]) -> tuple[str, ...]:
    """In which respects the service's limit may tell a row from others; the satellite first."""
    return _all_respects(*[value if isinstance(value, str) else "" for value in map(row.get, _RESPECTS)])


@lru_cache(maxsize=1024)
def _all_respects(satellite: str, *others: str) -> tuple[str, ...]:
    return (satellite, *others, _group_of(satellite) or "")


def _products(answer: object) -> list[Any]:
    if not isinstance(answer, dict):
        raise ArchiveError(f"the archive answered a search with {_kind(answer)} instead of an object")
    if answer.get("errorCode"):
        stated = http.shorten(str(answer.get("errorMessage") or answer["errorCode"]))
        raise ArchiveError(f"the archive answered a search with an error: {stated}")
    products = answer.get("products")
    if products is None:
        return []
    if not isinstance(products, list):
        raise ArchiveError(f"the archive answered a search with {_kind(products)} instead of a list of products")
    return products


_POINT = re.compile(r"(-?[\d.]+(?:[eE][-+]?\d+)?)\s+(-?[\d.]+(?:[eE][-+]?\d+)?)")


def _bounds(wkt: object) -> tuple[float, float, float, float] | None:
    """West, south, east and north of the points of a WKT, without building a geometry."""
    points = _POINT.findall(wkt) if isinstance(wkt, str) else []
    if not points:
        return None
    try:
        longitudes, latitudes = [float(x) for x, _ in points], [float(y) for _, y in points]
    except ValueError:
        return None
    return min(longitudes), min(latitudes), max(longitudes), max(latitudes)


def _cut_area(wkt: str, rows: Collection[Any]) -> list[str]:
    """Cut an area along a meridian or a parallel so that neither side meets all of the rows' footprints.

    Returns plain POLYGONs that together cover the area; none where no such line exists.
    """
    area = _bounds(wkt)
    boxes = [_bounds(row.get("coordinatesWKT")) if isinstance(row, dict) else None for row in rows]
    if area is None or len(boxes) < 2:  # noqa: PLR2004 - one footprint cannot be parted
        return []
    best: tuple[int, int, float] | None = None
    for axis in (0, 1):
        low, high = area[axis], area[axis + 2]
        # A footprint that is not known may lie on either side.
        spans = [(box[axis], box[axis + 2]) if box else (low, high) for box in boxes]
        inside = sorted({edge for span in spans for edge in span if low < edge < high})
        for line in _between([low, *inside, high]):
            most = max(sum(span[0] <= line for span in spans), sum(span[1] >= line for span in spans))
            if most < len(spans) and (best is None or most < best[0]):
                best = (most, axis, line)
    if best is None:
        return []
    _, axis, line = best
    return _halves(wkt, area, axis, line)


def _between(edges: list[float]) -> Iterator[float]:
    """Lines in the middle between neighbouring edges, at most some hundred of them."""
    step = max(1, len(edges) // 200)
    for left, right in zip(edges[:-1:step], edges[1::step], strict=False):
        middle = (left + right) / 2
        if left < middle < right:
            yield middle


def _halves(wkt: str, area: tuple[float, float, float, float], axis: int, line: float) -> list[str]:
    import shapely  # noqa: PLC0415 - slow to import, and seldom needed

    overlap = 1e-9
    west, south, east, north = area
    if axis == 0:
        sides = ((west, south, line + overlap, north), (line - overlap, south, east, north))
    else:
        sides = ((west, south, east, line + overlap), (west, line - overlap, east, north))
    try:
        whole = shapely.from_wkt(wkt)
        pieces = [whole.intersection(shapely.box(*side)) for side in sides]
    except shapely.errors.ShapelyError:
        return []
    polygons = [
        polygon
        for piece in pieces
        for polygon in getattr(piece, "geoms", [piece])
        if polygon.geom_type == "Polygon" and not polygon.is_empty
    ]
    return [shapely.to_wkt(polygon, rounding_precision=-1) for polygon in polygons]


def open_archive(opening: "Opening") -> SedasArchive:
    """Open the archive that a manifest describes.

    Raises:
        AuthenticationError: there are no credentials for it.
    """
    found = opening.credentials()
    return SedasArchive(
        opening.config.url or LIVE_URL,
        username=found.username,
        password=found.password,
        trusted_hosts=opening.config.trusted_hosts,
        retries=opening.transfer.retries,
        connect_timeout=opening.transfer.connect_timeout,
        stall_timeout=opening.transfer.stall_timeout,
        now=opening.clock,
    )
