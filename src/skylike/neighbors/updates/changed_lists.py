"""Which lists differ from those of a run, row by row: searched anew, merged, or left alone."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from skylike.neighbors.engine.rescore import Lists
from skylike.neighbors.engine.search import NeighborSearch
from skylike.neighbors.engine.vectors import StagedVectors
from skylike.neighbors.engine.windows import CONVERSION_ROWS, Windows, cut_by_work
from skylike.neighbors.updates.merge import find_entrants, merge_lists

Places = npt.NDArray[np.int64]

FetchLists = Callable[[Places], Lists]
"""From rows, rising, to their lists as the run has them, in the same order."""

_MERGED_ROWS: Final = 128
"""Lists fetched and merged at a time: 2 MB each of identifiers and similarities at k = 999."""

_MERGED_PAIR: Final = 50
"""A pair in float64 costs as much as this many of a search: 3.3 us against 60 ns of processor time
(d = 1024, k = 300, 6,000 galaxies; our measurement)."""

_NARROW: Final = 40
"""A window of up to this many times k is searched anew rather than a list of k merged. Less than
``_MERGED_PAIR``, because rows searched together have windows that differ."""


_LIKE_A_REBUILD: Final = 0.8
"""An update also reads the lists there are, and puts others in their place: a choice, not tuned."""


@dataclass(frozen=True)
class UpdateWork:
    """What an update is to find out; everything in magnitude order of today's input."""

    staged: StagedVectors
    windows: Windows
    k: int

    added: Places
    """(m,) rising: galaxies that are new or have changed."""

    is_lost: npt.NDArray[np.bool_]
    """(n,) rows to search anew: there is no list, or it names a galaxy that has changed or gone."""

    floors: npt.NDArray[np.float64]
    """(n,) similarity that whoever enters a list must reach; -inf where it is shorter than k."""

    def costs(self) -> npt.NDArray[np.float64]:
        """Estimate the work for each row, in similarities of a matrix product (n,)."""
        sizes = (self.windows.stop - self.windows.start).astype(np.float64)
        entrants = np.searchsorted(self.added, self.windows.stop) - np.searchsorted(
            self.added, self.windows.start
        )
        is_hit = np.minimum(1.0, entrants * self.k / sizes)  # a chance of k in a window for each
        merged = np.where(entrants > 0, entrants + CONVERSION_ROWS, 0) + is_hit * np.minimum(
            _MERGED_PAIR * self.k, sizes + 1000
        )
        return np.where(self.is_lost, sizes + 1000, merged)

    def cut_shards(self, *, galaxies: int, pairs: int) -> npt.NDArray[np.int64]:
        """Cut the rows into shards of equal work: bounds, (number of shards + 1,)."""
        return cut_by_work(self.costs(), galaxies=galaxies, pairs=pairs)

    @property
    def costs_a_rebuild(self) -> bool:
        """Whether computing all lists anew would cost no more, about."""
        rebuild = float((self.windows.stop - self.windows.start + 1000).sum())
        return bool(self.costs().sum() > _LIKE_A_REBUILD * rebuild)


def changed_lists(
    work: UpdateWork,
    search: NeighborSearch,
    bounds: tuple[int, int],
    *,
    fetch: FetchLists,
    pool: ThreadPoolExecutor,
) -> Iterator[Lists]:
    """Find the lists of the rows between ``bounds`` that differ, as a rebuild would have them.

    Parameters
    ----------
    fetch
        Called in this thread.
    pool
        Its threads merge.
    """
    rows = np.arange(*bounds)
    lost = rows[work.is_lost[rows]]
    rows = rows[~work.is_lost[rows]]
    entrants = find_entrants(
        work.staged, work.windows, rows, added=work.added, floors=work.floors[rows], k=work.k
    )
    yield from search.lists_of(lost)

    touched = entrants.is_crowded.copy()
    touched[entrants.row] = True
    sizes = (work.windows.stop - work.windows.start)[rows]
    anew = entrants.is_crowded | (touched & (sizes <= _NARROW * work.k))
    for lists in search.lists_of(rows[anew]):
        yield _with_entrants(lists, work.added)

    merged = np.flatnonzero(touched & ~anew)
    for first in range(0, len(merged), _MERGED_ROWS):
        part = merged[first : first + _MERGED_ROWS]
        low, high = np.searchsorted(entrants.row, [part[0], part[-1] + 1])
        of_part = np.isin(entrants.row[low:high], part)
        pairs = (
            np.searchsorted(part, entrants.row[low:high][of_part]),
            entrants.place[low:high][of_part],
        )
        yield from _merged(work, fetch(rows[part]), pairs, pool)


def _with_entrants(lists: Lists, added: Places) -> Lists:
    """Keep the lists that name a galaxy that was not there: the others are what they were."""
    row = np.repeat(np.arange(len(lists.rows)), lists.lengths)
    changed = np.zeros(len(lists.rows), np.bool_)
    changed[row[np.isin(lists.positions, added)]] = True
    kept = changed[row]
    return Lists(
        lists.rows[changed], lists.lengths[changed], lists.positions[kept], lists.similarities[kept]
    )


def _merged(
    work: UpdateWork, old: Lists, pairs: tuple[Places, Places], pool: ThreadPoolExecutor
) -> Iterator[Lists]:
    """Merge a few lists in each thread."""
    ends = np.cumsum(old.lengths)
    step = 16

    def merge(first: int) -> Lists:
        last = min(first + step, len(old.rows))
        entries = slice(int(ends[first] - old.lengths[first]), int(ends[last - 1]))
        piece = Lists(
            old.rows[first:last],
            old.lengths[first:last],
            old.positions[entries],
            old.similarities[entries],
        )
        low, high = np.searchsorted(pairs[0], [first, last])
        entrants = (pairs[0][low:high] - first, pairs[1][low:high])
        return merge_lists(work.staged, piece, entrants, k=work.k)

    yield from pool.map(merge, range(0, len(old.rows), step))
