from pathlib import Path

import numpy as np
from astropy.io import fits

from skylike.catalog.object_ids import legacy_object_ids
from skylike.simulation.bricks import brick_of, object_ids


def test_bricks_of_real_sweeps_are_the_surveys_own(shared_data: Path):
    for path in sorted((shared_data / "legacy_survey" / "catalogs").glob("sweep-*.fits")):
        rows = fits.getdata(path, 1)
        number, name = brick_of(rows["RA"].astype(float), rows["DEC"].astype(float))

        assert number.tolist() == rows["BRICKID"].tolist()
        assert [text.decode() for text in name] == list(rows["BRICKNAME"])


def test_bricks_number_the_sky_from_one_pole_to_the_other():
    number, name = brick_of(np.array([0.0, 359.999, 0.0, 95.9]), np.array([-90.0, 90.0, 0.0, 80.5]))

    assert number[:2].tolist() == [1, 662_174]
    assert name[2:].tolist() == [b"0001p000", b"0959p805"]


def test_object_ids_are_packed_as_the_catalog_does():
    parts = (np.array([999, 9010]), np.array([1, 662_174]), np.array([0, 65_535]))

    expected, valid = legacy_object_ids(*(part.astype(np.int64) for part in parts))

    assert valid.all()
    assert object_ids(*parts).tolist() == expected.tolist()
