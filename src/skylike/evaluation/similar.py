"""The exact similarity lists of a set of vectors, by the engine that builds neighbor tables."""

from typing import Final

import numpy as np
import numpy.typing as npt

from skylike.neighbors.engine.search import NeighborSearch, SearchPlan
from skylike.neighbors.engine.vectors import StagedVectors
from skylike.neighbors.engine.windows import magnitude_windows
from skylike.progress import SILENT, Progress

NOBODY: Final = -1
"""Stands in a list where there is no further neighbor."""

_ROWS_AT_ONCE: Final = 8192


def as_stored(vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.float16]:
    """Scale vectors (n, d) to unit length and round them to float16, as the database stores them.

    A row that is zero or not finite has no direction and becomes zero.
    """
    wide = np.asarray(vectors, dtype=np.float64)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)  # (n, 1)
    has_direction = np.isfinite(norms) & (norms > 0)
    unit = np.divide(wide, norms, out=np.zeros_like(wide), where=has_direction)
    return np.asarray(unit.astype(np.float16), dtype=np.float16)


def similar_lists(
    stored: npt.NDArray[np.float16],
    *,
    k: int,
    device: str = "cpu",
    progress: Progress = SILENT,
) -> npt.NDArray[np.int64]:
    """Return the places of the k most similar others of each vector, best first.

    Parameters
    ----------
    stored
        (n, d) of :func:`as_stored`. What counts is the float64 cosine of these, each divided by its
        own norm; equal ones go to the earlier place.
    device
        ``cpu``, ``cuda`` or ``cuda:N``; the lists do not depend on it.

    Returns
    -------
    ndarray
        (n, k) int64; :data:`NOBODY` at the end of lists that are shorter: fewer vectors than k + 1
        have a direction, or the row itself has none.
    """
    lists = np.full((len(stored), k), NOBODY, dtype=np.int64)
    there = np.flatnonzero((stored != 0).any(axis=1))
    if len(there) < 2:
        return lists
    staged = _staged(np.ascontiguousarray(stored[there]))
    plan = SearchPlan(k=min(k, len(there) - 1), device=device)
    windows = magnitude_windows(staged.magnitudes, None)
    with (
        progress.task("Compare", total=len(there), unit="images") as task,
        NeighborSearch(staged, windows, plan) as search,
    ):
        for start in range(0, len(there), _ROWS_AT_ONCE):
            for found in search.lists(start, min(start + _ROWS_AT_ONCE, len(there))):
                row = np.repeat(there[found.rows], found.lengths)
                place = np.concatenate([np.arange(length) for length in found.lengths])
                lists[row, place] = there[found.positions]
                task.advance(len(found.rows))
    return lists


def _staged(stored: npt.NDArray[np.float16]) -> StagedVectors:
    """Stage vectors of one and the same magnitude, identified by their place."""
    n = len(stored)
    norms = np.empty(n)
    center = np.zeros(stored.shape[1])
    for start in range(0, n, _ROWS_AT_ONCE):
        wide = stored[start : start + _ROWS_AT_ONCE].astype(np.float64)
        norms[start : start + _ROWS_AT_ONCE] = np.sqrt((wide * wide).sum(axis=1))
        center += (wide / norms[start : start + _ROWS_AT_ONCE, None]).sum(axis=0)
    return StagedVectors(
        galaxy_ids=np.arange(n, dtype=np.int32),
        magnitudes=np.zeros(n, dtype=np.float32),
        vectors=stored,
        norms=norms,
        center=center / n,
        hashes=np.zeros(n, dtype=np.int64),  # for updates of tables only
        n_excluded=0,
    )
