"""What bytes prove, against Python's own zipfile as the oracle."""

import hashlib
import io
import os
import random
import struct
import zipfile
import zlib

import pytest
from faultserver import make_zip
from hypothesis import given, settings
from hypothesis import strategies as st

from sedas_sync import _zip
from sedas_sync.integrity import Proof, algorithm, check, zip_problem
from sedas_sync.model import Level


class Pipe(io.RawIOBase):
    """A file that cannot seek, so that zipfile writes data descriptors."""

    def __init__(self):
        self.data = bytearray()

    def writable(self):
        return True

    def write(self, data):
        self.data += data
        return len(data)


def packed(entries, *, streamed=False, compression=zipfile.ZIP_DEFLATED, comment=b"", force_zip64=False):
    out = Pipe() if streamed else io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        archive.comment = comment
        for name, data in entries:
            with archive.open(name, "w", force_zip64=force_zip64) as entry:
                entry.write(data)
    return bytes(out.data) if streamed else out.getvalue()


def fed(data, pieces, **more):
    """A proof that has seen the data in pieces, with the file they are also in."""
    proof = Proof(level=more.pop("level", "crc"), **more)
    at = 0
    for size in pieces:
        proof.update(memoryview(data)[at : at + size])
        at += size
    proof.update(memoryview(data)[at:])
    return proof


def finished(tmp_path, data, proof):
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    file = os.open(path, os.O_RDONLY)
    try:
        return proof.finish(file)
    finally:
        os.close(file)


def oracle(path):
    try:
        with zipfile.ZipFile(path) as archive:
            return bool(archive.infolist()) and archive.testzip() is None
    except Exception:  # noqa: BLE001 - whatever zipfile raises on garbage
        return False


NOISE = random.Random(1)
ENTRIES = [
    ("a/", b""),
    ("a/empty", b""),
    ("a/noise", NOISE.randbytes(90_000)),
    ("a/zeros", bytes(3_000_000)),
    ("a/text", b"sentinel " * 5000),
    ("a/\u00e9", b"accent"),
]
SHAPES = {
    "deflated": {},
    "stored": {"compression": zipfile.ZIP_STORED},
    "streamed": {"streamed": True},
    "streamed stored": {"streamed": True, "compression": zipfile.ZIP_STORED},
    "zip64": {"force_zip64": True},
    "zip64 stored": {"force_zip64": True, "compression": zipfile.ZIP_STORED},
    "zip64 streamed": {"force_zip64": True, "streamed": True},
    "bzip2": {"compression": zipfile.ZIP_BZIP2},
    "comment": {"comment": b"PK\x05\x06 a comment that looks like an end"[4:] * 100},
    "long comment": {"comment": b"x" * 65_535},
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("step", [1_000_000, 4096, 77])
def test_every_shape_of_zip_is_proved_however_it_comes(tmp_path, shape, step):
    data = packed(ENTRIES, **SHAPES[shape])
    proof = fed(data, [step] * (len(data) // step))
    checked = finished(tmp_path, data, proof)
    assert checked.problems == ()
    assert (checked.level, checked.size) == (Level.CRC, len(data))
    assert checked.sha256 == hashlib.sha256(data).hexdigest()
    with (tmp_path / "a.zip").open("rb") as file:
        assert zip_problem(file, "crc") is None
        assert zip_problem(file, "structure") is None


@pytest.mark.parametrize("shape", ["deflated", "stored", "streamed", "zip64 streamed"])
def test_an_ordinary_zip_is_proved_without_reading_it_again(tmp_path, shape):
    data = packed(ENTRIES, **SHAPES[shape])
    stream = _zip.Stream()
    for at in range(0, len(data), 10_000):
        stream.update(memoryview(data)[at : at + 10_000])
    assert len(stream.seen) == len(ENTRIES)


@settings(max_examples=150, deadline=None)
@given(
    shape=st.sampled_from(sorted(SHAPES)),
    where=st.floats(0, 1, exclude_max=True),
    flip=st.integers(1, 255),
    how=st.sampled_from(["flip", "cut", "drop", "insert"]),
    pieces=st.lists(st.integers(1, 40_000), max_size=10),
)
def test_damage_that_zipfile_sees_is_seen(tmp_path_factory, shape, where, flip, how, pieces):
    data = packed([entry for entry in ENTRIES if len(entry[1]) < 100_000], **SHAPES[shape])
    at = int(where * len(data))
    if how == "flip":
        data = data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]
    elif how == "cut":
        data = data[:at]
    elif how == "drop":
        data = data[:at] + data[at + 1 :]
    else:
        data = data[:at] + bytes([flip]) + data[at:]
    tmp_path = tmp_path_factory.mktemp("zip")
    checked = finished(tmp_path, data, fed(data, pieces))
    if not oracle(tmp_path / "a.zip"):
        assert checked.problems or checked.level is not Level.CRC


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.binary(max_size=3000)), min_size=1, max_size=5), st.data())
def test_what_zipfile_writes_is_whole(tmp_path_factory, entries, data):
    shape = data.draw(st.sampled_from(sorted(SHAPES)))
    entries = [(f"{name}{number}", content) for number, (name, content) in enumerate(entries)]
    written = packed(entries, **SHAPES[shape])
    pieces = data.draw(st.lists(st.integers(1, 500), max_size=20))
    checked = finished(tmp_path_factory.mktemp("zip"), written, fed(written, pieces))
    assert (checked.problems, checked.level) == ((), Level.CRC)


def test_a_bomb_does_not_fill_the_memory(tmp_path):
    import tracemalloc

    data = packed([("bomb", bytes(60_000_000))])
    tracemalloc.start()
    checked = finished(tmp_path, data, fed(data, []))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (checked.problems, checked.level) == ((), Level.CRC)
    assert peak < 10_000_000


def with_method(data, method, flags=None):
    """The same zip with another method (and flags) claimed for its first entry."""
    out = bytearray(data)
    struct.pack_into("<H", out, 8, method)
    central = out.index(b"PK\x01\x02")
    struct.pack_into("<H", out, central + 10, method)
    if flags is not None:
        struct.pack_into("<H", out, 6, flags)
        struct.pack_into("<H", out, central + 8, flags)
    return bytes(out)


@pytest.mark.parametrize(("method", "flags"), [(93, None), (9, None), (8, 1)])
def test_what_cannot_be_unpacked_is_said_and_lowers_the_level(tmp_path, method, flags):
    data = with_method(packed([("x", b"y" * 1000)]), method, flags)
    checked = finished(tmp_path, data, fed(data, []))
    assert (checked.problems, checked.level) == ((), Level.STRUCTURE)
    assert "cannot be proved" in checked.warnings[0]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda data: b"", "no zip"),
        (lambda data: b"<html>" + data, "no zip"),
        (lambda data: data[:-1], "last bytes|no directory"),
        (lambda data: data[: len(data) // 2], "no directory"),
        (lambda data: data + b"\n", "1 bytes stand after"),
        (lambda data: data[:200] + data[300:], "not where it should be"),
        (lambda data: packed([]), "no zip|empty"),
    ],
)
def test_a_damaged_zip_is_told_apart(tmp_path, damage, told):
    path = tmp_path / "a.zip"
    path.write_bytes(damage(make_zip(10_000)))
    checked = check(str(path), level="structure")
    assert checked.problems
    import re

    assert re.search(told, checked.problems[0])


def test_what_the_sender_put_after_the_end_is_his_where_the_length_was_kept(tmp_path):
    data = make_zip(10_000) + b"\n"
    checked = finished(tmp_path, data, fed(data, [], size=len(data)))
    assert (checked.problems, checked.level) == ((), Level.CRC)
    assert "after the end" in checked.warnings[0]


def test_a_wrong_name_in_a_header_is_damage(tmp_path):
    data = bytearray(make_zip(1000, entries=2))
    data[35] ^= 1
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    assert check(str(path), level="crc").problems
    assert check(str(path), level="structure").problems


@pytest.mark.parametrize("name", ["md5", "sha1", "sha224", "sha256", "sha384", "sha512"])
def test_digests_are_known_by_their_length(tmp_path, name):
    data = make_zip(5000)
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    right = hashlib.new(name, data).hexdigest()
    assert algorithm(right.upper()) == name
    assert check(str(path), level="size", digest=right.upper()).level is Level.DIGEST
    wrong = hashlib.new(name, b"").hexdigest()
    assert check(str(path), level="crc", digest=wrong).warnings
    assert check(str(path), level="crc", digest=wrong, filehash="enforce").problems
    ignored = check(str(path), level="crc", digest=wrong, filehash="ignore")
    assert (ignored.problems, ignored.warnings, ignored.level) == ((), (), Level.CRC)


@pytest.mark.parametrize("text", [None, "", "n/a", "abc", "g" * 32, "é" * 32, "0x" + "a" * 30])
def test_what_is_no_digest_is_none(text):
    assert algorithm(text) is None


def test_check_reports_length_and_the_demanded_digest(tmp_path):
    data = make_zip(5000)
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    assert "should have 7" in check(str(path), level="crc", size=7).problems[0]
    assert "the lock has" in check(str(path), level="crc", sha256="0" * 64).problems[0]
    good = check(str(path), level="size", size=len(data), sha256=hashlib.sha256(data).hexdigest())
    assert (good.level, good.problems) == (Level.DIGEST, ())


def test_check_does_not_follow_a_link(tmp_path):
    (tmp_path / "real.zip").write_bytes(make_zip(100))
    (tmp_path / "a.zip").symlink_to(tmp_path / "real.zip")
    with pytest.raises(OSError, match="symbolic"):
        check(str(tmp_path / "a.zip"), level="size")


def test_a_file_that_is_no_zip_by_name_or_bytes_is_judged_by_length(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\0")
    assert check(str(path), level="crc", size=4).level is Level.SIZE
    assert check(str(path), level="crc").problems
    path.write_bytes(make_zip(100)[:-5])
    assert check(str(path), level="crc").problems


def test_crc_of_the_interpreter_and_of_the_extra_agree():
    data = NOISE.randbytes(100_000)
    assert _zip._crc32(data, 5) == zlib.crc32(data, 5)


@pytest.mark.parametrize(
    ("digest", "name"),
    [
        ("sha3_256:" + hashlib.sha3_256(b"scene").hexdigest(), "sha3_256"),
        ("BLAKE2B:" + hashlib.blake2b(b"scene", digest_size=16).hexdigest().upper(), "blake2b"),
        ("blake2s:" + hashlib.blake2s(b"scene").hexdigest(), "blake2s"),
        ("sha1:" + hashlib.sha1(b"scene").hexdigest(), "sha1"),
        ("sha256:" + hashlib.sha256(b"scene").hexdigest(), "sha256"),
    ],
)
def test_a_digest_may_say_which_it_is(tmp_path, digest, name):
    path = tmp_path / "B04.tif"
    path.write_bytes(b"scene")
    assert algorithm(digest) == name
    right = check(str(path), level="size", digest=digest, filehash="enforce")
    assert (right.problems, right.level) == ((), Level.DIGEST)
    path.write_bytes(b"Scene")
    assert f"its {name} is" in check(str(path), level="size", digest=digest, filehash="enforce").problems[0]


@pytest.mark.parametrize(
    "digest", ["sha3_256:00", "blake2b:" + 130 * "0", "shake_128:00", "crc32:00000000", "md5:", ":"]
)
def test_a_digest_that_cannot_be_computed_is_none(digest):
    assert algorithm(digest) is None
