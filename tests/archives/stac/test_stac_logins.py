"""Logins with STAC APIs: tokens over redirects, tokens that expire, and the logins of CDSE and Earthdata."""

import base64
from datetime import UTC, datetime

import pytest
from cdse_server import CdseServer, msi
from stac_server import StacServer

from sedas_sync.archives.cdse.keycloak import cdse_login
from sedas_sync.archives.stac.archive import StacArchive
from sedas_sync.archives.stac.earthdata import earthdata_login
from sedas_sync.errors import AuthenticationError
from sedas_sync.model.files import scene_of_file
from sedas_sync.model.scene import Download
from sedas_sync.net import session
from sedas_sync.net.credentials import Credentials

START = datetime(2023, 5, 3, 11, tzinfo=UTC)


@pytest.fixture
def stac():
    with StacServer() as running:
        yield running


@pytest.fixture
def other():
    """Another host, which redirects lead to."""
    with StacServer() as running:
        yield running


@pytest.fixture
def place(workspace, stac):
    def write(archive):
        (workspace.path / "manifest.toml").write_text(
            f'version = 1\n[archive]\ntype = "stac"\nurl = "{stac.url}"\ncollections = "s2"\n{archive}\n'
            "[aoi.harwell]\nbbox = [-1.4, 51.5, -1.2, 51.6]\n[transfer]\nretries = 0\n"
            '[dataset.bands]\naoi = "harwell"\nstart = 2023-05-01\nend = 2023-05-31\n'
        )
        return workspace

    return write


def redirected(stac, other):
    """Put the file of the only item on another host, to which its link redirects."""
    item = stac.add("S1", files={"B04": b"x" * 99})
    other.files["/moved/B04.tif"] = b"x" * 99
    stac.faults["/data/S1/B04.tif"] = [f"http://localhost:{other.port}/moved/B04.tif"] * 9
    return item


# -- redirects and expiry ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trusted", [True, False])
def test_trusted_hosts_get_the_token_after_a_redirect_too(place, stac, other, trusted):
    redirected(stac, other)
    stac.file_authorization = other.file_authorization = "Bearer the-token"
    mirror = place('auth = "bearer"\n' + ('trusted_hosts = ["localhost"]' if trusted else ""))
    ran = mirror.run("apply", STAC_TOKEN="the-token")
    sent = [one.headers.get("Authorization") for one in other.asked]
    if trusted:
        assert (ran.code, sent) == (0, ["Bearer the-token"])
    else:
        assert (ran.code, set(sent)) == (4, {None})
        assert "localhost" in ran.err
        assert "trusted_hosts" in ran.err


@pytest.mark.parametrize(("status", "right"), [(401, False), (403, False), (404, True)])
def test_token_that_a_file_refuses_ends_with_4_and_names_the_variable(place, stac, status, right):
    stac.add("S1", files={"B04": b"x" * 99})
    stac.faults["/data/S1/B04.tif"] = [status] * 9
    ran = place('auth = "bearer"').run("apply", STAC_TOKEN="the-token")
    assert ran.code == (1 if right else 4)
    if not right:
        assert "the token in STAC_TOKEN is wrong, has expired, or has no right to this" in ran.err
    assert "the-token" not in ran.out + ran.err


@pytest.mark.parametrize("path", ["/", "/search"])
def test_token_that_the_api_refuses_ends_with_4_and_names_the_variable(place, stac, path):
    stac.add("S1")
    stac.faults[path] = [401] * 9
    ran = place('auth = "bearer"').run("plan", STAC_TOKEN="the-token")
    assert ran.code == 4
    assert "the token in STAC_TOKEN is wrong, has expired, or has no right to this" in ran.err


def test_file_that_asks_for_a_login_names_auth(place, stac):
    stac.add("S1", files={"B04": b"x" * 99})
    stac.faults["/data/S1/B04.tif"] = [401] * 9
    ran = place("").run("apply")
    assert ran.code == 4
    assert "if it needs a login, set `auth` in the manifest's table of the archive" in ran.err


def test_page_of_a_login_instead_of_a_file_names_auth(place, stac, other):
    stac.add("S1", files={"B04": b"x" * 99}, checksums=False)
    stac.faults["/data/S1/B04.tif"] = [f"http://localhost:{other.port}/login"] * 9
    other.faults["/login"] = ["login"] * 9
    mirror = place("")
    ran = mirror.run("apply")
    assert ran.code == 4
    assert "an HTML page instead of the scene" in ran.err
    assert "if it needs a login, set `auth`" in ran.err
    assert not list(mirror.mirror.glob("S1"))


@pytest.mark.parametrize(
    ("page", "code"),
    [
        (b"<html><title>Sign in</title>", 4),
        (b"<html><input name=p type='password'>", 4),
        (b"<html><title>Maintenance</title><a href='/'>Log in</a>", 1),
    ],
)
def test_page_of_a_login_at_the_address_of_a_file_ends_with_4(place, stac, page, code):
    stac.add("S1", files={"B04": b"x" * 99}, checksums=False)
    stac.answers["/data/S1/B04.tif"] = lambda _: (200, page)
    assert place("").run("apply").code == code


# -- the Copernicus Data Space -----------------------------------------------------------------------------------------


@pytest.fixture
def cdse(stac):
    """A catalogue of two products whose zips are at a server with the login and the tokens of CDSE."""
    with CdseServer([msi(START), msi(START.replace(day=4))]) as server:
        for number, product in enumerate(server.products, 3):
            name = product.name.removesuffix(".SAFE")
            item = stac.add(name, day=number, files={})
            item["assets"]["Product"] = {
                "href": f"{server.bytes_url}Products({product.id})/$value",
                "type": "application/zip",
                "roles": ["data", "metadata", "archive"],
                "file:local_path": f"{product.name}.zip",
            }
        yield server


def by_cdse(cdse):
    return f'auth = "cdse"\nlogin_url = "{cdse.login_url}"\ntrusted_hosts = ["127.0.0.1"]'


def test_cdse_login_downloads_products_that_stac_lists(place, stac, cdse):
    mirror = place(by_cdse(cdse))
    account = {"CDSE_USERNAME": "jane@example.org", "CDSE_PASSWORD": "a-long-password", "CDSE_HOST": "127.0.0.1"}
    assert mirror.run("plan", "--json").json["summary"]["fetch"] == 2
    assert not cdse.requests("login"), "a plan needs no account"
    ran = mirror.run("apply", **account)
    assert ran.code == 0, ran.err
    assert cdse.logins == 1
    product = cdse.products[0]
    folder = mirror.mirror / product.name.removesuffix(".SAFE")
    assert (folder / f"{product.name}.zip").read_bytes() == product.bytes
    assert all("Authorization" not in one.headers for one in stac.asked)
    refused = mirror.run("apply", "--json", **{**account, "CDSE_PASSWORD": "wrong"})
    assert (refused.code, refused.summary["kept"]) == (0, 2)


def test_wrong_cdse_login_ends_with_4(place, cdse):
    account = {"CDSE_USERNAME": "jane@example.org", "CDSE_PASSWORD": "wrong"}
    ran = place(by_cdse(cdse)).run("apply", **account)
    assert ran.code == 4
    assert "refused the credentials of 'jane@example.org'" in ran.err


def test_cdse_token_is_renewed_when_it_has_expired(stac, cdse):
    api = session.Api(retries=0)
    access = cdse_login(
        api, lambda _: Credentials("jane@example.org", "a-long-password"), cdse.login_url, ["127.0.0.1"], {}
    )
    with StacArchive(stac.url, ["s2"], access=access, api=api) as archive:
        (scene,) = archive.look_up([cdse.products[0].name.removesuffix(".SAFE")], warn=pytest.fail)
        file = scene_of_file(scene, scene.files[0])
        first = archive.locate(file)
        assert archive.locate(file).headers == first.headers
        again = archive.locate(file, refused=first)
        assert again.headers["Authorization"] != first.headers["Authorization"]
        assert (cdse.logins, cdse.refreshes) == (1, 1)


# -- Earthdata ---------------------------------------------------------------------------------------------------------

PAIR = "Basic " + base64.b64encode(b"jane:secret-of-jane").decode()


@pytest.fixture
def earthdata(stac, other):
    """Files that need a token and are in a bucket with a signed link, which refuses one."""
    redirected(stac, other)
    stac.file_authorization = "Bearer EDL-token"
    other.faults["/moved/B04.tif"] = []

    def token(headers):
        return (200, {"access_token": "EDL-token"}) if headers.get("Authorization") == PAIR else (401, {"error": "no"})

    stac.answers["/api/users/find_or_create_token"] = token
    return f'auth = "earthdata"\nlogin_url = "{stac.url}/api/users/find_or_create_token"\ntrusted_hosts = ["127.0.0.1"]'


def test_earthdata_token_goes_to_the_files_and_not_to_their_bucket(place, stac, other, earthdata):
    mirror = place(earthdata)
    assert mirror.run("plan").code == 0, "a plan needs no account"
    ran = mirror.run("apply", EARTHDATA_TOKEN="EDL-token")
    assert ran.code == 0, ran.err
    sent = {one.path: one.headers.get("Authorization") for one in stac.asked if one.path.startswith("/data")}
    assert sent == {"/data/S1/B04.tif": "Bearer EDL-token"}
    assert [one.headers.get("Authorization") for one in other.asked] == [None]
    assert not stac.count("/api/users")


def test_earthdata_login_of_netrc_gives_the_token(place, stac, earthdata):
    mirror = place(earthdata)
    file = mirror.path / "netrc"
    file.write_text("machine 127.0.0.1 login jane password secret-of-jane\n")
    file.chmod(0o600)
    ran = mirror.run("apply", NETRC=str(file), EARTHDATA_TOKEN="")
    assert ran.code == 0, ran.err
    assert stac.count("/api/users") == 1
    assert "secret-of-jane" not in ran.out + ran.err


def test_earthdata_host_that_knows_only_cookies(place, stac, other, earthdata):
    """It sends its client to the login, which sends it back with a code, and then sets a cookie."""
    stac.faults.clear()
    stac.file_authorization = None
    data, urs, bucket = (
        f"http://127.0.0.1:{stac.port}",
        f"http://127.0.0.1:{other.port}",
        f"http://localhost:{other.port}",
    )
    seen = []

    def file(headers):
        seen.append(headers.get("Cookie"))
        target = (
            f"{bucket}/moved/B04.tif" if seen[-1] == "session=abc; more=1" else f"{urs}/oauth/authorize?client_id=1"
        )
        return 302, b"", {"Location": target}

    def authorize(headers):
        assert headers.get("Cookie") is None
        right = headers.get("Authorization") == "Bearer EDL-token"
        return (302, b"", {"Location": f"{data}/back?code=1"}) if right else (401, b"", {})

    stac.answers["/data/S1/B04.tif"] = file
    other.answers["/oauth/authorize"] = authorize
    cookies = [("Set-Cookie", "session=abc; Path=/; HttpOnly"), ("Set-Cookie", "more=1")]
    stac.answers["/back"] = lambda _: (302, b"", [*cookies, ("Location", f"{data}/data/S1/B04.tif")])
    ran = place(earthdata).run("apply", EARTHDATA_TOKEN="EDL-token")
    assert ran.code == 0, ran.err
    assert seen == [None, "session=abc; more=1"]
    (moved,) = [one for one in other.asked if one.path == "/moved/B04.tif"]
    assert (moved.headers.get("Cookie"), moved.headers.get("Authorization")) == (None, None)


def test_expired_earthdata_token_ends_with_4_and_is_named(place, stac, earthdata):
    stac.faults.clear()
    ran = place(earthdata).run("apply", EARTHDATA_TOKEN="old-token")
    assert ran.code == 4
    assert "the token of EARTHDATA_TOKEN" in ran.err
    assert "old-token" not in ran.out + ran.err


def test_wrong_earthdata_password_ends_with_4_and_is_tried_once(place, stac, earthdata):
    stac.add("S2", day=4)
    ran = place(earthdata).run("apply", EARTHDATA_USERNAME="jane", EARTHDATA_PASSWORD="no", EARTHDATA_HOST="127.0.0.1")
    assert ran.code == 4
    assert "refused the credentials of 'jane'" in ran.err
    assert stac.count("/api/users") == 1


@pytest.mark.parametrize(
    ("asked", "sees"),
    [
        ("https://data.lpdaac.earthdatacloud.nasa.gov/a.tif", True),
        ("https://archive.podaac.earthdata.nasa.gov/a.nc", True),
        ("http://archive.podaac.earthdata.nasa.gov/a.nc", False),
        ("https://bucket.s3.us-west-2.amazonaws.com/a.nc", False),
        ("https://earthdata.nasa.gov.example.org/a.nc", False),
    ],
)
def test_hosts_of_earthdata(asked, sees):
    class NoLogin:
        def send(self, *_, **__):
            raise AuthenticationError("not asked")

    login_url = "https://urs.earthdata.nasa.gov/api/users/find_or_create_token"
    environ = {"EARTHDATA_TOKEN": "t0ken-t0ken"}
    access = earthdata_login(NoLogin(), lambda _: pytest.fail("asked"), (), login_url, environ)
    assert (access.link(asked, None)[1] == {"Authorization": "Bearer t0ken-t0ken"}) == sees


def test_an_account_of_earthdata_is_asked_for_once(stac, earthdata):
    asked = []

    def find(host):
        asked.append(host)
        return Credentials("jane", "secret-of-jane", "the prompt")

    url = f"{stac.url}/data/S1/B04.tif"
    api = session.Api(retries=0)
    access = earthdata_login(api, find, ("127.0.0.1",), f"{stac.url}/api/users/find_or_create_token", {})
    _, headers = access.link(url, None)
    assert access.link(url, Download(url=url, headers=headers)) == (url, headers)
    assert stac.count("/api/users") == 2
    assert asked == ["127.0.0.1"]
