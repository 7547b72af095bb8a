"""An index that cannot be written says so in words, and keeps what it had."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from sedas_sync.errors import SedasSyncError
from sedas_sync.files.safe_tree import STATE
from sedas_sync.model.files import with_files
from sedas_sync.model.local import LocalFile, LocalScene, PackedFile, ProofLevel
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


def test_an_unpacked_folder_is_read_as_it_was_written(tmp_path):
    (tmp_path / STATE).mkdir()
    file = LocalFile(name="a/b.jp2", size=3, mtime_ns=2, sha256="1" * 64, level=ProofLevel.CRC, crc32=2**32 - 1)
    scene = replace(with_files(held(0), [file]), packed=PackedFile(size=2, sha256="2" * 64, digest="md5"))
    adopted = replace(with_files(held(1), [replace(file, crc32=None)]), packed=PackedFile())
    with WritableIndex(tmp_path) as index:
        index.put_files([scene, adopted], NOW)
        later = replace(scene, packed=replace(scene.packed, digest="sha"))
        index.put_times([later])
        assert index.local_scene("S0") == later
        assert index.local_scene("S1") == adopted
