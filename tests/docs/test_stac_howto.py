"""The how-to for STAC: each manifest runs against a server on loopback."""

import re
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from stac_server import NOW, StacServer

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "stac.md"
MANIFESTS = re.findall(r"^```toml\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^\$ sedas-sync (.*)$", PAGE.read_text(), re.MULTILINE)


@pytest.fixture
def stac():
    with StacServer() as running:
        yield running


def offer(stac, name, **more):
    recent = (datetime.now(UTC) - timedelta(days=2)).isoformat()
    properties = {
        "earth-search": {
            "datetime": "2023-06-03T11:00:00Z",
            "grid:code": "MGRS-30UXC",
            "s2:nodata_pixel_percentage": 3,
        },
        "planetarycomputer": {
            "datetime": recent,
            "instruments": ["c-sar"],
            "sar:instrument_mode": "IW",
            "sat:orbit_state": "descending",
        },
        "example": {"datetime": recent, "processing:level": "L2"},
    }[name]
    stac.add("S1", properties=properties, **more)
    stac.add("far", properties={**properties, "datetime": "1999-01-01T00:00:00Z"}, **more)


@pytest.mark.parametrize("manifest", MANIFESTS, ids=["earth-search", "planetary-computer", "own"])
def test_the_manifest_works(workspace, stac, manifest):
    (url,) = re.findall(r'^url = "(.*)"$', manifest, re.MULTILINE)
    environ = {}
    local = manifest.replace(url, stac.url)
    if "earth-search" in url:
        offer(stac, "earth-search", collection="sentinel-2-l2a", files={"red": b"r" * 9, "scl": b"s" * 9, "B01": b"x"})
        expected = {"red.tif", "scl.tif"}
    elif "planetarycomputer" in url:
        offer(stac, "planetarycomputer", collection="sentinel-1-rtc", files={"vv": b"v" * 9, "vh": b"h" * 9})
        stac.signed, expected = True, {"vv.tif", "vh.tif"}
        stac.token_life = 3600 + datetime.now(UTC).timestamp() - NOW
        trusted = f'auth = "planetary-computer"\nsign_url = "{stac.url}/sas"\ntrusted_hosts = ["127.0.0.1"]'
        local = local.replace('auth = "planetary-computer"', trusted)
    else:
        offer(stac, "example", collection="drone", files={"ortho": b"o" * 9})
        stac.authorization, expected = "Bearer token-of-mine", {"ortho.tif"}
        assert workspace.run("plan").code != 0
        environ = {"STAC_TOKEN": "token-of-mine"}
    (workspace.path / "manifest.toml").write_text(local)
    assert COMMANDS == ["plan", "apply", "verify"]
    for command in COMMANDS:
        ran = workspace.run(*shlex.split(command), **environ)
        assert ran.code == 0, ran.err
        assert "secret" not in ran.out + ran.err
        assert "token-of-mine" not in ran.out + ran.err
    assert {path.name for path in (workspace.mirror / "S1").iterdir()} == expected
    assert not (workspace.mirror / "far").exists()


def test_every_key_is_on_the_page():
    from sedas_sync.archives.stac.kind import KIND

    for key in set(KIND.config.model_fields) - {"type"}:
        assert f"| `{key}` |" in PAGE.read_text()
