"""The areas that tables of a manifest describe. Only manifests with areas import this module: shapely is slow."""

from typing import cast

from sedas_sync.geometry import Aoi, OnRepair, Polygonal, buffered, from_bbox, from_circle, from_wkt, tile_outline
from sedas_sync.manifest.parse import ReadAoi
from sedas_sync.manifest.tables import AoiTable


def area_of(given: AoiTable | str, read_aoi: ReadAoi) -> Aoi:
    """Return the area of a table, or of an MGRS tile.

    Args:
        given: the table, which has exactly one area, or the name of the tile.
        read_aoi: reads AOI files.

    Raises:
        ValueError: the area is wrong, or there is no such tile; the message says how.
        OSError: its file cannot be read.
    """
    if isinstance(given, str):
        return Aoi(tile_outline(given))
    repairs: list[str] = []
    return Aoi(_shape(given, read_aoi, repairs.append if given.repair else None), repairs=repairs)


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
