"""The table of decisions: the docstring and the page list the same rows, and every row is what the code does."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sedas_sync.model.disk import DiskState, FileState
from sedas_sync.model.local import LocalScene, ProofLevel
from sedas_sync.model.order import Order, OrderState
from sedas_sync.model.plan import ActionKind
from sedas_sync.model.reason import Reason, ReasonCode
from sedas_sync.model.scene import DesiredScene, RemoteFile, Scene
from sedas_sync.planning import compare
from sedas_sync.planning.filters import FILTERS

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "how-a-sync-decides.md"
LOCAL = LocalScene(id="S", path="S.zip", size=10, mtime_ns=1, sha256="0" * 64, level=ProofLevel.CRC, archive="a")
INTACT = DiskState(local=LOCAL, state=FileState.INTACT, tracked=True)
TO_FETCH = DiskState()


def rows_of_the_docstring():
    table = re.search(r"^=+ .*?\n(.*?)\n=+ .*?\n(.*?)\n=+ ", compare.__doc__, re.MULTILINE | re.DOTALL)
    return [tuple(re.split(r"\s{2,}", line)) for line in table[2].splitlines()]


def rows_of_the_page():
    lines = re.findall(r"^\| (.*) \|$", PAGE.read_text(), re.MULTILINE)
    return [tuple(cell.strip() for cell in line.split(" | ")) for line in lines[1:]]


def test_the_page_and_the_docstring_list_the_same_rows():
    assert rows_of_the_page() == rows_of_the_docstring()


@pytest.mark.parametrize("key", [one.key for one in FILTERS])
def test_the_page_names_every_filter(key):
    assert key.removeprefix("max_").replace("_", " ") in " ".join(PAGE.read_text().split())


def choose(here, *, online=True, order=None, attempts=1, sha256=None, path="S.zip", unpack=False, **of):
    scene = Scene(id="S", download_url="https://example.org/S.zip" if online else None, **of)
    want = DesiredScene.of("a", scene, datasets=("d",), path=path, sha256=sha256)
    now = datetime.now(UTC)
    ordered = {} if order is None else {"S": Order(order="7", id="S", placed=now, state=order, attempts=attempts)}
    (action,) = compare.choose_actions({"S": want}, {"S": here}, ordered, compare.Comparison(now=now, unpack=unpack))
    return action.kind


UNREADABLE = Reason(ReasonCode.UNREADABLE, here="2019", detail="cannot be read: Permission denied")
CASES = {
    "a planned acquisition": [choose(INTACT, planned=True, online=online) for online in (True, False)],
    "something that cannot be read": [
        choose(DiskState(local=local, state=FileState.UNREADABLE, problem=UNREADABLE), online=online)
        for local in (None, LOCAL)
        for online in (True, False)
    ],
    "intact, an untracked file or folder at the scene's path": [
        choose(DiskState(local=LOCAL, state=FileState.INTACT), sha256=sha256, online=online)
        for sha256 in (None, "1" * 64)
        for online in (True, False)
    ],
    "intact, but not what the lock file requires": [
        choose(INTACT, sha256="1" * 64, path=path) for path in ("S.zip", "2019/S.zip")
    ],
    "intact, but changed in the archive": [
        choose(INTACT, path=path, **change)
        for path in ("S.zip", "2019/S.zip")
        for change in ({"size": 11}, {"assets": (RemoteFile(name="B04.tif"),)})
    ],
    "intact and unchanged, a zip that has to be unpacked": [
        choose(INTACT, path=path, size=10, unpack=True, online=online)
        for path in ("S.SAFE", "2019/S.SAFE")
        for online in (True, False)
    ],
    "intact and unchanged, at another path": [
        choose(INTACT, path="2019/S.zip", size=10, online=online) for online in (True, False)
    ],
    "intact and unchanged, at its path": [
        choose(INTACT, size=10, sha256=sha256, online=online) for sha256 in (None, "0" * 64) for online in (True, False)
    ],
    "damaged": [
        choose(DiskState(local=LOCAL, state=FileState.DAMAGED, tracked=True, path_taken=path_taken))
        for path_taken in (True, False)
    ],
    "something that cannot be the scene, such as a folder": [choose(DiskState(path_taken=True, partial=5))],
    "a partial download": [
        choose(DiskState(partial=5)),
        choose(DiskState(partial=5, local=LOCAL, tracked=True)),
        choose(DiskState(partial=5, state=FileState.DAMAGED)),
    ],
    "nothing, or another file at its path": [
        choose(DiskState()),
        choose(DiskState(local=LOCAL, tracked=True)),
        choose(DiskState(state=FileState.DAMAGED)),
    ],
    "any of these, and the archive can never deliver it": [
        choose(TO_FETCH, online=False, offline="it was withdrawn", never=True)
    ],
    "any of these, and the archive takes no orders": [
        choose(TO_FETCH, online=False, order=order, offline="order it elsewhere")
        for order in (None, OrderState.READY, OrderState.FAILED)
    ],
    "any of these, without an order": [choose(TO_FETCH, online=False), choose(INTACT, online=False, size=11)],
    "any of these, with an order that is ready": [
        choose(here, online=False, order=OrderState.READY) is choose(here)
        for here in (TO_FETCH, DiskState(partial=5), DiskState(local=LOCAL, state=FileState.DAMAGED, tracked=True))
    ],
    "any of these, with an order that is pending": [choose(TO_FETCH, online=False, order=OrderState.PENDING)],
    "any of these, with orders that failed again and again": [
        choose(here, online=False, order=OrderState.FAILED, attempts=attempts)
        for here in (TO_FETCH, DiskState(partial=5))
        for attempts in (4, 9)
    ],
    "any of these, with an order that failed": [choose(TO_FETCH, online=False, order=OrderState.FAILED)],
}


def test_every_row_has_a_case():
    assert list(CASES) == [row for row, _, _ in rows_of_the_docstring()]


@pytest.mark.parametrize(("row", "online", "action"), rows_of_the_docstring())
def test_every_row_is_what_the_code_does(row, online, action):
    assert online in ("any", "yes", "no")
    expected = True if action == "as online" else ActionKind(action)
    assert set(CASES[row]) == {expected}  # for "as online", the cases compare the two
