"""The report for every window, on paper, and for everyone: one page of twelve fields is looked at in many ways."""

import base64
import re

import pytest
from report_values import FIELDS, MANIFEST, Remembered, box, fields_manifest, twelve_fields

BOXES = """(s) => [...document.querySelectorAll(s)]
.map((e) => e.getBoundingClientRect()).map((b) => [b.left, b.top, b.right, b.bottom])"""


@pytest.fixture(scope="module")
def crowded():
    """Twelve fields with thirty-odd orders, long ids of orders, and a long error."""
    remembered = twelve_fields()
    remembered.errors[next(iter(remembered.errors))] = "HTTP 503 after 6 tries: " + "no-space-in-this-message" * 8
    for number in range(30):
        remembered.add(
            f"S1A_IW_GRDH_1SDV_20190511T110621_20190511T110646_02716{number}_030F3A_B81C", "radar", state="failed"
        )
    return remembered.page(fields_manifest())


def overlaps(boxes):
    return [
        (a, b)
        for i, a in enumerate(boxes)
        for b in boxes[i + 1 :]
        if a[0] < b[2] - 1 and b[0] < a[2] - 1 and a[1] < b[3] - 1 and b[1] < a[3] - 1
    ]


def test_it_fits_every_window_and_axe_finds_nothing(browser, crowded):
    page = browser.open(crowded)
    for width, height in ((320, 800), (390, 844), (700, 900), (768, 1024), (1024, 768), (1440, 900)):
        page.look(width=width, height=height)
        page.drawn()
        assert page.js("return document.documentElement.scrollWidth") <= width, width
        assert page.js("const of = document.getElementById('details'); return of.scrollWidth - of.clientWidth") == 0
        assert page.js("return document.documentElement.scrollHeight") < 14_000, width
        lines = page.js("return Math.max(...[...document.querySelectorAll('.list .id')].map((e) => e.clientHeight))")
        assert lines < 110, f"an id is in {lines} px at {width}"
        assert page.js("return document.getElementById('map').clientWidth") > min(width, 1000) * 0.35
    below = page.js("return ['#coverage', '#map'].map((s) => document.querySelector(s).getBoundingClientRect().top)")
    assert max(below) < 500, "the calendar and the map are in the first window"
    for look in (
        {"width": 1440},
        {"width": 1440, "dark": True},
        {"width": 390, "dark": True, "forced": True},
        {"width": 390},
    ):
        page.look(**look)
        page.drawn()
        assert page.problems() == [], look


def test_labels_leave_each_other_room(browser, crowded):
    page = browser.open(crowded)
    for width in (390, 1440):
        page.look(width=width)
        page.until("return report.map.getSize().x === document.getElementById('map').clientWidth")
        labels = page.js(f"return ({BOXES})('.place.aoi')")
        assert len(labels) >= 4
        assert overlaps(page.js(f"return ({BOXES})('.place, .leaflet-control')")) == []
    page.js("document.getElementById('areas').value = arguments[0];", str(list(FIELDS).index("nakuru")))
    page.js("document.getElementById('areas').dispatchEvent(new Event('change'))")
    assert "nakuru" in page.text("#map .place.aoi")
    assert "Nakuru" in page.js("return [...document.querySelectorAll('.place.city')].map((e) => e.innerText)")


def test_failures_come_first_and_long_tables_have_pages(browser, crowded):
    page = browser.open(crowded)
    titles = page.js("return [...document.querySelectorAll('.list .caption h2')].map((e) => e.innerText)")
    assert titles[:3] == ["Failures", "Orders from the long-term archive", "List of scenes"]
    assert page.js(
        "return ['failures', 'orders'].map((n) => document.querySelectorAll(`#${n}-table tbody tr`).length)"
    ) == [10, 10]
    page.js("document.querySelector('#failures-pager button:last-child').focus()")
    from selenium.webdriver.common.keys import Keys

    for _ in range(6):
        page.keys(Keys.ENTER)
    assert page.text("#failures-pager span") == "31\N{EN DASH}31 of 31"
    assert page.js("return document.activeElement.innerText") == "Next", "the focus stays on a button that is off"
    assert page.js("return document.activeElement.getAttribute('aria-disabled')") == "true"


def test_print_has_an_overview_everything_and_the_filter(browser, crowded):
    page = browser.open(crowded)
    page.click("[data-only='dataset'][data-value='0']")
    shown = page.shown()
    pdf = base64.b64decode(page.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"])
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) > 3
    page.js("dispatchEvent(new Event('beforeprint'))")
    page.look(width=695, media="print")
    assert page.js("return document.documentElement.scrollWidth") <= 695
    display = "(s) => getComputedStyle(document.querySelector(s)).display"
    assert page.js(f"return ['.filters', '.pager', '#theme', '.copy'].map({display})") == ["none"] * 4
    assert page.text("#printed-filter") == f"Filtered: dataset optical. {shown} of 174 scenes are shown."
    assert page.js("return document.querySelectorAll('#scenes tbody tr').length") == shown
    assert page.js("return document.querySelectorAll('#failures-table tbody tr').length") == 31
    assert page.js("return document.querySelector('#timeline canvas').clientWidth") <= 690
    foot = page.js("return document.querySelector('.map-panel').getBoundingClientRect().bottom")
    assert foot < 1024, "the overview is one page of A4"
    assert page.js("return getComputedStyle(document.querySelector('.timeline')).breakBefore") == "page"
    page.look()
    page.js("dispatchEvent(new Event('afterprint'))")
    assert page.js("return document.querySelectorAll('#scenes tbody tr').length") == 25


def test_what_is_left_out_on_paper_is_named(browser):
    remembered = Remembered()
    for number in range(501):
        remembered.add(f"SCENE-{number}", "optical", days=number)
    page = browser.open(remembered.page())
    page.js("dispatchEvent(new Event('beforeprint'))")
    assert page.js("return document.querySelector('.left-out').textContent").startswith(
        "The first 500 of 501 rows are printed."
    )
    page.js("dispatchEvent(new Event('afterprint'))")
    assert page.js("return document.querySelector('.left-out')") is None


def test_long_names_and_characters_that_cannot_be_seen(browser):
    remembered = Remembered()
    remembered.add("BIDI\u202e\u0007X", "optical", footprint=box(-1, 51), cloud=10)
    remembered.add("LONG" * 30, "optical", state="failed", footprint=box(-1, 51))
    page = browser.open(remembered.page(MANIFEST.replace("dataset.radar", f"dataset.{'r' * 64}")), width=390)
    assert page.js("return document.documentElement.scrollWidth") <= 390
    assert "BIDI\\u202e\\x07X" in page.text("#scenes tbody")
    assert "\u202e" not in page.js("return document.body.innerText")
    assert "2019-05-31 13:06 UTC" in page.text(".facts")
