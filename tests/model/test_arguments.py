"""A wrong argument of a public function is an error that names the argument and what is allowed."""

import inspect
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypedDict, Unpack

import pytest
from msgspec import Meta

import sedas_sync as ss
from sedas_sync.compat import SeDASAPI, SeDASBulkDownload
from sedas_sync.model.arguments import checked

PLAN = ss.Plan(manifest="m", mirror="m", archive={}, actions=())
SCENE = ss.Scene(id="A")
START, STOP = "2019-04-30T00:00:00Z", datetime(2019, 5, 12, tzinfo=UTC)
AREA = "POLYGON ((-1.3 51.5, -1.2 51.5, -1.2 51.6, -1.3 51.6, -1.3 51.5))"
MANIFEST = {
    "version": 1,
    "archive": {"type": "sandbox"},
    "dataset": {"optical": {"products": ["A"]}, "radar": {"products": ["B"]}},
}


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    with ss.Mirror(ss.parse_manifest(MANIFEST, base=tmp_path_factory.mktemp("mirror"))) as opened:
        yield opened


@pytest.fixture(scope="module")
def archive():
    with ss.SedasArchive("http://127.0.0.1:9/api/", username="sandbox", password="sandbox") as opened:
        yield opened


MISTAKES = {
    "load_manifest": [
        (lambda: ss.load_manifest(MANIFEST), TypeError, "path is of type dict; it must be a text or a path"),
        (lambda: ss.load_manifest(3), TypeError, "path is 3; it must be a text or a path"),
        (lambda: ss.load_manifest("no.toml"), ss.ManifestError, "no.toml: this file does not exist"),
    ],
    "parse_manifest": [
        (lambda: ss.parse_manifest(3), TypeError, "text is 3; it must be a text or a dict"),
        (lambda: ss.parse_manifest(MANIFEST, base=None), TypeError, "base is None; it must be a text or a path"),
        (
            lambda: ss.parse_manifest(MANIFEST, nam="m"),
            TypeError,
            "unexpected keyword argument 'nam'; did you mean name?",
        ),
        (lambda: ss.parse_manifest({"version": 1}), ss.ManifestError, "manifest.toml: dataset: "),
    ],
    "fetch": [
        (
            lambda archive: ss.fetch(SCENE, "out", archive=archive),
            TypeError,
            "scenes is .*; it must be a list of Scenes",
        ),
        (
            lambda archive: ss.fetch(["A"], "out", archive=archive),
            TypeError,
            "scenes is .*; it must be a list of Scenes",
        ),
        (lambda archive: ss.fetch([SCENE], 3, archive=archive), TypeError, "folder is 3; it must be a text or a path"),
        (
            lambda: ss.fetch([SCENE], "out", archive="sedas"),
            TypeError,
            "archive is 'sedas'; it must be an Archive with ",
        ),
        (lambda: ss.fetch([SCENE], "out"), TypeError, "missing a required .*argument: 'archive'"),
        (
            lambda archive: ss.fetch([], "o", archive=archive, jobs="four"),
            TypeError,
            "jobs is 'four'; it must be a whole",
        ),
        (lambda archive: ss.fetch([], "o", archive=archive, jobs=0), ValueError, "jobs is 0; .* of at least 1"),
        (lambda archive: ss.fetch([], "o", archive=archive, orders=["1"]), TypeError, "orders is .* a list of Orders"),
        (lambda archive: ss.fetch([], "o", archive=archive, order_timeout="1h"), TypeError, "order_timeout is '1h'"),
        (lambda archive: ss.fetch([], "o", archive=archive, stop=True), TypeError, "stop is True; it must be an Event"),
    ],
    "to_geojson": [(lambda: ss.to_geojson(SCENE), TypeError, "scenes is .*; it must be a list of Scenes")],
    "to_geodataframe": [(lambda: ss.to_geodataframe(["A"]), TypeError, "scenes is .*; it must be a list of Scenes")],
    "Scene.from_json": [
        (lambda: ss.Scene.from_json(3), TypeError, "document is 3; it must be a text or bytes or a dict"),
        (lambda: ss.Order.from_json({}), ss.ManifestError, "the document is not the JSON of a order"),
    ],
    "SavedPlan.read": [
        (lambda: ss.SavedPlan.read(3), TypeError, "path is 3; it must be a text or a path"),
        (lambda: ss.SavedPlan.read("missing.json"), ss.ManifestError, "missing.json"),
    ],
    "reason_text": [(lambda: ss.reason_text("planned"), TypeError, "reason is 'planned'; it must be a Reason")],
    "Mirror": [
        (lambda: ss.Mirror("manifest.toml"), TypeError, "manifest is 'manifest.toml'; it must be a Manifest"),
        (lambda mirror: ss.Mirror(mirror.manifest, archives={"sedas": None}), TypeError, "archives is "),
        (
            lambda mirror, archive: ss.Mirror(mirror.manifest, archives={"sedas": archive}),
            ss.ManifestError,
            "manifest.toml has no archive 'sedas'; it has archive",
        ),
        (
            lambda mirror: ss.Mirror(mirror.manifest, prompt="yes"),
            TypeError,
            "prompt is 'yes'; it must be True or False",
        ),
    ],
    "Mirror.archive": [
        (lambda mirror: mirror.archive("sedas"), ss.ManifestError, "has no archive 'sedas'; it has archive"),
        (lambda mirror: mirror.archive(1), TypeError, "key is 1; it must be a text"),
    ],
    "Mirror.stop": [(lambda mirror: mirror.stop("now"), TypeError, "exit_code is 'now'; it must be a whole number")],
    "Mirror.search": [
        (
            lambda mirror: mirror.search(datasets="opitcal"),
            ss.ManifestError,
            "no dataset 'opitcal'; it has optical, radar",
        ),
        (lambda mirror: mirror.search(datasets=3), TypeError, "datasets is 3; it must be a text or a list of texts"),
        (lambda mirror: mirror.search(on_event="print"), TypeError, "on_event is 'print'; it must be a function"),
    ],
    "Mirror.sources": [(lambda mirror: mirror.sources("S2"), TypeError, "too many positional arguments")],
    "Mirror.why": [(lambda mirror: mirror.why(SCENE), TypeError, "scene_id is .*; it must be a text")],
    "Mirror.plan": [
        (
            lambda mirror: mirror.plan(datasets=["radar", 1]),
            TypeError,
            "datasets is .*; it must be a text or a list of",
        ),
        (lambda mirror: mirror.plan(datasets="a", prune=True), ss.ManifestError, "no dataset 'a'"),
        (lambda mirror: mirror.plan(prune=1), TypeError, "prune is 1; it must be True or False"),
    ],
    "Mirror.check_choice": [
        (lambda mirror: mirror.check_choice("a"), ss.ManifestError, "no dataset 'a'; it has optical")
    ],
    "Mirror.save": [(lambda mirror: mirror.save("plan.json"), TypeError, "plan is 'plan.json'; it must be a Plan")],
    "Mirror.check_saved": [(lambda mirror: mirror.check_saved(PLAN), TypeError, "saved is .*; it must be a SavedPlan")],
    "Mirror.resume_plan": [(lambda mirror: mirror.resume_plan(PLAN), TypeError, "saved is .*; it must be a SavedPlan")],
    "Mirror.checked_lock": [(lambda mirror: mirror.checked_lock("m.lock"), TypeError, "too many positional arguments")],
    "Mirror.check_old_lock": [
        (lambda mirror: mirror.check_old_lock(write=1), TypeError, "write is 1; it must be True or")
    ],
    "Mirror.relock": [(lambda mirror: mirror.relock(), TypeError, "missing a required argument: 'plan'")],
    "Mirror.adopt": [
        (lambda mirror: mirror.adopt("missing"), ss.ManifestError, "missing: the folder to adopt from does not exist"),
        (
            lambda mirror: mirror.adopt(how="steal"),
            ValueError,
            "how is 'steal'; it must be one of 'link', 'copy', 'move'",
        ),
        (lambda mirror: mirror.adopt(jobs=-1), ValueError, "jobs is -1; it must be a whole number of at least 1"),
    ],
    "Mirror.verify": [(lambda mirror: mirror.verify(jobs=1.5), TypeError, "jobs is 1.5; it must be a whole number")],
    "Mirror.orders": [(lambda mirror: mirror.orders(warn=True), TypeError, "warn is True; it must be a function")],
    "Mirror.forget_order": [(lambda mirror: mirror.forget_order(17), TypeError, "order is 17; it must be a text")],
    "Mirror.forget_unwanted_orders": [
        (lambda mirror: mirror.forget_unwanted_orders("17"), TypeError, "too many positional arguments"),
    ],
    "Mirror.export": [
        (
            lambda mirror: mirror.export("shapefile"),
            ValueError,
            "how is 'shapefile'; it must be one of 'geojson', 'csv', 'stac', ",
        ),
        (lambda mirror: mirror.export("csv"), ss.ManifestError, "an export as csv needs a file to go to"),
        (
            lambda mirror: mirror.export("csv", 3),
            TypeError,
            "out is 3; it must be a text or a path or an open file or None",
        ),
    ],
    "Mirror.catalogue_folder": [
        (lambda mirror: mirror.catalogue_folder(3), TypeError, "out is 3; it must be a text or")
    ],
    "Mirror.report": [
        (lambda mirror: mirror.report(b"page.html"), TypeError, "out is b'page.html'; it must be a text or")
    ],
    "Mirror.history": [(lambda mirror: mirror.history(3), TypeError, "since is 3; it must be a datetime or None")],
    "Mirror.changes": [(lambda mirror: mirror.changes("May"), TypeError, "since is 'May'; it must be a datetime or")],
    "Mirror.recording": [(lambda mirror: mirror.recording(None), TypeError, "command is None; it must be a text")],
    "Mirror.status": [(lambda mirror: mirror.status("radar"), TypeError, "too many positional arguments")],
    "Mirror.close": [(lambda mirror: mirror.close(1), TypeError, "takes 1 positional argument")],
    "Mirror.locked": [(lambda mirror: mirror.locked(timeout="1h"), TypeError, "timeout is '1h'; it must be a number")],
    "Mirror.locked_if_there": [(lambda mirror: mirror.locked_if_there(timeout=-1), ValueError, "timeout is -1")],
    "Mirror.apply": [
        (lambda mirror: mirror.apply(mirror), TypeError, "plan is .*; it must be a Plan"),
        (
            lambda mirror: mirror.apply(PLAN, jobs="four"),
            TypeError,
            "jobs is 'four'; it must be a whole number of at least",
        ),
        (
            lambda mirror: mirror.apply(PLAN, jbos=4),
            TypeError,
            "unexpected keyword argument 'jbos'; did you mean jobs?",
        ),
        (
            lambda mirror: mirror.apply(PLAN, max_prune="lots"),
            ss.ManifestError,
            "is 'lots'; it must be a number of files",
        ),
        (lambda mirror: mirror.apply(PLAN, max_download=-1), ValueError, "max_download is -1; it must be a whole"),
        (
            lambda mirror: mirror.apply(PLAN, progress="bar"),
            TypeError,
            "progress is 'bar'; it must be True or False or",
        ),
        (
            lambda mirror: mirror.apply(PLAN, max_prune=0.5),
            TypeError,
            "max_prune is 0.5; it must be a whole number or a",
        ),
        (
            lambda mirror: mirror.apply(PLAN, executor="dask"),
            TypeError,
            "executor is 'dask'; it must be an Executor or",
        ),
        (
            lambda mirror: mirror.apply(PLAN, lock_timeout=None),
            TypeError,
            "lock_timeout is None; it must be a number of",
        ),
    ],
    "Mirror.sync": [
        (lambda mirror: mirror.sync(dataset="radar"), TypeError, "argument 'dataset'; did you mean datasets?"),
        (lambda mirror: mirror.sync(wait="no"), TypeError, "wait is 'no'; it must be True or False"),
    ],
    "Mirror.run": [(lambda mirror: mirror.run(None), TypeError, "plan is None; it must be a Plan")],
    "Mirror.repair": [(lambda mirror: mirror.repair("all"), TypeError, "report is 'all'; it must be a VerifyReport")],
    "SedasArchive": [
        (lambda: ss.SedasArchive(username="a"), TypeError, "missing a required .*argument: 'password'"),
        (lambda: ss.SedasArchive(username="a", password=3), TypeError, "password is 3; it must be a text"),
        (lambda: ss.SedasArchive("sedas", username="a", password="b"), ss.ManifestError, "url 'sedas' cannot be used"),
        (lambda: ss.SedasArchive(username="a", password="b", retries=-1), ValueError, "retries is -1; .* at least 0"),
    ],
    "SedasArchive.from_env": [
        (lambda: ss.SedasArchive.from_env(3), TypeError, "url is 3; it must be a text"),
    ],
    "SedasArchive.search": [
        (lambda archive: archive.search(AREA, 3, STOP), TypeError, "start is 3; it must be a text or a datetime"),
        (lambda archive: archive.search(AREA, "May", STOP), ValueError, "start is 'May'; it must be ISO 8601, such as"),
        (
            lambda archive: archive.search(AREA, STOP, START),
            ValueError,
            r"stop \(2019-04-30T00:00:00Z\) is before start",
        ),
        (
            lambda archive: archive.search(AREA, START, STOP, sensor="radar"),
            ValueError,
            "must be one of all, optical, sar",
        ),
        (lambda archive: archive.search(AREA, START, STOP, sensor=1), TypeError, "sensor is 1; it must be a text"),
        (lambda archive: archive.search("Harwell", START, STOP), ValueError, "the area 'Harwell' cannot be searched"),
        (lambda archive: archive.search(AREA, START, STOP, filters="cloud"), TypeError, "filters is .* a dict or None"),
    ],
    "SedasArchive.rows": [(lambda archive: archive.rows(AREA, 3, STOP), TypeError, "start is 3; it must be")],
    "SedasArchive.product": [(lambda archive: archive.product(SCENE), TypeError, "scene_id is .*; it must be a text")],
    "SedasArchive.product_rows": [
        (lambda archive: archive.product_rows(3), TypeError, "ids is 3; it must be a text or a")
    ],
    "SedasArchive.order": [
        (lambda archive: archive.order([SCENE]), TypeError, "scene is .*; it must be a Scene or a text")
    ],
    "SedasArchive.order_status": [
        (
            lambda archive: archive.order_status([SCENE]),
            TypeError,
            "orders is .*; it must be an Order or a text or a list of",
        ),
    ],
    "SeDASAPI": [(lambda: SeDASAPI("a", None), TypeError, "password is None; it must be a text")],
    "SeDASBulkDownload": [
        (
            lambda: SeDASBulkDownload(SeDASAPI("a", "b"), "out", parallel="2"),
            TypeError,
            "parallel is '2'; it must be a whole",
        ),
        (lambda: SeDASBulkDownload("client", "out"), TypeError, "sedas_client is 'client'; it must be a SeDASAPI"),
    ],
}
"""A mistake or more for each public function, with the error and the words of its message."""

CASES = [
    pytest.param(*case, id=f"{name}:{number}") for name, cases in MISTAKES.items() for number, case in enumerate(cases)
]


@pytest.mark.parametrize(("call", "error", "words"), CASES)
def test_a_wrong_argument_is_an_error_in_words(call, error, words, request):
    arguments = {name: request.getfixturevalue(name) for name in inspect.signature(call).parameters}
    with pytest.raises(error, match=words):
        call(**arguments)


FOR_RUNS = {"find", "look_up", "locate", "stop", "interrupt", "close", "log_in", "satellites", "source_groups"}
"""Methods of an archive that a run calls for each scene, and methods without arguments."""


def test_the_table_has_every_public_function():
    functions = {name for name in ss.__all__ if inspect.isfunction(getattr(ss, name))}
    for cls in (ss.Mirror, ss.SedasArchive):
        methods = {name for name, _ in inspect.getmembers(cls, callable) if not name.startswith("_")}
        functions |= {cls.__name__} | {f"{cls.__name__}.{name}" for name in methods - FOR_RUNS}
    assert functions <= MISTAKES.keys()


def test_one_dataset_is_a_name(mirror):
    for datasets in ("optical", ["optical"], ("optical",), iter(["optical"])):
        mirror.check_choice(datasets)
        assert mirror.save(PLAN, "optical").datasets == ("optical",)


class Options(TypedDict, total=False):
    number: Annotated[int, Meta(ge=1, le=5)]


@checked
def function(
    one: int | None,
    word: Literal["a", "b"] = "a",
    *,
    numbers: Iterable[float] = (),
    call: Callable[[int], Any] = abs,
    **options: Unpack[Options],
) -> tuple[Any, ...]:
    return one, word, tuple(numbers), call, options


@pytest.mark.parametrize(
    ("args", "options"),
    [
        ((1,), {}),
        ((None, "b"), {"numbers": (float(n) for n in range(3))}),
        ((2,), {"numbers": [1, 2.5], "number": 5}),
        ((2,), {"call": str}),
    ],
)
def test_right_arguments_are_passed_on(args, options):
    assert function(*args, **options)[0] == args[0]


@pytest.mark.parametrize(
    ("args", "options", "error"),
    [
        ((True,), {}, TypeError),
        ((), {}, TypeError),
        ((1, "c"), {}, ValueError),
        ((1, 2), {}, TypeError),
        ((1,), {"numbers": "12"}, TypeError),
        ((1,), {"numbers": [1, "2"]}, TypeError),
        ((1,), {"number": 6}, ValueError),
        ((1,), {"call": 3}, TypeError),
    ],
)
def test_wrong_arguments_are_errors(args, options, error):
    with pytest.raises(error):
        function(*args, **options)
