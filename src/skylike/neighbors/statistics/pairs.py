"""Distances of pairs of staged embeddings, in float64."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from skylike.neighbors.engine.vectors import StagedVectors, Widener
from skylike.processors import count_cores
from skylike.progress import SILENT, Progress

_CHUNK_PAIRS = 256
"""Pairs computed at a time: 25 MB of scratch memory for each thread at d = 2048."""


def pair_distances(
    staged: StagedVectors,
    rows: npt.NDArray[np.integer],
    others: npt.NDArray[np.integer],
    *,
    progress: Progress = SILENT,
) -> npt.NDArray[np.float64]:
    """Return the Euclidean distance of the unit vectors of each pair, (p,).

    It is sqrt(2 - 2 cos), computed as the length of the difference: near 0 the cosine has lost the
    digits that the distance needs (1e-16 off in the cosine is 1e-8 in the distance).

    Parameters
    ----------
    rows, others
        (p,) places in magnitude order. Rising ``rows`` read the memory map in order; ``others`` lie
        in the windows around them, and threads wait for the disk side by side.
    """
    distances = np.empty(len(rows))
    step = 16 * _CHUNK_PAIRS

    def fill(start: int) -> int:
        first = Widener(_CHUNK_PAIRS, staged.dimension)
        second = Widener(_CHUNK_PAIRS, staged.dimension)
        stop = min(start + step, len(rows))
        for low in range(start, stop, _CHUNK_PAIRS):
            part = slice(low, min(low + _CHUNK_PAIRS, stop))
            difference = first(staged.vectors[rows[part]])  # (c, d)
            difference *= (1.0 / staged.norms[rows[part]])[:, None]
            unit = second(staged.vectors[others[part]])  # (c, d)
            unit *= (1.0 / staged.norms[others[part]])[:, None]
            difference -= unit
            distances[part] = np.sqrt(np.vecdot(difference, difference))
        return stop - start

    starts = range(0, len(rows), step)
    with (
        progress.task("Comparing pairs", total=len(rows), unit="pairs") as task,
        ThreadPoolExecutor(count_cores(), thread_name_prefix="pairs") as pool,
    ):
        for done in pool.map(fill, starts):
            task.advance(done)
    return distances
