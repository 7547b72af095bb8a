"""An index that cannot be written says so in words, and keeps what it had."""

import os
from datetime import UTC, datetime

import pytest

from sedas_sync.applylock import _describe, lock
from sedas_sync.errors import SedasSyncError
from sedas_sync.index import Index
from sedas_sync.memory import STATE
from sedas_sync.model import Holding, Level

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def held(number):
    return Holding(
        id=f"S{number}", path=f"S{number}.zip", size=1, mtime_ns=1, sha256="0" * 64, level=Level.CRC, archive="a",
        facts="x" * 1000,
    )  # fmt: skip


def test_a_full_disk(tmp_path):
    (tmp_path / STATE).mkdir()
    with Index(tmp_path, write=True) as index:
        index.put_files([held(0)], NOW)
        (pages,) = index._db.execute("PRAGMA page_count").fetchone()
        index._db.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(SedasSyncError, match="cannot be written: the disk is full; free some space"):
            index.put_files([held(number) for number in range(1, 100)], NOW)
    with Index(tmp_path, write=False) as index:
        assert "S0" in {item.id for item in index.holdings()}


def test_who_holds_a_lock_may_take_a_moment_to_say_so(tmp_path):
    path = tmp_path / "apply.lock"
    path.touch()
    file = os.open(path, os.O_RDONLY)
    waited = []

    def sleep(seconds):
        waited.append(seconds)
        if len(waited) == 2:
            path.write_text('{"pid": 7, "host": "here", "since": "2019-05-01T00:00:00+00:00"}')

    assert _describe(file, sleep) == "process 7 on here, since 2019-05-01T00:00:00+00:00"
    path.write_text("")
    waited.clear()
    assert _describe(file, waited.append) == "it has not said who it is"
    assert 0.4 < sum(waited) <= 0.5
    os.close(file)


def test_a_lock_that_is_given_back_names_nobody(tmp_path):
    (tmp_path / ".sedas-sync").mkdir()
    path = tmp_path / ".sedas-sync" / "apply.lock"
    with lock(tmp_path, timeout=0.0, now=datetime(2019, 5, 1, tzinfo=UTC)), path.open("rb") as file:
        assert "process" in _describe(file.fileno())
    assert not path.read_bytes()
