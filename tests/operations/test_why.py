"""One scene explained, and plans from a record: both for people who review a change of a manifest."""

import pytest

from sedas_sync.planning.explain import naming
from sedas_sync.sandbox import Faults, RowCatalogue, Rule, make_row
from sedas_sync.sandbox.faults import fail

OLD = "S2A_MSIL1C_20190506T110621_N0207_R137_T30UXC_20190506T131402"
NEW = "S2A_MSIL1C_20190506T110621_N0500_R137_T30UXC_20230401T120000"
BESIDE = "POLYGON((-1.3 51.55,-1.1 51.55,-1.1 51.56,-1.3 51.56,-1.3 51.55))"
RULES = (
    '[dataset.d]\naoi = "harwell"\nstart = 2019-05-01\nend = 2019-05-20\nsensor = "optical"\n'
    'max_cloud_cover = 50\nreprocessed = "newest"\nlatest = 6\nexclude = ["UNWANTED*"]\n'
)


@pytest.fixture
def mixed(workspace, sandbox):
    """A scene for each thing that can be said of one."""
    sandbox.order_delay = 3600
    sandbox._catalogue = RowCatalogue(
        [
            make_row("KEPT", "2019-05-10T11:00:00Z"),
            make_row("LTA", "2019-05-09T11:00:00Z", online=False),
            make_row("BROKEN", "2019-05-08T11:00:00Z"),
            make_row("CLOUDY", "2019-05-08T11:10:00Z", cloudCoveragePercent=80.0),
            make_row("ASIDE", "2019-05-08T11:20:00Z", footprint=BESIDE),
            make_row("EARLY", "2019-04-30T23:59:59Z"),
            make_row("OLDEST", "2019-05-02T11:00:00Z"),
            make_row("UNWANTED-1", "2019-05-07T11:00:00Z"),
            make_row(OLD, "2019-05-06T11:06:21Z"),
            make_row(NEW, "2019-05-06T11:06:21Z"),
            make_row("FIFTH", "2019-05-05T11:00:00Z"),
            make_row("SIXTH", "2019-05-04T11:00:00Z"),
            make_row("RADAR", "2019-05-08T11:00:00Z", satellite="Sentinel-1A"),
        ]
    )
    workspace.write(RULES, transfer="retries = 0")
    sandbox.faults = Faults(rules=(Rule("download", fail(500), ids={"BROKEN"}),))
    ran = workspace.run("apply", "--no-wait", "--json")
    assert ran.code == 1
    assert [failure["id"] for failure in ran.summary["failures"]] == ["BROKEN"]
    return workspace


@pytest.mark.parametrize(
    ("scene", "action", "rule", "said"),
    [
        ("KEPT", "keep", None, "nothing: it is in the mirror, unchanged"),
        ("LTA", "wait", None, "poll its order again"),
        ("BROKEN", "fetch", None, "500"),
        ("CLOUDY", None, "cloud", "cloud cover is 80 %, at most 50 % wanted"),
        ("ASIDE", None, "aoi", "the footprint does not meet harwell"),
        ("EARLY", None, "date", "acquired 2019-04-30T23:59:59Z"),
        ("OLDEST", None, "latest", "number 7 by age, the newest 6 wanted"),
        ("UNWANTED-1", None, "exclude", "excluded by 'UNWANTED*'"),
        (OLD, None, "reprocessed", f"superseded by {NEW} (baseline 0500)"),
        ("RADAR", None, "sensor", "sensor is sar, wanted optical"),
    ],
)
def test_why(mixed, scene, action, rule, said):
    shown = mixed.run("why", scene)
    assert shown.code == 0, shown.err
    assert said in shown.out
    document = mixed.run("why", scene, "--json").json
    assert document["action"] == action
    assert document["listed"] is True
    (verdict,) = document["datasets"]
    assert (verdict["wanted"], verdict["rule"]) == (rule is None, rule)


def test_why_of_what_is_here(mixed):
    kept = mixed.run("why", "KEPT", "--json").json
    assert kept["file"]["path"] == "KEPT.zip"
    assert kept["file"]["level"] == "crc"
    waiting = mixed.run("why", "LTA", "--json").json
    assert waiting["order"]["state"] == "pending"
    assert waiting["order"]["polls"] >= 1
    broken = mixed.run("why", "BROKEN", "--json").json
    assert "500" in broken["last_error"]


def test_why_names_the_lock_file(mixed, sandbox):
    assert mixed.run("why", "KEPT", "--json").json["in_lock"] is None
    mixed.run("lock")
    shown = mixed.run("why", "KEPT")
    assert "the lock file has it" in shown.out
    sandbox._catalogue = RowCatalogue([make_row("LATER", "2019-05-10T11:00:00Z")])
    shown = mixed.run("why", "LATER")
    assert "does not have it: `apply --locked` does not download it" in " ".join(shown.out.split())
    assert mixed.run("why", "LATER", "--json").json["in_lock"] is False
    (mixed.path / "manifest.lock").write_text("not a lock file")
    broken = mixed.run("why", "LATER", "--json")
    assert broken.json["in_lock"] is None
    assert any("manifest.lock" in warning for warning in broken.json.get("warnings", [broken.err]))


def test_why_of_an_unknown_scene(mixed):
    shown = mixed.run("why", "NOBODY-KNOWS")
    assert shown.code == 1
    assert "unknown: no archive and no local file has this id" in shown.out
    assert mixed.run("why", "NOBODY-KNOWS", "--json").json["known"] is False


def test_why_of_a_held_scene_that_has_left_the_catalogue(mixed, sandbox):
    sandbox._catalogue = RowCatalogue([make_row("OTHER", "2019-05-10T11:00:00Z")])
    document = mixed.run("why", "KEPT", "--json").json
    assert document["known"] is True
    assert document["listed"] is False
    assert document["file"]["path"] == "KEPT.zip"
    assert document["next"].startswith("nothing")


def test_why_after_a_search_that_failed(mixed, sandbox):
    sandbox.faults = Faults(rules=(Rule("search", fail(500)),))
    held = mixed.run("why", "KEPT", "--json").json
    wanted = mixed.run("why", "BROKEN", "--json").json
    for document in (held, wanted):
        (verdict,) = document["datasets"]
        assert verdict["detail"] == "it matches every rule, but the search failed or is incomplete"
        assert "matches no dataset" not in document["next"]
    assert "the file is kept" in held["next"]
    assert wanted["next"] == f"nothing until the search for {verdict['dataset']} returns it"


def test_a_plan_from_a_record_needs_neither_network_nor_account(workspace, sandbox):
    sandbox._catalogue = RowCatalogue(
        [
            make_row("A", "2019-05-10T11:00:00Z"),
            make_row("B", "2019-05-09T11:00:00Z", online=False, novelty=["kept"]),
            make_row("C", "2019-05-08T11:00:00Z", cloudCoveragePercent=40.0),
        ]
    )
    rules = '[dataset.d]\naoi = "harwell"\nstart = 2019-05-01\nend = "-30d"\nsensor = "optical"\nmax_cloud_cover = 50\n'
    workspace.write(rules)
    live = workspace.run("plan", "--json", "--record", "search.jsonl").json
    sandbox.close()
    account = {"SEDAS_USERNAME": "", "SEDAS_PASSWORD": ""}
    replayed = workspace.run("plan", "--json", "--replay", "search.jsonl", **account)
    assert replayed.code == 0, replayed.err
    assert replayed.json == live
    text = (workspace.path / "search.jsonl").read_text()
    assert "token" not in text.lower()
    assert "datamgr" not in text, "links do not last and are left out"

    workspace.write(rules.replace("50", "30"))
    narrower = workspace.run("plan", "--json", "--replay", "search.jsonl", **account)
    assert [action["id"] for action in narrower.json["actions"]] == ["B", "A"]
    workspace.write(rules.replace("2019-05-01", "2019-04-01"))
    beyond = workspace.run("plan", "--json", "--replay", "search.jsonl", **account)
    assert beyond.code == 1
    assert beyond.json["search_complete"] is False
    assert "asks for more than was recorded" in beyond.json["failures"][0]["error"]


def test_what_is_no_record_is_said_to_be_none(workspace):
    workspace.write(RULES)
    (workspace.path / "not.jsonl").write_text("[1, 2]\n")
    ran = workspace.run("plan", "--replay", "not.jsonl")
    assert ran.code == 2
    assert "this is not a record" in ran.err
    assert workspace.run("plan", "--replay", "nowhere.jsonl").code == 2
    assert workspace.run("plan", "--replay", "not.jsonl", "--sizes").code == 2


def test_a_scene_may_be_named_by_its_file(mixed):
    assert mixed.run("why", "scenes/KEPT.zip", "--json").json == mixed.run("why", "KEPT", "--json").json


def test_an_id_that_is_no_text_is_known_to_nobody(workspace, sandbox):
    sandbox._catalogue = RowCatalogue([make_row("A", "2019-05-10T11:00:00Z")])
    workspace.write(RULES)
    ran = workspace.run("why", "\udcff")
    assert (ran.code, ran.err) == (1, "")
    assert "unknown: no archive and no local file has this id" in ran.out


def test_why_shows_that_a_row_of_the_archive_cannot_be_used(workspace, sandbox):
    rows = [make_row("GOOD", "2019-05-10T11:00:00Z"), make_row("BAD", "2019-05-10T11:00:00Z", footprint="nonsense")]
    sandbox._catalogue = RowCatalogue(rows)
    workspace.write(RULES)
    shown = workspace.run("why", "BAD")
    assert shown.code == 0, shown.err
    assert "coordinatesWKT is not a WKT geometry" in shown.out
    assert "nothing: an archive has it, but what it states cannot be used" in shown.out
    document = workspace.run("why", "BAD", "--json").json
    assert (document["known"], document["listed"]) == (True, False)
    (warning,) = document["archive_warnings"]
    assert warning.startswith("BAD: ")
    assert workspace.run("why", "GOOD", "--json").json["archive_warnings"] == []


def test_a_warning_names_only_the_scene_with_this_id():
    warnings = ("S2A_1: left out", "an item was left out: S2A_1.SAFE", "S2A_10: left out", "XS2A_1", "S2A_1: left out")
    assert naming("S2A_1", warnings) == warnings[:2]


def test_an_instrument_is_found_in_the_spelling_of_another_archive(workspace, sandbox):
    sandbox._catalogue = RowCatalogue(
        [
            make_row("RADAR", "2019-05-08T11:00:00Z", satellite="Sentinel-1A", instrumentName="SAR-C SAR"),
            make_row("OPTICAL", "2019-05-09T11:00:00Z", instrumentName="MSI"),
            make_row("UNKNOWN", "2019-05-10T11:00:00Z"),
        ]
    )
    workspace.write('[dataset.d]\naoi = "harwell"\nstart = 2019-05-01\nend = 2019-05-20\ninstrument = "c-sar"\n')
    assert [action["id"] for action in workspace.run("plan", "--json").json["actions"]] == ["RADAR"]
    optical = workspace.run("why", "OPTICAL", "--json").json["datasets"][0]
    assert (optical["rule"], optical["detail"]) == ("instrument", "instrument is MSI, wanted c-sar")
    assert "instrument is unknown, wanted c-sar" in workspace.run("why", "UNKNOWN").out


def test_a_beginning_a_part_or_a_pattern_is_enough(workspace, sandbox):
    one, two, other = (
        f"S2B_MSIL1C_2019050{day}T110629_N0207_R137_T30U{tile}_2019050{day}T133918"
        for day, tile in ((7, "XC"), (7, "WC"), (8, "XC"))
    )
    sandbox._catalogue = RowCatalogue(
        [make_row(name, f"{name[11:15]}-05-{name[17:19]}T11:06:29Z") for name in (one, two, other)]
    )
    workspace.write('[dataset.d]\naoi = "harwell"\nstart = 2019-05-01\nend = 2019-05-31\n')
    for part in (one, one[:44], one[15:45].lower(), "*20190507*_t30uxc_*", f"{one}.SAFE", f"scenes/{one}.zip"):
        assert workspace.run("why", part, "--json").json["id"] == one, part
    ran = workspace.run("why", "T30UXC")
    assert ran.code == 2
    assert "2 scenes have 'T30UXC' in their ids" in ran.err
    assert one in ran.err
    assert other in ran.err
    assert two not in ran.err


def test_other_scenes_of_the_tile_and_day_are_named(workspace, sandbox):
    older, newer, cloudy = (
        f"S2B_MSIL1C_20190507T110629_{baseline}_R137_T30UXC_{made}T133918"
        for baseline, made in (("N0207", "20190507"), ("N0500", "20230101"), ("N0300", "20200101"))
    )
    rows = [
        make_row(name, "2019-05-07T11:06:29Z", cloudCoveragePercent=99.0 if name == cloudy else 1.0)
        for name in (older, newer, cloudy)
    ]
    sandbox._catalogue = RowCatalogue(rows)
    workspace.write('[dataset.d]\naoi = "harwell"\nstart = 2019-05-01\nend = 2019-05-31\nmax_cloud_cover = 50\n')
    found = workspace.run("why", older, "--json").json
    assert {one["id"]: one["datasets"] for one in found["same_day"]} == {newer: ["d"], cloudy: []}
    assert "cloud" in next(one["exclusion"] for one in found["same_day"] if one["id"] == cloudy)
    unknown = older.replace("T133918", "T999999")
    shown = workspace.run("why", unknown)
    assert shown.code == 1
    assert shown.out.count("same day") == 3


def test_a_part_of_a_scene_that_the_archive_itself_leaves_out_is_found(workspace, sandbox):
    cloudy = "S2B_MSIL1C_20190507T110629_N0207_R137_T30UXC_20190507T133918"
    sandbox._catalogue = RowCatalogue([make_row(cloudy, "2019-05-07T11:06:29Z", cloudCoveragePercent=99.0)])
    rules = 'sensor = "optical"\nmax_cloud_cover = 5\n'
    workspace.write(f'[dataset.d]\naoi = "harwell"\nstart = 2019-05-01\nend = 2019-05-31\n{rules}')
    found = workspace.run("why", "*20190507*T30UXC*", "--json")
    assert found.code == 0
    assert found.json["id"] == cloudy
    assert found.json["datasets"][0]["rule"] == "cloud"
    planned = workspace.run("plan")
    assert "sensor = optical, max_cloud_cover = 5" in planned.err
    assert "without these keys it may have some" in planned.err
