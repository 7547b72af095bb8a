"""Several archives in one manifest: who is asked, who gives, and what happens when one cannot."""

import hashlib
import json
import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest

import sedas_sync as ss
from sedas_sync.archives.replay import read_record
from sedas_sync.model.events import Fetched, Retried
from sedas_sync.operations.saved_plan import SavedPlan
from sedas_sync.output import markdown, text
from sedas_sync.output.documents.base import json_lines
from sedas_sync.output.documents.plan import PlanDocument, WhyDocument
from sedas_sync.sandbox import Faults, RowCatalogue, Rule, Sandbox, make_row
from sedas_sync.sandbox.faults import fail

RULES = 'aoi = "here"\nstart = 2019-05-01\nend = 2019-05-31\n'
BOTH = f'[dataset.d]\narchive = ["one", "two"]\n{RULES}'


def zipped(name, maker):
    """A zip that tells who made it: two archives never pack a product alike."""
    data = BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        file.writestr(zipfile.ZipInfo(f"{name}.SAFE/noise.bin"), hashlib.sha256(f"{name}{maker}".encode()).digest())
    return data.getvalue()


@dataclass
class Archive:
    """One of two servers, and what it offers."""

    name: str
    server: Sandbox

    def offer(self, online="", offline="", **more):
        rows = [self._row(name, True, more) for name in online] + [self._row(name, False, more) for name in offline]
        files = {name: zipped(name, self.name) for name in (*online, *offline)}
        self.server._catalogue = RowCatalogue(rows, files=files)

    def _row(self, name, online, more):
        digest = hashlib.sha256(zipped(name, self.name)).hexdigest()
        row = make_row(name, f"2019-05-{1 + ord(name[0]) % 26:02}T11:00:00Z", filehash=digest, **more)
        return row if online else {key: value for key, value in row.items() if key != "downloadUrl"}

    def break_down(self, *endpoints):
        self.server.faults = Faults(rules=tuple(Rule(on, fail(500 if on == "look_up" else 404)) for on in endpoints))

    def calls(self, endpoint):
        return sum(entry.endpoint == endpoint for entry in self.server.log)


@pytest.fixture
def one():
    with Sandbox(order_delay=0.1) as server:
        yield Archive("one", server)


@pytest.fixture
def two():
    with Sandbox(order_delay=0.1) as server:
        yield Archive("two", server)


@pytest.fixture
def write(tmp_path, one, two, monkeypatch):
    monkeypatch.setenv("SEDAS_USERNAME", "sandbox")
    monkeypatch.setenv("SEDAS_PASSWORD", "sandbox")
    one.offer("AB", "CD")
    two.offer("C")

    def write(datasets=BOTH, more=""):
        tables = "".join(
            f'[archives.{a.name}]\ntype = "sedas"\nurl = "{a.server.url}"\nfilehash = "enforce"\n' for a in (one, two)
        )
        file = tmp_path / "manifest.toml"
        file.write_text(
            f"version = 1\n{tables}{more}[aoi.here]\nbbox = [-1.4, 51.5, -1.2, 51.6]\n"
            f"[transfer]\nretries = 0\n{datasets}"
        )
        return ss.load_manifest(file)

    return write


def planned(mirror):
    return {action.id: (action.kind.value, action.wanted.archive) for action in mirror.plan().actions}


def makers(root):
    """Who gave each file that is in the mirror."""
    known = {zipped(name, maker): maker for name in "ABCDE" for maker in ("one", "two")}
    return {path.stem: known[path.read_bytes()] for path in root.glob("*.zip")}


def test_each_scene_is_taken_where_it_is_online_and_then_nothing_is_left_to_do(write, one):
    with ss.Mirror(write()) as mirror:
        assert planned(mirror) == {
            "A": ("fetch", "one"), "B": ("fetch", "one"), "C": ("fetch", "two"), "D": ("order", "one"),
        }  # fmt: skip
        summary = mirror.apply(mirror.plan())
        assert (summary.exit_code, summary.fetched, summary.ordered) == (0, 4, 1)
        assert makers(mirror.root) == {"A": "one", "B": "one", "C": "two", "D": "one"}
        assert mirror.plan().changes == 0, "though one now says another size than two gave"
        assert one.calls("order") == 1


def test_a_file_says_in_the_index_where_it_came_from(write, two):
    with ss.Mirror(write()) as mirror:
        events = list(mirror.run(mirror.plan()))
        assert {event.id: event.archive for event in events if isinstance(event, Fetched)}["C"] == "two"
        with mirror._state.index(write=False) as index:
            assert index.local_scene("C").archive == f"sedas {two.server.url}"


def test_the_first_archive_is_preferred_among_equals(write, two):
    two.offer("ABCD")
    with ss.Mirror(write()) as mirror:
        assert planned(mirror)["A"] == ("fetch", "one")
        assert planned(mirror)["D"] == ("fetch", "two"), "an online copy beats an order"


def test_a_link_that_is_refused_for_good_sends_the_scene_to_the_next_archive(write, one, two):
    one.offer("ABC")
    two.offer("ABC")
    one.break_down("download")
    with ss.Mirror(write()) as mirror:
        events = list(mirror.run(mirror.plan()))
        assert events[-1].exit_code == 0
        assert makers(mirror.root) == {"A": "two", "B": "two", "C": "two"}
        told = [event.error for event in events if isinstance(event, Retried) and event.id == "A"]
        assert any("archive one: " in error and "archive two has it too" in error for error in told)


def test_a_scene_that_no_archive_gives_fails_with_the_last_error(write, one, two):
    one.offer("A")
    two.offer("A")
    one.break_down("download")
    two.break_down("download")
    with ss.Mirror(write()) as mirror:
        summary = mirror.apply(mirror.plan())
    assert summary.exit_code == 1
    (failure,) = summary.failures
    assert (failure.id, "404" in failure.error) == ("A", True)


def test_an_order_that_fails_sends_the_scene_to_the_next_archive(write, one, two):
    one.offer("", "D")
    two.offer("", "D")
    one.server.faults = Faults(rules=(Rule("order", fail(400)),))
    with ss.Mirror(write()) as mirror:
        summary = mirror.apply(mirror.plan())
        assert (summary.exit_code, summary.fetched) == (0, 1)
        assert makers(mirror.root) == {"D": "two"}


def test_what_is_on_order_stays_with_the_archive_that_has_the_order(write, one, two):
    one.offer("", "D")
    two.offer("", "")
    with ss.Mirror(write(f'[dataset.d]\narchive = ["two", "one"]\n{RULES}')) as mirror:
        assert mirror.apply(mirror.plan(), wait=False).exit_code == 3
    two.offer("", "D")
    with ss.Mirror(write(f'[dataset.d]\narchive = ["two", "one"]\n{RULES}')) as mirror:
        assert mirror.apply(mirror.plan()).exit_code == 0
        assert makers(mirror.root) == {"D": "one"}
    assert (one.calls("order"), two.calls("order")) == (1, 0)


@pytest.mark.parametrize("broken", ["one", "two"])
def test_with_one_archive_down_the_other_serves_and_the_run_says_so(write, one, two, broken):
    """What only the other one lists is not known, so the search is incomplete, and the run has failed in part."""
    two.offer("ABCD")
    {"one": one, "two": two}[broken].break_down("search")
    with ss.Mirror(write()) as mirror:
        plan = mirror.plan(prune=False)
        assert not plan.search_complete
        summary = mirror.apply(plan)
        assert set(makers(mirror.root)) == set("ABCD")
    assert summary.exit_code == 1
    (failure,) = summary.failures
    assert failure.id == "d"
    assert failure.error.startswith(f"archive {broken}: ")


def test_named_products_that_the_other_archive_has_are_all_there_is_to_want(write, one, two):
    two.offer("AB")
    named = '[dataset.d]\narchive = ["one", "two"]\nproducts = ["A", "B"]\n'
    one.break_down("look_up", "search")
    with ss.Mirror(write(named)) as mirror:
        summary = mirror.apply(mirror.plan())
        assert makers(mirror.root) == {"A": "two", "B": "two"}
    assert summary.exit_code == 0
    assert summary.warnings >= 1


def test_a_product_that_no_archive_knows_is_a_failure(write):
    with ss.Mirror(write('[dataset.d]\narchive = ["one", "two"]\nproducts = ["A", "Z"]\n')) as mirror:
        plan = mirror.plan()
    assert [(failure.id, failure.error) for failure in plan.failures] == [
        ("Z", "this product is in no archive of the dataset")
    ]


def test_two_datasets_of_two_archives_share_a_scene(write):
    datasets = f'[dataset.a]\narchive = "one"\n{RULES}[dataset.b]\narchive = "two"\n{RULES}'
    with ss.Mirror(write(datasets)) as mirror:
        plan = mirror.plan()
        (shared,) = [action for action in plan.actions if action.id == "C"]
        assert (shared.datasets, shared.wanted.archive) == (("a", "b"), "two")
        assert mirror.apply(plan).exit_code == 0


def test_the_plan_and_the_lock_name_the_archives(write, tmp_path, two):
    with ss.Mirror(write()) as mirror:
        plan = mirror.plan()
        data = json.loads("".join(json_lines(PlanDocument.about(plan))))
        assert data["archive"] == data["archives"]["one"]
        assert data["archives"]["two"] == {"type": "sedas", "url": two.server.url}
        assert {action["id"]: action["archive"] for action in data["actions"]}["C"] == "two"
        mirror.relock(plan)
    head, *scenes = map(json.loads, (tmp_path / "manifest.lock").read_text().splitlines())
    assert set(head["archives"]) == {"one", "two"}
    assert {scene["id"]: scene["archives"] for scene in scenes} == {
        "A": ["one"], "B": ["one"], "C": ["one", "two"], "D": ["one"],
    }  # fmt: skip


def test_a_locked_run_takes_what_the_other_archive_has(write, one, two):
    with ss.Mirror(write()) as mirror:
        mirror.relock(mirror.plan())
    two.offer("ABCD")
    one.break_down("look_up", "search")
    with ss.Mirror(write()) as mirror:
        plan = mirror.plan(locked=True)
        assert plan.search_complete
        assert mirror.apply(plan).exit_code == 0
        assert set(makers(mirror.root).values()) == {"two"}


def test_a_saved_plan_keeps_all_places(write, one, two):
    two.offer("AC")
    with ss.Mirror(write()) as mirror:
        saved = SavedPlan.from_json(mirror.save(mirror.plan()).to_json())
    assert {source.archive for source in saved.wants["A"].sources} == {"one", "two"}
    one.break_down("download")
    with ss.Mirror(write()) as mirror:
        plan = mirror.resume_plan(saved)
        assert {action.id: action.kind.value for action in plan.actions}["A"] == "fetch"
        mirror.apply(plan)
        assert makers(mirror.root)["A"] == "two"


def test_a_damaged_file_is_repaired_from_where_it_is_online(write, one, two):
    with ss.Mirror(write()) as mirror:
        mirror.apply(mirror.plan())
        (mirror.root / "A.zip").write_bytes(b"PK\x03\x04 damaged")
        two.offer("A")
        one.offer("", "ABCD")
        report = mirror.repair(mirror.verify())
        assert report.repair.fetched == 1
        assert makers(mirror.root)["A"] == "two"


def test_a_quota_of_one_archive_holds_up_no_order_of_the_other(write, one, two):
    one.offer("", "AB")
    two.offer("", "CD")
    one.server.faults = Faults(order_quota=(1, 3600.0))
    datasets = f'[dataset.a]\narchive = "one"\n{RULES}[dataset.b]\narchive = "two"\n{RULES}'
    with ss.Mirror(write(datasets)) as mirror:
        summary = mirror.apply(mirror.plan(), wait=False)
    assert summary.ordered == 3
    assert two.calls("order") == 2


@pytest.mark.parametrize("maker", ["one", "two"])
def test_a_file_that_is_here_already_may_be_of_either_archive(write, two, maker):
    two.offer("A")
    with ss.Mirror(write()) as mirror:
        mirror.root.mkdir()
        (mirror.root / "A.zip").write_bytes(zipped("A", maker))
        plan = mirror.plan()
        assert {action.id: action.kind.value for action in plan.actions}["A"] == "adopt"
        mirror.apply(plan, wait=False)
        assert makers(mirror.root)["A"] == maker
    with ss.Mirror(write()) as mirror:
        assert {action.id: action.kind.value for action in mirror.plan().actions}["A"] == "keep"


def test_sizes_are_asked_of_the_archive_that_is_to_give_the_scene(write, one, two):
    with ss.Mirror(write()) as mirror:
        sizes = {action.id: action.size for action in mirror.plan(sizes=True).actions}
    assert sizes["A"] == len(zipped("A", "one"))
    assert sizes["C"] == len(zipped("C", "two"))


def test_the_documents_of_a_manifest_with_several_archives_have_their_schemas(write):
    jsonschema = pytest.importorskip("jsonschema")
    from sedas_sync.output.json_schema import schema_of

    with ss.Mirror(write()) as mirror:
        plan = mirror.plan()
        jsonschema.validate(json.loads("".join(json_lines(PlanDocument.about(plan)))), schema_of("plan"))
        for event in mirror.run(plan):
            jsonschema.validate(json.loads(json.dumps(event.to_json())), schema_of("apply"))


def test_a_record_tells_which_archive_a_file_is_of(write, one, tmp_path):
    """A held file is measured by the archive that gave it, and by no other, also where a record answers."""
    manifest = write()
    with ss.Mirror(manifest) as mirror:
        mirror.apply(mirror.plan())
    changed = make_row("A", "2019-05-01T11:00:00Z", filehash="0" * 64)
    one.server._catalogue = RowCatalogue([changed, *[one._row(name, True, {}) for name in "BC"]], files={})
    file = tmp_path / "record.jsonl"
    with file.open("w") as out, ss.Mirror(manifest, record=out) as mirror:
        asked = [(action.id, action.kind.value) for action in mirror.plan().actions]
    with file.open() as lines:
        saved = read_record(lines, file.name)
    answering = {key: saved.archive(key) for key in manifest.archives}
    with ss.Mirror(manifest, archives=answering, clock=lambda: saved.now) as mirror:
        assert [(action.id, action.kind.value) for action in mirror.plan().actions] == asked
    assert dict(asked) == {"A": "replace", "B": "keep", "C": "keep"}


def test_orders_that_may_not_be_asked_for_end_no_plan(write, one):
    manifest = write()
    with ss.Mirror(manifest) as mirror:
        mirror.apply(mirror.plan(), wait=False)
    one.server.faults = Faults(rules=(Rule("poll", fail(403)),))
    with ss.Mirror(manifest) as mirror:
        plan = mirror.plan()
    assert {action.id: action.kind.value for action in plan.actions if action.id == "D"} == {"D": "wait"}
    assert any("orders could not be polled" in warning for warning in plan.warnings)


def test_why_and_a_summary_tell_which_archive_has_a_scene(write, two):
    with ss.Mirror(write()) as mirror:
        plan = mirror.plan()
        told = markdown.plan(plan, command="go")
        assert "| fetch | <code>A</code> | ~600.0 MB | not in the mirror; from one |" in told
        assert "| fetch | <code>C</code> | ~600.0 MB | not in the mirror; from two |" in told
        mirror.apply(plan)
        found = mirror.why("C")
        shown = text.explanation(found)
        assert "two: online; one: in the long-term archive; acquired" in shown
        assert "kB, from two, checked" in shown or "B, from two, checked" in shown
        data = json.loads("".join(json_lines(WhyDocument.about(found))))
        assert data["archives"] == [{"archive": "two", "online": True}, {"archive": "one", "online": False}]
        assert data["file"]["archive"] == "two"
        assert [source.archive for source in mirror.why("A").sources] == ["one"]


def test_links_are_of_the_archive_that_gave_the_file_and_else_of_one_that_has_it_online(write, one, two, tmp_path):
    def links():
        with ss.Mirror(manifest) as mirror:
            mirror.export("urls", tmp_path / "urls")
        entries = (tmp_path / "urls").read_text().replace("\n  ", " ").splitlines()
        return {entry.split("out=")[1].split(".zip")[0]: entry for entry in entries if "out=" in entry}

    manifest = write()
    with ss.Mirror(manifest) as mirror:
        mirror.apply(mirror.plan())
    two.offer("ABCD")
    found = links()
    assert {name: ("one" if one.server.origin in entry else "two") for name, entry in found.items()} == {
        "A": "one", "B": "one", "C": "two", "D": "two",
    }  # fmt: skip
    assert hashlib.sha256(zipped("A", "one")).hexdigest() in found["A"]
    assert hashlib.sha256(zipped("D", "two")).hexdigest() in found["D"], "and not of the file that one gave"


def test_refused_credentials_say_whose_they_are(write, monkeypatch):
    monkeypatch.setenv("SEDAS_PASSWORD", "wrong")
    with ss.Mirror(write()) as mirror, pytest.raises(ss.AuthenticationError, match=r"^archive (one|two): .*refused"):
        mirror.plan()


def test_a_saved_plan_measures_a_file_by_the_archive_that_gave_it(write, one, two):
    """Also where that one has the scene no more, and the archive that describes it states another digest."""
    with ss.Mirror(write()) as mirror:
        mirror.apply(mirror.plan())
    two.offer("")
    one.offer("ABCDE")
    with ss.Mirror(write()) as mirror:
        plan = mirror.plan()
        assert {action.id: action.kind.value for action in plan.actions} == {
            "A": "keep", "B": "keep", "C": "keep", "D": "keep", "E": "fetch",
        }  # fmt: skip
        saved = mirror.save(plan).to_json()
    with ss.Mirror(write()) as mirror:
        assert mirror.apply(mirror.resume_plan(SavedPlan.from_json(saved))).fetched == 1


def test_a_dataset_whose_archives_both_fail_is_told_of_with_both(write, one, two):
    one.break_down("search")
    two.break_down("search")
    with ss.Mirror(write()) as mirror:
        mirror.apply(mirror.plan())
        (failure,) = mirror.status().failures
    assert "archive one: " in failure.error
    assert "; archive two: " in failure.error


def on_order(mirror):
    """Order what is offline, and end without waiting."""
    summary = mirror.apply(mirror.plan(), wait=False)
    assert summary.exit_code == 3, summary


def test_an_order_is_polled_at_the_archive_that_has_it_although_its_search_failed(write, one, two):
    one.offer("", "D")
    two.offer("", "")
    one.server.order_delay = 3600
    rules = f'[dataset.d]\narchive = ["two", "one"]\n{RULES}'
    with ss.Mirror(write(rules)) as mirror:
        on_order(mirror)
    two.offer("", "D")
    one.break_down("search")
    for _ in range(4):
        with ss.Mirror(write(rules)) as mirror:
            plan = mirror.plan()
            assert {action.id: (action.kind.value, action.wanted.archive) for action in plan.actions} == {
                "D": ("wait", "one")
            }
            mirror.apply(plan, wait=False)
    assert (one.calls("order"), two.calls("order"), two.calls("poll")) == (1, 0, 0)
    assert one.calls("poll") > 0
    one.server.order_delay = 0
    with ss.Mirror(write(rules)) as mirror:
        mirror.apply(mirror.plan())
        assert makers(mirror.root) == {"D": "one"}
    assert (one.calls("order"), two.calls("order")) == (1, 0)


def test_an_order_of_an_archive_that_the_manifest_no_longer_has_is_sent_to_no_other(write, one, two):
    one.offer("", "D")
    two.offer("", "D")
    one.server.order_delay = 3600
    with ss.Mirror(write(f'[dataset.d]\narchive = "one"\n{RULES}')) as mirror:
        on_order(mirror)
    manifest = write(f'[dataset.d]\narchive = "two"\n{RULES}')
    with ss.Mirror(manifest) as mirror:
        plan = mirror.plan()
        assert [action.kind.value for action in plan.actions] == ["order"]
        (warning,) = (warning for warning in plan.warnings if "order" in warning)
        assert warning.startswith("D: ")
        assert one.server.url in warning
        saved = SavedPlan.from_json(mirror.save(plan).to_json())
    with ss.Mirror(manifest) as mirror:
        plan = mirror.resume_plan(saved)
        assert mirror.apply(plan).exit_code == 0
        assert makers(mirror.root) == {"D": "two"}
    assert (one.calls("poll"), two.calls("order")) == (0, 1)


@pytest.mark.parametrize(("policies", "kind"), [(("ignore", "warn"), "keep"), (("warn", "ignore"), "replace")])
def test_a_checksum_is_ignored_only_of_the_archive_that_the_manifest_says(write, one, policies, kind):
    one.offer("A")
    manifest = write()
    with ss.Mirror(manifest) as mirror:
        assert mirror.apply(mirror.plan()).exit_code == 0
    one.server._catalogue = RowCatalogue([make_row("A", "2019-05-14T11:00:00Z", filehash="0" * 64)])
    text = Path(manifest.source).read_text()
    for policy in policies:
        text = text.replace('filehash = "enforce"', f'filehash = "{policy}"', 1)
    Path(manifest.source).write_text(text)
    with ss.Mirror(ss.load_manifest(manifest.source)) as mirror:
        assert {action.id: action.kind.value for action in mirror.plan().actions}["A"] == kind
