"""A manifest over three scenes, one of them in the long-term archive."""

import pytest

import sedas_sync as ss
from sedas_sync.sandbox import RowCatalogue, make_row


@pytest.fixture
def manifest(workspace, sandbox, monkeypatch):
    """The manifest of a workspace; the scenes A, B and C were acquired on one day, and C has to be ordered."""
    for name, value in workspace.env.items():
        monkeypatch.setenv(name, value)
    rows = [make_row(name, "2019-05-02T11:00:00Z", online=name != "C") for name in "ABC"]
    sandbox._catalogue = RowCatalogue(rows)
    return ss.load_manifest(workspace.write())
