"""The files around the package: workflows, action, image, recipe, citation, and the page of the package index."""

import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import tomli

ROOT = Path(__file__).parents[2]
PROJECT = tomli.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("github-workflows", [".github/workflows/ci.yml", ".github/workflows/release.yml"]),
        ("github-actions", ["action.yml"]),
        ("citation-file-format", ["CITATION.cff"]),
    ],
)
def test_files_for_other_programs_match_their_schemas(schema, files):
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", *files]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_dockerfile_has_no_remarks():
    ran = subprocess.run(
        [Path(sys.executable).parent / "hadolint", "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout


def test_the_conda_recipe_requires_what_the_package_requires():
    recipe = (ROOT / "packaging" / "conda" / "recipe.yaml").read_text()
    run = re.search(r"^  run:\n((?:    - .*\n)+)", recipe, re.MULTILINE)[1]
    listed = dict(re.findall(r"- ([\w-]+) (>=[\d.]+)", run))
    assert listed.pop("python") == PROJECT["requires-python"]
    listed["isal"] = listed.pop("python-isal")
    assert listed == dict(re.match(r"([\w-]+)(>=[\d.]+)", one).groups() for one in PROJECT["dependencies"])


def test_hooks_run_commands_that_exist(workspace):
    workspace.write()
    hooks = (ROOT / ".pre-commit-hooks.yaml").read_text()
    commands = re.findall(r"entry: sedas-sync (.*)", hooks)
    assert [workspace.run(*command.split()).code for command in commands] == [0, 10]


def test_the_page_of_the_package_index_has_no_relative_links(tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", tmp_path, ROOT]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        (name,) = (name for name in file.namelist() if name.endswith("METADATA"))
        page = file.read(name).decode()
    links = re.findall(r"\]\(([^)]+)\)", page)
    assert len(links) > 10
    assert all(link.startswith("https://") for link in links)
    assert all(link.startswith(PROJECT["urls"]["Source"]) for link in links if "/blob/" in link)


def test_the_first_command_of_the_readme_writes_a_valid_manifest(workspace):
    (line,) = re.findall(r"^sedas-sync (init .*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert workspace.run(*shlex.split(line)).code == 0
    assert workspace.run("validate").code == 0
