"""The text of JSON documents."""

import json

from sedas_sync.model.events import Failure
from sedas_sync.output.documents.base import FailureEntry, json_lines
from sedas_sync.output.documents.catalogue import ValidateDocument


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
    failures = FailureEntry.of([Failure(id="f\udcff", error="ü \u2028")])
    text = text_of(failures)
    assert text.isascii()
    assert json.loads(text) == [{"id": "f?", "error": "ü \u2028"}]
