"""Brick coadds of the Legacy Surveys: found by their file names, read with invvar, cut by pixel."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from astropy.io import fits
from astropy.wcs import WCS

from skylike.bands import CUTOUT_SIZE_PIX, PIXEL_SCALE_ARCSEC
from skylike.errors import ImageFileError
from skylike.images.fits_images import open_fits_image, read_wcs
from skylike.images.read import FLUX_BANDS
from skylike.images.resample import ARCSEC_PER_DEG, pixel_scale, sample_nearest

Flux = npt.NDArray[np.float32]
Coordinates = npt.NDArray[np.float64]

_FILE_NAME = re.compile(
    r"(?:.*-)?(?P<brick>\d{4}[pm]\d{3})-(?P<what>image|invvar)"
    r"-(?P<band>[a-z]+)\.fits(?:\.fz|\.gz)?"
)
"""legacysurvey-<brick>-image-<band>.fits.fz (Legacy Surveys, coadd files of the data releases)."""

_SCALE_TOLERANCE = 0.01
"""Relative difference from 0.262 arcsec/pix that a brick may have; TAN distorts far less."""


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


def find_bricks(paths: Sequence[Path]) -> tuple[list[Brick], list[str]]:
    """Find the bricks among files and folders.

    Parameters
    ----------
    paths
        Image files (their invvar is looked for beside them) or folders, searched at any depth.

    Returns
    -------
    tuple
        The bricks, and a sentence for each that is refused: a file of it is damaged, or its images
        differ in size or place.

    Raises
    ------
    ImageFileError
        A path does not exist, a file has no name of a coadd, or no usable brick is there.
    """
    images: dict[tuple[Path, str], dict[str, Path]] = {}
    for file in _image_files(paths):
        match = _FILE_NAME.fullmatch(file.name)
        assert match is not None  # noqa: S101 - _image_files matched it
        images.setdefault((file.parent, match["brick"]), {})[match["band"]] = file
    bricks, refused = [], []
    for (folder, name), files in sorted(images.items()):
        wanted = {band: files[band] for band in FLUX_BANDS if band in files}
        try:
            if wanted:
                bricks.append(_open_brick(name, folder, wanted))
        except ImageFileError as error:
            refused.append(str(error))
    if not bricks:
        raise ImageFileError(
            refused[0]
            if refused
            else f"{paths[0]}: no coadds of g, r or z are here; their files are named "
            "legacysurvey-<brick>-image-<band>.fits.fz"
        )
    return bricks, refused


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
        found = read_wcs(path, header)
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
    ours, theirs = (wcs.all_pix2world([0, 1000], [0, 1000], 0) for wcs in (one, other))
    return bool(np.allclose(ours, theirs, rtol=0, atol=0.1 * PIXEL_SCALE_ARCSEC / ARCSEC_PER_DEG))


def _read_header(path: Path) -> fits.Header:
    with open_fits_image(path) as hdu:
        if hdu.header["NAXIS"] != 2:
            raise ImageFileError(f"{path}: is a cube; a coadd has two dimensions")
        return hdu.header.copy()


def read_planes(brick: Brick) -> Flux:
    """Read a brick whole: (3, h, w) float32 g r z in nanomaggies, NaN where not observed.

    A pixel is not observed where its inverse variance is 0 or, exactly, its flux. A brick of
    3600 x 3600 pixels takes 156 MB.
    """
    height, width = brick.shape
    return read_part(brick, slice(0, height), slice(0, width))


def read_part(brick: Brick, rows: slice, columns: slice) -> Flux:
    """Read a part of a brick; of compressed files only the tiles that it touches."""
    part = np.full(
        (3, rows.stop - rows.start, columns.stop - columns.start), np.nan, dtype=np.float32
    )
    for band, path in brick.images.items():
        plane = _read_section(path, rows, columns)
        observed = np.isfinite(plane) & (plane != 0)
        if band in brick.invvars:
            observed &= _read_section(brick.invvars[band], rows, columns) > 0
        part[FLUX_BANDS.index(band)][observed] = plane[observed]
    return part


def _read_section(path: Path, rows: slice, columns: slice) -> Flux:
    with open_fits_image(path) as hdu:
        if hdu.shape[0] < rows.stop or hdu.shape[1] < columns.stop:
            raise ImageFileError(f"{path}: is smaller than the other images of its brick")
        return np.asarray(hdu.section[rows, columns], dtype=np.float32)


def cut_out(
    planes: Flux, brick: Brick, *, ra: float, dec: float, neighbors: Sequence[Brick] = ()
) -> Flux:
    """Cut a cutout around a position.

    Parameters
    ----------
    planes
        The brick as :func:`read_planes` gives it.
    neighbors
        Bricks that give what lies beyond the edge. Their grids are turned by up to some arcminutes
        against this one; each pixel takes the nearest of theirs, at most 0.19 arcsec away.

    Returns
    -------
    ndarray
        (3, 152, 152) float32, NaN where not observed. Pixels are copied, not resampled: the
        position is within half a pixel of the center.
    """
    size = CUTOUT_SIZE_PIX
    x, y = (float(value) for value in brick.wcs.all_world2pix(ra, dec, 0))
    left, bottom = round(x - (size - 1) / 2), round(y - (size - 1) / 2)
    cutout = np.full((3, size, size), np.nan, dtype=np.float32)
    height, width = brick.shape
    to_y, from_y = _inside(bottom, height)
    to_x, from_x = _inside(left, width)
    cutout[:, to_y, to_x] = planes[:, from_y, from_x]
    beyond = np.ones((size, size), dtype=np.bool_)
    beyond[to_y, to_x] = False
    for neighbor in neighbors:
        if not beyond.any():
            break
        rows, columns = np.nonzero(beyond)
        sky = brick.wcs.all_pix2world(columns + left, rows + bottom, 0)
        filled = _fill(cutout, neighbor, (rows, columns), (sky[0], sky[1]))
        beyond[rows[filled], columns[filled]] = False
    return cutout


def _inside(start: int, length: int) -> tuple[slice, slice]:
    """Return where a cutout's pixels that are inside the brick go to and come from, on one axis."""
    first = min(max(start, 0), length)
    last = max(min(start + CUTOUT_SIZE_PIX, length), first)
    return slice(first - start, last - start), slice(first, last)


def _fill(
    cutout: Flux,
    neighbor: Brick,
    places: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]],
    sky: tuple[Coordinates, Coordinates],
) -> npt.NDArray[np.bool_]:
    """Fill pixels of a cutout from a neighboring brick; return which of them it holds."""
    height, width = neighbor.shape
    x, y = neighbor.wcs.all_world2pix(*sky, 0)
    inside = (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)
    if not inside.any():
        return np.asarray(inside)
    bottom, left = int(np.rint(y[inside].min())), int(np.rint(x[inside].min()))
    top, right = int(np.rint(y[inside].max())) + 1, int(np.rint(x[inside].max())) + 1
    part = read_part(neighbor, slice(bottom, top), slice(left, right))
    values = sample_nearest(part, y[inside] - bottom, x[inside] - left)  # (3, n)
    cutout[:, places[0][inside], places[1][inside]] = values
    return np.asarray(inside)
