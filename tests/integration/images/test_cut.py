from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from astropy.io import fits
from astropy.wcs import WCS
from sqlalchemy import Engine

from skylike.catalog.store import ensure_galaxies
from skylike.catalog.store_derived import define_column
from skylike.errors import EmptyStageError
from skylike.images.cut import cut_images
from skylike.images.read import read_pixels
from skylike.images.store import fetch_cutout_index

BRICK = "legacy_survey/brick_0959p805"

POSITIONS = np.array(
    [
        [96.609369, 80.441412],  # on a source, g observed all around
        [96.504121, 80.425146],  # on a source, at the edge of what is observed
        [95.9504, 80.5],  # on the brick, nothing observed
        [120.0, 80.5],  # on no brick
    ]
)


@pytest.fixture
def galaxies(engine: Engine) -> np.ndarray:
    with engine.begin() as connection:
        return ensure_galaxies(
            connection, "mine", POSITIONS[:, 0], POSITIONS[:, 1], object_id=np.arange(1, 5)
        )


def rows(engine: Engine, query: str) -> list[tuple]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(query))]


def write_brick(folder: Path, name: str, *, dec: float, value: float) -> None:
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"] = 0.0, dec
    header["CRPIX1"] = header["CRPIX2"] = 200.5
    header["CD1_1"], header["CD2_2"] = -0.262 / 3600, 0.262 / 3600
    data = np.full((400, 400), value, np.float32)
    fits.writeto(folder / f"legacysurvey-{name}-image-g.fits", data, header)


def test_cut_images_when_real_brick_then_g_is_cut_and_r_and_z_are_missing(
    engine: Engine, tmp_path: Path, shared_data: Path, galaxies: np.ndarray
):
    (report,) = cut_images(engine, [shared_data / BRICK], folder=tmp_path / "cutouts")

    assert (report.added, report.incomplete, report.empty) == (2, 2, 1)
    found = rows(engine, "SELECT galaxy_id, missing_bands, coverage[1] FROM cutout ORDER BY name")
    assert [row[:2] for row in found] == [(galaxies[0], ["r", "z"]), (galaxies[1], ["r", "z"])]
    assert found[0][2] == 1
    assert 0.5 < found[1][2] < 1
    with engine.connect() as connection:
        pixels = read_pixels(fetch_cutout_index(connection), [0]).pixels[0]
    center = pixels[0, 70:82, 70:82]
    assert center.max() == pixels[0, 60:92, 60:92].max()
    assert center.max() > 1
    assert np.isnan(pixels[1:]).all()


def test_cut_images_when_cut_again_then_nothing_changes(
    engine: Engine, tmp_path: Path, shared_data: Path, galaxies: np.ndarray
):
    cut_images(engine, [shared_data / BRICK], folder=tmp_path / "cutouts")
    before = rows(engine, "SELECT * FROM cutout ORDER BY cutout_id")

    (report,) = cut_images(engine, [shared_data / BRICK], folder=tmp_path / "cutouts")

    assert (report.added, report.unchanged) == (0, 2)
    assert rows(engine, "SELECT * FROM cutout ORDER BY cutout_id") == before
    assert len(galaxies) == 4


def test_cut_images_when_a_second_cut_takes_others_then_the_first_cutouts_stay(
    engine: Engine, tmp_path: Path, shared_data: Path, galaxies: np.ndarray
):
    paths = [shared_data / BRICK]
    cut_images(engine, paths, folder=tmp_path / "cutouts", where="object_id = 2")
    first = rows(engine, "SELECT galaxy_id, updated_at FROM cutout")

    define_column(engine, "is_first = object_id = 1")
    (report,) = cut_images(engine, paths, folder=tmp_path / "cutouts", where="is_first")

    assert (report.added, report.unchanged) == (1, 1)
    both = dict(rows(engine, "SELECT galaxy_id, updated_at FROM cutout"))
    assert set(both) == set(galaxies[:2].tolist())
    assert both[galaxies[1]] == first[0][1]


def test_cut_images_when_a_galaxy_lies_on_two_bricks_then_it_is_cut_from_the_better_one(
    engine: Engine, tmp_path: Path
):
    write_brick(tmp_path, "0000p100", dec=10.0, value=1.0)
    write_brick(tmp_path, "0000p102", dec=10.0 + 300 * 0.262 / 3600, value=2.0)
    wcs = WCS(fits.getheader(tmp_path / "legacysurvey-0000p100-image-g.fits"))
    ra, dec = wcs.all_pix2world([199.5, 199.5], [330.0, 370.0], 0)
    with engine.begin() as connection:
        ensure_galaxies(connection, "mine", ra % 360, dec, object_id=np.array([1, 2]))

    cut_images(engine, [tmp_path], folder=tmp_path / "cutouts")

    with engine.connect() as connection:
        index = fetch_cutout_index(connection)
    pixels = read_pixels(index, range(2)).pixels
    assert np.isfinite(pixels[:, 0]).all()
    # Of galaxy 1 the lower half is on the first brick, the rest beyond its edge on the second.
    assert pixels[0, 0, 0, 0] == 1
    assert pixels[0, 0, -1, 0] == 2
    assert pixels[1, 0, -1, 0] == 2
    assert pixels[1, 0, 76, 76] == 2


def test_cut_images_when_no_galaxy_is_on_the_brick_then_the_error_says_what_to_do(
    engine: Engine, tmp_path: Path
):
    write_brick(tmp_path, "0000p100", dec=10.0, value=1.0)

    with pytest.raises(EmptyStageError, match="skylike catalog load"):
        cut_images(engine, [tmp_path], folder=tmp_path / "cutouts")
