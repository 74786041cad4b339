"""Lists of a run and galaxies that have come in; the lists that these change, exactly.

A list whose galaxies are all still there, unchanged, can only grow at its end or be pushed down it:
whoever was not in it is still no better than its last. So the new list is the best of the old one
and of those that came in, and only rows whose last neighbor one of these may beat are looked at.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from skylike.neighbors.engine.candidates import UNIT_ROUNDOFF
from skylike.neighbors.engine.rescore import Lists, pair_cosines
from skylike.neighbors.engine.vectors import StagedVectors
from skylike.neighbors.engine.windows import Windows

Places = npt.NDArray[np.int64]

_TILE_ROWS: Final = 1024
_TILE_COLUMNS: Final = 4096
"""Old rows and new columns multiplied at a time: 16 MB of scores, 40 MB of vectors at d = 2048."""


@dataclass(frozen=True)
class Entrants:
    """Pairs of a row and a galaxy that came in and may belong into its list."""

    row: Places
    """(p,) rising; counts in the rows that were asked for."""

    place: Places
    """(p,) in magnitude order."""

    is_crowded: npt.NDArray[np.bool_]
    """(q,) rows that more than k may enter: the pairs name none of them, search these anew."""


def find_entrants(
    staged: StagedVectors,
    windows: Windows,
    rows: Places,
    *,
    added: Places,
    floors: npt.NDArray[np.float64],
    k: int,
) -> Entrants:
    """Find who of ``added`` may enter the lists of some rows: none that does is missed.

    Parameters
    ----------
    rows
        (q,) rising, none of them in ``added``.
    added
        (m,) rising.
    floors
        (q,) similarity that an entrant must reach; -inf where any will do.

    Notes
    -----
    Products are in single precision. A sum of d products of unit vectors errs by at most d
    roundoffs whatever the order of summation, and what else is rounded by fewer than 8: 1.2e-4 at
    d = 2048, against the 5e-4 of a stored similarity. No measured bound is needed here.
    """
    slack = (staged.dimension + 8) * UNIT_ROUNDOFF
    least = np.nextafter((floors - slack).astype(np.float32), np.float32(-np.inf))  # (q,)
    counts = np.zeros(len(rows), np.int64)
    found_rows, found_places = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for columns in _blocks(added, windows, rows):
        theirs = _unit_rows(staged, columns)
        for tile in _tiles(rows, windows, columns):
            scores = _unit_rows(staged, rows[tile]) @ theirs.T  # (t, w)
            inside = columns >= windows.start[rows[tile]][:, None]
            inside &= columns < windows.stop[rows[tile]][:, None]
            inside &= scores >= least[tile][:, None]
            inside[counts[tile] > k] = False
            row, column = np.nonzero(inside)
            found_rows.append(row + tile.start)
            found_places.append(columns[column])
            counts[tile] += inside.sum(axis=1)
    row, place = np.concatenate(found_rows), np.concatenate(found_places)
    is_crowded = counts > k
    kept = ~is_crowded[row]
    order = np.argsort(row[kept], kind="stable")
    return Entrants(row[kept][order], place[kept][order], is_crowded)


def _blocks(added: Places, windows: Windows, rows: Places) -> list[Places]:
    """Cut those of ``added`` that lie in any row's window."""
    if not len(rows):
        return []
    union = windows.start[rows[0]], windows.stop[rows[-1]]
    first, last = np.searchsorted(added, union).tolist()
    return [added[at : min(at + _TILE_COLUMNS, last)] for at in range(first, last, _TILE_COLUMNS)]


def _tiles(rows: Places, windows: Windows, columns: Places) -> list[slice]:
    """Cut those rows whose window reaches into ``columns``, as windows move with the rows."""
    first = int(np.searchsorted(windows.stop[rows], columns[0], side="right"))
    last = int(np.searchsorted(windows.start[rows], columns[-1], side="right"))
    return [slice(at, min(at + _TILE_ROWS, last)) for at in range(first, last, _TILE_ROWS)]


def _unit_rows(staged: StagedVectors, rows: Places) -> npt.NDArray[np.float32]:
    unit = staged.vectors[rows].astype(np.float32)  # (b, d)
    unit *= (1.0 / staged.norms[rows]).astype(np.float32)[:, None]
    return unit


def merge_lists(
    staged: StagedVectors, old: Lists, entrants: tuple[Places, Places], *, k: int
) -> Lists:
    """Put entrants into lists, and return those lists that change.

    Parameters
    ----------
    old
        Lists of some rows, exact in set and order; their similarities are not used.
    entrants
        (p,) rows, rising, counted in ``old``, and (p,) places of who may enter them; none is in the
        list already.

    Returns
    -------
    Lists
        All similarities computed anew: rounding errors of stored ones never add up.
    """
    row, place = entrants
    cosines = pair_cosines(staged, old.rows, row, place)
    enters = _are_better(staged, old, (row, place, cosines), k=k)
    chosen = np.unique(row[enters])
    kept = np.repeat(np.isin(np.arange(len(old.rows)), chosen), old.lengths)
    own = np.repeat(np.arange(len(old.rows)), old.lengths)[kept]
    old_cosines = pair_cosines(staged, old.rows, own, old.positions[kept])

    row = np.concatenate([own, row[enters]])
    place = np.concatenate([old.positions[kept], place[enters]])
    cosines = np.concatenate([old_cosines, cosines[enters]])
    order = np.lexsort((staged.galaxy_ids[place], -cosines, row))
    row, place, cosines = row[order], place[order], cosines[order]
    counts = np.bincount(row, minlength=len(old.rows))[chosen]
    rank = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    stays = rank < k
    return Lists(
        rows=old.rows[chosen],
        lengths=np.minimum(counts, k),
        positions=place[stays],
        similarities=np.clip(cosines[stays], -1.0, 1.0).astype(np.float32),
    )


def _are_better(
    staged: StagedVectors,
    old: Lists,
    entrants: tuple[Places, Places, npt.NDArray[np.float64]],
    *,
    k: int,
) -> npt.NDArray[np.bool_]:
    """Tell which entrants come before the last of a full list; any enters one that is not full."""
    row, place, cosines = entrants
    full = np.flatnonzero(old.lengths == k)
    last = np.full(len(old.rows), -1, np.int64)
    last[full] = old.positions[np.cumsum(old.lengths)[full] - 1]
    bar = np.full(len(old.rows), -np.inf)
    bar[full] = pair_cosines(staged, old.rows, full, last[full])
    better: npt.NDArray[np.bool_] = cosines > bar[row]
    better |= (cosines == bar[row]) & (staged.galaxy_ids[place] < staged.galaxy_ids[last[row]])
    return better
