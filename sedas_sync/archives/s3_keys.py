"""Credentials for S3 buckets and signed links, with botocore: variables, profiles, SSO and roles.

Needs the extra `s3`.
"""

from typing import Any, NamedTuple

from sedas_sync.errors import AuthenticationError, sentence
from sedas_sync.files.extras import load_extra
from sedas_sync.net import redact


class Key(NamedTuple):
    """An access key."""

    access: str
    secret: str
    token: str | None
    source: str
    """Where it was found, for messages."""


class AwsSession:
    """One reading of the AWS configuration of the user. It refreshes credentials that are about to expire.

    Args:
        profile: The profile; None for the one that the environment names.
    """

    def __init__(self, profile: str | None) -> None:
        self._credentials: Any = None
        session, errors = _botocore("session"), _botocore("exceptions")
        try:
            self._session = session.Session(profile=profile)
            self.endpoint: str | None = self._session.get_scoped_config().get("endpoint_url")
            """The server that the profile names."""
        except errors.ProfileNotFound:
            raise AuthenticationError(f"the AWS configuration has no profile {profile or 'of AWS_PROFILE'!r}") from None
        except (errors.BotoCoreError, OSError, ValueError) as error:
            raise AuthenticationError(
                f"the AWS configuration cannot be read: {redact.redact(sentence(error))}"
            ) from error

    def key(self) -> Key | None:
        """Return a key that is valid now; None if there is none.

        Raises:
            AuthenticationError: The credentials cannot be read or refreshed, e.g. because a login has expired.
        """
        try:
            self._credentials = self._credentials or self._session.get_credentials()
            if self._credentials is None:
                return None
            found = self._credentials.get_frozen_credentials()
        except (_botocore("exceptions").BotoCoreError, OSError, ValueError) as error:
            raise AuthenticationError(
                f"the AWS credentials cannot be used: {redact.redact(sentence(error))}"
            ) from error
        return Key(found.access_key, found.secret_key, found.token, f"the AWS credentials ({self._credentials.method})")


def sign(url: str, parameters: dict[str, str], key: Key, region: str, *, seconds: int) -> str:
    """Return a URL with a signature (version 4) for a GET request.

    Args:
        url: Without a query.
        parameters: The query; it is signed too.
        key: The access key.
        region: The region of the bucket.
        seconds: How long the signature is valid.
    """
    for secret in (key.secret, key.token, key.access):
        if secret:
            redact.remember_secret(secret)
    request = _botocore("awsrequest").AWSRequest(method="GET", url=url, params=parameters)
    credentials = _botocore("credentials").ReadOnlyCredentials(key.access, key.secret, key.token)
    _botocore("auth").S3SigV4QueryAuth(credentials, "s3", region, expires=seconds).add_auth(request)
    return str(request.url)


def _botocore(name: str) -> Any:
    """Return a module of botocore.

    Raises:
        AuthenticationError: The extra is not installed.
    """
    purpose = "a bucket without `s3 = { anonymous = true }` in the archive's table"
    return load_extra(f"botocore.{name}", "s3", purpose, AuthenticationError)
