"""Brick coadds of the Legacy Surveys: found by their file names, read with invvar, cut by pixel."""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from astropy.wcs import WCS

from skylike.bands import CUTOUT_SIZE_PIX, PIXEL_SCALE_ARCSEC
from skylike.errors import ImageFileError
from skylike.images.cubes import fits_error, wcs_of
from skylike.images.read import FLUX_BANDS
from skylike.images.resample import ARCSEC_PER_DEG, pixel_scale, sample_nearest

Flux = npt.NDArray[np.float32]
Coordinates = npt.NDArray[np.float64]

_FILE_NAME = re.compile(
    r"(?:.*-)?(?P<brick>\d{4}[pm]\d{3})-(?P<what>image|invvar)-(?P<band>[a-z]+)\.fits(?:\.fz|\.gz)?"
)
"""legacysurvey-<brick>-image-<band>.fits.fz (Legacy Surveys, coadd files of the data releases)."""

_SCALE_TOLERANCE = 0.01
"""Relative difference from 0.262 arcsec/pix that a brick may have: TAN distortion is far below it."""


@dataclass(frozen=True)
class Brick:
    """One brick: its files, and where its pixels are on the sky.

    Attributes
    ----------
    folder
        Folder of its images.
    images, invvars
        Files by band (g, r, z).
    wcs
        Two-dimensional WCS, the same for all bands.
    shape
        Rows and columns.
    """

    name: str
    folder: Path
    images: Mapping[str, Path]
    invvars: Mapping[str, Path]
    wcs: WCS
    shape: tuple[int, int]

    @property
    def files(self) -> tuple[Path, ...]:
        """All its files, in a fixed order."""
        return (*sorted(self.images.values()), *sorted(self.invvars.values()))

    def center(self) -> tuple[float, float, float]:
        """Return ra, dec and the radius of the circle around the brick, in degrees."""
        height, width = self.shape
        ra, dec = self.wcs.all_pix2world((width - 1) / 2, (height - 1) / 2, 0)
        radius = np.hypot(height, width) / 2 * pixel_scale(self.wcs) / ARCSEC_PER_DEG
        return float(ra) % 360, float(dec), float(radius)

    def edge_distance(self, ra: Coordinates, dec: Coordinates) -> Coordinates:
        """Return how many pixels inside the brick positions are, (n,); negative outside."""
        height, width = self.shape
        x, y = self.wcs.all_world2pix(ra, dec, 0)
        nearest = np.minimum.reduce([x + 0.5, width - 0.5 - x, y + 0.5, height - 0.5 - y])
        return np.asarray(np.nan_to_num(nearest, nan=-np.inf), dtype=np.float64)


def find_bricks(paths: Sequence[Path]) -> list[Brick]:
    """Find the bricks among files and folders.

    Parameters
    ----------
    paths
        Image files (their invvar is looked for beside them) or folders, searched at any depth.

    Raises
    ------
    ImageFileError
        A path does not exist, a file has no name of a coadd, none are there, or the images of a brick
        differ in size or place.
    """
    images: dict[tuple[Path, str], dict[str, Path]] = {}
    for file in _image_files(paths):
        match = _FILE_NAME.fullmatch(file.name)
        assert match is not None  # noqa: S101 - _image_files matched it
        images.setdefault((file.parent, match["brick"]), {})[match["band"]] = file
    bricks = [
        _open_brick(name, folder, {band: files[band] for band in FLUX_BANDS if band in files})
        for (folder, name), files in sorted(images.items())
        if set(files) & set(FLUX_BANDS)
    ]
    if not bricks:
        raise ImageFileError(
            f"{paths[0]}: no coadds of g, r or z are here; their files are named "
            "legacysurvey-<brick>-image-<band>.fits.fz"
        )
    return bricks


def _image_files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in (path.expanduser().resolve() for path in paths):
        if not path.exists():
            raise ImageFileError(f"{path}: there is no such file or folder")
        if path.is_dir():
            candidates = sorted(path.rglob("*"))
        elif _FILE_NAME.fullmatch(path.name):
            candidates = [path]
        else:
            raise ImageFileError(
                f"{path}: not named as a coadd, legacysurvey-<brick>-image-<band>.fits.fz"
            )
        for file in candidates:
            match = _FILE_NAME.fullmatch(file.name)
            if match is not None and match["what"] == "image":
                yield file


def _open_brick(name: str, folder: Path, images: dict[str, Path]) -> Brick:
    wcs: WCS | None = None
    shape = (0, 0)
    for path in images.values():
        header = _read_header(path)
        found = wcs_of(path, header)
        if abs(pixel_scale(found) / PIXEL_SCALE_ARCSEC - 1) > _SCALE_TOLERANCE:
            raise ImageFileError(
                f"{path}: has {pixel_scale(found):.3f} arcsec/pix; coadds of 0.262 are needed"
            )
        size = (int(header["NAXIS2"]), int(header["NAXIS1"]))
        if wcs is not None and (size != shape or not _same_place(wcs, found)):
            raise ImageFileError(f"{path}: is not on the pixels of the other bands of its brick")
        wcs, shape = found, size
    assert wcs is not None  # noqa: S101 - images is not empty
    invvars = {
        band: path.with_name(path.name.replace("-image-", "-invvar-"))
        for band, path in images.items()
    }
    there = {band: path for band, path in invvars.items() if path.is_file()}
    return Brick(name, folder, images, there, wcs, shape)


def _same_place(one: WCS, other: WCS) -> bool:
    corner, far = (
        one.all_pix2world([0, 1000], [0, 1000], 0),
        other.all_pix2world([0, 1000], [0, 1000], 0),
    )
    return bool(np.allclose(corner, far, rtol=0, atol=0.1 * PIXEL_SCALE_ARCSEC / ARCSEC_PER_DEG))


def _read_header(path: Path) -> fits.Header:
    with _opened(path) as hdus:
        hdu = _image_hdu(path, hdus)
        return hdu.header.copy()


class _opened:  # noqa: N801 - a context manager, used as a function
    """Open a FITS file; what goes wrong while it is open becomes an ImageFileError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._warnings = warnings.catch_warnings()

    def __enter__(self) -> fits.HDUList:
        self._warnings.__enter__()
        warnings.simplefilter("error", AstropyWarning)
        return fits.open(self._path, memmap=False)
