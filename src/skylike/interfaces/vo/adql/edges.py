"""Boxes and polygons of constants: their corners, areas, middles, and edges in SQL."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from skylike.cuts.polygon import Vertex
from skylike.cuts.sphere import unit_vectors
from skylike.interfaces.vo.adql.cones import in_cone
from skylike.interfaces.vo.adql.values import Point, Polygon, Value, number

Doubles = npt.NDArray[np.float64]


def box_corners(center: Vertex, width: float, height: float) -> list[Vertex]:
    """Return the corners of a box (ADQL 2.1, section 4.2.9), counterclockwise.

    A cross stands on the center, its arms half the width and half the height long; the sides are
    great circles at right angles to the arms. Seen from the center of the sphere on the plane that
    touches it there, that is a rectangle.
    """
    x, y = math.tan(math.radians(width / 2)), math.tan(math.radians(height / 2))
    ra, dec = math.radians(center.ra), math.radians(center.dec)
    middle = np.array([math.cos(dec) * math.cos(ra), math.cos(dec) * math.sin(ra), math.sin(dec)])
    east = np.array([-math.sin(ra), math.cos(ra), 0.0])
    north = np.cross(middle, east)
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    return [_vertex(middle + a * x * east + b * y * north) for a, b in signs]


def middle_of(vertices: Sequence[Vertex]) -> Vertex:
    """Return the direction of the mean of the vertices."""
    return _vertex(_corners(vertices).sum(axis=0))


def polygon_area(vertices: Sequence[Vertex]) -> float:
    """Return the area of a polygon in square degrees, from triangles around its middle.

    Each has the solid angle of van Oosterom and Strackee (1983), IEEE Transactions on Biomedical
    Engineering 30, 125, with its sign.
    """
    corners = _corners(vertices)
    middle = corners.sum(axis=0)
    middle /= np.linalg.norm(middle)
    total = 0.0
    for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        volume = float(middle @ np.cross(a, b))
        total += 2 * math.atan2(volume, 1 + float(middle @ a + a @ b + b @ middle))
    return math.degrees(math.degrees(abs(total)))


def in_polygon(point: Point, polygon: Polygon) -> str:
    """Say that a position lies in a polygon; the server inlines it, so that an index serves."""
    numbers = ", ".join(repr(float(one)) for vertex in polygon.vertices for one in vertex)
    return f"skylike.in_polygon({point.sql}, CAST(ARRAY[{numbers}] AS double precision[]))"


def circle_near_edges(center: Point, radius: Value, polygon: Polygon) -> str:
    """Say that an edge of a polygon comes into a circle.

    It does where a vertex lies in the circle, or the foot of the perpendicular from its center
    does, which is on the edge if it is on the right side of both ends.

    Parameters
    ----------
    radius
        Degrees, 0 to 90.
    """
    size = radius.as_double
    ra, dec = center.ra.as_double, center.dec.as_double
    x, y, z = f"(cosd({dec}) * cosd({ra}))", f"(cosd({dec}) * sind({ra}))", f"sind({dec})"

    def along(axis: Doubles) -> str:
        parts = zip(axis.tolist(), (x, y, z), strict=True)
        return "(" + " + ".join(f"{number(one).sql} * {entry}" for one, entry in parts) + ")"

    tests = []
    corners = _corners(polygon.vertices)
    for vertex, a, b in zip(polygon.vertices, corners, np.roll(corners, -1, axis=0), strict=True):
        corner = Point(number(float(vertex.ra)), number(float(vertex.dec)))
        tests.append(in_cone(center, corner, radius))
        pole = np.cross(a, b)
        pole /= np.linalg.norm(pole)
        tests.append(
            f"(abs({along(pole)}) <= sind({size}) AND {along(np.cross(pole, a))} >= 0"
            f" AND {along(np.cross(b, pole))} >= 0)"
        )
    return "(" + " OR ".join(tests) + ")"


def _corners(vertices: Sequence[Vertex]) -> Doubles:
    places = np.array(vertices, dtype=np.float64)  # (n, 2)
    return np.asarray(unit_vectors(places[:, 0], places[:, 1]), dtype=np.float64)  # (n, 3)


def _vertex(direction: Doubles) -> Vertex:
    x, y, z = direction.tolist()
    ra = math.degrees(math.atan2(y, x)) % 360
    return Vertex(ra if ra < 360 else 0.0, math.degrees(math.atan2(z, math.hypot(x, y))))
