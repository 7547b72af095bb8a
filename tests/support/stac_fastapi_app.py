"""stac-fastapi with the items of the file `STAC_ITEMS`; uvicorn runs it for `test_stac_servers.py`.

Requests, validation, paths and conformance are those of stac-fastapi; `stac_server` selects the items.
"""

import json
import os
import sys
from pathlib import Path

import attr
from stac_fastapi.api.app import StacApi
from stac_fastapi.api.models import create_get_request_model, create_post_request_model
from stac_fastapi.extensions.filter import FilterExtension
from stac_fastapi.extensions.pagination import TokenPaginationExtension
from stac_fastapi.types.config import ApiSettings
from stac_fastapi.types.core import BaseCoreClient
from stac_fastapi.types.errors import NotFoundError

sys.path.insert(0, str(Path(__file__).parents[1]))

import stac_server

ITEMS = [json.loads(line) for line in Path(os.environ["STAC_ITEMS"]).read_text().splitlines()]


@attr.s
class Client(BaseCoreClient):
    """Items in memory."""

    def post_search(self, search_request, **kwargs):
        return self._page(search_request.model_dump(mode="json", by_alias=True, exclude_none=True), kwargs["request"])

    def get_search(self, **kwargs):
        request = kwargs.pop("request")
        question = stac_server._parsed(dict(request.query_params))
        return self._page(question, request, get=True)

    def _page(self, question, request, *, get=False):
        found = [item for item in ITEMS if stac_server._matches(item, question)]
        start, limit = int(question.get("token", 0)), int(question.get("limit", 10))
        links = []
        if start + limit < len(found):
            token = str(start + limit)
            link = {"rel": "next", "type": "application/geo+json", "href": f"{request.base_url}search"}
            if get:
                link |= {"method": "GET", "href": str(request.url.include_query_params(token=token))}
            else:
                link |= {"method": "POST", "body": {**question, "token": token}}
            links.append(link)
        page = found[start : start + limit]
        return {"type": "FeatureCollection", "features": page, "links": links, "numberMatched": len(found)}

    def get_item(self, item_id, collection_id, **_):
        for item in ITEMS:
            if (item["id"], item["collection"]) == (item_id, collection_id):
                return item
        raise NotFoundError(item_id)

    def all_collections(self, **_):
        return {"collections": [], "links": []}

    def get_collection(self, collection_id, **_):
        raise NotFoundError(collection_id)

    def item_collection(self, collection_id, **_):
        raise NotFoundError(collection_id)


extensions = [FilterExtension(), TokenPaginationExtension()]
app = StacApi(
    settings=ApiSettings(),
    client=Client(),
    extensions=extensions,
    search_get_request_model=create_get_request_model(extensions),
    search_post_request_model=create_post_request_model(extensions),
).app
