"""What every command prints with --json, held against its schema; a field that no schema names is a mistake."""

import json
import signal
from functools import cache

import jsonschema
import pytest
from click.testing import CliRunner

from sedas_sync.cli.arguments import COMMANDS
from sedas_sync.cli.main import cli
from sedas_sync.errors import SedasSyncError
from sedas_sync.model import events
from sedas_sync.output import json_schema
from sedas_sync.sandbox import Faults, RowCatalogue, Rule, make_row
from sedas_sync.sandbox.faults import fail


@cache
def validator(command):
    return jsonschema.Draft202012Validator(json_schema.schema_of(command))


def check(command, document):
    validator(command).validate(document)


@pytest.fixture
def checked(workspace, monkeypatch):
    """Runs a command with --json in this process, and holds what it prints against its schema."""
    monkeypatch.chdir(workspace.path)
    monkeypatch.setenv("HOME", str(workspace.path))
    for name, value in workspace.env.items():
        monkeypatch.setenv(name, value)

    def run(command, *arguments, code=0):
        ran = CliRunner().invoke(cli, [command, *arguments, "--json"], prog_name="sedas-sync", standalone_mode=False)
        error = ran.exception
        assert (error.exit_code if isinstance(error, SedasSyncError) else ran.exit_code) == code, (ran.stderr, error)
        printed = ran.stdout.splitlines() if command == "apply" and "--dry-run" not in arguments else [ran.stdout]
        documents = [json.loads(text) for text in printed]
        for document in documents:
            check("plan" if "--dry-run" in arguments else command, document)
        return documents[-1]

    return run


def test_json_of_every_command_in_the_life_of_a_mirror(checked, workspace):
    checked("init", "new.toml")
    workspace.write()
    checked("validate")
    checked("sources")
    checked("search")
    checked("status")
    checked("plan", "--sizes", "--all")
    checked("apply", "--dry-run")
    assert checked("apply", "--no-wait", code=3)["pending"]
    assert checked("orders")[0]["state"]
    checked("status")
    assert checked("report")["scenes"]
    plan = checked("plan")
    waiting = next(action["id"] for action in plan["actions"] if action["action"] in ("wait", "fetch", "order"))
    checked("why", waiting)
    checked("lock", "--check", code=10)
    checked("apply", "--update-lock")
    checked("lock")
    checked("why", next(workspace.mirror.glob("*.zip")).stem)
    checked("why", "nobody-knows-it", code=1)


def test_json_of_damage_and_repair(checked, workspace):
    workspace.write()
    checked("apply", "--update-lock")
    held = sorted(workspace.mirror.glob("*.zip"))
    held[0].write_bytes(b"rotten")
    held[1].unlink()
    (workspace.mirror / "stranger.txt").write_bytes(b"?")
    report = checked("verify", code=1)
    assert {item["finding"] for item in report["findings"]} == {"corrupt", "missing", "unknown"}
    assert len(checked("plan", "--all")["actions"]) == len(held)
    assert checked("verify", "--repair")["repair"]["fetched"]
    assert checked("apply")["kept"]


def test_json_of_pruning(checked, workspace):
    workspace.write()
    checked("apply", "--update-lock")
    workspace.write('[dataset.optical]\naoi = "harwell"\nstart = 2019-05-01\nend = 2019-05-03\nsensor = "optical"\n')
    checked("plan", "--prune")
    unwanted = next(file.stem for file in workspace.mirror.glob("S1*.zip"))
    assert checked("why", unwanted)["prune"]["removes"]
    assert checked("apply", "--prune", "--max-prune", "100%")["pruned"]
    assert checked("lock", "--check", code=10)["removed"]


def test_json_of_adopted_and_exported_files(checked, workspace, tmp_path):
    workspace.write()
    checked("apply")
    old = tmp_path / "old"
    workspace.mirror.rename(old)
    broken = next(old.glob("*.zip"))
    broken.write_bytes(b"rotten")
    (old / "unwanted.zip").write_bytes(b"?")
    adopted = checked("adopt", "--from", str(old), code=1)
    assert adopted["summary"]["adopted"]
    assert adopted["summary"]["wrong"] == 1
    next(workspace.mirror.glob("*.zip")).unlink()
    exported = checked("export", "--format", "csv", "--out", "scenes.csv")
    assert len(exported["left_out"]) == 1
    assert checked("status")["last_run"]["command"] == "adopt"


def test_json_of_failures(checked, workspace, sandbox):
    sandbox._catalogue = RowCatalogue([make_row(name, f"2019-05-0{day}T11:00:00Z") for day, name in enumerate("AB", 1)])
    workspace.write('[dataset.d]\naoi = "harwell"\nstart = 2019-05-01\nend = 2019-05-31\n', transfer="retries = 1")
    sandbox.faults = Faults(rules=(Rule("download", fail(404), ids={"B"}),))
    ran = checked("apply", code=1)
    assert ran["failed"] == 1
    assert checked("status")["failures"]


def test_json_of_a_manifest_with_mistakes(checked, workspace):
    workspace.write('[dataset.d]\naoi = "nowhere"\nstart = 2019-05-01\n')
    assert checked("validate", code=2)["problems"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_json_of_a_completion_script(checked, shell):
    assert "sedas-sync" in checked("completion", shell)["script"]


def test_json_of_the_sandbox(workspace):
    with workspace.start("sandbox", "--port", "0", "--json") as server:
        text = "".join(iter(server.stdout.readline, "}\n")) + "}"
        server.send_signal(signal.SIGTERM)
    check("sandbox", json.loads(text))


@pytest.mark.parametrize("event", events.Event.__subclasses__(), ids=lambda event: event.event)
def test_every_event_has_its_fields_in_the_schema(event):
    shapes = {shape["properties"]["event"]["const"]: shape for shape in json_schema.schema_of("apply")["oneOf"]}
    more = {"reason_code"} if event is events.Skipped else set()
    assert set(shapes[event.event]["properties"]) == {"event", *event.__struct_fields__, *more}


def objects(schema):
    """Every object that a schema describes."""
    if isinstance(schema, dict):
        if "properties" in schema:
            yield schema
        for value in schema.values():
            yield from objects(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from objects(value)


@pytest.mark.parametrize("command", json_schema.COMMANDS)
def test_every_schema_is_valid(command):
    jsonschema.Draft202012Validator.check_schema(json_schema.schema_of(command))


@pytest.mark.parametrize("command", json_schema.COMMANDS)
def test_every_field_has_a_description_and_objects_are_closed(command):
    opened = []
    for shape in objects(json_schema.schema_of(command)):
        assert all(value.get("description") for value in shape["properties"].values())
        if shape["additionalProperties"]:
            opened.append(shape["description"])
    assert len(opened) == {"search": 1, "sources": 2}.get(command, 0)


def test_every_command_has_a_schema():
    assert set(json_schema.COMMANDS) == {command.name for command in COMMANDS} - {"schema", "help"} | {"error"}


def test_the_schema_command_prints_them(workspace):
    assert workspace.run("schema", "plan").json == json_schema.schema_of("plan")
    assert workspace.run("schema").json["title"] == "sedas-sync manifest"
    wrong = workspace.run("schema", "plam")
    assert (wrong.code, wrong.out) == (2, "")
    assert "plan" in wrong.err
