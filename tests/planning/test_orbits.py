"""Which orbit files the scenes of a dataset need."""

from datetime import UTC, datetime, timedelta

import pytest

from sedas_sync.model.scene import Scene
from sedas_sync.planning.orbits import PRECISE, RESTITUTED, choose, is_auxiliary, missing

START = datetime(2024, 6, 7, 0, 6, 53, tzinfo=UTC)
HOUR = timedelta(hours=1)
TWO_ORBITS = timedelta(seconds=11_837)


def stamp(when):
    return f"{when:%Y%m%dT%H%M%S}"


def grd(start=START, satellite="A"):
    stop = start + timedelta(seconds=25)
    return Scene(
        id=f"S1{satellite}_IW_GRDH_1SDV_{stamp(start)}_{stamp(stop)}_054210_0697DA_6EE4",
        start=start,
        stop=stop,
        satellite=f"Sentinel-1{satellite}",
        product_type="IW_GRDH_1S",
    )


def orbit(start, length, kind=PRECISE, satellite="A", made=timedelta(days=20)):
    stop = start + length
    name = f"S1{satellite}_OPER_{kind}_OPOD_{stamp(start + made)}_V{stamp(start)}_{stamp(stop)}.EOF"
    return Scene(id=name, start=start, stop=stop, satellite=f"Sentinel-1{satellite}", product_type=kind)


def precise(day, **changes):
    """A precise file begins an hour before the day and ends an hour after it."""
    return orbit(day.replace(hour=0, minute=0, second=0) - HOUR, 26 * HOUR, **changes)


def restituted(before, **changes):
    return orbit(START - before, TWO_ORBITS, RESTITUTED, made=HOUR, **changes)


@pytest.mark.parametrize(
    ("wish", "files", "chosen"),
    [
        ("precise", [precise(START), restituted(2 * HOUR)], 0),
        ("restituted", [precise(START), restituted(2 * HOUR)], 1),
        ("precise", [precise(START - 3 * 24 * HOUR), restituted(2 * HOUR)], 1),
        ("precise", [precise(START, satellite="C"), restituted(2 * HOUR, satellite="C")], None),
        # A file that covers only a part of the scene, or no minute before and after it, does not do.
        ("restituted", [restituted(timedelta(seconds=30))], None),
        ("restituted", [restituted(TWO_ORBITS - timedelta(seconds=60))], None),
        ("restituted", [restituted(timedelta(seconds=60))], 0),
        # One that begins an orbit before the scene is better than a later one.
        ("restituted", [restituted(HOUR), restituted(timedelta(seconds=6000))], 1),
        # Of two for the same time the later one counts.
        ("precise", [precise(START), precise(START, made=timedelta(days=900))], 1),
        # Over midnight, only the day before begins an orbit earlier.
        ("precise", [precise(START), precise(START - 24 * HOUR)], 1),
    ],
)
def test_file_that_covers_a_scene(wish, files, chosen):
    (found,) = choose(wish, [grd()], files).values()
    assert found[:1] == (() if chosen is None else (files[chosen],))


def test_only_scenes_of_sentinel_1_need_one():
    others = [
        Scene(id="S2A_MSIL1C_20190506T110621_N0207_R137_T30UXC_20190506T131402", start=START, satellite="Sentinel-2A"),
        Scene(id="S1A_AUX_INS_V20140406T010000_G20140409T142540", start=START, satellite="Sentinel-1A"),
        Scene(id=grd().id, start=START, planned=True),
        Scene(id="NovaSAR_01_16359_slc_201025_231828_HH", start=START),
        precise(START),
    ]
    assert choose("precise", others, [precise(START)]) == {}
    assert missing("precise", PRECISE, others, []) == ()
    assert choose("precise", [Scene(id="from-stac", start=START, satellite="sentinel-1a")], []) == {"from-stac": ()}


def test_archives_are_asked_for_what_is_missing():
    month = 30 * 24 * HOUR
    scenes = [grd(), grd(START + HOUR), grd(START + month), grd(START, satellite="C")]
    asked = missing("precise", PRECISE, scenes, [])
    assert [(one.satellite, one.product_type, one.aoi) for one in asked] == [
        ("Sentinel-1A", PRECISE, None), ("Sentinel-1A", PRECISE, None), ("Sentinel-1C", PRECISE, None),
    ]  # fmt: skip
    for query, file in zip(asked, (precise(START), precise(START + month), precise(START)), strict=True):
        assert query.start <= file.start <= query.stop
    known = [precise(START), precise(START - 24 * HOUR)]
    later = missing("precise", RESTITUTED, scenes, known)
    assert [(one.satellite, one.product_type) for one in later] == [
        ("Sentinel-1A", RESTITUTED), ("Sentinel-1C", RESTITUTED),
    ]  # fmt: skip
    assert all(one.stop - one.start < 5 * HOUR for one in later)


def test_auxiliary_files():
    assert is_auxiliary(Scene(id="S1A_OPER_AUX_GNSSRD_POD__20171211T085403_V20140406T011619_20140406T235939"))
    assert is_auxiliary(Scene(id="S1__AUX_SCS_V20140406T133000_G20240620T081444"))
    assert is_auxiliary(Scene(id="x", product_type="AUX_INS"))
    assert not is_auxiliary(grd())
