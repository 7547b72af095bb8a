"""Zips become folders: with safe paths only, and every byte checked."""

import hashlib
import stat
import struct
import zipfile
import zlib

import pytest
from unseekable import Pipe

from sedas_sync.files import unzip
from sedas_sync.files.unzip import CannotUnpackError, read_contents, read_unpacked, unpack
from sedas_sync.model.local import ProofLevel

BAND = bytes(range(256)) * 5000


def link(name):
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def packed(root, entries, method=zipfile.ZIP_DEFLATED):
    """Write `a.zip`; entries are names or infos, with their bytes."""
    with zipfile.ZipFile(root / "a.zip", "w", method) as target:
        for name, data in entries:
            target.writestr(name, data)


def unpacked(root, **how):
    contents = read_contents(str(root), "a.zip")
    files = unpack(str(root), "a.zip", contents, "new", level=how.pop("level", ProofLevel.CRC), **how)
    return contents, files


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_a_folder_has_the_files_and_empty_folders_of_its_zip(tmp_path, method):
    packed(
        tmp_path,
        [("P.SAFE/", b""), ("P.SAFE/GRANULE/B04.jp2", BAND), ("P.SAFE/manifest.safe", b"<x/>"), ("P.SAFE/HTML/", b"")],
        method,
    )
    contents, files = unpacked(tmp_path, level=ProofLevel.DIGEST)
    assert (contents.name, contents.size) == ("P.SAFE", len(BAND) + 4)
    assert {file.name: (file.size, file.sha256, file.crc32, file.level) for file in files} == {
        name: (len(data), hashlib.sha256(data).hexdigest(), zlib.crc32(data), ProofLevel.DIGEST)
        for name, data in {"GRANULE/B04.jp2": BAND, "manifest.safe": b"<x/>"}.items()
    }
    for file in files:
        there = tmp_path / "new" / file.name
        assert hashlib.sha256(there.read_bytes()).hexdigest() == file.sha256
        assert there.stat().st_mtime_ns == file.mtime_ns
    assert (tmp_path / "new/HTML").is_dir()
    again = read_unpacked(str(tmp_path), contents, "new")
    assert [(one.name, one.sha256, one.mtime_ns) for one in again] == [
        (one.name, one.sha256, one.mtime_ns) for one in files
    ]
    (tmp_path / "new/manifest.safe").write_bytes(b"<y/>")
    assert read_unpacked(str(tmp_path), contents, "new") == []


@pytest.mark.parametrize(
    ("names", "top", "files"),
    [
        (["P.SEN3/a.nc"], "P.SEN3", {"a.nc"}),
        (["P/a", "P/b/c"], "P", {"a", "b/c"}),
        (["a", "b/c"], "", {"a", "b/c"}),
        (["P.SAFE/a", "README"], "", {"P.SAFE/a", "README"}),
        (["P/a", "Q/b"], "", {"P/a", "Q/b"}),
        (["a"], "", {"a"}),
    ],
)
def test_the_only_folder_at_the_top_is_that_of_the_scene(tmp_path, names, top, files):
    packed(tmp_path, [(name, b"x") for name in names])
    contents, found = unpacked(tmp_path)
    assert contents.name == top
    assert {file.name for file in found} == files


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ([("../b", b"")], "leads out of the folder"),
        ([("P/../../b", b"")], "leads out of the folder"),
        ([("/etc/b", b"")], "is absolute"),
        ([("P/./b", b"")], "not possible on every file system"),
        ([("P//b", b"")], "not possible on every file system"),
        ([("C:/b", b"")], "not possible on every file system"),
        ([("P\\..\\b", b"")], "not possible on every file system"),
        ([("P/CON", b"")], "not possible on every file system"),
        ([("P/aux.txt", b"")], "not possible on every file system"),
        ([("P/com1", b"")], "not possible on every file system"),
        ([("P/b.", b"")], "not possible on every file system"),
        ([("P/b ", b"")], "not possible on every file system"),
        ([("P/b\n", b"")], "not possible on every file system"),
        ([("P/b\u202eSAFE", b"")], "not possible on every file system"),
        ([(f"P/{'b' * 256}", b"")], "not possible on every file system"),
        ([("/".join(["b" * 200] * 6), b"")], "longer than 1000 bytes"),
        ([("P/.sedas-sync/index.db", b"")], "belongs to a mirror"),
        ([("P/.Sedas-Sync/index.db", b"")], "belongs to a mirror"),
        ([(link("P/b"), b"/etc/passwd")], "a link or a special file"),
        ([("P/b", b"1"), ("P/b", b"2")], "would be one file"),
        ([("P/b", b"1"), ("P/B", b"2")], "would be one file"),
        ([("P/b", b"1"), ("p/c", b"2")], "would be one file"),
        ([("P/caf\u00e9", b"1"), ("P/cafe\u0301", b"2")], "would be one file"),
        ([("P/b", b"1"), ("P/b/c", b"2")], "would be one file"),
        ([("P/", b"")], "no files"),
        ([("P/b/", b"1"), ("P/c", b"")], "a folder with bytes of its own"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_with_an_unsafe_entry_is_not_unpacked(tmp_path, entries, problem):
    packed(tmp_path, entries, zipfile.ZIP_STORED)
    with pytest.raises(CannotUnpackError, match=problem):
        unpacked(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_a_name_with_a_nul_is_not_cut(tmp_path):
    packed(tmp_path, [("P/b0c", b"x")])
    data = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(data.replace(b"P/b0c", b"P/b\0c"))
    with pytest.raises(CannotUnpackError, match="not possible on every file system"):
        unpacked(tmp_path)


def overlapping(root):
    """Two entries of the directory share the same bytes."""
    packed(root, [("P/a", BAND), ("P/b", BAND)], zipfile.ZIP_STORED)
    data = bytearray((root / "a.zip").read_bytes())
    second = data.rindex(b"PK\x01\x02")
    data[second + 42 : second + 46] = struct.pack("<L", 0)
    (root / "a.zip").write_bytes(data)


def damaged(root):
    packed(root, [("P/a", BAND), ("P/b", BAND)], zipfile.ZIP_STORED)
    data = bytearray((root / "a.zip").read_bytes())
    data[data.rindex(BAND) + 7] ^= 1
    (root / "a.zip").write_bytes(data)


def bomb(root):
    packed(root, [("P/a", bytes(1 << 20))])


def encrypted(root):
    packed(root, [("P/a", BAND)], zipfile.ZIP_STORED)
    data = bytearray((root / "a.zip").read_bytes())
    for at in (6, data.index(b"PK\x01\x02") + 8):
        data[at] |= 1
    (root / "a.zip").write_bytes(data)


def short(root):
    """An entry that is shorter than the directory states, of which the CRC is right."""
    packed(root, [("P/a", BAND)])
    data = bytearray((root / "a.zip").read_bytes())
    for at in (22, data.rindex(b"PK\x01\x02") + 24):
        data[at : at + 4] = struct.pack("<L", len(BAND) + 1)
    (root / "a.zip").write_bytes(data)


def no_zip(root):
    (root / "a.zip").write_bytes(b"PK\x03\x04" + bytes(100))


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (overlapping, "header and the directory differ|overlap"),
        (damaged, "CRC"),
        (bomb, "it would become 1.0 MB"),
        (encrypted, "encrypted"),
        (short, "ends early|CRC"),
        (no_zip, "no directory"),
    ],
)
def test_a_zip_that_is_not_what_it_states_is_not_unpacked(tmp_path, make, problem, monkeypatch):
    monkeypatch.setattr(unzip, "ALWAYS_ALLOWED", 1_500_000 if make is not bomb else 1000)
    make(tmp_path)
    with pytest.raises(CannotUnpackError, match=problem):
        unpacked(tmp_path)


def test_too_many_entries(tmp_path, monkeypatch):
    monkeypatch.setattr(unzip, "MAX_ENTRIES", 2)
    packed(tmp_path, [(f"P/{number}", b"") for number in range(3)])
    with pytest.raises(CannotUnpackError, match="3 entries, more than 2"):
        unpacked(tmp_path)


def test_nothing_is_written_without_room(tmp_path, monkeypatch):
    packed(tmp_path, [("P/a", BAND)])
    monkeypatch.setattr(unzip, "free_space", lambda _: len(BAND) - 1)
    with pytest.raises(OSError, match="No space left"):
        unpacked(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_it_stops_when_it_is_asked_to(tmp_path):
    packed(tmp_path, [("P/a", BAND * 4)])
    with pytest.raises(InterruptedError):
        unpacked(tmp_path, stopped=lambda: True)


def test_no_link_is_followed(tmp_path):
    packed(tmp_path, [("P/b/c", b"x")])
    (tmp_path / "outside").mkdir()
    (tmp_path / "new").mkdir()
    (tmp_path / "new/b").symlink_to(tmp_path / "outside")
    with pytest.raises(Exception, match="symbolic link"):
        unpacked(tmp_path)
    assert not list((tmp_path / "outside").iterdir())


def test_what_a_stream_wrote_is_unpacked_too(tmp_path):
    """Lengths after the data, as a server writes them that does not know them before."""

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("P.SAFE/a", BAND)
    (tmp_path / "a.zip").write_bytes(pipe.data)
    _, (file,) = unpacked(tmp_path)
    assert (file.name, file.size) == ("a", len(BAND))
