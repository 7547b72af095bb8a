"""Addresses of objects in buckets, which hosts see credentials, and what catalogues state about buckets."""

import os
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from bucket_server import ACCOUNT, NO_ACCOUNT

from sedas_sync.archives.s3 import Buckets, address_of
from sedas_sync.archives.s3_config import Place, S3Config
from sedas_sync.archives.stac.storage import Storage, storage_of
from sedas_sync.errors import ArchiveError, AuthenticationError, StoppedError
from sedas_sync.files.threads import call_aside
from sedas_sync.model.scene import Download
from sedas_sync.net import session

US = Place(region="us-west-2")


@pytest.fixture(autouse=True)
def account(monkeypatch):
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**NO_ACCOUNT, **ACCOUNT}.items():
        monkeypatch.setenv(name, value)


class NoRequests(session.Api):
    def send(self, *_, **__):
        raise AssertionError("no request is needed")


def buckets(clock=lambda: datetime.now(UTC), environ=None, **config):
    return Buckets(S3Config(**config), NoRequests(), clock, ACCOUNT if environ is None else environ)


@pytest.mark.parametrize(
    ("bucket", "region", "host", "path"),
    [
        ("usgs-landsat", "us-west-2", "usgs-landsat.s3.us-west-2.amazonaws.com", "/a/b.tif"),
        ("usgs-landsat", None, "usgs-landsat.s3.amazonaws.com", "/a/b.tif"),
        # A name with a dot matches no certificate, and one with other signs is no name of a host.
        ("data.example.org", "eu-west-1", "s3.eu-west-1.amazonaws.com", "/data.example.org/a/b.tif"),
        ("evil.example/x", None, "s3.amazonaws.com", "/evil.example/x/a/b.tif"),
        ("Upper_Case", None, "s3.amazonaws.com", "/Upper_Case/a/b.tif"),
        ("china", "cn-north-1", "china.s3.cn-north-1.amazonaws.com.cn", "/a/b.tif"),
    ],
)
def test_addresses(bucket, region, host, path):
    parts = urlsplit(address_of(bucket, "a/b.tif", region=region))
    assert (parts.scheme, parts.netloc, parts.path) == ("https", host, path)


@pytest.mark.parametrize("key", ["a b+c%2F?d#e&f=g.tif", "é/ü.tif", "a//b", "a/../b"])
def test_a_key_is_quoted_whole(key):
    parts = urlsplit(address_of("bucket", key, "https://s3.example.org"))
    assert not parts.query
    assert not parts.fragment


@pytest.mark.parametrize(
    "server",
    [
        "https://s3-evil.us-east-1.elb.amazonaws.com",
        "https://ec2-1-2-3-4.compute-1.amazonaws.com",
        "https://s3.amazonaws.com.evil.example",
        "https://xs3.amazonaws.com",
        "https://s3.us-east-1.evil.amazonaws.com",
    ],
)
def test_a_host_that_only_looks_like_a_bucket_sees_no_credentials(server):
    with pytest.raises(AuthenticationError, match="AWS credentials are not sent to it"):
        buckets().link("s3://b/k", Place(server, "us-east-1"))


def test_the_environment_names_a_server(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://minio.example.org")
    own = {**ACCOUNT, "AWS_ENDPOINT_URL_S3": "https://minio.example.org"}
    link = buckets(environ=own, region="x").link("s3://b/k")
    assert urlsplit(link).netloc == "minio.example.org"
    with pytest.raises(AuthenticationError, match="not sent to it"):
        buckets(environ=own, region="x", endpoint="https://other.example.org").link("s3://b/k")


@pytest.mark.parametrize(
    ("server", "own"),
    [
        ("http://minio.example.org", "https://minio.example.org"),
        ("http://minio.example.org", "http://minio.example.org"),
        ("https://minio.example.org:8443", "https://minio.example.org"),
        ("http://127.0.0.1:9001", "http://127.0.0.1:9000"),
        ("http://eodata.dataspace.copernicus.eu", "https://minio.example.org"),
    ],
)
def test_nothing_is_signed_for_another_origin_or_in_the_open(monkeypatch, server, own):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", own)
    keys = {"CDSE_S3_ACCESS_KEY": "cdse-key", "CDSE_S3_SECRET_KEY": "cdse-secret"}
    with pytest.raises(AuthenticationError, match=r"signed links are sent over https only|not sent to it"):
        buckets(environ={**ACCOUNT, **keys, "AWS_ENDPOINT_URL_S3": own}).link("s3://b/k", Place(server, "x"))


def test_a_server_of_the_environment_that_is_no_address():
    with pytest.raises(AuthenticationError, match="AWS_ENDPOINT_URL_S3 is not the address of a server"):
        buckets(environ={**ACCOUNT, "AWS_ENDPOINT_URL_S3": "https://[bad"}).link("s3://b/k")


def test_a_broken_aws_configuration(monkeypatch, tmp_path):
    (tmp_path / "config").write_text("[profile lab\nregion\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    with pytest.raises(AuthenticationError, match="the AWS configuration cannot be read"):
        buckets(region="x").link("s3://b/k")


def test_a_profile_names_its_server(monkeypatch, tmp_path):
    (tmp_path / "config").write_text(
        "[profile lab]\nendpoint_url = https://lab.example.org\naws_access_key_id = AKIALAB\n"
        "aws_secret_access_key = secret-of-lab\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    link = urlsplit(buckets(profile="lab", region="x").link("s3://b/k"))
    assert link.netloc == "lab.example.org"
    assert parse_qs(link.query)["X-Amz-Credential"][0].startswith("AKIALAB/")
    monkeypatch.setenv("AWS_PROFILE", "lab")
    assert urlsplit(buckets(region="x").link("s3://b/k")).netloc == "lab.example.org"
    with pytest.raises(AuthenticationError, match="has no profile 'other'"):
        buckets(profile="other", region="x").link("s3://b/k")


def test_keys_of_the_copernicus_data_space_go_there_only():
    keys = {"CDSE_S3_ACCESS_KEY": "cdse-key", "CDSE_S3_SECRET_KEY": "cdse-secret"}
    place = Place("https://eodata.dataspace.copernicus.eu", "default")
    link = urlsplit(buckets(environ=keys).link("s3://eodata/a.nc", place))
    assert parse_qs(link.query)["X-Amz-Credential"][0].startswith("cdse-key/")
    elsewhere = urlsplit(buckets(environ=keys).link("s3://b/k", US))
    assert parse_qs(elsewhere.query)["X-Amz-Credential"][0].startswith("test/")


def test_a_signature_that_has_expired_is_made_again():
    """The same key and region are no reason to give up then."""
    made = buckets()
    link = made.link("s3://b/k", US)
    later = Buckets(S3Config(), made._api, lambda: datetime.now(UTC) + timedelta(hours=2), ACCOUNT)
    assert later.link("s3://b/k", US, refused=Download(url=link))


def test_a_link_that_cannot_be_better_is_an_error():
    class States(session.Api):
        def send(self, *_, **__):
            return session.Reply(403, "", b"", {"x-amz-bucket-region": "us-west-2"})

    made = Buckets(S3Config(), States(), environ=ACCOUNT)
    with pytest.raises(ArchiveError, match="the requester pays for transfers; to pay, set s3 ="):
        made.link("s3://b/k", US, refused=Download(url=made.link("s3://b/k", US), refusal="HTTP 403: AccessDenied"))


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("RequestTimeTooSkewed", "the clock of this machine is wrong"),
        ("InvalidObjectState", "the file is archived"),
        ("SignatureDoesNotMatch", "the secret key does not belong"),
        ("SomethingElse", "refuses the AWS credentials"),
    ],
)
def test_payment_is_advised_only_if_access_is_denied(code, advice):
    class States(session.Api):
        def send(self, *_, **__):
            return session.Reply(403, "", b"", {"x-amz-bucket-region": "us-west-2"})

    made = Buckets(S3Config(), States(), environ=ACCOUNT)
    refused = Download(url=made.link("s3://b/k", US), refusal=f"HTTP 403: {code}: The request was refused.")
    with pytest.raises(ArchiveError, match=advice) as raised:
        made.link("s3://b/k", US, refused=refused)
    assert "pay" not in str(raised.value)


@pytest.mark.parametrize("end", ["stop", "interrupt"])
def test_a_program_for_credentials_that_hangs_is_left_behind(monkeypatch, tmp_path, end):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "config").write_text(f"[profile field]\ncredential_process = cat {tmp_path / 'fifo'}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    api = session.Api()
    made = Buckets(S3Config(profile="field"), api, environ={})
    linked = call_aside(made.link, "s3://b/k", US)
    # It can be opened once the program reads it.
    with (tmp_path / "fifo").open("w"):
        getattr(api, end)()
        with pytest.raises(StoppedError):
            linked.result(30)


def test_only_the_manifest_and_the_catalogue_together_make_a_payer():
    for wanted, allowed in ((True, True), (True, False), (False, True)):
        link = buckets(requester_pays=wanted).link("s3://b/k", US, pays=allowed)
        assert ("x-amz-request-payer" in link) == (wanted and allowed)


@pytest.mark.parametrize(
    ("properties", "asset", "found"),
    [
        ({}, {}, Storage(Place(), None)),
        (
            {"storage:region": "eu-central-1", "storage:requester_pays": True},
            {},
            Storage(Place(None, "eu-central-1"), True),
        ),
        ({"storage:region": "a"}, {"storage:region": "b"}, Storage(Place(None, "b"), None)),
        ({"storage:region": "evil.example/"}, {"storage:requester_pays": "yes"}, Storage(Place(), None)),
        (
            {
                "storage:schemes": {
                    "azure": {"type": "ms-azure", "platform": "https://a.blob.core.windows.net"},
                    "own": {"type": "custom-s3", "platform": "https://s3.example.org", "requester_pays": False},
                    "paid": {"type": "custom-s3", "platform": "https://paid.example.org", "requester_pays": True},
                }
            },
            {"storage:refs": ["azure", "own", "paid"]},
            Storage(Place("https://s3.example.org"), False),
        ),
        (
            {"storage:schemes": {"x": {"type": "custom-s3", "platform": "https://{bucket}.example.org"}, "y": 3}},
            {},
            Storage(Place(), None),
        ),
        ({"storage:schemes": {"x": {"type": "custom-s3", "platform": "https://[bad"}}}, {}, Storage(Place(), None)),
        ({"storage:schemes": {"x": {"type": "custom-s3", "platform": "https://a:99999"}}}, {}, Storage(Place(), None)),
        ({"storage:schemes": "x"}, {"storage:refs": [1]}, Storage(Place(), None)),
    ],
)
def test_what_an_item_states_about_its_storage(properties, asset, found):
    assert storage_of(properties, asset) == found


def objects(*pages, server="https://minio.example.org"):
    """List a bucket whose server answers with these pages."""
    answers = [f"<ListBucketResult>{page}</ListBucketResult>" if page[:2] != "<!" else page for page in pages]

    class Lists(session.Api):
        def send(self, *_, **__):
            return session.Reply(200, "", answers.pop(0).encode(), {})

    own = {**ACCOUNT, "AWS_ENDPOINT_URL_S3": server}
    return list(Buckets(S3Config(region="x", anonymous=True), Lists(), environ=own).objects("s3://b/k"))


def entry(key="<Key>k/a</Key>", size="<Size>7</Size>", etag="<ETag>d41d8cd98f00b204e9800998ecf8427e</ETag>"):
    return f"<Contents>{key}{size}{etag}</Contents>"


MORE = "<IsTruncated>True</IsTruncated><NextContinuationToken>t</NextContinuationToken>"


@pytest.mark.parametrize(
    ("pages", "problem"),
    [
        ([entry() + "<IsTruncated>true</IsTruncated>"], "is incomplete"),
        ([entry() + "<IsTruncated>True</IsTruncated><NextContinuationToken/>"], "is incomplete"),
        ([MORE, MORE], "repeats a page"),
        (["<!-- a page --><html/>"], "something else: html"),
        ([entry(key="")], "without a key or a valid size"),
        ([entry(size="")], "without a key or a valid size"),
        ([entry(size="<Size>-1</Size>")], "without a key or a valid size"),
        ([entry(size="<Size>many</Size>")], "without a key or a valid size"),
    ],
)
def test_a_list_that_is_not_whole_is_an_error(pages, problem):
    with pytest.raises(ArchiveError, match=problem):
        objects(*pages)


def test_a_list_is_read_to_its_end():
    assert [one.size for one in objects(entry() + MORE, entry() + "<IsTruncated>False</IsTruncated>")] == [7, 7]


def test_only_the_list_of_the_copernicus_data_space_has_checksums():
    """An object that is encrypted with a key of its own has an ETag that looks like an MD5."""
    (elsewhere,) = objects(entry())
    assert elsewhere.md5 is None
    (there,) = objects(entry(), server="https://eodata.dataspace.copernicus.eu")
    assert there.md5 == "d41d8cd98f00b204e9800998ecf8427e"
