"""A browser that looks at reports."""

import base64
import functools
import io
import json
import os
import shutil
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image

AXE = Path(sys.prefix) / "axe"
"""The Makefile downloads a package that contains axe-core."""


@functools.cache
def axe_core():
    """The script of axe-core, which finds problems of access."""
    found = sorted(AXE.glob("axe_playwright_python-*.whl"))
    if not found:
        pytest.fail("axe-core is missing: `make test` fetches it, and so does `make .venv/.axe`")
    with zipfile.ZipFile(found[-1]) as package:
        return package.read("axe_playwright_python/axe.min.js").decode()


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

    def open(self, html, *, width=1280, height=900, view=""):
        file = self.folder / "report.html"
        file.write_bytes(html.encode("utf-8", "xmlcharrefreplace"))
        self.look(width=width, height=height)
        self.log()
        # Another part of the same address is no new page.
        self.driver.get("about:blank")
        self.driver.get(file.as_uri() + view)
        self.until("return document.documentElement.dataset.ready === 'true'")
        return self

    def look(self, *, width=1280, height=900, dark=False, forced=False, media=""):
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = {
            "prefers-color-scheme": "dark" if dark else "light",
            "prefers-reduced-motion": "reduce",
            "forced-colors": "active" if forced else "none",
        }
        named = [{"name": name, "value": value} for name, value in features.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": named})

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

    def problems(self):
        """What axe-core finds, without the map's own controls."""
        if not self.js("return 'axe' in window"):
            self.js(axe_core())
        found = self.driver.execute_async_script(
            "const done = arguments[0];"
            "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})"
            ".then((result) => done(result.violations.map((v) => [v.id, v.nodes.length, v.nodes[0].html.slice(0, 150)"
            "])))"
        )
        return [tuple(one) for one in found]

    def log(self):
        """What the page has said on the console, and every address that was asked for, since the last time."""
        said = [entry["message"] for entry in self.driver.get_log("browser")]
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
        return said, [url for url in asked if not url.startswith(("data:", "about:"))]


def opened_browser(folder, profile):
    """Start the browser; `folder` is for reports."""
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
    options.add_argument(f"--user-data-dir={profile}")
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    opened = webdriver.Chrome(options=options, service=Service(driver))
    return Page(opened, folder)
