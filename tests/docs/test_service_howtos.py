"""The how-tos for services: the manifest of each page runs against what the service answered when it was recorded."""

import re
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from recorded import items_of, with_local_files
from replay_server import ReplayServer
from stac_server import NOW
from static_server import StaticServer, linked

PAGES = Path(__file__).parents[2] / "docs" / "how-to"


def manifest_of(page, **changes):
    """Return the only manifest of a page, with other addresses."""
    (text,) = re.findall(r"^```toml\n(.*?)^```$", (PAGES / page).read_text(), re.MULTILINE | re.DOTALL)
    (url,) = re.findall(r'^url = "(.*)"$', text, re.MULTILINE)
    text = text.replace(f'"{url}"', f'"{changes.pop("url")}"')
    text = re.sub(r"^trusted_hosts = .*$", "", text, flags=re.MULTILINE)
    extra = "".join(f"{key} = {value}\n" for key, value in changes.items())
    return text.replace('type = "stac"\n', f'type = "stac"\n{extra}')


@contextmanager
def earth_search(workspace):
    with ReplayServer(service="earth-search") as service:
        yield manifest_of("earth-search.md", url=service.url), {}


@contextmanager
def planetary_computer(workspace):
    with ReplayServer(service="planetary-computer") as service:
        service.signed = True
        service.token_life = 3600 + datetime.now(UTC).timestamp() - NOW
        trusted = {"sign_url": f'"{service.url}/sas"', "trusted_hosts": '["127.0.0.1"]'}
        yield manifest_of("planetary-computer.md", url=service.url, **trusted), {}


def with_login(service, path, answer):
    service.answers[path] = lambda _: (200, answer)
    service.file_authorization = f"Bearer {answer['access_token']}"
    return {"login_url": f'"http://127.0.0.1:{service.port}{path}"', "trusted_hosts": '["127.0.0.1"]'}


@contextmanager
def cdse(workspace):
    with ReplayServer(service="cdse") as service:
        login = with_login(service, "/auth/token", {"access_token": "t0ken-of-cdse", "expires_in": 600})
        environ = {"CDSE_USERNAME": "jane@example.org", "CDSE_PASSWORD": "a-long-password"}
        yield manifest_of("cdse-stac.md", url=service.url, **login), environ


@contextmanager
def nasa(workspace):
    with ReplayServer(service="cmr-stac") as service:
        login = with_login(service, "/api/users/find_or_create_token", {"access_token": "EDL-t0ken"})
        yield manifest_of("nasa.md", url=service.url, **login), {"EARTHDATA_TOKEN": "EDL-t0ken"}


@contextmanager
def static(workspace):
    with StaticServer() as server:
        items = [with_local_files(item, server.url, server.files) for item in items_of("eoapi-dev")]
        links = []
        for item in items:
            item["links"] = []
            path = f"/events/items/{item['id']}.json"
            server.files[path] = item
            links.append(("item", f"./items/{item['id']}.json"))
        server.files["/events/catalog.json"] = linked("Catalog", ("child", "./collection.json"))
        server.files["/events/collection.json"] = linked("Collection", *links)
        environ = {"SEDAS_SYNC_CACHE": str(workspace.path / "cache")}
        yield manifest_of("static-catalogues.md", url=f"{server.url}/events/catalog.json"), environ


@contextmanager
def eodag(workspace):
    pytest.importorskip("eodag", reason="needs the extra eodag")
    from eodag_providers import Geodes  # needs eodag

    with Geodes(days=[2]) as service:
        (manifest,) = re.findall(r"^```toml\n(.*?)^```$", (PAGES / "eodag.md").read_text(), re.MULTILINE | re.DOTALL)
        yield manifest, service.environment


@pytest.mark.parametrize(
    ("service", "scenes", "files"),
    [
        (
            eodag,
            {"S2A_MSIL1C_20250402T175741_N0511_R141_T14ULD_20250403T022035.zip"},
            {"S2A_MSIL1C_20250402T175741_N0511_R141_T14ULD_20250403T022035.zip"},
        ),
        (earth_search, {"S2A_13TDE_20231008_0_L2A"}, {"B04.tif", "B08.tif", "SCL.tif"}),
        (
            planetary_computer,
            {"LC09_L2SP_089089_20240417_02_T1", "LC09_L2SP_089090_20240417_02_T1"},
            {"LC09_L2SP_089090_20240417_20240418_02_T1_SR_B4.TIF"},
        ),
        (
            cdse,
            {"S2A_MSIL2A_20220217T183431_N0510_R027_T13VEK_20240516T022440"},
            {"S2A_MSIL2A_20220217T183431_N0510_R027_T13VEK_20240516T022440.SAFE.zip"},
        ),
        (nasa, {"G1328420897-LPDAAC_ECS"}, {"VIP01.A1981001.004.2016175124032.hdf"}),
        (static, None, {"103001010C12B000-ms.tif", "103001010C12B000-pan.tif"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_manifest_of_a_service_works(workspace, service, scenes, files):
    with service(workspace) as (manifest, environ):
        (workspace.path / "manifest.toml").write_text(manifest)

        def run(*command):
            ran = workspace.run(*command, **environ)
            assert "t0ken" not in ran.out + ran.err
            return ran

        found = run("search", "--json")
        assert found.code == 0, found.err
        planned = run("plan", "--json").json
        assert planned["summary"]["fetch"] == len(planned["actions"]) > 0
        applied = run("apply", "--json")
        assert applied.code == 0, applied.err
        assert applied.summary["fetched"] == planned["summary"]["fetch"]
        ids = {path.name for path in workspace.mirror.iterdir() if not path.name.startswith(".")}
        assert scenes is None or ids == scenes
        assert files <= {path.name for path in workspace.mirror.rglob("*")}
        again = run("apply", "--json")
        assert (again.code, again.summary["fetched"], again.summary["kept"]) == (0, 0, len(ids))
        assert run("lock").code == 0
        assert run("lock", "--check").code == 0
        assert run("apply", "--locked").code == 0
        assert run("verify").code == 0


def test_scenes_of_the_usgs_are_planned_and_their_login_page_is_named(workspace):
    with ReplayServer(service="usgs-landsatlook") as service, StaticServer({"/login": b"<html>Sign in</html>"}) as ers:
        for path in service.files:
            service.faults[service.base + path] = [f"{ers.url}/login".replace("127.0.0.1", "localhost")] * 9
        text = manifest_of("usgs.md", url=service.url) + "[transfer]\nretries = 0\n"
        (workspace.path / "manifest.toml").write_text(text)
        planned = workspace.run("plan", "--json")
        assert (planned.code, planned.json["summary"]["fetch"]) == (0, 1)
        ran = workspace.run("apply")
        assert ran.code == 4
        assert "an HTML page instead of the scene" in ran.err
        assert "if it needs a login, set `auth`" in ran.err
        assert not list(workspace.mirror.glob("LC08*"))
