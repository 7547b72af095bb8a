"""The command against the Copernicus Data Space, from plan to verify, in subprocesses."""

import hashlib
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cdse_mirror import mirror_of
from cdse_server import CdseServer, Fault, Product, grd, msi, zipped

import sedas_sync as ss

START = datetime(2019, 4, 30, 11, tzinfo=UTC)
NOBODY = {"CDSE_USERNAME": "", "CDSE_PASSWORD": ""}


def hours(number):
    return START + timedelta(hours=7 * number, milliseconds=24)


@pytest.fixture
def server():
    with CdseServer([msi(hours(number)) for number in range(4)] + [grd(hours(number)) for number in (4, 5)]) as running:
        yield running


@pytest.fixture
def mirror(workspace, server, monkeypatch):
    return mirror_of(workspace, server, monkeypatch)


def ids(products):
    return {product.name.removesuffix(".SAFE") for product in products}


def test_from_plan_to_verify(mirror, server):
    late = server.products[1]
    late.online = False
    planned = mirror.run("plan", "--json", **NOBODY)
    assert planned.code == 0, planned.err
    assert planned.json["summary"]["fetch"] == 5
    assert planned.json["summary"]["wait"] == 1
    assert planned.json["summary"]["bytes"] == sum(len(one.bytes) for one in server.products if one.online)
    (waiting,) = [action for action in planned.json["actions"] if action["action"] == "wait"]
    assert "only be ordered in the Copernicus Data Workspace" in waiting["reason"]
    assert not server.requests("login")

    applied = mirror.run("apply", "--json")
    assert applied.code == 3, applied.err
    assert (applied.summary["fetched"], applied.summary["pending"], applied.summary["failed"]) == (5, 1, 0)
    assert "1 scene waits: offline: it can only be ordered in the Copernicus Data Workspace" in applied.err
    assert "long-term archive" not in applied.err, "nobody is asked to bring it back"
    explained = mirror.run("why", late.name, "--json").json
    assert (explained["action"], explained["next"]) == ("wait", "download it when it is online again")
    assert mirror.files() == {one.name.removesuffix(".SAFE"): one.bytes for one in server.products if one is not late}
    assert applied.summary["warnings"] == 0
    assert all(event["level"] == "digest" for event in applied.events if event["event"] == "fetched")

    again = mirror.run("apply", "--json")
    assert (again.code, again.summary["fetched"], again.summary["kept"], again.summary["pending"]) == (3, 0, 5, 1)

    late.online = True
    done = mirror.run("apply", "--json")
    assert (done.code, done.summary["fetched"], done.summary["kept"]) == (0, 1, 5)
    before = len(server.requests("bytes"))
    nothing = mirror.run("plan", "--exit-code")
    assert nothing.code == 0, nothing.out
    assert mirror.run("apply").code == 0
    assert len(server.requests("bytes")) == before

    locked = mirror.run("lock")
    assert locked.code == 0, locked.err
    (mirror.workspace.mirror / f"{next(iter(ids([late])))}.zip").unlink()
    server.products.append(msi(hours(6)))
    exact = mirror.run("apply", "--locked", "--json")
    assert (exact.code, exact.summary["fetched"], exact.summary["kept"]) == (0, 1, 5), exact.err
    assert mirror.files().keys() == ids(server.products[:-1])
    assert mirror.run("verify").code == 0
    assert not any("a-long-password" in ran.out + ran.err for ran in (planned, applied, done, exact))


def test_missing_credentials_list_the_searched_places(mirror):
    ran = mirror.run("apply", **NOBODY)
    assert ran.code == 4
    assert "CDSE_USERNAME and CDSE_PASSWORD" in ran.err
    assert ".netrc" in ran.err


def test_refused_credentials_end_with_4(mirror, server):
    ran = mirror.run("apply", CDSE_PASSWORD="another-password")
    assert ran.code == 4
    assert "another-password" not in ran.err + ran.out
    assert len(server.requests("login")) == 1


def test_credentials_come_from_netrc(mirror, server, monkeypatch):
    (mirror.workspace.path / ".netrc").write_text("machine 127.0.0.1 login jane@example.org password a-long-password\n")
    for name in NOBODY:
        monkeypatch.setenv(name, "")
    assert mirror.here().code == 0


def test_runs_share_a_session_through_the_runtime_folder(mirror, server, tmp_path):
    folder = tmp_path / "runtime"
    folder.mkdir(mode=0o700)
    assert mirror.run("apply", XDG_RUNTIME_DIR=str(folder)).code == 0
    server.products.append(msi(hours(7)))
    assert mirror.run("apply", XDG_RUNTIME_DIR=str(folder)).code == 0
    assert (server.logins, server.refreshes) == (1, 0)


def test_token_that_ends_meanwhile_is_renewed(mirror, server):
    server.faults = [Fault("bytes", "value", 401, b'{"detail": "Expired token"}')]
    ran = mirror.here()
    assert (ran.code, ran.summary["fetched"]) == (0, 6), ran.out
    assert (server.logins, server.refreshes) == (1, 1)


def test_token_follows_a_redirect_to_trusted_hosts_only(mirror, server):
    assert mirror.here().code == 0
    assert all("authorization" in one.headers for one in server.requests("bytes"))


def test_redirect_to_another_host_is_followed_without_the_token(mirror, server):
    server.redirect_to = server.bytes_url.replace("127.0.0.1", "localhost")
    ran = mirror.run("apply")
    assert ran.code == 4
    assert server.requests("bytes")
    assert not any("authorization" in one.headers for one in server.requests("bytes"))
    assert "localhost" in ran.err
    assert "trusted_hosts" in ran.err
    assert (server.logins, server.refreshes) == (1, 0)


# -- connections ------------------------------------------------------------------------------------------------------


def crowd(server, at_once, seconds=0.3):
    """Hold each download until so many are running, or until a timeout."""

    def hold():
        until = time.monotonic() + seconds
        while server.most_under_way < at_once and time.monotonic() < until:
            time.sleep(0.005)

    server.hold = hold


def test_no_more_connections_than_an_account_may_have(mirror, server):
    server.products = [msi(hours(number / 4)) for number in range(24)]
    server.connections = 99
    crowd(server, 5)
    mirror.write(transfer="jobs = 12")
    ran = mirror.here()
    assert (ran.code, ran.summary["fetched"]) == (0, 24), ran.out
    assert server.most_under_way == 4
    (warning,) = [event["message"] for event in ran.events if event["event"] == "warning"]
    assert warning.startswith("jobs = 12 is limited to")


def test_two_archives_of_one_account_share_its_connections(mirror, server):
    server.products = [*(msi(hours(number)) for number in range(8)), *(grd(hours(number)) for number in range(8))]
    server.connections = 99
    crowd(server, 5)
    mirror.write(transfer="jobs = 8")
    file = mirror.workspace.path / "manifest.toml"
    (table, rest) = file.read_text().split("[transfer]")
    tables = [table.partition("[archive]")[2] + f'collections = ["SENTINEL-{number}"]\n' for number in (1, 2)]
    radar = rest[rest.index("[dataset.harwell]") :].replace("harwell]", 'radar]\narchive = "radar"')
    optical = rest.replace("[dataset.harwell]", '[dataset.harwell]\narchive = "optical"')
    file.write_text(f"version = 1\n[archives.radar]{tables[0]}[archives.optical]{tables[1]}[transfer]{optical}{radar}")
    ran = mirror.here()
    assert (ran.code, ran.summary["fetched"]) == (0, 16), ran.out
    assert server.most_under_way == 4
    (warning,) = [event["message"] for event in ran.events if event["event"] == "warning"]
    assert "(optical and radar allow 4)" in warning


def test_segments_count_as_connections(mirror, server):
    big = msi(hours(1))
    big.content = zipped(big.name, 24 << 20)
    server.products = [big, *(msi(hours(number)) for number in range(2, 8))]
    server.connections = 99
    mirror.write(transfer="jobs = 4\nsegments = 16")
    ran = mirror.here()
    assert (ran.code, ran.summary["fetched"]) == (0, 7), ran.out
    assert server.most_under_way <= 4
    assert any("segments = 16" in event["message"] for event in ran.events if event["event"] == "warning")


SESSIONS = b'{"detail": [{"code": "DAT-ZIP-100", "message": "Max session number 4 exceeded."}]}'


def test_busy_service_is_waited_for(mirror, server):
    """There are more refusals than `retries`, and none counts as a failure."""
    server.faults = [Fault("bytes", "value", 429, SESSIONS, {"Retry-After": "0"}, times=20)]
    mirror.write(transfer="retries = 1")
    ran = mirror.here()
    assert (ran.code, ran.summary["fetched"]) == (0, 6), ran.out
    assert any("Max session number 4" in event["error"] for event in ran.events if event["event"] == "retry")


def test_other_429_fails_after_all_attempts(mirror, server):
    server.faults = [Fault("bytes", "value", 429, b"slow down", {"Retry-After": "0"}, times=99)]
    mirror.write(transfer="retries = 1")
    ran = mirror.here()
    assert (ran.code, ran.summary["failed"]) == (1, 6)


def test_account_limited_to_one_connection_continues_with_one(mirror, server):
    """The service does this if the transfer quota of an account is used up."""
    server.products = [msi(hours(number)) for number in range(8)]
    server.connections = 1
    crowd(server, 2, 0.1)
    ran = mirror.here()
    assert (ran.code, ran.summary["fetched"]) == (0, 8), ran.out
    errors = [event["error"] for event in ran.events if event["event"] == "retry"]
    assert any("limited to 1 of 4 connections" in text for text in errors)
    assert sum("Max session" in text for text in errors) <= 6


def test_workers_of_an_account_limited_to_one_connection_are_not_all_blocked(mirror, server):
    server.products = [msi(hours(number)) for number in range(8)]
    server.connections = 1
    crowd(server, 2, 0.1)
    with ThreadPoolExecutor(4) as workers:
        ran = mirror.here(executor=workers)
    assert (ran.code, ran.summary["fetched"]) == (0, 8), ran.out
    warnings = [event["message"] for event in ran.events if event["event"] == "warning"]
    assert warnings == ["the account is limited to 1 of 4 connections, as after its transfer quota is used up"]


# -- bytes ------------------------------------------------------------------------------------------------------------


def test_lengths_and_checksums_may_be_missing(mirror, server):
    server.products = [msi(hours(1), length=0, checksums=()), grd(hours(2), length=0, checksums=())]
    assert mirror.plan().bytes is None
    ran = mirror.here()
    assert (ran.code, ran.summary["fetched"]) == (0, 2)
    assert {event["level"] for event in ran.events if event["event"] == "fetched"} == {"crc"}
    assert mirror.plan().changes == 0


def test_length_of_the_product_is_not_compared_with_the_zip(mirror, server):
    server.products = [msi(hours(1), length=77), grd(hours(2), length=10**9)]
    assert mirror.plan().bytes == 10**9 + 77
    assert mirror.here().code == 0
    assert mirror.plan().changes == 0
    assert mirror.run("lock").code == 0
    for line in (mirror.workspace.path / "manifest.lock").read_text().splitlines()[1:]:
        pin = json.loads(line)
        assert pin["size"] == len(mirror.files()[pin["id"]])
    assert mirror.run("plan", "--locked", "--exit-code").code == 0


@pytest.mark.parametrize("name", ["MD5", "BLAKE3"])
@pytest.mark.parametrize(("filehash", "code"), [("warn", 0), ("ignore", 0), ("enforce", 1)])
def test_differing_checksum(mirror, server, name, filehash, code):
    length = {"MD5": 32, "BLAKE3": 64}[name]
    wrong = [{"Algorithm": name, "Value": length * "0", "ChecksumDate": "2019-05-01T00:00:00Z"}]
    server.products = [msi(hours(1), changes={"Checksum": wrong})]
    mirror.write(archive=f'filehash = "{filehash}"', transfer="retries = 0")
    ran = mirror.here()
    assert ran.code == code, ran.out
    assert len(mirror.files()) == 1 - code
    assert (f"its {name.lower()} is" in ran.out) == (filehash != "ignore")


def test_blake3_proves_the_bytes(mirror, server):
    server.products = [msi(hours(1), checksums=("BLAKE3",))]
    ran = mirror.here()
    assert [event["level"] for event in ran.events if event["event"] == "fetched"] == ["digest"]


def test_broken_download_is_resumed(mirror, server):
    product = msi(hours(1), content=None)
    product.content = zipped(product.name, 3 << 20)
    server.products, server.cuts = [product], [2 << 20]
    ran = mirror.here()
    assert ran.code == 0, ran.out
    assert mirror.files() == {product.name.removesuffix(".SAFE"): product.bytes}
    assert [one.headers.get("range") for one in server.requests("bytes")][1].startswith("bytes=")
    assert ran.summary["bytes"] == len(product.bytes)


def test_recreated_zip_is_downloaded_from_the_start(mirror, server):
    """The server cannot compare files, so the joined file is proved, and discarded if it is damaged."""
    product = msi(hours(1), checksums=())
    product.content = zipped(product.name, 3 << 20)
    server.products, server.cuts = [product], [2 << 20]

    def made_anew():
        if len(server.requests("bytes")) > 1:
            product.content = zipped(f"{product.name}.", 3 << 20)

    server.hold = made_anew
    assert mirror.here().code == 0
    (data,) = mirror.files().values()
    assert hashlib.sha256(data).digest() == hashlib.sha256(product.bytes).digest()


def test_whole_zip_without_a_length_is_accepted(mirror, server):
    server.lengths = False
    assert mirror.here().code == 0
    assert len(mirror.files()) == 6


# -- deleted scenes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [404, 422])
def test_scene_that_leaves_between_search_and_download_waits(mirror, server, status):
    gone = server.products[2]
    server.offline_status = status
    server.evicts = {gone.name}
    ran = mirror.here()
    assert (ran.code, ran.summary["fetched"], ran.summary["pending"], ran.summary["failed"]) == (3, 5, 1, 0), ran.out
    (warning,) = [event for event in ran.events if event["event"] == "warning"]
    assert warning["id"] in ids([gone])
    assert "Data Workspace" in warning["message"]


def test_deleted_locked_scene_is_reported_with_its_reason(mirror, server):
    assert mirror.run("lock").code == 0
    gone = server.products.pop()
    server.deleted[gone.name] = "Corrupted product"
    ran = mirror.run("apply", "--locked")
    assert ran.code == 1
    assert "was deleted from the archive on 2026-03-01: Corrupted product" in ran.err


def test_named_products(mirror, server):
    wanted = server.products[0].name
    text = (mirror.workspace.path / "manifest.toml").read_text().partition("[aoi.harwell]")[0]
    (mirror.workspace.path / "manifest.toml").write_text(f'{text}[dataset.named]\nproducts = ["{wanted}", "S2A_NOT"]\n')
    ran = mirror.here()
    assert ran.code == 1
    assert [failure["id"] for failure in ran.summary["failures"]] == ["S2A_NOT"]
    assert mirror.files().keys() == ids(server.products[:1])


# -- the manifest -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"archive": 'login = "x"'}, "a manifest must not contain secrets"),
        ({"archive": 'colections = ["SENTINEL-2"]'}, "did you mean collections?"),
        ({"archive": "collections = []"}, "archive.collections"),
        ({"trusted": '["*.co.uk"]'}, "anyone can register a host below co.uk"),
        ({"dataset": 'filters = { "$filter" = "Name eq (" }'}, "balanced quotes and parentheses"),
        ({"dataset": "filters = { cloudCover = [] }"}, "empty list"),
        ({"dataset": 'filters = { "$top" = 5 }'}, "the key for OData conditions is '$filter'"),
        ({"dataset": "filters = { cloudCover = { lt = 5 } }"}, "must be a string, a number"),
    ],
)
def test_mistakes_are_found_without_the_network(mirror, server, changes, message):
    mirror.write(**changes)
    with pytest.raises(ss.ManifestError) as error:
        mirror.plan()
    assert message in str(error.value)
    assert server.asked == []


def test_product_types_in_either_spelling(mirror, server):
    for spelling in ("L1C", "S2MSI1C", "s2msi1c"):
        mirror.write(dataset=f'product_type = "{spelling}"')
        assert mirror.plan().counts["fetch"] == 4
    mirror.write(dataset='product_type = "GRD"')
    assert mirror.plan().counts["fetch"] == 2


def test_dataset_of_another_collection(mirror, server):
    tropomi = Product("S5P_OFFL_L2__NO2____20190502T104300_20190502T122430_08035_01_010302.nc", hours(3),
                      collection="SENTINEL-5P", attributes={"platformShortName": "SENTINEL-5P"})  # fmt: skip
    server.products.append(tropomi)
    mirror.write(archive='collections = "SENTINEL-5P"')
    (action,) = mirror.plan().actions
    assert action.id == tropomi.name


# -- the how-to -------------------------------------------------------------------------------------------------------

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "cdse.md"


def test_how_to_does_what_it_says(mirror, server):
    """Run the manifests and commands of the how-to against this server."""
    server.products[1].online = False
    manifests = re.findall(r"^```toml\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    commands = re.findall(r"^\$ sedas-sync (.*)$", PAGE.read_text(), re.MULTILINE)
    assert (len(manifests), commands) == (4, ["plan", "apply --no-wait"])
    here = f'type = "cdse"\nurl = "{server.url}"\nlogin_url = "{server.login_url}"\ntrusted_hosts = ["127.0.0.1"]'
    for manifest, expected in zip(reversed(manifests), (0, 0, 0, 4), strict=True):
        (mirror.workspace.path / "manifest.toml").write_text(manifest.replace('type = "cdse"', here))
        assert len(mirror.plan().actions) == expected
    planned = mirror.run(*commands[0].split(), **NOBODY)
    assert planned.code == 0
    assert "Data Workspace" in planned.out
    applied = mirror.run(*commands[1].split())
    assert applied.code == 3
    assert len(mirror.files()) == 3
