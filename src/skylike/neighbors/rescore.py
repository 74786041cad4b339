"""Candidates in, exact lists out: what single precision cannot decide is computed in float64.

The truth is x . y / (|x| |y|) in float64 of the stored float16 vectors. Products of two float16
numbers are multiples of 2^-48; as long as |x| |y| is below 32 every partial sum fits into the 53
bits of a float64, so the dot product is *exact* and does not depend on the order of summation:
equal images have equal similarities, and ties can be broken by identifier.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skylike.neighbors.candidates import Candidates, product_error, score_error
from skylike.neighbors.vectors import StagedVectors, Widener

TRUSTED_FRACTION = 0.75
"""An error of a re-scored candidate above this fraction of the assumed bound refutes the bound."""

_PAIR_CHUNK = 64
"""Pairs of one row computed at a time: 1 MB in float64 at d = 2048, which stays in the cache."""


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
    scores, positions = candidates.scores.astype(np.float64), candidates.positions
    filled = positions >= 0  # (q, m)
    counts = filled.sum(axis=1)
    lengths = np.minimum(counts, k)
    own = half_squares[candidates.rows].astype(np.float64)  # (q,)
    widest = half_squares[positions].max(axis=1, initial=0.0, where=filled)  # (q,)
    error = product_error(
        np.sqrt(2.0 * own), np.sqrt(2.0 * np.maximum(widest, own)), roundoffs=roundoffs
    )

    run, wanted = _doubtful(candidates, 2.0 * error, lengths)
    row, column = np.nonzero(wanted)
    place = positions[row, column]
    exact = _cosines(staged, candidates.rows, row, place)
    cosines = scores + (1.0 - own)[:, None]  # (q, m)
    off = np.abs(exact - cosines[row, column])
    bound_holds = bool((off <= TRUSTED_FRACTION * error[row]).all())

    order = np.lexsort((staged.galaxy_ids[place], -exact, run[row, column], row))
    positions = positions.copy()
    positions[row, column] = place[order]
    cosines[row, column] = exact[order]
    kept = np.arange(positions.shape[1])[None, :] < lengths[:, None]
    return Settled(
        lists=Lists(
            rows=candidates.rows,
            lengths=lengths,
            positions=positions[kept],
            similarities=np.clip(cosines[kept], -1.0, 1.0).astype(np.float32),
        ),
        incomplete=_incomplete(
            candidates, half_squares[candidates.rows], counts, k=k, roundoffs=roundoffs
        ),
        bound_holds=bound_holds,
    )


def _doubtful(
    candidates: Candidates, gap: npt.NDArray[np.float64], lengths: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return each candidate's run of close scores, and which ones to re-score."""
    filled = candidates.positions >= 0
    q, m = filled.shape
    close = np.zeros((q, m + 1), np.bool_)  # close[:, j]: candidate j and the one before it
    with np.errstate(invalid="ignore"):  # -inf - -inf beyond the end
        falls = candidates.scores[:, :-1].astype(np.float64) - candidates.scores[:, 1:]
    close[:, 1:m] = (falls <= gap[:, None]) & filled[:, 1:]
    run = np.cumsum(~close[:, :m], axis=1)  # (q, m)
    last = np.maximum(lengths - 1, 0)[:, None]
    if m == 0:
        return run, np.zeros((q, 0), np.bool_)
    needed = filled & (run <= np.take_along_axis(run, last, axis=1))
    wanted = needed & (close[:, :m] | close[:, 1:])
    # One of each row in any case: it checks the error bound.
    np.put_along_axis(wanted, last, np.take_along_axis(needed, last, axis=1), axis=1)
    return run, wanted


def _cosines(
    staged: StagedVectors,
    rows: npt.NDArray[np.int64],
    row: npt.NDArray[np.int64],
    place: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """Compute true cosines of pairs; ``row``, rising, counts in ``rows``."""
    dots = np.empty(len(place))
    bounds = np.searchsorted(row, np.arange(len(rows) + 1))
    widen = Widener(_PAIR_CHUNK, staged.dimension)
    for index, own in enumerate(rows):
        query = staged.vectors[own].astype(np.float64)
        for first in range(bounds[index], bounds[index + 1], _PAIR_CHUNK):
            pairs = slice(first, min(first + _PAIR_CHUNK, bounds[index + 1]))
            np.matmul(widen(staged.vectors[place[pairs]]), query, out=dots[pairs])
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
