"""Magnitudes in; the order of galaxies, each one's window of candidates, tiles and shards out.

The rule of the window: galaxy j is a candidate of galaxy i where ``abs(mag_i - mag_j) <= width``,
the stored single-precision magnitudes subtracted and compared in double precision (as PostgreSQL
does in ``abs(a.mag_r::float8 - b.mag_r::float8) <= 0.5``). Both edges are inside, and the rule is
symmetric. Galaxies without a finite magnitude are candidates of each other and of nobody else.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from skylike.errors import SettingsError

MINIMUM_TILE = 32
"""A matrix product with fewer rows than this wastes the processor: a choice, not tuned."""

TILE_WASTE = 0.06
"""Columns outside a row's window that a tile may compute, as a fraction of its mean window."""

CONVERSION_ROWS = 200
"""Rows of a tile whose products with a column cost as much as converting that column to float32:
2048 entries at 1.5 ns against 8 ns of a product (our measurements on two cores)."""

FREE_COLUMNS = 1024
"""Wasted columns that any tile may have: small windows are cheap. A choice, not tuned."""


@dataclass(frozen=True)
class Windows:
    """For each row, in magnitude order, the rows that may be its neighbors: ``start <= j < stop``.

    Both never fall from one row to the next. A row's window holds the row itself.
    """

    start: npt.NDArray[np.int64]
    stop: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.start)


def order_by_magnitude(
    galaxy_ids: npt.NDArray[np.int32], magnitudes: npt.NDArray[np.float32]
) -> npt.NDArray[np.int64]:
    """Return the order of rising magnitude, equal ones by identifier, those without one last.

    Parameters
    ----------
    magnitudes
        (n,) as stored; NaN or infinite means none.
    """
    known = np.where(np.isfinite(magnitudes), magnitudes, np.float32(np.inf))
    return np.lexsort((galaxy_ids, known))


def magnitude_windows(magnitudes: npt.NDArray[np.float32], width: float | None) -> Windows:
    """Find each row's window.

    Parameters
    ----------
    magnitudes
        (n,) in the order of :func:`order_by_magnitude`.
    width
        Largest difference in magnitudes, edges included; None compares everything with everything.

    Raises
    ------
    SettingsError
        The width is negative or not a number.
    """
    n = len(magnitudes)
    if width is None:
        return Windows(np.zeros(n, np.int64), np.full(n, n, np.int64))
    if not (np.isfinite(width) and width >= 0):
        raise SettingsError(f"window width {width!r}: use a number of magnitudes, such as 0.5")
    n_known = int(np.count_nonzero(np.isfinite(magnitudes)))
    known = magnitudes[:n_known]
    start = np.full(n, n_known, np.int64)
    stop = np.full(n, n, np.int64)
    start[:n_known] = np.searchsorted(known, _edge(known, width, side=-1), side="left")
    stop[:n_known] = np.searchsorted(known, _edge(known, width, side=1), side="right")
    return Windows(start, stop)


def _edge(
    magnitudes: npt.NDArray[np.float32], width: float, *, side: int
) -> npt.NDArray[np.float32]:
    # The outermost single-precision magnitude that the rule still admits. Rounding magnitude -+
    # width lands within one step of it; which side is decided by the rule itself.
    exact = magnitudes.astype(np.float64)
    edge = (exact + side * width).astype(np.float32)
    outward = np.float32(side * np.inf)
    beyond = np.nextafter(edge, outward)
    edge = np.where(np.abs(exact - beyond) <= width, beyond, edge)
    inside = np.abs(exact - edge) <= width
    return np.where(inside, edge, np.nextafter(edge, -outward))


def cut_tiles(windows: Windows, start: int, stop: int, *, rows: int) -> Iterator[tuple[int, int]]:
    """Cut rows ``start .. stop`` into tiles searched together, smaller where windows move fast.

    A tile computes the union of its rows' windows. At the bright end, where few galaxies span many
    magnitudes, the union of many rows is much wider than each one's window, so the tile shrinks.

    Parameters
    ----------
    rows
        Rows of the largest tile.
    """
    while start < stop:
        size = min(rows, stop - start)
        while size > MINIMUM_TILE and _wasteful(windows, start, start + size):
            size = max(MINIMUM_TILE, size // 2)
        yield start, start + size
        start += size


def _wasteful(windows: Windows, start: int, stop: int) -> bool:
    union = windows.stop[stop - 1] - windows.start[start]
    mean = float(np.mean(windows.stop[start:stop] - windows.start[start:stop]))
    return bool(union - mean > max(TILE_WASTE * mean, FREE_COLUMNS))


def cut_scattered_tiles(
    windows: Windows, rows: npt.NDArray[np.int64], *, most: int
) -> Iterator[npt.NDArray[np.int64]]:
    """Cut rows that need not be consecutive into tiles searched together.

    Far apart, rows share no window, and near each other they share the cost of converting it: a
    tile is halved where that costs less.

    Parameters
    ----------
    rows
        (q,) rising.
    most
        Rows of the largest tile.
    """

    def cost(part: npt.NDArray[np.int64]) -> int:
        union = int(windows.stop[part[-1]] - windows.start[part[0]])
        return union * (len(part) + CONVERSION_ROWS)

    waiting = [rows] if len(rows) else []
    while waiting:
        part = waiting.pop()
        left, right = np.array_split(part, 2)
        if len(part) > most or (len(right) and cost(left) + cost(right) < cost(part)):
            waiting += [right, left]
        else:
            yield part


def cut_shards(windows: Windows, *, galaxies: int, pairs: int) -> npt.NDArray[np.int64]:
    """Cut all rows into shards of equal work: bounds, (number of shards + 1,).

    Parameters
    ----------
    galaxies
        Rows of the largest shard: bounds the memory of its lists.
    pairs
        Similarities that a shard should compute, about; bounds what a killed job loses.
    """
    # A row costs its window, and about a thousand similarities for the list whatever the window.
    work = windows.stop - windows.start + 1000
    return cut_by_work(work.astype(np.float64), galaxies=galaxies, pairs=pairs)


def cut_by_work(
    cost: npt.NDArray[np.float64], *, galaxies: int, pairs: float
) -> npt.NDArray[np.int64]:
    """Cut rows into shards of equal work: bounds, (number of shards + 1,).

    Parameters
    ----------
    cost
        (n,) of each row, in similarities.
    galaxies, pairs
        As of :func:`cut_shards`.
    """
    n = len(cost)
    if n == 0:
        return np.zeros(1, np.int64)
    work = np.cumsum(cost)
    shards = max(1, round(float(work[-1]) / pairs), -(-n // galaxies))
    inner = np.searchsorted(work, work[-1] * np.arange(1, shards) / shards, side="left")
    equal = np.unique(np.concatenate([[0], inner, [n]]))
    # Where windows are narrow, equal work may be many rows: cut those again.
    bounds = [np.arange(first, last, galaxies) for first, last in pairwise(equal)]
    return np.concatenate([*bounds, [n]]).astype(np.int64)
