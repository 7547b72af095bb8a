"""The text of JSON documents."""

import json

from sedas_sync.model.events import Failure
from sedas_sync.model.plan import Action, ActionKind, Plan
from sedas_sync.model.reason import Reason, ReasonCode
from sedas_sync.output.documents.base import json_lines
from sedas_sync.output.documents.catalogue import ValidateDocument
from sedas_sync.output.documents.plan import PlanDocument


def text_of(document):
    return "".join(json_lines(document))


def test_a_field_a_line_and_an_item_a_line():
    document = ValidateDocument(manifest="m.toml", valid=False, problems=("one", "two"))
    assert text_of(document) == (
        '{\n "schema": 1,\n "manifest": "m.toml",\n "valid": false,\n "problems": [\n  "one",\n  "two"\n ]\n}\n'
    ), "a field that is not set is left out"


def test_empty_lists():
    assert text_of([]) == "[]\n"
    assert json.loads(text_of(ValidateDocument(manifest="m", valid=True, problems=(), datasets=()))) == {
        "schema": 1, "manifest": "m", "valid": True, "problems": [], "datasets": [],
    }  # fmt: skip


def test_text_is_ascii_and_a_name_that_is_not_utf8_can_be_read():
    text = text_of([Failure(id="f\udcff", error="ü \u2028")])
    assert text.isascii()
    assert json.loads(text) == [{"id": "f?", "error": "ü \u2028"}]


def test_a_plan_counts_every_scene_and_lists_kept_ones_only_when_asked():
    kept, missing = (
        Action(kind=kind, id=scene_id, datasets=("d",), path="a.zip", size=None, reason=Reason(ReasonCode.UNCHANGED))
        for kind, scene_id in ((ActionKind.KEEP, "S"), (ActionKind.FETCH, "T"))
    )
    plan = Plan(manifest="m.toml", mirror="/m", archive={"type": "sedas", "url": None}, actions=(kept, missing))
    document = json.loads(text_of(PlanDocument.about(plan)))
    assert document["summary"] == {
        "keep": 1, "fetch": 1, "resume": 0, "order": 0, "wait": 0, "replace": 0, "adopt": 0, "prune": 0, "skip": 0,
        "bytes": None, "expected_bytes": 0,
    }  # fmt: skip
    assert [action["id"] for action in document["actions"]] == ["T"]
    assert [action.id for action in PlanDocument.about(plan, everything=True).actions] == ["S", "T"]
