"""Images in FITS files, opened so that everything wrong with a file becomes one sentence."""

import re
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from astropy.wcs import WCS, FITSFixedWarning, WcsError

from skylike.errors import ImageFileError

FITS_SUFFIXES = (".fits", ".fit", ".fits.gz", ".fits.fz")
"""Endings of FITS files, in lower case."""

_UNREADABLE = (OSError, EOFError, TypeError, ValueError, LookupError, zlib.error, fits.VerifyError)
"""What astropy raises for damaged headers and data."""

ImageHdu: TypeAlias = Any
"""A primary, image or compressed image HDU: astropy has no types."""


@contextmanager
def open_fits_image(path: Path) -> Iterator[ImageHdu]:
    """Open the first image of two or three dimensions in a FITS file, compressed or not.

    Data are to be read inside the ``with`` block.

    Raises
    ------
    ImageFileError
        The file is missing, truncated, damaged or no FITS image; also where that shows only when
        its data are read.
    """
    with warnings.catch_warnings(record=True) as caught:
        # All that astropy says of half a file is a warning, "File may have been truncated".
        warnings.simplefilter("always", AstropyWarning)
        try:
            with fits.open(path, memmap=False) as hdus:
                hdu = _image_hdu(path, hdus)
                _check_whole(path, caught)
                yield hdu
        except FileNotFoundError as error:
            raise ImageFileError(f"{path}: there is no such file") from error
        except _UNREADABLE as error:
            raise ImageFileError(
                f"{path}: not a readable FITS file ({_one_line(error)}); "
                "refused whole: fetch it again"
            ) from error


def _check_whole(path: Path, caught: list[warnings.WarningMessage]) -> None:
    for warning in caught:
        found = re.search(
            r"actual file length \((\d+)\).*expected size \((\d+)\)", str(warning.message)
        )
        if found:
            raise ImageFileError(
                f"{path}: is truncated, {found[1]} of {found[2]} bytes; "
                "refused whole: fetch it again"
            )


def _image_hdu(path: Path, hdus: fits.HDUList) -> ImageHdu:
    for hdu in hdus:
        if hdu.is_image and hdu.header.get("NAXIS", 0) in {2, 3}:
            return hdu
    raise ImageFileError(f"{path}: holds no image of two or three dimensions; give FITS cutouts")


def is_table(path: Path) -> bool:
    """Tell whether a FITS file holds tables and no image; False for a file that cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            with fits.open(path, memmap=False) as hdus:
                naxis = [hdu.header.get("NAXIS", 0) for hdu in hdus if hdu.is_image]
                return len(naxis) < len(hdus) and not any(naxis)
    except _UNREADABLE:
        return False


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text[0].lower() + text[1:]


def read_wcs(path: Path, header: fits.Header) -> WCS:
    """Return the two-dimensional celestial WCS of an image.

    Raises
    ------
    ImageFileError
        The header has none, or one that is not understood.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)
            wcs = WCS(header).celestial
    except (WcsError, *_UNREADABLE) as error:
        raise ImageFileError(f"{path}: its WCS is not understood ({_one_line(error)})") from error
    if not wcs.has_celestial:
        raise ImageFileError(
            f"{path}: has no celestial WCS (CTYPE, CRVAL, CRPIX, CD); it needs one"
        )
    return wcs
