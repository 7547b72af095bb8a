"""The names of rules: one list, which the code, the schema and the documentation use."""

import re
from pathlib import Path

from sedas_sync.model.reason import RuleName
from sedas_sync.output.json_schema import schema_of
from sedas_sync.planning.filters import FILTERS

PACKAGE = Path(__file__).parents[2] / "sedas_sync"


def test_every_filter_has_a_rule():
    rules = [one.rule for one in FILTERS]
    assert len(set(rules)) == len(FILTERS)


def test_every_rule_is_used():
    source = "".join(file.read_text() for file in PACKAGE.rglob("*.py"))
    used = {name.lower() for name in re.findall(r"RuleName\.([A-Z_]+)", source)} | {one.rule for one in FILTERS}
    assert used == set(RuleName)


def test_the_schema_lists_every_rule():
    rule = schema_of("why")["properties"]["datasets"]["items"]["properties"]["rule"]
    assert rule["enum"] == [*RuleName, None]
