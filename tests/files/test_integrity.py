"""What bytes prove, against Python's own zipfile as the oracle."""

import hashlib
import io
import os
import random
import shutil
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path

import pytest
from effort import effort
from faultserver import make_zip
from hypothesis import given, settings
from hypothesis import strategies as st
from unseekable import Pipe

from sedas_sync.files import zip_check, zip_stream
from sedas_sync.files.integrity import Proof, algorithm, check
from sedas_sync.files.zip_records import MAGIC
from sedas_sync.files.zip_stream import ZipStream
from sedas_sync.model.local import ProofLevel


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
    assert (checked.level, checked.size) == (ProofLevel.CRC, len(data))
    assert checked.sha256 == hashlib.sha256(data).hexdigest()
    for level in ("crc", "structure"):
        assert check(str(tmp_path / "a.zip"), level=level).problems == ()


@pytest.mark.parametrize("shape", ["deflated", "stored", "streamed", "zip64 streamed"])
def test_an_ordinary_zip_is_proved_without_reading_it_again(tmp_path, shape):
    data = packed(ENTRIES, **SHAPES[shape])
    stream = ZipStream()
    for at in range(0, len(data), 10_000):
        stream.update(memoryview(data)[at : at + 10_000])
    assert len(stream.passed) == len(ENTRIES)


@settings(max_examples=50, deadline=None)
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
        assert checked.problems or checked.level is not ProofLevel.CRC


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.binary(max_size=3000)), min_size=1, max_size=5), st.data())
def test_what_zipfile_writes_is_whole(tmp_path_factory, entries, data):
    shape = data.draw(st.sampled_from(sorted(SHAPES)))
    entries = [(f"{name}{number}", content) for number, (name, content) in enumerate(entries)]
    written = packed(entries, **SHAPES[shape])
    pieces = data.draw(st.lists(st.integers(1, 500), max_size=20))
    checked = finished(tmp_path_factory.mktemp("zip"), written, fed(written, pieces))
    assert (checked.problems, checked.level) == ((), ProofLevel.CRC)


def test_a_bomb_does_not_fill_the_memory(tmp_path):
    import tracemalloc

    data = packed([("bomb", bytes(60_000_000))])
    tracemalloc.start()
    checked = finished(tmp_path, data, fed(data, []))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (checked.problems, checked.level) == ((), ProofLevel.CRC)
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
    assert (checked.problems, checked.level) == ((), ProofLevel.STRUCTURE)
    assert "cannot be proved" in checked.warnings[0]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda data: b"", "not a zip"),
        (lambda data: b"<html>" + data, "not a zip"),
        (lambda data: data[:-1], "last bytes|no directory"),
        (lambda data: data[: len(data) // 2], "no directory"),
        (lambda data: data + b"\n", "1 bytes follow its end"),
        (lambda data: data[:200] + data[300:], "not where it should be"),
        (lambda data: packed([]), "not a zip|empty"),
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
    assert (checked.problems, checked.level) == ((), ProofLevel.CRC)
    assert "follow the end" in checked.warnings[0]


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
    assert check(str(path), level="size", digest=right.upper()).level is ProofLevel.DIGEST
    wrong = hashlib.new(name, b"").hexdigest()
    assert check(str(path), level="crc", digest=wrong).warnings
    assert check(str(path), level="crc", digest=wrong, filehash="enforce").problems
    ignored = check(str(path), level="crc", digest=wrong, filehash="ignore")
    assert (ignored.problems, ignored.warnings, ignored.level) == ((), (), ProofLevel.CRC)


@pytest.mark.parametrize("text", [None, "", "n/a", "abc", "g" * 32, "é" * 32, "0x" + "a" * 30])
def test_what_is_no_digest_is_none(text):
    assert algorithm(text) is None


def test_check_reports_length_and_the_demanded_digest(tmp_path):
    data = make_zip(5000)
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    assert "should have 7" in check(str(path), level="crc", size=7).problems[0]
    assert "the lock file has" in check(str(path), level="crc", sha256="0" * 64).problems[0]
    good = check(str(path), level="size", size=len(data), sha256=hashlib.sha256(data).hexdigest())
    assert (good.level, good.problems) == (ProofLevel.DIGEST, ())


def test_check_does_not_follow_a_link(tmp_path):
    (tmp_path / "real.zip").write_bytes(make_zip(100))
    (tmp_path / "a.zip").symlink_to(tmp_path / "real.zip")
    with pytest.raises(OSError, match="symbolic"):
        check(str(tmp_path / "a.zip"), level="size")


def test_a_file_that_is_no_zip_by_name_or_bytes_is_judged_by_length(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\0")
    assert check(str(path), level="crc", size=4).level is ProofLevel.SIZE
    assert check(str(path), level="crc").problems
    path.write_bytes(make_zip(100)[:-5])
    assert check(str(path), level="crc").problems


def test_crc_of_the_interpreter_and_of_the_extra_agree():
    data = NOISE.randbytes(100_000)
    assert zip_stream.crc32(data, 5) == zlib.crc32(data, 5)


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
    assert (right.problems, right.level) == ((), ProofLevel.DIGEST)
    path.write_bytes(b"Scene")
    assert f"its {name} is" in check(str(path), level="size", digest=digest, filehash="enforce").problems[0]


@pytest.mark.parametrize(
    "digest", ["sha3_256:00", "blake2b:" + 130 * "0", "shake_128:00", "crc32:00000000", "md5:", ":"]
)
def test_a_digest_that_cannot_be_computed_is_none(digest):
    assert algorithm(digest) is None


# -- zips that were made to deceive


def lines_of(data):
    """Where each line of the central directory begins, and where the directory ends."""
    at = data.index(b"PK\x01\x02")
    places = []
    while data[at : at + 4] == b"PK\x01\x02":
        places.append(at)
        at += 46 + sum(struct.unpack_from("<HHH", data, at + 28))
    return places, at


def with_directory(data, lines):
    """The same zip with these lines for its directory."""
    places, _ = lines_of(data)
    directory = b"".join(lines)
    end = struct.pack("<4sHHHHLLH", b"PK\x05\x06", 0, 0, len(lines), len(lines), len(directory), places[0], 0)
    return data[: places[0]] + directory + end


def split_lines(data):
    places, end = lines_of(data)
    return [data[at:stop] for at, stop in zip(places, [*places[1:], end], strict=True)]


def judged(tmp_path, data, level="crc"):
    """What is wrong with it, however it comes: read at once, or as a stream."""
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    found = check(str(path), level=level)
    streamed = finished(tmp_path, data, fed(data, [1000], level=level))
    assert streamed.problems == found.problems
    return found


def unzips(path):
    """Whether `unzip` takes it."""
    if shutil.which("unzip") is None:
        pytest.skip("unzip is not installed")
    return not subprocess.run(["unzip", "-tqq", str(path)], capture_output=True, check=False, timeout=60).returncode


def quoted_bomb(entries, size):
    """A small zip whose entries all share one kernel of data: each quotes the headers of those behind it."""

    def header(number, crc, packed, unpacked):
        name = b"%03d" % number
        local = struct.pack("<4sHHHHHLLLHH", MAGIC, 20, 0, 8, 0, 33, crc, packed, unpacked, 3, 0) + name
        line = struct.pack(
            "<4sHHHHHHLLLHHHHHL", b"PK\x01\x02", 20, 20, 0, 8, 0, 33, crc, packed, unpacked, 3, 0, 0, 0, 0, 0
        )
        return local, line, name

    packer = zlib.compressobj(9, wbits=-15)
    content = bytes(size)
    data = packer.compress(content) + packer.flush()
    lines = []
    for number in reversed(range(entries)):
        local, line, name = header(number, zlib.crc32(content), len(data), len(content))
        lines.insert(0, (line, len(local) + len(data), name))
        # What comes next is this entry's header as a stored block, and then the data behind it.
        data = struct.pack("<BHH", 0, len(local), len(local) ^ 0xFFFF) + local + data
        content = local + content
    body = data[5:]
    directory = b"".join(line + struct.pack("<L", len(body) - length) + name for line, length, name in lines)
    end = struct.pack("<4sHHHHLLH", b"PK\x05\x06", 0, 0, entries, entries, len(directory), len(body), 0)
    return body + directory + end


@pytest.mark.parametrize("level", ["crc", "structure"])
def test_entries_that_share_bytes_are_damage(tmp_path, level):
    data = quoted_bomb(60, 5_000_000)
    (tmp_path / "b.zip").write_bytes(data)
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        assert sum(entry.file_size for entry in archive.infolist()) > 300_000_000
        if hasattr(zipfile.ZipInfo, "_end_offset"):
            assert not oracle(tmp_path / "b.zip")
        else:
            with archive.open("059") as entry:
                assert len(entry.read()) == 5_000_000
    assert len(data) < 20_000
    assert not unzips(tmp_path / "b.zip")
    began = time.monotonic()
    assert "overlap" in judged(tmp_path, data, level).problems[0]
    assert time.monotonic() - began < 5


def test_the_same_entry_twice_is_damage(tmp_path):
    data = packed(ENTRIES)
    lines = split_lines(data)
    data = with_directory(data, [*lines, lines[2]])
    assert "overlap" in judged(tmp_path, data).problems[0]
    assert not unzips(tmp_path / "a.zip")


def test_an_entry_that_reaches_into_the_directory_is_damage(tmp_path):
    data = bytearray(packed([("a", b"x" * 50)], compression=zipfile.ZIP_STORED))
    (line,), _ = lines_of(data)
    for at in (18, 22, line + 20, line + 24):
        struct.pack_into("<L", data, at, 60)
    assert "beyond its end" in judged(tmp_path, bytes(data)).problems[0]


@settings(max_examples=40, deadline=None)
@given(st.permutations(ENTRIES), st.permutations(range(len(ENTRIES))), st.sampled_from(sorted(SHAPES)), st.data())
def test_a_directory_in_any_order_with_gaps_between_entries_is_whole(tmp_path_factory, entries, order, shape, data):
    tmp_path = tmp_path_factory.mktemp("zip")
    written = packed([entry for entry in entries if len(entry[1]) < 1_000_000], **{**SHAPES[shape], "comment": b""})
    lines = split_lines(written)
    order = [number for number in order if number < len(lines)]
    places = [struct.unpack_from("<L", line, 42)[0] for line in lines]
    stop = lines_of(written)[0][0]
    body, moved = b"", []
    for line, begin, end in zip(lines, places, [*places[1:], stop], strict=True):
        moved.append(line[:42] + struct.pack("<L", len(body)) + line[46:])
        # As of zipalign, or of an entry that was deleted from the directory alone.
        body += written[begin:end] + data.draw(st.sampled_from([b"", bytes(3), b"\0" * 4096, b"PK\x03\x04"]))
    shuffled = [moved[number] for number in order]
    directory = b"".join(shuffled)
    end = struct.pack("<4sHHHHLLH", b"PK\x05\x06", 0, 0, len(lines), len(lines), len(directory), len(body), 0)
    found = judged(tmp_path, body + directory + end)
    assert (found.problems, found.level) == ((), ProofLevel.CRC)
    assert oracle(tmp_path / "a.zip")
    # The same with any entry listed once more shares bytes, whatever the order.
    again = data.draw(st.sampled_from(moved))
    directory += again
    end = struct.pack("<4sHHHHLLH", b"PK\x05\x06", 0, 0, len(lines) + 1, len(lines) + 1, len(directory), len(body), 0)
    assert "overlap" in judged(tmp_path, body + directory + end).problems[0]


FIELDS = {"flags": (6, 8, "<H", 1), "method": (8, 10, "<H", 12), "crc": (14, 16, "<L", 7)}
FIELDS |= {"packed": (18, 20, "<L", 5), "size": (22, 24, "<L", 5), "name": (30, 46, "<B", 65)}


@pytest.mark.parametrize("level", ["crc", "structure"])
@pytest.mark.parametrize("field", FIELDS)
def test_a_header_that_says_other_than_the_directory_is_damage(tmp_path, field, level):
    data = bytearray(packed([("x", b"y" * 1000)]))
    here, _, layout, value = FIELDS[field]
    struct.pack_into(layout, data, here, value)
    assert "damaged" in judged(tmp_path, bytes(data), level).problems[0]


@pytest.mark.parametrize("level", ["crc", "structure"])
def test_more_than_deflate_can_hold_is_damage(tmp_path, level):
    data = bytearray(packed([("x", bytes(1_000_000))]))
    (line,), _ = lines_of(data)
    for at in (22, line + 24):
        struct.pack_into("<L", data, at, 3_000_000_000)
    assert "can contain" in judged(tmp_path, bytes(data), level).problems[0]


def test_a_bzip2_that_holds_more_than_it_says_is_not_unpacked_to_its_end(tmp_path):
    data = bytearray(packed([("x", bytes(200_000_000))], compression=zipfile.ZIP_BZIP2))
    (line,), _ = lines_of(data)
    for at in (22, line + 24):
        struct.pack_into("<L", data, at, 1000)
    assert "longer than in the directory" in judged(tmp_path, bytes(data)).problems[0]


def many(path, count, *, backwards=False, name=b"%07d"):
    """A zip of so many empty entries, with the directory in the order of the data or in the opposite one."""
    local, line = struct.Struct("<4sHHHHHLLLHH"), struct.Struct("<4sHHHHHHLLLHHHHHLL")
    each = local.size + len(name % 0)
    with path.open("wb") as file:
        file.writelines(local.pack(MAGIC, 10, 0, 0, 0, 33, 0, 0, 0, 7, 0) + name % n for n in range(count))
        at = file.tell()
        numbers = range(count - 1, -1, -1) if backwards else range(count)
        file.writelines(
            line.pack(b"PK\x01\x02", 20, 10, 0, 0, 0, 33, 0, 0, 0, 7, 0, 0, 0, 0, 0, each * n) + name % n
            for n in numbers
        )
        end = file.tell()
        file.write(struct.pack("<4sQHHLLQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, end - at, at))
        file.write(struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1))
        file.write(struct.pack("<4sHHHHLLH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0))


MEASURED = """
import re, sys
from pathlib import Path
from sedas_sync.files.integrity import check
from sedas_sync.files.zip_records import names
checked = check(sys.argv[1], level="crc")
with open(sys.argv[1], "rb") as opened:
    assert sum(1 for _ in names(opened.fileno())) == int(sys.argv[2])
# `getrusage` would count what the process that started this one had before.
most = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())
print(checked.problems, checked.level, int(most[1]) // 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is looked up in /proc")
@pytest.mark.parametrize("backwards", [False, True])
def test_very_many_entries_take_little_memory_and_time(tmp_path, backwards):
    count, limit = effort((100_000, 50), (1_000_000, 100))
    many(tmp_path / "a.zip", count, backwards=backwards)
    ran = subprocess.run(
        [sys.executable, "-c", MEASURED, tmp_path / "a.zip", str(count)],
        capture_output=True, text=True, check=True, timeout=110,
    )  # fmt: skip
    problems, level, megabytes = ran.stdout.rsplit(maxsplit=2)
    assert (problems, level) == ("()", "crc")
    assert int(megabytes) < limit


def test_a_check_ends_where_it_is_asked_to(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(packed([(f"{n}", NOISE.randbytes(400_000)) for n in range(10)]))
    asked = iter(range(1000))
    with pytest.raises(InterruptedError):
        check(str(path), level="crc", stopped=lambda: next(asked) == 5)
    # In the directory, and in data that no stream has seen.
    for after in (0, 1, 15):
        with path.open("rb") as file, pytest.raises(InterruptedError):
            zip_check.problem(
                file.fileno(), path.stat().st_size, crc=True, stopped=iter([False] * after + [True]).__next__
            )


def test_an_empty_entry_may_be_marked_as_deflated(tmp_path):
    data = with_method(packed([("folder/", b""), ("x", b"y" * 1000)]), 8)
    found = judged(tmp_path, data)
    assert (found.problems, found.level) == ((), ProofLevel.CRC)
    assert oracle(tmp_path / "a.zip")


def test_what_cannot_be_proved_is_told_in_few_lines(tmp_path):
    path = tmp_path / "a.zip"
    many(path, 1000)
    data = bytearray(path.read_bytes())
    for at in range(len(data) - 4):
        if data[at : at + 4] in (MAGIC, b"PK\x01\x02"):
            data[at + (6 if data[at + 2] == 3 else 8)] |= 1
    found = judged(tmp_path, bytes(data))
    assert (found.problems, found.level) == ((), ProofLevel.STRUCTURE)
    assert len(found.warnings) < 10
    assert "995 more entries" in found.warnings[-1]
