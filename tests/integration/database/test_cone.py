"""in_cone and separation against astropy, at the poles and across right ascension 0."""

import astropy.units as u
import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa
from astropy.coordinates import SkyCoord
from sqlalchemy import Connection

from skylike.database.copy import copy_into

CONES = [
    (10.0, 0.0, 5.0),
    (0.0, 10.0, 3.0),
    (359.9, -45.0, 2.0),
    (0.05, 60.0, 10.0),
    (123.0, 89.9, 1.0),
    (300.0, -89.0, 4.0),
    (0.0, 90.0, 0.5),
    (200.0, 80.0, 30.0),
    (180.0, 0.0, 179.0),
    (45.0, 45.0, 0.01),
]


@pytest.fixture
def sky(connection: Connection) -> tuple[Connection, SkyCoord]:
    rng = np.random.default_rng(3)
    ra = rng.uniform(0, 360, 20_000)
    dec = np.degrees(np.arcsin(rng.uniform(-1, 1, 20_000)))
    # Many points near the places that go wrong, and the centers themselves.
    near = np.array(CONES)
    ra = np.concatenate([ra, rng.uniform(0, 360, 2000), near[:, 0], rng.normal(0, 1, 1000) % 360])
    dec = np.concatenate(
        [
            dec,
            rng.choice([-1, 1], 2000) * rng.uniform(88, 90, 2000),
            near[:, 1],
            rng.normal(0, 20, 1000),
        ]
    )
    connection.execute(sa.text('CREATE TABLE point (ra double precision, "dec" double precision)'))
    copy_into(connection, "point", pa.table({"ra": ra, "dec": dec}))
    return connection, SkyCoord(ra * u.deg, dec * u.deg)


@pytest.mark.parametrize(("ra", "dec", "radius"), CONES)
def test_cone_when_anywhere_on_the_sky_then_agrees_with_astropy(sky, ra, dec, radius):
    connection, points = sky
    apart = points.separation(SkyCoord(ra * u.deg, dec * u.deg)).deg

    rows = connection.execute(
        sa.text(
            'SELECT in_cone(ra, "dec", :ra, :dec, :radius) AS inside,'
            ' separation(ra, "dec", :ra, :dec) AS apart FROM point ORDER BY ctid'
        ),
        {"ra": ra, "dec": dec, "radius": radius},
    ).all()

    inside = np.array([row.inside for row in rows])
    clear = np.abs(apart - radius) > 1e-9
    np.testing.assert_array_equal(inside[clear], (apart <= radius)[clear])
    assert inside.any()
    np.testing.assert_allclose([row.apart for row in rows], apart, rtol=0, atol=2e-6)


def test_cone_when_small_then_the_index_on_dec_and_ra_is_used(connection: Connection):
    connection.execute(sa.text("INSERT INTO survey (name) VALUES ('test')"))
    connection.execute(
        sa.text(
            'INSERT INTO galaxy (galaxy_id, survey_id, object_id, ra, "dec", healpix29)'
            " SELECT i, 1, i, (i * 137.508) % 360, degrees(asin(2 * (i / 20000.0) - 1)), i"
            " FROM generate_series(1, 19999) AS i"
        )
    )
    connection.execute(sa.text("ANALYZE galaxy"))

    plan = connection.scalars(
        sa.text('EXPLAIN SELECT count(*) FROM galaxy WHERE in_cone(ra, "dec", 150, 2, 0.5)')
    ).all()

    assert any("galaxy_dec_ra_idx" in line for line in plan), plan
