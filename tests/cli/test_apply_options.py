"""`apply --max-download` and `--exec`, and an apply that finds nothing."""

import shlex
import sys

import pytest

from sedas_sync.sandbox import RowCatalogue, make_row

ONE = '[dataset.d]\naoi = "harwell"\nstart = 2019-05-01\nend = 2019-05-31\n'
OTHER = '[dataset.nothing]\naoi = "harwell"\nstart = 2018-05-01\nend = 2018-05-31\n'


@pytest.fixture
def offered(workspace, sandbox):
    sandbox._catalogue = RowCatalogue([make_row(name, f"2019-05-0{n}T11:16:33Z") for n, name in enumerate("ABC", 1)])
    workspace.write(ONE)
    return workspace


# -- the most that may be downloaded -----------------------------------------------------------------------------------


def test_a_plan_that_downloads_too_much_is_refused_before_anything_happens(offered, sandbox):
    offered.run("apply", "--dataset", "d")
    size = sorted(map(len, offered.files().values()))[1]
    for name in "BC":
        (offered.mirror / f"{name}.zip").unlink()
    offered.write(ONE, transfer=f"max_download = {size}")
    before = sandbox.downloads
    planned = offered.run("plan", "--json")
    assert planned.code == 0
    assert planned.json["summary"]["bytes"] is None
    assert planned.json["summary"]["expected_bytes"] == 2 * size, "as large as such scenes usually are"
    assert any("max_download" in warning and "refuses" in warning for warning in planned.json["warnings"])
    ran = offered.run("apply")
    assert (ran.code, sandbox.downloads) == (2, before)
    assert "more than max_download" in ran.err
    assert "--max-download" in ran.err
    ran = offered.run("apply", "--max-download", "1GB")
    assert (ran.code, sandbox.downloads) == (0, before + 2)
    assert offered.run("apply").code == 0, "nothing to do is never too much"


def test_a_limit_that_is_no_size_is_a_mistake(offered):
    ran = offered.run("apply", "--max-download", "500Gb")
    assert ran.code == 2
    assert "--max-download '500Gb'" in ran.err
    assert "20MB" in ran.err


@pytest.mark.parametrize("existed", [False, True])
def test_a_refused_plan_leaves_no_trace_in_a_new_mirror(offered, existed):
    if existed:
        offered.mirror.mkdir()
    ran = offered.run("apply", "--max-download", "1kB")
    assert ran.code == 2, ran.err
    assert offered.mirror.exists() == existed
    assert not existed or not list(offered.mirror.iterdir())
    assert offered.run("history", "--json").json["runs"] == []
    assert offered.run("apply").code == 0
    (offered.mirror / "A.zip").unlink()
    assert offered.run("apply", "--max-download", "1B").code == 2
    assert offered.run("history", "--json").json["runs"][0]["exit_code"] == 2, "what a cron job was refused is recorded"


def test_orders_that_are_not_placed_are_counted_apart_from_those_that_are_pending(offered, sandbox):
    rows = [make_row(name, f"2019-05-0{n}T11:16:33Z", online=False) for n, name in enumerate("LMN", 1)]
    sandbox._catalogue, sandbox.order_delay = RowCatalogue(rows), 3600
    offered.write(ONE, transfer="max_orders = 1")
    ran = offered.run("apply", "--no-wait")
    assert ran.code == 3
    assert "1 ordered, 1 orders pending, 2 not ordered yet" in ran.out
    summary = offered.run("apply", "--no-wait", "--json").summary
    assert (summary["ordered"], summary["pending"], summary["unordered"]) == (1, 3, 1)


# -- a command for each scene ------------------------------------------------------------------------------------------


def command(code):
    return f"{sys.executable} -c '{code}' {{path}} {{id}}"


def test_a_command_runs_for_each_scene_that_arrives(offered):
    log = 'import sys, pathlib; pathlib.Path("log").open("a").write(" ".join(sys.argv[1:]) + "\\n")'
    ran = offered.run("apply", "--exec", command(log))
    assert ran.code == 0
    lines = sorted((offered.path / "log").read_text().split("\n")[:-1])
    assert lines == [f"{offered.mirror / name}.zip {name}" for name in "ABC"]
    (offered.path / "log").unlink()
    assert offered.run("apply", "--exec", command(log)).code == 0
    assert not (offered.path / "log").exists(), "kept scenes have not arrived"


def test_a_command_that_fails_is_a_failure_and_its_scene_stays(offered):
    ran = offered.run(
        "apply", "--json", "--exec", command('import sys; print("no band 4"); sys.exit(sys.argv[2] == "B")')
    )
    assert ran.code == ran.summary["exit_code"] == 1
    assert ran.summary["fetched"] == 3
    assert [failure["id"] for failure in ran.summary["failures"]] == ["B"]
    assert "exit code 1: no band 4" in ran.summary["failures"][0]["error"]
    assert len(offered.files()) == 3
    last = offered.run("status", "--json").json["last_run"]
    assert last["exit_code"] == 1, "what is recorded is what the process ended with"
    assert offered.run("status", "--max-age", "1h").code == 1
    assert offered.run("apply", "--exec", command("import sys; sys.exit(1)")).code == 0


def test_failed_commands_are_named_and_counted(offered):
    fail = command('import sys; sys.exit(sys.argv[2] != "B")')
    ran = offered.run("apply", "--exec", fail)
    assert ran.code == 1
    assert "2 commands failed. The scenes are downloaded, so a later run does not repeat them" in ran.err
    lines = [line.strip() for line in ran.err.splitlines() if line.startswith("  ")]
    assert sorted(shlex.split(line)[-2:] for line in lines) == [[f"{offered.mirror / name}.zip", name] for name in "AC"]
    (entry,) = offered.run("history", "--json").json["runs"]
    assert (entry["fetched"], entry["failed"], entry["failed_commands"]) == (3, 0, 2)
    assert "3 fetched, 2 commands failed: " in offered.run("history").out


def test_words_are_passed_on_as_they_are(offered, sandbox):
    name = "A $(touch harm); {path}"
    sandbox._catalogue = RowCatalogue([make_row(name, "2019-05-01T11:16:33Z")])
    code = 'import sys, pathlib; pathlib.Path("log").write_text(sys.argv[2])'
    ran = offered.run("apply", "--exec", command(code))
    assert ran.code == 0, ran.err
    assert (offered.path / "log").read_text() == name
    assert not (offered.path / "harm").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--exec", ""), "empty"),
        (("--exec", "no-such-program {path}"), "no program 'no-such-program'"),
        (("--exec", "sh '"), '--exec "sh \'"'),
        (("--exec", "true {path} {date}"), "{date} is not replaced by anything; {path} and {id} are"),
        (("--exec", "true {}"), "{} is not replaced"),
        (("--exec", "true", "--dry-run"), "cannot be combined with --dry-run"),
    ],
)
def test_a_command_that_cannot_run_is_told_before_the_search(offered, sandbox, arguments, message):
    ran = offered.run("apply", *arguments)
    assert ran.code == 2
    assert message in ran.err
    assert not offered.files()


def test_braces_that_are_no_placeholders_stay(offered):
    code = "import sys; sys.exit(sys.argv[1:] != ['{print $1}', 'a{2}', '${HOME}'])"
    ran = offered.run("apply", "--exec", f"""{sys.executable} -c "{code}" '{{print $1}}' 'a{{2}}' '${{HOME}}'""")
    assert ran.code == 0, ran.err


# -- nothing found -----------------------------------------------------------------------------------------------------


def test_a_dataset_without_scenes_is_in_the_plan(offered):
    offered.write(ONE + OTHER)
    shown = offered.run("plan")
    assert "nothing (0 scenes)" in shown.out
    assert "no scene matches" in shown.err
    offered.run("plan", "--summary", "plan.md")
    assert "| nothing |" in (offered.path / "plan.md").read_text()


def test_an_apply_that_finds_nothing_does_not_claim_the_folder(offered):
    offered.write(OTHER, name="mistyped.toml")
    assert offered.run("apply", "mistyped.toml").code == 0
    assert offered.run("apply").code == 0
    assert len(offered.files()) == 3
    assert offered.run("apply", "mistyped.toml").code == 2, "now the folder belongs to the other manifest"


def test_a_plan_over_files_that_are_not_in_the_index_names_adopt(offered):
    offered.mirror.mkdir()
    (offered.mirror / "A (1).zip").write_bytes(b"whatever")
    warned = "1 file in the mirror is not in the index: `sedas-sync adopt`"
    assert any(warned in one for one in offered.run("plan", "--json").json["warnings"])
    assert offered.run("apply").code == 0
    assert not any("adopt" in one for one in offered.run("plan", "--json").json["warnings"])


def test_failures_with_one_reason_are_one_line_that_names_each_scene(offered):
    ran = offered.run("apply", "--exec", command("import sys; sys.exit(7)"))
    assert ran.code == 1
    assert all(name in ran.err.split("failed: ", 1)[1] for name in "ABC")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--max-prune", "3"], "--max-prune needs --prune"), (["--exec-jobs", "2"], "--exec-jobs needs --exec")],
)
def test_an_option_without_the_one_it_belongs_to_is_refused(offered, arguments, message):
    ran = offered.run("apply", *arguments)
    assert ran.code == 2
    assert message in ran.err
    assert not offered.mirror.exists()


def test_an_age_can_be_a_number_of_seconds(offered):
    assert offered.run("apply").code in (0, 3)
    assert len(offered.run("history", "--since", "3600", "--json").json["runs"]) == 1
    assert offered.run("history", "--since", "0.0", "--json").json["runs"] == []
    assert offered.run("status", "--max-age", "3600").code == 0
