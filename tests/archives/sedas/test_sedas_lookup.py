"""Look-ups by id in the SeDAS archive."""

from urllib.parse import parse_qs

import pytest
from scripted_sedas import AOI, FROM, TO

from sedas_sync.errors import ArchiveError


def look_up(scripted, known, *, lists):
    def answer(parts, _body, _authorization):
        ids = parse_qs(parts.query)["ids"][0].split(",")
        if len(ids) > 1 and lists == "refused":
            return 400, {"errorMessage": "bad id"}
        if len(ids) > 1 and lists == "one":
            ids = ids[:1]
        if len(ids) > 1 and lists == "none":
            ids = []
        limit = 3 if lists == "short" else None
        return 200, [{"supplierId": name} for name in ids if name in known][:limit]

    scripted.routes["/api/search/products"] = answer


@pytest.mark.parametrize("lists", ["all", "refused", "one", "none", "short"])
def test_look_up_finds_all_whether_or_not_the_service_takes_lists(scripted, connect, lists):
    known = [f"id-{n}" for n in range(12)]
    look_up(scripted, known, lists=lists)
    archive = connect(scripted.url)
    asked = [*known, "unknown-1", "unknown-2"]
    warnings = []
    assert sorted(item.id for item in archive.look_up(asked, warn=warnings.append)) == sorted(known)
    before = len(scripted.requests)
    assert len(list(archive.look_up(known, warn=warnings.append))) == 12
    if lists == "all":
        assert len(scripted.requests) - before == 1
    assert warnings == []


def test_ids_are_quoted(scripted, connect):
    look_up(scripted, ["a b/c?&#,é"], lists="all")
    with pytest.raises(ArchiveError):
        connect(scripted.url).product("a b/c?&#,é")
    assert scripted.requests[-1][1] == "/api/search/products?ids=a%20b%2Fc%3F%26%23%2C%C3%A9"


def test_product_and_unknown_product(sandbox, connect):
    archive = connect(sandbox.url)
    some = next(archive.search(AOI, FROM, TO))
    assert archive.product(some.id).id == some.id
    with pytest.raises(ArchiveError, match="is not in the archive") as raised:
        archive.product("nothing")
    assert raised.value.status == 404


def test_satellites_and_groups_are_listed(sandbox, connect):
    archive = connect(sandbox.url)
    assert "Sentinel-1A" in [item.name for item in archive.satellites()]
    groups = {item.name: item.extra for item in archive.source_groups()}
    assert {"S1", "S2"} <= set(groups)
