"""Login, tokens and the address of the SeDAS archive."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from scripted_sedas import SteppedClock

from sedas_sync.archives.sedas.archive import SedasArchive
from sedas_sync.archives.sedas.kind import LIVE_URL
from sedas_sync.errors import ArchiveError, AuthenticationError, ManifestError
from sedas_sync.net.policy import may_see_token
from sedas_sync.sandbox.faults import Faults


def test_one_login_serves_all_threads(sandbox, connect):
    archive = connect(sandbox.url)
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda _: archive.satellites(), range(40)))
    assert sandbox.logins == 1


@pytest.mark.parametrize("refusal", [401, 403, 400])
def test_ten_refusals_at_once_cause_one_login(sandbox, connect, refusal):
    sandbox.faults = Faults(refusal=refusal)
    archive = connect(sandbox.url)
    archive.satellites()
    sandbox.revoke_tokens()
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda _: archive.satellites(), range(10)))
    assert sandbox.logins == 2


def test_wrong_password_is_tried_once_for_all_threads(sandbox, connect):
    archive = connect(sandbox.url, password="wrong-password")

    def ask(_):
        with pytest.raises(AuthenticationError) as raised:
            archive.satellites()
        return str(raised.value)

    with ThreadPoolExecutor(10) as pool:
        messages = list(pool.map(ask, range(10)))
    assert sandbox.logins == 1
    assert "wrong-password" not in "".join(messages)


def test_new_token_that_is_refused_causes_no_loop(scripted, connect):
    scripted.routes["/api/sensors/satellites"] = (401, {})
    with pytest.raises(AuthenticationError, match="just issued"):
        connect(scripted.url).satellites()
    assert scripted.logins == 2


def test_forbidden_calls_cause_one_login_not_one_each(scripted, connect):
    scripted.routes["/api/request/A"] = (403, {"errorMessage": "not licensed"})
    archive = connect(scripted.url)
    for _ in range(5):
        with pytest.raises(ArchiveError, match="not licensed"):
            archive.order("A")
    assert scripted.logins == 2


@pytest.mark.parametrize("refusal", [(401, {}), (400, {"errorMessage": "User token does not exist"})])
def test_endpoint_that_refuses_new_tokens_causes_one_login_not_one_each(scripted, connect, refusal):
    scripted.routes |= {f"/api/request/{name}": refusal for name in "ABCDE"}
    scripted.routes["/api/sensors/satellites"] = (200, [])
    archive = connect(scripted.url)
    for name in "ABCDE":
        with pytest.raises(AuthenticationError, match="just issued"):
            archive.order(name)
    assert scripted.logins == 2
    scripted.routes["/api/sensors/satellites"] = lambda _url, _body, sent: (200 if sent == "Token token-3" else 401, [])
    assert archive.satellites() == []
    scripted.routes["/api/request/A"] = lambda _url, _body, sent: (200, {"requestId": 7})
    assert (archive.order("A").order, scripted.logins) == ("7", 3)


@pytest.mark.parametrize(("life", "renewed_after"), [(100, 80), (1200, 1140), (3600, 3540)])
def test_token_is_renewed_before_it_expires_by_the_server_clock(scripted, connect, life, renewed_after):
    def login():
        # The server's clock is its Date header; the validity it states is counted from that, not from ours.
        return 200, {"token": f"token-{scripted.logins}", "validUntil": until}

    until = f"{datetime.now(UTC) + timedelta(seconds=life):%Y-%m-%dT%H:%M:%SZ}"
    scripted.routes["/api/authentication"] = login
    scripted.routes["/api/sensors/satellites"] = (200, [])
    clock = SteppedClock()
    archive = connect(scripted.url, clock=clock, now=lambda: datetime(2001, 1, 1, tzinfo=UTC))
    archive.satellites()
    clock.now += renewed_after - 3
    archive.satellites()
    assert scripted.logins == 1
    clock.now += 5
    archive.satellites()
    assert scripted.logins == 2


@pytest.mark.parametrize("until", ["1999-01-01T00:00:00Z", "soon", None, 7])
def test_invalid_lifetime_of_a_token_is_ignored(scripted, connect, until):
    scripted.routes["/api/authentication"] = lambda: (200, {"token": "abc", "validUntil": until})
    scripted.routes["/api/sensors/satellites"] = (200, [])
    archive = connect(scripted.url)
    archive.satellites()
    archive.satellites()
    assert scripted.logins == 1


@pytest.mark.parametrize("answer", [{}, {"token": ""}, {"token": 7}, {"token": "a\nb"}, [], None])
def test_login_without_a_token_is_an_archive_error(scripted, connect, answer):
    scripted.routes["/api/authentication"] = lambda: (200, answer)
    with pytest.raises(ArchiveError, match="without a token"):
        connect(scripted.url).satellites()


@pytest.mark.parametrize("url", ["http://archive.example.org/api", "ftp://x/", "archive", "https://a:b@x/", ""])
def test_invalid_url_is_refused(url):
    with pytest.raises(ManifestError) as raised:
        SedasArchive(url, username="a", password="b")
    assert raised.value.exit_code == 2


def test_url_is_normalized():
    with SedasArchive("https://GeoBrowser.satapps.org/api", username="a", password="b") as archive:
        assert archive.identity == "sedas https://geobrowser.satapps.org/api/"


@pytest.mark.parametrize(
    ("url", "trusted", "allowed"),
    [
        ("https://geobrowser.satapps.org/x", (), True),
        ("https://GEOBROWSER.satapps.org./x", (), True),
        ("http://geobrowser.satapps.org/x", (), False),
        ("https://sedasdm.satapps.org/x", (), False),
        ("https://sedasdm.satapps.org/x", ("*.satapps.org",), True),
        ("http://sedasdm.satapps.org/x", ("*.satapps.org",), False),
        ("https://satapps.org/x", ("*.satapps.org",), False),
        ("https://evilsatapps.org/x", ("*.satapps.org",), False),
        ("https://satapps.org.evil.org/x", ("*.satapps.org",), False),
        ("https://sedasdm.satapps.org@evil.org/x", ("*.satapps.org",), False),
        ("https://evil.org\\@sedasdm.satapps.org/", ("*.satapps.org",), False),
        ("https://evil.org/x", ("*.",), False),
        ("https://evil.org/x", ("*",), False),
        ("https://dm.example.org/x", ("dm.example.org",), True),
        ("ftp://geobrowser.satapps.org/x", (), False),
        ("//geobrowser.satapps.org/x", (), False),
        ("http://127.0.0.1/x", (), False),
        ("http://127.0.0.1/x", ("127.0.0.1",), True),
    ],
)
def test_which_urls_may_see_the_token(url, trusted, allowed):
    assert may_see_token(url, LIVE_URL, trusted) is allowed


def test_other_ports_of_this_machine_do_not_see_the_token():
    assert may_see_token("http://127.0.0.1:8080/x", "http://127.0.0.1:8080/api/", ())
    assert not may_see_token("http://127.0.0.1:8081/x", "http://127.0.0.1:8080/api/", ())
