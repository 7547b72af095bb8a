"""Download links of the SeDAS archive."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from scripted_sedas import AOI, FROM, TO, order, scene

from sedas_sync.archives.sedas.archive import SedasArchive
from sedas_sync.errors import ArchiveError
from sedas_sync.model.scene import Download
from sedas_sync.sandbox.faults import Faults, Rule, fail


def test_token_is_sent_only_to_trusted_hosts(sandbox, connect):
    archive = connect(sandbox.url)
    own = archive.locate(scene(url=sandbox.origin + "/datamgr/x"))
    assert own.headers["Authorization"].startswith("Token ")
    assert own.headers["Authorization"] not in repr(own)
    for url in ("https://elsewhere.example.org/x", "http://127.0.0.1:1/x"):
        located = archive.locate(scene(url=url))
        assert located == Download(url=url, reach=located.reach)


@pytest.mark.parametrize(
    "url", ["ftp://x/y", "/relative", "javascript:alert(1)", "https://a:b@x/y", "http://a b/", "file:///etc/passwd"]
)
def test_invalid_link_is_refused(sandbox, connect, url):
    with pytest.raises(ArchiveError, match="cannot be used"):
        connect(sandbox.url).locate(scene(url=url))


def test_token_refused_by_a_download_is_renewed_once(sandbox, connect):
    archive = connect(sandbox.url)
    online = next(item for item in archive.search(AOI, FROM, TO) if item.online)
    first = archive.locate(online)
    second = archive.locate(online, refused=first)
    assert second.url == first.url
    assert second.headers != first.headers
    assert sandbox.logins == 2
    with pytest.raises(ArchiveError, match="refused"):
        archive.locate(online, refused=second)
    assert sandbox.logins == 2


def test_ten_refused_downloads_cause_one_login(sandbox, connect):
    archive = connect(sandbox.url)
    online = next(item for item in archive.search(AOI, FROM, TO) if item.online)
    refused = archive.locate(online)
    with ThreadPoolExecutor(10) as pool:
        located = list(pool.map(lambda _: archive.locate(online, refused=refused), range(10)))
    assert sandbox.logins == 2
    assert len({item.headers["Authorization"] for item in located}) == 1


def test_expired_link_is_requested_again(scripted, connect):
    scripted.routes["/api/search/products"] = (200, [{"supplierId": "A", "downloadUrl": "https://x/new"}])
    archive = connect(scripted.url)
    old = archive.locate(scene(url="https://x/old"))
    assert archive.locate(scene(url="https://x/old"), refused=old).url == "https://x/new"


def test_expired_link_of_an_order_is_requested_from_the_order(scripted, connect):
    links = iter(["https://x/1", "https://x/2"])
    scripted.routes["/api/request"] = lambda *_: (200, [{"requestId": 7, "downloadUrl": next(links)}])
    scripted.routes["/api/search/products"] = (200, [{"supplierId": "A"}])
    archive = connect(scripted.url)
    (ready,) = archive.order_status([order("7")])
    old = archive.locate(scene(url=ready.download_url))
    assert archive.locate(scene(url=ready.download_url), refused=old).url == "https://x/2"


def test_scene_that_went_offline_is_an_error(scripted, connect):
    scripted.routes["/api/search/products"] = (200, [{"supplierId": "A"}])
    archive = connect(scripted.url)
    old = archive.locate(scene(url="https://x/old"))
    with pytest.raises(ArchiveError, match="no longer online"):
        archive.locate(scene(url="https://x/old"), refused=old)


def test_temporary_server_errors_are_retried(sandbox, connect):
    sandbox.faults = Faults(rules=(Rule("search", fail(503), times=2),))
    assert list(connect(sandbox.url).search(AOI, FROM, TO))


def test_from_env(sandbox, monkeypatch):
    monkeypatch.setenv("SEDAS_USERNAME", "sandbox")
    monkeypatch.setenv("SEDAS_PASSWORD", "sandbox")
    with SedasArchive.from_env(sandbox.url) as archive:
        assert archive.satellites()
