import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from skylike.catalog.match import match_positions
from skylike.catalog.object_ids import healpix29
from skylike.catalog.store import UpsertCounts, ensure_galaxies, upsert_galaxies
from skylike.errors import CoordinateError


def positions(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    return rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))


def galaxies(n: int, **columns: pa.Array) -> pa.Table:
    ra, dec = positions(n)
    given = {"object_id": np.arange(n), "ra": ra, "dec": dec, "healpix29": healpix29(ra, dec)}
    return pa.table({**given, **columns})


def test_an_upsert_counts_what_became_of_each_row(connection: Connection):
    magnitudes = pa.array([18.0, 19.0, None], pa.float32())
    first = upsert_galaxies(connection, "s", galaxies(3, mag_r=magnitudes))
    changed = pa.array([18.0, None, 20.0], pa.float32())

    second = upsert_galaxies(connection, "s", galaxies(3, mag_r=changed))

    assert first == UpsertCounts(inserted=3, updated=0, unchanged=0, duplicates=0)
    assert second == UpsertCounts(inserted=0, updated=2, unchanged=1, duplicates=0)


def test_the_same_key_in_two_surveys_is_two_galaxies(connection: Connection):
    upsert_galaxies(connection, "a", galaxies(2))

    assert upsert_galaxies(connection, "b", galaxies(2)).inserted == 2


def test_galaxies_are_made_once_for_their_positions(connection: Connection):
    ra, dec = positions(50)

    made = ensure_galaxies(connection, "images", ra, dec)
    again = ensure_galaxies(connection, "images", ra, dec)

    assert len(set(made.tolist())) == 50
    assert again.tolist() == made.tolist()
    assert made.dtype == np.int32


def test_galaxies_that_are_there_keep_their_positions(connection: Connection):
    ids = np.array([4])
    (made,) = ensure_galaxies(connection, "s", np.array([1.0]), np.array([2.0]), object_id=ids)

    (again,) = ensure_galaxies(connection, "s", np.array([1.1]), np.array([2.0]), object_id=ids)

    assert again == made
    assert connection.scalar(sa.text("SELECT ra FROM galaxy")) == 1.0


def test_a_position_off_the_sky_makes_no_galaxy(connection: Connection):
    with pytest.raises(CoordinateError, match="position 1 "):
        ensure_galaxies(connection, "s", np.array([1.0, np.nan]), np.array([0.0, 0.0]))


def test_the_nearest_galaxy_within_the_radius_matches(connection: Connection):
    arcsec = 1 / 3600
    ra, dec = np.array([10.0, 10.0, 359.9999, 20.0]), np.array([0.0, 0.4 * arcsec, 60.0, 90.0])
    near, nearer, wrapped, pole = ensure_galaxies(connection, "s", ra, dec)
    wanted_ra = np.array([10.0, 0.0, 200.0, 10.0, np.nan, -349.9999999])
    wanted_dec = np.array([0.5 * arcsec, 60.0, 90 - 0.5 * arcsec, 1.5 * arcsec, 0.0, 0.0])

    galaxy_id, separation = match_positions(connection, wanted_ra, wanted_dec, radius_arcsec=1.0)

    assert galaxy_id.tolist() == [nearer, wrapped, pole, -1, -1, near]
    assert separation[0] == pytest.approx(0.1, abs=1e-6)
    assert separation[1] == pytest.approx(0.18, abs=1e-3)
    assert np.isnan(separation[3:5]).all()


def test_matches_agree_with_a_brute_force(connection: Connection):
    rng = np.random.default_rng(11)
    ra, dec = 30 + rng.uniform(0, 0.01, 300), 80 + rng.uniform(0, 0.002, 300)
    ids = ensure_galaxies(connection, "s", ra, dec)
    wanted_ra, wanted_dec = 30 + rng.uniform(0, 0.01, 100), 80 + rng.uniform(0, 0.002, 100)
    offset_ra = (wanted_ra[:, None] - ra) * np.cos(np.radians(wanted_dec))[:, None]
    distance = np.hypot(offset_ra, wanted_dec[:, None] - dec) * 3600  # (100, 300)
    nearest = np.where(distance.min(axis=1) <= 0.3, ids[distance.argmin(axis=1)], -1)

    galaxy_id, _ = match_positions(connection, wanted_ra, wanted_dec, radius_arcsec=0.3)

    assert 0 < (nearest >= 0).sum() < 100
    assert galaxy_id.tolist() == nearest.tolist()


def test_a_row_is_as_new_as_its_merge_and_not_as_its_transaction(connection: Connection):
    began = connection.execute(sa.select(sa.func.now())).scalar_one()
    looked = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
    upsert_galaxies(connection, "s", galaxies(2))

    written = connection.execute(sa.text("SELECT min(updated_at) FROM skylike.galaxy")).scalar_one()
    assert began < looked < written
