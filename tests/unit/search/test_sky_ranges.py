import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import Latitude, Longitude
from cdshealpix.nested import lonlat_to_healpix

from skylike.cuts.coordinates import Cone
from skylike.search.sky_ranges import LARGEST_DEG, cone_ranges


def around(cone: Cone, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions in a cone, many of them at its very edge, by rotating those around a pole."""
    random = np.random.default_rng(4)
    away = np.radians(cone.radius * np.where(random.random(n) < 0.3, 1.0, random.random(n)))
    turn = random.uniform(0, 2 * np.pi, n)
    x, y, z = np.sin(away) * np.cos(turn), np.sin(away) * np.sin(turn), np.cos(away)
    tilt = np.radians(90 - cone.dec)
    x, z = x * np.cos(tilt) + z * np.sin(tilt), -x * np.sin(tilt) + z * np.cos(tilt)
    ra = (np.degrees(np.arctan2(y, x)) + cone.ra) % 360
    return ra, np.degrees(np.arcsin(np.clip(z, -1, 1)))


@pytest.mark.parametrize("radius", [1e-5, 1 / 60, 1.0, 7.3, LARGEST_DEG])
@pytest.mark.parametrize("center", [(0, 0), (359.999, 12), (45, 90), (200, -89.7), (83.1, -41.8)])
def test_ranges_hold_every_position_in_the_cone(center, radius):
    cone = Cone(*center, radius)
    ra, dec = around(cone, 2000)
    cells = lonlat_to_healpix(Longitude(ra, u.deg), Latitude(dec, u.deg), 29).astype(np.int64)

    ranges = cone_ranges(cone)

    held = np.zeros(len(cells), bool)
    for low, high in ranges:
        held |= (cells >= low) & (cells <= high)
    assert held.all()
    assert len(ranges) <= 40


def test_ranges_hold_little_beside_the_cone():
    low, high = np.array(cone_ranges(Cone(123.0, 45.0, 5.0))).T

    area = (high - low + 1).sum() / (12 * 4**29)
    assert area < 2 * (1 - np.cos(np.radians(5.0))) / 2


def test_a_very_wide_cone_has_none():
    assert cone_ranges(Cone(0.0, 0.0, LARGEST_DEG + 1)) == []
