"""The areas that tables of a manifest describe. Only manifests with areas import this module: shapely is slow."""

from typing import cast

from sedas_sync.geometry import Aoi, OnRepair, Polygonal, buffered, from_bbox, from_circle, from_wkt, tile_outline
from sedas_sync.manifest.parse import ReadAoi
from sedas_sync.manifest.tables import AoiTable


def area_of(config: AoiTable, read_aoi: ReadAoi) -> Aoi:
    """Return the area of a table.

    Args:
        config: the table; it has exactly one area.
        read_aoi: reads AOI files.

    Raises:
        ValueError: the area is wrong; the message says how.
        OSError: its file cannot be read.
    """
    repairs: list[str] = []
    return Aoi(_shape(config, read_aoi, repairs.append if config.repair else None), repairs=repairs)


def area_of_tile(tile: str) -> Aoi:
    """Return the outline of an MGRS tile.

    Raises:
        ValueError: there is no such tile.
    """
    return Aoi(tile_outline(tile))


def _shape(config: AoiTable, read_aoi: ReadAoi, on_repair: OnRepair | None) -> Polygonal:
    if config.wkt is not None:
        return from_wkt(config.wkt, buffer_km=config.buffer_km, on_repair=on_repair)
    if config.file is not None or config.country is not None:
        return read_aoi(config, on_repair)
    if config.bbox is not None:
        area = from_bbox(*config.bbox)
        return area if config.buffer_km is None else buffered(area, (), config.buffer_km)
    longitude, latitude = cast(tuple[float, float], config.point)
    return from_circle(longitude, latitude, cast(float, config.radius_km))
