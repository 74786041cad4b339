"""Polygons on the sky: inside, across RA 0, at the poles, concave; and what is no polygon."""

import numpy as np
import pytest
from astropy.coordinates import offset_by

from skylike.cuts.polygon import MAX_VERTICES, Vertex, check_polygon, in_polygon
from skylike.errors import CoordinateError


def polygon(*numbers: float) -> tuple[Vertex, ...]:
    return check_polygon([Vertex(*pair) for pair in zip(numbers[::2], numbers[1::2], strict=True)])


def holds(vertices: tuple[Vertex, ...], ra: float, dec: float) -> bool:
    return bool(in_polygon(np.array([ra]), np.array([dec]), vertices)[0])


def bearing(ra1, dec1, ra2, dec2):
    ra1, dec1, ra2, dec2 = map(np.radians, (ra1, dec1, ra2, dec2))
    east = np.cos(dec2) * np.sin(ra2 - ra1)
    north = np.cos(dec1) * np.sin(dec2) - np.sin(dec1) * np.cos(dec2) * np.cos(ra2 - ra1)
    return np.arctan2(east, north)


def surrounds(ra, dec, vertices) -> np.ndarray:
    """Whether the bearings to the vertices go once around: right near a small polygon."""
    corners = np.array(vertices)
    to = bearing(ra[:, np.newaxis], dec[:, np.newaxis], corners[:, 0], corners[:, 1])  # (n, m)
    turns = np.roll(to, -1, axis=1) - to
    turns -= 2 * np.pi * np.round(turns / (2 * np.pi))
    return np.abs(turns.sum(axis=1)) > np.pi


def beside(ra: float, dec: float, angles: np.ndarray, away: np.ndarray) -> np.ndarray:
    """Positions (n, 2) at position angles (radians) and distances (degrees) from a center."""
    lon, lat = offset_by(np.radians(ra), np.radians(dec), angles, np.radians(away))
    return np.stack([lon.degree % 360, lat.to_value("deg")], axis=-1)


@pytest.mark.parametrize(
    ("ra", "dec"), [(150, 10), (0.5, -40), (359, 60), (20, 85), (200, -88), (77, 90), (0, -90)]
)
def test_in_polygon_when_concave_then_agrees_with_bearings_to_its_vertices(ra: float, dec: float):
    rng = np.random.default_rng(5)
    angles = (np.arange(9) + rng.uniform(0, 0.8, 9)) * 2 * np.pi / 9
    corners = beside(ra, dec, angles, rng.uniform(2, 25, 9)).tolist()
    points = beside(ra, dec, rng.uniform(0, 2 * np.pi, 4000), rng.uniform(0, 30, 4000))
    vertices = check_polygon([Vertex(*corner) for corner in corners])

    inside = in_polygon(points[:, 0], points[:, 1], vertices)

    np.testing.assert_array_equal(inside, surrounds(points[:, 0], points[:, 1], vertices))
    assert 400 < inside.sum() < 3600


def test_in_polygon_when_across_right_ascension_0_then_holds_both_sides():
    box = polygon(350, -10, 10, -10, 10, 10, 350, 10)

    assert holds(box, 0, 0)
    assert holds(box, 355, 5)
    assert holds(box, 5, -5)
    assert not holds(box, 180, 0)
    assert not holds(box, 11, 0)


@pytest.mark.parametrize("sign", [1, -1])
def test_in_polygon_when_around_a_pole_then_holds_the_pole(sign: int):
    cap = polygon(0, sign * 60, 90, sign * 60, 180, sign * 60, 270, sign * 60)

    assert holds(cap, 123, sign * 90)
    assert holds(cap, 0, sign * 61)
    # The edge is a great circle: between two vertices it comes nearer to the pole than they are.
    assert not holds(cap, 45, sign * 61)
    assert not holds(cap, 0, -sign * 61)


def test_in_polygon_when_listed_either_way_round_then_is_the_smaller_side():
    corners = [(10, 10), (20, 10), (20, 20), (10, 20)]

    for order in (corners, corners[::-1]):
        vertices = check_polygon([Vertex(*corner) for corner in order])
        assert holds(vertices, 15, 15)
        assert not holds(vertices, 195, -15)


def test_in_polygon_when_it_nearly_fills_half_of_the_sky_then_is_right():
    cap = polygon(*(number for k in range(12) for number in (k * 30.0, 2.0)))

    assert holds(cap, 44, 2.1)
    assert holds(cap, 44, 89)
    assert not holds(cap, 44, 1.9)
    assert not holds(cap, 44, -89)


def test_two_polygons_with_a_common_edge_hold_each_point_once():
    rng = np.random.default_rng(6)
    ra, dec = rng.uniform(0, 40, 5000), rng.uniform(-20, 20, 5000)
    left = polygon(0, -20, 23, -20, 17, 20, 0, 20)
    right = polygon(23, -20, 40, -20, 40, 20, 17, 20)
    both = polygon(0, -20, 23, -20, 40, -20, 40, 20, 17, 20, 0, 20)

    counts = in_polygon(ra, dec, left).astype(int) + in_polygon(ra, dec, right)

    np.testing.assert_array_equal(counts, in_polygon(ra, dec, both))


def test_check_polygon_when_closed_by_its_first_vertex_then_drops_it():
    assert polygon(0, 0, 10, 0, 5, 5, 360, 0) == polygon(0, 0, 10, 0, 5, 5)


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [
        ((0, 0, 10, 0), "3 to 250 different vertices, not 2"),
        ((0, 0, 10, 0, 0, 0), "not 2"),
        ((0, 0, 0, 0, 10, 0, 10, 10), "vertex 2 of the polygon repeats the one before"),
        ((0, 0, 10, 10, 10, 0, 0, 10), "crosses itself: its edges from vertex 1 to 2 and 3 to 4"),
        ((350, 0, 10, 10, 10, 0, 350, 10), "crosses itself"),
        ((0, 0, 10, 0, 20, 0), "crosses itself"),
        ((0, 0, 10, 0, 10, 10, 5, 0, 0, 10), "touches or crosses itself"),
        ((0, 0, 10, 0, 10, 10, 10, 0, 10, -10), "touches or crosses itself"),
        ((0, 0, 120, 0, 240, 0), "half of the sky"),
        ((0, 10, 120, -40, 240, 10, 300, -30, 60, 80), "half of the sky"),
        ((0, 10, 180, -10, 90, 0), "half of the sky"),
    ],
)
def test_check_polygon_when_it_is_none_then_says_why(numbers: tuple[float, ...], reason: str):
    with pytest.raises(CoordinateError, match=reason):
        polygon(*numbers)


def test_check_polygon_when_it_has_too_many_vertices_then_is_refused():
    angles = np.linspace(0, 2 * np.pi, MAX_VERTICES + 1, endpoint=False)
    circle = [Vertex(20 + float(np.cos(a)), float(np.sin(a))) for a in angles]

    assert len(check_polygon(circle[:-1])) == MAX_VERTICES
    with pytest.raises(CoordinateError, match="not 251"):
        check_polygon(circle)
