"""Hosts, sizes, durations and percentages in a manifest."""

import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from sedas_sync.manifest import fields, hosts
from sedas_sync.model import units


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1.evil.org/",
        "http://localhost.evil.org/",
        "http://localhost@evil.org/",
        "http://127.0.0.1@evil.org/",
        "http://evil.org#@localhost/",
        "http://evil.org?@localhost/",
        "http://evil.org\\@localhost/",
        "http://localhost\\.evil.org/",
        "http://2130706433/",
        "http://127.1/",
        "http://0.0.0.0/",
        "http://10.0.0.1/",
        "http://[::ffff:10.0.0.1]/",
        "http://[fe80::1]/",
        "http://loc alhost/",
        "http://localhost\t.evil.org/",
        "http://localhost:port/",
        "http://localhost:99999/",
        "http:///localhost",
        "http:localhost",
        "//localhost/",
        "https://exämple.org/",
        "https://-x.org/",
        "https://a..b/",
        "file:///etc/passwd",
        "",
    ],
)
def test_unsafe_address_is_rejected(address):
    with pytest.raises(ValueError, match=r"^(must|is plain http)"):
        hosts.url(address)


@pytest.mark.parametrize(
    "address",
    [
        "https://example.org",
        "https://a.b.c:8443/x/y",
        "https://10.0.0.1/",
        "http://localhost:80",
        "http://127.9.9.9/",
        "http://[::1]/",
    ],
)
def test_safe_address_is_unchanged(address):
    assert hosts.url(address) == address


@pytest.mark.parametrize(
    ("entry", "expected"),
    [("Data.Example.ORG", "data.example.org"), ("*.Example.org", "*.example.org"), ("::1", "::1")],
)
def test_trusted_hosts(entry, expected):
    assert hosts.trusted_host(entry) == expected


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "*",
        "*.",
        "*.org",
        "**.example.org",
        "a.*.org",
        "https://a.org",
        "a.org:443",
        "a.org/x",
        "a b",
        ".a.org",
        "a.org.",
        "*.co.uk",
        "*.CO.UK",
        "*.gov.au",
        "*.kawasaki.jp",
        "*.github.io",
        "*.s3.amazonaws.com",
        "*.blob.core.windows.net",
    ],
)
def test_invalid_trusted_hosts(entry):
    with pytest.raises(ValueError, match=r"must be a host name|anyone can register a host below"):
        hosts.trusted_host(entry)


@given(st.integers(0, 10**15), st.sampled_from(["B", "kB", "MB", "GB", "KiB", "MiB", "GiB", "TiB", ""]))
def test_sizes(number, unit):
    power = "BKMGT".index((unit or "B")[0].upper())
    expected = number * (1024 if "i" in unit else 1000) ** power
    assert units.size(f"{number}{unit}") == pytest.approx(expected, rel=1e-12)
    assert units.size(f" {number} {unit}{'/s' if unit else ''} ") == units.size(f"{number}{unit}")


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99))
def test_durations(hours, minutes, seconds):
    assert (
        units.duration(f"{hours}h{minutes}m{seconds}s")
        == timedelta(hours=hours, minutes=minutes, seconds=seconds).total_seconds()
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -1, None, "", "9" * 400 + "d", [], True])
def test_invalid_durations(value):
    with pytest.raises(ValueError, match="must be"):
        units.duration(value)


@pytest.mark.parametrize("value", ["9" * 400, "1" + "0" * 400 + "TB", None, 1.5, True, "MB"])
def test_invalid_sizes(value):
    with pytest.raises(ValueError, match="must be"):
        units.size(value)


@given(st.one_of(st.floats(), st.integers(), st.booleans(), st.text(max_size=5)))
def test_percentages(value):
    fits = type(value) in {int, float} and 0 <= value <= 100
    try:
        assert TypeAdapter(fields.Percent, config={"strict": True}).validate_python(value) == value
    except ValidationError:
        assert not fits
    else:
        assert fits
