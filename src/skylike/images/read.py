"""Pixels of cutouts out of HDF5 files, in large contiguous blocks."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt

from skylike.bands import CUTOUT_SIZE_PIX
from skylike.errors import ImageFileError
from skylike.images.index import CutoutFile, CutoutIndex

Pixels = npt.NDArray[np.float32] | npt.NDArray[np.uint8]
Positions = npt.NDArray[np.int64]

FLUX_BANDS = ("g", "r", "z")
"""Bands of flux pixels as they are handed out, in this order (paper, section 2)."""

BLOCK_ROWS = 128
"""Cutouts read at a time: 35 MB of flux (``benchmarks/images_read.py``)."""

_BUFFER_BLOCKS = 8
"""Blocks that a shuffled reading mixes at a time (284 MB of flux)."""

_DAMAGED = (OSError, RuntimeError, LookupError, ValueError, TypeError)
"""What h5py raises for damaged files, and NumPy for columns that hold something else."""

_GAP_ROWS = 4
"""Unwanted rows between two wanted ones that are read and thrown away rather than skipped."""


class PixelBatch(NamedTuple):
    """Pixels of some cutouts.

    Attributes
    ----------
    positions
        (b,) int64, positions in the index.
    pixels
        ``flux``: (b, 3, 152, 152) float32, g r z in nanomaggies, NaN where not observed.
        ``rgb``: (b, 3, 152, 152) uint8, R G B.
    kind
        ``"flux"`` or ``"rgb"``.
    """

    positions: Positions
    pixels: Pixels
    kind: str


def read_pixels(
    index: CutoutIndex, positions: Sequence[int] | npt.NDArray[np.integer]
) -> PixelBatch:
    """Read the cutouts at some positions of the index, all of one kind, in the order given.

    Raises
    ------
    ImageFileError
        A file is gone, is not HDF5 any more, or has too few rows.
    ValueError
        The positions hold flux and rgb cutouts, or none at all.
    """
    wanted = np.asarray(positions, dtype=np.int64)  # (b,)
    kinds = {index.files[int(file_id)].kind for file_id in np.unique(index.file_id[wanted])}
    if len(kinds) != 1:
        raise ValueError(f"positions must be of one kind, not {sorted(kinds) or 'none'}")
    kind = kinds.pop()
    file_ids = index.file_id[wanted]
    if (file_ids == file_ids[0]).all():
        file = index.files[int(file_ids[0])]
        return PixelBatch(wanted, _read_file_rows(file, index.file_row[wanted]), kind)
    pixels = _empty(len(wanted), kind)
    for file_id in np.unique(file_ids):
        here = np.flatnonzero(file_ids == file_id)
        rows = index.file_row[wanted[here]]
        pixels[here] = _read_file_rows(index.files[int(file_id)], rows)
    return PixelBatch(wanted, pixels, kind)


def iter_pixels(
    index: CutoutIndex,
    *,
    batch_size: int,
    kind: str,
    shuffle: np.random.Generator | None = None,
    block_rows: int = BLOCK_ROWS,
) -> Iterator[tuple[Positions, Pixels]]:
    """Read every cutout of one kind once, batch after batch.

    Parameters
    ----------
    batch_size
        b; only the last batch may be smaller.
    kind
        ``"flux"`` or ``"rgb"``; cutouts of the other kind are passed over.
    shuffle
        None keeps the order of the index, which is the order on disk. A generator shuffles
        blocks of neighboring cutouts and then the cutouts of several blocks: nearly random, but
        read contiguously.
    block_rows
        Cutouts read at a time.

    Yields
    ------
    tuple
        Positions in the index (b,) int64 and pixels as in :class:`PixelBatch`.

    Raises
    ------
    ImageFileError
        As :func:`read_pixels`.
    """
    wanted = index.of_kind(kind)
    blocks = [wanted[start : start + block_rows] for start in range(0, len(wanted), block_rows)]
    blocks_at_once = 1
    if shuffle is not None:
        blocks = [blocks[i] for i in shuffle.permutation(len(blocks))]
        blocks_at_once = _BUFFER_BLOCKS
    left = PixelBatch(np.empty(0, np.int64), _empty(0, kind), kind)
    for start in range(0, len(blocks), blocks_at_once):
        positions = np.sort(np.concatenate(blocks[start : start + blocks_at_once]))
        read = read_pixels(index, positions)
        if shuffle is not None:
            order = shuffle.permutation(len(read.positions))
            read = PixelBatch(read.positions[order], read.pixels[order], kind)
        if len(left.positions):
            read = _join(left, read)
        full = len(read.positions) - len(read.positions) % batch_size
        for first in range(0, full, batch_size):
            batch = slice(first, first + batch_size)
            yield read.positions[batch], read.pixels[batch]
        left = PixelBatch(read.positions[full:], read.pixels[full:].copy(), kind)
    if len(left.positions):
        yield left.positions, left.pixels


def _join(left: PixelBatch, read: PixelBatch) -> PixelBatch:
    pixels: Pixels = np.concatenate([left.pixels, read.pixels])
    return PixelBatch(np.concatenate([left.positions, read.positions]), pixels, read.kind)


def _empty(n: int, kind: str) -> Any:  # noqa: ANN401 - float32 or uint8, by kind
    dtype = np.float32 if kind == "flux" else np.uint8
    return np.empty((n, 3, CUTOUT_SIZE_PIX, CUTOUT_SIZE_PIX), dtype=dtype)


@contextmanager
def open_images(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file that holds a dataset ``images``, to be read inside the ``with`` block.

    Raises
    ------
    ImageFileError
        The file is missing, not HDF5 (or truncated), holds no ``images``, or turns out to be
        damaged when it is read.
    """
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError as error:
        raise ImageFileError(
            f"{path}: this file of cutouts is gone; put it back, or add its images again from "
            "where it is now with `skylike images add`"
        ) from error
    except OSError as error:
        raise ImageFileError(
            f"{path}: not a readable HDF5 file ({_first_line(error)}); if it is truncated, "
            "copy it again"
        ) from error
    with file:
        try:
            if not isinstance(file.get("images"), h5py.Dataset):
                raise ImageFileError(
                    f"{path}: the HDF5 file has no dataset `images` of shape (N, 3, 152, 152)"
                )
            yield file
        except _DAMAGED as error:
            raise ImageFileError(
                f"{path}: cannot be read to its end ({_first_line(error)}); "
                "refused whole: copy the file again"
            ) from error


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _read_file_rows(file: CutoutFile, rows: npt.NDArray[np.integer]) -> Pixels:
    with open_images(file.path) as opened:
        images = opened["images"]
        if len(rows) and int(rows.max()) >= len(images):
            raise ImageFileError(
                f"{file.path}: has {len(images)} cutouts, but row {int(rows.max())} is wanted; "
                "the file was changed: run `skylike images add` on it again"
            )
        raw = read_rows(images, rows)
    return standardize(raw, kind=file.kind, bands=file.bands)


def read_rows(dataset: h5py.Dataset, rows: npt.NDArray[np.integer]) -> npt.NDArray[Any]:
    """Read rows of an HDF5 dataset in the order given, as few contiguous slices.

    ``dataset[rows]`` of h5py takes a selection apart row by row and wants it ascending and unique.
    """
    unique, place = np.unique(rows, return_inverse=True)
    out = np.empty((len(unique), *dataset.shape[1:]), dtype=dataset.dtype)
    breaks = np.flatnonzero(np.diff(unique) > _GAP_ROWS) + 1
    first = 0
    for run in np.split(unique, breaks):
        if not len(run):
            continue
        start, stop = int(run[0]), int(run[-1]) + 1
        place_in_out = slice(first, first + len(run))
        if stop - start == len(run):
            dataset.read_direct(out, np.s_[start:stop], place_in_out)
        else:
            out[place_in_out] = dataset[start:stop][run - start]
        first += len(run)
    if len(unique) == len(rows) and np.array_equal(place, np.arange(len(rows))):
        return out
    return out[place]


def standardize(raw: npt.NDArray[Any], *, kind: str, bands: Sequence[str]) -> Pixels:
    """Bring images as stored to 152 x 152, g r z with NaN where not observed, or R G B.

    Parameters
    ----------
    raw
        (b, c, h, w), or (b, h, w, 3) for rgb.
    bands
        Bands of the c planes of flux.

    Notes
    -----
    An exact zero in flux is taken as not observed: survey pipelines and the cutout service write 0
    where there are no data, and a measured float32 flux is never exactly 0.
    """
    if kind == "rgb":
        if raw.shape[-1] == 3 and raw.shape[1] != 3:
            raw = np.moveaxis(raw, -1, 1)
        return np.ascontiguousarray(fit_to_cutout(raw, np.uint8(0)), dtype=np.uint8)
    flux = raw.astype(np.float32, copy=False)
    if tuple(bands) != FLUX_BANDS:
        chosen = np.full((len(flux), 3, *flux.shape[2:]), np.nan, dtype=np.float32)
        for plane, band in enumerate(FLUX_BANDS):
            if band in bands:
                chosen[:, plane] = flux[:, list(bands).index(band)]
        flux = chosen
    flux = fit_to_cutout(flux, np.float32(np.nan))
    if not flux.flags.writeable:
        flux = flux.copy()
    flux[(flux == 0) | ~np.isfinite(flux)] = np.nan
    return np.ascontiguousarray(flux)


def fit_to_cutout(images: npt.NDArray[Any], fill: np.float32 | np.uint8) -> npt.NDArray[Any]:
    """Crop around the center, or pad, to 152 x 152."""
    size = CUTOUT_SIZE_PIX
    height, width = images.shape[-2:]
    if (height, width) == (size, size):
        return images
    out = np.full((*images.shape[:-2], size, size), fill, dtype=images.dtype)
    (to_y, from_y), (to_x, from_x) = _overlap(height, size), _overlap(width, size)
    out[..., to_y, to_x] = images[..., from_y, from_x]
    return out


def _overlap(have: int, want: int) -> tuple[slice, slice]:
    kept = min(have, want)
    to, start = (want - kept) // 2, (have - kept) // 2
    return slice(to, to + kept), slice(start, start + kept)
