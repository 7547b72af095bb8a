"""What areas cost in searches, and that a cover loses no scene."""

import json
import random

import pytest
import shapely

import sedas_sync as ss
from sedas_sync.geometry import footprint
from sedas_sync.sandbox import Sandbox

INTERVAL = "start = 2019-05-01\nend = 2019-05-20\n"
REGION = (-2.2, 51.0, 0.8, 53.2)


@pytest.fixture(scope="module")
def account(module_environment):
    module_environment.setenv("SEDAS_USERNAME", "sandbox")
    module_environment.setenv("SEDAS_PASSWORD", "sandbox")


@pytest.fixture(scope="module")
def module_environment():
    with pytest.MonkeyPatch.context() as environment:
        yield environment


@pytest.fixture
def search(tmp_path, account):
    def run(text):
        """Return the scenes found for a manifest without its archive, and the number of searches."""
        with Sandbox() as sandbox:
            (tmp_path / "m.toml").write_text(f'version = 1\n[archive]\nurl = "{sandbox.url}"\n{text}')
            with ss.Mirror(ss.load_manifest(tmp_path / "m.toml")) as mirror:
                found = mirror.search()
            assert found.complete, found.failures
            return [want.scene for want in found.wants.values()], sandbox.searches

    return run


@pytest.fixture(scope="module")
def all_scenes(tmp_path_factory, account):
    """All scenes of the region in the interval."""
    file = tmp_path_factory.mktemp("all") / "m.toml"
    with Sandbox() as sandbox:
        file.write_text(
            f'version = 1\n[archive]\nurl = "{sandbox.url}"\n[aoi.all]\nbbox = {list(REGION)}\n'
            f'[dataset.all]\naoi = "all"\n{INTERVAL}'
        )
        with ss.Mirror(ss.load_manifest(file)) as mirror:
            found = mirror.search()
    return {want.scene.id: footprint(want.scene.footprint) for want in found.wants.values()}


def fields(number, width, height, seed=1):
    rng = random.Random(seed)
    corners = [(rng.uniform(0, width) - 1.5, rng.uniform(0, height) + 51.5) for _ in range(number)]
    return [shapely.box(x, y, x + 0.003, y + 0.002) for x, y in corners]


def tables(areas):
    return "".join(f'[aoi.f{n}]\nwkt = "{area.wkt}"\n' for n, area in enumerate(areas))


def names(number):
    return json.dumps([f"f{n}" for n in range(number)])


def test_forty_fields_of_a_parish_cost_as_much_as_one(search, all_scenes):
    areas = fields(40, 0.08, 0.05)
    one, cost = search(f'{tables(areas[:1])}[dataset.d]\naoi = "f0"\n{INTERVAL}')
    scenes, cost_of_all = search(f"{tables(areas)}[dataset.d]\naoi = {names(40)}\n{INTERVAL}")
    assert cost_of_all == cost
    union = shapely.union_all(areas)
    assert {scene.id for scene in scenes} == {key for key, shape in all_scenes.items() if shape.intersects(union)}
    assert {scene.id for scene in scenes} >= {scene.id for scene in one} != set()


def test_scattered_aois_lose_no_scene(search, all_scenes):
    areas = fields(30, 2, 1.5, seed=3)
    scenes, _ = search(f"{tables(areas)}[dataset.d]\naoi = {names(30)}\n{INTERVAL}")
    union = shapely.union_all(areas)
    assert {scene.id for scene in scenes} == {key for key, shape in all_scenes.items() if shape.intersects(union)}


def test_tiles_without_an_aoi_are_searched(search, all_scenes):
    scenes, _ = search(f'[dataset.d]\ntile = ["30UXC", "T30UYC"]\n{INTERVAL}')
    expected = {key for key in all_scenes if "_T30UXC_" in key or "_T30UYC_" in key}
    assert {scene.id for scene in scenes} == expected
    assert {key.split("_")[5] for key in expected} == {"T30UXC", "T30UYC"}


def test_coverage_of_a_tile_without_an_aoi(search):
    """Some scenes have only a part of their tile, at the edge of the swath."""
    every, _ = search(f'[dataset.d]\ntile = "30UXC"\n{INTERVAL}')
    most, _ = search(f'[dataset.d]\ntile = "30UXC"\nmin_aoi_coverage = 60\n{INTERVAL}')
    tile = shapely.box(*shapely.union_all([footprint(scene.footprint) for scene in every]).bounds)
    shares = {scene.id: footprint(scene.footprint).area / tile.area for scene in every}
    kept = {scene.id for scene in most}
    assert {key for key, share in shares.items() if share > 0.75} <= kept
    assert not {key for key, share in shares.items() if share < 0.5} & kept
