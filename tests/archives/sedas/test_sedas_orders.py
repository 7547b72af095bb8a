"""Orders of the SeDAS archive."""

from urllib.parse import parse_qs

import pytest
from scripted_sedas import AOI, FROM, NAME, TO, SteppedClock, order

from sedas_sync.archives.sedas.archive import SedasArchive
from sedas_sync.errors import ArchiveError
from sedas_sync.model.order import OrderState
from sedas_sync.sandbox import Sandbox


def test_order_falls_back_to_the_path_of_the_original_client(scripted, connect):
    scripted.routes["/api//request/A"] = (200, {"requestId": 1302})
    scripted.routes["/api//request"] = (200, [{"id": 1302, "downloadUrl": "https://x/y"}])
    archive = connect(scripted.url)
    placed = archive.order("A")
    assert (placed.order, placed.id, placed.state) == ("1302", "A", OrderState.PENDING)
    (polled,) = archive.order_status([placed])
    assert (polled.state, polled.download_url) == (OrderState.READY, "https://x/y")
    assert [path for method, path, *_ in scripted.requests if "request" in path] == [
        "/api/request/A",
        "/api//request/A",
        "/api//request?ids=1302",
    ]


@pytest.mark.parametrize(
    ("status", "body", "headers", "retry_after"),
    [
        (429, {}, [("Retry-After", "30")], 30.0),
        (503, {}, [("Retry-After", "30")], 30.0),
        (400, {"errorMessage": "User quota exceeded"}, [], None),
    ],
)
def test_quota_error_has_status_429(scripted, connect, status, body, headers, retry_after):
    scripted.routes["/api/request/A"] = (status, body, *headers)
    with pytest.raises(ArchiveError) as raised:
        connect(scripted.url).order("A")
    assert (raised.value.status, raised.value.retry_after, raised.value.retryable) == (429, retry_after, True)
    assert len([path for _, path, *_ in scripted.requests if path.startswith("/api/request")]) == 1


@pytest.mark.parametrize("answer", [{}, [], None, {"requestId": None}, {"requestId": True}, {"requestId": ""}])
def test_order_without_an_id_is_an_error(scripted, connect, answer):
    scripted.routes["/api/request/A"] = (200, answer)
    with pytest.raises(ArchiveError, match="without a requestId"):
        connect(scripted.url).order("A")


@pytest.mark.parametrize(
    ("element", "state"),
    [
        ({}, OrderState.PENDING),
        ({"status": "started"}, OrderState.PENDING),
        ({"downloadUrl": ""}, OrderState.PENDING),
        ({"downloadUrl": "https://x/y", "status": "COMPLETED"}, OrderState.READY),
        ({"status": "Failed"}, OrderState.FAILED),
        ({"state": "expired"}, OrderState.FAILED),
        ({"status": "started", "state": "FAILED"}, OrderState.PENDING),
        ({"status": "CANCELLED"}, OrderState.FAILED),
        ({"status": "rejected"}, OrderState.FAILED),
        ({"status": "ERROR"}, OrderState.FAILED),
    ],
)
def test_states_of_an_order(scripted, connect, element, state):
    scripted.routes["/api/request"] = (200, [element])
    (polled,) = connect(scripted.url).order_status([order("7")])
    assert (polled.state, polled.polls, polled.missing) == (state, 1, 0)


def test_server_bug_while_an_order_is_in_progress_means_pending(scripted, connect):
    bug = {"errorMessage": "No enum constant com.geocento.webapps.sedas.common.share.domain.STATUS.started"}
    scripted.routes["/api/request"] = (500, bug)
    (polled,) = connect(scripted.url).order_status([order("7")])
    assert (polled.state, polled.missing) == (OrderState.PENDING, 0)
    assert len([path for _, path, *_ in scripted.requests if "request" in path]) == 1


@pytest.mark.parametrize("lists", ["all", "one", "refused", "unnamed"])
def test_orders_are_polled_whether_or_not_the_service_takes_lists(scripted, connect, lists):
    def answer(parts, _body, _authorization):
        numbers = parse_qs(parts.query)["ids"][0].split(",")
        if len(numbers) > 1 and lists == "refused":
            return 400, {}
        if lists == "one":
            numbers = numbers[:1]
        name = {} if lists == "unnamed" else None
        return 200, [name if name is not None else {"requestId": int(n)} for n in numbers if n != "99"]

    scripted.routes["/api/request"] = answer
    archive = connect(scripted.url)
    asked = [order(str(n)) for n in (1, 2, 3, 99)]
    polled = archive.order_status(asked)
    assert [item.order for item in polled] == ["1", "2", "3", "99"]
    assert [item.missing for item in polled] == [0, 0, 0, 1]
    before = len(scripted.requests)
    archive.order_status(asked[:3])
    assert len(scripted.requests) - before == (1 if lists == "all" else 3)


def test_orders_of_the_sandbox_become_downloads():
    clock = SteppedClock()
    clock.now = 1_700_000_000.0
    with Sandbox(clock=clock) as box, SedasArchive(box.url, username="sandbox", password="sandbox") as archive:
        offline = next(item for item in archive.search(AOI, FROM, TO) if not item.online)
        placed = archive.order(offline)
        assert archive.order_status([placed])[0].state is OrderState.PENDING
        clock.now += 10
        (ready,) = archive.order_status([placed])
        assert ready.state is OrderState.READY
        assert NAME not in repr(archive)
