"""`~` in paths: of the manifest, and of options, which no shell replaces in `--out=~/x`."""

from workspaces import FORTNIGHT

SENSOR = f'[dataset.optical]\n{FORTNIGHT}sensor = "optical"\n'
FIELD = '{"type": "Polygon", "coordinates": [[[-1.33, 51.56], [-1.30, 51.56], [-1.30, 51.59], [-1.33, 51.56]]]}'


def test_the_home_folder_in_a_manifest(workspace):
    (workspace.path / "below").mkdir()
    (workspace.path / "field.geojson").write_text(FIELD)
    workspace.write(SENSOR, mirror='path = "~/archive/scenes"', aoi='file = "~/field.geojson"', name="below/m.toml")
    ran = workspace.run("apply", "--no-wait", "m.toml", cwd="below")
    assert ran.code in (0, 3), ran.err
    assert list((workspace.path / "archive" / "scenes").glob("*.zip"))
    assert not (workspace.path / "below" / "~").exists()
    copy = f'version = 1\n[archive]\ntype = "directory"\npath = "~/archive"\n[mirror]\npath = "~/copy"\n{SENSOR}'
    copy += "[aoi.harwell]\nfile = '~/field.geojson'\n"
    (workspace.path / "below" / "copy.toml").write_text(copy)
    assert workspace.run("apply", "copy.toml", cwd="below").code == 0
    assert list((workspace.path / "copy").glob("*.zip"))


def test_the_home_folder_in_options(workspace):
    workspace.write(SENSOR)
    (workspace.path / "below").mkdir()
    for option in ("--out=~/plan.json", "--summary=~/plan.md", "--log-file=~/log"):
        assert workspace.run("plan", "~/manifest.toml", option, cwd="below").code == 0
    assert {"plan.json", "plan.md", "log"} <= {file.name for file in workspace.path.iterdir()}
    assert not list((workspace.path / "below").iterdir())


def test_the_home_folder_of_a_user_that_does_not_exist(workspace):
    for values in ({"mirror": 'path = "~nobody-here/x"'}, {"aoi": 'file = "~nobody-here/a.geojson"'}):
        workspace.write(SENSOR, **values)
        ran = workspace.run("plan")
        assert ran.code == 2
        assert "there is no user 'nobody-here'" in ran.err
    workspace.write(SENSOR)
    ran = workspace.run("plan", "--out=~nobody-here/plan.json")
    assert ran.code == 2
    assert "there is no user 'nobody-here'" in ran.err
