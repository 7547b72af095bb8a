"""Files in S3 buckets: recorded catalogues in front of an emulator that checks signatures, tokens and regions."""

import json
import os
import signal
import sys
import threading
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote, urlsplit

import pytest
from bucket_server import ACCOUNT, KEY, NO_ACCOUNT, BucketServer, client, error
from proxyserver import Proxy, certify
from recorded import small_bytes
from replay_server import ReplayServer
from stac_server import StacServer

PAID = "{ requester_pays = true }"


@pytest.fixture
def s3():
    with BucketServer() as running:
        yield running


@pytest.fixture
def stac():
    with StacServer() as running:
        yield running


def in_bucket(stac, s3, item_id="A", *, files=None, bucket="scenes", region="us-east-1", **item):
    """Add an item whose files are in a bucket."""
    files = files or {"B02": b"blue" * 900, "B03": b"green" * 900, "B04": b"red" * 900}
    made = stac.add(item_id, files=files, **item)
    for key, asset in made["assets"].items():
        asset["href"] = f"s3://{bucket}/{item_id}/{key}.tif"
        s3.put(bucket, f"{item_id}/{key}.tif", files[key], region)
    return made


def manifest(workspace, url, s3="{}", *, collections="s2", more="", transfer="retries = 2\njobs = 1"):
    workspace.env = {**NO_ACCOUNT, **ACCOUNT}
    table = "" if s3 is None else f"s3 = {s3}\n"
    (workspace.path / "manifest.toml").write_text(
        f'version = 1\n[archive]\ntype = "stac"\nurl = "{url}"\ncollections = "{collections}"\n{table}{more}\n'
        f"[transfer]\n{transfer}\n[aoi.world]\nbbox = [-180, -90, 180, 90]\n"
        '[dataset.all]\naoi = "world"\nstart = 1972-01-01\nend = 2030-01-01\n'
    )


def with_server(s3, more=""):
    return f'{{ endpoint = "{s3.url}"{more} }}'


def paid(request):
    """The rule of a bucket whose requester pays; every answer states the region."""
    if request.method == "HEAD":
        return None
    if request.query.get("x-amz-request-payer") != "requester":
        return error(403, "AccessDenied", "Access Denied")
    return None


def everything_written(workspace):
    """Every byte below the workspace but the manifest, as text."""
    files = (file for file in workspace.path.rglob("*") if file.is_file())
    return "".join(file.read_bytes().decode("latin-1") for file in files)


def fill(s3, catalogue, region):
    """Store what the s3:// links of a recorded catalogue lead to: the bytes of the asset's https link if it has one."""
    for asset in (asset for item in catalogue.items for asset in item["assets"].values()):
        for link in (asset, *(asset.get("alternate") or {}).values()):
            if link["href"].startswith("s3://"):
                parts = urlsplit(link["href"])
                own = unquote(urlsplit(asset["href"]).path.removeprefix(catalogue.base))
                data = catalogue.files.get(own) or small_bytes(parts.path, asset.get("type") or "")
                s3.put(parts.netloc, parts.path[1:], data, region)


@pytest.mark.parametrize(
    ("service", "collection", "region", "patterns"),
    [
        ("earth-search", "sentinel-1-grd", "eu-central-1", ""),
        ("usgs-landsatlook", "landsat-c2l2-sr", "us-west-2", 'assets = ["blue", "red", "qa_pixel"]'),
    ],
)
def test_a_paid_bucket_from_plan_to_verify(workspace, s3, service, collection, region, patterns):
    with ReplayServer(service=service) as catalogue:
        found = (item for item in catalogue.items if item["collection"] == collection)
        catalogue.items = [item for item in found if not patterns or "blue" in item["assets"]][:2]
        fill(s3, catalogue, region)
        manifest(workspace, catalogue.url, None, collections=collection, more=patterns)
        without = workspace.run("plan", "--json").json
        if service == "earth-search":
            # The catalogue states that the requester pays: only the manifest can allow it.
            assert {action["action"] for action in without["actions"]} == {"skip"}
            assert "s3 = { requester_pays = true }" in without["actions"][0]["reason"]
        manifest(
            workspace, catalogue.url, with_server(s3, ", requester_pays = true"), collections=collection, more=patterns
        )
        s3.rule = paid
        planned = workspace.run("plan")
        assert planned.code == 0, planned.err
        assert "billed to your account (requester pays)" in planned.out
        sizes = workspace.run("plan", "--sizes", "--json").json["summary"]
        assert sizes["billed_bytes"] == sizes["bytes"] > 0
        assert sizes["fetch"] == len(catalogue.items)

        reached, go_on = threading.Event(), threading.Event()
        s3.asked.clear()

        def hold(request):
            if len(s3.gets) > 1:
                reached.set()
                go_on.wait(60)
            return paid(request)

        s3.rule = hold
        process = workspace.start("apply", "--json")
        assert reached.wait(60)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        go_on.set()
        s3.rule = paid
        applied = workspace.run("apply", "--json")
        assert applied.code == 0, applied.err
        # A kill before the index has its row leaves a whole scene, which is adopted.
        done = ("fetched", "kept", "adopted")
        assert sum(applied.summary[name] for name in done) == len(catalogue.items)
        assert "X-Amz" not in applied.out + applied.err
        for command in ("lock", "lock --check", "plan --locked --exit-code", "apply --locked", "verify"):
            ran = workspace.run(*command.split())
            assert ran.code == 0, (command, ran.err)
        written = everything_written(workspace)
        assert "x-amz-request-payer" not in written
        assert not [one for one in s3.asked if one.query.get("X-Amz-Signature", "none") in written]


def test_a_scene_of_three_objects_is_resumed_after_a_cut(workspace, stac, s3):
    item = in_bucket(
        stac, s3, files={"B02": os.urandom(1 << 20), "B03": os.urandom(1 << 21), "B04": os.urandom(1 << 20)}
    )
    manifest(workspace, stac.url, with_server(s3), transfer="retries = 0\njobs = 1")
    cut = ["cut"]
    s3.rule = lambda request: cut.pop() if request.path.endswith("B03.tif") and cut else None
    first = workspace.run("apply", "--json")
    assert first.code == 1
    s3.asked.clear()
    again = workspace.run("apply", "--json")
    assert again.code == 0, again.err
    (resumed,) = [one for one in s3.gets if one.path.endswith("B03.tif")]
    assert resumed.headers["Range"].startswith("bytes=10")
    assert resumed.headers["If-Range"].strip('"').isalnum()
    assert resumed.status == 206
    assert not any(one.path.endswith("B02.tif") for one in s3.gets)
    for key in item["assets"]:
        assert (workspace.mirror / "A" / f"{key}.tif").read_bytes()


def test_without_the_key_nothing_is_taken_from_a_bucket(workspace, stac, s3):
    in_bucket(stac, s3)
    manifest(workspace, stac.url, None)
    (action,) = workspace.run("plan", "--json").json["actions"]
    assert action["action"] == "skip"
    assert "set `s3 = {}` in the archive's table" in action["reason"]


def test_a_public_bucket_needs_no_signature(workspace, stac, s3):
    in_bucket(stac, s3)
    manifest(workspace, stac.url, with_server(s3, ", anonymous = true"))
    workspace.env = dict(NO_ACCOUNT)
    applied = workspace.run("apply", "--json")
    assert applied.code == 0, applied.err
    assert all(not one.query for one in s3.gets)
    s3.rule = lambda _: error(403, "AccessDenied", "Access Denied")
    in_bucket(stac, s3, "B", day=2)
    refused = workspace.run("apply")
    assert refused.code == 4
    assert "AccessDenied: Access Denied; the bucket scenes refuses requests without a signature" in refused.err
    assert "set AWS credentials" in refused.err


def test_files_of_one_scene_at_several_places(workspace, stac, s3):
    """Each asset refers to its own server and region."""
    schemes = {
        "other": {"type": "custom-s3", "platform": "https://buckets.example.org", "region": "x"},
        "own": {"type": "custom-s3", "platform": s3.url, "region": "us-east-1"},
        "far": {"type": "custom-s3", "platform": s3.url, "region": "eu-north-1"},
    }
    item = in_bucket(stac, s3, properties={"storage:schemes": schemes})
    s3.put("far-away", "A/B03.tif", b"green" * 900, "eu-north-1")
    item["assets"]["B03"]["href"] = "s3://far-away/A/B03.tif"
    for key, asset in item["assets"].items():
        asset["storage:refs"] = ["far" if key == "B03" else "own"]
    manifest(workspace, stac.url)
    workspace.env |= {"AWS_ENDPOINT_URL_S3": s3.url}
    assert workspace.run("plan", "--out", "saved.plan").code == 0
    applied = workspace.run("apply", "--plan", "saved.plan")
    assert applied.code == 0, applied.err
    regions = {one.path: one.query["X-Amz-Credential"].split("/")[2] for one in s3.gets}
    assert regions == {
        "/scenes/A/B02.tif": "us-east-1",
        "/far-away/A/B03.tif": "eu-north-1",
        "/scenes/A/B04.tif": "us-east-1",
    }
    assert {one.method for one in s3.asked} == {"GET"}, "no region is asked for"
    assert workspace.run("lock").code == 0
    (workspace.mirror / "A" / "B03.tif").unlink()
    assert workspace.run("apply", "--locked").code == 0


def test_sizes_at_a_server_that_sees_no_credentials_stay_unknown(workspace, stac, s3):
    in_bucket(stac, s3, "A")
    schemes = {"other": {"type": "custom-s3", "platform": "https://buckets.example.org"}}
    in_bucket(stac, s3, "B", day=2, properties={"storage:schemes": schemes})
    for item in stac.items:
        for asset in item["assets"].values():
            asset.pop("file:size", None)
    manifest(workspace, stac.url)
    workspace.env |= {"AWS_ENDPOINT_URL_S3": s3.url}
    planned = workspace.run("plan", "--sizes", "--json")
    assert planned.code == 0, planned.err
    sizes = {action["id"]: action.get("size") for action in planned.json["actions"]}
    assert sizes == {"A": 900 * len(b"bluegreenred"), "B": None}
    (warning,) = [one for one in planned.json["warnings"] if "size" in one]
    assert warning.startswith("B: its size is not known: no credentials for buckets.example.org")


def test_a_bucket_names_its_region(workspace, stac, s3):
    """Also if the catalogue names another one: the emulator answers such a signature as AWS does."""
    in_bucket(stac, s3, bucket="far-away", region="eu-north-1")
    manifest(workspace, stac.url, with_server(s3))
    assert workspace.run("apply").code == 0
    assert [one.method for one in s3.asked] == ["HEAD", "GET", "GET", "GET"]
    in_bucket(stac, s3, "B", day=2, bucket="far-away", region="eu-north-1", properties={"storage:region": "us-west-1"})
    s3.asked.clear()
    applied = workspace.run("apply", "--json")
    assert applied.code == 0, applied.err
    assert [one.status for one in s3.gets].count(200) == 3
    assert {one.status for one in s3.gets} == {301, 200}
    assert sum(one.method == "HEAD" for one in s3.asked) == 1


@pytest.mark.parametrize(
    "properties",
    [
        {"storage:platform": "AWS", "storage:region": "eu-north-1"},
        {
            "storage:schemes": {
                "aws": {
                    "type": "aws-s3",
                    "platform": "https://{bucket}.s3.{region}.amazonaws.com",
                    "region": "eu-north-1",
                }
            }
        },
    ],
    ids=["storage 1.0", "storage 2.0"],
)
def test_a_catalogue_names_the_region(workspace, stac, s3, properties):
    in_bucket(stac, s3, bucket="far-away", region="eu-north-1", properties=properties)
    manifest(workspace, stac.url, with_server(s3))
    assert workspace.run("apply").code == 0
    assert {one.status for one in s3.gets} == {200}


def test_a_catalogue_names_the_server(workspace, stac, s3):
    schemes = {"own": {"type": "custom-s3", "platform": s3.url, "requester_pays": False}}
    in_bucket(stac, s3, properties={"storage:schemes": schemes})
    manifest(workspace, stac.url, PAID)
    planned = workspace.run("plan", "--json").json
    assert "billed_bytes" not in planned["summary"]
    refused = workspace.run("apply")
    assert refused.code == 4
    assert f"to allow it, set AWS_ENDPOINT_URL_S3={s3.url}" in refused.err
    workspace.env |= {"AWS_ENDPOINT_URL_S3": s3.url}
    assert workspace.run("apply").code == 0
    assert not any("x-amz-request-payer" in one.query for one in s3.gets)


def test_a_busy_bucket_is_asked_later(workspace, stac, s3):
    in_bucket(stac, s3)
    manifest(workspace, stac.url, with_server(s3))
    slow = [error(503, "SlowDown", "Please reduce your request rate.")]
    s3.rule = lambda request: slow.pop() if request.path.endswith("B03.tif") and slow else None
    applied = workspace.run("apply", "--json")
    assert applied.code == 0, applied.err
    assert "SlowDown: Please reduce your request rate." in applied.out


def test_a_bucket_that_has_to_be_paid_names_the_remedy(workspace, stac, s3):
    in_bucket(stac, s3)
    manifest(workspace, stac.url, with_server(s3))
    s3.rule = paid
    refused = workspace.run("apply")
    assert refused.code == 4
    assert "the requester pays for transfers; to pay, set s3 = { requester_pays = true }" in refused.err
    assert "AKIA" not in refused.err
    assert "X-Amz" not in refused.err


def token(name):
    """Temporary credentials of the emulator, as a program for `credential_process` prints them."""
    found = client("sts").get_session_token()["Credentials"]
    return {
        "Version": 1,
        "AccessKeyId": found["AccessKeyId"],
        "SecretAccessKey": found["SecretAccessKey"],
        "SessionToken": found["SessionToken"],
        "Expiration": (datetime.now(UTC) + timedelta(hours=6)).isoformat(),
        "name": name,
    }


def test_credentials_that_expire_in_mid_run_are_renewed(workspace, stac, s3):
    """Also in the middle of a file: the bytes on disk stay."""
    in_bucket(stac, s3, files={"B02": b"blue" * 9000, "B03": os.urandom(1 << 21), "B04": b"red" * 9000})
    first, second = token("first"), token("second")
    (workspace.path / "first.json").write_text(json.dumps(first))
    (workspace.path / "second.json").write_text(json.dumps(second))
    program = workspace.path / "login.py"
    program.write_text(
        "import pathlib, sys\nhere = pathlib.Path(__file__).parent\n"
        "name = 'second' if (here / 'expired').exists() else 'first'\nprint((here / f'{name}.json').read_text())\n"
    )
    (workspace.path / "config").write_text(f"[profile field]\ncredential_process = {sys.executable} {program}\n")
    manifest(workspace, stac.url, with_server(s3, ', profile = "field"'))
    workspace.env = {**NO_ACCOUNT, "AWS_CONFIG_FILE": str(workspace.path / "config")}

    def expires(request):
        old = request.query.get("X-Amz-Security-Token") == first["SessionToken"]
        if old and (workspace.path / "expired").exists():
            return error(400, "ExpiredToken", "The provided token has expired.")
        if request.path.endswith("B03.tif") and old:
            (workspace.path / "expired").touch()
            return "cut"
        return None

    s3.rule = expires
    applied = workspace.run("apply", "--json", "--log-file", "run.log", "-v")
    assert applied.code == 0, applied.err
    asked = [one for one in s3.gets if one.path.endswith("B03.tif")]
    assert [one.status for one in asked] == [200, 400, 206]
    assert asked[-1].headers["Range"] != "bytes=0-"
    for name in ("first.json", "second.json"):
        (workspace.path / name).unlink()
    said = applied.out + applied.err + everything_written(workspace)
    for secret in (first["SessionToken"], first["SecretAccessKey"], second["SessionToken"], second["SecretAccessKey"]):
        assert secret not in said
    assert not [one for one in s3.asked if one.query.get("X-Amz-Signature", "none") in said]


def test_credentials_go_to_no_other_server(workspace, stac, s3):
    """The catalogue names a server that belongs to somebody else."""
    schemes = {"own": {"type": "custom-s3", "platform": "https://buckets.example.org"}}
    in_bucket(stac, s3, properties={"storage:schemes": schemes})
    manifest(workspace, stac.url, "{}")
    refused = workspace.run("apply")
    assert refused.code == 4
    assert (
        "AWS credentials are not sent to it; to allow it, set AWS_ENDPOINT_URL_S3=https://buckets.example.org"
        in refused.err
    )
    assert not s3.asked
    manifest(workspace, stac.url, '{ endpoint = "https://eodata.dataspace.copernicus.eu" }')
    refused = workspace.run("apply")
    assert refused.code == 4
    assert "set CDSE_S3_ACCESS_KEY and CDSE_S3_SECRET_KEY" in refused.err


def test_no_credentials_at_all(workspace, stac, s3):
    in_bucket(stac, s3)
    manifest(workspace, stac.url, with_server(s3))
    workspace.env = dict(NO_ACCOUNT)
    refused = workspace.run("apply")
    assert refused.code == 4
    assert "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in refused.err
    assert "s3 = { anonymous = true }" in refused.err


def test_without_the_extra_an_error_names_it(workspace, stac, s3, monkeypatch):
    in_bucket(stac, s3)
    manifest(workspace, stac.url, with_server(s3))
    monkeypatch.setitem(sys.modules, "botocore.session", None)
    refused = workspace.run("apply")
    assert refused.code == 4
    assert 'a bucket without `s3 = { anonymous = true }` in the archive\'s table needs the extra "s3"' in refused.err
    manifest(workspace, stac.url, with_server(s3, ", anonymous = true"))
    assert workspace.run("apply").code == 0


def test_the_buckets_of_aws(workspace, stac, tmp_path, monkeypatch):
    """The host has the bucket's name and its region; a proxy leads it to the emulator."""
    host = "landsat-test.s3.us-west-2.amazonaws.com"
    context = certify(tmp_path, host, "landsat-test.s3.amazonaws.com")
    with BucketServer(tls=context) as s3, Proxy({host: s3.port, "landsat-test.s3.amazonaws.com": s3.port}) as proxy:
        in_bucket(stac, s3, bucket="landsat-test", region="us-west-2")
        manifest(workspace, stac.url)
        workspace.env |= {"HTTPS_PROXY": proxy.url, "REQUESTS_CA_BUNDLE": str(tmp_path / "ca.pem")}
        applied = workspace.run("apply", "--json")
        assert applied.code == 0, applied.err
        assert {one.headers["Host"] for one in s3.asked if one.method == "GET"} == {host}
        assert {one.status for one in s3.asked} == {200}


def test_a_rewritten_link_is_an_https_link(workspace, stac, s3):
    """The rule applies to what the catalogue states, before anything is trusted or signed."""
    in_bucket(stac, s3)
    manifest(workspace, stac.url, None, more=f'rewrite = {{ "s3://scenes/" = "{s3.url}/scenes/" }}')
    applied = workspace.run("apply", "--json")
    assert applied.code == 0, applied.err
    assert all(not one.query for one in s3.gets)
    elsewhere = 'rewrite = { "s3://scenes/" = "https://10.0.0.1/scenes/" }'
    in_bucket(stac, s3, "B", day=2)
    stac.name = None
    manifest(workspace, stac.url, None, more=elsewhere, transfer="retries = 0\nconnect_timeout = 0.2")
    assert workspace.run("apply").code == 1


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("{ regio = 'x' }", "unknown key regio"),
        ("{ region = 'evil.example/' }", "its region cannot be used"),
        ("{ anonymous = true, requester_pays = true }", "anonymous requests have no account"),
        ("true", "must be a table"),
    ],
)
def test_mistakes_of_the_table(workspace, stac, table, problem):
    manifest(workspace, stac.url, table)
    ran = workspace.run("validate")
    assert ran.code == 2
    assert problem in ran.err


def test_elevation_models_of_the_copernicus_data_space(workspace, s3):
    """Its STAC catalogue names the server, and another one that has to be paid."""
    with ReplayServer(service="cdse") as catalogue:
        catalogue.items = [item for item in catalogue.items if item["collection"] == "cop-dem-glo-30-dged-cog"]
        fill(s3, catalogue, "us-east-1")
        manifest(workspace, catalogue.url, with_server(s3), collections="cop-dem-glo-30-dged-cog")
        workspace.env = {**NO_ACCOUNT, "CDSE_S3_ACCESS_KEY": KEY, "CDSE_S3_SECRET_KEY": KEY}
        applied = workspace.run("apply", "--json")
        assert (applied.code, applied.summary["fetched"]) == (0, len(catalogue.items)), applied.err
        for command in ("lock", "apply --locked", "verify"):
            assert workspace.run(*command.split()).code == 0
