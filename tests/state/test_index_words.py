"""An index that cannot be written says so in words, and keeps what it had."""

from datetime import UTC, datetime

import pytest

from sedas_sync.errors import SedasSyncError
from sedas_sync.files.safe_tree import STATE
from sedas_sync.model.local import LocalScene, ProofLevel
from sedas_sync.state.index import Index, WritableIndex

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def held(number):
    return LocalScene(
        id=f"S{number}", path=f"S{number}.zip", size=1, mtime_ns=1, sha256="0" * 64, level=ProofLevel.CRC, archive="a",
        facts="x" * 1000,
    )  # fmt: skip


def test_a_full_disk(tmp_path):
    (tmp_path / STATE).mkdir()
    with WritableIndex(tmp_path) as index:
        index.put_files([held(0)], NOW)
        (pages,) = index._db.execute("PRAGMA page_count").fetchone()
        index._db.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(SedasSyncError, match="cannot be written: the disk is full; free some space"):
            index.put_files([held(number) for number in range(1, 100)], NOW)
    with Index(tmp_path) as index:
        assert "S0" in {item.id for item in index.local_scenes()}
