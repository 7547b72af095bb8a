"""The site of the documentation, built as `make docs` does and looked at in a browser."""

import functools
import re
import shutil
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from effort import effort

ROOT = Path(__file__).parents[2]
BELOW = "sedas-sync"
"""The path of `site_url`."""
RESULTS = """
const seen = [];
const look = (root) => root.querySelectorAll("*").forEach((element) => {
  if (element.tagName === "A" && element.offsetParent && /[?&]h=/.test(element.href)) seen.push(element.href);
  if (element.shadowRoot) look(element.shadowRoot);
});
look(document);
return seen;
"""


def is_built():
    """Whether `make docs` has built the site from the files as they are now."""
    stamp, parts = Path(sys.prefix) / ".site", [ROOT / "zensical.toml"]
    for folder in ("docs", "sedas_sync", "tools"):
        parts += [file for file in (ROOT / folder).rglob("*") if file.is_file() and file.suffix != ".pyc"]
    newest = max(file.stat().st_mtime for file in parts)
    return (ROOT / "site").is_dir() and stamp.is_file() and stamp.stat().st_mtime >= newest


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site; its parent is a root of a server that has other things too."""
    pytest.importorskip("zensical", reason="`make docs` installs what builds the site, and CI does that first")
    folder = tmp_path_factory.mktemp("site")
    if is_built():
        (folder / BELOW).symlink_to(ROOT / "site")
        return folder / BELOW
    shutil.copytree(ROOT / "docs", folder / "docs")
    shutil.copytree(ROOT / "tools" / "site", folder / "tools" / "site")
    shutil.copy(ROOT / "zensical.toml", folder)
    for command in ("-m zensical build --clean --strict", f"{ROOT / 'tools' / 'site.py'}"):
        subprocess.run([sys.executable, *command.split()], cwd=folder, check=True, capture_output=True, timeout=300)
    return (folder / "site").rename(folder / BELOW)


@pytest.fixture(scope="module")
def address(site):
    """The site on a server, below a path; what is not there is answered with `404.html`, as hosts of pages do."""

    class Handler(SimpleHTTPRequestHandler):
        def send_error(self, code, *_):
            page = (site / "404.html").read_bytes()
            self.send_response(code)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=site.parent))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/{BELOW}"
    server.shutdown()
    server.server_close()


def pages(site):
    return {page.relative_to(site).as_posix(): page.read_text("utf-8") for page in site.rglob("*.html")}


def test_each_page_has_its_own_title_and_description(site):
    shown = {name: text for name, text in pages(site).items() if name not in ("404.html", "example-report.html")}
    for what in (r"<title>(.*?)</title>", r'<meta name="description" content="(.*?)"'):
        found = {name: re.findall(what, text, re.DOTALL) for name, text in shown.items()}
        assert all(len(one) == 1 and one[0].strip() for one in found.values()), found
        assert len({one[0] for one in found.values()}) == len(shown)
    assert "sedas-sync: mirror satellite scenes with a manifest" in shown["index.html"]


def test_pages_load_nothing_from_other_sites_and_show_no_markup(site):
    for name, text in pages(site).items():
        if name != "example-report.html":
            loaded = re.findall(r'<(?:script|img|iframe)[^>]* src="(https?:[^"]+)"', text)
            loaded += re.findall(r'<link[^>]* rel="(?:stylesheet|icon|preconnect)"[^>]*href="(https?:[^"]+)"', text)
            assert not loaded, name
            assert "\\|" not in re.sub(r"<pre.*?</pre>", "", text, flags=re.DOTALL), name


@pytest.mark.parametrize("key", ["max_cloud_cover", *effort([], ["max_download", "reprocessed", "stall_timeout"])])
def test_the_search_finds_the_reference_of_a_key_first_also_from_disk(site, address, browser, key):
    for start in (f"{(site / 'index.html').as_uri()}", f"{address}/index.html"):
        browser.look()
        browser.driver.get("about:blank")
        browser.log()
        browser.driver.get(start)
        browser.until("return document.readyState === 'complete'")
        browser.click(".md-search__button")
        browser.until("return document.activeElement.shadowRoot || document.activeElement.tagName === 'INPUT'")
        browser.keys(key)
        # Results follow the typing with some delay.
        first = rf"/reference\/manifest\.html\?h={key}#\w+\.{key}$/.test(seen[0])"
        browser.until(RESULTS.replace("return seen;", f"return {first};"))
        said, asked = browser.log()
        assert not said
        assert not [url for url in asked if not url.startswith((start.rpartition("/")[0], "blob:"))]


def test_the_theme_follows_the_system(address, browser):
    scheme = "return document.body.dataset.mdColorScheme"
    browser.driver.get(f"{address}/index.html")
    for dark in (False, True, False):
        browser.look(dark=dark)
        browser.until(f"{scheme} === '{'slate' if dark else 'default'}'")


def test_the_start_page_opens_a_live_report(site, browser):
    browser.driver.get((site / "index.html").as_uri())
    browser.js("document.querySelector('a[href=\"example-report.html\"]').click()")
    browser.until("return document.documentElement.dataset.ready === 'true'")
    assert browser.shown() > 100


def test_a_page_that_does_not_exist_has_a_way_on(address, browser):
    browser.log()
    browser.driver.get(f"{address}/how-to/no/such/page.html")
    assert browser.text("article h1") == "This page does not exist"
    failed = [line for line in browser.log()[0] if "no/such/page" not in line]
    assert not failed, "its style and its scripts are found from below a path"
    browser.click("article li a")
    assert browser.driver.title.startswith("sedas-sync: mirror")
