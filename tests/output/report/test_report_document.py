"""What a report says: states, numbers, and footprints on one sheet of longitudes."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from report_values import FIELDS, MANIFEST, RUN, Remembered, box, embedded, fields_manifest, read, realistic
from shapely import Polygon
from shapely.geometry import box as shape

from sedas_sync import geometry
from sedas_sync.output.report import Memory, document
from sedas_sync.output.report.page import page, swatch
from sedas_sync.output.report.shapes import outlines, sheet
from sedas_sync.output.report.surroundings import land, place_names
from sedas_sync.planning.lock import Lock, LockedScene, head_of


@pytest.mark.parametrize("wkt", ["POINT (1 2)", "LINESTRING (1 2, 3 4)", "LINESTRING (170 0, -170 10)"])
@pytest.mark.parametrize("west", [-180.0, 20.5])
def test_points_and_lines_are_drawn_thin(wkt, west):
    drawn = outlines(geometry.footprint(wkt), west)
    shapes = [Polygon(list(zip(rings[0][::2], rings[0][1::2], strict=True))) for rings in drawn]
    assert 0 < sum(one.area for one in shapes) < 0.1
    assert all(one.is_valid for one in shapes)


def test_every_scene_has_one_state_and_the_numbers_add_up(remembered):
    remembered.add("HELD", "optical", cloud=20.04)
    remembered.add("BOTH", "optical", "radar")
    remembered.add("LTA", "optical", state="pending")
    remembered.add("REFUSED", "radar", state="refused")
    remembered.add("BROKEN", "radar", state="failed")
    remembered.add("GONE", "radar", state="missing")
    remembered.add("OLD")
    told = remembered.document()
    states = {scene["id"]: scene["state"] for scene in told["scenes"]}
    assert states == {
        "HELD": "held",
        "BOTH": "held",
        "LTA": "pending",
        "REFUSED": "failed",
        "BROKEN": "failed",
        "GONE": "missing",
        "OLD": "held",
    }
    number = told["summary"]
    assert (number["wanted"], number["held"], number["unwanted"], number["bytes"]) == (6, 2, 1, 3000)
    assert number["wanted"] == number["held"] + number["pending"] + number["missing"] + number["failed"]
    optical, radar = told["datasets"]
    assert (optical["wanted"], optical["held"], optical["pending"]) == (3, 2, 1)
    assert (radar["wanted"], radar["held"], radar["missing"], radar["failed"]) == (4, 1, 1, 2)
    assert next(scene for scene in told["scenes"] if scene["id"] == "HELD")["cloud"] == 20.0


def test_a_failed_try_of_a_scene_that_is_on_order_again_is_on_order(remembered):
    remembered.add("LTA", "optical", state="pending")
    remembered.errors["LTA"] = "the order was cancelled"
    told = remembered.document()
    assert told["scenes"][0]["state"] == "pending"
    assert told["failures"] == [{"id": "LTA", "error": "the order was cancelled"}]


def test_orders_are_listed_from_the_oldest(remembered):
    for name, hours in (("SECOND", 2), ("FIRST", 3), ("THIRD", 1)):
        remembered.add(name, "optical", state="pending")
        remembered.orders[-1] = replace(remembered.orders[-1], placed=RUN.started - timedelta(hours=hours))
    told = remembered.document()
    assert [order["id"] for order in told["orders"]] == ["FIRST", "SECOND", "THIRD"]
    assert 'from <time datetime="2019-05-31T08:06:21.000Z"' in page(told)


def test_a_scene_is_over_the_areas_of_its_datasets_that_it_touches(remembered):
    manifest = fields_manifest()
    x, y = FIELDS["harwell"]
    remembered.add("BOTH", "optical", footprint=box(x - 0.1, y - 0.1, 0.2, 0.2))
    remembered.add("NONE", "optical", footprint=box(100, 10))
    remembered.add("UNKNOWN", "optical")
    remembered.add("UNWANTED", footprint=box(*FIELDS["faro"]))
    told = remembered.document(manifest)
    names = [aoi["name"] for aoi in told["aois"]]
    over = {scene["id"]: [names[area] for area in scene["areas"]] for scene in told["scenes"]}
    assert over == {"BOTH": ["harwell", "harwell-west"], "NONE": [], "UNKNOWN": [], "UNWANTED": ["faro"]}
    (scene,) = Remembered(wanted={"optical": ["LOST"]}).document()["scenes"]
    assert scene["areas"] == [0], "the only area of its dataset"


def test_the_same_memory_is_the_same_page(remembered):
    remembered.add("HELD", "optical", footprint=box(0, 51))
    remembered.add("LTA", "radar", state="pending", footprint=box(1, 52))
    again = Remembered()
    again.add("LTA", "radar", state="pending", footprint=box(1, 52))
    again.add("HELD", "optical", footprint=box(0, 51))
    assert remembered.page() == again.page()


def test_a_mirror_that_knows_nothing_says_so():
    told = document(read(), Memory(), name="fields")
    assert told["scenes"] == []
    assert [dataset["known"] for dataset in told["datasets"]] == [False, False]
    assert "Nothing has been applied yet" in page(told)


def test_orbit_and_tile_of_the_catalogue_are_shown(remembered):
    remembered.add("A", "optical", footprint=box(0, 51), relative_orbit=7, tile="31UCT")
    (scene,) = remembered.document()["scenes"]
    assert (scene["tile"], scene["relative_orbit"]) == ("31UCT", 7)


def test_what_never_arrived_is_known_by_the_lock_and_by_its_name():
    name = "S2A_MSIL1C_20190511T110621_N0207_R137_T30UXC_20190511T121530"
    head = head_of(read(), None)
    lock = Lock(head=head, scenes={name: LockedScene(name, ("optical",), RUN.started, 812, None, box(0, 51))})
    (scene,) = document(read(), Memory(lock=lock, wanted={"optical": [name]}), name="fields")["scenes"]
    assert (scene["state"], scene["size"], scene["start"][:10]) == ("missing", 812, "2019-05-31")
    assert (scene["tile"], scene["relative_orbit"]) == ("30UXC", 137)
    assert scene["outline"] == [[[1, 51, 1, 52, 0, 52, 0, 51]]] or len(scene["outline"][0][0]) == 8


def test_a_footprint_that_makes_no_sense_leaves_the_scene_without_one(remembered):
    remembered.add("ODD", "optical", footprint="POLYGON ((nonsense")
    (scene,) = remembered.document()["scenes"]
    assert "outline" not in scene


def test_the_rules_of_a_dataset_are_those_that_are_not_at_their_default(remembered):
    optical, radar = remembered.document()["datasets"]
    assert dict(optical["rules"]) == {
        "aoi": "box",
        "start": "2019-05-01",
        "end": "2019-05-31",
        "sensor": "optical",
        "max_cloud_cover": "50",
    }
    assert ["end", "now"] in radar["rules"]


# ------------------------------------------------------------------------------------------------ antimeridian


def test_what_crosses_the_antimeridian_is_one_piece(remembered):
    remembered.add("FIJI", "optical", footprint=box(179.5, -18))
    remembered.add("WEST", "optical", footprint=box(-179.0, -17))
    told = remembered.document(MANIFEST.replace("[-2, 51, 1, 53]", "[177, -20, -178, -15]"))
    assert -180 < told["west"] < 177
    by_id = {scene["id"]: scene["outline"] for scene in told["scenes"]}
    ((ring,),) = by_id["FIJI"]
    assert (min(ring[::2]), max(ring[::2])) == (179.5, 180.5)
    ((ring,),) = by_id["WEST"]
    assert (min(ring[::2]), max(ring[::2])) == (181, 182)
    ((ring,),) = told["aois"][0]["outline"]
    assert (min(ring[::2]), max(ring[::2])) == (177, 182)


def test_the_world_as_usual_where_nothing_crosses():
    assert sheet([shape(-2, 51, 1, 53), shape(100, 0, 101, 1)]) == -180
    assert sheet([shape(179, 0, 180, 1)]) == -180
    assert sheet([]) == -180


def test_a_world_without_a_gap_is_cut_at_the_antimeridian():
    assert sheet([shape(-180, -10, 0, 10), shape(0, -10, 180, 10)]) == -180


@settings(deadline=None, max_examples=40)
@given(
    places=st.lists(st.tuples(st.floats(-180, 179.9), st.floats(-60, 60), st.floats(0.5, 40)), min_size=1, max_size=6)
)
def test_outlines_keep_their_area_and_stay_on_the_sheet(places):
    shapes = [geometry.from_bbox(w, s, w + d if w + d <= 180 else w + d - 360, s + 5) for w, s, d in places]
    west = sheet(shapes)
    for one, (_, _, wide) in zip(shapes, places, strict=True):
        drawn = outlines(one, west)
        area = sum(Polygon(list(zip(ring[::2], ring[1::2], strict=True))).area for (ring,) in drawn)
        assert area == pytest.approx(wide * 5, abs=0.05)
        assert all(west - 1e-3 <= x <= west + 360 + 1e-3 for (ring,) in drawn for x in ring[::2])
        assert len(drawn) == 1 or west == -180


# ------------------------------------------------------------------------------------------------- what is hostile

SCRIPT = '</script><script>window.pwned = 1</script><img src=x onerror="window.pwned = 1">'


def test_nothing_that_came_from_outside_is_markup(remembered):
    remembered.add(SCRIPT, "optical", state="failed")
    remembered.errors[SCRIPT] = SCRIPT
    remembered.add(f"{SCRIPT}2", "radar", state="pending")
    written = remembered.page(f"{MANIFEST}# {SCRIPT}\n")
    assert "<img" not in written
    assert "<script>window.pwned" not in written
    assert written.count("<script") == 2
    assert SCRIPT in embedded(written)["scenes"]["id"]


def test_an_id_that_no_utf_8_can_be_made_of_is_written(remembered):
    remembered.add("\ud800", "optical", state="failed")
    written = remembered.page()
    assert "\\ud800" in written.encode("utf-8").decode()
    assert embedded(written)["scenes"]["id"] == ["\ud800"]


def test_the_page_names_no_address_to_fetch_anything_from(remembered):
    import re

    remembered.add("HELD", "optical", footprint=box(0, 51))
    written = remembered.page()
    assert not re.search(r"(?:src|href)\s*=\s*[\"']?(?!data:|#)[^\"'\s>]*//", written.split("<script", 1)[0])
    assert "url(" not in written.split("</style>", 1)[0]
    assert "sourceMappingURL" not in written
    assert "connect-src" not in written
    assert "default-src &#39;none&#39;" in written


@pytest.mark.parametrize(("count", "most"), [(0, 200_000), (300, 650_000)])
def test_a_page_can_be_mailed(count, most):
    assert len(realistic(count).page(fields_manifest())) < most


def test_what_is_embedded_is_what_the_script_reads(remembered):
    remembered.add("A", "optical", footprint=box(0, 51))
    remembered.add("B", "optical", footprint=box(0, 51), days=1, state="pending")
    remembered.errors["GONE"] = "it is no longer listed"
    content = embedded(remembered.page())
    assert content["outlines"] == [[[[0, 510000, 10000, 0, 0, 10000, -10000, 0]]]], "once, in steps"
    assert content["scenes"]["outline"] == [0, 0]
    assert content["scenes"]["path"] == ["*.zip", None]
    assert content["orders"] == {
        "scene": [1],
        "order": ["order-of-B"],
        "detail": ["pending"],
        "placed": ["2019-05-31T11:06:21.000Z"],
        "polls": [2],
    }
    assert content["failures"] == {"scene": ["GONE"], "error": ["it is no longer listed"]}
    assert not {"summary", "manifest", "archives"} & set(content)


def test_each_part_of_the_map_has_its_places():
    boxes = [(x - 0.1, y - 0.1, x + 0.1, y + 0.1) for x, y in FIELDS.values()]
    names = {name for name, *_ in place_names(boxes, -180.0)["cities"]}
    assert {"London", "Aberdeen", "Faro", "Nakuru"} <= names
    assert "Paris" not in names
    across = place_names([(177.0, -19.0, 181.0, -17.0)], 20.0)["cities"]
    assert ["Suva", 178.43, -18.14] in across


def test_coasts_are_fine_near_what_is_drawn_and_coarse_elsewhere():
    far, near = land([(100.0, 0.0, 101.0, 1.0)]), land([(-3.0, 50.0, 1.0, 52.0)])
    assert [len(part["polygons"]) for part in (far, near)] == [len(near["polygons"])] * 2
    length = {name: sum(map(len, part["lines"])) for name, part in (("far", far), ("near", near))}
    assert length["near"] != length["far"]
    coast = min(range(len(near["lines"])), key=lambda i: -abs(len(near["lines"][i]) - len(far["lines"][i])))
    assert len(near["lines"][coast]) > len(far["lines"][coast])


def test_twenty_datasets_look_different():
    assert len({swatch(number) for number in range(40)}) == 40
    assert swatch(-1) not in {swatch(number) for number in range(40)}
