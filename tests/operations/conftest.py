"""What the tests of operations share: a mirror of three scenes, and one whose time passes."""

import pytest
from clocks import Clock, Weeks

import sedas_sync as ss
from sedas_sync.sandbox import RowCatalogue, Sandbox, make_row


@pytest.fixture
def manifest(workspace, sandbox, monkeypatch):
    """The manifest of a workspace; the scenes A, B and C were acquired on one day, and C has to be ordered."""
    for name, value in workspace.env.items():
        monkeypatch.setenv(name, value)
    rows = [make_row(name, "2019-05-02T11:00:00Z", online=name != "C") for name in "ABC"]
    sandbox._catalogue = RowCatalogue(rows)
    return ss.load_manifest(workspace.write())


@pytest.fixture
def weeks(tmp_path, monkeypatch):
    """A mirror over weeks: its folder, a sandbox, and the clock of both."""
    monkeypatch.setenv("SEDAS_USERNAME", "sandbox")
    monkeypatch.setenv("SEDAS_PASSWORD", "sandbox")
    clock = Clock("2026-03-01")
    with Sandbox(clock=clock.posix) as sandbox:
        yield Weeks(tmp_path, sandbox, clock)
