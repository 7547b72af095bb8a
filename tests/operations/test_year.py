"""A month of a mirror in operation; `make year` simulates a year, with other things happening for each `YEAR_SEED`."""

import os

import pytest
from year import Year

DAYS = int(os.environ.get("YEAR_DAYS", "31"))
SEED = int(os.environ.get("YEAR_SEED", "1"))


@pytest.mark.timeout(900)
def test_a_mirror_in_operation_raises_no_alarm_without_a_cause(tmp_path, monkeypatch):
    monkeypatch.setenv("SEDAS_USERNAME", "sandbox")
    monkeypatch.setenv("SEDAS_PASSWORD", "sandbox")
    year = Year(tmp_path, SEED)
    try:
        year.live(DAYS)
        changes, runs = year.check_past()
    finally:
        year.close()
    print(f"{DAYS} days, {len(year.runs)} nightly runs, {len(changes)} changes; {dict(year.happened)}")
    assert year.spared > DAYS / 5
    assert len(year.runs) > DAYS * 0.7
    assert len(runs) <= 1000
