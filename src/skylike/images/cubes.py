"""FITS cutout cubes, as the cutout service of the Legacy Surveys sends them."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from skylike.bands import BANDS
from skylike.errors import ImageFileError
from skylike.images.fits_images import open_fits_image, read_wcs
from skylike.images.read import FLUX_BANDS
from skylike.images.resample import image_center, pixel_scale, sample_at_sky

COARSEST_ARCSEC = 0.524
"""Twice the native pixel: a coarser image shows no galaxy as a cutout of 0.262 arcsec/pix does."""


@dataclass(frozen=True)
class Cube:
    """A cube brought onto the grid of cutouts.

    Attributes
    ----------
    pixels
        (3, 152, 152) float32, g r z in nanomaggies, NaN where not observed.
    bands
        Bands of g, r, z that the file has.
    ra, dec
        Center, ICRS degrees.
    native_scale
        Arcsec per pixel of the file.
    """

    pixels: npt.NDArray[np.float32]
    bands: tuple[str, ...]
    ra: float
    dec: float
    native_scale: float


def read_cube(path: Path) -> Cube:
    """Read a FITS cutout cube and sample it at 0.262 arcsec/pix.

    Raises
    ------
    ImageFileError
        The file is missing, truncated or no FITS image, names no bands or none of g r z, has no
        celestial WCS, or is coarser than :data:`COARSEST_ARCSEC`.
    """
    planes, bands, header = _read_planes(path)
    chosen = [bands.index(band) for band in FLUX_BANDS if band in bands]
    if not chosen:
        raise ImageFileError(f"{path}: has bands {', '.join(bands)}; cutouts need some of g, r, z")
    wcs = read_wcs(path, header)
    scale = pixel_scale(wcs)
    if scale > COARSEST_ARCSEC:
        raise ImageFileError(
            f"{path}: has {scale:.3f} arcsec/pix, too coarse for cutouts of 0.262; "
            "fetch it again with pixscale=0.262"
        )
    ra, dec = image_center(wcs, planes.shape)
    sampled = sample_at_sky(planes[chosen], wcs, ra=ra, dec=dec)  # (chosen, 152, 152)
    pixels = np.full((3, *sampled.shape[1:]), np.nan, dtype=np.float32)
    present = tuple(bands[plane] for plane in chosen)
    for band, plane in zip(present, sampled, strict=True):
        pixels[FLUX_BANDS.index(band)] = plane
    # The service writes exact zeros where it has no data.
    pixels[pixels == 0] = np.nan
    return Cube(pixels, present, ra, dec, scale)


def _read_planes(path: Path) -> tuple[npt.NDArray[np.float32], tuple[str, ...], fits.Header]:
    with open_fits_image(path) as hdu:
        data = np.asarray(hdu.data, dtype=np.float32)
        planes = data if data.ndim == 3 else data[None]
        header = hdu.header.copy()
        return planes, _bands_of(path, header, len(planes)), header


def _bands_of(path: Path, header: fits.Header, planes: int) -> tuple[str, ...]:
    named = [str(header[f"BAND{i}"]).strip() for i in range(planes) if f"BAND{i}" in header]
    text = str(header.get("BANDS", header.get("FILTER", ""))).strip().lower()
    bands = tuple(re.split(r"[,\s]+", text)) if re.search(r"[,\s]", text) else tuple(text)
    if len(bands) != planes:
        bands = (text,) if planes == 1 and text in BANDS else tuple(name.lower() for name in named)
    if len(bands) != planes or any(band not in BANDS for band in bands):
        raise ImageFileError(
            f"{path}: has {planes} planes but its header does not name their bands; "
            "a card such as BANDS = 'grz' is needed"
        )
    return bands
