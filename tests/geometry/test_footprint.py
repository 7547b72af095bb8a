"""Footprints of scenes."""

import pytest
from shapely import MultiPolygon, Polygon, box
from shapes import HARWELL

from sedas_sync import geometry as g


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("POLYGON((44.9 13.5,46.0 13.5,46.0 12.5,44.9 12.5,44.9 13.5))", box(44.9, 12.5, 46.0, 13.5)),
        ("POLYGON((0 0,1 0,1 1,0 1))", box(0, 0, 1, 1)),
        (
            "POLYGON((0 0,2 2,2 0,0 2,0 0))",
            Polygon([(0, 0), (1, 1), (0, 2)]).union(Polygon([(2, 2), (1, 1), (2, 0)])),
        ),
        (
            "POLYGON((179 0,-179 0,-179 1,179 1,179 0))",
            MultiPolygon([box(179, 0, 180, 1), box(-180, 0, -179, 1)]),
        ),
        (
            "POLYGON((179 0,181 0,181 1,179 1,179 0))",
            MultiPolygon([box(179, 0, 180, 1), box(-180, 0, -179, 1)]),
        ),
        ("POLYGON((200 0,201 0,201 1,200 1,200 0))", box(-160, 0, -159, 1)),
        (
            "MULTIPOLYGON(((0 0,1 0,1 1,0 1,0 0)),((5 5,6 5,6 6,5 6,5 5)))",
            MultiPolygon([box(0, 0, 1, 1), box(5, 5, 6, 6)]),
        ),
        ("POLYGON Z((0 0 1,1 0 1,1 1 1,0 1 1,0 0 1))", box(0, 0, 1, 1)),
        ("POLYGON((0 89,1 89,1 90.0000001,0 90,0 89))", box(0, 89, 1, 90)),
        ("POLYGON((0 0,4 0,4 4,0 4,0 0),(1 1,2 1))", box(0, 0, 4, 4)),
        ("POLYGON((0 0,4 0,4 4,0 4,0 0), (1 1))", box(0, 0, 4, 4)),
        ("GEOMETRYCOLLECTION(POINT(9 9), LINESTRING Z (0 0 1, 1 1 1), POLYGON((0 0,1 0,1 1,0 1)))", box(0, 0, 1, 1)),
    ],
)
def test_footprints_are_repaired(text, same):
    for shape in (g.footprint(text), *g.footprints([text])):
        assert shape is not None
        assert shape.is_valid
        assert shape.symmetric_difference(same).area < 1e-9


UNREADABLE = [
    "",
    "not a shape",
    "POINT (1 2)",
    "POLYGON EMPTY",
    "POLYGON((0 0,1 1,0 0))",
    "POLYGON((0 0,1 1,2 2,0 0))",
    "POLYGON((0 0,1 0,1 99,0 0))",
    "POLYGON((500 0,501 0,501 1,500 0))",
    "POLYGON((nan 0,1 0,1 1,nan 0))",
    "POLYGON((inf 0,-inf 0,1 1,inf 0))",
    "POLYGON((1 0))",
    "GEOMETRYCOLLECTION (" * 200_000 + "POLYGON ((0 0, 1 0, 1 1, 0 0))" + ")" * 200_000,  # GEOS alone crashes
    "POLYGON((0 0,1 0,1 1,0 0))\0",
    "POLYGON((0 0,1 0,1 1,0 0))\ud800",
]


@pytest.mark.parametrize("text", UNREADABLE, ids=lambda text: ascii(text[:40]))
def test_unreadable_footprint_is_an_error(text):
    with pytest.raises(ValueError, match=r"\w+ "):
        g.footprint(text)


def test_unreadable_footprints_of_many_are_none():
    texts = [HARWELL, None, *UNREADABLE, "POLYGON((179 0,-179 0,-179 1,179 1,179 0))"]
    found = g.footprints(texts)
    assert [shape is not None for shape in found] == [True, *[False] * (len(texts) - 2), True]
    assert found[0].equals(g.footprint(HARWELL))
    assert g.footprints([]) == []
