"""The how-to for STAC: its manifest runs against a server on loopback."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from stac_server import StacServer

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "stac.md"
(MANIFEST,) = re.findall(r"^```toml\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def stac():
    with StacServer() as running:
        yield running


def test_the_manifest_works(workspace, stac):
    recent = (datetime.now(UTC) - timedelta(days=2)).isoformat()
    for name, day in (("S1", recent), ("far", "1999-01-01T00:00:00Z")):
        properties = {"datetime": day, "processing:level": "L2"}
        stac.add(name, properties=properties, collection="drone", files={"ortho": b"o" * 9})
    stac.authorization = "Bearer token-of-mine"
    (url,) = re.findall(r'^url = "(.*)"$', MANIFEST, re.MULTILINE)
    (workspace.path / "manifest.toml").write_text(MANIFEST.replace(url, stac.url))
    assert workspace.run("plan").code == 4
    for command in ("plan", "apply", "verify"):
        ran = workspace.run(command, STAC_TOKEN="token-of-mine")
        assert ran.code == 0, ran.err
        assert "token-of-mine" not in ran.out + ran.err
    assert {path.name for path in (workspace.mirror / "S1").iterdir()} == {"ortho.tif"}
    assert not (workspace.mirror / "far").exists()


def test_every_key_is_on_the_page():
    from sedas_sync.archives.stac.kind import KIND

    for key in set(KIND.config.model_fields) - {"type"}:
        assert f"| `{key}` |" in PAGE.read_text()
