"""Old intervals are searched again only every `recheck`, if nothing has a reason to change."""

import hashlib
import json
import zipfile
from datetime import timedelta

import pytest
from clocks import Clock

import sedas_sync as ss
from sedas_sync.sandbox import Faults, RowCatalogue, Rule
from sedas_sync.sandbox.faults import fail

OLD = "end = 2025-11-30\n"
RECHECK = OLD + 'recheck = "7d"\n'


@pytest.fixture
def weeks(weeks):
    offer(weeks)
    weeks.write("2025-11-01", RECHECK)
    weeks.apply(prune=False)
    weeks.clock.move(days=1)
    return weeks


def offer(weeks, *more, files=None, **changed):
    """A catalogue of two scenes in November; the second one as `changed` says."""

    def row(name, **fields):
        return weeks.row(name, (weeks.clock.now - day(name)).days, **fields)

    rows = [row("A"), row("B", **changed), *(row(name) for name in more)]
    weeks.sandbox._catalogue = RowCatalogue(rows, files=files)


def day(name):
    return Clock(f"2025-11-{10 + ord(name[0]) - ord('A')}")()


def searches(weeks, run):
    """How many requests with this endpoint a run sends, and its result."""
    before = len(weeks.sandbox.log)
    result = run()
    return sum(entry.endpoint == "search" for entry in weeks.sandbox.log[before:]), result


def plan(weeks, **options):
    with weeks.mirror() as mirror:
        return mirror.plan(**options)


def test_a_settled_interval_is_asked_again_after_its_time(weeks):
    number, found = searches(weeks, lambda: plan(weeks))
    assert number == 0
    assert found.not_asked == {"d": 86400.0}
    assert {action.kind.value for action in found.actions} == {"keep"}
    weeks.apply(prune=False)
    weeks.clock.move(days=5)
    assert not searches(weeks, lambda: plan(weeks))[0], "an apply that does not ask does not begin the time anew"
    weeks.clock.move(days=1)
    number, found = searches(weeks, lambda: plan(weeks))
    assert number
    assert found.not_asked == {}
    weeks.apply(prune=False)
    weeks.clock.move(days=6)
    assert not searches(weeks, lambda: plan(weeks))[0]


def test_without_the_key_everything_is_asked(weeks):
    weeks.write("2025-11-01", OLD)
    assert searches(weeks, lambda: plan(weeks))[0]


def test_nothing_is_reported_as_gone_or_late(weeks):
    offer(weeks, "L")
    for _ in range(8):
        weeks.apply(prune=False)
        weeks.clock.move(days=1)
    with weeks.mirror() as mirror:
        assert [(one.kind.value, one.id) for one in mirror.changes()] == [("late", "L")]
        assert mirror.status().up_to_date


@pytest.mark.parametrize("options", [{"refresh": True}, {"relock": True}])
def test_a_lock_and_refresh_always_ask(weeks, options):
    assert searches(weeks, lambda: plan(weeks, **options))[0]


def test_a_prune_asks_for_no_settled_dataset_and_keeps_what_matches_its_rules(weeks):
    """C comes to the catalogue after the last search of the settled dataset, and is downloaded for another dataset."""
    other = '[dataset.r]\naoi = "a"\nstart = "{}"\nend = "today"\n'
    weeks.offer(*(weeks.row(name, (weeks.clock.now - day(name)).days) for name in "ABC"), weeks.row("N", 9))
    weeks.write("2025-11-01", RECHECK + other.format("2025-11-12"))
    assert weeks.apply(prune=False).fetched == 2
    assert weeks.here == set("ABCN")
    weeks.write("2025-11-01", RECHECK + other.format("-5d"))
    with weeks.mirror() as mirror:
        planned = mirror.plan(prune=True)
    assert list(planned.not_asked) == ["d"]
    assert {action.id: action.kind.value for action in planned.actions} == {
        "A": "keep", "B": "keep", "C": "keep", "N": "prune",
    }  # fmt: skip
    assert weeks.apply().exit_code == 0
    assert weeks.here == set("ABC")


def test_a_lock_file_is_not_made_of_what_was_not_searched(weeks):
    with weeks.mirror() as mirror, pytest.raises(ss.SedasSyncError, match=r"d was not searched; plan with"):
        mirror.relock(mirror.plan())


@pytest.mark.parametrize(
    "rules",
    [
        'end = 2025-11-29\nrecheck = "7d"\n',
        RECHECK + "max_cloud_cover = 90\n",
        RECHECK + "latest = 2\n",
        OLD + 'recheck = "12h"\n',
        'end = 2026-01-05\nrecheck = "7d"\n',
    ],
)
def test_another_query_is_asked(weeks, rules):
    weeks.write("2025-11-01", rules)
    assert searches(weeks, lambda: plan(weeks))[0]


def test_an_interval_that_ended_lately_is_asked_until_it_is_old(weeks):
    weeks.write("2025-11-01", 'end = 2026-01-05\nrecheck = "7d"\n')
    weeks.apply(prune=False)
    assert searches(weeks, lambda: plan(weeks))[0]
    weeks.clock.move(days=6)
    assert not searches(weeks, lambda: plan(weeks))[0]


def test_a_clock_that_went_back_asks(weeks):
    weeks.clock.move(days=-2)
    assert searches(weeks, lambda: plan(weeks))[0]


def lose(weeks, name="A"):
    (weeks.path / "scenes" / f"{name}.zip").unlink()


def damage(weeks):
    (weeks.path / "scenes" / "A.zip").write_bytes(b"work")


def lose_index(weeks):
    for file in (weeks.path / "scenes" / ".sedas-sync").glob("index.db*"):
        file.unlink()


def forget_facts(weeks):
    with weeks.mirror() as mirror, mirror._context.state.index(write=True) as index:
        index.execute("UPDATE files SET facts = '{}' WHERE id = 'A'")


def contradict_facts(weeks):
    with weeks.mirror() as mirror, mirror._context.state.index(write=True) as index:
        index.execute("UPDATE files SET facts = replace(facts, '2025-11-10', '2024-11-10') WHERE id = 'A'")


@pytest.mark.parametrize("happen", [lose, damage, lose_index, forget_facts, contradict_facts])
def test_a_reason_to_change_is_a_reason_to_ask(weeks, happen):
    happen(weeks)
    number, summary = searches(weeks, lambda: weeks.apply(prune=False))
    assert number
    assert summary.exit_code == 0
    assert weeks.here == {"A", "B"}
    assert not searches(weeks, lambda: plan(weeks))[0], "all is well again"


def test_a_scene_on_order_is_asked_for_until_it_is_here(weeks):
    offer(weeks, online=False)
    weeks.sandbox.order_delay = 3600
    lose(weeks, "B")
    assert weeks.apply(prune=False).pending == 1
    number, summary = searches(weeks, lambda: weeks.apply(prune=False))
    assert (number > 0, summary.pending) == (True, 1)
    weeks.clock.move(hours=2)
    assert weeks.apply(prune=False).fetched == 1
    assert not searches(weeks, lambda: plan(weeks))[0]


def test_a_search_that_failed_is_not_one(weeks):
    weeks.clock.move(days=7)
    weeks.sandbox.faults = Faults(rules=(Rule("search", fail(500)),))
    assert weeks.apply(prune=False).failed == 1
    weeks.sandbox.faults = Faults()
    assert searches(weeks, lambda: plan(weeks))[0]


def test_a_listed_scene_that_cannot_be_downloaded_does_not_look_withdrawn(weeks):
    offer(weeks, acqPlanId="7")
    lose(weeks, "B")
    for _ in range(2):
        assert searches(weeks, lambda: weeks.apply(prune=False))[0], "its id is not among the wanted ones"
    with weeks.mirror() as mirror:
        assert mirror.changes() == []


def test_another_dataset_over_the_same_scenes_sees_their_changes(weeks):
    def offer_version(number):
        target = weeks.path / "B.source"
        with zipfile.ZipFile(target, "w") as file:
            file.writestr("B.SAFE/manifest.safe", f"version {number}" * 100)
        content = target.read_bytes()
        offer(weeks, files={"B": content}, filehash=hashlib.md5(content).hexdigest())

    lose(weeks, "B")
    weeks.write("2025-11-01", RECHECK + '[dataset.e]\naoi = "a"\nstart = 2025-11-01\nend = 2025-11-30\n')
    for number in (1, 2):
        offer_version(number)
        with weeks.mirror() as mirror:
            mirror.apply(mirror.plan(refresh=number == 1))
        weeks.clock.move(days=1)
    found = plan(weeks)
    assert (list(found.not_asked), found.changes) == (["d"], 0)
    offer_version(3)
    assert {action.id: action.kind.value for action in plan(weeks).actions} == {"A": "keep", "B": "replace"}


# -- what a run did not do is not forgotten ---------------------------------------------------------------------------


def restate(weeks, *names):
    """Offer other files for these scenes, so that a run replaces them."""
    rows, files = [], {}
    for number, name in enumerate(names):
        target = weeks.path / f"{name}.source"
        with zipfile.ZipFile(target, "w") as file:
            file.writestr(f"{name}.SAFE/manifest.safe", f"{weeks.clock.now} {name}" * 100)
        files[name] = target.read_bytes()
        rows.append(weeks.row(name, 93 + number, filehash=hashlib.md5(files[name]).hexdigest()))
    weeks.sandbox._catalogue = RowCatalogue(rows, files=files)


def restate_what_is_here(weeks, names="AB"):
    """Put scenes with checksums in the mirror, and then offer other files for all of them."""
    restate(weeks, *names)
    for file in (weeks.path / "scenes").glob("*.zip"):
        file.unlink()
    refreshed(weeks)
    assert not is_asked(weeks)
    weeks.clock.move(hours=1)
    restate(weeks, *names)


def is_asked(weeks):
    return bool(searches(weeks, lambda: plan(weeks))[0])


def refreshed(weeks, **options):
    with weeks.mirror() as mirror:
        return mirror.sync(refresh=True, wait=False, **options)


def finish(weeks, **options):
    """The next run searches and does what the last one did not do, and then all is settled."""
    assert is_asked(weeks)
    with weeks.mirror() as mirror:
        summary = mirror.sync(wait=False, **options)
    assert (summary.exit_code, plan(weeks).changes) == (0, 0)
    assert not is_asked(weeks)
    return summary.fetched


@pytest.mark.parametrize("lost", [False, True])
def test_a_download_that_failed_is_tried_again(weeks, lost):
    restate_what_is_here(weeks)
    if lost:
        lose(weeks)
    weeks.sandbox.faults = Faults(rules=(Rule("download", fail(500)),))
    assert refreshed(weeks).failed == 2
    weeks.sandbox.faults = Faults()
    assert finish(weeks) == 2


def test_a_plan_that_is_refused_is_made_again(weeks):
    restate_what_is_here(weeks)
    with pytest.raises(ss.ManifestError, match="max_download"):
        refreshed(weeks, max_download=1)
    assert finish(weeks) == 2


def test_a_plan_that_is_not_carried_out_is_made_again(weeks):
    restate_what_is_here(weeks)
    with weeks.mirror() as mirror, mirror.locked():
        assert mirror.plan(refresh=True).changes == 2
    assert finish(weeks) == 2


def test_replacements_that_need_a_confirmation_are_not_forgotten(weeks):
    names = [f"S{number:02}" for number in range(28)]
    restate_what_is_here(weeks, names)
    for _ in range(2):
        assert [one.id for one in refreshed(weeks).failures] == ["replace"]
        assert is_asked(weeks)
    assert finish(weeks, confirm_replacing=lambda _count, _held: True) == 28


@pytest.mark.parametrize("killed", [False, True])
def test_a_run_that_is_interrupted_is_not_forgotten(weeks, killed):
    # More than two: the next download may be complete before the stop is noticed.
    names, fetched = "ABCDEFGH", 0
    restate_what_is_here(weeks, names)
    with weeks.mirror() as mirror:
        for event in mirror.run(mirror.plan(refresh=True), jobs=1):
            if event.event == "fetched":
                fetched += 1
                if killed:
                    break
                mirror.stop(143)
    assert 0 < fetched < len(names)
    left = finish(weeks, confirm_replacing=lambda _count, _held: True)
    # A run that is dropped may have replaced a scene whose event was never read.
    assert 0 < left <= len(names) - fetched if killed else left == len(names) - fetched


def test_a_saved_plan_that_failed_is_not_forgotten(weeks):
    restate_what_is_here(weeks)
    with weeks.mirror() as mirror:
        saved = mirror.save(mirror.plan(refresh=True))
    weeks.sandbox.faults = Faults(rules=(Rule("download", fail(500)),))
    with weeks.mirror() as mirror:
        assert mirror.apply(mirror.resume_plan(saved)).failed == 2
    weeks.sandbox.faults = Faults()
    assert finish(weeks) == 2


def test_a_scene_that_disappears_while_planning_is_looked_up(weeks):
    def disappear(step):
        if step.what == "choosing scenes":
            lose(weeks, "B")

    with weeks.mirror() as mirror:
        mirror.on_step = disappear
        found = mirror.plan()
        assert found.not_asked
        assert {action.id: action.kind.value for action in found.actions} == {"A": "keep", "B": "fetch"}
        assert mirror.apply(found).fetched == 1
    assert weeks.here == {"A", "B"}


def test_a_layout_moves_files_without_asking(weeks):
    weeks.write("2025-11-01", RECHECK, mirror='layout = "{start:%Y}/{id}"\n')
    number, _ = searches(weeks, lambda: weeks.apply(prune=False))
    assert number == 0
    assert {file.stem for file in (weeks.path / "scenes" / "2025").iterdir()} == {"A", "B"}
    assert not searches(weeks, lambda: plan(weeks))[0]


def test_zips_are_unpacked_without_asking(weeks):
    weeks.write("2025-11-01", RECHECK, mirror="unpack = true\n")
    for _ in range(2):
        number, summary = searches(weeks, lambda: weeks.apply(prune=False))
        assert (number, summary.exit_code) == (0, 0)
    assert {file.name for file in (weeks.path / "scenes").glob("[AB]*")} == {"A.SAFE", "B.SAFE"}


def test_a_plan_of_one_dataset_records_its_search_too(weeks):
    weeks.clock.move(days=7)
    with weeks.mirror() as mirror:
        mirror.apply(mirror.plan(datasets="d"))
    weeks.clock.move(days=6)
    assert not searches(weeks, lambda: plan(weeks))[0]
    # The rules of another plan of this dataset do not count for these.
    weeks.write("2025-11-12", RECHECK)
    with weeks.mirror() as mirror:
        mirror.apply(mirror.plan(datasets="d"))
    weeks.write("2025-11-01", RECHECK)
    assert searches(weeks, lambda: plan(weeks))[0]


def test_a_saved_plan_can_be_carried_out(weeks):
    with weeks.mirror() as mirror:
        saved = ss.SavedPlan.from_json(json.dumps(mirror.save(mirror.plan()).to_json()))
        assert saved.plan.not_asked == {"d": 86400.0}
        assert mirror.apply(mirror.resume_plan(saved)).exit_code == 0


# -- the commands ----------------------------------------------------------------------------------------------------

RULES = '[dataset.old]\naoi = "harwell"\nstart = 2019-05-01\nend = 2019-05-31\nrecheck = "7d"\n'


def test_plan_names_what_was_not_searched(workspace, sandbox):
    workspace.write(RULES)
    assert workspace.run("apply").code == 0
    before = len(sandbox.log)
    shown = workspace.run("plan").out
    assert "old: not searched, asked " in shown
    assert " ago; --refresh asks now\n" in shown
    assert 0 < workspace.run("plan", "--json").json["not_asked"]["old"] < timedelta(hours=1).total_seconds()
    lines = [json.loads(line) for line in workspace.run("apply", "--json").out.splitlines()]
    assert next(line for line in lines if line["event"] == "search")["age_seconds"] > 0
    assert "ago; --refresh asks now" in workspace.run("apply").err
    assert workspace.run("plan", "--summary", "plan.md").code == 0
    assert "Not searched" in (workspace.path / "plan.md").read_text()
    assert len(sandbox.log) == before, "not even a login"
    assert "not_asked" not in workspace.run("plan", "--json", "--refresh").json
    assert len(sandbox.log) > before


@pytest.mark.parametrize("command", [("plan", "--locked"), ("apply", "--locked"), ("apply", "--plan", "x")])
def test_refresh_needs_a_search(workspace, command):
    workspace.write(RULES)
    assert "--refresh cannot be combined" in workspace.run(*command, "--refresh").err


def test_a_record_has_all_answers(workspace):
    workspace.write(RULES)
    assert workspace.run("apply").code == 0
    assert workspace.run("plan", "--record", "answers.jsonl").code == 0
    assert "not searched" not in workspace.run("plan", "--replay", "answers.jsonl").out
    assert workspace.run("lock").code == 0


@pytest.mark.parametrize("dates", ["start = -30d", 'start = "2019-05-01"\nend = "now"'])
def test_recheck_needs_fixed_dates(workspace, dates):
    workspace.write(f'[dataset.old]\naoi = "harwell"\n{dates}\nrecheck = "7d"\n'.replace("-30d", '"-30d"'))
    assert "needs fixed dates" in workspace.run("validate").err
