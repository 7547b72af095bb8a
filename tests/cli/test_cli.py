"""The other commands, the options that stand anywhere, and what each exit code means."""

import csv
import io
import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from sedas_sync import __version__
from sedas_sync.cli.arguments import COMMANDS
from sedas_sync.sandbox import RowCatalogue, make_row

ROOT = Path(__file__).parents[2]
ONE = '[dataset.d]\naoi = "harwell"\nstart = 2019-05-01\nend = 2019-05-31\n'


def test_version_and_help(workspace):
    assert workspace.run("--version").out == f"sedas-sync {__version__}\n"
    shown = workspace.run("--help")
    assert shown.code == 0
    listed = re.findall(r"^  ([a-z]+) {2,}", shown.out.split("Commands:")[1], flags=re.MULTILINE)
    assert listed == sorted(command.name for command in COMMANDS)
    for command in listed:
        own = workspace.run(command, "--help")
        assert own.code == 0
        assert "--json" in own.out or command == "help"


def test_init_writes_a_valid_manifest_and_never_overwrites_a_file(workspace):
    assert workspace.run("init").code == 0
    assert workspace.run("validate").code == 0
    assert workspace.run("init", "sub.toml", "--json").json == {
        "schema": 1,
        "manifest": "sub.toml",
        "aois": ["harwell"],
        "warnings": [],
    }
    (workspace.path / "manifest.toml").write_text("mine")
    again = workspace.run("init")
    assert again.code == 2
    assert "already exists" in again.err
    assert (workspace.path / "manifest.toml").read_text() == "mine"


def test_validate_lists_every_mistake_and_changes_nothing(workspace, sandbox):
    manifest = workspace.write('[dataset.d]\naoi = "harvell"\nstart = 2019-05-01\nmax_cloud = 50\nsensor = "optic"\n')
    ran = workspace.run("validate")
    assert ran.code == 2
    lines = ran.err.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("error: manifest.toml: dataset.d.") for line in lines)
    assert "did you mean max_cloud_cover?" in ran.err
    assert "harwell" in ran.err
    as_json = workspace.run("validate", "--json")
    assert as_json.code == 2
    assert as_json.json["valid"] is False
    assert len(as_json.json["problems"]) == 3
    assert workspace.run("apply").code == 2
    assert not sandbox.log, "no server was asked"
    assert sorted(path.name for path in workspace.path.iterdir()) == [manifest.name]


def test_validate_a_good_manifest_and_a_missing_one(workspace):
    workspace.write(ONE)
    assert workspace.run("validate", "--json").json["valid"] is True
    missing = workspace.run("validate", "nowhere.toml")
    assert missing.code == 2
    assert "this file does not exist" in missing.err


def test_validate_needs_no_network_and_no_credentials(workspace, sandbox):
    workspace.write(ONE)
    sandbox.close()
    assert workspace.run("validate", SEDAS_USERNAME="", SEDAS_PASSWORD="").code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("apply", "--jobs", "0"),
        ("apply", "--no-such"),
        ("plan", "a.toml", "b.toml"),
        ("search", "--format", "xml"),
    ],
)
def test_a_wrong_command_line_exits_with_2(workspace, arguments):
    ran = workspace.run(*arguments)
    assert ran.code == 2
    assert "rror" in ran.err
    assert ran.out == ""


def test_search_in_every_format(workspace, sandbox):
    sandbox._catalogue = RowCatalogue(
        [
            make_row("A", "2019-05-02T11:00:00Z", novelty={"kept": 1}),
            make_row("B", "2019-05-01T11:00:00Z", online=False),
        ]
    )
    workspace.write(ONE)
    document = workspace.run("search", "--json").json
    assert document["search_complete"] is True
    assert [scene["id"] for scene in document["scenes"]] == ["B", "A"]
    assert [scene["online"] for scene in document["scenes"]] == [False, True]
    assert document["scenes"][1]["extra"]["novelty"] == {"kept": 1}, "unknown fields are passed on"
    assert document["scenes"][0]["datasets"] == ["d"]
    assert workspace.run("search", "--format", "json").json == document

    collection = workspace.run("search", "--format", "geojson").json
    assert [feature["id"] for feature in collection["features"]] == ["B", "A"]
    assert collection["features"][0]["geometry"]["type"] == "Polygon"
    lines = list(csv.DictReader(io.StringIO(workspace.run("search", "--format", "csv").out)))
    assert [line["id"] for line in lines] == ["B", "A"]
    table = workspace.run("search").out.splitlines()
    assert table[0].split() == ["ACQUIRED", "SENSOR", "CLOUD", "WHERE", "DATASETS", "ID"]
    assert "LTA" in table[1]
    assert "online" in table[2]
    assert not workspace.mirror.exists()


def test_sources(workspace):
    workspace.write(ONE)
    (archive,) = workspace.run("sources", "--json").json["archives"]
    assert {"Sentinel-1A", "Sentinel-2B"} <= {satellite["name"] for satellite in archive["satellites"]}
    assert {"S1", "S2"} <= {group["name"] for group in archive["source_groups"]}
    assert "Sentinel-1A" in workspace.run("sources").out


def test_orders_can_be_forgotten(workspace, sandbox):
    sandbox.order_delay = 3600
    sandbox._catalogue = RowCatalogue([make_row("L", "2019-05-02T11:00:00Z", online=False)])
    workspace.write(ONE)
    assert workspace.run("orders").out == "No orders.\n"
    workspace.run("apply", "--no-wait")
    assert "pending" in workspace.run("orders").out
    assert workspace.run("orders", "--forget", "nothing").code == 2
    assert workspace.run("orders", "--forget", "L").code == 0
    assert workspace.run("orders", "--json").json == []


def test_plan_json_fields(workspace, sandbox):
    offered = [make_row("A", "2019-05-02T11:00:00Z"), make_row("L", "2019-05-01T11:00:00Z", online=False)]
    sandbox._catalogue = RowCatalogue(offered)
    workspace.write(ONE)
    plan = workspace.run("plan", "--json")
    assert plan.code == 0
    document = plan.json
    assert document["schema"] == 1
    assert document["manifest"] == "manifest.toml"
    assert document["mirror"] == str(workspace.mirror)
    assert document["archive"] == {"type": "sedas", "url": workspace.url}
    assert document["search_complete"] is True
    assert document["summary"] == {
        "keep": 0, "fetch": 1, "resume": 0, "order": 1, "wait": 0, "replace": 0, "adopt": 0, "prune": 0, "skip": 0,
        "bytes": None, "expected_bytes": 1_200_000_000,
    }  # fmt: skip
    assert document["actions"][1] == {
        "action": "fetch", "id": "A", "datasets": ["d"], "path": "A.zip", "size": None, "reason": "not in the mirror",
        "reason_code": "not_in_mirror",
    }  # fmt: skip
    assert workspace.run("plan", "--exit-code").code == 10
    assert workspace.run("apply", "--dry-run", "--json").json == document
    sized = workspace.run("plan", "--json", "--sizes").json
    assert sized["actions"][1]["size"] == sized["summary"]["bytes"] > 0
    workspace.run("apply")
    assert workspace.run("plan", "--json").json["actions"] == []
    everything = workspace.run("plan", "--json", "--all").json
    assert [action["action"] for action in everything["actions"]] == ["keep", "keep"]


def test_plan_text(workspace, sandbox):
    sandbox._catalogue = RowCatalogue(
        [make_row("A", "2019-05-02T11:00:00Z"), make_row("L", "2019-05-01T11:00:00Z", online=False)]
    )
    workspace.write(ONE)
    shown = workspace.run("plan")
    assert "  fetch 1, ~600.0 MB: not in the mirror\n    + A\n" in shown.out
    assert "  order 1, ~600.0 MB: in the long-term archive, no order yet\n    o L\n" in shown.out
    assert "Plan: 1 to fetch, 1 to order" in shown.out
    assert "Run `sedas-sync apply`" in shown.out
    assert "\x1b" not in shown.out, "no colour where there is no terminal"


def test_global_options_stand_before_or_after_the_command(workspace):
    workspace.write(ONE)
    before, after = workspace.run("--json", "validate"), workspace.run("validate", "--json")
    assert before.json == after.json
    assert workspace.run("-q", "validate").out == workspace.run("validate", "-q").out == ""


def test_a_command_line_without_a_command_shows_the_help(workspace):
    ran = workspace.run()
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == workspace.run("--help").out


@pytest.mark.parametrize("typed", ["aply", "Apply", "sync"])
def test_a_mistyped_command_gets_a_suggestion(workspace, typed):
    ran = workspace.run(typed)
    assert (ran.code, ran.out) == (2, "")
    error = f"error: no such command '{typed}'; did you mean apply?"
    assert ran.err == f"{error}\nnext: `sedas-sync --help` lists the commands\n"
    workspace.write(ONE)
    ran = workspace.run("search", "--json", "--format", "csv")
    assert ran.code == ran.json["exit_code"] == 2
    assert "--json means --format json" in ran.err


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("apply --jbs 3", "no such option '--jbs'; did you mean "),
        ("apply --jobs x", "invalid value for '--jobs': 'x' is not"),
        ("why", "missing argument 'ID'"),
        ("plan a.toml b.toml", "got unexpected extra argument (b.toml)"),
    ],
)
def test_a_wrong_command_line_is_an_error_as_any_other(workspace, command, message):
    ran = workspace.run(*command.split())
    error, remedy = ran.err.splitlines()
    assert (ran.code, ran.out) == (2, "")
    assert error.startswith(f"error: {message}")
    assert remedy == f"next: `sedas-sync {command.split()[0]} --help` lists the options"


def test_plain_lines_without_a_terminal(workspace):
    workspace.write()
    ran = workspace.run("apply")
    assert ran.code == 0
    for stream in (ran.out, ran.err):
        assert not set(stream) & {"\r", "\x1b", "\x08"}
    assert re.search(r"^Applied: \d+ fetched", ran.out)
    assert "to order" in ran.err
    quiet = workspace.run("apply", "-q")
    assert (quiet.out, quiet.err) == ("", "")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGTERM])
def test_the_sandbox_command_runs_an_archive_until_a_signal(workspace, number):
    process = workspace.start("sandbox", "--port", "0", "--json")
    try:
        line = ""
        while not line.strip().endswith("}"):
            line += process.stdout.readline()
        told = json.loads(line)
        body = json.dumps({"username": told["username"], "password": told["password"]}).encode()
        request = urllib.request.Request(told["url"] + "authentication", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert json.load(answer)["token"]
    finally:
        process.send_signal(number)
        _, err = process.communicate(timeout=10)
    assert process.returncode == 128 + number
    assert err == "Stopped.\n"


def test_the_installed_script_runs_the_command(workspace):
    script = Path(sys.executable).with_name("sedas-sync")
    shown = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout == f"sedas-sync {__version__}\n"


@pytest.mark.parametrize(
    "command", [["plan", "--out"], ["plan", "--summary"], ["plan", "--record"], ["report", "--out"]], ids=" ".join
)
def test_nothing_is_written_over_the_manifest_its_lock_or_the_mirror(workspace, sandbox, command):
    """As where the name of the file was forgotten: `plan --out manifest.toml`."""
    sandbox._catalogue = RowCatalogue([make_row("A", "2019-05-01T11:00:00Z")])
    workspace.write('[dataset.d]\naoi = "harwell"\nstart = 2019-05-01\nend = 2019-05-31\n')
    assert workspace.run("apply", "--update-lock").code == 0
    for file in ("manifest.toml", "manifest.lock", "scenes/A.zip", "scenes/.sedas-sync/index.db"):
        before = (workspace.path / file).read_bytes()
        ran = workspace.run(*command, file)
        assert (ran.code, (workspace.path / file).read_bytes() == before) == (2, True), file
        assert file in ran.err
    assert workspace.run(*command, "scenes/other.txt").code == 0
    assert workspace.run(*command, "scenes/other.txt").code == 0
