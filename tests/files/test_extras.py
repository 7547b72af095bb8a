"""What needs a package that is not installed names the extra that installs it."""

import sys
import tomllib
from pathlib import Path

import pytest

from sedas_sync.archives.cdse.second_factor import SecondFactor
from sedas_sync.archives.opening import Opening, open_archive
from sedas_sync.archives.registry import BUILT_IN
from sedas_sync.archives.s3_keys import AwsSession
from sedas_sync.errors import SedasSyncError
from sedas_sync.files.extras import load_extra
from sedas_sync.files.integrity import algorithm
from sedas_sync.net.credentials import read_keyring
from sedas_sync.net.policy import PermanentError, proxy_for
from sedas_sync.operations.aoi_file import read_aoi
from sedas_sync.output.export.job import check_stac
from sedas_sync.output.features import to_geodataframe
from sedas_sync.output.report.quicklooks import quicklooks
from sedas_sync.workers.dask import dask_cluster

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def read_file(folder, name, content):
    (folder / name).write_bytes(content)
    read_aoi(folder / name)


def open_eodag():
    config = BUILT_IN["eodag"].config(type="eodag", provider="geodes", product_type="S2_MSI_L1C")
    open_archive(Opening(config=config, kind=BUILT_IN["eodag"]))


USES = {
    "dask": ("distributed", lambda _: dask_cluster("tcp://127.0.0.1:1").__enter__()),
    "eodag": ("eodag", lambda _: open_eodag()),
    "geopandas": ("geopandas", lambda _: to_geodataframe([])),
    "quicklooks": ("PIL.Image", lambda folder: quicklooks(str(folder), [])),
    "s3": ("botocore.session", lambda _: AwsSession(None)),
    "socks": ("socks", lambda _: proxy_for("https://example.org", {"https_proxy": "socks5h://127.0.0.1:9"})),
    "stac": ("pystac", lambda folder: check_stac(folder / "stac", folder)),
    "totp": ("pyotp", lambda _: SecondFactor("localhost", {"CDSE_TOTP_SECRET": "ABCDEFGH"}).code("jane", 0)),
    "vector": ("pyogrio", lambda folder: read_file(folder, "a.gpkg", b"SQLite format 3\0")),
    "vector-parquet": ("pyarrow", lambda folder: read_file(folder, "a.parquet", b"PAR1")),
}
"""For each extra: the module to hide, and what needs it."""
OTHERWISE = {"blake3", "keyring", "stac-geoparquet"}
"""Extras without which nothing fails, or whose tests need a server."""


def test_every_extra_has_a_test():
    assert USES.keys() | OTHERWISE == EXTRAS.keys()


@pytest.mark.parametrize("extra", USES)
def test_an_error_names_the_extra(extra, tmp_path, monkeypatch):
    module, use = USES[extra]
    for name in [name for name in sys.modules if name.startswith("sedas_sync.archives.eodag.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises((SedasSyncError, PermanentError, ValueError)) as caught:
        use(tmp_path)
    assert f" needs the extra \"{extra}\": pip install 'sedas-sync[{extra}]' (import of {module}" in str(caught.value)


def test_without_blake3_its_checksums_are_not_compared(monkeypatch):
    digest = "blake3:" + 64 * "0"
    assert algorithm(digest) == "blake3"
    monkeypatch.setitem(sys.modules, "blake3", None)
    assert algorithm(digest) is None


def test_without_keyring_it_is_one_of_the_places_without_credentials(monkeypatch):
    monkeypatch.setitem(sys.modules, "keyring", None)
    found, problem = read_keyring("sedas-sync:example.org", None)
    assert found is None
    assert problem.startswith("the system keyring needs the extra \"keyring\": pip install 'sedas-sync[keyring]'")


def test_a_package_that_is_damaged_is_named_with_its_error(tmp_path, monkeypatch):
    (tmp_path / "damaged_package.py").write_text("raise ImportError('libproj.so.25: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=r"^a map needs the extra \"maps\": .* \(libproj.so.25: cannot open"):
        load_extra("damaged_package", "maps", "a map", ValueError)
