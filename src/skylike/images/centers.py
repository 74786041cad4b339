"""The middle of cutouts, fast: only the pixels that a network sees, read past HDF5 where it can be.

Plain files (ours, and those of ssl-legacysurvey) hold images uncompressed, one after the other or
one in a chunk: where each lies is looked up once, and its rows are read from there, by several
threads at once. HDF5 would read whole chunks, one thread at a time. Any other file is read through
HDF5 as :func:`skylike.images.read.read_pixels` does; the pixels are the same.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Self

import h5py
import numpy as np
import numpy.typing as npt

from skylike.bands import CUTOUT_SIZE_PIX
from skylike.errors import ImageFileError
from skylike.images.index import CutoutFile, CutoutIndex
from skylike.images.read import FLUX_BANDS, Pixels, Positions, open_images, read_pixels

_OPEN_FILES: Final = 64
"""Files that are kept open; a catalog may have one for each brick."""

_ROWS_AT_ONCE: Final = 32
"""Images that one thread reads and cleans together: 3.5 MB, which stay in the processor's cache."""


@dataclass(frozen=True)
class _PlainFile:
    """A file whose images lie there as they are in memory."""

    descriptor: int
    offsets: npt.NDArray[np.int64]
    """(n,) where each image begins."""


class CenterReader:
    """Reads a square window of cutouts; close it, or use it in a ``with`` block.

    Parameters
    ----------
    window
        Rows of the 152 x 152 pixels that are wanted, and columns alike.
    threads
        Threads that read and clean one batch together.
    """

    def __init__(self, window: slice, *, threads: int = 1) -> None:
        self._window = window
        self._size = int(window.stop - window.start)
        self._files: dict[int, _PlainFile | None] = {}
        self._pool = ThreadPoolExecutor(threads, "skylike-read") if threads > 1 else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files and end the threads."""
        if self._pool is not None:
            self._pool.shutdown()
        for file_id in list(self._files):
            self._forget(file_id)

    def read(self, index: CutoutIndex, positions: Positions) -> Pixels:
        """Read the windows of the cutouts at some positions of an index, all of one kind.

        Not to be called by two threads at once.

        Returns
        -------
        ndarray
            (b, 3, s, s), the window of what :func:`skylike.images.read.read_pixels` gives.

        Raises
        ------
        ImageFileError
            A file is gone, is not HDF5 any more, or has too few rows.
        """
        file_ids = index.file_id[positions]
        kind = index.files[int(file_ids[0])].kind
        dtype = np.float32 if kind == "flux" else np.uint8
        pixels = np.empty((len(positions), 3, self._size, self._size), dtype)
        for file_id in np.unique(file_ids):
            here = np.flatnonzero(file_ids == file_id)
            file = index.files[int(file_id)]
            rows = index.file_row[positions[here]]
            plain = self._open(file)
            if plain is None or int(rows.max()) >= len(plain.offsets):
                # Says what is wrong with a file that has too few rows.
                whole = read_pixels(index, positions[here]).pixels
                pixels[here] = whole[..., self._window, self._window]
            else:
                self._read_plain(file, plain.descriptor, plain.offsets[rows], pixels, here)
        return pixels

    def _open(self, file: CutoutFile) -> _PlainFile | None:
        if file.file_id not in self._files:
            if len(self._files) >= _OPEN_FILES:
                self._forget(next(iter(self._files)))
            self._files[file.file_id] = _open_plain(file)
        return self._files[file.file_id]

    def _forget(self, file_id: int) -> None:
        plain = self._files.pop(file_id)
        if plain is not None:
            os.close(plain.descriptor)

    def _read_plain(
        self,
        file: CutoutFile,
        descriptor: int,
        offsets: npt.NDArray[np.int64],
        pixels: Pixels,
        places: npt.NDArray[np.int64],
    ) -> None:
        def read(part: slice) -> None:
            block = _read_windows(file, descriptor, offsets[part], self._window, pixels.dtype)
            pixels[places[part]] = block

        parts = list(_slices(len(offsets)))
        if self._pool is None:
            for part in parts:
                read(part)
        else:
            list(self._pool.map(read, parts))


def _slices(n: int) -> Iterator[slice]:
    for start, stop in pairwise([*range(0, n, _ROWS_AT_ONCE), n]):
        yield slice(start, stop)


def _read_windows(
    file: CutoutFile,
    descriptor: int,
    offsets: npt.NDArray[np.int64],
    window: slice,
    dtype: np.dtype[np.float32] | np.dtype[np.uint8],
) -> Pixels:
    size = int(window.stop - window.start)
    row_bytes = CUTOUT_SIZE_PIX * dtype.itemsize
    planes = np.empty((3, size, CUTOUT_SIZE_PIX), dtype)  # whole rows are contiguous in the file
    buffers = [plane.data.cast("B") for plane in planes]
    block = np.empty((len(offsets), 3, size, size), dtype)
    for image, offset in zip(block, offsets.tolist(), strict=True):
        for number, buffer in enumerate(buffers):
            start = offset + (number * CUTOUT_SIZE_PIX + window.start) * row_bytes
            if os.preadv(descriptor, [buffer], start) != len(buffer):
                raise ImageFileError(
                    f"{file.path}: cannot be read to its end; refused whole: copy the file again"
                )
        image[...] = planes[:, :, window]
    if file.kind == "flux":
        # Zeros and what is not finite become NaN, everything else stays what it is (x / x is 1):
        # a third of the time that a mask takes.
        with np.errstate(all="ignore"):
            block *= block / block
    return block


def _open_plain(file: CutoutFile) -> _PlainFile | None:
    """Open a file past HDF5; None where its images are not simply there."""
    with open_images(file.path) as opened:
        images = opened["images"]
        expected = np.dtype(np.float32 if file.kind == "flux" else np.uint8)
        is_plain = (
            images.shape[1:] == (3, CUTOUT_SIZE_PIX, CUTOUT_SIZE_PIX)
            and images.dtype == expected
            and (file.kind == "rgb" or tuple(file.bands) == FLUX_BANDS)
            and not images.is_virtual
            and not images.external
            and opened.userblock_size == 0
            and opened.driver == "sec2"
            and images.id.get_create_plist().get_nfilters() == 0
        )
        offsets = _offsets(images) if is_plain else None
    if offsets is None:
        return None
    return _PlainFile(os.open(file.path, os.O_RDONLY), offsets)


def _offsets(images: h5py.Dataset) -> npt.NDArray[np.int64] | None:
    """Find where each image begins; None where some have no place of their own."""
    n, size = len(images), int(np.prod(images.shape[1:])) * images.dtype.itemsize
    if images.chunks is None:
        start = images.id.get_offset()
        return None if start is None else start + size * np.arange(n, dtype=np.int64)
    if images.chunks != (1, *images.shape[1:]) or images.id.get_num_chunks() != n:
        return None
    offsets = np.empty(n, dtype=np.int64)

    def note(chunk: h5py.h5d.StoreInfo) -> None:
        offsets[chunk.chunk_offset[0]] = chunk.byte_offset

    images.id.chunk_iter(note)
    return offsets
