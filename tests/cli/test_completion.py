"""Completion as a shell asks for it, in every shell that is installed; bash always is."""

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sedas_sync.cli import completion
from sedas_sync.cli.commands.completion import SHELLS, script_for
from sedas_sync.sandbox import RowCatalogue, make_row

BIN = Path(sys.executable).parent
DATASETS = '[dataset.optical]\nproducts = ["A"]\n[dataset.radar]\nproducts = ["B"]\n'


def path():
    return f"{BIN}{os.pathsep}{os.environ['PATH']}"


def in_bash(workspace, line):
    """What bash would offer at the end of a line."""
    script = f"""
{script_for("bash")}
COMP_WORDS=({line}); [[ '{line}' == *' ' ]] && COMP_WORDS+=('')
COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
compopt() {{ echo "compopt $2"; }}
_sedas_sync_completion sedas-sync
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    return run(workspace, ["bash", "--norc", "-c", script])


def in_zsh(workspace, line):
    script = f"""
autoload -U compinit && compinit -u -D
{script_for("zsh")}
_path_files() {{ print -- "compopt default" }}
compadd() {{ [[ $1 == -U ]] && print -l -- ${{completions}} }}
_describe() {{ print -l -- ${{completions_with_descriptions%%:*}} }}
words=({line}); [[ '{line}' == *' ' ]] && words+=('')
CURRENT=${{#words}}
_sedas_sync_completion
"""
    return run(workspace, ["zsh", "-f", "-c", script])


def in_fish(workspace, line):
    script = f"{script_for('fish')}\ncomplete -C'{line}'"
    return [found.split("\t")[0] for found in run(workspace, ["fish", "--no-config", "-c", script])]


def run(workspace, command):
    ran = subprocess.run(
        command, cwd=workspace.path, env=workspace.environment(PATH=path()), capture_output=True, text=True, timeout=60
    )
    assert ran.stderr == ""
    return [line for line in ran.stdout.splitlines() if line]


ASK = {"bash": in_bash, "zsh": in_zsh, "fish": in_fish}


@pytest.fixture(params=SHELLS)
def offered(request, workspace):
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return lambda line: ASK[request.param](workspace, line)


@pytest.fixture
def mirror(workspace, sandbox):
    """A mirror with one scene held and one ordered."""
    sandbox.order_delay = 3600
    sandbox._catalogue = RowCatalogue(
        [make_row("A", "2019-05-01T11:00:00Z"), make_row("B", "2019-05-02T11:00:00Z", online=False)]
    )
    workspace.write(DATASETS)
    assert workspace.run("apply", "--no-wait").code == 3
    (workspace.path / "other.toml").write_text("not = a manifest")
    (workspace.path / "notes.txt").write_text("")
    return workspace.run("orders", "--json").json[0]["order"]


def test_completes_every_kind_of_name(offered, mirror):
    assert {"plan", "apply", "why", "verify"} <= set(offered("sedas-sync "))
    assert {"--prune", "--json", "--dataset"} <= set(offered("sedas-sync plan --"))
    assert offered("sedas-sync plan --dataset ") == ["optical", "radar"]
    assert {"manifest.toml", "other.toml"} == set(offered("sedas-sync validate "))
    assert offered("sedas-sync why ") == ["A", "B"]
    assert offered("sedas-sync orders --forget ") == [mirror]


def test_completes_from_the_manifest_in_the_line(workspace, mirror):
    assert in_bash(workspace, "sedas-sync val") == ["validate"]
    assert in_bash(workspace, "sedas-sync schema so") == ["sources"]
    assert in_bash(workspace, "sedas-sync plan --dataset optical --dataset ") == ["radar"]
    assert in_bash(workspace, "sedas-sync plan manifest.toml --dataset r") == ["radar"]
    assert in_bash(workspace, "sedas-sync plan other.toml --dataset ") == []
    assert in_bash(workspace, "sedas-sync plan missing.toml --dataset ") == []
    assert in_bash(workspace, "sedas-sync validate ma") == ["manifest.toml"]
    assert in_bash(workspace, "sedas-sync why A ma") == ["manifest.toml"]
    assert in_bash(workspace, "sedas-sync orders --forget B") == ["B"]
    assert mirror


def test_completes_nothing_without_a_manifest_or_mirror(offered):
    assert offered("sedas-sync why ") == []
    assert offered("sedas-sync nothing-like-it --") is not None


@pytest.mark.parametrize("name", ["it's mine.toml", "a,b.toml", "$(touch owned).toml", "*.toml", "-rf.toml"])
def test_leaves_files_with_odd_names_to_the_shell(workspace, name):
    (workspace.path / name).write_text("")
    offered = in_bash(workspace, "sedas-sync validate ")
    assert offered == (["-rf.toml"] if name == "-rf.toml" else ["compopt default"])
    assert not (workspace.path / "owned").exists()


def test_leaves_folders_to_the_shell(workspace):
    (workspace.path / "fields").mkdir()
    (workspace.path / "fields" / "a.toml").write_text("")
    (workspace.path / "fields.toml").write_text("")
    assert in_bash(workspace, "sedas-sync validate fie") == ["compopt default"]
    assert in_bash(workspace, "sedas-sync validate fields/") == ["fields/a.toml"]
    assert in_bash(workspace, "sedas-sync validate no/such/folder/") == []


def test_offers_the_first_scenes_and_the_last_of_very_many():
    """What a shell finds common to them must be common to all."""
    ids = [f"S2A_{number:05d}" for number in range(2000)] + ["S2B_1"]
    offered = [item.value for item in completion._offered(ids)]
    assert len(offered) == completion.MOST
    assert (offered[0], offered[-1]) == ("S2A_00000", "S2B_1")


def test_completes_nothing_from_a_damaged_index(workspace):
    workspace.write(DATASETS)
    state = workspace.mirror / ".sedas-sync"
    state.mkdir(parents=True)
    (state / "index.db").write_bytes(b"rotten" * 1000)
    assert in_bash(workspace, "sedas-sync why ") == []


def test_does_not_wait_for_a_locked_index(workspace, mirror):
    """Beside a writer that holds the index for itself, a shell gets its prompt back."""
    assert mirror
    with sqlite3.connect(workspace.mirror / ".sedas-sync" / "index.db", isolation_level=None) as index:
        index.execute("BEGIN EXCLUSIVE")
        before = time.monotonic()
        in_bash(workspace, "sedas-sync why ")
        assert time.monotonic() - before < 20
        index.execute("ROLLBACK")


def test_imports_nothing_slow(workspace):
    workspace.write(DATASETS)
    code = (
        "import sys, os; from sedas_sync.cli.main import cli\n"
        "try: cli(prog_name='sedas-sync', standalone_mode=False)\n"
        "except SystemExit: pass\n"
        "print([m for m in ('pydantic', 'requests', 'shapely', 'tqdm') if m in sys.modules], file=sys.stderr)"
    )
    for line in ("sedas-sync ", "sedas-sync plan --dataset ", "sedas-sync why "):
        asked = {"_SEDAS_SYNC_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split()))}
        ran = subprocess.run(
            [sys.executable, "-c", code], cwd=workspace.path, env=workspace.environment(**asked), capture_output=True,
            text=True, timeout=60,
        )  # fmt: skip
        assert ran.stderr.strip() == "[]", line


def test_an_unknown_shell_is_a_usage_error(workspace):
    ran = workspace.run("completion", "tcsh")
    assert (ran.code, ran.out) == (2, "")
    assert "fish" in ran.err
