"""SeDAS and its sandbox as types of archives: what a manifest needs to know of them."""

from collections.abc import Mapping
from typing import ClassVar

from sedas_sync.manifest.archive_types import ArchiveType, flat_filters
from sedas_sync.manifest.tables import ApiUrl, ArchiveConfig, TrustedHosts, WebArchiveConfig
from sedas_sync.model.scene import Sensor
from sedas_sync.net.credentials import VARIABLES

LIVE_URL = "https://geobrowser.satapps.org/api/"
"""The API of the service (sedas_pyapi 0.5.0)."""
TRUSTED_HOSTS = ("*.satapps.org",)
"""Other hosts that get the token: scenes are downloaded from `sedasdm.satapps.org` (saved answers of 2019 and 2020)."""


class SedasConfig(WebArchiveConfig):
    """The table of an archive of type `sedas`."""

    url: ApiUrl = LIVE_URL
    trusted_hosts: TrustedHosts = TRUSTED_HOSTS


class SandboxConfig(ArchiveConfig):
    """The table of an archive of type `sandbox`."""

    SCENE_SIZE: ClassVar[int | None] = 38_000


_FILTER_SENSORS: Mapping[str, Sensor] = {
    "opticalProductType": "optical",
    "maxCloudPercent": "optical",
    "minCloudPercent": "optical",
    "sarProductType": "sar",
    "polarisation": "sar",
}
"""Filters that act on one class of sensor only (geocento/SEDAS-issues 12, 42 and 65)."""

KIND = ArchiveType(
    name="sedas",
    opener="sedas_sync.archives.sedas.archive:open_archive",
    config=SedasConfig,
    variables=VARIABLES,
    filters=flat_filters,
    filter_sensors=_FILTER_SENSORS,
)
SANDBOX_KIND = ArchiveType(
    name="sandbox",
    opener="sedas_sync.archives.sandbox:open_archive",
    config=SandboxConfig,
    filters=flat_filters,
    filter_sensors=_FILTER_SENSORS,
)
