"""Output files of the command line: none replaces a scene, the manifest or what it names."""

import os

import pytest
from workspaces import FORTNIGHT

FIELD = '{"type": "Polygon", "coordinates": [[[-1.33, 51.56], [-1.30, 51.56], [-1.30, 51.59], [-1.33, 51.56]]]}'
OPTICAL = f'[dataset.optical]\n{FORTNIGHT}sensor = "optical"\n'
OUTPUTS = (
    ("apply", "--metrics"),
    ("apply", "--log-file"),
    ("status", "--log-file"),
    ("plan", "--out"),
    ("plan", "--summary"),
    ("plan", "--record"),
    ("report", "--out"),
    ("export", "--format", "csv", "--out"),
)


@pytest.fixture
def applied(workspace):
    """A mirror with scenes, an AOI file, and a folder with a product that is an archive too."""
    (workspace.path / "field.geojson").write_text(FIELD)
    (workspace.path / "other").mkdir()
    (workspace.path / "other" / "X.zip").write_bytes(b"PK")
    workspace.write(OPTICAL, aoi='file = "field.geojson"')
    assert workspace.run("apply", "--no-wait").code in (0, 3)
    assert workspace.run("lock").code == 0
    manifest = workspace.path / "manifest.toml"
    text = manifest.read_text().replace("[archive]", "[archives.main]") + 'archive = "main"\n'
    manifest.write_text(text.replace("[aoi.", '[archives.other]\ntype = "directory"\npath = "other"\n[aoi.', 1))
    return workspace


def _contents(folder):
    return {file.name: file.read_bytes() for file in folder.rglob("*") if file.suffix in (".zip", ".toml", ".geojson")}


@pytest.mark.parametrize("command", OUTPUTS)
def test_an_output_never_replaces_what_the_mirror_needs(applied, command):
    scene = next(applied.mirror.glob("*.zip"))
    os.link(scene, applied.path / "hard")
    (applied.path / "soft").symlink_to(scene)
    (applied.mirror / "lost.zip").write_bytes(b"PK")
    (applied.mirror / "A.SAFE").mkdir()
    (applied.mirror / "A.SAFE" / "preview.html").write_text("x")
    before = _contents(applied.path)
    for target, word in (
        (f"scenes/{scene.name}", "a scene of the mirror"),
        ("hard", "a scene of the mirror"),
        ("soft", "a scene of the mirror"),
        ("scenes/lost.zip", "a scene of the mirror"),
        ("scenes/A.SAFE/preview.html", "a scene of the mirror"),
        ("scenes/.sedas-sync/new", "state folder"),
        ("manifest.toml", "the manifest itself"),
        ("manifest.lock", "the manifest's lock file"),
        ("field.geojson", "the AOI file field.geojson"),
        ("other/X.zip", "a scene of the archive 'other'"),
    ):
        ran = applied.run(*command, target)
        assert ran.code == 2, (target, ran)
        assert f"{command[-1]} {target}: is" in ran.err
        assert word in ran.err
        assert _contents(applied.path) == before, target


def test_an_output_in_the_mirror_that_is_no_scene_is_written_again(applied):
    for _ in range(2):
        assert applied.run("report", "--out", "scenes/report.html").code == 0


@pytest.mark.parametrize(
    ("command", "options"),
    [
        (("plan", "--out", "x", "--summary", "./x"), "--out and --summary"),
        (("plan", "--log-file", "x", "--out", "x"), "--log-file and --out"),
        (("plan", "--replay", "x", "--out", "x"), "--replay and --out"),
        (("apply", "--metrics", "x", "--log-file", "x"), "--log-file and --metrics"),
    ],
)
def test_two_options_cannot_name_one_file(applied, command, options):
    ran = applied.run(*command)
    assert ran.code == 2
    assert f"{options} name the same file" in ran.err
    assert not (applied.path / "x").exists()


def test_a_device_can_be_named_twice(applied):
    assert applied.run("plan", "--summary", "/dev/null", "--log-file", "/dev/null").code == 0
