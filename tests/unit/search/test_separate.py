import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord

from skylike.search.separate import (
    keep_separated,
    nearest_separation,
    separations,
    unit_vectors,
)

ARCSEC = 1 / 3600
NOWHERE = np.empty((0, 3))


def line(*offsets_arcsec, dec=0.0):
    offsets = np.array(offsets_arcsec, dtype=float) * ARCSEC
    return unit_vectors(10 + offsets / np.cos(np.radians(dec)), np.full(len(offsets), dec))


def test_separations_agree_with_astropy():
    random = np.random.default_rng(1)
    ra, dec = random.uniform(0, 360, 50), random.uniform(-90, 90, 50)
    near = dec + random.uniform(0, 10, 50) * ARCSEC
    near = np.clip(near, -90, 90)

    ours = separations(unit_vectors(ra, dec), unit_vectors(ra, near))

    theirs = SkyCoord(ra * u.deg, dec * u.deg).separation(SkyCoord(ra * u.deg, near * u.deg)).deg
    assert np.allclose(ours, theirs, rtol=0, atol=1e-12)


def test_keep_separated_when_one_lies_near_a_better_one_drops_it():
    kept = keep_separated(line(0, 10, 100), NOWHERE, min_separation=25 * ARCSEC, k=10)

    assert kept.tolist() == [0, 2]


def test_keep_separated_when_the_better_one_was_dropped_keeps():
    # The third is near the second, but the second is gone.
    kept = keep_separated(line(0, 20, 40), NOWHERE, min_separation=25 * ARCSEC, k=10)

    assert kept.tolist() == [0, 2]


def test_keep_separated_when_near_the_query_drops():
    kept = keep_separated(line(5, 100), line(0), min_separation=25 * ARCSEC, k=10)

    assert kept.tolist() == [1]


def test_keep_separated_when_exactly_at_the_limit_keeps():
    points = unit_vectors(np.zeros(2), np.array([0.0, 1.0]))
    limit = float(separations(points[:1], points[1:])[0])

    assert keep_separated(points, NOWHERE, min_separation=limit, k=10).tolist() == [0, 1]


def test_keep_separated_when_zero_keeps_all_up_to_k():
    kept = keep_separated(line(0, 0, 0, 0), line(0), min_separation=0.0, k=3)

    assert kept.tolist() == [0, 1, 2]


def test_keep_separated_when_k_are_kept_stops():
    kept = keep_separated(line(0, 100, 200, 300), NOWHERE, min_separation=25 * ARCSEC, k=2)

    assert kept.tolist() == [0, 1]


def test_keep_separated_when_across_zero_right_ascension_sees_the_neighbor():
    points = unit_vectors(np.array([359.999, 0.001]), np.zeros(2))

    assert keep_separated(points, NOWHERE, min_separation=25 * ARCSEC, k=2).tolist() == [0]


def test_nearest_separation_when_there_are_several_anchors_takes_the_nearest():
    apart = nearest_separation(line(0), line(30, 10, 20))

    assert np.isclose(apart[0], 10 * ARCSEC)


def test_nearest_separation_without_anchors_is_nan():
    assert np.isnan(nearest_separation(line(0, 1), NOWHERE)).all()


def test_nearest_separation_of_thousands_of_anchors_is_that_of_each_alone():
    rng = np.random.default_rng(5)
    points = unit_vectors(rng.uniform(0, 360, 50), rng.uniform(-90, 90, 50))
    anchors = unit_vectors(rng.uniform(0, 360, 3000), rng.uniform(-90, 90, 3000))
    anchors[7] = points[3]

    apart = nearest_separation(points, anchors)

    alone = np.min([separations(points, anchor) for anchor in anchors], axis=0)
    assert apart[3] == 0
    np.testing.assert_allclose(apart, alone, rtol=1e-14)
