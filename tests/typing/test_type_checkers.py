"""What users' type checkers report about programs that use the public names, right and wrong."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from doc_examples import ROOT, python_examples

import sedas_sync as ss
from sedas_sync import events, results

HERE = Path(__file__).parent
SCRIPTS = sorted((ROOT / "examples").rglob("*.py"))


def run(*command, cwd):
    """Return the standard output of a type checker, as it is started by users: without this project's settings."""
    found = subprocess.run([sys.executable, "-m", *command], cwd=cwd, capture_output=True, text=True, timeout=240)
    assert found.returncode in (0, 1), found.stderr + found.stdout
    return found.stdout


def mypy(files, cwd, cache):
    out = run(
        "mypy",
        "--strict",
        "--config-file=",
        f"--cache-dir={cache}",
        "--output=json",
        "--no-error-summary",
        *files,
        cwd=cwd,
    )
    found = map(json.loads, out.splitlines())
    return [(Path(one["file"]).name, one["line"], one["message"]) for one in found if one["severity"] == "error"]


def pyright(files, cwd, _cache):
    settings = {"typeCheckingMode": "standard", "include": [str(file) for file in files], "pythonVersion": "3.11"}
    (cwd / "pyrightconfig.json").write_text(json.dumps(settings))
    out = json.loads(run("basedpyright", "--outputjson", f"--pythonpath={sys.executable}", "-p", str(cwd), cwd=cwd))
    return [
        (Path(one["file"]).name, one["range"]["start"]["line"] + 1, one["message"])
        for one in out["generalDiagnostics"]
        if one["severity"] == "error"
    ]


def pyrefly(files, cwd, _cache):
    out = run(
        "pyrefly",
        "check",
        "--preset=default",
        "--output-format=json",
        f"--python-interpreter-path={sys.executable}",
        *files,
        cwd=cwd,
    )
    return [
        (Path(one["path"]).name, one["line"], one["description"])
        for one in json.loads(out)["errors"]
        if one.get("severity", "error") == "error"
    ]


CHECKERS = [mypy, pyright, pyrefly]


@pytest.fixture
def cache(request):
    return request.config.cache.mkdir("mypy")


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("checker", CHECKERS)
def test_right_and_wrong_programs(checker, tmp_path, cache):
    files = [tmp_path / name for name in ("uses.py", "misuses.py")]
    for file in files:
        file.write_text((HERE / file.name).read_text())
    found = {(name, line): message for name, line, message in checker(files, tmp_path, cache)}
    lines = enumerate((HERE / "misuses.py").read_text().splitlines(), 1)
    expected = {("misuses.py", number) for number, line in lines if line.endswith("# error")}
    assert {place: message for place, message in found.items() if place not in expected} == {}
    assert expected - found.keys() == set()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_examples_of_the_documentation_and_scripts_are_strictly_typed(tmp_path, cache):
    for number, example in enumerate(python_examples()):
        name = re.sub(r"\W", "_", f"{example.page.stem}_{number}")
        (tmp_path / f"{name}.py").write_text(example.text)
    for script in SCRIPTS:
        (tmp_path / script.name).write_text(script.read_text())
    assert mypy(sorted(tmp_path.glob("*.py")), tmp_path, cache) == []


def test_the_typed_program_uses_every_public_name():
    tree = ast.parse((HERE / "uses.py").read_text())
    used = {
        (node.value.id, node.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    for module, names in (("ss", ss.__all__), ("events", events.__all__), ("results", results.__all__)):
        assert set(names) == {name for used_module, name in used if used_module == module and name in names}
