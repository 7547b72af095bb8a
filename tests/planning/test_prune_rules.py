"""Which local scenes a prune removes, judged by the metadata that is stored with their files."""

from datetime import UTC, datetime

import pytest
from manifests import read_area

from sedas_sync.archives.registry import TYPES
from sedas_sync.manifest import parse
from sedas_sync.model.local import LocalScene, ProofLevel
from sedas_sync.model.metadata import metadata_of
from sedas_sync.model.scene import Scene
from sedas_sync.output.reasons import reason_text
from sedas_sync.planning.prune import judge

NOW = datetime(2019, 6, 1, tzinfo=UTC)
INSIDE = "POLYGON((-2 51,-1 51,-1 52,-2 52,-2 51))"


def judged(rules, **facts):
    text = (
        "version = 1\n[aoi.box]\nbbox = [-1.6, 51.4, -1.4, 51.6]\n[dataset.d]\naoi = 'box'\n"
        f"start = 2019-05-01\nend = 2019-05-31\n{rules}"
    )
    manifest = parse(text, source="m.toml", read_area=read_area, types=TYPES, now=NOW)
    scene = Scene(**{"id": "S", "start": datetime(2019, 5, 6, tzinfo=UTC), "footprint": INSIDE, **facts})
    held = LocalScene(
        id="S", path="S.zip", size=1, mtime_ns=1, sha256="0" * 64, level=ProofLevel.CRC, archive="a",
        facts=metadata_of(scene),
    )  # fmt: skip
    return judge(manifest, {}, {}, [held], NOW)


@pytest.mark.parametrize(
    ("rules", "fact", "excluded"),
    [
        ('instrument = "C-SAR"', "instrument", "MSI"),
        ('satellite = "Sentinel-2A"', "satellite", "Sentinel-2B"),
        ('product_type = "L1C"', "product_type", "L2A"),
        ('orbit_direction = "ascending"', "orbit_direction", "DESCENDING"),
        ("relative_orbit = 94", "relative_orbit", 137),
        ('tile = "30UXC"', "tile", "30UWC"),
        ('polarisation = "VV"', "polarisation", "HH"),
        ("min_aoi_coverage = 50", "footprint", "POLYGON((-9 51,-8 51,-8 52,-9 52,-9 51))"),
        ("", "start", datetime(2019, 4, 1, tzinfo=UTC)),
    ],
)
def test_a_file_is_removed_by_a_fact_and_kept_if_the_fact_is_unknown(rules, fact, excluded):
    decision = judged(rules, **{fact: excluded})
    assert [action.id for action in decision.prune] == ["S"]
    decision = judged(rules, **{fact: None})
    assert (decision.prune, decision.keep) == ([], [])
    (warning,) = decision.doubts.values()
    assert warning.startswith("S.zip: ")


def test_a_file_that_another_rule_excludes_is_removed_although_a_fact_is_unknown():
    decision = judged('instrument = "MSI"\nmax_cloud_cover = 10', cloud_cover=80.0)
    assert [reason_text(action.reason) for action in decision.prune] == [
        "no longer matches: d: cloud cover is 80 %, at most 10 % wanted"
    ]
