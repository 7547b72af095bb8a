"""Which of several products of one acquisition match."""

from datetime import UTC, datetime

import pytest

from sedas_sync.manifest import Dataset
from sedas_sync.model.scene import Scene
from sedas_sync.planning.supersede import superseded

NEWEST = Dataset(name="d", reprocessed="newest")
S1 = "S1A_IW_GRDH_1SDV_20240607T000653_20240607T000718_054210_0697DA_{}"
S2 = "S2A_MSIL1C_20190506T110621_N{}_R137_T30UXC_{}"
S3 = "S3A_{}_20250101T000122_{}_0179_101_287_{}_PS2_O_{}"
S5P = "S5P_{}_L2__NO2____{}_{}_08035_{}_{}_{}"
S6 = "S6A_P4_1B_LR______{}_20250216T194636_{}_3373_157_136_068_EUM__OPE_{}_{}.SEN6"
WEST, EAST = "POLYGON ((0 0, 1 0, 1 1, 0 1, 0 0))", "POLYGON ((0.5 0, 1.5 0, 1.5 1, 0.5 1, 0.5 0))"


def scenes(names, **changes):
    return [Scene(id=name, **changes) for name in names]


def left(dataset, found):
    refused = superseded(dataset, found)
    return [scene.id for scene in found if scene.id not in refused]


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (S2.format("0207", "20190506T131402"), S2.format("0500", "20230101T000000")),
        (S2.format("0500", "20230101T000000"), S2.format("0500", "20230301T000000")),
        (S2.format("9999", "20250101T000000"), S2.format("0207", "20190506T131402")),
        (S2.format("9999", "20240101T000000"), S2.format("9999", "20250101T000000")),
        (S3.format("OL_1_EFR___", "20250101T000422_20250101T020000", 2340, "NR_004"),
         S3.format("OL_1_EFR___", "20250101T000422_20250102T020000", 2340, "NT_004")),
        (S3.format("OL_1_EFR___", "20250101T000422_20250102T020000", 2340, "NT_003"),
         S3.format("OL_1_EFR___", "20250101T000422_20260102T020000", 2340, "NT_004")),
        (S5P.format("NRTI", "20190502T104300", "20190502T104800", "01", "010302", "20190502T113144"),
         S5P.format("OFFL", "20190502T104300", "20190502T122430", "01", "010302", "20190508T123144")),
        (S5P.format("OFFL", "20190502T104300", "20190502T122430", "01", "010302", "20190508T123144"),
         S5P.format("RPRO", "20190502T104312", "20190502T122430", "03", "020400", "20221108T123144")),
        (S6.format("20250216T185023", "20250216T200000", "NR", "F09"),
         S6.format("20250216T185020", "20250311T190839", "NT", "F09")),
        (S6.format("20250216T185023", "20250311T190839", "NT", "F09"),
         S6.format("20250216T185023", "20260311T190839", "NT", "G01")),
    ],
)  # fmt: skip
def test_the_newest_processing_supersedes(older, newer):
    for order in ((older, newer), (newer, older)):
        found = scenes(order)
        assert left(NEWEST, found) == [newer]
        assert superseded(NEWEST, found)[older].by == (newer,)
        assert left(Dataset(name="d"), found) == list(order)


def test_time_of_processing_in_the_catalogue_decides_for_sentinel_1():
    old = Scene(id=S1.format("AAAA"), processed=datetime(2024, 6, 7, tzinfo=UTC))
    new = Scene(id=S1.format("0000"), processed=datetime(2024, 9, 7, tzinfo=UTC))
    assert left(NEWEST, [old, new]) == [new.id]
    unknown = scenes([S1.format("AAAA"), S1.format("0000")])
    assert left(NEWEST, unknown) == [scene.id for scene in unknown]


@pytest.mark.parametrize(
    "names",
    [
        # Segments of one orbit, another type, another frame, another orbit.
        (S5P.format("NRTI", "20190502T104300", "20190502T104800", "01", "010302", "20190502T113144"),
         S5P.format("NRTI", "20190502T104800", "20190502T105300", "01", "010302", "20190502T114144")),
        (S3.format("OL_1_EFR___", "20250101T000422_20250101T020000", 2340, "NT_004"),
         S3.format("OL_1_ERR___", "20250101T000422_20250102T020000", 2340, "NT_004")),
        (S3.format("OL_1_EFR___", "20250101T000422_20250101T020000", 2340, "NT_004"),
         S3.format("OL_1_EFR___", "20250101T000422_20250102T020000", 2520, "NT_004")),
    ],
)  # fmt: skip
def test_other_acquisitions_stay(names):
    assert left(NEWEST, scenes(names)) == list(names)


def test_parts_of_one_tile_from_two_stations_stay():
    """They have the same acquisition, tile and baseline, and show different ground."""
    first, second = S2.format("0500", "20230101T000000"), S2.format("0500", "20230101T003000")
    parts = [Scene(id=first, footprint=WEST), Scene(id=second, footprint=EAST)]
    assert left(NEWEST, parts) == [first, second]
    whole = [Scene(id=first, footprint=WEST), Scene(id=second, footprint=WEST)]
    assert left(NEWEST, whole) == [second]


def test_a_cog_gives_way_to_its_safe():
    safe, cog, alone = S1.format("6EE4"), S1.format("AB12_COG"), S1.replace("0697DA", "0697DB").format("AAAA_COG")
    found = scenes([cog, safe, alone])
    assert left(Dataset(name="d"), found) == [safe, alone]
    assert left(Dataset(name="d", product_type="GRD"), found) == [safe, alone]
    assert superseded(Dataset(name="d"), found)[cog].by == (safe,)
    assert left(Dataset(name="d", product_type="GRD-COG"), found) == [cog, safe, alone]
