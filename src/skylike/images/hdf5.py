"""HDF5 files of cutouts, our own and those of others: described, and their columns read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from skylike.bands import BANDS, PIXEL_SCALE_ARCSEC
from skylike.catalog.object_ids import legacy_object_ids, whole_numbers
from skylike.errors import ImageFileError
from skylike.images.read import BLOCK_ROWS, FLUX_BANDS, open_images, standardize
from skylike.images.resample import coverage_of
from skylike.images.rows import UNKNOWN_ID, CutoutRows
from skylike.progress import SILENT, Progress

RGB_CHANNELS = ("R", "G", "B")
"""What the planes of color cutouts are called."""

_MIN_SIZE_PIX = 32


def describe_images(file: h5py.File) -> tuple[str, tuple[str, ...], int, float | None]:
    """Return kind, bands, side in pixels and pixel scale of a file's ``images``, checked.

    Raises
    ------
    ImageFileError
        The dataset has another shape or type than cutouts have, or does not say its bands.
    """
    images, name = file["images"], file.filename
    if images.ndim != 4 or min(images.shape[1:]) < 1 or images.dtype.kind not in "fu":
        raise ImageFileError(
            f"{name}: `images` is {images.dtype} of shape {images.shape}; "
            "float of shape (N, 3, 152, 152), or uint8, is needed"
        )
    kind = "rgb" if images.dtype == np.uint8 else "flux"
    if images.dtype.kind == "u" and kind == "flux":
        raise ImageFileError(f"{name}: `images` is {images.dtype}; float or uint8 is needed")
    channels_last = kind == "rgb" and images.shape[-1] == 3 and images.shape[1] != 3
    planes = images.shape[-1] if channels_last else images.shape[1]
    sides = images.shape[1:3] if channels_last else images.shape[2:]
    if min(sides) < _MIN_SIZE_PIX:
        raise ImageFileError(
            f"{name}: its images are {sides[1]} x {sides[0]} pixels; {_MIN_SIZE_PIX} is the least"
        )
    scale = file.attrs.get("pixel_scale")
    if kind == "rgb":
        if planes != 3:
            raise ImageFileError(f"{name}: color images have 3 channels, not {planes}")
        return kind, RGB_CHANNELS, int(max(sides)), float(scale) if scale is not None else None
    bands = _bands_of(file, planes)
    return kind, bands, int(max(sides)), float(scale or PIXEL_SCALE_ARCSEC)


def _bands_of(file: h5py.File, planes: int) -> tuple[str, ...]:
    named = file.attrs.get("bands", file["images"].attrs.get("bands"))
    if named is None:
        if planes == len(FLUX_BANDS):
            return FLUX_BANDS
        raise ImageFileError(
            f"{file.filename}: `images` has {planes} planes and no attribute `bands`; "
            "g, r, z is assumed only of three"
        )
    bands = tuple(_text(band) for band in named)
    if len(bands) != planes or not set(bands) <= set(BANDS) or not set(bands) & set(FLUX_BANDS):
        raise ImageFileError(
            f"{file.filename}: the attribute `bands` is {', '.join(bands)} for {planes} planes; "
            "cutouts need some of g, r, z"
        )
    return bands


def read_texts(file: h5py.File, name: str) -> list[str]:
    """Return a dataset of texts; empty where the file has none of that name."""
    return [_text(value) for value in file[name][:]] if name in file else []


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def read_columns(file: h5py.File) -> CutoutRows:
    """Read identifiers and positions of a file of cutouts; the coverage is left at 1.

    The identifier is ``object_id``, else release, brickid and objid packed; the name is ``name``,
    else ``inds``, else the identifier or the number of the row.
    """
    n = len(file["images"])
    ra, dec = _degrees(file, "ra", n), _degrees(file, "dec", n)
    on_sky = np.isfinite(ra) & (np.abs(dec) <= 90)
    object_id = _object_ids(file, n)
    if "name" in file:
        name = np.array([_text(value) for value in file["name"][:]], dtype=np.str_)
    elif "inds" in file:
        name = file["inds"][:].astype(np.str_)
    else:
        name = np.where(object_id != UNKNOWN_ID, object_id, np.arange(n)).astype(np.str_)
    if len(name) != n:
        raise ImageFileError(
            f"{file.filename}: has {n} images but {len(name)} names; the file is damaged"
        )
    return CutoutRows(
        file_row=np.arange(n, dtype=np.int32),
        name=name,
        ra=np.where(on_sky, np.mod(ra, 360), np.nan),
        dec=np.where(on_sky, dec, np.nan),
        object_id=object_id,
        coverage=np.ones((n, 3), dtype=np.float32),
    )


def _degrees(file: h5py.File, name: str, n: int) -> npt.NDArray[np.float64]:
    return _column(file, name, n).astype(np.float64) if name in file else np.full(n, np.nan)


def _column(file: h5py.File, name: str, n: int) -> npt.NDArray[Any]:
    values: npt.NDArray[Any] = np.asarray(file[name][:])
    if values.shape != (n,):
        raise ImageFileError(
            f"{file.filename}: has {n} images but `{name}` of shape {values.shape}; it is damaged"
        )
    return values


def _object_ids(file: h5py.File, n: int) -> npt.NDArray[np.int64]:
    if "object_id" in file:
        return _identifiers(file, "object_id", n)
    parts = ("release", "brickid", "objid")
    if any(part not in file for part in parts):
        return np.full(n, UNKNOWN_ID, dtype=np.int64)
    ids, _ = legacy_object_ids(*(_identifiers(file, part, n) for part in parts))
    return ids


def _identifiers(file: h5py.File, name: str, n: int) -> npt.NDArray[np.int64]:
    values, is_whole = whole_numbers(np.ma.asarray(_column(file, name, n)))
    return np.where(is_whole, values, UNKNOWN_ID)


def measure_coverage(
    path: Path, *, kind: str, bands: Sequence[str], progress: Progress = SILENT
) -> npt.NDArray[np.float32]:
    """Read a file of cutouts once and return the observed fraction of each, (n, 3) float32.

    Exact zeros and NaN are not observed (see :func:`~skylike.images.read.standardize`); color
    images are observed everywhere.

    Raises
    ------
    ImageFileError
        A part of the file cannot be read.
    """
    with open_images(path) as file:
        images = file["images"]
        coverage = np.ones((len(images), 3), dtype=np.float32)
        if kind == "rgb":
            return coverage
        with progress.task(f"Check {path.name}", total=len(images), unit="cutouts") as task:
            for start in range(0, len(images), BLOCK_ROWS):
                block = slice(start, min(start + BLOCK_ROWS, len(images)))
                coverage[block] = coverage_of(standardize(images[block], kind=kind, bands=bands))
                task.advance(block.stop - block.start)
    return coverage
