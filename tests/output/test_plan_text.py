"""A plan for people: grouped, folded where somebody looks, whole where not."""

from datetime import UTC, datetime

from msgspec.structs import replace

from sedas_sync.model.events import Failure
from sedas_sync.model.order import Order
from sedas_sync.model.plan import Action, ActionKind, Plan
from sedas_sync.model.reason import Reason, ReasonCode
from sedas_sync.model.scene import DesiredScene, Scene
from sedas_sync.output.documents.catalogue import SourcesEntry
from sedas_sync.output.plan_text import datasets_of, plan
from sedas_sync.output.style import Look
from sedas_sync.output.text import sources

TERMINAL = Look(width=60, fold=True)
NEW = Reason(ReasonCode.NOT_IN_MIRROR)


def action(kind, scene_id, reason=NEW, *, size=None, day=None, datasets=("d",), archive="a"):
    start = None if day is None else datetime(2019, 5, day, tzinfo=UTC)
    want = DesiredScene.of(archive, Scene(id=scene_id, start=start), datasets=datasets, path=scene_id)
    return Action(kind=kind, id=scene_id, datasets=datasets, path=scene_id, size=size, reason=reason, wanted=want)


def partial(size):
    return Reason(ReasonCode.PARTLY_DOWNLOADED, here=size)


def shown(*actions, look=Look(), everything=False, **more):  # noqa: B008  # a frozen value
    of = Plan(manifest="m.toml", mirror="/m", archive={"type": "sedas", "url": "u"}, actions=actions, **more)
    return plan(of, command="go", look=look, everything=everything).split("\n")


def test_scenes_that_wait_for_an_order_share_a_reason():
    orders = [Order(order=str(number), id=str(number), placed=datetime(2019, 5, 1, tzinfo=UTC)) for number in range(3)]
    waiting = [
        replace(action(ActionKind.WAIT, order.id, Reason(ReasonCode.ORDER_PENDING, order=order.order)), order=order)
        for order in orders
    ]
    lines = shown(*waiting)
    assert "  wait 3: its order is not ready" in lines


def test_datasets_are_in_the_order_of_the_manifest():
    actions = [
        action(ActionKind.FETCH, "A", datasets=("late",)),
        action(ActionKind.PRUNE, "B", datasets=()),
        action(ActionKind.FETCH, "C", datasets=("early", "late")),
        action(ActionKind.FETCH, "D", datasets=("early",)),
    ]
    of = Plan(manifest="m.toml", mirror="/m", archive={}, actions=tuple(actions))
    shown = datasets_of(of, ("early", "empty", "late"))
    assert [datasets for datasets, _ in shown] == [("early",), ("early", "late"), ("empty",), ("late",), ()]
    assert "empty (0 scenes)" in plan(of, order=("early", "empty", "late"))
    limited = replace(of, datasets=("early",))
    assert "empty" not in plan(limited, order=("early", "empty", "late"))


def test_sizes_that_are_not_stated_are_estimated_and_marked():
    def scene(kind, scene_id, product_type, size=None):
        want = DesiredScene.of("a", Scene(id=scene_id, product_type=product_type), datasets=("d",), path=scene_id)
        return Action(kind=kind, id=scene_id, datasets=("d",), path=scene_id, size=size, reason=NEW, wanted=want)

    known = {"L1C": 600_000_000}
    lines = shown(
        scene(ActionKind.FETCH, "A", "L1C", 100_000_000),
        scene(ActionKind.FETCH, "B", "L1C"),
        scene(ActionKind.ORDER, "C", "L1C"),
        typical_sizes=known,
    )
    assert "  fetch 2, ~700.0 MB: not in the mirror" in lines
    assert "    + ~600.0 MB  B" in lines
    assert "Plan: 2 to fetch, 1 to order; ~700.0 MB, ~600.0 MB from orders." in lines
    assert "    o C" in lines, "a column of estimates alone is left out"
    lines = shown(scene(ActionKind.FETCH, "A", "L1C"), scene(ActionKind.FETCH, "B", "other"), typical_sizes=known)
    assert "Plan: 2 to fetch; at least ~600.0 MB." in lines


def test_scenes_are_grouped_by_dataset_action_and_reason():
    lines = shown(
        action(ActionKind.KEEP, "K", Reason(ReasonCode.UNCHANGED), size=5),
        action(ActionKind.FETCH, "A", size=1_000_000),
        action(ActionKind.REPLACE, "R", Reason(ReasonCode.SIZE_CHANGED, here=4, there=5)),
        action(ActionKind.REPLACE, "S", Reason(ReasonCode.SIZE_CHANGED, here=9, there=7)),
        action(ActionKind.FETCH, "B", size=23_400_000),
        action(ActionKind.FETCH, "C", Reason(ReasonCode.FILE_GONE)),
        action(ActionKind.FETCH, "D", Reason(ReasonCode.FILE_GONE)),
        action(ActionKind.PRUNE, "P", Reason(ReasonCode.NO_MATCH, detail="d: too old"), datasets=()),
    )
    assert lines == [
        "Mirror   /m",
        "Archive  sedas u",
        "",
        "d (7 scenes)",
        "  fetch 2, 24.4 MB: not in the mirror",
        "    +  1.0 MB  A",
        "    + 23.4 MB  B",
        "  fetch 2: the downloaded file is missing",
        "    + C",
        "    + D",
        "  replace 2",
        "    ~ R  (changed in the archive: 5 bytes there, 4 in the mirror)",
        "    ~ S  (changed in the archive: 7 bytes there, 9 in the mirror)",
        "  keep 1: in the mirror, unchanged",
        "",
        "wanted by no dataset (1 scene)",
        "  prune 1: no longer matches: d: too old",
        "    - P",
        "",
        "Plan: 4 to fetch, 2 to replace, 1 to prune, 1 kept; at least 24.4 MB.",
        "Run `go` to do this.",
    ]


def test_long_lists_are_folded_on_a_terminal_only():
    many = [action(ActionKind.FETCH, f"S{day:02}", day=day) for day in range(1, 14)]
    folded = shown(*many, look=TERMINAL)
    assert folded[-4] == "    … and 3 more, acquired 2019-05-11 to 2019-05-13; `--all` lists them"
    assert sum(line.startswith("    +") for line in folded) == 10
    for whole in (shown(*many), shown(*many, look=TERMINAL, everything=True), shown(*many[:12], look=TERMINAL)):
        assert sum(line.startswith("    +") for line in whole) in (12, 13)
        assert not any("more" in line for line in whole)


def test_kept_scenes_are_listed_on_demand():
    kept = action(ActionKind.KEEP, "K", Reason(ReasonCode.UNCHANGED), size=5)
    assert shown(kept)[-2:] == ["", "Nothing to do: 1 kept."]
    assert "    = 5 B  K" in shown(kept, everything=True)


def test_a_reason_that_does_not_fit_is_printed_below():
    lines = shown(
        action(ActionKind.RESUME, "X" * 60, partial(1)), action(ActionKind.RESUME, "Y", partial(2)), look=TERMINAL
    )
    assert lines[5:8] == [f"    + {'X' * 60}", "        (1 B already downloaded)", "    + Y  (2 B already downloaded)"]


def test_several_archives_are_named():
    archives = {"a": {"type": "sedas", "url": None}, "b": {"type": "cdse", "url": "v"}}
    lines = shown(action(ActionKind.FETCH, "A"), action(ActionKind.FETCH, "B", archive="b"), archives=archives)
    assert lines[1:3] == ["Archive  a: sedas", "Archive  b: cdse v"]
    assert "    + B  (not in the mirror; from b)" in lines


def test_sources_of_an_archive_without_lists():
    nothing = {"archive": "a", "type": "cdse", "satellites": [], "source_groups": []}
    something = {**nothing, "type": "sedas", "source_groups": [{"name": "S1"}]}
    lines = sources([SourcesEntry(**nothing), SourcesEntry(**something)]).split("\n")
    assert lines[:2] == ["a (cdse)", "  lists neither satellites nor source groups"]
    assert lines[3].split() == ["satellites", "none"]


def test_next_command():
    failed = {"failures": (Failure(id="d", error="away"),), "search_complete": False}
    assert shown(action(ActionKind.WAIT, "W"))[-1] == "Run `go` again later: it downloads what is online by then."
    order = Order(order="7", id="W", archive="a", placed=datetime(2019, 5, 1, tzinfo=UTC))
    ordered = replace(action(ActionKind.WAIT, "W"), order=order)
    assert shown(ordered)[-1] == "Run `go` to wait for the orders and fetch what is ready."
    assert shown(action(ActionKind.FETCH, "A"), **failed)[-1].startswith("Run `go` to do this much;")
    assert shown(**failed)[-3:] == [
        "failed: d: away",
        "Plan: no scenes; THE SEARCH IS INCOMPLETE.",
        "There is nothing else to do: fix this, and plan again.",
    ]
