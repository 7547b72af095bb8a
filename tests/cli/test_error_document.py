"""An error with `--json` is a document too."""

import json

import jsonschema
import pytest

from sedas_sync.output.json_schema import schema_of


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        (("plan",), 4, "credentials"),
        (("apply",), 4, "credentials"),
        (("search", "--format", "csv"), 2, "cannot be combined"),
        (("status", "no-such.toml"), 2, "does not exist"),
        (("apply", "--jobs", "0"), 2, "jobs"),
        (("frobnicate",), 2, "no such command"),
    ],
)
def test_an_error_is_a_document(workspace, command, code, message):
    workspace.write()
    ran = workspace.run(*command, "--json", SEDAS_USERNAME="sandbox", SEDAS_PASSWORD="wrong")
    assert ran.code == code
    document = json.loads(ran.out.splitlines()[-1])
    jsonschema.validate(document, schema_of("error"))
    assert (document["event"], document["exit_code"]) == ("error", code)
    assert message in document["error"]
    assert "error: " in ran.err


def test_each_mistake_of_a_manifest_is_a_problem(workspace):
    workspace.write(transfer="jobs = 0\nretries = -1")
    document = workspace.run("plan", "--json").json
    assert [problem.split(":")[1].strip() for problem in document["problems"]] == ["transfer.jobs", "transfer.retries"]
    assert document["exit_code"] == 2
    own = workspace.run("validate", "--json").json
    assert (own["valid"], own["problems"]) == (False, document["problems"])
