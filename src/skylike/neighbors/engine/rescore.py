"""Candidates in, exact lists out: what single precision cannot decide is computed in float64.

The truth is x . y / (|x| |y|) in float64 of the stored float16 vectors. Products of two float16
numbers are multiples of 2^-48; as long as |x| |y| is below 32 every partial sum fits into the 53
bits of a float64, so the dot product is *exact* and does not depend on the order of summation:
equal images have equal similarities, and ties can be broken by identifier.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from skylike.neighbors.engine.candidates import Candidates, product_error, score_error
from skylike.neighbors.engine.vectors import StagedVectors, Widener

_Number = TypeVar("_Number", np.int64, np.float64)

TRUSTED_FRACTION = 0.75
"""An error of a re-scored candidate above this fraction of the assumed bound refutes the bound."""

_PAIR_CHUNK = 64
"""Pairs computed at a time: 1 MB in float64 at d = 2048, which stays in the cache."""

_PAIR_ROWS = 128
"""Rows whose pairs are computed with one conversion of the rows: 2 MB in float64."""


@dataclass(frozen=True)
class Lists:
    """Neighbor lists of q rows, one after the other."""

    rows: npt.NDArray[np.int64]
    """(q,) places of the rows in magnitude order."""

    lengths: npt.NDArray[np.int64]
    """(q,) neighbors of each."""

    positions: npt.NDArray[np.int64]
    """(sum of lengths,) places of the neighbors, most similar first, ties by galaxy_id."""

    similarities: npt.NDArray[np.float32]
    """(sum of lengths,) cosines."""


@dataclass(frozen=True)
class Settled:
    """Lists, and whether they may be believed."""

    lists: Lists
    incomplete: npt.NDArray[np.bool_]
    """(q,) rows whose candidates may not reach down to rank k: search these with more."""

    bound_holds: bool
    """Was no re-scored candidate further off than the assumed error allows?"""


def settle(
    candidates: Candidates,
    staged: StagedVectors,
    *,
    half_squares: npt.NDArray[np.float32],
    k: int,
    roundoffs: float,
) -> Settled:
    """Bring candidates into their true order and cut them to k.

    Neighbors in score order that differ by more than twice the error are in true order already.
    Runs of closer ones, those around rank k included, are re-scored in float64 and sorted within
    the run.

    Parameters
    ----------
    half_squares
        (n,) |z|^2 / 2 of all rows.
    """
    positions = candidates.positions
    filled = positions >= 0  # (q, m)
    counts = np.count_nonzero(filled, axis=1)  # (q,)
    lengths = np.minimum(counts, k)
    own = half_squares[candidates.rows].astype(np.float64)  # (q,)
    widest = half_squares[positions].max(axis=1, initial=0.0, where=filled)  # (q,)
    error = product_error(
        np.sqrt(2.0 * own), np.sqrt(2.0 * np.maximum(widest, own)), roundoffs=roundoffs
    )

    doubtful, run = _doubtful(candidates, 2.0 * error, lengths)
    row = doubtful // max(positions.shape[1], 1)
    place = positions.ravel()[doubtful]
    exact = pair_cosines(staged, candidates.rows, row, place)
    cosines = candidates.scores + (1.0 - own)[:, None]  # (q, m) float64
    off = np.abs(exact - cosines.ravel()[doubtful])
    bound_holds = bool((off <= TRUSTED_FRACTION * error[row]).all())

    order = np.lexsort((staged.galaxy_ids[place], -exact, run))
    positions = positions.copy()
    np.put(positions, doubtful, place[order])
    np.put(cosines, doubtful, exact[order])
    return Settled(
        lists=Lists(
            rows=candidates.rows,
            lengths=lengths,
            positions=_first(positions, lengths),
            similarities=np.clip(_first(cosines, lengths), -1.0, 1.0).astype(np.float32),
        ),
        incomplete=_incomplete(
            candidates, half_squares[candidates.rows], counts, k=k, roundoffs=roundoffs
        ),
        bound_holds=bound_holds,
    )


def _doubtful(
    candidates: Candidates, gap: npt.NDArray[np.float64], lengths: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return which candidates to re-score, places in the flattened (q, m), and the run of each.

    A run is of close scores in one row; their numbers rise.
    """
    q, m = candidates.positions.shape
    if m == 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    close = np.zeros((q, m + 1), np.bool_)  # close[:, j]: candidate j and the one before it
    with np.errstate(invalid="ignore"):  # -inf - -inf beyond the end
        falls = candidates.scores[:, :-1] - candidates.scores[:, 1:]
    # Rounding, here of the difference and of the gap, keeps what is not larger not larger.
    close[:, 1:m] = (falls <= gap.astype(np.float32)[:, None]) & (candidates.positions[:, 1:] >= 0)
    last = np.maximum(lengths - 1, 0)[:, None]
    place = np.arange(m)[None, :]
    run_end = np.argmin(close[:, 1:] | (place < last), axis=1)  # (q,) of the run of rank k
    wanted = (close[:, :m] | close[:, 1:]) & (place <= run_end[:, None])
    # One of each row in any case: it checks the error bound.
    np.put_along_axis(wanted, last, lengths[:, None] > 0, axis=1)
    doubtful = np.flatnonzero(wanted)
    return doubtful, np.cumsum(~close[:, :m].ravel()[doubtful])


def _first(entries: npt.NDArray[_Number], lengths: npt.NDArray[np.int64]) -> npt.NDArray[_Number]:
    """Return the first entries of each row of (q, m), as many as its length, in one line."""
    if len(lengths) and (lengths == lengths[0]).all():
        return entries[:, : lengths[0]].ravel()  # many times faster than a mask
    return entries[np.arange(entries.shape[1])[None, :] < lengths[:, None]]


def pair_cosines(
    staged: StagedVectors,
    rows: npt.NDArray[np.int64],
    row: npt.NDArray[np.int64],
    place: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """Compute true cosines of pairs; ``row``, rising, counts in ``rows``."""
    dots = np.empty(len(place))
    bounds = [*np.flatnonzero(np.diff(row, prepend=-1)).tolist(), len(row)]  # of rows with pairs
    widen_pairs = Widener(_PAIR_CHUNK, staged.dimension)
    widen_rows = Widener(_PAIR_ROWS, staged.dimension)
    for group in range(0, len(bounds) - 1, _PAIR_ROWS):
        own = bounds[group : group + _PAIR_ROWS + 1]
        queries = widen_rows(staged.vectors[rows[row[own[:-1]]]])  # (u, d)
        index = 0
        for first in range(own[0], own[-1], _PAIR_CHUNK):
            last = min(first + _PAIR_CHUNK, own[-1])
            others = widen_pairs(staged.vectors[place[first:last]])  # (c, d)
            begin = first
            while begin < last:
                end = min(own[index + 1], last)
                # Not matmul: OpenBLAS would wake its threads for each of these.
                np.vecdot(others[begin - first : end - first], queries[index], out=dots[begin:end])
                index += end == own[index + 1]
                begin = end
    return dots / (staged.norms[place] * staged.norms[rows][row])


def _incomplete(
    candidates: Candidates,
    half_squares: npt.NDArray[np.float32],
    counts: npt.NDArray[np.int64],
    *,
    k: int,
    roundoffs: float,
) -> npt.NDArray[np.bool_]:
    lowest = np.full(len(counts), -np.inf, np.float32)
    full = counts >= k
    if full.any():
        lowest[full] = candidates.scores[full, k - 1]
    slack = 2.0 * score_error(half_squares, lowest, roundoffs=roundoffs)
    return (candidates.missed > -np.inf) & (candidates.missed >= lowest - slack)
