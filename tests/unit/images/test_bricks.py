from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from skylike.errors import ImageFileError
from skylike.images.bricks import cut_out, find_bricks, read_planes

SIZE = 400
STEP = 0.262 / 3600


def sky_value(wcs, size: int = SIZE) -> np.ndarray:
    """A smooth function of the sky, so that any pixel can be checked wherever it comes from."""
    y, x = np.indices((size, size))
    ra, dec = wcs.all_pix2world(x.ravel(), y.ravel(), 0)
    return (5 + (ra - 150) * 300 + (dec - 20) * 500).reshape(size, size).astype(np.float32)


def write_brick(
    folder: Path,
    name: str,
    *,
    ra: float = 150.0,
    dec: float = 20.0,
    bands: str = "grz",
    unobserved: tuple[slice, slice] | None = None,
    compressed: bool = True,
) -> None:
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"] = ra, dec
    header["CRPIX1"] = header["CRPIX2"] = (SIZE + 1) / 2
    header["CD1_1"], header["CD2_2"] = -STEP, STEP
    from astropy.wcs import WCS

    image = sky_value(WCS(header))
    invvar = np.ones_like(image)
    if unobserved is not None:
        invvar[unobserved] = 0
    ending = "fits.fz" if compressed else "fits"
    for band in bands:
        for what, data in (("image", image), ("invvar", invvar)):
            hdu = fits.CompImageHDU(data, header, compression_type="GZIP_2", quantize_level=0)
            plain = fits.PrimaryHDU(data, header)
            hdus = fits.HDUList([fits.PrimaryHDU(), hdu] if compressed else [plain])
            hdus.writeto(folder / f"legacysurvey-{name}-{what}-{band}.{ending}")


@pytest.mark.parametrize("compressed", [True, False])
def test_cut_out_when_inside_the_brick_then_pixels_are_copied_around_the_galaxy(
    tmp_path: Path, compressed: bool
):
    write_brick(tmp_path, "1500p200", compressed=compressed)
    (brick,), _ = find_bricks([tmp_path])
    planes = read_planes(brick)
    ra, dec = (float(v) for v in brick.wcs.all_pix2world(210.2, 190.4, 0))

    cutout = cut_out(planes, brick, ra=ra, dec=dec)

    assert cutout.shape == (3, 152, 152)
    np.testing.assert_array_equal(cutout, planes[:, 115:267, 135:287])


def test_read_planes_when_invvar_is_zero_then_pixels_are_not_observed(tmp_path: Path):
    write_brick(tmp_path, "1500p200", bands="gz", unobserved=(slice(0, 100), slice(None)))
    (brick,), _ = find_bricks([tmp_path])

    planes = read_planes(brick)

    assert np.isnan(planes[0, :100]).all()
    assert np.isfinite(planes[0, 100:]).all()
    assert np.isnan(planes[1]).all()


def test_cut_out_when_it_crosses_the_edge_then_the_next_brick_continues_it(tmp_path: Path):
    write_brick(tmp_path, "1500p200")
    write_brick(tmp_path, "1500p202", dec=20.0 + 300 * STEP)
    bricks, _ = find_bricks([tmp_path])
    ra, dec = (float(v) for v in bricks[0].wcs.all_pix2world(199.8, SIZE - 20.2, 0))

    cutout = cut_out(read_planes(bricks[0]), bricks[0], ra=ra, dec=dec, neighbors=bricks[1:])

    assert np.isfinite(cutout).all()
    # One pixel changes the function by 0.036 northward and 0.021 eastward: half a pixel is allowed.
    x, y = np.meshgrid(np.arange(152), np.arange(152))
    sky = bricks[0].wcs.all_pix2world((x + 124).ravel(), (y + 304).ravel(), 0)
    expected = (5 + (sky[0] - 150) * 300 + (sky[1] - 20) * 500).reshape(152, 152)
    np.testing.assert_allclose(cutout[0], expected, atol=0.031)


def test_cut_out_when_no_brick_continues_it_then_the_rest_is_not_observed(tmp_path: Path):
    write_brick(tmp_path, "1500p200")
    (brick,), _ = find_bricks([tmp_path])
    ra, dec = (float(v) for v in brick.wcs.all_pix2world(199.8, SIZE - 20.2, 0))

    cutout = cut_out(read_planes(brick), brick, ra=ra, dec=dec)

    observed = np.isfinite(cutout[0]).all(axis=1)
    assert observed[:96].all()
    assert not observed[96:].any()


def test_find_bricks_when_one_file_is_named_then_its_invvar_is_found_beside_it(tmp_path: Path):
    write_brick(tmp_path, "1500p200")

    (brick,), _ = find_bricks([tmp_path / "legacysurvey-1500p200-image-r.fits.fz"])

    assert list(brick.images) == ["r"]
    assert list(brick.invvars) == ["r"]


def test_find_bricks_when_one_is_damaged_then_the_others_are_found(tmp_path: Path):
    write_brick(tmp_path, "1500p200")
    write_brick(tmp_path, "1600p200", bands="g")
    damaged = tmp_path / "legacysurvey-1600p200-image-g.fits.fz"
    damaged.write_bytes(damaged.read_bytes()[:6000])

    bricks, refused = find_bricks([tmp_path])

    assert [brick.name for brick in bricks] == ["1500p200"]
    assert len(refused) == 1
    assert "1600p200-image-g.fits.fz: " in refused[0]


def test_find_bricks_when_bands_lie_on_other_pixels_then_the_brick_is_refused(tmp_path: Path):
    write_brick(tmp_path, "1500p200", bands="g")
    write_brick(tmp_path, "1500p200", bands="r", ra=150.01)

    with pytest.raises(ImageFileError, match=r"image-r.*not on the pixels of the other bands"):
        find_bricks([tmp_path])


def test_edge_distance_when_positions_are_inside_and_outside_then_the_sign_says_so(tmp_path: Path):
    write_brick(tmp_path, "1500p200")
    (brick,), _ = find_bricks([tmp_path])
    ra, dec = brick.wcs.all_pix2world([10.0, 199.5, -30.0], [200.0, 199.5, 200.0], 0)

    distance = brick.edge_distance(np.append(ra, 330.0), np.append(dec, -20.0))

    np.testing.assert_allclose(distance[:3], [10.5, 200, -29.5], atol=1e-6)
    assert distance[3] < 0
