"""Run every example of the documentation: parse manifests, run commands and Python."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from doc_examples import BLOCK, PAGES, ROOT, python_examples, run_examples
from effort import effort
from manifests import read_area

from sedas_sync.archives.registry import TYPES
from sedas_sync.manifest import parse


def blocks(language):
    found = []
    for page in PAGES:
        for number, (kind, text) in enumerate(BLOCK.findall(page.read_text())):
            if kind == language:
                found.append(pytest.param(text, id=f"{page.relative_to(ROOT)}:{number}"))
    return found


@pytest.mark.parametrize("text", blocks("toml"))
def test_manifests_are_valid(text):
    manifest = parse(text, source="example", read_area=read_area, types=TYPES)
    assert manifest.datasets


@pytest.mark.timeout(300)  # a page runs up to 25 commands, each a process
@pytest.mark.parametrize("page", [page for page in PAGES if "$ sedas-sync" in page.read_text()], ids=lambda p: p.stem)
def test_commands_run_in_order(page, workspace):
    if "$ sedas-sync init" not in page.read_text():
        assert workspace.run("init").code == 0
    for kind, text in BLOCK.findall(page.read_text()):
        if kind == "toml" and page.name == "README.md":
            (workspace.path / "manifest.toml").write_text(text)
        for line in re.findall(r"^\$ (.*)$", text if kind == "console" else "", re.MULTILINE):
            if line.startswith("sedas-sync "):
                ran = workspace.run(*shlex.split(line, comments=True)[1:])
                expected = re.search(r"# ends with (\d+)", line)
                codes = (int(expected[1]),) if expected else (0, 3) if "--no-wait" in line else (0,)
                assert ran.code in codes, (line, ran.out, ran.err)
            elif page.parent.name == "tutorial":
                subprocess.run(["bash", "-euc", line], cwd=workspace.path, check=True, timeout=60)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("reference", [True, False], ids=["reference", "other-pages"])
def test_python_runs(reference, workspace):
    """The page with most examples, and all others; an example that fails is named."""
    examples = [example for example in python_examples() if (example.page.parent.name == "reference") is reference]
    ran = run_examples(examples, workspace)
    assert ran.returncode == 0, ran.stderr
    assert "Warning" not in ran.stderr


def test_the_readme_shows_what_the_command_prints(workspace):
    text = (ROOT / "README.md").read_text()
    (manifest,) = (block for kind, block in BLOCK.findall(text) if kind == "toml")
    (workspace.path / "manifest.toml").write_text(manifest)
    (shown,) = (block for kind, block in BLOCK.findall(text) if kind == "console" and "sedas-sync plan" in block)
    printed = workspace.run("plan").out
    assert printed.replace(str(workspace.path), "/home/ann/fields").splitlines() == shown.splitlines()[1:-2]
    applied = workspace.run("apply").out
    assert re.sub(r"in .*", "in TIME.", applied).strip() == re.sub(r"in .*", "in TIME.", shown.splitlines()[-1]).strip()


def test_the_readme_stays_one_and_a_half_screens():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 105


def shell_lines(page):
    """Yield the shell scripts of a page: its `sh` blocks, and the steps of its workflows."""
    for kind, text in BLOCK.findall((ROOT / "docs" / "how-to" / page).read_text()):
        if kind == "sh":
            yield text
        elif kind == "yaml":
            yield from re.findall(r"- run: \|\n((?: {10}.*\n)+)", text)


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize(("pending", "code"), effort([(True, 0)], [(False, 0), (True, 0)]))
def test_the_ci_recipes_accept_pending_orders(workspace, sandbox, number, pending, code):
    import os
    import sys

    from sedas_sync.sandbox import RowCatalogue, make_row

    script = list(shell_lines("ci.md"))
    assert len(script) == 6
    sandbox.order_delay = 3600
    sandbox._catalogue = RowCatalogue(
        [make_row("A", "2019-05-01T11:00:00Z"), make_row("L", "2019-05-02T11:00:00Z", online=not pending)]
    )
    workspace.write('[dataset.d]\naoi = "harwell"\nstart = 2019-05-01\nend = 2019-05-31\n')
    summary = workspace.path / "summary.md"
    if "--replay" in script[number]:
        assert workspace.run("plan", "--record", "search.jsonl").code == 0
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script[number]],
        cwd=workspace.path,
        env=workspace.environment(PATH=path, GITHUB_STEP_SUMMARY=str(summary)),
        capture_output=True,
        text=True,
        timeout=60,
    )
    if "--max-prune" in script[number] and pending:
        code = 3  # the last recipe is a single command, so its exit code is that of the job
    assert ran.returncode == code, (script[number], ran.stderr)
    if "GITHUB_STEP_SUMMARY" in script[number]:
        assert "to fetch" in summary.read_text()


@pytest.mark.parametrize("number", [0, 1, 2, 3, 4])
def test_the_ci_recipes_pass_failures_on(workspace, number):
    import os
    import sys

    workspace.write('[dataset.d]\naoi = "nowhere"\nstart = 2019-05-01\n')
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = workspace.environment(PATH=path, GITHUB_STEP_SUMMARY=str(workspace.path / "summary.md"))
    script = list(shell_lines("ci.md"))[number]
    ran = subprocess.run(["bash", "-c", script], cwd=workspace.path, env=environment, capture_output=True, timeout=60)
    assert ran.returncode == 2


def test_the_ci_recipe_gives_no_secret_to_a_pull_request_and_keeps_the_mirror(workspace, tmp_path_factory):
    page = (ROOT / "docs" / "how-to" / "ci.md").read_text()
    workflow = next(text for kind, text in BLOCK.findall(page) if kind == "yaml")
    (manifest,) = [text for kind, text in BLOCK.findall(page) if kind == "toml"]
    head, plan, apply = re.split(r"^  (?:plan|apply):", workflow, flags=re.MULTILINE)
    assert "secrets." not in head + plan
    assert "--replay" in plan
    assert "secrets." in apply
    # A checkout that cleans does this to the folder between two runs.
    mirror = tmp_path_factory.mktemp("data")
    local = manifest.replace("/data/scenes", str(mirror)).replace('"sedas"', '"sandbox"')
    (workspace.path / "manifest.toml").write_text(local)
    for command in (("init", "-q"), ("add", "manifest.toml")):
        subprocess.run(["git", *command], cwd=workspace.path, check=True)
    applied = workspace.run("apply", "--no-wait", "--json")
    assert applied.code in (0, 3)
    subprocess.run(["git", "clean", "-ffdxq"], cwd=workspace.path, check=True)
    assert list(mirror.rglob("*.zip"))
    # On a slow machine, orders may be ready by now: only scenes of the first run must be kept.
    assert workspace.run("apply", "--no-wait", "--json").summary["kept"] == applied.summary["fetched"]
