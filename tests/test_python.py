"""The Python of the documentation, as it is written there, against a server on loopback."""

import zipfile

import pytest

import sedas_sync as ss

AOI = "POLYGON ((-1.3295 51.5881, -1.3013 51.5872, -1.3020 51.5621, -1.3300 51.5622, -1.3295 51.5881))"


@pytest.fixture
def account(monkeypatch):
    monkeypatch.setenv("SEDAS_USERNAME", "sandbox")
    monkeypatch.setenv("SEDAS_PASSWORD", "sandbox")


def test_a_mirror_in_four_lines(workspace, account, monkeypatch):
    workspace.write()
    monkeypatch.chdir(workspace.path)
    events = []
    manifest = ss.load_manifest("manifest.toml")
    with ss.Mirror(manifest) as mirror:
        plan = mirror.plan()
        result = mirror.apply(plan, on_event=events.append)
    assert result is events[-1]
    assert result.fetched == len(plan.actions)
    assert (result.failed, result.pending, result.exit_code) == (0, 0, 0)
    with ss.Mirror(manifest) as mirror:
        assert mirror.plan().changes == 0


def test_the_archive_by_itself(sandbox, account, tmp_path):
    sedas = ss.SedasArchive.from_env(url=sandbox.url)
    scenes = list(
        sedas.search(
            AOI, "2019-04-30T00:00:00Z", "2019-05-12T23:59:59Z", sensor="optical", filters={"maxCloudPercent": 50}
        )
    )
    assert len(scenes) >= 2
    assert all(scene.cloud_cover <= 50 for scene in scenes)
    known = sedas.product("S1B_IW_GRDH_1SDV_20190528T105030_20190528T105055_016443_01EF3E_5E4F")
    assert known.satellite == "Sentinel-1B"
    assert "Sentinel-2A" in [satellite.name for satellite in sedas.satellites()]
    assert "S2" in [group.name for group in sedas.source_groups()]
    order = sedas.order(scenes[0])
    (asked,) = sedas.order_status([order])
    assert asked.id == scenes[0].id

    done = list(ss.fetch(scenes, tmp_path / "out", archive=sedas, jobs=3))
    assert {one.scene.id for one in done} == {scene.id for scene in scenes}
    for one in done:
        assert zipfile.ZipFile(one.path).testzip() is None
        assert one.path.name == f"{one.scene.id}.zip"
    downloads = sandbox.downloads
    again = list(ss.fetch(scenes, tmp_path / "out", archive=sedas))
    assert {one.scene.id for one in again} == {scene.id for scene in scenes}
    assert sandbox.downloads == downloads
    sedas.close()


def test_errors_know_their_exit_codes(sandbox, tmp_path):
    with (
        pytest.raises(ss.AuthenticationError) as caught,
        ss.SedasArchive(url=sandbox.url, username="a", password="b") as archive,
    ):
        archive.satellites()
    assert caught.value.exit_code == 4
    with pytest.raises(ss.ManifestError):
        ss.load_manifest(tmp_path / "nowhere.toml")
    with (
        ss.SedasArchive(url=sandbox.url, username="sandbox", password="sandbox") as archive,
        pytest.raises(ss.ArchiveError),
    ):
        archive.product("NOWHERE")


def test_fetch_tells_of_failures_when_all_others_are_done(sandbox, tmp_path):
    from sedas_sync.sandbox import Faults, RowCatalogue, Rule, make_row
    from sedas_sync.sandbox.faults import fail

    sandbox._catalogue = RowCatalogue([make_row(name, "2019-05-02T11:00:00Z") for name in "AB"])
    sandbox.faults = Faults(rules=(Rule("download", fail(404), ids={"A"}),))
    got = []
    with ss.SedasArchive(url=sandbox.url, username="sandbox", password="sandbox") as archive:
        scenes = [archive.product(name) for name in "AB"]
        running = ss.fetch(scenes, tmp_path, archive=archive, on_event=got.append)
        assert next(running).scene.id == "B"
        with pytest.raises(ss.TransferError, match="1 of 2 scenes failed:\nA: "):
            next(running)
    assert [event.id for event in got if event.event == "failed"] == ["A"]
