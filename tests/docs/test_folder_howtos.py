"""The how-tos for folders and for several archives: each manifest runs on this machine."""

import re
from pathlib import Path

import pytest
from workspaces import Workspace

from sedas_sync.sandbox import RowCatalogue, make_row

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
OPTICAL = "S2A_MSIL1C_20190506T110621_N0207_R137_T30UXC_20190506T131402"
RADAR = "S1B_IW_GRDH_1SDV_20190505T062300_20190505T062325_016103_01E4B1_7A3C"
NAMED = "S1B_IW_GRDH_1SDV_20190528T105030_20190528T105055_016443_01EF3E_5E4F"


def manifests(page):
    return re.findall(r"^```toml\n(.*?)^```$", (HOW_TO / page).read_text(), re.MULTILINE | re.DOTALL)


FOLDER, FAIL_OVER = manifests("directory.md")
(SEVERAL,) = manifests("several-archives.md")


@pytest.fixture
def offered(sandbox):
    """A service with two optical and two radar scenes; the shelf gets one of the optical ones."""
    radar = {"satellite": "Sentinel-1B"}
    sandbox._catalogue = RowCatalogue(
        [
            make_row(OPTICAL, "2019-05-06T11:06:21Z"),
            make_row("NEW", "2019-05-07T11:06:21Z"),
            make_row(RADAR, "2019-05-05T06:23:00Z", **radar),
            make_row(NAMED, "2019-05-28T10:50:30Z", **radar),
        ]
    )
    return sandbox


@pytest.fixture
def shelf(workspace, offered, tmp_path_factory):
    """Another mirror, with one of the optical scenes."""
    place = Workspace(tmp_path_factory.mktemp("shelf"), offered.url, workspace.env)
    place.write(f'[dataset.d]\nproducts = ["{OPTICAL}"]\n')
    assert place.run("apply").code == 0
    return place.mirror


@pytest.mark.parametrize(
    ("manifest", "expected", "from_shelf"),
    [
        (FOLDER, {OPTICAL}, {OPTICAL}),
        (FAIL_OVER, {NAMED}, set()),
        (SEVERAL, {OPTICAL, "NEW", RADAR}, {OPTICAL}),
    ],
    ids=["folder", "fail-over", "several"],
)
def test_the_manifest_works(workspace, offered, shelf, manifest, expected, from_shelf):
    local = manifest.replace("/data/sentinel", str(shelf)).replace(
        'type = "sedas"', f'type = "sedas"\nurl = "{offered.url}"'
    )
    (workspace.path / "manifest.toml").write_text(local)
    before = offered.downloads
    for command in ("plan", "apply", "verify"):
        ran = workspace.run(command)
        assert ran.code == 0, ran.err
    assert workspace.files().keys() == {f"{name}.zip" for name in expected}
    assert offered.downloads - before == len(expected - from_shelf), "what is on the shelf is not downloaded"
    assert workspace.run("plan", "--exit-code").code == 0
