"""The report in a real browser: what it draws, filters, reports and refuses to run. One browser for all of it."""

import pytest
from msgspec.structs import replace
from report_values import MANIFEST, Remembered, box, fields_manifest, realistic

from sedas_sync.model.local import LocalFile, ProofLevel

HOSTILE = '"><img src=x onerror="window.pwned=1"></code></script><script>window.pwned=1</script>'
GREY = 12
LAND = (-0.15, 53.22)
COLOURS_OF_THE_TIMELINE = """
const canvas = document.querySelector('#timeline canvas');
const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
const seen = new Set();
for (let i = 0; i < data.length; i += 4) if (data[i + 3] === 255) seen.add([data[i], data[i + 1], data[i + 2]].join());
return [...seen];
"""


def fields():
    """Six scenes side by side, in every state; the last is no longer wanted."""
    remembered = Remembered()
    remembered.add("OPTICAL-HELD", "optical", footprint=box(-2, 51), days=0, cloud=10)
    remembered.add("OPTICAL-LTA", "optical", footprint=box(-0.9, 51), days=2, cloud=40, state="pending")
    remembered.add("RADAR-HELD", "radar", footprint=box(0.2, 51), days=4, size=2_500_000)
    remembered.add("RADAR-GONE", "radar", footprint=box(-2, 52.1), days=6, state="missing")
    remembered.add("RADAR-BROKEN", "radar", footprint=box(-0.9, 52.1), days=8, state="failed")
    remembered.add("OLD", footprint=box(0.2, 52.1), days=10)
    return remembered


@pytest.fixture
def page(browser):
    return browser.open(fields().page())


def near(a, b):
    return max(abs(x - y) for x, y in zip(a, b, strict=True)) <= GREY


def test_it_draws_footprints_and_land(page):
    land, held, pending = page.colour_at(*LAND), page.colour_at(-1.5, 51.8), page.colour_at(-0.4, 51.8)
    assert near(land, (247, 245, 239))
    assert held[2] > held[0] + 20, "an optical scene is blue"
    assert pending[2] > pending[0], "and lighter while it is on order"
    assert held[0] < pending[0] < land[0]
    radar = page.colour_at(0.7, 51.8)
    assert radar[0] > radar[2] + 40, "a radar scene is orange"
    canvases = page.js("return document.querySelectorAll('#map canvas').length")
    assert canvases == 3


def test_it_asks_nobody_and_says_nothing_on_the_console(page):
    page.click(".on[data-dataset='1']")
    page.point(page.at(-1.5, 51.5), press=True)
    page.drawn()
    said, asked = page.log()
    assert said == []
    # The browser's own start page may still be loading.
    assert [url for url in asked if not url.startswith("chrome") and not url.endswith("/report.html")] == []


def test_filters_change_what_is_counted_listed_and_drawn(page):
    assert page.shown() == 6
    before = page.colour_at(0.7, 51.8)
    page.click(".on[data-dataset='1']")
    assert page.shown() == 3
    assert page.text("#count") == "3 of 6 scenes"
    assert not near(page.colour_at(0.7, 51.8), before)
    page.click(".on[data-dataset='-1']")
    assert page.shown() == 2
    page.click(".on[data-state='pending']")
    assert page.text("#scenes tbody").split()[0] == "OPTICAL-HELD"
    page.click("#reset")
    page.until("return document.documentElement.dataset.shown === '6'")
    assert near(page.colour_at(0.7, 51.8), before)


def test_dates_and_ids_filter_too(page):
    change = (
        "const field = document.getElementById(arguments[0]);"
        "field.value = arguments[1]; field.dispatchEvent(new Event('change'))"
    )
    page.js(change, "from", "2019-05-03")
    assert page.shown() == 5
    page.js(change, "to", "2019-05-09")
    assert page.shown() == 4
    page.js("document.getElementById('text').focus()")
    page.keys("radar-g")
    page.until("return document.documentElement.dataset.shown === '1'")
    assert "RADAR-GONE" in page.text("#scenes tbody")
    page.keys("x")
    page.until("return document.documentElement.dataset.shown === '0'")
    assert "No scene passes" in page.text("#scenes tbody")


def test_a_click_on_a_footprint_shows_the_scene_and_hovering_names_it(page):
    place = page.at(-0.4, 52.8)
    page.point(place)
    page.until("return !document.getElementById('tip').hidden")
    assert "RADAR-BROKEN" in page.text("#tip")
    page.point(place, press=True)
    shown = page.text("#details")
    assert "RADAR-BROKEN" in shown
    assert "HTTP 503 after 6 tries" in shown
    assert "2019-05-09 11:06 UTC" in shown
    chosen = page.js("return document.querySelector('#scenes tr.chosen').innerText")
    assert "RADAR-BROKEN" in chosen


def test_scenes_that_lie_over_each_other_are_all_named(browser):
    remembered = Remembered()
    for day in range(5):
        remembered.add(f"PASS-{day}", "optical", footprint=box(-1, 51.5), days=day, cloud=day)
    page = browser.open(remembered.page())
    page.point(page.at(-0.5, 51.9), press=True)
    assert page.text("#details-title") == "5 scenes here"
    assert page.text("#details .id") == "PASS-4"
    page.click("#details .hits li:nth-child(3) button")
    assert page.text("#details .id") == "PASS-2"


def test_a_scene_that_is_a_folder_is_called_one_with_its_number_of_files(browser):
    remembered = Remembered()
    remembered.add("ZIP", "optical", footprint=box(-1, 51.5))
    remembered.add("SAFE", "optical", footprint=box(2, 51.5))
    file = LocalFile(name="a", size=1, mtime_ns=1, sha256="0" * 64, level=ProofLevel.CRC)
    held = remembered.local_scenes.pop()
    members = tuple(replace(file, name=name) for name in "abc")
    remembered.local_scenes.append(replace(held, path="2019/SAFE.SAFE", members=members))
    page = browser.open(remembered.page())
    page.point(page.at(2.5, 51.9), press=True)
    shown = page.text("#details dl")
    assert "Folder\n2019/SAFE.SAFE, 3 files" in shown
    assert "SHA-256 of the list of its files\n" in shown
    page.point(page.at(-0.5, 51.9), press=True)
    shown = page.text("#details dl")
    assert "File\nZIP.zip\n" in shown
    assert "SHA-256\n" in shown


def test_a_dot_of_the_timeline_can_be_chosen_and_a_span_dragged(page):
    page.js("document.getElementById('timeline').scrollIntoView({block: 'center', behavior: 'instant'})")
    page.drawn()
    colours = page.js(COLOURS_OF_THE_TIMELINE)
    assert {"37,99,235", "217,72,15"} <= set(colours), "dots have their datasets' colours"
    box_of = "const b = document.querySelector('#timeline .u-over').getBoundingClientRect();"
    left, top, width, height = page.js(f"{box_of} return [b.left, b.top, b.width, b.height]")
    from selenium.webdriver.common.actions.action_builder import ActionBuilder

    drag = ActionBuilder(page.driver, duration=20)
    drag.pointer_action.move_to_location(round(left + width * 0.7), round(top + height / 2)).pointer_down()
    drag.pointer_action.move_to_location(round(left + width * 0.95), round(top + height / 2)).pointer_up()
    drag.perform()
    assert page.shown() == 2
    assert page.js("return document.getElementById('from').value") > "2019-05-05"


def test_dark_is_dark_on_the_page_and_on_its_canvases(page):
    light = page.colour_at(*LAND)
    page.look(dark=True)
    page.drawn()
    dark = page.colour_at(*LAND)
    assert sum(light) > 700
    assert sum(dark) < 200
    assert page.js("return getComputedStyle(document.body).backgroundColor") == "rgb(16, 21, 27)"
    page.click("#theme")
    assert near(page.colour_at(*LAND), light)
    assert page.js("return getComputedStyle(document.body).backgroundColor") == "rgb(246, 247, 249)"
    page.look(forced=True)
    page.click("#theme")
    page.click("#theme")
    assert near(page.colour_at(*LAND), light), "a map has its own colours"


def test_the_keyboard_reaches_a_scene_by_list_and_by_map(page):
    from selenium.webdriver.common.keys import Keys

    page.keys(Keys.TAB)
    assert page.js("return document.activeElement.className") == "skip"
    seen = []
    for _ in range(60):
        page.keys(Keys.TAB)
        seen.append(page.js("const e = document.activeElement; return e.id || e.className || e.tagName"))
        if page.js("return document.activeElement.matches('#scenes .link')"):
            break
    assert {"theme", "on", "only", "from", "to", "text", "map"} <= set(seen)
    page.keys(Keys.ENTER)
    assert page.js("return document.activeElement.id") == "details-title"
    assert page.text("#details .id") == "OLD", "the newest comes first"
    page.js("report.map.setView([51.5, 0.7], 8, {animate: false}); document.getElementById('map').focus()")
    page.keys(Keys.ENTER)
    assert page.text("#details .id") == "RADAR-HELD"
    page.js("document.querySelector('.on').focus()")
    page.keys(Keys.SPACE)
    assert page.shown() == 4
    assert page.js("return document.querySelector('.on').getAttribute('aria-pressed')") == "false"


def test_what_is_hostile_is_text(browser):
    remembered = Remembered()
    remembered.add(HOSTILE, "optical", state="failed", footprint=box(0, 51))
    remembered.errors[HOSTILE] = HOSTILE
    remembered.add(f"{HOSTILE}2", "optical", state="pending", footprint=box(-1, 51))
    page = browser.open(remembered.page(f"{MANIFEST}# {HOSTILE}\n"))
    page.point(page.at(0.5, 51.5))
    page.until("return !document.getElementById('tip').hidden")
    page.point(page.at(0.5, 51.5), press=True)
    assert page.text("#details .id") == HOSTILE
    assert HOSTILE in page.text("pre")
    assert page.js("return window.pwned") is None
    assert page.js("return document.querySelectorAll('img').length") == 0
    assert page.log()[0] == []


def test_its_policy_stops_a_script_that_is_not_its_own(browser):
    page = browser.open(fields().page().replace("<main>", "<main><script>window.pwned = 1</script>"))
    assert page.js("return window.pwned") is None
    assert any("Content Security Policy" in line for line in page.log()[0])


def test_a_footprint_over_the_antimeridian_is_where_it_belongs_and_nowhere_else(browser):
    remembered = Remembered()
    remembered.add("FIJI", "optical", footprint=box(179.5, -19))
    page = browser.open(remembered.page(MANIFEST.replace("[-2, 51, 1, 53]", "[178, -20, -178, -16]")))
    sea = page.colour_at(181.5, -17)
    for longitude in (179.7, 180.0, 180.3):
        assert not near(page.colour_at(longitude, -18.3), sea), longitude
    assert near(page.colour_at(179.0, -18.7), sea)
    assert near(page.colour_at(180.9, -18.3), sea)
    page.point(page.at(180.3, -18.5), press=True)
    assert page.text("#details .id") == "FIJI"


def test_a_mirror_without_anything_has_a_page_too(browser):
    page = browser.open(Remembered().page(last_run=None))
    assert page.js("return document.querySelectorAll('#map, #timeline, #scenes').length") == 0
    assert "Nothing has been applied yet" in page.text("header")
    assert page.log()[0] == []


def test_five_thousand_scenes_can_be_mailed_drawn_filtered_and_paged(browser):
    html = realistic(5_000).page(fields_manifest())
    assert len(html) < 1_300_000
    page = browser.open(html)
    assert page.shown() == 5_000
    assert page.js("return document.querySelectorAll('#scenes tbody tr').length") == 25
    assert page.js("let n = 0; report.map.eachLayer((l) => { n += l instanceof L.Canvas; }); return n") == 3
    assert page.js("return document.querySelectorAll('*').length") < 2_500
    page.click(".on[data-dataset='0']")
    assert page.shown() == 2_500
    assert page.text("#scenes-pager span") == "1\N{EN DASH}25 of 2,500"
