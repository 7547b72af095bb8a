"""Mirrors of providers that eodag knows: plan, apply, kill, resume, orders, lock, verify."""

import time

import pytest

pytest.importorskip("eodag", reason="needs the extra eodag")

from eodag_providers import API_KEY, GEODES_AOI, PASSWORD, SECRET_KEY, EarthSearch, Geodes, Wekeo

HARWELL = "bbox = [-1.4, 51.5, -1.2, 51.6]"


def write(
    workspace, provider, product_type, *, aoi=GEODES_AOI, dates=("2025-04-01", "2025-04-30"), archive="", more=""
):
    (workspace.path / "manifest.toml").write_text(
        f'version = 1\n[archive]\ntype = "eodag"\nprovider = "{provider}"\nproduct_type = "{product_type}"\n{archive}\n'
        f"[transfer]\nretries = 1\nsegments = 1\n{more}\n[aoi.here]\n{aoi}\n"
        f'[dataset.d]\naoi = "here"\nstart = {dates[0]}\nend = {dates[1]}\n'
    )


def secrets_in(workspace, *secrets):
    """Return the files of the mirror and of its log that have one of these secrets."""
    found = [file for file in workspace.path.rglob("*") if file.is_file() and ".config" not in file.parts]
    return [file for file in found if any(secret.encode() in file.read_bytes() for secret in secrets)]


def test_a_mirror_of_geodes(workspace):
    with Geodes() as server:
        workspace.env |= server.environment
        write(workspace, "geodes", "S2_MSI_L1C")
        planned = workspace.run("plan", "--json", "--log-file", "debug.log")
        assert planned.json["summary"]["fetch"] == 3, planned.err
        applied = workspace.run("apply", "--json", "-vv", "--log-file", "debug.log")
        assert applied.summary["fetched"] == 3, applied.err
        assert workspace.files() == {f"{name}.zip": data for name, data in server.zips.items()}
        assert workspace.run("plan", "--exit-code").code == 0
        assert workspace.run("verify").code == 0
        assert workspace.run("lock").code == 0
        gone = next(workspace.mirror.glob("*.zip"))
        gone.unlink()
        assert workspace.run("apply", "--locked", "--json").summary["fetched"] == 1
        assert workspace.files() == {f"{name}.zip": data for name, data in server.zips.items()}
        assert not secrets_in(workspace, API_KEY)
        assert API_KEY not in planned.out + planned.err + applied.out + applied.err


def test_a_killed_run_resumes_a_scene(workspace):
    with Geodes(days=[2], size=4_000_000) as server:
        workspace.env |= server.environment
        write(workspace, "geodes", "S2_MSI_L1C", more='max_rate = "1MB/s"')
        process = workspace.start("apply")
        partial = workspace.mirror / ".sedas-sync" / "partial"
        while not any(file.stat().st_size > 500_000 for file in partial.glob("*.part")):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.kill()
        process.communicate()
        write(workspace, "geodes", "S2_MSI_L1C")
        last = workspace.run("apply", "--json")
        assert last.summary["fetched"] == 1, last.err
        *_, resumed = [one.headers["Range"] for one in server.asked if "Range" in one.headers]
        assert int(resumed.removeprefix("bytes=").rstrip("-")) > 500_000
        assert workspace.files() == {f"{name}.zip": data for name, data in server.zips.items()}


def test_scenes_are_ordered_and_downloaded_by_a_later_run(workspace, tmp_path):
    with Wekeo() as server:
        workspace.env |= server.configuration(tmp_path)
        write(workspace, "wekeo_main", "S2_MSI_L1C", aoi=HARWELL, dates=("2019-05-01", "2019-05-31"))
        first = workspace.run("apply", "--no-wait", "--json", "--log-file", "debug.log")
        assert (first.summary["ordered"], first.summary["fetched"]) == (2, 0), first.out + first.err
        assert len(server.orders) == 2
        while (last := workspace.run("apply", "--no-wait", "--json")).summary["pending"]:
            assert last.summary["failed"] == 0, last.out
        assert len(server.orders) == 2
        assert workspace.files() == {f"{name}.zip": data for name, data in server.zips.items()}
        assert workspace.run("verify").code == 0
        assert not secrets_in(workspace, PASSWORD, API_KEY)


def test_an_order_that_fails_has_the_text_of_the_provider(workspace, tmp_path):
    with Wekeo() as server:
        server.fails = True
        workspace.env |= server.configuration(tmp_path)
        write(workspace, "wekeo_main", "S2_MSI_L1C", aoi=HARWELL, dates=("2019-05-04", "2019-05-04"))
        workspace.run("apply", "--no-wait", "--json")
        again = workspace.run("apply", "--no-wait", "--json")
        assert "Provider wekeo_main returned: as the provider says" in again.out
        assert len(server.orders) == 2


def test_a_mirror_of_objects_in_a_bucket(workspace):
    with EarthSearch() as server:
        workspace.env |= server.environment
        write(
            workspace,
            "earth_search",
            "S2_MSI_L1C",
            aoi="bbox = [-22.0, 62.0, -20.0, 64.0]",
            dates=("2024-02-01", "2024-02-28"),
            archive='assets = ["B02", "B04"]',
        )
        applied = workspace.run("apply", "--json", "-vv", "--log-file", "debug.log")
        assert applied.summary["fetched"] == 1, applied.out + applied.err
        (folder,) = [file for file in workspace.mirror.iterdir() if file.name.startswith("S2B")]
        assert {file.name: file.read_bytes() for file in folder.iterdir()} == {
            name: server.objects[name] for name in ("B02.jp2", "B04.jp2")
        }
        assert workspace.run("lock").code == 0
        (folder / "B02.jp2").unlink()
        again = workspace.run("apply", "--locked", "--json")
        assert again.code == 0, again.out + again.err
        assert (folder / "B02.jp2").exists()
        assert workspace.run("verify").code == 0
        assert not secrets_in(workspace, SECRET_KEY)


def test_an_unknown_provider_is_a_mistake(workspace):
    write(workspace, "geodess", "S2_MSI_L1C")
    ran = workspace.run("plan")
    assert ran.code == 2
    assert "eodag has no provider 'geodess'; did you mean geodes?" in ran.err


def test_keys_and_filters_are_checked_without_eodag(workspace):
    write(workspace, "geodes", "S2_MSI_L1C", archive="requester_pay = true")
    with (workspace.path / "manifest.toml").open("a") as file:
        file.write("filters = { limit = 3 }\n")
    ran = workspace.run("validate")
    assert ran.code == 2
    assert "did you mean requester_pays?" in ran.err
    assert "limit" in ran.err


def test_a_bucket_that_takes_no_signed_links_is_read_through_the_session(workspace):
    with EarthSearch() as server:
        workspace.env |= server.environment
        # As eodag's configuration of creodias_s3 and cop_dataspace_s3 has it.
        (workspace.path / "eodag.yml").write_text("earth_search:\n  auth:\n    support_presign_url: false\n")
        workspace.env["EODAG_CFG_FILE"] = str(workspace.path / "eodag.yml")
        aoi, dates = "bbox = [-22.0, 62.0, -20.0, 64.0]", ("2024-02-01", "2024-02-28")
        write(workspace, "earth_search", "S2_MSI_L1C", aoi=aoi, dates=dates, archive='assets = ["B02", "B04"]')
        applied = workspace.run("apply", "--json", "--log-file", "debug.log")
        assert applied.summary["fetched"] == 1, applied.out + applied.err
        (folder,) = [file for file in workspace.mirror.iterdir() if file.name.startswith("S2B")]
        assert {file.name: file.read_bytes() for file in folder.iterdir()} == {
            name: server.objects[name] for name in ("B02.jp2", "B04.jp2")
        }
        assert all("X-Amz-Signature" not in one.path for one in server.asked)
        assert all(one.headers["Authorization"].startswith("AWS4") for one in server.asked if "tiles" in one.path)
        assert not secrets_in(workspace, SECRET_KEY)
