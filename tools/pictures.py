"""Draw the pictures of the documentation: `make pictures`.

Those of a terminal show real runs against the embedded archive. Those of a report show twelve made-up fields.
"""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import groupby
from pathlib import Path
from random import Random
from typing import Any
from xml.sax.saxutils import escape

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from report_browser import opened_browser  # noqa: E402  # found by the line above
from report_values import FIELDS, START, Remembered, box, fields_manifest  # noqa: E402
from terminal import Terminal  # noqa: E402

from sedas_sync.sandbox import Sandbox  # noqa: E402
from sedas_sync.sandbox.faults import Faults, Rule, slow  # noqa: E402

MANIFEST = """\
version = 1

[archive]
type = "sedas"
url = "{url}"

[aoi.harwell]
wkt = "POLYGON ((-1.3295 51.5881, -1.3013 51.5872, -1.3020 51.5621, -1.3300 51.5622, -1.3295 51.5881))"

[dataset.optical]
aoi = "harwell"
start = 2019-04-01
end = 2019-06-30
sensor = "optical"
max_cloud_cover = 50

[dataset.radar]
aoi = "harwell"
start = 2019-05-04
end = 2019-05-10
sensor = "sar"
"""

_COLOURS = {
    "red": "#f47067",
    "green": "#8ddb8c",
    "brown": "#daaa3f",
    "magenta": "#dcbdfb",
    "cyan": "#76e3ea",
}
_WIDE, _HIGH, _EDGE = 8.4, 18, 14
_FONT = """font-family="ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="14\""""
_SHOWN_AT = "/home/ann/fields"


def styled(screen: Any, row: int) -> list[tuple[str, str, bool]]:
    """Return a line of the screen as runs of one style: text, colour, bold."""
    cells = [screen.buffer[row][column] for column in range(screen.columns)]
    runs = groupby(cells, key=lambda cell: (cell.fg, cell.bold))
    return [("".join(cell.data for cell in same), _COLOURS.get(fg, ""), bold) for (fg, bold), same in runs]


def svg(command: str, lines: list[list[tuple[str, str, bool]]], columns: int) -> str:
    """Return a picture of a command and the lines it printed."""
    prompt = [[("$ ", "#768390", False), (command, "", True)]]
    width, height = columns * _WIDE + 2 * _EDGE, (len(lines) + 1) * _HIGH + 2 * _EDGE
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" {_FONT}>',
        f"<title>{escape(command)}</title>",
        f'<rect width="{width:.0f}" height="{height}" rx="8" fill="#22272e"/>',
    ]
    for number, runs in enumerate(prompt + lines):
        drawn += list(_texts(runs, _EDGE + _HIGH * (number + 0.75)))
    return "\n".join([*drawn, "</svg>", ""])


def _texts(runs: list[tuple[str, str, bool]], y: float) -> Iterator[str]:
    column = 0
    for text, colour, bold in runs:
        stripped = text.strip()
        if stripped:
            x = _EDGE + _WIDE * (column + len(text) - len(text.lstrip()))
            weight = ' font-weight="bold"' if bold else ""
            # The length keeps columns aligned in any font.
            yield (
                f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour or "#cdd9e5"}"{weight} xml:space="preserve" '
                f'textLength="{len(stripped) * _WIDE:.1f}" lengthAdjust="spacingAndGlyphs">{escape(stripped)}</text>'
            )
        column += len(text)


class Studio:
    """Runs commands in a folder, and draws what they show.

    Args:
        folder: the folder in which commands run.
        server: the archive.
    """

    def __init__(self, folder: Path, server: Sandbox) -> None:
        self.folder = folder
        inherited = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG")}
        account = {"SEDAS_USERNAME": "sandbox", "SEDAS_PASSWORD": "sandbox"}
        self.environment = {"LANG": "C.UTF-8", **inherited, **account, "HOME": str(folder)}
        (folder / "manifest.toml").write_text(MANIFEST.format(url=server.url))
        self._url = server.url

    def run(self, *arguments: str, columns: int = 96, rows: int = 40) -> Terminal:
        """Start the command in a terminal."""
        command = [sys.executable, "-m", "sedas_sync", *arguments]
        return Terminal(command, cwd=self.folder, env=self.environment, columns=columns, rows=rows)

    def picture(self, name: str, command: str, shown: Terminal) -> None:
        """Draw the screen as it is now."""
        lines = [
            [(self._public(text), colour, bold) for text, colour, bold in styled(shown.screen, row)]
            for row in range(len(shown.lines))
        ]
        (ROOT / "docs" / "images" / f"{name}.svg").write_text(
            svg(command, lines, shown.screen.columns), encoding="utf-8"
        )

    def _public(self, text: str) -> str:
        return text.replace(str(self.folder), _SHOWN_AT).replace(self._url, "https://geobrowser.satapps.org/api/")


def fields() -> Remembered:
    """Return a mirror of twelve fields over seven months, of which one has not been seen for long."""
    chance, mirror = Random(7), Remembered()  # noqa: S311  # not a secret
    for name, (x, y) in FIELDS.items():
        for day in range(0, 210, 5):
            if name == "lothian" and 60 < day < 110:  # noqa: PLR2004  # the gap
                continue
            radar = chance.random() < 0.4  # noqa: PLR2004  # as below, shares of the scenes
            luck = chance.random()
            state = "pending" if luck < 0.07 else "failed" if luck < 0.075 else "missing" if luck < 0.09 else "held"  # noqa: PLR2004
            mirror.add(
                f"S{2 - radar}A_{START + timedelta(days=day - 180):%Y%m%d}_{name.upper()}",
                "radar" if radar else "optical",
                state=state,
                footprint=box(x - chance.uniform(0.2, 0.8), y - chance.uniform(0.2, 0.8), 1, 1),
                days=day - 180 + chance.random(),
                cloud=None if radar else round(chance.triangular(0, 100, 8), 1),
                size=chance.randrange(300_000_000, 900_000_000),
            )
    return mirror


def report_pictures(folder: Path) -> None:
    """Draw the report, and its dark theme on a phone."""
    browser = opened_browser(folder, folder / "profile")
    read = START + timedelta(days=34, hours=5)
    clock = {"source": f"Date.now = () => {read.timestamp() * 1000}"}
    try:
        browser.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", clock)
        browser.open(fields().page(fields_manifest()), width=1440, height=1250)
        browser.drawn()
        browser.picture().save(ROOT / "docs" / "images" / "report.webp", quality=82, method=6)
        browser.look(width=390, height=844, dark=True)
        browser.js("document.querySelector('.coverage').scrollIntoView({behavior: 'instant'})")
        browser.drawn()
        browser.picture().save(ROOT / "docs" / "images" / "report-dark.webp", quality=82, method=6)
    finally:
        browser.driver.quit()


def main() -> None:
    """Draw all pictures."""
    folder = Path(tempfile.mkdtemp(prefix="sedas-sync-pictures-"))
    with Sandbox(order_delay=6) as server:
        studio = Studio(folder, server)
        shown = studio.run("plan")
        shown.wait()
        studio.picture("plan", "sedas-sync plan", shown)
        server.faults = Faults(rules=(Rule("download", slow(14_000)),))
        shown = studio.run("apply", "--yes", rows=12)
        shown.wait_for(lambda lines: any(line.startswith(("4/", "5/", "6/")) for line in lines))
        # Give each bar something to show.
        time.sleep(1.5)
        studio.picture("apply", "sedas-sync apply --yes", shown)
        shown.type("\x03")
        shown.wait()
        studio.picture("interrupted", "sedas-sync apply --yes", shown)
        shown = studio.run("status")
        shown.wait()
        studio.picture("status", "sedas-sync status", shown)
    report_pictures(folder)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
