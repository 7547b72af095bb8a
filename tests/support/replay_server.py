"""A STAC service as it was recorded: its landing page, its items, and its way of paging and of counting.

    with ReplayServer("earth-search") as service:
        service.url, service.items, service.files

What a recording does not show (the page size, a landing page) is as the service documents it.
"""

from dataclasses import dataclass, field

from recorded import items_of, recorded, recorded_json, with_local_files
from stac_server import CORE, CQL2_JSON, CQL2_TEXT, FILTER, QUERY, StacServer

_PGSTAC = {"conforms": [CORE, FILTER, CQL2_JSON, CQL2_TEXT, QUERY], "most": 10_000, "strict": True}
_STAC_SERVER = {"token_name": "next", "trailing_page": True, "conforms": [CORE, QUERY]}
SERVICES = {
    "earth-search": {**_STAC_SERVER, "base": "/v1", "counts": ("numberMatched", "context")},
    "earth-search-v0": {
        "base": "/v0",
        "token_name": "page",
        "counts": ("numberMatched", "context"),
        "methods": ("GET",),
        "conforms": [],
    },
    "planetary-computer": {**_PGSTAC, "base": "/api/stac/v1", "most": 1000, "counts": ()},
    "eoapi-dev": {**_PGSTAC, "counts": ("numberMatched",)},
    "cdse": {**_PGSTAC, "base": "/v1", "most": 1000, "counts": ()},
    "usgs-landsatlook": {**_STAC_SERVER, "base": "/stac-server", "counts": ("numberMatched", "context")},
    "geodes": {"base": "/api/stac", "token_name": "page", "counts": ("context",), "conforms": [CORE, QUERY]},
    "dea": {"base": "/stac", "token_name": "_o", "most": 500, "counts": ("context",), "conforms": [CORE]},
    "cmr-stac": {"base": "/stac/LPDAAC_ECS", "token_name": "cursor", "most": 250, "conforms": [CORE]},
    "umbra": {"base": "/archive", "conforms": [CORE, FILTER, CQL2_JSON]},
    "planet": {"conforms": [CORE]},
    "spec-examples": {"conforms": [CORE]},
    "fedeo": {},
    "uvt": {},
    "paituli-geoserver": {"base": "/geoserver/ogc/stac/v1"},
}
"""By the folder of the recording: how it differs from `StacServer`. `methods` and `conforms` of a recorded landing page
count; the three last ones are recorded without items."""


@dataclass
class ReplayServer(StacServer):
    """Replays a recorded service. A context manager; a test may change every attribute of `StacServer`."""

    service: str = ""
    landing_page: dict | None = field(default=None, init=False)

    def __post_init__(self):
        for name, value in SERVICES[self.service].items():
            setattr(self, name, value)

    def __enter__(self):
        super().__enter__()
        landing = recorded("stac", self.service, "landing-0.json")
        if landing.exists():
            self._read_landing(recorded_json("stac", self.service, "landing-0.json"))
        self.items = [with_local_files(item, self.url, self.files) for item in items_of(self.service)]
        return self

    def _read_landing(self, landing):
        """Serve the recorded page, with the links to the search leading here."""
        real = next(link["href"] for link in landing["links"] if link["rel"] == "self").partition("?")[0].rstrip("/")
        for link in landing["links"]:
            link["href"] = link["href"].replace(real, self.url)
        searches = [link for link in landing["links"] if link["rel"] == "search"]
        self.methods = tuple(sorted({link["method"] for link in searches if "method" in link})) or ("GET",)
        self.conforms = landing.get("conformsTo", [])
        self.landing_page = landing

    def landing(self):
        return self.landing_page or super().landing()
