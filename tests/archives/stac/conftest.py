"""A STAC server on loopback and its archive."""

import pytest
from stac_server import StacServer

from sedas_sync.archives.stac.archive import StacArchive
from sedas_sync.net import session


@pytest.fixture
def server():
    with StacServer() as running:
        yield running


@pytest.fixture
def archive(server):
    with StacArchive(server.url, ["s2"], api=session.Api(retries=1, sleep=lambda _: None)) as opened:
        yield opened
