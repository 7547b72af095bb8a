"""What users' type checkers report about programs that use the public names, right and wrong."""

import ast
import json
import subprocess
import sys
import tomllib
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


def mypy(files, cwd):
    """What `--strict` finds in programs, and what it knows about the package from `make types`, if that has run.

    mypy uses what it knows of a module only with equal settings, so all modules but the programs have the project's.
    """
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]
    codes = settings["enable_error_code"]
    ours = {name: value for name, value in settings.items() if name not in ("packages", "overrides")}
    programs = ",".join(f"mypy-{file.stem}" for file in files)
    (cwd / "mypy.ini").write_text(
        "[mypy]\n"
        + "".join(
            f"{name} = {', '.join(value) if isinstance(value, list) else value}\n" for name, value in ours.items()
        )
        + f"[{programs}]\nwarn_unreachable = False\nlocal_partial_types = False\n"
    )
    out = run(
        "mypy",
        f"--cache-dir={ROOT / '.mypy_cache'}",
        "--output=json",
        "--no-error-summary",
        *files,
        cwd=cwd,
    )
    found = map(json.loads, out.splitlines())
    return [
        (Path(one["file"]).name, one["line"], one["message"])
        for one in found
        if one["severity"] == "error" and one["code"] not in codes
    ]


def pyright(files, cwd):
    settings = {"typeCheckingMode": "standard", "include": [str(file) for file in files], "pythonVersion": "3.11"}
    (cwd / "pyrightconfig.json").write_text(json.dumps(settings))
    out = json.loads(run("basedpyright", "--outputjson", f"--pythonpath={sys.executable}", "-p", str(cwd), cwd=cwd))
    return [
        (Path(one["file"]).name, one["range"]["start"]["line"] + 1, one["message"])
        for one in out["generalDiagnostics"]
        if one["severity"] == "error"
    ]


def pyrefly(files, cwd):
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


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("checker", CHECKERS)
def test_right_and_wrong_programs(checker, tmp_path):
    files = [tmp_path / name for name in ("uses.py", "misuses.py")]
    for file in files:
        file.write_text((HERE / file.name).read_text())
    if checker is mypy:
        files += documented(tmp_path)
    found = {(name, line): message for name, line, message in checker(files, tmp_path)}
    lines = enumerate((HERE / "misuses.py").read_text().splitlines(), 1)
    expected = {("misuses.py", number) for number, line in lines if line.endswith("# error")}
    assert {place: message for place, message in found.items() if place not in expected} == {}
    assert expected - found.keys() == set()


def documented(folder):
    """Write the examples of the documentation and the scripts to files: they are strictly typed."""
    texts = {f"page_{one.page.stem}_{n}".replace("-", "_"): one.text for n, one in enumerate(python_examples())}
    texts |= {f"script_{script.stem}": script.read_text() for script in SCRIPTS}
    assert len(texts) > len(SCRIPTS) > 0
    for name, text in texts.items():
        (folder / f"{name}.py").write_text(text)
    return [folder / f"{name}.py" for name in texts]


def test_the_typed_program_uses_every_public_name():
    tree = ast.parse((HERE / "uses.py").read_text())
    used = {
        (node.value.id, node.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    for module, names in (("ss", ss.__all__), ("events", events.__all__), ("results", results.__all__)):
        assert set(names) == {name for used_module, name in used if used_module == module and name in names}
