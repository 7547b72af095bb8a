"""Objects of buckets, with the session of eodag's plug-in: by a signed link, or read through the session.

A signed link makes an object a file like any other. Some services take none; their objects are read in this process.
"""

import io
from collections.abc import Callable
from typing import Any, BinaryIO, cast
from urllib.parse import parse_qs

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from eodag.plugins.authentication.aws_auth import AwsAuth

from sedas_sync.errors import ArchiveError
from sedas_sync.model.scene import Download, RemoteFile

_VALID = 3600
"""Seconds that a signed link is valid."""
_TOO_MANY, _SERVER_ERROR = 429, 500


class EodagBuckets:
    """The buckets of one provider."""

    def __init__(self) -> None:
        self._regions: dict[str, str | None] = {}
        """The regions of buckets of AWS; None if the region is the session's."""

    def locate(self, file: RemoteFile, plugin: Any, *, pays: bool) -> Download:
        """Return the way to an object.

        Args:
            file: The object.
            plugin: eodag's plug-in for the login.
            pays: Whether the account pays for downloads from a bucket that bills its readers.

        Raises:
            ArchiveError: eodag has no login for buckets.
        """
        address = file.url or ""
        bucket, _, key = address.removeprefix("s3://").partition("/")
        if not isinstance(plugin, AwsAuth) or not bucket or not key:
            raise ArchiveError(f"{address}: eodag has no login for this bucket")
        client = self._client(plugin, bucket)
        request = {"Bucket": bucket, "Key": key, **({"RequestPayer": "requester"} if pays else {})}
        if not getattr(plugin.config, "support_presign_url", True):
            size = file.size or int(_asked(lambda: client.head_object(**request))["ContentLength"])
            return Download(url=address, open=_opener(client, request), size=size, digest=file.digest)
        headers = {"x-amz-request-payer": "requester"} if pays else {}
        url = str(client.generate_presigned_url("get_object", Params=request, ExpiresIn=_VALID))
        return Download(url=url, headers=headers, size=file.size, digest=file.digest)

    def _client(self, plugin: AwsAuth, bucket: str) -> Any:
        """Return a client with eodag's session that signs for the bucket's region, as new regions demand."""
        plain = plugin.get_s3_client()
        session, endpoint = plugin.s3_session, getattr(plugin.config, "s3_endpoint", None)
        if session is None or session.get_credentials() is None:
            return plain
        if bucket not in self._regions:
            self._regions[bucket] = None if endpoint else _region(plain, bucket)
        signing = Config(signature_version="s3v4")
        return session.client("s3", region_name=self._regions[bucket], endpoint_url=endpoint, config=signing)


def signer(url: str) -> str:
    """Return a link, of a signed one only what another signature by the same account within an hour has in common."""
    address, _, query = url.partition("?")
    signed = {name: values[0] for name, values in parse_qs(query).items() if name.startswith("X-Amz-")}
    if "X-Amz-Signature" not in signed:
        return url
    hour = signed["X-Amz-Date"][:11]
    return f"{address}?{signed['X-Amz-Credential']}&{hour}&{signed.get('X-Amz-Security-Token')}"


def _region(client: Any, bucket: str) -> str | None:
    """Return the region of a bucket of AWS, which also states it to accounts that may not read the bucket."""
    try:
        answer = client.head_bucket(Bucket=bucket)
    except ClientError as error:
        answer = error.response
    region = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("x-amz-bucket-region")
    return region if isinstance(region, str) else None


def _opener(client: Any, request: dict[str, str]) -> Callable[[int, int | None], BinaryIO]:
    def opened(start: int, length: int | None) -> BinaryIO:
        if length == 0:
            return io.BytesIO()
        wanted = f"bytes={start}-{'' if length is None else start + length - 1}"
        return cast(BinaryIO, _Body(_asked(lambda: client.get_object(**request, Range=wanted))["Body"]))

    return opened


def _asked(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", _SERVER_ERROR)
        raise ArchiveError(
            str(error), status=status, retryable=status == _TOO_MANY or status >= _SERVER_ERROR
        ) from error
    except BotoCoreError as error:
        raise ArchiveError(str(error), retryable=True) from error


class _Body(io.RawIOBase):
    """The body of an answer of botocore, whose errors are those of a stream."""

    def __init__(self, body: Any) -> None:
        self._body = body

    def read(self, size: int = -1) -> bytes:
        try:
            return bytes(self._body.read(size if size >= 0 else None))
        except BotoCoreError as error:
            raise OSError(str(error)) from error

    def close(self) -> None:
        self._body.close()
        super().close()
