"""A SeDAS archive connected to the sandbox or to a scripted server."""

import pytest
from scripted_sedas import ScriptedServer

from sedas_sync.archives.sedas.archive import SedasArchive
from sedas_sync.net import session
from sedas_sync.sandbox import Sandbox


@pytest.fixture
def scripted():
    server = ScriptedServer()
    yield server
    server.close()


@pytest.fixture
def sandbox():
    with Sandbox() as running:
        yield running


@pytest.fixture
def connect():
    made = []

    def make(url, **options):
        api = session.Api(sleep=lambda _seconds: None, environ={}, retries=options.pop("retries", 2))
        archive = SedasArchive(url, username="sandbox", password=options.pop("password", "sandbox"), api=api, **options)
        made.append(archive)
        return archive

    yield make
    for archive in made:
        archive.close()
