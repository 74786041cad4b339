"""Single-precision candidates: all galaxies that could be among the k nearest, and a few more.

A score is z_i . z_j - |z_j|^2 / 2 (see :class:`~skylike.neighbors.engine.vectors.Block`): for one
row it orders like the cosine. Two engines fill the same structure: a matrix product with a
partition (processors) and Faiss (GPUs; processors too, where it is slower, see
docs/decisions/0002-neighbor-tiles.md).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from skylike.neighbors.engine.vectors import Block
from skylike.neighbors.engine.windows import Windows

UNIT_ROUNDOFF: Final = 2.0**-24
"""Of single precision."""

FLOAT64_FLOOR: Final = 2.0**-48
"""Scores closer than this are compared in float64 whatever the vectors' lengths: there the truth
itself is rounded (2^-53, twice, times a cosine of at most 1), and what it calls a tie must stay
one."""

SAMPLED_RANK: Final = 128
"""The k-th best score is guessed from a sample of columns that should hold this many above it."""

SAMPLING_SIGMAS: Final = 4.0
"""Standard deviations that a guess is on the safe side: 1 row of 30,000 is searched again."""

_VALUE_BITS: Final = np.int32(0x7FFFFFFF)

_NO_KEY: Final = (0x7F800000 << 32) | 0xFFFFFFFF
"""After all keys of candidates: a score of -inf, column -1."""


@dataclass(frozen=True)
class Candidates:
    """Candidates of q rows, best score first, padded on the right.

    Attributes
    ----------
    rows
        (q,) places of the rows in magnitude order.
    positions
        (q, m) places of their candidates; -1 where there is none.
    scores
        (q, m) falling; -inf where there is none.
    missed
        (q,) highest score of a candidate that may be missing here; -inf where none is missing that
        could matter.
    """

    rows: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    missed: npt.NDArray[np.float32]

    def kth_best(self, k: int) -> npt.NDArray[np.float32]:
        """Return the k-th score of each row, (q,); -inf where there are fewer."""
        if self.scores.shape[1] < k:
            return np.full(len(self.scores), -np.inf, np.float32)
        return self.scores[:, k - 1]


def score_error(
    half_squares: npt.NDArray[np.float32], lowest: npt.NDArray[np.float32], *, roundoffs: float
) -> npt.NDArray[np.float64]:
    """Bound the error of every score that could matter beside ``lowest``, for each row.

    Parameters
    ----------
    half_squares
        (q,) |z_i|^2 / 2 of the rows.
    lowest
        (q,) the smallest score of interest; -inf where every score is.
    roundoffs
        Error of a product z_i . z_j in units of the roundoff times |z_i| |z_j|.

    Notes
    -----
    A vector with a score of at least s lies within sqrt(|z_i|^2 - 2 s) of z_i, so it is at most
    |z_i| + sqrt(|z_i|^2 - 2 s) long. A longer one cannot reach the score, however it was rounded.
    """
    squares = 2.0 * half_squares.astype(np.float64)
    length = np.sqrt(squares)
    distance = np.sqrt(np.maximum(squares - 2.0 * lowest.astype(np.float64), 0.0))
    longest = np.minimum(length + distance, 2.0)  # a centered unit vector is no longer than 2
    return product_error(length, longest, roundoffs=roundoffs)


def product_error(
    length: npt.NDArray[np.float64], longest: npt.NDArray[np.float64], *, roundoffs: float
) -> npt.NDArray[np.float64]:
    """Bound the error of the scores of vectors ``length`` and at most ``longest`` long.

    The dot product errs by ``roundoffs``, squared lengths by a few units (4: subtraction, two
    norms).
    """
    return UNIT_ROUNDOFF * longest * (roundoffs * length + 4.0 * longest) + FLOAT64_FLOOR


def mask_outside(
    scores: npt.NDArray[np.float32],
    columns: tuple[int, int],
    *,
    rows: npt.NDArray[np.int64],
    windows: Windows,
) -> None:
    """Set scores of galaxies outside each row's window, and of the row itself, to -inf.

    Parameters
    ----------
    scores
        (q, w) of the galaxies ``columns[0] .. columns[1]`` in magnitude order.
    rows
        (q,) rising. Columns between the last row's window start and the first row's window stop lie
        in every window (the core), so that only the two edges are looked at.
    """
    first, last = columns
    place = np.arange(first, last)
    starts, stops = windows.start[rows], windows.stop[rows]
    core = np.clip([starts[-1] - first, stops[0] - first], 0, last - first)
    left, right = slice(0, int(core[0])), slice(int(core[1]), None)
    scores[:, left][place[None, left] < starts[:, None]] = -np.inf
    scores[:, right][place[None, right] >= stops[:, None]] = -np.inf
    if core[1] < core[0]:  # no common core: the left edge reaches into the right one
        scores[:, left][place[None, left] >= stops[:, None]] = -np.inf
        scores[:, right][place[None, right] < starts[:, None]] = -np.inf
    own = np.flatnonzero((rows >= first) & (rows < last))
    scores[own, rows[own] - first] = -np.inf


def lowest_needed(
    kth: npt.NDArray[np.float32], half_squares: npt.NDArray[np.float32], *, roundoffs: float
) -> npt.NDArray[np.float32]:
    """Return the lowest score that may belong to a true neighbor, where the k-th best is ``kth``.

    It is twice the error below, and rises with the k-th best: the k-th of a part of the candidates
    bounds it for all of them. All arrays are (q,); ``kth`` is -inf where there are fewer than k.
    """
    slack = 2.0 * score_error(half_squares, kth, roundoffs=roundoffs)
    # One step down, because the difference is rounded to single precision.
    lowest = np.nextafter((kth - slack).astype(np.float32), np.float32(-np.inf))
    return np.maximum(lowest, np.finfo(np.float32).min)  # -inf is no candidate


def select(
    scores: npt.NDArray[np.float32],
    positions: npt.NDArray[np.int64],
    *,
    rows: npt.NDArray[np.int64],
    half_squares: npt.NDArray[np.float32],
    k: int,
    roundoffs: float,
    floor: npt.NDArray[np.float32] | None = None,
) -> Candidates:
    """Keep the k best scores of each row and all within twice the error of the k-th.

    Only a comparison sees all columns: with a score that the k-th best surely reaches, guessed from
    a sample of them. Rows whose guess turns out too high are partitioned.

    Parameters
    ----------
    scores
        (q, w) in any order, -inf where there is no candidate; contiguous.
    positions
        (w,) or (q, w) places of the columns.
    half_squares
        (q,) |z_i|^2 / 2 of the rows.
    floor
        (q,) :func:`lowest_needed` of other candidates of the rows: lower scores are left out. None:
        there are no others.
    """

    def needed(kth: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return lowest_needed(kth, half_squares, roundoffs=roundoffs)

    if floor is not None:
        keys = _sorted_keys(scores, floor)
    else:
        floor = needed(_guess_kth(scores, k))
        keys = _sorted_keys(scores, floor)
        failed = needed(_kth_key(keys, k)) < floor
        if failed.any():
            kth = _kth_best(scores[failed], k)
            floor[failed] = lowest_needed(kth, half_squares[failed], roundoffs=roundoffs)
            keys = _sorted_keys(scores, floor)
    beyond = _scores_of(keys[:, k:]) >= needed(_kth_key(keys, k))[:, None]
    keys = keys[:, : k + int(np.count_nonzero(beyond, axis=1).max(initial=0))]
    return Candidates(
        rows=rows,
        positions=_places_of(keys, positions),
        scores=_scores_of(keys),
        missed=np.full(len(rows), -np.inf, np.float32),
    )


def _kth_best(scores: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.float32]:
    q, width = scores.shape
    if width < k:
        return np.full(q, -np.inf, np.float32)
    return np.partition(scores, width - k, axis=1)[:, width - k]


def _guess_kth(scores: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.float32]:
    """Guess the k-th best of each row from every n-th column: rather too low than too high."""
    stride = max(k // SAMPLED_RANK, 1)
    if stride == 1:
        return _kth_best(scores, k)
    # That many above are expected among the sampled, and a few more by chance (binomial law).
    rank = k / stride
    return _kth_best(scores[:, ::stride], int(rank + SAMPLING_SIGMAS * np.sqrt(rank)) + 1)


def _sorted_keys(
    scores: npt.NDArray[np.float32], floor: npt.NDArray[np.float32]
) -> npt.NDArray[np.int64]:
    """Return the columns of all scores not below the floor, best first, padded on the right.

    A key, (q, m), holds the score in its upper half and the column in the lower one: one array is
    sorted, by value, which is faster than to sort indices (our measurement).
    """
    q, width = scores.shape
    flat = np.flatnonzero(scores >= floor[:, None])
    counts = np.diff(np.searchsorted(flat, width * np.arange(q + 1)))  # (q,)
    most = int(counts.max(initial=0))
    own = np.arange(q)
    # Bits of a float order like integers, those of negative ones the other way round.
    bits = np.negative(scores.ravel()[flat]).view(np.int32)
    bits ^= (bits >> 31) & _VALUE_BITS
    found = bits.astype(np.int64) << 32
    found |= flat - np.repeat(width * own, counts)
    keys = np.full(q * most, _NO_KEY)
    keys[np.arange(len(flat)) + np.repeat(most * own - np.cumsum(counts) + counts, counts)] = found
    keys = keys.reshape(q, most)
    keys.sort(axis=1)
    return keys


def _scores_of(keys: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    bits = (keys >> 32).astype(np.int32)
    bits ^= (bits >> 31) & _VALUE_BITS
    return np.negative(bits.view(np.float32))


def _kth_key(keys: npt.NDArray[np.int64], k: int) -> npt.NDArray[np.float32]:
    if keys.shape[1] < k:
        return np.full(len(keys), -np.inf, np.float32)
    return _scores_of(keys[:, k - 1])


def _places_of(
    keys: npt.NDArray[np.int64], positions: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    column = keys.astype(np.int32)  # the lower half; -1 where there is none
    if positions.ndim == 1:
        places = positions[column]
    else:
        places = np.take_along_axis(positions, column.astype(np.int64), axis=1)
    np.putmask(places, column < 0, -1)
    return places


def join(
    first: Candidates, second: Candidates
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Put the candidates of the same rows from two blocks side by side: scores and positions."""
    return (
        np.concatenate([first.scores, second.scores], axis=1),
        np.concatenate([first.positions, second.positions], axis=1),
    )


def product_scores(
    queries: Block, block: Block, out: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Multiply into the memory of ``out``: (q, w) products, nothing subtracted yet."""
    scores = out[: len(queries) * len(block)].reshape(len(queries), len(block))
    return np.matmul(queries.rows, block.rows.T, out=scores)
