"""Overlap of lists within the magnitude window with those of the full search, and its averages.

A list within the window is the full ranking with the galaxies outside left out, so its overlap with
the full list down to rank k is the share of the first k of the full list that lie within the
window.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from skylike.evaluation.bootstrap import Estimate, estimate_mean
from skylike.evaluation.cosines import GalaxyIds
from skylike.neighbors.compare import list_overlaps
from skylike.neighbors.engine.windows import magnitude_windows, order_by_magnitude
from skylike.neighbors.verify import Rules

BIN_MAG: Final = 1.0
"""Width of the magnitude bins of the report."""

Overlaps = npt.NDArray[np.float64]


@dataclass(frozen=True)
class WindowOverlap:
    """Overlap of the first k, averaged over galaxies."""

    k: int
    overlap: Estimate
    """Share of the first k of the full search that are within the window."""

    chance: float
    """What lists drawn at random would share: the mean share of all galaxies within the window."""

    run_overlap: Estimate | None
    """The same share of the stored lists of a run; None where none is compared."""


@dataclass(frozen=True)
class MagnitudeBin:
    """Galaxies of like magnitude; both edges None are those without one."""

    low: float | None
    high: float | None
    n: int
    overlaps: tuple[WindowOverlap, ...]


def window_overlaps(
    full: npt.NDArray[np.int64],
    query_places: npt.NDArray[np.int64],
    rules: Rules,
    depths: Sequence[int],
) -> Overlaps:
    """Return the share of the full lists that the window keeps, down to each depth.

    Parameters
    ----------
    full
        (q, k) places in ``rules.galaxy_ids`` of the full search, best first; -1 beyond the end.
    query_places
        (q,) places of the galaxies whose lists they are.
    rules
        Who is whose candidate: the project's own rule of the window.

    Returns
    -------
    ndarray
        (q, depths). Where a list is shorter than a depth, of the whole list; NaN if it is empty.
    """
    shares = np.full((len(full), len(depths)), np.nan)
    for row, (listed, own) in enumerate(zip(full, query_places, strict=True)):
        ids = rules.galaxy_ids[listed[listed >= 0]]  # (m,)
        if not len(ids):
            continue
        kept = rules.are_candidates(rules.galaxy_ids[[own]], ids)[0]  # (m,)
        ends = np.minimum(depths, len(ids))
        shares[row] = np.cumsum(kept)[ends - 1] / ends
    return shares


def candidate_shares(
    galaxy_ids: GalaxyIds, magnitudes: npt.NDArray[np.float32], width: float
) -> npt.NDArray[np.float64]:
    """Return which share of all others each galaxy (n,) has within its window.

    That is the overlap to expect of lists drawn at random, whatever their length.
    """
    order = order_by_magnitude(galaxy_ids, magnitudes)
    windows = magnitude_windows(magnitudes[order], width)
    shares = np.empty(len(galaxy_ids))
    shares[order] = (windows.stop - windows.start - 1) / max(len(galaxy_ids) - 1, 1)
    return shares


def run_overlaps(
    full: npt.NDArray[np.int64],
    ids: GalaxyIds,
    rules: Rules,
    lists: Mapping[int, GalaxyIds],
    depths: Sequence[int],
) -> Overlaps:
    """Return what stored lists share with the full ones, (q, depths); NaN without a list."""
    shares = np.full((len(full), len(depths)), np.nan)
    for row, (listed, galaxy_id) in enumerate(zip(full, ids.tolist(), strict=True)):
        if galaxy_id in lists:
            full_ids = rules.galaxy_ids[listed[listed >= 0]]
            shares[row] = list_overlaps(full_ids, lists[galaxy_id], depths)
    return shares


@dataclass(frozen=True, eq=False)
class Averages:
    """Values of each galaxy of the sample, averaged where a mask says."""

    depths: tuple[int, ...]
    shares: Overlaps  # (q, depths)
    of_run: Overlaps | None  # (q, depths)
    chance: npt.NDArray[np.float64]  # (q,)
    seed: int

    def of(self, mask: npt.NDArray[np.bool_]) -> tuple[WindowOverlap, ...]:
        """Average the galaxies where a mask (q,) is true, by depth."""
        return tuple(
            WindowOverlap(
                k=depth,
                overlap=estimate_mean(self.shares[mask, place], seed=self.seed),
                chance=float(self.chance[mask].mean()),
                run_overlap=None
                if self.of_run is None
                else estimate_mean(self.of_run[mask, place], seed=self.seed),
            )
            for place, depth in enumerate(self.depths)
        )


def by_magnitude(
    magnitudes: npt.NDArray[np.float32], averages: Averages
) -> tuple[MagnitudeBin, ...]:
    """Average by magnitudes (q,), a bin for each whole magnitude, those without one last."""
    known = np.isfinite(magnitudes)
    floors = np.floor(magnitudes[known].astype(np.float64) / BIN_MAG)
    bins = []
    for floor in np.unique(floors).tolist():
        mask = known.copy()
        mask[known] = floors == floor
        low, high = floor * BIN_MAG, (floor + 1) * BIN_MAG
        bins.append(MagnitudeBin(low, high, int(mask.sum()), averages.of(mask)))
    if not known.all():
        bins.append(MagnitudeBin(None, None, int((~known).sum()), averages.of(~known)))
    return tuple(bins)
