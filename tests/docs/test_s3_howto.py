"""docs/how-to/s3.md: its manifests and commands run in front of an emulator that checks signatures."""

import re
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from bucket_server import ACCOUNT, KEY, NO_ACCOUNT, BucketServer
from cdse_server import CdseServer, recorded_product
from recorded import recorded_json, small_bytes
from replay_server import ReplayServer

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "s3.md").read_text()


def section(heading):
    """Return the manifest and the commands of a section."""
    text = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    (manifest,) = re.findall(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return manifest, re.findall(r"^\$ sedas-sync (.*)$", text, re.MULTILINE)


@contextmanager
def stac(heading, service, region, s3):
    manifest, commands = section(heading)
    with ReplayServer(service=service) as catalogue:
        collection = re.search(r'collections = \["(.*)"\]', manifest)[1]
        catalogue.items = [item for item in catalogue.items if item["collection"] == collection]
        for asset in (asset for item in catalogue.items for asset in item["assets"].values()):
            for link in (asset, *(asset.get("alternate") or {}).values()):
                if link["href"].startswith("s3://"):
                    parts = urlsplit(link["href"])
                    own = urlsplit(asset["href"]).path.removeprefix(catalogue.base)
                    data = catalogue.files.get(own) or small_bytes(parts.path, asset.get("type") or "")
                    s3.put(parts.netloc, parts.path[1:], data, region)
        manifest = re.sub('url = ".*"', f'url = "{catalogue.url}"', manifest)
        yield manifest.replace("s3 = { ", f's3 = {{ endpoint = "{s3.url}", '), commands


@contextmanager
def cdse(heading, s3):
    manifest, commands = section(heading)
    products = [recorded_product(row) for row in recorded_json("cdse", "eodag_cop_dataspace_s2_l1c.json")["value"]]
    for product in products:
        folder = product.changes["S3Path"].removeprefix("/eodata/")
        for name in ("MTD_MSIL1C.xml", "GRANULE/L1C/IMG_DATA/T_B02.jp2", "GRANULE/L1C/IMG_DATA/T_B05.jp2"):
            s3.put("eodata", f"{folder}/{name}", small_bytes(name))
    with CdseServer(products) as catalogue:
        own = f'url = "{catalogue.url}"\nlogin_url = "{catalogue.login_url}"\ns3 = {{ endpoint = "{s3.url}" }}\n'
        yield manifest.replace('type = "cdse"\n', f'type = "cdse"\n{own}'), commands


@pytest.mark.parametrize(
    ("heading", "service", "region", "environ", "scenes"),
    [
        ("A bucket that bills you", "earth-search", "eu-central-1", ACCOUNT, 3),
        ("A public bucket", "earth-search", "eu-central-1", {}, 10),
        ("Landsat from the USGS", "usgs-landsatlook", "us-west-2", ACCOUNT, 1),
        (
            "Products of the Copernicus Data Space",
            "cdse",
            "",
            {"CDSE_S3_ACCESS_KEY": KEY, "CDSE_S3_SECRET_KEY": KEY, "XDG_RUNTIME_DIR": ""},
            2,
        ),
    ],
)
def test_a_section_of_the_page(workspace, heading, service, region, environ, scenes):
    with BucketServer() as s3, cdse(heading, s3) if service == "cdse" else stac(heading, service, region, s3) as page:
        manifest, commands = page
        (workspace.path / "manifest.toml").write_text(manifest)
        workspace.env = {**NO_ACCOUNT, **environ}
        for command in commands:
            ran = workspace.run(*command.split())
            assert ran.code == 0, (command, ran.err)
            if command == "plan --sizes":
                assert re.search(r"[0-9]+ B of 3 scenes billed to your account", ran.out), ran.out
        again = workspace.run("apply", "--json")
        assert (again.code, again.summary["kept"], again.summary["fetched"]) == (0, scenes, 0), again.err
        if service == "cdse":
            names = {
                file.name for file in workspace.mirror.rglob("*") if ".sedas-sync" not in file.parts and file.is_file()
            }
            assert names == {"MTD_MSIL1C.xml", "T_B02.jp2"}
