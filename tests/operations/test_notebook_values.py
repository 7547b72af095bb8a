"""How a mirror and its status look in a notebook, and the progress bar of Python."""

import sys
import threading
from html.parser import HTMLParser

import pytest
from tqdm import TMonitor

import sedas_sync as ss
from sedas_sync.model.html import SHOWN
from sedas_sync.results import Failure
from sedas_sync.sandbox import Faults, RowCatalogue, Rule, make_row
from sedas_sync.sandbox.faults import fail

START = "2019-05-02T11:00:00Z"
LOGIN = {"username": "sandbox", "password": "sandbox"}


class Page(HTMLParser):
    """The texts of a page, and its tags, each closed in order."""

    def __init__(self, html):
        super().__init__()
        self.texts, self.tags, self.open = [], set(), []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_mirror_and_status_are_tables(manifest, sandbox):
    sandbox.order_delay = 3600
    sandbox.faults = Faults(rules=(Rule("download", fail(404), ids={"B"}),))
    with ss.Mirror(manifest) as mirror:
        asked = sandbox.logins
        page = Page(mirror._repr_html_())
        assert {"optical", "radar", "harwell", "2019-04-30"} <= set(page.texts)
        assert not mirror.root.exists()
        assert sandbox.logins == asked, "no request"
        mirror.apply(mirror.plan(), wait=False)
        page = Page(mirror.status()._repr_html_())
    assert page.tags == {"p", "table", "thead", "tbody", "tr", "th", "td", "details", "summary"}
    assert {"1 order", "2 problems", "optical", "C"} <= set(page.texts)
    assert any("not up to date" in text for text in page.texts)


def test_values_are_escaped_and_long_tables_are_cut(manifest):
    with ss.Mirror(manifest) as mirror:
        status = mirror.status()
    from msgspec.structs import replace

    many = tuple(Failure(id=f"<b>{n}", error="<script>") for n in range(SHOWN + 50))
    html = replace(status, failures=many, mirror="/a&b")._repr_html_()
    assert "<b>" not in html
    assert "<script>" not in html
    assert "/a&amp;b" in html
    orders = tuple(ss.Order(order=str(n), id=f"S{n}", placed=mirror._opened.clock()) for n in range(SHOWN + 50))
    assert "and 50 more" in Page(replace(status, orders=orders)._repr_html_()).texts


def test_progress_is_shown_if_asked_for(manifest, capsys):
    with ss.Mirror(manifest) as mirror:
        result = mirror.apply(mirror.plan(), progress=True)
        assert result.fetched == 3
        shown = capsys.readouterr().err
        assert "Scenes: 100%" in shown
        assert "3/3" in shown
        assert not [thread for thread in threading.enumerate() if isinstance(thread, TMonitor)]
        assert mirror.sync(progress=True).kept == 3
        assert capsys.readouterr().err == "", "nothing to do, no bar"


def test_no_progress_outside_a_notebook(manifest, capsys, sandbox, tmp_path):
    with ss.Mirror(manifest) as mirror:
        mirror.sync()
    with ss.SedasArchive(url=sandbox.url, **LOGIN) as archive:
        list(ss.fetch([archive.product("A")], tmp_path, archive=archive))
    assert capsys.readouterr().err == ""


def test_fetch_shows_progress_and_failures(sandbox, capsys, tmp_path):
    sandbox._catalogue = RowCatalogue([make_row(name, START) for name in "AB"])
    sandbox.faults = Faults(rules=(Rule("download", fail(404), ids={"B"}),))
    events = []
    with ss.SedasArchive(url=sandbox.url, **LOGIN) as archive:
        scenes = [archive.product(name) for name in "AB"]
        with pytest.raises(ss.TransferError):
            list(ss.fetch(scenes, tmp_path, archive=archive, progress=True, on_event=events.append))
    assert isinstance(events[-1], ss.Summary)
    shown = capsys.readouterr().err
    assert "1/2" in shown
    assert "1 failed" in shown


class Shell:
    kernel = object()


@pytest.mark.parametrize(("shell", "shown"), [(Shell(), True), (object(), False), (None, False)])
def test_a_notebook_is_a_shell_with_a_kernel(manifest, capsys, monkeypatch, shell, shown):
    from types import SimpleNamespace

    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    with ss.Mirror(manifest) as mirror:
        mirror.apply(mirror.plan())
    assert ("3/3" in capsys.readouterr().err) is shown
