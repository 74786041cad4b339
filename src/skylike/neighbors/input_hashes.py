"""One number for what a galaxy brings into a run: its embedding and its magnitude.

Stored with the lists (``neighbor_statistic.input_hash``), it tells an update exactly which galaxies
have changed since, without keeping a copy of their embeddings.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]

_CHUNK_ROWS: Final = 64
"""Rows hashed at a time: 256 kB at d = 2048, which stays in the second-level cache."""

# Constants of the SplitMix64 generator: Steele, Lea and Flood 2014, OOPSLA, section 4.
_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)

_NO_MAGNITUDE: Final = np.uint64(0x7FC00000)
"""Bits of the one NaN that stands for all magnitudes that are not finite."""


def row_hashes(
    vectors: npt.NDArray[np.float16], magnitudes: npt.NDArray[np.float32]
) -> npt.NDArray[np.int64]:
    """Hash rows, each with its magnitude; every bit of both counts.

    Four entries make a word; each word, keyed by its place, is mixed on its own, so that changes of
    two words cancel in the sum only by chance (2^-64). Hashes are kept in the database: a release
    that computed others would find every galaxy changed.

    Parameters
    ----------
    vectors
        (b, d) as stored.
    magnitudes
        (b,) as stored; all that are not finite are one value, as they are to a window.

    Returns
    -------
    numpy.ndarray
        (b,) int64.
    """
    n, dimension = vectors.shape
    n_words = -(-dimension // 4)
    keys = np.arange(1, n_words + 2, dtype=np.uint64) * _STEP
    _mix(keys, np.empty_like(keys))
    bits = magnitudes.astype(np.float32).view(np.uint32).astype(np.uint64)
    total = np.where(np.isfinite(magnitudes), bits, _NO_MAGNITUDE) ^ keys[-1]  # (b,)
    _mix(total, np.empty_like(total))
    words = np.zeros((min(n, _CHUNK_ROWS), n_words), np.uint64)
    scratch = np.empty_like(words)
    for first in range(0, n, _CHUNK_ROWS):
        rows = vectors[first : first + _CHUNK_ROWS]
        chunk = words[: len(rows)]
        # Places beyond d stay zero.
        chunk.view(np.uint16)[:, :dimension] = rows.view(np.uint16)
        chunk ^= keys[:-1]
        _mix(chunk, scratch[: len(rows)])
        total[first : first + _CHUNK_ROWS] += chunk.sum(axis=1, dtype=np.uint64)
        if dimension % 4:
            chunk[:, -1] = 0
    _mix(total, np.empty_like(total))
    hashes: npt.NDArray[np.int64] = total.view(np.int64)
    return hashes


def _mix(words: Words, scratch: Words) -> None:
    """Mix the bits of each word in place, one to one: each bit in reaches every bit out."""
    for shift, factor in ((np.uint64(30), _FIRST), (np.uint64(27), _SECOND)):
        np.right_shift(words, shift, out=scratch)
        words ^= scratch
        words *= factor
    np.right_shift(words, np.uint64(31), out=scratch)
    words ^= scratch
