"""Orders are on the disk when they are placed, and survive kills, full disks and damaged lines."""

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from sedas_sync.files.safe_tree import STATE
from sedas_sync.model.order import MOST_DATA, Order, OrderState
from sedas_sync.state import order_journal
from sedas_sync.state.order_journal import ROOM, OrderJournal

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def order(number, **changed):
    values = {"order": f"O{number}", "id": f"S{number}", "placed": NOW + timedelta(seconds=number), **changed}
    return Order(**values)


@pytest.fixture
def root(tmp_path):
    (tmp_path / STATE).mkdir()
    return tmp_path


def read(root):
    return OrderJournal(root).orders()


def test_orders_are_read_as_they_were_written_and_the_last_line_counts(root):
    journal = OrderJournal(root)
    journal.add(order(2))
    journal.add(order(1, download_url="http://é"))
    journal.update(order(2, state=OrderState.READY, polls=3))
    assert (
        read(root) == journal.orders() == [order(1, download_url="http://é"), order(2, state=OrderState.READY, polls=3)]
    )
    journal.drop("S1")
    journal.drop("S7")
    assert read(root) == [order(2, state=OrderState.READY, polls=3)]
    journal.close()
    assert journal.path.read_bytes().count(b"\n") == 1
    assert read(root) == [order(2, state=OrderState.READY, polls=3)]


def test_without_orders_there_is_no_file(root):
    journal = OrderJournal(root)
    journal.reserve(0)
    assert journal.path.stat().st_size > ROOM
    journal.add(order(1))
    journal.drop("S1")
    journal.close()
    assert list(journal.path.parent.iterdir()) == []


def test_a_reserved_order_fits_on_a_disk_that_is_full_meanwhile(root):
    """Real limits of the file size stand for the full disk."""
    child = """if True:
        import resource, signal, sys
        from pathlib import Path
        sys.path[:0] = sys.argv[2:]
        from test_order_journal import *
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        journal = OrderJournal(Path(sys.argv[1]))
        for number in range(3):
            journal.add(order(number))
        journal.reserve(0)
        journal.reserve(1)
        size = journal.path.stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        for number in (10, 11):
            journal.add(order(number, download_url="x" * 9000))
        try:
            journal.reserve(0)
        except OSError as error:
            print(error.errno)
        try:
            journal.update(order(1, polls=1))
        except OSError as error:
            print(error.errno)
        """
    done = subprocess.run(
        [sys.executable, "-c", child, str(root), str(Path(__file__).parent)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["27", "27"], done.stderr
    assert [found.id for found in read(root)] == ["S0", "S1", "S2", "S10", "S11"]


def test_an_order_longer_than_the_room_is_recorded_without_its_link(root):
    journal = OrderJournal(root)
    journal.reserve(0)
    journal.add(order(1, download_url="x" * 2 * ROOM, state=OrderState.READY))
    assert journal.orders()[0].download_url is not None
    assert read(root) == [order(1)]


def test_the_data_of_an_order_always_fits_into_the_room(root):
    longest = order(1, order="x" * 200, data="é" * (MOST_DATA // 6 - 1))
    journal = OrderJournal(root)
    journal.reserve(0)
    journal.add(replace(longest, download_url="x" * 2 * ROOM))
    (found,) = read(root)
    assert found == longest
    with pytest.raises(ValueError, match=f"{MOST_DATA} are allowed"):
        order(1, data="é" * (MOST_DATA // 6 + 1))


def test_orders_of_many_threads(root):
    journal = OrderJournal(root)

    def place(number):
        journal.reserve(number % 4)
        journal.add(order(number))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(place, range(60)))
    assert read(root) == [order(number) for number in range(60)]


def test_a_line_that_a_kill_has_cut_costs_no_other(root):
    journal = OrderJournal(root)
    journal.add(order(1))
    journal.path.write_bytes(journal.path.read_bytes() + b'{"order": "O2", "id"')
    after = OrderJournal(root)
    assert after.unreadable == 1
    after.add(order(3))
    assert read(root) == [order(1), order(3)]
    after.close()
    assert OrderJournal(root).unreadable == 0
    assert read(root) == [order(1), order(3)]


def test_lines_that_are_no_orders_are_counted(root):
    path = OrderJournal(root).path
    lines = [b"[1]", b'{"order": "O"}', b"\xff\xfe", b"[" * 9000, b"\0\0", b" ", b"7", json.dumps({"id": "S"}).encode()]
    path.write_bytes(b"\n".join(lines))
    journal = OrderJournal(root)
    assert (journal.unreadable, journal.orders()) == (6, [])


def test_many_changes_do_not_let_the_file_grow(root, monkeypatch):
    monkeypatch.setattr(order_journal, "_REWRITE_ABOVE", 5000)
    journal = OrderJournal(root)
    journal.reserve(0)
    journal.add(order(1))
    for polls in range(1, 500):
        journal.update(order(1, polls=polls))
    assert journal.path.stat().st_size < 5000 + 3 * ROOM
    assert read(root) == [order(1, polls=499)]


def test_a_killed_process_loses_no_order(root):
    child = """if True:
        import os, signal, sys
        from pathlib import Path
        sys.path[:0] = sys.argv[2:]
        from test_order_journal import *
        journal = OrderJournal(Path(sys.argv[1]))
        for number in range(50):
            journal.reserve(0)
            journal.add(order(number))
        os.kill(os.getpid(), signal.SIGKILL)
        """
    done = subprocess.run([sys.executable, "-c", child, str(root), str(Path(__file__).parent)], timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert len(read(root)) == 50


def test_a_link_in_the_place_of_the_journal_is_not_followed(root, tmp_path):
    (tmp_path / "mine").write_text("mine")
    journal = OrderJournal(root)
    journal.path.symlink_to(tmp_path / "mine")
    with pytest.raises(OSError, match="symbolic link"):
        journal.reserve(0)
    assert read(root) == []
    assert (tmp_path / "mine").read_text() == "mine"
