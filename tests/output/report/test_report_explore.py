"""Exploring a report of twelve fields: coverage, links to a view, the map's scrolling, charts and the keyboard."""

import pytest
from report_values import Remembered, box, fields_manifest, twelve_fields


@pytest.fixture(scope="module")
def html():
    return twelve_fields().page(fields_manifest())


@pytest.fixture
def page(browser, html):
    return browser.open(html, width=1440)


def rows(page):
    return page.js(
        "return [...document.querySelectorAll('#coverage tbody tr')].map((row) => row.innerText.split(/\\s+/))"
    )


def test_coverage_names_the_longest_gap_and_counts_each_area(page):
    assert page.text("#coverage-text") == (
        "Longest time without a downloaded scene: nakuru, 50 days, 2019-05-11 to 2019-06-30."
    )
    first, *others = rows(page)
    assert first[:10] == ["nakuru", "8", "of", "12", "4", "0", "4", "0", "50", "d"]
    assert len(others) == 11
    aberdeen = next(row for row in others if row[0] == "aberdeen")
    assert aberdeen[1:8] == ["9", "of", "12", "5", "3", "0", "0"]
    assert page.js("return document.querySelectorAll('#coverage svg.strip path.pending').length") == 11
    page.js("const f = document.getElementById('clear'); f.value = '100'; f.dispatchEvent(new Event('change'))")
    assert rows(page)[0][4] == "8", "every downloaded scene is clear"


def test_an_area_of_the_calendar_filters_the_page_and_moves_the_map(page):
    page.click("#coverage tr[data-area='10'] .link")
    assert page.shown() == 12
    assert page.text("#count") == "12 of 144 scenes over nakuru"
    centre = page.js("const c = report.map.getCenter(); return [c.lng, c.lat]")
    assert centre == pytest.approx([36.07, -0.3], abs=0.02)
    assert len(rows(page)) == 12, "the others are still there"
    assert page.js("return document.activeElement.getAttribute('aria-pressed')") == "true"
    page.click("#reset")
    assert page.shown() == 144
    assert page.js("return document.activeElement.id") == "reset", "the focus stays on a button that is off"


def test_a_day_of_the_calendar_shows_its_scenes(page):
    strip = page.js(
        "const b = document.querySelector('#coverage svg.strip').getBoundingClientRect();"
        "return [Math.ceil(b.left), Math.round(b.top + 5)]"
    )
    page.point(strip)
    page.until("return !document.getElementById('tip').hidden")
    assert "nakuru, 2019-05-01" in page.text("#tip")
    page.point(strip, press=True)
    assert page.text("#details .id").endswith("T000000_N0207_R137_T30UXC_NAKURU")


def test_a_view_can_be_linked(page, browser, html):
    page.click("[data-only='state'][data-value='failed']")
    page.click("[data-only='dataset'][data-value='0']")
    page.js("const f = document.getElementById('from'); f.value = '2019-05-02'; f.dispatchEvent(new Event('change'))")
    page.js("report.map.setView([53, -1], 6, {animate: false})")
    page.click("#scenes .link")
    page.until("return location.hash.includes('scene=') && location.hash.includes('map=')")
    view = page.js("return location.hash")
    assert page.shown() == 1
    again = browser.open(html, width=1440, view=view)
    assert again.shown() == 1
    assert again.text("#details .id").endswith("EAST-ANGLIA")
    assert again.js("return [report.map.getZoom(), report.map.getCenter().lat]") == pytest.approx([6, 53], abs=1e-3)
    assert again.js("return document.getElementById('from').value") == "2019-05-02"
    again.click("#reset")
    again.until("return !location.hash.includes('state=')")


def test_the_wheel_scrolls_the_page_and_zooms_with_ctrl(page):
    from selenium.webdriver.common.actions.action_builder import ActionBuilder
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin

    place = page.at(*page.js("const c = report.map.getCenter(); return [c.lng, c.lat]"))
    zoom, scrolled = page.js("return [report.map.getZoom(), scrollY]")

    def turn(amount):
        wheel = ActionBuilder(page.driver, duration=0)
        origin = ScrollOrigin.from_viewport(*place)
        wheel.wheel_action.scroll(origin.x_offset, origin.y_offset, 0, amount, 0, origin.origin)
        wheel.perform()

    turn(120)
    page.until(f"return scrollY > {scrolled}")
    assert page.js("return report.map.getZoom()") == zoom
    assert page.text("#map-help") == "Hold Ctrl and turn the wheel to zoom the map."
    place = page.at(*page.js("const c = report.map.getCenter(); return [c.lng, c.lat]"))
    page.js(
        "document.getElementById('map').dispatchEvent(new WheelEvent('wheel', {deltaY: -200, ctrlKey: true,"
        "bubbles: true, cancelable: true, clientX: arguments[0], clientY: arguments[1]}))",
        *place,
    )
    page.until(f"return report.map.getZoom() > {zoom}")


def test_escape_and_a_filter_unselect(page):
    from selenium.webdriver.common.keys import Keys

    page.click("#scenes .link")
    assert page.text("#details-title") == "Scene"
    assert page.js("return document.querySelector('#scenes tr.chosen') !== null")
    top = page.js("return document.querySelector('.details').getBoundingClientRect().top")
    assert -1 <= top < 900, "the page went to the details"
    page.keys(Keys.ESCAPE)
    assert "Newest acquisitions" in page.text("#details")
    page.click("#scenes .link")
    page.click("[data-only='state'][data-value='failed']")
    assert "Newest acquisitions" in page.text("#details")


def test_the_timeline_and_its_scenes_by_keyboard(page):
    from selenium.webdriver.common.keys import Keys

    page.js("document.getElementById('timeline').focus()")
    page.keys(Keys.HOME)
    first = page.text("#details .id")
    page.keys(Keys.ARROW_RIGHT)
    assert page.text("#details .id") != first
    page.keys(Keys.ARROW_LEFT)
    assert page.text("#details .id") == first
    page.keys(Keys.END)
    assert "2019-08-19" in page.text("#details dl")
    assert page.js("return document.activeElement.id") == "timeline"


def test_a_date_is_written_as_iso_and_checked(page):
    change = "const f = document.getElementById('to'); f.value = arguments[0]; f.dispatchEvent(new Event('change'))"
    for wrong in ("31/05/2019", "2019-02-30"):
        page.js(change, wrong)
        assert "year-month-day" in page.text("#date-problem")
        assert page.js("return document.getElementById('to').getAttribute('aria-invalid')") == "true"
        assert page.shown() == 144
    page.js(change, "2019-05-31")
    assert page.text("#date-problem") == ""
    assert page.shown() == 48


def test_charts_follow_the_filters(page):
    bars = "return [...document.querySelectorAll('.chart')].map((c) => c.querySelectorAll('rect').length)"
    assert page.js(bars) == [10, 4, 2]
    titles = page.js("return [...document.querySelectorAll('.chart figcaption')].map((c) => c.innerText)")
    assert titles == ["Cloud cover in percent", "Acquisitions a month", "Size on disk by dataset: 106.0 kB"]
    page.click("[data-only='dataset'][data-value='1']")
    assert "no figure" not in page.text(".chart figcaption")
    assert page.js(bars)[2] == 1


def test_inside_a_footprint_only_outlines_are_drawn_and_depth_can_be_seen(browser):
    remembered = Remembered()
    for number in range(40):
        remembered.add(f"DEEP-{number}", "optical", footprint=box(-1.9 + number / 1000, 51.2, 1, 1), cloud=1)
    remembered.add("ONCE", "optical", footprint=box(-0.6, 51.2, 1, 1), cloud=1)
    page = browser.open(remembered.page())
    deep, once = page.colour_at(-1.2, 51.4), page.colour_at(0.2, 51.4)
    assert deep[0] < once[0] - 25, "forty lie over each other"
    assert deep[2] > deep[0] + 30, "and are blue"
    page.js("report.map.setView([51.4, -1.2], 12, {animate: false})")
    assert page.text("#map-note") == "40 scenes cover all of this view"
    assert page.colour_at(-1.2, 51.41)[0] > 240, "land, not one flat colour"


def test_a_tap_leaves_no_tip_and_one_finger_scrolls_the_page(page):
    place = page.at(*page.js("const c = report.map.getCenter(); return [c.lng, c.lat]"))
    page.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    try:
        page.driver.execute_cdp_cmd(
            "Input.synthesizeTapGesture", {"x": place[0], "y": place[1], "gestureSourceType": "touch"}
        )
        page.drawn()
        assert page.js("return document.getElementById('tip').hidden")
        x, y = page.at(*page.js("const c = report.map.getCenter(); return [c.lng, c.lat]"))
        scrolled, centre = page.js("return [scrollY, report.map.getCenter().lat]")
        for kind, at in (
            ("touchStart", y),
            *(("touchMove", y - 25 * step) for step in range(1, 8)),
            ("touchEnd", None),
        ):
            points = [] if at is None else [{"x": x, "y": at}]
            page.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        page.until(f"return scrollY > {scrolled}")
        assert page.js("return report.map.getCenter().lat") == centre, "one finger scrolls the page"
        assert page.text("#map-help") == "Two fingers move and zoom the map."
    finally:
        page.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})


def test_the_parts_of_the_script_are_modules_and_the_page_has_them_once(html):
    for name in ("words", "data", "filters", "map", "timeline", "lists", "coverage", "print", "address"):
        assert html.count(f"const ${name} = await") == 1
    assert "\nimport " not in html.split("<script>", 1)[1]


def test_an_area_without_any_downloaded_scene_comes_first(browser):
    remembered = twelve_fields(each=2)
    for local in [local for local in remembered.local_scenes if local.id.endswith("_FEN")]:
        remembered.local_scenes.remove(local)
        remembered.awaited[local.id] = local.facts
    page = browser.open(remembered.page(fields_manifest()), width=1440)
    assert page.text("#coverage-text") == "No scene is downloaded: fen."
    assert rows(page)[0][-2:] == ["none", "none"]


def test_ages_count_from_the_time_of_reading(browser, html):
    clock = {"source": "Date.now = () => Date.parse('2019-06-03T12:06:21Z')"}
    added = browser.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", clock)
    try:
        page = browser.open(html)
        assert "oldest from 2019-05-31, 3 d 1 h ago" in page.text(".card.waiting")
        assert "3 d 1 h" in page.text("#orders-table tbody tr")
    finally:
        browser.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)
