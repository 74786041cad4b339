"""One picture from a file: JPEG, PNG, a FITS cutout cube, or a row of an HDF5 file."""

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from skylike.bands import CUTOUT_SIZE_PIX, PIXEL_SCALE_ARCSEC
from skylike.errors import ImageFileError
from skylike.images.cubes import read_cube
from skylike.images.fits_images import FITS_SUFFIXES
from skylike.images.hdf5 import RGB_CHANNELS, describe_images, read_columns
from skylike.images.read import Pixels, fit_to_cutout, open_images, standardize

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png")
"""Endings of color pictures, in lower case."""

HDF5_SUFFIXES = (".h5", ".hdf5", ".hdf")
"""Endings of HDF5 files, in lower case."""

MAX_PICTURE_PIXELS = 50_000_000
"""Larger pictures are refused before they are decoded: 150 MB of memory."""

MIN_PICTURE_SIDE = 32
"""Smaller pictures are refused: enlarged to 152 pixels they show nothing but their own blur."""

MAX_PICTURE_BYTES = 200_000_000
"""Larger files are refused unread."""


@dataclass(frozen=True)
class Picture:
    """One image, ready for an encoder.

    Attributes
    ----------
    pixels
        ``flux``: (3, 152, 152) float32, g r z in nanomaggies, NaN where not observed.
        ``rgb``: (3, 152, 152) uint8.
    kind
        ``"flux"`` or ``"rgb"``.
    bands
        Bands that the file had, or R, G, B.
    pixel_scale
        Arcsec per pixel, None where unknown.
    ra, dec
        Center in ICRS degrees, None where unknown.
    """

    pixels: Pixels
    kind: str
    bands: tuple[str, ...]
    pixel_scale: float | None
    ra: float | None
    dec: float | None


def read_picture(path: Path | str) -> Picture:
    """Read one image as a cutout.

    Parameters
    ----------
    path
        A JPEG, PNG, FITS or HDF5 file; ``cutouts.h5:12`` is row 12 (from 0) of an HDF5 file,
        whose row must be named where it holds several images.

    Raises
    ------
    ImageFileError
        It cannot be read as one of these, or holds several images and no row is named.
    """
    file, row = _split_row(str(path))
    name = file.name.lower()
    if not file.is_file():
        raise ImageFileError(f"{file}: there is no such file; give a FITS, JPEG, PNG or HDF5 image")
    if name.endswith(HDF5_SUFFIXES):
        return _read_hdf5_row(file, row)
    if name.endswith(FITS_SUFFIXES):
        cube = read_cube(file)
        return Picture(cube.pixels, "flux", cube.bands, PIXEL_SCALE_ARCSEC, cube.ra, cube.dec)
    if name.endswith(PICTURE_SUFFIXES):
        if file.stat().st_size > MAX_PICTURE_BYTES:
            raise ImageFileError(
                f"{file}: is over {MAX_PICTURE_BYTES // 10**6} MB; make it smaller"
            )
        pixels = decode_picture(file.read_bytes(), name=str(file))
        return Picture(pixels, "rgb", RGB_CHANNELS, None, None, None)
    raise ImageFileError(
        f"{file}: not an image that is known; give a FITS, JPEG, PNG or HDF5 image"
    )


def _split_row(text: str) -> tuple[Path, int | None]:
    head, colon, tail = text.rpartition(":")
    if colon and head.lower().endswith(HDF5_SUFFIXES):
        if not tail.isdecimal():
            raise ImageFileError(f"{text}: the row after the colon must be a number from 0")
        return Path(head), int(tail)
    return Path(text), None


def _read_hdf5_row(path: Path, row: int | None) -> Picture:
    with open_images(path) as file:
        kind, bands, _, scale = describe_images(file)
        n = len(file["images"])
        if row is None and n > 1:
            raise ImageFileError(
                f"{path}: holds {n:,} images; name the row of one, {path}:0 to {path}:{n - 1}, or "
                "add them all with `skylike images add` and search by --galaxy"
            )
        row = row or 0
        if row >= n:
            there = f"has rows 0 to {n - 1}; there is no row {row}" if n else "holds no image"
            raise ImageFileError(f"{path}: {there}")
        pixels = standardize(file["images"][row : row + 1], kind=kind, bands=bands)[0]
        columns = read_columns(file).take(np.array([row]))
    known = bool(np.isfinite(columns.ra[0]))
    ra, dec = (float(columns.ra[0]), float(columns.dec[0])) if known else (None, None)
    return Picture(pixels, kind, bands, scale, ra, dec)


def decode_picture(
    data: bytes, *, name: str, pixel_scale: float | None = None
) -> npt.NDArray[np.uint8]:
    """Decode a JPEG or PNG and bring it to 152 x 152.

    Parameters
    ----------
    name
        What to call it in an error.
    pixel_scale
        Arcsec per pixel. Where it is known the picture is resized to 0.262 arcsec/pix and cropped,
        or padded with black, around its center; else its central square is resized to 152 pixels.

    Returns
    -------
    ndarray
        (3, 152, 152) uint8, R G B. Gray is repeated; transparent is black.

    Raises
    ------
    ImageFileError
        It is neither JPEG nor PNG, damaged, too large, too small, or has more than 8 bits of gray.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.simplefilter("ignore", UserWarning)  # palettes with transparency as bytes
            with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
                _check_picture(image, name)
                rgb = _to_rgb(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageFileError(_too_large(name)) from error
    except (OSError, SyntaxError, ValueError) as error:
        reason = " ".join(str(error).split()).partition(" <_io")[0]
        raise ImageFileError(f"{name}: not a readable JPEG or PNG ({reason})") from error
    if pixel_scale is not None:
        factor = pixel_scale / PIXEL_SCALE_ARCSEC
        size = max(1, round(rgb.width * factor)), max(1, round(rgb.height * factor))
        rgb = (
            _crop_before_resize(rgb, factor)
            if factor > 1
            else rgb.resize(size, Image.Resampling.LANCZOS)
        )
    else:
        rgb = ImageOps.fit(rgb, (CUTOUT_SIZE_PIX, CUTOUT_SIZE_PIX), Image.Resampling.LANCZOS)
    channels = np.moveaxis(np.asarray(rgb, dtype=np.uint8), -1, 0)  # (3, h, w)
    return np.ascontiguousarray(fit_to_cutout(channels, np.uint8(0)))


def _crop_before_resize(rgb: Image.Image, factor: float) -> Image.Image:
    # Enlarging a large picture by a large factor would take any amount of memory: crop first.
    side = int(np.ceil(CUTOUT_SIZE_PIX / factor)) + 4
    left, top = max(0, (rgb.width - side) // 2), max(0, (rgb.height - side) // 2)
    box = (left, top, min(rgb.width, left + side), min(rgb.height, top + side))
    cropped = rgb.crop(box)
    size = round(cropped.width * factor), round(cropped.height * factor)
    return cropped.resize(size, Image.Resampling.LANCZOS)


def _check_picture(image: Image.Image, name: str) -> None:
    if image.width * image.height > MAX_PICTURE_PIXELS:
        raise ImageFileError(_too_large(name))
    if min(image.size) < MIN_PICTURE_SIDE:
        raise ImageFileError(
            f"{name}: is {image.width} x {image.height} pixels; {MIN_PICTURE_SIDE} is the least"
        )
    if image.mode.startswith(("I", "F")):
        raise ImageFileError(f"{name}: has more than 8 bits of gray; save it with 8 bits")


def _too_large(name: str) -> str:
    return f"{name}: has over {MAX_PICTURE_PIXELS // 10**6} million pixels; make it smaller"


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
        shown = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", shown.size, (0, 0, 0, 255)), shown).convert(
            "RGB"
        )
    return image.convert("RGB")
