"""Convert GeoParquet with Arrow, which the extra `vector-parquet` installs."""

import io
import json
from typing import Any

from sedas_sync.files.extras import load_extra


def as_geopackage(data: bytes) -> tuple[bytes, str]:
    """Convert a GeoParquet file to a GeoPackage, in which `where` means the same; most builds of GDAL do not read it.

    Returns:
        The GeoPackage, and the reference system.

    Raises:
        ValueError: The extra is not installed, the file is damaged, or its geometries cannot be read.
    """
    pa, pq, pyogrio = _module("pyarrow"), _module("pyarrow.parquet"), _module("pyogrio")
    try:
        table = pq.read_table(pa.BufferReader(data))
        geo = json.loads((table.schema.metadata or {})[b"geo"])
        column = geo["columns"][geo["primary_column"]]
        encoding, crs = column["encoding"], column.get("crs")
    except (KeyError, TypeError, json.JSONDecodeError):
        raise ValueError("it cannot be read: it is a Parquet file without a geometry column (GeoParquet)") from None
    except pa.ArrowException:
        raise ValueError("it cannot be read: it is a damaged GeoParquet file") from None
    if encoding.upper() != "WKB":
        raise ValueError(f"its geometries have the encoding {encoding}; write them as WKB")
    name = geo["primary_column"]
    plain = [field.name for field in table.schema if field.name == name or not pa.types.is_nested(field.type)]
    target = io.BytesIO()
    pyogrio.write_arrow(
        table.select(plain), target, driver="GPKG", layer="areas", geometry_name=name, geometry_type="Unknown"
    )
    return target.getvalue(), "OGC:CRS84" if crs is None else json.dumps(crs)


def _module(name: str) -> Any:
    return load_extra(name, "vector-parquet", "reading GeoParquet", ValueError)
