from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from skylike.errors import ImageFileError
from skylike.images.cubes import read_cube

NATIVE = 0.262


def write_cube(
    path: Path, data: np.ndarray, *, scale: float, bands: str | None = "grz", dec: float = 30.0
) -> None:
    header = fits.Header()
    if bands is not None:
        header["BANDS"] = bands
    height, width = data.shape[-2:]
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"] = 150.0, dec
    header["CRPIX1"], header["CRPIX2"] = (width + 1) / 2, (height + 1) / 2
    header["CD1_1"], header["CD2_2"] = -scale / 3600, scale / 3600
    fits.writeto(path, data.astype(np.float32), header)


def native_image(size: int = 240) -> np.ndarray:
    """Noise on the native grid, no galaxy: (3, size, size)."""
    sigma = np.array([0.0031, 0.0044, 0.0117])[:, None, None]
    return sigma * np.random.default_rng(2).standard_normal((3, size, size))


def replicated(native: np.ndarray, *, scale: float) -> np.ndarray:
    """What the cutout service makes of it: native values repeated on a finer grid, 55 arcsec."""
    size = round(55 / scale)
    place = (np.arange(size) - (size - 1) / 2) * scale / NATIVE + (native.shape[-1] - 1) / 2
    nearest = np.rint(place).astype(int)
    return native[:, nearest[:, None], nearest[None, :]]


@pytest.mark.parametrize("scale", [0.10, 0.13, 0.2, 0.262])
def test_read_cube_when_the_grid_is_finer_then_sky_noise_stays_as_it_was(
    tmp_path: Path, scale: float
):
    native = native_image()
    write_cube(tmp_path / "a.fits", replicated(native, scale=scale), scale=scale)

    pixels = read_cube(tmp_path / "a.fits").pixels

    np.testing.assert_allclose(np.nanstd(pixels, axis=(1, 2)), native.std(axis=(1, 2)), rtol=0.03)
    # Neighboring pixels stay independent: nothing was averaged.
    left, right = pixels[2, :, :-1].ravel(), pixels[2, :, 1:].ravel()
    both = np.isfinite(left) & np.isfinite(right)
    assert abs(np.corrcoef(left[both], right[both])[0, 1]) < 0.1


@pytest.mark.parametrize("scale", [0.10, 0.13, 0.2])
def test_read_cube_when_the_grid_is_finer_then_the_flux_of_a_source_stays_as_it_was(
    tmp_path: Path, scale: float
):
    y, x = np.indices((240, 240)) - 119.5
    source = np.exp(-(x**2 + y**2) / (2 * 4.0**2))
    native = np.stack([source, 2 * source, 3 * source])
    write_cube(tmp_path / "a.fits", replicated(native, scale=scale), scale=scale)

    pixels = read_cube(tmp_path / "a.fits").pixels

    fluxes = np.nansum(pixels, axis=(1, 2))
    np.testing.assert_allclose(fluxes, native.sum(axis=(1, 2)), rtol=0.03)


def test_read_cube_when_it_is_on_our_grid_already_then_pixels_are_copied(tmp_path: Path):
    native = native_image(152)
    write_cube(tmp_path / "a.fits", native, scale=NATIVE)

    cube = read_cube(tmp_path / "a.fits")

    np.testing.assert_array_equal(cube.pixels, native.astype(np.float32))
    assert cube.ra == pytest.approx(150, abs=1e-9)
    assert cube.dec == pytest.approx(30, abs=1e-9)


def test_read_cube_when_the_image_is_turned_by_180_degrees_then_north_comes_up(tmp_path: Path):
    native = native_image(152)
    write_cube(tmp_path / "a.fits", native[:, ::-1, ::-1], scale=-NATIVE)

    np.testing.assert_array_equal(read_cube(tmp_path / "a.fits").pixels, native.astype(np.float32))


def test_read_cube_when_close_to_the_pole_then_the_source_is_in_the_center(tmp_path: Path):
    native = np.ones((3, 200, 200))
    native[:, 99:101, 99:101] = 9
    write_cube(tmp_path / "a.fits", native, scale=NATIVE, dec=89.999)

    pixels = read_cube(tmp_path / "a.fits").pixels

    np.testing.assert_array_equal(
        np.argwhere(pixels[0] == 9), [[75, 75], [75, 76], [76, 75], [76, 76]]
    )


def test_read_cube_when_bands_are_more_or_in_another_order_then_g_r_z_are_taken(tmp_path: Path):
    data = np.ones((4, 152, 152)) * np.arange(1, 5)[:, None, None]
    write_cube(tmp_path / "a.fits", data, scale=NATIVE, bands="zirg")

    cube = read_cube(tmp_path / "a.fits")

    assert cube.pixels[:, 0, 0].tolist() == [4, 3, 1]
    assert cube.bands == ("g", "r", "z")


def test_read_cube_when_a_band_is_missing_then_its_plane_is_not_observed(tmp_path: Path):
    write_cube(tmp_path / "a.fits", np.ones((1, 152, 152)), scale=NATIVE, bands="r")

    cube = read_cube(tmp_path / "a.fits")

    assert cube.bands == ("r",)
    assert np.isnan(cube.pixels[[0, 2]]).all()
    assert np.isfinite(cube.pixels[1]).all()


@pytest.mark.parametrize(
    ("bands", "scale", "planes", "reason"),
    [
        (None, NATIVE, 3, "does not name their bands"),
        ("gr", NATIVE, 3, "does not name their bands"),
        ("iy", NATIVE, 2, "need some of g, r, z"),
        ("grz", 1.0, 3, "too coarse"),
    ],
)
def test_read_cube_when_the_header_does_not_fit_then_the_file_is_refused(
    tmp_path: Path, bands: str | None, scale: float, planes: int, reason: str
):
    write_cube(tmp_path / "a.fits", np.ones((planes, 152, 152)), scale=scale, bands=bands)

    with pytest.raises(ImageFileError, match=rf"a\.fits: .*{reason}"):
        read_cube(tmp_path / "a.fits")


def test_read_cube_when_the_file_is_truncated_then_it_is_refused_by_name(tmp_path: Path):
    write_cube(tmp_path / "a.fits", native_image(152), scale=NATIVE)
    data = (tmp_path / "a.fits").read_bytes()
    (tmp_path / "a.fits").write_bytes(data[: len(data) // 2])

    with pytest.raises(ImageFileError, match=r"a\.fits: is truncated, \d+ of \d+ bytes"):
        read_cube(tmp_path / "a.fits")


def test_read_cube_when_real_then_flux_and_noise_are_those_of_the_native_pixels(shared_data: Path):
    path = shared_data / "legacy_survey" / "cutouts" / "example_b.fits"
    with fits.open(path) as hdus:
        fine = hdus[0].data.astype(np.float64)
        scale = hdus[0].header["CD2_2"] * 3600
    half = 76 * NATIVE / scale
    inside = slice(round(212 - half), round(212 + half))
    fine = fine[:, inside, inside]

    pixels = read_cube(path).pixels

    flux = fine.sum(axis=(1, 2)) * (scale / NATIVE) ** 2
    np.testing.assert_allclose(pixels.sum(axis=(1, 2)), flux, rtol=0.02)
    noise, native_noise = (
        np.median(np.abs(image - np.median(image, axis=(1, 2), keepdims=True)), axis=(1, 2))
        for image in (pixels, fine)
    )
    np.testing.assert_allclose(noise, native_noise, rtol=0.1)
