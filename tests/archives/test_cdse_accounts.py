"""Accounts of the Copernicus Data Space: second factors, netrc, rights, and what is left of failures."""

import sys
from datetime import UTC, datetime

import pyotp
import pytest
from cdse_mirror import mirror_of
from cdse_server import CdseServer, Fault, msi

from sedas_sync.archives.cdse.archive import CdseArchive
from sedas_sync.archives.cdse.kind import LIVE_URL, LOGIN_URL, netrc_entries
from sedas_sync.archives.cdse.second_factor import SecondFactor
from sedas_sync.errors import AuthenticationError
from sedas_sync.model.scene import Scene
from sedas_sync.net import credentials, session
from sedas_sync.net.credentials import Credentials

START = datetime(2019, 5, 2, 11, tzinfo=UTC)
SECRET = pyotp.random_base32()
JANE = Credentials("jane@example.org", "a-long-password", "the test")
CATALOGUE = "catalogue.dataspace.copernicus.eu"


@pytest.fixture
def server():
    with CdseServer([msi(START), msi(START.replace(day=4))]) as running:
        yield running


@pytest.fixture
def mirror(workspace, server, monkeypatch):
    return mirror_of(workspace, server, monkeypatch)


@pytest.fixture
def opened(server):
    archives = []

    def make(environ, **options):
        archive = CdseArchive(
            server.url,
            credentials=lambda: JANE,
            login_url=server.login_url,
            environ=environ,
            now=lambda: server.clock,
            api=session.Api(retries=0, environ={}),
            **options,
        )
        archives.append(archive)
        return archive

    yield make
    for archive in archives:
        archive.close()


def located(server, archive):
    product = server.products[0]
    return archive.locate(Scene(id="S2A", download_url=f"{server.url}Products({product.id})/$value"))


def valid_codes(now):
    """Servers accept the codes of the half minutes before and after too."""
    return {pyotp.TOTP(SECRET).at(int(now) + shift) for shift in (-30, 0, 30)}


def test_spent_code_is_called_spent(server, opened):
    server.totp = "123456"
    archive = opened({"CDSE_TOTP": "123456"})
    assert located(server, archive).headers
    server.clock = 4000  # the session has ended, so that a login is necessary
    logins = len(server.requests("login"))
    with pytest.raises(AuthenticationError, match=r"CDSE_TOTP is spent: .* set CDSE_TOTP_SECRET"):
        located(server, archive)
    assert len(server.requests("login")) == logins, "a spent code is not sent again"
    with pytest.raises(AuthenticationError, match=r"the code from CDSE_TOTP may be spent"):
        located(server, opened({"CDSE_TOTP": "123456"}))


def test_codes_are_computed_from_a_secret(server, opened):
    server.totp, server.clock = valid_codes, 1000
    archive = opened({"CDSE_TOTP_SECRET": f" {SECRET[:4].lower()} {SECRET[4:]}"})
    assert located(server, archive).headers
    server.sessions.clear()
    archive._login.token._tokens = None
    assert located(server, archive).headers, "a login in the same half minute has another code"
    server.clock = 9000
    assert located(server, archive).headers
    assert server.logins == 3


@pytest.mark.parametrize("secret", ["not base 32!", "1"])
def test_wrong_secret_is_not_shown(server, opened, secret):
    with pytest.raises(AuthenticationError, match="CDSE_TOTP_SECRET is not a secret in base 32") as error:
        located(server, opened({"CDSE_TOTP_SECRET": secret}))
    assert secret not in str(error.value).replace("base 32", "")


def test_extra_is_named(server, opened, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyotp", None)
    with pytest.raises(AuthenticationError, match=r"CDSE_TOTP_SECRET needs .*sedas-sync\[totp\]"):
        located(server, opened({"CDSE_TOTP_SECRET": SECRET}))


def test_terminal_asks_for_a_code(server, opened, monkeypatch):
    server.totp = "123456"
    archive = opened({}, prompt=True)
    asked = []
    archive._login.token._factor._ask = lambda question: asked.append(question) or " 123456 "
    with pytest.raises(AuthenticationError, match="CDSE_TOTP_SECRET, or the current code in CDSE_TOTP"):
        located(server, archive)
    assert not asked, "this is not a terminal"
    archive = opened({}, prompt=True)
    archive._login.token._factor._ask = lambda question: asked.append(question) or " 123456 "
    for stream in ("stdin", "stderr"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True, raising=False)
    assert located(server, archive).headers
    assert "jane@example.org" in asked[0]


def test_secret_from_the_keyring(monkeypatch):
    class Ring:
        KeyringError = OSError
        errors = None

        @staticmethod
        def get_credential(service, username):
            known = (service, username) == ("sedas-sync:login.example:totp", "jane")
            return Credentials(username, SECRET) if known else None

    Ring.errors = Ring
    monkeypatch.setitem(sys.modules, "keyring", Ring)
    monkeypatch.setitem(sys.modules, "keyring.errors", Ring)
    assert SecondFactor("login.example", {}).code("jane", 1000) == pyotp.TOTP(SECRET).at(1000)
    assert SecondFactor("other.example", {}).code("jane", 1000) is None


def test_codes_go_to_no_other_host():
    environ = {"CDSE_TOTP_SECRET": SECRET, "CDSE_TOTP": "123456"}
    elsewhere = SecondFactor("login.example", environ)
    assert elsewhere.code("jane", 1000) is None
    assert "set CDSE_HOST=login.example" in elsewhere.hint
    assert SecondFactor("login.example", {**environ, "CDSE_HOST": "login.example"}).code("jane", 1000)


@pytest.mark.parametrize("name", [CATALOGUE, "identity.dataspace.copernicus.eu", "dataspace.copernicus.eu"])
def test_entries_of_netrc(tmp_path, name):
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine {name} login jane password secret\n")
    options = {"prompt": False, "environ": {"NETRC": str(netrc)}, "entries": netrc_entries(LIVE_URL, LOGIN_URL)}
    assert credentials.find(CATALOGUE, **options).username == "jane"
    assert netrc_entries("https://odata.example/", "https://login.example/token") == ("login.example",)
    with pytest.raises(AuthenticationError, match=r"no entry for odata\.example"):
        credentials.find("odata.example", prompt=False, environ={"NETRC": str(netrc)}, variables=None)


# -- rights and withdrawals -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "meaning"),
    [(401, "does not accept this account's login"), (403, "this account has no right to download it")],
)
def test_refused_bytes_end_with_4(mirror, server, status, meaning):
    refused = server.products[0]
    server.faults = [Fault("bytes", refused.id, status, b'{"detail": "no"}', times=99)]
    ran = mirror.here()
    assert (ran.code, ran.summary["fetched"], ran.summary["failed"]) == (4, 1, 1)
    assert f"HTTP {status}" in ran.out
    assert meaning in ran.out


def test_scene_that_is_withdrawn_in_mid_run_has_its_cause(mirror, server):
    gone = server.products[0]
    planned = mirror.plan()
    value = server.value

    def withdraw(asked):
        if gone.id in asked.path and gone in server.products:
            server.products.remove(gone)
            server.deleted[gone.name] = "Corrupted product"
        return value(asked)

    server.value = withdraw
    assert planned.counts["fetch"] == 2
    ran = mirror.here()
    assert (ran.code, ran.summary["fetched"]) == (1, 1)
    assert "was deleted from the archive on 2026-03-01: Corrupted product" in ran.out


def test_failed_scene_that_nothing_wants_leaves_the_status(mirror, server):
    server.faults = [Fault("bytes", server.products[0].id, 404, b"", times=99)]
    assert mirror.here().code == 1
    (failure,) = mirror.run("status", "--json").json["failures"]
    mirror.write(f'exclude = ["{failure["id"]}"]')
    assert mirror.here().code == 0
    assert mirror.run("status", "--json").json["failures"] == []


def test_dataset_that_finds_nothing_is_named_in_every_view(mirror, server):
    """With likely causes where the archive was asked."""
    mirror.write('product_type = "SR_2_LAND"')
    for command in ("plan", "apply", "search"):
        ran = mirror.run(command)
        assert ran.code == 0
        assert "dataset harwell: no scene matches: " in ran.err, command
        assert 'did you mean "SR_2_LAN"?' in ran.err, command
    assert mirror.run("plan", "--json").json["warnings"]
    assert "dataset harwell: no scene matched at the last search" in mirror.run("status").err
    mirror.write('satellite = "Sentinel-2B"')
    planned = mirror.run("plan").err
    assert "satellite of the scenes found" not in planned, "the archive was asked for this satellite only"
    assert "lists no scene from 2019-04-30 to 2019-05-12 over harwell" in planned
