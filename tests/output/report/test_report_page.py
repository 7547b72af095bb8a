"""The report in a real browser: what it draws, filters, tells and refuses to run. One browser for all of it."""

import base64
import io
import json
import os
import shutil

import pytest
from PIL import Image
from report_values import MANIFEST, Remembered, box

HOSTILE = '"><img src=x onerror="window.pwned=1"></code></script><script>window.pwned=1</script>'
GREY = 12
COLOURS_OF_THE_TIMELINE = """
const canvas = document.querySelector('#timeline canvas');
const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
const seen = new Set();
for (let i = 0; i < data.length; i += 4) if (data[i + 3] === 255) seen.add([data[i], data[i + 1], data[i + 2]].join());
return [...seen];
"""
PROBLEMS_OF_ACCESS = """
const bad = [];
const all = (selector) => [...document.querySelectorAll(selector)];
const ids = all('[id]').map((e) => e.id);
if (new Set(ids).size !== ids.length) bad.push('an id twice');
for (const name of ['aria-labelledby', 'aria-describedby'])
  for (const e of all(`[${name}]`))
    for (const id of e.getAttribute(name).split(' '))
      if (!document.getElementById(id)) bad.push(`${name} of nothing: ${id}`);
for (const e of all('button, input, a[href]')) {
  const label = e.labels ? [...e.labels].map((l) => l.textContent).join('') : '';
  const name = e.getAttribute('aria-label') || e.innerText || e.title || label;
  if (!name || !name.trim()) bad.push(`no name: ${e.outerHTML.slice(0, 80)}`);
}
for (const e of all('thead th')) if (e.scope !== 'col') bad.push('a head without scope');
for (const e of all('main svg')) {
  if (e.getAttribute('aria-hidden') !== 'true' && !e.closest('#map')) bad.push('a picture without words');
}
const levels = all('h1, h2, h3').map((h) => Number(h.tagName[1]));
levels.forEach((level, i) => { if (i && level > levels[i - 1] + 1) bad.push('a heading is left out'); });
return bad;
"""


def browser_programs():
    """Chromium and its driver, which `.ci/run` installs."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        message = "NO BROWSER: the report page is not tested; install Debian's chromium and chromium-driver"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return browser, driver


class Page:
    """The browser, looking at a report."""

    def __init__(self, driver, folder):
        self.driver = driver
        self.folder = folder

    def open(self, html, *, width=1280, height=900, dark=False):
        file = self.folder / "report.html"
        file.write_bytes(html.encode("utf-8", "xmlcharrefreplace"))
        self.look(width=width, height=height, dark=dark)
        self.log()
        self.driver.get(file.as_uri())
        self.until("return document.documentElement.dataset.ready === 'true'")
        return self

    def look(self, *, width=1280, height=900, dark=False):
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme, still]})

    def js(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def until(self, script):
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.driver, 60, poll_frequency=0.05).until(lambda _: self.js(script))

    def drawn(self):
        """Wait until the browser has painted what is due."""
        self.driver.execute_async_script(
            "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done()))"
        )

    def click(self, selector):
        from selenium.webdriver.common.by import By

        self.driver.find_element(By.CSS_SELECTOR, selector).click()

    def keys(self, *keys):
        from selenium.webdriver import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def text(self, selector):
        return self.js("return document.querySelector(arguments[0]).innerText", selector)

    def shown(self):
        return int(self.js("return document.documentElement.dataset.shown"))

    def picture(self):
        """The window, as pixels."""
        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {})
        return Image.open(io.BytesIO(base64.b64decode(shot["data"]))).convert("RGB")

    def at(self, longitude, latitude):
        """Where in the window a place of the map is."""
        self.js("document.getElementById('map').scrollIntoView({block: 'center', behavior: 'instant'})")
        return self.js(
            "const box = document.getElementById('map').getBoundingClientRect();"
            "const at = report.map.latLngToContainerPoint([arguments[1], arguments[0]]);"
            "return [Math.round(box.left + at.x), Math.round(box.top + at.y)]",
            longitude,
            latitude,
        )

    def colour_at(self, longitude, latitude):
        place = self.at(longitude, latitude)
        self.drawn()
        return self.picture().getpixel(tuple(place))

    def point(self, place, *, press=False):
        from selenium.webdriver import ActionChains
        from selenium.webdriver.common.actions.action_builder import ActionBuilder

        actions = ActionBuilder(self.driver, duration=0)
        actions.pointer_action.move_to_location(*place)
        if press:
            actions.pointer_action.click()
        actions.perform()
        ActionChains(self.driver).perform()

    def log(self):
        """What the page has said on the console, and every address that was asked for, since the last time."""
        said = [entry["message"] for entry in self.driver.get_log("browser")]
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
        return said, [url for url in asked if not url.startswith("data:")]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    program, driver = browser_programs()
    options = webdriver.ChromeOptions()
    options.binary_location = program
    options.add_argument("--headless=new")
    options.add_argument("--hide-scrollbars")
    options.add_argument("--disable-gpu")
    options.add_argument("--disable-dev-shm-usage")
    options.add_argument("--disable-background-networking")
    options.add_argument("--force-color-profile=srgb")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    opened = webdriver.Chrome(options=options, service=Service(driver))
    yield Page(opened, tmp_path_factory.mktemp("report"))
    opened.quit()


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
    land, held, pending = page.colour_at(-2.6, 52.6), page.colour_at(-1.5, 51.8), page.colour_at(-0.4, 51.8)
    assert near(land, (247, 245, 239))
    assert held[2] > held[0] + 20, "an optical scene is blue"
    assert pending[2] > pending[0], "and lighter while it is on order"
    assert held[0] < pending[0] < land[0]
    radar = page.colour_at(0.7, 51.8)
    assert radar[0] > radar[2] + 40, "a radar scene is orange"
    canvases = page.js("return document.querySelectorAll('#map canvas').length")
    assert canvases == 3


def test_it_asks_nobody_and_says_nothing_on_the_console(page):
    page.click("[data-dataset='1']")
    page.point(page.at(-1.5, 51.5), press=True)
    page.drawn()
    said, asked = page.log()
    assert said == []
    assert [url for url in asked if not url.endswith("/report.html")] == []


def test_filters_change_what_is_counted_listed_and_drawn(page):
    assert page.shown() == 6
    before = page.colour_at(0.7, 51.8)
    page.click("[data-dataset='1']")
    assert page.shown() == 3
    assert page.text("#count") == "3 of 6 scenes"
    assert not near(page.colour_at(0.7, 51.8), before)
    page.click("[data-dataset='-1']")
    assert page.shown() == 2
    page.click("[data-state='pending']")
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
    chosen = page.js("return document.querySelector('#scenes tr[aria-selected=true]').innerText")
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
    light = page.colour_at(-2.6, 52.6)
    page.look(dark=True)
    page.drawn()
    dark = page.colour_at(-2.6, 52.6)
    assert sum(light) > 700
    assert sum(dark) < 200
    assert page.js("return getComputedStyle(document.body).backgroundColor") == "rgb(16, 21, 27)"
    page.click("#theme")
    assert near(page.colour_at(-2.6, 52.6), light)
    assert page.js("return getComputedStyle(document.body).backgroundColor") == "rgb(246, 247, 249)"


def test_the_keyboard_reaches_a_scene_by_list_and_by_map(page):
    from selenium.webdriver.common.keys import Keys

    page.keys(Keys.TAB)
    assert page.js("return document.activeElement.className") == "skip"
    seen = []
    for _ in range(40):
        page.keys(Keys.TAB)
        seen.append(page.js("const e = document.activeElement; return e.id || e.className || e.tagName"))
        if seen[-1] == "link":
            break
    assert {"theme", "chip", "from", "to", "text", "map"} <= set(seen)
    page.keys(Keys.ENTER)
    assert page.js("return document.activeElement.id") == "details-title"
    assert page.text("#details .id") == "OLD", "the newest comes first"
    page.js("report.map.setView([51.5, 0.7], 8, {animate: false}); document.getElementById('map').focus()")
    page.keys(Keys.ENTER)
    assert page.text("#details .id") == "RADAR-HELD"
    page.js("document.querySelector('.chip').focus()")
    page.keys(Keys.SPACE)
    assert page.shown() == 4
    assert page.js("return document.querySelector('.chip').getAttribute('aria-pressed')") == "false"


def test_it_can_be_read_by_a_screen_reader(page):
    assert page.js(PROBLEMS_OF_ACCESS) == []
    assert page.js("return document.documentElement.lang") == "en"
    assert "6 acquisitions from 2019-05-01 to 2019-05-11" in page.js(
        "return document.getElementById('timeline-text').textContent"
    )


@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_the_window(browser, width):
    page = browser.open(fields().page(), width=width, height=844)
    assert page.js("return document.documentElement.scrollWidth") <= width
    assert page.js("return document.getElementById('map').clientWidth") > width / 2
    page.point(page.at(-1.5, 51.5), press=True)
    assert page.js("return document.querySelector('#details dl').getBoundingClientRect().height") > 50


def test_it_prints_in_light_colours_and_without_its_controls(page):
    page.look(dark=True)
    page.drawn()
    printed = page.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    assert base64.b64decode(printed["data"]).startswith(b"%PDF")
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    display = "(s) => getComputedStyle(document.querySelector(s)).display"
    hidden = page.js(f"return ['.filters', '.pager', '#theme'].map({display})")
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert hidden == ["none"] * 3


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
    assert page.shown() == 0
    assert "Nothing has been applied yet" in page.text("header")
    assert page.log()[0] == []


def test_twenty_thousand_scenes_are_drawn_filtered_and_paged(browser):
    remembered = Remembered()
    for number in range(20_000):
        place = box(-8 + number % 200 / 10, 44 + number // 200 / 10, 0.4, 0.4)
        name = f"S2A_MSIL1C_20190511T110621_N0207_R137_T30UXC_20190511T{number:06d}"
        remembered.add(
            name, "optical" if number % 2 else "radar", footprint=place, days=number / 60, cloud=number % 101
        )
    page = browser.open(remembered.page())
    assert page.shown() == 20_000
    assert page.js("return document.querySelectorAll('#scenes tbody tr').length") == 25
    assert page.js("let n = 0; report.map.eachLayer((l) => { n += l instanceof L.Polygon; }); return n") >= 20_000
    assert page.js("return document.querySelectorAll('*').length") < 2_000
    page.click("[data-dataset='0']")
    assert page.shown() == 10_000
    assert page.text("#page") == "1\N{EN DASH}25 of 10,000"
