"""The contract suite for the SeDAS archive with the sandbox, alone and behind the plug-in guard."""

from datetime import UTC, datetime

import pytest

from sedas_sync.archives.plugin_guard import GuardedArchive
from sedas_sync.archives.sedas.archive import SedasArchive
from sedas_sync.model.scene import Query
from sedas_sync.sandbox import Sandbox
from sedas_sync.testing import ArchiveContract, Case

AOI = "POLYGON((-1.5 51.4,-1.1 51.4,-1.1 51.8,-1.5 51.8,-1.5 51.4))"


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox() as running:
        yield running


QUERY = Query(
    aoi=AOI,
    start=datetime(2019, 4, 30, tzinfo=UTC),
    stop=datetime(2019, 5, 12, 23, 59, 59, tzinfo=UTC),
)


class TestSedas(ArchiveContract):
    @pytest.fixture
    def case(self, sandbox):
        with SedasArchive(sandbox.url, username="sandbox", password="sandbox") as archive:
            yield Case(archive, QUERY)


class TestGuarded(ArchiveContract):
    """The guard does not change the results of a correct archive."""

    @pytest.fixture
    def case(self, sandbox):
        with SedasArchive(sandbox.url, username="sandbox", password="sandbox") as archive:
            yield Case(GuardedArchive(archive, "foreign"), QUERY)
