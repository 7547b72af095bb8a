"""Files in S3 buckets: the address of an object, and a signed link to it.

An object is downloaded by a GET request to a link whose query has the signature, so that ranges, resume and proof are
those of any file. botocore finds the credentials and signs; it sends no request to a bucket.

Credentials belong to servers, as all others: those of AWS to the hosts of its buckets and to the server that the
environment or the user's own configuration names (scheme, host and port), those of the Copernicus Data Space to its
server. A link is signed only if nobody can read it on its way.
"""

import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, urlencode, urlsplit
from xml.etree import ElementTree as ET

from sedas_sync.archives.cdse import kind as cdse
from sedas_sync.archives.s3_config import REGION, SCHEME, Place, S3Config
from sedas_sync.archives.s3_keys import AwsSession, Key, sign
from sedas_sync.errors import ArchiveError, AuthenticationError
from sedas_sync.model.hosts import is_loopback
from sedas_sync.model.scene import Download
from sedas_sync.model.text import count
from sedas_sync.net import credentials, policy, session

VALID = timedelta(hours=1)
"""How long a signature is valid. A file that takes longer gets another link and resumes."""
_AWS = re.compile(r"(?:[a-z0-9.-]+\.)?s3(?:[.-](?:dualstack\.|fips\.)?[a-z0-9-]+)?\.amazonaws\.com(?:\.cn)?")
"""The hosts of AWS's buckets. Other hosts of amazonaws.com may be of any customer."""
_OWN_SERVER = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
"""The environment variables that name a server, as for all programs that use AWS's libraries."""
_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
"""Buckets whose name can be a part of a host's name, and matches its certificate."""
_HOME = "us-east-1"
_REGION_HEADER = "x-amz-bucket-region"
_PAYER = {"x-amz-request-payer": "requester"}
_MD5 = re.compile(r'"?([0-9a-f]{32})"?')
_PUBLIC = "a public bucket needs none, with s3 = { anonymous = true } in the archive's table"
_DENIED = "AccessDenied"
_LOG_IN = "log in again, such as with `aws sso login`"
_ADVICE = {
    "RequestTimeTooSkewed": "the clock of this machine is wrong: set it",
    "InvalidObjectState": "the file is archived: it can be downloaded only after its owner restores it",
    "InvalidAccessKeyId": "the server does not know the access key",
    "SignatureDoesNotMatch": "the secret key does not belong to the access key",
    "ExpiredToken": f"the login has expired: {_LOG_IN}",
    "InvalidToken": f"the login is not valid: {_LOG_IN}",
    _DENIED: "the account has no right to it",
}
"""By error code (error codes of the S3 API)."""
_MOST_PAGES = 1000
_LONGEST_LOGIN = 120.0
"""Seconds that AWS's libraries may take to find credentials."""
_TRIES = 3
_REFUSED = frozenset({301, 307, 400, 403})
"""Statuses that name another region, or refuse a key or a signature (error codes of the S3 API)."""


AWS = Place()
"""No statement: AWS, in a region that the bucket knows."""


class ListedObject(NamedTuple):
    """An object of a listing."""

    key: str
    size: int
    md5: str | None
    """None if the object was sent in parts: its ETag is then no MD5."""


def split(link: str) -> tuple[str, str]:
    """Return bucket and key of an `s3://` link.

    >>> split("s3://sentinel-s1-l1c/GRD/2025/manifest.safe")
    ('sentinel-s1-l1c', 'GRD/2025/manifest.safe')
    """
    bucket, _, key = link.removeprefix(SCHEME).partition("/")
    return bucket, key


def address_of(bucket: str, key: str, endpoint: str | None = None, region: str | None = None) -> str:
    """Return the https address of an object, or of a bucket if the key is empty.

    >>> address_of("usgs-landsat", "a b.TIF", region="us-west-2")
    'https://usgs-landsat.s3.us-west-2.amazonaws.com/a%20b.TIF'
    >>> address_of("eodata", "a.nc", "https://eodata.dataspace.copernicus.eu")
    'https://eodata.dataspace.copernicus.eu/eodata/a.nc'
    """
    path = quote(key, safe="/-_.~")
    if endpoint is not None:
        return f"{endpoint.rstrip('/')}/{quote(bucket, safe='-_.~')}/{path}"
    domain = "amazonaws.com.cn" if region and region.startswith("cn-") else "amazonaws.com"
    host = f"s3.{region}.{domain}" if region else f"s3.{domain}"
    return f"https://{bucket}.{host}/{path}" if _BUCKET.fullmatch(bucket) else f"https://{host}/{quote(bucket)}/{path}"


def hosts_of(config: S3Config, environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the hosts of the servers that the manifest or the environment names, which may be private."""
    return tuple(policy.origin_of(one)[1] for one in (config.endpoint, _own_server(environ)) if one)


def _own_server(environ: Mapping[str, str]) -> str | None:
    """Return the server that the environment names; None if it names none.

    Raises:
        AuthenticationError: The variable is not an address.
    """
    found = policy.variable(environ, *_OWN_SERVER)
    return None if found is None else _checked(found[1], found[0])


def _checked(server: str, origin: str) -> str:
    try:
        policy.origin_of(server)
    except ValueError as error:
        raise AuthenticationError(f"{origin} is not the address of a server: {error}") from None
    return server


class Buckets:
    """Links to objects in buckets. Safe for threads.

    Args:
        config: The key `s3` of the archive's table.
        api: Sends the requests for regions and listings.
        clock: Returns the present time, UTC.
        environ: The environment. botocore reads that of the process.
    """

    def __init__(
        self,
        config: S3Config,
        api: session.Api,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._config = config
        self._api = api
        self._clock = clock
        self._environ = environ
        self._session: AwsSession | None = None
        self._regions: dict[tuple[str | None, str], str] = {}
        """By server and bucket, as the server stated them; empty if it states none."""
        self._lock = threading.Lock()

    def link(self, address: str, place: Place = AWS, *, pays: bool = False, refused: Download | None = None) -> str:
        """Return the https link with which to request an object now.

        Args:
            address: The `s3://` link.
            place: Where the catalogue states that the bucket is.
            pays: Whether the catalogue allows that the bucket bills its transfers.
            refused: The download that the server refused.

        Raises:
            ArchiveError: There is no other link than the refused one.
            AuthenticationError: There are no credentials for the server of the bucket.
        """
        bucket, key = split(address)
        return self._signed(bucket, key, {}, place, pays=pays, refused=refused)

    def objects(self, address: str, place: Place = AWS) -> Iterator[ListedObject]:
        """Yield the objects whose keys begin as an `s3://` link does.

        Raises:
            ArchiveError: The listing failed.
            AuthenticationError: There are no credentials for the server of the bucket, or it refuses them.
        """
        bucket, prefix = split(address)
        query = {"list-type": "2", "prefix": prefix}
        with self._lock:
            host = urlsplit(address_of(bucket, "", self._endpoint(place))).hostname or ""
        # Elsewhere an object can be encrypted with a key of its own: its ETag looks like an MD5 and is none.
        has_md5 = credentials.belongs(host, cdse.S3_VARIABLES, self._environ)
        seen: set[str] = set()
        for _ in range(_MOST_PAGES):
            answer = self._list(bucket, query, place)
            for entry in (part for part in answer if _name(part) == "Contents"):
                yield _listed(entry, address, has_md5=has_md5)
            following = _following(answer, address)
            if following is None:
                return
            if following in seen:
                raise ArchiveError(f"the list of {address} never ends: the server repeats a page")
            seen.add(following)
            query = {**query, "continuation-token": following}
        raise ArchiveError(f"the list of {address} has more than {count(_MOST_PAGES, 'page')}")

    def read(self, address: str, place: Place = AWS) -> session.Reply:
        """Request a small object.

        Raises:
            ArchiveError: The request failed.
            AuthenticationError: There are no credentials for the server of the bucket, or it refuses them.
        """
        bucket, key = split(address)
        return self._ask(f"the request for {key.rpartition('/')[2]}", bucket, key, {}, place)

    def _list(self, bucket: str, query: dict[str, str], place: Place) -> ET.Element:
        what = f"the request for the list of bucket {bucket}"
        reply = self._ask(what, bucket, "", query, place)
        try:
            answer = ET.fromstring(reply.body)  # noqa: S314  # expat limits the expansion of entities
        except ET.ParseError:
            raise ArchiveError(f"the archive answered {what} with something that is not XML") from None
        if _name(answer) != "ListBucketResult":
            raise ArchiveError(f"the archive answered {what} with something else: {_name(answer)}")
        return answer

    def _ask(self, what: str, bucket: str, name: str, query: dict[str, str], place: Place) -> session.Reply:
        url = self._signed(bucket, name, query, place)
        for attempt in range(_TRIES):
            reply = self._api.send("GET", url, headers={"Accept": "application/xml"}, kind="look_up")
            if reply.ok:
                return reply
            if reply.status not in _REFUSED or attempt == _TRIES - 1:
                raise reply.error(what)
            try:
                url = self._signed(
                    bucket, name, query, place, refused=Download(url=url, refusal=str(reply.error(what)))
                )
            except AuthenticationError:
                raise
            except ArchiveError as error:
                raise AuthenticationError(f"{reply.error(what)}; {error}", forbidden=True) from None
        raise AssertionError("unreachable: the last attempt returns or raises")

    # -- servers and regions -----------------------------------------------------------------------------------------

    def _endpoint(self, place: Place) -> str | None:
        """Return the server of a bucket; None for AWS. The manifest, the catalogue, the environment, the profile."""
        found = self._config.endpoint or place.endpoint or _own_server(self._environ)
        if found is None and not self._config.anonymous:
            found = self._own_profiles_server()
        return None if found is None or _AWS.fullmatch(urlsplit(found).hostname or "") else found

    def _region(self, endpoint: str | None, bucket: str, place: Place, *, ask: bool = False) -> str | None:
        """Return the region of a bucket; None if it is not known.

        Args:
            endpoint: The server.
            bucket: The bucket.
            place: What the catalogue states.
            ask: Whether to ask the server again, which states it in answers about a bucket (HeadBucket, S3 API). A
                signature for another region is refused.
        """
        known = self._regions.get((endpoint, bucket))
        named = self._config.region or place.region
        if ask or (known is None and named is None):
            reply = self._api.send("HEAD", address_of(bucket, "", endpoint), kind="other")
            stated = reply.headers.get(_REGION_HEADER, "")
            known = stated if re.fullmatch(REGION, stated) else ""
            self._regions[endpoint, bucket] = known
        return known or named

    # -- signatures --------------------------------------------------------------------------------------------------

    def _signed(
        self,
        bucket: str,
        name: str,
        query: dict[str, str],
        place: Place,
        *,
        pays: bool = False,
        refused: Download | None = None,
    ) -> str:
        with self._lock:
            endpoint = self._endpoint(place)
            server = address_of(bucket, "", endpoint)
            key = None if self._config.anonymous else self._key(server)
            # A request without a signature is redirected to the region.
            region = place.region if key is None else self._region(endpoint, bucket, place)
            url = self._link_with_signature(address_of(bucket, name, endpoint, region), query, key, region, pays=pays)
            if (
                refused is None
                or _has_expired(refused.url, self._clock())
                or _what_decides(url) != _what_decides(refused.url)
            ):
                return url
            key = None if self._config.anonymous else self._key(server, renew=True)
            region = self._region(endpoint, bucket, place, ask=True)
            url = self._link_with_signature(address_of(bucket, name, endpoint, region), query, key, region, pays=pays)
            if _what_decides(url) != _what_decides(refused.url):
                return url
            raise ArchiveError(self._advice(bucket, "" if key is None else key.source, refused.refusal))

    def _link_with_signature(
        self, url: str, query: dict[str, str], key: Key | None, region: str | None, *, pays: bool
    ) -> str:
        """Return a link with its query, and with a signature if there is a key."""
        if key is None:
            return f"{url}?{urlencode(query)}" if query else url
        payer = _PAYER if pays and self._config.requester_pays else {}
        return sign(url, query | payer, key, region or _HOME, seconds=int(VALID.total_seconds()))

    def _key(self, server: str, *, renew: bool = False) -> Key:
        """Return the access key for a server.

        Args:
            server: The address of the bucket.
            renew: Whether to read the AWS configuration again: the last key was refused.

        Raises:
            AuthenticationError: There is none, or it may not be sent to this server.
        """
        origin = policy.origin_of(server)
        _check_not_readable_on_the_way(origin)
        is_cdse = self._is_cdse(origin)
        if is_cdse and (key := self._cdse_key()) is not None:
            return key
        aws = self._aws(renew=renew)
        self._check_may_get_aws_key(origin, is_cdse=is_cdse)
        return self._aws_key(aws, origin.host)

    def _named_servers(self, host: str) -> list[str | None]:
        """Return the servers that the user names. Other ports of this machine belong to other programs."""
        return [_own_server(self._environ), self._config.endpoint if is_loopback(host) else None]

    def _is_cdse(self, origin: policy.Origin) -> bool:
        """Return whether a server may see the key of the Copernicus Data Space."""
        belongs = credentials.belongs(origin.host, cdse.S3_VARIABLES, self._environ)
        return belongs and (not is_loopback(origin.host) or _is_one_of(origin, self._named_servers(origin.host)))

    def _cdse_key(self) -> Key | None:
        """Return the key of the Copernicus Data Space; None if it is not set, or the manifest names a profile."""
        names = cdse.S3_VARIABLES.names
        cdse_values = [self._environ.get(name, "").strip() for name in names]
        if self._config.profile is not None or not all(cdse_values):
            return None
        return Key(cdse_values[0], cdse_values[1], None, " and ".join(names))

    def _check_may_get_aws_key(self, origin: policy.Origin, *, is_cdse: bool) -> None:
        """Check that a server may see the AWS credentials.

        Raises:
            AuthenticationError: It may not.
        """
        if _AWS.fullmatch(origin.host):
            return
        if _is_one_of(origin, [*self._named_servers(origin.host), self._own_profiles_server()]):
            return
        wanted = (
            f"set {' and '.join(cdse.S3_VARIABLES.names)}"
            if is_cdse
            else f"AWS credentials are not sent to it; to allow it, set {_OWN_SERVER[0]}={origin}"
        )
        raise AuthenticationError(f"no credentials for {origin.host}: {wanted}", forbidden=not is_cdse)

    def _aws_key(self, aws: AwsSession, host: str) -> Key:
        """Return the key of the AWS configuration.

        Raises:
            AuthenticationError: There is none, or AWS's libraries take too long.
        """
        try:
            # A program of the user, or a login at AWS, may wait for ever.
            found = self._api.run(aws.key, _LONGEST_LOGIN)
        except TimeoutError:
            raise AuthenticationError(
                f"no credentials for {host}: AWS's libraries did not return any within {_LONGEST_LOGIN:.0f} s; see "
                "whether credential_process, the SSO login or the role of this machine works"
            ) from None
        if found is None:
            raise AuthenticationError(
                f"no credentials for {host}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile of "
                f"your AWS configuration; {_PUBLIC}"
            )
        return found

    def _own_profiles_server(self) -> str | None:
        """Return the server that the profile names; None if it names none."""
        found = self._aws().endpoint
        return None if found is None else _checked(found, "endpoint_url in the AWS configuration")

    def _aws(self, *, renew: bool = False) -> AwsSession:
        if self._session is None or renew:
            self._session = AwsSession(self._config.profile)
        return self._session

    def _advice(self, bucket: str, source: str, refusal: str) -> str:
        if not source:
            return (
                f"the bucket {bucket} refuses requests without a signature: leave out `anonymous` in the archive's "
                "`s3`, and set AWS credentials"
            )
        code = next((code for code in _ADVICE if code in refusal), "")
        advice = _ADVICE.get(code, "")
        if code == _DENIED and not self._config.requester_pays:
            remedy = "s3 = { requester_pays = true } in the archive's table"
            advice += f", or the requester pays for transfers; to pay, set {remedy}"
        return f"the bucket {bucket} refuses {source}{': ' if advice else ''}{advice}"


def _check_not_readable_on_the_way(origin: policy.Origin) -> None:
    """Check that nobody can read a signed link on its way to a server.

    Raises:
        AuthenticationError: Its address is plain http.
    """
    if not origin.may_carry_secret:
        raise AuthenticationError(
            f"no credentials for {origin.host}: its address is {origin.scheme}://, and signed links are sent over "
            f"https only; {_PUBLIC}",
            forbidden=True,
        )


def _name(element: ET.Element) -> str:
    """Return the name of an element without its namespace, which differs between servers."""
    return element.tag.rpartition("}")[2]


def _is_one_of(origin: tuple[str, str, int], servers: Iterable[str | None]) -> bool:
    return any(policy.origin_of(one) == origin for one in servers if one)


def _listed(entry: ET.Element, address: str, *, has_md5: bool) -> ListedObject:
    """Return an object of a list.

    Raises:
        ArchiveError: Its key or its size is missing or not valid.
    """
    stated = {_name(part): part.text or "" for part in entry}
    key, size = stated.get("Key", ""), stated.get("Size", "").strip()
    if not key or not (size.isascii() and size.isdecimal()):
        raise ArchiveError(f"the list of {address} has an object without a key or a valid size: {key!r}, {size!r}")
    md5 = _MD5.fullmatch(stated.get("ETag", "")) if has_md5 else None
    return ListedObject(key, int(size), md5[1] if md5 else None)


def _following(answer: ET.Element, address: str) -> str | None:
    """Return the token of the next page of a list; None after the last one.

    Raises:
        ArchiveError: Whether another page follows is not clear.
    """
    found = {_name(part): (part.text or "").strip() for part in answer}
    following, truncated = found.get("NextContinuationToken"), found.get("IsTruncated", "false").lower()
    if following:
        return following
    if truncated != "false":
        raise ArchiveError(f"the list of {address} is incomplete: the server has more, and does not state how to go on")
    return None


def _parameters(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))


def _has_expired(url: str, now: datetime) -> bool:
    """Return whether the signature of a link has expired; False if it has none."""
    parameters = _parameters(url)
    try:
        signed = datetime.strptime(parameters["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        return signed + timedelta(seconds=int(parameters["X-Amz-Expires"])) <= now
    except (KeyError, ValueError):
        return False


def _what_decides(url: str) -> tuple[object, ...]:
    """Return what decides whether a server accepts a link, apart from the time: address, key, region and token."""
    parts, parameters = urlsplit(url), _parameters(url)
    access, _, *scope = [*parameters.get("X-Amz-Credential", "").split("/"), ""]
    return parts.netloc, parts.path, access, scope, parameters.get("X-Amz-Security-Token")
