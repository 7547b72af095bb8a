"""The areas that the tables of a manifest describe. Only manifests with areas import this module: shapely is slow."""

from pathlib import Path
from typing import cast

from sedas_sync.files.paths import user_path
from sedas_sync.geometry import Aoi, OnRepair, Polygonal, buffered, from_bbox, from_circle, from_wkt, tile_outline
from sedas_sync.manifest.tables import AoiTable
from sedas_sync.operations.aoi_file import read_aoi
from sedas_sync.operations.countries import area_of_countries


def area_of(given: AoiTable | str, folder: Path) -> Aoi:
    """Return the area of a table, or of an MGRS tile.

    Args:
        given: The table, which has exactly one area, or the name of the tile.
        folder: That of the manifest.

    Raises:
        ValueError: The area is wrong, its file cannot be read, or there is no such tile or country.
    """
    if isinstance(given, str):
        return Aoi(tile_outline(given))
    repairs: list[str] = []
    return Aoi(_shape(given, folder, repairs.append if given.repair else None), repairs=repairs)


def _shape(config: AoiTable, folder: Path, on_repair: OnRepair | None) -> Polygonal:
    if config.wkt is not None:
        return from_wkt(config.wkt, buffer_km=config.buffer_km, on_repair=on_repair)
    if config.country is not None:
        return area_of_countries(config.country, config.buffer_km)
    if config.file is not None:
        path = user_path(folder, config.file)
        return read_aoi(
            path,
            layer=config.layer,
            where=config.where,
            buffer_km=config.buffer_km,
            quotable=_is_below(path, folder),
            on_repair=on_repair,
        )
    if config.bbox is not None:
        area = from_bbox(*config.bbox)
        return area if config.buffer_km is None else buffered(area, (), config.buffer_km)
    longitude, latitude = cast(tuple[float, float], config.point)
    return from_circle(longitude, latitude, cast(float, config.radius_km))


def _is_below(file: Path, folder: Path) -> bool:
    """Return whether a file is below a folder, with all symbolic links resolved."""
    try:
        return file.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):  # a loop of links, or an invalid name
        return False
