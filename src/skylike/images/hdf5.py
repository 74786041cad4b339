"""HDF5 files of cutouts: our own are written here, and those of others are described in place."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
import numpy.typing as npt

from skylike.bands import BANDS, CUTOUT_SIZE_PIX, PIXEL_SCALE_ARCSEC
from skylike.catalog.object_ids import legacy_object_ids
from skylike.errors import ImageFileError
from skylike.images.read import BLOCK_ROWS, FLUX_BANDS, Pixels, open_images, standardize
from skylike.images.resample import coverage_of
from skylike.images.rows import UNKNOWN_ID, CutoutRows
from skylike.progress import SILENT, Progress

RGB_CHANNELS = ("R", "G", "B")
"""What the planes of color cutouts are called."""

PART_SUFFIX = ".part"
"""Ending of a file that is being written; a reader never opens one."""

_LAYOUT_VERSION = 1
_MIN_SIZE_PIX = 32
_TEXT = h5py.string_dtype()


class CutoutWriter:
    """Writes one HDF5 file of cutouts; it appears under its name when the ``with`` block ends well.

    The layout is that of ssl-legacysurvey (``images``, ``ra``, ``dec``) with ``name``,
    ``object_id``, ``coverage``, ``label`` and a ``digest`` of the pixels beside, NaN for what was not observed, and attributes
    for kind, bands, pixel scale and origin.

    Parameters
    ----------
    path
        Final path; until then the file ends in :data:`PART_SUFFIX`.
    kind
        ``"flux"`` or ``"rgb"``.
    pixel_scale
        Arcsec per pixel, None where unknown or varying.
    """

    def __init__(self, path: Path, *, kind: str, origin: str, pixel_scale: float | None) -> None:
        self._path = path
        self._part = path.with_name(path.name + PART_SUFFIX)
        self._kind, self._origin, self._pixel_scale = kind, origin, pixel_scale
        self._names: list[str] = []
        self._labels: list[str] = []
        self._ra: list[float] = []
        self._dec: list[float] = []
        self._object_id: list[int] = []
        self._coverage: list[npt.NDArray[np.float32]] = []
        self._digests: list[str] = []
        self._refused: list[str] = []

    def __enter__(self) -> Self:
        self._file = h5py.File(self._part, "w")
        self._images = self._file.create_dataset(
            "images",
            shape=(0, 3, CUTOUT_SIZE_PIX, CUTOUT_SIZE_PIX),
            maxshape=(None, 3, CUTOUT_SIZE_PIX, CUTOUT_SIZE_PIX),
            # One image is one chunk: no read, of one or of a block, touches more than it needs.
            chunks=(1, 3, CUTOUT_SIZE_PIX, CUTOUT_SIZE_PIX),
            dtype=np.float32 if self._kind == "flux" else np.uint8,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None and self._names:
            self._write_columns()
            self._file.close()
            self._part.replace(self._path)
        else:
            self._file.close()
            self._part.unlink(missing_ok=True)

    def append(
        self,
        pixels: Pixels,
        *,
        names: Sequence[str],
        positions: Sequence[tuple[float, float]],
        object_ids: Sequence[int] | None = None,
        labels: Sequence[str] | None = None,
        coverage: npt.NDArray[np.float32] | None = None,
    ) -> None:
        """Append cutouts.

        Parameters
        ----------
        pixels
            (b, 3, 152, 152), as :class:`~skylike.images.read.PixelBatch` holds them.
        positions
            Right ascension and declination of each in degrees, NaN where unknown.
        coverage
            (b, 3); None counts the pixels that are not NaN.
        """
        first, n = len(self._names), len(pixels)
        self._images.resize(first + n, axis=0)
        self._images[first:] = pixels
        self._names += names
        self._labels += labels if labels is not None else [""] * n
        self._ra += [ra for ra, _ in positions]
        self._dec += [dec for _, dec in positions]
        self._object_id += object_ids if object_ids is not None else [UNKNOWN_ID] * n
        self._coverage.append(coverage_of(pixels) if coverage is None else coverage)
        self._digests += [_digest(image) for image in pixels]

    def refuse(self, sentence: str) -> None:
        """Remember a file that cannot go in; the same input added again is told so again."""
        self._refused.append(sentence)

    @property
    def refused(self) -> tuple[str, ...]:
        """The sentences of :meth:`refuse`."""
        return tuple(self._refused)

    def __len__(self) -> int:
        return len(self._names)

    def rows(self) -> CutoutRows:
        """Return what was written."""
        coverage = self._coverage or [np.empty((0, 3), np.float32)]
        return CutoutRows(
            file_row=np.arange(len(self._names), dtype=np.int32),
            name=np.array(self._names, dtype=np.str_),
            ra=np.array(self._ra, dtype=np.float64),
            dec=np.array(self._dec, dtype=np.float64),
            object_id=np.array(self._object_id, dtype=np.int64),
            coverage=np.concatenate(coverage),
        )

    def _write_columns(self) -> None:
        rows = self.rows()
        self._file["ra"], self._file["dec"] = rows.ra, rows.dec
        self._file["object_id"] = rows.object_id
        self._file["coverage"] = rows.coverage
        self._file.create_dataset("name", data=self._names, dtype=_TEXT)
        self._file.create_dataset("label", data=self._labels, dtype=_TEXT)
        self._file.create_dataset("digest", data=self._digests, dtype=_TEXT)
        self._file.create_dataset("refused", data=self._refused, dtype=_TEXT)
        self._file.attrs["skylike_layout"] = _LAYOUT_VERSION
        self._file.attrs["kind"] = self._kind
        self._file.attrs["origin"] = self._origin
        self._file.attrs["bands"] = list(FLUX_BANDS if self._kind == "flux" else RGB_CHANNELS)
        if self._pixel_scale is not None:
            self._file.attrs["pixel_scale"] = self._pixel_scale


def _digest(image: Pixels) -> str:
    return hashlib.blake2b(np.ascontiguousarray(image).tobytes(), digest_size=8).hexdigest()


def read_digests(path: Path) -> dict[str, str]:
    """Return the digest of each cutout's pixels by its name, for a file that was written here."""
    with open_images(path) as file:
        names = read_texts(file, "name")
        return dict(zip(names, read_texts(file, "digest"), strict=True))


def read_texts(file: h5py.File, name: str) -> list[str]:
    """Return a dataset of texts; empty where the file has none of that name."""
    return [_text(value) for value in file[name][:]] if name in file else []


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


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def read_columns(file: h5py.File) -> CutoutRows:
    """Read identifiers and positions of a file of cutouts; the coverage is left at 1.

    The identifier is ``object_id``, else release, brickid and objid packed; the name is ``name``,
    else ``inds``, else the identifier or the number of the row.
    """
    n = len(file["images"])
    ra, dec = _column(file, "ra", n, np.nan), _column(file, "dec", n, np.nan)
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


def _column(file: h5py.File, name: str, n: int, missing: float) -> npt.NDArray[Any]:
    if name not in file:
        return np.full(n, missing)
    values: npt.NDArray[Any] = np.asarray(file[name][:])
    if values.shape != (n,):
        raise ImageFileError(
            f"{file.filename}: has {n} images but `{name}` of shape {values.shape}; it is damaged"
        )
    return values.astype(np.float64) if np.isnan(missing) else values


def _object_ids(file: h5py.File, n: int) -> npt.NDArray[np.int64]:
    if "object_id" in file:
        return _column(file, "object_id", n, UNKNOWN_ID).astype(np.int64)
    parts = ("release", "brickid", "objid")
    if any(part not in file for part in parts):
        return np.full(n, UNKNOWN_ID, dtype=np.int64)
    release, brickid, objid = (
        _column(file, part, n, UNKNOWN_ID).astype(np.int64) for part in parts
    )
    ids, _ = legacy_object_ids(release, brickid, objid)
    return ids


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
                try:
                    raw = images[block]
                except OSError as error:
                    raise ImageFileError(
                        f"{path}: cutouts {block.start} to {block.stop} cannot be read; "
                        "refused whole: copy the file again"
                    ) from error
                coverage[block] = coverage_of(standardize(raw, kind=kind, bands=bands))
                task.advance(block.stop - block.start)
    return coverage
