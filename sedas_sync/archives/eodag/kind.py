"""The manifest keys of an archive of type `eodag`. Values and checks only, cheap to import."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field

from sedas_sync.manifest import fields
from sedas_sync.manifest.archive_types import ArchiveType, Variables, flat_filters
from sedas_sync.manifest.tables import ArchiveConfig, Mistake, TrustedHosts

VARIABLES = Variables((), host="EODAG_HOST")
"""The environment variable with further hosts that may see the login, whose parts eodag reads itself."""
_OWN = frozenset(
    {
        *("provider", "collection", "productType", "id", "start", "end", "start_datetime", "end_datetime", "datetime"),
        *("geom", "geometry", "bbox", "box", "intersects", "locations", "page", "limit", "items_per_page", "sort_by"),
        *("count", "validate", "raise_errors", "next_page_token", "next_page_token_key", "number_matched"),
    }
)
"""Arguments of eodag's search that are not filters, or that this program sets."""


class EodagConfig(ArchiveConfig):
    """The table of an archive of type `eodag`."""

    LOCK_IGNORES = frozenset({"requester_pays"})

    provider: Annotated[fields.Line, Field(description="The provider, as eodag calls it, e.g. `geodes`.")]
    product_type: Annotated[
        fields.Line,
        Field(description="What to search, as eodag calls it, e.g. `S2_MSI_L1C`. eodag 4 names it a collection."),
    ]
    assets: Annotated[
        fields.Names,
        Field(
            description="The assets that make up a scene of several files, by name or pattern (`B0*`); by default all "
            "that contain data."
        ),
    ] = ()
    requester_pays: Annotated[
        bool, Field(description="Whether your account pays for downloads from a bucket that bills its readers.")
    ] = False
    trusted_hosts: TrustedHosts = ()


def _filters(filters: Mapping[str, Any]) -> Iterator[Mistake]:
    yield from flat_filters(filters)
    for name in filters:
        if name in _OWN:
            yield name, "is set by sedas-sync: use the keys of the archive and of the dataset"


KIND = ArchiveType(
    name="eodag",
    opener="sedas_sync.archives.eodag.archive:open_archive",
    config=EodagConfig,
    filters=_filters,
    needs_aoi=False,
    extra="eodag",
)
