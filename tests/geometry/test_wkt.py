"""The forms in which people write WKT."""

import pytest
import shapely
from shapely import MultiPolygon, Polygon, box

from sedas_sync import geometry as g

A, B = box(0, 0, 1, 1), box(5, 5, 6, 6)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{A.wkt}\n{B.wkt}\n", A.union(B)),
        (f"{A.wkt}; {B.wkt};", A.union(B)),
        (f"SRID=4326;{A.wkt}\nSRID=4326;{B.wkt}", A.union(B)),
        (f'"{A.wkt}"', A),
        (f"'{A.wkt}',", A),
        (f'"{A.wkt}"\r\n"{B.wkt}"\r\n', A.union(B)),
        (f"{A.wkt}\nPOLYGON EMPTY\n{B.wkt}", A.union(B)),
        (f"GEOMETRYCOLLECTION ({A.wkt}, {B.wkt}) {B.wkt}", A.union(B)),
        (f"{A.wkt}\nPOINT (3 4)", A),
        (A.wkb_hex, A),
        (A.wkb_hex.lower(), A),
        (shapely.to_wkb(shapely.set_srid(A, 4326), hex=True, include_srid=True), A),
        (shapely.to_wkb(MultiPolygon([A, B]), hex=True), A.union(B)),
        (shapely.to_wkb(shapely.force_3d(A, 7), hex=True), A),
        (f"{A.wkb_hex}\n{B.wkb_hex}", A.union(B)),
    ],
)
def test_forms_that_are_read(text, expected):
    assert g.from_wkt(text).equals(expected)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (shapely.to_wkb(shapely.set_srid(A, 27700), hex=True, include_srid=True), "EPSG:27700"),
        (A.wkb_hex[:-8], "looks like WKB in hexadecimal, but is not"),
        ("01" + "07000000" + "01000000" + "0107000000010000000" * 9000, "too long; write it as WKT"),
        (f"{A.wkt}\nPOLYGON ((0 0, 1 0 0))", "it is not WKT"),
        (f"{A.wkt}\nSRID=3857;{B.wkt}", "EPSG:3857"),
        (f"{A.wkt}\n{Polygon([(0, 0), (1, 1), (1, 0), (0, 1)]).wkt}", "polygon 2: its outline crosses"),
        (box(447000, 186000, 448000, 187000).wkt, "are metres, convert them .* or use a file"),
    ],
)
def test_mistakes(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        g.from_wkt(text)
