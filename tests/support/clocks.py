"""A clock that stands still until a test moves it, and a mirror that lives by it."""

from datetime import UTC, datetime, timedelta

import sedas_sync as ss
from sedas_sync.sandbox import RowCatalogue, make_row


class Clock:
    """Returns its time when it is called, as `Mirror(clock=…)` wants it; `posix` is for `Sandbox(clock=…)`."""

    def __init__(self, start="2026-01-01"):
        self.now = datetime.fromisoformat(start).replace(tzinfo=UTC)

    def __call__(self):
        return self.now

    def posix(self):
        return self.now.timestamp()

    def move(self, **amount):
        """Move the clock by days, hours or seconds."""
        self.now += timedelta(**amount)


class Weeks:
    """A mirror of one dataset with relative dates, and the clock of the mirror and of its sandbox."""

    def __init__(self, path, sandbox, clock):
        self.path, self.sandbox, self.clock = path, sandbox, clock

    def write(self, start, rules="", *, mirror="", archive=""):
        text = (
            f'version = 1\n[archive]\ntype = "sedas"\nurl = "{self.sandbox.url}"\n{archive}'
            f"[aoi.a]\nbbox = [-1.4, 51.5, -1.2, 51.65]\n[transfer]\nretries = 0\n[mirror]\n{mirror}"
            f'[dataset.d]\naoi = "a"\nstart = "{start}"\n{rules}'
        )
        (self.path / "manifest.toml").write_text(text)

    def mirror(self):
        return ss.Mirror(ss.load_manifest(self.path / "manifest.toml"), clock=self.clock)

    def apply(self, *, prune=True, **options):
        with self.mirror() as mirror:
            return mirror.apply(mirror.plan(prune=prune), wait=False, **options)

    @property
    def here(self):
        return {file.stem for file in (self.path / "scenes").glob("*.zip")}

    def offer(self, *rows):
        """Give the sandbox this catalogue."""
        self.sandbox._catalogue = RowCatalogue(rows)

    def row(self, name, days=0, **more):
        """A scene that was acquired these days before the clock's time."""
        return make_row(name, f"{self.clock.now - timedelta(days=days):%Y-%m-%dT11:00:00Z}", **more)
