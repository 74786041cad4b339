"""Single-precision candidates: all galaxies that could be among the k nearest, and a few more.

A score is z_i . z_j - |z_j|^2 / 2 (see :class:`~skylike.neighbors.vectors.Block`): for one row it
orders like the cosine. Two engines fill the same structure: a matrix product with a partition
(processors) and Faiss (GPUs; processors too, where it is slower, see
docs/decisions/0002-neighbor-tiles.md).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from skylike.neighbors.vectors import Block
from skylike.neighbors.windows import Windows

UNIT_ROUNDOFF: Final = 2.0**-24
"""Of single precision."""

FLOAT64_FLOOR: Final = 2.0**-48
"""Scores closer than this are compared in float64 whatever the vectors' lengths: there the truth
itself is rounded (2^-53, twice, times a cosine of at most 1), and what it calls a tie must stay
one."""


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


def select(
    scores: npt.NDArray[np.float32],
    positions: npt.NDArray[np.int64],
    *,
    rows: npt.NDArray[np.int64],
    half_squares: npt.NDArray[np.float32],
    k: int,
    roundoffs: float,
) -> Candidates:
    """Keep the k best scores of each row and all within twice the error of the k-th.

    Parameters
    ----------
    scores
        (q, w) in any order, -inf where there is no candidate.
    positions
        (w,) or (q, w) places of the columns.
    """
    q, width = scores.shape
    if width > k:
        lowest = np.partition(scores, width - k, axis=1)[:, width - k]  # (q,) the k-th best
    else:
        lowest = np.full(q, -np.inf, np.float32)
    slack = 2.0 * score_error(half_squares, lowest, roundoffs=roundoffs)
    # One step down, because the difference is rounded to single precision.
    bound = np.nextafter((lowest - slack).astype(np.float32), np.float32(-np.inf))
    bound = np.maximum(bound, np.finfo(np.float32).min)  # -inf is no candidate
    flat = np.flatnonzero(scores >= bound[:, None])
    row, column = np.divmod(flat, width)
    counts = np.bincount(row, minlength=q)
    rank = np.arange(len(flat)) - np.repeat(np.cumsum(counts) - counts, counts)
    most = int(counts.max(initial=0))
    kept = np.full((q, most), np.inf, np.float32)
    kept[row, rank] = -scores.ravel()[flat]
    places = np.full((q, most), -1, np.int64)
    places[row, rank] = positions[column] if positions.ndim == 1 else positions.ravel()[flat]
    order = np.argsort(kept, axis=1)
    return Candidates(
        rows=rows,
        positions=np.take_along_axis(places, order, axis=1),
        scores=-np.take_along_axis(kept, order, axis=1),
        missed=np.full(q, -np.inf, np.float32),
    )


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
