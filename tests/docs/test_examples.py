"""The manifests in `examples/` are valid, and each plans something on the sandbox."""

import re
import shutil
from pathlib import Path

import pytest

from sedas_sync.operations.load import load_manifest

EXAMPLES = Path(__file__).parents[2] / "examples"
MANIFESTS = sorted(EXAMPLES.glob("*.toml"))


def test_there_are_at_least_six():
    assert len(MANIFESTS) >= 6


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda file: file.stem)
def test_an_example_is_valid_and_plans_something(manifest, workspace):
    assert load_manifest(manifest).datasets
    folder = workspace.path / "examples"
    shutil.copytree(EXAMPLES, folder)
    here = folder / manifest.name
    here.write_text(re.sub(r'^type = "\w+"', 'type = "sandbox"', here.read_text(), flags=re.MULTILINE))
    ran = workspace.run("plan", here, "--json")
    assert ran.code == 0, ran.err
    planned = {dataset for action in ran.json["actions"] for dataset in action["datasets"]}
    assert planned == set(load_manifest(here).datasets)
