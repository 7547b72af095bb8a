"""Company networks: proxies, private certificate authorities, and links into the local network."""

import os
import shutil
import socket
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from proxyserver import Proxy, certify
from stac_server import StacServer

import sedas_sync as ss

EXAMPLES = Path(__file__).parents[2] / "examples"
STAC, DATA = "stac.example.org", "data.example.org"
SETTINGS = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"),
)


class Listener:
    """Accepts connections on a loopback port without answering, and reports them."""

    def __init__(self):
        self._sock = socket.create_server(("127.0.0.1", 0))
        self._sock.setblocking(False)
        self.port = self._sock.getsockname()[1]

    @property
    def called(self):
        try:
            self._sock.accept()[0].close()
        except BlockingIOError:
            return False
        return True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._sock.close()


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return tmp_path_factory.mktemp("authority")


@pytest.fixture(scope="session")
def certified(authority):
    return certify(authority, STAC, DATA)


@pytest.fixture
def public(certified, authority, workspace):
    """A STAC API with a public name, and the proxy that leads to it."""
    with StacServer(tls=certified, name=STAC) as stac, Proxy({STAC: stac.port}) as proxy:
        stac.proxy = proxy
        workspace.env.update(HTTPS_PROXY=proxy.url, SSL_CERT_FILE=str(authority / "ca.pem"))
        yield stac


def offer(stac, name, href=None):
    item = stac.add(name, files={"B04": name.encode() * 9}, properties={"datetime": "2023-05-03T11:00:00Z"})
    if href is not None:
        item["assets"]["B04"]["href"] = href


def manifest(workspace, **archives):
    """Write a manifest with one dataset for each archive."""
    text = "version = 1\n[aoi.harwell]\npoint = [-1.31, 51.57]\nradius_km = 5\n"
    text += "[transfer]\nretries = 0\nstall_timeout = 1\nconnect_timeout = 1\n"
    for key, (url, more) in archives.items():
        text += f'[archives.{key}]\ntype = "stac"\ncollections = "s2"\nurl = "{url}"\n{more}\n'
        text += f'[dataset.{key}]\narchive = "{key}"\naoi = "harwell"\nstart = 2023-05-01\nend = 2023-05-09\n'
    (workspace.path / "manifest.toml").write_text(text)
    return workspace.path / "manifest.toml"


def fetched(workspace):
    return {file.stem if file.is_dir() else file.parent.name for file in workspace.mirror.glob("*/*.tif")}


def test_links_of_a_public_archive_do_not_lead_into_the_local_network(workspace, public):
    offer(public, "good")
    with Listener() as inner, StacServer() as near:
        offer(near, "near")
        offer(public, "loopback", f"http://127.0.0.1:{inner.port}/secret.tif")
        offer(public, "private", "http://10.255.255.1/secret.tif")
        offer(public, "metadata", "http://169.254.169.254/latest/meta-data/iam.tif")
        # Another archive of the manifest is on this machine, which allows this one nothing.
        offer(public, "other", f"{near.url}/data/other/B04.tif")
        near.files["/data/other/B04.tif"] = b"other" * 9
        manifest(workspace, far=(public.url, ""), near=(near.url, ""))
        ran = workspace.run("apply", "--json")
        assert ran.code == 1, ran.err
        assert fetched(workspace) == {"good", "near"}
        errors = {failure["id"]: failure["error"] for failure in ran.summary["failures"]}
        assert errors.keys() == {"loopback", "private", "metadata", "other"}
        assert "no link of a catalogue may lead" in errors.pop("metadata")
        assert all("trusted_hosts" in error for error in errors.values())
        assert not inner.called
        assert near.count("/data/") == 1
        manifest(workspace, far=(public.url, 'trusted_hosts = ["127.0.0.1"]'), near=(near.url, ""))
        ran = workspace.run("apply", "--json", "--dataset", "far")
        assert {failure["id"] for failure in ran.summary["failures"]} == {"loopback", "private", "metadata"}
        assert near.count("/data/") == 2
        assert inner.called
    assert {target for method, target in public.proxy.asked} == {f"{STAC}:443"}


def test_page_of_a_public_archive_does_not_lead_into_the_local_network(workspace, public):
    for number in range(120):
        offer(public, f"S{number}")
    with Listener() as inner:
        public.elsewhere = f"https://127.0.0.1:{inner.port}"
        manifest(workspace, far=(public.url, ""))
        ran = workspace.run("plan")
        assert ran.code != 0
        assert "127.0.0.1 is a loopback address" in ran.err + ran.out
        assert "trusted_hosts" in ran.err + ran.out
        assert not inner.called


def test_workers_of_an_executor_refuse_such_links_too(workspace, public, monkeypatch):
    offer(public, "good")
    with Listener() as inner:
        offer(public, "loopback", f"http://127.0.0.1:{inner.port}/secret.tif")
        for name, value in workspace.env.items():
            monkeypatch.setenv(name, value)
        mirror = ss.Mirror(ss.load_manifest(manifest(workspace, far=(public.url, ""))))
        with mirror as opened, ProcessPoolExecutor(1, get_context("spawn")) as pool:
            summary = opened.apply(opened.plan(), executor=pool)
        assert [failure.id for failure in summary.failures] == ["loopback"]
        assert "trusted_hosts" in summary.failures[0].error
        assert not inner.called
    assert fetched(workspace) == {"good"}


def test_demo_runs_on_a_laptop_of_a_company(tmp_path, certified, authority):
    """With all variables of such a machine, and a proxy that reaches nothing."""
    for name in ("project", "home", "tmp with blanks"):
        (tmp_path / name).mkdir()
    shutil.copytree(EXAMPLES, tmp_path / "project" / "examples")
    (tmp_path / "home").chmod(0o500)
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PATH", "PYTHON", "VIRTUAL_ENV"))}
    with Proxy() as proxy:
        proxies = dict.fromkeys(SETTINGS[:3], f"http://ann:secret@127.0.0.1:{proxy.port}")
        environ = {
            **kept,
            **proxies,
            **{name.lower(): value for name, value in proxies.items()},
            "NO_PROXY": ".corp.example.org,10.0.0.0/8",
            "REQUESTS_CA_BUNDLE": str(authority / "ca.pem"),
            "SSL_CERT_FILE": str(authority / "ca.pem"),
            "TMPDIR": str(tmp_path / "tmp with blanks"),
            "HOME": str(tmp_path / "home"),
            "LANG": "C",
            "LC_ALL": "C",
        }
        ran = subprocess.run(
            [sys.executable, "examples/demo.py"],
            cwd=tmp_path / "project",
            env=environ,
            umask=0o077,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert "Traceback" not in ran.stderr
        assert proxy.asked == []
    assert list((tmp_path / "project" / "demo" / "scenes").glob("*.zip"))
    assert not list((tmp_path / "home").iterdir())
