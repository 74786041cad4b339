"""Staged float16 vectors in magnitude order, and blocks of them for single-precision products."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_CHUNK_ROWS = 64
"""Rows converted at a time: 1 MB in float64 at d = 2048, which stays in the second-level cache."""


class Widener:
    """Turns float16 rows into float64, more than twice as fast as numpy does (our measurement).

    The bits of a float16, moved to their places in a float32, are its value times 2^-112, exactly,
    as long as it is finite: three integer operations that numpy vectorizes. Every float16 times any
    power of two from 2^-112 to 1 is a float32, so scaling back there, on half the bytes, is exact.
    Keeps scratch memory: one for each thread.
    """

    _SCALE = np.float32(2.0**112)
    _SIGN_AND_VALUE = np.int32(
        -0x70000001
    )  # 0x8fffffff: clears what sign extension left in bits 28-30

    def __init__(self, rows: int, dimension: int) -> None:
        self._bits = np.empty((rows, dimension), np.int32)
        self._wide = np.empty((rows, dimension), np.float64)

    def __call__(self, vectors: npt.NDArray[np.float16]) -> npt.NDArray[np.float64]:
        """Return (b, d) float64 in the scratch memory, valid until the next call."""
        bits, wide = self._bits[: len(vectors)], self._wide[: len(vectors)]
        np.copyto(bits, vectors.view(np.int16))
        np.left_shift(bits, 13, out=bits)
        np.bitwise_and(bits, self._SIGN_AND_VALUE, out=bits)
        values = bits.view(np.float32)
        np.multiply(values, self._SCALE, out=values)
        np.copyto(wide, values)
        return wide


@dataclass(frozen=True)
class StagedVectors:
    """All embeddings of an encoder, rows in magnitude order."""

    galaxy_ids: npt.NDArray[np.int32]
    """(n,)"""

    magnitudes: npt.NDArray[np.float32]
    """(n,) rising; NaN, at the end, where unknown."""

    vectors: npt.NDArray[np.float16]
    """(n, d) as stored in the database, a memory map; no row is zero."""

    norms: npt.NDArray[np.float64]
    """(n,) length of each stored vector."""

    center: npt.NDArray[np.float64]
    """(d,) mean of the unit vectors; any vector would be right, the mean makes small numbers."""

    hashes: npt.NDArray[np.int64]
    """(n,) of each stored vector and magnitude; see :mod:`skylike.neighbors.input_hashes`."""

    n_excluded: int
    """Embeddings left out because they are zero or not finite: they have no direction."""

    def __len__(self) -> int:
        return len(self.galaxy_ids)

    @property
    def dimension(self) -> int:
        """Entries of a vector, d."""
        return int(self.vectors.shape[1])


@dataclass(frozen=True)
class Block:
    """Rows ``start ..`` as centered unit vectors.

    With z = x / |x| - center the cosine of two rows is 1 - |z_i|^2 / 2 + (z_i . z_j - |z_j|^2 / 2).
    Without centering, embeddings that share a direction have cosines of 0.99 and more, and single
    precision loses what tells them apart.
    """

    start: int
    rows: npt.NDArray[np.float32]
    """(w, d)"""

    def __len__(self) -> int:
        return len(self.rows)


class BlockReader:
    """Converts staged rows to blocks and keeps the last ones: windows slide along the magnitudes.

    One buffer of ``capacity`` consecutive rows; what a new block shares with it is moved, not
    converted again, so that a sweep along the magnitudes converts each row about once.
    """

    def __init__(
        self, staged: StagedVectors, *, memory_bytes: int, pool: ThreadPoolExecutor
    ) -> None:
        per_row = 4 * staged.dimension
        self.capacity = min(max(memory_bytes // per_row, 1), max(len(staged), 1))
        """Rows that a block can have."""
        self.half_squares = np.zeros(len(staged), np.float32)
        """(n,) |z|^2 / 2 of every row that was read so far."""
        self._staged = staged
        self._pool = pool
        self._rows = np.empty((self.capacity, staged.dimension), np.float32)
        self._start = self._stop = 0

    def read(self, start: int, stop: int) -> Block:
        """Return rows ``start .. stop``, at most ``capacity``; valid until the next call."""
        assert stop - start <= self.capacity  # noqa: S101 - callers cut by capacity
        if start < self._start or stop > self._stop:
            self._slide(start)
        return Block(start, self._rows[start - self._start : stop - self._start])

    def copy(self, start: int, stop: int) -> Block:
        """Return rows ``start .. stop`` in memory of their own, leaving the buffer where it is."""
        if start >= self._start and stop <= self._stop:
            return Block(start, self.read(start, stop).rows.copy())
        own = Block(start, np.empty((stop - start, self._staged.dimension), np.float32))
        self._convert(own, first=0)
        return own

    def gather(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Convert any rows (q,), leaving the buffer where it is: (q, d)."""
        found = np.empty((len(rows), self._staged.dimension), np.float32)
        widen = Widener(_CHUNK_ROWS, self._staged.dimension)
        for low in range(0, len(rows), _CHUNK_ROWS):
            chunk = slice(low, low + _CHUNK_ROWS)
            self._center(widen, rows[chunk], found[chunk])
        return found

    def _slide(self, start: int) -> None:
        stop = min(start + self.capacity, len(self._staged))
        kept = self._stop - start if self._start <= start < self._stop else 0
        if kept > 0:
            # In steps that do not overlap: numpy would copy overlapping slices through a temporary.
            shift = start - self._start
            for first in range(0, kept, shift):
                last = min(first + shift, kept)
                self._rows[first:last] = self._rows[first + shift : last + shift]
        self._start, self._stop = start, stop
        self._convert(Block(start, self._rows[: stop - start]), first=max(kept, 0))

    def _convert(self, block: Block, *, first: int) -> None:
        def fill(begin: int, end: int) -> None:
            widen = Widener(_CHUNK_ROWS, self._staged.dimension)
            for low in range(begin, end, _CHUNK_ROWS):
                high = min(low + _CHUNK_ROWS, end)
                source = slice(block.start + low, block.start + high)
                self._center(widen, source, block.rows[low:high])

        step = 16 * _CHUNK_ROWS
        begins = range(first, len(block), step)
        list(self._pool.map(fill, begins, (min(b + step, len(block)) for b in begins)))

    def _center(
        self,
        widen: Widener,
        source: slice | npt.NDArray[np.int64],
        out: npt.NDArray[np.float32],
    ) -> None:
        # In float64: x / |x| - center cancels digits that float32 would have lost by then.
        unit = widen(self._staged.vectors[source])  # (chunk, d)
        unit *= (1.0 / self._staged.norms[source])[:, None]
        unit -= self._staged.center
        out[:] = unit
        self.half_squares[source] = np.vecdot(unit, unit) / 2
