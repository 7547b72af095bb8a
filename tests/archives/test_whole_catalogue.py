"""Manifests find the whole catalogue of a server that cuts answers, or report that they did not."""

import random
from datetime import UTC, datetime, timedelta

import pytest
import shapely
from effort import effort
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import sedas_sync as ss
from sedas_sync.sandbox import Faults, RowCatalogue, Sandbox, make_row

DAYS = 3650
SIDE = 0.6


@pytest.fixture
def account(monkeypatch):
    monkeypatch.setenv("SEDAS_USERNAME", "sandbox")
    monkeypatch.setenv("SEDAS_PASSWORD", "sandbox")


def rows(count, seed):
    """Return scenes over Great Britain in ten years, many of them in the same second."""
    chance = random.Random(seed)
    made = []
    while len(made) < count:
        start = datetime(2010, 1, 1, tzinfo=UTC) + timedelta(seconds=chance.randrange(DAYS * 86400))
        for _ in range(chance.choice((1, 1, 1, 2, 12))):
            x, y = chance.uniform(-8, 2), chance.uniform(49, 59)
            box = f"POLYGON(({x} {y},{x + SIDE} {y},{x + SIDE} {y + SIDE},{x} {y + SIDE},{x} {y}))"
            satellite = chance.choice(("Sentinel-2A", "Sentinel-2B", "Sentinel-1A"))
            clouds = None if satellite == "Sentinel-1A" else round(chance.uniform(0, 100), 1)
            made.append(
                make_row(
                    f"SCENE-{len(made):05}",
                    f"{start:%Y-%m-%dT%H:%M:%SZ}",
                    footprint=box,
                    satellite=satellite,
                    cloudCoveragePercent=clouds,
                )
            )
    return made[:count]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cap", "rule"),
    [
        *[(50, "missing"), (401, "arbitrary"), (None, "newest")],
        *effort([], [(20, "newest"), (50, "arbitrary"), (256, "newest")]),
    ],
)
def test_five_thousand_scenes_behind_any_cap(cap, rule, tmp_path, account):
    offered = rows(5000, seed=7)
    with Sandbox(catalogue=RowCatalogue(offered), faults=Faults(cap=cap, cap_rule=rule)) as sandbox:
        (tmp_path / "m.toml").write_text(
            f'version = 1\n[archive]\nurl = "{sandbox.url}"\n[aoi.gb]\nbbox = [-9, 48, 4, 61]\n'
            '[dataset.all]\naoi = "gb"\nstart = 2010-01-01\nend = 2019-12-31\n'
            '[dataset.clear]\naoi = "gb"\nstart = 2012-06-01\nend = 2012-12-31\n'
            'sensor = "optical"\nmax_cloud_cover = 20\n'
        )
        with ss.Mirror(ss.load_manifest(tmp_path / "m.toml")) as mirror:
            found = mirror.search()
        searches = sandbox.searches
    clear = {
        row["supplierId"]
        for row in offered
        if row["sensorType"] == "Optical"
        and row["cloudCoveragePercent"] <= 20
        and "2012-06-01" <= row["start"] < "2013-01-01"
    }
    assert found.complete, found.failures
    assert {want.scene.id for want in found.wants.values()} == {row["supplierId"] for row in offered}
    assert {want.scene.id for want in found.wants.values() if "clear" in want.datasets} == clear
    print(f"cap {cap} ({rule}): {searches} searches, {searches / (5000 / (cap or 5000)):.1f} n/c")
    assert searches <= 8 * 5000 / (cap or 5000) + 12


def ring(points):
    """Return a ring with unwrapped longitudes as catalogues write it, within ±180."""
    wrapped = [((x + 180) % 360 - 180, y) for x, y in points]
    return "(" + ", ".join(f"{x:.6f} {y:.6f}" for x, y in [*wrapped, wrapped[0]]) + ")"


# Around Fiji, on both sides of the antimeridian: longitudes run on past 180 here.
degrees = st.integers(0, 160).map(lambda tenths: tenths / 10)
boxes = st.tuples(degrees, degrees, st.integers(3, 40), st.integers(3, 40)).map(
    lambda b: shapely.box(172.05 + b[0], -22.05 + b[1] / 2, 172.05 + b[0] + b[2] / 10, -22.05 + b[1] / 2 + b[3] / 20)
)
shapes = st.lists(boxes, min_size=1, max_size=3).map(shapely.union_all)
holed = st.tuples(shapes, boxes).map(lambda pair: pair[0].difference(pair[1].buffer(-0.07)))
aois = (shapes | holed).filter(lambda shape: shape.area > 0.01)


def wkt(shape):
    """Return the WKT of an unwrapped shape, with every ring within ±180."""
    parts = shape.geoms if hasattr(shape, "geoms") else [shape]
    texts = [
        "(" + ", ".join(ring(list(r.coords)[:-1]) for r in (part.exterior, *part.interiors)) + ")" for part in parts
    ]
    return f"MULTIPOLYGON ({', '.join(texts)})"


@pytest.fixture(scope="module")
def fiji():
    """A server with scenes all over the region, and their unwrapped footprints."""
    chance = random.Random(11)
    footprints, offered = {}, []
    for number in range(150):
        x, y = 172 + chance.uniform(0, 16), -22 + chance.uniform(0, 8)
        shape = shapely.box(x, y, x + chance.uniform(0.2, 2), y + chance.uniform(0.2, 2))
        name = f"SCENE-{number:03}"
        footprints[name] = shape
        start = datetime(2019, 5, 1, tzinfo=UTC) + timedelta(hours=chance.randrange(600))
        text = "POLYGON(" + ring(list(shape.exterior.coords)[:-1]) + ")"
        offered.append(make_row(name, f"{start:%Y-%m-%dT%H:%M:%SZ}", footprint=text))
    with Sandbox(catalogue=Everywhere(offered), faults=Faults(cap=40)) as sandbox:
        yield sandbox, footprints


class Everywhere(RowCatalogue):
    """A server that knows nothing of places: every row in time is in its answer, whatever the AOI.

    The sandbox's own reading of footprints over the antimeridian must not stand in for the client's.
    """

    def find(self, search, now):
        from dataclasses import replace

        world = shapely.box(-180, -90, 180, 90)
        return super().find(replace(search, aoi=world, min_coverage=None), now)


@pytest.mark.slow
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(aoi=aois, least=st.sampled_from([None, 25, 80]))
def test_selection_over_the_antimeridian_agrees_with_brute_force(aoi, least, fiji, tmp_path_factory):
    sandbox, footprints = fiji
    # A box that is much taller than wide and clockwise is read as one of the world, because both signs say so.
    bounds = [part.bounds for part in shapely.get_parts(aoi)]
    assume(not any(west < 180 < east and north - south > 2 * (east - west) for west, south, east, north in bounds))
    folder = tmp_path_factory.mktemp("m")
    rule = "" if least is None else f"min_aoi_coverage = {least}\n"
    (folder / "m.toml").write_text(
        f'version = 1\n[archive]\nurl = "{sandbox.url}"\n[aoi.a]\nwkt = "{wkt(aoi)}"\n'
        f'[dataset.d]\naoi = "a"\nstart = 2019-05-01\nend = 2019-05-31\n{rule}'
    )
    try:
        manifest = ss.load_manifest(folder / "m.toml")
    except ss.ManifestError as error:
        # A narrow box across the antimeridian, or one of the world: the user has to say which.
        assume("two readings" not in str(error))
        raise
    with (
        ss.SedasArchive(url=sandbox.url, username="sandbox", password="sandbox") as archive,
        ss.Mirror(manifest, archives={"archive": archive}) as mirror,
    ):
        found = mirror.search()
    assert found.complete
    chosen = {want.scene.id for want in found.wants.values()}
    for name, footprint in footprints.items():
        shared = footprint.intersection(aoi).area / aoi.area * 100
        if least is None:
            if abs(footprint.distance(aoi)) > 1e-5 or shared > 1e-6:
                assert (name in chosen) == footprint.intersects(aoi), name
        elif abs(shared - least) > 3:  # so near the equator degrees are within 3 % of equal area
            assert (name in chosen) == (shared >= least), (name, shared)
