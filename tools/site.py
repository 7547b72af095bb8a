"""Complete the site that zensical has built: `make docs`.

- Keys of a manifest get entries of their own in the search, so that their reference is found first.
- A report of a mirror is there to try: the start page links to it.

The site is in `site/` of the folder that this is run in.
"""

import json
import re
import tempfile
from html import unescape
from pathlib import Path

import sedas_sync as ss

REPORT = "example-report.html"
_ROW = re.compile(
    r'<td[^>]*><a id="(?P<anchor>[^"]+)"></a><code>(?P<key>[^<]+)</code></td>(?P<rest>.*?)</tr>', re.DOTALL
)
_MANIFEST = """
version = 1
[archive]
type = "sandbox"
[aoi.harwell]
bbox = [-1.33, 51.56, -1.30, 51.59]
[aoi.lothian]
bbox = [-3.2, 55.8, -2.9, 55.95]
[aoi.suva]
bbox = [178.3, -18.2, 178.6, -17.9]
[dataset.optical]
aoi = ["harwell", "lothian", "suva"]
start = 2019-04-01
end = 2019-07-31
sensor = "optical"
max_cloud_cover = 60
reprocessed = "newest"
[dataset.radar]
aoi = ["harwell", "lothian", "suva"]
start = 2019-04-01
end = 2019-07-31
sensor = "sar"
product_type = "GRD"
"""


def add_keys_to_search(site: Path) -> int:
    """Add an entry for each row with an anchor in the tables of the reference; return how many there are."""
    index = json.loads((site / "search.json").read_text("utf-8"))
    pages = {item["location"]: item for item in index["items"]}
    new = []
    for place in sorted((site / "reference").glob("*.html")):
        location = place.relative_to(site).as_posix()
        for row in _ROW.finditer(place.read_text("utf-8")):
            text = unescape(re.sub(r"<[^>]+>", " ", row["rest"])).strip()
            new.append({"location": f"{location}#{row['anchor']}", "level": 2, "title": row["key"], "text": text})
            new[-1] |= {"path": pages[location]["path"], "tags": []}
    index["items"] += new
    text = json.dumps(index, ensure_ascii=False, separators=(",", ":"))
    (site / "search.json").write_text(text, "utf-8")
    # Read from disk, where a page may not fetch a file.
    (site / "search.js").write_text(f"var __index = {text}", "utf-8")
    return len(new)


def add_report(site: Path) -> None:
    """Fill a mirror from the sandbox, and write its report beside the start page, which links to it."""
    with tempfile.TemporaryDirectory() as folder, ss.Mirror(ss.parse_manifest(_MANIFEST, base=folder)) as mirror:
        mirror.sync(wait=False)
        mirror.report(site / REPORT)
    start = site / "index.html"
    # The address is whole for readers elsewhere; from disk, and below any other address, the page is beside this one.
    start.write_text(re.sub(rf'"https://[^"]+/{REPORT}"', f'"{REPORT}"', start.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    print(f"{add_keys_to_search(Path('site'))} keys in the search")
    add_report(Path("site"))
