"""Augmented copies and their originals in each other's lists: ranks, recall, chance."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from skylike.evaluation.bootstrap import Estimate, estimate_mean
from skylike.evaluation.chance import median_first_rank, share_within
from skylike.evaluation.cosines import tile_rows, unit_rows
from skylike.evaluation.medians import estimate_median

Vectors = npt.NDArray[np.float32]
Ranks = npt.NDArray[np.int64]

SAME: Final = 1e-7
"""Cosines nearer than this cannot be told apart: the resolution of float32, which networks give."""


@dataclass(frozen=True)
class CopyRanks:
    """Where s galaxies of which c copies each were made stand in the lists."""

    of_original: Ranks
    """(s, c) rank of the original in the list of each copy, among all originals."""

    of_copy: Ranks
    """(s,) rank of the best own copy in the list of each original, among all other originals and
    the copies of everybody."""


@dataclass(frozen=True)
class CopyRecall:
    """How often what belongs together is found, one direction."""

    direction: str
    """``copy to original`` or ``original to copy`` (the paper's)."""

    queries: int
    among: int
    """Vectors in each list."""

    recall_1: Estimate
    recall_10: Estimate
    median_rank: Estimate
    chance_1: float
    chance_10: float
    chance_median_rank: float


def copy_ranks(originals: Vectors, copies: Vectors, places: npt.NDArray[np.int64]) -> CopyRanks:
    """Rank originals in the lists of their copies, and copies in those of their originals.

    A vector that equals the one looked for, or that has no direction, stands before it: an encoder
    that gives everything the same embedding finds nothing.

    Parameters
    ----------
    originals
        (m, d) embeddings of the unchanged images.
    copies
        (s, c, d) embeddings of c augmented copies of s of them.
    places
        (s,) which of the originals the copies are of, none twice.
    """
    s, c, d = copies.shape
    of_original = np.empty((s, c), np.int64)
    of_copy = np.empty(s, np.int64)
    units = unit_rows(originals)  # (m, d)
    copy_units = unit_rows(copies.reshape(s * c, d))  # (s * c, d)
    step = max(1, tile_rows(len(units) + s * c) // (c + 1))
    for start in range(0, s, step):
        rows = np.arange(start, min(start + step, s))
        own_copies = copy_units.reshape(s, c, d)[rows]  # (t, c, d)
        asked = own_copies.reshape(-1, d) @ units.T  # (t * c, m)
        own = np.repeat(places[rows], c)
        of_original[rows] = _rank(asked, own).reshape(-1, c)

        query = units[places[rows]]  # (t, d)
        theirs = query @ copy_units.T  # (t, s * c)
        of_own = theirs.reshape(len(rows), s, c)[np.arange(len(rows)), rows]  # (t, c)
        best = of_own.max(axis=1)  # (t,)
        first = rows * c + of_own.argmax(axis=1)  # (t,)
        others = query @ units.T  # (t, m)
        others[np.arange(len(rows)), places[rows]] = -np.inf
        theirs.reshape(len(rows), s, c)[np.arange(len(rows)), rows] = -np.inf
        theirs[np.arange(len(rows)), first] = best
        together = np.concatenate([others, theirs], axis=1)  # (t, m + s * c)
        of_copy[rows] = _rank(together, first + len(units))
    return CopyRanks(of_original, of_copy)


def _rank(cosines: npt.NDArray[np.float64], own: npt.NDArray[np.int64]) -> Ranks:
    """Return the rank of one column in each row of (q, n), behind all that it ties with."""
    wanted = cosines[np.arange(len(cosines)), own][:, None]  # (q, 1)
    ranks: Ranks = np.count_nonzero(cosines >= wanted - SAME, axis=1)
    return ranks


def summarize_ranks(ranks: CopyRanks, n_originals: int, *, seed: int = 0) -> list[CopyRecall]:
    """Return recall at 1 and 10 and the median rank of both directions, beside chance.

    Galaxies are resampled for the intervals, with all of their copies.
    """
    s, c = ranks.of_original.shape
    return [
        _recall("copy to original", ranks.of_original, n_originals, 1, seed),
        _recall("original to copy", ranks.of_copy[:, None], n_originals - 1 + s * c, c, seed),
    ]


def _recall(direction: str, ranks: Ranks, among: int, wanted: int, seed: int) -> CopyRecall:
    return CopyRecall(
        direction=direction,
        queries=ranks.size,
        among=among,
        recall_1=estimate_mean((ranks <= 1).mean(axis=1), seed=seed),
        recall_10=estimate_mean((ranks <= 10).mean(axis=1), seed=seed),
        median_rank=estimate_median(np.median(ranks, axis=1), seed=seed),
        chance_1=share_within(among, wanted, 1),
        chance_10=share_within(among, wanted, 10),
        chance_median_rank=median_first_rank(among, wanted),
    )
