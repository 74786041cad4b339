"""Images on any grid onto the grid of cutouts, by sampling: surface brightness stays as it was."""

from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.wcs import WCS

from skylike.bands import CUTOUT_SIZE_PIX, PIXEL_SCALE_ARCSEC

ARCSEC_PER_DEG = 3600.0
"""Arcseconds in a degree."""

Flux = npt.NDArray[np.float32]


def pixel_scale(wcs: WCS) -> float:
    """Return the side of a pixel in arcsec: the square root of its area."""
    matrix = wcs.celestial.pixel_scale_matrix
    return float(np.sqrt(abs(np.linalg.det(matrix))) * ARCSEC_PER_DEG)


def cutout_wcs(ra: float, dec: float) -> WCS:
    """Return the grid of a cutout: 152 x 152, 0.262 arcsec/pix, north up, east left, TAN.

    Parameters
    ----------
    ra, dec
        Center in ICRS degrees. As the side is even, it falls between the four middle pixels.
    """
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [(CUTOUT_SIZE_PIX + 1) / 2] * 2
    step = PIXEL_SCALE_ARCSEC / ARCSEC_PER_DEG
    wcs.wcs.cdelt = [-step, step]
    wcs.wcs.set()
    return wcs


def image_center(wcs: WCS, shape: tuple[int, ...]) -> tuple[float, float]:
    """Return ra and dec in degrees of the middle of an image of shape (..., h, w)."""
    height, width = shape[-2:]
    ra, dec = wcs.all_pix2world((width - 1) / 2, (height - 1) / 2, 0)
    return float(ra) % 360, float(dec)


def sample_at_sky(planes: Flux, wcs: WCS, *, ra: float, dec: float) -> Flux:
    """Sample planes on the grid of a cutout at a position.

    Parameters
    ----------
    planes
        (c, h, w), nanomaggies per *native* pixel, whatever the spacing of their grid.
    wcs
        Two-dimensional WCS of the planes.

    Returns
    -------
    ndarray
        (c, 152, 152) float32, NaN outside the planes.

    Notes
    -----
    Nearest neighbor. The cutout service of the Legacy Surveys replicates native pixels of 0.262
    arcsec onto finer grids (measured on its DR3 cutouts: at 0.10 arcsec/pix values come in runs of
    2 and 3). Taking one value for each 0.262 arcsec therefore gives back native pixels: fluxes and
    sky noise stay as they were. A sum would count each pixel up to seven times; a mean or an
    interpolation would average neighbors and lower the noise.
    """
    y, x = np.indices((CUTOUT_SIZE_PIX, CUTOUT_SIZE_PIX))  # (152, 152) each
    sky_ra, sky_dec = cutout_wcs(ra, dec).all_pix2world(x.ravel(), y.ravel(), 0)
    column, row = wcs.all_world2pix(sky_ra, sky_dec, 0)
    return sample_nearest(planes, row, column).reshape(len(planes), *x.shape)


def sample_nearest(
    planes: Flux, row: npt.NDArray[np.float64], column: npt.NDArray[np.float64]
) -> Flux:
    """Take the nearest pixel at each of n places.

    Parameters
    ----------
    planes
        (c, h, w).
    row, column
        (n,) pixel coordinates from 0 at the center of the first pixel.

    Returns
    -------
    ndarray
        (c, n) float32, NaN outside the planes.
    """
    height, width = planes.shape[-2:]
    # Half a thousandth of a pixel: places between two pixels must not flip with rounding errors.
    near_row = np.floor(row + 0.5 + 5e-4).astype(np.int64)
    near_column = np.floor(column + 0.5 + 5e-4).astype(np.int64)
    inside = (near_row >= 0) & (near_row < height) & (near_column >= 0) & (near_column < width)
    out = np.full((len(planes), len(row)), np.nan, dtype=np.float32)
    out[:, inside] = planes[:, near_row[inside], near_column[inside]]
    return out


def coverage_of(images: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return the fraction of pixels that are not NaN, (..., c) for images (..., c, h, w)."""
    observed = np.isfinite(images).mean(axis=(-2, -1))
    fractions: npt.NDArray[np.float32] = observed.astype(np.float32)
    return fractions
