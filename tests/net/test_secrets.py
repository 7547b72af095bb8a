"""Which host sees which secret of the environment, whatever the manifest says.

One server plays all remote hosts: it is the proxy for https, ends TLS with a certificate that the runs trust and
records what it receives.
"""

import base64
import shutil
import socketserver
import ssl
import subprocess
import threading
from dataclasses import dataclass, field

import pytest
from cdse_server import CdseServer, msi
from stac_server import StacServer

from sedas_sync.archives.cdse.archive import CdseArchive
from sedas_sync.archives.cdse.kind import TOTP, CdseConfig
from sedas_sync.archives.cdse.kind import VARIABLES as CDSE
from sedas_sync.archives.opening import Opening, open_archive
from sedas_sync.archives.registry import BUILT_IN
from sedas_sync.archives.sedas.archive import SedasArchive
from sedas_sync.archives.stac import access
from sedas_sync.archives.stac.kind import SUBSCRIPTION, token_variables
from sedas_sync.archives.stac.kind import VARIABLES as STAC
from sedas_sync.errors import AuthenticationError
from sedas_sync.manifest import hosts
from sedas_sync.manifest.archive_types import ArchiveType, Variables
from sedas_sync.model.hosts import in_both, matches_any
from sedas_sync.model.scene import Scene
from sedas_sync.net import credentials
from sedas_sync.net.connections import split
from sedas_sync.net.credentials import Credentials, belongs
from sedas_sync.net.policy import may_see_token

SEDAS = credentials.VARIABLES
SECRETS = {
    "SEDAS_USERNAME": "sedas-name-7f3a",
    "SEDAS_PASSWORD": "sedas-secret-7f3a",
    "CDSE_USERNAME": "cdse-name-7f3a",
    "CDSE_PASSWORD": "cdse-secret-7f3a",
    "CDSE_TOTP": "9731864",
    "STAC_USERNAME": "stac-name-7f3a",
    "STAC_PASSWORD": "stac-secret-7f3a",
    "STAC_TOKEN": "stac-token-7f3a",
    "STAC_FIRST_TOKEN": "first-token-7f3a",
    "PC_SDK_SUBSCRIPTION_KEY": "subscription-7f3a",
    "AWS_SECRET_ACCESS_KEY": "aws-secret-7f3a",
}
ELSEWHERE = "elsewhere.example"
DATASET = """
[aoi.harwell]
point = [-1.31, 51.57]
radius_km = 3
[dataset.d]
aoi = "harwell"
start = 2019-04-30
end = 2023-06-01
"""


# -- the rule ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "host", "environ", "allowed"),
    [
        (SEDAS, "geobrowser.satapps.org", {}, True),
        (SEDAS, "sedasdm.SATAPPS.org", {}, True),
        (SEDAS, "satapps.org", {}, False),
        (SEDAS, "evilsatapps.org", {}, False),
        (SEDAS, "satapps.org.evil.example", {}, False),
        (SEDAS, ELSEWHERE, {}, False),
        (SEDAS, ELSEWHERE, {"SEDAS_HOST": ELSEWHERE}, True),
        (SEDAS, ELSEWHERE, {"SEDAS_HOST": " a.example , ELSEWHERE.example. ,"}, True),
        (SEDAS, f"a.{ELSEWHERE}", {"SEDAS_HOST": ELSEWHERE}, False),
        (SEDAS, f"a.{ELSEWHERE}", {"SEDAS_HOST": f"*.{ELSEWHERE}"}, False),
        (SEDAS, ELSEWHERE, {"SEDAS_HOST": "*"}, False),
        (SEDAS, "", {"SEDAS_HOST": ","}, False),
        (SEDAS, ELSEWHERE, {"CDSE_HOST": ELSEWHERE, "STAC_HOST": ELSEWHERE}, False),
        (SEDAS, "127.0.0.1", {}, True),
        (SEDAS, "::1", {}, True),
        (SEDAS, "LocalHost", {}, True),
        (SEDAS, "localhost.evil.example", {}, False),
        (SEDAS, "10.0.0.1", {}, False),
        (CDSE, "identity.dataspace.copernicus.eu", {}, True),
        (CDSE, "copernicus.eu", {}, False),
        (CDSE, "geobrowser.satapps.org", {}, False),
        (TOTP, ELSEWHERE, {"CDSE_HOST": ELSEWHERE}, True),
        (TOTP, ELSEWHERE, {}, False),
        (STAC, "stac.example.org", {}, False),
        (STAC, "stac.example.org", {"STAC_HOST": "stac.example.org"}, True),
        (token_variables("my-own.one")[0], "stac.example.org", {"STAC_MY_OWN_ONE_HOST": "stac.example.org"}, True),
        (token_variables("a")[0], "stac.example.org", {"STAC_HOST": "stac.example.org"}, False),
        (token_variables("a")[1], "stac.example.org", {"STAC_A_HOST": "stac.example.org"}, False),
        (SUBSCRIPTION, "planetarycomputer.microsoft.com", {}, True),
        (SUBSCRIPTION, "eu.planetarycomputer.microsoft.com", {}, True),
        (SUBSCRIPTION, "microsoft.com", {}, False),
        (SUBSCRIPTION, ELSEWHERE, {"": ELSEWHERE}, False),
    ],
)
def test_secret_belongs_to_hosts(variables, host, environ, allowed):
    assert belongs(host, variables, environ) == allowed


@pytest.mark.parametrize("kind", [kind for kind in BUILT_IN.values() if kind.variables], ids=lambda kind: kind.name)
def test_default_trusted_hosts_may_see_the_secrets(kind):
    assert kind.variables.host
    found = Credentials("ann", "x", "the environment", credentials.hosts_of(kind.variables, {}))
    trusted_hosts = kind.config.model_fields["trusted_hosts"].default
    assert found.allowed_hosts(trusted_hosts) == trusted_hosts


ZONED = "2001:db8::1%25x.satapps.org"


def test_address_with_a_zone_is_not_a_host_with_the_same_ending():
    assert not may_see_token(f"https://[{ZONED}]/", "https://geobrowser.satapps.org/api/", ("*.satapps.org",))
    assert not matches_any(split(f"https://[{ZONED}]/")[0].host, ("*.satapps.org",))
    for address in (f"https://[{ZONED}]/", "http://[::1%25x]/", "https://[fe80::1%\u009b31m]/"):
        with pytest.raises(ValueError, match="must be an address"):
            hosts.url(address)
    with pytest.raises(ValueError, match="must be a host name"):
        hosts.trusted_host("::1%x.satapps.org")


@pytest.mark.parametrize(
    ("trusted", "allowed", "both"),
    [
        (["evil.example"], ["*.satapps.org"], ()),
        (["sedasdm.satapps.org"], ["*.satapps.org"], ("sedasdm.satapps.org",)),
        (["*.org", "*.example"], ["*.satapps.org"], ("*.satapps.org",)),
        (["*.data.satapps.org"], ["*.satapps.org"], ("*.data.satapps.org",)),
        (["*.example.org"], ["data.example.org", "other.example"], ("data.example.org",)),
        (["example.org"], ["data.example.org"], ()),
        (["127.0.0.1", "evil.example"], [], ("127.0.0.1",)),
        ([], ["data.example.org"], ()),
    ],
)
def test_manifest_chooses_among_the_hosts_of_the_environment(trusted, allowed, both):
    assert in_both(trusted, allowed) == both
    assert Credentials("ann", "x", hosts=tuple(allowed)).allowed_hosts(trusted) == both
    assert Credentials("ann", "x").allowed_hosts(trusted) == tuple(trusted)


def test_plugin_declares_the_hosts_of_its_secrets():
    kept = Variables(("ACME_USER", "ACME_KEY"), host="ACME_HOST", hosts=("*.acme.example",))
    assert ArchiveType(name="acme", opener="acme:open", variables=kept).variables is kept
    with pytest.raises(TypeError, match="Variables"):
        ArchiveType(name="acme", opener="acme:open", variables=("ACME_USER", "ACME_KEY"))


def test_token_of_the_archive_itself_comes_first():
    own = {"STAC_FIRST_TOKEN": "one", "STAC_FIRST_HOST": "a.example", "STAC_TOKEN": "two", "STAC_HOST": "b.example"}
    assert credentials.token("a.example", token_variables("first"), own)[0] == "one"
    assert credentials.token("b.example", token_variables("second"), own)[0] == "two"
    with pytest.raises(AuthenticationError, match=r"set STAC_FIRST_HOST=a\.example,b\.example"):
        credentials.token("b.example", token_variables("first"), own)


# -- runs -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    assert shutil.which("openssl")
    names = ",".join(f"DNS:{name}" for name in (ELSEWHERE, "account.elsewhere.example"))
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", f"/CN={ELSEWHERE}", "-addext", f"subjectAltName={names}"),
            *("-keyout", folder / "key.pem", "-out", folder / "cert.pem"),
        ],
        check=True,
        capture_output=True,
    )
    return folder


@dataclass
class Listener:
    """Plays all remote hosts, and records what each was sent."""

    certificate: object
    asked: list = field(default_factory=list)
    """Hosts to which a connection was made."""
    sent: list = field(default_factory=list)
    """Requests with their headers and bodies."""

    def __enter__(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate / "cert.pem", self.certificate / "key.pem")
        listener = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                head = self.rfile.readline()
                listener.asked.append(head.split()[1].decode())
                while self.rfile.readline().strip():
                    pass
                self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                try:
                    with context.wrap_socket(self.request, server_side=True) as inner:
                        inner.settimeout(5)
                        listener.answer(inner)
                except OSError:
                    listener.sent.append(b"(broken off)")

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def answer(self, inner):
        came = b""
        while b"\r\n\r\n" not in came:
            came += inner.recv(65536)
        head, _, body = came.partition(b"\r\n\r\n")
        length = next(
            (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        while len(body) < length:
            body += inner.recv(65536)
        self.sent.append(head + b"\r\n\r\n" + body)
        inner.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")

    @property
    def environ(self):
        proxy = f"http://127.0.0.1:{self._server.server_address[1]}"
        return {
            **dict.fromkeys(("HTTPS_PROXY", "https_proxy"), proxy),
            **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1"),
            "REQUESTS_CA_BUNDLE": str(self.certificate / "cert.pem"),
            "XDG_RUNTIME_DIR": "",
        }

    def saw(self, secret):
        """Whether a secret arrived, in any encoding."""
        everything = b"\n".join(self.sent)
        encoded = [line.split()[-1] for line in everything.split(b"\r\n") if b": Basic " in line]
        return any(secret.encode() in text for text in (everything, *map(base64.b64decode, encoded)))


@pytest.fixture
def listener(certificate):
    with Listener(certificate) as running:
        yield running


def run(workspace, listener, archive, command, **environ):
    (workspace.path / "manifest.toml").write_text(f"version = 1\n{archive}\n[transfer]\nretries = 0\n{DATASET}")
    netrc = {"NETRC": str(workspace.path / "none")}
    return workspace.run(*command.split(), **{**netrc, **SECRETS, **listener.environ, **environ})


def assert_kept(listener, ran):
    for name, secret in SECRETS.items():
        assert not listener.saw(secret), name
        assert secret not in ran.out + ran.err, name


HOSTILE = {
    "sedas": f'[archive]\ntype = "sedas"\nurl = "https://{ELSEWHERE}/api/"',
    "bearer": f'[archive]\ntype = "stac"\nurl = "https://{ELSEWHERE}/"\ncollections = "c"\nauth = "bearer"',
    "basic": f'[archive]\ntype = "stac"\nurl = "https://{ELSEWHERE}/"\ncollections = "c"\nauth = "basic"',
    "own name": f'[archives.first]\ntype = "stac"\nurl = "https://{ELSEWHERE}/"\ncollections = "c"\nauth = "bearer"',
}


@pytest.mark.parametrize("trusted", ["", f'trusted_hosts = ["{ELSEWHERE}", "*.elsewhere.example"]'])
@pytest.mark.parametrize(
    ("name", "variable"),
    [("sedas", "SEDAS_HOST"), ("bearer", "STAC_HOST"), ("basic", "STAC_HOST"), ("own name", "STAC_FIRST_HOST")],
)
def test_manifest_cannot_send_a_secret_to_a_host_of_its_own(workspace, listener, name, variable, trusted):
    ran = run(workspace, listener, f"{HOSTILE[name]}\n{trusted}", "plan")
    assert ran.code == 4, ran.err
    assert f"set {variable}={ELSEWHERE}" in ran.err
    assert listener.asked == []
    assert_kept(listener, ran)


@pytest.mark.parametrize(
    ("name", "variable", "secret"),
    [
        ("sedas", "SEDAS_HOST", "SEDAS_PASSWORD"),
        ("bearer", "STAC_HOST", "STAC_TOKEN"),
        ("basic", "STAC_HOST", "STAC_PASSWORD"),
        ("own name", "STAC_FIRST_HOST", "STAC_FIRST_TOKEN"),
    ],
)
def test_environment_can(workspace, listener, name, variable, secret):
    run(workspace, listener, HOSTILE[name], "plan", **{variable: f"other.example, {ELSEWHERE.upper()}"})
    assert listener.saw(SECRETS[secret])


@pytest.fixture
def catalogue():
    from datetime import UTC, datetime

    with CdseServer([msi(datetime(2019, 5, 1, 11, tzinfo=UTC))]) as running:
        yield running


@pytest.mark.parametrize("netrc", [False, True])
def test_login_at_another_host_is_not_tried(workspace, listener, catalogue, netrc):
    """With the password of the environment, and with that of netrc for the catalogue."""
    host = catalogue.url.split("/")[2].split(":")[0]
    entry = workspace.path / "netrc"
    entry.write_text(f"machine {host} login jane password netrc-secret-7f3a\n")
    entry.chmod(0o600)
    archive = (
        f'[archive]\ntype = "cdse"\nurl = "{catalogue.url}"\nlogin_url = "https://{ELSEWHERE}/token"\n'
        f'trusted_hosts = ["{ELSEWHERE}"]'
    )
    environ = {"NETRC": str(entry), "CDSE_USERNAME": "", "CDSE_PASSWORD": ""} if netrc else {}
    assert run(workspace, listener, archive, "plan --sizes", **environ).code in (0, 4)
    ran = run(workspace, listener, archive, "apply --no-wait", **environ)
    assert ran.code == 4, ran.err
    assert f"set CDSE_HOST={ELSEWHERE}" in ran.err
    assert listener.asked == []
    ran = run(workspace, listener, archive, "apply --no-wait", CDSE_HOST=ELSEWHERE, **environ)
    assert listener.saw("netrc-secret-7f3a" if netrc else SECRETS["CDSE_PASSWORD"])
    assert listener.saw(SECRETS["CDSE_TOTP"])
    assert "netrc-secret-7f3a" not in ran.out + ran.err


def test_other_catalogue_gets_no_token_of_the_service(monkeypatch):
    for name in ("CDSE_USERNAME", "CDSE_PASSWORD"):
        monkeypatch.setenv(name, SECRETS[name])
    with (
        open_archive(
            Opening(config=CdseConfig(type="cdse", url=f"https://{ELSEWHERE}/odata/v1/"), kind=BUILT_IN["cdse"])
        ) as archive,
        pytest.raises(AuthenticationError, match=rf"set CDSE_HOST={ELSEWHERE}"),
    ):
        archive._login.token.current()


def test_code_of_a_second_factor_is_not_sent_to_another_host(listener, monkeypatch):
    for name, value in {**listener.environ, "CDSE_TOTP": SECRETS["CDSE_TOTP"]}.items():
        monkeypatch.setenv(name, value)
    archive = CdseArchive(
        f"https://{ELSEWHERE}/odata/v1/",
        login_url=f"https://{ELSEWHERE}/token",
        credentials=lambda: Credentials("jane", "given-7f3a"),
    )
    with archive, pytest.raises(AuthenticationError, match=rf"CDSE_TOTP is set, .* set CDSE_HOST={ELSEWHERE}"):
        archive._login.token.current()
    assert listener.saw("given-7f3a")
    assert not listener.saw(SECRETS["CDSE_TOTP"])


@pytest.mark.parametrize("auth", ["bearer", "basic"])
@pytest.mark.parametrize("environ", [{}, {"STAC_HOST": ELSEWHERE}])
def test_token_goes_to_trusted_hosts_that_the_environment_names_too(workspace, listener, auth, environ):
    """A plan requests sizes at the links of the catalogue, and the manifest sets `trusted_hosts`."""
    with StacServer() as server:
        secret = SECRETS["STAC_TOKEN" if auth == "bearer" else "STAC_PASSWORD"]
        pair = base64.b64encode(f"{SECRETS['STAC_USERNAME']}:{SECRETS['STAC_PASSWORD']}".encode()).decode()
        server.authorization = f"Bearer {secret}" if auth == "bearer" else f"Basic {pair}"
        server.add("S1", checksums=False)
        for asset in server.items[0]["assets"].values():
            asset["href"] = f"https://{ELSEWHERE}/a.tif"
        archive = (
            f'[archive]\ntype = "stac"\nurl = "{server.url}"\ncollections = "s2"\nauth = "{auth}"\n'
            f'trusted_hosts = ["{ELSEWHERE}"]'
        )
        planned = run(workspace, listener, archive, "plan --sizes", **environ)
        assert planned.code == 0, planned.err
        if not environ:
            assert_kept(listener, planned)
        applied = run(workspace, listener, archive, "apply", **environ)
        assert applied.code == 4
        assert listener.sent
        assert listener.saw(secret) == bool(environ)
        if not environ:
            assert_kept(listener, applied)
            assert "trusted_hosts, and in the environment variable STAC_HOST," in applied.out + applied.err


@pytest.mark.parametrize("environ", [{}, {"STAC_HOST": ELSEWHERE}])
def test_password_of_netrc_goes_to_trusted_hosts_that_the_environment_names_too(workspace, listener, environ):
    """Basic sends the password itself, and an entry of netrc is for the host that it names."""
    with StacServer() as server:
        entry = workspace.path / "netrc"
        entry.write_text("machine 127.0.0.1 login jane password netrc-secret-7f3a\n")
        entry.chmod(0o600)
        server.authorization = "Basic " + base64.b64encode(b"jane:netrc-secret-7f3a").decode()
        server.add("S1", checksums=False)
        for asset in server.items[0]["assets"].values():
            asset["href"] = f"https://{ELSEWHERE}/a.tif"
        archive = (
            f'[archive]\ntype = "stac"\nurl = "{server.url}"\ncollections = "s2"\nauth = "basic"\n'
            f'trusted_hosts = ["{ELSEWHERE}"]'
        )
        own = {"STAC_USERNAME": "", "STAC_PASSWORD": "", "NETRC": str(entry), **environ}
        planned = run(workspace, listener, archive, "plan --sizes", **own)
        assert planned.code == 0, planned.err
        assert listener.saw("netrc-secret-7f3a") == bool(environ)
        applied = run(workspace, listener, archive, "apply", **own)
        assert listener.sent
        assert listener.saw("netrc-secret-7f3a") == bool(environ)
        if not environ:
            assert "trusted_hosts, and in the environment variable STAC_HOST," in applied.out + applied.err


LINKED = Scene(id="S2A_X", download_url=f"https://{ELSEWHERE}/a.zip")


def test_sedas_link_to_another_host_gets_no_token(sandbox, monkeypatch):
    monkeypatch.setenv("SEDAS_USERNAME", "sandbox")
    monkeypatch.setenv("SEDAS_PASSWORD", "sandbox")
    with SedasArchive.from_env(sandbox.url, trusted_hosts=[ELSEWHERE]) as archive:
        assert not archive.locate(LINKED).headers
        monkeypatch.setenv("SEDAS_HOST", ELSEWHERE)
    with SedasArchive.from_env(sandbox.url, trusted_hosts=[ELSEWHERE]) as archive:
        assert archive.locate(LINKED).headers
    monkeypatch.delenv("SEDAS_HOST")
    given = SedasArchive(sandbox.url, username="sandbox", password="sandbox", trusted_hosts=[ELSEWHERE])
    with given as archive:
        assert archive.locate(LINKED).headers


def test_subscription_key_goes_to_the_planetary_computer_only(workspace, listener):
    with StacServer() as server:
        server.add("S1", checksums=False)
        for asset in server.items[0]["assets"].values():
            asset["href"] = "https://account.elsewhere.example/container/a.tif"
        archive = (
            f'[archive]\ntype = "stac"\nurl = "{server.url}"\ncollections = "s2"\nauth = "planetary-computer"\n'
            f'trusted_hosts = ["*.elsewhere.example"]\nsign_url = "https://{ELSEWHERE}/sas"'
        )
        ran = run(workspace, listener, archive, "plan --sizes")
        ran = run(workspace, listener, archive, "apply")
    assert any(b"GET /sas/account/container" in sent for sent in listener.sent)
    assert_kept(listener, ran)
    assert f"{ELSEWHERE} may not see it" in ran.out + ran.err


def test_signatures_of_a_subscription_go_to_no_host_of_the_manifest():
    class Nobody:
        def send(self, method, url, headers):
            raise AssertionError(url)

    key = {"PC_SDK_SUBSCRIPTION_KEY": "k"}
    signer = access.PlanetaryComputer(
        Nobody(), "https://planetarycomputer.microsoft.com/api/sas/v1/token", ["*.elsewhere.example"], lambda: None, key
    )
    link = "https://naip.elsewhere.example/container/a.tif"
    assert signer.link(link, None) == (link, {})


def test_token_env_is_reported_as_removed(workspace, listener):
    archive = HOSTILE["bearer"] + '\ntoken_env = "AWS_SECRET_ACCESS_KEY"'
    ran = run(workspace, listener, archive, "validate")
    assert ran.code == 2
    assert "archive.token_env: unknown key; the environment says which token is for which host" in ran.err
    assert "STAC_<NAME>_HOST" in ran.err


def test_other_catalogue_needs_a_login_url(workspace, listener):
    ran = run(workspace, listener, f'[archive]\ntype = "cdse"\nurl = "https://{ELSEWHERE}/odata/"', "validate")
    assert ran.code == 2
    assert f"archive.login_url: missing; url is at {ELSEWHERE}" in ran.err
