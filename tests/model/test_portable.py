"""Values as JSON: what is written is what is read, and secrets of links are not written."""

import doctest
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sedas_sync.errors import ManifestError
from sedas_sync.model import portable
from sedas_sync.model.events import Failure
from sedas_sync.model.history import Departure, SceneState
from sedas_sync.model.local import LocalFile, LocalScene, ProofLevel
from sedas_sync.model.order import Order, OrderState
from sedas_sync.model.plan import Action, ActionKind, Plan
from sedas_sync.model.reason import Reason, ReasonCode
from sedas_sync.model.scene import NOTHING, DesiredScene, RemoteFile, Scene, Source

DAY = datetime(2019, 5, 6, tzinfo=UTC)

texts = st.text(max_size=8)
names = st.text(min_size=1, max_size=8)
paths = st.text(st.characters(codec=None), min_size=1, max_size=8)
"""Also names that are not UTF-8."""
times = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]))
counts = st.integers(0, 2**60)
numbers = st.floats(allow_nan=False, allow_infinity=False)
links = st.none() | st.sampled_from(
    ["https://example.org/a.zip?id=3&n=Default", "http://127.0.0.1:80/x/B04.jp2", "file:///a b"]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def maybe(values):
    return st.none() | values


remote_files = st.builds(RemoteFile, name=texts, key=texts, url=links, size=maybe(counts), digest=maybe(texts))
scenes = st.builds(
    Scene,
    id=names,
    start=maybe(times),
    stop=maybe(times),
    footprint=maybe(texts),
    sensor=st.sampled_from([None, "optical", "sar"]),
    satellite=maybe(texts),
    orbit=maybe(st.integers(-(2**60), 2**60)),
    relative_orbit=maybe(st.integers(0, 400)),
    tile=maybe(texts),
    cloud_cover=maybe(numbers),
    size=maybe(counts),
    nominal=st.booleans(),
    download_url=links,
    offline=maybe(texts),
    never=st.booleans(),
    quicklook_url=links,
    thumbnail_url=links,
    processed=maybe(times),
    planned=st.booleans(),
    assets=st.lists(remote_files, max_size=2).map(tuple),
    extra=st.just(NOTHING) | st.dictionaries(texts, json_values, max_size=3),
)
orders = st.builds(
    Order,
    order=texts,
    id=names,
    placed=times,
    archive=texts,
    state=st.sampled_from(OrderState),
    polls=counts,
    attempts=counts,
    missing=counts,
    download_url=links,
    detail=maybe(texts),
    data=texts,
)
sources = st.builds(Source, archive=names, scene=scenes)
wants = st.builds(
    DesiredScene,
    scene=scenes,
    datasets=st.lists(names, max_size=2).map(tuple),
    path=paths,
    sources=st.lists(sources, min_size=1, max_size=2).map(tuple),
    sha256=maybe(texts),
    pinned=st.just(NOTHING) | st.dictionaries(paths, texts, max_size=2),
)
local_files = st.builds(
    LocalFile,
    name=paths,
    size=counts,
    mtime_ns=st.integers(-1, 2**62),
    sha256=maybe(texts),
    level=st.sampled_from(ProofLevel),
)
local_scenes = st.builds(
    LocalScene,
    id=names,
    path=paths,
    size=counts,
    mtime_ns=st.integers(-1, 2**62),
    sha256=maybe(texts),
    level=st.sampled_from(ProofLevel),
    archive=texts,
    digest=maybe(texts),
    facts=st.sampled_from(["{}", '{"id":"A","cloud_cover":3.5}']),
    members=st.lists(local_files, max_size=2).map(tuple),
)
reasons = st.builds(
    Reason,
    st.sampled_from(ReasonCode),
    cause=maybe(st.builds(Reason, st.sampled_from(ReasonCode))),
    here=maybe(texts | counts),
    names=st.lists(texts, max_size=2).map(tuple),
)
actions = st.builds(
    Action,
    kind=st.sampled_from(ActionKind),
    id=names,
    datasets=st.lists(names, max_size=2).map(tuple),
    path=paths,
    size=maybe(counts),
    reason=reasons,
    wanted=maybe(wants),
    local=maybe(local_scenes),
    order=maybe(orders),
    blocked=st.booleans(),
    replaces=st.booleans(),
    after=st.lists(names, max_size=2).map(tuple),
)
addresses = st.dictionaries(texts, maybe(texts), max_size=2)
failures = st.lists(st.builds(Failure, id=names, error=texts, refused=st.booleans()), max_size=2).map(tuple)
plans = st.builds(
    Plan,
    manifest=paths,
    mirror=paths,
    archive=addresses,
    actions=st.lists(actions, max_size=2).map(tuple),
    search_complete=st.booleans(),
    failures=failures,
    warnings=st.lists(texts, max_size=2).map(tuple),
    archives=st.dictionaries(names, addresses, max_size=2),
    refreshed=st.lists(local_scenes, max_size=1).map(tuple),
    polled=st.lists(orders, max_size=1).map(tuple),
    identities=st.dictionaries(names, texts, max_size=2),
    locked=st.booleans(),
    refusals=failures,
    left=st.lists(
        st.builds(Departure, id=names, state=st.sampled_from(SceneState), by=st.lists(names, max_size=1).map(tuple)),
        max_size=1,
    ).map(tuple),
    unwanted_orders=st.lists(names, max_size=1).map(tuple),
    typical_sizes=st.dictionaries(names, counts, max_size=1),
)


def test_the_examples_are_true():
    assert doctest.testmod(portable).failed == 0


def checked(value):
    read = type(value).from_json(json.dumps(value.to_json()))
    assert read == value
    assert type(value).from_json(value.to_json()) == value
    assert json.dumps(read.to_json()) == json.dumps(value.to_json())
    newer = {**value.to_json(), "a field of a newer version": {"x": [1]}}
    assert type(value).from_json(newer) == value


@given(scenes | orders)
def test_scenes_and_orders_are_read_as_they_were_written(value):
    checked(value)


@given(plans)
def test_plans_are_read_as_they_were_written(value):
    checked(value)


SIGNED = [
    "https://example.org/a.zip?sig=hush",
    "https://me:hush@example.org/a.zip",
    "https://hush@example.org/a.zip?x",
    "https://example.org/a.zip?e=1556668800&st=hushHushHushHush",
    "https://example.org/a.zip?hushHushHushHush",
    "https://example.org/a.zip#access_token=hush",
]


@pytest.mark.parametrize("link", SIGNED)
def test_no_secret_of_a_link_is_written(link):
    scene = Scene(
        id="A",
        download_url=link,
        quicklook_url=link,
        thumbnail_url=link,
        assets=(RemoteFile(name="a", url=link), RemoteFile(name="b", url="https://example.org/b")),
        extra={"links": [{"href": link, "text": f"see {link}."}], "n": 1},
    )
    order = Order(order="7", id="A", placed=DAY, state=OrderState.READY, download_url=link)
    held = LocalScene(
        id="A",
        path="A",
        size=1,
        mtime_ns=1,
        sha256=None,
        level=ProofLevel.SIZE,
        archive="x",
        facts=json.dumps({"id": "A", "extra": {"href": link}}),
    )
    action = Action(
        kind=ActionKind.FETCH,
        id="A",
        datasets=("d",),
        path="A",
        size=1,
        reason=Reason(ReasonCode.NOT_IN_MIRROR),
        wanted=DesiredScene.of("x", scene, datasets=("d",), path="A"),
        local=held,
        order=order,
    )
    plan = Plan(manifest="m", mirror="/m", archive={}, actions=(action,), refreshed=(held,), polled=(order,))
    for value in (scene, order, plan):
        text = json.dumps(value.to_json())
        assert "hush" not in text
        again = type(value).from_json(text)
        assert again.to_json() == value.to_json()
    read = Scene.from_json(scene.to_json())
    assert read.online
    assert read.lacks_links
    assert [file.url for file in read.assets] == ["", "https://example.org/b"]
    assert read.extra["n"] == 1
    assert json.loads(plan.to_json()["actions"][0]["local"]["facts"])["id"] == "A", "still JSON"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("", "the document is not the JSON of a scene: not JSON"),
        (b"\xff", "not JSON"),
        ("[]", "the document is not the JSON of a scene"),
        ({}, "it has no `.kind.: .scene.`"),
        ({"kind": "order", "schema": 1, "id": "A"}, "it is 'order'"),
        ({"event": "fetched", "id": "A"}, "it is 'fetched'"),
        ({"kind": "scene", "schema": 2, "id": "A"}, "written by a newer sedas-sync"),
        ({"kind": "scene", "schema": 1, "id": 7}, r"damaged: .*\$\.id"),
        ({"kind": "scene", "schema": 1}, "damaged: .*`id`"),
        ({"kind": "scene", "schema": 1, "id": "A", "start": "noon"}, r"damaged: .*\$\.start"),
    ],
)
def test_other_documents_are_errors(document, message):
    with pytest.raises(ManifestError, match=message):
        Scene.from_json(document)
