"""The how-to for taking over a folder: its commands run on what other tools leave."""

import re
from pathlib import Path

from products import over_harwell, unzip

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "take-over.md").read_text()
COMMANDS = [line.split()[1:] for line in re.findall(r"^sedas-sync .*$", PAGE, re.MULTILINE)]
LEFT = {
    "sedas_pyapi": "{}.zip",
    "CDSETool": "{}.SAFE.zip",
    "eodag": "{0}/{0}.SAFE",
    "a browser": "{} (1).zip",
    "unpacked by a browser": "{}.SAFE",
    "sentinelsat": "{}.zip.incomplete",
}


def test_the_commands_take_over_what_each_tool_leaves(workspace, sandbox):
    products = over_harwell("2019-04-30", "2019-05-12", "Optical")
    assert len(products) >= len(LEFT)
    named = dict(zip(LEFT.items(), products.items(), strict=False))
    for (_, name), (scene, data) in named.items():
        place = workspace.path / "old" / name.format(scene)
        if "zip" in name:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data[:99] if "incomplete" in name else data)
        else:
            unzip(data, workspace.path / "old", name=name.format(scene))
    init, look, adopt, link, copy, move, plan, apply = COMMANDS
    assert workspace.run(*("sandbox" if word == "cdse" else word for word in init)).code == 0
    for command in (look, adopt):
        ran = workspace.run(*command)
        assert ran.code == 0, ran.err
        assert "adopt" in ran.out
        assert "5 adopted" in ran.out
        assert "1 unwanted" in ran.out
    assert workspace.run(*plan).code == 0
    assert workspace.run(*apply).code in {0, 3}
    unfinished = next(path.name for path in (workspace.path / "old").glob("*.incomplete"))
    assert workspace.run("plan", "--json").json["summary"]["keep"] >= len(LEFT) - 1
    manifest = (workspace.path / "manifest.toml").read_text()
    for number, command in enumerate((link, copy, move)):
        (workspace.path / "manifest.toml").write_text(manifest.replace('path = "old"', f'path = "new{number}"'))
        ran = workspace.run(*command, "--json")
        assert (ran.code, ran.json["summary"]["adopted"]) == (0, len(LEFT) - 1), ran.err
    assert {path.name for path in (workspace.path / "old").iterdir()} == {".sedas-sync", unfinished}
