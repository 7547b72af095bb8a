"""Access to STAC APIs: which host sees which secret, and signed links."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace
from stac_scenes import MAY, filled, found
from stac_server import NOW, StacServer, basic

from sedas_sync.archives.stac import access
from sedas_sync.archives.stac.archive import StacArchive
from sedas_sync.errors import ArchiveError, AuthenticationError
from sedas_sync.model.files import scene_of_file
from sedas_sync.net import redact, session
from sedas_sync.net.credentials import Credentials
from sedas_sync.testing import no_warning

# -- access ----------------------------------------------------------------------------------------------------------


def file_of(server, archive):
    server.add("S1")
    (scene,) = archive.find(MAY, warn=no_warning)
    return scene_of_file(scene, scene.files[0])


def test_bearer_token_goes_to_the_archive_only(server):
    token = access.bearer("archive", server.url, ["data.example.org", "evil.example.org"],
                          {"STAC_TOKEN": "top-secret-token", "STAC_HOST": "data.example.org"})  # fmt: skip
    server.authorization = "Bearer top-secret-token"
    with StacArchive(server.url, ["s2"], access=token) as archive:
        file = file_of(server, archive)
        assert dict(archive.locate(file).headers) == {"Authorization": "Bearer top-secret-token"}
        assert "top-secret-token" not in repr(archive.locate(file))
        assert redact.redact("x top-secret-token x") == "x *** x"
        for url, seen in (
            ("https://data.example.org/a.tif", True), ("http://data.example.org/a.tif", False),
            ("https://evil.example.org/a.tif", False), ("http://127.0.0.1:1/a.tif", False),
        ):  # fmt: skip
            assert bool(archive.locate(replace(file, download_url=url)).headers) == seen, url


def test_next_link_to_another_host_does_not_see_the_token(server):
    with StacServer() as other:
        token = access.bearer("mine", server.url, (), {"STAC_MINE_TOKEN": "top-secret-token"})
        filled(server, 3)
        other.items, server.most, server.elsewhere = server.items, 2, other.url
        with StacArchive(server.url, ["s2"], access=token) as archive:
            assert len(found(archive)) == 3
        assert [one.headers.get("Authorization") for one in server.asked] == ["Bearer top-secret-token"] * 2
        assert [one.headers.get("Authorization") for one in other.asked] == [None]


def test_missing_token_is_reported(server):
    with pytest.raises(AuthenticationError, match=r"set STAC_MINE_TOKEN .* or STAC_TOKEN"):
        access.bearer("mine", server.url, (), {"STAC_MINE_TOKEN": " "})


def test_token_that_is_not_a_header_value_is_rejected():
    with pytest.raises(AuthenticationError, match="STAC_TOKEN is not a token") as caught:
        access.bearer("archive", "http://127.0.0.1:1", (), {"STAC_TOKEN": "se\ncret"})
    assert "cret" not in str(caught.value)


def test_basic_authentication(server):
    server.authorization = basic("ann", "pässword")
    right = access.basic(Credentials("ann", "pässword"), server.url, ())
    with StacArchive(server.url, ["s2"], access=right) as archive:
        assert dict(archive.locate(file_of(server, archive)).headers) == {"Authorization": server.authorization}
    wrong = access.basic(Credentials("ann", "wrong"), server.url, ())
    with StacArchive(server.url, ["s2"], access=wrong) as archive, pytest.raises(AuthenticationError, match="401"):
        found(archive)


class TestSigned:
    @pytest.fixture
    def now(self):
        return [datetime.fromtimestamp(NOW, UTC)]

    @pytest.fixture
    def archive(self, server, now):
        server.signed = True
        api = session.Api()
        signing = access.PlanetaryComputer(api, f"{server.url}/sas/", ["127.0.0.1"], lambda: now[0], {})
        with StacArchive(server.url, ["s2"], access=signing, api=api) as opened:
            yield opened

    def test_links_are_signed_when_they_are_used_with_one_token_a_container(self, server, archive):
        file = file_of(server, archive)
        assert server.tokens == 0
        first = archive.locate(file)
        assert first.url == f"{file.download_url}?st=1&se=2&sp=rl&sig=secret1"
        assert archive.locate(file).url == first.url
        assert server.tokens == 1
        assert server.asked[-1].path == "/sas/127/data"

    def test_token_is_renewed_before_it_ends(self, server, archive, now):
        file = file_of(server, archive)
        archive.locate(file)
        now[0] += timedelta(seconds=server.token_life - 61)
        archive.locate(file)
        assert server.tokens == 1
        now[0] += timedelta(seconds=2)
        server.token_life = 7200
        assert archive.locate(file).url.endswith("sig=secret2")

    def test_refused_token_is_renewed_at_once(self, server, archive):
        file = file_of(server, archive)
        refused = archive.locate(file)
        assert archive.locate(file, refused=refused).url.endswith("sig=secret2")

    def test_signed_or_other_links_are_unchanged(self, server, archive):
        file = file_of(server, archive)
        for url in ("https://e.org/c/a.tif", "https://x.blob.core.windows.net/c/a.tif?st=1&se=2&sp=r&sig=3",
                    "https://blob.core.windows.net.evil.org/c/a.tif"):  # fmt: skip
            assert archive.locate(replace(file, download_url=url)).url == url
        assert server.tokens == 0

    def test_expired_token_is_rejected(self, server, archive):
        server.token_life = -5
        with pytest.raises(ArchiveError, match="an expired token"):
            archive.locate(file_of(server, archive))


def test_expired_link_is_replaced(server, archive):
    server.add("S1")
    path = server.items[0]["assets"]["B04"]["href"]
    server.items[0]["assets"]["B04"]["href"] = path + "?sig=old"
    (scene,) = archive.find(MAY, warn=no_warning)
    file = scene_of_file(scene, scene.files[0])
    refused = archive.locate(file)
    server.items[0]["assets"]["B04"]["href"] = path + "?sig=new"
    assert archive.locate(file, refused=refused).url == refused.url.replace("old", "new")
