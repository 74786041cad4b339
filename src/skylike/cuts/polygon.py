"""Polygons on the sky, for arrays: ``skylike.in_polygon`` (migration 0007) does the same in SQL.

A polygon is seen from the center of the sphere on the plane that touches it in the middle of the
polygon (gnomonic projection). Great circles become straight lines there, so that what holds in a
plane holds for it: whether its edges cross, and that a point is inside if a ray from it crosses the
edges an odd number of times. Every polygon that fits into half of the sky can be seen so.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from skylike.cuts.sphere import unit_vectors
from skylike.errors import CoordinateError

MAX_VERTICES: Final = 250
"""Of a polygon in a cut: the check that it does not cross itself takes 20 ms in SQL then."""

_MARGIN: Final = 0.01
"""Cosine of 89.4 deg, the farthest that a vertex may lie from the middle."""

_MAX_STEPS: Final = 5_000
"""Of the search for the middle. Polygons that reach 88 deg from it need a few hundred; the server
takes four times as many, so that what is accepted here is accepted there."""

_TOUCH: Final = 1e-14
"""Lines nearer than this touch. Far above rounding: the server's check, which has no tolerance,
accepts what is accepted here."""

_SAME: Final = 1e-12
"""Unit vectors nearer than this (0.2 microarcsec) are one vertex."""

Doubles = npt.NDArray[np.float64]


class Vertex(NamedTuple):
    """A corner of a polygon, ICRS degrees."""

    ra: float
    dec: float


def check_polygon(vertices: Sequence[Vertex]) -> tuple[Vertex, ...]:
    """Check the vertices of a polygon, in order along its edge, either way round.

    Returns
    -------
    tuple of Vertex
        The same, but for a last one that repeats the first.

    Raises
    ------
    CoordinateError
        There are less than 3 or more than :data:`MAX_VERTICES`, they do not fit into half of the
        sky, or the polygon touches or crosses itself.
    """
    places = _corners(vertices)
    if len(vertices) > 1 and np.abs(places[0] - places[-1]).max() < _SAME:
        vertices, places = vertices[:-1], places[:-1]
    if not 3 <= len(vertices) <= MAX_VERTICES:
        raise CoordinateError(
            f"a polygon has 3 to {MAX_VERTICES} different vertices, not {len(vertices)}"
        )
    repeated = np.abs(places - np.roll(places, 1, axis=0)).max(axis=1) < _SAME
    if repeated.any():
        vertex = int(np.argmax(repeated))
        raise CoordinateError(f"vertex {vertex + 1} of the polygon repeats the one before it")
    plane = _project(places, _middle(places))
    crossed = _crossing(plane[:, 0], plane[:, 1])
    if crossed is not None:
        first, second = (f"{edge + 1} to {(edge + 1) % len(vertices) + 1}" for edge in crossed)
        raise CoordinateError(
            f"the polygon touches or crosses itself: its edges from vertex {first} and {second};"
            " give the vertices in order along its edge"
        )
    return tuple(vertices)


def in_polygon(ra: Doubles, dec: Doubles, vertices: Sequence[Vertex]) -> npt.NDArray[np.bool_]:
    """Tell which positions are in a polygon.

    Parameters
    ----------
    ra, dec
        (n,) degrees; NaN is nowhere.
    vertices
        As :func:`check_polygon` returns them.

    Returns
    -------
    ndarray
        (n,) bool. Within a microarcsecond of an edge it may be either.
    """
    corners = _corners(vertices)
    middle = _middle(corners)
    outline = _project(corners, middle)  # (m, 2)
    places = unit_vectors(ra, dec)  # (n, 3)
    is_in_front = places @ middle > _MARGIN / 10
    points = _project(places[is_in_front], middle)  # (k, 2)
    odd = np.zeros(len(points), dtype=bool)
    for (x1, y1), (x2, y2) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        spans = (y1 > points[:, 1]) != (y2 > points[:, 1])
        x = x1 + (points[:, 1] - y1) * ((x2 - x1) / (y2 - y1 or 1.0))
        odd ^= spans & (x > points[:, 0])
    inside = np.zeros(len(places), dtype=bool)
    inside[is_in_front] = odd
    return inside


def _corners(vertices: Sequence[Vertex]) -> Doubles:
    return unit_vectors(np.array([v.ra for v in vertices]), np.array([v.dec for v in vertices]))


def _middle(places: Doubles) -> Doubles:
    """Find a direction with all places in its half of the sky, by the perceptron's rule."""
    middle: npt.NDArray[Any] = places.sum(axis=0)
    for _ in range(_MAX_STEPS):
        unit = middle / max(float(np.linalg.norm(middle)), 1e-9)
        cosines = places @ unit
        farthest = int(np.argmin(cosines))
        if cosines[farthest] > _MARGIN:
            return unit
        middle = middle + places[farthest]
    raise CoordinateError("the polygon does not fit into half of the sky; divide it")


def _project(places: Doubles, middle: Doubles) -> Doubles:
    """Project unit vectors (n, 3) on the plane that touches the sphere in the middle: (n, 2)."""
    aside = np.array([0.0, 0.0, 1.0]) if abs(middle[2]) < 0.9 else np.array([1.0, 0.0, 0.0])
    east = np.cross(aside, middle)
    east /= np.linalg.norm(east)
    axes = np.stack([east, np.cross(middle, east)], axis=-1)  # (3, 2)
    projected: Doubles = places @ axes / (places @ middle)[:, np.newaxis]  # (n, 2)
    return projected


def _crossing(x: Doubles, y: Doubles) -> tuple[int, int] | None:
    """Find two edges of a closed line that meet elsewhere than in the vertex between them."""
    n = len(x)
    first, second = np.triu_indices(n, 1)
    x1, y1, x2, y2 = x, y, np.roll(x, -1), np.roll(y, -1)

    # The projection magnifies distances, and with them rounding errors, away from the middle.
    tolerance = _TOUCH * (1 + max(float(np.abs(x).max()), float(np.abs(y).max()))) ** 2

    def sides(edge: npt.NDArray[np.intp], u: Doubles, v: Doubles) -> Doubles:
        run, rise = x2[edge] - x1[edge], y2[edge] - y1[edge]
        distance = (run * (v - y1[edge]) - rise * (u - x1[edge])) / np.hypot(run, rise)
        return np.where(np.abs(distance) <= tolerance, 0.0, np.sign(distance))

    def overlap(start: Doubles, end: Doubles) -> npt.NDArray[np.bool_]:
        low, high = np.minimum(start, end) - tolerance, np.maximum(start, end) + tolerance
        return np.asarray((low[first] <= high[second]) & (low[second] <= high[first]))

    b1, b2 = sides(first, x1[second], y1[second]), sides(first, x2[second], y2[second])
    a1, a2 = sides(second, x1[first], y1[first]), sides(second, x2[first], y2[first])
    meet = (b1 * b2 <= 0) & (a1 * a2 <= 0) & overlap(x1, x2) & overlap(y1, y2)
    are_neighbors = (second - first == 1) | (second - first == n - 1)
    along = (x2 - x1)[first] * (x2 - x1)[second] + (y2 - y1)[first] * (y2 - y1)[second]
    turns_back = (b1 == 0) & (b2 == 0) & (along < 0)
    found = np.flatnonzero(np.where(are_neighbors, turns_back, meet))
    return (int(first[found[0]]), int(second[found[0]])) if len(found) else None
